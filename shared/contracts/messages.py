"""The messages that offices send each other, version 1.

A message is a CloudEvents 1.0 document whose `data` is one of the models below. Within a version
a model only grows by optional fields; anything else is a new version with a new class. Reasons
are codes, never free text: what people wrote about a person does not travel. Who a person is
stands in no message: it travels beside them, sealed to the receiving office.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter

from shared.contracts.values import (
    AbsenceReason,
    ArrivalOutcome,
    CaseStatus,
    DeclineReason,
    ErasureBasis,
    FactTime,
    Identifier,
    Identity,
    Line,
    ManifestLine,
    OfficeCode,
    PersonCode,
    PositiveRupiah,
    Reference,
    Value,
)

COUNT_AT_MOST = 1_000_000


def _each_once(persons: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(persons)) != len(persons):
        raise ValueError("a person stands here twice")
    return persons


SEALED_PART = TypeAdapter(dict[int, dict[PersonCode, Identity]])
"""What travels sealed beside a frame: by message number and person, who she is."""


def _entries_once(entries: tuple[ManifestLine, ...]) -> tuple[ManifestLine, ...]:
    _each_once(tuple(entry.person for entry in entries))
    return entries


Persons = Annotated[tuple[PersonCode, ...], AfterValidator(_each_once)]
Entries = Annotated[tuple[ManifestLine, ...], AfterValidator(_entries_once)]


def _text_alone(value: object) -> str | None:
    return value if isinstance(value, str) else None


class Envelope(Value):
    """The CloudEvents document around a message; further attributes are let pass."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(pattern=r"^[!-~]{1,200}$")
    type: str = Field(pattern=r"^[!-~]{1,200}$")
    time: FactTime
    traceparent: Annotated[str | None, BeforeValidator(_text_alone)] = None
    """W3C trace context. Nothing of it is worth parking a message for."""
    data: dict[str, Any]


class Message(Value):
    """What one office tells another."""

    type: ClassVar[str]


class HandoverIssued(Message):
    """The city has signed a handover: these people are on their way to you."""

    type: ClassVar[str] = "pulang.handover.issued.v1"
    handover: Identifier
    operation: Identifier
    deed_number: Reference
    deed_date: date
    planned_departure: date
    transport: Line
    predecessor: Identifier | None = None
    entries: Entries = Field(min_length=1)


class HandoverAmended(Message):
    """A signed handover lost a person before departure; `entries` is the whole new manifest."""

    type: ClassVar[str] = "pulang.handover.amended.v1"
    handover: Identifier
    revision: int = Field(ge=1, le=COUNT_AT_MOST)
    withdrawn: Persons
    entries: Entries


class HandoverWithdrawn(Message):
    """The whole handover is taken back before departure."""

    type: ClassVar[str] = "pulang.handover.withdrawn.v1"
    handover: Identifier


class HandoverDeparted(Message):
    """The people have left; `did_not_occur` takes such a statement back (rule 18)."""

    type: ClassVar[str] = "pulang.handover.departed.v1"
    handover: Identifier
    departed_at: FactTime
    did_not_occur: bool = False


class ArrivalAcknowledged(Message):
    """The receiving office answers for one person; answers count from 1.

    `corrects` cites the number of the answer that this one replaces (rule 18).
    """

    type: ClassVar[str] = "pulang.arrival.acknowledged.v1"
    handover: Identifier
    person: PersonCode
    outcome: ArrivalOutcome
    at: FactTime
    absence: AbsenceReason | None = None
    diverted_to: OfficeCode | None = None
    answer: int = Field(ge=1, le=COUNT_AT_MOST)
    corrects: int | None = Field(default=None, ge=1, le=COUNT_AT_MOST)


class HandoverDeclined(Message):
    """The receiving office does not take this handover."""

    type: ClassVar[str] = "pulang.handover.declined.v1"
    handover: Identifier
    reason: DeclineReason
    persons: Persons


class UnlistedArrival(Message):
    """Somebody arrived who stands on no manifest; `person` is a code drawn by the receiver.

    `did_not_occur` takes that back (rule 18).
    """

    type: ClassVar[str] = "pulang.arrival.unlisted.v1"
    handover: Identifier
    person: PersonCode
    at: FactTime
    did_not_occur: bool = False


