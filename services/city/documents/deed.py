"""The BAST of a handover with its manifest, and apart from it the annex that says who they are.

The deed is what `HandoverIssued` recorded, and after a withdrawal what the newest revision left of
it: nothing that came later changes a letter. It names people by their code alone, initials too stay
in the annex (ADR 0020), for the deed lies open on many desks. What the office has recorded nowhere
stands as a line to fill in: names and NIP of those who sign, the place, the receiving official.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from services.city.domain import authority, handover, operation
from shared.kernel.decider import Event
from shared.runtime.manifest import Problem
from shared.runtime.papers import paper, words
from shared.runtime.papers.paper import Block, Cell, Paper
from shared.runtime.papers.record import Kind, Source, fold, told


def _number(events: Sequence[Event]) -> str | None:
    issued = [one.deed_number for one in events if isinstance(one, handover.HandoverIssued)]
    return issued[-1] if issued else None


ANCHORS = (handover.HandoverIssued, handover.EntryWithdrawn, handover.HandoverWithdrawn)
KIND = Kind("bast", ANCHORS, _number, voids=(handover.HandoverWithdrawn,))
ANNEX = Kind("bast-identitas", ANCHORS, _number, voids=(handover.HandoverWithdrawn,))

PASSING = (
    "Tanggung jawab atas setiap penerima manfaat beralih dari PIHAK PERTAMA kepada PIHAK KEDUA"
    " orang demi orang, pada saat PIHAK KEDUA mengakui kedatangannya, dan bukan pada saat"
    " keberangkatan."
    " Sebelum pengakuan itu tanggung jawab tetap pada PIHAK PERTAMA."
)


async def facts(source: Source, code: str, kind: Kind = KIND) -> dict[str, Any] | None:
    """What the deed says; None without such a handover. Raises Problem (409), NotCovered."""
    everything = await source.stream(handover.decider, code)
    if not everything:
        return None
    entries = told(kind, everything)
    issued = next((one for one in entries if isinstance(one.event, handover.HandoverIssued)), None)
    if issued is None or not isinstance(issued.event, handover.HandoverIssued):
        raise Problem(
            409,
            "DEED_NOT_ISSUED",
            "BAST serah terima ini belum terbit.",
            "Terbitkan lebih dahulu; rancangan tidak dicetak sebagai berita acara.",
        )
    deed, through = issued.event, entries[-1].position
    state: handover.State = fold(handover.decider, entries)
    approved = state.approved
    return {
        "record": await source.record(kind, entries[-1], deed.deed_number),
        "handover": code,
        "number": deed.deed_number,
        "date": deed.deed_date,
        "receiving_office": deed.receiving_office,
        "planned_departure": deed.planned_departure,
        "transport": deed.transport,
        "predecessor": deed.predecessor,
        "revision": state.revision,
        "withdrawn": state.phase == "withdrawn",
        "signatory": approved
        and await _signatory(source, approved.signatory, deed.deed_date, issued.position),
        "operation": await _operation(source, deed, through),
        "entries": [{"person": one.person, "origin": one.origin} for one in state.entries.values()],
        "withdrawn_persons": sorted(state.manifest - set(state.entries)),
    } | (
        {"sealed": {one.person: one.identity for one in state.entries.values()}}
        if kind is ANNEX
        else {}
    )


async def _signatory(source: Source, who: str, on: date, through: int) -> dict[str, Any]:
    """The authority by which the deed is signed, as it was recorded when the deed was issued.

    Of several that are valid on that day, the one recorded last.
    """
    state: authority.State = await source.state(authority.decider, who, through)
    valid = [
        one for one in state.conferred if one.valid_from <= on <= (state.until(one) or date.max)
    ]
    if not valid:
        return {"signatory": who, "position": None, "acting": False, "decree": None}
    one = valid[-1]
    return {
        "signatory": who, "position": one.position, "acting": one.acting, "decree": one.decree,
    }  # fmt: skip


async def _operation(source: Source, deed: handover.HandoverIssued, through: int) -> dict[str, Any]:
    """Its name, and what was declared to go to this receiver; nothing of other offices."""
    entries = await source.stream(operation.decider, deed.operation, through)
    opened = [one.event for one in entries if isinstance(one.event, operation.OperationOpened)]
    claims = [one.event.claim for one in entries if isinstance(one.event, operation.TotalDeclared)]
    return {
        "operation": deed.operation,
        "name": opened[0].name if opened else None,
        "site": opened[0].site if opened else None,
        "claims": [
            one
            for one in claims
            if one.subject == "destination" and one.destination == deed.receiving_office
        ],
    }


def deed(office: str, found: dict[str, Any]) -> Paper:
    """The BAST, its manifest annexed."""
    count = len(found["entries"])
    receiver = words.office(found["receiving_office"])
    return Paper(
        title="Berita Acara Serah Terima",
        subtitle=_standing(found),
        office=office,
        record=found["record"],
        number=found["number"],
        blocks=[
            paper.text(
                f"Pada hari ini, {words.day_in_words(found['date'])} ({words.day(found['date'])}),",
                "bertempat di tempat yang disebut di bawah, kami yang bertanda tangan:",
            ),
            paper.fields(("Tempat", None)),
            paper.heading("PIHAK PERTAMA, yang menyerahkan"),
            paper.fields(
                ("Nama", None),
                ("NIP", None),
                ("Jabatan", _position(found["signatory"])),
                ("Instansi", office),
                ("Berdasarkan", _decree(found["signatory"])),
            ),
            paper.heading("PIHAK KEDUA, yang menerima"),
            paper.fields(("Nama", None), ("NIP", None), ("Jabatan", None), ("Instansi", receiver)),
            paper.heading("Dasar"),
            paper.items(*_grounds(found), None, None),
            paper.heading("Yang diserahterimakan"),
            paper.text(
                "PIHAK PERTAMA menyerahkan kepada PIHAK KEDUA, dan PIHAK KEDUA menerima,",
                f"penerima manfaat sejumlah {words.counted(count)} orang menurut daftar nominatif",
                "terlampir, yang merupakan bagian dari berita acara ini.",
            ),
            paper.fields(
                ("Tujuan", words.region(found["receiving_office"])),
                ("Angkutan", found["transport"]),
                ("Rencana berangkat", words.day(found["planned_departure"])),
                *([("Lanjutan dari", found["predecessor"])] if found["predecessor"] else []),
            ),
            paper.heading("Peralihan tanggung jawab"),
            paper.text(PASSING),
            paper.heading("Catatan selisih"),
            paper.items(*_differences(found, count), None),
            paper.closing(
                "Demikian berita acara ini dibuat dengan sebenarnya untuk dipergunakan sebagaimana"
                " mestinya."
            ),
            paper.signatures(
                ("PIHAK KEDUA", receiver),
                ("PIHAK PERTAMA", _position(found["signatory"])),
                ("Saksi", None),
                ("Saksi", None),
                ("Mengetahui", None),
            ),
            paper.annex("Daftar nominatif"),
            paper.text(
                f"Lampiran berita acara nomor {found['number']}, {words.counted(count)} orang."
            ),
            _manifest(found),
            paper.note(
                "Penerima manfaat disebut dengan kode. Nama, inisial dan NIK ada hanya dalam"
                " lampiran tersegel."
            ),
        ],
    )


def _standing(found: dict[str, Any]) -> str:
    if found["withdrawn"]:
        return "DITARIK, TIDAK BERLAKU"
    return f"Perubahan ke-{found['revision']}" if found["revision"] else ""


def _position(signatory: dict[str, Any] | None) -> str | None:
    """An acting head signs as acting (Plt.), whether or not the decree's wording says so."""
    if not signatory or signatory["position"] is None:
        return None
    position = str(signatory["position"])
    if signatory["acting"] and not position.lower().startswith("plt"):
        return f"Plt. {position}"
    return position


