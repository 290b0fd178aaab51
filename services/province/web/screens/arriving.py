"""Arrivals: the list, one handover's checklist, who came unlisted, and a sheet that is copied."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.province.domain import arrival
from services.province.projections import arrivals, houses
from services.province.web.reads import RECEPTION, STAFF
from shared.contracts.values import PROVINCES
from shared.runtime.manifest import Desk
from shared.runtime.papers.record import fold
from shared.runtime.screens.paging import PAGE_ROWS, number_of, offset_of, page_of
from shared.runtime.screens.reasons import open_reason, sealed_reasons
from shared.runtime.screens.screen import Act, Loaded, Screen, Step, Texts

CHECKLIST_ROWS = 25
SHEET_ROWS = 60
STATES = ("expected", "arrived", "absent", "diverted", "unlisted", "withdrawn", "declined")
FILTERS = ("waiting", "answered", "withdrawn", "declined")
PERSON = re.compile(r"PM-[0-9A-HJKMNP-TV-Z]{10}")
ABSENCES = {
    "1": "not_on_transport",
    "2": "left_in_transit",
    "3": "declined_by_her",
    "4": "other",
}
"""The numbers by which the printed sheet names why somebody did not come."""
WITH_REASON = (
    arrival.ArrivalAcknowledged, arrival.UnlistedArrivalCorrected, arrival.HandoverDeclined,
)  # fmt: skip


async def all_of_them(desk: Desk, given: dict[str, str]) -> Loaded:
    asked = given.get("keadaan", "")
    rows = await arrivals.page(
        desk.reading, asked if asked in FILTERS else None, PAGE_ROWS, offset_of(given)
    )
    return {"page": page_of(rows, given, "keadaan"), "asked": asked, "filters": FILTERS}


async def checklist(desk: Desk, given: dict[str, str]) -> Loaded | None:
    """The people of one handover; with `orang` also the form for one of them."""
    reading, code = desk.reading, given["handover"]
    found = await arrivals.head(reading, code)
    if found is None:
        return None
    asked = given.get("cari", "").strip().upper()
    state = given.get("keadaan", "")
    wanted = given.get("orang", "").strip().upper()
    if asked:
        hit = await arrivals.entry(reading, code, asked) if PERSON.fullmatch(asked) else None
        rows = [hit] if hit else []
    else:
        rows = await arrivals.entries(
            reading,
            code,
            state if state in STATES else None,
            CHECKLIST_ROWS,
            offset_of(given, CHECKLIST_ROWS),
        )
    beds = await houses.houses(reading)
    chosen = [one for one in beds if one["house"] == given.get("rumah")] or (
        beds if len(beds) == 1 else []
    )
    person = await arrivals.entry(reading, code, wanted) if wanted else None
    answered_at: datetime | None = person["answered_at"] if person else None
    states: dict[str, int] = found["states"]
    last = given.get("baru", "")
    return {
        "one": found,
        "page": page_of(rows, given, "keadaan", "rumah", size=CHECKLIST_ROWS),
        "asked": asked,
        "state": state,
        "states": {one: states[one] for one in STATES if one in states},
        "of": sum(n for name, n in states.items() if name not in ("withdrawn", "unlisted")),
        "houses": beds,
        "house": chosen[0] if chosen else None,
        "person": person,
        "person_at": f"{answered_at.astimezone(desk.settings.zone):%Y-%m-%dT%H:%M}"
        if answered_at
        else "",
        "last": await arrivals.entry(reading, code, last) if PERSON.fullmatch(last) else None,
        "offices": _other_offices(desk),
        "reasons": await sealed_reasons(desk, [f"arrival-{code}"], WITH_REASON),
    }


def _other_offices(desk: Desk) -> list[str]:
    return [code for code in PROVINCES if code != desk.settings.office]


async def unlisted(desk: Desk, given: dict[str, str]) -> Loaded | None:
    found = await arrivals.head(desk.reading, given["handover"])
    return found and {"one": found, "houses": await houses.houses(desk.reading)}


async def sheet(desk: Desk, given: dict[str, str]) -> Loaded | None:
    """Everybody in the order of the printed sheet, with what is answered already."""
    code = given["handover"]
    found = await arrivals.head(desk.reading, code)
    if found is None:
        return None
    state: arrival.State = fold(arrival.decider, await desk.source.stream(arrival.decider, code))
    answered = await arrivals.answers(desk.reading, code)
    persons = list(state.entries)
    first = offset_of(given, SHEET_ROWS)
    rows: list[dict[str, Any]] = [
        {"number": number, "person": person, "answer": answered.get(person), "of": len(persons)}
        for number, person in enumerate(persons, 1)
    ]
    return {
        "one": found,
        "page": page_of(rows[first : first + SHEET_ROWS], given, size=SHEET_ROWS),
        "number": number_of(given),
        "houses": await houses.houses(desk.reading),
        "offices": _other_offices(desk),
        "today": desk.now.astimezone(desk.settings.zone).date(),
    }


def sheet_rows(sent: Texts, zone: ZoneInfo) -> list[dict[str, Any]]:
    """The lines in which something is chosen, each with its time or the sheet's.

    A line sends four fields under her code: the answer, the time, the house, the other office. The
    answers are one letter or the sheet's own number, as there are many of them on a thin line.
    """
    general = {name: (sent.get(name) or [""])[-1].strip() for name in ("date", "time", "house")}
    rows: list[dict[str, Any]] = []
    for person, values in sent.items():
        if not PERSON.fullmatch(person):
            continue
        said, time, house, office = (*(text.strip() for text in values[:4]), *("",) * 4)[:4]
        if not said:
            continue
        row: dict[str, Any] = {
            "person": person,
            "occurred_at": _at(general["date"], time or general["time"], zone),
        }
        if said in ABSENCES:
            row |= {"outcome": "absent", "absence": ABSENCES[said]}
        elif said == "d":
            row |= {"outcome": "diverted", "diverted_to": office or None}
        else:
            row |= {"outcome": "arrived", "willing": said == "b"}
            row |= {"house": house or general["house"] or None}
            if why := (sent.get(f"reason-{person}") or [""])[-1].strip():
                row["override_reason"] = why
        rows.append(row)
    return rows


def _at(day: str, time: str, zone: ZoneInfo) -> str:
    """With the office's zone; what is no time stays as it was typed, and is refused as that."""
    try:
        return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=zone).isoformat()
    except ValueError:
        return f"{day} {time}".strip() or "-"


