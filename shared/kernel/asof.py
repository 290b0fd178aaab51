"""As of a time, on both axes: read models as they were known then, and as they were true then.

*Known at* asks what had been recorded by a time, *true at* what had occurred by it, whenever it was
recorded, with every correction heeded (`shared.kernel.correction`); both together, what was known
at one time of another. The read models asked for are built from the log into schemas of their own,
read, and rolled back, all in one transaction: nothing stays, nobody else sees or waits for
anything, and the role that does it needs no right that it has not.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import IntegrityError, QueryCanceled

from shared.kernel.correction import Corrections, Pair, Truth, counted, pairs
from shared.kernel.event import EventTypes, StoredEvent
from shared.kernel.projector import (
    BATCH_EVENTS,
    Projection,
    apply_events,
    create_tables,
    recorded,
    rows,
)

SECONDS = 20.0
"""How long one may take, where an office has set nothing else."""

AT_ONCE = 2
"""How many read at once at one office: each keeps a connection, and a core, busy."""

SLOT_LOCK = 53710010
NEIGHBOURS = 8
"""How far from an event what was decided in one step with it, for one person, can stand."""

READ_MODEL = re.compile(r"\brm_(\w+)\.")


@dataclass(frozen=True, slots=True)
class Moment:
    """A time on the axis of recording, one on the axis of occurrence; None is no bound."""

    known_at: datetime | None = None
    true_at: datetime | None = None

    def today(self, now: datetime) -> datetime:
        """The time that a read model's questions about today are meant for, on the same clock."""
        return (self.true_at or self.known_at or now).astimezone(now.tzinfo)


class TooLong(Exception):
    """Building the read models as of that time took longer than it may."""


class Busy(Exception):
    """As many as may are reading as of a time just now."""


class Untold(Exception):
    """What counts at that time contradicts itself: events carry times that can't be right."""


@asynccontextmanager
async def past(
    connection: AsyncConnection[Any],
    projections: Sequence[Projection],
    types: EventTypes,
    corrections: Corrections,
    moment: Moment,
    seconds: float = SECONDS,
) -> AsyncIterator[None]:
    """Inside, whatever reads these read models on this connection reads them as of the moment.

    Raises TooLong, Busy and Untold. A query that names any other read model is an error: it would
    mix two times.
    """
    deadline = time.monotonic() + seconds
    live = connection.cursor_factory
    try:
        async with connection.transaction(force_rollback=True):
            # One snapshot: what is recorded meanwhile belongs to no batch.
            await connection.execute("set transaction isolation level repeatable read")
            schemas = await _schemas(connection, projections)
            await bound(connection, deadline)
            for projection in projections:
                await create_tables(connection, projection, schemas[projection.name])
            await _build(connection, projections, schemas, types, corrections, moment, deadline)
            connection.cursor_factory = _reading_from(schemas, deadline)
            yield
    except QueryCanceled:
        raise TooLong from None
    except IntegrityError as error:
        raise Untold(type(error).__name__) from None
    finally:
        connection.cursor_factory = live


async def truth(
    connection: AsyncConnection[Any],
    types: EventTypes,
    corrections: Corrections,
    known_at: datetime | None = None,
    deadline: float | None = None,
) -> Truth:
    """What the corrections that were recorded by then change on the axis of occurrence.

    With a deadline, on the clock of `time.monotonic`, it raises TooLong, and leaves what is left of
    it to the next statement.
    """
    streams: set[str] = set()
    correcting = [event.type for event in corrections.correcting]
    position = 0
    while batch := await rows(
        connection,
        "select position, stream, version, type, body from events where position > %s"
        " and type = any(%s) and (%s::timestamptz is null or recorded_at <= %s)"
        " order by position limit %s",
        position,
        correcting,
        known_at,
        known_at,
        BATCH_EVENTS,
    ):
        position = batch[-1]["position"]
        for stored in (StoredEvent(**row) for row in batch):
            citation = corrections.cite(types.parse(stored.document))
            if citation is not None and citation.corrects is not None:
                streams.add(stored.stream)
        await bound(connection, deadline)
    found: list[Pair] = []
    for stream in sorted(streams):
        found += await _pairs_of(connection, stream, types, corrections, known_at)
        await bound(connection, deadline)
    told = await _counted(connection, found, deadline)
    await bound(connection, deadline)
    return told


async def _pairs_of(
    connection: AsyncConnection[Any],
    stream: str,
    types: EventTypes,
    corrections: Corrections,
    known_at: datetime | None,
) -> list[Pair]:
    """A stream is what its decider reads whole for every command: it has its bound there."""
    events = await rows(
        connection,
        "select position, stream, version, type, body from events where stream = %s"
        " and (%s::timestamptz is null or recorded_at <= %s) order by version",
        stream,
        known_at,
        known_at,
    )
    stored = [StoredEvent(**row) for row in events]
    return pairs((one.position, corrections.cite(types.parse(one.document))) for one in stored)


