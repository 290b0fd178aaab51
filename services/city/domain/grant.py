"""The ministry's grant (bantuan) of one beneficiary: credits to her account, and their fate.

Each credit has the bank's reference; a repeated bank file changes nothing (rule 15). A credit is
a fact of the bank's: one beyond the entitlement is recorded as what it is, a duplicate, and shows
as a discrepancy until it is returned. Grants never net against travel money, and stand in no
order to a handover (rule 16).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar, Literal

from shared.contracts.values import (
    Identifier,
    OfficeCode,
    PersonCode,
    PositiveRupiah,
    Reason,
    Reference,
    Rupiah,
    Sealed,
    Value,
    in_rupiah,
    short_day,
)
from shared.kernel.decider import Command, Decider, Decision, Event, Refused

CreditKind = Literal["full", "partial", "duplicate"]


class Credit(Value):
    """One credit to her account. `returned_rupiah` went back; `replaces` names a failed one."""

    reference: Reference
    amount_rupiah: PositiveRupiah
    credited_on: date
    replaces: Reference | None = None
    failed: bool = False
    returned_rupiah: Rupiah = 0

    @property
    def standing_rupiah(self) -> int:
        return 0 if self.failed else self.amount_rupiah - self.returned_rupiah


class GrantDisbursed(Event):
    type: ClassVar[str] = "pulang.city.grant.disbursed.v1"
    words: ClassVar[str] = (
        "Bantuan Rp{amount_rupiah} masuk rekening {person} ({reference}, {kind})."
    )
    person: PersonCode
    operation: Identifier
    reference: Reference
    amount_rupiah: PositiveRupiah
    credited_on: date
    kind: CreditKind
    office: OfficeCode | None


class GrantRedisbursed(Event):
    type: ClassVar[str] = "pulang.city.grant.redisbursed.v1"
    words: ClassVar[str] = (
        "Bantuan Rp{amount_rupiah} disalurkan ulang kepada {person} "
        "({reference}), mengganti {replaces}."
    )
    person: PersonCode
    operation: Identifier
    reference: Reference
    amount_rupiah: PositiveRupiah
    credited_on: date
    kind: CreditKind
    replaces: Reference
    office: OfficeCode | None


class GrantFailed(Event):
    type: ClassVar[str] = "pulang.city.grant.failed.v1"
    words: ClassVar[str] = "Penyaluran {reference} kepada {person} gagal."
    person: PersonCode
    reference: Reference
    reason: Sealed
    office: OfficeCode | None


class GrantReturned(Event):
    type: ClassVar[str] = "pulang.city.grant.returned.v1"
    words: ClassVar[str] = "Rp{amount_rupiah} dari {reference} untuk {person} dikembalikan."
    person: PersonCode
    reference: Reference
    amount_rupiah: PositiveRupiah
    returned_on: date
    returned_rupiah: PositiveRupiah
    reason: Sealed
    office: OfficeCode | None


class GrantShared(Event):
    """The office that now looks after her is told of every credit so far."""

    type: ClassVar[str] = "pulang.city.grant.shared.v1"
    words: ClassVar[str] = "Kantor {office} diberi tahu tentang bantuan {person}."
    person: PersonCode
    office: OfficeCode
    handover: Identifier
    credits: tuple[Credit, ...]


class GrantSharingStopped(Event):
    """The office does not look after her after all, and hears no more of her money."""

    type: ClassVar[str] = "pulang.city.grant.sharing-stopped.v1"
    words: ClassVar[str] = "Kantor {office} tidak lagi diberi tahu tentang bantuan {person}."
    person: PersonCode
    office: OfficeCode
    handover: Identifier


class ConfirmationRecorded(Event):
    type: ClassVar[str] = "pulang.city.grant.confirmation-recorded.v1"
    words: ClassVar[str] = "Kantor {office} memastikan kredit {reference} ada di rekening {person}."
    person: PersonCode
    reference: Reference
    office: OfficeCode


class DisputeRecorded(Event):
    type: ClassVar[str] = "pulang.city.grant.dispute-recorded.v1"
    words: ClassVar[str] = (
        "Kantor {office} menyatakan kredit {reference} tidak ada di rekening {person}."
    )
    person: PersonCode
    reference: Reference
    office: OfficeCode


@dataclass(frozen=True)
class State:
    credits: dict[str, Credit] = field(default_factory=dict)
    office: str | None = None
    handover: str | None = None
    offices: frozenset[str] = frozenset()
    answers: dict[str, str] = field(default_factory=dict)
    returns: frozenset[tuple[str, date, int]] = frozenset()

    @property
    def standing_rupiah(self) -> int:
        return sum(credit.standing_rupiah for credit in self.credits.values())


def evolve(state: State, event: Event) -> State:
    match event:
        case GrantDisbursed() | GrantRedisbursed():
            credit = Credit(
                reference=event.reference,
                amount_rupiah=event.amount_rupiah,
                credited_on=event.credited_on,
                replaces=event.replaces if isinstance(event, GrantRedisbursed) else None,
            )
            return replace(state, credits=state.credits | {event.reference: credit})
        case GrantFailed(reference=reference):
            credit = state.credits[reference].model_copy(update={"failed": True})
            return replace(state, credits=state.credits | {reference: credit})
        case GrantReturned(reference=reference, returned_rupiah=returned):
            credit = state.credits[reference].model_copy(update={"returned_rupiah": returned})
            return replace(
                state,
                credits=state.credits | {reference: credit},
                returns=state.returns | {(reference, event.returned_on, event.amount_rupiah)},
            )
        case GrantShared(office=office, handover=handover):
            return replace(
                state, office=office, handover=handover, offices=state.offices | {office}
            )
        case GrantSharingStopped():
            return replace(state, office=None, handover=None)
        case ConfirmationRecorded(reference=reference):
            return replace(state, answers=state.answers | {reference: "confirmed"})
        case DisputeRecorded(reference=reference):
            return replace(state, answers=state.answers | {reference: "disputed"})
    return state


class DisburseGrant(Command):
    """A credit from the bank's file. With `replaces` it is a second try for one that failed."""

    person: PersonCode
    operation: Identifier
    reference: Reference
    amount_rupiah: PositiveRupiah
    credited_on: date
    entitlement_rupiah: PositiveRupiah
    replaces: Reference | None = None


