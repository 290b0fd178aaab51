"""The handover: manifest, approval, deed, departure, and what the receiving office says."""

from datetime import date

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.city.domain.answer import (
    ArrivalRecorded,
    DeclineRecorded,
    RecordArrival,
    RecordDecline,
    RecordUnlisted,
    UnlistedArrivalCorrected,
    UnlistedArrivalRecorded,
)
from services.city.domain.handover import (
    AddEntry,
    ApproveHandover,
    CloseHandover,
    CorrectDeparture,
    DepartHandover,
    DepartureCorrected,
    DraftHandover,
    EntryAdded,
    EntryRemoved,
    EntryWithdrawn,
    HandoverApproved,
    HandoverClosed,
    HandoverDeparted,
    HandoverDrafted,
    HandoverIssued,
    HandoverReturned,
    HandoverSubmitted,
    HandoverWithdrawn,
    IssueHandover,
    RequireHandover,
    ReturnHandover,
    SubmitHandover,
    WithdrawEntry,
    WithdrawHandover,
    decider,
)
from shared.contracts.values import ManifestEntry

from ..spec import ANN, BEA, CIA, HOUR, NOW, SEALED, events_of, given, histories, quick, say

DEED_DATE = date(2019, 10, 4)
PLAN = {
    "handover": "HO-1",
    "operation": "OP-1",
    "receiving_office": "35",
    "planned_departure": date(2019, 10, 4),
    "transport": "Kapal contoh",
    "predecessor": None,
}
LINES = {
    person: ManifestEntry(person=person, origin="35.78", identity=identity)
    for person, identity in SEALED.items()
}
REASON = "Ia ingin menunggu"


def lines(*persons):
    return tuple(LINES[person] for person in persons)


def h(command, **fields):
    return say(command, handover="HO-1", **fields)


DRAFTED = HandoverDrafted(**PLAN, issuer="penyusun")
ANN_ADDED, BEA_ADDED = (
    EntryAdded(handover="HO-1", entry=LINES[ANN]),
    EntryAdded(handover="HO-1", entry=LINES[BEA]),
)
SUBMITTED = HandoverSubmitted(handover="HO-1", submitted_by="penyusun")
APPROVED = HandoverApproved(
    handover="HO-1", approver="pengesah", signatory="kepala-dinas", deed_date=DEED_DATE
)
ISSUED = HandoverIssued(
    **PLAN, deed_number="BAST/1/2019", deed_date=DEED_DATE, entries=lines(ANN, BEA)
)
DEPARTED = HandoverDeparted(
    handover="HO-1", receiving_office="35", departed_at=NOW, persons=(ANN, BEA)
)
CORRECTED = DepartureCorrected(
    handover="HO-1", receiving_office="35", departed_at=NOW, reason=REASON, persons=(ANN, BEA)
)
ANN_WITHDRAWN = EntryWithdrawn(
    handover="HO-1",
    receiving_office="35",
    person=ANN,
    reason=REASON,
    revision=1,
    entries=lines(BEA),
)
CLOSED = HandoverClosed(handover="HO-1")

A_DRAFT = (DRAFTED, ANN_ADDED, BEA_ADDED)
A_SUBMITTED = (*A_DRAFT, SUBMITTED)
AN_APPROVED = (*A_SUBMITTED, APPROVED)
AN_ISSUED = (*AN_APPROVED, ISSUED)
A_DEPARTED = (*AN_ISSUED, DEPARTED)

DRAFT = say(DraftHandover, **PLAN)
ADD_ANN = h(AddEntry, person=ANN, origin="35.78", identity=SEALED[ANN])
SUBMIT = h(SubmitHandover)
RETURN = h(ReturnHandover, reason=REASON, by="pengesah")
APPROVE = h(ApproveHandover, signatory="kepala-dinas", deed_date=DEED_DATE, by="pengesah")
ISSUE = h(IssueHandover, deed_number="BAST/1/2019")
WITHDRAW = h(WithdrawHandover, reason=REASON)
DEPART = h(DepartHandover)
CLOSE = h(CloseHandover)


def withdraw(person):
    return h(WithdrawEntry, person=person, reason=REASON)


def withdrawn(was_issued, *persons):
    return HandoverWithdrawn(
        handover="HO-1",
        receiving_office="35",
        was_issued=was_issued,
        reason=REASON,
        persons=persons,
    )


