"""Answers a read, whether the API asks or a screen: one way to what is stored or sealed.

Where a read opens what is sealed, the look is on record before anything is shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import Request

from shared.custody.access import Purpose
from shared.kernel.asof import Moment
from shared.runtime import history
from shared.runtime.manifest import Desk, Problem, ReadRoute
from shared.runtime.performing import desk_of
from shared.runtime.staff import Staff


async def read(
    request: Request,
    staff: Staff,
    route: ReadRoute,
    given: dict[str, str],
    purpose: Purpose | None = None,
) -> tuple[Desk, Any]:
    """The desk that it was read at, and what was found. Raises Problem."""
    desk = replace(desk_of(request, staff), purpose=purpose)
    moment = history.moment_of(staff, given) if route.models else Moment()
    async with request.app.state.office.pool.connection() as connection:
        reading = replace(desk, connection=connection, now=moment.today(desk.now))
        async with history.past(reading, route, moment):
            found = await route.query(reading, given)
    if found is None:
        raise Problem(404, "NOT_FOUND", "Data ini tidak ada.", "Periksa kodenya.")
    if route.opens is not None:
        # Without a connection in hand: recording the look takes one.
        found = await route.opens(desk, found)
    return desk, found
