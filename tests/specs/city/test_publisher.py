"""What the city tells other offices: who comes, who does not, and her grant."""

from datetime import date

import pytest

from services.city import domain
from services.city.domain import (
    advance,
    answer,
    authority,
    bank,
    beneficiary,
    case,
    deed,
    grant,
    handover,
    operation,
    treasury,
)
from services.city.publisher import publish
from shared.contracts import messages
from shared.kernel.event import Outgoing

from ..letters import (
    AMENDED,
    CREDIT,
    DISBURSED,
    ISSUED,
    KNOWN,
    WHISPERED,
    tells_too_much,
    unspoken,
)
from ..spec import ANN, BEA, NOW, SEALED, aggregates

EAST = "35"
PLAN = {name: ISSUED[name] for name in ("handover", "operation", "planned_departure", "transport")}
PLAN |= {"predecessor": "HO-0", "receiving_office": EAST}
GONE = {"handover": "HO-1", "receiving_office": EAST, "persons": (ANN, BEA)}
FIRST_TRY = {name: value for name, value in DISBURSED.items() if name != "replaces"}
SENT_BACK = CREDIT | {
    "amount_rupiah": 400_000,
    "returned_rupiah": 1_000_000,
    "returned_on": date(2019, 10, 9),
    "reason": WHISPERED,
}


def withdrawn(was_issued):
    return handover.HandoverWithdrawn(**GONE, was_issued=was_issued, reason=WHISPERED)


def disbursed(office):
    return grant.GrantDisbursed(**FIRST_TRY, operation="OP-1", kind="full", office=office)


def redisbursed(office):
    return grant.GrantRedisbursed(**DISBURSED, operation="OP-1", kind="full", office=office)


def failed(office):
    return grant.GrantFailed(**CREDIT, reason=WHISPERED, office=office)


def sent_back(office):
    return grant.GrantReturned(**SENT_BACK, office=office)


def shared(*credits):
    return grant.GrantShared(person=ANN, office=EAST, handover="HO-1", credits=credits)


def credit(reference, **fate):
    fields = {"amount_rupiah": 6_000_000, "credited_on": date(2019, 10, 2)} | fate
    return grant.Credit(reference=reference, **fields)


def issued(entries=KNOWN):
    facts = PLAN | {name: value for name, value in ISSUED.items() if name not in PLAN}
    return handover.HandoverIssued(**facts | {"entries": entries})


def to_the_east(subject, message, personal=None):
    return [Outgoing(EAST, subject, message, personal or {})]


TOLD = [
    (
        issued(),
        to_the_east(
            "HO-1", messages.HandoverIssued(**ISSUED), {ANN: SEALED[ANN], BEA: SEALED[BEA]}
        ),
    ),
    (
        handover.EntryWithdrawn(
            handover="HO-1",
            receiving_office=EAST,
            person=ANN,
            reason=WHISPERED,
            revision=1,
            entries=KNOWN[1:],
        ),
        to_the_east("HO-1", messages.HandoverAmended(**AMENDED)),
    ),
    (
        withdrawn(was_issued=True),
        to_the_east("HO-1", messages.HandoverWithdrawn(handover="HO-1")),
    ),
    (
        handover.HandoverDeparted(**GONE, departed_at=NOW),
        to_the_east("HO-1", messages.HandoverDeparted(handover="HO-1", departed_at=NOW)),
    ),
    (
        handover.DepartureCorrected(**GONE, departed_at=NOW, reason=WHISPERED),
        to_the_east(
            "HO-1",
            messages.HandoverDeparted(handover="HO-1", departed_at=NOW, did_not_occur=True),
        ),
    ),
    (disbursed(EAST), to_the_east(ANN, messages.GrantDisbursed(**FIRST_TRY))),
    (redisbursed(EAST), to_the_east(ANN, messages.GrantDisbursed(**DISBURSED))),
    (failed(EAST), to_the_east(ANN, messages.GrantFailed(**CREDIT))),
    (
        sent_back(EAST),
        to_the_east(ANN, messages.GrantReturned(**CREDIT, amount_rupiah=1_000_000)),
    ),
    (
        shared(credit("SP2D/1")),
        to_the_east(ANN, messages.GrantDisbursed(**FIRST_TRY)),
    ),
]
"""Each event that another office hears of, and the messages that go with it."""