def answer(person, outcome="arrived", number=1, office="35", **fields):
    return h(RecordArrival, person=person, outcome=outcome, answer=number, office=office, **fields)


def answered(person, outcome="arrived", number=1, **fields):
    nothing_more = {"absence": None, "diverted_to": None, "corrects": None, "listed": True}
    return ArrivalRecorded(
        handover="HO-1",
        person=person,
        outcome=outcome,
        at=NOW,
        answer=number,
        **nothing_more | fields,
    )


def came_unlisted(person, identity=SEALED[CIA]):
    return h(RecordUnlisted, person=person, identity=identity, office="35")


def seen_unlisted(person, identity=SEALED[CIA]):
    return UnlistedArrivalRecorded(
        handover="HO-1",
        operation="OP-1",
        receiving_office="35",
        person=person,
        identity=identity,
        at=NOW,
    )


# Draft and manifest


def test_a_handover_begins_with_a_draft():
    given(decider).when(DRAFT).then(DRAFTED)


def test_a_code_stands_for_one_handover():
    other = say(DraftHandover, **PLAN | {"receiving_office": "53"})
    given(decider, DRAFTED).when(other).refused("HANDOVER_EXISTS")


def test_nothing_is_decided_about_a_handover_that_was_not_drafted():
    given(decider).when(ADD_ANN).refused("HANDOVER_UNKNOWN")
    given(decider).when(answer(ANN)).refused("HANDOVER_UNKNOWN")


def test_whoever_needs_a_drafted_handover_can_ask_for_it():
    """Rule 8. A relay asks for its predecessor."""
    given(decider).when(h(RequireHandover)).refused("HANDOVER_UNKNOWN")
    given(decider, DRAFTED).when(h(RequireHandover)).nothing()


def test_a_relay_names_the_handover_before_it():
    """Rule 8."""
    relay = PLAN | {"handover": "HO-2", "predecessor": "HO-1"}
    given(decider).when(say(DraftHandover, **relay)).then(
        HandoverDrafted(**relay, issuer="penyusun")
    )


def test_a_person_stands_on_a_manifest_once():
    given(decider, DRAFTED).when(ADD_ANN).then(ANN_ADDED)


def test_she_stands_on_a_manifest_with_or_without_a_recorded_identity():
    """Her code is enough to send her; nobody waits for her papers."""
    unknown = h(AddEntry, person=ANN, origin="35.78")
    given(decider, DRAFTED).when(unknown).then(
        EntryAdded(handover="HO-1", entry=ManifestEntry(person=ANN, origin="35.78"))
    )


def test_added_again_under_another_ciphertext_she_stands_there_once():
    """To seal the same twice gives two ciphertexts; it is still the same person."""
    again = h(AddEntry, person=ANN, origin="35.78", identity="sealed-anew")
    given(decider, DRAFTED, ANN_ADDED).when(again).nothing()


def test_nobody_is_added_once_the_draft_is_submitted():
    """Rule 7. What is approved is what was submitted."""
    new = h(AddEntry, person=CIA, origin="35.78", identity=SEALED[CIA])
    for history in (A_SUBMITTED, AN_APPROVED, AN_ISSUED, A_DEPARTED):
        given(decider, *history).when(new).refused("HANDOVER_PHASE")


def test_somebody_whose_destination_is_not_known_stops_nobody_else():
    """Rule 2. The manifest goes on with the others; her own stream keeps her out of it."""
    given(decider, DRAFTED, ANN_ADDED).when(SUBMIT).then(SUBMITTED)


@pytest.mark.parametrize("history", [A_DRAFT, A_SUBMITTED, AN_APPROVED])
def test_she_leaves_a_manifest_that_no_other_office_has_heard_of(history):
    """Rule 9."""
    given(decider, *history).when(withdraw(ANN)).then(
        EntryRemoved(handover="HO-1", person=ANN, reason=REASON)
    )


def test_she_withdraws_from_an_issued_manifest_until_departure():
    """Rule 9. The receiving office hears who remains, under the next revision."""
    given(decider, *AN_ISSUED).when(withdraw(ANN)).then(ANN_WITHDRAWN)


