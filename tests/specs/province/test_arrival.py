"""The expected arrivals of one handover, and this office's answer for each person."""

from datetime import date

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.province.domain.arrival import (
    AcknowledgeArrival,
    AcknowledgeUnlisted,
    AmendExpectation,
    ArrivalAcknowledged,
    CorrectAcknowledgement,
    CorrectUnlisted,
    DeclineHandover,
    DepartureNoted,
    ExpectationAmended,
    ExpectationWithdrawn,
    ExpectHandover,
    HandoverDeclined,
    HandoverExpected,
    NoteDeparture,
    UnlistedArrivalAcknowledged,
    UnlistedArrivalCorrected,
    WithdrawExpectation,
    decider,
)
from shared.contracts.values import ManifestEntry, ManifestLine

from ..spec import ANN, BEA, CIA, HOUR, NOW, SEALED, events_of, given, histories, quick, say

ANN_LINE = ManifestEntry(person=ANN, origin="35.78", identity=SEALED[ANN])
BEA_LINE = ManifestEntry(person=BEA, origin="35.78", identity=SEALED[BEA])
FACTS = {
    "handover": "HO-1",
    "city": "53.71",
    "operation": "OP-1",
    "deed_number": "BAST/1/2019",
    "deed_date": date(2019, 10, 4),
    "planned_departure": date(2019, 10, 4),
    "transport": "Kapal contoh",
    "predecessor": None,
    "entries": (ANN_LINE, BEA_LINE),
}
EXPECTED = HandoverExpected(**FACTS)
EXPECT = say(ExpectHandover, **FACTS)
WITHDRAWN = ExpectationWithdrawn(handover="HO-1", crossed=())
AMENDED = ExpectationAmended(
    handover="HO-1", revision=1, withdrawn=(ANN,), crossed=(), entries=(BEA_LINE,)
)
DECLINED = HandoverDeclined(
    handover="HO-1",
    city="53.71",
    reason="capacity",
    explanation="Rumah singgah penuh",
    persons=(ANN, BEA),
)
NO_DETAILS = {"absence": None, "diverted_to": None}


def h(command, **fields):
    return say(command, handover="HO-1", **fields)


def travelling(*persons):
    """Lines of a manifest as the city sends them: without who they are."""
    return tuple(ManifestLine(person=person, origin="35.78") for person in persons)


AMEND = h(AmendExpectation, city="53.71", revision=1, withdrawn=(ANN,), entries=travelling(BEA))
WITHDRAW = h(WithdrawExpectation, city="53.71")
DECLINE = h(DeclineHandover, reason="capacity", explanation="Rumah singgah penuh")


def answer(person, outcome="arrived", **fields):
    return h(AcknowledgeArrival, person=person, outcome=outcome, **fields)


def answered(person, outcome="arrived", number=1, at=NOW, corrects=None, reason=None, **details):
    return ArrivalAcknowledged(
        handover="HO-1",
        city="53.71",
        person=person,
        outcome=outcome,
        at=at,
        answer=number,
        corrects=corrects,
        reason=reason,
        **NO_DETAILS | details,
    )


def correct(person, outcome, corrects=1, **fields):
    return h(
        CorrectAcknowledgement,
        person=person,
        outcome=outcome,
        corrects=corrects,
        reason="Salah orang",
        **fields,
    )


def corrected(person, outcome, corrects=1, **details):
    return answered(
        person, outcome, corrects + 1, corrects=corrects, reason="Salah orang", **details
    )


def unlisted(person):
    return h(AcknowledgeUnlisted, person=person, identity=SEALED[CIA])


def seen_unlisted(person):
    return UnlistedArrivalAcknowledged(
        handover="HO-1", city="53.71", person=person, identity=SEALED[CIA], at=NOW
    )


def note(at=NOW, did_not_occur=False, city="53.71"):
    return h(NoteDeparture, city=city, departed_at=at, did_not_occur=did_not_occur)


def noted(at=NOW, did_not_occur=False):
    return DepartureNoted(handover="HO-1", departed_at=at, did_not_occur=did_not_occur)


# What the city says


def test_a_handover_is_expected_once():
    """Rule 4. To be expected is not to have arrived."""
    after = given(decider).when(EXPECT).then(EXPECTED)
    assert after.state.answers == {}


def test_a_code_stands_for_one_handover():
    other = say(ExpectHandover, **FACTS | {"city": "53.01"})
    given(decider, EXPECTED).when(other).refused("ARRIVAL_DIFFERS")


