"""What holds for every decision of the city, whatever the aggregate."""

import re
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_any
from hypothesis import strategies as st
from pydantic import ValidationError

from services.city import domain

from ..spec import (
    ANN,
    BEA,
    NOW,
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
from . import test_advance, test_beneficiary, test_case, test_grant, test_handover
from .test_authority import FACTS as AUTHORITY
from .test_operation import FACTS as OPERATION
from .test_operation import SAID
from .test_treasury import FACTS as TREASURY

HERE = Path(__file__).parent
DECIDERS = aggregates(domain)

NEW_FACTS = ()
"""Commands that state a new fact each time: the city has none."""


def any_of(facts):
    return {name: [value] for name, value in facts.items()}


VALUES = {
    "advance": test_advance.VALUES,
    "authority": any_of(AUTHORITY)
    | {"on": [NOW.date()], "valid_until": [date(2019, 10, 31), date(2019, 10, 15)]},
    "bank": {"reference": ["SP2D/1"], "person": [ANN, BEA]},
    "beneficiary": test_beneficiary.VALUES,
    "case": test_case.VALUES,
    "grant": test_grant.VALUES,
    "handover": test_handover.VALUES,
    "operation": any_of(OPERATION | SAID)
    | {
        "subject": ["persons", "destination"],
        "destination": [None, "35"],
        "figure": range(1, 4),
        "discrepancy": ["persons"],
        "difference": range(3),
        "explanation": ["Belum menentukan", "Turun di pelabuhan singgah"],
    },
    "treasury": any_of(TREASURY) | {"bank_validation": ["VAL-1", "VAL-2"]},
}
PATHS = {"beneficiary": test_beneficiary.PATH, "handover": test_handover.PATH}

every_decider = pytest.mark.parametrize("name", sorted(DECIDERS))
once_each = settings(quick, suppress_health_check=[HealthCheck.differing_executors])


def any_history(name):
    return histories(DECIDERS[name], VALUES[name], PATHS.get(name, ()))


@every_decider
@once_each
@for_any(st.data())
def test_a_decision_repeated_decides_nothing_more(name, data):
    """Rule 6 and rule 15, for every fact: to say it twice is to say it once."""
    stays_quiet(DECIDERS[name], data.draw(any_history(name)), NEW_FACTS)


@every_decider
@once_each
@for_any(st.data())
def test_the_same_events_always_give_the_same_state(name, data):
    """Rule 20. Deciding and evolving are pure, and an event survives its storage."""
    events = events_of(DECIDERS[name], data.draw(any_history(name)))
    stored = [(type(event), event.model_dump_json()) for event in events]
    read = [kind.model_validate_json(body) for kind, body in stored]
    assert fold(DECIDERS[name], read) == fold(DECIDERS[name], events)


@every_decider
def test_every_fact_says_when_it_occurred_and_where_on_earth_that_was(name):
    """Rule 17. A time without an offset is no time."""
    for command in DECIDERS[name].commands:
        for field in ("now", "occurred_at"):
            with pytest.raises(ValidationError) as refused:
                say(command, **{field: datetime(2019, 10, 4, 14, 30)})  # noqa: DTZ001
            assert (field,) in [error["loc"] for error in refused.value.errors()]
        with pytest.raises(ValidationError) as refused:
            command()
        missing = {error["loc"] for error in refused.value.errors()}
        assert {("by",), ("now",), ("occurred_at",)} <= missing


def test_no_two_events_share_a_name_and_every_name_has_its_version():
    events = [event for decider in DECIDERS.values() for event in decider.events]
    names = [event.type for event in events]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"pulang\.city\.[a-z-]+\.[a-z-]+\.v\d+", name), name


def test_every_command_and_every_stream_has_one_aggregate():
    commands = [command for decider in DECIDERS.values() for command in decider.commands]
    assert len(set(commands)) == len(commands)
    assert len({decider.category for decider in DECIDERS.values()}) == len(DECIDERS)
    for decider in DECIDERS.values():
        for command in decider.commands:
            assert decider.key in command.model_fields


def test_every_event_and_command_is_frozen_and_knows_its_fields():
    for decider in DECIDERS.values():
        for model in (*decider.commands, *decider.events):
            assert model.model_config["frozen"]
            assert model.model_config["extra"] == "forbid"


@every_decider
def test_every_event_says_in_words_what_happened(name):
    """Rule 17. A case worker reads the history; a brace that stays empty tells her nothing."""
    assert words_without_a_field(DECIDERS[name]) == []
    assert all(event.words.strip() for event in DECIDERS[name].events)


@every_decider
def test_every_command_and_event_is_in_the_specs(name):
    assert unmentioned(DECIDERS[name], HERE / f"test_{name}.py") == []


def test_every_refusal_is_provoked_by_a_spec():
    assert codes_refused(domain) - codes_provoked(HERE) == set()
