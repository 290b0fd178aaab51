"""What the province tells the city: its answers, its confirmations, and a case's status alone."""

from __future__ import annotations

from collections.abc import Iterator

from services.province.domain import arrival, case, grant
from shared.contracts import messages
from shared.contracts.values import CaseStatus
from shared.kernel.decider import Event
from shared.kernel.event import Outgoing

STATUS_OF: dict[type[case.CaseEvent], CaseStatus] = {
    case.CaseOpened: "in_house",
    case.PersonAssessed: "assessed",
    case.DeclaredReady: "ready",
    case.ReturnedToFamily: "returned_to_family",
    case.FamilyDeclined: "declined_by_family",
    case.LeftHouse: "left_house",
    case.FollowedUp: "follow_up",
    case.CaseClosed: "closed",
}
"""The status that an event means to the city (rule 21). Offers, choices and notes mean none."""


def publish(stream: str, event: Event) -> Iterator[Outgoing]:
    """The messages that go out with this event, in the same transaction. Pure."""
    match event:
        case arrival.ArrivalAcknowledged():
            yield Outgoing(
                event.city,
                event.person,
                messages.ArrivalAcknowledged(
                    handover=event.handover,
                    person=event.person,
                    outcome=event.outcome,
                    at=event.at,
                    absence=event.absence,
                    diverted_to=event.diverted_to,
                    answer=event.answer,
                    corrects=event.corrects,
                ),
            )
        case arrival.UnlistedArrivalAcknowledged() | arrival.UnlistedArrivalCorrected():
            told = isinstance(event, arrival.UnlistedArrivalAcknowledged) and event.identity
            yield Outgoing(
                event.city,
                event.person,
                messages.UnlistedArrival(
                    handover=event.handover,
                    person=event.person,
                    at=event.at,
                    did_not_occur=isinstance(event, arrival.UnlistedArrivalCorrected),
                ),
                {event.person: told} if told else {},
            )
        case arrival.HandoverDeclined():
            yield Outgoing(
                event.city,
                event.handover,
                messages.HandoverDeclined(
                    handover=event.handover, reason=event.reason, persons=event.persons
                ),
            )
        case grant.GrantConfirmed(person=person, reference=reference):
            yield Outgoing(
                event.city, person, messages.GrantConfirmed(person=person, reference=reference)
            )
        case grant.GrantDisputed(person=person, reference=reference):
            yield Outgoing(
                event.city, person, messages.GrantDisputed(person=person, reference=reference)
            )
        case case.TrainingsChosen(chosen=chosen) if chosen:
            yield _status(event, "in_training")
        case case.CaseEvent() if type(event) in STATUS_OF:
            yield _status(event, STATUS_OF[type(event)])


def _status(event: case.CaseEvent, status: CaseStatus) -> Outgoing:
    message = messages.CaseStatusChanged(person=event.person, status=status)
    return Outgoing(event.city, event.person, message)
