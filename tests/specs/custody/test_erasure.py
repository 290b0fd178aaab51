"""The erasure of one person at one office, from its proposal to the last confirmation.

What other offices order is in test_order.py, what stops it in test_hold.py.
"""

from datetime import timedelta

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from shared.custody.erasure import (
    ApproveErasure,
    BeginErasure,
    ConfirmErasure,
    ErasureAnswered,
    ErasureApproved,
    ErasureBegun,
    ErasureCompleted,
    ErasureConfirmed,
    ErasureDeferred,
    ErasureExecuted,
    ErasureOrdered,
    ErasureProposed,
    ErasureRejected,
    ErasureWithheld,
    ExecuteErasure,
    HoldPlaced,
    NoteWithheld,
    OrderErasure,
    PlaceHold,
    ProposeErasure,
    RejectErasure,
    RequireNotErased,
    decider,
)

from ..spec import ANN, NOW, events_of, given, histories, quick, run, say

TODAY = NOW.date()
DAY = timedelta(days=1)
SOON, LATER = TODAY + 30 * DAY, TODAY + 60 * DAY
HERS = {"person": ANN, "erasure": "ER-1"}
GROUND = {"basis": "consent_withdrawn", "reference": "SP/TARIK/1"}
REASON = "sealed-reason"


def she(command, **fields):
    return say(command, person=ANN, **fields)


def order(office="53.71", erasure="ER-A", **fields):
    return she(OrderErasure, erasure=erasure, basis="court_order", office=office, **fields)


def ordered(office="53.71", erasure="ER-A"):
    return ErasureOrdered(person=ANN, erasure=erasure, basis="court_order", office=office)


def answered(office="53.71", erasure="ER-A"):
    return ErasureAnswered(person=ANN, erasure=erasure, office=office)


def deferred(until=SOON, office="53.71", erasure="ER-A"):
    return ErasureDeferred(person=ANN, erasure=erasure, office=office, until=until)


def begun(erasure="ER-1", basis="consent_withdrawn"):
    return ErasureBegun(person=ANN, erasure=erasure, basis=basis)


def execute(*offices, **fields):
    return she(ExecuteErasure, epoch=7, offices=offices, by="worker", **fields)


def executed(*offices, erasure="ER-1", basis="consent_withdrawn"):
    return ErasureExecuted(person=ANN, erasure=erasure, basis=basis, epoch=7, offices=offices)


def confirm(office, erasure="ER-1"):
    return she(ConfirmErasure, erasure=erasure, office=office)


def confirmed(office, erasure="ER-1"):
    return ErasureConfirmed(person=ANN, erasure=erasure, office=office)


def withhold(office, until=SOON, erasure="ER-1"):
    return she(NoteWithheld, erasure=erasure, office=office, until=until)


def withheld(office, until=SOON):
    return ErasureWithheld(**HERS, office=office, until=until)


def hold(until=SOON, **fields):
    return she(PlaceHold, until=until, reason=REASON, **fields)


def held(until=SOON):
    return HoldPlaced(person=ANN, until=until, reason=REASON)


def on(day, command):
    """The same command, said on another day."""
    return command.model_copy(update={"now": NOW + (day - TODAY)})


PROPOSE = she(ProposeErasure, erasure="ER-1", **GROUND)
APPROVE = she(ApproveErasure, by="pengesah")
REJECT = she(RejectErasure, by="pengesah")
BEGIN = she(BeginErasure, by="worker")

PROPOSED = ErasureProposed(**HERS, **GROUND, proposer="penyusun")
APPROVED = ErasureApproved(**HERS, approver="pengesah")
REJECTED = ErasureRejected(**HERS)
COMPLETED = ErasureCompleted(**HERS)
A_DECIDED = (PROPOSED, APPROVED)
A_BEGUN = (*A_DECIDED, begun())


# Two people decide


def test_an_erasure_is_proposed_on_a_ground_in_law():
    given(decider).when(PROPOSE).then(PROPOSED)
    for missing in GROUND:
        with pytest.raises(ValidationError):
            she(ProposeErasure, erasure="ER-1", **{k: v for k, v in GROUND.items() if k != missing})
    with pytest.raises(ValidationError):
        PROPOSE.model_validate(PROPOSE.model_dump() | {"basis": "inconvenient"})


def test_a_person_has_one_proposal_at_a_time():
    """Whoever proposes again proposes the same; a second number would ask offices twice."""
    again = she(ProposeErasure, erasure="ER-2", **GROUND, by="pengesah")
    given(decider, PROPOSED).when(again).nothing()
    given(decider, *A_DECIDED).when(again).nothing()


def test_a_second_person_approves():
    given(decider, PROPOSED).when(APPROVE).then(APPROVED)


