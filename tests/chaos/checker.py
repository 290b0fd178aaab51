"""The final check: what the API accepted against what the offices hold. Pure; no server, no clock.

The ledger is kept by the harness from the answers it got, and by nothing else. Everything that
the offices hold is compared with it, and the offices with each other. `test_checker.py` plants a
violation of every kind: a checker that can find nothing proves nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.kernel import merkle

CITY = "53.71"
MAY_BE_PARKED = frozenset({"UNTRUSTED_FRAME", "UNREADABLE_FRAME", "REPLAYED_FRAME"})
"""Rubbish, and the very bytes of a frame again, which a Redis that lost its acks gives anew."""

Key = tuple[str, str]


@dataclass
class Sent:
    """An accepted handover: who is on it, where it goes, how far the city took it."""

    operation: str
    office: str
    persons: list[str]
    phase: str = "listed"


@dataclass
class Ledger:
    """All that the offices' APIs accepted."""

    persons: dict[str, str] = field(default_factory=dict)
    """By person: her operation."""
    handovers: dict[str, Sent] = field(default_factory=dict)
    answers: dict[Key, list[str]] = field(default_factory=dict)
    """By handover and person: the outcomes, a correction after what it corrects."""
    unlisted: set[Key] = field(default_factory=set)
    credits: dict[Key, int] = field(default_factory=dict)
    """By person and reference: rupiah."""
    confirmed: set[Key] = field(default_factory=set)
    released: dict[str, int] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    events: dict[str, list[str]] = field(default_factory=dict)
    """By office: the ids of the events that its answers named."""
    requests: dict[str, set[Key]] = field(default_factory=dict)
    """By office: actor and idempotency key."""


@dataclass
class OfficeState:
    """What one office holds at the end: the stored bytes, and what its staff see."""

    code: str
    events: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0
    frontier: bytes = b""
    outbox: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    inbox: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    confirmed: dict[str, int] = field(default_factory=dict)
    parked: list[tuple[str, int | None, str]] = field(default_factory=list)
    requests: set[Key] = field(default_factory=set)
    entries: dict[Key, str] = field(default_factory=dict)
    persons: dict[str, str] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    granted: dict[str, int] = field(default_factory=dict)
    credits: dict[Key, tuple[int, str | None]] = field(default_factory=dict)
    advances: dict[str, tuple[int, int]] = field(default_factory=dict)
    replay: str | None = None


def check(ledger: Ledger, offices: dict[str, OfficeState]) -> list[str]:
    """Every violation, in a sentence that names the office and the thing."""
    found: list[str] = []
    for state in offices.values():
        found += _log(state)
        found += _accepted(ledger, state)
        found += _parked(state)
        if state.replay is not None:
            found.append(f"{state.code}: read models differ from a rebuild: {state.replay}")
        for receiver in state.outbox:
            found += _link(state, offices[receiver])
    found += _messages(ledger, offices)
    found += _city(ledger, offices[CITY])
    for code, state in offices.items():
        if code != CITY:
            found += _province(ledger, state)
    return found


def _log(state: OfficeState) -> Iterator[str]:
    """Positions without holes, and the tree derived anew from the stored bytes."""
    positions = [position for position, _ in state.events]
    if positions != list(range(1, state.size + 1)):
        yield f"{state.code}: positions have holes, or do not end at the head ({state.size})"
    frontier = b"".join(merkle.extend(0, (), (body for _, body in state.events)))
    if frontier != state.frontier:
        yield f"{state.code}: the tree of the stored bytes is not the head's"


def _accepted(ledger: Ledger, state: OfficeState) -> Iterator[str]:
    """Each event that an answer named stands in the log once; each request is remembered."""
    stored = Counter(json.loads(body)["id"] for _, body in state.events)
    for event in ledger.events.get(state.code, ()):
        if stored[event] != 1:
            yield f"{state.code}: accepted event {event} stands {stored[event]} times in the log"
    for actor, key in sorted(ledger.requests.get(state.code, set()) - state.requests):
        yield f"{state.code}: the accepted request {key} of {actor} is not remembered"


