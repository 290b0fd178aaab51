"""The ministry's grant as the province knows it: credits noted, confirmed with her, or disputed.

There is no order between a credit and the handover: either may be heard of first (rule 16).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar, Literal

from shared.contracts.values import (
    OfficeCode,
    PersonCode,
    PositiveRupiah,
    Reason,
    Reference,
    Sealed,
    in_rupiah,
)
from shared.kernel.decider import Command, Decider, Decision, Event, Refused


class CreditNoted(Event):
    type: ClassVar[str] = "pulang.province.grant.credit-noted.v1"
    words: ClassVar[str] = (
        "Kantor {city} memberi tahu kredit {reference} sebesar Rp{amount_rupiah} untuk {person}."
    )
    person: PersonCode
    city: OfficeCode
    reference: Reference
    amount_rupiah: PositiveRupiah
    credited_on: date
    replaces: Reference | None


class FailureNoted(Event):
    type: ClassVar[str] = "pulang.province.grant.failure-noted.v1"
    words: ClassVar[str] = "Kota memberi tahu bahwa kredit {reference} untuk {person} gagal."
    person: PersonCode
    reference: Reference


class ReturnNoted(Event):
    type: ClassVar[str] = "pulang.province.grant.return-noted.v1"
    words: ClassVar[str] = (
        "Kota memberi tahu pengembalian Rp{amount_rupiah} dari {reference} untuk {person}."
    )
    person: PersonCode
    reference: Reference
    amount_rupiah: PositiveRupiah


class GrantConfirmed(Event):
    type: ClassVar[str] = "pulang.province.grant.confirmed.v1"
    words: ClassVar[str] = "Kredit {reference} dipastikan ada di rekening {person}."
    person: PersonCode
    city: OfficeCode
    reference: Reference


class GrantDisputed(Event):
    type: ClassVar[str] = "pulang.province.grant.disputed.v1"
    words: ClassVar[str] = "Kredit {reference} tidak ada di rekening {person}."
    person: PersonCode
    city: OfficeCode
    reference: Reference
    reason: Sealed


Fate = Literal["noted", "failed", "returned", "confirmed", "disputed"]


@dataclass(frozen=True)
class State:
    credits: dict[str, CreditNoted] = field(default_factory=dict)
    fates: dict[str, Fate] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)


def evolve(state: State, event: Event) -> State:
    def fate(reference: str, fate: Fate) -> dict[str, Fate]:
        return state.fates | {reference: fate}

    match event:
        case CreditNoted(reference=reference):
            return replace(
                state,
                credits=state.credits | {reference: event},
                fates=fate(reference, "noted"),
            )
        case FailureNoted(reference=reference):
            return replace(state, fates=fate(reference, "failed"))
        case ReturnNoted(reference=reference, amount_rupiah=amount):
            total = state.returned.get(reference, 0) + amount
            whole = total >= state.credits[reference].amount_rupiah
            return replace(
                state,
                returned=state.returned | {reference: total},
                fates=fate(reference, "returned") if whole else state.fates,
            )
        case GrantConfirmed(reference=reference):
            return replace(state, fates=fate(reference, "confirmed"))
        case GrantDisputed(reference=reference):
            return replace(state, fates=fate(reference, "disputed"))
    return state


class NoteCredit(Command):
    person: PersonCode
    city: OfficeCode
    reference: Reference
    amount_rupiah: PositiveRupiah
    credited_on: date
    replaces: Reference | None = None


class NoteFailure(Command):
    person: PersonCode
    city: OfficeCode
    reference: Reference


class NoteReturn(Command):
    """`amount_rupiah` is what has gone back of this credit so far, in all."""

    person: PersonCode
    city: OfficeCode
    reference: Reference
    amount_rupiah: PositiveRupiah


class ConfirmGrant(Command):
    """The officer saw the credit on her account, together with her."""

    person: PersonCode
    reference: Reference


class DisputeGrant(Command):
    person: PersonCode
    reference: Reference
    reason: Reason


class RequireConfirmedGrant(Command):
    """Asks whether her business capital is on her account; it changes nothing (rule 19)."""

    person: PersonCode


def decide(command: Command, state: State) -> Decision:
    match command:
        case NoteCredit():
            return _note(command, state)
        case RequireConfirmedGrant():
            if "confirmed" in state.fates.values():
                return []
            return Refused(
                "CAPITAL_NOT_CONFIRMED",
                "Belum dipastikan bahwa modal usahanya ada di rekeningnya sendiri.",
                "Periksa rekeningnya bersama dia dan catat konfirmasinya.",
            )
    if not isinstance(command, NoteFailure | NoteReturn | ConfirmGrant | DisputeGrant):
        raise TypeError(command)
    credit = state.credits.get(command.reference)
    if credit is None:
        return Refused(
            "CREDIT_UNKNOWN",
            f"Kredit {command.reference} belum diberitahukan oleh kota.",
            "Periksa nomornya, atau tunggu pemberitahuan dari kota.",
        )
    return _on_credit(command, credit, state)


def _note(command: NoteCredit, state: State) -> Decision:
    noted = CreditNoted(
        person=command.person,
        city=command.city,
        reference=command.reference,
        amount_rupiah=command.amount_rupiah,
        credited_on=command.credited_on,
        replaces=command.replaces,
    )
    known = state.credits.get(command.reference)
    if known == noted:
        return []
    if known is not None:
        return Refused(
            "CREDIT_REFERENCE_DIFFERS",
            f"Kredit {command.reference} sudah diberitahukan dengan isi lain.",
            "Tanyakan kepada kota; yang pertama tetap berlaku.",
        )
    return [noted]


def _on_credit(
    command: NoteFailure | NoteReturn | ConfirmGrant | DisputeGrant,
    credit: CreditNoted,
    state: State,
) -> Decision:
    person, reference = command.person, command.reference
    fate = state.fates[reference]
    if isinstance(command, NoteFailure | NoteReturn) and command.city != credit.city:
        return Refused(
            "NOT_THE_SENDER",
            f"Kredit {reference} diberitahukan oleh {credit.city}, bukan {command.city}.",
            "Hubungi kedua kota; pesan ini tidak diterapkan.",
        )
    match command:
        case NoteFailure():
            if fate == "failed":
                return []
            return [FailureNoted(person=person, reference=reference)]
        case NoteReturn(amount_rupiah=in_all):
            if in_all > credit.amount_rupiah:
                return Refused(
                    "RETURN_BEYOND_CREDIT",
                    f"Kredit {reference} hanya {in_rupiah(credit.amount_rupiah)}.",
                    "Tanyakan kepada kota; yang dikembalikan tidak mungkin lebih besar.",
                )
            more = in_all - state.returned.get(reference, 0)
            if more <= 0:
                return []
            return [ReturnNoted(person=person, reference=reference, amount_rupiah=more)]
        case ConfirmGrant() | DisputeGrant() if fate in ("failed", "returned"):
            return Refused(
                "CREDIT_NOT_STANDING",
                f"Kredit {reference} sudah gagal atau dikembalikan.",
                "Tunggu kredit penggantinya.",
            )
        case ConfirmGrant():
            if fate == "confirmed":
                return []
            return [GrantConfirmed(person=person, city=credit.city, reference=reference)]
        case DisputeGrant(reason=reason):
            if fate == "disputed":
                return []
            return [
                GrantDisputed(person=person, city=credit.city, reference=reference, reason=reason)
            ]


decider: Decider[State] = Decider(
    category="grant",
    key="person",
    commands=(
        NoteCredit,
        NoteFailure,
        NoteReturn,
        ConfirmGrant,
        DisputeGrant,
        RequireConfirmedGrant,
    ),
    events=(CreditNoted, FailureNoted, ReturnNoted, GrantConfirmed, GrantDisputed),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
