"""Handovers: the list, a new one, whom it takes along, and each step until they have left."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from services.city.domain.handover import (
    DepartureCorrected,
    EntryRemoved,
    EntryWithdrawn,
    HandoverReturned,
    HandoverWithdrawn,
)
from services.city.projections import board, handovers, readiness
from services.city.web.reads import STAFF, TEXTS
from shared.kernel.projector import rows
from shared.runtime import deliveries
from shared.runtime.manifest import Desk, Problem
from shared.runtime.office import Office
from shared.runtime.screens.oversight.looking_back import open_text
from shared.runtime.screens.paging import (
    PAGE_ROWS,
    number_of,
    offset_of,
    page_of,
    person_asked,
)
from shared.runtime.screens.reasons import open_reason, sealed_reasons
from shared.runtime.screens.screen import Act, Loaded, Screen, Step, Texts

ISSUER = frozenset({"issuer"})
ADDED_AT_ONCE = 1_000
OPERATIONS_OFFERED = 100
DEED_PHASES = ("issued", "departed", "closed")
WITH_REASON = (
    EntryRemoved, HandoverReturned, EntryWithdrawn, HandoverWithdrawn, DepartureCorrected,
)  # fmt: skip


async def all_of_them(desk: Desk, given: dict[str, str]) -> Loaded:
    rows = await handovers.page(desk.reading, given.get("tahap"), PAGE_ROWS, offset_of(given))
    return {"page": page_of(rows, given, "tahap"), "phase": given.get("tahap", "")}


async def new(desk: Desk, given: dict[str, str]) -> Loaded:
    return {
        "operations": await board.newest(desk.reading, OPERATIONS_OFFERED),
        "partners": desk.settings.partners,
        "operation": given.get("kegiatan", ""),
        "predecessor": given.get("lanjutan", ""),
    }


async def choose(desk: Desk, given: dict[str, str]) -> Loaded | None:
    connection = desk.reading
    found = await handovers.head(connection, given["handover"])
    if found is None:
        return None
    about = found["operation"], found["receiving_office"]
    asked = person_asked(given)
    rows = await readiness.ready(
        connection, *about, PAGE_ROWS, 0 if asked else offset_of(given), asked or None
    )
    page = page_of(rows, given)
    everybody = await readiness.all_ready(connection, *about, ADDED_AT_ONCE) if rows else []
    return {
        "one": found,
        "page": page,
        "asked": asked,
        "chosen": sum(n for state, n in found["states"].items() if state == "listed"),
        "everybody": everybody,
        "waiting": rows[0]["waiting"] if rows else 0,
    }


def everybody(sent: Texts) -> dict[str, Any]:
    """All who were ready when the page was made, from its one field."""
    return {"persons": (sent.get("everybody") or [""])[-1].split()}


async def one(desk: Desk, given: dict[str, str]) -> Loaded | None:
    connection, code = desk.reading, given["handover"]
    found = await handovers.head(connection, code)
    if found is None:
        return None
    entries = await handovers.entries(connection, code, PAGE_ROWS, offset_of(given))
    states: dict[str, int] = found["states"]
    total = sum(states.values())
    page = page_of([row | {"of": total} for row in entries], given)
    issued = found["deed_number"] is not None
    told = (
        await deliveries.of_stream(connection, desk.service, f"handover-{code}") if issued else []
    )
    approves = found["phase"] == "submitted" and "approver" in desk.staff.roles
    return {
        "one": found,
        "page": page,
        "taking_off": given.get("tarik", ""),
        "number": number_of(given),
        "persons": sum(n for state, n in states.items() if state not in ("withdrawn", "unlisted")),
        "deliveries": told,
        "authorities": await handovers.authorities(connection) if approves else [],
        "today": desk.now.astimezone(ZoneInfo(desk.settings.time_zone)).date(),
        "has_deed": found["phase"] in DEED_PHASES,
        "reasons": await sealed_reasons(desk, [f"handover-{code}"], WITH_REASON),
    }


async def why_returned(office: Office, desk: Desk, given: dict[str, str]) -> Loaded:
    """What the approver wrote when it last went back; the look is on record before it is shown."""
    async with office.pool.connection() as connection:
        found = await rows(
            connection,
            "select position from events where stream = %s and type = %s"
            " order by position desc limit 1",
            f"handover-{given['handover']}",
            HandoverReturned.type,
        )
    if not found:
        raise Problem(404, "NOT_FOUND", "Data ini tidak ada.", "Muat ulang halamannya.")
    return await open_text(office, desk, {"position": str(found[0]["position"])})


async def authorities(desk: Desk, _: dict[str, str]) -> Loaded:
    return {"authorities": await handovers.authorities(desk.reading)}


HANDOVERS = Screen(
    "/serah-terima",
    "handovers.html",
    STAFF,
    all_of_them,
    optional=("tahap", "halaman"),
    menu="Serah terima",
)
NEW = Screen(
    "/serah-terima/baru",
    "new_handover.html",
    ISSUER,
    new,
    acts={"draft": Act("/handovers", "/serah-terima/{handover}/pilih")},
    optional=("kegiatan", "lanjutan"),
)
CHOOSE = Screen(
    "/serah-terima/{handover}/pilih",
    "choose.html",
    ISSUER,
    choose,
    acts={
        "add": Act("/handovers/{handover}/entries", "/serah-terima/{handover}"),
        "add_more": Act("/handovers/{handover}/entries", "/serah-terima/{handover}/pilih"),
        "add_all": Act("/handovers/{handover}/entries", "/serah-terima/{handover}", everybody),
    },
    optional=("cari", "halaman"),
)
HANDOVER = Screen(
    "/serah-terima/{handover}",
    "handover.html",
    STAFF,
    one,
    acts={
        "submit": Act("/handovers/{handover}/submission"),
        "return": Act("/handovers/{handover}/return"),
        "approve": Act("/handovers/{handover}/approval"),
        "issue": Act("/handovers/{handover}/issue"),
        "depart": Act("/handovers/{handover}/departure"),
        "stay": Act("/handovers/{handover}/departure-correction"),
        "take_off": Act("/handovers/{handover}/entries/{person}/withdrawal"),
        "withdraw": Act("/handovers/{handover}/withdrawal"),
        "close": Act("/handovers/{handover}/closing"),
    },
    steps={
        "why": Step(ISSUER | {"approver"}, why_returned),
        "reason": Step(TEXTS["handover"], open_reason),
    },
    optional=("halaman", "tarik"),
)
AUTHORITIES = Screen(
    "/kewenangan",
    "authorities.html",
    STAFF | {"admin"},
    authorities,
    acts={"confer": Act("/authorities"), "end": Act("/authority-ends")},
    menu="Kewenangan",
)