class GrantDisbursed(Message):
    """The ministry's grant was credited to her account."""

    type: ClassVar[str] = "pulang.grant.disbursed.v1"
    person: PersonCode
    reference: Reference
    amount_rupiah: PositiveRupiah
    credited_on: date
    replaces: Reference | None = None


class GrantFailed(Message):
    """A credit did not reach her account."""

    type: ClassVar[str] = "pulang.grant.failed.v1"
    person: PersonCode
    reference: Reference


class GrantReturned(Message):
    """A credit, or part of it, went back; `amount_rupiah` is what has gone back so far, in all."""

    type: ClassVar[str] = "pulang.grant.returned.v1"
    person: PersonCode
    reference: Reference
    amount_rupiah: PositiveRupiah


class GrantConfirmed(Message):
    """The receiving office saw the credit on her account, with her."""

    type: ClassVar[str] = "pulang.grant.confirmed.v1"
    person: PersonCode
    reference: Reference


class GrantDisputed(Message):
    """The receiving office looked, with her, and the credit is not there."""

    type: ClassVar[str] = "pulang.grant.disputed.v1"
    person: PersonCode
    reference: Reference


class CaseStatusChanged(Message):
    """Where a case stands: the status and nothing else (rule 21)."""

    type: ClassVar[str] = "pulang.case.status-changed.v1"
    person: PersonCode
    status: CaseStatus


class ErasureRequested(Message):
    """This office has erased her, by a decision of two people: erase what you have of her too."""

    type: ClassVar[str] = "pulang.erasure.requested.v1"
    person: PersonCode
    erasure: Identifier
    basis: ErasureBasis


class ErasureConfirmed(Message):
    """Her key is destroyed here, and at every office that this one had told of her."""

    type: ClassVar[str] = "pulang.erasure.confirmed.v1"
    person: PersonCode
    erasure: Identifier


class ErasureWithheld(Message):
    """A legal hold stands here until that day; what was asked is done after it."""

    type: ClassVar[str] = "pulang.erasure.withheld.v1"
    person: PersonCode
    erasure: Identifier
    until: date


def told_of(message: Message) -> frozenset[str]:
    """The persons who a message may say beside it who they are: those whom it announces."""
    match message:
        case HandoverIssued(entries=entries):
            return frozenset(entry.person for entry in entries)
        case UnlistedArrival(person=person, did_not_occur=False):
            return frozenset({person})
    return frozenset()


PERSON_CODE = re.compile(rb'"(PM-[0-9A-Z]{10})"')
SUBJECT = re.compile(r"[!-~]{1,200}")
"""Wider than what this version draws: a later one's codes hold back too."""


def affairs_of(body: bytes) -> frozenset[str]:
    """Whose affairs a message is about, also one that this version can't read.

    One person's message is about her alone; any other is about its subject and all whom it names.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return frozenset()
    if not isinstance(document, dict):
        return frozenset()
    data = document.get("data")
    person = data.get("person") if isinstance(data, dict) else None
    if isinstance(person, str) and PERSON_CODE.fullmatch(f'"{person}"'.encode()):
        return frozenset({person})
    named = {code.decode() for code in PERSON_CODE.findall(body)}
    subject = document.get("subject")
    if isinstance(subject, str) and SUBJECT.fullmatch(subject):
        named.add(subject)
    return frozenset(named)


MESSAGES: dict[str, type[Message]] = {
    message.type: message
    for message in (
        HandoverIssued,
        HandoverAmended,
        HandoverWithdrawn,
        HandoverDeparted,
        ArrivalAcknowledged,
        HandoverDeclined,
        UnlistedArrival,
        GrantDisbursed,
        GrantFailed,
        GrantReturned,
        GrantConfirmed,
        GrantDisputed,
        CaseStatusChanged,
        ErasureRequested,
        ErasureConfirmed,
        ErasureWithheld,
    )
}

UPCASTERS: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {}
"""Old message type → function that gives the next newer type and its data. None is old yet."""
