"""The travel advance: released = spent + returned + outstanding, to the rupiah."""

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.city.domain.advance import (
    AdvanceReleased,
    AttachReceipt,
    CorrectFare,
    FareCorrected,
    FareRecorded,
    ReceiptAttached,
    RecordFare,
    ReleaseAdvance,
    ReturnSurplus,
    SurplusReturned,
    decider,
)

from ..spec import ANN, events_of, fold, given, histories, quick, say

MILLION = 1_000_000
RELEASE = {
    "person": ANN,
    "operation": "OP-1",
    "release": "SP2D/1",
    "budget_code": "5.2.1",
    "amount_rupiah": 2 * MILLION,
    "ceiling_rupiah": 2 * MILLION,
}
RELEASED = AdvanceReleased(**RELEASE)
MORE = RELEASE | {"release": "SP2D/2"}
MORE_RELEASED = AdvanceReleased(**MORE)


def fare(amount, receipt="K/1", override=None):
    return say(
        RecordFare, person=ANN, receipt=receipt, amount_rupiah=amount, override_reason=override
    )


def fare_recorded(amount, receipt="K/1", override=None):
    return FareRecorded(
        person=ANN,
        operation="OP-1",
        receipt=receipt,
        amount_rupiah=amount,
        override_reason=override,
    )


def correct(amount, receipt="K/1", override=None):
    return say(
        CorrectFare,
        person=ANN,
        receipt=receipt,
        amount_rupiah=amount,
        reason="Salah ketik",
        override_reason=override,
    )


def corrected(wrong, amount, receipt="K/1", override=None):
    return FareCorrected(
        person=ANN,
        operation="OP-1",
        receipt=receipt,
        wrong_rupiah=wrong,
        amount_rupiah=amount,
        reason="Salah ketik",
        override_reason=override,
    )


FIRST, SECOND = "1" * 64, "2" * 64
"""Digests of two sealed files."""


def attach(sha256=FIRST, receipt="K/1", reason=None):
    return say(
        AttachReceipt,
        person=ANN,
        receipt=receipt,
        media_type="application/pdf",
        size_bytes=312_000,
        sha256=sha256,
        reason=reason,
    )


def attached(sha256=FIRST, receipt="K/1", reason=None):
    return ReceiptAttached(
        person=ANN,
        sha256=sha256,
        operation="OP-1",
        receipt=receipt,
        media_type="application/pdf",
        size_bytes=312_000,
        reason=reason,
    )


def give_back(amount, sts="STS/1", operation="OP-1"):
    return say(ReturnSurplus, person=ANN, operation=operation, sts=sts, amount_rupiah=amount)


def given_back(amount, sts="STS/1"):
    return SurplusReturned(person=ANN, operation="OP-1", sts=sts, amount_rupiah=amount)


def test_an_advance_is_released_once():
    """Rule 13."""
    after = given(decider).when(say(ReleaseAdvance, **RELEASE)).then(RELEASED)
    assert after.state.outstanding_rupiah == 2 * MILLION


def test_a_second_release_adds_to_the_first():
    after = given(decider, RELEASED).when(say(ReleaseAdvance, **MORE)).then(MORE_RELEASED)
    assert after.state.outstanding_rupiah == 4 * MILLION


def test_a_release_number_has_one_amount():
    other = RELEASE | {"amount_rupiah": MILLION}
    given(decider, RELEASED).when(say(ReleaseAdvance, **other)).refused("PAPER_NUMBER_DIFFERS")


def test_an_advance_belongs_to_one_operation():
    """Rule 13. The equation holds per operation."""
    other = MORE | {"operation": "OP-2"}
    given(decider, RELEASED).when(say(ReleaseAdvance, **other)).refused(
        "ADVANCE_OF_ANOTHER_OPERATION"
    )


def test_a_known_release_number_does_not_hide_another_operation():
    """Rule 13. Same number, same amount, another operation: it is no repetition."""
    other = RELEASE | {"operation": "OP-2"}
    given(decider, RELEASED).when(say(ReleaseAdvance, **other)).refused(
        "ADVANCE_OF_ANOTHER_OPERATION"
    )


def test_money_of_another_fund_is_not_mixed_in():
    """Rule 13. The equation holds per fund: one fund's fare is not paid from another's money."""
    other = MORE | {"budget_code": "5.2.9"}
    given(decider, RELEASED).when(say(ReleaseAdvance, **other)).refused("ADVANCE_OF_ANOTHER_FUND")


