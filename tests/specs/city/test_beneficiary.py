"""The beneficiary: intake, destination, her willingness, and the one handover that she is in."""

from datetime import date

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.city.domain.beneficiary import (
    BeneficiaryRegistered,
    DestinationDetermined,
    DetermineDestination,
    EnterHandover,
    GiveWillingness,
    HandoverEntered,
    HandoverLeft,
    LeaveHandover,
    ProtectionPathShown,
    ReceivedElsewhere,
    RegisterBeneficiary,
    RequireBeneficiary,
    RequireNotReceived,
    RequireUnregistered,
    ShowProtectionPath,
    WillingnessGiven,
    WillingnessWithdrawn,
    WithdrawWillingness,
    decider,
)

from ..spec import ANN, SEALED, events_of, given, histories, quick, say

FACTS = {
    "person": ANN,
    "operation": "OP-1",
    "origin": "35.78",
    "destination": None,
    "identity": SEALED[ANN],
}
INTAKE = {"birth_date": date(1990, 1, 1), "sign_of_trafficking": False}
REGISTERED = BeneficiaryRegistered(**FACTS)
HEADED_EAST = DestinationDetermined(person=ANN, destination="35")
WILLING = WillingnessGiven(person=ANN, statement="SP/001")
UNWILLING = WillingnessWithdrawn(person=ANN, reason=None)
READY_TO_GO = (REGISTERED, HEADED_EAST, WILLING)
PROTECTED = ProtectionPathShown(person=ANN)


def register(**changes):
    return say(RegisterBeneficiary, **FACTS | INTAKE | changes)


def enter(handover="HO-1", destination="35"):
    return say(EnterHandover, person=ANN, handover=handover, destination=destination)


def entered(handover="HO-1"):
    return HandoverEntered(person=ANN, handover=handover)


def protect(handover=None):
    return say(ShowProtectionPath, person=ANN, handover=handover)


def leave(cause, handover="HO-1"):
    return say(LeaveHandover, person=ANN, handover=handover, cause=cause)


def left(cause, handover="HO-1"):
    return HandoverLeft(person=ANN, handover=handover, cause=cause)


def test_she_is_registered_once():
    given(decider).when(register()).then(REGISTERED)


def test_she_may_be_registered_without_knowing_where_she_will_go():
    """Rule 2."""
    after = given(decider).when(register(destination=None)).then(REGISTERED)
    assert after.state.destination is None


def test_she_may_be_registered_with_a_destination():
    after = (
        given(decider)
        .when(register(destination="35"))
        .then(BeneficiaryRegistered(**FACTS | {"destination": "35"}))
    )
    after.when(say(DetermineDestination, person=ANN, destination="35")).nothing()


def test_a_code_stands_for_one_person_only():
    for other in ({"origin": "33.74"}, {"operation": "OP-2"}):
        given(decider, REGISTERED).when(register(**other)).refused("BENEFICIARY_EXISTS")


def test_registered_again_under_another_ciphertext_she_is_registered_once():
    """To seal the same twice gives two ciphertexts; it is still the same person."""
    given(decider, REGISTERED).when(register(identity="sealed-anew")).nothing()


def test_she_may_be_registered_before_anybody_knows_who_she_is():
    """Nobody is turned away for having no papers."""
    given(decider).when(register(identity=None)).then(
        BeneficiaryRegistered(**FACTS | {"identity": None})
    )


def test_an_event_says_who_she_is_in_ciphertext_only():
    """Initials and a place of origin are enough to find somebody in a small town."""
    for event in decider.events:
        assert not {"initials", "name", "nik", "born", "contact"} & set(event.model_fields)
    assert [event for event in decider.events if "identity" in event.model_fields] == [
        BeneficiaryRegistered
    ]


def test_her_birth_date_is_not_kept():
    """Rule 12. It is checked, and then it is nobody's business."""
    after = given(decider).when(register()).then(REGISTERED)
    assert "1990" not in after.state.registered.model_dump_json()


