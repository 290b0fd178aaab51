"""The case: from her arrival at the halfway house to her return to her family, and after.

Her wishes come first: trainings are offered, one to three or none are hers to choose (rule 10);
she leaves when she wants to, which is an event and no offence; she returns to her family only
when she is ready and agrees, with her capital on her account (rule 19). A family's refusal is an
outcome. Assessment and notes are sealed under her own key and never travel (rule 21).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.contracts.values import Identifier, Line, OfficeCode, PersonalText, PersonCode, Sealed
from shared.kernel.decider import Command, Decider, Decision, Event, Refused

Trainings = Annotated[tuple[Line, ...], Field(max_length=12)]
Phase = Literal["unknown", "open", "left", "home", "declined_by_family", "closed"]


class CaseEvent(Event):
    person: PersonCode
    city: OfficeCode


class CaseOpened(CaseEvent):
    """She is here, and was asked again whether she wants to be (rule 9)."""

    type: ClassVar[str] = "pulang.province.case.opened.v1"
    words: ClassVar[str] = "Kasus {person} dibuka di rumah singgah {house}."
    handover: Identifier
    house: Identifier
    willing: bool


class PersonAssessed(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.assessed.v1"
    words: ClassVar[str] = "Asesmen {person} dicatat (tersegel)."
    potential: Sealed
    wish: Sealed
    opportunity: Sealed


class TrainingsOffered(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.trainings-offered.v1"
    words: ClassVar[str] = "Diklat ditawarkan kepada {person}."
    offers: Trainings


class TrainingsChosen(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.trainings-chosen.v1"
    words: ClassVar[str] = "{person} menyatakan pilihan diklatnya."
    chosen: Trainings


class TrainingCompleted(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.training-completed.v1"
    words: ClassVar[str] = "{person} menyelesaikan diklat {training}."
    training: Line


class DeclaredReady(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.ready.v1"
    words: ClassVar[str] = "{person} dinyatakan siap pulang."


class ReturnedToFamily(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.returned-to-family.v1"
    words: ClassVar[str] = "{person} kembali ke keluarganya."


class FamilyDeclined(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.family-declined.v1"
    words: ClassVar[str] = "Keluarga {person} belum dapat menerimanya."


class LeftHouse(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.left-house.v1"
    words: ClassVar[str] = "{person} meninggalkan rumah singgah."


class FollowedUp(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.followed-up.v1"
    words: ClassVar[str] = "Pascalayanan {person} dicatat (tersegel)."
    note: Sealed


class CaseWorkerAssigned(CaseEvent):
    """From now on she is the one who works with her, and sees what others don't."""

    type: ClassVar[str] = "pulang.province.case.worker-assigned.v1"
    words: ClassVar[str] = "Kasus {person} dipegang oleh {worker}."
    worker: Identifier


class CaseClosed(CaseEvent):
    type: ClassVar[str] = "pulang.province.case.closed.v1"
    words: ClassVar[str] = "Kasus {person} ditutup."


class CaseOpenedInError(CaseEvent):
    """The arrival that opened this case was corrected: she did not arrive (rule 18)."""

    type: ClassVar[str] = "pulang.province.case.opened-in-error.v1"
    words: ClassVar[str] = "Kasus {person} dibatalkan: kedatangannya dikoreksi."


@dataclass(frozen=True)
class State:
    phase: Phase = "unknown"
    opened: CaseOpened | None = None
    assessed: bool = False
    offers: tuple[str, ...] = ()
    chosen: tuple[str, ...] | None = None
    completed: frozenset[str] = frozenset()
    ready: bool = False
    worker: str | None = None


def evolve(state: State, event: Event) -> State:
    match event:
        case CaseOpened():
            return State(phase="open", opened=event)
        case CaseOpenedInError():
            return State()
        case CaseWorkerAssigned(worker=worker):
            return replace(state, worker=worker)
        case PersonAssessed():
            # A new assessment asks anew whether she is ready.
            return replace(state, assessed=True, ready=False)
        case TrainingsOffered(offers=offers):
            kept = state.chosen is not None and set(state.chosen) <= set(offers)
            return replace(state, offers=offers, chosen=state.chosen if kept else None)
        case TrainingsChosen(chosen=chosen):
            return replace(state, chosen=chosen)
        case TrainingCompleted(training=training):
            return replace(state, completed=state.completed | {training})
        case DeclaredReady():
            return replace(state, ready=True)
        case ReturnedToFamily():
            return replace(state, phase="home")
        case FamilyDeclined():
            return replace(state, phase="declined_by_family", ready=False)
        case LeftHouse():
            return replace(state, phase="left")
        case CaseClosed():
            return replace(state, phase="closed")
    return state


