"""Handovers: the list, a new one, whom it takes along, and each step until they have left."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from services.city.projections import board, handovers
from services.city.web.reads import STAFF
from shared.runtime import deliveries
from shared.runtime.manifest import Desk
from shared.runtime.screens.paging import PAGE_ROWS, number_of, offset_of, page_of
from shared.runtime.screens.screen import Act, Loaded, Screen

ISSUER = frozenset({"issuer"})
CHOSEN_AT_MOST = 1_000
DEED_PHASES = ("issued", "departed", "closed")


async def all_of_them(desk: Desk, given: dict[str, str]) -> Loaded:
    rows = await handovers.page(desk.reading, given.get("tahap"), PAGE_ROWS, offset_of(given))
    return {"page": page_of(rows, given, "tahap"), "phase": given.get("tahap", "")}


async def new(desk: Desk, given: dict[str, str]) -> Loaded:
    return {
        "operations": await board.operations(desk.reading),
        "partners": desk.settings.partners,
        "operation": given.get("kegiatan", ""),
        "predecessor": given.get("lanjutan", ""),
    }


async def choose(desk: Desk, given: dict[str, str]) -> Loaded | None:
    found = await handovers.head(desk.reading, given["handover"])
    if found is None:
        return None
    ready = await board.ready(
        desk.reading, found["operation"], found["receiving_office"], CHOSEN_AT_MOST
    )
    return {
        "one": found,
        "ready": ready,
        "of": ready[0]["of"] if ready else 0,
        "all": given.get("semua") == "ya",
    }


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
    told = await deliveries.deliveries(connection, desk.service, code) if issued else []
    approves = found["phase"] == "submitted" and "approver" in desk.staff.roles
    return {
        "one": found,
        "page": page,
        "number": number_of(given),
        "persons": sum(n for state, n in states.items() if state not in ("withdrawn", "unlisted")),
        "deliveries": told,
        "authorities": await handovers.authorities(connection) if approves else [],
        "today": desk.now.astimezone(ZoneInfo(desk.settings.time_zone)).date(),
        "has_deed": found["phase"] in DEED_PHASES,
    }


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
    acts={"add": Act("/handovers/{handover}/entries", "/serah-terima/{handover}")},
    optional=("semua",),
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
    optional=("halaman",),
)
AUTHORITIES = Screen(
    "/kewenangan",
    "authorities.html",
    STAFF | {"admin"},
    authorities,
    acts={"confer": Act("/authorities"), "end": Act("/authority-ends")},
    menu="Kewenangan",
)
