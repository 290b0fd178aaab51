"""What must add up at the province: each equation holds of a plain history, and breaks by name."""

from datetime import date

import pytest

from services.province.domain import arrival, case, grant, house
from services.province.equations import ProvinceSums
from shared.contracts.values import ManifestEntry
from shared.kernel.projector import Recorded

from ..spec import ANN, BEA, NOW

DAY = date(2019, 10, 4)
EXPECTED = arrival.HandoverExpected(
    handover="HO-1", city="53.71", operation="OP-1", deed_number="B/1", deed_date=DAY,
    planned_departure=DAY, transport="Kapal", predecessor=None,
    entries=tuple(ManifestEntry(person=p, origin="35.78", identity=None) for p in (ANN, BEA)),
)  # fmt: skip
ARRIVED = arrival.ArrivalAcknowledged(
    handover="HO-1", city="53.71", person=ANN, outcome="arrived", at=NOW, answer=1, corrects=None,
    reason=None, absence=None, diverted_to=None,
)  # fmt: skip
HOUSE = house.HouseOpened(house="RS-1", name="Rumah", capacity=10)
ADMITTED = house.PersonAdmitted(house="RS-1", person=ANN, override_reason=None)
OPENED = case.CaseOpened(person=ANN, city="53.71", handover="HO-1", house="RS-1", willing=True)
NOTED = grant.CreditNoted(
    person=ANN, city="53.71", reference="K/1", amount_rupiah=600, credited_on=DAY, replaces=None
)
CONFIRMED = grant.GrantConfirmed(person=ANN, city="53.71", reference="K/1")
PLAIN = [EXPECTED, ARRIVED, HOUSE, ADMITTED, OPENED, NOTED, CONFIRMED]
HOME = case.ReturnedToFamily(person=ANN, city="53.71")
RELEASED = house.PersonReleased(house="RS-1", person=ANN)


def equations(events):
    sums = ProvinceSums()
    for position, event in enumerate(events, 1):
        when = NOW.isoformat()
        sums.take(Recorded(position, "s", str(position), "x", when, when, event))
    return [one for one, _ in sums.equations()]


def broken(events):
    return {one.name for one in equations(events) if one.outcome == "broken"}


def test_a_plain_history_adds_up_and_goes_on_to():
    assert broken(PLAIN) == broken([*PLAIN, HOME, RELEASED]) == set()


@pytest.mark.parametrize(
    ("events", "names"),
    [
        ([*PLAIN, ARRIVED.model_copy(update={"person": "PM-0000000009"})], {"manifest"}),
        ([*PLAIN, RELEASED], {"house", "house_persons"}),
        ([*PLAIN, HOME], {"house", "house_persons"}),
        (
            [one.model_copy(update={"person": BEA}) if one is ADMITTED else one for one in PLAIN],
            {"house_persons"},
        ),
        ([one for one in PLAIN if one is not NOTED], {"fates"}),
        (
            [*PLAIN, grant.ReturnNoted(person=ANN, reference="K/1", amount_rupiah=700)],
            {"grants"},
        ),
    ],
)
def test_each_equation_breaks_by_its_own_name(events, names):
    assert broken(events) == names


@pytest.mark.parametrize(
    ("events", "fate"),
    [
        ([NOTED], "waiting"),
        ([NOTED, CONFIRMED], "confirmed"),
        ([NOTED, grant.GrantDisputed(person=ANN, city="53.71", reference="K/1", reason="s")],
         "disputed"),
        ([NOTED, grant.FailureNoted(person=ANN, reference="K/1")], "failed"),
        ([NOTED, CONFIRMED, grant.ReturnNoted(person=ANN, reference="K/1", amount_rupiah=600)],
         "returned"),
    ],
)  # fmt: skip
def test_each_credit_that_was_told_of_has_one_fate(events, fate):
    (fates,) = [one.terms for one in equations(events) if one.name == "fates"]
    assert {name: number for name, number in fates.items() if number} == {fate: 1}


def test_withdrawn_declined_and_answered_are_told_apart():
    amended = arrival.ExpectationAmended(
        handover="HO-1", revision=1, withdrawn=(ANN, BEA), crossed=(ANN,), entries=()
    )
    (one,) = [one for one in equations([EXPECTED, ARRIVED, amended]) if one.name == "manifest"]
    assert one.terms == {"arrived": 1, "withdrawn": 1}
    declined = arrival.HandoverDeclined(
        handover="HO-1", city="53.71", reason="capacity", explanation="s", persons=(ANN, BEA)
    )
    (one,) = [one for one in equations([EXPECTED, declined]) if one.name == "manifest"]
    assert one.terms == {"declined": 2}
