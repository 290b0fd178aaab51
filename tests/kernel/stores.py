"""Two stores of one contract, and a look at what they keep that goes past them.

The second is the one that the simulation stands on: what it finds means something only as far as
that one does what PostgreSQL does.
"""

from __future__ import annotations

from typing import Any, Protocol

from psycopg_pool import AsyncConnectionPool

from shared.kernel.projector import Projector
from shared.kernel.store import Store
from tests.simulation.memory import Database
from tests.simulation.pool import Pool


async def rows(pool: AsyncConnectionPool, query: str) -> list[Any]:
    async with pool.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


class Kept(Protocol):
    """What a store keeps, looked at past it. `another` is a store of another process on it."""

    def another(self) -> Store: ...

    async def outbox(self, receiver: str = "35") -> list[tuple[int, int, bytes]]:
        """Number, position and body of each message."""
        ...

    async def parked(self) -> list[tuple[bytes, int]]:
        """What is parked, and how many times it came."""
        ...

    async def beside(self) -> list[int]:
        """How many rows stand in inbox, parked, requests and link_in."""
        ...

    async def unapplied(self) -> list[int]:
        """What office 35 has and did not apply, as it said."""
        ...

    async def times(self) -> list[tuple[str, int]]:
        """What of the messages to office 35 is known with its time: kind and number."""
        ...

    async def prepare(self, projector: Projector) -> None:
        """Makes the tables of the simulation's read model."""
        ...

    async def story(self) -> dict[str, tuple[int, int]]:
        """The rows of that read model: by stream, how many events it has, and the last's place."""
        ...


class InPostgres:
    def __init__(self, pool: AsyncConnectionPool) -> None:
        self.pool = pool

    def another(self) -> Store:
        return Store(self.pool, "53.71")

    async def outbox(self, receiver: str = "35") -> list[tuple[int, int, bytes]]:
        query = "select sequence, position, body from outbox where receiver = '{}' order by 1"
        return [
            (n, at, bytes(body)) for n, at, body in await rows(self.pool, query.format(receiver))
        ]

    async def parked(self) -> list[tuple[bytes, int]]:
        found = await rows(self.pool, "select raw, times from parked")
        return [(bytes(raw), times) for raw, times in found]

    async def beside(self) -> list[int]:
        tables = ("inbox", "parked", "requests", "link_in")
        return [len(await rows(self.pool, f"select 1 from {table}")) for table in tables]

    async def unapplied(self) -> list[int]:
        ((ranges,),) = await rows(self.pool, "select unapplied from link_out")
        return [n for one in ranges for n in range(one.lower, one.upper)]

    async def times(self) -> list[tuple[str, int]]:
        return [*await rows(self.pool, "select state, sequence from link_times order by 1, 2")]

    async def prepare(self, projector: Projector) -> None:
        await projector.prepare()

    async def story(self) -> dict[str, tuple[int, int]]:
        found = await rows(self.pool, "select stream, events, position from rm_story.story")
        return {stream: (events, position) for stream, events, position in found}


class InMemory:
    def __init__(self) -> None:
        self.database = Database()

    def another(self) -> Store:
        pool: Any = Pool(self.database)
        return Store(pool, "53.71")

    async def outbox(self, receiver: str = "35") -> list[tuple[int, int, bytes]]:
        return [row[:3] for row in self.database.outbox.get(receiver, [])]

    async def parked(self) -> list[tuple[bytes, int]]:
        return [(row.raw, row.times) for row in self.database.parked]

    async def beside(self) -> list[int]:
        kept = self.database
        return [len(rows) for rows in (kept.inbox, kept.parked, kept.requests, kept.applied)]

    async def unapplied(self) -> list[int]:
        return self.database.link("35").unapplied

    async def times(self) -> list[tuple[str, int]]:
        return sorted((kind, number) for _, kind, number in self.database.link_times)

    async def prepare(self, projector: Projector) -> None:
        self.database.projections[projector.projection.name] = (0, projector.projection.version)

    async def story(self) -> dict[str, tuple[int, int]]:
        return self.database.story
