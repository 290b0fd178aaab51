"""Erasure of one person at one office, and the legal hold that stops it (UU PDP 27/2022).

Proposed, approved by a second person, executed (her key is destroyed), asked of every office that
received her data, and complete only when each has confirmed. Another office's request is obeyed
like an approved decision: two people there have made it. While a hold stands nothing is executed;
whoever asked is told until when. Amounts and counts remain: the log never forgets that something
was, only who it was about.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar

from shared.contracts.values import (
    ErasureBasis,
    Identifier,
    OfficeCode,
    PersonCode,
    Reason,
    Reference,
    Sealed,
    short_day,
)
from shared.kernel.decider import Command, Decider, Decision, Event, Refused


class ErasureEvent(Event):
    person: PersonCode
    erasure: Identifier


class ErasureProposed(ErasureEvent):
    type: ClassVar[str] = "pulang.custody.erasure.proposed.v1"
    words: ClassVar[str] = "Penghapusan data {person} diusulkan ({basis}, {reference})."
    basis: ErasureBasis
    reference: Reference
    proposer: str


class ErasureApproved(ErasureEvent):
    type: ClassVar[str] = "pulang.custody.erasure.approved.v1"
    words: ClassVar[str] = "Penghapusan data {person} disetujui oleh {approver}."
    approver: str


class ErasureRejected(ErasureEvent):
    type: ClassVar[str] = "pulang.custody.erasure.rejected.v1"
    words: ClassVar[str] = "Usulan penghapusan data {person} ditolak."


class ErasureOrdered(ErasureEvent):
    """Another office erased her and asks the same of this one."""

    type: ClassVar[str] = "pulang.custody.erasure.ordered.v1"
    words: ClassVar[str] = "Kantor {office} meminta penghapusan data {person} ({basis})."
    basis: ErasureBasis
    office: OfficeCode


class ErasureDeferred(ErasureEvent):
    """A legal hold stands here; the office that asked is told until when."""

    type: ClassVar[str] = "pulang.custody.erasure.deferred.v1"
    words: ClassVar[str] = "Penghapusan data {person} ditunda sampai {until}."
    office: OfficeCode
    until: date


class ErasureBegun(ErasureEvent):
    """Her key is about to be destroyed; from here no hold comes in time."""

    type: ClassVar[str] = "pulang.custody.erasure.begun.v1"
    words: ClassVar[str] = "Penghapusan data {person} dimulai."
    basis: ErasureBasis


class ErasureExecuted(ErasureEvent):
    """Her key is destroyed, and the key epoch before `epoch`. `offices` are now asked too."""

    type: ClassVar[str] = "pulang.custody.erasure.executed.v1"
    words: ClassVar[str] = "Kunci data {person} dimusnahkan."
    basis: ErasureBasis
    epoch: int
    offices: tuple[OfficeCode, ...]


class ErasureConfirmed(ErasureEvent):
    type: ClassVar[str] = "pulang.custody.erasure.confirmed.v1"
    words: ClassVar[str] = "Kantor {office} memastikan penghapusan data {person}."
    office: OfficeCode


class ErasureWithheld(ErasureEvent):
    type: ClassVar[str] = "pulang.custody.erasure.withheld.v1"
    words: ClassVar[str] = "Kantor {office} menunda penghapusan data {person} sampai {until}."
    office: OfficeCode
    until: date


class ErasureCompleted(ErasureEvent):
    type: ClassVar[str] = "pulang.custody.erasure.completed.v1"
    words: ClassVar[str] = "Penghapusan data {person} selesai di semua kantor."


class ErasureAnswered(ErasureEvent):
    """The office that asked is told that it is done."""

    type: ClassVar[str] = "pulang.custody.erasure.answered.v1"
    words: ClassVar[str] = "Penghapusan data {person} dipastikan kepada kantor {office}."
    office: OfficeCode


class HoldPlaced(Event):
    type: ClassVar[str] = "pulang.custody.hold.placed.v1"
    words: ClassVar[str] = "Data {person} ditahan dari penghapusan sampai {until}."
    person: PersonCode
    until: date
    reason: Sealed


class HoldLifted(Event):
    type: ClassVar[str] = "pulang.custody.hold.lifted.v1"
    words: ClassVar[str] = "Penahanan data {person} diakhiri."
    person: PersonCode


@dataclass(frozen=True)
class State:
    proposed: ErasureProposed | None = None
    approved: bool = False
    rejected: bool = False
    ordered: dict[str, ErasureOrdered] = field(default_factory=dict)
    answered: frozenset[tuple[str, str]] = frozenset()
    begun: ErasureBegun | None = None
    executed: ErasureExecuted | None = None
    confirmed: frozenset[str] = frozenset()
    withheld: dict[str, date] = field(default_factory=dict)
    completed: bool = False
    held_until: date | None = None


def evolve(state: State, event: Event) -> State:
    match event:
        case ErasureProposed():
            return replace(state, proposed=event, rejected=False)
        case ErasureApproved():
            return replace(state, approved=True)
        case ErasureRejected():
            return replace(state, proposed=None, rejected=True)
        case ErasureOrdered(office=office):
            return replace(state, ordered=state.ordered | {office: event})
        case ErasureBegun():
            return replace(state, begun=event)
        case ErasureExecuted():
            return replace(state, executed=event)
        case ErasureConfirmed(office=office):
            return replace(state, confirmed=state.confirmed | {office})
        case ErasureWithheld(office=office, until=until):
            return replace(state, withheld=state.withheld | {office: until})
        case ErasureCompleted():
            return replace(state, completed=True)
        case ErasureAnswered(office=office, erasure=erasure):
            return replace(state, answered=state.answered | {(office, erasure)})
        case HoldPlaced(until=until):
            return replace(state, held_until=until)
        case HoldLifted():
            return replace(state, held_until=None)
    return state


class ProposeErasure(Command):
    """`basis` is the ground in law, `reference` the paper that it stands on."""

    person: PersonCode
    erasure: Identifier
    basis: ErasureBasis
    reference: Reference


class ApproveErasure(Command):
    """A second person agrees. From here it can't be taken back."""

    person: PersonCode


