"""The ministry's grant: every credit, and what became of it."""

from datetime import date

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.city.domain.grant import (
    ConfirmationRecorded,
    Credit,
    DisburseGrant,
    DisputeRecorded,
    FailGrant,
    GrantDisbursed,
    GrantFailed,
    GrantRedisbursed,
    GrantReturned,
    GrantShared,
    GrantSharingStopped,
    RecordConfirmation,
    RecordDispute,
    ReturnGrant,
    ShareGrant,
    StopSharingGrant,
    decider,
)

from ..spec import ANN, fold, given, histories, quick, run, say

MILLION = 1_000_000
ON = date(2019, 10, 2)


def disburse(reference="SP2D/1", amount=6 * MILLION, replaces=None, on=ON):
    return say(
        DisburseGrant,
        person=ANN,
        operation="OP-1",
        reference=reference,
        amount_rupiah=amount,
        credited_on=on,
        entitlement_rupiah=6 * MILLION,
        replaces=replaces,
    )


def disbursed(reference="SP2D/1", amount=6 * MILLION, kind="full", office=None):
    return GrantDisbursed(
        person=ANN,
        operation="OP-1",
        reference=reference,
        amount_rupiah=amount,
        credited_on=ON,
        kind=kind,
        office=office,
    )


def redisbursed(reference="SP2D/2", replaces="SP2D/1", amount=6 * MILLION, kind="full"):
    return GrantRedisbursed(
        person=ANN,
        operation="OP-1",
        reference=reference,
        amount_rupiah=amount,
        credited_on=ON,
        kind=kind,
        replaces=replaces,
        office=None,
    )


def fail(reference="SP2D/1"):
    return say(FailGrant, person=ANN, reference=reference, reason="Rekening tidak aktif")


def failed(reference="SP2D/1", office=None):
    return GrantFailed(
        person=ANN, reference=reference, reason="Rekening tidak aktif", office=office
    )


def send_back(amount, reference="SP2D/1", on=ON):
    return say(
        ReturnGrant,
        person=ANN,
        reference=reference,
        amount_rupiah=amount,
        returned_on=on,
        reason="Kredit ganda",
    )


def sent_back(amount, reference="SP2D/1", office=None, in_all=None, on=ON):
    return GrantReturned(
        person=ANN,
        reference=reference,
        amount_rupiah=amount,
        returned_on=on,
        returned_rupiah=in_all or amount,
        reason="Kredit ganda",
        office=office,
    )


def share(office="35", handover="HO-1"):
    return say(ShareGrant, person=ANN, office=office, handover=handover)


def shared(*credits, office="35", handover="HO-1"):
    return GrantShared(person=ANN, office=office, handover=handover, credits=credits)


def stop(office="35", handover="HO-1"):
    return say(StopSharingGrant, person=ANN, office=office, handover=handover)


def stopped(office="35", handover="HO-1"):
    return GrantSharingStopped(person=ANN, office=office, handover=handover)


def credit(reference="SP2D/1", amount=6 * MILLION, **fate):
    return Credit(reference=reference, amount_rupiah=amount, credited_on=ON, **fate)


def test_a_grant_is_credited_once():
    """Rule 15."""
    after = given(decider).when(disburse()).then(disbursed())
    assert after.state.standing_rupiah == 6 * MILLION


def test_a_grant_needs_no_handover_to_be_credited():
    """Rule 16. The money was there on 2 October, two days before anybody left."""
    given(decider).when(disburse()).then(disbursed()).when(share()).then(shared(credit()))


def test_a_handover_needs_no_grant():
    """Rule 16. The office is told of nothing yet, and of every credit from then on."""
    given(decider).when(share()).then(shared()).when(disburse()).then(disbursed(office="35"))


def test_a_credit_in_parts_is_said_to_be_partial():
    """Rule 15."""
    given(decider).when(disburse(amount=4 * MILLION)).then(
        disbursed(amount=4 * MILLION, kind="partial")
    ).when(disburse("SP2D/2", 2 * MILLION)).then(disbursed("SP2D/2", 2 * MILLION))


def test_a_second_credit_is_said_to_be_a_duplicate():
    """Rule 15. The bank did it, so it is recorded; it stands as a discrepancy."""
    after = (
        given(decider, disbursed())
        .when(disburse("SP2D/2"))
        .then(disbursed("SP2D/2", kind="duplicate"))
    )
    assert after.state.standing_rupiah == 12 * MILLION


def test_a_reference_stands_for_one_credit():
    """Rule 15."""
    given(decider, disbursed()).when(disburse(amount=5 * MILLION)).refused(
        "CREDIT_REFERENCE_DIFFERS"
    )
    given(decider, disbursed()).when(disburse(on=date(2019, 10, 3))).refused(
        "CREDIT_REFERENCE_DIFFERS"
    )


def test_a_credit_fails():
    """Rule 15."""
    after = given(decider, disbursed()).when(fail()).then(failed())
    assert after.state.standing_rupiah == 0


