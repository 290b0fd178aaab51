"""The equations of this office, derived from its log in one pass over one moment of it.

Each read model is held against the derivation when the fold stands where the read model stands.
What was found last is kept, for who can't wait for a fold.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Json

from shared.kernel.asof import bound
from shared.kernel.event import EventTypes, StoredEvent
from shared.kernel.projector import recorded, rows
from shared.kernel.store import read_events, read_head
from shared.runtime.equations import Findings, Sums
from shared.runtime.manifest import Service

BATCH_EVENTS = 1_000
CUSTODY = "pulang.custody."
"""Events of custody move nobody and no rupiah."""


class NotDerived(Exception):
    """The log can't be folded. Nothing was compared."""


async def derive(
    connection: AsyncConnection[Any],
    office: str,
    service: Service,
    types: EventTypes,
    deadline: float | None = None,
) -> Findings:
    """Folds the whole log; writes nothing. `connection` is in no transaction yet, or in one that
    sees one moment. Raises NotDerived, and asof.TooLong beyond the deadline (`time.monotonic`)."""
    found = Findings(office)
    sums = service.sums()
    async with connection.transaction():
        cursor = await connection.execute("show transaction_isolation")
        if await cursor.fetchone() != ("repeatable read",):
            await connection.execute("set transaction isolation level repeatable read, read only")
        waiting = await _positions(connection, service, sums, found)
        found.events = (await read_head(connection)).size
        position = 0
        while True:
            await bound(connection, deadline)
            events = await read_events(connection, position, BATCH_EVENTS)
            for stored in events:
                await _against(connection, sums, waiting, stored.position - 1, found)
                _take(types, sums, stored)
                position = stored.position
            if not events:
                break
        await _against(connection, sums, waiting, position, found)
        for one, whole in sums.equations():
            found.add(one, whole=whole)
    for model, stands in waiting:
        words = f"it stands at {stands}, beyond the log's end at {position}"
        found.differ(model, "projections", model, position, words)
    return found


async def keep(
    connection: AsyncConnection[Any], found: dict[str, Any], made_at: datetime, made_by: str
) -> None:
    """Puts the document of what was derived in the place of the one before.

    A fold that took long does not take the place of one that saw more of the log.
    """
    await connection.execute(
        "insert into equations (made_at, made_by, found) values (%s, %s, %s) on conflict (one)"
        " do update set made_at = excluded.made_at, made_by = excluded.made_by,"
        " found = excluded.found where (excluded.found ->> 'events')::bigint"
        " >= (equations.found ->> 'events')::bigint",
        (made_at, made_by, Json(found)),
    )


async def kept(connection: AsyncConnection[Any]) -> dict[str, Any] | None:
    """The last one: `made_at`, `made_by` and `found`; None where nothing was derived yet."""
    last = await rows(connection, "select made_at, made_by, found from equations")
    return last[0] if last else None


async def _positions(
    connection: AsyncConnection[Any], service: Service, sums: Sums, found: Findings
) -> list[tuple[str, int]]:
    """Where each read model stands, the one that is least far first."""
    versions = {one.name: one.version for one in service.projections}
    cursor = await connection.execute(
        "select name, position, version from projections where name = any(%s)"
        " order by position, name",
        (list(sums.models),),
    )
    stand = await cursor.fetchall()
    found.models = dict.fromkeys(sums.models)
    return [(name, position) for name, position, version in stand if versions[name] == version]


async def _against(
    connection: AsyncConnection[Any],
    sums: Sums,
    waiting: list[tuple[str, int]],
    position: int,
    found: Findings,
) -> None:
    while waiting and waiting[0][1] <= position:
        model, stands = waiting.pop(0)
        found.models[model] = stands
        await sums.against(model, connection, found)


def _take(types: EventTypes, sums: Sums, stored: StoredEvent) -> None:
    if stored.type.startswith(CUSTODY):
        return
    try:
        sums.take(recorded(stored, types))
    except Exception as error:
        raise NotDerived(
            f"event {stored.position} can't be folded ({type(error).__name__}): run"
            " `pulang audit verify`, which says what is wrong with the log"
        ) from error
