"""How long it takes to read as of a time, on a log of a hundred thousand events.

    python -m benchmarks.looking_back

The board and the ledger of one operation as known and as true, a thousand answers corrected
before; and meanwhile, how long live readers of the board wait.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks import story
from benchmarks.__main__ import machine
from benchmarks.places import Places, start_places
from services.city import reactor
from services.city.domain.corrections import CORRECTIONS
from services.city.projections import board, handovers, ledger
from shared.contracts.messages import ArrivalAcknowledged
from shared.kernel import asof
from shared.kernel.asof import Moment
from shared.kernel.handling import Unit
from shared.kernel.projector import Projection
from shared.runtime.history import changes, history
from shared.runtime.office import Office

PERSONS = 12_200
CORRECTED = 20
"""Of so many handovers every answer is corrected."""

MODELS = (board.projection, ledger.projection)


async def measure(places: Places) -> None:
    async with places.office("53.71", "35") as office:
        await story.whole_operation(office.handling, PERSONS)
        await _correct(office)
        await asyncio.gather(*(_catch_up(office, number) for number in range(3)))
        print(f"{(await office.store.head()).size:,} events\n")
        print("| read | seconds |\n|---|--:|")
        now = datetime.now(UTC)
        for words, moment, models in (
            ("the board as known at the end", Moment(known_at=now), MODELS),
            ("the board as true at the end", Moment(true_at=now), MODELS),
            ("the handovers as known at the end", Moment(known_at=now), (handovers.projection,)),
            (
                "the board as known before anything was",
                Moment(known_at=datetime.min.replace(tzinfo=UTC)),
                MODELS,
            ),
        ):
            await _say(words, lambda m=moment, x=models: _read(office, m, x))  # type: ignore[misc]
        async with office.pool.connection() as connection:
            types = office.handling.types
            await _say(
                "the history of one handover as true",
                lambda: history(connection, types, CORRECTIONS, "HO-1", Moment(true_at=now)),
            )
            await _say(
                "a thousand changes of everything, as occurred",
                lambda: changes(
                    connection,
                    types,
                    CORRECTIONS,
                    datetime(2019, 1, 1, tzinfo=UTC),
                    now,
                    "occurred",
                    office.settings.zone,
                ),
            )
        await _readers(office, now)
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"\nLargest memory of this process: {kib // 1024} MiB")


async def _correct(office: Office) -> None:
    entries: list[dict[str, Any]] = []
    async with office.pool.connection() as connection:
        for number in range(CORRECTED):
            cursor = await connection.execute(
                "select convert_from(body, 'UTF8')::jsonb->'data'->>'person' from events"
                " where stream = %s and type = 'pulang.city.handover.arrival-recorded.v1'",
                (f"handover-HO-{number}",),
            )
            people = [row[0] for row in await cursor.fetchall()]
            entries += [{"handover": f"HO-{number}", "person": person} for person in people]
    units = []
    for about in entries:
        answer = ArrivalAcknowledged(
            **about, outcome="absent", absence="other", at=story.NOW, answer=2, corrects=1
        )
        units.append(Unit(reactor.react("35", answer, "office:35", story.NOW, story.NOW, {})))
    await story.handle(office.handling, units, actor="office:35")


async def _catch_up(office: Office, number: int) -> None:
    while await office.projectors[number].step():
        pass


async def _read(office: Office, moment: Moment, models: tuple[Projection, ...]) -> None:
    async with office.pool.connection() as connection:
        types = office.handling.types
        async with asof.past(connection, models, types, CORRECTIONS, moment, seconds=600):
            if board.projection in models:
                await board.board(connection, story.OPERATION)
            else:
                await handovers.handovers(connection)


async def _say(words: str, work: Callable[[], Awaitable[Any]]) -> None:
    started = time.perf_counter()
    await work()
    print(f"| {words} | {time.perf_counter() - started:.2f} |", flush=True)


async def _readers(office: Office, now: datetime) -> None:
    """One reader of the live board, alone and while somebody reads it as of a time."""

    async def waits(until: asyncio.Event | None) -> list[float]:
        found: list[float] = []
        async with office.pool.connection() as connection:
            while len(found) < 40 if until is None else not until.is_set():
                started = time.perf_counter()
                await board.board(connection, story.OPERATION)
                found.append(time.perf_counter() - started)
        return found

    alone = await waits(None)
    done = asyncio.Event()
    reading = asyncio.create_task(waits(done))
    await _read(office, Moment(known_at=now), MODELS)
    done.set()
    meanwhile = await reading
    for words, found in (("alone", alone), ("meanwhile", meanwhile)):
        print(f"| the live board, {words}: median | {statistics.median(found):.3f} |")
        print(f"| the live board, {words}: longest | {max(found):.3f} |")


def main() -> None:
    logging.disable(logging.ERROR)
    with start_places() as places:
        print(machine(places), end="; ")
        asyncio.run(measure(places))


if __name__ == "__main__":
    main()
