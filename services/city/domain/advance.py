"""The travel advance (panjar tiket) of one beneficiary: released, spent, returned, outstanding.

`released = spent + returned + outstanding` at all times (rule 13), in whole rupiah. A fare below
the range is normal; one above the ceiling needs a reason. The advance closes with its receipts
and, for what is left, a share in an STS (rule 14).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from pydantic import Field, Strict

from shared.contracts.values import (
    FileType,
    Identifier,
    PersonCode,
    PositiveRupiah,
    Reason,
    Reference,
    Sealed,
    Sha256,
    in_rupiah,
)
from shared.kernel.decider import Command, Decider, Decision, Event, FileAttached, Refused

Bytes = Annotated[int, Strict(), Field(gt=0)]


class AdvanceReleased(Event):
    type: ClassVar[str] = "pulang.city.advance.released.v1"
    words: ClassVar[str] = "Panjar Rp{amount_rupiah} dicairkan untuk {person} ({release})."
    person: PersonCode
    operation: Identifier
    release: Reference
    budget_code: Reference
    amount_rupiah: PositiveRupiah
    ceiling_rupiah: PositiveRupiah


class FareRecorded(Event):
    type: ClassVar[str] = "pulang.city.advance.fare-recorded.v1"
    words: ClassVar[str] = "Tiket Rp{amount_rupiah} untuk {person} dicatat (kuitansi {receipt})."
    person: PersonCode
    operation: Identifier
    receipt: Reference
    amount_rupiah: PositiveRupiah
    override_reason: Sealed | None


class FareCorrected(Event):
    """The fare on this receipt was wrong; this is the right one (rule 18)."""

    type: ClassVar[str] = "pulang.city.advance.fare-corrected.v1"
    words: ClassVar[str] = (
        "Tiket {receipt} untuk {person} dikoreksi dari Rp{wrong_rupiah} menjadi Rp{amount_rupiah}."
    )
    person: PersonCode
    operation: Identifier
    receipt: Reference
    wrong_rupiah: PositiveRupiah
    amount_rupiah: PositiveRupiah
    reason: Sealed
    override_reason: Sealed | None = None


class ReceiptAttached(FileAttached):
    """The scanned paper of this receipt. With a reason it takes the place of a wrong one (rule 18);
    that one stays in the history."""

    type: ClassVar[str] = "pulang.city.advance.receipt-attached.v1"
    words: ClassVar[str] = "Berkas kuitansi {receipt} untuk {person} dilampirkan."
    operation: Identifier
    receipt: Reference
    media_type: FileType
    size_bytes: Bytes
    reason: Sealed | None


class SurplusReturned(Event):
    type: ClassVar[str] = "pulang.city.advance.surplus-returned.v1"
    words: ClassVar[str] = (
        "Sisa panjar Rp{amount_rupiah} dari {person} disetor kembali (tanda setoran {sts})."
    )
    person: PersonCode
    operation: Identifier
    sts: Reference
    amount_rupiah: PositiveRupiah


@dataclass(frozen=True)
class State:
    operation: str = ""
    budget_code: str = ""
    ceiling_rupiah: int = 0
    releases: dict[str, int] = field(default_factory=dict)
    fares: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    returns: dict[str, int] = field(default_factory=dict)

    @property
    def spent_rupiah(self) -> int:
        return sum(self.fares.values())

    @property
    def outstanding_rupiah(self) -> int:
        return sum(self.releases.values()) - self.spent_rupiah - sum(self.returns.values())


def evolve(state: State, event: Event) -> State:
    match event:
        case AdvanceReleased():
            return replace(
                state,
                operation=event.operation,
                budget_code=event.budget_code,
                ceiling_rupiah=event.ceiling_rupiah,
                releases=state.releases | {event.release: event.amount_rupiah},
            )
        case FareRecorded() | FareCorrected():
            return replace(state, fares=state.fares | {event.receipt: event.amount_rupiah})
        case ReceiptAttached():
            return replace(state, files=state.files | {event.receipt: event.sha256})
        case SurplusReturned():
            return replace(state, returns=state.returns | {event.sts: event.amount_rupiah})
    return state


class ReleaseAdvance(Command):
    person: PersonCode
    operation: Identifier
    release: Reference
    budget_code: Reference
    amount_rupiah: PositiveRupiah
    ceiling_rupiah: PositiveRupiah


class RecordFare(Command):
    person: PersonCode
    receipt: Reference
    amount_rupiah: PositiveRupiah
    override_reason: Reason | None = None


class CorrectFare(Command):
    """`reason` says why it was wrong; `override_reason` why the right one is above the ceiling."""

    person: PersonCode
    receipt: Reference
    amount_rupiah: PositiveRupiah
    reason: Reason
    override_reason: Reason | None = None


class AttachReceipt(Command):
    """The file itself is sealed before, and goes beside; `reason` says why the one before was
    wrong."""

    person: PersonCode
    receipt: Reference
    media_type: FileType
    size_bytes: Bytes
    sha256: Sha256
    reason: Reason | None = None


class ReturnSurplus(Command):
    """Her share in an STS; the STS itself stands in the treasury's own stream."""

    person: PersonCode
    operation: Identifier
    sts: Reference
    amount_rupiah: PositiveRupiah