def test_somebody_under_18_is_shown_the_protection_path():
    """Rule 12. She is 18 tomorrow; today she is a child."""
    birth_date = date(2001, 10, 5)
    after = given(decider).when(register(birth_date=birth_date)).refused("PROTECTION_PATH_CHILD")
    assert after.state.registered is None


def test_somebody_who_is_18_today_is_registered():
    """Rule 12."""
    given(decider).when(register(birth_date=date(2001, 10, 4))).then(REGISTERED)


def test_a_birth_date_lies_in_the_past():
    given(decider).when(register(birth_date=date(2019, 10, 5))).refused("BIRTH_DATE_IN_FUTURE")


def test_a_sign_of_trafficking_leads_to_the_protection_path():
    """Rule 12."""
    given(decider).when(register(sign_of_trafficking=True)).refused("PROTECTION_PATH_TRAFFICKING")


def test_the_protection_path_is_shown_for_a_known_code_too():
    """Rule 12. Being registered already is no way around the question."""
    given(decider, REGISTERED).when(register(sign_of_trafficking=True)).refused(
        "PROTECTION_PATH_TRAFFICKING"
    )


def test_a_sign_that_is_seen_later_leads_to_the_protection_path_too():
    """Rule 12. Nothing but the fact is recorded: what was seen is for the protection path alone."""
    given(decider, *READY_TO_GO).when(protect()).then(PROTECTED)
    assert set(ProtectionPathShown.model_fields) == {"person"}


def test_the_protection_path_names_the_handover_that_she_is_in():
    """Rule 12. Else she would be protected and still on a manifest."""
    so_far = given(decider, *READY_TO_GO, entered())
    for named in (None, "HO-2"):
        so_far.when(protect(named)).refused("IN_ANOTHER_HANDOVER")
    so_far.when(protect("HO-1")).then(PROTECTED)
    given(decider, *READY_TO_GO).when(protect("HO-1")).refused("IN_ANOTHER_HANDOVER")


def test_she_is_shown_the_protection_path_once():
    """Rule 12. Shown from a manifest, she has left it when somebody sends the form again."""
    so_far = given(decider, *READY_TO_GO, entered(), PROTECTED, left("withdrawn"))
    so_far.when(protect()).nothing()
    so_far.when(protect("HO-1")).nothing()


def test_on_the_protection_path_she_enters_no_handover():
    """Rule 12. Not with a new statement, and not with another destination."""
    given(decider, *READY_TO_GO, PROTECTED).when(enter()).refused("PROTECTION_PATH_TRAFFICKING")
    again = WillingnessGiven(person=ANN, statement="SP/002")
    given(decider, *READY_TO_GO, PROTECTED, UNWILLING, again).when(enter()).refused(
        "PROTECTION_PATH_TRAFFICKING"
    )
    given(decider, REGISTERED, PROTECTED).when(enter()).refused("PROTECTION_PATH_TRAFFICKING")


def test_nothing_is_decided_about_somebody_who_is_not_registered():
    for command in (enter(), protect(), leave("arrived")):
        given(decider).when(command).refused("BENEFICIARY_UNKNOWN")


def test_whoever_needs_a_registered_person_can_ask_for_her():
    given(decider).when(say(RequireBeneficiary, person=ANN)).refused("BENEFICIARY_UNKNOWN")
    given(decider, REGISTERED).when(say(RequireBeneficiary, person=ANN)).nothing()


def test_her_destination_is_determined_later():
    """Rule 2."""
    command = say(DetermineDestination, person=ANN, destination="35")
    given(decider, REGISTERED).when(command).then(HEADED_EAST)


def test_her_destination_can_change_until_she_is_in_a_handover():
    command = say(DetermineDestination, person=ANN, destination="53")
    to_ntt = DestinationDetermined(person=ANN, destination="53")
    given(decider, *READY_TO_GO).when(command).then(to_ntt)
    given(decider, *READY_TO_GO, entered()).when(command).refused("IN_ANOTHER_HANDOVER")
    given(decider, *READY_TO_GO, entered(), left("diverted")).when(command).then(to_ntt)


def test_she_states_her_willingness_herself():
    """Rule 9."""
    command = say(GiveWillingness, person=ANN, statement="SP/001")
    given(decider, REGISTERED).when(command).then(WILLING)