KEPT = [
    bank.ReferenceUsed(reference="SP2D/1", person=ANN),
    deed.DeedNumberUsed(deed_number="BAST/1", handover="HO-1"),
    answer.UnlistedArrivalCorrected(handover="HO-1", person=BEA),
    beneficiary.ReceivedElsewhere(person=ANN, handover="HO-1"),
    operation.OperationOpened(
        operation="OP-1",
        name=WHISPERED,
        site="53.71.01",
        planned_departure=date(2019, 10, 4),
        grant_rupiah=6_000_000,
        fare_floor_rupiah=1_500_000,
        fare_ceiling_rupiah=2_000_000,
    ),
    operation.TotalDeclared(
        operation="OP-1",
        claim=operation.Claim(
            subject="persons",
            figure=68,
            source=WHISPERED,
            stated_by=WHISPERED,
            stated_on=date(2019, 10, 3),
        ),
    ),
    operation.DiscrepancyExplained(
        operation="OP-1", discrepancy="persons", difference=5, explanation=WHISPERED
    ),
    authority.AuthorityConferred(
        signatory="kepala-dinas",
        position=WHISPERED,
        acting=True,
        decree="SK/01/2019",
        valid_from=date(2019, 9, 1),
        valid_until=None,
    ),
    authority.AuthorityEnded(
        signatory="kepala-dinas", decree="SK/01/2019", valid_until=date(2019, 10, 4)
    ),
    beneficiary.BeneficiaryRegistered(
        person=ANN,
        operation="OP-1",
        origin="35.78",
        destination=EAST,
        identity=SEALED[ANN],
    ),
    beneficiary.DestinationDetermined(person=ANN, destination=EAST),
    beneficiary.WillingnessGiven(person=ANN, statement="SP/001"),
    beneficiary.WillingnessWithdrawn(person=ANN, reason=WHISPERED),
    beneficiary.ProtectionPathShown(person=ANN),
    beneficiary.HandoverEntered(person=ANN, handover="HO-1"),
    beneficiary.HandoverLeft(person=ANN, handover="HO-1", cause="withdrawn"),
    handover.HandoverDrafted(**PLAN, issuer="penyusun"),
    handover.EntryAdded(handover="HO-1", entry=KNOWN[0]),
    handover.EntryRemoved(handover="HO-1", person=ANN, reason=WHISPERED),
    handover.HandoverSubmitted(handover="HO-1", submitted_by="penyusun"),
    handover.HandoverReturned(handover="HO-1", reason=WHISPERED),
    handover.HandoverApproved(
        handover="HO-1",
        approver="pengesah",
        signatory="kepala-dinas",
        deed_date=date(2019, 10, 4),
    ),
    withdrawn(was_issued=False),
    answer.ArrivalRecorded(
        handover="HO-1",
        person=ANN,
        outcome="arrived",
        at=NOW,
        absence=None,
        diverted_to=None,
        answer=1,
        corrects=None,
        listed=True,
    ),
    answer.UnlistedArrivalRecorded(
        handover="HO-1",
        operation="OP-1",
        receiving_office=EAST,
        person=BEA,
        identity=SEALED[BEA],
        at=NOW,
    ),
    answer.DeclineRecorded(handover="HO-1", reason="capacity", persons=(ANN, BEA)),
    handover.HandoverClosed(handover="HO-1"),
    disbursed(office=None),
    redisbursed(office=None),
    failed(office=None),
    sent_back(office=None),
    shared(),
    grant.GrantSharingStopped(person=ANN, office=EAST, handover="HO-1"),
    grant.ConfirmationRecorded(**CREDIT, office=EAST),
    grant.DisputeRecorded(**CREDIT, office=EAST),
    advance.AdvanceReleased(
        person=ANN,
        operation="OP-1",
        release="SP2D/1",
        budget_code="5.2.1",
        amount_rupiah=2_000_000,
        ceiling_rupiah=2_000_000,
    ),
    advance.FareRecorded(
        person=ANN,
        operation="OP-1",
        receipt="K/1",
        amount_rupiah=1_500_000,
        override_reason=WHISPERED,
    ),
    advance.FareCorrected(
        person=ANN,
        operation="OP-1",
        receipt="K/1",
        wrong_rupiah=1_500_000,
        amount_rupiah=1_400_000,
        reason=WHISPERED,
    ),
    advance.ReceiptAttached(
        person=ANN,
        sha256="1" * 64,
        operation="OP-1",
        receipt="K/1",
        media_type="application/pdf",
        size_bytes=312_000,
        reason=None,
    ),
    advance.SurplusReturned(person=ANN, operation="OP-1", sts="STS/1", amount_rupiah=600_000),
    treasury.TreasuryReturnRecorded(
        sts="STS/1",
        operation="OP-1",
        bank_validation="VAL-0001",
        deposited_on=date(2019, 10, 10),
        total_rupiah=600_000,
        shares=(treasury.Share(person=ANN, amount_rupiah=600_000),),
    ),
    case.CareBegun(person=ANN, office=EAST, handover="HO-1"),
    case.CareEnded(person=ANN, office=EAST, handover="HO-1"),
    case.CaseStatusRecorded(person=ANN, status="ready", office=EAST),
]
"""What stays in the city: drafts, travel money, protection, and a grant nobody needs to know of."""


