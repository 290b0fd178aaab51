"""What must add up at the city, folded from its events alone: persons here, money in `rupiah`.

It is a derivation of its own beside the board's, so that each can be held against the other. A
person is always in exactly one state, and the states of those who are enumerated make up what was
declared, or a discrepancy says by how many and where they differ (rule 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from services.city.domain import answer, beneficiary, case, handover, operation
from services.city.equations.rupiah import Rupiah
from services.city.projections import board, ledger
from shared.kernel.projector import Recorded
from shared.runtime.equations import NAMED, Equation, Findings, compare

UNDETERMINED = "undetermined"
DISCREPANCIES = ("declared_split", "enumerated_persons", "enumerated_destination_")
"""Those of the board, by how their names begin, that an equation here is about."""


@dataclass(slots=True)
class _Person:
    operation: str
    destination: str | None
    listed: bool
    state: str
    handover: str | None = None
    received_in: str | None = None
    answered_in: str | None = None

    def back(self, *only: str) -> None:
        """She is the city's to send again, if she is in one of these states."""
        if self.state in only:
            self.state = "assigned" if self.destination else UNDETERMINED


@dataclass(slots=True)
class _Operation:
    claims: list[operation.Claim] = field(default_factory=list)
    explained: set[tuple[str, int]] = field(default_factory=set)

    @property
    def declared(self) -> int | None:
        """The total that was stated first; a later, different one is a discrepancy."""
        return next((c.figure for c in self.claims if c.subject == "persons"), None)

    @property
    def split(self) -> dict[str, int]:
        return {
            c.destination: c.figure
            for c in self.claims
            if c.subject == "destination" and c.destination
        }


class CitySums:
    models: tuple[str, ...] = ("board", "ledger")

    def __init__(self) -> None:
        self._operations: dict[str, _Operation] = {}
        self._people: dict[str, _Person] = {}
        self._rupiah = Rupiah()

    def take(self, recorded: Recorded) -> None:
        self._rupiah.take(recorded.event)
        match recorded.event:
            case operation.OperationOpened(operation=id_):
                self._operations[id_] = _Operation()
            case operation.TotalDeclared(operation=id_, claim=claim):
                self._operations[id_].claims.append(claim)
            case operation.DiscrepancyExplained(operation=id_, discrepancy=name) as one:
                self._operations[id_].explained.add((name, one.difference))
            case beneficiary.BeneficiaryRegistered() as one:
                state = "assigned" if one.destination else UNDETERMINED
                self._people[one.person] = _Person(one.operation, one.destination, True, state)
            case answer.UnlistedArrivalRecorded() as one:
                known = self._people.get(one.person)
                if known is None:
                    self._people[one.person] = _Person(
                        one.operation, one.receiving_office, False, "unlisted"
                    )
                else:
                    known.state = "unlisted"
            case answer.UnlistedArrivalCorrected(person=code):
                if (known := self._people.get(code)) and not known.listed:
                    del self._people[code]
            case (
                handover.HandoverDeparted(handover=id_, persons=persons)
                | handover.DepartureCorrected(handover=id_, persons=persons)
                | answer.DeclineRecorded(handover=id_, persons=persons)
            ):
                left = isinstance(recorded.event, handover.HandoverDeparted)
                for code in persons:
                    if (known := self._people.get(code)) and known.handover == id_:
                        _depart(known, left)
            case event if known := self._people.get(getattr(event, "person", "")):
                _move(known, event)

    def equations(self) -> Iterator[tuple[Equation, bool]]:
        for one in self._of_persons():
            yield one, True
        explained = {id_: one.explained for id_, one in self._operations.items()}
        yield from self._rupiah.equations(explained)

    def _of_persons(self) -> Iterator[Equation]:
        listed: dict[str, Counter[tuple[str, str]]] = {}
        unplaced: dict[str, list[str]] = {}
        for code, one in self._people.items():
            if not one.listed:
                continue
            destination = one.destination or UNDETERMINED
            listed.setdefault(one.operation, Counter())[one.state, destination] += 1
            if destination == UNDETERMINED:
                named = unplaced.setdefault(one.operation, [])
                if len(named) < NAMED:
                    named.append(code)
        for id_, about in sorted(self._operations.items()):
            groups = listed.get(id_, Counter())
            yield from _of_operation(id_, about, groups, tuple(unplaced.get(id_, ())))

    async def against(self, model: str, connection: AsyncConnection[Any], found: Findings) -> None:
        if model == "ledger":
            await self._rupiah.against(connection, found)
            beyond = {one.about: one for one in self._rupiah.duplicates({})}
            for id_ in self._operations:
                derived = {beyond[id_].discrepancy: beyond[id_].difference} if id_ in beyond else {}
                theirs = {name: n for name, n, _ in await ledger.findings(connection, id_) if n}
                _same(found, model, id_, derived, theirs)
            return
        await compare(
            connection,
            found,
            model,
            "person",
            "select person, operation, destination, listed, state, handover, received_in"
            " from rm_board.person",
            {
                (code,): (
                    one.operation, one.destination, one.listed, one.state, one.handover,
                    one.received_in,
                )
                for code, one in self._people.items()
            },
        )  # fmt: skip
        mine: dict[str, dict[str, tuple[int, bool]]] = {id_: {} for id_ in self._operations}
        for one in self._of_persons():
            if one.difference:
                mine[one.about][one.discrepancy] = (one.difference, not one.explained)
        for id_ in self._operations:
            shown = await board.board(connection, id_)
            if shown is None:
                found.differ(model, "operation", id_, "an operation", "no row")
                continue
            on_board = {
                each["discrepancy"]: (each["difference"], each["open"])
                for each in shown["discrepancies"]
                if each["discrepancy"].startswith(DISCREPANCIES)
            }
            _same(found, model, id_, mine[id_], on_board)
            claims = [c.model_dump() for c in self._operations[id_].claims]
            if claims != shown["claims"]:
                found.differ(model, "claim", id_, claims, shown["claims"])


