"""What the city does when a province tells it something."""

import pytest

from services.city import domain
from services.city.domain.answer import RecordArrival, RecordDecline, RecordUnlisted
from services.city.domain.beneficiary import (
    GiveWillingness,
    HandoverLeft,
    LeaveHandover,
    WithdrawWillingness,
)
from services.city.domain.case import BeginCare, CaseStatusRecorded, EndCare, RecordCaseStatus
from services.city.domain.grant import (
    ConfirmationRecorded,
    DisburseGrant,
    DisputeRecorded,
    GrantShared,
    GrantSharingStopped,
    RecordConfirmation,
    RecordDispute,
    ShareGrant,
    StopSharingGrant,
)
from services.city.domain.handover import (
    DraftHandover,
    WithdrawEntry,
)
from services.city.reactor import react
from shared.contracts import messages
from shared.kernel.decider import Refused
from shared.kernel.event import UnknownType

from ..letters import ANSWERED, CREDIT, LETTERS, UNLISTED, every_message_has_its_letter
from ..spec import ANN, BEA, CIA, HOUR, NOW, SEALED, Office, aggregates, say
from . import test_beneficiary, test_grant, test_handover

DECIDERS = aggregates(domain).values()
SAID = {"by": "office:35", "now": NOW + HOUR, "occurred_at": NOW + HOUR / 2}
BUSINESS = (
    messages.ArrivalAcknowledged,
    messages.HandoverDeclined,
    messages.UnlistedArrival,
    messages.GrantConfirmed,
    messages.GrantDisputed,
    messages.CaseStatusChanged,
)


def told(message, sender="35", identities=SEALED):
    actor = f"office:{sender}"
    return react(sender, message, actor, SAID["now"], SAID["occurred_at"], identities)


def answer(person=ANN, outcome="arrived", number=1, handover="HO-1", **fields):
    return messages.ArrivalAcknowledged(
        handover=handover, person=person, outcome=outcome, at=NOW, answer=number, **fields
    )


def absent(person=ANN, number=1, why="other", handover="HO-1", **fields):
    return answer(person, "absent", number, handover, absence=why, **fields)


DECLINED = messages.HandoverDeclined(handover="HO-1", reason="capacity", persons=(ANN, BEA))
READY = messages.CaseStatusChanged(person=ANN, status="ready")


# Each message becomes this office's own commands


def kinds(commands):
    """Each kind of command, and of whom it speaks."""
    return [(type(one), getattr(one, "person", None)) for one in commands]


def test_every_message_of_the_contract_is_looked_at():
    assert every_message_has_its_letter()


@pytest.mark.parametrize("letter", [one for one in LETTERS if type(one) not in BUSINESS])
def test_what_only_a_city_tells_is_none_of_this_offices_business(letter):
    with pytest.raises(UnknownType) as unknown:
        told(letter)
    assert str(unknown.value) == letter.type


@pytest.mark.parametrize("letter", [one for one in LETTERS if type(one) in BUSINESS])
def test_every_fact_that_was_told_says_who_told_it_and_when(letter):
    """Rule 6, rule 17. No message says by itself which office it is from."""
    assert not {"sender", "office"} & set(type(letter).model_fields)
    for command in told(letter):
        assert (command.by, command.now) == (SAID["by"], SAID["now"])
        assert getattr(command, "office", "35") == "35"
        recorded = isinstance(command, RecordArrival | RecordUnlisted)
        assert command.occurred_at == (NOW if recorded else SAID["occurred_at"])


def test_an_answer_is_recorded_as_it_was_given():
    """Rule 5, rule 18. With it she leaves the handover, for the cause that the answer gives."""
    record, leave, *_ = told(messages.ArrivalAcknowledged(**ANSWERED))
    about_it = {name: value for name, value in ANSWERED.items() if name != "at"}
    assert record == RecordArrival(**SAID | {"occurred_at": NOW}, **about_it, office="35")
    assert leave == LeaveHandover(**SAID, person=ANN, handover="HO-1", cause="diverted")


def test_who_arrived_is_in_that_offices_care_and_her_grant_its_business():
    """Rule 5, rule 16."""
    assert kinds(told(answer()))[2:] == [(BeginCare, ANN), (ShareGrant, ANN)]


@pytest.mark.parametrize("message", [absent(), answer(outcome="diverted", diverted_to="33")])
def test_who_did_not_arrive_is_not_in_its_care_and_her_grant_not_its_business(message):
    """Rule 5, rule 21."""
    assert kinds(told(message))[2:] == [(EndCare, ANN), (StopSharingGrant, ANN)]


def test_who_is_on_no_list_is_in_that_offices_care_all_the_same():
    """Rule 1, rule 5."""
    commands = told(messages.UnlistedArrival(**UNLISTED))
    assert kinds(commands)[:2] == [(RecordUnlisted, BEA), (BeginCare, BEA)]


