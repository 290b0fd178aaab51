"""The treasury return: an STS, its bank validation, and the shares that make it up."""

from datetime import date

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st
from pydantic import ValidationError

from services.city.domain.treasury import (
    RecordTreasuryReturn,
    Share,
    TreasuryReturnRecorded,
    decider,
)
from shared.kernel.decider import Refused

from ..spec import ANN, BEA, decide, given, quick, say

FACTS = {
    "sts": "STS/1",
    "operation": "OP-1",
    "bank_validation": "VAL-0001",
    "deposited_on": date(2019, 10, 10),
    "total_rupiah": 700_000,
    "shares": (
        Share(person=ANN, amount_rupiah=500_000),
        Share(person=BEA, amount_rupiah=200_000),
    ),
}
RECORDED = TreasuryReturnRecorded(**FACTS)


def deposit(**changes):
    return say(RecordTreasuryReturn, **FACTS | changes)


def test_one_sts_covers_many_persons():
    """Rule 14."""
    given(decider).when(deposit()).then(RECORDED)


def test_an_sts_number_stands_for_one_sts():
    """Rule 14."""
    given(decider, RECORDED).when(deposit(bank_validation="VAL-0002")).refused("STS_EXISTS")


def test_the_shares_make_up_the_sts_to_the_rupiah():
    """Rule 14."""
    given(decider).when(deposit(total_rupiah=700_001)).refused("STS_DOES_NOT_ADD_UP")


def test_a_person_has_one_share_in_an_sts():
    """Rule 14."""
    twice = (Share(person=ANN, amount_rupiah=350_000),) * 2
    given(decider).when(deposit(shares=twice)).refused("STS_DOES_NOT_ADD_UP")


@pytest.mark.parametrize(
    "changes",
    [{"bank_validation": ""}, {"shares": ()}, {"total_rupiah": 700_000.0}, {"total_rupiah": 0}],
)
def test_an_sts_needs_its_bank_validation_its_shares_and_whole_rupiah(changes):
    """Rule 13, rule 14."""
    with pytest.raises(ValidationError):
        deposit(**changes)


@quick
@for_any(
    st.lists(st.tuples(st.sampled_from([ANN, BEA]), st.integers(1, 3)), min_size=1, max_size=3),
    st.integers(1, 6),
)
def test_whatever_is_deposited_only_an_sts_that_adds_up_is_recorded(shares, total_rupiah):
    """Rule 14."""
    decision = decide(
        decider,
        decider.initial,
        deposit(
            total_rupiah=total_rupiah,
            shares=tuple(Share(person=person, amount_rupiah=amount) for person, amount in shares),
        ),
    )
    adds_up = sum(amount for _, amount in shares) == total_rupiah
    each_once = len({person for person, _ in shares}) == len(shares)
    assert isinstance(decision, Refused) != (adds_up and each_once)
