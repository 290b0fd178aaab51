"""Today's page: what waits for whoever opens it. Each line leads to where the work is.

It asks for a bounded number of operations, in a few queries however many people there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.city.projections import board, handovers, holdings, ledger, readiness
from services.city.web.screens.money import due
from services.city.web.screens.money import today as day_of
from shared.runtime.manifest import Desk
from shared.runtime.screens import oversight
from shared.runtime.screens.screen import Loaded, Screen
from shared.runtime.staff import ROLES_OF

OPERATIONS_LOOKED_AT = 20
PHASES = {
    "draft": "issuer",
    "submitted": "approver",
    "approved": "issuer",
    "issued": "issuer",
}
"""Phase of a handover → who acts next."""


async def today(desk: Desk, _: dict[str, str]) -> Loaded:
    roles, connection = desk.staff.roles, desk.reading
    phases = await handovers.waiting(connection)
    newest = await board.newest_codes(connection, OPERATIONS_LOOKED_AT)
    money: Mapping[str, list[dict[str, Any]]] = {"grants": [], "advances": []}
    if "treasurer" in roles:
        money = await holdings.waiting(connection)
    return {
        "phases": {
            phase: phases[phase]
            for phase, role in PHASES.items()
            if role in roles and phases.get(phase)
        },
        "unready": await readiness.unready(connection, desk.settings.partners, OPERATIONS_LOOKED_AT)
        if roles & {"intake", "issuer"}
        else [],
        "differences": await _differences(desk, newest) if roles & {"approver", "auditor"} else [],
        "grants": money["grants"],
        "advances": [one | {"due": due(desk, one["since"])} for one in money["advances"]],
        "today": day_of(desk),
        "waits": await oversight.waiting(desk),
        "operations": bool(newest),
    }


async def _differences(desk: Desk, operations: list[str]) -> list[dict[str, Any]]:
    """How many discrepancies of these operations nobody has explained."""
    more = await ledger.findings_of(desk.reading, operations)
    found = await board.boards(desk.reading, operations, more)
    numbers = {
        code: sum(one["open"] for one in found[code]["discrepancies"])
        for code in operations
        if code in found
    }
    return [{"operation": code, "number": number} for code, number in numbers.items() if number]


TODAY = Screen("/", "today.html", ROLES_OF["city"], today, menu="Hari ini")