def test_she_takes_her_willingness_back():
    """Rule 9. She owes nobody a reason."""
    command = say(WithdrawWillingness, person=ANN)
    given(decider, REGISTERED, WILLING).when(command).then(UNWILLING)


def test_she_takes_her_willingness_back_while_in_a_handover():
    """Rule 9."""
    command = say(WithdrawWillingness, person=ANN, handover="HO-1", reason="Ingin menunggu")
    given(decider, *READY_TO_GO, entered()).when(command).then(
        WillingnessWithdrawn(person=ANN, reason="Ingin menunggu")
    )


def test_a_withdrawal_names_the_handover_that_she_is_in():
    """Rule 8, rule 9. Else she would be off her statement and still on a manifest."""
    for named in (None, "HO-2"):
        command = say(WithdrawWillingness, person=ANN, handover=named)
        given(decider, *READY_TO_GO, entered()).when(command).refused("IN_ANOTHER_HANDOVER")
    gone = say(WithdrawWillingness, person=ANN, handover="HO-1")
    given(decider, *READY_TO_GO).when(gone).refused("IN_ANOTHER_HANDOVER")


def test_she_can_become_willing_again_with_a_new_statement():
    """Rule 9."""
    command = say(GiveWillingness, person=ANN, statement="SP/002")
    given(decider, REGISTERED, WILLING, UNWILLING).when(command).then(
        WillingnessGiven(person=ANN, statement="SP/002")
    )


def test_a_statement_that_she_withdrew_does_not_count_again():
    """Rule 9. A form sent twice, or an import run again, must not undo her withdrawal."""
    command = say(GiveWillingness, person=ANN, statement="SP/001")
    given(decider, REGISTERED, WILLING, UNWILLING).when(command).refused("STATEMENT_WITHDRAWN")


def test_she_enters_a_handover():
    given(decider, *READY_TO_GO).when(enter()).then(entered())


def test_nobody_enters_a_handover_without_her_willingness():
    """Rule 9."""
    given(decider, REGISTERED, HEADED_EAST).when(enter()).refused("WILLINGNESS_MISSING")
    given(decider, *READY_TO_GO, UNWILLING).when(enter()).refused("WILLINGNESS_MISSING")


def test_an_undetermined_destination_keeps_her_from_a_handover():
    """Rule 2. Her, and nobody else: the batch has a stream of its own."""
    given(decider, REGISTERED, WILLING).when(enter()).refused("DESTINATION_UNDETERMINED")


def test_she_enters_no_handover_to_another_destination():
    given(decider, *READY_TO_GO).when(enter(destination="53")).refused("DESTINATION_DIFFERS")


def test_she_is_in_one_open_handover_at_most():
    """Rule 8."""
    given(decider, *READY_TO_GO, entered("HO-1")).when(enter("HO-2")).refused("IN_ANOTHER_HANDOVER")


@pytest.mark.parametrize("cause", ["withdrawn", "declined", "absent", "diverted"])
def test_after_a_handover_that_did_not_bring_her_there_she_can_enter_another(cause):
    """Rule 8."""
    given(decider, *READY_TO_GO, entered()).when(leave(cause)).then(left(cause)).when(
        enter("HO-2")
    ).then(entered("HO-2"))


def test_once_received_she_is_the_receiving_offices_to_send_on():
    """Rule 5, rule 8."""
    given(decider, *READY_TO_GO, entered()).when(leave("arrived")).then(left("arrived")).when(
        enter("HO-2")
    ).refused("ALREADY_RECEIVED")


def test_an_answer_that_was_corrected_lets_her_go_again():
    """Rule 18. She was said to have arrived, and had not."""
    given(decider, *READY_TO_GO, entered(), left("arrived")).when(leave("absent")).then(
        left("absent")
    ).when(enter("HO-2")).then(entered("HO-2"))


def test_she_does_not_leave_a_handover_that_she_is_not_in():
    given(decider, *READY_TO_GO, entered("HO-1")).when(leave("absent", "HO-2")).nothing()
    given(decider, *READY_TO_GO).when(leave("absent")).nothing()


