"""What holds for every decision of custody, and of custody beside each office's own decisions."""

import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_any
from hypothesis import strategies as st
from pydantic import ValidationError

from services.city import domain as city
from services.province import domain as province
from shared import custody
from shared.custody import DECIDERS
from shared.custody.access import LookUpIdentity, RecordLook

from ..spec import (
    aggregates,
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
from . import (
    test_access,
    test_erasure,
    test_fork,
    test_parked,
    test_reconciliation,
    test_replay,
    test_restored,
)

HERE = Path(__file__).parent
BY_CATEGORY = {decider.category: decider for decider in DECIDERS}
NEW_FACTS = (RecordLook, LookUpIdentity)
"""Commands that state a new fact each time."""

VALUES = {
    "custody": test_erasure.VALUES,
    "look": test_access.VALUES["looks"],
    "lookups": test_access.VALUES["lookups"],
    "break-glass": test_access.VALUES["break_glass"],
    "parked": test_parked.VALUES,
    "fork": test_fork.VALUES,
    "replay": test_replay.VALUES,
    "reconciliation": test_reconciliation.VALUES,
    "restore": test_restored.VALUES,
}
PATHS = {
    "custody": [test_erasure.PATH, test_erasure.PATH_OF_AN_ORDER],
    "lookups": [test_access.TWENTY],
    "break-glass": [[test_access.OPEN]],
}
SPECS = {
    "custody": ("test_erasure.py", "test_order.py", "test_hold.py"),
    "parked": ("test_parked.py",),
    "fork": ("test_fork.py",),
    "replay": ("test_replay.py",),
    "reconciliation": ("test_reconciliation.py",),
    "restore": ("test_restored.py",),
}

every_decider = pytest.mark.parametrize("name", sorted(BY_CATEGORY))
beside_each_office = pytest.mark.parametrize(
    "own", [aggregates(city), aggregates(province)], ids=["city", "province"]
)
once_each = settings(quick, suppress_health_check=[HealthCheck.differing_executors])


def any_history(name):
    return st.one_of(
        histories(BY_CATEGORY[name], VALUES[name], path) for path in PATHS.get(name, [()])
    )


@every_decider
@once_each
@for_any(st.data())
def test_a_decision_repeated_decides_nothing_more(name, data):
    """A letter that comes twice, a worker that begins again: nobody is erased or asked twice."""
    stays_quiet(BY_CATEGORY[name], data.draw(any_history(name)), NEW_FACTS)


@every_decider
@once_each
@for_any(st.data())
def test_the_same_events_always_give_the_same_state(name, data):
    """Rule 20. Deciding and evolving are pure, and an event survives its storage."""
    events = events_of(BY_CATEGORY[name], data.draw(any_history(name)))
    stored = [(type(event), event.model_dump_json()) for event in events]
    read = [kind.model_validate_json(body) for kind, body in stored]
    assert fold(BY_CATEGORY[name], read) == fold(BY_CATEGORY[name], events)


@every_decider
def test_every_fact_says_when_it_occurred_and_where_on_earth_that_was(name):
    """Rule 17. A time without an offset is no time."""
    for command in BY_CATEGORY[name].commands:
        for field in ("now", "occurred_at"):
            with pytest.raises(ValidationError) as refused:
                say(command, **{field: datetime(2019, 10, 4, 14, 30)})  # noqa: DTZ001
            assert (field,) in [error["loc"] for error in refused.value.errors()]
        with pytest.raises(ValidationError) as refused:
            command()
        missing = {error["loc"] for error in refused.value.errors()}
        assert {("by",), ("now",), ("occurred_at",)} <= missing


def test_every_name_of_an_event_is_one_of_custodys_and_has_its_version():
    for decider in DECIDERS:
        for event in decider.events:
            assert re.fullmatch(r"pulang\.custody(\.[a-z-]+){1,2}\.v\d+", event.type), event


@beside_each_office
def test_beside_an_offices_own_decisions_every_command_event_and_stream_has_one_aggregate(own):
    deciders = [*own.values(), *DECIDERS]
    commands = [command for decider in deciders for command in decider.commands]
    names = [event.type for decider in deciders for event in decider.events]
    assert len(set(commands)) == len(commands)
    assert len(set(names)) == len(names)
    assert len({decider.category for decider in deciders}) == len(deciders)
    for decider in DECIDERS:
        assert all(decider.key in command.model_fields for command in decider.commands)


@pytest.mark.parametrize("domain", [city, province], ids=["city", "province"])
def test_no_refusal_of_custody_is_said_by_an_office_of_something_else(domain):
    """One code, one meaning: the runbook has one row for each."""
    assert codes_refused(domain)
    assert codes_refused(custody) & codes_refused(domain) == set()


def test_every_event_and_command_is_frozen_and_knows_its_fields():
    for decider in DECIDERS:
        for model in (*decider.commands, *decider.events):
            assert model.model_config["frozen"]
            assert model.model_config["extra"] == "forbid"


@every_decider
def test_every_event_says_in_words_what_happened(name):
    """Rule 17. And with nothing in it that is sealed: the words are shown in every history."""
    decider = BY_CATEGORY[name]
    assert words_without_a_field(decider) == []
    for event in decider.events:
        assert event.words.strip()
        assert "{reason}" not in event.words


@every_decider
def test_every_command_and_event_is_in_the_specs(name):
    missing = [
        set(unmentioned(BY_CATEGORY[name], HERE / spec))
        for spec in SPECS.get(name, ("test_access.py",))
    ]
    assert set.intersection(*missing) == set()


def test_every_refusal_is_provoked_by_a_spec():
    said = codes_refused(custody)
    assert len(said) >= 10, "the search finds nothing"
    assert said - codes_provoked(HERE) == set()