def _decree(signatory: dict[str, Any] | None) -> str | None:
    return signatory["decree"] if signatory else None


def _grounds(found: dict[str, Any]) -> list[str]:
    operation_ = found["operation"]
    name = f": {operation_['name']}" if operation_["name"] else ""
    return [
        f"Kegiatan pemulangan {operation_['operation']}{name}.",
        "Surat pernyataan kesediaan setiap penerima manfaat dalam daftar.",
    ]


def _differences(found: dict[str, Any], count: int) -> list[str]:
    notes = []
    for claim in found["operation"]["claims"]:
        said = (
            f"Dinyatakan {words.counted(claim.figure)} orang ke"
            f" {words.region(found['receiving_office'])} ({claim.source},"
            f" {words.day(claim.stated_on)}); dalam daftar ini {words.counted(count)} orang"
        )
        apart = abs(claim.figure - count)
        alone = "Serah terima lain ke sana tidak ikut dihitung di sini."
        notes.append(
            f"{said}: selisih {words.counted(apart)}. {alone}" if apart else f"{said}: sama."
        )
    if gone := found["withdrawn_persons"]:
        notes.append(
            f"Setelah terbit {words.counted(len(gone))} orang ditarik dari daftar:"
            f" {', '.join(gone)}."
        )
    return notes


