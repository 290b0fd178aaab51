"""An operator's rebuild of a read model, and its record.

The rebuild writes into the read model's own schemas and its position alone; the one event, about
it, comes after the switch. Cut off in between, it leaves no record.
"""

from __future__ import annotations

from collections.abc import Callable

from psycopg import InterfaceError, OperationalError
from pydantic import TypeAdapter, ValidationError

from shared.contracts.values import Line
from shared.custody.replay import Outcome, RecordReplay
from shared.kernel.handling import Unit
from shared.kernel.hold import Held, read_hold
from shared.kernel.projector import Projector, RebuildRunning, Rebuilt, digest
from shared.runtime.metrics import VERSION
from shared.runtime.office import Office


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
        rebuilt = await projector.rebuild(noted)
    except (OperationalError, InterfaceError, RebuildRunning):
        raise
    except Exception as error:
        async with office.pool.connection() as connection, connection.transaction():
            live = await digest(connection, projector.projection.schema)
        await _record(office, projector, run, grounds, by, "refused", reached, live)
        raise NotReplayed(
            f"{name} can't be built from this log ({type(error).__name__} after event {reached}):"
            " the live copy stays as it was; call a developer"
        ) from error
    outcome: Outcome = "another_version"
    if rebuilt.differing is not None:
        outcome = "different" if rebuilt.differences else "equal"
    last, live = rebuilt.through, rebuilt.live
    await _record(office, projector, run, grounds, by, outcome, last, live, rebuilt)
    return rebuilt


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
    await office.handling.handle([Unit([command])], at=now, actor=by, cause=run)
