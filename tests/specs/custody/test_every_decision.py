"""What holds for every decision of custody, and of custody beside each office's own decisions."""

from pathlib import Path

import pytest

from services.city import domain as city
from services.province import domain as province
from shared import custody
from shared.custody import DECIDERS
from shared.custody.access import LookUpIdentity, RecordLook

from ..every_decision import EveryDecision
from ..spec import aggregates, codes_refused
from . import (
    test_access,
    test_erasure,
    test_fork,
    test_parked,
    test_reconciliation,
    test_replay,
    test_restored,
)

BY_CATEGORY = {decider.category: decider for decider in DECIDERS}
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
    "custody": ["test_erasure.py", "test_order.py", "test_hold.py"],
    "look": ["test_access.py"],
    "lookups": ["test_access.py"],
    "break-glass": ["test_access.py"],
    "restore": ["test_restored.py"],
}

beside_each_office = pytest.mark.parametrize(
    "own", [aggregates(city), aggregates(province)], ids=["city", "province"]
)


class TestEveryDecision(EveryDecision):
    domain = custody
    here = Path(__file__).parent
    deciders = BY_CATEGORY
    values = VALUES
    paths = PATHS
    specs = SPECS
    new_facts = (RecordLook, LookUpIdentity)
    named = r"pulang\.custody(\.[a-z-]+){1,2}\.v\d+"

    def test_no_event_says_in_words_what_is_sealed(self, name):
        """The words are shown in every history."""
        assert not [event for event in self.deciders[name].events if "{reason}" in event.words]


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
