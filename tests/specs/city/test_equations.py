"""What must add up at the city: each equation holds of a plain history, and breaks by its name.

The histories that break one are none that the decisions allow: somebody has forged them.
"""

from datetime import date

import pytest

from services.city.domain import (
    advance,
    answer,
    bank,
    beneficiary,
    case,
    grant,
    operation,
    treasury,
)
from services.city.domain import handover as handovers
from services.city.equations.persons import CitySums
from shared.kernel.projector import Recorded

from ..spec import ANN, BEA, NOW

OP = "OP-1"
DAY = date(2019, 10, 4)
OPENED = operation.OperationOpened(
    operation=OP, name="Kegiatan", site="53.71.01", planned_departure=DAY, grant_rupiah=600,
    fare_floor_rupiah=1, fare_ceiling_rupiah=200,
)  # fmt: skip
RELEASED = advance.AdvanceReleased(
    person=ANN, operation=OP, release="SP2D/1", budget_code="5.1", amount_rupiah=200,
    ceiling_rupiah=200,
)  # fmt: skip
FARE = advance.FareRecorded(
    person=ANN, operation=OP, receipt="KW/1", amount_rupiah=150, override_reason=None
)
CORRECTED = advance.FareCorrected(
    person=ANN, operation=OP, receipt="KW/1", wrong_rupiah=150, amount_rupiah=160, reason="s"
)
SURPLUS = advance.SurplusReturned(person=ANN, operation=OP, sts="STS/1", amount_rupiah=40)
STS = treasury.TreasuryReturnRecorded(
    sts="STS/1", operation=OP, bank_validation="N1", deposited_on=DAY, total_rupiah=40,
    shares=(treasury.Share(person=ANN, amount_rupiah=40),),
)  # fmt: skip
USED = bank.ReferenceUsed(reference="K/1", person=ANN)
CREDIT = grant.GrantDisbursed(
    person=ANN, operation=OP, reference="K/1", amount_rupiah=600, credited_on=DAY, kind="full",
    office=None,
)  # fmt: skip
RETURN = grant.GrantReturned(
    person=ANN, reference="K/1", amount_rupiah=100, returned_on=DAY, returned_rupiah=100,
    reason="s", office=None,
)  # fmt: skip
PLAIN = [OPENED, RELEASED, FARE, CORRECTED, SURPLUS, STS, USED, CREDIT, RETURN]


def but(event, **changed):
    return [one.model_copy(update=changed) if one is event else one for one in PLAIN]


def folded(events, actor="office:35"):
    sums = CitySums()
    for position, event in enumerate(events, 1):
        when = NOW.isoformat()
        sums.take(Recorded(position, "s", str(position), actor, when, when, event))
    return sums


def outcomes(events):
    return {one.name: one.outcome for one, _ in folded(events).equations() if one.difference}


def test_a_plain_history_adds_up():
    assert outcomes(PLAIN) == {}


@pytest.mark.parametrize(
    ("events", "broken"),
    [
        (but(CORRECTED, wrong_rupiah=140), {"fares"}),
        (but(RELEASED, amount_rupiah=199), {"surplus"}),
        ([*PLAIN, RELEASED.model_copy(update={"budget_code": "6.1"})], {"fund", "fares"}),
        (but(STS, total_rupiah=41), {"sts", "shares"}),
        (but(SURPLUS, person=BEA), {"sts_persons", "surplus"}),
        ([one for one in PLAIN if one is not STS], {"sts", "sts_persons"}),
        (but(RETURN, returned_rupiah=90), {"credit_returns"}),
        (but(RETURN, amount_rupiah=700, returned_rupiah=700), {"grants"}),
        (but(USED, person=BEA), {"references"}),
        ([*PLAIN, bank.ReferenceUsed(reference="K/2", person=ANN)], {"references"}),
    ],
)
def test_each_equation_of_rupiah_breaks_by_its_own_name(events, broken):
    assert outcomes(events) == dict.fromkeys(broken, "broken")


def test_what_is_held_beyond_the_grant_is_open_until_it_is_explained():
    more = CREDIT.model_copy(update={"reference": "K/2"})
    twice = [*PLAIN, bank.ReferenceUsed(reference="K/2", person=ANN), more]
    assert outcomes(twice) == {"entitlement": "open"}
    why = operation.DiscrepancyExplained(
        operation=OP, discrepancy="grants_duplicate", difference=500, explanation="s"
    )
    assert outcomes([*twice, why]) == {"entitlement": "explained"}


def registered(person, destination="35"):
    return beneficiary.BeneficiaryRegistered(
        person=person, operation=OP, origin="35.78", destination=destination, identity=None
    )


def entered(person, handover="HO-1"):
    return beneficiary.HandoverEntered(person=person, handover=handover)


def departed(*persons):
    return handovers.HandoverDeparted(
        handover="HO-1", receiving_office="35", departed_at=NOW, persons=persons
    )


def answered(person, outcome, number=1):
    return answer.ArrivalRecorded(
        handover="HO-1", person=person, outcome=outcome, at=NOW, absence=None, diverted_to=None,
        answer=number, corrects=None, listed=True,
    )  # fmt: skip


def left(person, cause):
    return beneficiary.HandoverLeft(person=person, handover="HO-1", cause=cause)


def status(person, said):
    return case.CaseStatusRecorded(person=person, status=said, office="35")


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "assigned"),
        ([beneficiary.WillingnessWithdrawn(person=ANN, reason=None)], "withdrawn"),
        ([entered(ANN), departed(ANN)], "departed"),
        ([departed(ANN)], "assigned"),
        ([entered(ANN), departed(ANN), answered(ANN, "absent"), left(ANN, "absent")], "absent"),
        (
            [entered(ANN), answered(ANN, "absent"), left(ANN, "absent"), entered(ANN, "HO-2")],
            "assigned",
        ),
        ([entered(ANN), answered(ANN, "arrived"), left(ANN, "arrived")], "arrived"),
        (
            [
                entered(ANN), answered(ANN, "arrived"), left(ANN, "arrived"),
                status(ANN, "returned_to_family"), answered(ANN, "arrived", 2),
            ],
            "returned_to_family",
        ),
        (
            [
                entered(ANN), answered(ANN, "arrived"), left(ANN, "arrived"),
                status(ANN, "returned_to_family"), status(ANN, "declined_by_family"),
            ],
            "arrived",
        ),
        ([entered(ANN, "HO-2"), answered(ANN, "arrived")], "assigned"),
    ],
)  # fmt: skip
def test_a_person_is_in_one_state_whatever_comes(events, state):
    sums = folded([OPENED, registered(ANN), *events])
    (states,) = [one.terms for one, _ in sums.equations() if one.name == "persons"]
    assert states == {state: 1}