class RejectErasure(Command):
    person: PersonCode


class OrderErasure(Command):
    person: PersonCode
    erasure: Identifier
    basis: ErasureBasis
    office: OfficeCode


class BeginErasure(Command):
    """The worker asks whether she is really to be erased, before it destroys anything."""

    person: PersonCode


class ExecuteErasure(Command):
    """Says that her key is gone; `offices` are those that received anything about her."""

    person: PersonCode
    epoch: int
    offices: tuple[OfficeCode, ...]


class ConfirmErasure(Command):
    person: PersonCode
    erasure: Identifier
    office: OfficeCode


class NoteWithheld(Command):
    person: PersonCode
    erasure: Identifier
    office: OfficeCode
    until: date


class PlaceHold(Command):
    """Her data must stay until that day, for a reason in law. Placed again it is moved."""

    person: PersonCode
    until: date
    reason: Reason


class LiftHold(Command):
    person: PersonCode


class RequireNotErased(Command):
    """Asks whether anything may still be written about her; it changes nothing."""

    person: PersonCode


def decide(command: Command, state: State) -> Decision:
    match command:
        case ProposeErasure() | ApproveErasure() | RejectErasure():
            return _towards(command, state)
        case OrderErasure():
            return _order(command, state)
        case BeginErasure():
            return _begin(command, state)
        case ExecuteErasure():
            return _execute(command, state)
        case ConfirmErasure(erasure=erasure, office=office):
            if not _asked(state, erasure, office) or office in state.confirmed:
                return []
            confirmed = ErasureConfirmed(person=command.person, erasure=erasure, office=office)
            return [confirmed, *_completed(command.person, evolve(state, confirmed))]
        case NoteWithheld(erasure=erasure, office=office, until=until):
            if not _asked(state, erasure, office) or state.withheld.get(office) == until:
                return []
            return [
                ErasureWithheld(person=command.person, erasure=erasure, office=office, until=until)
            ]
        case PlaceHold() | LiftHold():
            return _hold(command, state)
        case RequireNotErased():
            return [] if state.executed is None else _erased()
    raise TypeError(command)


def _towards(command: ProposeErasure | ApproveErasure | RejectErasure, state: State) -> Decision:
    if state.executed is not None:
        return [] if isinstance(command, ProposeErasure) else _erased()
    if _held(command, state) and not isinstance(command, RejectErasure):
        return _legal_hold(state)
    if isinstance(command, ProposeErasure):
        if state.proposed is not None:
            return []
        return [
            ErasureProposed(
                person=command.person,
                erasure=command.erasure,
                basis=command.basis,
                reference=command.reference,
                proposer=command.by,
            )
        ]
    if state.proposed is None:
        if state.rejected and isinstance(command, RejectErasure):
            return []
        return Refused(
            "ERASURE_UNKNOWN",
            "Penghapusan data orang ini belum diusulkan.",
            "Usulkan lebih dahulu, dengan dasar hukumnya.",
        )
    erasure = state.proposed.erasure
    if isinstance(command, RejectErasure):
        if state.approved:
            return _approved_already()
        return [ErasureRejected(person=command.person, erasure=erasure)]
    if state.approved:
        return []
    if command.by == state.proposed.proposer:
        return Refused(
            "SECOND_PERSON",
            "Yang mengusulkan tidak dapat menyetujui.",
            "Minta persetujuan orang kedua.",
        )
    return [ErasureApproved(person=command.person, erasure=erasure, approver=command.by)]


def _order(command: OrderErasure, state: State) -> Decision:
    known = state.ordered.get(command.office)
    if known is not None and known.erasure == command.erasure:
        return []
    ordered = ErasureOrdered(
        person=command.person,
        erasure=command.erasure,
        basis=command.basis,
        office=command.office,
    )
    if state.executed is not None:
        # What comes round in one erasure, or meets another that is older by name, is answered at
        # once: offices that all waited for each other would wait for ever. Any other order is
        # answered when this office's own erasure is complete.
        if state.completed or command.erasure <= state.executed.erasure:
            return [ordered, _answer(command.person, ordered)]
        return [ordered]
    if state.begun is None and state.held_until is not None and _held(command, state):
        return [
            ordered,
            ErasureDeferred(
                person=command.person,
                erasure=command.erasure,
                office=command.office,
                until=state.held_until,
            ),
        ]
    return [ordered]


