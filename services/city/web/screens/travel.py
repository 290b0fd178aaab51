"""Travel money of an operation: what was given, spent with receipts, paid back by STS, and is left.

`released = spent + returned + outstanding` stands on the page, in words and in rupiah (rule 13).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from services.city.projections import holdings
from services.city.web.commands import TREASURER
from services.city.web.imports import FareRow, ReleaseRow
from services.city.web.reads import MONEY
from services.city.web.screens import tables
from services.city.web.screens.money import by_state, due, today
from shared.runtime.manifest import Desk
from shared.runtime.screens.screen import Act, Loaded, Screen

TEMPLATE_ROWS = 1_000
RELEASE = {
    "person": "PM-0000000000", "release": "SP2D/2019/10/001", "budget_code": "5.2.2.15.01",
    "amount_rupiah": "2.000.000",
}  # fmt: skip
FARE = {"person": "PM-0000000000", "receipt": "KW/2019/10/001", "amount_rupiah": "1.750.000"}
PARTS = ("released", "spent", "returned", "outstanding")


async def advances(desk: Desk, given: dict[str, str]) -> Loaded | None:
    connection, operation = desk.reading, given["operation"]
    found = await holdings.entitlement(connection, operation)
    if found is None:
        return None
    states = await holdings.advance_states(connection, operation)
    listed = await by_state(desk, given, states, holdings.ADVANCE_STATES, holdings.advances)
    return listed | {
        "operation": found,
        "sums": {part: sum(one[part] for one in states.values()) for part in PARTS},
        "unfiled": sum(one["unfiled"] for one in states.values()),
        "due": due_of(desk, states),
        "today": today(desk),
    }


def due_of(desk: Desk, states: Mapping[str, Any]) -> Any:
    """When the oldest advance that is not settled is due."""
    since = [one["since"] for state, one in states.items() if state != "settled"]
    return due(desk, min(since)) if since else None


async def _table(desk: Desk, given: dict[str, str], kind: str) -> Loaded | None:
    found = await holdings.entitlement(desk.reading, given["operation"])
    return {"operation": found, "kind": kind} if found else None


async def releases(desk: Desk, given: dict[str, str]) -> Loaded | None:
    return await _table(desk, given, "release")


async def receipts(desk: Desk, given: dict[str, str]) -> Loaded | None:
    return await _table(desk, given, "fare")


async def release_template(desk: Desk, given: dict[str, str]) -> Response:
    """With a line for each person who was given nothing yet."""
    persons = await holdings.without_advance(desk.reading, given["operation"], TEMPLATE_ROWS)
    return tables.template(ReleaseRow, [{"person": one} for one in persons] or [RELEASE])


async def receipt_template(desk: Desk, given: dict[str, str]) -> Response:
    """With a line for each person whose ticket has no receipt yet."""
    rows = await holdings.advances(desk.reading, given["operation"], "unspent", limit=TEMPLATE_ROWS)
    return tables.template(FareRow, [{"person": one["person"]} for one in rows] or [FARE])


ADVANCES = Screen(
    "/uang/{operation}/tiket",
    "advances.html",
    MONEY,
    advances,
    optional=("keadaan", "cari", "halaman"),
)
RELEASES = Screen(
    "/uang/{operation}/tiket/cairkan",
    "money_table.html",
    TREASURER,
    releases,
    acts={
        "import": Act(
            "/operations/{operation}/advances", "/uang/{operation}/tiket", tables.many_rows
        )
    },
    previews={"preview": tables.preview(ReleaseRow, tuple(ReleaseRow.model_fields))},
)
RELEASE_TEMPLATE = Screen("/uang/{operation}/tiket/cairkan/contoh", "", TREASURER, release_template)
RECEIPTS = Screen(
    "/uang/{operation}/tiket/kuitansi",
    "money_table.html",
    TREASURER,
    receipts,
    acts={
        "import": Act("/operations/{operation}/fares", "/uang/{operation}/tiket", tables.many_rows)
    },
    # Why a fare is above the ceiling is free text about her: it is sealed, and not shown.
    previews={"preview": tables.preview(FareRow, ("person", "receipt", "amount_rupiah"))},
)
RECEIPT_TEMPLATE = Screen(
    "/uang/{operation}/tiket/kuitansi/contoh", "", TREASURER, receipt_template
)
