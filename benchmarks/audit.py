"""A log of a million events proven, and each read model rebuilt: how fast, and in how much memory.

    python -m benchmarks.audit --events 1000000

It makes a city's log by the real decisions, appends and inbox, has the real worker follow it, and
then runs `pulang audit verify` and `pulang replay` as an operator does, each as a process of its
own, and looks at its resident size ten times a second. Beside them stands what reading the same
bytes and hashing them cost in the same run. It ends with 1 where a command found something wrong or
was larger than BOUND_MB.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks import story
from benchmarks.__main__ import machine
from benchmarks.places import PASSPHRASE, Places, start_places
from services.city.domain import advance, grant, treasury
from shared.contracts.messages import ArrivalAcknowledged, GrantConfirmed, Message
from shared.contracts.values import draw_person_code
from shared.kernel import merkle
from shared.kernel.decider import Command
from shared.kernel.event import dump
from shared.kernel.handling import Unit
from shared.kernel.link import FRAME_MESSAGES, encode, frames
from shared.kernel.store import read_events
from shared.runtime import audit
from shared.runtime.audit.log import BATCH
from shared.runtime.office import Office

CITY, PROVINCE = "53.71", "35"
PERSONS = 1_000
"""Of one operation: 13,102 events."""
SPARE_RUPIAH, FARE_RUPIAH = 250_000, 1_750_000
BOUND_MB = 250
LOOK_SECONDS = 0.1
FOLLOW_SECONDS = 3_600


class Province:
    """What the receiving office answers, in frames that it has signed."""

    def __init__(self, city: Office, office: Office) -> None:
        self._sign = office.keyring.sign
        self._inbox = city.inbox(PROVINCE)
        self._number = 0

    async def answers(self, said: Sequence[tuple[str, Message]]) -> None:
        for at in range(0, len(said), FRAME_MESSAGES):
            rows = [self._row(*one) for one in said[at : at + FRAME_MESSAGES]]
            raws = [encode(frame, self._sign) for frame in frames(PROVINCE, CITY, rows)]
            receipt, _ = await self._inbox.receive(raws, story.NOW)
            if receipt is None or receipt.applied_through != self._number or receipt.unapplied:
                raise RuntimeError(f"the city did not apply all of this: {receipt}")

    def _row(self, subject: str, message: Message) -> tuple[int, bytes, int]:
        self._number += 1
        document = {
            "specversion": "1.0",
            "id": f"jawaban-{self._number}",
            "source": f"pulang/{PROVINCE}",
            "type": message.type,
            "subject": subject,
            "time": story.NOW.isoformat(),
            "datacontenttype": "application/json",
            "sequence": str(self._number),
            "data": message.model_dump(mode="json"),
        }
        return self._number, dump(document), 0


async def record(city: Office, province: Province, events: int) -> int:
    """Whole operations, from intake to what is left of the fares, until there are so many."""
    number = size = 0
    while size < events:
        number += 1
        await operation(city, province, f"OP-{number}", PERSONS)
        size = (await city.store.head()).size
        print(f"\r{size:,} events recorded", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return size


async def operation(city: Office, province: Province, of: str, persons: int) -> None:
    people = [draw_person_code() for _ in range(persons)]
    step = story.MANIFEST_PERSONS
    manifests = {f"{of}-HO-{at}": people[at : at + step] for at in range(0, persons, step)}
    intake = [Unit([story.registration(p, of=of), story.willingness(p)]) for p in people]
    await story.handle(city.handling, [Unit([story.opening(of)]), *intake])
    await story.handle(city.handling, [Unit(_released(of, person)) for person in people])
    await story.handle(
        city.handling,
        [Unit(list(story.until_departure(id_, some, of))) for id_, some in manifests.items()],
    )
    await province.answers(
        [
            (id_, ArrivalAcknowledged(handover=id_, person=p, outcome="arrived", at=story.NOW,
                                      answer=1))
            for id_, some in manifests.items()
            for p in some
        ]
    )  # fmt: skip
    await story.handle(city.handling, [Unit(_disbursed(of, person)) for person in people])
    await province.answers(
        [(person, GrantConfirmed(person=person, reference=f"K/{person}")) for person in people]
    )
    await story.handle(city.handling, [Unit(list(_returned(of, people)))])


def _released(of: str, person: str) -> Sequence[Command]:
    return [
        story.say(
            advance.ReleaseAdvance,
            person=person,
            operation=of,
            release=f"SP2D/{of}",
            budget_code="5.1.02",
            amount_rupiah=FARE_RUPIAH + SPARE_RUPIAH,
            ceiling_rupiah=FARE_RUPIAH + SPARE_RUPIAH,
        ),
        story.say(
            advance.RecordFare,
            person=person,
            receipt=f"KW/{person}",
            amount_rupiah=FARE_RUPIAH,
        ),
    ]


def _disbursed(of: str, person: str) -> Sequence[Command]:
    return [
        story.say(
            grant.DisburseGrant,
            person=person,
            operation=of,
            reference=f"K/{person}",
            amount_rupiah=6_000_000,
            credited_on=story.NOW.date(),
            entitlement_rupiah=6_000_000,
        )
    ]


def _returned(of: str, people: Sequence[str]) -> Iterator[Command]:
    yield story.say(
        treasury.RecordTreasuryReturn,
        sts=f"STS/{of}",
        operation=of,
        bank_validation=f"NTPN/{of}",
        deposited_on=story.NOW.date(),
        total_rupiah=SPARE_RUPIAH * len(people),
        shares=tuple(
            treasury.Share(person=person, amount_rupiah=SPARE_RUPIAH) for person in people
        ),
    )
    for person in people:
        yield story.say(
            advance.ReturnSurplus,
            person=person,
            operation=of,
            sts=f"STS/{of}",
            amount_rupiah=SPARE_RUPIAH,
        )


@dataclass(frozen=True)
class Run:
    """What one command was like. `tenths` is the largest size in each tenth of its time, in MB."""

    name: str
    code: int
    seconds: float
    peak_mb: float
    tenths: Sequence[float]


async def run(office: Office, *arguments: str) -> Run:
    """A command of `pulang` as a process of its own, watched until it ends."""
    started = time.monotonic()
    sizes: list[float] = []
    peak = 0.0
    async with _command(office, *arguments) as process:
        said = asyncio.create_task(process.communicate())
        while not said.done():
            now, most = _resident(process.pid)
            sizes.append(now)
            peak = max(peak, most)
            await asyncio.wait([said], timeout=LOOK_SECONDS)
        out, err = said.result()
    seconds = time.monotonic() - started
    if process.returncode != 0:
        print(out.decode()[-2_000:], err.decode()[-2_000:], file=sys.stderr)
    tenths = [
        max(
            sizes[
                len(sizes) * at // 10 : max(len(sizes) * (at + 1) // 10, len(sizes) * at // 10 + 1)
            ]
        )
        for at in range(10)
    ]
    name = f"`pulang {' '.join(arguments[:2])}`"
    return Run(name, process.returncode or 0, seconds, peak, tenths)


@asynccontextmanager
async def _command(office: Office, *arguments: str) -> AsyncIterator[Process]:
    settings = office.settings
    environment = {
        "PULANG_OFFICE": settings.office,
        "PULANG_OFFICE_NAME": settings.office_name,
        "PULANG_PARTNERS": "" if arguments == ("worker",) else ",".join(settings.partners),
        "PULANG_DATABASE_URL": settings.database_url,
        "PULANG_REDIS_URL": settings.redis_url,
        "PULANG_KEY_FILE": str(settings.key_file),
        "PULANG_KEY_PASSPHRASE": PASSPHRASE,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *arguments,
        env=os.environ | environment, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


def _resident(pid: int) -> tuple[float, float]:
    """How much of a process is in memory, and at most was, in MB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    found = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    now, most = (
        int(found[name][0]) * 1024 / 1e6 if name in found else 0.0 for name in ("VmRSS", "VmHWM")
    )
    return now, most