def test_a_failed_credit_is_disbursed_again_under_a_new_reference():
    """Rule 15."""
    given(decider, disbursed(), failed()).when(disburse("SP2D/2", replaces="SP2D/1")).then(
        redisbursed()
    )


def test_a_returned_credit_is_disbursed_again_under_a_new_reference():
    """Rule 15."""
    given(decider, disbursed(), sent_back(6 * MILLION)).when(
        disburse("SP2D/2", replaces="SP2D/1")
    ).then(redisbursed())


def test_a_credit_that_stands_is_not_replaced():
    """Rule 15."""
    second = disburse("SP2D/2", replaces="SP2D/1")
    given(decider, disbursed()).when(second).refused("CREDIT_NOT_REPLACEABLE")
    given(decider, disbursed(), sent_back(MILLION)).when(second).refused("CREDIT_NOT_REPLACEABLE")
    given(decider).when(second).refused("CREDIT_NOT_REPLACEABLE")
    given(decider).when(disburse(replaces="SP2D/1")).refused("CREDIT_NOT_REPLACEABLE")


def test_a_duplicate_goes_back():
    """Rule 15."""
    after = (
        given(decider, disbursed(), disbursed("SP2D/2", kind="duplicate"))
        .when(send_back(6 * MILLION, "SP2D/2"))
        .then(sent_back(6 * MILLION, "SP2D/2"))
    )
    assert after.state.standing_rupiah == 6 * MILLION


def test_part_of_a_credit_goes_back():
    """Rule 15."""
    after = given(decider, disbursed(), sent_back(MILLION))
    assert after.state.standing_rupiah == 5 * MILLION


def test_a_return_that_is_reported_twice_went_back_once():
    """Rule 15. A repeated bank file changes nothing, whatever its rows say."""
    given(decider, disbursed()).when(send_back(MILLION)).then(sent_back(MILLION))
    rest = sent_back(5 * MILLION, in_all=6 * MILLION)
    given(decider, disbursed(), sent_back(MILLION), rest).when(send_back(MILLION)).nothing()


def test_two_returns_on_two_days_are_two_returns():
    """Rule 15."""
    second = date(2019, 10, 9)
    given(decider, disbursed(), sent_back(MILLION)).when(send_back(MILLION, on=second)).then(
        sent_back(MILLION, in_all=2 * MILLION, on=second)
    )


def test_no_more_goes_back_than_stands():
    """Rule 15."""
    given(decider, disbursed()).when(send_back(6 * MILLION + 1)).refused("RETURN_BEYOND_CREDIT")
    given(decider, disbursed(), failed()).when(send_back(MILLION)).refused("RETURN_BEYOND_CREDIT")


def test_a_credit_that_went_back_has_not_failed():
    """Rule 15."""
    given(decider, disbursed(), sent_back(MILLION)).when(fail()).refused("CREDIT_ALREADY_RETURNED")


def test_a_credit_that_is_not_known_neither_fails_nor_goes_back():
    given(decider).when(fail()).refused("CREDIT_UNKNOWN")
    given(decider).when(send_back(MILLION)).refused("CREDIT_UNKNOWN")


def test_the_next_office_is_told_of_every_credit_and_its_fate():
    """Rule 8, rule 16."""
    history = (disbursed(), failed(), redisbursed(), sent_back(MILLION, "SP2D/2"))
    given(decider, *history, shared(office="35")).when(share("33")).then(
        shared(
            credit(failed=True),
            credit("SP2D/2", replaces="SP2D/1", returned_rupiah=MILLION),
            office="33",
        )
    )


def test_the_office_that_looks_after_her_hears_of_a_failure_and_a_return():
    given(decider, disbursed(), shared(credit())).when(fail()).then(failed(office="35"))
    given(decider, disbursed(), shared(credit())).when(send_back(6 * MILLION)).then(
        sent_back(6 * MILLION, office="35")
    )


def test_the_office_that_does_not_look_after_her_after_all_hears_no_more_of_her_money():
    """Rule 16, rule 21. Her account is nobody's business but that of who looks after her."""
    given(decider, disbursed(), shared(credit())).when(stop()).then(stopped()).when(
        disburse("SP2D/2")
    ).then(disbursed("SP2D/2", kind="duplicate"))
    gone = given(decider, disbursed(), shared(credit()), stopped())
    gone.when(fail()).then(failed())
    gone.when(send_back(MILLION)).then(sent_back(MILLION))


def test_an_office_that_hears_nothing_needs_no_stopping():
    """Rule 8. She is on her way to the next office: the first one's word stops nothing of it."""
    given(decider, disbursed()).when(stop()).nothing()
    given(decider, disbursed(), shared(credit(), office="33")).when(stop("35")).nothing()


def test_an_office_that_gets_her_back_is_told_of_everything_again():
    """Rule 16. What happened in between is in it."""
    given(decider, disbursed(), shared(credit()), stopped(), failed()).when(share()).then(
        shared(credit(failed=True))
    )