def _begin(command: BeginErasure, state: State) -> Decision:
    if state.begun is not None or state.executed is not None:
        return []
    if _held(command, state):
        return _legal_hold(state)
    if state.approved and state.proposed is not None:
        decided: ErasureProposed | ErasureOrdered = state.proposed
    elif state.ordered:
        decided = next(iter(state.ordered.values()))
    else:
        return _undecided()
    return [ErasureBegun(person=command.person, erasure=decided.erasure, basis=decided.basis)]


def _undecided() -> Refused:
    return Refused(
        "ERASURE_UNDECIDED",
        "Penghapusan ini belum disetujui orang kedua.",
        "Setujui lebih dahulu.",
    )


def _execute(command: ExecuteErasure, state: State) -> Decision:
    if state.executed is not None:
        return []
    if state.begun is None:
        return _undecided()
    executed = ErasureExecuted(
        person=command.person,
        erasure=state.begun.erasure,
        basis=state.begun.basis,
        epoch=command.epoch,
        # Who asked knows already.
        offices=tuple(one for one in command.offices if one not in state.ordered),
    )
    # Offices that order older erasures than this one may themselves wait for it: see `_order`.
    older = [
        _answer(command.person, ordered)
        for ordered in state.ordered.values()
        if ordered.erasure < executed.erasure
    ]
    after = evolve(state, executed)
    for answer in older:
        after = evolve(after, answer)
    return [executed, *older, *_completed(command.person, after)]


def _completed(person: str, state: State) -> list[Event]:
    """Complete once every office that was asked has confirmed; whoever asked is told then."""
    if state.executed is None or state.completed:
        return []
    if not set(state.executed.offices) <= state.confirmed:
        return []
    answers = [
        _answer(person, ordered)
        for office, ordered in state.ordered.items()
        if (office, ordered.erasure) not in state.answered
    ]
    return [ErasureCompleted(person=person, erasure=state.executed.erasure), *answers]


def _answer(person: str, ordered: ErasureOrdered) -> ErasureAnswered:
    return ErasureAnswered(person=person, erasure=ordered.erasure, office=ordered.office)


def _asked(state: State, erasure: str, office: str) -> bool:
    executed = state.executed
    return executed is not None and executed.erasure == erasure and office in executed.offices


def _hold(command: PlaceHold | LiftHold, state: State) -> Decision:
    if isinstance(command, LiftHold):
        return [HoldLifted(person=command.person)] if state.held_until is not None else []
    if state.executed is not None:
        return _erased()
    if state.approved or state.begun is not None:
        return _approved_already()
    if command.until <= command.now.date():
        return Refused(
            "HOLD_ENDED",
            "Tanggal akhir penahanan sudah lewat.",
            "Isi tanggal akhir yang akan datang.",
        )
    if state.held_until == command.until:
        return []
    deferred = [
        ErasureDeferred(
            person=command.person, erasure=ordered.erasure, office=office, until=command.until
        )
        for office, ordered in state.ordered.items()
    ]
    return [
        HoldPlaced(person=command.person, until=command.until, reason=command.reason),
        *deferred,
    ]


def _held(command: Command, state: State) -> bool:
    return state.held_until is not None and command.now.date() <= state.held_until


def _legal_hold(state: State) -> Refused:
    until = f" sampai {short_day(state.held_until)}" if state.held_until else ""
    return Refused(
        "LEGAL_HOLD",
        f"Datanya ditahan secara hukum{until}.",
        "Tunggu sampai tanggal itu, atau akhiri penahanannya bila alasannya gugur.",
    )


def _erased() -> Refused:
    return Refused(
        "PERSON_ERASED",
        "Data orang ini sudah dihapus.",
        "Tidak ada lagi yang dapat dicatat tentangnya di bawah kode ini.",
    )


def _approved_already() -> Refused:
    return Refused(
        "ERASURE_APPROVED",
        "Penghapusan data ini sudah disetujui dan sedang dijalankan.",
        "Tidak dapat dibatalkan lagi.",
    )


decider: Decider[State] = Decider(
    category="custody",
    key="person",
    commands=(
        ProposeErasure,
        ApproveErasure,
        RejectErasure,
        OrderErasure,
        BeginErasure,
        ExecuteErasure,
        ConfirmErasure,
        NoteWithheld,
        PlaceHold,
        LiftHold,
        RequireNotErased,
    ),
    events=(
        ErasureProposed,
        ErasureApproved,
        ErasureRejected,
        ErasureOrdered,
        ErasureDeferred,
        ErasureBegun,
        ErasureExecuted,
        ErasureConfirmed,
        ErasureWithheld,
        ErasureCompleted,
        ErasureAnswered,
        HoldPlaced,
        HoldLifted,
    ),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
