"""Who looked at whose data and why: looks, look-ups by identity, break-glass and its review.

A look is recorded before anything is shown; one that can't be recorded shows nothing. A look-up
is exact, has a purpose and a bound for each member of staff. Break-glass opens for an hour what
is somebody else's to see; it needs a reason, and an auditor reviews it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from pydantic import AwareDatetime

from shared.contracts.values import Identifier, PersonCode, Reason, Sealed
from shared.kernel.decider import Command, Decider, Decision, Event, Refused

LOOK_WINDOW = timedelta(minutes=10)
LOOKUPS_AT_MOST = 20
LOOKUP_WINDOW = timedelta(minutes=10)
BREAK_GLASS = timedelta(hours=1)

Purpose = Literal[
    "identity_check", "arrival", "deed_annex", "grant", "case_work", "reading_reason", "correction",
    "receipt",
]  # fmt: skip
"""Why somebody looks. Codes: a free text could name a person where none may stand."""


class PersonalDataSeen(Event):
    """`subjects` are persons, or papers whose free texts were opened; `fields` what of them."""

    type: ClassVar[str] = "pulang.custody.personal-data-seen.v1"
    words: ClassVar[str] = "{by} membuka data pribadi ({purpose})."
    look: Identifier
    by: str
    subjects: tuple[str, ...]
    fields: tuple[str, ...]
    purpose: Purpose
    break_glass: Identifier | None
    at: AwareDatetime


class UnusualLookingNoticed(Event):
    """More persons in a short time than this office thinks usual; once in that time."""

    type: ClassVar[str] = "pulang.custody.unusual-looking-noticed.v1"
    words: ClassVar[str] = "{by} membuka data {persons} orang dalam {minutes} menit."
    at: AwareDatetime
    by: str
    persons: int
    minutes: int


class IdentityLookedUp(Event):
    """Somebody asked for a person by her identity; `person` is what she was told, if anything."""

    type: ClassVar[str] = "pulang.custody.identity-looked-up.v1"
    words: ClassVar[str] = "{by} mencari menurut identitas ({purpose})."
    by: str
    purpose: Purpose
    person: PersonCode | None
    at: AwareDatetime


class BreakGlassOpened(Event):
    type: ClassVar[str] = "pulang.custody.break-glass-opened.v1"
    words: ClassVar[str] = "{by} membuka akses darurat atas {person} sampai {ends_at}."
    break_glass: Identifier
    by: str
    person: PersonCode
    reason: Sealed
    ends_at: AwareDatetime


class BreakGlassReviewed(Event):
    type: ClassVar[str] = "pulang.custody.break-glass-reviewed.v1"
    words: ClassVar[str] = "Akses darurat {break_glass} ditinjau oleh {by}: {finding}."
    break_glass: Identifier
    by: str
    finding: Literal["justified", "unjustified"]


class RecordLook(Command):
    """`staff_day` is who and which day: the stream that looks are counted in.

    Beyond `usual_persons` in LOOK_WINDOW an alarm is raised, and the look recorded all the same.
    """

    staff_day: str
    usual_persons: int
    look: Identifier
    subjects: tuple[str, ...]
    fields: tuple[str, ...]
    purpose: Purpose
    break_glass: Identifier | None = None


class LookUpIdentity(Command):
    """`staff` is who asks: the stream that the bound is counted in."""

    staff: str
    purpose: Purpose
    person: PersonCode | None


class OpenBreakGlass(Command):
    break_glass: Identifier
    person: PersonCode
    reason: Reason


class ReviewBreakGlass(Command):
    break_glass: Identifier
    finding: Literal["justified", "unjustified"]


@dataclass(frozen=True)
class Looks:
    """The day's looks as times and persons, and when the last alarm was raised."""

    seen: tuple[tuple[datetime, frozenset[str]], ...] = ()
    alarmed_at: datetime | None = None


@dataclass(frozen=True)
class LookUps:
    at: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class BreakGlass:
    opened: BreakGlassOpened | None = None
    reviewed: bool = False


