"""The province's papers of one handover: acknowledgement of arrival, and the sheet for the quay.

The acknowledgement is what reception has answered so far, person by person (rules 5 and 6); the
sheet is for a day without a line: a box for each answer, to be typed in afterwards. Both name
people by their code. Another sheet says who they are: it is printed from a look that is on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from services.province.domain import arrival
from shared.kernel.decider import Event
from shared.runtime.history import PLAIN
from shared.runtime.manifest import Problem
from shared.runtime.papers import paper, words
from shared.runtime.papers.paper import Block, Cell, Paper
from shared.runtime.papers.record import Kind, Source, fold, told


def _number(events: Sequence[Event]) -> str | None:
    known = [one.deed_number for one in events if isinstance(one, arrival.HandoverExpected)]
    return known[-1] if known else None


ANSWERS = (
    arrival.ArrivalAcknowledged,
    arrival.UnlistedArrivalAcknowledged,
    arrival.UnlistedArrivalCorrected,
    arrival.HandoverDeclined,
)
LISTS = (arrival.HandoverExpected, arrival.ExpectationAmended, arrival.ExpectationWithdrawn)
ACKNOWLEDGEMENT = Kind("pengakuan-kedatangan", ANSWERS, _number)
SHEET = Kind("lembar-kedatangan", LISTS, _number, voids=(arrival.ExpectationWithdrawn,))
WITH_NAMES = Kind("lembar-kedatangan-identitas", LISTS, _number, SHEET.voids)

SPARE_ROWS = 5
"""Empty lines on the sheet, for who comes without standing on the list."""


async def acknowledged(source: Source, code: str) -> dict[str, Any] | None:
    """What this office has answered; None without such a handover.

    Raises Problem (409), NotCovered.
    """
    everything = await source.stream(arrival.decider, code)
    entries = told(ACKNOWLEDGEMENT, everything)
    if not everything:
        return None
    state: arrival.State = fold(arrival.decider, entries)
    if state.expected is None:
        raise Problem(
            409,
            "NOTHING_ANSWERED",
            "Kedatangan dalam serah terima ini belum dijawab untuk seorang pun.",
            "Catat jawabannya lebih dahulu; untuk daftar periksa cetaklah lembar kedatangan.",
        )
    by = {
        one.event.person: one.actor
        for one in entries
        if isinstance(one.event, arrival.ArrivalAcknowledged | arrival.UnlistedArrivalAcknowledged)
    }
    listed = [
        {
            "person": person,
            "crossed": person not in state.entries,
            "outcome": answer.outcome if answer else None,
            "at": answer.at if answer else None,
            "absence": answer.absence if answer else None,
            "diverted_to": answer.diverted_to if answer else None,
            "corrected": bool(answer and answer.corrects),
            "by": by.get(person),
        }
        for person in dict.fromkeys((*state.entries, *state.answers))
        for answer in [state.answers.get(person)]
    ]
    unlisted = [
        {"person": person, "at": one.at, "by": by.get(person)}
        for person, one in state.unlisted.items()
    ]
    return _head(state.expected) | {
        "record": await source.record(ACKNOWLEDGEMENT, entries[-1], state.expected.deed_number),
        "declined": state.phase == "declined",
        "entries": listed,
        "unlisted": unlisted,
        "counts": {
            "listed": len(listed),
            **{
                outcome: sum(one["outcome"] == outcome for one in listed)
                for outcome in ("arrived", "absent", "diverted")
            },
            "unanswered": sum(one["outcome"] is None for one in listed),
            "unlisted": len(unlisted),
        },
    }


async def expected(source: Source, code: str, kind: Kind = SHEET) -> dict[str, Any] | None:
    """Who is to be met, as the city announced it last; None without such a handover.

    Raises NotCovered.
    """
    entries = told(kind, await source.stream(arrival.decider, code))
    if not entries:
        return None
    state: arrival.State = fold(arrival.decider, entries)
    if state.expected is None:
        return None
    found = _head(state.expected) | {
        "record": await source.record(kind, entries[-1], state.expected.deed_number),
        "withdrawn": state.phase == "withdrawn",
        "revision": state.revision,
        "entries": [{"person": one.person, "origin": one.origin} for one in state.entries.values()],
    }
    if kind is WITH_NAMES:
        # A later revision names codes alone: who somebody is came with the first announcement.
        first = {one.person: one.identity for one in state.expected.entries}
        found["sealed"] = {person: first.get(person) for person in state.entries}
    return found


def _head(known: arrival.HandoverExpected) -> dict[str, Any]:
    return {
        "handover": known.handover,
        "city": known.city,
        "number": known.deed_number,
        "date": known.deed_date,
        "planned_departure": known.planned_departure,
        "transport": known.transport,
    }


def _about(found: dict[str, Any]) -> Block:
    return paper.fields(
        ("BAST", f"{found['number']}, {words.day(found['date'])}"),
        ("Yang menyerahkan", words.office(found["city"])),
        ("Angkutan", found["transport"]),
        ("Rencana berangkat", words.day(found["planned_departure"])),
    )


def acknowledgement(office: str, zone: ZoneInfo, found: dict[str, Any]) -> Paper:
    counts = found["counts"]
    return Paper(
        title="Pengakuan Kedatangan",
        subtitle="Serah terima ditolak oleh kantor ini" if found["declined"] else "",
        office=office,
        record=found["record"],
        blocks=[
            _about(found),
            paper.text(
                "Kantor ini mengakui keadaan setiap penerima manfaat sebagaimana tercantum di",
                "bawah. Tanggung jawab atas setiap orang yang tiba beralih kepada kantor ini pada",
                "waktu yang tertulis di samping kodenya.",
            ),
            paper.fields(
                ("Dalam daftar", _persons(counts["listed"])),
                ("Tiba", _persons(counts["arrived"])),
                ("Tidak tiba", _persons(counts["absent"])),
                ("Dialihkan", _persons(counts["diverted"])),
                ("Belum dijawab", _persons(counts["unanswered"])),
                ("Tidak terdaftar, tiba", _persons(counts["unlisted"])),
            ),
            paper.signatures(("Petugas penerimaan", None), ("Mengetahui, Kepala", None)),
            paper.annex("Daftar pengakuan"),
            _answers(zone, found),
            paper.note(
                "Jawaban bertanda * menggantikan jawaban sebelumnya; keduanya tersimpan dalam log."
            ),
        ],
    )


def _persons(count: int) -> str:
    return f"{words.counted(count)} orang"


def _answers(zone: ZoneInfo, found: dict[str, Any]) -> Block:
    rows: list[list[Cell]] = []
    for one in found["entries"]:
        said = PLAIN[one["outcome"]] if one["outcome"] else "belum dijawab"
        why = PLAIN[one["absence"]] if one["absence"] else None
        if one["diverted_to"]:
            why = f"ke {words.office(one['diverted_to'])}"
        if one["crossed"]:
            why = f"{why}; ditarik oleh kota" if why else "ditarik oleh kota"
        rows.append(
            [
                one["person"],
                said + (" *" if one["corrected"] else ""),
                words.short_moment(one["at"], zone) if one["at"] else None,
                why,
                one["by"],
            ]
        )
    rows += [
        [
            one["person"],
            "tiba, tidak terdaftar",
            words.short_moment(one["at"], zone),
            None,
            one["by"],
        ]
        for one in found["unlisted"]
    ]
    return paper.table(
        [
            ("No.", "auto", "right"),
            ("Kode PM", "auto", "left"),
            ("Jawaban", "2", "left"),
            ("Waktu", "auto", "left"),
            ("Keterangan", "2", "left"),
            ("Akun petugas", "auto", "left"),
        ],
        [[str(number), *row] for number, row in enumerate(rows, 1)],
    )


def sheet(office: str, found: dict[str, Any], opened: str = "") -> Paper:
    """Boxes to tick. With `found["identities"]` it says who they are, and `opened` by whom so."""
    identities = found.get("identities")
    who = [("Nama (inisial)", "4", "left"), ("Lahir", "auto", "left")] if identities else []
    rows: list[list[Cell]] = []
    for number, one in enumerate(found["entries"], 1):
        known = _known(identities[one["person"]]) if identities else []
        rows.append([str(number), one["person"], *known, *_BOXES])
    rows += [
        [str(len(rows) + number), None, *([None] * len(who)), *_BOXES]
        for number in range(1, SPARE_ROWS + 1)
    ]
    return Paper(
        title="Lembar Kedatangan",
        subtitle="SERAH TERIMA DITARIK" if found["withdrawn"] else _revision(found),
        office=office,
        record=found["record"],
        number=found["number"],
        wide=True,
        handling="Untuk saat jaringan putus. Simpan terkunci; musnahkan setelah disalin ke sistem.",
        remark=opened,
        blocks=[
            _about(found),
            paper.fields(("Tempat dan tanggal", None), ("Petugas", None)),
            paper.table(
                [
                    ("No.", "auto", "right"),
                    ("Kode PM", "auto", "left"),
                    *who,
                    ("Tiba", "auto", "center"),
                    ("Jam", "1", "left"),
                    ("Masih bersedia", "auto", "center"),
                    ("Rumah singgah", "2", "left"),
                    ("Tidak tiba", "auto", "center"),
                    ("Dialihkan ke", "auto", "left"),
                    ("Sebab, paraf", "3", "left"),
                ],
                rows,
            ),
            paper.note(
                "Sebab tidak tiba: (1) tidak ikut berangkat, (2) pergi dalam perjalanan, (3) ia"
                " tidak mau, (4) sebab lain. Tanyakan lagi kesediaannya saat tiba. Baris kosong:"
                " yang tiba tanpa terdaftar."
            ),
            paper.signatures(("Petugas penerimaan", None), ("Pengantar", None)),
        ],
    )


_BOXES: tuple[Cell, ...] = (True, None, True, None, True, None, None)


def _revision(found: dict[str, Any]) -> str:
    return f"Menurut perubahan ke-{found['revision']}" if found["revision"] else ""


FIELDS = ("initials", "name", "born")
"""What one compares at the quay; nobody's NIK lies about there."""


def _known(identity: dict[str, Any]) -> list[Cell]:
    name, initials, born = (identity.get(one) for one in ("name", "initials", "born"))
    if born and born[:1].isdigit():
        on = date.fromisoformat(born)
        born = f"{on.day}-{on.month}-{on.year}"
    return [f"{name} ({initials})" if name and name != initials else initials, born]