@pytest.mark.parametrize("identity", ["sealed-anew", None])
def test_a_handover_announced_again_under_other_ciphertexts_is_the_same(identity):
    """Rule 6. Each delivery seals anew who they are; and a key may be gone by the second."""
    entries = tuple(one.model_copy(update={"identity": identity}) for one in EXPECTED.entries)
    given(decider, EXPECTED).when(say(ExpectHandover, **FACTS | {"entries": entries})).nothing()


def test_a_handover_announced_again_with_other_people_is_another():
    """What may differ is the ciphertext, and nothing else of a line."""
    for entries in (
        (ANN_LINE,),
        (ANN_LINE, BEA_LINE.model_copy(update={"origin": "35.07"})),
        (ANN_LINE, BEA_LINE.model_copy(update={"person": CIA})),
    ):
        given(decider, EXPECTED).when(say(ExpectHandover, **FACTS | {"entries": entries})).refused(
            "ARRIVAL_DIFFERS"
        )


def test_a_relay_names_the_handover_before_it():
    """Rule 8."""
    relay = FACTS | {"handover": "HO-2", "predecessor": "HO-1"}
    given(decider).when(say(ExpectHandover, **relay)).then(HandoverExpected(**relay))


@pytest.mark.parametrize("command", [AMEND, WITHDRAW, note(), answer(ANN), unlisted(CIA), DECLINE])
def test_nothing_is_decided_about_a_handover_that_was_not_announced(command):
    given(decider).when(command).refused("ARRIVAL_UNKNOWN")


def test_an_amendment_gives_the_manifest_as_it_now_is():
    """Rule 9."""
    after = given(decider, EXPECTED).when(AMEND).then(AMENDED)
    assert set(after.state.entries) == {BEA}


def test_an_amendment_keeps_who_is_known_and_knows_nothing_of_who_is_new():
    """It brings no identities: what stands here came with the first announcement."""
    more = AMEND.model_copy(update={"entries": travelling(BEA, CIA)})
    new = ManifestEntry(person=CIA, origin="35.78")
    given(decider, EXPECTED).when(more).then(
        AMENDED.model_copy(update={"entries": (BEA_LINE, new)})
    )


def test_an_old_amendment_changes_nothing():
    newer = AMENDED.model_copy(update={"revision": 2})
    given(decider, EXPECTED, newer).when(AMEND).nothing()


def test_an_amendment_says_with_whose_answer_it_crossed():
    """Rule 5. She is taken off the manifest and has arrived: her answer stands."""
    after = (
        given(decider, EXPECTED, answered(ANN))
        .when(AMEND)
        .then(AMENDED.model_copy(update={"crossed": (ANN,)}))
    )
    assert set(after.state.answers) == {ANN}


def test_a_withdrawal_says_with_whose_answer_it_crossed():
    """Rule 5."""
    given(decider, EXPECTED).when(WITHDRAW).then(WITHDRAWN)
    given(decider, EXPECTED, answered(ANN)).when(WITHDRAW).then(
        ExpectationWithdrawn(handover="HO-1", crossed=(ANN,))
    )


def test_a_departure_is_noted_and_taken_back_and_noted_anew():
    """Rule 18."""
    given(decider, EXPECTED).when(note()).then(noted()).when(note(did_not_occur=True)).then(
        noted(did_not_occur=True)
    ).when(note(NOW - HOUR)).then(noted(NOW - HOUR))


def test_a_departure_that_was_never_noted_needs_no_taking_back():
    given(decider, EXPECTED).when(note(did_not_occur=True)).nothing()


@pytest.mark.parametrize(
    "command",
    [
        AMEND.model_copy(update={"city": "53.01"}),
        WITHDRAW.model_copy(update={"city": "53.01"}),
        note(city="53.01"),
    ],
)
def test_only_the_city_that_issued_it_changes_a_handover(command):
    given(decider, EXPECTED).when(command).refused("NOT_THE_SENDER")


# This office's answers


def test_responsibility_passes_one_person_at_a_time():
    """Rule 5."""
    after = given(decider, EXPECTED).when(answer(ANN)).then(answered(ANN))
    assert set(after.state.answers) == {ANN}


def test_a_manifest_is_answered_in_as_many_sittings_as_it_takes():
    """Rule 6."""
    tomorrow = answer(BEA, now=NOW + 24 * HOUR, occurred_at=NOW + 20 * HOUR)
    given(decider, EXPECTED).when(answer(ANN)).then(answered(ANN)).when(tomorrow).then(
        answered(BEA, at=NOW + 20 * HOUR)
    )


