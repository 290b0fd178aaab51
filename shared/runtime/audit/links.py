"""The links: each message against the event that owes it, each frame against its signature."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from psycopg import AsyncConnection

from shared.custody.restored import RestoreSettled
from shared.kernel.decider import Event
from shared.kernel.event import NewEvent, Outgoing
from shared.kernel.link import frame_numbers, verify_kept
from shared.runtime.audit.faults import FAULTS_KEPT, Faults
from shared.runtime.audit.log import Row

ROWS = 1_000
OUTBOX = (
    "select sequence, position, body, coalesce(personal, '{}') from outbox"
    " where receiver = %s and sequence > %s order by sequence limit %s"
)
INBOX = (
    "select sequence, body, frame, received_at from inbox"
    " where sender = %s and sequence > %s order by sequence limit %s"
)


async def _rows(
    connection: AsyncConnection[Any], query: str, partner: str
) -> AsyncIterator[tuple[Any, ...]]:
    after = -(2**62)
    while True:
        cursor = await connection.execute(query.encode(), (partner, after, ROWS))
        found = await cursor.fetchall()
        for row in found:
            yield row
        if len(found) < ROWS:
            return
        after = found[-1][0]


@dataclass
class _Outbox:
    """One receiver's messages, looked at one ahead."""

    receiver: str
    rows: AsyncIterator[tuple[Any, ...]] | None = None
    next: tuple[Any, ...] | None = None
    number: int = 0

    async def advance(self) -> None:
        self.next = await anext(self.rows, None) if self.rows is not None else None


class OutboxCheck:
    """What each event owes its partners, held against the outbox, in the order of the log."""

    def __init__(
        self,
        office: str,
        publisher: Callable[[str, Event], Iterable[Outgoing]],
        faults: Faults,
    ) -> None:
        self._office = office
        self._publisher = publisher
        self._faults = faults
        self._links: dict[str, _Outbox] = {}

    async def begin(self, connection: AsyncConnection[Any]) -> None:
        cursor = await connection.execute("select distinct receiver from outbox")
        for (receiver,) in await cursor.fetchall():
            link = _Outbox(receiver, _rows(connection, OUTBOX, receiver))
            self._links[receiver] = link
            await link.advance()

    async def take(self, row: Row, event: Event | None) -> None:
        if row.document is None or event is None:
            return
        try:
            owed = tuple(self._publisher(row.columns["stream"], event))
            new = as_new(row.document, event, owed) if owed else None
        except Exception:
            return  # Said already where the columns are looked at.
        if isinstance(event, RestoreSettled):
            await self._go_on(row, event)
        if new is None:
            return
        for index, outgoing in enumerate(new.messages):
            await self._owed(row, new, index, outgoing)

    async def _go_on(self, row: Row, settled: RestoreSettled) -> None:
        """Behind the numbers that an office used before it was restored, as it has on record."""
        for receiver, number in settled.numbers.items():
            link = self._links.setdefault(receiver, _Outbox(receiver))
            await self._skip(link, row.position)
            link.number = max(link.number, number)

    async def _owed(self, row: Row, new: NewEvent, index: int, outgoing: Outgoing) -> None:
        link = self._links.setdefault(outgoing.receiver, _Outbox(outgoing.receiver))
        await self._skip(link, row.position)
        place = f"to {link.receiver}, position {row.position}"
        if link.next is None or link.next[1] != row.position:
            words = "the message that this event owes is not in the outbox"
            self._faults.add("outbox", place, words, outgoing.message.type, "nothing")
            return
        sequence, _, body, personal = link.next
        link.number += 1
        if sequence != link.number:
            words = "the numbers of the link have a hole or a double"
            self._faults.add("outbox", place, words, link.number, sequence)
            link.number = sequence
        due = new.message_body(self._office, index, sequence)
        if due != bytes(body):
            words = "the message is not the one that this event owes"
            self._faults.add("outbox", f"{place}, number {sequence}", words, due, bytes(body))
        if dict(personal) != dict(outgoing.personal):
            words = "who the message's persons are is not what the event has"
            self._faults.add("outbox", f"{place}, number {sequence}", words,
                             sorted(outgoing.personal), sorted(personal))  # fmt: skip
        await link.advance()

    async def _skip(self, link: _Outbox, position: int) -> None:
        """Messages of no event, or of one that owes none."""
        while link.next is not None and link.next[1] < position:
            words = "no event owes this message"
            place = f"to {link.receiver}, number {link.next[0]}, position {link.next[1]}"
            self._faults.add("outbox", place, words, "nothing", "a message")
            link.number = link.next[0]
            await link.advance()

    async def finish(self, outgoing: dict[str, int]) -> None:
        for link in self._links.values():
            await self._skip(link, 2**62)
            if outgoing.get(link.receiver, 0) != link.number:
                words = "the head counts other messages than the outbox has"
                self._faults.add("log_head", f"outgoing to {link.receiver}", words, link.number,
                                 outgoing.get(link.receiver, 0))  # fmt: skip