def test_when_the_last_one_withdraws_the_handover_is_withdrawn():
    """Rule 9."""
    given(decider, *AN_ISSUED, ANN_WITHDRAWN).when(withdraw(BEA)).then(withdrawn(True, BEA))


def test_after_departure_nobody_is_taken_off_the_manifest():
    """Rule 9. From then on it is the receiving office that says what became of her."""
    given(decider, *A_DEPARTED).when(withdraw(ANN)).refused("HANDOVER_PHASE")
    given(decider, *A_DEPARTED).when(WITHDRAW).refused("HANDOVER_PHASE")


def test_somebody_who_is_not_on_the_manifest_needs_no_withdrawal():
    given(decider, *AN_ISSUED).when(withdraw(CIA)).nothing()


def test_nobody_withdraws_whom_the_receiving_office_has_answered_for():
    """Rule 5, rule 6. People travel faster than paper: she is already theirs."""
    given(decider, *AN_ISSUED, answered(ANN)).when(withdraw(ANN)).refused("ALREADY_ACKNOWLEDGED")
    given(decider, *AN_ISSUED, answered(ANN)).when(WITHDRAW).refused("ALREADY_ACKNOWLEDGED")


@pytest.mark.parametrize("history", [A_DRAFT, A_SUBMITTED, AN_APPROVED, AN_ISSUED])
def test_a_whole_handover_is_withdrawn_before_departure(history):
    """The receiving office is told where it had heard of it."""
    given(decider, *history).when(WITHDRAW).then(withdrawn(history is AN_ISSUED, ANN, BEA))


# Maker and checker


def test_a_draft_is_submitted():
    given(decider, *A_DRAFT).when(SUBMIT).then(SUBMITTED)


def test_an_empty_manifest_is_neither_submitted_nor_issued():
    given(decider, DRAFTED).when(SUBMIT).refused("MANIFEST_EMPTY")
    gone = tuple(EntryRemoved(handover="HO-1", person=p, reason=REASON) for p in (ANN, BEA))
    given(decider, *AN_APPROVED, *gone).when(ISSUE).refused("MANIFEST_EMPTY")


def test_an_empty_manifest_is_not_approved():
    """Rule 7. An approver answers for people; here there are none."""
    gone = tuple(EntryRemoved(handover="HO-1", person=p, reason=REASON) for p in (ANN, BEA))
    given(decider, *A_SUBMITTED, *gone).when(APPROVE).refused("MANIFEST_EMPTY")


def test_another_person_approves():
    """Rule 7."""
    given(decider, *A_SUBMITTED).when(APPROVE).then(APPROVED)


def test_who_drafted_does_not_approve():
    """Rule 7."""
    own = APPROVE.model_copy(update={"by": "penyusun"})
    given(decider, *A_SUBMITTED).when(own).refused("ISSUER_IS_APPROVER")


def test_who_submitted_does_not_approve():
    """Rule 7. To submit is to vouch for the manifest; to approve is to check who vouched."""
    by_another = HandoverSubmitted(handover="HO-1", submitted_by="pengesah")
    given(decider, *A_DRAFT, by_another).when(APPROVE).refused("ISSUER_IS_APPROVER")


def test_who_drafted_does_not_sign():
    """Rule 7. Somebody else pressing the button does not make it somebody else's signature."""
    own = APPROVE.model_copy(update={"signatory": "penyusun"})
    given(decider, *A_SUBMITTED).when(own).refused("ISSUER_IS_APPROVER")


def test_who_approved_does_not_issue():
    """Rule 7."""
    own = ISSUE.model_copy(update={"by": "pengesah"})
    given(decider, *AN_APPROVED).when(own).refused("ISSUER_IS_APPROVER")


@pytest.mark.parametrize("history", [A_SUBMITTED, AN_APPROVED])
def test_the_approver_gives_it_back_with_a_reason(history):
    """Rule 7."""
    given(decider, *history).when(RETURN).then(HandoverReturned(handover="HO-1", reason=REASON))
    with pytest.raises(ValidationError):
        h(ReturnHandover, reason="")


def test_what_was_given_back_is_submitted_and_approved_anew():
    """Rule 7."""
    given(decider, *A_SUBMITTED, HandoverReturned(handover="HO-1", reason=REASON)).when(
        SUBMIT
    ).then(SUBMITTED).when(APPROVE).then(APPROVED).when(ISSUE).then(ISSUED)