class FailGrant(Command):
    person: PersonCode
    reference: Reference
    reason: Reason


class ReturnGrant(Command):
    person: PersonCode
    reference: Reference
    amount_rupiah: PositiveRupiah
    returned_on: date
    reason: Reason


class ShareGrant(Command):
    person: PersonCode
    office: OfficeCode
    handover: Identifier


class StopSharingGrant(Command):
    """Stops what began with this handover; what a newer one began goes on."""

    person: PersonCode
    office: OfficeCode
    handover: Identifier


class RecordConfirmation(Command):
    person: PersonCode
    reference: Reference
    office: OfficeCode


class RecordDispute(Command):
    person: PersonCode
    reference: Reference
    office: OfficeCode


def decide(command: Command, state: State) -> Decision:
    match command:
        case DisburseGrant():
            return _disburse(command, state)
        case ShareGrant(person=person, office=office, handover=handover):
            if (office, handover) == (state.office, state.handover):
                return []
            return [
                GrantShared(
                    person=person,
                    office=office,
                    handover=handover,
                    credits=tuple(state.credits.values()),
                )
            ]
        case StopSharingGrant(person=person, office=office, handover=handover):
            if (office, handover) != (state.office, state.handover):
                return []
            return [GrantSharingStopped(person=person, office=office, handover=handover)]
        case FailGrant() | ReturnGrant():
            return _undo(command, state)
        case RecordConfirmation() | RecordDispute():
            return _record(command, state)
    raise TypeError(command)


