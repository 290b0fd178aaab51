"""Given, when, then: a decider's spec in three lines, and what the house asks of every decision.

Each step asks more than its line says: `decide` and `evolve` leave the state as it was, every event
survives being written and read, a refusal says what is the matter and what to do next, and a
decision repeated stays quiet, unless the spec says that the command states a new fact each time.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from shared.kernel.decider import Command, Decider, Event, Refused

WITA = timezone(timedelta(hours=8), "WITA")
NOW = datetime(2019, 10, 4, 14, 30, tzinfo=WITA)
HOUR = timedelta(hours=1)
ANN, BEA, CIA = "PM-0000000001", "PM-0000000002", "PM-0000000003"
SEALED = {person: f"sealed-identity-{person}" for person in (ANN, BEA, CIA)}
"""Three people who do not exist, and who they are, as a vault would have sealed it."""

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
"""For every property: the same examples each run, in a fraction of a second."""

REFUSAL = re.compile(r'Refused\(\s*"([A-Z_]+)"')
PROVOKED = re.compile(r'\.refused\(\s*"([A-Z_]+)"')


def say(command: type[Command], **fields: Any) -> Any:
    """A command by the drafter (penyusun), recorded now about now, unless it says otherwise."""
    return command(**({"by": "penyusun", "now": NOW, "occurred_at": NOW} | fields))


def given(decider: Decider[Any], *events: Event) -> Given:
    """What has happened so far."""
    state = decider.initial
    for event in events:
        state = evolve(decider, state, event)
    return Given(decider, state)


@dataclass(frozen=True)
class Given:
    decider: Decider[Any]
    state: Any

    def when(self, command: Command) -> When:
        return When(self, command, decide(self.decider, self.state, command))


@dataclass(frozen=True)
class When:
    given: Given
    command: Command
    decision: Sequence[Event] | Refused

    def then(self, *events: Event, a_new_fact_each_time: bool = False) -> Given:
        """The right events, and quiet when repeated. Gives what has happened now."""
        assert self.decision == list(events)
        after = self._after()
        again = decide(self.given.decider, after.state, self.command)
        if a_new_fact_each_time:
            assert again and not isinstance(again, Refused), "it was to be a new fact each time"
        else:
            assert again == [], f"repeated, it was to stay quiet: {again}"
        return after

    def refused(self, code: str) -> Given:
        """The right refusal. Nothing has happened."""
        assert isinstance(self.decision, Refused), f"{code} expected, decided: {self.decision}"
        assert self.decision.code == code, self.decision
        return self.given

    def nothing(self) -> Given:
        """Neither an event nor a refusal."""
        assert self.decision == []
        return self.given

    def _after(self) -> Given:
        assert not isinstance(self.decision, Refused)
        state = self.given.state
        for event in self.decision:
            state = evolve(self.given.decider, state, event)
        return Given(self.given.decider, state)


def decide(decider: Decider[Any], state: Any, command: Command) -> list[Event] | Refused:
    """Decides, and holds `decide` to being pure and its refusals to being helpful."""
    assert type(command) in decider.commands
    before = deepcopy(state)
    decision = decider.decide(command, state)
    assert state == before, "to decide changes nothing"
    if not isinstance(decision, Refused):
        return list(decision)
    assert re.fullmatch(r"[A-Z_]+", decision.code)
    assert decision.detail.endswith(".")
    assert decision.remedy.endswith(".")
    return decision


def evolve(decider: Decider[Any], state: Any, event: Event) -> Any:
    """Evolves, and holds `evolve` to being pure and the event to surviving its storage."""
    assert type(event) in decider.events
    assert type(event).model_validate_json(event.model_dump_json()) == event
    before = deepcopy(state)
    after = decider.evolve(state, event)
    assert state == before, "to evolve changes no state, it makes a new one"
    return after


@dataclass
class Office:
    """An office's streams in memory: what belongs together stands or falls together."""

    deciders: Iterable[Decider[Any]]
    states: dict[str, Any] = field(default_factory=dict)

    def does(self, *commands: Command) -> list[Event]:
        """Each command is decided on what the ones before it decided, and all are accepted."""
        decided = self.hears(commands)
        assert not isinstance(decided, Refused), decided
        return decided

    def hears(self, commands: Iterable[Command]) -> list[Event] | Refused:
        """The events of one message, or the first refusal; then nothing has happened."""
        states, decided = dict(self.states), []
        for command in commands:
            decider = next(one for one in self.deciders if type(command) in one.commands)
            stream = decider.stream(command)
            state = states.get(stream, decider.initial)
            decision = decide(decider, state, command)
            if isinstance(decision, Refused):
                return decision
            for event in decision:
                state = evolve(decider, state, event)
            states[stream] = state
            decided += decision
        self.states = states
        return decided


