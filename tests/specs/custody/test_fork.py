"""A partner whose history forked is believed again: with a reason, on the record, once."""

import pytest
from pydantic import ValidationError

from shared.custody.fork import AcceptHistory, HistoryAccepted, decider

from ..spec import NOW, given

ACCEPT = {
    "by": "operator",
    "now": NOW,
    "occurred_at": NOW,
    "fork": "3",
    "partner": "35",
    "size": 1204,
    "grounds": "Dipulihkan dari cadangan; berita acara kedua kantor",
}
VALUES = {name: [value] for name, value in ACCEPT.items() if name not in ("now", "occurred_at")}
ACCEPTED = HistoryAccepted(fork="3", partner="35", size=1204, grounds=ACCEPT["grounds"])


def test_a_forked_history_is_accepted_with_a_reason():
    given(decider).when(AcceptHistory(**ACCEPT)).then(ACCEPTED)
    for reason in ("", "NIK 5371012345678901"):
        with pytest.raises(ValidationError):
            AcceptHistory(**ACCEPT | {"grounds": reason})


def test_accepting_twice_is_accepting_once():
    given(decider, ACCEPTED).when(AcceptHistory(**ACCEPT)).then()
