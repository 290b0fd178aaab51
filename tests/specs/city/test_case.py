"""What the city knows of a case in the province: its status and nothing else."""

from typing import get_args

import pytest
from pydantic import ValidationError

from services.city.domain.case import CaseStatusRecorded, RecordCaseStatus, decider
from shared.contracts.values import CaseStatus

from ..spec import ANN, given, say


def tell(status, office="35"):
    return say(RecordCaseStatus, person=ANN, status=status, office=office)


def told(status, office="35"):
    return CaseStatusRecorded(person=ANN, status=status, office=office)


@pytest.mark.parametrize("status", get_args(CaseStatus))
def test_the_city_records_every_status(status):
    """Rule 21."""
    given(decider).when(tell(status)).then(told(status))


def test_a_case_moves_on_and_may_come_back_to_a_status():
    given(decider, told("ready")).when(tell("returned_to_family")).then(
        told("returned_to_family")
    ).when(tell("declined_by_family")).then(told("declined_by_family")).when(tell("ready")).then(
        told("ready")
    )


def test_the_status_of_the_next_office_follows_that_of_the_first():
    """Rule 8. After a relay another office looks after her."""
    given(decider, told("in_house", "35")).when(tell("in_house", "33")).then(told("in_house", "33"))


def test_the_city_has_no_place_for_anything_but_the_status():
    """Rule 21."""
    assert set(CaseStatusRecorded.model_fields) == {"person", "status", "office"}
    for field in ("note", "assessment", "health", "reason"):
        with pytest.raises(ValidationError):
            say(RecordCaseStatus, person=ANN, status="ready", office="35", **{field: "x"})


def test_a_status_that_nobody_agreed_on_is_none():
    with pytest.raises(ValidationError):
        tell("unwell")
