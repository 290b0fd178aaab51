"""The case: from her arrival at the halfway house to her return to her family, and after."""

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.province.domain.case import (
    AssessPerson,
    AssignCase,
    CancelCase,
    CaseClosed,
    CaseOpened,
    CaseOpenedInError,
    CaseWorkerAssigned,
    ChooseTrainings,
    CloseCase,
    CompleteTraining,
    DeclaredReady,
    DeclareReady,
    FamilyDeclined,
    FollowedUp,
    FollowUp,
    LeaveHouse,
    LeftHouse,
    OfferTrainings,
    OpenCase,
    PersonAssessed,
    RecordFamilyDecline,
    RequireAssigned,
    ReturnedToFamily,
    ReturnToFamily,
    TakeCase,
    TrainingCompleted,
    TrainingsChosen,
    TrainingsOffered,
    decider,
)

from ..spec import ANN, events_of, given, histories, quick, say

HERS = {"person": ANN, "city": "53.71"}
ARRIVAL = HERS | {"handover": "HO-1", "house": "RS-1", "willing": True}
SEALED = {"potential": "sealed-1", "wish": "sealed-2", "opportunity": "sealed-3"}
OFFERS = ("Salon", "Tata boga", "Menjahit", "Kerajinan")


def she(command, **fields):
    return say(command, person=ANN, **fields)


def offered(*offers):
    return TrainingsOffered(**HERS, offers=offers)


def chosen(*trainings):
    return TrainingsChosen(**HERS, chosen=trainings)


def choose(*trainings):
    return she(ChooseTrainings, chosen=trainings)


OPENED = CaseOpened(**ARRIVAL)
ASSESSED = PersonAssessed(**HERS, **SEALED)
OFFERED = offered(*OFFERS)
READY = DeclaredReady(**HERS)
HOME = ReturnedToFamily(**HERS)
FAMILY_DECLINED = FamilyDeclined(**HERS)
LEFT = LeftHouse(**HERS)
CLOSED = CaseClosed(**HERS)
IN_ERROR = CaseOpenedInError(**HERS)

OPEN = say(OpenCase, **ARRIVAL)
ASSESS = she(AssessPerson, **SEALED)
DECLARE_READY = she(DeclareReady)
GO_HOME = she(ReturnToFamily, agrees=True)
CLOSE = she(CloseCase)


TAKE = she(TakeCase, by="pekerja-sosial")
IS_MINE = she(RequireAssigned, by="pekerja-sosial")
OPENED_AGAIN = CaseOpened(**ARRIVAL | {"handover": "HO-2"})


def worked_on_by(worker):
    return CaseWorkerAssigned(**HERS, worker=worker)


# Arrival


def test_a_case_opens_with_her_arrival():
    given(decider).when(OPEN).then(OPENED)


def test_she_is_asked_again_on_arrival():
    """Rule 9. The answer is recorded, whatever it is; without asking there is no case."""
    given(decider).when(OPEN.model_copy(update={"willing": False})).then(
        CaseOpened(**ARRIVAL | {"willing": False})
    )
    with pytest.raises(ValidationError):
        say(OpenCase, **{name: value for name, value in ARRIVAL.items() if name != "willing"})


def test_a_person_has_one_open_case():
    """Rule 8."""
    other = OPEN.model_copy(update={"handover": "HO-2"})
    given(decider, OPENED).when(other).refused("CASE_OPEN_ELSEWHERE")
    given(decider, OPENED, FAMILY_DECLINED).when(other).refused("CASE_OPEN_ELSEWHERE")


def test_a_person_lives_in_one_house():
    """Rule 11. Acknowledged again with another house, she would take up two beds."""
    other = OPEN.model_copy(update={"house": "RS-2"})
    given(decider, OPENED).when(other).refused("CASE_IN_ANOTHER_HOUSE")


@pytest.mark.parametrize("ending", [HOME, LEFT])
def test_she_can_come_back_with_another_handover(ending):
    """Rule 8."""
    again = ARRIVAL | {"handover": "HO-2"}
    after = given(decider, OPENED, ASSESSED, READY, ending, CLOSED)
    after = after.when(say(OpenCase, **again)).then(CaseOpened(**again))
    after.when(GO_HOME).refused("NOT_READY")


