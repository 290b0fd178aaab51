"""The expected arrivals of one handover, and this office's answer for each person.

Only the receiving office answers, per person, in as many sittings as it needs; to answer twice is
to answer once (rule 6). Responsibility passes with the answer "arrived" (rule 5). An answer may
come before the city's word of the departure: people travel faster than paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar, Literal

from pydantic import AwareDatetime

from shared.contracts.values import (
    AbsenceReason,
    ArrivalOutcome,
    DeclineReason,
    Identifier,
    Line,
    ManifestEntry,
    ManifestLine,
    OfficeCode,
    PersonCode,
    Reason,
    Reference,
    Sealed,
    SealedIdentity,
)
from shared.kernel.decider import Command, Decider, Decision, Event, Refused

Phase = Literal["unknown", "expected", "withdrawn", "declined"]


class HandoverExpected(Event):
    type: ClassVar[str] = "pulang.province.arrival.expected.v1"
    words: ClassVar[str] = (
        "Kantor {city} mengumumkan serah terima {handover}, berita acara {deed_number}."
    )
    handover: Identifier
    city: OfficeCode
    operation: Identifier
    deed_number: Reference
    deed_date: date
    planned_departure: date
    transport: Line
    predecessor: Identifier | None
    entries: tuple[ManifestEntry, ...]


class ExpectationAmended(Event):
    """The manifest as it now is; `crossed` had already been answered for here."""

    type: ClassVar[str] = "pulang.province.arrival.amended.v1"
    words: ClassVar[str] = "Daftar {handover} diubah oleh kota (perubahan ke-{revision})."
    handover: Identifier
    revision: int
    withdrawn: tuple[PersonCode, ...]
    crossed: tuple[PersonCode, ...]
    entries: tuple[ManifestEntry, ...]


class ExpectationWithdrawn(Event):
    type: ClassVar[str] = "pulang.province.arrival.withdrawn.v1"
    words: ClassVar[str] = "Serah terima {handover} ditarik oleh kota."
    handover: Identifier
    crossed: tuple[PersonCode, ...]


class DepartureNoted(Event):
    type: ClassVar[str] = "pulang.province.arrival.departure-noted.v1"
    words: ClassVar[str] = "Kota memberi tahu keberangkatan {handover}: {departed_at}."
    handover: Identifier
    departed_at: AwareDatetime
    did_not_occur: bool


class ArrivalAcknowledged(Event):
    """Answer number `answer` for this person; with `corrects` it replaces an earlier one."""

    type: ClassVar[str] = "pulang.province.arrival.acknowledged.v1"
    words: ClassVar[str] = "Jawaban ke-{answer} untuk {person} dalam {handover}: {outcome}."
    handover: Identifier
    city: OfficeCode
    person: PersonCode
    outcome: ArrivalOutcome
    at: AwareDatetime
    answer: int
    corrects: int | None
    reason: Sealed | None
    absence: AbsenceReason | None
    diverted_to: OfficeCode | None


class UnlistedArrivalAcknowledged(Event):
    type: ClassVar[str] = "pulang.province.arrival.unlisted.v1"
    words: ClassVar[str] = "{person} tiba tanpa tercantum dalam {handover}."
    handover: Identifier
    city: OfficeCode
    person: PersonCode
    identity: Sealed | None
    at: AwareDatetime


class UnlistedArrivalCorrected(Event):
    """The unlisted arrival recorded before did not occur (rule 18)."""

    type: ClassVar[str] = "pulang.province.arrival.unlisted-corrected.v1"
    words: ClassVar[str] = "Kedatangan {person} tanpa tercantum dalam {handover} tidak terjadi."
    handover: Identifier
    city: OfficeCode
    person: PersonCode
    at: AwareDatetime
    reason: Sealed


class HandoverDeclined(Event):
    type: ClassVar[str] = "pulang.province.arrival.declined.v1"
    words: ClassVar[str] = "Serah terima {handover} ditolak ({reason})."
    handover: Identifier
    city: OfficeCode
    reason: DeclineReason
    explanation: Sealed
    persons: tuple[PersonCode, ...]


@dataclass(frozen=True)
class State:
    phase: Phase = "unknown"
    expected: HandoverExpected | None = None
    revision: int = 0
    departed_at: AwareDatetime | None = None
    entries: dict[str, ManifestEntry] = field(default_factory=dict)
    answers: dict[str, ArrivalAcknowledged] = field(default_factory=dict)
    unlisted: dict[str, UnlistedArrivalAcknowledged] = field(default_factory=dict)


def evolve(state: State, event: Event) -> State:
    match event:
        case HandoverExpected(entries=entries):
            return replace(state, phase="expected", expected=event, entries=_by_person(entries))
        case ExpectationAmended(revision=revision, entries=entries):
            return replace(state, revision=revision, entries=_by_person(entries))
        case ExpectationWithdrawn():
            return replace(state, phase="withdrawn")
        case DepartureNoted(departed_at=at, did_not_occur=did_not_occur):
            return replace(state, departed_at=None if did_not_occur else at)
        case ArrivalAcknowledged(person=person):
            return replace(state, answers=state.answers | {person: event})
        case UnlistedArrivalAcknowledged(person=person):
            return replace(state, unlisted=state.unlisted | {person: event})
        case UnlistedArrivalCorrected(person=gone):
            left = {person: one for person, one in state.unlisted.items() if person != gone}
            return replace(state, unlisted=left)
        case HandoverDeclined():
            return replace(state, phase="declined")
    return state


class ExpectHandover(Command):
    handover: Identifier
    city: OfficeCode
    operation: Identifier
    deed_number: Reference
    deed_date: date
    planned_departure: date
    transport: Line
    predecessor: Identifier | None = None
    entries: tuple[ManifestEntry, ...]


class AmendExpectation(Command):
    handover: Identifier
    city: OfficeCode
    revision: int
    withdrawn: tuple[PersonCode, ...]
    entries: tuple[ManifestLine, ...]


class WithdrawExpectation(Command):
    handover: Identifier
    city: OfficeCode


class NoteDeparture(Command):
    handover: Identifier
    city: OfficeCode
    departed_at: AwareDatetime
    did_not_occur: bool = False


class AcknowledgeArrival(Command):
    """This office's answer for one person. `occurred_at` is when she arrived, or was missed."""

    handover: Identifier
    person: PersonCode
    outcome: ArrivalOutcome
    absence: AbsenceReason | None = None
    diverted_to: OfficeCode | None = None


