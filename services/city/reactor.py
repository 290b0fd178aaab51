"""What the city does when a province tells it something: the message becomes its own commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.city.domain import answer, beneficiary, case, grant
from shared.contracts import messages
from shared.contracts.messages import Message
from shared.kernel.decider import Command
from shared.kernel.event import UnknownType


def react(
    sender: str,
    message: Message,
    actor: str,
    now: datetime,
    occurred_at: datetime,
    identities: Mapping[str, str],
) -> Sequence[Command]:
    """This office's commands for one message, which stand or fall together. Pure.

    `identities` has who its persons are, sealed under this office's own keys.

    Raises UnknownType for a message that is none of the city's business.
    """
    said = {"by": actor, "now": now, "occurred_at": occurred_at}
    match message:
        case messages.ArrivalAcknowledged():
            return [
                answer.RecordArrival(
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
                *_care(sender, message, said),
            ]
        case messages.UnlistedArrival():
            return [
                answer.RecordUnlisted(
                    **said | {"occurred_at": message.at},
                    handover=message.handover,
                    person=message.person,
                    identity=identities.get(message.person),
                    office=sender,
                    did_not_occur=message.did_not_occur,
                ),
                *_care(sender, message, said),
                # Its code is drawn by the receiver: nobody claims whom this city sent elsewhere.
                beneficiary.RequireUnregistered(**said, person=message.person),
            ]
        case messages.HandoverDeclined():
            return [
                answer.RecordDecline(
                    **said, handover=message.handover, reason=message.reason, office=sender
                ),
                *(
                    command
                    for person in message.persons
                    for command in (
                        beneficiary.LeaveHandover(
                            **said, person=person, handover=message.handover, cause="declined"
                        ),
                        grant.StopSharingGrant(
                            **said, person=person, office=sender, handover=message.handover
                        ),
                    )
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


def _care(
    sender: str,
    message: messages.ArrivalAcknowledged | messages.UnlistedArrival,
    said: dict[str, Any],
) -> Sequence[Command]:
    """Who arrived is in the sender's care, and her grant its business; who didn't is not."""
    about = said | {"person": message.person, "office": sender, "handover": message.handover}
    here = (
        not message.did_not_occur
        if isinstance(message, messages.UnlistedArrival)
        else message.outcome == "arrived"
    )
    if here:
        return [case.BeginCare(**about), grant.ShareGrant(**about)]
    return [case.EndCare(**about), grant.StopSharingGrant(**about)]