def test_who_came_on_no_list_is_recorded_with_the_identity_that_came_beside_the_message():
    """Her own, and nobody else's; and with none where none came."""
    came = messages.UnlistedArrival(**UNLISTED)
    recorded, *_ = told(came)
    assert recorded.identity == SEALED[BEA]
    recorded, *_ = told(came, identities={ANN: SEALED[ANN]})
    assert recorded.identity is None


def test_a_refusal_is_for_everybody_on_the_list():
    """Rule 6, rule 21. Nobody waits for a handover that is not taken, and no money is spoken of."""
    record, *rest = told(DECLINED)
    assert record == RecordDecline(**SAID, handover="HO-1", reason="capacity", office="35")
    assert kinds(rest) == [
        (LeaveHandover, ANN),
        (StopSharingGrant, ANN),
        (LeaveHandover, BEA),
        (StopSharingGrant, BEA),
    ]


@pytest.mark.parametrize(
    ("message", "command"),
    [
        (messages.GrantConfirmed(**CREDIT), RecordConfirmation(**SAID, **CREDIT, office="35")),
        (messages.GrantDisputed(**CREDIT), RecordDispute(**SAID, **CREDIT, office="35")),
        (READY, RecordCaseStatus(**SAID, person=ANN, status="ready", office="35")),
    ],
)
def test_a_word_about_her_account_or_her_case_is_recorded(message, command):
    """Rule 19, rule 21."""
    assert told(message) == [command]


# And what then happens here


def handed_over(number=1, office="35"):
    """Handover number so and so of one person: drafted, approved, issued, departed."""
    name = f"HO-{number}"
    enter = test_beneficiary.enter(name, office)
    first, *steps = [one for one in test_handover.PATH if one != test_handover.ADD_BEA]
    draft = first.model_copy(update={"handover": name, "receiving_office": office})
    steps = [one.model_copy(update={"handover": name}) for one in steps]
    return [enter, draft, *steps, test_grant.share(office, name)]


def on_their_way():
    """Ann is registered, has her money, and has left for the East with the first handover."""
    office = Office(DECIDERS)
    office.does(*test_beneficiary.PATH[:3], test_grant.disburse(), *handed_over())
    return office


def happened(events, kind):
    return [event for event in events if isinstance(event, kind)]


def state(office, stream):
    return office.states[stream]


def her_office(office):
    """Who looks after her, and who hears of her money."""
    return state(office, f"case-{ANN}").office, state(office, f"grant-{ANN}").office


def test_her_arrival_passes_responsibility_in_one_step():
    """Rule 5."""
    office = on_their_way()
    office.does(*told(answer()))
    assert state(office, "handover-HO-1").answers.given == {ANN: (1, "arrived")}
    assert state(office, f"beneficiary-{ANN}").left == ("HO-1", "arrived")
    assert her_office(office) == ("35", "35")


@pytest.mark.parametrize(
    "message",
    [
        answer(),
        absent(),
        answer(outcome="diverted", diverted_to="33"),
        messages.UnlistedArrival(**UNLISTED | {"person": CIA}),
        DECLINED.model_copy(update={"persons": (ANN,)}),
        messages.GrantConfirmed(**CREDIT),
        messages.GrantDisputed(**CREDIT),
    ],
)
def test_what_is_told_twice_happens_once(message):
    """Rule 6, rule 15."""
    office = on_their_way()
    assert office.does(*told(message))
    assert office.does(*told(message)) == []


def test_a_status_that_is_told_twice_is_one_status():
    """Rule 21."""
    office = on_their_way()
    office.does(*told(answer()))
    assert office.does(*told(READY)) == [
        CaseStatusRecorded(person=ANN, status="ready", office="35")
    ]
    assert office.does(*told(READY)) == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (answer(), "NOT_THE_RECEIVER"),
        (absent(), "NOT_THE_RECEIVER"),
        (messages.UnlistedArrival(**UNLISTED), "NOT_THE_RECEIVER"),
        (DECLINED, "NOT_THE_RECEIVER"),
        (READY, "NOT_HER_OFFICE"),
        (messages.GrantConfirmed(**CREDIT), "NOT_HER_OFFICE"),
        (messages.GrantDisputed(**CREDIT), "NOT_HER_OFFICE"),
    ],
)
def test_another_office_changes_nothing_at_all(message, code):
    """Rule 6. What belongs together falls together: no care, no grant, no leaving."""
    office = on_their_way()
    office.does(*told(answer()))
    before = dict(office.states)
    refused = office.hears(told(message, "53"))
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert office.states == before


def test_no_status_is_told_of_somebody_who_has_not_arrived():
    """Rule 5, rule 21."""
    refused = on_their_way().hears(told(READY))
    assert isinstance(refused, Refused)
    assert refused.code == "NOT_HER_OFFICE"


def test_a_corrected_answer_takes_care_and_grant_back_and_gives_them_again():
    """Rule 18."""
    office = on_their_way()
    office.does(*told(answer()))
    events = office.does(*told(absent(number=2, corrects=1)))
    assert happened(events, HandoverLeft) == [test_beneficiary.left("absent")]
    assert happened(events, GrantSharingStopped) == [test_grant.stopped()]
    assert her_office(office) == (None, None)
    office.does(*told(answer(number=3, corrects=2)))
    assert her_office(office) == ("35", "35")


