"""The city's money: both ledgers of each operation, and one person's. The two never net."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from services.city.domain.advance import FareCorrected, FareRecorded, ReceiptAttached
from services.city.domain.grant import GrantFailed, GrantReturned
from services.city.projections import holdings, ledger
from services.city.web.imports import CreditRow, ReleaseRow
from services.city.web.reads import MONEY, TEXTS
from services.city.web.screens import tables
from shared.runtime import custody
from shared.runtime.manifest import Desk
from shared.runtime.screens.paging import PAGE_ROWS, offset_of, page_of, person_asked
from shared.runtime.screens.reasons import open_reason, sealed_reasons
from shared.runtime.screens.screen import Act, Loaded, Screen, Step

OPERATIONS_ON_A_PAGE = PAGE_ROWS
WITH_REASON = (GrantFailed, GrantReturned, FareRecorded, FareCorrected, ReceiptAttached)


def due(desk: Desk, since: datetime) -> date:
    """By which day what is left of an advance is to be back at the treasury."""
    return (
        since.astimezone(desk.settings.zone) + timedelta(days=desk.settings.surplus_days)
    ).date()


def today(desk: Desk) -> date:
    return desk.now.astimezone(desk.settings.zone).date()


async def by_state(
    desk: Desk,
    given: Mapping[str, str],
    states: Mapping[str, Any],
    order: Sequence[str],
    some: Callable[..., Awaitable[list[dict[str, Any]]]],
) -> dict[str, Any]:
    """A page of an operation's people: all of them, those of one state, or the one searched for."""
    state, asked = given.get("keadaan") or None, person_asked(given)
    place = (None, asked, PAGE_ROWS) if asked else (state, None, PAGE_ROWS, offset_of(given))
    rows = await some(desk.reading, given["operation"], *place)
    counted = states if state is None else {state: states.get(state)}
    of = len(rows) if asked else sum(one["persons"] for one in counted.values() if one)
    return {
        "states": states,
        "order": order,
        "persons": sum(one["persons"] for one in states.values()),
        "page": page_of(rows, given, "keadaan", of=of),
        "state": state or "",
        "asked": asked,
    }


async def overview(desk: Desk, given: dict[str, str]) -> Loaded:
    rows = await holdings.overview(desk.reading, OPERATIONS_ON_A_PAGE, offset_of(given))
    return {"page": page_of(rows, given)}


async def of_person(desk: Desk, given: dict[str, str]) -> Loaded | None:
    found = await holdings.money_of(desk.reading, given["person"])
    if found is None:
        return None
    advance: Mapping[str, Any] | None = found["advance"]
    credits_ = found["credits"]
    streams = [f"grant-{given['person']}", f"advance-{given['person']}"]
    receipts = [one for one in found["papers"] if one["kind"] == "spent"]
    erased = bool(await custody.erased(desk, [given["person"]]))
    if erased:
        # A reason or a file would be sealed under her key, which is gone: none is asked for.
        receipts, credits_ = [], []
    return found | {
        "erased": erased,
        "reasons": await sealed_reasons(desk, streams, WITH_REASON),
        "due": due(desk, advance["since"]) if advance and advance["outstanding_rupiah"] else None,
        "today": today(desk),
        "receipts": receipts,
        "openable": [one for one in receipts if one["file_kind"] not in (None, ledger.ERASED)],
        "may_open": bool(desk.staff.roles & TEXTS["advance"]),
        "standing": [one for one in credits_ if one["standing_rupiah"]],
        "failable": [one for one in credits_ if not one["failed"] and not one["returned_rupiah"]],
        "replaceable": [one for one in found["credits"] if not one["standing_rupiah"]],
    }


MONEY_SCREEN = Screen(
    "/uang", "money.html", MONEY, overview, optional=("halaman",), menu="Keuangan"
)
PERSON_MONEY = Screen(
    "/penerima-manfaat/{person}/uang",
    "person_money.html",
    MONEY,
    of_person,
    acts={
        "credit": Act("/operations/{operation}/bank-file", body=tables.one_row(CreditRow)),
        "fail": Act("/beneficiaries/{person}/grant-failures"),
        "return": Act("/beneficiaries/{person}/grant-returns"),
        "release": Act("/operations/{operation}/advances", body=tables.one_row(ReleaseRow)),
        "fare": Act("/beneficiaries/{person}/fares"),
        "correct": Act("/beneficiaries/{person}/fare-corrections"),
        "attach": Act("/beneficiaries/{person}/receipt-files"),
    },
    openings={"receipt_file": "/beneficiaries/{person}/receipt-file"},
    steps={"reason": Step(TEXTS["grant"] | TEXTS["advance"], open_reason)},
)
