"""The authority to sign (kewenangan), valid for dates; an acting head (Plt) signs as acting.

Approving a handover exercises an authority at the date of the deed (rule 7).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar

from shared.contracts.values import Identifier, Line, Reference, short_day
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


@dataclass(frozen=True)
class State:
    conferred: tuple[AuthorityConferred, ...] = ()
    ends: dict[str, date] = field(default_factory=dict)

    def until(self, one: AuthorityConferred) -> date | None:
        """Its last day: the decree's own, or an earlier one that was recorded."""
        days = {one.valid_until, self.ends.get(one.decree)} - {None}
        return min((day for day in days if day), default=None)


def evolve(state: State, event: Event) -> State:
    match event:
        case AuthorityConferred():
            return replace(state, conferred=(*state.conferred, event))
        case AuthorityEnded(decree=decree, valid_until=until):
            return replace(state, ends=state.ends | {decree: until})
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
            return [] if conferred in state.conferred else [conferred]
        case EndAuthority(signatory=signatory, decree=decree, valid_until=until):
            conferred_by = [one for one in state.conferred if one.decree == decree]
            if not conferred_by:
                return Refused(
                    "AUTHORITY_UNKNOWN",
                    f"Tidak ada kewenangan menurut {decree} untuknya.",
                    "Periksa nomor surat keputusannya.",
                )
            if state.ends.get(decree) == until:
                return []
            if all(state.until(one) == until for one in conferred_by):
                return []
            if all(until < one.valid_from for one in conferred_by):
                return Refused(
                    "AUTHORITY_DATES_INVERTED",
                    f"Menurut {decree} kewenangannya baru dimulai sesudah {short_day(until)}.",
                    "Periksa tanggal berakhirnya dan nomor surat keputusannya.",
                )
            if all(one.valid_until and one.valid_until < until for one in conferred_by):
                return Refused(
                    "AUTHORITY_ENDS_EARLIER",
                    f"Menurut {decree} kewenangannya berakhir lebih dahulu.",
                    "Perpanjangan memerlukan surat keputusan baru; catat surat itu.",
                )
            return [AuthorityEnded(signatory=signatory, decree=decree, valid_until=until)]
        case ExerciseAuthority(on=on):
            if any(
                one.valid_from <= on and on <= (state.until(one) or date.max)
                for one in state.conferred
            ):
                return []
            return Refused(
                "AUTHORITY_NOT_VALID",
                f"Penanda tangan tidak berwenang pada tanggal {short_day(on)}.",
                "Minta pejabat yang berwenang pada tanggal itu, atau catat surat keputusannya.",
            )
    raise TypeError(command)


decider: Decider[State] = Decider(
    category="authority",
    key="signatory",
    commands=(ConferAuthority, EndAuthority, ExerciseAuthority),
    events=(AuthorityConferred, AuthorityEnded),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