def _same(
    found: Findings, model: str, id_: str, mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    """Each discrepancy that follows from the events stands there, and no other."""
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            place = f"{id_}, discrepancy {name}"
            found.differ(model, "discrepancies", place, mine.get(name), theirs.get(name))


def _of_operation(
    id_: str, about: _Operation, groups: Counter[tuple[str, str]], unplaced: tuple[str, ...]
) -> Iterator[Equation]:
    def equation(
        name: str,
        side: str,
        left: int,
        terms: dict[str, int],
        discrepancy: str = "",
        persons: tuple[str, ...] = (),
    ) -> Equation:
        why = (discrepancy, sum(terms.values()) - left) in about.explained
        return Equation(name, id_, "persons", side, left, terms, discrepancy, why, persons)

    by_state: Counter[str] = Counter()
    by_destination: Counter[str] = Counter()
    for (state, destination), number in groups.items():
        by_state[state] += number
        by_destination[destination] += number
    declared, enumerated = about.declared, sum(by_state.values())
    states = dict(sorted(by_state.items()))
    if declared is None:
        yield equation("persons", "enumerated, and nothing declared", enumerated, states)
    else:
        if about.split:
            terms = {f"to {office}": n for office, n in sorted(about.split.items())}
            yield equation("split", "declared", declared, terms, "declared_split", unplaced)
        yield equation("persons", "declared", declared, states, "enumerated_persons")
    terms = dict(sorted(by_destination.items()))
    yield equation("destinations", "enumerated", enumerated, terms, persons=unplaced)
    for office, figure in sorted(about.split.items()):
        name, there = f"enumerated_destination_{office}", by_destination[office]
        yield equation("destination", f"declared to {office}", figure, {"enumerated": there}, name)


def _depart(one: _Person, left: bool) -> None:
    if not left:
        one.back("departed")
    elif one.state == "assigned":
        one.state = "departed"


def _move(one: _Person, event: Any) -> None:
    """What an event about her alone does to where she is."""
    match event:
        case beneficiary.DestinationDetermined(destination=destination):
            one.destination = destination
            one.back(UNDETERMINED, "assigned", "absent", "diverted")
        case beneficiary.WillingnessGiven():
            one.back("withdrawn")
        case beneficiary.WillingnessWithdrawn():
            if one.state in (UNDETERMINED, "assigned", "absent"):
                one.state = "withdrawn"
        case beneficiary.HandoverEntered(handover=id_):
            one.handover = id_
            one.back("absent", "diverted")
        case beneficiary.HandoverLeft(handover=id_, cause=cause):
            if one.handover == id_:
                one.handover = None
            if cause == "arrived":
                one.received_in = id_
                if one.answered_in != id_:
                    one.state, one.answered_in = "arrived", id_
            elif one.received_in == id_:
                one.received_in = None
        case beneficiary.ReceivedElsewhere(handover=id_):
            one.state, one.received_in, one.answered_in = "arrived", id_, id_
        case answer.ArrivalRecorded(handover=id_, outcome=outcome):
            # A late word about an earlier handover does not undo what a later one brought.
            if (one.received_in or one.handover or one.answered_in or id_) != id_:
                return
            one.answered_in = id_
            home = one.state in ("returned_to_family", "closed")
            if not (outcome == "arrived" and one.received_in == id_ and home):
                one.state = outcome
        case case.CaseStatusRecorded(status="returned_to_family"):
            if one.state in ("arrived", "unlisted"):
                one.state = "returned_to_family"
        case case.CaseStatusRecorded(status="declined_by_family"):
            if one.state == "returned_to_family":
                one.state = "arrived"
        case case.CaseStatusRecorded(status="closed"):
            if one.state in ("arrived", "unlisted", "returned_to_family"):
                one.state = "closed"