def _evolve_look(state: Looks, event: Event) -> Looks:
    match event:
        case PersonalDataSeen(at=at, subjects=subjects):
            persons = frozenset(one for one in subjects if one.startswith("PM-"))
            return replace(state, seen=(*state.seen, (at, persons)))
        case UnusualLookingNoticed(at=at):
            return replace(state, alarmed_at=at)
    return state


def _decide_look(command: RecordLook, state: Looks) -> Decision:
    seen = PersonalDataSeen(
        look=command.look,
        by=command.by,
        subjects=command.subjects,
        fields=command.fields,
        purpose=command.purpose,
        break_glass=command.break_glass,
        at=command.now,
    )
    since = command.now - LOOK_WINDOW
    if state.alarmed_at is not None and state.alarmed_at > since:
        return [seen]
    lately = [persons for at, persons in _evolve_look(state, seen).seen if at > since]
    number = len(frozenset[str]().union(*lately))
    if number <= command.usual_persons:
        return [seen]
    minutes = int(LOOK_WINDOW.total_seconds() // 60)
    return [
        seen,
        UnusualLookingNoticed(at=command.now, by=command.by, persons=number, minutes=minutes),
    ]


def _evolve_lookups(state: LookUps, event: Event) -> LookUps:
    match event:
        case IdentityLookedUp(at=at):
            return LookUps((*state.at, at)[-LOOKUPS_AT_MOST:])
    return state


def _decide_lookup(command: LookUpIdentity, state: LookUps) -> Decision:
    lately = [at for at in state.at if command.now - at < LOOKUP_WINDOW]
    if len(lately) >= LOOKUPS_AT_MOST:
        return Refused(
            "TOO_MANY_LOOKUPS",
            f"Sudah {LOOKUPS_AT_MOST} pencarian dalam sepuluh menit.",
            "Tunggu beberapa menit; pakai kode PM bila sudah diketahui.",
        )
    return [
        IdentityLookedUp(
            by=command.by, purpose=command.purpose, person=command.person, at=command.now
        )
    ]


def _evolve_break_glass(state: BreakGlass, event: Event) -> BreakGlass:
    match event:
        case BreakGlassOpened():
            return replace(state, opened=event)
        case BreakGlassReviewed():
            return replace(state, reviewed=True)
    return state


def _decide_break_glass(command: OpenBreakGlass | ReviewBreakGlass, state: BreakGlass) -> Decision:
    if isinstance(command, OpenBreakGlass):
        if state.opened is not None:
            return []
        return [
            BreakGlassOpened(
                break_glass=command.break_glass,
                by=command.by,
                person=command.person,
                reason=command.reason,
                ends_at=command.now + BREAK_GLASS,
            )
        ]
    if state.opened is None:
        return Refused(
            "BREAK_GLASS_UNKNOWN", "Akses darurat ini tidak ada.", "Periksa kodenya pada daftar."
        )
    if state.opened.by == command.by:
        return Refused(
            "OWN_BREAK_GLASS",
            "Akses darurat sendiri tidak dapat ditinjau sendiri.",
            "Minta auditor lain meninjaunya.",
        )
    if state.reviewed:
        return []
    return [
        BreakGlassReviewed(break_glass=command.break_glass, by=command.by, finding=command.finding)
    ]


looks: Decider[Looks] = Decider(
    category="look",
    key="staff_day",
    commands=(RecordLook,),
    events=(PersonalDataSeen, UnusualLookingNoticed),
    initial=Looks(),
    evolve=_evolve_look,
    decide=_decide_look,
)
lookups: Decider[LookUps] = Decider(
    category="lookups",
    key="staff",
    commands=(LookUpIdentity,),
    events=(IdentityLookedUp,),
    initial=LookUps(),
    evolve=_evolve_lookups,
    decide=_decide_lookup,
)
break_glass: Decider[BreakGlass] = Decider(
    category="break-glass",
    key="break_glass",
    commands=(OpenBreakGlass, ReviewBreakGlass),
    events=(BreakGlassOpened, BreakGlassReviewed),
    initial=BreakGlass(),
    evolve=_evolve_break_glass,
    decide=_decide_break_glass,
)
