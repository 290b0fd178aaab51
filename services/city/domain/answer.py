"""What the receiving office answers for a handover: per person, for the unlisted, or declining.

It becomes a fact here whatever the city expected, unless it is not the receiver who says it. The
answers stand in the handover's own stream; this is the part of its decision that they make.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from pydantic import AwareDatetime

from shared.contracts.values import (
    AbsenceReason,
    ArrivalOutcome,
    DeclineReason,
    Identifier,
    OfficeCode,
    PersonCode,
    Sealed,
)
from shared.kernel.decider import Command, Decision, Event, Refused


class ArrivalRecorded(Event):
    """The receiving office's answer for one person, as it came over the link."""

    type: ClassVar[str] = "pulang.city.handover.arrival-recorded.v1"
    words: ClassVar[str] = "Kantor penerima menjawab untuk {person} dalam {handover}: {outcome}."
    handover: Identifier
    person: PersonCode
    outcome: ArrivalOutcome
    at: AwareDatetime
    absence: AbsenceReason | None
    diverted_to: OfficeCode | None
    answer: int
    corrects: int | None
    listed: bool


class UnlistedArrivalRecorded(Event):
    type: ClassVar[str] = "pulang.city.handover.unlisted-recorded.v1"
    words: ClassVar[str] = "{person} tiba di {receiving_office} tanpa tercantum dalam {handover}."
    handover: Identifier
    operation: Identifier
    receiving_office: OfficeCode
    person: PersonCode
    identity: Sealed | None
    at: AwareDatetime


class UnlistedArrivalCorrected(Event):
    """The receiving office took back an unlisted arrival: it did not occur (rule 18)."""

    type: ClassVar[str] = "pulang.city.handover.unlisted-corrected.v1"
    words: ClassVar[str] = "Kedatangan {person} tanpa tercantum dalam {handover} tidak terjadi."
    handover: Identifier
    person: PersonCode


class DeclineRecorded(Event):
    type: ClassVar[str] = "pulang.city.handover.decline-recorded.v1"
    words: ClassVar[str] = "Serah terima {handover} ditolak kantor penerima ({reason})."
    handover: Identifier
    reason: DeclineReason
    persons: tuple[PersonCode, ...]


@dataclass(frozen=True)
class State:
    """The last answer for each person, as its number and outcome, and who came unlisted."""

    given: dict[str, tuple[int, str]] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Asked:
    """What of the handover its answers depend on."""

    office: str
    operation: str
    entries: tuple[str, ...]
    issued: frozenset[str]
    ended: bool


def evolve(state: State, event: Event) -> State:
    match event:
        case ArrivalRecorded(person=person, answer=number, outcome=outcome):
            return replace(state, given=state.given | {person: (number, outcome)})
        case UnlistedArrivalRecorded(person=person):
            return replace(state, unlisted=state.unlisted | {person})
        case UnlistedArrivalCorrected(person=person):
            return replace(state, unlisted=state.unlisted - {person})
    return state


class RecordArrival(Command):
    handover: Identifier
    person: PersonCode
    outcome: ArrivalOutcome
    absence: AbsenceReason | None = None
    diverted_to: OfficeCode | None = None
    answer: int
    corrects: int | None = None
    office: OfficeCode


class RecordUnlisted(Command):
    handover: Identifier
    person: PersonCode
    identity: Sealed | None = None
    office: OfficeCode
    did_not_occur: bool = False


class RecordDecline(Command):
    handover: Identifier
    reason: DeclineReason
    office: OfficeCode


def decide(
    command: RecordArrival | RecordUnlisted | RecordDecline, state: State, asked: Asked
) -> Decision:
    """What the receiver says becomes a fact here, unless it is not the receiver who says it."""
    if command.office != asked.office:
        return Refused(
            "NOT_THE_RECEIVER",
            f"Kantor {command.office} bukan penerima serah terima ini.",
            "Hanya kantor penerima yang mengakui daftarnya; hubungi kantor pengirim pesan.",
        )
    match command:
        case RecordArrival():
            if command.person not in asked.issued:
                return Refused(
                    "NOT_ON_MANIFEST",
                    "Ia tidak pernah tercantum dalam daftar serah terima ini.",
                    "Hubungi kantor penerima; mungkin ia datang tanpa terdaftar.",
                )
            number, outcome = state.given.get(command.person, (0, ""))
            if number == command.answer and outcome != command.outcome:
                return Refused(
                    "ANSWER_DIFFERS",
                    f"Jawaban ke-{number} untuknya sudah tercatat: {outcome}.",
                    "Hubungi kantor penerima; perubahan dikirim sebagai koreksi bernomor baru.",
                )
            if number >= command.answer:
                return []
            return [
                ArrivalRecorded(
                    handover=command.handover,
                    person=command.person,
                    outcome=command.outcome,
                    at=command.occurred_at,
                    absence=command.absence,
                    diverted_to=command.diverted_to,
                    answer=command.answer,
                    corrects=command.corrects,
                    listed=command.person in asked.entries,
                )
            ]
        case RecordUnlisted():
            if command.did_not_occur:
                known = command.person in state.unlisted
                gone = UnlistedArrivalCorrected(handover=command.handover, person=command.person)
                return [gone] if known else []
            if command.person in state.unlisted:
                return []
            if command.person in asked.entries:
                return Refused(
                    "IS_ON_MANIFEST",
                    "Ia tercantum dalam daftar serah terima ini.",
                    "Hubungi kantor penerima; kedatangannya dijawab seperti biasa.",
                )
            return [
                UnlistedArrivalRecorded(
                    handover=command.handover,
                    operation=asked.operation,
                    receiving_office=asked.office,
                    person=command.person,
                    identity=command.identity,
                    at=command.occurred_at,
                )
            ]
        case RecordDecline():
            if asked.ended:
                return []
            return [
                DeclineRecorded(
                    handover=command.handover,
                    reason=command.reason,
                    persons=asked.entries,
                )
            ]


COMMANDS = (RecordArrival, RecordUnlisted, RecordDecline)
EVENTS = (ArrivalRecorded, UnlistedArrivalRecorded, UnlistedArrivalCorrected, DeclineRecorded)