def _disburse(command: DisburseGrant, state: State) -> Decision:
    if known := state.credits.get(command.reference):
        same = (known.amount_rupiah, known.credited_on, known.replaces) == (
            command.amount_rupiah,
            command.credited_on,
            command.replaces,
        )
        return (
            []
            if same
            else Refused(
                "CREDIT_REFERENCE_DIFFERS",
                f"Nomor kredit {command.reference} sudah tercatat dengan jumlah atau tanggal lain.",
                "Cocokkan dengan rekening koran; satu nomor hanya untuk satu kredit.",
            )
        )
    if command.credited_on > command.now.date():
        return Refused(
            "CREDIT_IN_FUTURE",
            f"Kredit {command.reference} bertanggal {short_day(command.credited_on)}.",
            "Rencana bukan kredit; catat setelah uangnya masuk rekening.",
        )
    standing = state.standing_rupiah + command.amount_rupiah
    kind: CreditKind = (
        "duplicate"
        if standing > command.entitlement_rupiah
        else "full"
        if standing == command.entitlement_rupiah
        else "partial"
    )
    if command.replaces is None:
        return [
            GrantDisbursed(
                person=command.person,
                operation=command.operation,
                reference=command.reference,
                amount_rupiah=command.amount_rupiah,
                credited_on=command.credited_on,
                kind=kind,
                office=state.office,
            )
        ]
    replaced = state.credits.get(command.replaces)
    if replaced is None or replaced.standing_rupiah > 0:
        return Refused(
            "CREDIT_NOT_REPLACEABLE",
            f"Kredit {command.replaces} tidak ada, atau tidak gagal dan tidak dikembalikan.",
            "Catat dahulu kegagalan atau pengembaliannya.",
        )
    return [
        GrantRedisbursed(
            person=command.person,
            operation=command.operation,
            reference=command.reference,
            amount_rupiah=command.amount_rupiah,
            credited_on=command.credited_on,
            kind=kind,
            replaces=command.replaces,
            office=state.office,
        )
    ]


def _undo(command: FailGrant | ReturnGrant, state: State) -> Decision:
    credit = state.credits.get(command.reference)
    if credit is None:
        return _unknown_credit(command.reference)
    match command:
        case FailGrant(person=person, reference=reference, reason=reason):
            if credit.failed:
                return []
            if credit.returned_rupiah:
                return Refused(
                    "CREDIT_ALREADY_RETURNED",
                    f"Kredit {reference} sudah dikembalikan, jadi tidak gagal.",
                    "Cocokkan dengan rekening koran.",
                )
            return [
                GrantFailed(person=person, reference=reference, reason=reason, office=state.office)
            ]
        case ReturnGrant(person=person, reference=reference, amount_rupiah=amount):
            if (reference, command.returned_on, amount) in state.returns:
                return []
            if amount > credit.standing_rupiah:
                return Refused(
                    "RETURN_BEYOND_CREDIT",
                    f"Yang masih ada dari kredit {reference} hanya"
                    f" {in_rupiah(credit.standing_rupiah)}.",
                    "Periksa jumlah pengembaliannya.",
                )
            return [
                GrantReturned(
                    person=person,
                    reference=reference,
                    amount_rupiah=amount,
                    returned_on=command.returned_on,
                    returned_rupiah=credit.returned_rupiah + amount,
                    reason=command.reason,
                    office=state.office,
                )
            ]


def _record(command: RecordConfirmation | RecordDispute, state: State) -> Decision:
    if command.reference not in state.credits:
        return _unknown_credit(command.reference)
    if command.office not in state.offices:
        return Refused(
            "NOT_HER_OFFICE",
            f"Kantor {command.office} tidak pernah diberi tahu tentang kredit ini.",
            "Hanya kantor yang mendampinginya yang dapat memastikannya; hubungi kantor itu.",
        )
    kind = ConfirmationRecorded if isinstance(command, RecordConfirmation) else DisputeRecorded
    answer = "confirmed" if kind is ConfirmationRecorded else "disputed"
    if state.answers.get(command.reference) == answer:
        return []
    return [kind(person=command.person, reference=command.reference, office=command.office)]


def _unknown_credit(reference: str) -> Refused:
    return Refused(
        "CREDIT_UNKNOWN",
        f"Kredit {reference} tidak tercatat untuk penerima manfaat ini.",
        "Periksa nomor kreditnya pada rekening koran.",
    )


decider: Decider[State] = Decider(
    category="grant",
    key="person",
    commands=(
        DisburseGrant,
        FailGrant,
        ReturnGrant,
        ShareGrant,
        StopSharingGrant,
        RecordConfirmation,
        RecordDispute,
    ),
    events=(
        GrantDisbursed,
        GrantRedisbursed,
        GrantFailed,
        GrantReturned,
        GrantShared,
        GrantSharingStopped,
        ConfirmationRecorded,
        DisputeRecorded,
    ),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
