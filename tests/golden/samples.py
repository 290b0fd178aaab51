"""Of each type the events that the specs have, and what of its fields those leave out.

A decider must be able to decide each: what no office would store is no history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from services.city import publisher as city_publisher
from services.city.domain import advance, answer, authority, beneficiary, handover, operation
from services.province import publisher as province_publisher
from services.province.domain import arrival, grant, house
from shared.contracts.values import ManifestEntry
from shared.custody import access, parked, replay
from shared.custody.exchange import publisher
from shared.kernel.decider import Decider, Event
from shared.kernel.handling import Publisher
from tests.golden.documents import DECIDERS
from tests.specs.city import test_publisher as city
from tests.specs.custody import test_exchange as custody
from tests.specs.custody.test_replay import REFUSED
from tests.specs.letters import ISSUED, KNOWN, UNLISTED
from tests.specs.province import test_publisher as province
from tests.specs.spec import ANN, BEA, CIA, NOW

OFFICES = {"city": "53.71", "province": "35", "custody": "53.71"}
"""Whose log a document stands in."""

PUBLISHERS: dict[str, Publisher] = {
    "city": publisher(city_publisher.publish),
    "province": publisher(province_publisher.publish),
    "custody": publisher(city_publisher.publish),
}

STAFF = "penyusun-20191004"
"""The key of streams that are about who looks, and no field of their events."""

WITHOUT_IDENTITY = tuple(ManifestEntry(person=one.person, origin=one.origin) for one in KNOWN)
ANSWERS = [
    {"outcome": "arrived", "absence": None, "diverted_to": None, "answer": 1, "corrects": None},
    {
        "outcome": "absent",
        "absence": "left_in_transit",
        "diverted_to": None,
        "answer": 2,
        "corrects": 1,
    },
    {"outcome": "diverted", "absence": None, "diverted_to": "33", "answer": 3, "corrects": 2},
]
ANOTHER = {"handover": "HO-2", "predecessor": None}
"""What begins once, begins in another stream."""
ANOTHER_ISSUED = ISSUED | ANOTHER | {"deed_number": "BAST/2/2019", "entries": WITHOUT_IDENTITY}

OFFICE_AND_CREDITS = (("35", "SP2D/0", "SP2D/1"), (None, "SP2D/2", "SP2D/3"))
CREDITS: Sequence[Event] = [
    event.model_copy(update={"reference": reference, **more})
    for office, first, second in OFFICE_AND_CREDITS
    for event, reference, more in (
        (city.disbursed(office), first, {}),
        (city.failed(office), first, {}),
        (city.redisbursed(office), second, {"replaces": first}),
        (city.sent_back(office), second, {}),
    )
]
"""Each credit has a number of its own, which in the specs of one event it need not."""

MORE: dict[str, Sequence[Event]] = {
    "city": (
        *CREDITS,
        operation.TotalDeclared(
            operation="OP-1",
            claim=operation.Claim(
                subject="destination",
                destination="35",
                figure=58,
                source="Berita contoh",
                stated_by="Dinas contoh",
                stated_on=date(2019, 10, 3),
            ),
        ),
        authority.AuthorityConferred(
            signatory="kepala-dinas",
            position="Plt. kepala dinas",
            acting=True,
            decree="SK/02/2019",
            valid_from=date(2019, 10, 5),
            valid_until=date(2019, 12, 31),
        ),
        beneficiary.BeneficiaryRegistered(
            person=BEA, operation="OP-1", origin="35.78", destination=None, identity=None
        ),
        beneficiary.WillingnessWithdrawn(person=ANN, reason=None),
        handover.HandoverDrafted(**city.PLAN | ANOTHER, issuer="penyusun"),
        handover.EntryAdded(handover="HO-2", entry=WITHOUT_IDENTITY[1]),
        handover.HandoverIssued(**ANOTHER_ISSUED, receiving_office="35"),
        handover.EntryWithdrawn(
            handover="HO-2",
            receiving_office="35",
            person=ANN,
            reason="Contoh",
            revision=1,
            entries=WITHOUT_IDENTITY[1:],
        ),
        *(
            answer.ArrivalRecorded(handover="HO-1", person=ANN, at=NOW, listed=True, **one)
            for one in ANSWERS
        ),
        answer.UnlistedArrivalRecorded(
            handover="HO-1",
            operation="OP-1",
            receiving_office="35",
            person=CIA,
            identity=None,
            at=NOW,
        ),
        city.shared(city.credit("SP2D/0", failed=True), city.credit("SP2D/1", replaces="SP2D/0")),
        advance.FareRecorded(
            person=ANN,
            operation="OP-1",
            receipt="K/2",
            amount_rupiah=400_000,
            override_reason=None,
        ),
        advance.FareCorrected(
            person=ANN,
            operation="OP-1",
            receipt="K/1",
            wrong_rupiah=1_400_000,
            amount_rupiah=1_600_000,
            reason="Contoh",
            override_reason="Contoh",
        ),
        advance.ReceiptAttached(
            person=ANN,
            sha256="2" * 64,
            operation="OP-1",
            receipt="K/1",
            media_type="image/jpeg",
            size_bytes=81_000,
            reason="Contoh",
        ),
    ),
    "province": (
        arrival.HandoverExpected(**ANOTHER_ISSUED, city="53.71"),
        arrival.ExpectationAmended(
            handover="HO-2",
            revision=2,
            withdrawn=(BEA,),
            crossed=(BEA,),
            entries=WITHOUT_IDENTITY[:1],
        ),
        arrival.ExpectationWithdrawn(handover="HO-2", crossed=(ANN,)),
        *(
            arrival.ArrivalAcknowledged(
                handover="HO-1",
                city="53.71",
                person=ANN,
                at=NOW,
                reason="Contoh" if one["corrects"] else None,
                **one,
            )
            for one in ANSWERS
        ),
        arrival.UnlistedArrivalAcknowledged(**UNLISTED, city="53.71", identity=None),
        house.PersonAdmitted(house="RS-1", person=BEA, override_reason=None),
        grant.CreditNoted(
            person=ANN,
            city="53.71",
            reference="SP2D/2",
            amount_rupiah=6_000_000,
            credited_on=date(2019, 10, 2),
            replaces=None,
        ),
    ),
    "custody": (
        access.PersonalDataSeen(
            look="LK-2",
            by="penyusun",
            subjects=(ANN,),
            fields=("identity.name",),
            purpose="arrival",
            break_glass="BG-1",
            at=NOW,
        ),
        access.IdentityLookedUp(by="penyusun", purpose="identity_check", person=None, at=NOW),
        parked.MessageDiscarded(parked="2", sender="35", sequence=None, grounds="Kiriman uji"),
        replay.ReplayRecorded(**REFUSED),
    ),
}
"""Events that show what those of the specs don't."""

SPOKEN: dict[str, Iterable[Event]] = {
    kind: [event for event, _ in spec.TOLD] + spec.KEPT
    for kind, spec in (("city", city), ("province", province), ("custody", custody))
}


def samples(kind: str) -> list[tuple[str, Event]]:
    """(stream, event), each decider's in the order in which it names its events."""
    instead = {type(event) for event in CREDITS}
    spoken = [event for event in SPOKEN[kind] if type(event) not in instead]
    events = [*spoken, *MORE[kind]]
    return [
        (f"{decider.category}-{_key(decider, event)}", event)
        for decider in DECIDERS[kind]
        for one in decider.events
        for event in events
        if type(event) is one
    ]


def _key(decider: Decider[Any], event: Event) -> str:
    return str(getattr(event, decider.key, STAFF))