def _parked(state: OfficeState) -> Iterator[str]:
    for sender, sequence, reason in state.parked:
        if sequence is not None or reason not in MAY_BE_PARKED:
            yield f"{state.code}: message {sequence} of {sender} was parked: {reason}"


def _link(sender: OfficeState, receiver: OfficeState) -> Iterator[str]:
    """What was sent is there once, in order, to the byte; and was applied in that order."""
    name = f"link {sender.code}:{receiver.code}"
    sent = sender.outbox[receiver.code]
    came = receiver.inbox.get(sender.code, [])
    for which, rows in (("outbox", sent), ("inbox", came)):
        if [number for number, _ in rows] != list(range(1, len(rows) + 1)):
            yield f"{name}: the {which}'s numbers have holes or repeat"
    if len(sent) != len(came):
        yield f"{name}: {len(sent)} messages sent, {len(came)} in the inbox"
    if differing := [a[0] for a, b in zip(sent, came, strict=False) if a != b]:
        yield f"{name}: message {differing[0]} has another body in the inbox than in the outbox"
    if sender.confirmed.get(receiver.code, 0) != len(sent):
        yield (f"{name}: {len(sent)} recorded, {sender.confirmed.get(receiver.code, 0)} confirmed")
    numbers = {json.loads(body)["id"]: number for number, body in came}
    causes = [json.loads(body).get("causationid") for _, body in receiver.events]
    applied = [numbers[cause] for cause in causes if cause in numbers]
    if applied != sorted(applied):
        yield f"{name}: messages were applied in another order than they were numbered"


def _told(rows: list[tuple[int, bytes]]) -> Counter[tuple[Any, ...]]:
    """What a link's messages say, counted: what they are, and of whom."""
    told: Counter[tuple[Any, ...]] = Counter()
    for _, body in rows:
        document = json.loads(body)
        data, kind = document["data"], document["type"].removeprefix("pulang.")
        match kind:
            case "handover.issued.v1" | "handover.departed.v1":
                told[kind, data["handover"]] += 1
            case "arrival.acknowledged.v1":
                told[kind, data["handover"], data["person"], data["answer"]] += 1
            case "arrival.unlisted.v1":
                told[kind, data["handover"], data["person"]] += 1
    return told


def _noted(state: OfficeState) -> Counter[tuple[Any, ...]]:
    """The same from the receiver's own events."""
    noted: Counter[tuple[Any, ...]] = Counter()
    for _, body in state.events:
        document = json.loads(body)
        data = document["data"]
        match document["type"]:
            case "pulang.province.arrival.expected.v1":
                noted["handover.issued.v1", data["handover"]] += 1
            case "pulang.province.arrival.departure-noted.v1":
                noted["handover.departed.v1", data["handover"]] += 1
            case "pulang.city.handover.arrival-recorded.v1":
                what = (data["handover"], data["person"], data["answer"])
                noted[("arrival.acknowledged.v1", *what)] += 1
            case "pulang.city.handover.unlisted-recorded.v1":
                noted["arrival.unlisted.v1", data["handover"], data["person"]] += 1
    return noted


def _messages(ledger: Ledger, offices: dict[str, OfficeState]) -> Iterator[str]:
    """Every accepted handover, departure and answer is told once, and noted once."""
    wanted: dict[tuple[str, str], Counter[tuple[Any, ...]]] = {
        way: Counter() for code in offices if code != CITY for way in ((CITY, code), (code, CITY))
    }
    for handover, sent in ledger.handovers.items():
        if sent.phase in ("issued", "departed"):
            wanted[CITY, sent.office]["handover.issued.v1", handover] = 1
        if sent.phase == "departed":
            wanted[CITY, sent.office]["handover.departed.v1", handover] = 1
    for (handover, person), outcomes in ledger.answers.items():
        way = (ledger.handovers[handover].office, CITY)
        for number in range(1, len(outcomes) + 1):
            wanted[way]["arrival.acknowledged.v1", handover, person, number] = 1
    for handover, person in ledger.unlisted:
        way = (ledger.handovers[handover].office, CITY)
        wanted[way]["arrival.unlisted.v1", handover, person] = 1
    noted: dict[str, Counter[tuple[Any, ...]]] = {c: _noted(s) for c, s in offices.items()}
    expected: dict[str, Counter[tuple[Any, ...]]] = {code: Counter() for code in offices}
    for (sender, receiver), these in wanted.items():
        expected[receiver].update(these)
        for where, rows in (
            ("outbox", offices[sender].outbox.get(receiver, [])),
            ("inbox", offices[receiver].inbox.get(sender, [])),
        ):
            told = _told(rows)
            yield from _differences(f"link {sender}:{receiver}: {where}", these, told)
    for code in offices:
        yield from _differences(f"{code}: log", expected[code], noted[code])


