"""The number of a deed: one number, one handover.

A number that two handovers bear stands on papers that both offices sign, and can't be taken back.
"""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.values import Identifier, Reference
from shared.kernel.decider import Command, Decider, Decision, Event, Refused


class DeedNumberUsed(Event):
    type: ClassVar[str] = "pulang.city.deed.number-used.v1"
    words: ClassVar[str] = "Nomor berita acara {deed_number} dipakai untuk serah terima {handover}."
    deed_number: Reference
    handover: Identifier


State = DeedNumberUsed | None


def evolve(state: State, event: Event) -> State:
    match event:
        case DeedNumberUsed():
            return event
    return state


class UseDeedNumber(Command):
    deed_number: Reference
    handover: Identifier


def decide(command: Command, state: State) -> Decision:
    match command:
        case UseDeedNumber(deed_number=deed_number, handover=handover):
            if state is None:
                return [DeedNumberUsed(deed_number=deed_number, handover=handover)]
            if state.handover == handover:
                return []
            return Refused(
                "DEED_NUMBER_OF_ANOTHER",
                f"Nomor {deed_number} sudah dipakai untuk serah terima {state.handover}.",
                "Periksa buku agenda; satu nomor hanya untuk satu berita acara.",
            )
    raise TypeError(command)


decider: Decider[State] = Decider(
    category="deed",
    key="deed_number",
    commands=(UseDeedNumber,),
    events=(DeedNumberUsed,),
    initial=None,
    evolve=evolve,
    decide=decide,
)