def _manifest(found: dict[str, Any]) -> Block:
    rows: list[list[Cell]] = [
        [
            str(number),
            entry["person"],
            words.region(entry["origin"]),
            words.region(found["receiving_office"]),
            found["transport"],
            None,
        ]
        for number, entry in enumerate(found["entries"], 1)
    ]
    return paper.table(
        [
            ("No.", "auto", "right"),
            ("Kode PM", "auto", "left"),
            ("Asal", "auto", "left"),
            ("Tujuan", "auto", "left"),
            ("Angkutan", "5", "left"),
            ("Keterangan", "3", "left"),
        ],
        rows,
    )


def annex(office: str, found: dict[str, Any], by: str, purpose: str) -> Paper:
    """Who they are. `found["identities"]` was opened on the record; who opened it stands below."""
    rows: list[list[Cell]] = [
        [
            str(number),
            entry["person"],
            *(_said(found["identities"][entry["person"]], field) for field in FIELDS),
            None,
        ]
        for number, entry in enumerate(found["entries"], 1)
    ]
    return Paper(
        title="Lampiran Identitas",
        subtitle="Lampiran tersegel Berita Acara Serah Terima",
        office=office,
        record=found["record"],
        number=found["number"],
        handling="Serahkan dalam sampul tersegel kepada pejabat penerima; jangan disalin.",
        remark=f"Dibuka oleh akun {by} untuk: {purpose}. Pembukaan ini tercatat.",
        blocks=[
            paper.text(
                f"Untuk {words.counted(len(rows))} orang dalam daftar nominatif berita acara nomor",
                f"{found['number']} tertanggal {words.day(found['date'])}, ke",
                f"{words.office(found['receiving_office'])}.",
            ),
            paper.table(
                [
                    ("No.", "auto", "right"),
                    ("Kode PM", "auto", "left"),
                    ("Inisial", "auto", "left"),
                    ("Nama", "3", "left"),
                    ("NIK", "auto", "left"),
                    ("Tanggal lahir", "2", "left"),
                    ("Keterangan", "2", "left"),
                ],
                rows,
            ),
            paper.signatures(("Yang menyerahkan", None), ("Yang menerima", None)),
        ],
    )


FIELDS = ("initials", "name", "nik", "born")
"""What of an identity the annex needs, and no more."""


def _said(identity: dict[str, Any], field: str) -> str | None:
    value = identity.get(field)
    if field == "born" and value and value[:1].isdigit():
        on = date.fromisoformat(value)
        return f"{on.day} {words.MONTHS[on.month - 1]} {on.year}"
    return value
