"""One example of each message of the contract, for the specs of those who send and receive them.

`WHISPERED` stands wherever people write freely. What leaves an office is searched for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from shared.contracts import messages
from shared.contracts.messages import Message
from shared.contracts.values import ManifestEntry, ManifestLine
from shared.kernel.decider import Decider, Event
from shared.kernel.event import Outgoing

from .spec import ANN, BEA, NOW, SEALED

WHISPERED = "Kata yang tidak boleh keluar"
ENTRIES = (
    ManifestLine(person=ANN, origin="35.78"),
    ManifestLine(person=BEA, origin="35.78"),
)
KNOWN = tuple(
    ManifestEntry(person=line.person, origin=line.origin, identity=SEALED[line.person])
    for line in ENTRIES
)
"""The same lines as an office keeps them: with who they are, under its own key of each."""

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
UNLISTED = {"handover": "HO-1", "person": BEA, "at": NOW}
ERASURE = {"person": ANN, "erasure": "ER-1"}

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
    messages.ErasureRequested(**ERASURE, basis="consent_withdrawn"),
    messages.ErasureConfirmed(**ERASURE),
    messages.ErasureWithheld(**ERASURE, until=date(2020, 10, 4)),
)


def every_message_has_its_letter() -> bool:
    return sorted(type(one).type for one in LETTERS) == sorted(messages.MESSAGES)


def unspoken(deciders: Iterable[Decider[Any]], events: Iterable[Event]) -> list[str]:
    """Events of an office of which these examples say nothing."""
    all_of_them = {event.__name__ for decider in deciders for event in decider.events}
    return sorted(all_of_them - {type(event).__name__ for event in events})


def tells_too_much(outgoing: Outgoing) -> bool:
    """Whether more goes out than may: free text anywhere, or who somebody is in the message.

    Beside the message nothing goes but identities, sealed, each of a person whom it names.
    """
    assert type(outgoing.message) in messages.MESSAGES.values()
    body = outgoing.message.model_dump_json()
    in_clear = any(one in body + outgoing.subject for one in (WHISPERED, *SEALED.values()))
    beside = any(
        sealed != SEALED.get(person) or f'"{person}"' not in body
        for person, sealed in outgoing.personal.items()
    )
    return in_clear or beside
