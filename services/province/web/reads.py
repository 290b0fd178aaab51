"""What the province's staff read: arrivals, houses, cases, grants; and who somebody is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.province.documents import arrival as papers
from services.province.domain import case
from services.province.projections import arrivals, cases, grants, houses
from shared.runtime import custody
from shared.runtime.history import PLAIN
from shared.runtime.manifest import Desk, Problem, ReadRoute
from shared.runtime.papers.paper import Paper
from shared.runtime.papers.record import Kind, Source

ARRIVALS, CASES = (arrivals.projection,), (cases.projection,)
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


async def _acknowledgement(desk: Desk, path: dict[str, str]) -> Any:
    return await papers.acknowledged(desk.source, path["handover"])


async def _sheet(desk: Desk, path: dict[str, str]) -> Any:
    return await papers.expected(desk.source, path["handover"])


async def _named_sheet(desk: Desk, path: dict[str, str]) -> Any:
    return await papers.expected(desk.source, path["handover"], papers.WITH_NAMES)


async def _open_named_sheet(desk: Desk, found: dict[str, Any]) -> Any:
    sealed: dict[str, str | None] = found.pop("sealed")
    return found | {"identities": await custody.identities(desk, sealed, papers.FIELDS)}


def _print_acknowledgement(desk: Desk, found: dict[str, Any]) -> Paper:
    return papers.acknowledgement(desk.settings.office_name, desk.settings.zone, found)


def _print_sheet(desk: Desk, found: dict[str, Any]) -> Paper:
    return papers.sheet(desk.settings.office_name, found)


def _print_named_sheet(desk: Desk, found: dict[str, Any]) -> Paper:
    opened = (
        f"Dibuka oleh akun {desk.staff.username} untuk: {PLAIN[desk.purpose or 'arrival']}."
        " Pembukaan ini tercatat."
    )
    return papers.sheet(desk.settings.office_name, found, opened)


async def evidence(source: Source, subject: str) -> dict[str, Paper]:
    """What this office acknowledged of a handover, once it has."""
    try:
        found = await papers.acknowledged(source, subject)
    except Problem:
        return {}
    settings = source.settings
    made = found and papers.acknowledgement(settings.office_name, settings.zone, found)
    return {"pengakuan-kedatangan.pdf": made} if made else {}


PAPERS: tuple[Kind, ...] = (papers.ACKNOWLEDGEMENT, papers.SHEET, papers.WITH_NAMES)


async def _identity(desk: Desk, path: dict[str, str]) -> Any:
    return await arrivals.person(desk.reading, path["person"])


async def _open_identity(desk: Desk, found: dict[str, Any]) -> Any:
    """All of it for the case worker whose case it is; what one checks at arrival for reception."""
    person = found["person"]
    hers, glass = await _hers(desk, person)
    if not hers and not desk.staff.roles & RECEPTION:
        raise _not_hers()
    fields = FIELDS if hers else AT_ARRIVAL
    return {"person": person} | await custody.identity(
        desk, person, found["identity"], fields, glass
    )


async def _hers(desk: Desk, person: str) -> tuple[bool, str | None]:
    """Whether the asker may see this case as its own worker does, and by which break-glass."""
    if not desk.staff.roles & (CASE_WORKER | RECEPTION):
        return False, None
    state: case.State = await desk.state(case.decider, person)
    if state.worker == desk.staff.username and desk.staff.roles & CASE_WORKER:
        return True, None
    glass = await custody.glass(desk, person)
    return glass is not None, glass


def _not_hers() -> Problem:
    return Problem(
        403,
        "NOT_ASSIGNED",
        "Kasus ini bukan kasus Anda.",
        "Ambil kasusnya bila belum ada yang memegang; bila mendesak, buka akses darurat.",
    )


async def is_here(desk: Desk, person: str) -> bool:
    """She stands on a manifest, or came unlisted."""
    async with desk.handling.store.pool.connection() as connection:
        return await arrivals.person(connection, person) is not None


async def may_find(desk: Desk, person: str) -> bool:
    """Reception meets everybody; a case worker knows her own, and whom nobody has yet."""
    state: case.State = await desk.state(case.decider, person)
    glass = await custody.glass(desk, person)
    own = state.worker in (None, desk.staff.username)
    return bool(desk.staff.roles & RECEPTION) or own or glass is not None


async def may_read(desk: Desk, category: str, person: str) -> bool:
    """What was written in a case is its own worker's to read."""
    return category not in ("case", "grant") or (await _hers(desk, person))[0]


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
    hers, glass = await _hers(desk, person)
    if not hers:
        raise _not_hers()
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
    gone = dict.fromkeys(SEALED, custody.ERASED) if await custody.erased(desk, [person]) else {}
    return (
        found
        | gone
        | dict(zip(names, texts, strict=False))
        | {
            "notes": [
                note | {"note": custody.ERASED if note["note"] is None else next(opened)}
                for note in found["notes"]
            ]
        }
    )


READS: tuple[ReadRoute, ...] = (
    ReadRoute("/arrivals", "Kedatangan yang diharapkan", STAFF, _arrivals, models=ARRIVALS),
    ReadRoute(
        "/arrivals/{handover}",
        "Daftar periksa satu serah terima",
        STAFF,
        _arrival,
        models=ARRIVALS,
        table=lambda found: found["entries"],
    ),
    ReadRoute(
        "/arrivals/{handover}/identities",
        "Siapa yang diharapkan tiba",
        RECEPTION,
        _identities,
        opens=_open_identities,
    ),
    ReadRoute(
        "/arrivals/{handover}/acknowledgement",
        "Pengakuan kedatangan",
        STAFF,
        _acknowledgement,
        paper=_print_acknowledgement,
    ),
    ReadRoute(
        "/arrivals/{handover}/sheet",
        "Lembar kedatangan untuk dicetak",
        STAFF,
        _sheet,
        paper=_print_sheet,
    ),
    ReadRoute(
        "/arrivals/{handover}/sheet/identities",
        "Lembar kedatangan dengan nama",
        RECEPTION,
        _named_sheet,
        opens=_open_named_sheet,
        paper=_print_named_sheet,
    ),
    ReadRoute(
        "/beneficiaries/{person}/identity",
        "Identitas satu orang",
        RECEPTION | CASE_WORKER,
        _identity,
        opens=_open_identity,
    ),
    ReadRoute("/houses", "Rumah singgah", STAFF, _houses, models=(houses.projection,)),
    ReadRoute(
        "/grants",
        "Bantuan yang diberitahukan",
        CASEWORK,
        _grants,
        models=(grants.projection,),
        table=lambda found: found["credits"],
    ),
    ReadRoute("/cases", "Kasus", CASEWORK, _cases, models=CASES),
    ReadRoute("/cases/{person}", "Satu kasus", CASEWORK, _case, models=CASES),
    ReadRoute(
        "/cases/{person}/notes",
        "Asesmen dan catatan satu kasus",
        CASE_WORKER,
        _case,
        opens=_open_case,
    ),
)
