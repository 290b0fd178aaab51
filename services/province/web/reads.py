"""What the province's staff read: arrivals, houses, cases, grants; and who somebody is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.province.domain import case
from services.province.projections import arrivals, cases, grants, houses
from shared.runtime import custody
from shared.runtime.manifest import Desk, Problem, ReadRoute

STAFF = frozenset({"reception", "case_worker", "auditor"})
CASEWORK = frozenset({"case_worker", "auditor"})
RECEPTION = frozenset({"reception"})
CASE_WORKER = frozenset({"case_worker"})
SEALED = ("potential", "wish", "opportunity")
AT_ARRIVAL = ("initials", "name", "born", "nik")
FIELDS = ("initials", "name", "nik", "born", "contact", "account")
TEXTS = {
    "arrival": RECEPTION,
    "house": RECEPTION,
    "case": CASE_WORKER,
    "grant": CASE_WORKER,
    "custody": frozenset({"approver"}),
}
"""Who may open the free texts of which streams."""


async def _arrivals(desk: Desk, _: dict[str, str]) -> Any:
    return await arrivals.arrivals(desk.reading)


async def _arrival(desk: Desk, path: dict[str, str]) -> Any:
    return await arrivals.one(desk.reading, path["handover"])


async def _identities(desk: Desk, path: dict[str, str]) -> Any:
    return await arrivals.identities(desk.reading, path["handover"])


async def _open_identities(desk: Desk, found: dict[str, Any]) -> Any:
    """Who is to be met at the quay: one look, with everybody on the list."""
    shown = await custody.identities(desk, found, AT_ARRIVAL)
    return [{"person": person} | fields for person, fields in shown.items()]


async def _identity(desk: Desk, path: dict[str, str]) -> Any:
    return await arrivals.person(desk.reading, path["person"])


async def _open_identity(desk: Desk, found: dict[str, Any]) -> Any:
    person = found["person"]
    glass = None if desk.staff.roles & RECEPTION else await _hers_or_glass(desk, person)
    fields = FIELDS if desk.staff.roles & CASE_WORKER else AT_ARRIVAL
    return {"person": person} | await custody.identity(
        desk, person, found["identity"], fields, glass
    )


async def _hers_or_glass(desk: Desk, person: str) -> str | None:
    """None where the case is the asker's own; else her break-glass. Raises Problem (403)."""
    state: case.State = await desk.state(case.decider, person)
    if state.worker == desk.staff.username:
        return None
    if (glass := await custody.glass(desk, person)) is not None:
        return glass
    raise Problem(
        403,
        "NOT_ASSIGNED",
        "Kasus ini bukan kasus Anda.",
        "Ambil kasusnya bila belum ada yang memegang; bila mendesak, buka akses darurat.",
    )


async def may_find(desk: Desk, person: str) -> bool:
    """Reception meets everybody; a case worker knows her own, and whom nobody has yet."""
    state: case.State = await desk.state(case.decider, person)
    glass = await custody.glass(desk, person)
    own = state.worker in (None, desk.staff.username)
    return bool(desk.staff.roles & RECEPTION) or own or glass is not None


async def retained(desk: Desk, before: datetime) -> list[dict[str, Any]]:
    return await cases.ended(desk.reading, before)


async def _houses(desk: Desk, _: dict[str, str]) -> Any:
    return await houses.houses(desk.reading)


async def _grants(desk: Desk, _: dict[str, str]) -> Any:
    return await grants.grants(desk.reading)


async def _cases(desk: Desk, _: dict[str, str]) -> Any:
    return await cases.cases(desk.reading)


async def _case(desk: Desk, path: dict[str, str]) -> Any:
    return await cases.one(desk.reading, path["person"])


async def _open_case(desk: Desk, found: dict[str, Any]) -> Any:
    """Assessment and notes, for the case worker whose case it is, or by break-glass."""
    person = found["person"]
    glass = await _hers_or_glass(desk, person)
    names = [name for name in SEALED if found[name] is not None]
    notes = [note for note in found["notes"] if note["note"] is not None]
    texts = await custody.opened(
        desk,
        [
            *((person, name, found[name]) for name in names),
            *((person, "notes", note["note"]) for note in notes),
        ],
        glass,
    )
    opened = iter(texts[len(names) :])
    return (
        found
        | dict(zip(names, texts, strict=False))
        | {
            "notes": [
                note | {"note": custody.ERASED if note["note"] is None else next(opened)}
                for note in found["notes"]
            ]
        }
    )


READS: tuple[ReadRoute, ...] = (
    ReadRoute("/arrivals", "Kedatangan yang diharapkan", STAFF, _arrivals),
    ReadRoute("/arrivals/{handover}", "Daftar periksa satu serah terima", STAFF, _arrival),
    ReadRoute(
        "/arrivals/{handover}/identities",
        "Siapa yang diharapkan tiba",
        RECEPTION,
        _identities,
        opens=_open_identities,
    ),
    ReadRoute(
        "/beneficiaries/{person}/identity",
        "Identitas satu orang",
        RECEPTION | CASE_WORKER,
        _identity,
        opens=_open_identity,
    ),
    ReadRoute("/houses", "Rumah singgah", STAFF, _houses),
    ReadRoute("/grants", "Bantuan yang diberitahukan", CASEWORK, _grants),
    ReadRoute("/cases", "Kasus", CASEWORK, _cases),
    ReadRoute("/cases/{person}", "Satu kasus", CASEWORK, _case),
    ReadRoute(
        "/cases/{person}/notes",
        "Asesmen dan catatan satu kasus",
        CASE_WORKER,
        _case,
        opens=_open_case,
    ),
)
