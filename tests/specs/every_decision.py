"""What holds for every decision, whatever the aggregate: of the city, of a province, of custody.

Each has a class below this one, which names its deciders and few values of every field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_any
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.kernel.decider import Command, Decider

from .spec import (
    codes_provoked,
    codes_refused,
    events_of,
    fold,
    histories,
    quick,
    say,
    stays_quiet,
    unmentioned,
    words_without_a_field,
)

once_each = settings(quick, suppress_health_check=[HealthCheck.differing_executors])


class EveryDecision:
    domain: ClassVar[ModuleType]
    """Where the decisions are."""
    here: ClassVar[Path]
    """Where their specs are."""
    deciders: ClassVar[Mapping[str, Decider[Any]]]
    values: ClassVar[Mapping[str, Mapping[str, Any]]]
    paths: ClassVar[Mapping[str, Sequence[Sequence[Command]]]]
    """Usual paths: a history begins on one of them."""
    new_facts: ClassVar[tuple[type[Command], ...]] = ()
    """Commands that state a new fact each time."""
    named: ClassVar[str]
    """What the name of an event looks like, with its version."""
    specs: ClassVar[Mapping[str, Sequence[str]]] = {}
    """The files of a decider's specs, where they are not one that is called as it is."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", sorted(self.deciders))

    def any_history(self, name: str) -> st.SearchStrategy[list[Command]]:
        paths = self.paths.get(name, [()])
        return st.one_of(histories(self.deciders[name], self.values[name], path) for path in paths)

    @once_each
    @for_any(st.data())
    def test_a_decision_repeated_decides_nothing_more(self, name, data):
        """Rule 6 and rule 15, for every fact: to say it twice is to say it once.

        A letter that comes twice, a worker that begins again: nobody is erased or asked twice.
        """
        stays_quiet(self.deciders[name], data.draw(self.any_history(name)), self.new_facts)

    @once_each
    @for_any(st.data())
    def test_the_same_events_always_give_the_same_state(self, name, data):
        """Rule 20. Deciding and evolving are pure, and an event survives its storage."""
        decider = self.deciders[name]
        events = events_of(decider, data.draw(self.any_history(name)))
        stored = [(type(event), event.model_dump_json()) for event in events]
        read = [kind.model_validate_json(body) for kind, body in stored]
        assert fold(decider, read) == fold(decider, events)

    def test_every_fact_says_when_it_occurred_and_where_on_earth_that_was(self, name):
        """Rule 17. A time without an offset is no time."""
        for command in self.deciders[name].commands:
            for field in ("now", "occurred_at"):
                with pytest.raises(ValidationError) as refused:
                    say(command, **{field: datetime(2019, 10, 4, 14, 30)})  # noqa: DTZ001
                assert (field,) in [error["loc"] for error in refused.value.errors()]
            with pytest.raises(ValidationError) as refused:
                command()
            missing = {error["loc"] for error in refused.value.errors()}
            assert {("by",), ("now",), ("occurred_at",)} <= missing

    def test_no_two_events_share_a_name_and_every_name_has_its_version(self):
        names = [event.type for one in self.deciders.values() for event in one.events]
        assert len(set(names)) == len(names)
        for name in names:
            assert re.fullmatch(self.named, name), name

    def test_every_command_and_every_stream_has_one_aggregate(self):
        commands = [command for one in self.deciders.values() for command in one.commands]
        assert len(set(commands)) == len(commands)
        assert len({one.category for one in self.deciders.values()}) == len(self.deciders)
        for one in self.deciders.values():
            for command in one.commands:
                assert one.key in command.model_fields

    def test_every_event_and_command_is_frozen_and_knows_its_fields(self, name):
        decider = self.deciders[name]
        for model in (*decider.commands, *decider.events):
            assert model.model_config["frozen"]
            assert model.model_config["extra"] == "forbid"

    def test_every_event_says_in_words_what_happened(self, name):
        """Rule 17. A case worker reads the history; a brace that stays empty tells her nothing."""
        assert words_without_a_field(self.deciders[name]) == []
        assert all(event.words.strip() for event in self.deciders[name].events)

    def test_every_command_and_event_is_in_the_specs(self, name):
        specs = self.specs.get(name, [f"test_{name}.py"])
        missing = [set(unmentioned(self.deciders[name], self.here / one)) for one in specs]
        assert set.intersection(*missing) == set()

    def test_every_refusal_is_provoked_by_a_spec(self):
        said = codes_refused(self.domain)
        assert len(said) >= 10, "the search finds nothing"
        assert said - codes_provoked(self.here) == set()
