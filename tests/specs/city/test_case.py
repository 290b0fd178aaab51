"""What the city knows of a case: who looks after her, and the case's status; nothing else."""

from typing import get_args

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.city.domain.case import (
    BeginCare,
    CareBegun,
    CareEnded,
    CaseStatusRecorded,
    EndCare,
    RecordCaseStatus,
    decider,
)
from shared.contracts.values import CaseStatus

from ..spec import ANN, events_of, given, histories, quick, say


def begin(office="35", handover="HO-1"):
    return say(BeginCare, person=ANN, office=office, handover=handover)


def begun(office="35", handover="HO-1"):
    return CareBegun(person=ANN, office=office, handover=handover)


def end(office="35", handover="HO-1"):
    return say(EndCare, person=ANN, office=office, handover=handover)


def ended(office="35", handover="HO-1"):
    return CareEnded(person=ANN, office=office, handover=handover)


def tell(status, office="35"):
    return say(RecordCaseStatus, person=ANN, status=status, office=office)


def told(status, office="35"):
    return CaseStatusRecorded(person=ANN, status=status, office=office)


# Who looks after her


def test_responsibility_passes_to_the_office_that_acknowledged_her():
    """Rule 5."""
    after = given(decider).when(begin()).then(begun())
    assert (after.state.office, after.state.status) == ("35", None)


def test_responsibility_passes_on_with_a_relay():
    """Rule 5, rule 8. The status that the first office told is not that of the next."""
    after = given(decider, begun("35"), told("in_house")).when(begin("33")).then(begun("33"))
    assert (after.state.office, after.state.status) == ("33", None)


def test_an_office_that_does_not_have_her_after_all_is_not_responsible():
    """Rule 18. Its acknowledgement was corrected; what it told of a case goes with it."""
    after = given(decider, begun(), told("in_house")).when(end()).then(ended())
    assert (after.state.office, after.state.status) == (None, None)


def test_an_office_that_never_had_her_has_nothing_to_end():
    """Rule 6. She was absent from the first word on, or is another office's by now."""
    given(decider).when(end()).nothing()
    given(decider, begun("33")).when(end("35")).nothing()
    given(decider, begun(), ended()).when(end()).nothing()


def test_after_a_correction_responsibility_can_pass_again():
    """Rule 18."""
    given(decider, begun(), ended()).when(begin()).then(begun()).when(tell("in_house")).then(
        told("in_house")
    )


# What it tells of her case


@pytest.mark.parametrize("status", get_args(CaseStatus))
def test_the_city_records_every_status(status):
    """Rule 21."""
    given(decider, begun()).when(tell(status)).then(told(status))


def test_a_case_moves_on_and_may_come_back_to_a_status():
    given(decider, begun(), told("ready")).when(tell("returned_to_family")).then(
        told("returned_to_family")
    ).when(tell("declined_by_family")).then(told("declined_by_family")).when(tell("ready")).then(
        told("ready")
    )


def test_only_the_office_that_looks_after_her_tells_how_she_is():
    """Rule 5, rule 21. Before her arrival nobody does, and after a correction nobody any more."""
    given(decider).when(tell("in_house")).refused("NOT_HER_OFFICE")
    given(decider, begun("35")).when(tell("ready", "53")).refused("NOT_HER_OFFICE")
    given(decider, begun("35"), ended("35")).when(tell("ready")).refused("NOT_HER_OFFICE")


def test_the_status_of_the_next_office_follows_that_of_the_first():
    """Rule 8. After a relay another office looks after her, and the first one falls silent."""
    relayed = given(decider, begun("35"), told("in_house", "35"), begun("33"))
    relayed.when(tell("in_house", "33")).then(told("in_house", "33"))
    relayed.when(tell("left_house", "35")).refused("NOT_HER_OFFICE")


def test_the_city_has_no_place_for_anything_but_the_office_and_the_status():
    """Rule 21."""
    assert {name for event in decider.events for name in event.model_fields} <= {
        "person",
        "status",
        "office",
        "handover",
    }
    for field in ("note", "assessment", "health", "reason"):
        for command in (begin(), end(), tell("ready")):
            with pytest.raises(ValidationError):
                type(command)(**command.model_dump() | {field: "x"})


def test_a_status_that_nobody_agreed_on_is_none():
    with pytest.raises(ValidationError):
        tell("unwell")


VALUES = {
    "person": [ANN],
    "status": ["in_house", "ready"],
    "office": ["35", "33"],
    "handover": ["HO-1", "HO-2"],
}


@quick
@for_any(histories(decider, VALUES, [begin(), tell("in_house")]))
def test_whoever_speaks_no_status_is_told_by_an_office_that_does_not_have_her(commands):
    """Rule 5, rule 21. Counted here from the events alone."""
    office = None
    for event in events_of(decider, commands):
        match event:
            case CareBegun():
                office = event.office
            case CareEnded():
                assert event.office == office
                office = None
            case CaseStatusRecorded():
                assert event.office == office