def _differences(
    where: str, wanted: Counter[tuple[Any, ...]], found: Counter[tuple[Any, ...]]
) -> Iterator[str]:
    for what in sorted(wanted.keys() | found.keys(), key=str):
        if wanted[what] != found[what]:
            yield f"{where}: {what} {found[what]} times, accepted {wanted[what]} times"


def _city(ledger: Ledger, state: OfficeState) -> Iterator[str]:
    """States and counts per person, and the money, as they were accepted."""
    entries: dict[Key, str] = {}
    persons = dict.fromkeys(ledger.persons, "assigned")
    operations = dict(ledger.persons)
    for handover, sent in ledger.handovers.items():
        for person in sent.persons:
            given = ledger.answers.get((handover, person))
            entries[handover, person] = given[-1] if given else sent.phase
            if given or sent.phase == "departed":
                persons[person] = entries[handover, person]
    for handover, person in ledger.unlisted:
        entries[handover, person] = persons[person] = "unlisted"
        operations[person] = ledger.handovers[handover].operation
    yield from _compared("53.71: handovers", entries, state.entries)
    yield from _compared("53.71: board", persons, state.persons)
    counts: dict[str, Counter[str]] = {}
    granted: Counter[str] = Counter()
    for person, one in persons.items():
        counts.setdefault(operations[person], Counter())[one] += 1
    for (person, _), rupiah in ledger.credits.items():
        granted[operations[person]] += rupiah
    for operation, board in state.counts.items():
        if board != dict(counts.get(operation, {})):
            yield f"53.71: board of {operation} counts {board}, accepted {counts.get(operation)}"
        if state.granted.get(operation, 0) != granted[operation]:
            yield (
                f"53.71: grants of {operation} are {state.granted.get(operation, 0)},"
                f" accepted {granted[operation]}"
            )
    if missing := sorted(counts.keys() - state.counts.keys()):
        yield f"53.71: no board for {missing}"
    yield from _compared("53.71: credits", _credits(ledger, set(ledger.credits)), state.credits)
    advances = {p: (rupiah, ledger.spent.get(p, 0)) for p, rupiah in ledger.released.items()}
    yield from _compared("53.71: advances", advances, state.advances)


def _province(ledger: Ledger, state: OfficeState) -> Iterator[str]:
    entries: dict[Key, str] = {}
    hers: set[Key] = set()
    for handover, sent in ledger.handovers.items():
        if sent.office != state.code or sent.phase == "listed":
            continue
        for person in sent.persons:
            given = ledger.answers.get((handover, person))
            entries[handover, person] = given[-1] if given else "expected"
            hers |= {credit for credit in ledger.credits if credit[0] == person}
        entries |= {one: "unlisted" for one in ledger.unlisted if one[0] == handover}
    yield from _compared(f"{state.code}: arrivals", entries, state.entries)
    yield from _compared(f"{state.code}: grants", _credits(ledger, hers), state.credits)


def _credits(ledger: Ledger, these: set[Key]) -> dict[Key, tuple[int, str | None]]:
    return {
        one: (ledger.credits[one], "confirmed" if one in ledger.confirmed else None)
        for one in these
    }


def _compared(where: str, wanted: dict[Any, Any], found: dict[Any, Any]) -> Iterator[str]:
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            yield f"{where}: {key} is {found.get(key)}, accepted {wanted.get(key)}"