def test_an_approval_that_was_given_back_approves_nothing():
    """Rule 7. The approver must not believe that the draft is approved again."""
    given(decider, *AN_APPROVED, HandoverReturned(handover="HO-1", reason=REASON)).when(
        APPROVE
    ).refused("HANDOVER_PHASE")


def test_nobody_approves_or_issues_out_of_turn():
    """Rule 7."""
    given(decider, *A_DRAFT).when(APPROVE).refused("HANDOVER_PHASE")
    given(decider, *A_DRAFT).when(ISSUE).refused("HANDOVER_PHASE")
    given(decider, *A_SUBMITTED).when(ISSUE).refused("HANDOVER_PHASE")
    given(decider, *AN_ISSUED).when(RETURN).refused("HANDOVER_PHASE")
    given(decider, *AN_ISSUED).when(SUBMIT).refused("HANDOVER_PHASE")


def test_a_deed_has_one_signatory_and_one_date():
    """Rule 7."""
    other = APPROVE.model_copy(update={"deed_date": date(2019, 10, 5)})
    given(decider, *AN_APPROVED).when(other).refused("HANDOVER_PHASE")


def test_the_deed_is_issued_with_its_number_and_the_approved_date():
    given(decider, *AN_APPROVED).when(ISSUE).then(ISSUED)


def test_a_deed_has_one_number():
    other = h(IssueHandover, deed_number="BAST/2/2019")
    given(decider, *AN_ISSUED).when(other).refused("HANDOVER_PHASE")


# Departure


def test_a_planned_departure_is_no_departure():
    """Rule 4. The day of the plan comes and goes; only somebody who says so makes it a fact."""
    assert given(decider, *AN_ISSUED).state.departed_at is None


def test_they_depart_once_the_deed_is_issued():
    given(decider, *AN_ISSUED).when(DEPART).then(DEPARTED)
    given(decider, *AN_APPROVED).when(DEPART).refused("HANDOVER_PHASE")


def test_they_depart_on_another_day_than_was_planned():
    """Rule 4. The plan stays what it was; the fact has its own time."""
    later = DEPART.model_copy(update={"now": NOW + 48 * HOUR, "occurred_at": NOW + 47 * HOUR})
    at = DEPARTED.model_copy(update={"departed_at": NOW + 47 * HOUR})
    given(decider, *AN_ISSUED).when(later).then(at)


def test_they_depart_at_one_time():
    """Rule 18. Another time is a correction."""
    other = DEPART.model_copy(update={"occurred_at": NOW - HOUR})
    given(decider, *A_DEPARTED).when(other).refused("DEPARTURE_DIFFERS")


def test_a_departure_that_did_not_occur_is_taken_back():
    """Rule 18."""
    given(decider, *A_DEPARTED).when(h(CorrectDeparture, reason=REASON)).then(CORRECTED)


def test_after_the_correction_they_depart_at_the_right_time():
    """Rule 18. The wrong departure stays in the history."""
    early = DEPART.model_copy(update={"occurred_at": NOW - HOUR})
    given(decider, *A_DEPARTED, CORRECTED).when(early).then(
        DEPARTED.model_copy(update={"departed_at": NOW - HOUR})
    )


def test_a_departure_is_not_taken_back_once_somebody_arrived():
    """Rule 18. Who arrived has departed."""
    given(decider, *A_DEPARTED, answered(ANN)).when(h(CorrectDeparture, reason=REASON)).refused(
        "ALREADY_ACKNOWLEDGED"
    )


def test_there_is_no_departure_to_take_back_before_there_is_one():
    given(decider, *AN_ISSUED).when(h(CorrectDeparture, reason=REASON)).nothing()


def test_a_closed_handovers_departure_is_not_taken_back():
    given(decider, *A_DEPARTED, answered(ANN), answered(BEA), CLOSED).when(
        h(CorrectDeparture, reason=REASON)
    ).refused("HANDOVER_PHASE")


# What the receiving office says


def test_nobody_is_handed_over_by_leaving():
    """Rule 5. Responsibility passes with the acknowledgement, not with the dispatch."""
    assert given(decider, *A_DEPARTED).state.answers.given == {}


