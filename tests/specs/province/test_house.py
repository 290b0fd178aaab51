"""The halfway house: its capacity, and who lives there now."""

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from services.province.domain.house import (
    AdmitPerson,
    HouseOpened,
    OpenHouse,
    PersonAdmitted,
    PersonReleased,
    ReleasePerson,
    decider,
)

from ..spec import ANN, BEA, CIA, events_of, given, histories, quick, say

FACTS = {"house": "RS-1", "name": "Rumah singgah contoh", "capacity": 2}
OPENED = HouseOpened(**FACTS)
OPEN = say(OpenHouse, **FACTS)


def admit(person, override=None):
    return say(AdmitPerson, house="RS-1", person=person, override_reason=override)


def admitted(person, override=None):
    return PersonAdmitted(house="RS-1", person=person, override_reason=override)


def release(person):
    return say(ReleasePerson, house="RS-1", person=person)


def released(person):
    return PersonReleased(house="RS-1", person=person)


def test_a_house_is_recorded_with_its_capacity():
    given(decider).when(OPEN).then(OPENED)


def test_a_house_is_enlarged():
    larger = FACTS | {"capacity": 3}
    given(decider, OPENED, admitted(ANN), admitted(BEA)).when(say(OpenHouse, **larger)).then(
        HouseOpened(**larger)
    ).when(admit(CIA)).then(admitted(CIA))


@pytest.mark.parametrize("capacity", [0, -1, 1.0, "2", True])
def test_a_capacity_is_a_whole_number_of_at_least_one(capacity):
    with pytest.raises(ValidationError):
        say(OpenHouse, **FACTS | {"capacity": capacity})


def test_nobody_is_admitted_to_a_house_that_is_not_recorded():
    given(decider).when(admit(ANN)).refused("HOUSE_UNKNOWN")
    given(decider).when(release(ANN)).refused("HOUSE_UNKNOWN")


def test_a_person_is_admitted_once():
    given(decider, OPENED).when(admit(ANN)).then(admitted(ANN))


def test_a_full_house_takes_nobody_without_an_override():
    """Rule 11."""
    given(decider, OPENED, admitted(ANN), admitted(BEA)).when(admit(CIA)).refused("HOUSE_FULL")


def test_an_arrival_beyond_the_capacity_needs_a_recorded_reason():
    """Rule 11."""
    full = given(decider, OPENED, admitted(ANN), admitted(BEA))
    full.when(admit(CIA, "Kapal tiba malam")).then(admitted(CIA, "Kapal tiba malam"))
    with pytest.raises(ValidationError):
        admit(CIA, "")


def test_a_resident_of_a_full_house_is_admitted_already():
    """Rule 11. To be admitted twice is to be admitted once, in a full house too."""
    given(decider, OPENED, admitted(ANN), admitted(BEA)).when(admit(BEA)).nothing()


def test_who_goes_makes_room():
    """Rule 11."""
    given(decider, OPENED, admitted(ANN), admitted(BEA)).when(release(ANN)).then(
        released(ANN)
    ).when(admit(CIA)).then(admitted(CIA))


def test_who_does_not_live_there_need_not_go():
    given(decider, OPENED).when(release(ANN)).nothing()


VALUES = {
    "house": ["RS-1"],
    "name": ["Rumah singgah contoh"],
    "capacity": [1, 2],
    "person": [ANN, BEA, CIA],
    "override_reason": [None, None, "Kapal tiba malam"],
}


@quick
@for_any(histories(decider, VALUES, [OPEN]))
def test_whatever_is_asked_nobody_is_admitted_beyond_the_capacity_without_a_reason(commands):
    """Rule 11. Counted here from the events alone."""
    residents, capacity = set(), 0
    for event in events_of(decider, commands):
        match event:
            case HouseOpened():
                capacity = event.capacity
            case PersonReleased(person=person):
                residents.remove(person)
            case PersonAdmitted(person=person, override_reason=override):
                assert person not in residents
                residents.add(person)
                assert len(residents) <= capacity or override
