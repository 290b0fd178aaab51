"""Today's page: what waits for whoever opens it. Each line leads to where the work is."""

from __future__ import annotations

from services.city.projections import board, handovers, ledger
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
    roles = desk.staff.roles
    phases = await handovers.waiting(desk.reading)
    open_differences = []
    if roles & {"approver", "auditor"}:
        newest = (await board.operations(desk.reading))[-OPERATIONS_LOOKED_AT:]
        for operation in newest:
            code = operation["operation"]
            more = await ledger.findings(desk.reading, code)
            found = await board.board(desk.reading, code, more) or {"discrepancies": []}
            number = sum(one["open"] for one in found["discrepancies"])
            if number:
                open_differences.append({"operation": code, "number": number})
    return {
        "phases": {
            phase: phases[phase]
            for phase, role in PHASES.items()
            if role in roles and phases.get(phase)
        },
        "unready": await board.unready(desk.reading) if roles & {"intake", "issuer"} else [],
        "differences": open_differences,
        "waits": await oversight.waiting(desk),
        "operations": bool(await board.operations(desk.reading)),
    }


TODAY = Screen("/", "today.html", ROLES_OF["city"], today, menu="Hari ini")
