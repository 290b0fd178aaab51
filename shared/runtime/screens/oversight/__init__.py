"""What auditors, approvers and operators open at every kind of office, declared once.

Each screen shows what an address of the API gives to the same roles, a page at a time; what is
done on it goes the way of the API's command, or of the operator's command line.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from fastapi import Response

from shared.custody import projection
from shared.kernel.projector import rows
from shared.runtime.custody_routes import Kind
from shared.runtime.history import ROLES
from shared.runtime.manifest import Desk
from shared.runtime.screens.oversight import links, looking_back, persons, proofs
from shared.runtime.screens.screen import Loaded, Screen

WEEK = timedelta(days=7)


async def waiting(desk: Desk) -> dict[str, int]:
    """How much of it waits for whoever asks; what is none of hers, or nothing, is left out."""
    roles = desk.staff.roles
    found: dict[str, Any] = await projection.waiting(desk.reading, desk.now - WEEK)
    (more,) = await rows(
        desk.reading,
        "select (select count(*)::int from parked where settled_at is null"
        " and reason <> 'REPLAYED_FRAME') as parked,"
        " (select count(*)::int from forks where settled_at is null) as forks,"
        " (select count(*)::int from worker_troubles) as troubles",
    )
    hers = {
        "erasures": {"approver"},
        "reviews": {"auditor"},
        "alarms": {"auditor", "approver"},
        "parked": {"operator", "auditor", "admin"},
        "forks": {"operator", "auditor", "admin"},
        "troubles": {"operator", "admin"},
    }
    counts: dict[str, int] = found | more
    return {name: counts[name] for name, who in hers.items() if who & roles and counts[name]}


async def overview(desk: Desk, given: dict[str, str]) -> Loaded | Response:
    asked = given.get("kode", "")
    if asked and (leads := await looking_back.search(desk, given)):
        return leads
    return {"asked": asked, "waits": await waiting(desk)}


OVERVIEW = Screen(
    "/pemeriksaan",
    "oversight_overview.html",
    ROLES,
    overview,
    optional=("kode",),
    menu="Pemeriksaan",
)


EXAMINED, PERSONAL = ("/pemeriksaan",), ("/penghapusan",)
UNDER: dict[str, tuple[str, ...]] = {
    "/riwayat/{subject}": EXAMINED,
    "/perubahan": EXAMINED,
    "/persamaan": EXAMINED,
    "/pencocokan": EXAMINED,
    "/bukti-log": (*EXAMINED, "/tautan"),
    "/penahanan": PERSONAL,
    "/masa-simpan": PERSONAL,
    "/akses-darurat": PERSONAL,
    "/pembukaan": PERSONAL,
    "/pencarian": PERSONAL,
    "/pembukaan-tidak-biasa": PERSONAL,
}
"""Screen → where the menu leads to it."""


def screens(kind: Kind) -> tuple[Screen, ...]:
    """In the order of the menu, behind the office's own."""
    found = (
        OVERVIEW,
        looking_back.TIMELINE,
        looking_back.CHANGES,
        proofs.EQUATIONS,
        proofs.RECONCILIATION,
        proofs.PROOFS,
        persons.ERASURES,
        persons.ERASURE,
        persons.proposing(kind),
        persons.HOLDS,
        persons.RETENTION,
        persons.GLASSES,
        persons.LOOKS,
        persons.LOOKUPS,
        persons.ALARMS,
        links.LINKS,
        links.LEDGER,
        links.PARKED,
    )
    return tuple(replace(one, under=UNDER.get(one.path, ())) for one in found)