def decide(command: Command, state: State) -> Decision:
    match command:
        case ReleaseAdvance():
            return _release(command, state)
        case _ if not state.releases:
            return Refused(
                "ADVANCE_UNKNOWN",
                "Belum ada panjar yang dicairkan untuknya.",
                "Catat pencairan panjarnya lebih dahulu.",
            )
        case RecordFare():
            return _record_fare(command, state)
        case CorrectFare():
            return _correct_fare(command, state)
        case AttachReceipt():
            return _attach_receipt(command, state)
        case ReturnSurplus(operation=operation) if operation != state.operation:
            return _another_operation(state)
        case ReturnSurplus(sts=sts, amount_rupiah=amount):
            if sts in state.returns:
                return [] if state.returns[sts] == amount else _differs(f"STS {sts}")
            if amount > state.outstanding_rupiah:
                return Refused(
                    "RETURN_BEYOND_OUTSTANDING",
                    f"Sisa panjarnya hanya {in_rupiah(state.outstanding_rupiah)}.",
                    "Periksa pembagian STS per orang.",
                )
            return [
                SurplusReturned(
                    person=command.person,
                    operation=state.operation,
                    sts=sts,
                    amount_rupiah=amount,
                )
            ]
    raise TypeError(command)


def _release(command: ReleaseAdvance, state: State) -> Decision:
    if state.operation and state.operation != command.operation:
        return _another_operation(state)
    if state.budget_code and state.budget_code != command.budget_code:
        return Refused(
            "ADVANCE_OF_ANOTHER_FUND",
            f"Panjarnya dicairkan dari mata anggaran {state.budget_code}.",
            "Periksa kode mata anggarannya; dana yang berbeda tidak dicampur.",
        )
    if command.release in state.releases:
        same = state.releases[command.release] == command.amount_rupiah
        return [] if same else _differs(f"pencairan {command.release}")
    return [
        AdvanceReleased(
            person=command.person,
            operation=command.operation,
            release=command.release,
            budget_code=command.budget_code,
            amount_rupiah=command.amount_rupiah,
            ceiling_rupiah=command.ceiling_rupiah,
        )
    ]


def _record_fare(command: RecordFare, state: State) -> Decision:
    if command.receipt in state.fares:
        same = state.fares[command.receipt] == command.amount_rupiah
        return [] if same else _differs(f"kuitansi {command.receipt}")
    total = state.spent_rupiah + command.amount_rupiah
    if total > state.ceiling_rupiah and command.override_reason is None:
        return _above_ceiling(state)
    if command.amount_rupiah > state.outstanding_rupiah:
        return _beyond_released(state)
    return [
        FareRecorded(
            person=command.person,
            operation=state.operation,
            receipt=command.receipt,
            amount_rupiah=command.amount_rupiah,
            override_reason=command.override_reason,
        )
    ]


def _correct_fare(command: CorrectFare, state: State) -> Decision:
    if command.receipt not in state.fares:
        return _receipt_unknown(command.receipt)
    wrong = state.fares[command.receipt]
    if wrong == command.amount_rupiah:
        return []
    more = command.amount_rupiah - wrong
    above = more > 0 and state.spent_rupiah + more > state.ceiling_rupiah
    if above and command.override_reason is None:
        return _above_ceiling(state)
    if more > state.outstanding_rupiah:
        return _beyond_released(state)
    return [
        FareCorrected(
            person=command.person,
            operation=state.operation,
            receipt=command.receipt,
            wrong_rupiah=wrong,
            amount_rupiah=command.amount_rupiah,
            reason=command.reason,
            override_reason=command.override_reason,
        )
    ]


def _attach_receipt(command: AttachReceipt, state: State) -> Decision:
    if command.receipt not in state.fares:
        return _receipt_unknown(command.receipt)
    before = state.files.get(command.receipt)
    if before == command.sha256:
        return []
    if before is not None and command.reason is None:
        return Refused(
            "RECEIPT_HAS_FILE",
            f"Kuitansi {command.receipt} sudah mempunyai berkas lain.",
            "Bila berkas itu keliru, kirim penggantinya dengan alasannya.",
        )
    return [
        ReceiptAttached(
            person=command.person,
            sha256=command.sha256,
            operation=state.operation,
            receipt=command.receipt,
            media_type=command.media_type,
            size_bytes=command.size_bytes,
            reason=command.reason,
        )
    ]


def _receipt_unknown(receipt: str) -> Refused:
    return Refused(
        "RECEIPT_UNKNOWN",
        f"Kuitansi {receipt} tidak tercatat.",
        "Periksa nomor kuitansinya.",
    )


def _another_operation(state: State) -> Refused:
    return Refused(
        "ADVANCE_OF_ANOTHER_OPERATION",
        f"Panjarnya tercatat pada kegiatan {state.operation}.",
        "Periksa kode kegiatannya.",
    )


def _above_ceiling(state: State) -> Refused:
    return Refused(
        "FARE_ABOVE_CEILING",
        f"Tiketnya seluruhnya di atas batas {in_rupiah(state.ceiling_rupiah)}.",
        "Isi alasan penyimpangannya bila memang sebesar itu.",
    )


def _beyond_released(state: State) -> Refused:
    return Refused(
        "SPENT_BEYOND_RELEASED",
        f"Sisa panjarnya hanya {in_rupiah(state.outstanding_rupiah)}.",
        "Cairkan tambahan panjar lebih dahulu, atau periksa jumlahnya.",
    )


def _differs(what: str) -> Refused:
    return Refused(
        "PAPER_NUMBER_DIFFERS",
        f"Nomor {what} sudah tercatat dengan jumlah lain.",
        "Cocokkan dengan aslinya; kekeliruan dibetulkan dengan koreksi.",
    )


decider: Decider[State] = Decider(
    category="advance",
    key="person",
    commands=(ReleaseAdvance, RecordFare, CorrectFare, AttachReceipt, ReturnSurplus),
    events=(AdvanceReleased, FareRecorded, FareCorrected, ReceiptAttached, SurplusReturned),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
