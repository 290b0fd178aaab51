"""Rebuilding the city's board from its log, beside the same statements without a projector.

Ours reads, parses, projects, writes, compares every row with the live copy and switches to the
new one. The raw loop reads the same rows and sends the same statements, made beforehand, through
one pipeline in one transaction.
"""

from __future__ import annotations

from typing import Any

import psycopg

from benchmarks import story
from benchmarks.measure import Row, Trips, paired, per_second, traced
from benchmarks.places import Places
from services.city.projections import board
from shared.kernel.projector import BATCH_EVENTS, Projector, Statement, recorded
from shared.runtime.office import Office

PERSONS = 2_000
READ = (
    "select position, stream, version, type, body from events"
    " where position > %s order by position limit %s"
)


class Rebuilding:
    def __init__(self, office: Office) -> None:
        self.office = office
        [self.projector] = [p for p in office.projectors if p.projection is board.projection]
        self.size = 0
        self.statements: list[Statement] = []

    async def record(self) -> None:
        await story.whole_operation(self.office.handling, PERSONS)
        while await self.projector.step():
            pass
        types = self.office.handling.types
        events = await self.office.store.read(0, 1_000_000)
        self.size = len(events)
        self.statements = [
            statement for event in events for statement in board.apply(recorded(event, types))
        ]

    async def ours(self) -> float:
        return await per_second(self.size, self._rebuild())

    async def _rebuild(self) -> None:
        if differences := (await self.projector.rebuild()).differences:
            raise RuntimeError(f"the board rebuilt is another: {differences[0]}")

    async def following(self) -> float:
        """The live way: the same log applied batch by batch, each with its checkpoint."""
        async with self.office.pool.connection() as connection:
            await connection.execute("delete from projections where name = 'board'")
        projector = Projector(self.office.pool, self.office.handling.types, board.projection)
        await projector.prepare()

        async def follow() -> None:
            while await projector.step():
                pass

        return await per_second(self.size, follow())

    async def raw(self) -> float:
        with psycopg.connect(self.office.settings.database_url) as connection:
            connection.execute("drop schema if exists raw cascade; create schema raw")
            connection.execute("set search_path to raw")
            connection.execute(board.TABLES.encode())
            connection.commit()
            return await per_second(self.size, self._raw(connection))

    async def _raw(self, connection: psycopg.Connection[Any]) -> None:
        position = 0
        while rows := connection.execute(
            READ.replace("from events", "from public.events").encode(), (position, BATCH_EVENTS)
        ).fetchall():
            position = rows[-1][0]
        with connection.pipeline():
            for statement, parameters in self.statements:
                connection.execute(statement.encode(), parameters)
        connection.commit()


async def measure(places: Places) -> list[Row]:
    async with places.office("53.71", "35") as office:
        side = Rebuilding(office)
        await side.record()
        what = "read the rows, the same statements in one pipeline"
        return [
            await paired(
                f"the board rebuilt and proven, {side.size:,} events",
                "events/s",
                side.ours,
                side.raw,
                what,
                rounds=3,
            ),
            await paired(
                f"the board following the log, {side.size:,} events",
                "events/s",
                side.following,
                side.raw,
                what,
                rounds=3,
            ),
        ]


async def count(places: Places) -> list[Trips]:
    async with places.office("53.71", "35", connections=2) as office:
        await story.whole_operation(office.handling, 200)
        [projector] = [p for p in office.projectors if p.projection is board.projection]
        async with traced(office.pool) as wire:
            await wire.count("projector, a batch of 1,000 events", projector.step())
            while await projector.step():
                pass
            await wire.count("projector, a turn with nothing to do", projector.step())
        return wire.trips
