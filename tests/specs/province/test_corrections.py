"""Which of a province's events say of others that they were not so (rule 18)."""

from __future__ import annotations

import pytest

from services.province.domain import arrival, case
from services.province.domain.corrections import CORRECTIONS, cite
from services.province.service import SERVICE
from shared.kernel.correction import Citation
from tests.specs.letters import ANN

AT = "2019-10-04T08:00:00+08:00"


def test_a_departure_that_did_not_occur_takes_back_the_one_that_was_noted():
    noted = arrival.DepartureNoted(handover="HO-1", departed_at=AT, did_not_occur=False)
    gone = noted.model_copy(update={"did_not_occur": True})
    assert cite(noted) == Citation("departure")
    assert cite(gone) == Citation(corrects="departure", how="undoes")


def test_a_case_that_was_opened_in_error_falls_with_all_that_was_recorded_in_it():
    about = {"person": ANN, "city": "53.71"}
    opened = case.CaseOpened(**about, handover="HO-1", house="RS-1", willing=True)
    assert cite(opened) == Citation("case")
    assert cite(case.DeclaredReady(**about)) == Citation("case", begins=False)
    assert cite(case.CaseOpenedInError(**about)) == Citation(corrects="case", how="undoes")


@pytest.mark.parametrize("decider", SERVICE.deciders, ids=lambda one: one.category)
def test_whatever_is_called_a_correction_is_heeded_as_one(decider):
    words = ("Corrected", "InError")
    fields = {"corrects", "did_not_occur"}
    for event in decider.events:
        called = any(word in event.__name__ for word in words) or fields & event.model_fields.keys()
        assert not called or event in CORRECTIONS.correcting, event.__name__