def test_a_person_arrives_only_once():
    """Rule 6. To acknowledge twice is to acknowledge once, at whatever time it is said again."""
    again = answer(ANN, now=NOW + HOUR, occurred_at=NOW + HOUR)
    given(decider, EXPECTED, answered(ANN)).when(again).nothing()


def test_an_answer_may_come_before_the_word_of_the_departure():
    """Rule 5."""
    given(decider, EXPECTED).when(answer(ANN)).then(answered(ANN)).when(note()).then(noted())


def test_she_arrives_by_a_clock_that_is_behind_the_one_she_left_by():
    """Rule 17. 14.30 WITA is 13.30 WIB: what counts is the instant, and the offset is kept."""
    wib = NOW.astimezone(type(NOW.tzinfo)(7 * HOUR))
    after = (
        given(decider, EXPECTED, noted(NOW - HOUR / 2))
        .when(answer(ANN, occurred_at=wib))
        .then(answered(ANN, at=wib))
    )
    assert after.state.answers[ANN].model_dump_json().count("+07:00") == 1


def test_she_who_did_not_arrive_is_absent_and_it_is_said_why():
    """Rule 1."""
    given(decider, EXPECTED).when(answer(ANN, "absent", absence="left_in_transit")).then(
        answered(ANN, "absent", absence="left_in_transit")
    )
    given(decider, EXPECTED).when(answer(ANN, "absent")).refused("ABSENCE_REASON")
    given(decider, EXPECTED).when(answer(ANN, absence="other")).refused("ABSENCE_REASON")


def test_she_who_was_diverted_is_somewhere_and_it_is_said_where():
    """Rule 1, rule 8."""
    given(decider, EXPECTED).when(answer(ANN, "diverted", diverted_to="33")).then(
        answered(ANN, "diverted", diverted_to="33")
    )
    given(decider, EXPECTED).when(answer(ANN, "diverted")).refused("DIVERTED_WHERE")
    given(decider, EXPECTED).when(answer(ANN, diverted_to="33")).refused("DIVERTED_WHERE")


def test_a_second_answer_is_a_correction_or_none():
    """Rule 18."""
    given(decider, EXPECTED, answered(ANN)).when(answer(ANN, "absent", absence="other")).refused(
        "ALREADY_ANSWERED"
    )


def test_a_wrong_answer_is_corrected_with_a_reason():
    """Rule 18."""
    given(decider, EXPECTED, answered(ANN)).when(correct(ANN, "absent", absence="other")).then(
        corrected(ANN, "absent", absence="other")
    )
    with pytest.raises(ValidationError):
        h(CorrectAcknowledgement, person=ANN, corrects=1, outcome="arrived")


def test_a_wrong_time_of_arrival_is_corrected():
    """Rule 18. Wrong data, with the right one: the outcome was right, the hour was not."""
    earlier = correct(ANN, "arrived", occurred_at=NOW - HOUR)
    given(decider, EXPECTED, answered(ANN)).when(earlier).then(
        corrected(ANN, "arrived", at=NOW - HOUR)
    )


def test_a_correction_cites_the_answer_that_stands():
    """Rule 18."""
    absent = {"outcome": "absent", "absence": "other"}
    given(decider, EXPECTED).when(correct(ANN, **absent)).refused("CORRECTS_NOTHING")
    given(decider, EXPECTED, answered(ANN)).when(correct(ANN, corrects=2, **absent)).refused(
        "CORRECTS_NOTHING"
    )
    given(decider, EXPECTED, answered(ANN), corrected(ANN, "diverted", diverted_to="33")).when(
        correct(ANN, corrects=1, **absent)
    ).refused("CORRECTS_NOTHING")


def test_nobody_is_answered_for_who_is_not_on_the_manifest():
    """Rule 6."""
    given(decider, EXPECTED).when(answer(CIA)).refused("NOT_ON_MANIFEST")
    given(decider, EXPECTED, AMENDED).when(answer(ANN)).refused("NOT_ON_MANIFEST")


def test_a_handover_that_was_withdrawn_or_declined_gets_no_new_answer():
    given(decider, EXPECTED, WITHDRAWN).when(answer(ANN)).refused("ARRIVAL_PHASE")
    given(decider, EXPECTED, DECLINED).when(answer(ANN)).refused("ARRIVAL_PHASE")


@pytest.mark.parametrize("crossing", [WITHDRAWN, AMENDED])
def test_an_answer_that_crossed_stays_given(crossing):
    """Rule 6. To acknowledge twice is to acknowledge once, also after the city's change of mind."""
    given(decider, EXPECTED, answered(ANN), crossing).when(answer(ANN)).nothing()


