"""The bank's reference of a credit: one credit, one person (rule 15).

A statement that names the same reference for two people is a fault that nobody may guess away.
"""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.values import PersonCode, Reference
from shared.kernel.decider import Command, Decider, Decision, Event, Refused


class ReferenceUsed(Event):
    type: ClassVar[str] = "pulang.city.bank.reference-used.v1"
    words: ClassVar[str] = "Nomor kredit {reference} dipakai untuk {person}."
    reference: Reference
    person: PersonCode


State = ReferenceUsed | None


def evolve(state: State, event: Event) -> State:
    match event:
        case ReferenceUsed():
            return event
    return state


class UseReference(Command):
    reference: Reference
    person: PersonCode


def decide(command: Command, state: State) -> Decision:
    match command:
        case UseReference(reference=reference, person=person):
            if state is None:
                return [ReferenceUsed(reference=reference, person=person)]
            if state.person == person:
                return []
            return Refused(
                "CREDIT_OF_ANOTHER",
                f"Nomor kredit {reference} sudah tercatat untuk orang lain.",
                "Cocokkan dengan rekening koran; satu nomor hanya untuk satu orang.",
            )
    raise TypeError(command)


decider: Decider[State] = Decider(
    category="bank",
    key="reference",
    commands=(UseReference,),
    events=(ReferenceUsed,),
    initial=None,
    evolve=evolve,
    decide=decide,
)
