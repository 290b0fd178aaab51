"""The legal hold: while it stands nothing is erased, and whoever asked is told until when."""

from datetime import date

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from shared.custody.erasure import (
    ErasureApproved,
    ErasureBegun,
    ErasureCompleted,
    ErasureExecuted,
    ErasureOrdered,
    ErasureProposed,
    HoldLifted,
    HoldPlaced,
    LiftHold,
    PlaceHold,
    decider,
)

from ..spec import ANN, given, histories, quick, run
from .test_erasure import (
    APPROVE,
    APPROVED,
    BEGIN,
    DAY,
    LATER,
    PATH_OF_AN_ORDER,
    PROPOSE,
    PROPOSED,
    REASON,
    REJECT,
    REJECTED,
    SOON,
    TODAY,
    VALUES,
    answered,
    begun,
    deferred,
    execute,
    executed,
    held,
    hold,
    on,
    order,
    ordered,
    she,
)

LIFT = she(LiftHold)
LIFTED = HoldLifted(person=ANN)


def test_a_hold_is_placed_with_a_reason_and_an_end():
    given(decider).when(hold()).then(held())
    for missing in ({"until": SOON}, {"reason": REASON}):
        with pytest.raises(ValidationError):
            she(PlaceHold, **missing)


@pytest.mark.parametrize("until", [TODAY, TODAY - DAY])
def test_a_hold_ends_on_a_day_to_come(until):
    given(decider).when(hold(until)).refused("HOLD_ENDED")


def test_a_hold_is_moved():
    given(decider, held()).when(hold(LATER)).then(held(LATER))
    given(decider, held(LATER)).when(hold()).then(held())


def test_a_hold_is_lifted():
    given(decider, held()).when(LIFT).then(LIFTED).when(PROPOSE).then(PROPOSED)
    given(decider).when(LIFT).nothing()


@pytest.mark.parametrize(
    ("history", "command"),
    [
        ((), PROPOSE),
        ((PROPOSED,), APPROVE),
        ((PROPOSED, APPROVED), BEGIN),
        ((ordered(),), BEGIN),
    ],
)
def test_while_a_hold_stands_nothing_goes_on(history, command):
    """Up to and with its last day."""
    given(decider, *history, held()).when(command).refused("LEGAL_HOLD")
    given(decider, *history, held()).when(on(SOON, command)).refused("LEGAL_HOLD")


def test_while_a_hold_stands_nothing_is_executed_that_did_not_begin_before():
    given(decider, ordered(), held()).when(execute("35")).refused("ERASURE_UNDECIDED")


def test_a_proposal_is_rejected_also_while_a_hold_stands():
    """A hold keeps her data, and so does who rejects."""
    given(decider, PROPOSED, held()).when(REJECT).then(REJECTED)


def test_a_hold_that_comes_after_the_beginning_comes_too_late():
    """Her key may be gone by now. A hold that has ended is not moved either, only lifted."""
    begun_order = given(decider, ordered(), begun("ER-A", "court_order"))
    begun_order.when(hold()).refused("ERASURE_APPROVED")
    ended = given(decider, held(), ordered(), deferred(), begun("ER-A", "court_order"))
    ended.when(hold()).refused("ERASURE_APPROVED")
    ended.when(hold(LATER)).refused("ERASURE_APPROVED")
    ended.when(LIFT).then(LIFTED).when(hold()).refused("ERASURE_APPROVED")


@pytest.mark.parametrize("day", [TODAY, SOON, SOON + DAY])
def test_what_was_begun_is_executed_whatever_day_the_clock_says_and_a_hold_named(day):
    """Her key is gone already: a clock that was set back must not keep that off the log."""
    after = given(decider, ordered(), held(), deferred(), begun("ER-A", "court_order"))
    after.when(on(day, BEGIN)).nothing()
    after.when(on(day, execute("35"))).then(executed("35", erasure="ER-A", basis="court_order"))


def test_a_hold_ends_by_itself_on_the_day_after():
    after = SOON + DAY
    given(decider, held()).when(on(after, PROPOSE)).then(PROPOSED)
    given(decider, PROPOSED, held()).when(on(after, APPROVE)).then(APPROVED)
    given(decider, held(), ordered()).when(on(after, order("53", "ER-B"))).then(
        ordered("53", "ER-B")
    )
    given(decider, ordered(), held()).when(on(after, BEGIN)).then(
        begun("ER-A", "court_order")
    ).when(on(after, execute("35"))).then(executed("35", erasure="ER-A", basis="court_order"))


def test_an_order_that_meets_a_hold_is_kept_and_who_asked_is_told_until_when():
    after = given(decider, held()).when(order()).then(ordered(), deferred())
    after.when(BEGIN).refused("LEGAL_HOLD")
    lifted = after.when(LIFT).then(LIFTED)
    lifted.when(BEGIN).then(begun("ER-A", "court_order")).when(execute()).then(
        executed(erasure="ER-A", basis="court_order"),
        ErasureCompleted(person=ANN, erasure="ER-A"),
        answered(),
    )


def test_a_hold_that_is_placed_after_an_order_defers_it_and_tells_who_asked():
    given(decider, ordered()).when(hold()).then(held(), deferred()).when(BEGIN).refused(
        "LEGAL_HOLD"
    )


def test_a_hold_that_is_moved_tells_everybody_who_asked_the_new_day():
    two = (held(), ordered(), deferred(), ordered("53", "ER-B"), deferred(SOON, "53", "ER-B"))
    given(decider, *two).when(hold(LATER)).then(
        held(LATER), deferred(LATER), deferred(LATER, "53", "ER-B")
    )


@quick
@for_any(histories(decider, VALUES, PATH_OF_AN_ORDER))
def test_whatever_is_asked_nothing_is_begun_while_it_is_held_nor_executed_unbegun(commands):
    """Nor without a decision of two people, here or at the office that ordered it."""
    held_until, proposed, decided, started = date.min, None, set(), None
    for command, decision in run(decider, commands):
        for event in decision:
            match event:
                case HoldPlaced(until=until):
                    assert started is None
                    held_until = until
                case HoldLifted():
                    held_until = date.min
                case ErasureProposed():
                    proposed = event
                case ErasureApproved(erasure=number):
                    assert number == proposed.erasure
                    decided.add((number, proposed.basis))
                case ErasureOrdered(erasure=number, basis=basis):
                    decided.add((number, basis))
                case ErasureBegun(erasure=number, basis=basis):
                    assert started is None, "begun twice"
                    assert (number, basis) in decided
                    assert command.now.date() > held_until
                    started = (number, basis)
                case ErasureExecuted(erasure=number, basis=basis):
                    assert (number, basis) == started
