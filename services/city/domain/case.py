"""What the city knows of a case in the province: who looks after her, and the case's status.

Nothing else of a case is the city's to know (rule 21), and only the office that acknowledged her
arrival may tell it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from shared.contracts.values import CaseStatus, Identifier, OfficeCode, PersonCode
from shared.kernel.decider import Command, Decider, Decision, Event, Refused


class CareBegun(Event):
    """Responsibility passed to this office, with its acknowledgement (rule 5)."""

    type: ClassVar[str] = "pulang.city.case.care-begun.v1"
    words: ClassVar[str] = "Tanggung jawab atas {person} beralih ke kantor {office}."
    person: PersonCode
    office: OfficeCode
    handover: Identifier


class CareEnded(Event):
    """The acknowledgement was corrected: that office does not have her."""

    type: ClassVar[str] = "pulang.city.case.care-ended.v1"
    words: ClassVar[str] = "Kantor {office} tidak bertanggung jawab atas {person}."
    person: PersonCode
    office: OfficeCode
    handover: Identifier


class CaseStatusRecorded(Event):
    type: ClassVar[str] = "pulang.city.case.status-recorded.v1"
    words: ClassVar[str] = "Kantor {office} memberi tahu keadaan {person}: {status}."
    person: PersonCode
    status: CaseStatus
    office: OfficeCode


@dataclass(frozen=True)
class State:
    office: str | None = None
    handover: str | None = None
    status: str | None = None


def evolve(state: State, event: Event) -> State:
    match event:
        case CareBegun(office=office, handover=handover):
            return State(office=office, handover=handover)
        case CareEnded():
            return State()
        case CaseStatusRecorded(status=status):
            return replace(state, status=status)
    return state


class BeginCare(Command):
    person: PersonCode
    office: OfficeCode
    handover: Identifier


class EndCare(Command):
    """Ends the care that began with this handover; care of a newer one goes on."""

    person: PersonCode
    office: OfficeCode
    handover: Identifier


class RecordCaseStatus(Command):
    person: PersonCode
    status: CaseStatus
    office: OfficeCode


def decide(command: Command, state: State) -> Decision:
    match command:
        case BeginCare(person=person, office=office, handover=handover):
            if (office, handover) == (state.office, state.handover):
                return []
            return [CareBegun(person=person, office=office, handover=handover)]
        case EndCare(person=person, office=office, handover=handover):
            if (office, handover) != (state.office, state.handover):
                return []
            return [CareEnded(person=person, office=office, handover=handover)]
        case RecordCaseStatus(person=person, status=status, office=office):
            if office != state.office:
                return Refused(
                    "NOT_HER_OFFICE",
                    f"Kantor {office} tidak tercatat mendampingi {person}.",
                    "Hanya kantor yang mengakui kedatangannya yang memberi tahu keadaannya.",
                )
            if status == state.status:
                return []
            return [CaseStatusRecorded(person=person, status=status, office=office)]
    raise TypeError(command)


decider: Decider[State] = Decider(
    category="case",
    key="person",
    commands=(BeginCare, EndCare, RecordCaseStatus),
    events=(CareBegun, CareEnded, CaseStatusRecorded),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
