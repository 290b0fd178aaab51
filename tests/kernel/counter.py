"""A tiny aggregate for the machinery's tests: it counts, and refuses to count below zero."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from shared.contracts.messages import CaseStatusChanged
from shared.kernel.decider import Command, Decider, Decision, Event, Refused
from shared.kernel.event import Outgoing
from shared.kernel.projector import Projection, Recorded, Statement

NOW = datetime(2019, 10, 4, 8, 0, tzinfo=UTC)
PERSON = "PM-0000000001"


class Counted(Event):
    type: ClassVar[str] = "pulang.test.counter.counted.v2"
    words: ClassVar[str] = "{counter} counts {by}."
    counter: str
    by: int


class Count(Command):
    counter: str
    amount: int


def decide(command: Command, state: int) -> Decision:
    match command:
        case Count(counter=counter, amount=amount):
            if state + amount < 0:
                return Refused("BELOW_ZERO", "Below zero.", "Count up first.")
            return [Counted(counter=counter, by=amount)] if amount else []
    raise TypeError(command)


def evolve(state: int, event: Event) -> int:
    return state + event.by if isinstance(event, Counted) else state


def from_v1(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Version 1 called the amount `step`."""
    return Counted.type, {"counter": data["counter"], "by": data["step"]}


decider: Decider[int] = Decider(
    category="counter",
    key="counter",
    commands=(Count,),
    events=(Counted,),
    initial=0,
    evolve=evolve,
    decide=decide,
    upcasters={"pulang.test.counter.counted.v1": from_v1},
)


def publish(stream: str, event: Event) -> Iterator[Outgoing]:
    """Tells office 35 of every count."""
    if isinstance(event, Counted):
        yield Outgoing("35", stream, CaseStatusChanged(person=PERSON, status="ready"))


def count(counter: str, amount: int = 1) -> Count:
    return Count(by="tester", now=NOW, occurred_at=NOW, counter=counter, amount=amount)


def apply(recorded: Recorded) -> Iterator[Statement]:
    match recorded.event:
        case Counted(counter=counter, by=by):
            yield (
                "insert into total values (%(counter)s, %(by)s)"
                " on conflict (counter) do update set total = total.total + excluded.total",
                {"counter": counter, "by": by},
            )


projection = Projection(
    "totals",
    1,
    "create table total (counter text primary key, total bigint not null)",
    apply,
)
