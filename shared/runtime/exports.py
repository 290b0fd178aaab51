"""A list as a workbook for people: headings and codes in plain words, times in the office's zone.

The API's names and codes stay in its JSON and CSV, for programs. Who is on a list is there by her
code alone, and what is sealed is said to be sealed; `sheets` sees to it that no cell is a formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from shared.runtime.history import PLAIN
from shared.runtime.sheets import to_xlsx

HEADINGS = {
    "person": "Kode PM", "operation": "Kode kegiatan", "handover": "Serah terima",
    "name": "Nama", "site": "Kode wilayah tempat asal", "origin": "Kode wilayah asal",
    "destination": "Tujuan", "listed": "Terdaftar", "willing": "Bersedia", "state": "Keadaan",
    "office": "Kantor", "case_status": "Status kasus", "said_by": "Menurut", "since": "Sejak",
    "planned_departure": "Rencana berangkat", "grant_rupiah": "Bantuan tiap orang (rupiah)",
    "fare_floor_rupiah": "Harga tiket paling rendah (rupiah)",
    "fare_ceiling_rupiah": "Harga tiket paling tinggi (rupiah)", "enumerated": "Terdaftar",
    "receiving_office": "Kantor penerima", "phase": "Tahap", "transport": "Sarana angkutan",
    "predecessor": "Lanjutan dari", "issuer": "Disusun oleh", "approver": "Disahkan oleh",
    "signatory": "Penanda tangan", "deed_number": "Nomor BAST", "deed_date": "Tanggal BAST",
    "departed_at": "Berangkat", "revision": "Perubahan ke", "note": "Catatan",
    "entries": "Orang", "answer": "Jawaban", "answered_at": "Dijawab", "absence": "Sebab",
    "answered_by": "Dijawab oleh", "diverted_to": "Dialihkan ke", "reference": "Nomor kredit",
    "amount_rupiah": "Jumlah (rupiah)", "credited_on": "Tanggal kredit", "kind": "Jenis",
    "replaces": "Mengganti", "failed": "Gagal", "returned_rupiah": "Kembali (rupiah)",
    "standing_rupiah": "Masih ada (rupiah)", "credits": "Banyaknya kredit",
    "budget_code": "Mata anggaran", "receipts": "Banyaknya kuitansi",
    "released_rupiah": "Diberikan (rupiah)", "spent_rupiah": "Dibelanjakan (rupiah)",
    "outstanding_rupiah": "Masih di tangan (rupiah)", "paper": "Nomor surat",
    "position": "Urutan dalam catatan", "sts": "Nomor STS", "total_rupiah": "Jumlah (rupiah)",
    "bank_validation": "Nomor validasi bank", "deposited_on": "Tanggal setor",
    "persons": "Orang", "office_position": "Jabatan", "acting": "Plt", "decree": "Nomor SK",
    "valid_from": "Berlaku sejak", "valid_until": "Berlaku sampai", "house": "Rumah singgah",
    "capacity": "Daya tampung", "residents": "Penghuni",
    "overrides": "Dengan alasan melebihi daya tampung", "worker": "Pemegang kasus",
    "offers": "Ditawarkan", "chosen": "Pilihannya", "completed": "Selesai",
    "follow_ups": "Pascalayanan (kali)", "crossed": "Bersilang",
    "status": "Status", "type": "Jenis", "subject": "Pokok", "receiver": "Kantor penerima",
    "sequence": "Nomor pesan", "recorded_at": "Dicatat", "sent_at": "Terkirim",
    "received_at": "Diterima sistem", "applied_at": "Diterapkan",
    "acknowledged_at": "Diakui petugas", "acknowledged_persons": "Orang yang dijawab",
    "acknowledged_of": "Dari", "basis": "Dasar hukum", "proposed_by": "Diusulkan oleh",
    "approved_by": "Disetujui oleh", "until": "Sampai", "placed_by": "Ditahan oleh",
    "purpose": "Tujuan melihat", "by": "Oleh", "at": "Waktu", "city": "Kota asal",
    "about": "Tentang", "unit": "Satuan", "side": "Sisi kiri", "left": "Nilai kiri",
    "right": "Nilai kanan", "terms": "Bagian", "difference": "Selisih", "outcome": "Hasil",
    "discrepancy": "Kode selisih", "words": "Uraian", "actor": "Oleh",
    "occurred_at": "Terjadi", "why": "Alasan", "reason": "Alasan",
}  # fmt: skip
"""Field → its heading. What is not here keeps its name: it is still a table."""

WORDS = {
    "state": {
        "undetermined": "belum ada tujuan", "assigned": "menunggu berangkat",
        "departed": "berangkat, belum diterima", "unlisted": "tiba tanpa terdaftar",
        "listed": "tercantum", "issued": "tercantum dalam BAST", "closed": "selesai",
        "none": "belum ada kredit", "undone": "gagal atau dikembalikan",
        "disputed": "dibantah kantornya", "beyond": "melebihi haknya",
        "partial": "kurang dari haknya", "unconfirmed": "penuh, belum dipastikan",
        "confirmed": "penuh dan dipastikan", "unspent": "belum ada kuitansi",
        "surplus": "ada sisa", "settled": "tidak ada sisa", "recorded": "tercatat",
        "sent": "terkirim", "received": "diterima sistem", "applied": "diterima sistem",
        "acknowledged": "diakui petugas", "expected": "diharapkan",
    },
    "phase": {
        "draft": "rancangan", "submitted": "menunggu pengesahan",
        "approved": "disahkan, belum terbit", "issued": "BAST terbit, belum berangkat",
        "departed": "berangkat", "expected": "diharapkan tiba",
    },
    "kind": {"released": "pencairan", "spent": "kuitansi", "returned": "STS"},
    "answer": {"confirmed": "dipastikan", "disputed": "dibantah"},
    "outcome": {"holds": "cocok", "open": "selisih terbuka", "explained": "selisih dijelaskan",
                "broken": "tidak cocok"},
}  # fmt: skip
"""Field → its codes in plain words, beside those that every history uses."""
CODED = frozenset({*WORDS, "absence", "status", "case_status", "basis", "purpose", "reason"})


def to_workbook(rows: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> bytes:
    """The rows as XLSX for people; bytes as `to_xlsx` makes them."""
    return to_xlsx([_row(row, zone) for row in rows], "Daftar")


def _row(row: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in _flattened(row):
        heading = HEADINGS.get(name[0], name[0])
        if name[1]:
            heading += f": {WORDS['state'].get(name[1]) or PLAIN.get(name[1], name[1])}"
        # Two fields with one heading are two columns all the same.
        cells[heading if heading not in cells else f"{heading} ({name[0]})"] = _cell(
            name[0], value, zone
        )
    return cells


def _flattened(row: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Each value under its field's name, and under its own where it stands in another one."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from (((name, str(inner)), one) for inner, one in value.items())
        else:
            yield (name, ""), value


def _cell(name: str, value: Any, zone: ZoneInfo) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, str) and name in CODED:
        return WORDS.get(name, {}).get(value) or PLAIN.get(value, value)
    if isinstance(value, str) and value.startswith("office:"):
        return f"kantor {value.removeprefix('office:')}"
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        # An empty cell is what nobody has said; that it is none was said.
        return ", ".join(value) or "–"
    return value