class CorrectAcknowledgement(Command):
    """Replaces answer number `corrects`, with a reason (rule 18)."""

    handover: Identifier
    person: PersonCode
    corrects: int
    outcome: ArrivalOutcome
    absence: AbsenceReason | None = None
    diverted_to: OfficeCode | None = None
    reason: Reason


class AcknowledgeUnlisted(Command):
    handover: Identifier
    person: PersonCode
    identity: SealedIdentity | None = None


class CorrectUnlisted(Command):
    """That arrival did not occur: she was mistaken for somebody, or is on the manifest."""

    handover: Identifier
    person: PersonCode
    reason: Reason


class DeclineHandover(Command):
    """This office does not take the handover. `explanation` stays here, `reason` travels."""

    handover: Identifier
    reason: DeclineReason
    explanation: Reason


def decide(command: Command, state: State) -> Decision:
    if isinstance(command, ExpectHandover):
        return _expect(command, state)
    if state.expected is None:
        return Refused(
            "ARRIVAL_UNKNOWN",
            "Serah terima ini belum diumumkan kepada kantor ini.",
            "Periksa kodenya, atau tanyakan kepada kota pengirim.",
        )
    match command:
        case AmendExpectation() | WithdrawExpectation() | NoteDeparture():
            return _hear(command, state, state.expected)
        case AcknowledgeArrival() | CorrectAcknowledgement():
            return _acknowledge(command, state, state.expected)
        case AcknowledgeUnlisted():
            return _unlisted(command, state, state.expected)
        case CorrectUnlisted():
            return _correct_unlisted(command, state)
        case DeclineHandover():
            return _decline(command, state, state.expected)
    raise TypeError(command)