def test_who_proposed_does_not_approve():
    """One person alone destroys nothing."""
    own = APPROVE.model_copy(update={"by": "penyusun"})
    given(decider, PROPOSED).when(own).refused("SECOND_PERSON")


@pytest.mark.parametrize("command", [APPROVE, REJECT])
def test_what_nobody_proposed_is_neither_approved_nor_rejected(command):
    given(decider).when(command).refused("ERASURE_UNKNOWN")


def test_a_proposal_is_rejected():
    """Said twice, it is rejected once."""
    given(decider, PROPOSED).when(REJECT).then(REJECTED)


def test_a_rejected_proposal_is_no_proposal_any_more():
    after = given(decider, PROPOSED, REJECTED)
    after.when(APPROVE).refused("ERASURE_UNKNOWN")
    after.when(REJECT).nothing()
    after.when(BEGIN).refused("ERASURE_UNDECIDED")
    after.when(execute()).refused("ERASURE_UNDECIDED")


def test_after_a_rejection_it_is_proposed_anew_and_approved():
    anew = {"person": ANN, "erasure": "ER-2"}
    given(decider, PROPOSED, REJECTED).when(she(ProposeErasure, erasure="ER-2", **GROUND)).then(
        ErasureProposed(**anew, **GROUND, proposer="penyusun")
    ).when(APPROVE).then(ErasureApproved(**anew, approver="pengesah")).when(BEGIN).then(
        begun("ER-2")
    )


def test_a_proposal_that_was_made_anew_is_rejected_anew():
    """What was rejected before does not make the second rejection quiet."""
    given(decider, PROPOSED, REJECTED, PROPOSED).when(REJECT).then(REJECTED)


def test_what_is_approved_can_not_be_taken_back():
    """The worker may be at it already: a key that is half destroyed is no key."""
    given(decider, *A_DECIDED).when(REJECT).refused("ERASURE_APPROVED")
    given(decider, *A_DECIDED).when(hold()).refused("ERASURE_APPROVED")


def test_who_was_erased_is_not_erased_again_nor_held():
    gone = given(decider, *A_BEGUN, executed())
    gone.when(PROPOSE).nothing()
    gone.when(APPROVE).refused("PERSON_ERASED")
    gone.when(REJECT).refused("PERSON_ERASED")
    gone.when(hold()).refused("PERSON_ERASED")


def test_nothing_more_is_written_about_who_was_erased():
    ask = she(RequireNotErased)
    given(decider).when(ask).nothing()
    given(decider, *A_BEGUN).when(ask).nothing()
    given(decider, *A_BEGUN, executed()).when(ask).refused("PERSON_ERASED")


# Begun, before anything is destroyed


@pytest.mark.parametrize("history", [(), (PROPOSED,), (PROPOSED, REJECTED)])
def test_nothing_is_begun_or_executed_that_two_people_did_not_decide(history):
    given(decider, *history).when(BEGIN).refused("ERASURE_UNDECIDED")
    given(decider, *history).when(execute("35")).refused("ERASURE_UNDECIDED")


def test_what_was_decided_is_begun_under_its_own_number_and_ground():
    given(decider, *A_DECIDED).when(BEGIN).then(begun())


@pytest.mark.parametrize("later", [(), (executed("35"),), (executed(), COMPLETED)])
def test_an_erasure_begins_once(later):
    """The worker that was killed begins again, at whatever line it was killed."""
    given(decider, *A_BEGUN, *later).when(BEGIN).nothing()


def test_what_is_decided_but_not_begun_is_not_executed():
    """Else a key would be gone before the log knew that it was to go."""
    given(decider, *A_DECIDED).when(execute("35")).refused("ERASURE_UNDECIDED")


def test_what_is_begun_can_not_be_taken_back():
    given(decider, *A_BEGUN).when(REJECT).refused("ERASURE_APPROVED")
    given(decider, *A_BEGUN).when(hold()).refused("ERASURE_APPROVED")


# Execution, and the offices that were told of her


def test_what_was_begun_is_executed_and_every_office_that_heard_of_her_is_asked():
    given(decider, *A_DECIDED).when(BEGIN).then(begun()).when(execute("35", "53")).then(
        executed("35", "53")
    )


def test_executed_a_second_time_asks_nobody_a_second_time():
    """The worker that was killed begins again, and may know of other offices by then."""
    given(decider, *A_BEGUN, executed("35")).when(execute("35", "53")).nothing()


def test_where_no_other_office_heard_of_her_it_is_complete_at_once():
    given(decider, *A_BEGUN).when(execute()).then(executed(), COMPLETED)


