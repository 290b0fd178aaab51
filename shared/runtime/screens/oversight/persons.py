"""Who looked at whom, and who is forgotten: looks and alarms, break-glass and its review,
erasures, holds, and whose data have been kept long enough. By code; nobody's name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from shared.custody import projection
from shared.runtime import custody
from shared.runtime.custody_routes import (
    APPROVER,
    AT_THE_DESK,
    AUDITOR,
    OVERSEERS,
    Kind,
    retention,
)
from shared.runtime.manifest import Desk, Problem
from shared.runtime.office import Office
from shared.runtime.screens.paging import PAGE_ROWS, number_of, offset_of, page_of
from shared.runtime.screens.screen import Act, Loaded, Screen, Step

PERSON = re.compile(r"PM-[0-9A-HJKMNP-TV-Z]{10}")
STATES = ("proposed", "approved", "ordered", "executed", "completed")


def _person(given: dict[str, str]) -> str | None:
    return given.get("cari", "").strip().upper() or None


async def erasures(desk: Desk, given: dict[str, str]) -> Loaded:
    state = given.get("tahap")
    found = await projection.some_erasures(
        desk.reading,
        state=state,
        person=_person(given),
        limit=PAGE_ROWS,
        offset=offset_of(given),
    )
    return {
        "page": page_of(found, given, "tahap", "cari"),
        "states": STATES,
        "state": state or "",
        "asked": given.get("cari", ""),
    }


async def erasure(desk: Desk, given: dict[str, str]) -> Loaded | None:
    person = given["person"]
    if not PERSON.fullmatch(person):
        return None
    found = await projection.some_erasures(desk.reading, person=person)
    held = await projection.some_holds(desk.reading, _today(desk), person, 1, 0)
    known = await desk.vault.known(desk.reading, person)
    if not (found or held or known):
        return None
    return {"person": person, "one": found[0] if found else None, "held": held[0] if held else None}


def _today(desk: Desk) -> Any:
    return desk.now.astimezone(ZoneInfo(desk.settings.time_zone)).date()


async def holds(desk: Desk, given: dict[str, str]) -> Loaded:
    found = await projection.some_holds(
        desk.reading, _today(desk), _person(given), PAGE_ROWS, offset_of(given)
    )
    return {"page": page_of(found, given, "cari"), "asked": given.get("cari", "")}


async def propose(desk: Desk, given: dict[str, str]) -> Loaded:
    return {"person": given.get("orang", "")}


async def kept_long(desk: Desk, given: dict[str, str]) -> Loaded:
    every = await retention(desk, {})
    at = (number_of(given) - 1) * PAGE_ROWS
    shown = [one | {"of": len(every)} for one in every[at : at + PAGE_ROWS]]
    return {"page": page_of(shown, given), "years": desk.settings.retention_years}


async def glasses(desk: Desk, given: dict[str, str]) -> Loaded:
    found = await projection.some_break_glasses(desk.reading, PAGE_ROWS, offset_of(given))
    return {"page": page_of(found, given), "me": desk.staff.username}


async def open_reason(office: Office, desk: Desk, given: dict[str, str]) -> Loaded:
    """Why a break-glass was opened, in the words of who did; the look is on record before."""
    async with office.pool.connection() as connection:
        found = await projection.break_glass_reason(connection, given.get("break_glass", ""))
    if found is None:
        raise Problem(404, "NOT_FOUND", "Data ini tidak ada.", "Periksa kodenya.")
    person, reason = found
    text = custody.ERASED
    if reason is not None:
        desk = replace(desk, purpose="reading_reason")
        (text,) = await custody.opened(desk, [(person, "reason", reason)])
    return {"preview": {"break_glass": given["break_glass"], "reason": text}}


async def looks(desk: Desk, given: dict[str, str]) -> Loaded:
    staff = given.get("oleh", "").strip() or None
    subject = given.get("cari", "").strip() or None
    found = await projection.some_looks(
        desk.reading, subject=subject, staff=staff, limit=PAGE_ROWS, offset=offset_of(given)
    )
    return {
        "page": page_of(found, given, "cari", "oleh"),
        "given": given,
    }


async def lookups(desk: Desk, given: dict[str, str]) -> Loaded:
    staff = given.get("oleh", "").strip() or None
    found = await projection.some_lookups(desk.reading, staff, PAGE_ROWS, offset_of(given))
    return {"page": page_of(found, given, "oleh"), "given": given}


async def alarms(desk: Desk, given: dict[str, str]) -> Loaded:
    every = await projection.alarms(desk.reading)
    at = offset_of(given)
    shown = [one | {"of": len(every)} for one in every[at : at + PAGE_ROWS]]
    return {"page": page_of(shown, given), "usual": desk.settings.looks_alarm_persons}


ERASURES = Screen(
    "/penghapusan",
    "oversight_erasures.html",
    OVERSEERS,
    erasures,
    optional=("tahap", "cari", "halaman"),
    menu="Data pribadi",
)
ERASURE = Screen(
    "/penghapusan/{person}",
    "oversight_erasure.html",
    OVERSEERS,
    erasure,
    acts={
        "approve": Act("/beneficiaries/{person}/erasure-approval"),
        "reject": Act("/beneficiaries/{person}/erasure-rejection"),
        "hold": Act("/beneficiaries/{person}/hold"),
        "end": Act("/beneficiaries/{person}/hold-end"),
    },
)
HOLDS = Screen(
    "/penahanan",
    "oversight_holds.html",
    OVERSEERS,
    holds,
    acts={"hold": Act("/beneficiaries/{person}/hold", "/penghapusan/{person}")},
    optional=("cari", "halaman"),
)
RETENTION = Screen(
    "/masa-simpan", "oversight_retention.html", OVERSEERS, kept_long, optional=("halaman",)
)
GLASSES = Screen(
    "/akses-darurat",
    "oversight_glasses.html",
    AUDITOR | APPROVER,
    glasses,
    acts={"review": Act("/break-glass/{break_glass}/review")},
    steps={"reason": Step(AUDITOR, open_reason)},
    optional=("halaman",),
)
LOOKS = Screen(
    "/pembukaan", "oversight_looks.html", AUDITOR, looks, optional=("cari", "oleh", "halaman")
)
LOOKUPS = Screen(
    "/pencarian", "oversight_lookups.html", AUDITOR, lookups, optional=("oleh", "halaman")
)
ALARMS = Screen(
    "/pembukaan-tidak-biasa",
    "oversight_alarms.html",
    AUDITOR | APPROVER,
    alarms,
    optional=("halaman",),
)


def proposing(kind: Kind) -> Screen:
    return Screen(
        "/usul-penghapusan",
        "oversight_propose.html",
        AT_THE_DESK[kind],
        propose,
        acts={"propose": Act("/beneficiaries/{person}/erasure")},
        optional=("orang",),
    )