def test_after_a_refusal_she_can_be_handed_over_to_somebody_else():
    """Rule 8. And the office that did not take her hears no more of her money."""
    office = on_their_way()
    events = office.does(*told(DECLINED.model_copy(update={"persons": (ANN,)})))
    assert happened(events, GrantSharingStopped) == [test_grant.stopped()]
    office.does(*handed_over(2))


def test_a_relay_passes_care_and_grant_on():
    """Rule 5, rule 8. The second handover names the first, and goes where she was diverted to."""
    office = on_their_way()
    office.does(*told(answer(outcome="diverted", diverted_to="33")))
    headed = test_beneficiary.HEADED_EAST.model_copy(update={"destination": "33"})
    office.does(say(test_beneficiary.DetermineDestination, **headed.model_dump()))
    enter, draft, *rest = handed_over(2, "33")
    assert isinstance(draft, DraftHandover)
    office.does(enter, draft.model_copy(update={"predecessor": "HO-1"}), *rest)
    events = office.does(*told(answer(handover="HO-2"), "33"))
    assert happened(events, GrantShared) == []
    assert her_office(office) == ("33", "33")


def test_an_answer_that_crossed_with_her_withdrawal_is_heard_all_the_same():
    """Rule 5, rule 9. She left the manifest here and arrived there: there she is looked after."""
    office = Office(DECIDERS)
    steps = [one for one in test_handover.PATH if one != test_handover.DEPART]
    office.does(*test_beneficiary.PATH, *steps, test_grant.share())
    office.does(
        say(WithdrawWillingness, person=ANN, handover="HO-1"),
        say(WithdrawEntry, person=ANN, handover="HO-1", reason="Ia ingin menunggu"),
        test_beneficiary.leave("withdrawn"),
        say(StopSharingGrant, person=ANN, office="35", handover="HO-1"),
    )
    office.does(*told(answer()))
    assert state(office, f"beneficiary-{ANN}").left == ("HO-1", "arrived")
    assert her_office(office) == ("35", "35")


def missed_the_first_ship():
    """She was absent from the first handover and is with the second, to the same office."""
    office = on_their_way()
    office.does(*told(absent()))
    office.does(*handed_over(2))
    return office


WORDS_ABOUT_THE_FIRST = [
    absent(number=2, why="not_on_transport", corrects=1),
    answer(outcome="diverted", number=2, diverted_to="33", corrects=1),
    DECLINED.model_copy(update={"persons": (ANN,)}),
]


@pytest.mark.parametrize("late", WORDS_ABOUT_THE_FIRST, ids=lambda one: one.type)
def test_a_late_word_about_an_older_handover_does_not_end_her_care(late):
    """Rule 5, rule 8, rule 18. She missed the first ship and came with another."""
    office = missed_the_first_ship()
    office.does(*told(answer(handover="HO-2")))
    office.does(*told(late))
    assert her_office(office) == ("35", "35")
    assert office.does(*told(READY))


@pytest.mark.parametrize("late", WORDS_ABOUT_THE_FIRST, ids=lambda one: one.type)
def test_a_late_word_about_an_older_handover_hides_no_grant_from_the_newer_one(late):
    """Rule 16. The office that expects her with the second handover knows of her grant."""
    office = missed_the_first_ship()
    office.does(*told(late))
    assert state(office, f"grant-{ANN}").office == "35"


def test_the_grant_of_somebody_who_was_on_no_list_is_that_offices_business_too():
    """Rule 16, rule 19. Without it she could never be told to have her capital, nor go home."""
    office = on_their_way()
    office.does(*told(messages.UnlistedArrival(**UNLISTED | {"person": CIA})))
    credit = test_grant.disburse().model_copy(update={"person": CIA})
    assert isinstance(credit, DisburseGrant)
    assert [one.office for one in office.does(credit)] == ["35"]


def test_her_office_speaks_for_her_account():
    """Rule 19."""
    office = on_their_way()
    office.does(*told(answer()))
    assert office.does(*told(messages.GrantDisputed(**CREDIT))) == [
        DisputeRecorded(**CREDIT, office="35")
    ]
    assert office.does(*told(messages.GrantConfirmed(**CREDIT))) == [
        ConfirmationRecorded(**CREDIT, office="35")
    ]


def test_she_who_changes_her_mind_again_enters_anew_with_a_new_statement():
    """Rule 8, rule 9. After a refusal, and with a statement that she did not take back."""
    office = on_their_way()
    office.does(*told(DECLINED.model_copy(update={"persons": (ANN,)})))
    office.does(
        say(WithdrawWillingness, person=ANN),
        say(GiveWillingness, person=ANN, statement="SP/002"),
        *handed_over(2),
    )
    assert state(office, f"beneficiary-{ANN}").handover == "HO-2"