def test_a_fare_below_the_range_is_normal():
    """Rule 13."""
    given(decider, RELEASED).when(fare(900_000)).then(fare_recorded(900_000))


def test_a_fare_at_the_ceiling_is_normal():
    """Rule 13."""
    given(decider, RELEASED).when(fare(2 * MILLION)).then(fare_recorded(2 * MILLION))


def test_a_fare_above_the_ceiling_needs_a_reason():
    """Rule 13."""
    amount = 2 * MILLION + 1
    so_far = given(decider, RELEASED, MORE_RELEASED)
    so_far.when(fare(amount)).refused("FARE_ABOVE_CEILING")
    so_far.when(fare(amount, override="Kapal penuh")).then(
        fare_recorded(amount, override="Kapal penuh")
    )


def test_two_receipts_do_not_slip_under_the_ceiling_together():
    """Rule 13. The ceiling is a person's, not a receipt's."""
    so_far = given(decider, RELEASED, MORE_RELEASED, fare_recorded(1_500_000))
    so_far.when(fare(1_500_000, "K/2")).refused("FARE_ABOVE_CEILING")
    so_far.when(fare(500_001, "K/2")).refused("FARE_ABOVE_CEILING")
    so_far.when(fare(500_000, "K/2")).then(fare_recorded(500_000, "K/2"))


def test_a_correction_does_not_slip_over_the_ceiling():
    """Rule 13. A reason for the correction is no reason for the fare."""
    so_far = given(decider, RELEASED, MORE_RELEASED, fare_recorded(1_500_000))
    so_far.when(correct(3 * MILLION)).refused("FARE_ABOVE_CEILING")


def test_a_correction_above_the_ceiling_needs_a_reason_of_its_own():
    """Rule 13, rule 18."""
    so_far = given(decider, RELEASED, MORE_RELEASED, fare_recorded(1_500_000))
    so_far.when(correct(3 * MILLION, override="Kapal penuh")).then(
        corrected(1_500_000, 3 * MILLION, override="Kapal penuh")
    )


def test_a_fare_that_becomes_smaller_needs_no_reason_for_the_ceiling():
    """Rule 13. It stays above the ceiling, for the reason that stands on record already."""
    dear = fare_recorded(3 * MILLION, override="Kapal penuh")
    given(decider, RELEASED, MORE_RELEASED, dear).when(correct(2_500_000)).then(
        corrected(3 * MILLION, 2_500_000)
    )


def test_nobody_spends_what_was_not_released():
    """Rule 13."""
    given(decider).when(fare(MILLION)).refused("ADVANCE_UNKNOWN")
    little = AdvanceReleased(**RELEASE | {"amount_rupiah": MILLION})
    given(decider, little, fare_recorded(900_000)).when(fare(100_001, "K/2")).refused(
        "SPENT_BEYOND_RELEASED"
    )


def test_a_receipt_number_has_one_amount():
    given(decider, RELEASED, fare_recorded(1_500_000)).when(fare(1_400_000)).refused(
        "PAPER_NUMBER_DIFFERS"
    )


def test_a_wrong_fare_is_corrected_by_a_new_fact():
    """Rule 18. The correction cites what was wrong; the wrong one stays in the history."""
    after = (
        given(decider, RELEASED, fare_recorded(1_500_000))
        .when(correct(1_400_000))
        .then(corrected(1_500_000, 1_400_000))
    )
    assert after.state.outstanding_rupiah == 600_000


def test_a_receipt_that_is_not_there_cannot_be_corrected():
    """Rule 18."""
    given(decider, RELEASED).when(correct(MILLION)).refused("RECEIPT_UNKNOWN")


def test_a_correction_does_not_spend_what_was_not_released():
    """Rule 13, rule 18."""
    given(decider, RELEASED, fare_recorded(1_500_000), given_back(500_000)).when(
        correct(1_500_001)
    ).refused("SPENT_BEYOND_RELEASED")


def test_a_receipts_paper_is_attached_once():
    given(decider, RELEASED, fare_recorded(1_500_000)).when(attach()).then(attached())


def test_each_receipt_has_a_paper_of_its_own():
    so_far = given(decider, RELEASED, fare_recorded(900_000), fare_recorded(800_000, "K/2"))
    so_far.when(attach()).then(attached()).when(attach(receipt="K/2")).then(attached(receipt="K/2"))


def test_no_paper_is_attached_to_a_receipt_that_is_not_there():
    given(decider).when(attach()).refused("ADVANCE_UNKNOWN")
    given(decider, RELEASED).when(attach()).refused("RECEIPT_UNKNOWN")