def out(event):
    return list(publish("a-stream", event))


def test_every_event_of_the_city_is_either_told_or_kept():
    events = [event for event, _ in TOLD] + KEPT
    assert unspoken(aggregates(domain).values(), events) == []


@pytest.mark.parametrize(("event", "told"), TOLD, ids=lambda one: type(one).__name__)
def test_the_receiving_office_hears_of_it_and_nobody_else(event, told):
    """Rule 6, rule 21."""
    assert out(event) == told


@pytest.mark.parametrize("event", KEPT, ids=lambda one: type(one).__name__)
def test_what_is_no_other_offices_business_stays_in_the_city(event):
    """Rule 12, rule 21. Of a handover that was never issued, no other office has heard."""
    assert out(event) == []


@pytest.mark.parametrize("event", [event for event, _ in TOLD], ids=lambda one: type(one).__name__)
def test_nothing_that_somebody_wrote_about_her_leaves_the_city(event):
    """Rule 21. That she withdrew is told; why she did is not."""
    assert out(event)
    assert not [one for one in out(event) if tells_too_much(one)]


def test_a_manifest_says_in_clear_nothing_of_who_somebody_is():
    """A line that travels has a code and an origin, and room for nothing more."""
    (one,) = out(issued())
    lines = one.message.model_dump(mode="json")["entries"]
    assert lines == [{"person": person, "origin": "35.78"} for person in (ANN, BEA)]


def test_who_somebody_is_goes_beside_the_manifest_each_sealed_under_her_own_code():
    """And who was never identified has nothing beside it, and is on the manifest all the same."""
    unknown = KNOWN[0].model_copy(update={"identity": None})
    (one,) = out(issued((unknown, KNOWN[1])))
    assert one.personal == {BEA: SEALED[BEA]}
    assert [line.person for line in one.message.entries] == [ANN, BEA]


def test_an_amendment_does_not_say_again_who_somebody_is():
    """The receiving office has it from the first announcement, under its own keys."""
    told = {type(event): one for event, (one, *_) in TOLD}
    assert told[handover.EntryWithdrawn].personal == {}
    assert [kind for kind, one in told.items() if one.personal] == [handover.HandoverIssued]


def test_an_office_that_is_told_of_a_grant_late_hears_its_whole_history():
    """Rule 15, rule 16. Each credit comes before its fate, and before the one that replaces it."""
    event = shared(
        credit("SP2D/0", failed=True),
        credit("SP2D/1", replaces="SP2D/0", returned_rupiah=1_000_000),
    )
    assert out(event) == [
        *to_the_east(ANN, messages.GrantDisbursed(**FIRST_TRY | {"reference": "SP2D/0"})),
        *to_the_east(ANN, messages.GrantFailed(person=ANN, reference="SP2D/0")),
        *to_the_east(ANN, messages.GrantDisbursed(**DISBURSED)),
        *to_the_east(ANN, messages.GrantReturned(**CREDIT, amount_rupiah=1_000_000)),
    ]


def test_of_a_grant_no_message_says_more_than_of_the_credit():
    """Rule 10, rule 15. No entitlement, no duplicate, no travel money."""
    for event, told in TOLD[5:]:
        for one in told:
            assert set(type(one.message).model_fields) <= {
                "person",
                "reference",
                "amount_rupiah",
                "credited_on",
                "replaces",
            }, event


def test_two_offices_hear_of_their_own_people_only():
    """Rule 21."""
    for event, told in TOLD:
        field = "receiving_office" if "receiving_office" in type(event).model_fields else "office"
        other = event.model_copy(update={field: "53"})
        assert [one.receiver for one in out(other)] == ["53"] * len(told)
