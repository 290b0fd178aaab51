"""The certificate of an erasure, once every office that was asked has confirmed.

What is proven is that her key is gone; of her it says a code that leads nowhere any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.custody import erasure
from shared.kernel.decider import Event
from shared.runtime.history import PLAIN
from shared.runtime.papers import paper, words
from shared.runtime.papers.paper import Cell, Paper
from shared.runtime.papers.record import Kind, Source, told
from shared.runtime.settings import Settings

STATEMENT = (
    "Kunci data orang ini, dan masa kunci yang membungkusnya, telah dimusnahkan di kantor"
    " ini; setiap kantor yang menerima datanya telah memastikan hal yang sama. Yang"
    " tersisa ialah jumlah dan catatan tanpa identitas."
)


def _number(events: Sequence[Event]) -> str | None:
    ended = [one.erasure for one in events if isinstance(one, erasure.ErasureCompleted)]
    return ended[-1] if ended else None


KIND = Kind("surat-penghapusan", (erasure.ErasureCompleted,), _number)


async def facts(source: Source, person: str) -> dict[str, Any] | None:
    """Who decided what, on what ground, and who confirmed; None where it is not complete.

    Raises NotCovered.
    """
    entries = told(KIND, await source.stream(erasure.decider, person))
    if not entries:
        return None
    steps: list[dict[str, Any]] = []
    proposed: erasure.ErasureProposed | None = None
    executed: erasure.ErasureExecuted | None = None
    for one in entries:
        match one.event:
            case erasure.ErasureProposed() as proposed:
                said = f"Diusulkan oleh akun {proposed.proposer}"
            case erasure.ErasureApproved(approver=approver):
                said = f"Disetujui oleh akun {approver}"
            case erasure.ErasureOrdered(office=office):
                said = f"Diminta oleh {words.office(office)}"
            case erasure.ErasureExecuted() as executed:
                said = f"Kunci dimusnahkan; masa kunci sebelum {executed.epoch} berakhir"
            case erasure.ErasureConfirmed(office=office):
                said = f"Dipastikan oleh {words.office(office)}"
            case erasure.ErasureCompleted():
                said = "Selesai di semua kantor"
            case _:
                continue
        steps.append({"what": said, "at": datetime.fromisoformat(one.recorded_at)})
    if executed is None:
        return None
    return {
        "record": await source.record(KIND, entries[-1], executed.erasure),
        "person": person,
        "erasure": executed.erasure,
        "basis": executed.basis,
        "reference": proposed.reference if proposed else None,
        "offices": list(executed.offices),
        "steps": steps,
    }


def certificate(settings: Settings, found: dict[str, Any]) -> Paper:
    rows: list[list[Cell]] = [
        [str(number), words.short_moment(one["at"], settings.zone), one["what"]]
        for number, one in enumerate(found["steps"], 1)
    ]
    asked = [words.office(one) for one in found["offices"]]
    return Paper(
        title="Surat Keterangan Penghapusan Data",
        office=settings.office_name,
        record=found["record"],
        number=found["erasure"],
        classification="TERBATAS",
        handling="Diberikan kepada yang meminta penghapusan; satu lembar tinggal di kantor.",
        blocks=[
            paper.fields(
                ("Kode yang dihapus", found["person"]),
                ("Dasar hukum", PLAIN[found["basis"]]),
                ("Surat dasar", found["reference"]),
                ("Kantor lain", "; ".join(asked) or "tidak ada yang menerima datanya"),
            ),
            paper.text(STATEMENT),
            paper.heading("Urutan"),
            paper.table(
                [("No.", "auto", "right"), ("Dicatat", "auto", "left"), ("Apa", "1", "left")],
                rows,
            ),
            paper.signatures(("Pejabat pelindungan data", None), ("Mengetahui, Kepala", None)),
        ],
    )