def test_another_paper_takes_the_place_of_a_wrong_one_with_a_reason():
    """Rule 18. The wrong one stays in the history, and may turn out to have been the right one."""
    so_far = given(decider, RELEASED, fare_recorded(1_500_000), attached())
    so_far.when(attach(SECOND)).refused("RECEIPT_HAS_FILE")
    second = so_far.when(attach(SECOND, reason="Salah pindai")).then(
        attached(SECOND, reason="Salah pindai")
    )
    second.when(attach()).refused("RECEIPT_HAS_FILE")
    second.when(attach(reason="Yang pertama benar")).then(attached(reason="Yang pertama benar"))


def test_a_paper_stays_with_its_receipt_when_the_fare_is_corrected():
    """Rule 18."""
    so_far = given(decider, RELEASED, fare_recorded(1_500_000), attached())
    so_far.when(correct(1_400_000)).then(corrected(1_500_000, 1_400_000)).when(attach()).nothing()


def test_what_is_left_goes_back_with_an_sts():
    """Rule 14."""
    after = (
        given(decider, RELEASED, fare_recorded(1_500_000))
        .when(give_back(500_000))
        .then(given_back(500_000))
    )
    assert after.state.outstanding_rupiah == 0


def test_an_advance_that_was_not_used_goes_back_whole():
    """Rule 14. She withdrew, and there is no receipt."""
    given(decider, RELEASED).when(give_back(2 * MILLION)).then(given_back(2 * MILLION))


def test_surplus_is_counted_against_what_was_released():
    """Rule 13."""
    given(decider, RELEASED, fare_recorded(1_500_000)).when(give_back(500_001)).refused(
        "RETURN_BEYOND_OUTSTANDING"
    )


def test_surplus_goes_back_under_the_operation_that_released_it():
    """Rule 13, rule 14. Her share in the STS of another operation would balance the wrong books."""
    for history in ((RELEASED,), (RELEASED, given_back(500_000))):
        given(decider, *history).when(give_back(500_000, operation="OP-2")).refused(
            "ADVANCE_OF_ANOTHER_OPERATION"
        )


def test_nothing_goes_back_that_was_never_released():
    """Rule 14."""
    given(decider).when(give_back(500_000)).refused("ADVANCE_UNKNOWN")
    given(decider).when(correct(500_000)).refused("ADVANCE_UNKNOWN")


def test_a_share_in_an_sts_has_one_amount():
    """Rule 14."""
    given(decider, RELEASED, given_back(500_000)).when(give_back(400_000)).refused(
        "PAPER_NUMBER_DIFFERS"
    )


@pytest.mark.parametrize("amount", [1_500_000.0, 0.5, "1500000", True, 0, -1])
def test_rupiah_are_whole_and_more_than_none(amount):
    """Rule 13."""
    for attempt in (fare, correct, give_back):
        with pytest.raises(ValidationError):
            attempt(amount)
    with pytest.raises(ValidationError):
        say(ReleaseAdvance, **RELEASE | {"amount_rupiah": amount})


VALUES = {
    "person": [ANN],
    "operation": ["OP-1", "OP-2"],
    "release": ["SP2D/1", "SP2D/2"],
    "budget_code": ["5.2.1", "5.2.9"],
    "ceiling_rupiah": [3],
    "amount_rupiah": range(1, 6),
    "receipt": ["K/1", "K/2"],
    "override_reason": [None, "Kapal penuh"],
    "reason": ["Salah ketik"],
    "sts": ["STS/1", "STS/2"],
    "media_type": ["image/png"],
    "size_bytes": [1],
    "sha256": [FIRST, SECOND],
}


@quick
@for_any(histories(decider, VALUES, [say(ReleaseAdvance, **RELEASE)]))
def test_whatever_is_asked_released_is_spent_and_returned_and_outstanding(commands):
    """Rule 13. Counted here from the events alone."""
    released = spent = returned = 0
    events = events_of(decider, commands)
    for at, event in enumerate(events, 1):
        match event:
            case AdvanceReleased(amount_rupiah=amount):
                released += amount
            case FareRecorded(amount_rupiah=amount):
                spent += amount
            case FareCorrected(wrong_rupiah=wrong, amount_rupiah=amount):
                spent += amount - wrong
            case SurplusReturned(amount_rupiah=amount):
                returned += amount
        outstanding = fold(decider, events[:at]).outstanding_rupiah
        assert released == spent + returned + outstanding
        assert outstanding >= 0
        assert min(spent, returned) >= 0