def as_new(document: dict[str, Any], event: Event, owed: Iterable[Outgoing]) -> NewEvent:
    """The event as it was before it was appended: what its messages' bytes were made from."""
    return NewEvent(
        id=document["id"],
        stream=document["subject"],
        version=document["streamversion"],
        event=event,
        occurred_at=datetime.fromisoformat(document["time"]),
        recorded_at=datetime.fromisoformat(document["recordedtime"]),
        actor=document["actor"],
        traceparent=document["traceparent"],
        causation=document["causationid"],
        messages=tuple(owed),
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class Heard:
    """The ids of all messages that came and when, sixteen bytes each."""

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._times = array("Q")

    def add(self, id_: str, came: datetime, *, parked: bool) -> None:
        """What was `parked` is applied at some later time."""
        self._hashes.append(_hash(id_))
        self._times.append(_microseconds(came) << 1 | parked)

    def __len__(self) -> int:
        return len(self._hashes)

    def settle(self) -> None:
        both = sorted(h << 64 | t for h, t in zip(self._hashes, self._times, strict=True))
        self._hashes = array("Q", (one >> 64 for one in both))
        self._times = array("Q", (one & 2**64 - 1 for one in both))

    def came(self, id_: str) -> tuple[int, bool] | None:
        """When, in microseconds, and whether it was parked first; None: it did not."""
        wanted = _hash(id_)
        at = bisect_left(self._hashes, wanted)
        if at == len(self._hashes) or self._hashes[at] != wanted:
            return None
        return self._times[at] >> 1, bool(self._times[at] & 1)


def _microseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _hash(id_: str) -> int:
    return int.from_bytes(sha256(id_.encode()).digest()[:8], "big")


Trusts = Callable[[str, str, bytes, bytes], bool]


async def check_inbox(
    connection: AsyncConnection[Any], trusts: Trusts, faults: Faults
) -> dict[str, Heard]:
    """Numbers without a hole, and each frame's signature over the very messages that are kept.

    Gives the ids of the messages of each partner.
    """
    cursor = await connection.execute(
        "select coalesce(i.sender, l.sender), coalesce(l.applied_through, 0) from"
        " (select distinct sender from inbox) i full join link_in l on l.sender = i.sender"
    )
    heard: dict[str, Heard] = {}
    for sender, applied in await cursor.fetchall():
        ids = heard[sender] = Heard()
        parked = await _parked(connection, sender)
        number = 0
        frame: tuple[bytes, list[bytes], int] | None = None
        async for sequence, body, head, came in _rows(connection, INBOX, sender):
            number += 1
            if sequence != number:
                words = "the numbers of the link have a hole or a double"
                faults.add("inbox", f"from {sender}, number {number}", words, number, sequence)
                number = sequence
            document = _document(bytes(body))
            ids.add(str(document.get("id", "")), came, parked=sequence in parked)
            if frame is None or frame[0] != bytes(head or b""):
                await _check_frame(connection, sender, frame, trusts, faults)
                frame = (bytes(head or b""), [], sequence)
            frame[1].append(bytes(body))
        await _check_frame(connection, sender, frame, trusts, faults)
        if number != applied:
            words = "another number is noted as applied than the inbox has"
            faults.add("link_in", f"from {sender}", words, number, applied)
        ids.settle()
    return heard


async def _parked(connection: AsyncConnection[Any], sender: str) -> set[int]:
    cursor = await connection.execute(
        "select sequence from parked where sender = %s and sequence is not null", (sender,)
    )
    return {number for (number,) in await cursor.fetchall()}


async def _check_frame(
    connection: AsyncConnection[Any],
    sender: str,
    frame: tuple[bytes, list[bytes], int] | None,
    trusts: Trusts,
    faults: Faults,
) -> None:
    if frame is None:
        return
    head, bodies, first = frame
    place = f"from {sender}, numbers {first} to {first + len(bodies) - 1}"
    numbers = frame_numbers(head)
    if numbers is None:
        faults.add("inbox", place, "the kept head of the frame can't be read", "a head", head)
        return
    if numbers[0] < first:
        # Its beginning had come before, in another frame.
        cursor = await connection.execute(
            "select body from inbox where sender = %s and sequence >= %s and sequence < %s"
            " order by sequence",
            (sender, numbers[0], first),
        )
        bodies = [bytes(body) for (body,) in await cursor.fetchall()] + bodies
    if numbers != (numbers[0], numbers[0] + len(bodies) - 1) or not verify_kept(
        head, bodies, sender, trusts
    ):
        words = "the signature of the frame does not fit these messages"
        faults.add("inbox", place, words, "a valid signature", f"frame {numbers[0]}-{numbers[1]}")


class CauseCheck:
    """An event that a partner caused follows from a message that came, at the time that it came."""

    def __init__(self, heard: dict[str, Heard], faults: Faults) -> None:
        self._heard = heard
        self._faults = faults
        self._again: list[tuple[int, str, int]] = []

    def take(self, row: Row) -> None:
        actor = str(row.columns["actor"])
        if not actor.startswith("office:") or row.document is None:
            return
        sender = actor.removeprefix("office:")
        cause = str(row.document.get("causationid", ""))
        came = self._heard[sender].came(cause) if sender in self._heard else None
        if came is None:
            words = f"this event says that office {sender} caused it, and no such message came"
            place = f"position {row.position}"
            self._faults.add("events", place, words, cause, "no message in the inbox")
            return
        (at, parked), recorded = came, _microseconds(row.columns["recorded_at"])
        if at > recorded and len(self._again) < FAULTS_KEPT:
            self._again.append((row.position, sender, at))
        elif at < recorded and not parked:
            self._say(row.position, sender, at)

    def _say(self, position: int, sender: str, at: int) -> None:
        words = f"the message that caused event {position} came at another time than it says"
        came = datetime.fromtimestamp(at / 1_000_000, UTC)
        place = f"from {sender}, received_at"
        self._faults.add("inbox", place, words, "the time of the event", came)

    def finish(self, restored: Sequence[tuple[int, int]]) -> None:
        """What caused events that were got back after a restore came again later."""
        for position, sender, at in self._again:
            if not any(had < position <= size for had, size in restored):
                self._say(position, sender, at)
