"""An auditor's question to a partner is on the record, and how it ended, once each."""

import pytest
from pydantic import ValidationError

from shared.custody.reconciliation import (
    AskReconciliation,
    EndReconciliation,
    ReconciliationAsked,
    ReconciliationEnded,
    decider,
)

from ..spec import given, say

RUN = {"partner": "35", "run": "RC-1"}
END = RUN | {"outcome": "differed", "differences": 3}
ASKED, ENDED = ReconciliationAsked(**RUN), ReconciliationEnded(**END)
VALUES = {
    "partner": ["35"],
    "run": ["RC-1", "RC-2"],
    "outcome": ["agreed", "differed", "unanswered", "not_compared"],
    "differences": [0, 3],
}


def test_who_asks_is_recorded_before_anything_is_asked():
    given(decider).when(say(AskReconciliation, **RUN)).then(ASKED)


def test_how_it_ended_is_recorded_once_for_the_run_that_was_asked():
    given(decider, ASKED).when(say(EndReconciliation, **END)).then(ENDED)
    given(decider, ASKED, ENDED).when(say(EndReconciliation, **END)).then()
    given(decider).when(say(EndReconciliation, **END)).then()


def test_a_partner_is_asked_again():
    again = RUN | {"run": "RC-2"}
    given(decider, ASKED, ENDED).when(say(AskReconciliation, **again)).then(
        ReconciliationAsked(**again)
    )


def test_a_number_of_differences_is_none_below_zero():
    with pytest.raises(ValidationError):
        say(EndReconciliation, **END | {"differences": -1})
