"""The grant as the province knows it: credits noted, confirmed with her, or disputed."""

from datetime import date

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.province.domain.grant import (
    ConfirmGrant,
    CreditNoted,
    DisputeGrant,
    FailureNoted,
    GrantConfirmed,
    GrantDisputed,
    NoteCredit,
    NoteFailure,
    NoteReturn,
    RequireConfirmedGrant,
    ReturnNoted,
    decider,
)

from ..spec import ANN, events_of, given, histories, quick, say

MILLION = 1_000_000


def note(reference="SP2D/1", amount=6 * MILLION, replaces=None, city="53.71"):
    return say(
        NoteCredit,
        person=ANN,
        city=city,
        reference=reference,
        amount_rupiah=amount,
        credited_on=date(2019, 10, 2),
        replaces=replaces,
    )


def noted(reference="SP2D/1", amount=6 * MILLION, replaces=None):
    return CreditNoted(
        person=ANN,
        city="53.71",
        reference=reference,
        amount_rupiah=amount,
        credited_on=date(2019, 10, 2),
        replaces=replaces,
    )


def about(command, reference="SP2D/1", **fields):
    return say(command, person=ANN, reference=reference, **fields)


FAILED = FailureNoted(person=ANN, reference="SP2D/1")
CONFIRMED = GrantConfirmed(person=ANN, city="53.71", reference="SP2D/1")
DISPUTED = GrantDisputed(person=ANN, city="53.71", reference="SP2D/1", reason="Belum masuk")
CONFIRM = about(ConfirmGrant)
DISPUTE = about(DisputeGrant, reason="Belum masuk")
CAPITAL = say(RequireConfirmedGrant, person=ANN)


def fail(city="53.71"):
    return about(NoteFailure, city=city)


def send_back(in_all, city="53.71"):
    return about(NoteReturn, amount_rupiah=in_all, city=city)


def sent_back(amount):
    return ReturnNoted(person=ANN, reference="SP2D/1", amount_rupiah=amount)


def test_a_credit_is_noted_once():
    """Rule 15."""
    given(decider).when(note()).then(noted())


def test_a_credit_is_noted_whether_or_not_she_has_arrived():
    """Rule 16. There is no order between the two: this ledger never asks for a handover."""
    for command in decider.commands:
        assert "handover" not in command.model_fields


def test_a_reference_stands_for_one_credit():
    """Rule 15."""
    given(decider, noted()).when(note(amount=5 * MILLION)).refused("CREDIT_REFERENCE_DIFFERS")
    given(decider, noted()).when(note(city="53.01")).refused("CREDIT_REFERENCE_DIFFERS")


def test_a_credit_that_the_city_never_spoke_of_is_unknown():
    for command in (CONFIRM, DISPUTE, fail(), send_back(MILLION)):
        given(decider).when(command).refused("CREDIT_UNKNOWN")


def test_a_failure_is_noted():
    """Rule 15."""
    given(decider, noted()).when(fail()).then(FAILED)


@pytest.mark.parametrize("command", [fail("53.01"), send_back(MILLION, "53.01")])
def test_only_the_city_that_told_of_a_credit_tells_what_became_of_it(command):
    """Rule 6 for money: another city's word would take her capital away."""
    given(decider, noted(), CONFIRMED).when(command).refused("NOT_THE_SENDER")


def test_the_second_try_is_noted_beside_the_first():
    """Rule 15."""
    given(decider, noted(), FAILED).when(note("SP2D/2", replaces="SP2D/1")).then(
        noted("SP2D/2", replaces="SP2D/1")
    )


def test_a_return_is_noted():
    """Rule 15."""
    given(decider, noted()).when(send_back(MILLION)).then(sent_back(MILLION))


def test_the_city_tells_what_has_gone_back_in_all():
    """Rule 15. Noted is what came on top; an older word that arrives later changes nothing."""
    after = given(decider, noted(), sent_back(MILLION)).when(send_back(3 * MILLION))
    after.then(sent_back(2 * MILLION)).when(send_back(MILLION)).nothing()


def test_a_return_that_is_told_twice_went_back_once():
    """Rule 15. When she comes back from another office, the city tells of her credits again."""
    given(decider, noted()).when(send_back(MILLION)).then(sent_back(MILLION))


def test_no_more_goes_back_than_was_credited():
    """Rule 15."""
    given(decider, noted()).when(send_back(6 * MILLION + 1)).refused("RETURN_BEYOND_CREDIT")


def test_a_credit_is_confirmed_together_with_her():
    """Rule 19."""
    given(decider, noted()).when(CONFIRM).then(CONFIRMED)


def test_a_credit_that_is_not_there_is_disputed_and_may_still_be_found():
    given(decider, noted()).when(DISPUTE).then(DISPUTED).when(CONFIRM).then(CONFIRMED)
    with pytest.raises(ValidationError):
        about(DisputeGrant, reason="")


@pytest.mark.parametrize("fate", [FAILED, sent_back(6 * MILLION)])
def test_a_credit_that_failed_or_went_back_is_neither_confirmed_nor_disputed(fate):
    """Rule 15."""
    given(decider, noted(), fate).when(CONFIRM).refused("CREDIT_NOT_STANDING")
    given(decider, noted(), fate).when(DISPUTE).refused("CREDIT_NOT_STANDING")


def test_a_credit_that_went_back_in_part_can_be_confirmed():
    """Rule 15."""
    given(decider, noted(), sent_back(MILLION)).when(CONFIRM).then(CONFIRMED)


def test_her_capital_is_there_when_she_has_seen_it():
    """Rule 19. The bank's word alone is not enough."""
    given(decider).when(CAPITAL).refused("CAPITAL_NOT_CONFIRMED")
    given(decider, noted()).when(CAPITAL).refused("CAPITAL_NOT_CONFIRMED")
    given(decider, noted(), CONFIRMED).when(CAPITAL).nothing()


@pytest.mark.parametrize("fate", [FAILED, sent_back(6 * MILLION), DISPUTED])
def test_capital_that_is_gone_again_is_not_there(fate):
    """Rule 19."""
    given(decider, noted(), CONFIRMED, fate).when(CAPITAL).refused("CAPITAL_NOT_CONFIRMED")


@pytest.mark.parametrize("amount", [6_000_000.0, 0.5, "6000000", True, 0, -1])
def test_rupiah_are_whole_and_more_than_none(amount):
    """Rule 13."""
    for attempt in (lambda: note(amount=amount), lambda: send_back(amount)):
        with pytest.raises(ValidationError):
            attempt()


VALUES = {
    "person": [ANN],
    "city": ["53.71", "53.01"],
    "reference": ["SP2D/1", "SP2D/2"],
    "amount_rupiah": [2 * MILLION, 6 * MILLION],
    "credited_on": [date(2019, 10, 2)],
    "replaces": [None, "SP2D/1"],
    "reason": ["Belum masuk"],
}


@quick
@for_any(histories(decider, VALUES, [note()]))
def test_whatever_is_told_no_credit_ever_stands_below_nothing(commands):
    """Rule 15. Counted here from the events alone."""
    standing = {}
    for event in events_of(decider, commands):
        match event:
            case CreditNoted(reference=reference, amount_rupiah=amount):
                standing[reference] = amount
            case ReturnNoted(reference=reference, amount_rupiah=amount):
                standing[reference] -= amount
        assert all(rupiah >= 0 for rupiah in standing.values())