@pytest.mark.parametrize("crossing", [WITHDRAWN, AMENDED])
def test_an_answer_that_crossed_can_still_be_corrected(crossing):
    """Rule 18. It was given, so it can have been wrong."""
    given(decider, EXPECTED, answered(ANN), crossing).when(
        correct(ANN, "absent", absence="other")
    ).then(corrected(ANN, "absent", absence="other"))


# Who is on no list, and who is not taken


def test_somebody_arrives_who_is_on_no_list():
    """Rule 1."""
    given(decider, EXPECTED).when(unlisted(CIA)).then(seen_unlisted(CIA))


def test_who_comes_on_no_list_may_be_unknown_to_everybody():
    """Rule 1. She is received first; who she is can come later."""
    unknown = unlisted(CIA).model_copy(update={"identity": None})
    given(decider, EXPECTED).when(unknown).then(
        seen_unlisted(CIA).model_copy(update={"identity": None})
    )


def test_she_who_was_taken_off_the_list_and_comes_all_the_same_is_unlisted():
    """Rule 1."""
    given(decider, EXPECTED, AMENDED).when(unlisted(ANN)).then(seen_unlisted(ANN))


@pytest.mark.parametrize("ending", [WITHDRAWN, DECLINED])
def test_she_who_comes_after_a_withdrawal_or_a_refusal_is_unlisted(ending):
    """Rule 1. The refusal of an ordinary answer says so; she must not be sent back and forth."""
    so_far = given(decider, EXPECTED, ending)
    so_far.when(answer(ANN)).refused("ARRIVAL_PHASE")
    so_far.when(unlisted(ANN)).then(seen_unlisted(ANN))


def test_she_who_is_on_the_list_is_not_unlisted():
    """Rule 1."""
    given(decider, EXPECTED).when(unlisted(ANN)).refused("IS_ON_MANIFEST")


def test_she_whose_arrival_crossed_does_not_arrive_a_second_time_as_unlisted():
    """Rule 1. One person, one state."""
    given(decider, EXPECTED, answered(ANN), AMENDED).when(unlisted(ANN)).nothing()


def test_this_office_declines_with_a_reason_and_for_everybody():
    """Rule 6."""
    given(decider, EXPECTED).when(DECLINE).then(DECLINED)
    for missing in ({"reason": "capacity"}, {"explanation": "Rumah singgah penuh"}):
        with pytest.raises(ValidationError):
            h(DeclineHandover, **missing)


def test_nobody_who_arrived_is_declined():
    """Rule 5."""
    given(decider, EXPECTED, answered(ANN)).when(DECLINE).refused("ARRIVED_ALREADY")


def test_a_withdrawn_handover_is_not_declined():
    given(decider, EXPECTED, WITHDRAWN).when(DECLINE).refused("ARRIVAL_PHASE")


VALUES = {
    **{name: [value] for name, value in FACTS.items()},
    "city": ["53.71", "53.01"],
    "revision": [1, 2],
    "withdrawn": [(ANN,)],
    "entries": [(ANN_LINE, BEA_LINE), (BEA_LINE,)],
    "departed_at": [NOW, NOW - HOUR],
    "did_not_occur": [False, True],
    "person": [ANN, BEA, CIA],
    "outcome": ["arrived", "absent", "diverted"],
    "absence": [None, "other"],
    "diverted_to": [None, "33"],
    "corrects": [1, 2],
    "reason": ["other"],
    "identity": [SEALED[CIA]],
    "explanation": ["Rumah singgah penuh"],
}
PATH = [EXPECT, answer(ANN), correct(ANN, "absent", absence="other")]


@quick
@for_any(histories(decider, VALUES, PATH))
def test_whatever_is_asked_one_answer_stands_for_each_person(commands):
    """Rule 6, rule 18. Answers count 1, 2, 3, and each new one cites the one that it replaces."""
    standing = {}
    for event in events_of(decider, commands):
        if isinstance(event, ArrivalAcknowledged):
            before = standing.get(event.person)
            assert event.corrects == before
            assert event.answer == (before or 0) + 1
            standing[event.person] = event.answer


def test_an_unlisted_arrival_that_did_not_occur_is_taken_back():
    """Rule 18."""
    back = h(CorrectUnlisted, person=CIA, reason="Salah orang")
    given(decider, EXPECTED, seen_unlisted(CIA)).when(back).then(
        UnlistedArrivalCorrected(
            handover="HO-1",
            city="53.71",
            person=CIA,
            at=NOW,
            reason="Salah orang",
        )
    )
    given(decider, EXPECTED).when(back).nothing()