class OpenCase(Command):
    person: PersonCode
    city: OfficeCode
    handover: Identifier
    house: Identifier
    willing: bool


class CancelCase(Command):
    """Takes back a case whose arrival was corrected to something else."""

    person: PersonCode


class TakeCase(Command):
    """A case worker takes a case that nobody has."""

    person: PersonCode


class AssignCase(Command):
    """The case is given to a case worker, whoever had it before."""

    person: PersonCode
    worker: Identifier


class RequireAssigned(Command):
    """Asks whether this is the case worker's own case; it changes nothing."""

    person: PersonCode


class AssessPerson(Command):
    """What she can, what she wants, what there is: sealed under her own key."""

    person: PersonCode
    potential: PersonalText
    wish: PersonalText
    opportunity: PersonalText


class OfferTrainings(Command):
    person: PersonCode
    offers: Annotated[Trainings, Field(min_length=1)]


class ChooseTrainings(Command):
    """Her choice: up to three of the offers, and none is a choice too."""

    person: PersonCode
    chosen: Annotated[tuple[Line, ...], Field(max_length=3)]


class CompleteTraining(Command):
    person: PersonCode
    training: Line


class DeclareReady(Command):
    person: PersonCode


class ReturnToFamily(Command):
    """She goes home; `agrees` is her own word."""

    person: PersonCode
    agrees: bool


class RecordFamilyDecline(Command):
    person: PersonCode


class LeaveHouse(Command):
    person: PersonCode


class FollowUp(Command):
    person: PersonCode
    note: PersonalText


class CloseCase(Command):
    person: PersonCode


def decide(command: Command, state: State) -> Decision:
    if isinstance(command, OpenCase):
        return _open(command, state)
    if isinstance(command, CancelCase) and state.opened is None:
        return []
    if state.opened is None:
        return Refused(
            "CASE_UNKNOWN",
            "Kasus untuk penerima manfaat ini belum dibuka.",
            "Kasus terbuka dengan pengakuan kedatangannya.",
        )
    person, city = state.opened.person, state.opened.city
    match command:
        case CancelCase():
            return [CaseOpenedInError(person=person, city=city)]
        case TakeCase() | AssignCase() | RequireAssigned():
            return _assignment(command, state, state.opened)
        case AssessPerson() | OfferTrainings() | ChooseTrainings() | CompleteTraining():
            return _prepare(command, state, state.opened)
        case DeclareReady() | ReturnToFamily() | RecordFamilyDecline() | LeaveHouse():
            return _go(command, state, state.opened)
        case FollowUp(note=note):
            if state.phase not in ("home", "left"):
                return _wrong_phase()
            return [FollowedUp(person=person, city=city, note=note)]
        case CloseCase():
            if state.phase == "closed":
                return []
            if state.phase == "open":
                return Refused(
                    "CASE_STILL_OPEN",
                    "Ia masih di rumah singgah.",
                    "Catat dahulu kepulangannya, penolakan keluarga, atau kepergiannya.",
                )
            return [CaseClosed(person=person, city=city)]
    raise TypeError(command)


def _open(command: OpenCase, state: State) -> Decision:
    if state.opened is not None and state.opened.handover == command.handover:
        if state.opened.house != command.house:
            return Refused(
                "CASE_IN_ANOTHER_HOUSE",
                f"Kasusnya dari serah terima ini tercatat di rumah {state.opened.house}.",
                "Periksa rumah singgahnya; satu orang hanya di satu rumah.",
            )
        return []
    if state.phase in ("open", "declined_by_family"):
        return Refused(
            "CASE_OPEN_ELSEWHERE",
            "Ia sudah mempunyai kasus yang terbuka dari serah terima lain.",
            "Periksa kode PM-nya; satu orang hanya satu kasus terbuka.",
        )
    return [
        CaseOpened(
            person=command.person,
            city=command.city,
            handover=command.handover,
            house=command.house,
            willing=command.willing,
        )
    ]


def _assignment(
    command: TakeCase | AssignCase | RequireAssigned, state: State, opened: CaseOpened
) -> Decision:
    worker = command.worker if isinstance(command, AssignCase) else command.by
    if state.worker == worker:
        return []
    if isinstance(command, RequireAssigned):
        return Refused(
            "NOT_ASSIGNED",
            "Kasus ini bukan kasus Anda.",
            "Ambil kasusnya bila belum ada yang memegang, atau minta pengalihan.",
        )
    if isinstance(command, TakeCase) and state.worker is not None:
        return Refused(
            "CASE_ASSIGNED",
            "Kasus ini sudah dipegang pekerja sosial lain.",
            "Minta admin mengalihkannya; bila mendesak, buka akses darurat.",
        )
    return [CaseWorkerAssigned(person=opened.person, city=opened.city, worker=worker)]


