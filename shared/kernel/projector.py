"""The projector: applies the log to read models, in batches, rows and checkpoint together.

A projection is a pure function from an event to SQL statements on its own tables, which live in a
schema of their own. A read model is disposable: it can be rebuilt beside the live one from
position 0, compared with it row by row, and switched to.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from shared.kernel.decider import Event
from shared.kernel.event import EventTypes, StoredEvent
from shared.kernel.store import read_events, read_head

BATCH_EVENTS = 1_000
DIGEST_ROWS = 10_000
REBUILD_SUFFIX = "__rebuild"
VERIFY_SUFFIX = "__verify"

Statement = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place and times, as projections see it."""

    position: int
    stream: str
    id: str
    actor: str
    occurred_at: str
    recorded_at: str
    event: Event


@dataclass(frozen=True)
class Projection:
    """A read model: its tables, and what each event does to them. Raise `version` to rebuild."""

    name: str
    version: int
    tables: str
    apply: Callable[[Recorded], Iterable[Statement]]

    @property
    def schema(self) -> str:
        return f"rm_{self.name}"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A rebuild that was switched to: through which position, and how the live copy differed.

    `differing` counts all rows that only one copy had, and `differences` shows the first of each
    table. `live` and `rebuilt` are digests of both copies at that position. A live copy of another
    version has other tables, which nothing compares: `differing` is None.
    """

    through: int
    live: str
    rebuilt: str
    differing: int | None
    differences: list[str]


Record = Callable[[AsyncConnection[Any], Rebuilt], Awaitable[None]]
"""Puts a rebuild on the record, in the transaction in which it is switched to."""


class AheadOfLog(Exception):
    """A checkpoint beyond the log's end: the log was restored to an earlier time."""


class RebuildRunning(Exception):
    """Somebody else is rebuilding this read model just now."""


