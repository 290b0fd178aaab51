"""The equations of an office: what must add up in its log, whatever its read models show.

Each kind of office folds its own events into sums (`Sums`, on its manifest). An equation whose
sides differ is *broken*, unless a discrepancy is the one that says so: then it is *open*, or
*explained* where people have said why. Nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from psycopg import AsyncConnection

from shared.kernel.projector import Recorded

KEPT = 1_000
"""So many equations that don't hold, and so many differences, are named; all are counted."""
NAMED = 20
SHOWN_CHARACTERS = 200

Unit = Literal["persons", "rupiah", "credits"]
Outcome = Literal["holds", "open", "explained", "broken"]


@dataclass(frozen=True, slots=True)
class Equation:
    """`left`, called `side`, is to be the sum of `terms`; `about` names whose it is.

    `discrepancy` is the one that says so where they differ: then `outcome` is open or explained.
    `persons` are the first of those whom it is about.
    """

    name: str
    about: str
    unit: Unit
    side: str
    left: int
    terms: Mapping[str, int]
    discrepancy: str = ""
    explained: bool = False
    persons: tuple[str, ...] = ()

    @property
    def right(self) -> int:
        return sum(self.terms.values())

    @property
    def difference(self) -> int:
        """What was found beyond what was to be, as on the board."""
        return self.right - self.left

    @property
    def outcome(self) -> Outcome:
        if not self.difference:
            return "holds"
        if not self.discrepancy:
            return "broken"
        return "explained" if self.explained else "open"

    def document(self) -> dict[str, Any]:
        found = asdict(self) | {"terms": dict(self.terms), "right": self.right}
        del found["explained"]
        return found | {"difference": self.difference, "outcome": self.outcome}


@dataclass(frozen=True, slots=True)
class Differs:
    """A row of a read model that is not what follows from the events."""

    model: str
    table: str
    place: str
    expected: str
    found: str


@dataclass
class Findings:
    """What was derived. `shown` has each equation of the whole, and the first that don't hold."""

    office: str = ""
    events: int = 0
    checked: dict[str, int] = field(default_factory=dict)
    holding: dict[str, int] = field(default_factory=dict)
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    shown: list[Equation] = field(default_factory=list)
    models: dict[str, int | None] = field(default_factory=dict)
    """Read model → up to which event it was held against the derivation; None: it was not."""
    differing: int = 0
    differences: list[Differs] = field(default_factory=list)

    def add(self, one: Equation, *, whole: bool = False) -> None:
        """`whole`: it is of an operation, a handover or a house, and shown if it holds too."""
        self.checked[one.name] = self.checked.get(one.name, 0) + 1
        held = one.outcome == "holds"
        self.holding[one.name] = self.holding.get(one.name, 0) + held
        self.outcomes[one.outcome] = self.outcomes.get(one.outcome, 0) + 1
        if (whole or not held) and len(self.shown) < KEPT:
            self.shown.append(one)

    def differ(
        self, model: str, table: str, place: object, expected: object, found: object
    ) -> None:
        self.differing += 1
        if len(self.differences) < KEPT:
            short = (str(one)[:SHOWN_CHARACTERS] for one in (place, expected, found))
            self.differences.append(Differs(model, table, *short))

    @property
    def faults(self) -> int:
        return self.outcomes.get("broken", 0) + self.differing

    def document(self) -> dict[str, Any]:
        return {
            "office": self.office,
            "events": self.events,
            "faults": self.faults,
            "checked": self.checked,
            "holding": self.holding,
            "outcomes": self.outcomes,
            "equations": [one.document() for one in self.shown],
            "read_models": self.models,
            "differing": self.differing,
            "differences": [asdict(one) for one in self.differences],
        }


class Sums(Protocol):
    """One office's fold of its log into sums. It takes every event once, in order.

    What it holds grows with persons and papers, not with events.
    """

    models: tuple[str, ...]
    """The read models that it can be held against."""

    def take(self, recorded: Recorded) -> None: ...

    def equations(self) -> Iterable[tuple[Equation, bool]]:
        """Each with whether it is one of the whole (`Findings.add`)."""
        ...

    async def against(self, model: str, connection: AsyncConnection[Any], found: Findings) -> None:
        """Holds this read model, which stands where the fold stands, against it."""
        ...


class NoSums:
    """Of an office of which nothing must add up."""

    models: tuple[str, ...] = ()

    def take(self, recorded: Recorded) -> None:
        pass

    def equations(self) -> Iterable[tuple[Equation, bool]]:
        return ()

    async def against(self, model: str, connection: AsyncConnection[Any], found: Findings) -> None:
        pass


async def compare(
    connection: AsyncConnection[Any],
    found: Findings,
    model: str,
    table: str,
    query: str,
    derived: Mapping[tuple[Any, ...], tuple[Any, ...]],
) -> None:
    """Each row of `query`, its key first, against `derived`; each difference goes to `found`."""
    missing = set(derived)
    async with connection.cursor("equations") as cursor:
        await cursor.execute(query.encode())
        async for row in cursor:
            width = len(next(iter(derived))) if derived else 1
            key, values = row[:width], row[width:]
            missing.discard(key)
            if derived.get(key) != values:
                found.differ(model, table, _place(key), derived.get(key, "no row"), values)
    for key in sorted(missing, key=str):
        found.differ(model, table, _place(key), derived[key], "no row")


def _place(key: tuple[Any, ...]) -> str:
    return ", ".join(map(str, key))