async def _followed(office: Office, size: int) -> None:
    """Until every read model and a checkpoint stand at the log's end."""
    deadline = time.monotonic() + FOLLOW_SECONDS
    async with office.pool.connection() as connection:
        while time.monotonic() < deadline:
            cursor = await connection.execute(
                "select least((select min(position) from projections),"
                " (select max(size) from checkpoints))"
            )
            if await cursor.fetchone() == (size,):
                return
            await connection.commit()
            await asyncio.sleep(1)
    raise RuntimeError("the worker did not follow the log to its end")


async def _raw(office: Office) -> dict[str, float]:
    """Seconds to read all bytes as an audit does, to hash them, and to make the tree of them."""
    spent = dict.fromkeys(("reading", "SHA-256", "the tree"), 0.0)
    position, frontier = 0, tuple[bytes, ...]()
    async with office.pool.connection() as connection:
        while True:
            started = time.perf_counter()
            batch = await read_events(connection, position, BATCH)
            read = time.perf_counter()
            spent["reading"] += read - started
            if not batch:
                return spent
            for one in batch:
                sha256(one.body).digest()
            hashed = time.perf_counter()
            spent["SHA-256"] += hashed - read
            frontier = merkle.extend(position, frontier, [one.body for one in batch])
            spent["the tree"] += time.perf_counter() - hashed
            position = batch[-1].position


