"""Today's page: what waits for whoever opens it. Each line leads to where the work is."""

from __future__ import annotations

from services.province.projections import arrivals, cases, grants, houses
from services.province.web.reads import STAFF
from shared.runtime.manifest import Desk
from shared.runtime.screens import oversight
from shared.runtime.screens.screen import Loaded, Screen
from shared.runtime.staff import ROLES_OF

ARRIVALS_SHOWN = 10


async def today(desk: Desk, _: dict[str, str]) -> Loaded:
    reading, roles = desk.reading, desk.staff.roles
    meets = roles & STAFF
    beds = await houses.houses(reading) if meets or "admin" in roles else None
    works = roles & {"case_worker", "admin"}
    return {
        "arrivals": await arrivals.page(reading, "waiting", ARRIVALS_SHOWN, 0)
        if "reception" in roles
        else [],
        "waiting": await cases.waiting(reading, desk.staff.username) if works else {},
        "grants": await grants.open_ones(reading) if "case_worker" in roles else 0,
        "waits": await oversight.waiting(desk),
        # An admin is told where there is none yet, and not how full one is.
        "houses": beds if meets or not beds else None,
    }


TODAY = Screen("/", "today.html", ROLES_OF["province"], today, menu="Hari ini")
