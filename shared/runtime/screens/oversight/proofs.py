"""What must add up, whom partners agree with, and what proves the history: equations,
reconciliation, checkpoints with their witnesses, rebuilt read models.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.kernel import checkpoints
from shared.kernel.event import StoredEvent
from shared.kernel.hold import read_hold
from shared.kernel.projector import rows
from shared.kernel.store import read_head
from shared.runtime import custody_routes, history, witnessing
from shared.runtime.audit import asking, sums
from shared.runtime.audit.account import NoAccount
from shared.runtime.manifest import Desk, Problem
from shared.runtime.office import Office
from shared.runtime.screens.oversight.looking_back import dated
from shared.runtime.screens.paging import PAGE_ROWS, number_of, page_of
from shared.runtime.screens.screen import Loaded, Screen, Step

AUDITOR = custody_routes.AUDITOR
RUNS = 50
DIFFERENCES = 100
PROCEEDINGS = ("fork", "parked", "reconciliation", "replay", "restore")
"""Streams of what was done to the log and its read models, and found of them."""

_PROCEEDINGS = """
select position, stream, version, type, body from events
where {} order by position desc limit %(most)s
"""


async def equations(desk: Desk, given: dict[str, str]) -> Loaded:
    last = await sums.kept(desk.reading)
    if last is None:
        return {"last": None}
    found = last["found"]
    order = {"broken": 0, "open": 1, "explained": 2, "holds": 3}
    every = sorted(found["equations"], key=lambda one: order[one["outcome"]])
    at = (number_of(given) - 1) * PAGE_ROWS
    shown = [one | {"of": len(every)} for one in every[at : at + PAGE_ROWS]]
    return {
        "last": last,
        "since": (await read_head(desk.reading)).size - found["events"],
        "found": found,
        "page": page_of(shown, given),
        "most": DIFFERENCES,
        "has_board": desk.service.kind == "city",
    }


async def derive(office: Office, desk: Desk, _: dict[str, str]) -> Loaded:
    """Derives the equations now, as the API does, and keeps them for the page."""
    async with office.pool.connection() as connection:
        found = await custody_routes.equations(replace(desk, connection=connection), {})
        await sums.keep(connection, found, desk.now, desk.staff.username)
    return {}


async def reconciliation(desk: Desk, _: dict[str, str]) -> Loaded:
    partners = desk.settings.partners
    streams = [f"reconciliation-{one}" for one in partners]
    lines = await _lines(desk, "stream = any(%(streams)s)", streams=streams)
    return {"partners": partners, "lines": lines}


async def ask(office: Office, desk: Desk, given: dict[str, str]) -> Loaded:
    """Asks one partner and compares. Who asks and how it ends is recorded by the asking itself."""
    partner = given.get("partner", "")
    if partner not in desk.settings.partners:
        raise Problem(422, "INVALID_INPUT", "Kantor ini bukan mitra.", "Pilih kantor mitra.")
    try:
        found = await asking.over_link(office, partner, desk.staff.username)
    except asking.Silent:
        raise Problem(
            503,
            "PARTNER_SILENT",
            "Kantor mitra tidak menjawab dalam 30 detik. Pertanyaannya tercatat.",
            "Lihat keadaan tautan, lalu tanya lagi; atau minta operator mencocokkan lewat berkas.",
        ) from None
    except NoAccount:
        raise Problem(
            409,
            "NOT_COMPARED",
            "Catatan kedua kantor tidak dapat dicocokkan sekarang.",
            "Tunggu pencocokan lain selesai, lalu tanya lagi; bila tetap gagal, hubungi operator.",
        ) from None
    return {"preview": found, "most": DIFFERENCES}


async def proofs(desk: Desk, _: dict[str, str]) -> Loaded:
    connection = desk.reading
    counts = await rows(
        connection,
        "select office as partner, count(*)::int as number, min(received_at) as first"
        " from cosignatures group by office",
    )
    made = await rows(connection, "select made_at from checkpoints order by size desc limit 1")
    kept = {row["partner"]: row for row in counts}
    newest = await checkpoints.latest(connection)
    return {
        "size": (await read_head(connection)).size,
        "hold": await read_hold(connection),
        "newest": newest,
        "newest_at": made[0]["made_at"] if made else None,
        "witnesses": [
            row | {"number": kept[row["partner"]]["number"] if row["partner"] in kept else 0}
            for row in await witnessing.witnesses(connection, desk.settings.partners)
        ],
        "lines": await _lines(
            desk, "split_part(stream, '-', 1) = any(%(categories)s)", categories=list(PROCEEDINGS)
        ),
    }


async def _lines(desk: Desk, where: str, **named: Any) -> list[dict[str, Any]]:
    """The newest of those events in plain words."""
    async with history.bounded(desk):
        found = await rows(desk.reading, _PROCEEDINGS.format(where), most=RUNS, **named)
    lines = [history.line(StoredEvent(**row), desk.handling.types) for row in found]
    return [dated(line, desk.settings.zone) for line in lines]


EQUATIONS = Screen(
    "/persamaan",
    "oversight_equations.html",
    AUDITOR,
    equations,
    steps={"derive": Step(AUDITOR, derive)},
    optional=("halaman",),
)
RECONCILIATION = Screen(
    "/pencocokan",
    "oversight_reconciliation.html",
    history.ROLES,
    reconciliation,
    steps={"ask": Step(AUDITOR, ask)},
)
PROOFS = Screen("/bukti-log", "oversight_proofs.html", history.ROLES | {"operator"}, proofs)
