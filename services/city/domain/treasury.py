"""The treasury return (Surat Tanda Setoran, STS): surplus back to the city treasury.

One STS may cover many persons; their shares make up its total to the rupiah, and the bank's
validation number proves it (rule 14).
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from pydantic import Field

from shared.contracts.values import (
    Identifier,
    PersonCode,
    PositiveRupiah,
    Reference,
    Value,
    in_rupiah,
)
from shared.kernel.decider import Command, Decider, Decision, Event, Refused


class Share(Value):
    """What one person's advance gives back."""

    person: PersonCode
    amount_rupiah: PositiveRupiah


class TreasuryReturnRecorded(Event):
    type: ClassVar[str] = "pulang.city.treasury.return-recorded.v1"
    words: ClassVar[str] = (
        "Tanda setoran {sts} sebesar Rp{total_rupiah} dicatat, validasi bank {bank_validation}."
    )
    sts: Reference
    operation: Identifier
    bank_validation: Reference
    deposited_on: date
    total_rupiah: PositiveRupiah
    shares: tuple[Share, ...]


State = TreasuryReturnRecorded | None


def evolve(state: State, event: Event) -> State:
    match event:
        case TreasuryReturnRecorded():
            return event
    return state


class RecordTreasuryReturn(Command):
    sts: Reference
    operation: Identifier
    bank_validation: Reference
    deposited_on: date
    total_rupiah: PositiveRupiah
    shares: tuple[Share, ...] = Field(min_length=1, max_length=1_000)


def decide(command: Command, state: State) -> Decision:
    match command:
        case RecordTreasuryReturn():
            recorded = TreasuryReturnRecorded(
                sts=command.sts,
                operation=command.operation,
                bank_validation=command.bank_validation,
                deposited_on=command.deposited_on,
                total_rupiah=command.total_rupiah,
                shares=command.shares,
            )
            if state == recorded:
                return []
            if state is not None:
                return Refused(
                    "STS_EXISTS",
                    f"STS {command.sts} sudah tercatat dengan isi lain.",
                    "Cocokkan dengan lembar STS dari bank.",
                )
            persons = [share.person for share in command.shares]
            total = sum(share.amount_rupiah for share in command.shares)
            if total != command.total_rupiah or len(set(persons)) != len(persons):
                return Refused(
                    "STS_DOES_NOT_ADD_UP",
                    f"Bagian per orang berjumlah {in_rupiah(total)},"
                    f" STS-nya {in_rupiah(command.total_rupiah)}.",
                    "Periksa pembagiannya; setiap orang hanya sekali.",
                )
            return [recorded]
    raise TypeError(command)


decider: Decider[State] = Decider(
    category="treasury",
    key="sts",
    commands=(RecordTreasuryReturn,),
    events=(TreasuryReturnRecorded,),
    initial=None,
    evolve=evolve,
    decide=decide,
)
