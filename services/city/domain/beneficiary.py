"""The beneficiary (penerima manfaat) at the city: intake, destination, willingness, handover.

Her identity stands in the log as ciphertext only, her birth date not at all. She is in at most
one open handover (rule 8), enters one only with her informed willingness (rule 9) and a known
destination (rule 2), and is refused with a pointer to the protection path where she is under 18
or shows a sign of trafficking (rule 12).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar, Literal

from shared.contracts.values import (
    Identifier,
    OfficeCode,
    PersonCode,
    Reason,
    Reference,
    RegionCode,
    Sealed,
    SealedIdentity,
)
from shared.kernel.decider import Command, Decider, Decision, Event, Refused

ADULT_YEARS = 18
LeavingCause = Literal["withdrawn", "declined", "absent", "diverted", "arrived"]


class BeneficiaryRegistered(Event):
    type: ClassVar[str] = "pulang.city.beneficiary.registered.v1"
    words: ClassVar[str] = "Penerima manfaat {person} didaftarkan untuk {operation}."
    person: PersonCode
    operation: Identifier
    origin: RegionCode
    destination: OfficeCode | None
    identity: Sealed | None


class DestinationDetermined(Event):
    type: ClassVar[str] = "pulang.city.beneficiary.destination-determined.v1"
    words: ClassVar[str] = "Tujuan {person} ditentukan: {destination}."
    person: PersonCode
    destination: OfficeCode


class WillingnessGiven(Event):
    type: ClassVar[str] = "pulang.city.beneficiary.willingness-given.v1"
    words: ClassVar[str] = "{person} menyatakan bersedia ({statement})."
    person: PersonCode
    statement: Reference


class WillingnessWithdrawn(Event):
    type: ClassVar[str] = "pulang.city.beneficiary.willingness-withdrawn.v1"
    words: ClassVar[str] = "{person} menarik kesediaannya."
    person: PersonCode
    reason: Sealed | None


class ProtectionPathShown(Event):
    """A sign of trafficking was seen after registration: she is not handed over (rule 12)."""

    type: ClassVar[str] = "pulang.city.beneficiary.protection-path-shown.v1"
    words: ClassVar[str] = "{person} dialihkan ke jalur perlindungan; ia tidak diserahterimakan."
    person: PersonCode


class HandoverEntered(Event):
    type: ClassVar[str] = "pulang.city.beneficiary.handover-entered.v1"
    words: ClassVar[str] = "{person} masuk serah terima {handover}."
    person: PersonCode
    handover: Identifier


class HandoverLeft(Event):
    type: ClassVar[str] = "pulang.city.beneficiary.handover-left.v1"
    words: ClassVar[str] = "{person} keluar dari serah terima {handover} ({cause})."
    person: PersonCode
    handover: Identifier
    cause: LeavingCause


class ReceivedElsewhere(Event):
    """An earlier handover's receiver corrected its answer: she is there, whatever came since."""

    type: ClassVar[str] = "pulang.city.beneficiary.received-elsewhere.v1"
    words: ClassVar[str] = "{person} ternyata sudah diterima menurut serah terima {handover}."
    person: PersonCode
    handover: Identifier


@dataclass(frozen=True)
class State:
    registered: BeneficiaryRegistered | None = None
    destination: str | None = None
    willingness: str | None = None
    withdrawn_statements: frozenset[str] = frozenset()
    protected: bool = False
    received_in: str | None = None
    handover: str | None = None
    left: tuple[str, str] | None = None


def evolve(state: State, event: Event) -> State:
    match event:
        case BeneficiaryRegistered():
            return replace(state, registered=event, destination=event.destination)
        case DestinationDetermined(destination=destination):
            return replace(state, destination=destination)
        case WillingnessGiven(statement=statement):
            return replace(state, willingness=statement)
        case WillingnessWithdrawn():
            taken_back = {state.willingness} if state.willingness else set()
            return replace(
                state,
                willingness=None,
                withdrawn_statements=state.withdrawn_statements | taken_back,
            )
        case ProtectionPathShown():
            return replace(state, protected=True)
        case HandoverEntered(handover=handover):
            return replace(state, handover=handover, left=None)
        case HandoverLeft(handover=handover, cause=cause):
            still = None if handover == state.received_in else state.received_in
            return replace(
                state,
                handover=None if handover == state.handover else state.handover,
                left=(handover, cause),
                received_in=handover if cause == "arrived" else still,
            )
        case ReceivedElsewhere(handover=handover):
            return replace(state, received_in=handover)
    return state


