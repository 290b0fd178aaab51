"""What must add up at the province, folded from its events alone.

Of each handover everybody who was announced is answered for, withdrawn, declined, or waited for.
Who lives in a house is who was placed there. Each credit that was told of is confirmed, disputed,
returned, failed, or waited for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from services.province.domain import arrival, case, grant, house
from shared.kernel.decider import Event
from shared.kernel.projector import Recorded
from shared.runtime.equations import NAMED, Equation, Findings, compare

STATES = {
    "arrived": "arrived", "absent": "absent", "diverted": "diverted", "expected": "waiting",
    "withdrawn": "withdrawn", "declined": "declined", "unlisted": "came unlisted",
}  # fmt: skip
FATES = ("confirmed", "disputed", "returned", "failed", "waiting")


@dataclass(slots=True)
class _Entry:
    listed: bool = True
    state: str = "expected"


@dataclass(slots=True)
class _Handover:
    announced: set[str] = field(default_factory=set)
    entries: dict[str, _Entry] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    """Who was answered for and never announced."""

    def withdraw(self, persons: Iterable[str]) -> None:
        for person in persons:
            if one := self.entries.get(person):
                one.state = "withdrawn"


@dataclass(slots=True)
class _Credit:
    amount: int
    failed: bool = False
    returned: int = 0
    answer: str | None = None

    @property
    def standing(self) -> int:
        return 0 if self.failed else max(0, self.amount - self.returned)

    @property
    def fate(self) -> str:
        if self.failed:
            return "failed"
        return "returned" if not self.standing else self.answer or "waiting"


class ProvinceSums:
    models: tuple[str, ...] = ("arrivals", "houses", "cases", "grants")

    def __init__(self) -> None:
        self._handovers: dict[str, _Handover] = {}
        self._houses: dict[str, int] = {}
        self._residents: dict[str, set[str]] = {}
        self._placed: dict[str, str] = {}
        self._cases: dict[str, tuple[str, str]] = {}
        self._credits: dict[tuple[str, str], _Credit] = {}
        self._strangers: set[str] = set()
        """Whose credits were answered for and never told of."""

    def take(self, recorded: Recorded) -> None:
        match recorded.event:
            case arrival.HandoverExpected(handover=id_, entries=entries):
                of = self._handovers.setdefault(id_, _Handover())
                of.announced |= {entry.person for entry in entries}
                for entry in entries:
                    of.entries.setdefault(entry.person, _Entry())
            case (
                arrival.ExpectationAmended()
                | arrival.ExpectationWithdrawn()
                | arrival.ArrivalAcknowledged()
                | arrival.UnlistedArrivalAcknowledged()
                | arrival.UnlistedArrivalCorrected()
                | arrival.HandoverDeclined()
            ) as event:
                _heard(self._handovers[event.handover], event)
            case house.HouseOpened(house=id_, capacity=capacity):
                self._houses[id_] = capacity
            case house.PersonAdmitted(house=id_, person=person):
                self._residents.setdefault(id_, set()).add(person)
            case house.PersonReleased(house=id_, person=person):
                self._residents.setdefault(id_, set()).discard(person)
            case case.CaseOpened(person=person):
                self._placed[person] = recorded.event.house
                self._cases[person] = (recorded.event.handover, recorded.event.house)
            case case.CaseOpenedInError(person=person):
                self._placed.pop(person, None)
                self._cases.pop(person, None)
            case case.ReturnedToFamily() | case.LeftHouse() | case.CaseClosed() as gone:
                self._placed.pop(gone.person, None)
            case grant.CreditNoted() as told:
                self._credits[told.person, told.reference] = _Credit(told.amount_rupiah)
            case (
                grant.FailureNoted()
                | grant.ReturnNoted()
                | grant.GrantConfirmed()
                | grant.GrantDisputed()
            ) as event:
                if known := self._credits.get((event.person, event.reference)):
                    _credited(known, event)
                else:
                    self._strangers.add(event.person)

    def equations(self) -> Iterator[tuple[Equation, bool]]:
        for id_, of in sorted(self._handovers.items()):
            yield _manifest(id_, of), True
        placed: dict[str, set[str]] = {}
        for person, id_ in self._placed.items():
            placed.setdefault(id_, set()).add(person)
        for id_ in sorted(self._residents.keys() | placed.keys() | {*self._houses}):
            living, there = self._residents.get(id_, set()), placed.get(id_, set())
            named = tuple(sorted(living ^ there)[:NAMED])
            for name, side, left, terms in (
                ("house", "residents", len(living), {"placed there": len(there)}),
                (
                    "house_persons",
                    "allowed",
                    0,
                    {
                        "live there and are not placed there": len(living - there),
                        "are placed there and do not live there": len(there - living),
                    },
                ),
            ):
                one = Equation(name, id_, "persons", side, left, terms, persons=named)
                yield one, name == "house"
        yield from self._grants()

    def _grants(self) -> Iterator[tuple[Equation, bool]]:
        fates: Counter[str] = Counter()
        whole = [0, 0, 0, 0]
        for (person, reference), one in sorted(self._credits.items()):
            fates[one.fate] += 1
            parts = [one.amount, one.standing, one.returned, one.amount if one.failed else 0]
            whole = [a + b for a, b in zip(whole, parts, strict=True)]
            yield _credit(f"{person}, {reference}", parts, (person,)), False
        by_fate = {fate: fates[fate] for fate in FATES}
        if self._strangers:
            by_fate["answered and never told of"] = len(self._strangers)
        named = tuple(sorted(self._strangers)[:NAMED])
        told = len(self._credits)
        yield Equation("fates", "grants", "credits", "told of", told, by_fate, persons=named), True
        yield _credit("grants", whole), True

    async def against(self, model: str, connection: AsyncConnection[Any], found: Findings) -> None:
        for table, query, derived in self._rows(model):
            await compare(connection, found, model, table, query, derived)

    def _rows(self, model: str) -> Iterator[tuple[str, str, dict[Any, Any]]]:
        match model:
            case "arrivals":
                yield (
                    "entry",
                    "select handover, person, listed, state from rm_arrivals.entry",
                    {
                        (id_, person): (one.listed, one.state)
                        for id_, of in self._handovers.items()
                        for person, one in of.entries.items()
                    },
                )
            case "houses":
                yield (
                    "house",
                    "select house, capacity from rm_houses.house",
                    {(id_,): (capacity,) for id_, capacity in self._houses.items()},
                )
                yield (
                    "resident",
                    "select house, person, true from rm_houses.resident",
                    {
                        (id_, person): (True,)
                        for id_, persons in self._residents.items()
                        for person in persons
                    },
                )
            case "cases":
                yield (
                    "casework",
                    "select person, handover, house from rm_cases.casework",
                    {(person,): where for person, where in self._cases.items()},
                )
            case "grants":
                yield (
                    "credit",
                    "select person, reference, amount_rupiah, failed, returned_rupiah,"
                    " standing_rupiah, answer from rm_grants.credit",
                    {
                        key: (one.amount, one.failed, one.returned, one.standing, one.answer)
                        for key, one in self._credits.items()
                    },
                )


def _heard(of: _Handover, event: Event) -> None:
    """What an event does to the checklist of its handover."""
    match event:
        case arrival.ExpectationAmended(withdrawn=gone, crossed=crossed):
            of.withdraw(person for person in gone if person not in crossed)
        case arrival.ExpectationWithdrawn():
            of.withdraw(p for p, one in of.entries.items() if one.state in ("expected", "declined"))
        case arrival.ArrivalAcknowledged(person=person, outcome=outcome):
            if person in of.entries:
                of.entries[person].state = outcome
            else:
                of.strangers.add(person)
        case arrival.UnlistedArrivalAcknowledged(person=person):
            of.entries[person] = _Entry(False, "unlisted")
        case arrival.UnlistedArrivalCorrected(person=person):
            if (one := of.entries.get(person)) and not one.listed:
                del of.entries[person]
        case arrival.HandoverDeclined():
            for one in of.entries.values():
                one.state = "declined" if one.state == "expected" else one.state


def _credited(known: _Credit, event: Event) -> None:
    match event:
        case grant.FailureNoted():
            known.failed = True
        case grant.ReturnNoted(amount_rupiah=rupiah):
            known.returned += rupiah
        case grant.GrantConfirmed():
            known.answer = "confirmed"
        case grant.GrantDisputed():
            known.answer = "disputed"


def _manifest(id_: str, of: _Handover) -> Equation:
    """Everybody who was ever announced is in one state; nobody else is answered for."""
    states = Counter(of.entries[p].state for p in of.announced if p in of.entries)
    terms = {name: states[state] for state, name in STATES.items() if states[state]}
    if of.strangers:
        terms["answered and never announced"] = len(of.strangers)
    announced, named = len(of.announced), tuple(sorted(of.strangers)[:NAMED])
    return Equation("manifest", id_, "persons", "announced", announced, terms, persons=named)


def _credit(about: str, sums: list[int], persons: tuple[str, ...] = ()) -> Equation:
    told, *rest = sums
    terms = dict(zip(("standing", "returned", "failed"), rest, strict=True))
    return Equation("grants", about, "rupiah", "told of", told, terms, persons=persons)
