"""Who is ready for a handover, and for how many something is missing yet: queries of the board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from shared.kernel.projector import rows

READY = (
    " from rm_board.person where operation = %(operation)s and destination = %(office)s"
    " and willing and listed and identity is not null and handover is null and received_in is null"
    " and state in ('assigned', 'absent', 'diverted')"
)


async def ready(
    connection: AsyncConnection[Any],
    operation: str,
    office: str,
    limit: int,
    offset: int = 0,
    person: str | None = None,
) -> list[dict[str, Any]]:
    """Who can be put on a handover to that office: willing, not erased, on no other, and not
    there yet.

    `waiting` is how many of them never left; who did not arrive may go again.
    """
    return await rows(
        connection,
        "select person, origin, since, state, count(*) over ()::int as of,"
        " (count(*) filter (where state = 'assigned') over ())::int as waiting" + READY + " and"
        " (%(person)s::text is null or person = %(person)s)"
        " order by person limit %(limit)s offset %(offset)s",
        operation=operation,
        office=office,
        person=person,
        limit=limit,
        offset=offset,
    )


async def all_ready(
    connection: AsyncConnection[Any], operation: str, office: str, limit: int
) -> list[str]:
    """The codes of those who never left, so that all of them can be taken at once."""
    found = await rows(
        connection,
        "select person" + READY + " and state = 'assigned' order by person limit %(limit)s",
        operation=operation,
        office=office,
        limit=limit,
    )
    return [row["person"] for row in found]


async def unready(
    connection: AsyncConnection[Any], partners: Sequence[str], limit: int
) -> list[dict[str, Any]]:
    """For some operations, how many have no destination yet, or have not said that they will.

    `unlinked` are those whose destination is no partner: no handover can take them there.

    Only those who wait are looked at, by an index: most of all people ever have left long ago.
    """
    return await rows(
        connection,
        "select operation, count(*) filter (where state = 'undetermined')::int as undetermined,"
        " count(*) filter (where state = 'assigned' and not willing)::int as unwilling,"
        " count(*) filter (where state = 'assigned' and willing and handover is null"
        " and destination = any(%(partners)s))::int as ready,"
        " count(*) filter (where state = 'assigned' and handover is null"
        " and destination <> all(%(partners)s))::int as unlinked"
        " from rm_board.person where listed and identity is not null"
        " and state in ('undetermined', 'assigned')"
        " group by operation order by operation limit %(limit)s",
        partners=list(partners),
        limit=limit,
    )
