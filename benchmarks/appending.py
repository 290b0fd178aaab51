"""Appending and handling commands, beside bare inserts of the same bytes.

The raw loops insert rows that were made beforehand, into a table with the log's own columns and
indexes. They write no document, hash nothing, give no gapless position, number no message and
detect no conflict: what stands between the two figures is the price of all that.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from benchmarks import story
from benchmarks.measure import Row, Trips, paired, per_second, traced
from benchmarks.places import Places
from services.city.domain.beneficiary import BeneficiaryRegistered
from shared.contracts.values import draw_person_code
from shared.kernel import trace
from shared.kernel.event import NewEvent
from shared.kernel.handling import Unit
from shared.kernel.store import Commit
from shared.runtime.office import Office

OFFICE = "53.71"
COLUMNS = ("stream", "version", "id", "type", "occurred_at", "recorded_at", "actor", "correlation",
           "body")  # fmt: skip
CASTS = ("text", "int", "text", "text", "timestamptz", "timestamptz", "text", "text", "bytea")
RAW_TABLE = """
create table raw_events (like events including all);
alter table raw_events alter position add generated always as identity;
"""
INSERT_ONE = (
    f"insert into raw_events ({', '.join(COLUMNS)}) values ({', '.join(['%s'] * len(COLUMNS))})"
)
INSERT_MANY = (
    f"insert into raw_events ({', '.join(COLUMNS)}) select * from"
    f" unnest({', '.join(f'%s::{cast}[]' for cast in CASTS)})"
)
READ = "select position, stream, version, type, body from raw_events where stream = %s"

Line = tuple[Any, ...]


def new_events(number: int) -> list[NewEvent]:
    """Registrations of that many people, of about 800 bytes each as they are stored."""
    return [_event(f"beneficiary-{code}", 1, code) for code in _codes(number)]


def _codes(number: int) -> list[str]:
    return [draw_person_code() for _ in range(number)]


def _event(stream: str, version: int, code: str) -> NewEvent:
    command: Any = story.registration(code)
    return NewEvent(
        id=str(uuid.uuid4()),
        stream=stream,
        version=version,
        event=BeneficiaryRegistered(
            person=code,
            operation=command.operation,
            origin=command.origin,
            destination=command.destination,
            identity=command.identity,
        ),
        occurred_at=story.NOW,
        recorded_at=story.NOW,
        actor="petugas",
        traceparent=trace.traceparent(None, "ukur"),
        causation="ukur",
    )


def raw_line(event: NewEvent) -> Line:
    return (
        event.stream,
        event.version,
        event.id,
        event.event.type,
        event.occurred_at,
        event.recorded_at,
        event.actor,
        event.correlation,
        event.body(OFFICE),
    )


class Appending:
    """The log of one office on one side, a table of the same shape on the other."""

    def __init__(self, office: Office, raw_url: str) -> None:
        self.office = office
        self.raw_url = raw_url
        self.raw = psycopg.connect(raw_url)
        self.raw.execute(RAW_TABLE)
        self.raw.commit()

    async def ours(self, number: int, clients: int, batch: int = 1) -> float:
        events = new_events(number)
        commits = [
            Commit(at=story.NOW, events=events[at : at + batch]) for at in range(0, number, batch)
        ]

        async def client(index: int) -> None:
            for commit in commits[index::clients]:
                await self.office.store.append(commit)

        return await per_second(number, _together(client, clients))

    async def raw_transactions(self, number: int) -> float:
        """Begin, insert, commit: the loop as it is usually written."""
        lines = [raw_line(event) for event in new_events(number)]

        async def loop() -> None:
            for line in lines:
                with self.raw.transaction():
                    self.raw.execute(INSERT_ONE, line)

        return await per_second(number, loop())

    async def raw_statements(self, number: int) -> float:
        """One statement that is its own transaction: nothing can be left out of this one."""
        lines = [raw_line(event) for event in new_events(number)]

        async def loop() -> None:
            with psycopg.connect(self.raw_url, autocommit=True) as connection:
                for line in lines:
                    connection.execute(INSERT_ONE, line)

        return await per_second(number, loop())

    async def raw_clients(self, number: int, clients: int) -> float:
        """As many clients with a connection each; PostgreSQL flushes for several at once."""
        lines = [raw_line(event) for event in new_events(number)]
        async with _connections(self.raw_url, clients, autocommit=True) as connections:

            async def client(index: int) -> None:
                for line in lines[index::clients]:
                    await connections[index].execute(INSERT_ONE, line)

            return await per_second(number, _together(client, clients))

    async def raw_batches(self, number: int, batch: int) -> float:
        lines = [raw_line(event) for event in new_events(number)]

        async def loop() -> None:
            for at in range(0, number, batch):
                with self.raw.transaction():
                    self.raw.execute(INSERT_MANY, _columns(lines[at : at + batch]))

        return await per_second(number, loop())


class Commands:
    """A person who was registered says that she is willing: load, decide, append."""

    def __init__(self, office: Office, raw: psycopg.Connection[Any], raw_url: str) -> None:
        self.office = office
        self.raw = raw
        self.raw_url = raw_url

    async def registered(self, number: int) -> list[str]:
        codes = _codes(number)
        await story.handle(
            self.office.handling, [Unit([story.registration(code)]) for code in codes]
        )
        return codes

    async def ours(self, number: int, clients: int) -> float:
        units = [Unit([story.willingness(code)]) for code in await self.registered(number)]

        async def client(index: int) -> None:
            for unit in units[index::clients]:
                await story.handle(self.office.handling, [unit])

        return await per_second(number, _together(client, clients))

    async def raw_loop(self, number: int) -> float:
        """Read the stream's rows, insert the next one, in one transaction."""
        lines = self._raw_lines(number)

        async def loop() -> None:
            for line in lines:
                with self.raw.transaction():
                    self.raw.execute(READ, line[:1]).fetchall()
                    self.raw.execute(INSERT_ONE, line)

        return await per_second(number, loop())

    async def raw_clients(self, number: int, clients: int) -> float:
        """The same by as many clients, with a connection each."""
        lines = self._raw_lines(number)
        async with _connections(self.raw_url, clients, autocommit=False) as connections:

            async def client(index: int) -> None:
                for line in lines[index::clients]:
                    cursor = await connections[index].execute(READ, line[:1])
                    await cursor.fetchall()
                    await connections[index].execute(INSERT_ONE, line)
                    await connections[index].commit()

            return await per_second(number, _together(client, clients))

    def _raw_lines(self, number: int) -> list[Line]:
        """Rows that each follow one that is there already."""
        first = new_events(number)
        with self.raw.transaction():
            self.raw.execute(INSERT_MANY, _columns([raw_line(event) for event in first]))
        return [
            raw_line(_event(one.stream, 2, one.stream.removeprefix("beneficiary-")))
            for one in first
        ]

    async def imported(self, number: int, batch: int) -> float:
        """Intake as it comes: a request of many rows, each a person and her statement, sealed."""
        codes = _codes(number)

        async def requests() -> None:
            for at in range(0, number, batch):
                units = await story.intake(self.office, codes[at : at + batch])
                await story.handle(self.office.handling, units, batch=batch)

        return await per_second(number * 2, requests())


