"""What the province tells the city: its answers, its confirmations, and a case's status alone."""

from typing import get_args

import pytest

from services.province import domain
from services.province.domain import arrival, case, grant, house
from services.province.publisher import publish
from shared.contracts import messages
from shared.contracts.values import CaseStatus
from shared.kernel.event import Outgoing

from ..letters import (
    AMENDED,
    ANSWERED,
    CREDIT,
    DISBURSED,
    ISSUED,
    KNOWN,
    UNLISTED,
    WHISPERED,
    tells_too_much,
    unspoken,
)
from ..spec import ANN, BEA, NOW, SEALED, aggregates

CITY = "53.71"
HERS = {"person": ANN, "city": CITY}


def status(event, word):
    return event, Outgoing(CITY, ANN, messages.CaseStatusChanged(person=ANN, status=word))


TOLD = [
    (
        arrival.ArrivalAcknowledged(**ANSWERED, city=CITY, reason=WHISPERED),
        Outgoing(CITY, ANN, messages.ArrivalAcknowledged(**ANSWERED)),
    ),
    (
        arrival.UnlistedArrivalAcknowledged(**UNLISTED, city=CITY, identity=SEALED[BEA]),
        Outgoing(CITY, BEA, messages.UnlistedArrival(**UNLISTED), {BEA: SEALED[BEA]}),
    ),
    (
        arrival.UnlistedArrivalCorrected(**UNLISTED, city=CITY, reason=WHISPERED),
        Outgoing(CITY, BEA, messages.UnlistedArrival(**UNLISTED, did_not_occur=True)),
    ),
    (
        arrival.HandoverDeclined(
            handover="HO-1",
            city=CITY,
            reason="capacity",
            explanation=WHISPERED,
            persons=(ANN, BEA),
        ),
        Outgoing(
            CITY,
            "HO-1",
            messages.HandoverDeclined(handover="HO-1", reason="capacity", persons=(ANN, BEA)),
        ),
    ),
    (
        grant.GrantConfirmed(**CREDIT, city=CITY),
        Outgoing(CITY, ANN, messages.GrantConfirmed(**CREDIT)),
    ),
    (
        grant.GrantDisputed(**CREDIT, city=CITY, reason=WHISPERED),
        Outgoing(CITY, ANN, messages.GrantDisputed(**CREDIT)),
    ),
    status(case.CaseOpened(**HERS, handover="HO-1", house="RS-1", willing=False), "in_house"),
    status(
        case.PersonAssessed(**HERS, potential=WHISPERED, wish=WHISPERED, opportunity=WHISPERED),
        "assessed",
    ),
    status(case.TrainingsChosen(**HERS, chosen=(WHISPERED,)), "in_training"),
    status(case.DeclaredReady(**HERS), "ready"),
    status(case.ReturnedToFamily(**HERS), "returned_to_family"),
    status(case.FamilyDeclined(**HERS), "declined_by_family"),
    status(case.LeftHouse(**HERS), "left_house"),
    status(case.FollowedUp(**HERS, note=WHISPERED), "follow_up"),
    status(case.CaseClosed(**HERS), "closed"),
]
"""Each event that the city hears of, and the one message that goes with it."""

KEPT = [
    arrival.HandoverExpected(**ISSUED | {"entries": KNOWN}, city=CITY),
    arrival.ExpectationAmended(**AMENDED | {"entries": KNOWN[1:]}, crossed=()),
    arrival.ExpectationWithdrawn(handover="HO-1", crossed=()),
    arrival.DepartureNoted(handover="HO-1", departed_at=NOW, did_not_occur=False),
    grant.CreditNoted(**DISBURSED, city=CITY),
    grant.FailureNoted(**CREDIT),
    grant.ReturnNoted(**CREDIT, amount_rupiah=1_000_000),
    case.TrainingsOffered(**HERS, offers=(WHISPERED,)),
    case.TrainingsChosen(**HERS, chosen=()),
    case.TrainingCompleted(**HERS, training=WHISPERED),
    case.CaseOpenedInError(**HERS),
    case.CaseWorkerAssigned(**HERS, worker="pekerja-sosial"),
    house.HouseOpened(house="RS-1", name=WHISPERED, capacity=20),
    house.PersonAdmitted(house="RS-1", person=ANN, override_reason=WHISPERED),
    house.PersonReleased(house="RS-1", person=ANN),
]
"""What stays in this office: the city's own words, offers and choices, and who sleeps where."""


def out(event):
    return list(publish("a-stream", event))


def test_every_event_of_this_office_is_either_told_or_kept():
    events = [event for event, _ in TOLD] + KEPT
    assert unspoken(aggregates(domain).values(), events) == []


@pytest.mark.parametrize(("event", "message"), TOLD, ids=lambda one: type(one).__name__)
def test_the_city_that_sent_her_hears_of_it_and_nobody_else(event, message):
    """Rule 5, rule 6, rule 21."""
    assert out(event) == [message]


@pytest.mark.parametrize("event", KEPT, ids=lambda one: type(one).__name__)
def test_what_is_none_of_the_citys_business_stays_here(event):
    """Rule 10, rule 21. That she chose no training is hers to know."""
    assert out(event) == []


@pytest.mark.parametrize("event", [event for event, _ in TOLD], ids=lambda one: type(one).__name__)
def test_nothing_that_somebody_wrote_about_her_leaves_this_office(event):
    """Rule 21. No reason, no explanation, no assessment, no note, no training by its name."""
    assert not [one for one in out(event) if tells_too_much(one)]


def test_who_came_on_no_list_is_made_known_to_the_city_beside_the_message():
    """Sealed under her own code; and nothing goes beside it where nobody knows who she is."""
    unknown = arrival.UnlistedArrivalAcknowledged(**UNLISTED, city=CITY, identity=None)
    (one,) = out(unknown)
    assert one.personal == {}
    beside = [event for event, _ in TOLD if any(one.personal for one in out(event))]
    assert [type(event) for event in beside] == [arrival.UnlistedArrivalAcknowledged]


def test_of_a_case_the_city_hears_the_status_and_nothing_else():
    """Rule 21."""
    of_a_case = [
        one for event, _ in TOLD if isinstance(event, case.CaseEvent) for one in out(event)
    ]
    assert {frozenset(type(one.message).model_fields) for one in of_a_case} == {
        frozenset({"person", "status"})
    }


def test_every_status_of_the_contract_is_told_by_some_event():
    """Rule 21."""
    sent = [one.message for event, _ in TOLD for one in out(event)]
    told = {one.status for one in sent if isinstance(one, messages.CaseStatusChanged)}
    assert told == set(get_args(CaseStatus))


def test_two_cities_hear_of_their_own_people_only():
    """Rule 21."""
    for event, _ in TOLD:
        other = event.model_copy(update={"city": "53.01"})
        assert [one.receiver for one in out(other)] == ["53.01"]