def test_an_arrival_told_twice_does_not_open_a_closed_case_again():
    """Rule 6."""
    given(decider, OPENED, LEFT, CLOSED).when(OPEN).nothing()


def test_a_case_that_was_opened_in_error_is_taken_back():
    """Rule 18."""
    given(decider, OPENED).when(she(CancelCase)).then(IN_ERROR)
    given(decider).when(she(CancelCase)).nothing()


def test_after_an_error_the_case_opens_when_she_really_arrives():
    """Rule 18."""
    given(decider, OPENED, ASSESSED, IN_ERROR).when(ASSESS).refused("CASE_UNKNOWN")
    given(decider, OPENED, ASSESSED, IN_ERROR).when(OPEN).then(OPENED)


@pytest.mark.parametrize(
    "command",
    [ASSESS, choose(), DECLARE_READY, GO_HOME, she(LeaveHouse), CLOSE, TAKE, IS_MINE],
)
def test_nothing_is_decided_about_a_case_that_is_not_open(command):
    given(decider).when(command).refused("CASE_UNKNOWN")


# Whose case it is


def test_a_case_that_nobody_has_is_taken_by_who_works_on_it():
    given(decider, OPENED).when(TAKE).then(worked_on_by("pekerja-sosial"))


def test_a_case_that_somebody_has_is_not_taken_from_her():
    """Notes about a person are for the one who works with her."""
    given(decider, OPENED, worked_on_by("pekerja-lain")).when(TAKE).refused("CASE_ASSIGNED")


def test_a_case_is_given_to_another_worker_whoever_had_it():
    """A worker falls ill, or leaves; the case goes on."""
    give = she(AssignCase, worker="pekerja-lain", by="admin")
    given(decider, OPENED).when(give).then(worked_on_by("pekerja-lain"))
    given(decider, OPENED, worked_on_by("pekerja-sosial")).when(give).then(
        worked_on_by("pekerja-lain")
    )


def test_who_gave_a_case_away_does_not_work_on_it_herself():
    """To give it is not to have it: an admin assigns and sees nothing."""
    give = she(AssignCase, worker="pekerja-lain", by="admin")
    after = given(decider, OPENED).when(give).then(worked_on_by("pekerja-lain"))
    after.when(she(RequireAssigned, by="admin")).refused("NOT_ASSIGNED")


def test_only_who_has_the_case_is_asked_in_on_it():
    """It changes nothing: it only says whether this is hers."""
    given(decider, OPENED).when(IS_MINE).refused("NOT_ASSIGNED")
    given(decider, OPENED, worked_on_by("pekerja-lain")).when(IS_MINE).refused("NOT_ASSIGNED")
    given(decider, OPENED, worked_on_by("pekerja-sosial")).when(IS_MINE).nothing()


def test_who_had_the_case_before_does_not_have_it_any_more():
    given(decider, OPENED, worked_on_by("pekerja-sosial"), worked_on_by("pekerja-lain")).when(
        IS_MINE
    ).refused("NOT_ASSIGNED")


@pytest.mark.parametrize("beginning_anew", [(IN_ERROR, OPENED), (LEFT, CLOSED, OPENED_AGAIN)])
def test_a_case_that_begins_anew_is_nobodys(beginning_anew):
    """Who worked with her the last time does not see what she says this time."""
    given(decider, OPENED, worked_on_by("pekerja-sosial"), *beginning_anew).when(IS_MINE).refused(
        "NOT_ASSIGNED"
    )


# Assessment and trainings


def test_each_assessment_is_a_new_one():
    given(decider, OPENED).when(ASSESS).then(ASSESSED, a_new_fact_each_time=True)


def test_trainings_are_offered_by_what_she_can_and_wants():
    """Rule 10."""
    offer = she(OfferTrainings, offers=OFFERS)
    given(decider, OPENED).when(offer).refused("ASSESSMENT_MISSING")
    given(decider, OPENED, ASSESSED).when(offer).then(OFFERED)


