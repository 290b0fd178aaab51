"""Operations: the list, the board with its picture, and the people behind each number."""

from __future__ import annotations

import re
from typing import Any

from services.city.domain.beneficiary import WillingnessWithdrawn
from services.city.projections import board, holdings, ledger
from services.city.web.reads import MONEY, STAFF, TEXTS
from services.city.web.screens.flow import flow
from shared.runtime import custody
from shared.runtime.manifest import Desk
from shared.runtime.screens.language import gettext, rupiah
from shared.runtime.screens.paging import PAGE_ROWS, offset_of, page_of, person_asked
from shared.runtime.screens.reasons import open_reason, sealed_reasons
from shared.runtime.screens.screen import Act, Loaded, Screen, Step

FLAGS = {"ya": True, "tidak": False}
PERSON = re.compile(r"PM-[0-9A-HJKMNP-TV-Z]{10}")


async def operations(desk: Desk, given: dict[str, str]) -> Loaded:
    rows = await board.newest(desk.reading, PAGE_ROWS, offset_of(given))
    return {"page": page_of(rows, given)}


async def one_board(desk: Desk, given: dict[str, str]) -> Loaded | None:
    more = await ledger.findings(desk.reading, given["operation"])
    found = await board.board(desk.reading, given["operation"], more, _said)
    if found is None:
        return None
    groups: list[dict[str, Any]] = found["by_destination"]
    destinations = sorted(
        {group["destination"] for group in groups}, key=lambda one: (one == "undetermined", one)
    )
    return found | {
        "sees_money": bool(desk.staff.roles & MONEY),
        "flow": flow(groups),
        "destinations": [
            {
                "destination": destination,
                "persons": sum(g["persons"] for g in groups if g["destination"] == destination),
                "groups": [g for g in groups if g["destination"] == destination],
            }
            for destination in destinations
        ],
        "partners": desk.settings.partners,
        "unlinked": [
            (group["destination"], group["persons"])
            for group in groups
            if group["listed"]
            and group["state"] == "assigned"
            and group["destination"] not in desk.settings.partners
        ],
        "unlisted": sum(group["persons"] for group in groups if not group["listed"]),
    }


def _said(sentence: str, shown: board.Figures) -> str:
    """A discrepancy in the language of this request."""
    return board.said(gettext(sentence, shown.get("number")), shown, rupiah)


async def people(desk: Desk, given: dict[str, str]) -> Loaded | None:
    operation = given["operation"]
    if await holdings.entitlement(desk.reading, operation) is None:
        return None
    asked = person_asked(given)
    found: dict[str, Any] | None = None
    if asked:
        if PERSON.fullmatch(asked):
            found = await board.one(desk.reading, asked)
        rows = [found | {"of": 1}] if found and found["operation"] == operation else []
    else:
        rows = await board.some(
            desk.reading,
            operation,
            destination=given.get("tujuan"),
            state=given.get("keadaan"),
            willing=FLAGS.get(given.get("bersedia", "")),
            listed=FLAGS.get(given.get("terdaftar", "")),
            limit=PAGE_ROWS,
            offset=offset_of(given),
        )
    return {
        "operation": operation,
        "page": page_of(rows, given, "tujuan", "keadaan", "bersedia", "terdaftar"),
        "asked": asked,
        "given": given,
        "destinations": (*desk.settings.partners, "undetermined"),
    }


async def person(desk: Desk, given: dict[str, str]) -> Loaded | None:
    found = await board.one(desk.reading, given["person"])
    if found is None:
        return None
    more = {"partners": desk.settings.partners, "sees_money": bool(desk.staff.roles & MONEY)}
    reasons = await sealed_reasons(desk, [f"beneficiary-{given['person']}"], [WillingnessWithdrawn])
    more |= {"reasons": reasons}
    return {"one": found, "erased": bool(await custody.erased(desk, [given["person"]]))} | more


OPERATIONS = Screen(
    "/kegiatan",
    "operations.html",
    STAFF,
    operations,
    acts={"open": Act("/operations", "/kegiatan/{operation}")},
    optional=("halaman",),
    menu="Kegiatan",
)
BOARD = Screen(
    "/kegiatan/{operation}",
    "board.html",
    STAFF,
    one_board,
    models=(board.projection, ledger.projection),
    acts={
        "claim": Act("/operations/{operation}/claims"),
        "explain": Act("/operations/{operation}/explanations"),
    },
)
PEOPLE = Screen(
    "/kegiatan/{operation}/orang",
    "people.html",
    STAFF,
    people,
    optional=("tujuan", "keadaan", "bersedia", "terdaftar", "cari", "halaman"),
)
PERSON_SCREEN = Screen(
    "/penerima-manfaat/{person}",
    "person.html",
    STAFF,
    person,
    acts={
        "destination": Act("/beneficiaries/{person}/destination"),
        "willing": Act("/beneficiaries/{person}/willingness"),
        "unwilling": Act("/beneficiaries/{person}/willingness-withdrawal"),
        "protect": Act("/beneficiaries/{person}/protection-path"),
        "break_glass": Act("/beneficiaries/{person}/break-glass"),
    },
    openings={"identity": "/beneficiaries/{person}/identity"},
    steps={"reason": Step(TEXTS["beneficiary"], open_reason)},
)
