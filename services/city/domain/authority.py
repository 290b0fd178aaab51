"""The authority to sign (kewenangan), valid for dates; an acting head (Plt) signs as acting.

Approving a handover exercises an authority at the date of the deed (rule 7).
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from shared.contracts.values import Identifier, Line, Reference
from shared.kernel.decider import Command, Decider, Decision, Event, Refused


class AuthorityConferred(Event):
    type: ClassVar[str] = "pulang.city.authority.conferred.v1"
    words: ClassVar[str] = "Kewenangan {signatory} dicatat menurut {decree}: {position}."
    signatory: Identifier
    position: Line
    acting: bool
    decree: Reference
    valid_from: date
    valid_until: date | None


class AuthorityEnded(Event):
    type: ClassVar[str] = "pulang.city.authority.ended.v1"
    words: ClassVar[str] = "Kewenangan {signatory} menurut {decree} berakhir pada {valid_until}."
    signatory: Identifier
    decree: Reference
    valid_until: date


State = tuple[AuthorityConferred, ...]


def evolve(state: State, event: Event) -> State:
    match event:
        case AuthorityConferred():
            return (*state, event)
        case AuthorityEnded(decree=decree, valid_until=until):
            return tuple(
                one.model_copy(update={"valid_until": until}) if one.decree == decree else one
                for one in state
            )
    return state


class ConferAuthority(Command):
    signatory: Identifier
    position: Line
    acting: bool
    decree: Reference
    valid_from: date
    valid_until: date | None = None


class EndAuthority(Command):
    """The decree's authority ends with this day."""

    signatory: Identifier
    decree: Reference
    valid_until: date


class ExerciseAuthority(Command):
    """Asks whether the signatory may sign on that date; it changes nothing."""

    signatory: Identifier
    on: date


def decide(command: Command, state: State) -> Decision:
    match command:
        case ConferAuthority():
            if command.valid_until is not None and command.valid_until < command.valid_from:
                return Refused(
                    "AUTHORITY_DATES_INVERTED",
                    "Masa kewenangan berakhir sebelum dimulai.",
                    "Periksa kedua tanggal pada surat keputusannya.",
                )
            conferred = AuthorityConferred(
                signatory=command.signatory,
                position=command.position,
                acting=command.acting,
                decree=command.decree,
                valid_from=command.valid_from,
                valid_until=command.valid_until,
            )
            return [] if conferred in state else [conferred]
        case EndAuthority(signatory=signatory, decree=decree, valid_until=until):
            conferred_by = [one for one in state if one.decree == decree]
            if not conferred_by:
                return Refused(
                    "AUTHORITY_UNKNOWN",
                    f"Tidak ada kewenangan menurut {decree} untuknya.",
                    "Periksa nomor surat keputusannya.",
                )
            if all(one.valid_until == until for one in conferred_by):
                return []
            return [AuthorityEnded(signatory=signatory, decree=decree, valid_until=until)]
        case ExerciseAuthority(on=on):
            if any(
                one.valid_from <= on and (one.valid_until is None or on <= one.valid_until)
                for one in state
            ):
                return []
            return Refused(
                "AUTHORITY_NOT_VALID",
                f"Penanda tangan tidak berwenang pada tanggal {on.isoformat()}.",
                "Minta pejabat yang berwenang pada tanggal itu, atau catat surat keputusannya.",
            )
    raise TypeError(command)


decider: Decider[State] = Decider(
    category="authority",
    key="signatory",
    commands=(ConferAuthority, EndAuthority, ExerciseAuthority),
    events=(AuthorityConferred, AuthorityEnded),
    initial=(),
    evolve=evolve,
    decide=decide,
)
