"""What each screen of a city and of a province weighs, and how long the server takes for it, among
many people.

    python -m benchmarks.screens [--persons 100000]

Two hundred operations of 500; three in five of the city's people are on handovers, and nearly all
of these have arrived and hold their grant. In the province all are expected, and four in five have
come and have a case. One operation is recorded by the office's own decisions and projected; the
others are made of its rows in the read models, which are all that screens read.

Each screen is asked for as a browser's own page asks (so that it comes compressed), one request
after the other: in process, and by uvicorn on the loopback address. Beside it stands the page for a
new password, which asks only who is signed in: what every page costs here and now, so that the
ratio says what is ours.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from psycopg import AsyncConnection, sql

from benchmarks import story
from benchmarks.__main__ import machine
from benchmarks.places import Places, start_places
from services.city.domain import grant
from services.province.domain import arrival, case, house
from services.province.domain import grant as noted
from shared.contracts.values import ManifestEntry, draw_person_code
from shared.custody.erasure import ProposeErasure
from shared.kernel.decider import Command
from shared.kernel.handling import Unit
from shared.kernel.projector import tables_of
from shared.runtime import assets, sessions, staff
from shared.runtime.forms import path_names
from shared.runtime.office import Office
from shared.runtime.serve import Server
from shared.runtime.web import make_app

OPERATIONS = 200
REQUESTS = 30
EMPTY = "/kata-sandi"
ASKED_BY_A_PAGE = {
    "Accept": "text/html",
    "Accept-Encoding": "gzip",
    "Sec-Fetch-Site": "same-origin",
}
ROLES = {
    "city": ("issuer", "approver", "intake", "treasurer", "auditor", "admin"),
    "province": ("reception", "case_worker", "auditor", "admin"),
}
MORE = {
    "/kegiatan/{operation}/orang": ("?tujuan=35&keadaan=assigned", "?halaman=8", "?cari={person}"),
    "/kedatangan": ("?halaman=9",),
    "/kasus": ("?status=in_house&halaman=9", "?cari={person}"),
    "/serah-terima": ("?tahap=departed&halaman=9",),
    "/serah-terima/{handover}/pilih": ("?semua=ya",),
}
"""Screens that are also asked with a question."""


async def fill(office: Office, persons: int) -> dict[str, str]:
    """One operation by the office's own decisions, and as many more like it as are wanted."""
    # All begin alike, so that those made of them by `OTHER` are others.
    of, codes = "OP-UKUR", [f"PM-000{draw_person_code()[6:]}" for _ in range(persons // OPERATIONS)]
    await story.handle(office.handling, [Unit([story.opening(of)])])
    await story.handle(
        office.handling, [Unit([story.registration(c, of=of), story.willingness(c)]) for c in codes]
    )
    going = codes[: len(codes) * 3 // 5]
    await story.handle(office.handling, [Unit([credited(code, of)]) for code in going])
    for at in range(0, len(going), story.MANIFEST_PERSONS):
        id_, manifest = f"HO-{at}", going[at : at + story.MANIFEST_PERSONS]
        await story.handle(office.handling, [Unit(list(story.until_departure(id_, manifest, of)))])
        if at + 2 * story.MANIFEST_PERSONS < len(going):
            await story.handle(
                office.handling,
                [Unit(story.arrival(id_, code)) for code in manifest],
                actor="office:35",
            )
    await story.handle(office.handling, [Unit([story.drafting("HO-DRAFT", of)])])
    example = {"operation": of, "handover": id_, "person": manifest[0]}
    return await spread(office, example)


async def fill_province(office: Office, persons: int) -> dict[str, str]:
    """What one operation brings to its province, by its own decisions, and as many more."""
    codes = [f"PM-000{draw_person_code()[6:]}" for _ in range(persons // OPERATIONS)]
    opened = story.say(house.OpenHouse, house="RS-UKUR", name="Rumah untuk mengukur", capacity=999)
    await story.handle(office.handling, [Unit([opened])])
    for at in range(0, len(codes), story.MANIFEST_PERSONS):
        id_, manifest = f"HO-{at}", codes[at : at + story.MANIFEST_PERSONS]
        units = [Unit(list(expected(id_, manifest))), *(Unit([received(one)]) for one in manifest)]
        if at + 2 * story.MANIFEST_PERSONS < len(codes):
            units += [Unit(list(answered(id_, one))) for one in manifest]
        await story.handle(office.handling, units, actor="office:53.71")
    example = {"handover": id_, "person": codes[0], "house": "RS-UKUR"}
    return await spread(office, example)


def expected(id_: str, manifest: Sequence[str]) -> Iterator[Command]:
    entries = [
        ManifestEntry(person=one, origin="35.78", identity=story.as_if_sealed()) for one in manifest
    ]
    yield story.say(
        arrival.ExpectHandover,
        handover=id_,
        city="53.71",
        operation="OP-UKUR",
        deed_number=f"BAST/{id_}",
        deed_date=date(2019, 10, 4),
        planned_departure=date(2019, 10, 4),
        transport="Kapal contoh",
        entries=tuple(entries),
    )
    yield story.say(
        arrival.NoteDeparture,
        handover=id_,
        city="53.71",
        departed_at=story.NOW - timedelta(days=2),
    )


def received(person: str) -> Command:
    return story.say(
        noted.NoteCredit,
        person=person,
        city="53.71",
        reference=f"KREDIT/{person}",
        amount_rupiah=6_000_000,
        credited_on=date(2019, 10, 2),
    )


def answered(id_: str, person: str) -> Iterator[Command]:
    yield story.say(arrival.AcknowledgeArrival, handover=id_, person=person, outcome="arrived")
    yield story.say(house.AdmitPerson, house="RS-UKUR", person=person)
    yield story.say(
        case.OpenCase, person=person, city="53.71", handover=id_, house="RS-UKUR", willing=True
    )
    yield story.say(case.AssignCase, person=person, worker="case_worker")


async def spread(office: Office, example: dict[str, str]) -> dict[str, str]:
    """Projects what was recorded and multiplies it; `example`, and what else addresses name."""
    proposed = story.say(
        ProposeErasure,
        person=example["person"],
        erasure="ER-UKUR",
        basis="purpose_ended",
        reference="ND/UKUR/1",
    )
    await story.handle(office.handling, [Unit([proposed])])
    for projector in office.projectors:
        while await projector.step():
            pass
    async with office.pool.connection() as connection:
        for projection in office.service.projections:
            for table in await tables_of(connection, projection.schema):
                await multiply(connection, projection.schema, table)
        await connection.execute("vacuum analyze")
    return example | {"subject": example["person"]}


def credited(person: str, of: str) -> Command:
    return story.say(
        grant.DisburseGrant,
        person=person,
        operation=of,
        reference=f"KREDIT/{person}",
        amount_rupiah=6_000_000,
        credited_on=date(2019, 10, 2),
        entitlement_rupiah=6_000_000,
        replaces=None,
    )


async def multiply(connection: AsyncConnection[Any], schema: str, table: str) -> None:
    """The rows of a read model's table once more for each further operation, under other codes."""
    cursor = await connection.execute(
        "select column_name from information_schema.columns where table_schema = %s"
        " and table_name = %s and is_generated = 'NEVER'",
        (schema, table),
    )
    columns = [name for (name,) in await cursor.fetchall()]
    if not OTHER.keys() & columns:
        return
    query = sql.SQL("insert into {} ({}) select {} from {}, generate_series(1, %s) as n").format(
        sql.Identifier(schema, table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(
            sql.SQL(OTHER[name]) if name in OTHER else sql.Identifier(name) for name in columns
        ),
        sql.Identifier(schema, table),
    )
    await connection.execute(query, (OPERATIONS - 1,))


OTHER = {
    "person": "'PM-' || lpad(n::text, 3, '0') || substr(person, 7)",
    "position": "position + 10000000 * n",
} | {
    name: f"{name} || '-' || n"
    for name in (
        "operation",
        "handover",
        "answered_in",
        "received_in",
        "predecessor",
        "sts",
        "house",
    )
}
"""What tells a row of a further operation from the one that it is made of."""


async def signed_in(office: Office, name: str, *roles: str) -> str:
    """A session's cookie."""
    await staff.add_staff(
        office.pool, name, frozenset(roles), "kata sandi untuk mengukur",
        kind=office.settings.kind,
        wrap=office.keyring,
    )  # fmt: skip
    account = await staff.by_username(office.pool, name)
    begun = await sessions.begin(office.pool, account, office.clock()) if account else None
    if begun is None:
        raise RuntimeError("no session")
    return f"{sessions.COOKIE}={begun.token}"


def addresses(office: Office, example: dict[str, str]) -> list[tuple[str, str, frozenset[str]]]:
    """Each screen's name, an address of it and its roles; those without an example are said."""
    found, unknown = [], []
    for screen in office.service.screens:
        if not path_names(screen.path) <= set(example):
            unknown.append(screen.path)
            continue
        values = example | ({"handover": "HO-DRAFT"} if screen.path.endswith("/pilih") else {})
        for query in ("", *MORE.get(screen.path, ())):
            name = screen.path + query
            found.append((name, name.format_map(values), screen.roles))
    if unknown:
        print(f"Not measured, for want of an example: {', '.join(unknown)}\n")
    return found


@asynccontextmanager
async def _served(app: FastAPI) -> AsyncIterator[str]:
    server = Server(uvicorn.Config(app, port=0, lifespan="off", log_level="error"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass(frozen=True)
class Asked:
    """Milliseconds, of the clock and of this process's own work, and the bytes of one body."""

    median: float
    p95: float
    cpu: float
    size: int


async def ask(http: httpx.AsyncClient, address: str, cookie: str) -> Asked:
    times, worked, size = [], [], 0
    for number in range(REQUESTS + 3):
        started, cpu = time.perf_counter(), time.process_time()
        async with http.stream("GET", address, headers={"Cookie": cookie}) as answer:
            raw = [chunk async for chunk in answer.aiter_raw()]
        if answer.status_code != 200:
            raise RuntimeError(f"{address}: {answer.status_code}")
        if number >= 3:  # The first ones load templates and plans.
            times.append((time.perf_counter() - started) * 1000)
            worked.append((time.process_time() - cpu) * 1000)
        size = sum(map(len, raw))
    return Asked(
        statistics.median(times),
        statistics.quantiles(times, n=20)[-1],
        statistics.median(worked),
        size,
    )


async def measure(places: Places, code: str, partner: str, persons: int) -> None:
    async with places.office(code, partner) as office:
        started = time.monotonic()
        city = office.settings.kind == "city"
        example = await (fill if city else fill_province)(office, persons)
        events = (await office.store.head()).size
        print(f"{persons:,} people (of {events:,} events), in {time.monotonic() - started:.0f} s\n")
        cookies: dict[str, str] = {}
        for role in ROLES[office.settings.kind]:
            cookies[role] = await signed_in(office, role, role)
        app = make_app(lambda: None, office.service, with_worker=False, body_bytes=100_000)
        app.state.office, app.state.worker = office, None
        in_process = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://o", headers=ASKED_BY_A_PAGE
        )
        print("| screen | as | bytes sent | plain | its work, ms | median ms | p95 ms", end="")
        print(" | by uvicorn, p95 | ratio |\n|---|---|--:|--:|--:|--:|--:|--:|--:|")
        async with (
            in_process as asgi,
            _served(app) as base,
            httpx.AsyncClient(base_url=base, headers=ASKED_BY_A_PAGE, timeout=60) as wire,
        ):
            first = ROLES[office.settings.kind][0]
            empty = await ask(asgi, EMPTY, cookies[first])
            for name, address, roles in [
                (EMPTY, EMPTY, frozenset({first})),
                *addresses(office, example),
            ]:
                for role in [one for one in cookies if one in roles][:2]:
                    here = await ask(asgi, address, cookies[role])
                    there = await ask(wire, address, cookies[role])
                    headers = {"Cookie": cookies[role], "Sec-Fetch-Site": "none"}
                    plain = len((await asgi.get(address, headers=headers)).content)
                    print(
                        f"| `{name}` | {role} | {here.size:,} | {plain:,} | {here.cpu:.0f}"
                        f" | {here.median:.0f} | {here.p95:.0f} | {there.p95:.0f}"
                        f" | {here.median / empty.median:.1f} |",
                        flush=True,
                    )
            for name in ("pulang.css", "pulang.js", "ikon.svg"):
                async with asgi.stream("GET", assets.address(name)) as answer:
                    size = sum([len(chunk) async for chunk in answer.aiter_raw()])
                print(f"| `{name}`, once | | {size:,} | | | | | | |")


def main() -> None:
    logging.disable(logging.ERROR)
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("--persons", type=int, default=100_000)
    with start_places() as places:
        print(machine(places), end="; ")
        persons = parser.parse_args().persons
        asyncio.run(measure(places, "53.71", "35", persons))
        asyncio.run(measure(places, "35", "53.71", persons))


if __name__ == "__main__":
    main()
