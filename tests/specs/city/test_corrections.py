"""Which of the city's events say of others that they were not so (rule 18)."""

from __future__ import annotations

import pytest

from services.city.domain import answer, case, handover
from services.city.domain.corrections import CORRECTIONS, cite
from services.city.service import SERVICE
from shared.kernel.correction import Citation
from tests.specs.letters import ANN


def recorded(number, corrects=None):
    return answer.ArrivalRecorded(
        handover="HO-1",
        person=ANN,
        outcome="arrived",
        at="2019-10-06T08:00:00+08:00",
        absence=None,
        diverted_to=None,
        answer=number,
        corrects=corrects,
        listed=True,
    )


def test_an_answer_is_cited_by_its_number_and_her_code():
    assert cite(recorded(1)) == Citation(f"answer 1 for {ANN}", how="replaces")
    second = cite(recorded(2, corrects=1))
    assert second.corrects == cite(recorded(1)).fact
    assert second.how == "replaces"


def test_her_care_ends_with_all_that_was_said_in_it():
    status = case.CaseStatusRecorded(person=ANN, status="ready", office="35")
    begun = case.CareBegun(person=ANN, office="35", handover="HO-1")
    ended = case.CareEnded(person=ANN, office="35", handover="HO-1")
    assert cite(begun) == Citation("care")
    assert cite(status) == Citation("care", begins=False)
    assert cite(ended) == Citation(corrects="care", how="undoes")


def test_closing_a_handover_corrects_nothing():
    assert cite(handover.HandoverClosed(handover="HO-1")) is None


@pytest.mark.parametrize("decider", SERVICE.deciders, ids=lambda one: one.category)
def test_whatever_is_called_a_correction_is_heeded_as_one(decider):
    for event in decider.events:
        called = "Corrected" in event.__name__ or "corrects" in event.model_fields
        assert not called or event in CORRECTIONS.correcting, event.__name__
