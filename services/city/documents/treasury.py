"""The treasurer's papers of an operation's travel money: expenditure report, STS and its draft.

The report and the draft are the state after the ledger's newest movement, which they name; printed
again before the next one they are the same. `released = spent + returned + outstanding` stands in
each line (rule 13). What the office has recorded nowhere (the treasury's account, the bank, who
deposits, and in a draft its number and validation) stands as a line to fill in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.city.domain import advance, treasury
from services.city.projections import ledger
from shared.kernel.decider import Event
from shared.runtime.manifest import Problem
from shared.runtime.papers import paper, words
from shared.runtime.papers.paper import Block, Cell, Paper
from shared.runtime.papers.record import Kind, Source, told

MOVEMENTS = (
    advance.AdvanceReleased,
    advance.FareRecorded,
    advance.FareCorrected,
    advance.SurplusReturned,
)


def _operation(events: Sequence[Event]) -> str | None:
    moved = [one.operation for one in events if isinstance(one, MOVEMENTS)]
    return moved[-1] if moved else None


def _sts(events: Sequence[Event]) -> str | None:
    recorded = [one.sts for one in events if isinstance(one, treasury.TreasuryReturnRecorded)]
    return recorded[-1] if recorded else None


REPORT = Kind("spj", MOVEMENTS, _operation, one_stream=False)
DRAFT = Kind("rancangan-sts", MOVEMENTS, _operation, one_stream=False)
STS = Kind("sts", (treasury.TreasuryReturnRecorded,), _sts)

NO_RECEIPT = "belum ada kuitansi"


async def report_facts(
    source: Source, operation: str, kind: Kind = REPORT
) -> dict[str, Any] | None:
    """The travel money of each person; None where none was ever released. Raises NotCovered."""
    movements = await ledger.movements(source.connection, operation)
    if not movements:
        return None
    newest = await source.event(max(one["position"] for one in movements))
    persons: dict[str, dict[str, Any]] = {}
    for one in movements:
        person = persons.setdefault(
            one["person"],
            {
                "person": one["person"],
                "budget_code": None,
                "released_rupiah": 0,
                "spent_rupiah": 0,
                "returned_rupiah": 0,
                "receipts": [],
                "sts": [],
            },
        )
        person[f"{one['kind']}_rupiah"] += one["amount_rupiah"]
        if one["kind"] == "released":
            person["budget_code"] = one["budget_code"]
        else:
            person["receipts" if one["kind"] == "spent" else "sts"].append(one["paper"])
    rows = [
        one
        | {
            "outstanding_rupiah": one["released_rupiah"]
            - one["spent_rupiah"]
            - one["returned_rupiah"]
        }
        for one in persons.values()
    ]
    parts = ("released_rupiah", "spent_rupiah", "returned_rupiah", "outstanding_rupiah")
    return {
        "record": await source.record(kind, newest, operation),
        "operation": operation,
        "persons": rows,
        "totals": {part: sum(one[part] for one in rows) for part in parts},
    }


async def draft_facts(source: Source, operation: str) -> dict[str, Any] | None:
    """What is left in hand, to be paid back. Raises Problem (409), NotCovered."""
    found = await report_facts(source, operation, DRAFT)
    if found is None:
        return None
    rows = [one for one in found["persons"] if one["outstanding_rupiah"]]
    if not rows:
        raise Problem(
            409,
            "NOTHING_OUTSTANDING",
            "Tidak ada sisa panjar yang dapat disetor pada kegiatan ini.",
            "Untuk STS yang sudah tercatat, sebutkan nomornya (sts).",
        )
    return {
        "record": found["record"],
        "operation": operation,
        "sts": None,
        "deposited_on": None,
        "bank_validation": None,
        "total_rupiah": sum(one["outstanding_rupiah"] for one in rows),
        "budget_codes": _codes(rows),
        "shares": [
            {
                "person": one["person"],
                "amount_rupiah": one["outstanding_rupiah"],
                "remark": None if one["receipts"] else NO_RECEIPT,
            }
            for one in rows
        ],
    }


async def sts_facts(source: Source, operation: str, number: str) -> dict[str, Any] | None:
    """One STS as it was recorded, or None. Raises NotCovered."""
    entries = told(STS, await source.stream(treasury.decider, number))
    recorded = entries[-1].event if entries else None
    if not isinstance(recorded, treasury.TreasuryReturnRecorded) or recorded.operation != operation:
        return None
    sharing = {one.person for one in recorded.shares}
    movements = await ledger.movements(source.connection, operation)
    return {
        "record": await source.record(STS, entries[-1], number),
        "operation": operation,
        "sts": number,
        "deposited_on": recorded.deposited_on,
        "bank_validation": recorded.bank_validation,
        "total_rupiah": recorded.total_rupiah,
        "budget_codes": _codes([one for one in movements if one["person"] in sharing]),
        "shares": [
            {"person": one.person, "amount_rupiah": one.amount_rupiah, "remark": None}
            for one in recorded.shares
        ],
    }


def _codes(rows: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({one["budget_code"] for one in rows if one["budget_code"]})


def report(office: str, found: dict[str, Any]) -> Paper:
    totals, count = found["totals"], len(found["persons"])
    return Paper(
        title="Laporan Pertanggungjawaban Belanja",
        subtitle=f"Tiket perjalanan (DPA), kegiatan {found['operation']}",
        office=office,
        record=found["record"],
        wide=True,
        handling="Untuk bendahara, pengguna anggaran dan pemeriksa.",
        blocks=[
            paper.fields(
                ("Penerima manfaat", f"{words.counted(count)} orang"),
                ("Dicairkan", _whole(totals["released_rupiah"])),
                ("Dibelanjakan", _whole(totals["spent_rupiah"])),
                ("Disetor kembali", _whole(totals["returned_rupiah"])),
                ("Sisa di tangan", _whole(totals["outstanding_rupiah"])),
                ("Perhitungan", "dicairkan = dibelanjakan + disetor kembali + sisa di tangan"),
            ),
            _lines(found),
            paper.signatures(
                ("Mengetahui, Pengguna Anggaran", None), ("Bendahara Pengeluaran", None)
            ),
        ],
    )


def _lines(found: dict[str, Any]) -> Block:
    totals = found["totals"]
    rows: list[list[Cell]] = [
        [
            str(number),
            one["person"],
            one["budget_code"],
            words.rupiah(one["released_rupiah"]),
            ", ".join(one["receipts"]) or NO_RECEIPT,
            words.rupiah(one["spent_rupiah"]),
            ", ".join(one["sts"]) or "–",
            words.rupiah(one["returned_rupiah"]),
            words.rupiah(one["outstanding_rupiah"]),
        ]
        for number, one in enumerate(found["persons"], 1)
    ]
    return paper.table(
        [
            ("No.", "auto", "right"),
            ("Kode PM", "auto", "left"),
            ("Mata anggaran", "3", "left"),
            ("Dicairkan", "auto", "right"),
            ("Kuitansi", "3", "left"),
            ("Dibelanjakan", "auto", "right"),
            ("STS", "3", "left"),
            ("Disetor", "auto", "right"),
            ("Sisa", "auto", "right"),
        ],
        rows,
        [
            None,
            "Jumlah",
            None,
            words.rupiah(totals["released_rupiah"]),
            None,
            words.rupiah(totals["spent_rupiah"]),
            None,
            words.rupiah(totals["returned_rupiah"]),
            words.rupiah(totals["outstanding_rupiah"]),
        ],
    )


def sts(office: str, found: dict[str, Any]) -> Paper:
    """The STS; without a number the draft of one."""
    draft, total = found["sts"] is None, found["total_rupiah"]
    shares = found["shares"]
    rows: list[list[Cell]] = [
        [str(number), one["person"], words.rupiah(one["amount_rupiah"]), one["remark"]]
        for number, one in enumerate(shares, 1)
    ]
    return Paper(
        title="Surat Tanda Setoran",
        subtitle="RANCANGAN: sah setelah divalidasi bank" if draft else "Menurut catatan kantor",
        office=office,
        record=found["record"],
        number=found["sts"],
        handling="Lembar pertama untuk bank; rincian per orang tetap di kantor.",
        blocks=[
            paper.fields(
                (
                    "Tanggal setor",
                    words.day(found["deposited_on"]) if found["deposited_on"] else None,
                ),
                ("Kantor", office),
                ("Rekening kas umum daerah", None),
                ("Bank", None),
                ("Kode mata anggaran", ", ".join(found["budget_codes"]) or None),
                ("Uraian", f"Sisa panjar tiket kegiatan {found['operation']}, setor kembali"),
                ("Jumlah", words.rupiah(total)),
                ("Terbilang", words.rupiah_in_words(total)),
                ("Penyetor", None),
                ("Nomor validasi bank", found["bank_validation"]),
            ),
            paper.signatures(("Penyetor, Bendahara", None), ("Bank penerima", None)),
            paper.annex("Rincian setoran"),
            paper.text(f"{words.counted(len(shares))} orang, {_whole(total)}."),
            paper.table(
                [
                    ("No.", "auto", "right"),
                    ("Kode PM", "auto", "left"),
                    ("Jumlah", "auto", "right"),
                    ("Keterangan", "1", "left"),
                ],
                rows,
                [None, "Jumlah", words.rupiah(total), None],
            ),
        ],
    )


def _whole(amount: int) -> str:
    return f"{words.rupiah(amount)} ({words.rupiah_in_words(amount)})"