def histories(
    decider: Decider[Any], values: Mapping[str, Iterable[Any]], path: Sequence[Command] = ()
) -> st.SearchStrategy[list[Command]]:
    """Any commands after any beginning of a usual path.

    `values` gives the values of each field by its name. Few values make many collisions, which is
    where mistakes are.
    """
    common = {
        "by": ["penyusun", "pengesah"],
        "now": [NOW],
        "occurred_at": [NOW, NOW - HOUR],
    }
    choices = common | dict(values)
    anything = st.one_of(
        st.sampled_from(
            [
                command(**dict(zip(command.model_fields, fields, strict=True)))
                for fields in product(*(choices[name] for name in command.model_fields))
            ]
        )
        for command in decider.commands
    )
    beginnings = st.integers(0, len(path)).map(lambda length: list(path[:length]))
    return st.tuples(beginnings, st.lists(anything, max_size=10)).map(lambda two: two[0] + two[1])


def run(decider: Decider[Any], commands: Iterable[Command]) -> list[tuple[Command, list[Event]]]:
    """Every command that was accepted, with what it decided."""
    state, accepted = decider.initial, []
    for command in commands:
        decision = decide(decider, state, command)
        if isinstance(decision, Refused):
            continue
        for event in decision:
            state = evolve(decider, state, event)
        accepted.append((command, decision))
    return accepted


def events_of(decider: Decider[Any], commands: Iterable[Command]) -> list[Event]:
    return [event for _, events in run(decider, commands) for event in events]


def fold(decider: Decider[Any], events: Iterable[Event]) -> Any:
    state = decider.initial
    for event in events:
        state = evolve(decider, state, event)
    return state


def stays_quiet(
    decider: Decider[Any], commands: Iterable[Command], new_facts: tuple[type[Command], ...]
) -> None:
    """No accepted command decides a second event when it is decided again at once."""
    state = decider.initial
    for command in commands:
        decision = decide(decider, state, command)
        if isinstance(decision, Refused):
            continue
        for event in decision:
            state = evolve(decider, state, event)
        again = decide(decider, state, command)
        assert isinstance(again, Refused) or again == [] or isinstance(command, new_facts), again


def aggregates(domain: ModuleType) -> dict[str, Decider[Any]]:
    """Every decider of an office, by the name of its file."""
    modules = {
        info.name: importlib.import_module(f"{domain.__name__}.{info.name}")
        for info in pkgutil.iter_modules(domain.__path__)
    }
    return {name: one.decider for name, one in modules.items() if hasattr(one, "decider")}


def codes_refused(domain: ModuleType) -> set[str]:
    """Every code that the office's decisions can refuse with."""
    return _found(REFUSAL, Path(domain.__path__[0]))


def codes_provoked(specs: Path) -> set[str]:
    """Every code that the office's specs provoke."""
    return _found(PROVOKED, specs)


def words_without_a_field(decider: Decider[Any]) -> list[str]:
    """Braces in the words of an event for which it has no field."""
    return [
        f"{event.__name__}: {name}"
        for event in decider.events
        for name in re.findall(r"{(\w+)}", event.words)
        if name not in event.model_fields
    ]


def unmentioned(decider: Decider[Any], spec: Path) -> list[str]:
    """Commands and events of an aggregate that its spec never names."""
    words = set(re.findall(r"\w+", spec.read_text(encoding="utf-8")))
    return sorted({one.__name__ for one in (*decider.commands, *decider.events)} - words)


def _found(pattern: re.Pattern[str], folder: Path) -> set[str]:
    texts = (path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    return {code for text in texts for code in pattern.findall(text)}
