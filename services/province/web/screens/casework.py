"""Cases: the list, one case with her wishes first, who is assigned to it, and her grant."""

from __future__ import annotations

import re
from typing import Any, get_args

from services.province.projections import cases, grants
from services.province.web.commands import ADMIN
from services.province.web.reads import CASEWORK
from shared.contracts.values import CaseStatus
from shared.kernel.projector import rows
from shared.runtime import custody
from shared.runtime.manifest import Desk
from shared.runtime.screens.paging import PAGE_ROWS, offset_of, page_of
from shared.runtime.screens.screen import Act, Loaded, Screen, Texts

PERSON = re.compile(r"PM-[0-9A-HJKMNP-TV-Z]{10}")
STATUSES: tuple[str, ...] = get_args(CaseStatus)
IN_HOUSE = frozenset({"in_house", "assessed", "in_training", "ready"})
PREPARED = IN_HOUSE | {"declined_by_family"}
GONE = frozenset({"returned_to_family", "left_house", "follow_up"})
ANSWERS = ("open", "confirmed", "disputed", "gone")
WORKERS_SHOWN = 200


async def all_of_them(desk: Desk, given: dict[str, str]) -> Loaded:
    asked = given.get("cari", "").strip().upper()
    whose, status = given.get("pemegang", ""), given.get("status", "")
    if asked:
        hit = await cases.head(desk.reading, asked) if PERSON.fullmatch(asked) else None
        found = [hit | {"of": 1}] if hit else []
    else:
        found = await cases.page(
            desk.reading,
            worker=desk.staff.username if whose == "saya" else None,
            unassigned=whose == "belum",
            status=status if status in STATUSES else None,
            house=given.get("rumah"),
            limit=PAGE_ROWS,
            offset=offset_of(given),
        )
    return {
        "page": page_of(found, given, "pemegang", "status", "rumah"),
        "asked": asked,
        "whose": whose,
        "asked_status": status,
        "house": "" if asked else given.get("rumah", ""),
        "statuses": STATUSES,
    }


async def one(desk: Desk, given: dict[str, str]) -> Loaded | None:
    found = await cases.head(desk.reading, given["person"])
    if found is None:
        return None
    works = "case_worker" in desk.staff.roles
    return {
        "one": found,
        "erased": bool(await custody.erased(desk, [found["person"]])),
        "mine": works and found["worker"] == desk.staff.username,
        "grants": await grants.page(
            desk.reading, person=found["person"], limit=PAGE_ROWS, offset=0
        ),
        "in_house": found["status"] in IN_HOUSE,
        "prepared": found["status"] in PREPARED,
        "gone": found["status"] in GONE,
    }


def offers(sent: Texts) -> dict[str, Any]:
    """One training a line."""
    typed = (sent.get("offers") or [""])[-1]
    return {"offers": [line.strip() for line in typed.splitlines() if line.strip()]}


def choice(sent: Texts) -> dict[str, Any]:
    """What she ticked; to tick nothing is a choice too."""
    return {"chosen": list(sent.get("chosen", ()))}


async def assigning(desk: Desk, _: dict[str, str]) -> Loaded:
    """How many wait, and not who: whose case there is, is casework's to read."""
    waiting = await cases.waiting(desk.reading, desk.staff.username)
    workers = await rows(
        desk.reading,
        "select username from staff where active and 'case_worker' = any(roles)"
        " order by username limit %s",
        WORKERS_SHOWN,
    )
    return {
        "unassigned": waiting["unassigned"],
        "workers": [worker["username"] for worker in workers],
    }


async def money(desk: Desk, given: dict[str, str]) -> Loaded:
    asked = given.get("cari", "").strip().upper()
    answer = given.get("jawaban", "")
    known = not asked or PERSON.fullmatch(asked)
    found = (
        await grants.page(
            desk.reading,
            answer=answer if answer in ANSWERS and not asked else None,
            person=asked or None,
            limit=PAGE_ROWS,
            offset=offset_of(given),
        )
        if known
        else []
    )
    return {
        "page": page_of(found, given, "jawaban"),
        "asked": asked,
        "answer": answer,
        "answers": ANSWERS,
    }


CASES = Screen(
    "/kasus",
    "cases.html",
    CASEWORK,
    all_of_them,
    optional=("pemegang", "status", "rumah", "cari", "halaman"),
    menu="Kasus",
)
CASE = Screen(
    "/kasus/{person}",
    "case.html",
    CASEWORK,
    one,
    acts={
        "take": Act("/cases/{person}/taking"),
        "assess": Act("/cases/{person}/assessment"),
        "offer": Act("/cases/{person}/offers", body=offers),
        "choose": Act("/cases/{person}/choice", body=choice),
        "complete": Act("/cases/{person}/completed-trainings"),
        "ready": Act("/cases/{person}/readiness"),
        "return_home": Act("/cases/{person}/family-return"),
        "family_declines": Act("/cases/{person}/family-decline"),
        "leave": Act("/cases/{person}/leaving"),
        "follow_up": Act("/cases/{person}/follow-ups"),
        "close": Act("/cases/{person}/closing"),
        "confirm": Act("/beneficiaries/{person}/grant-confirmations"),
        "dispute": Act("/beneficiaries/{person}/grant-disputes"),
        "break_glass": Act("/beneficiaries/{person}/break-glass"),
    },
    openings={"notes": "/cases/{person}/notes"},
)
ASSIGNING = Screen(
    "/penugasan",
    "assigning.html",
    ADMIN,
    assigning,
    acts={"assign": Act("/cases/{person}/assignment")},
    menu="Penugasan",
)
GRANTS = Screen(
    "/bantuan",
    "grants.html",
    CASEWORK,
    money,
    acts={
        "confirm": Act("/beneficiaries/{person}/grant-confirmations", "/bantuan?jawaban=open"),
        "dispute": Act("/beneficiaries/{person}/grant-disputes", "/bantuan?jawaban=open"),
    },
    optional=("jawaban", "cari", "halaman"),
    menu="Bantuan",
)
