"""Today's page: what waits for whoever opens it. Each line leads to where the work is."""

from __future__ import annotations

from services.province.projections import arrivals, cases, grants, houses
from shared.runtime.manifest import Desk
from shared.runtime.screens import oversight
from shared.runtime.screens.screen import Loaded, Screen
from shared.runtime.staff import ROLES_OF

ARRIVALS_SHOWN = 10


async def today(desk: Desk, _: dict[str, str]) -> Loaded:
    reading, roles = desk.reading, desk.staff.roles
    meets = roles & {"reception", "case_worker", "auditor"}
    works = roles & {"case_worker", "admin"}
    return {
        "arrivals": await arrivals.page(reading, "waiting", ARRIVALS_SHOWN, 0)
        if "reception" in roles
        else [],
        "waiting": await cases.waiting(reading, desk.staff.username) if works else {},
        "grants": await grants.open_ones(reading) if "case_worker" in roles else 0,
        "waits": await oversight.waiting(desk),
        "houses": await houses.houses(reading) if meets or "admin" in roles else None,
    }


TODAY = Screen("/", "today.html", ROLES_OF["province"], today, menu="Hari ini")