async def _counted(
    connection: AsyncConnection[Any], found: Sequence[Pair], deadline: float | None
) -> Truth:
    times = await rows(
        connection,
        "select position, occurred_at from events where position = any(%s)",
        [pair.correction for pair in found],
    )
    occurred: dict[int, datetime] = {row["position"]: row["occurred_at"] for row in times}
    together: dict[int, list[int]] = {}
    cited = sorted({position for pair in found for position in pair.cited})
    for at in range(0, len(cited), BATCH_EVENTS // NEIGHBOURS):
        part = cited[at : at + BATCH_EVENTS // NEIGHBOURS]
        near = await rows(
            connection,
            "select position, occurred_at, body from events where position = any(%s)",
            sorted({one for p in part for one in range(p - NEIGHBOURS, p + NEIGHBOURS + 1)}),
        )
        steps = {row["position"]: _step(row["body"]) for row in near}
        own = {row["position"]: row["occurred_at"] for row in near}
        for position in part:
            together[position] = _neighbours(position, steps)
            # Of all that stands near only what counts is kept.
            occurred |= {one: own[one] for one in (position, *together[position])}
        await bound(connection, deadline)
    return counted(found, occurred, together)


def _step(body: bytes) -> tuple[str, str | None]:
    """What caused an event, and whom it is about: the same in all of one step for one person."""
    document = json.loads(body)
    return document["causationid"], document["data"].get("person")


def _neighbours(position: int, steps: Mapping[int, tuple[str, str | None]]) -> list[int]:
    step = steps[position]
    if step[1] is None:
        return []
    found = []
    for direction in (-1, 1):
        near = position + direction
        while steps.get(near) == step:
            found.append(near)
            near += direction
    return found


async def _schemas(
    connection: AsyncConnection[Any], projections: Sequence[Projection]
) -> dict[str, str]:
    """The names of the schemas for one reading, which is alone with its number."""
    number = await slot(connection)
    return {one.name: f"{one.schema}__asof_{number}" for one in projections}


async def slot(connection: AsyncConnection[Any]) -> int:
    """A place among those who may read the log from its beginning at once, until the transaction's
    end. Raises Busy."""
    for number in range(AT_ONCE):
        cursor = await connection.execute(
            "select pg_try_advisory_xact_lock(%s, %s)", (SLOT_LOCK, number)
        )
        if await cursor.fetchone() == (True,):
            return number
    raise Busy


async def _build(
    connection: AsyncConnection[Any],
    projections: Sequence[Projection],
    schemas: Mapping[str, str],
    types: EventTypes,
    corrections: Corrections,
    moment: Moment,
    deadline: float,
) -> None:
    moved: Mapping[int, datetime] = {}
    if moment.true_at is not None:
        told = await truth(connection, types, corrections, moment.known_at, deadline)
        moved = told.counts_from
    bounds = {
        "batch": BATCH_EVENTS,
        "known_at": moment.known_at,
        "true_at": moment.true_at,
        "early": [p for p, at in moved.items() if moment.true_at and at <= moment.true_at],
        "late": [p for p, at in moved.items() if moment.true_at and at > moment.true_at],
    }
    position = 0
    while batch := await _batch(connection, bounds | {"after": position}):
        position = batch[-1].position
        events = [recorded(stored, types) for stored in batch]
        for projection in projections:
            await apply_events(connection, projection, schemas[projection.name], events)
        await bound(connection, deadline)


async def _batch(
    connection: AsyncConnection[Any], parameters: Mapping[str, Any]
) -> list[StoredEvent]:
    cursor = await connection.execute(
        "select position, stream, version, type, body from events where position > %(after)s"
        " and (%(known_at)s::timestamptz is null or recorded_at <= %(known_at)s)"
        " and (%(true_at)s::timestamptz is null or position = any(%(early)s::bigint[])"
        " or (occurred_at <= %(true_at)s and position <> all(%(late)s::bigint[])))"
        " order by position limit %(batch)s",
        parameters,
    )
    return [StoredEvent(*row) for row in await cursor.fetchall()]


async def bound(connection: AsyncConnection[Any], deadline: float | None) -> None:
    """No statement from here on goes beyond the deadline. Raises TooLong where it has passed."""
    if deadline is None:
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TooLong
    # Not by the connection's own kind of cursor: that may be one which comes here.
    await AsyncCursor(connection).execute(
        "select set_config('statement_timeout', %s, true)", (f"{max(1, round(left * 1000))}ms",)
    )


def _reading_from(schemas: Mapping[str, str], deadline: float) -> type[AsyncCursor[Any]]:
    """Cursors that read each read model from another schema than the live one, in time.

    So the read models' queries, which name the live schemas, stay as they are.
    """

    def there(match: re.Match[str]) -> str:
        if match[1] not in schemas:
            raise LookupError(f"{match[1]} was not asked for as of this time")
        return f"{schemas[match[1]]}."

    class PastCursor(AsyncCursor[Any]):
        async def execute(self, query: Any, *arguments: Any, **more: Any) -> Any:
            text = query.decode() if isinstance(query, bytes) else query
            if not isinstance(text, str):
                raise TypeError("a read model is read by a query in plain text")
            moved = READ_MODEL.sub(there, text)
            await bound(self.connection, deadline)
            return await super().execute(moved.encode(), *arguments, **more)

    return PastCursor