def _expect(command: ExpectHandover, state: State) -> Decision:
    expected = HandoverExpected(
        handover=command.handover,
        city=command.city,
        operation=command.operation,
        deed_number=command.deed_number,
        deed_date=command.deed_date,
        planned_departure=command.planned_departure,
        transport=command.transport,
        predecessor=command.predecessor,
        entries=command.entries,
    )
    if state.expected is not None and _in_clear(state.expected) == _in_clear(expected):
        return []
    if state.expected is not None:
        return Refused(
            "ARRIVAL_DIFFERS",
            "Serah terima dengan kode ini sudah diumumkan dengan isi lain.",
            "Tanyakan kepada kota pengirim; yang pertama tetap berlaku.",
        )
    return [expected]


def _in_clear(expected: HandoverExpected) -> HandoverExpected:
    """Without what is sealed, which is another ciphertext each time."""
    entries = (entry.model_copy(update={"identity": None}) for entry in expected.entries)
    return expected.model_copy(update={"entries": tuple(entries)})


def _hear(
    command: AmendExpectation | WithdrawExpectation | NoteDeparture,
    state: State,
    expected: HandoverExpected,
) -> Decision:
    """Takes in what the city says of its own handover; only the city that issued it may."""
    if command.city != expected.city:
        return Refused(
            "NOT_THE_SENDER",
            f"Kantor {command.city} bukan pengirim serah terima ini.",
            "Hubungi kedua kota; pesan ini tidak diterapkan.",
        )
    match command:
        case AmendExpectation(revision=revision):
            if revision <= state.revision:
                return []
            return [
                ExpectationAmended(
                    handover=command.handover,
                    revision=revision,
                    withdrawn=command.withdrawn,
                    crossed=tuple(p for p in command.withdrawn if p in state.answers),
                    entries=tuple(
                        # Who they are came with the first announcement, and is sealed here.
                        state.entries.get(line.person)
                        or ManifestEntry(person=line.person, origin=line.origin)
                        for line in command.entries
                    ),
                )
            ]
        case WithdrawExpectation(handover=handover):
            if state.phase == "withdrawn":
                return []
            return [ExpectationWithdrawn(handover=handover, crossed=tuple(state.answers))]
        case NoteDeparture(departed_at=at, did_not_occur=did_not_occur):
            if (state.departed_at == at) != did_not_occur:
                return []
            return [
                DepartureNoted(
                    handover=command.handover, departed_at=at, did_not_occur=did_not_occur
                )
            ]


def _acknowledge(
    command: AcknowledgeArrival | CorrectAcknowledgement,
    state: State,
    expected: HandoverExpected,
) -> Decision:
    before = state.answers.get(command.person)
    if before is None and state.phase != "expected":
        return _wrong_phase(state)
    if state.phase == "declined" and command.outcome == "arrived":
        return _wrong_phase(state)
    if before is None and command.person not in state.entries:
        return Refused(
            "NOT_ON_MANIFEST",
            "Ia tidak tercantum dalam daftar serah terima ini.",
            "Catat sebagai tidak terdaftar bila ia memang datang.",
        )
    if (command.outcome == "absent") != (command.absence is not None):
        return Refused(
            "ABSENCE_REASON",
            "Sebab ketidakhadiran diisi bila tidak tiba, dan hanya bila tidak tiba.",
            "Periksa sebab ketidakhadirannya.",
        )
    if (command.outcome == "diverted") != (command.diverted_to is not None):
        return Refused(
            "DIVERTED_WHERE",
            "Kantor tujuan baru diisi bila dialihkan, dan hanya bila dialihkan.",
            "Isi kantor yang sekarang menerimanya.",
        )
    corrects = command.corrects if isinstance(command, CorrectAcknowledgement) else None
    reason = command.reason if isinstance(command, CorrectAcknowledgement) else None
    if before is not None:
        same = (before.outcome, before.absence, before.diverted_to) == (
            command.outcome,
            command.absence,
            command.diverted_to,
        )
        if same and (corrects is None or before.at == command.occurred_at):
            return []
        if corrects is None:
            return Refused(
                "ALREADY_ANSWERED",
                f"Untuknya sudah dicatat: {before.outcome} (jawaban ke-{before.answer}).",
                "Bila keliru, catat koreksi yang menyebut nomor jawaban itu.",
            )
    if corrects is not None and (before is None or corrects != before.answer):
        return Refused(
            "CORRECTS_NOTHING",
            f"Jawaban ke-{corrects} bukan jawaban terakhir untuknya.",
            "Muat ulang daftarnya dan koreksi jawaban terakhir.",
        )
    return [
        ArrivalAcknowledged(
            handover=command.handover,
            city=expected.city,
            person=command.person,
            outcome=command.outcome,
            at=command.occurred_at,
            answer=1 if before is None else before.answer + 1,
            corrects=corrects,
            reason=reason,
            absence=command.absence,
            diverted_to=command.diverted_to,
        )
    ]


