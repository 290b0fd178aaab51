"""The operation: what was declared about it stays a claim; what differs is explained, not fixed."""

from datetime import date

import pytest
from pydantic import ValidationError

from services.city.domain.operation import (
    Claim,
    DeclareTotal,
    DiscrepancyExplained,
    ExplainDiscrepancy,
    OpenOperation,
    OperationOpened,
    RequireOperation,
    TotalDeclared,
    decider,
)

from ..spec import given, say

FACTS = {
    "operation": "OP-1",
    "name": "Pemulangan contoh",
    "site": "53.71.01",
    "planned_departure": date(2019, 10, 4),
    "grant_rupiah": 6_000_000,
    "fare_floor_rupiah": 1_500_000,
    "fare_ceiling_rupiah": 2_000_000,
}
OPENED = OperationOpened(**FACTS)
SAID = {"source": "Berita contoh", "stated_by": "Plt kepala dinas", "stated_on": date(2019, 10, 3)}


def declare(figure, subject="persons", destination=None, **changes):
    fields = SAID | {"subject": subject, "destination": destination, "figure": figure} | changes
    return say(DeclareTotal, operation="OP-1", **fields)


def declared(figure, subject="persons", destination=None, **changes):
    fields = SAID | {"subject": subject, "destination": destination, "figure": figure} | changes
    return TotalDeclared(operation="OP-1", claim=Claim(**fields))


def test_an_operation_is_opened_once():
    given(decider).when(say(OpenOperation, **FACTS)).then(OPENED)


def test_a_code_stands_for_one_operation_only():
    other = FACTS | {"name": "Pemulangan lain"}
    given(decider, OPENED).when(say(OpenOperation, **other)).refused("OPERATION_EXISTS")


def test_the_fare_floor_is_not_above_the_ceiling():
    inverted = FACTS | {"fare_floor_rupiah": 2_000_001}
    given(decider).when(say(OpenOperation, **inverted)).refused("FARE_RANGE_INVERTED")


def test_nothing_is_declared_about_an_operation_that_is_not_open():
    given(decider).when(declare(68)).refused("OPERATION_UNKNOWN")


def test_whoever_needs_an_open_operation_can_ask_for_it():
    question = say(RequireOperation, operation="OP-1")
    given(decider).when(question).refused("OPERATION_UNKNOWN")
    given(decider, OPENED).when(question).nothing()


def test_a_total_is_declared_with_its_source():
    """Rule 3, rule 17."""
    given(decider, OPENED).when(declare(68)).then(declared(68))
    with pytest.raises(ValidationError):
        declare(68, source="")


def test_a_second_source_stands_beside_the_first():
    """Rule 3. Rp408 million and Rp416 million are both claims; neither overwrites the other."""
    first, second = declared(408_000_000, "grants_rupiah"), declared(416_000_000, "grants_rupiah")
    after = (
        given(decider, OPENED)
        .when(declare(408_000_000, "grants_rupiah"))
        .then(first)
        .when(declare(416_000_000, "grants_rupiah"))
        .then(second)
    )
    assert after.state.claims == {first.claim, second.claim}


def test_a_split_that_does_not_add_up_is_kept_as_it_was_said():
    """Rule 1, rule 3. 58 and 5 are not 68: the software shows it and repairs nothing."""
    after = (
        given(decider, OPENED)
        .when(declare(68))
        .then(declared(68))
        .when(declare(58, "destination", "35"))
        .then(declared(58, "destination", "35"))
        .when(declare(5, "destination", "53"))
        .then(declared(5, "destination", "53"))
    )
    assert sorted(claim.figure for claim in after.state.claims) == [5, 58, 68]


def test_a_claim_about_a_destination_names_it_and_no_other_claim_does():
    given(decider, OPENED).when(declare(58, "destination")).refused("CLAIM_INCOMPLETE")
    given(decider, OPENED).when(declare(68, "persons", "35")).refused("CLAIM_INCOMPLETE")


def test_a_claim_makes_nothing_happen():
    """Rule 4. A report of a departure is no departure: a claim is the only thing it becomes."""
    after = given(decider, OPENED).when(declare(68)).then(declared(68))
    assert after.state.opened == OPENED


def test_a_figure_is_a_whole_number():
    """Rule 13."""
    for figure in (68.0, 1.5, "68", True, -1):
        with pytest.raises(ValidationError):
            declare(figure)


def test_a_discrepancy_is_closed_by_an_explanation():
    """Rule 1."""
    fields = {
        "operation": "OP-1",
        "discrepancy": "persons",
        "difference": 5,
        "explanation": "Lima orang belum menentukan tujuan",
    }
    given(decider, OPENED).when(say(ExplainDiscrepancy, **fields)).then(
        DiscrepancyExplained(**fields)
    )


def test_an_explanation_holds_for_its_very_difference():
    """Rule 1. When 5 become 4, what was said about the 5 explains nothing."""
    fields = {"operation": "OP-1", "discrepancy": "persons", "explanation": "Belum menentukan"}
    five = DiscrepancyExplained(difference=5, **fields)
    four = DiscrepancyExplained(difference=4, **fields)
    given(decider, OPENED, five).when(say(ExplainDiscrepancy, difference=4, **fields)).then(four)


def test_a_discrepancy_is_not_closed_without_a_reason():
    """Rule 1."""
    fields = {"operation": "OP-1", "discrepancy": "persons", "difference": 5}
    with pytest.raises(ValidationError):
        say(ExplainDiscrepancy, explanation="", **fields)


def test_another_explanation_of_the_same_difference_is_a_new_fact():
    """Rule 1, rule 18. The first was wrong: it stays, and the second stands beside it."""
    fields = {"operation": "OP-1", "discrepancy": "persons", "difference": 5}
    first = DiscrepancyExplained(explanation="Belum menentukan tujuan", **fields)
    second = {"explanation": "Turun di pelabuhan singgah", **fields}
    after = (
        given(decider, OPENED, first)
        .when(say(ExplainDiscrepancy, **second))
        .then(DiscrepancyExplained(**second))
    )
    after.when(say(ExplainDiscrepancy, **first.model_dump())).nothing()