class RegisterBeneficiary(Command):
    """Intake. `identity` is sealed before it gets here; `birth_date` is looked at and not kept."""

    person: PersonCode
    operation: Identifier
    origin: RegionCode
    birth_date: date
    sign_of_trafficking: bool
    destination: OfficeCode | None = None
    identity: SealedIdentity | None = None


class DetermineDestination(Command):
    person: PersonCode
    destination: OfficeCode


class GiveWillingness(Command):
    """Her own signed statement, after it was explained to her."""

    person: PersonCode
    statement: Reference


class WithdrawWillingness(Command):
    """She takes her willingness back; `handover` is the one she is in, if any."""

    person: PersonCode
    handover: Identifier | None = None
    reason: Reason | None = None


class ShowProtectionPath(Command):
    """Somebody saw a sign of trafficking; `handover` is the one she is in, if any."""

    person: PersonCode
    handover: Identifier | None = None


class EnterHandover(Command):
    person: PersonCode
    handover: Identifier
    destination: OfficeCode


class LeaveHandover(Command):
    """She is no longer in this open handover, or left it for another cause than was thought."""

    person: PersonCode
    handover: Identifier
    cause: LeavingCause


class RequireUnregistered(Command):
    """Asks whether this code is none of the city's own; it changes nothing."""

    person: PersonCode


class RequireNotReceived(Command):
    """Asks whether she is still the city's to send; it changes nothing."""

    person: PersonCode


class RequireBeneficiary(Command):
    """Asks whether she is registered, for this operation if one is named; it changes nothing."""

    person: PersonCode
    operation: Identifier | None = None


def decide(command: Command, state: State) -> Decision:
    match command:
        case RegisterBeneficiary():
            return _register(command, state)
        case RequireUnregistered():
            if state.registered is None:
                return []
            return Refused(
                "NOT_UNLISTED",
                "Kode ini dibuat oleh kota ini; ia bukan orang yang tidak terdaftar.",
                "Kantor penerima mencatat yang tidak terdaftar dengan kode yang dibuatnya sendiri.",
            )
        case _ if state.registered is None:
            return Refused(
                "BENEFICIARY_UNKNOWN",
                "Penerima manfaat dengan kode ini tidak terdaftar.",
                "Periksa kode PM; petugas penerimaan data mendaftarkannya.",
            )
        case RequireBeneficiary(operation=operation):
            if operation is None or operation == state.registered.operation:
                return []
            return Refused(
                "ANOTHER_OPERATION",
                f"Ia terdaftar pada kegiatan {state.registered.operation}.",
                "Periksa kode kegiatannya; uangnya dicatat pada kegiatannya sendiri.",
            )
        case DetermineDestination(destination=destination):
            if destination == state.destination:
                return []
            if state.handover is not None:
                return _in_handover(state.handover)
            if state.received_in is not None:
                return _already_received()
            return [DestinationDetermined(person=command.person, destination=destination)]
        case GiveWillingness(statement=statement):
            if statement == state.willingness:
                return []
            if statement in state.withdrawn_statements:
                return Refused(
                    "STATEMENT_WITHDRAWN",
                    f"Pernyataan {statement} sudah ditarik olehnya.",
                    "Bila ia bersedia lagi, catat pernyataan yang baru.",
                )
            return [WillingnessGiven(person=command.person, statement=statement)]
        case WithdrawWillingness():
            if state.willingness is None:
                return []
            if command.handover != state.handover:
                return _in_handover(state.handover)
            return [WillingnessWithdrawn(person=command.person, reason=command.reason)]
        case ShowProtectionPath():
            if state.protected:
                return []
            if command.handover != state.handover:
                return _in_handover(state.handover)
            return [ProtectionPathShown(person=command.person)]
        case EnterHandover():
            return _enter(command, state)
        case RequireNotReceived():
            return _already_received() if state.received_in is not None else []
        case LeaveHandover():
            return _leave(command, state)
    raise TypeError(command)