def test_it_is_complete_when_the_last_office_has_confirmed():
    after = given(decider, *A_BEGUN, executed("35", "53"))
    after = after.when(confirm("53")).then(confirmed("53"))
    assert not after.state.completed
    after = after.when(confirm("35")).then(confirmed("35"), COMPLETED)
    assert after.state.completed


def test_a_confirmation_of_a_stranger_completes_nothing():
    """Nobody answers for another office, nor for an erasure that was never asked for."""
    waiting = given(decider, *A_BEGUN, executed("35"))
    waiting.when(confirm("53")).nothing()
    waiting.when(confirm("35", "ER-2")).nothing()
    given(decider, *A_DECIDED).when(confirm("35")).nothing()
    given(decider, *A_BEGUN).when(confirm("35")).nothing()
    given(decider).when(confirm("35")).nothing()


def test_an_office_that_holds_her_data_says_until_when():
    after = given(decider, *A_BEGUN, executed("35")).when(withhold("35")).then(withheld("35"))
    after = after.when(withhold("35", LATER)).then(withheld("35", LATER))
    assert not after.state.completed
    after.when(confirm("35")).then(confirmed("35"), COMPLETED)


def test_a_stranger_withholds_nothing():
    given(decider, *A_BEGUN, executed("35")).when(withhold("53")).nothing()
    given(decider, *A_BEGUN, executed("35")).when(withhold("35", erasure="ER-2")).nothing()
    given(decider).when(withhold("35")).nothing()


# Whatever is asked


VALUES = {
    "person": [ANN],
    "erasure": ["ER-1", "ER-A"],
    "basis": ["court_order"],
    "reference": ["SP/TARIK/1"],
    "office": ["35", "53"],
    "epoch": [7],
    "offices": [(), ("35",), ("35", "53")],
    "until": [SOON, TODAY + DAY],
    "reason": [REASON],
    "now": [NOW, NOW + 2 * DAY, NOW + 90 * DAY],
}
PATH = [PROPOSE, APPROVE, BEGIN, execute("35", "53"), confirm("35"), confirm("53")]
PATH_OF_AN_ORDER = [
    order("35"),
    hold(TODAY + DAY),
    on(TODAY + 2 * DAY, BEGIN),
    on(TODAY + 2 * DAY, execute("35", "53")),
    order("53", "ER-1"),
    confirm("53", "ER-A"),
]


@pytest.mark.parametrize("path", [PATH, PATH_OF_AN_ORDER], ids=["own", "ordered"])
def test_the_usual_path_is_walked_to_its_end(path):
    """Else the histories below would begin with refusals, and show nothing."""
    walked = run(decider, path)
    assert [command for command, _ in walked] == path
    assert [command for command, decided in walked if not decided] == []


@quick
@for_any(histories(decider, VALUES, PATH))
def test_whatever_is_asked_it_completes_once_and_after_every_office_that_was_asked(commands):
    """Counted here from the events alone."""
    asked, confirmations, completed = None, set(), 0
    for event in events_of(decider, commands):
        match event:
            case ErasureExecuted(offices=offices):
                assert asked is None, "executed twice"
                asked = set(offices)
            case ErasureConfirmed(office=office):
                assert office in asked
                confirmations.add(office)
            case ErasureCompleted():
                completed += 1
                assert asked is not None
                assert asked <= confirmations
    assert completed == (asked is not None and asked <= confirmations)


@quick
@for_any(histories(decider, VALUES, [PROPOSE, REJECT, PROPOSE]))
def test_whatever_is_asked_nothing_is_approved_by_who_proposed_it(commands):
    """Also where it was rejected meanwhile, and proposed anew by somebody else."""
    proposer = None
    for event in events_of(decider, commands):
        match event:
            case ErasureProposed():
                proposer = event.proposer
            case ErasureRejected():
                proposer = None
            case ErasureApproved(approver=approver):
                assert proposer is not None
                assert approver != proposer


@quick
@for_any(histories(decider, VALUES, PATH_OF_AN_ORDER))
def test_whatever_is_asked_whoever_ordered_it_is_answered_once_it_is_done_and_not_before(commands):
    """Each by the number under which it asked last; before the end only who must not wait."""
    asked, answers, executing, completed = {}, {}, None, False
    for event in events_of(decider, commands):
        match event:
            case ErasureOrdered(office=office, erasure=number):
                asked[office] = number
            case ErasureExecuted(erasure=number):
                executing = number
            case ErasureCompleted():
                completed = True
            case ErasureAnswered(office=office, erasure=number):
                assert executing is not None
                assert completed or number <= executing
                assert asked[office] == number
                assert answers.get(office) != number, "answered twice"
                answers[office] = number
    if completed:
        assert answers == asked
