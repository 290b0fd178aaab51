"""A read model that was built anew is on the record, once for each run, with its reason."""

import pytest
from pydantic import ValidationError

from shared.custody.replay import RecordReplay, ReplayRecorded, decider

from ..spec import NOW, given

LIVE, REBUILT = "0" * 63 + "1", "0" * 63 + "2"
REPLAYED = {
    "read_model": "board",
    "run": "RP-1",
    "software": "0.1.0",
    "projection_version": 1,
    "first": 1,
    "last": 1204,
    "live": LIVE,
    "rebuilt": REBUILT,
    "differing": 2,
    "outcome": "different",
    "grounds": "Audit triwulan",
}
REFUSED = REPLAYED | {"run": "RP-2", "rebuilt": None, "differing": None, "outcome": "refused"}
SAID = {"by": "operator", "now": NOW, "occurred_at": NOW}
VALUES = {name: [value] for name, value in REPLAYED.items()} | {
    "by": ["operator"],
    "run": ["RP-1", "RP-2"],
    "outcome": ["equal", "different", "another_version"],
}


@pytest.mark.parametrize("found", [REPLAYED, REFUSED], ids=["switched", "refused"])
def test_a_rebuilt_read_model_is_recorded_with_all_that_an_auditor_asks(found):
    given(decider).when(RecordReplay(**SAID, **found)).then(ReplayRecorded(**found))


def test_each_run_is_recorded_once():
    first = ReplayRecorded(**REPLAYED)
    given(decider, first).when(RecordReplay(**SAID, **REPLAYED)).then()
    given(decider, first).when(RecordReplay(**SAID, **REFUSED)).then(ReplayRecorded(**REFUSED))


@pytest.mark.parametrize(
    "wrong", [{"grounds": ""}, {"grounds": "NIK 5371012345678901"}, {"live": "sama"}]
)
def test_a_record_needs_a_reason_and_digests(wrong):
    with pytest.raises(ValidationError):
        RecordReplay(**SAID, **REPLAYED | wrong)