@pytest.mark.parametrize("command", [RecordConfirmation, RecordDispute])
def test_an_answer_that_crossed_with_the_end_of_sharing_still_counts(command):
    """Rule 5. It had been told of the credit and looked with her; its word was on the way."""
    answer = say(command, person=ANN, reference="SP2D/1", office="35")
    assert given(decider, disbursed(), shared(credit()), stopped()).when(answer).decision


def test_her_office_confirms_or_disputes_a_credit():
    confirm = say(RecordConfirmation, person=ANN, reference="SP2D/1", office="35")
    dispute = say(RecordDispute, person=ANN, reference="SP2D/1", office="35")
    confirmed = ConfirmationRecorded(person=ANN, reference="SP2D/1", office="35")
    disputed = DisputeRecorded(person=ANN, reference="SP2D/1", office="35")
    so_far = given(decider, disbursed(), shared(credit()))
    so_far.when(confirm).then(confirmed)
    so_far.when(dispute).then(disputed).when(confirm).then(confirmed)


def test_a_credit_that_is_not_known_is_neither_confirmed_nor_disputed():
    for command in (RecordConfirmation, RecordDispute):
        given(decider, shared()).when(
            say(command, person=ANN, reference="SP2D/1", office="35")
        ).refused("CREDIT_UNKNOWN")


@pytest.mark.parametrize("command", [RecordConfirmation, RecordDispute])
def test_an_office_that_never_looked_after_her_does_not_speak_for_her_account(command):
    """Rule 6 for money: only the office that was told of the credit can have seen it."""
    answer = say(command, person=ANN, reference="SP2D/1", office="53")
    given(decider, disbursed(), shared(credit(), office="35")).when(answer).refused(
        "NOT_HER_OFFICE"
    )


@pytest.mark.parametrize("command", [RecordConfirmation, RecordDispute])
def test_the_answer_of_an_office_that_she_has_left_still_counts(command):
    """Rule 8. It looked with her while she was there; its word crossed with the relay."""
    answer = say(command, person=ANN, reference="SP2D/1", office="35")
    so_far = given(decider, disbursed(), shared(credit()), shared(credit(), office="33"))
    assert so_far.when(answer).decision


@pytest.mark.parametrize("amount", [6_000_000.0, 0.5, "6000000", True, 0, -1])
def test_rupiah_are_whole_and_more_than_none(amount):
    """Rule 13."""
    for attempt in (lambda: disburse(amount=amount), lambda: send_back(amount)):
        with pytest.raises(ValidationError):
            attempt()


def test_the_grant_has_no_word_for_travel_money():
    """Rule 15. The ledgers never net: no event of one has an amount of the other."""
    words = {name for event in decider.events for name in event.model_fields}
    assert not words & {"receipt", "sts", "release", "budget_code", "fare_rupiah"}


VALUES = {
    "person": [ANN],
    "operation": ["OP-1"],
    "reference": ["SP2D/1", "SP2D/2", "SP2D/3"],
    "amount_rupiah": [2 * MILLION, 4 * MILLION, 6 * MILLION, 8 * MILLION],
    "credited_on": [ON],
    "entitlement_rupiah": [6 * MILLION],
    "replaces": [None, None, "SP2D/1", "SP2D/2"],
    "returned_on": [ON, date(2019, 10, 9)],
    "reason": ["Kredit ganda"],
    "office": ["35", "33"],
    "handover": ["HO-1", "HO-2"],
}


@quick
@for_any(histories(decider, VALUES, [disburse()]))
def test_whatever_the_bank_does_no_credit_ever_stands_below_nothing(commands):
    """Rule 15."""
    events = [event for _, decided in run(decider, commands) for event in decided]
    for at in range(len(events) + 1):
        state = fold(decider, events[:at])
        assert all(one.standing_rupiah >= 0 for one in state.credits.values())
        assert state.standing_rupiah >= 0


@quick
@for_any(histories(decider, VALUES))
def test_a_repeated_bank_file_changes_nothing_whatever_is_in_it(commands):
    """Rule 15. A file is what was accepted of it."""
    bank = DisburseGrant | FailGrant | ReturnGrant
    file = [command for command, _ in run(decider, [c for c in commands if isinstance(c, bank)])]
    once = [event for _, events in run(decider, file) for event in events]
    twice = [event for _, events in run(decider, file + file) for event in events]
    assert twice == once


def test_a_credit_of_tomorrow_is_a_plan_and_no_credit():
    """Rule 4."""
    given(decider).when(
        say(
            DisburseGrant,
            person=ANN,
            operation="OP-1",
            reference="SP2D/9",
            amount_rupiah=6_000_000,
            credited_on=date(2999, 1, 1),
            entitlement_rupiah=6_000_000,
        )
    ).refused("CREDIT_IN_FUTURE")
