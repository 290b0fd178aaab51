"""Outbox, link and inbox between two offices, over a transport that loses, repeats, reorders.

No broker, no clock, no thread: each part is a `step` that the test calls.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import pytest
from psycopg import OperationalError, errors
from psycopg_pool import AsyncConnectionPool

from shared.contracts.messages import CaseStatusChanged, Message
from shared.kernel import inbox, link, outbox
from shared.kernel.decider import Command
from shared.kernel.event import UnknownType
from shared.kernel.handling import Handling, Unit
from shared.kernel.inbox import Inbox
from shared.kernel.keyring import Keyring
from shared.kernel.link import CLAIM, Frame, Receipt, encode
from shared.kernel.link_tables import LinkTables
from shared.kernel.outbox import (
    HEARD_SECONDS,
    RESEND_AFTER_SECONDS,
    SILENCE_SECONDS,
    Relay,
)
from shared.kernel.store import Store
from shared.kernel.vault import Vault
from tests.conftest import make_keyring
from tests.kernel.counter import NOW, count, decider, publish
from tests.servers import Servers


def react(
    sender: str,
    message: Message,
    actor: str,
    now: datetime,
    occurred_at: datetime,
    identities: Mapping[str, str],
) -> Sequence[Command]:
    """Each message counts one; a closed case counts below zero, which is refused."""
    assert isinstance(message, CaseStatusChanged)
    return [count("received", -1_000 if message.status == "closed" else 1)]


@dataclass
class Wire:
    """A transport that only keeps what it is given."""

    frames: list[bytes] = field(default_factory=list)
    claims: list[bytes] = field(default_factory=list)
    trimmed: list[bytes] = field(default_factory=list)
    cleared: int = 0

    async def send(self, receiver: str, frame: bytes) -> bytes:
        some = self.claims if b"content-type: " + CLAIM.encode() in frame else self.frames
        some.append(frame)
        return str(len(some)).encode()

    async def clear(self, receiver: str) -> None:
        self.cleared += 1

    async def trim(self, receiver: str, through: bytes) -> None:
        self.trimmed.append(through)


class Pair:
    """City 53.71 that sends, province 35 that receives."""

    def __init__(self, here: Keyring, there: Keyring) -> None:
        self.here, self.there = here, there
        self.city = Handling(Store(here.pool, "53.71"), [decider], publish)
        self.province = Handling(Store(there.pool, "35"), [decider], lambda stream, event: ())
        self.wire = Wire()
        self.relay = Relay(self.city.store.links, Vault(here), self.wire, "35")
        self.inbox = Inbox(self.province, Vault(there), react, "53.71")
        self.seconds = 0.0

    async def record(self, number: int) -> None:
        units = [Unit([count(f"c{n}", 1)]) for n in range(number)]
        await self.city.handle(units, at=NOW, actor="tester", cause="c")

    async def deliver(self, *raws: bytes, again: bool = False) -> Receipt | None:
        """The receipt, but for what it says of checkpoints (`test_witness`)."""
        receipt, _ = await self.inbox.receive(raws, NOW, again=again)
        return replace(receipt, witnessed=None) if receipt else None

    def told(self, through: int, *unapplied: tuple[int, int], gap: bool = False) -> Receipt:
        """The receipt that the province gives."""
        key = self.there.sealing_key
        sent = int(NOW.timestamp() * 1_000_000)
        return Receipt("35", "53.71", through, gap, key, sent, unapplied)

    def frame_of(self, *messages: dict[str, object]) -> bytes:
        bodies = tuple(json.dumps(m).encode() for m in messages)
        frame = Frame("53.71", "35", int(str(messages[0]["sequence"])), bodies)
        return encode(frame, self.here.sign)

    async def applied_through(self) -> int:
        return (await self.province.store.links.received("53.71"))[0]

    async def received(self) -> int:
        return int((await self.province.states(decider, ["received"]))["received"])

    async def parked(self) -> list[tuple[str, int | None, str]]:
        async with self.province.store.pool.connection() as connection:
            cursor = await connection.execute("select reason, sequence, detail from parked")
            return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def rows(of: Handling, query: LiteralString) -> list[Any]:
    async with of.store.pool.connection() as connection:
        return await (await connection.execute(query)).fetchall()


@pytest.fixture
async def pair(
    servers: Servers, databases: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pair]:
    async with (
        AsyncConnectionPool(servers.database(), min_size=1) as here,
        AsyncConnectionPool(servers.database(), min_size=1) as there,
    ):
        one = await make_keyring(here, tmp_path, "53.71")
        other = await make_keyring(there, tmp_path, "35")
        ((_, line),) = await one.public()
        await other.trust("53.71", line, "test")
        both = Pair(one, other)
        monkeypatch.setattr("shared.kernel.outbox._elapsed", lambda: both.seconds)
        yield both
        await both.city.store.close()
        await both.province.store.close()


async def test_what_is_recorded_is_applied_in_order_and_confirmed(pair: Pair) -> None:
    await pair.record(3)
    assert await pair.relay.step(NOW) == 3
    receipt = await pair.deliver(*pair.wire.frames)
    assert receipt == pair.told(3)
    assert await pair.received() == 3
    await pair.relay.confirm(receipt, NOW)
    assert pair.wire.trimmed == [b"1"]
    pair.seconds += 3_600
    assert await pair.relay.step(NOW) == 0


async def test_a_frame_that_comes_twice_is_applied_once(pair: Pair) -> None:
    await pair.record(3)
    await pair.relay.step(NOW)
    await pair.deliver(*pair.wire.frames)
    assert await pair.deliver(*pair.wire.frames, again=True) == pair.told(3)
    assert await pair.received() == 3
    assert await pair.parked() == []


async def test_a_replayed_frame_changes_nothing_and_is_parked(pair: Pair) -> None:
    await pair.record(3)
    await pair.relay.step(NOW)
    await pair.deliver(*pair.wire.frames)
    assert await pair.deliver(*pair.wire.frames, *pair.wire.frames) is None
    assert await pair.received() == 3
    assert [(r, n) for r, n, _ in await pair.parked()] == [("REPLAYED_FRAME", None)]


async def test_what_is_not_confirmed_is_sent_again(pair: Pair) -> None:
    await pair.record(2)
    assert await pair.relay.step(NOW) == 2
    pair.seconds = RESEND_AFTER_SECONDS / 2
    assert await pair.relay.step(NOW) == 0
    pair.seconds = RESEND_AFTER_SECONDS
    assert await pair.relay.step(NOW) == 2
    # Before each, the copies that nobody confirmed are taken away: they would pile up.
    assert pair.wire.cleared == 2
    # A further silence is waited for twice as long.
    pair.seconds = RESEND_AFTER_SECONDS * 2
    assert await pair.relay.step(NOW) == 0
    pair.seconds = RESEND_AFTER_SECONDS * 3
    assert await pair.relay.step(NOW) == 2


async def test_an_absent_partner_is_sent_to_less_and_less_often_but_never_given_up(
    pair: Pair,
) -> None:
    await pair.record(1)
    await pair.relay.step(NOW)
    pauses = []
    for _ in range(7):
        before = pair.seconds
        while not await pair.relay.step(NOW):
            pair.seconds += 5
        pauses.append(pair.seconds - before)
    assert pauses == [5, 10, 20, 40, 80, 120, 120]


async def test_no_more_is_on_its_way_than_the_window_holds(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for an absent partner waits in the outbox, not in the Redis that all share."""
    monkeypatch.setattr(outbox, "WINDOW_MESSAGES", 5)
    await pair.record(7)
    assert [await pair.relay.step(NOW) for _ in range(3)] == [5, 0, 0]
    pair.seconds += RESEND_AFTER_SECONDS
    assert [await pair.relay.step(NOW) for _ in range(3)] == [5, 0, 0]
    assert pair.wire.cleared == 2
    receipt = await pair.deliver(pair.wire.frames[-1])
    assert receipt is not None
    await pair.relay.confirm(receipt, NOW)
    assert [await pair.relay.step(NOW) for _ in range(2)] == [2, 0]


