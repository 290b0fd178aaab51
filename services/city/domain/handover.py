"""The handover (serah terima): manifest, approval, deed, departure, and what the receiver says.

Draft → submitted → approved by another person (rule 7) → issued with its BAST number → departed.
Responsibility passes per person, when the receiving office acknowledges her, not when she leaves
(rule 5). What the receiving office says is recorded whatever the city expected.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar, Literal

from pydantic import AwareDatetime

from services.city.domain import answer
from shared.contracts.values import (
    Identifier,
    Line,
    ManifestEntry,
    OfficeCode,
    PersonCode,
    Reason,
    Reference,
    RegionCode,
    Sealed,
)
from shared.kernel.decider import Command, Decider, Decision, Event, Refused

ENTRIES_AT_MOST = 1_000
Phase = Literal[
    "unknown", "draft", "submitted", "approved", "issued", "departed", "withdrawn", "declined",
    "closed",
]  # fmt: skip


class HandoverDrafted(Event):
    type: ClassVar[str] = "pulang.city.handover.drafted.v1"
    words: ClassVar[str] = "Serah terima {handover} ke {receiving_office} dirancang oleh {issuer}."
    handover: Identifier
    operation: Identifier
    receiving_office: OfficeCode
    planned_departure: date
    transport: Line
    predecessor: Identifier | None
    issuer: str


class EntryAdded(Event):
    type: ClassVar[str] = "pulang.city.handover.entry-added.v1"
    words: ClassVar[str] = "Seorang penerima manfaat ditambahkan ke daftar {handover}."
    handover: Identifier
    entry: ManifestEntry


class EntryRemoved(Event):
    """She left the manifest before it was issued; no other office had heard of it."""

    type: ClassVar[str] = "pulang.city.handover.entry-removed.v1"
    words: ClassVar[str] = "{person} dikeluarkan dari rancangan {handover}."
    handover: Identifier
    person: PersonCode
    reason: Sealed


class HandoverSubmitted(Event):
    type: ClassVar[str] = "pulang.city.handover.submitted.v1"
    words: ClassVar[str] = "Serah terima {handover} diajukan oleh {submitted_by}."
    handover: Identifier
    submitted_by: str


class HandoverReturned(Event):
    """The approver gave it back to its issuer, with a reason."""

    type: ClassVar[str] = "pulang.city.handover.returned.v1"
    words: ClassVar[str] = "Serah terima {handover} dikembalikan kepada penyusun."
    handover: Identifier
    reason: Sealed


class HandoverApproved(Event):
    type: ClassVar[str] = "pulang.city.handover.approved.v1"
    words: ClassVar[str] = (
        "Serah terima {handover} disahkan oleh {approver}, tertanggal {deed_date}."
    )
    handover: Identifier
    approver: str
    signatory: Identifier
    deed_date: date


class HandoverIssued(Event):
    type: ClassVar[str] = "pulang.city.handover.issued.v1"
    words: ClassVar[str] = (
        "Berita acara {deed_number} terbit untuk serah terima {handover} ke {receiving_office}."
    )
    handover: Identifier
    operation: Identifier
    receiving_office: OfficeCode
    deed_number: Reference
    deed_date: date
    planned_departure: date
    transport: Line
    predecessor: Identifier | None
    entries: tuple[ManifestEntry, ...]


class EntryWithdrawn(Event):
    """She left an issued manifest before departure; `entries` are those who remain."""

    type: ClassVar[str] = "pulang.city.handover.entry-withdrawn.v1"
    words: ClassVar[str] = "{person} ditarik dari serah terima {handover}."
    handover: Identifier
    receiving_office: OfficeCode
    person: PersonCode
    reason: Sealed
    revision: int
    entries: tuple[ManifestEntry, ...]


class HandoverWithdrawn(Event):
    type: ClassVar[str] = "pulang.city.handover.withdrawn.v1"
    words: ClassVar[str] = "Serah terima {handover} ditarik."
    handover: Identifier
    receiving_office: OfficeCode
    was_issued: bool
    reason: Sealed
    persons: tuple[PersonCode, ...]


class HandoverDeparted(Event):
    type: ClassVar[str] = "pulang.city.handover.departed.v1"
    words: ClassVar[str] = "Serah terima {handover} berangkat pada {departed_at}."
    handover: Identifier
    receiving_office: OfficeCode
    departed_at: AwareDatetime
    persons: tuple[PersonCode, ...]


class DepartureCorrected(Event):
    """The departure recorded before did not occur (rule 18)."""

    type: ClassVar[str] = "pulang.city.handover.departure-corrected.v1"
    words: ClassVar[str] = "Keberangkatan {handover} ternyata tidak terjadi."
    handover: Identifier
    receiving_office: OfficeCode
    departed_at: AwareDatetime
    reason: Sealed
    persons: tuple[PersonCode, ...]


class HandoverClosed(Event):
    type: ClassVar[str] = "pulang.city.handover.closed.v1"
    words: ClassVar[str] = "Serah terima {handover} ditutup."
    handover: Identifier


@dataclass(frozen=True)
class State:
    phase: Phase = "unknown"
    drafted: HandoverDrafted | None = None
    submitted_by: str | None = None
    approved: HandoverApproved | None = None
    deed_number: str | None = None
    departed_at: AwareDatetime | None = None
    revision: int = 0
    entries: dict[str, ManifestEntry] = field(default_factory=dict)
    manifest: frozenset[str] = frozenset()
    answers: answer.State = field(default_factory=answer.State)


def evolve(state: State, event: Event) -> State:
    match event:
        case HandoverDrafted():
            return replace(state, phase="draft", drafted=event)
        case EntryAdded(entry=entry):
            return replace(state, entries=state.entries | {entry.person: entry})
        case EntryRemoved(person=person):
            return replace(state, entries=_without(state.entries, person))
        case EntryWithdrawn(person=person, revision=revision):
            return replace(state, entries=_without(state.entries, person), revision=revision)
        case HandoverSubmitted(submitted_by=submitted_by):
            return replace(state, phase="submitted", submitted_by=submitted_by)
        case HandoverReturned():
            return replace(state, phase="draft", submitted_by=None, approved=None)
        case HandoverApproved():
            return replace(state, phase="approved", approved=event)
        case HandoverIssued(deed_number=number, entries=entries):
            everyone = frozenset(entry.person for entry in entries)
            return replace(state, phase="issued", deed_number=number, manifest=everyone)
        case HandoverWithdrawn():
            return replace(state, phase="withdrawn")
        case HandoverDeparted(departed_at=departed_at):
            return replace(state, phase="departed", departed_at=departed_at)
        case DepartureCorrected():
            return replace(state, phase="issued", departed_at=None)
        case answer.DeclineRecorded():
            return replace(state, phase="declined")
        case (
            answer.ArrivalRecorded()
            | answer.UnlistedArrivalRecorded()
            | answer.UnlistedArrivalCorrected()
        ):
            return replace(state, answers=answer.evolve(state.answers, event))
        case HandoverClosed():
            return replace(state, phase="closed")
    return state


class DraftHandover(Command):
    handover: Identifier
    operation: Identifier
    receiving_office: OfficeCode
    planned_departure: date
    transport: Line
    predecessor: Identifier | None = None


class AddEntry(Command):
    handover: Identifier
    person: PersonCode
    origin: RegionCode
    identity: Sealed | None = None


class WithdrawEntry(Command):
    """Takes one person off the manifest, any time before departure (rule 9)."""

    handover: Identifier
    person: PersonCode
    reason: Reason


class SubmitHandover(Command):
    handover: Identifier


class ReturnHandover(Command):
    handover: Identifier
    reason: Reason


class ApproveHandover(Command):
    handover: Identifier
    signatory: Identifier
    deed_date: date


class IssueHandover(Command):
    handover: Identifier
    deed_number: Reference


class WithdrawHandover(Command):
    handover: Identifier
    reason: Reason


class DepartHandover(Command):
    """They have left: `occurred_at` is when. A plan or a report is not a departure (rule 4)."""

    handover: Identifier


class CorrectDeparture(Command):
    handover: Identifier
    reason: Reason


class CloseHandover(Command):
    handover: Identifier


class RequireHandover(Command):
    """Asks whether the handover exists; it changes nothing."""

    handover: Identifier


def decide(command: Command, state: State) -> Decision:
    if isinstance(command, DraftHandover):
        return _draft(command, state)
    if state.drafted is None:
        return Refused(
            "HANDOVER_UNKNOWN",
            "Serah terima ini tidak ada.",
            "Periksa kodenya; serah terima dimulai dengan rancangan.",
        )
    match command:
        case RequireHandover():
            return []
        case AddEntry():
            return _add(command, state)
        case WithdrawEntry():
            return _withdraw_entry(command, state, state.drafted)
        case SubmitHandover() | ReturnHandover() | ApproveHandover() | IssueHandover():
            return _towards_issue(command, state, state.drafted)
        case WithdrawHandover(handover=handover, reason=reason):
            return _withdraw(handover, reason, state, state.drafted)
        case DepartHandover():
            return _depart(command, state, state.drafted)
        case CorrectDeparture():
            return _correct_departure(command, state, state.drafted)
        case CloseHandover():
            return _close(command, state)
        case answer.RecordArrival() | answer.RecordUnlisted() | answer.RecordDecline():
            return answer.decide(
                command,
                state.answers,
                answer.Asked(
                    office=state.drafted.receiving_office,
                    operation=state.drafted.operation,
                    entries=tuple(state.entries),
                    issued=state.manifest,
                    ended=state.phase in ("declined", "withdrawn"),
                ),
            )
    raise TypeError(command)


def _draft(command: DraftHandover, state: State) -> Decision:
    drafted = HandoverDrafted(
        handover=command.handover,
        operation=command.operation,
        receiving_office=command.receiving_office,
        planned_departure=command.planned_departure,
        transport=command.transport,
        predecessor=command.predecessor,
        issuer=command.by,
    )
    if state.drafted == drafted:
        return []
    if state.drafted is not None:
        return Refused(
            "HANDOVER_EXISTS",
            "Serah terima dengan kode ini sudah ada dengan isi lain.",
            "Pakai kode lain, atau lanjutkan rancangan yang ada.",
        )
    return [drafted]


def _add(command: AddEntry, state: State) -> Decision:
    if command.person in state.entries:
        return []
    if len(state.entries) >= ENTRIES_AT_MOST:
        return Refused(
            "MANIFEST_FULL",
            f"Daftar nominatif memuat paling banyak {ENTRIES_AT_MOST} orang.",
            "Buat serah terima kedua.",
        )
    if state.phase != "draft":
        return _wrong_phase("Orang baru hanya dapat ditambahkan pada rancangan.")
    entry = ManifestEntry(person=command.person, origin=command.origin, identity=command.identity)
    return [EntryAdded(handover=command.handover, entry=entry)]


def _withdraw_entry(command: WithdrawEntry, state: State, drafted: HandoverDrafted) -> Decision:
    if command.person in state.answers.given:
        return _already_answered()
    if command.person not in state.entries:
        return []
    if state.phase == "withdrawn":
        return []
    if state.phase in ("draft", "submitted", "approved"):
        return [
            EntryRemoved(handover=command.handover, person=command.person, reason=command.reason)
        ]
    if state.phase != "issued":
        return _wrong_phase("Penarikan hanya mungkin sebelum keberangkatan.")
    remaining = tuple(_without(state.entries, command.person).values())
    if not remaining:
        return _withdraw(command.handover, command.reason, state, drafted)
    return [
        EntryWithdrawn(
            handover=command.handover,
            receiving_office=drafted.receiving_office,
            person=command.person,
            reason=command.reason,
            revision=state.revision + 1,
            entries=remaining,
        )
    ]


def _towards_issue(
    command: SubmitHandover | ReturnHandover | ApproveHandover | IssueHandover,
    state: State,
    drafted: HandoverDrafted,
) -> Decision:
    handover = command.handover
    match command, state.phase:
        case (SubmitHandover(), "submitted") | (ReturnHandover(), "draft"):
            return []
        case SubmitHandover(), "draft":
            if not state.entries:
                return _empty_manifest()
            return [HandoverSubmitted(handover=handover, submitted_by=command.by)]
        case ReturnHandover(reason=reason), ("submitted" | "approved"):
            return [HandoverReturned(handover=handover, reason=reason)]
        case ApproveHandover(), "submitted":
            return _approve(command, state, drafted)
        case ApproveHandover(signatory=signatory, deed_date=deed_date), _ if (
            state.approved is not None
            and (state.approved.signatory, state.approved.deed_date) == (signatory, deed_date)
        ):
            return []
        case IssueHandover(deed_number=number), "approved":
            return _issue(command, number, state, drafted)
        case IssueHandover(deed_number=number), _ if number == state.deed_number:
            return []
    return _wrong_phase("Langkah ini tidak sesuai urutannya.")


def _approve(command: ApproveHandover, state: State, drafted: HandoverDrafted) -> Decision:
    if not state.entries:
        return _empty_manifest()
    if {command.by, command.signatory} & {drafted.issuer, state.submitted_by}:
        return Refused(
            "ISSUER_IS_APPROVER",
            "Yang menyusun atau mengajukan tidak boleh mengesahkan atau menandatangani.",
            "Minta pengesahan dari pejabat lain.",
        )
    return [
        HandoverApproved(
            handover=command.handover,
            approver=command.by,
            signatory=command.signatory,
            deed_date=command.deed_date,
        )
    ]


def _issue(command: IssueHandover, number: str, state: State, drafted: HandoverDrafted) -> Decision:
    if state.approved is None or not state.entries:
        return _empty_manifest()
    if command.by == state.approved.approver:
        return Refused(
            "ISSUER_IS_APPROVER",
            "Yang mengesahkan tidak boleh menerbitkan.",
            "Penerbitan dilakukan oleh petugas lain.",
        )
    return [
        HandoverIssued(
            handover=command.handover,
            operation=drafted.operation,
            receiving_office=drafted.receiving_office,
            deed_number=number,
            deed_date=state.approved.deed_date,
            planned_departure=drafted.planned_departure,
            transport=drafted.transport,
            predecessor=drafted.predecessor,
            entries=tuple(state.entries.values()),
        )
    ]


def _withdraw(handover: str, reason: str, state: State, drafted: HandoverDrafted) -> Decision:
    if state.phase == "withdrawn":
        return []
    if state.phase not in ("draft", "submitted", "approved", "issued"):
        return _wrong_phase("Penarikan hanya mungkin sebelum keberangkatan.")
    if state.answers.given:
        return _already_answered()
    return [
        HandoverWithdrawn(
            handover=handover,
            receiving_office=drafted.receiving_office,
            was_issued=state.phase == "issued",
            reason=reason,
            persons=tuple(state.entries),
        )
    ]


def _depart(command: DepartHandover, state: State, drafted: HandoverDrafted) -> Decision:
    if state.departed_at is not None:
        if state.departed_at == command.occurred_at:
            return []
        return Refused(
            "DEPARTURE_DIFFERS",
            "Keberangkatan sudah dicatat dengan waktu lain.",
            "Betulkan dengan koreksi keberangkatan, lalu catat waktu yang benar.",
        )
    if state.phase != "issued":
        return _wrong_phase("Keberangkatan hanya dapat dicatat setelah BAST terbit.")
    return [
        HandoverDeparted(
            handover=command.handover,
            receiving_office=drafted.receiving_office,
            departed_at=command.occurred_at,
            persons=tuple(state.entries),
        )
    ]


def _correct_departure(
    command: CorrectDeparture, state: State, drafted: HandoverDrafted
) -> Decision:
    if state.departed_at is None:
        return []
    if state.phase != "departed":
        return _wrong_phase("Keberangkatan ini tidak dapat dikoreksi lagi.")
    if any(outcome == "arrived" for _, outcome in state.answers.given.values()):
        return _already_answered()
    return [
        DepartureCorrected(
            handover=command.handover,
            receiving_office=drafted.receiving_office,
            departed_at=state.departed_at,
            reason=command.reason,
            persons=tuple(state.entries),
        )
    ]


def _close(command: CloseHandover, state: State) -> Decision:
    if state.phase == "closed":
        return []
    if state.phase != "departed":
        return _wrong_phase("Hanya serah terima yang sudah berangkat dapat ditutup.")
    waiting = [person for person in state.entries if person not in state.answers.given]
    if waiting:
        return Refused(
            "ANSWERS_MISSING",
            f"{len(waiting)} orang belum diakui oleh kantor penerima.",
            "Tunggu pengakuannya atau hubungi kantor penerima; jangan menebak.",
        )
    return [HandoverClosed(handover=command.handover)]


def _without(entries: dict[str, ManifestEntry], person: str) -> dict[str, ManifestEntry]:
    return {key: entry for key, entry in entries.items() if key != person}


def _wrong_phase(sentence: str) -> Refused:
    return Refused(
        "HANDOVER_PHASE",
        sentence,
        "Muat ulang serah terima dan lanjutkan dari keadaannya sekarang.",
    )


def _empty_manifest() -> Refused:
    return Refused(
        "MANIFEST_EMPTY",
        "Daftar nominatif masih kosong.",
        "Tambahkan paling sedikit satu orang.",
    )


def _already_answered() -> Refused:
    return Refused(
        "ALREADY_ACKNOWLEDGED",
        "Kantor penerima sudah mengakui kedatangan dalam serah terima ini.",
        "Catat keadaan yang berbeda sebagai penjelasan selisih, bukan sebagai penarikan.",
    )


decider: Decider[State] = Decider(
    category="handover",
    key="handover",
    commands=(
        DraftHandover,
        AddEntry,
        WithdrawEntry,
        SubmitHandover,
        ReturnHandover,
        ApproveHandover,
        IssueHandover,
        WithdrawHandover,
        DepartHandover,
        CorrectDeparture,
        CloseHandover,
        RequireHandover,
        *answer.COMMANDS,
    ),
    events=(
        HandoverDrafted,
        EntryAdded,
        EntryRemoved,
        HandoverSubmitted,
        HandoverReturned,
        HandoverApproved,
        HandoverIssued,
        EntryWithdrawn,
        HandoverWithdrawn,
        HandoverDeparted,
        DepartureCorrected,
        HandoverClosed,
        *answer.EVENTS,
    ),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
