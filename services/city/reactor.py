"""What the city does when a province tells it something: the message becomes its own commands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.city.domain import beneficiary, case, grant, handover
from shared.contracts import messages
from shared.contracts.messages import Message
from shared.kernel.decider import Command
from shared.kernel.event import UnknownType


def react(
    sender: str, message: Message, actor: str, now: datetime, occurred_at: datetime
) -> Sequence[Command]:
    """This office's commands for one message, which stand or fall together. Pure.

    Raises UnknownType for a message that is none of the city's business.
    """
    said = {"by": actor, "now": now, "occurred_at": occurred_at}
    match message:
        case messages.ArrivalAcknowledged():
            return [
                handover.RecordArrival(
                    **said | {"occurred_at": message.at},
                    handover=message.handover,
                    person=message.person,
                    outcome=message.outcome,
                    absence=message.absence,
                    diverted_to=message.diverted_to,
                    answer=message.answer,
                    corrects=message.corrects,
                    office=sender,
                ),
                beneficiary.LeaveHandover(
                    **said,
                    person=message.person,
                    handover=message.handover,
                    cause=message.outcome,
                ),
            ]
        case messages.UnlistedArrival():
            return [
                handover.RecordUnlisted(
                    **said | {"occurred_at": message.at},
                    handover=message.handover,
                    person=message.person,
                    initials=message.initials,
                    office=sender,
                )
            ]
        case messages.HandoverDeclined():
            return [
                handover.RecordDecline(
                    **said, handover=message.handover, reason=message.reason, office=sender
                ),
                *(
                    beneficiary.LeaveHandover(
                        **said, person=person, handover=message.handover, cause="declined"
                    )
                    for person in message.persons
                ),
            ]
        case messages.GrantConfirmed(person=person, reference=reference):
            return [
                grant.RecordConfirmation(**said, person=person, reference=reference, office=sender)
            ]
        case messages.GrantDisputed(person=person, reference=reference):
            return [grant.RecordDispute(**said, person=person, reference=reference, office=sender)]
        case messages.CaseStatusChanged(person=person, status=status):
            return [case.RecordCaseStatus(**said, person=person, status=status, office=sender)]
    raise UnknownType(message.type)