async def test_no_more_bytes_are_on_their_way_than_the_window_holds(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.record(7)
    ((size,),) = await rows(pair.city, "select max(octet_length(body)) from outbox")
    monkeypatch.setattr(outbox, "WINDOW_BYTES", 3 * size)
    sent = [await pair.relay.step(NOW) for _ in range(4)]
    assert sent[0] == 3
    assert sum(sent) < 7
    # One that is larger than the whole window goes by itself.
    monkeypatch.setattr(outbox, "WINDOW_BYTES", 1)
    again = Relay(pair.city.store.links, Vault(pair.here), pair.wire, "35")
    assert [await again.step(NOW) for _ in range(2)] == [1, 0]


async def test_a_relay_that_goes_back_while_it_sends_leaves_nothing_out(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.kernel.link.FRAME_MESSAGES", 2)
    await pair.record(6)
    await pair.relay.step(NOW)
    await pair.record(4)
    send = pair.wire.send

    async def gap_is_said(receiver: str, frame: bytes) -> bytes:
        monkeypatch.setattr(pair.wire, "send", send)
        await pair.relay.confirm(pair.told(2, gap=True), NOW)
        return await send(receiver, frame)

    monkeypatch.setattr(pair.wire, "send", gap_is_said)
    await pair.relay.step(NOW)
    before = len(pair.wire.frames)
    assert await pair.relay.step(NOW) == 8
    await pair.deliver(pair.wire.frames[0], *pair.wire.frames[before:])
    assert await pair.received() == 10


async def test_a_relay_waits_for_receipts_where_its_window_is_full_or_it_went_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "WINDOW_MESSAGES", 3)
    await pair.record(3)
    assert await pair.relay.step(NOW) == 3
    assert not pair.relay.waits
    await pair.record(2)
    assert await pair.relay.step(NOW) == 0
    assert pair.relay.waits
    await pair.relay.confirm(pair.told(3), NOW)
    assert pair.relay.waits
    assert await pair.relay.step(NOW) == 2
    assert not pair.relay.waits
    await pair.relay.confirm(pair.told(3, gap=True), NOW)
    assert pair.relay.waits


async def test_that_something_was_sent_is_noted_also_where_the_note_failed_at_first(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise OperationalError

    await pair.record(2)
    with monkeypatch.context() as patch, pytest.raises(OperationalError):
        patch.setattr(LinkTables, "note_sent", fails)
        await pair.relay.step(NOW)
    assert await pair.relay.step(NOW) == 0
    assert await rows(pair.city, "select state, sequence from link_times") == [("sent", 2)]


async def test_when_a_partner_was_last_heard_is_known(pair: Pair) -> None:
    heard = "select heard_at from link_out"
    assert await rows(pair.city, heard) == []
    await pair.relay.confirm(pair.told(0), NOW)
    await pair.relay.confirm(pair.told(0), NOW + timedelta(seconds=1))
    assert await rows(pair.city, heard) == [(NOW,)]
    pair.seconds += HEARD_SECONDS
    later = NOW + timedelta(seconds=HEARD_SECONDS)
    await pair.relay.confirm(pair.told(0), later)
    assert await rows(pair.city, heard) == [(later,)]


async def test_a_partner_that_comes_back_need_not_wait_for_what_went_for_nothing(
    pair: Pair,
) -> None:
    await pair.record(2)
    await pair.relay.step(NOW)
    for _ in range(4):
        pair.seconds += 60
        await pair.relay.step(NOW)
    pair.seconds += RESEND_AFTER_SECONDS
    assert await pair.relay.step(NOW) == 0
    await pair.relay.confirm(pair.told(0), NOW)
    assert await pair.relay.step(NOW) == 2


async def test_a_sender_whose_clock_is_set_back_sends_again_as_soon_as_ever(pair: Pair) -> None:
    await pair.record(2)
    assert await pair.relay.step(NOW) == 2
    pair.seconds += RESEND_AFTER_SECONDS
    assert await pair.relay.step(NOW - timedelta(hours=2)) == 2


async def test_a_receiver_whose_clock_is_set_back_is_heard_again_soon(pair: Pair) -> None:
    await pair.record(3)
    await pair.relay.step(NOW)
    await pair.relay.confirm(pair.told(1), NOW)
    set_back = replace(pair.told(3), sent=pair.told(3).sent - 7_200_000_000)
    await pair.relay.confirm(set_back, NOW)
    assert (await pair.city.store.links.confirmed("35"))[0] == 1
    # What was heard last, said once more by anybody, keeps nobody waiting.
    pair.seconds += SILENCE_SECONDS / 2
    await pair.relay.confirm(pair.told(1), NOW)
    pair.seconds += SILENCE_SECONDS / 2
    await pair.relay.confirm(set_back, NOW)
    assert (await pair.city.store.links.confirmed("35"))[0] == 3


async def test_a_relay_that_starts_again_sends_what_nobody_confirmed(pair: Pair) -> None:
    """It may have died between sending and remembering; the receiver takes each once."""
    await pair.record(2)
    await pair.relay.step(NOW)
    again = Relay(pair.city.store.links, Vault(pair.here), pair.wire, "35")
    assert await again.step(NOW) == 2
    await pair.deliver(*pair.wire.frames)
    assert await pair.received() == 2


async def test_a_gap_is_said_and_filled(pair: Pair) -> None:
    await pair.record(1)
    await pair.relay.step(NOW)
    await pair.record(1)
    await pair.relay.step(NOW)
    lost, second = pair.wire.frames
    receipt = await pair.deliver(second)
    assert receipt == pair.told(0, gap=True)
    assert await pair.received() == 0
    await pair.relay.confirm(receipt, NOW)
    assert await pair.relay.step(NOW) == 2
    assert await pair.deliver(pair.wire.frames[-1]) == pair.told(2)
    assert lost != second


async def test_a_receipt_for_what_was_never_written_is_not_believed(pair: Pair) -> None:
    await pair.record(2)
    await pair.relay.step(NOW)
    await pair.relay.confirm(Receipt("35", "53.71", 99), NOW)
    pair.seconds += RESEND_AFTER_SECONDS
    assert await pair.relay.step(NOW) == 2


def told(sequence: int, **more: object) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"m{sequence}",
        "type": CaseStatusChanged.type,
        "time": NOW.isoformat(),
        "sequence": str(sequence),
        "data": {"person": f"PM-{sequence:010}", "status": "ready"},
    } | more


async def test_what_cannot_be_read_is_parked_and_does_not_hold_up_the_others(pair: Pair) -> None:
    receipt = await pair.deliver(
        pair.frame_of(
            told(1),
            told(2, type="pulang.something.new.v9"),
            told(3, data={"person": "no code", "status": "ready"}),
            told(4, time="yesterday"),
            told(5),
        )
    )
    assert receipt == pair.told(5, (2, 4))
    assert await pair.received() == 2
    assert [(reason, number) for reason, number, _ in await pair.parked()] == [
        ("UNKNOWN_TYPE", 2),
        ("UNREADABLE_MESSAGE", 3),
        ("UNREADABLE_MESSAGE", 4),
    ]
    assert all("no code" not in detail for _, _, detail in await pair.parked())


async def test_what_a_decision_refuses_is_parked_with_its_code(pair: Pair) -> None:
    closed = {"person": "PM-0000000001", "status": "closed"}
    receipt = await pair.deliver(pair.frame_of(told(1), told(2, data=closed), told(3)))
    assert receipt == pair.told(3, (2, 2))
    assert await pair.received() == 2
    assert [(r, n) for r, n, _ in await pair.parked()] == [("BELOW_ZERO", 2)]


async def test_rubbish_is_parked_and_moves_no_number(pair: Pair) -> None:
    assert await pair.deliver(b"hello", b"\xff\xfe") is None
    assert await pair.applied_through() == 0
    assert [r for r, _, _ in await pair.parked()] == ["UNTRUSTED_FRAME"] * 2
    await pair.record(1)
    await pair.relay.step(NOW)
    assert await pair.deliver(*pair.wire.frames, b"hello") == pair.told(1)


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_an_entry_that_the_code_stumbles_over_is_parked_and_stops_no_other(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Were it tried again for ever, its link would stand still."""
    stumbled = [pair.frame_of(told(n)) for n in (1, 2, 3)][number]
    whole = [pair.frame_of(told(n)) for n in (1, 2, 3)]
    real = link.decode

    def decode(raw: bytes, **more: Any) -> Any:
        if raw == stumbled:
            raise RuntimeError("a fault of our own")
        return real(raw, **more)

    monkeypatch.setattr(inbox, "decode", decode)
    receipt = await pair.deliver(*whole)
    assert await pair.received() == number
    assert {r for r, _, _ in await pair.parked()} == {"UNRECEIVABLE_FRAME"}
    assert receipt == (pair.told(number, gap=number < 2) if receipt else None)
    # It moved no number: sent again, when the code is mended, it is applied.
    monkeypatch.setattr(inbox, "decode", real)
    assert await pair.deliver(*whole, again=True) == pair.told(3)
    assert await pair.received() == 3


def test_what_the_database_refuses_for_its_size_is_not_tried_for_ever() -> None:
    assert inbox.passing(OperationalError())
    assert inbox.passing(errors.DiskFull())
    assert not inbox.passing(errors.ProgramLimitExceeded())
    assert not inbox.passing(ValueError())


async def test_of_what_anybody_can_write_only_so_much_is_kept(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PARKED_FRAMES", 3)
    for n in range(6):
        await pair.deliver(b"rubbish %d" % n)
    kept = await rows(pair.province, "select convert_from(raw, 'utf8'), times from parked")
    assert kept == [(f"rubbish {n}", 1) for n in range(3)] + [("UNTRUSTED_FRAME", 3)]
    monkeypatch.setattr(inbox, "PARKED_FRAMES", 100)
    monkeypatch.setattr(inbox, "PARKED_BYTES", 100)
    await pair.deliver(b"x" * 200)
    assert await rows(pair.province, "select max(octet_length(raw)) from parked") == [(15,)]


async def test_a_message_is_not_refused_for_its_trace(pair: Pair) -> None:
    traces: list[object] = [5, None, "nonsense", ["00"], f"01-{'a' * 32}-{'b' * 16}-01-more"]
    messages = [told(n, traceparent=one) for n, one in enumerate(traces, 1)]
    await pair.deliver(pair.frame_of(*messages))
    assert await pair.received() == len(traces)
    assert await pair.parked() == []


async def test_two_workers_who_both_believe_to_be_active_apply_once(pair: Pair) -> None:
    import asyncio

    await pair.record(5)
    await pair.relay.step(NOW)
    other = Inbox(pair.province, Vault(pair.there), react, "53.71")
    await asyncio.gather(
        pair.inbox.receive(pair.wire.frames, NOW), other.receive(pair.wire.frames, NOW)
    )
    assert await pair.received() == 5


@pytest.mark.parametrize("seed", range(12))
async def test_a_wire_that_loses_repeats_and_reorders_still_delivers_all_once(
    pair: Pair, seed: int
) -> None:
    """First phase: faults. Second phase: none; everything must converge within a bound."""
    chance = random.Random(seed)
    for turn in range(40):
        faults = turn < 25
        if faults:
            await pair.record(chance.randrange(3))
        await pair.relay.step(NOW)
        sent, pair.wire.frames = pair.wire.frames, []
        arriving = [
            frame for frame in sent for _ in range(chance.choice([0, 1, 1, 2]) if faults else 1)
        ]
        if faults:
            chance.shuffle(arriving)
        receipt = await pair.deliver(*arriving) if arriving else None
        if receipt and not (faults and chance.random() < 0.4):
            await pair.relay.confirm(receipt, NOW)
        pair.seconds += RESEND_AFTER_SECONDS * 30
    recorded = (await pair.city.store.head()).outgoing.get("35", 0)
    assert await pair.received() == recorded
    assert await pair.applied_through() == recorded
    assert {reason for reason, _, _ in await pair.parked()} <= {"REPLAYED_FRAME"}


POISON: list[dict[str, object]] = [
    told(1, type="x\0y"),
    told(1, id="\ud800"),
    told(1, id=5),
    told(1, time="2019-10-04T08:00:00+23:59"),
    told(1, time="0001-01-01T00:00:00+14:00"),
    told(1, time=1570147200),
    told(1, data={"a\0b": 1}),
    told(1, data={"nama rahasia": "nilai rahasia"}),
    told(1, data=[]),
    {key: value for key, value in told(1).items() if key != "id"},
]


@pytest.mark.parametrize("poison", POISON, ids=range(len(POISON)))
async def test_no_message_blocks_its_link_whatever_it_holds(
    pair: Pair, poison: dict[str, object]
) -> None:
    receipt = await pair.deliver(pair.frame_of(poison, told(2)))
    assert receipt == pair.told(2, (1, 1))
    assert await pair.received() == 1
    ((reason, number, detail),) = await pair.parked()
    assert number == 1
    assert reason in ("UNKNOWN_TYPE", "UNREADABLE_MESSAGE")
    assert "rahasia" not in detail


async def test_what_nobody_foresaw_is_parked_and_not_tried_for_ever(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the code or the database stumbles over: the others are applied all the same."""
    original = pair.inbox._reactor

    def stumble(sender: str, message: Message, *rest: object) -> Sequence[Command]:
        assert isinstance(message, CaseStatusChanged)
        commands = original(sender, message, *rest)  # type: ignore[arg-type]
        if message.status == "closed":
            return [c.model_copy(update={"counter": "\0"}) for c in commands]
        return commands

    monkeypatch.setattr(pair.inbox, "_reactor", stumble)
    closed = {"person": "PM-0000000001", "status": "closed"}
    receipt = await pair.deliver(pair.frame_of(told(1), told(2, data=closed), told(3)))
    assert receipt == pair.told(3, (2, 2))
    assert await pair.received() == 2
    assert [(r, n) for r, n, _ in await pair.parked()] == [("UNAPPLIABLE_MESSAGE", 2)]


def about(number: int, sequence: int, status: str = "ready") -> dict[str, object]:
    return told(sequence, data={"person": f"PM-{number:010}", "status": status})


async def settled(pair: Pair) -> list[tuple[int, str, str | None]]:
    async with pair.province.store.pool.connection() as connection:
        cursor = await connection.execute(
            "select sequence, reason, settled_as from parked order by sequence"
        )
        return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def test_later_messages_of_the_same_person_wait_and_those_of_others_go_on(
    pair: Pair,
) -> None:
    """In the same frame, and in a later one."""
    frame = pair.frame_of(about(1, 1, "closed"), about(2, 2), about(1, 3), about(3, 4))
    assert await pair.deliver(frame) == pair.told(4, (1, 1), (3, 3))
    assert await pair.deliver(pair.frame_of(about(1, 5), about(2, 6))) == pair.told(
        6, (1, 1), (3, 3), (5, 5)
    )
    assert await pair.received() == 3
    assert await settled(pair) == [
        (1, "BELOW_ZERO", None),
        (3, "WAITS_BEHIND_PARKED", None),
        (5, "WAITS_BEHIND_PARKED", None),
    ]


async def test_what_is_none_of_this_offices_business_holds_back_in_the_same_frame_too(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reactor says so, not the contract: what follows about her waits all the same."""

    def knows_no_closing(sender: str, message: Message, *rest: object) -> Sequence[Command]:
        assert isinstance(message, CaseStatusChanged)
        if message.status == "closed":
            raise UnknownType(message.type)
        return [count("received", 1)]

    monkeypatch.setattr(pair.inbox, "_reactor", knows_no_closing)
    frame = pair.frame_of(about(1, 1, "closed"), about(1, 2), about(2, 3))
    assert await pair.deliver(frame) == pair.told(3, (1, 2))
    assert await pair.received() == 1
    assert await settled(pair) == [(1, "UNKNOWN_TYPE", None), (2, "WAITS_BEHIND_PARKED", None)]


async def test_what_waited_is_applied_in_order_once_the_parked_one_is_settled(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.deliver(pair.frame_of(about(1, 1, "closed"), about(1, 2), about(1, 3)))
    assert await pair.inbox.settle(NOW, "operator") == []
    assert await pair.received() == 0
    applied: list[str] = []

    def mended(sender: str, message: Message, *rest: object) -> Sequence[Command]:
        assert isinstance(message, CaseStatusChanged)
        applied.append(message.status)
        return [count("received", 1)]

    monkeypatch.setattr(pair.inbox, "_reactor", mended)
    async with pair.province.store.pool.connection() as connection:
        cursor = await connection.execute("select id from parked where sequence = 1")
        ((chosen,),) = await cursor.fetchall()
    assert len(await pair.inbox.settle(NOW, "operator", [chosen])) == 3
    assert applied == ["closed", "ready", "ready"]
    assert await pair.received() == 3
    assert [how for _, _, how in await settled(pair)] == ["applied"] * 3
    assert await pair.inbox.settle(NOW, "operator", [chosen]) == []


async def test_a_refused_message_is_tried_again_by_itself_but_only_so_often(pair: Pair) -> None:
    """What it lacked may have come by another link; after that people decide."""
    await pair.deliver(pair.frame_of(about(1, 1, "closed")))
    tried_after = []
    for seconds in range(0, 3600, 15):
        before = await rows(pair.province, "select tries from parked")
        await pair.inbox.settle(NOW + timedelta(seconds=seconds), "worker")
        if await rows(pair.province, "select tries from parked") != before:
            tried_after.append(seconds)
    assert tried_after == [15, 15 + 60, 15 + 60 + 240]
    assert await pair.received() == 0


async def test_a_clock_that_is_set_back_keeps_no_refused_message_waiting(pair: Pair) -> None:
    await pair.deliver(pair.frame_of(about(1, 1, "closed")))
    before = NOW - timedelta(hours=2)
    await pair.inbox.settle(before, "worker")
    assert await rows(pair.province, "select tries from parked") == [(1,)]
    # As if so long had passed since, which no clock on the wall says.
    ((first, (since, at)),) = pair.inbox._waits_since.items()
    pair.inbox._waits_since[first] = since, at - inbox.RETRY_AFTER.total_seconds()
    await pair.inbox.settle(before, "worker")
    assert await rows(pair.province, "select tries from parked") == [(2,)]


async def test_what_an_operator_tried_a_hundred_times_in_vain_stops_nobody(pair: Pair) -> None:
    """The time to wait grows with each try, and must not be reckoned beyond what a time can be."""
    await pair.deliver(pair.frame_of(about(1, 1, "closed")))
    (row,) = await pair.province.store.links.waiting("53.71", 0, 9)
    for _ in range(100):
        await pair.inbox.settle(NOW, "operator", [row.id])
    assert await pair.inbox.settle(NOW + timedelta(days=1), "worker") == []


async def test_two_who_settle_the_same_message_at_once_apply_it_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    await pair.deliver(pair.frame_of(about(1, 1, "closed")))
    other = Inbox(pair.province, Vault(pair.there), react, "53.71")

    def mended(sender: str, message: Message, *rest: object) -> Sequence[Command]:
        return [count("received", 1)]

    for one in (pair.inbox, other):
        monkeypatch.setattr(one, "_reactor", mended)
    (row,) = await pair.province.store.links.waiting("53.71", 0, 9)
    results = await asyncio.gather(
        pair.inbox.settle(NOW, "one", [row.id]), other.settle(NOW, "other", [row.id])
    )
    assert sorted(map(len, results)) == [0, 1]
    assert await pair.received() == 1


async def test_rubbish_with_the_bytes_of_a_message_does_not_make_that_message_vanish(
    pair: Pair,
) -> None:
    """Frames are plain text: who reads the stream can write a message's bytes into it before."""
    refused = about(1, 1, "closed")
    await pair.deliver(json.dumps(refused).encode())
    await pair.deliver(pair.frame_of(refused, about(1, 2)))
    assert [(reason, number) for reason, number, _ in await pair.parked()] == [
        ("UNTRUSTED_FRAME", None),
        ("BELOW_ZERO", 1),
        ("WAITS_BEHIND_PARKED", 2),
    ]
    assert await pair.received() == 0


async def test_what_a_partner_calls_a_type_is_not_said_unless_it_is_a_name(pair: Pair) -> None:
    await pair.deliver(
        pair.frame_of(told(1, type="NIK-5371-Seseorang"), told(2, type="pulang.a.v9"))
    )
    assert [detail for _, _, detail in await pair.parked()] == [
        "a type that is no name",
        "unknown type pulang.a.v9",
    ]
