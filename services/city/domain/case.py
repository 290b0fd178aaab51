"""What the city knows of a case in the province: its status and nothing else (rule 21)."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.values import CaseStatus, OfficeCode, PersonCode
from shared.kernel.decider import Command, Decider, Decision, Event


class CaseStatusRecorded(Event):
    type: ClassVar[str] = "pulang.city.case.status-recorded.v1"
    words: ClassVar[str] = "Kantor {office} memberi tahu keadaan {person}: {status}."
    person: PersonCode
    status: CaseStatus
    office: OfficeCode


State = CaseStatusRecorded | None


def evolve(state: State, event: Event) -> State:
    match event:
        case CaseStatusRecorded():
            return event
    return state


class RecordCaseStatus(Command):
    person: PersonCode
    status: CaseStatus
    office: OfficeCode


def decide(command: Command, state: State) -> Decision:
    match command:
        case RecordCaseStatus():
            recorded = CaseStatusRecorded(
                person=command.person, status=command.status, office=command.office
            )
            return [] if state == recorded else [recorded]
    raise TypeError(command)


decider: Decider[State] = Decider(
    category="case",
    key="person",
    commands=(RecordCaseStatus,),
    events=(CaseStatusRecorded,),
    initial=None,
    evolve=evolve,
    decide=decide,
)