@pytest.mark.parametrize("trainings", [(), OFFERS[:1], OFFERS[:2], OFFERS[:3]])
def test_she_chooses_one_two_three_or_none(trainings):
    """Rule 10."""
    given(decider, OPENED, ASSESSED, OFFERED).when(choose(*trainings)).then(chosen(*trainings))


def test_she_does_not_take_more_than_three():
    with pytest.raises(ValidationError):
        choose(*OFFERS)


def test_she_changes_her_mind():
    """Rule 10."""
    given(decider, OPENED, ASSESSED, OFFERED).when(choose("Salon")).then(chosen("Salon")).when(
        choose()
    ).then(chosen()).when(choose("Menjahit")).then(chosen("Menjahit"))


def test_she_chooses_from_what_was_offered():
    so_far = given(decider, OPENED, ASSESSED, OFFERED)
    so_far.when(choose("Las")).refused("TRAINING_NOT_OFFERED")
    so_far.when(choose("Salon", "Salon")).refused("TRAINING_NOT_OFFERED")


def test_a_training_that_she_chose_is_completed():
    complete = she(CompleteTraining, training="Salon")
    given(decider, OPENED, ASSESSED, OFFERED, chosen("Salon")).when(complete).then(
        TrainingCompleted(**HERS, training="Salon")
    )
    given(decider, OPENED, ASSESSED, OFFERED, chosen()).when(complete).refused(
        "TRAINING_NOT_CHOSEN"
    )
    given(decider, OPENED, ASSESSED, OFFERED).when(complete).refused("TRAINING_NOT_CHOSEN")


def test_one_more_offer_does_not_take_her_choice_from_her():
    """Rule 10. She is in the middle of a training when another becomes possible."""
    given(decider, OPENED, ASSESSED, offered("Salon"), chosen("Salon")).when(
        she(OfferTrainings, offers=("Salon", "Menjahit"))
    ).then(offered("Salon", "Menjahit")).when(she(CompleteTraining, training="Salon")).then(
        TrainingCompleted(**HERS, training="Salon")
    )


def test_a_choice_that_is_not_offered_any_more_is_asked_again():
    """Rule 10."""
    given(decider, OPENED, ASSESSED, offered("Salon"), chosen("Salon"), offered("Menjahit")).when(
        she(CompleteTraining, training="Salon")
    ).refused("TRAINING_NOT_CHOSEN")


def test_declining_every_training_is_no_obstacle_on_her_way_home():
    """Rule 10."""
    given(decider, OPENED, ASSESSED, OFFERED, chosen()).when(DECLARE_READY).then(READY).when(
        GO_HOME
    ).then(HOME)


def test_no_word_of_a_training_touches_her_grant():
    """Rule 10. The case has no money in it."""
    for event in decider.events:
        assert not [name for name in event.model_fields if "rupiah" in name or "grant" in name]


# Home


def test_she_is_ready_after_an_assessment():
    """Rule 19."""
    given(decider, OPENED).when(DECLARE_READY).refused("NOT_READY")
    given(decider, OPENED, ASSESSED).when(DECLARE_READY).then(READY)


def test_she_returns_to_her_family_when_she_is_ready():
    """Rule 19."""
    given(decider, OPENED, ASSESSED).when(GO_HOME).refused("NOT_READY")
    given(decider, OPENED, ASSESSED, READY).when(GO_HOME).then(HOME)


def test_she_returns_to_her_family_only_when_she_agrees():
    """Rule 19."""
    no = she(ReturnToFamily, agrees=False)
    after = given(decider, OPENED, ASSESSED, READY).when(no).refused("AGREEMENT_MISSING")
    after.when(GO_HOME).then(HOME)


def test_a_familys_refusal_is_an_outcome():
    """Rule 19. Before she goes, or when she stands at the door."""
    refuse = she(RecordFamilyDecline)
    given(decider, OPENED).when(refuse).then(FAMILY_DECLINED)
    given(decider, OPENED, ASSESSED, READY, HOME).when(refuse).then(FAMILY_DECLINED)


def test_after_a_familys_refusal_readiness_is_asked_anew():
    """Rule 19."""
    given(decider, OPENED, ASSESSED, READY, FAMILY_DECLINED).when(GO_HOME).refused(
        "NOT_READY"
    ).when(DECLARE_READY).then(READY).when(GO_HOME).then(HOME)


