"""The ministry's grants of an operation: everybody by state, and the bank's file."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from services.city.projections import holdings
from services.city.web.commands import TREASURER
from services.city.web.imports import CreditRow
from services.city.web.reads import MONEY
from services.city.web.screens import tables
from services.city.web.screens.money import by_state
from shared.runtime.manifest import Desk
from shared.runtime.screens.screen import Act, Loaded, Screen

TEMPLATE_ROWS = 1_000
# Why a credit came back is free text about her: it is sealed, and not shown.
COLUMNS = tuple(name for name in CreditRow.model_fields if name != "reason")
EXAMPLE = {
    "person": "PM-0000000000", "reference": "BRI/2019/10/0001", "status": "masuk",
    "amount_rupiah": "6.000.000", "credited_on": "2019-10-02",
}  # fmt: skip


async def grants(desk: Desk, given: dict[str, str]) -> Loaded | None:
    connection, operation = desk.reading, given["operation"]
    found = await holdings.entitlement(connection, operation)
    if found is None:
        return None
    states = await holdings.grant_states(connection, operation)
    listed = await by_state(desk, given, states, holdings.GRANT_STATES, holdings.grants)
    standing = sum(one["rupiah"] for one in states.values())
    return listed | {"operation": found, "standing": standing}


async def bank_file(desk: Desk, given: dict[str, str]) -> Loaded | None:
    found = await holdings.entitlement(desk.reading, given["operation"])
    return {"operation": found, "kind": "bank"} if found else None


async def template(desk: Desk, given: dict[str, str]) -> Response | None:
    """With a line for each person to whom nothing was credited yet."""
    found = await holdings.entitlement(desk.reading, given["operation"])
    if found is None:
        return None
    waiting = await holdings.grants(desk.reading, found["operation"], "none", limit=TEMPLATE_ROWS)
    amount = found["grant_rupiah"]
    lines: list[dict[str, Any]] = [
        {"person": one["person"], "status": "masuk", "amount_rupiah": amount} for one in waiting
    ]
    return tables.template(CreditRow, lines or [EXAMPLE])


GRANTS = Screen(
    "/uang/{operation}/bantuan",
    "grants.html",
    MONEY,
    grants,
    optional=("keadaan", "cari", "halaman"),
)
BANK_FILE = Screen(
    "/uang/{operation}/bantuan/impor",
    "money_table.html",
    TREASURER,
    bank_file,
    acts={
        "import": Act(
            "/operations/{operation}/bank-file", "/uang/{operation}/bantuan", tables.many_rows
        )
    },
    previews={"preview": tables.preview(CreditRow, COLUMNS)},
)
BANK_TEMPLATE = Screen("/uang/{operation}/bantuan/impor/contoh", "", TREASURER, template)