def _register(command: RegisterBeneficiary, state: State) -> Decision:
    today = command.now.date()
    if command.birth_date > today:
        return Refused(
            "BIRTH_DATE_IN_FUTURE",
            "Tanggal lahir berada di masa depan.",
            "Periksa tanggal lahir pada dokumennya.",
        )
    if _age_years(command.birth_date, today) < ADULT_YEARS:
        return Refused(
            "PROTECTION_PATH_CHILD",
            "Di bawah 18 tahun tidak didaftarkan di sini.",
            "Hubungi jalur perlindungan anak (UPTD PPA) hari ini juga; jangan kirim datanya.",
        )
    if command.sign_of_trafficking:
        return _protection_path()
    if state.registered is not None:
        same = (
            state.registered.operation == command.operation
            and state.registered.origin == command.origin
        )
        return (
            []
            if same
            else Refused(
                "BENEFICIARY_EXISTS",
                "Kode PM ini sudah terdaftar dengan keterangan lain.",
                "Kirim tanpa kode agar kode baru diberikan.",
            )
        )
    return [
        BeneficiaryRegistered(
            person=command.person,
            operation=command.operation,
            origin=command.origin,
            destination=command.destination,
            identity=command.identity,
        )
    ]


def _enter(command: EnterHandover, state: State) -> Decision:
    if state.handover == command.handover:
        return []
    if state.handover is not None:
        return _in_handover(state.handover)
    if state.received_in is not None:
        return _already_received()
    if state.protected:
        return _protection_path()
    if state.willingness is None:
        return Refused(
            "WILLINGNESS_MISSING",
            "Belum ada surat pernyataan kesediaan darinya.",
            "Jelaskan pemulangan kepadanya dan catat pernyataannya; tanpa itu ia tidak dikirim.",
        )
    if state.destination is None:
        return Refused(
            "DESTINATION_UNDETERMINED",
            "Tujuannya belum ditentukan.",
            "Tentukan tujuannya lebih dahulu; orang lain dalam daftar tidak terhalang.",
        )
    if state.destination != command.destination:
        return Refused(
            "DESTINATION_DIFFERS",
            f"Tujuannya {state.destination}, bukan {command.destination}.",
            "Masukkan ia ke serah terima untuk tujuannya.",
        )
    return [HandoverEntered(person=command.person, handover=command.handover)]


def _leave(command: LeaveHandover, state: State) -> Decision:
    handover, cause = command.handover, command.cause
    known = state.handover == handover or (
        state.left is not None and state.left[0] == handover and state.left[1] != cause
    )
    if state.received_in == handover and cause == "withdrawn":
        # The city can't withdraw whom the receiver has.
        return []
    if known or (state.received_in == handover and cause != "arrived"):
        return [HandoverLeft(person=command.person, handover=handover, cause=cause)]
    if cause == "arrived" and state.received_in is None and state.handover is not None:
        return [ReceivedElsewhere(person=command.person, handover=handover)]
    return []


def _already_received() -> Refused:
    return Refused(
        "ALREADY_RECEIVED",
        "Ia sudah diterima oleh kantor provinsi.",
        "Keluarkan ia dari daftar ini; serah terima berikutnya dibuat oleh kantor penerimanya.",
    )


def _protection_path() -> Refused:
    return Refused(
        "PROTECTION_PATH_TRAFFICKING",
        "Ada tanda perdagangan orang; pemulangan ini bukan jalurnya.",
        "Hubungi jalur perlindungan korban (Gugus Tugas TPPO); jangan kirim datanya.",
    )


def _in_handover(handover: str | None) -> Refused:
    where = "tidak berada dalam serah terima itu" if handover is None else f"berada di {handover}"
    return Refused(
        "IN_ANOTHER_HANDOVER",
        f"Ia {where}.",
        "Muat ulang datanya; keluarkan ia dari serah terima yang terbuka lebih dahulu.",
    )


def _age_years(birth_date: date, on: date) -> int:
    before_birthday = (on.month, on.day) < (birth_date.month, birth_date.day)
    return on.year - birth_date.year - before_birthday


decider: Decider[State] = Decider(
    category="beneficiary",
    key="person",
    commands=(
        RegisterBeneficiary,
        DetermineDestination,
        GiveWillingness,
        WithdrawWillingness,
        ShowProtectionPath,
        EnterHandover,
        LeaveHandover,
        RequireBeneficiary,
        RequireUnregistered,
        RequireNotReceived,
    ),
    events=(
        BeneficiaryRegistered,
        DestinationDetermined,
        WillingnessGiven,
        WillingnessWithdrawn,
        ProtectionPathShown,
        HandoverEntered,
        HandoverLeft,
        ReceivedElsewhere,
    ),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