async def _log_alone(office: Office) -> float:
    """Seconds that an audit takes in this process, without the read models."""
    started = time.perf_counter()
    async with office.pool.connection() as connection:
        report = await audit.verify(connection, office, projectors=())
    if report.faults.number:
        raise RuntimeError(f"the log has faults: {report.faults.kept[:3]}")
    return time.perf_counter() - started


async def measure(places: Places, events: int) -> list[Run]:
    async with (
        places.office(CITY, PROVINCE) as city,
        places.office(PROVINCE, CITY, read_models=False) as other,
    ):
        started = time.monotonic()
        # Without partners: it follows the log and signs it, and nobody is there to send to.
        async with _command(city, "worker") as worker:
            drained = asyncio.create_task(worker.communicate())
            size = await record(city, Province(city, other), events)
            recorded = time.monotonic() - started
            await _followed(city, size)
            _, largest = _resident(worker.pid)
            worker.terminate()
            await drained
        followed = time.monotonic() - started
        bytes_ = await _number(city, "select sum(length(body))::bigint from events")
        notes = await _number(city, "select count(*) from checkpoints")
        print(f"{size:,} events of {bytes_ / size:,.0f} bytes, {notes:,} checkpoints; recorded in"
              f" {recorded:,.0f} s, followed by the worker ({largest:.0f} MB) after"
              f" {followed:,.0f} s\n", flush=True)  # fmt: skip
        raw = await _raw(city)
        print("| what | seconds | events/s |\n|---|--:|--:|")
        for name, seconds in raw.items():
            print(f"| raw: {name} | {seconds:.1f} | {size / seconds:,.0f} |")
        both = raw["reading"] + raw["the tree"]
        print(f"| raw: reading and the tree | {both:.1f} | {size / both:,.0f} |")
        alone = await _log_alone(city)
        print(f"| an audit of the log and the links alone | {alone:.1f} | {size / alone:,.0f} |\n")
        print("| command | seconds | events/s | of raw reading and tree | peak MB |"
              " MB by tenths of its time |\n|---|--:|--:|--:|--:|---|", flush=True)  # fmt: skip
        runs = []
        replays = [
            ("replay", one.projection.name, "--reason", "Pengukuran", "--json")
            for one in city.projectors
        ]
        for arguments in (("audit", "verify", "--json"), *replays):
            one = await run(city, *arguments)
            runs.append(one)
            print(f"| {one.name} | {one.seconds:.1f} | {size / one.seconds:,.0f} |"
                  f" {both / one.seconds:.2f} | {one.peak_mb:.0f} |"
                  f" {' '.join(f'{mb:.0f}' for mb in one.tenths)} |", flush=True)  # fmt: skip
        return runs


async def _number(office: Office, query: str) -> int:
    async with office.pool.connection() as connection:
        row: Any = await (await connection.execute(query.encode())).fetchone()
        return int(row[0])


def main() -> int:
    logging.disable(logging.ERROR)
    parser = argparse.ArgumentParser(description="A large log proven and rebuilt.")
    parser.add_argument("--events", type=int, default=20_000)
    events = parser.parse_args().events
    with start_places() as places:
        print(f"{datetime.now(UTC):%Y-%m-%d}, {machine(places)}; {events:,} events asked for")
        runs = asyncio.run(measure(places, events))
    wrong = [one.name for one in runs if one.code or one.peak_mb > BOUND_MB]
    for name in wrong:
        print(f"{name} failed, found something, or was larger than {BOUND_MB} MB")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