class Projector:
    """Keeps one projection up to date. `step` does one batch."""

    def __init__(
        self, pool: AsyncConnectionPool, types: EventTypes, projection: Projection
    ) -> None:
        self.pool = pool
        self._types = types
        self.projection = projection

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with self.pool.connection() as connection, connection.transaction():
            yield connection

    async def prepare(self) -> None:
        """Makes the tables where there are none. An older version is left to `step` to replace."""
        async with self._transaction() as connection:
            await connection.execute("select pg_advisory_xact_lock(53710002)")
            cursor = await connection.execute(
                "select 1 from projections where name = %s", (self.projection.name,)
            )
            if await cursor.fetchone() is None:
                await self._create(connection, self.projection.schema)
                await self._checkpoint(connection, 0)

    async def step(self, record: Record | None = None) -> int:
        """Applies the next batch; gives the number of events. Raises AheadOfLog.

        Where the live copy is of another version, this one is built beside it and switched to.
        """
        if await self._is_caught_up():
            return 0
        async with self._transaction() as connection:
            cursor = await connection.execute(
                "select position, version from projections where name = %s for update",
                (self.projection.name,),
            )
            position, version = await cursor.fetchone() or (0, self.projection.version)
            if version == self.projection.version:
                return await self._next_batch(connection, position)
        await self.rebuild(record=record)
        return 1

    async def _is_caught_up(self) -> bool:
        """Asked at each turn of an idle office, so in one statement that locks nothing."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "select p.position = h.size and p.version = %s from projections p, log_head h"
                " where p.name = %s",
                (self.projection.version, self.projection.name),
            )
            return await cursor.fetchone() == (True,)

    async def _next_batch(self, connection: AsyncConnection[Any], position: int) -> int:
        events = await read_events(connection, position, BATCH_EVENTS)
        if not events:
            size = (await read_head(connection)).size
            if position > size:
                raise AheadOfLog(
                    f"{self.projection.name} stands at {position}, the log ends at {size};"
                    f" run `pulang replay {self.projection.name} --reason …`"
                )
            return 0
        await self._apply(connection, self.projection.schema, events)
        await self._checkpoint(connection, events[-1].position)
        return len(events)

    async def rebuild(
        self,
        progress: Callable[[int, int], None] = lambda done, total: None,
        record: Record | None = None,
    ) -> Rebuilt:
        """Builds a second copy from position 0 beside the live one, compares, and switches.

        The rebuilt copy is live afterwards in any case, since it is the one that follows from the
        log; where it can't be built, the live one stays. Writes into the read model's own schemas
        and its position, and nowhere else but for what `record` does. Raises RebuildRunning.
        """
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "select pg_try_advisory_lock(53710004, hashtext(%s))", (self.projection.name,)
            )
            if await cursor.fetchone() != (True,):
                raise RebuildRunning(f"{self.projection.name} is being rebuilt; wait for that")
            await connection.commit()
            try:
                return await self._rebuild(progress, record)
            finally:
                await connection.execute(
                    "select pg_advisory_unlock(53710004, hashtext(%s))", (self.projection.name,)
                )

    async def differences(
        self,
        connection: AsyncConnection[Any],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[str]:
        """What in the live copy does not follow from the log, in words. Changes nothing.

        The connection is in a transaction that sees one moment; a copy is built in it and undone.
        """
        cursor = await connection.execute(
            "select position, version from projections where name = %s", (self.projection.name,)
        )
        live, version = await cursor.fetchone() or (0, self.projection.version)
        size = (await read_head(connection)).size
        if live > size:
            return [f"it stands at {live}, beyond the log's end at {size}"]
        if version != self.projection.version:
            return [f"it is of version {version}, this software's is {self.projection.version}"]
        beside = self.projection.schema + VERIFY_SUFFIX
        async with connection.transaction(force_rollback=True):
            await self._create(connection, beside)
            position = 0
            while position < live:
                through = min(live, position + BATCH_EVENTS)
                if await self._catch_up(connection, beside, position, through) < through:
                    return [f"the log has no event {through}"]
                position = through
                progress(position, live)
            return (await self._compare(connection, beside))[1]

    async def _rebuild(
        self, progress: Callable[[int, int], None], record: Record | None
    ) -> Rebuilt:
        beside = self.projection.schema + REBUILD_SUFFIX
        async with self._transaction() as connection:
            await self._create(connection, beside)
        position, size = 0, 1
        while position < size:
            async with self._transaction() as connection:
                events = await read_events(connection, position, BATCH_EVENTS)
                size = (await read_head(connection)).size
                if events:
                    await self._apply(connection, beside, events)
                    position = events[-1].position
            progress(position, size)
        async with self._transaction() as connection:
            # From here the live projector waits: both copies are brought to the same position.
            cursor = await connection.execute(
                "select position, version from projections where name = %s for update",
                (self.projection.name,),
            )
            live, version = await cursor.fetchone() or (0, self.projection.version)
            position = await self._catch_up(connection, beside, position, live)
            same = version == self.projection.version
            if same:
                # Where the rebuilt copy has read further than the live one, the live one follows.
                await self._catch_up(connection, self.projection.schema, live, position)
            before = await digest(connection, self.projection.schema)
            after = await digest(connection, beside)
            number, differences = 0, list[str]()
            if same and before != after:
                number, differences = await self._compare(connection, beside)
            if same and live > position:
                words = (
                    f"{self.projection.name} stood at {live}, beyond the log's end at {position}"
                )
                differences = [words, *differences]
            await connection.execute(
                sql.SQL("drop schema {} cascade").format(sql.Identifier(self.projection.schema))
            )
            await connection.execute(
                sql.SQL("alter schema {} rename to {}").format(
                    sql.Identifier(beside), sql.Identifier(self.projection.schema)
                )
            )
            await self._checkpoint(connection, position)
            rebuilt = Rebuilt(position, before, after, number if same else None, differences)
            if record is not None:
                await record(connection, rebuilt)
        return rebuilt

    async def _catch_up(
        self, connection: AsyncConnection[Any], schema: str, position: int, target: int
    ) -> int:
        while position < target:
            events = await read_events(connection, position, min(BATCH_EVENTS, target - position))
            if not events:
                break
            await self._apply(connection, schema, events)
            position = events[-1].position
        return position

    async def _compare(
        self, connection: AsyncConnection[Any], beside: str
    ) -> tuple[int, list[str]]:
        """How many rows stand in one copy alone, and the first of each table in words."""
        number, differences = 0, list[str]()
        live_tables = await tables_of(connection, self.projection.schema)
        rebuilt_tables = await tables_of(connection, beside)
        for table in sorted({*live_tables, *rebuilt_tables}):
            if table not in rebuilt_tables or table not in live_tables:
                copy = "live" if table in live_tables else "rebuilt"
                number, words = number + 1, f"{table}: the table is only in the {copy} copy"
                differences.append(words)
                continue
            rebuilt, live = (
                sql.SQL("select to_jsonb(t)::text as line from {} t").format(
                    sql.Identifier(schema, table)
                )
                for schema in (beside, self.projection.schema)
            )
            for words, one, other in (
                ("only in the live copy", live, rebuilt),
                ("only in the rebuilt copy", rebuilt, live),
            ):
                query = sql.SQL(
                    "select line, count(*) over () from ({} except all {}) as d order by 1 limit 20"
                ).format(one, other)
                rows = await (await connection.execute(query)).fetchall()
                number += rows[0][1] if rows else 0
                differences += [f"{table}: {words}: {row[0]}" for row in rows]
        return number, differences

    async def _create(self, connection: AsyncConnection[Any], schema: str) -> None:
        await connection.execute(
            sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema))
        )
        await create_tables(connection, self.projection, schema)

    async def _apply(
        self, connection: AsyncConnection[Any], schema: str, events: Iterable[StoredEvent]
    ) -> None:
        told = (recorded(stored, self._types) for stored in events)
        await apply_events(connection, self.projection, schema, told)

    async def _checkpoint(self, connection: AsyncConnection[Any], position: int) -> None:
        await connection.execute(
            "insert into projections (name, version, position) values (%s, %s, %s)"
            " on conflict (name) do update set version = excluded.version,"
            " position = excluded.position, updated_at = now()",
            (self.projection.name, self.projection.version, position),
        )


async def tables_of(connection: AsyncConnection[Any], schema: str) -> list[str]:
    cursor = await connection.execute(
        "select table_name from information_schema.tables where table_schema = %s"
        ' order by table_name collate "C"',
        (schema,),
    )
    return [table for (table,) in await cursor.fetchall()]


async def digest(connection: AsyncConnection[Any], schema: str) -> str:
    """SHA-256 over all rows of all tables of a copy, in hex; the connection is in a transaction.

    Of each table, in the order of their names: its name, a line feed, and the SHA-256 of each row
    as JSON, sorted. The database hashes and sorts, so that memory here stays bounded.
    """
    made = hashlib.sha256()
    for table in await tables_of(connection, schema):
        made.update(f"{table}\n".encode())
        query = sql.SQL(
            "select sha256(convert_to(to_jsonb(t)::text, 'UTF8')) from {} t order by 1"
        ).format(sql.Identifier(schema, table))
        async with connection.cursor("digest") as cursor:
            await cursor.execute(query)
            while found := await cursor.fetchmany(DIGEST_ROWS):
                for (row,) in found:
                    made.update(row)
    return made.hexdigest()


async def create_tables(
    connection: AsyncConnection[Any], projection: Projection, schema: str
) -> None:
    """A new schema with a read model's tables, empty."""
    name = sql.Identifier(schema)
    await connection.execute(sql.SQL("create schema {}").format(name))
    await connection.execute(sql.SQL("set local search_path to {}").format(name))
    await connection.execute(projection.tables.encode())
    await connection.execute("set local search_path to default")


async def apply_events(
    connection: AsyncConnection[Any],
    projection: Projection,
    schema: str,
    events: Iterable[Recorded],
) -> None:
    """What these events do to a read model's tables in that schema."""
    name = sql.Identifier(schema)
    await connection.execute(sql.SQL("set local search_path to {}").format(name))
    async with connection.pipeline():
        for event in events:
            for statement, parameters in projection.apply(event):
                await connection.execute(statement.encode(), parameters)
    await connection.execute("set local search_path to default")


def recorded(stored: StoredEvent, types: EventTypes) -> Recorded:
    document = stored.document
    return Recorded(
        position=stored.position,
        stream=stored.stream,
        id=document["id"],
        actor=document["actor"],
        occurred_at=document["time"],
        recorded_at=document["recordedtime"],
        event=types.parse(document),
    )


async def rows(
    connection: AsyncConnection[Any], query: str, *parameters: Any, **named: Any
) -> list[dict[str, Any]]:
    """The rows of a read model's query, each as a dictionary."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), named or parameters)
        return await cursor.fetchall()