def test_responsibility_passes_one_person_at_a_time():
    """Rule 5."""
    after = given(decider, *A_DEPARTED).when(answer(ANN)).then(answered(ANN))
    assert set(after.state.answers.given) == {ANN}


def test_the_receiving_office_answers_in_as_many_sittings_as_it_needs():
    """Rule 6."""
    given(decider, *A_DEPARTED).when(answer(ANN)).then(answered(ANN)).when(
        answer(BEA, "absent", absence="left_in_transit")
    ).then(answered(BEA, "absent", absence="left_in_transit"))


def test_a_person_arrives_only_once():
    """Rule 6. To acknowledge twice is to acknowledge once."""
    later = answer(ANN).model_copy(update={"occurred_at": NOW + HOUR})
    given(decider, *A_DEPARTED, answered(ANN)).when(later).nothing()


@pytest.mark.parametrize(
    "command",
    [
        answer(ANN, office="53"),
        h(RecordUnlisted, person=CIA, identity=SEALED[CIA], office="53"),
        h(RecordDecline, reason="capacity", office="53"),
    ],
)
def test_only_the_receiving_office_acknowledges(command):
    """Rule 6."""
    given(decider, *A_DEPARTED).when(command).refused("NOT_THE_RECEIVER")


def test_a_corrected_answer_replaces_the_one_it_cites():
    """Rule 18."""
    after = (
        given(decider, *A_DEPARTED, answered(ANN))
        .when(answer(ANN, "diverted", 2, diverted_to="33", corrects=1))
        .then(answered(ANN, "diverted", 2, diverted_to="33", corrects=1))
    )
    after.when(answer(ANN)).nothing()


def test_an_answer_number_has_one_answer():
    """Rule 6. Another outcome under a known number is no repetition, and must not get lost."""
    given(decider, *A_DEPARTED, answered(ANN)).when(answer(ANN, "absent", absence="other")).refused(
        "ANSWER_DIFFERS"
    )


def test_an_answer_may_come_before_the_word_of_the_departure():
    """Rule 5. The people of a fast ship are there before the paper."""
    given(decider, *AN_ISSUED).when(answer(ANN)).then(answered(ANN)).when(DEPART).then(DEPARTED)


def test_an_answer_that_crossed_with_a_withdrawal_is_recorded_all_the_same():
    """Rule 5. She left the manifest and arrived: that is what the receiving office saw."""
    given(decider, *AN_ISSUED, ANN_WITHDRAWN).when(answer(ANN)).then(answered(ANN, listed=False))


def test_she_whose_answer_crossed_with_her_withdrawal_is_not_withdrawn_again():
    """Rule 5. Told twice, the withdrawal must not undo that she arrived."""
    crossed = given(decider, *AN_ISSUED, ANN_WITHDRAWN, answered(ANN, listed=False))
    crossed.when(withdraw(ANN)).refused("ALREADY_ACKNOWLEDGED")


def test_somebody_arrives_who_is_on_no_list():
    """Rule 1."""
    given(decider, *A_DEPARTED).when(came_unlisted(CIA)).then(seen_unlisted(CIA))


def test_who_came_on_no_list_is_recorded_though_nobody_said_who_she_is():
    """Rule 1. Her key may be gone by the time that the word of her arrives."""
    given(decider, *A_DEPARTED).when(came_unlisted(CIA, identity=None)).then(
        seen_unlisted(CIA, identity=None)
    )


def test_an_unlisted_arrival_told_again_under_another_ciphertext_is_the_same():
    """Rule 6. Each delivery seals her identity anew; she came once."""
    given(decider, *A_DEPARTED, seen_unlisted(CIA)).when(
        came_unlisted(CIA, identity="sealed-anew")
    ).nothing()


@pytest.mark.parametrize("history", [AN_ISSUED, A_DEPARTED])
def test_the_receiving_office_declines_with_a_reason(history):
    """Rule 6."""
    given(decider, *history).when(h(RecordDecline, reason="capacity", office="35")).then(
        DeclineRecorded(handover="HO-1", reason="capacity", persons=(ANN, BEA))
    )
    with pytest.raises(ValidationError):
        h(RecordDecline, office="35")


def test_a_handover_closes_when_everybody_has_an_answer():
    """Rule 1."""
    so_far = given(decider, *A_DEPARTED, answered(ANN))
    so_far.when(CLOSE).refused("ANSWERS_MISSING")
    so_far.when(answer(BEA)).then(answered(BEA)).when(CLOSE).then(CLOSED)


