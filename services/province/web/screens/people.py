"""One person, pseudonymous: where she stands; and who she is, for those who may see it."""

from __future__ import annotations

from services.province.projections import arrivals, cases
from services.province.web.reads import CASEWORK, STAFF
from shared.runtime import custody
from shared.runtime.manifest import Desk
from shared.runtime.screens.screen import Act, Loaded, Screen


async def person(desk: Desk, given: dict[str, str]) -> Loaded | None:
    code = given["person"]
    appearances = await arrivals.appearances(desk.reading, code)
    if not appearances:
        return None
    return {
        "person": code,
        "erased": bool(await custody.erased(desk, [code])),
        "appearances": appearances,
        "case": await cases.head(desk.reading, code) if CASEWORK & desk.staff.roles else None,
    }


PERSON = Screen(
    "/penerima-manfaat/{person}",
    "person.html",
    STAFF,
    person,
    acts={"break_glass": Act("/beneficiaries/{person}/break-glass")},
    openings={"identity": "/beneficiaries/{person}/identity"},
)
