"""What the province does when a city tells it something: the message becomes its own command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.province.domain import arrival, grant
from shared.contracts import messages
from shared.contracts.messages import Message
from shared.contracts.values import ManifestEntry
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

    Raises UnknownType for a message that is none of a province's business.
    """
    said = {"by": actor, "now": now, "occurred_at": occurred_at}
    match message:
        case messages.HandoverIssued():
            return [
                arrival.ExpectHandover(
                    **said,
                    handover=message.handover,
                    city=sender,
                    operation=message.operation,
                    deed_number=message.deed_number,
                    deed_date=message.deed_date,
                    planned_departure=message.planned_departure,
                    transport=message.transport,
                    predecessor=message.predecessor,
                    entries=tuple(
                        ManifestEntry(
                            person=line.person,
                            origin=line.origin,
                            identity=identities.get(line.person),
                        )
                        for line in message.entries
                    ),
                )
            ]
        case messages.HandoverAmended():
            return [
                arrival.AmendExpectation(
                    **said,
                    handover=message.handover,
                    city=sender,
                    revision=message.revision,
                    withdrawn=message.withdrawn,
                    entries=message.entries,
                )
            ]
        case messages.HandoverWithdrawn():
            return [arrival.WithdrawExpectation(**said, handover=message.handover, city=sender)]
        case messages.HandoverDeparted():
            return [
                arrival.NoteDeparture(
                    **said,
                    handover=message.handover,
                    city=sender,
                    departed_at=message.departed_at,
                    did_not_occur=message.did_not_occur,
                )
            ]
        case messages.GrantDisbursed():
            return [
                grant.NoteCredit(
                    **said,
                    person=message.person,
                    city=sender,
                    reference=message.reference,
                    amount_rupiah=message.amount_rupiah,
                    credited_on=message.credited_on,
                    replaces=message.replaces,
                )
            ]
        case messages.GrantFailed(person=person, reference=reference):
            return [grant.NoteFailure(**said, person=person, city=sender, reference=reference)]
        case messages.GrantReturned():
            return [
                grant.NoteReturn(
                    **said,
                    person=message.person,
                    city=sender,
                    reference=message.reference,
                    amount_rupiah=message.amount_rupiah,
                )
            ]
    raise UnknownType(message.type)