def test_a_handover_that_has_not_departed_does_not_close():
    """Rule 4."""
    given(decider, *AN_ISSUED, answered(ANN), answered(BEA)).when(CLOSE).refused("HANDOVER_PHASE")


def test_a_closed_handover_still_hears_a_correction():
    """Rule 18."""
    given(decider, *A_DEPARTED, answered(ANN), answered(BEA), CLOSED).when(
        answer(ANN, "absent", 2, absence="other", corrects=1)
    ).then(answered(ANN, "absent", 2, absence="other", corrects=1))


VALUES = {
    "did_not_occur": [False, True],
    **{name: [value] for name, value in PLAN.items()},
    "person": [ANN, BEA],
    "identity": [SEALED[ANN], None],
    "origin": ["35.78"],
    "reason": ["other"],
    "signatory": ["kepala-dinas"],
    "deed_date": [DEED_DATE],
    "deed_number": ["BAST/1/2019", "BAST/2/2019"],
    "outcome": ["arrived"],
    "absence": [None],
    "diverted_to": [None],
    "answer": range(1, 3),
    "corrects": [None],
    "office": ["35", "53"],
}
ADD_BEA = h(AddEntry, person=BEA, origin="35.78", identity=SEALED[BEA])
PATH = [DRAFT, ADD_ANN, ADD_BEA, SUBMIT, APPROVE, ISSUE, DEPART]


@quick
@for_any(histories(decider, VALUES, PATH))
def test_whatever_is_asked_nobody_departs_who_left_the_manifest(commands):
    """Rule 9. And every revision that another office sees is the manifest as it then is."""
    manifest, revision = set(), 0
    for event in events_of(decider, commands):
        match event:
            case EntryAdded(entry=entry):
                manifest.add(entry.person)
            case EntryRemoved(person=person):
                manifest.remove(person)
            case EntryWithdrawn(person=person):
                manifest.remove(person)
                revision += 1
                assert event.revision == revision
                assert {entry.person for entry in event.entries} == manifest
            case HandoverIssued(entries=entries):
                assert {entry.person for entry in entries} == manifest
            case HandoverDeparted(persons=persons):
                assert set(persons) == manifest


@quick
@for_any(histories(decider, VALUES, PATH))
def test_whatever_is_asked_no_deed_is_issued_by_its_approver_or_approved_by_its_drafter(commands):
    """Rule 7."""
    drafter = approver = None
    state = decider.initial
    for command in commands:
        decision = decider.decide(command, state)
        for event in decision if isinstance(decision, list) else []:
            state = decider.evolve(state, event)
            match event:
                case HandoverDrafted(issuer=issuer):
                    drafter = issuer
                case HandoverApproved():
                    approver = event.approver
                    assert approver != drafter
                case HandoverIssued():
                    assert approver is not None
                    assert command.by != approver


def test_who_stands_on_the_manifest_is_not_unlisted():
    """Rule 1: nobody is counted twice, whatever the receiver's message says."""
    given(decider, *A_DEPARTED).when(came_unlisted(ANN)).refused("IS_ON_MANIFEST")


def test_an_answer_for_somebody_who_never_stood_on_the_manifest_is_no_fact():
    """Rule 6: the receiver answers for its manifest; others it reports as unlisted."""
    given(decider, *A_DEPARTED).when(answer(CIA)).refused("NOT_ON_MANIFEST")


def test_a_manifest_has_a_bound():
    many = [
        EntryAdded(
            handover="HO-1",
            entry=ManifestEntry(person=f"PM-{n:010d}", origin="35.78"),
        )
        for n in range(100_000, 101_000)
    ]
    given(decider, DRAFTED, *many).when(ADD_ANN).refused("MANIFEST_FULL")


def test_an_unlisted_arrival_that_did_not_occur_is_taken_back():
    """Rule 18."""
    back = h(RecordUnlisted, person=CIA, office="35", did_not_occur=True)
    given(decider, *A_DEPARTED, seen_unlisted(CIA)).when(back).then(
        UnlistedArrivalCorrected(handover="HO-1", person=CIA)
    )
    given(decider, *A_DEPARTED).when(back).nothing()
