"""An erasure that another office orders: it is obeyed, goes on to others, and is answered.

When it is answered is the heart of it: late enough to be true, and never so late that offices wait
for each other for ever.
"""

import pytest

from shared.custody.erasure import ErasureCompleted, decider

from ..spec import ANN, given
from .test_erasure import (
    A_BEGUN,
    A_DECIDED,
    APPROVE,
    APPROVED,
    BEGIN,
    COMPLETED,
    PROPOSED,
    answered,
    begun,
    confirm,
    confirmed,
    execute,
    executed,
    order,
    ordered,
)

A_BEGUN_ORDER = begun("ER-A", "court_order")


def test_an_order_of_another_office_is_obeyed_like_a_decision_of_this_one():
    """Two people there have decided it; it goes on to the offices that this one had told."""
    given(decider).when(order()).then(ordered()).when(BEGIN).then(A_BEGUN_ORDER).when(
        execute("53")
    ).then(executed("53", erasure="ER-A", basis="court_order"))


def test_an_order_is_not_executed_before_it_is_begun():
    given(decider, ordered()).when(execute("53")).refused("ERASURE_UNDECIDED")


def test_of_several_orders_the_first_is_begun_and_no_other_after_it():
    two = given(decider, ordered(), ordered("53", "ER-B")).when(BEGIN).then(A_BEGUN_ORDER)
    two.when(order("35", "ER-C")).then(ordered("35", "ER-C")).when(BEGIN).nothing()


def test_this_offices_own_decision_is_begun_before_an_order():
    given(decider, ordered(), *A_DECIDED).when(BEGIN).then(begun())


def test_what_is_decided_after_the_beginning_changes_nothing_of_what_was_begun():
    """Offices are asked under one number and on one ground, from the beginning to the end."""
    after = given(decider, PROPOSED, ordered()).when(BEGIN).then(A_BEGUN_ORDER)
    after.when(APPROVE).then(APPROVED).when(execute("35")).then(
        executed("35", erasure="ER-A", basis="court_order")
    )
    given(decider, *A_BEGUN, ordered()).when(execute("35")).then(executed("35"))


def test_who_ordered_it_is_not_asked_for_it():
    given(decider, ordered(), A_BEGUN_ORDER).when(execute("53.71", "53")).then(
        executed("53", erasure="ER-A", basis="court_order")
    )


def test_who_ordered_it_is_answered_when_every_office_behind_has_confirmed():
    asked = (A_BEGUN_ORDER, executed("53", erasure="ER-A", basis="court_order"))
    completed = ErasureCompleted(person=ANN, erasure="ER-A")
    given(decider, ordered(), *asked).when(confirm("53", "ER-A")).then(
        confirmed("53", "ER-A"), completed, answered()
    )


def test_where_nobody_stands_behind_who_ordered_it_is_answered_with_the_execution():
    given(decider, ordered(), A_BEGUN_ORDER).when(execute("53.71")).then(
        executed(erasure="ER-A", basis="court_order"),
        ErasureCompleted(person=ANN, erasure="ER-A"),
        answered(),
    )


def test_whoever_ordered_it_is_answered_and_each_under_its_own_number():
    two = (ordered(), ordered("53", "ER-B"), A_BEGUN_ORDER)
    given(decider, *two).when(execute("53.71", "53")).then(
        executed(erasure="ER-A", basis="court_order"),
        ErasureCompleted(person=ANN, erasure="ER-A"),
        answered(),
        answered("53", "ER-B"),
    )


def test_an_order_needs_no_approval_here_and_takes_none_away():
    """This office's own proposal waits no longer: what it asks for is done."""
    proposed = given(decider, PROPOSED).when(order()).then(ordered())
    proposed.when(BEGIN).then(A_BEGUN_ORDER).when(execute()).then(
        executed(erasure="ER-A", basis="court_order"),
        ErasureCompleted(person=ANN, erasure="ER-A"),
        answered(),
    )
    decided = given(decider, *A_DECIDED).when(order()).then(ordered())
    decided.when(BEGIN).then(begun()).when(execute("53.71", "35")).then(executed("35")).when(
        confirm("35")
    ).then(confirmed("35"), COMPLETED, answered())


@pytest.mark.parametrize("number", ["ER-1", "ER-A"])
def test_an_order_that_comes_between_beginning_and_execution_is_answered_at_the_end(number):
    """And who gave it is not asked any more."""
    given(decider, *A_BEGUN).when(order(erasure=number)).then(ordered(erasure=number)).when(
        execute("53.71", "35")
    ).then(executed("35")).when(confirm("35")).then(
        confirmed("35"), COMPLETED, answered(erasure=number)
    )


@pytest.mark.parametrize(
    "history",
    [
        (*A_BEGUN, executed(), COMPLETED),
        (*A_BEGUN, executed("35"), confirmed("35"), COMPLETED),
    ],
)
def test_an_order_that_comes_after_the_end_is_answered_at_once(history):
    given(decider, *history).when(order()).then(ordered(), answered())


@pytest.mark.parametrize("number", ["ER-0", "ER-1"])
def test_an_order_of_the_same_or_an_older_erasure_is_answered_while_this_one_waits(number):
    """To wait for an office that waits for this one would never end."""
    given(decider, *A_BEGUN, executed("35")).when(order(erasure=number)).then(
        ordered(erasure=number), answered(erasure=number)
    )


def test_an_order_of_another_erasure_is_answered_when_all_have_confirmed():
    """Else its certificate would speak for an office that still has her data."""
    given(decider, *A_BEGUN, executed("35")).when(order()).then(ordered()).when(confirm("35")).then(
        confirmed("35"), COMPLETED, answered()
    )


def test_who_was_answered_at_once_is_not_answered_again_at_the_end():
    so_far = given(decider, *A_BEGUN, executed("35"), ordered(), answered())
    so_far.when(order()).nothing()
    so_far.when(confirm("35")).then(confirmed("35"), COMPLETED)


def test_an_order_under_another_number_is_answered_under_that_number():
    history = (ordered(), *A_BEGUN, executed(), COMPLETED, answered())
    given(decider, *history).when(order()).nothing()
    given(decider, *history).when(order(erasure="ER-B")).then(
        ordered(erasure="ER-B"), answered(erasure="ER-B")
    )
