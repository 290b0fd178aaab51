"""The halfway house (rumah singgah): its capacity, and who lives there now.

Arrivals beyond the capacity need a recorded override (rule 11).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field, Strict

from shared.contracts.values import Identifier, Line, PersonCode, Reason, Sealed
from shared.kernel.decider import Command, Decider, Decision, Event, Refused

Capacity = Annotated[int, Strict(), Field(ge=1, le=10_000)]


class HouseOpened(Event):
    type: ClassVar[str] = "pulang.province.house.opened.v1"
    words: ClassVar[str] = "Rumah singgah {house} dicatat dengan daya tampung {capacity}."
    house: Identifier
    name: Line
    capacity: Capacity


class PersonAdmitted(Event):
    type: ClassVar[str] = "pulang.province.house.admitted.v1"
    words: ClassVar[str] = "{person} diterima di rumah singgah {house}."
    house: Identifier
    person: PersonCode
    override_reason: Sealed | None


class PersonReleased(Event):
    """She lives there no more: gone home, gone elsewhere, or never arrived after all."""

    type: ClassVar[str] = "pulang.province.house.released.v1"
    words: ClassVar[str] = "{person} tidak lagi tinggal di rumah singgah {house}."
    house: Identifier
    person: PersonCode


@dataclass(frozen=True)
class State:
    opened: HouseOpened | None = None
    residents: frozenset[str] = frozenset()


def evolve(state: State, event: Event) -> State:
    match event:
        case HouseOpened():
            return replace(state, opened=event)
        case PersonAdmitted(person=person):
            return replace(state, residents=state.residents | {person})
        case PersonReleased(person=person):
            return replace(state, residents=state.residents - {person})
    return state


class OpenHouse(Command):
    house: Identifier
    name: Line
    capacity: Capacity


class AdmitPerson(Command):
    house: Identifier
    person: PersonCode
    override_reason: Reason | None = None


class ReleasePerson(Command):
    house: Identifier
    person: PersonCode


def decide(command: Command, state: State) -> Decision:
    match command:
        case OpenHouse(house=house, name=name, capacity=capacity):
            opened = HouseOpened(house=house, name=name, capacity=capacity)
            return [] if state.opened == opened else [opened]
        case _ if state.opened is None:
            return Refused(
                "HOUSE_UNKNOWN",
                "Rumah singgah ini belum dicatat.",
                "Periksa kodenya, atau catat rumah singgah beserta daya tampungnya.",
            )
        case AdmitPerson(person=person, override_reason=override):
            if person in state.residents:
                return []
            if len(state.residents) >= state.opened.capacity and override is None:
                return Refused(
                    "HOUSE_FULL",
                    f"Rumah singgah penuh: {len(state.residents)} dari {state.opened.capacity}.",
                    "Pilih rumah lain, atau isi alasan melebihi daya tampung.",
                )
            return [PersonAdmitted(house=command.house, person=person, override_reason=override)]
        case ReleasePerson(house=house, person=person):
            if person not in state.residents:
                return []
            return [PersonReleased(house=house, person=person)]
    raise TypeError(command)


decider: Decider[State] = Decider(
    category="house",
    key="house",
    commands=(OpenHouse, AdmitPerson, ReleasePerson),
    events=(HouseOpened, PersonAdmitted, PersonReleased),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