def _columns(lines: Sequence[Line]) -> list[list[Any]]:
    return [list(column) for column in zip(*lines, strict=True)]


@asynccontextmanager
async def _connections(
    url: str, number: int, *, autocommit: bool
) -> AsyncIterator[list[AsyncConnection[Any]]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                await AsyncConnection.connect(url, autocommit=autocommit)
            )
            for _ in range(number)
        ]


async def _together(client: Callable[[int], Awaitable[None]], clients: int) -> None:
    await asyncio.gather(*(client(index) for index in range(clients)))


async def measure(places: Places) -> list[Row]:
    async with places.office(OFFICE, "35", read_models=False) as office:
        side = Appending(office, places.database())
        commands = Commands(office, side.raw, side.raw_url)
        await side.ours(100, 1)  # Plans, caches and files exist before the first turn.
        await side.raw_transactions(100)
        rows = [
            await paired(
                "append, 1 event a commit, 1 client",
                "events/s",
                lambda: side.ours(500, 1),
                lambda: side.raw_transactions(500),
                "begin, insert one row, commit",
            ),
            await paired(
                "append, 1 event a commit, 1 client",
                "events/s",
                lambda: side.ours(500, 1),
                lambda: side.raw_statements(500),
                "insert one row, autocommit",
            ),
            await paired(
                "append, 1 event a commit, 16 clients",
                "events/s",
                lambda: side.ours(3_200, 16),
                lambda: side.raw_clients(3_200, 16),
                "16 connections, insert one row, autocommit",
            ),
            await paired(
                "append, 1 event a commit, 64 clients",
                "events/s",
                lambda: side.ours(6_400, 64),
                lambda: side.raw_clients(6_400, 64),
                "64 connections, insert one row, autocommit",
            ),
            await paired(
                "append, 100 events a commit, 1 client",
                "events/s",
                lambda: side.ours(10_000, 1, 100),
                lambda: side.raw_batches(10_000, 100),
                "begin, insert from unnest of 100 rows, commit",
            ),
            await paired(
                "a command (load, decide, append), 1 client",
                "commands/s",
                lambda: commands.ours(400, 1),
                lambda: commands.raw_loop(400),
                "begin, select its stream, insert one row, commit",
            ),
            await paired(
                "a command (load, decide, append), 16 clients",
                "commands/s",
                lambda: commands.ours(1_600, 16),
                lambda: commands.raw_clients(1_600, 16),
                "16 connections, the same loop",
            ),
            await paired(
                "intake of 100 people in a request",
                "events/s",
                lambda: commands.imported(2_000, 100),
                lambda: side.raw_batches(4_000, 200),
                "begin, insert from unnest of 200 rows, commit",
            ),
            await paired(
                # So large that whatever grows faster than the request does shows here.
                "intake of 5,000 people in a request",
                "events/s",
                lambda: commands.imported(5_000, 5_000),
                lambda: side.raw_batches(10_000, 10_000),
                "begin, insert from unnest of 10,000 rows, commit",
                rounds=3,
            ),
        ]
        side.raw.close()
    return rows


async def count(places: Places) -> list[Trips]:
    async with places.office(OFFICE, "35", read_models=False, connections=2) as office:
        store, handling = office.store, office.handling
        codes = _codes(101)
        await story.handle(handling, [Unit([story.registration(code)]) for code in codes])
        async with traced(office.pool) as wire:
            one = Commit(at=story.NOW, events=new_events(1))
            await wire.count("append, 1 event a commit", store.append(one))
            many = Commit(at=story.NOW, events=new_events(100))
            await wire.count("append, 100 events a commit", store.append(many))
            unit = [Unit([story.willingness(codes[0])])]
            await wire.count("a command", story.handle(handling, unit))
            units = [Unit([story.willingness(code)]) for code in codes[1:]]
            await wire.count("100 commands in a request", story.handle(handling, units))
        return wire.trips