def _unlisted(command: AcknowledgeUnlisted, state: State, expected: HandoverExpected) -> Decision:
    if command.person in state.unlisted:
        return []
    if state.phase == "expected" and command.person in state.entries:
        return Refused(
            "IS_ON_MANIFEST",
            "Ia tercantum dalam daftar ini.",
            "Catat kedatangannya seperti biasa.",
        )
    answer = state.answers.get(command.person)
    if answer is not None and answer.outcome == "arrived":
        return []
    return [
        UnlistedArrivalAcknowledged(
            handover=command.handover,
            city=expected.city,
            person=command.person,
            identity=command.identity,
            at=command.occurred_at,
        )
    ]


def _correct_unlisted(command: CorrectUnlisted, state: State) -> Decision:
    recorded = state.unlisted.get(command.person)
    if recorded is None:
        return []
    return [
        UnlistedArrivalCorrected(
            handover=command.handover,
            city=recorded.city,
            person=command.person,
            at=recorded.at,
            reason=command.reason,
        )
    ]


def _decline(command: DeclineHandover, state: State, expected: HandoverExpected) -> Decision:
    if state.phase == "declined":
        return []
    if state.phase != "expected":
        return _wrong_phase(state)
    if any(answer.outcome == "arrived" for answer in state.answers.values()):
        return Refused(
            "ARRIVED_ALREADY",
            "Sudah ada yang diakui tiba, jadi serah terima tidak dapat ditolak.",
            "Catat jawaban per orang untuk yang lain.",
        )
    return [
        HandoverDeclined(
            handover=command.handover,
            city=expected.city,
            reason=command.reason,
            explanation=command.explanation,
            persons=tuple(state.entries),
        )
    ]


def _by_person(entries: tuple[ManifestEntry, ...]) -> dict[str, ManifestEntry]:
    return {entry.person: entry for entry in entries}


def _wrong_phase(state: State) -> Refused:
    words = {"withdrawn": "ditarik oleh kota pengirim", "declined": "ditolak oleh kantor ini"}
    return Refused(
        "ARRIVAL_PHASE",
        f"Serah terima ini sudah {words.get(state.phase, state.phase)}.",
        "Catat orang yang tetap datang sebagai tidak terdaftar.",
    )


decider: Decider[State] = Decider(
    category="arrival",
    key="handover",
    commands=(
        ExpectHandover,
        AmendExpectation,
        WithdrawExpectation,
        NoteDeparture,
        AcknowledgeArrival,
        CorrectAcknowledgement,
        AcknowledgeUnlisted,
        CorrectUnlisted,
        DeclineHandover,
    ),
    events=(
        HandoverExpected,
        ExpectationAmended,
        ExpectationWithdrawn,
        DepartureNoted,
        ArrivalAcknowledged,
        UnlistedArrivalAcknowledged,
        UnlistedArrivalCorrected,
        HandoverDeclined,
    ),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
