"""One example of each message of the contract, for the specs of those who send and receive them.

`WHISPERED` stands wherever people write freely. What leaves an office is searched for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from shared.contracts import messages
from shared.contracts.messages import Message
from shared.contracts.values import ManifestLine
from shared.kernel.decider import Decider, Event
from shared.kernel.event import Outgoing

from .spec import ANN, BEA, NOW

WHISPERED = "Kata yang tidak boleh keluar"
ENTRIES = (
    ManifestLine(person=ANN, initials="AA", origin="35.78"),
    ManifestLine(person=BEA, initials="BB", origin="35.78"),
)
CREDIT = {"person": ANN, "reference": "SP2D/1"}
ISSUED = {
    "handover": "HO-1",
    "operation": "OP-1",
    "deed_number": "BAST/1/2019",
    "deed_date": date(2019, 10, 4),
    "planned_departure": date(2019, 10, 4),
    "transport": "Kapal contoh",
    "predecessor": "HO-0",
    "entries": ENTRIES,
}
AMENDED = {"handover": "HO-1", "revision": 1, "withdrawn": (ANN,), "entries": ENTRIES[1:]}
DISBURSED = CREDIT | {
    "amount_rupiah": 6_000_000,
    "credited_on": date(2019, 10, 2),
    "replaces": "SP2D/0",
}
ANSWERED = {
    "handover": "HO-1",
    "person": ANN,
    "outcome": "diverted",
    "at": NOW,
    "absence": None,
    "diverted_to": "33",
    "answer": 2,
    "corrects": 1,
}
UNLISTED = {"handover": "HO-1", "person": BEA, "initials": "BB", "at": NOW}

LETTERS: tuple[Message, ...] = (
    messages.HandoverIssued(**ISSUED),
    messages.HandoverAmended(**AMENDED),
    messages.HandoverWithdrawn(handover="HO-1"),
    messages.HandoverDeparted(handover="HO-1", departed_at=NOW, did_not_occur=True),
    messages.ArrivalAcknowledged(**ANSWERED),
    messages.HandoverDeclined(handover="HO-1", reason="capacity", persons=(ANN, BEA)),
    messages.UnlistedArrival(**UNLISTED),
    messages.GrantDisbursed(**DISBURSED),
    messages.GrantFailed(**CREDIT),
    messages.GrantReturned(**CREDIT, amount_rupiah=1_000_000),
    messages.GrantConfirmed(**CREDIT),
    messages.GrantDisputed(**CREDIT),
    messages.CaseStatusChanged(person=ANN, status="ready"),
)


def every_message_has_its_letter() -> bool:
    return sorted(type(one).type for one in LETTERS) == sorted(messages.MESSAGES)


def unspoken(deciders: Iterable[Decider[Any]], events: Iterable[Event]) -> list[str]:
    """Events of an office of which these examples say nothing."""
    all_of_them = {event.__name__ for decider in deciders for event in decider.events}
    return sorted(all_of_them - {type(event).__name__ for event in events})


def tells_too_much(outgoing: Outgoing) -> bool:
    """Whether free text, or a person's code in the wrong place, goes out with a message."""
    assert type(outgoing.message) in messages.MESSAGES.values()
    return WHISPERED in outgoing.message.model_dump_json() or WHISPERED in outgoing.subject
