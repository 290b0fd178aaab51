"""A rebuild of a read model, and its record: an operator's, and the worker's after an update.

The rebuild writes into the read model's own schemas and its position alone; the one event about
it stands or falls with the switch. Of one that could not be built there is an event too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from psycopg import AsyncConnection, InterfaceError, OperationalError
from pydantic import TypeAdapter, ValidationError

from shared.contracts.values import Line, draw_id
from shared.custody.replay import Outcome, RecordReplay
from shared.kernel.handling import Undecided, Unit
from shared.kernel.hold import Held, read_hold
from shared.kernel.projector import Projector, RebuildRunning, Rebuilt, Record, digest
from shared.kernel.store import Conflict
from shared.runtime.office import VERSION, Office

UPDATED = "Versi baru model baca ini"
"""Why the worker rebuilds."""


class NotReplayed(Exception):
    """The read model is as it was."""


def check_reason(reason: str) -> str:
    """The reason as it goes on the record. Raises NotReplayed where it can't."""
    try:
        return TypeAdapter(Line).validate_python(reason)
    except ValidationError:
        raise NotReplayed(
            "the reason must be one line of at most 200 characters, without a long number:"
            " nothing was rebuilt"
        ) from None


async def replay(
    office: Office,
    projector: Projector,
    run: str,
    reason: str,
    by: str,
    progress: Callable[[int, int], None],
) -> Rebuilt:
    """Rebuilds one read model and puts it on the record.

    Raises NotReplayed, RebuildRunning, and Held where nothing can be put on the record.
    """
    reached = 0

    def noted(done: int, total: int) -> None:
        nonlocal reached
        reached = done
        progress(done, total)

    name = projector.projection.name
    grounds = check_reason(reason)
    async with office.pool.connection() as connection:
        if why := (await read_hold(connection)).why:
            raise Held(why)
    try:
        return await projector.rebuild(noted, _switched(office, projector, run, grounds, by))
    except (OperationalError, InterfaceError, RebuildRunning):
        raise
    except (Conflict, Undecided):
        raise NotReplayed(
            f"{name} could not be put on the record, as others recorded the same thing meanwhile:"
            " the live copy stays as it was; run it again"
        ) from None
    except Exception as error:
        async with office.pool.connection() as connection, connection.transaction():
            live = await digest(connection, projector.projection.schema)
        await _record(office, projector, run, grounds, by, "refused", reached, live)
        raise NotReplayed(
            f"{name} can't be built from this log ({type(error).__name__} after event {reached}):"
            " the live copy stays as it was; call a developer"
        ) from error


def follow(office: Office, projector: Projector) -> Callable[[], Awaitable[int]]:
    """The worker's step; where it builds a newer version, that is on the record."""

    async def step() -> int:
        run = draw_id("RP")
        return await projector.step(_switched(office, projector, run, UPDATED, "worker"))

    return step


def _switched(office: Office, projector: Projector, run: str, grounds: str, by: str) -> Record:
    async def record(connection: AsyncConnection[Any], rebuilt: Rebuilt) -> None:
        outcome: Outcome = "another_version"
        if rebuilt.differing is not None:
            outcome = "different" if rebuilt.differences else "equal"
        last, live = rebuilt.through, rebuilt.live
        await _record(office, projector, run, grounds, by, outcome, last, live, rebuilt, connection)

    return record


async def _record(
    office: Office,
    projector: Projector,
    run: str,
    grounds: str,
    by: str,
    outcome: Outcome,
    last: int,
    live: str,
    rebuilt: Rebuilt | None = None,
    within: AsyncConnection[Any] | None = None,
) -> None:
    now = office.clock()
    command = RecordReplay(
        by=by,
        now=now,
        occurred_at=now,
        read_model=projector.projection.name,
        run=run,
        software=VERSION,
        projection_version=projector.projection.version,
        first=min(1, last),
        last=last,
        live=live,
        rebuilt=rebuilt.rebuilt if rebuilt else None,
        differing=rebuilt.differing if rebuilt else None,
        outcome=outcome,
        grounds=grounds,
    )
    await office.handling.handle([Unit([command])], at=now, actor=by, cause=run, within=within)