ARRIVALS = Screen(
    "/kedatangan",
    "arrivals.html",
    STAFF,
    all_of_them,
    optional=("keadaan", "halaman"),
    menu="Kedatangan",
)
BACK = "/kedatangan/{handover}?rumah={house}&baru={person}#daftar"
CHECKLIST = Screen(
    "/kedatangan/{handover}",
    "checklist.html",
    STAFF,
    checklist,
    acts={
        "arrive": Act("/arrivals/{handover}/entries/{person}/answer", BACK),
        "answer": Act("/arrivals/{handover}/entries/{person}/answer", BACK),
        "correct": Act("/arrivals/{handover}/entries/{person}/correction", BACK),
        "not_unlisted": Act("/arrivals/{handover}/unlisted/{person}/correction"),
        "decline": Act("/arrivals/{handover}/decline"),
    },
    openings={"names": "/arrivals/{handover}/identities"},
    steps={"reason": Step(RECEPTION, open_reason)},
    optional=("keadaan", "cari", "rumah", "orang", "baru", "halaman"),
)
UNLISTED = Screen(
    "/kedatangan/{handover}/tidak-terdaftar",
    "unlisted.html",
    RECEPTION,
    unlisted,
    acts={"unlisted": Act("/arrivals/{handover}/unlisted", "/penerima-manfaat/{person}")},
)
SHEET = Screen(
    "/kedatangan/{handover}/lembar",
    "sheet.html",
    RECEPTION,
    sheet,
    acts={"copy": Act("/arrivals/{handover}/sheet", rows=sheet_rows)},
    openings={"names": "/arrivals/{handover}/identities"},
    optional=("halaman",),
)