def _prepare(
    command: AssessPerson | OfferTrainings | ChooseTrainings | CompleteTraining,
    state: State,
    opened: CaseOpened,
) -> Decision:
    if state.phase not in ("open", "declined_by_family"):
        return _wrong_phase()
    person, city = opened.person, opened.city
    match command:
        case AssessPerson():
            return [
                PersonAssessed(
                    person=person,
                    city=city,
                    potential=command.potential,
                    wish=command.wish,
                    opportunity=command.opportunity,
                )
            ]
        case OfferTrainings(offers=offers):
            if not state.assessed:
                return Refused(
                    "ASSESSMENT_MISSING",
                    "Asesmen minat, potensi dan peluangnya belum dicatat.",
                    "Catat asesmennya lebih dahulu.",
                )
            if offers == state.offers:
                return []
            return [TrainingsOffered(person=person, city=city, offers=offers)]
        case ChooseTrainings(chosen=chosen):
            if chosen == state.chosen:
                return []
            if not set(chosen) <= set(state.offers) or len(set(chosen)) != len(chosen):
                return Refused(
                    "TRAINING_NOT_OFFERED",
                    "Diklat yang dipilih tidak termasuk yang ditawarkan.",
                    "Tawarkan dahulu, atau pilih dari daftar; tidak memilih juga boleh.",
                )
            return [TrainingsChosen(person=person, city=city, chosen=chosen)]
        case CompleteTraining(training=training):
            if training in state.completed:
                return []
            if training not in (state.chosen or ()):
                return Refused(
                    "TRAINING_NOT_CHOSEN",
                    "Diklat itu bukan pilihannya.",
                    "Periksa pilihan diklatnya.",
                )
            return [TrainingCompleted(person=person, city=city, training=training)]


def _go(
    command: DeclareReady | ReturnToFamily | RecordFamilyDecline | LeaveHouse,
    state: State,
    opened: CaseOpened,
) -> Decision:
    person, city = opened.person, opened.city
    match command, state.phase:
        case (ReturnToFamily(), "home") | (LeaveHouse(), "left"):
            return []
        case RecordFamilyDecline(), "declined_by_family":
            return []
        case DeclareReady(), ("open" | "declined_by_family"):
            if state.ready:
                return []
            if not state.assessed:
                return _not_ready("Asesmennya belum dicatat.")
            return [DeclaredReady(person=person, city=city)]
        case ReturnToFamily(agrees=agrees), ("open" | "declined_by_family"):
            if not state.ready:
                return _not_ready("Kesiapannya belum dinyatakan.")
            if not agrees:
                return Refused(
                    "AGREEMENT_MISSING",
                    "Ia tidak setuju pulang sekarang.",
                    "Tidak ada yang dipulangkan tanpa persetujuannya; lanjutkan pendampingan.",
                )
            return [ReturnedToFamily(person=person, city=city)]
        case RecordFamilyDecline(), ("open" | "home"):
            return [FamilyDeclined(person=person, city=city)]
        case LeaveHouse(), ("open" | "declined_by_family"):
            return [LeftHouse(person=person, city=city)]
    return _wrong_phase()


def _not_ready(sentence: str) -> Refused:
    return Refused("NOT_READY", sentence, "Selesaikan asesmen dan nyatakan kesiapannya.")


def _wrong_phase() -> Refused:
    return Refused(
        "CASE_PHASE",
        "Langkah ini tidak sesuai keadaan kasusnya sekarang.",
        "Muat ulang kasusnya dan lanjutkan dari keadaannya.",
    )


decider: Decider[State] = Decider(
    category="case",
    key="person",
    commands=(
        OpenCase,
        CancelCase,
        TakeCase,
        AssignCase,
        RequireAssigned,
        AssessPerson,
        OfferTrainings,
        ChooseTrainings,
        CompleteTraining,
        DeclareReady,
        ReturnToFamily,
        RecordFamilyDecline,
        LeaveHouse,
        FollowUp,
        CloseCase,
    ),
    events=(
        CaseOpened,
        PersonAssessed,
        TrainingsOffered,
        TrainingsChosen,
        TrainingCompleted,
        DeclaredReady,
        ReturnedToFamily,
        FamilyDeclined,
        LeftHouse,
        FollowedUp,
        CaseClosed,
        CaseOpenedInError,
        CaseWorkerAssigned,
    ),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
