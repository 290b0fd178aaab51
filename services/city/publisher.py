"""What the city tells other offices: each of its events, and the messages that go with it.

A province hears of a grant only once a handover to it was issued: until then it has no reason to
know that the person exists (ADR 0006).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.city.domain import grant, handover
from shared.contracts import messages
from shared.contracts.values import ManifestEntry, ManifestLine
from shared.kernel.decider import Event
from shared.kernel.event import Outgoing


def publish(stream: str, event: Event) -> Iterator[Outgoing]:
    """The messages that go out with this event, in the same transaction. Pure."""
    match event:
        case handover.HandoverIssued():
            yield Outgoing(
                event.receiving_office,
                event.handover,
                messages.HandoverIssued(
                    handover=event.handover,
                    operation=event.operation,
                    deed_number=event.deed_number,
                    deed_date=event.deed_date,
                    planned_departure=event.planned_departure,
                    transport=event.transport,
                    predecessor=event.predecessor,
                    entries=_lines(event.entries),
                ),
                {entry.person: entry.identity for entry in event.entries if entry.identity},
            )
        case handover.EntryWithdrawn():
            yield Outgoing(
                event.receiving_office,
                event.handover,
                messages.HandoverAmended(
                    handover=event.handover,
                    revision=event.revision,
                    withdrawn=(event.person,),
                    entries=_lines(event.entries),
                ),
            )
        case handover.HandoverWithdrawn(was_issued=True):
            yield Outgoing(
                event.receiving_office,
                event.handover,
                messages.HandoverWithdrawn(handover=event.handover),
            )
        case handover.HandoverDeparted() | handover.DepartureCorrected():
            yield Outgoing(
                event.receiving_office,
                event.handover,
                messages.HandoverDeparted(
                    handover=event.handover,
                    departed_at=event.departed_at,
                    did_not_occur=isinstance(event, handover.DepartureCorrected),
                ),
            )
        case grant.GrantShared():
            for credit in event.credits:
                yield from _credit(event.office, event.person, credit)
        case grant.GrantDisbursed(office=str(office)) | grant.GrantRedisbursed(office=str(office)):
            credit = grant.Credit(
                reference=event.reference,
                amount_rupiah=event.amount_rupiah,
                credited_on=event.credited_on,
                replaces=event.replaces if isinstance(event, grant.GrantRedisbursed) else None,
            )
            yield from _credit(office, event.person, credit)
        case grant.GrantFailed(office=str(office)):
            yield _failed(office, event.person, event.reference)
        case grant.GrantReturned(office=str(office)):
            yield _returned(office, event.person, event.reference, event.returned_rupiah)


def _lines(entries: Iterable[ManifestEntry]) -> tuple[ManifestLine, ...]:
    """The manifest as it travels: who they are goes beside it, sealed."""
    return tuple(ManifestLine(person=entry.person, origin=entry.origin) for entry in entries)


def _credit(office: str, person: str, credit: grant.Credit) -> Iterator[Outgoing]:
    message = messages.GrantDisbursed(
        person=person,
        reference=credit.reference,
        amount_rupiah=credit.amount_rupiah,
        credited_on=credit.credited_on,
        replaces=credit.replaces,
    )
    yield Outgoing(office, person, message)
    if credit.failed:
        yield _failed(office, person, credit.reference)
    if credit.returned_rupiah:
        yield _returned(office, person, credit.reference, credit.returned_rupiah)


def _failed(office: str, person: str, reference: str) -> Outgoing:
    return Outgoing(office, person, messages.GrantFailed(person=person, reference=reference))


def _returned(office: str, person: str, reference: str, amount_rupiah: int) -> Outgoing:
    message = messages.GrantReturned(
        person=person, reference=reference, amount_rupiah=amount_rupiah
    )
    return Outgoing(office, person, message)