def test_a_code_that_could_be_misread_is_no_code():
    for code in ("PM-00000000I1", "PM-00000000O1", "PM-1", "pm-0000000001"):
        with pytest.raises(ValidationError):
            register(person=code)


VALUES = {
    "person": [ANN],
    "operation": ["OP-1"],
    "origin": ["35.78"],
    "birth_date": [date(1990, 1, 1), date(2005, 1, 1)],
    "sign_of_trafficking": [False, True],
    "destination": ["35", "53"],
    "identity": [None, SEALED[ANN]],
    "statement": ["SP/001", "SP/002"],
    "handover": ["HO-1", "HO-2"],
    "reason": [None],
    "cause": ["withdrawn", "declined", "absent", "diverted", "arrived"],
}
PATH = [
    register(),
    say(DetermineDestination, person=ANN, destination="35"),
    say(GiveWillingness, person=ANN, statement="SP/001"),
    enter(),
]


@quick
@for_any(histories(decider, VALUES, PATH))
def test_whatever_is_asked_she_enters_one_handover_at_a_time_and_willingly(commands):
    """Rule 8, rule 9, rule 12."""
    inside, willing, protected = None, False, False
    for event in events_of(decider, commands):
        match event:
            case WillingnessGiven():
                willing = True
            case WillingnessWithdrawn():
                willing = False
            case ProtectionPathShown():
                protected = True
            case HandoverEntered(handover=handover):
                assert inside is None
                assert willing
                assert not protected
                inside = handover
            case HandoverLeft(handover=handover):
                assert inside in (None, handover)
                inside = None


# An answer that is corrected while she is in the next handover


ELSEWHERE = ReceivedElsewhere(person=ANN, handover="HO-1")
IN_THE_NEXT = (*READY_TO_GO, entered(), left("absent"), entered("HO-2"))


def test_who_was_received_after_all_is_received_whatever_manifest_she_is_on():
    """Rules 1 and 5: absent at first, put on another manifest, and then found to be there."""
    given(decider, *IN_THE_NEXT).when(leave("arrived")).then(ELSEWHERE)


def test_who_was_received_elsewhere_is_not_sent_again():
    """Rule 8."""
    gone = (*IN_THE_NEXT, ELSEWHERE, left("withdrawn", "HO-2"))
    given(decider, *gone).when(enter("HO-3")).refused("ALREADY_RECEIVED")
    here = say(RequireNotReceived, person=ANN)
    given(decider, *IN_THE_NEXT).when(here).nothing()
    given(decider, *IN_THE_NEXT, ELSEWHERE).when(here).refused("ALREADY_RECEIVED")


def test_a_correction_of_that_answer_lets_her_be_sent_again():
    """Rule 18."""
    history = (*IN_THE_NEXT, ELSEWHERE, left("withdrawn", "HO-2"))
    given(decider, *history).when(leave("absent")).then(left("absent"))
    given(decider, *history, left("absent")).when(enter("HO-3")).then(entered("HO-3"))


def test_money_of_another_operation_is_not_hers():
    """Rule 13: per person, operation and fund."""
    given(decider, REGISTERED).when(say(RequireBeneficiary, person=ANN, operation="OP-1")).nothing()
    given(decider, REGISTERED).when(say(RequireBeneficiary, person=ANN, operation="OP-2")).refused(
        "ANOTHER_OPERATION"
    )


def test_whom_the_receiver_has_the_city_cannot_withdraw():
    """Rule 5: a withdrawal that is repeated after her arrival undoes nothing."""
    arrived = (*READY_TO_GO, entered(), left("arrived"))
    given(decider, *arrived).when(leave("withdrawn")).nothing()
    given(decider, *arrived).when(say(DetermineDestination, person=ANN, destination="53")).refused(
        "ALREADY_RECEIVED"
    )


def test_nobody_of_this_citys_own_comes_unlisted():
    """A province draws a code of its own for whom it doesn't know; it claims nobody else's."""
    asked = say(RequireUnregistered, person=ANN)
    given(decider).when(asked).nothing()
    given(decider, REGISTERED).when(asked).refused("NOT_UNLISTED")