def test_after_a_familys_refusal_she_can_still_be_trained():
    """Rule 19."""
    given(decider, OPENED, ASSESSED, OFFERED, FAMILY_DECLINED).when(choose("Salon")).then(
        chosen("Salon")
    )


@pytest.mark.parametrize(
    "history", [(OPENED,), (OPENED, ASSESSED, READY), (OPENED, FAMILY_DECLINED)]
)
def test_she_leaves_when_she_wants_to(history):
    """Rule 10. It is an event, not an offence: nobody is asked, and no reason is recorded."""
    given(decider, *history).when(she(LeaveHouse)).then(LEFT)
    assert set(LeftHouse.model_fields) == {"person", "city"}


def test_who_left_is_neither_assessed_nor_returned():
    given(decider, OPENED, ASSESSED, READY, LEFT).when(GO_HOME).refused("CASE_PHASE")
    given(decider, OPENED, LEFT).when(ASSESS).refused("CASE_PHASE")
    given(decider, OPENED, LEFT).when(she(RecordFamilyDecline)).refused("CASE_PHASE")
    given(decider, OPENED, ASSESSED, READY, HOME).when(she(LeaveHouse)).refused("CASE_PHASE")


# After


@pytest.mark.parametrize("history", [(OPENED, ASSESSED, READY, HOME), (OPENED, LEFT)])
def test_each_follow_up_is_a_new_one(history):
    given(decider, *history).when(she(FollowUp, note="sealed")).then(
        FollowedUp(**HERS, note="sealed"), a_new_fact_each_time=True
    )


def test_care_after_the_house_begins_after_the_house():
    given(decider, OPENED).when(she(FollowUp, note="sealed")).refused("CASE_PHASE")


def test_a_new_assessment_asks_anew_whether_she_is_ready():
    given(decider, OPENED, ASSESSED, READY, ASSESSED).when(GO_HOME).refused("NOT_READY")


def test_a_closed_case_is_not_followed_up():
    given(decider, OPENED, LEFT, CLOSED).when(she(FollowUp, note="sealed")).refused("CASE_PHASE")


@pytest.mark.parametrize(
    "history", [(OPENED, ASSESSED, READY, HOME), (OPENED, LEFT), (OPENED, FAMILY_DECLINED)]
)
def test_a_case_closes_with_its_outcome(history):
    given(decider, *history).when(CLOSE).then(CLOSED)


def test_a_case_does_not_close_while_she_is_in_the_house():
    given(decider, OPENED).when(CLOSE).refused("CASE_STILL_OPEN")


def test_no_event_but_her_own_assessment_and_follow_up_has_words_about_her():
    """Rule 21. What is not written down cannot travel."""
    wordy = {"note", "reason", "potential", "wish", "opportunity"}
    assert {event for event in decider.events if wordy & set(event.model_fields)} == {
        PersonAssessed,
        FollowedUp,
    }


VALUES = {
    **{name: [value] for name, value in (ARRIVAL | SEALED).items()},
    "handover": ["HO-1", "HO-2"],
    "willing": [True],
    "offers": [("Salon",), ("Salon", "Menjahit")],
    "chosen": [(), ("Salon",), ("Menjahit",)],
    "training": ["Salon", "Menjahit"],
    "agrees": [True, False],
    "note": ["sealed"],
    "worker": ["penyusun", "pekerja-lain"],
}
PATH = [
    OPEN,
    ASSESS,
    she(OfferTrainings, offers=("Salon",)),
    choose("Salon"),
    DECLARE_READY,
    GO_HOME,
    CLOSE,
]


@quick
@for_any(histories(decider, VALUES, PATH))
def test_whatever_is_asked_nobody_goes_home_who_is_not_ready(commands):
    """Rule 19. Counted here from the events alone."""
    ready = assessed = False
    for event in events_of(decider, commands):
        match event:
            case CaseOpened() | CaseOpenedInError():
                ready = assessed = False
            case PersonAssessed():
                assessed = True
            case DeclaredReady():
                assert assessed
                ready = True
            case FamilyDeclined():
                ready = False
            case ReturnedToFamily():
                assert ready
