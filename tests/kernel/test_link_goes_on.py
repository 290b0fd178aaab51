"""A link goes on: what waited, what stumbled, what was lost while nothing else was said."""

# ruff: noqa: F811 - fixtures of other modules

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import OperationalError

from shared.contracts.messages import CaseStatusChanged
from shared.kernel import inbox
from shared.kernel.decider import Command
from shared.kernel.outbox import CLAIM_SECONDS, GO_BACK_SECONDS
from shared.kernel.store import Commit, Settled
from tests.kernel.counter import NOW, count
from tests.kernel.test_exchange import Pair, pair, react, rows, told  # noqa: F401
from tests.kernel.test_store import event
from tests.kernel.test_witness import Offices, offices  # noqa: F401

CLOSED = {"person": "PM-0000000001", "status": "closed"}


async def discard(pair: Pair, *numbers: int) -> None:
    """As an operator gives up parked messages, by their numbers."""
    of_number = dict(await rows(pair.province, "select sequence, id from parked"))
    settled = [Settled(of_number[number], "discarded", "operator") for number in numbers]
    await pair.province.store.append(Commit(at=NOW, settled=settled))


async def comes_late(pair: Pair, begun: datetime) -> None:
    """Some tries at once, then what it lacked, by another link; and tries for five minutes."""
    for seconds in range(4):
        await pair.inbox.settle(begun + timedelta(seconds=seconds), "worker")
    units = [inbox.Unit([count("received", 2_000)])]
    await pair.province.handle(units, at=NOW, actor="office:53", cause="c")
    for seconds in (10, 20, 70, 300):
        await pair.inbox.settle(begun + timedelta(seconds=seconds), "worker")


async def test_a_message_that_waited_an_hour_is_tried_for_as_long_as_any_other(pair: Pair) -> None:
    """Runbook: tried again after about 15 seconds, a minute and 4 minutes; then people decide."""
    first, second = told(1, data=CLOSED), told(2, data=CLOSED)
    await pair.deliver(pair.frame_of(first, second))
    await discard(pair, 1)
    await comes_late(pair, NOW + timedelta(hours=1))
    assert await pair.received() == 1_000


async def test_a_refused_message_is_not_given_up_because_the_worker_was_away(pair: Pair) -> None:
    """The worker comes back after ten minutes; what the message lacked is read a second later."""
    await pair.deliver(pair.frame_of(told(1, data=CLOSED)))
    await comes_late(pair, NOW + timedelta(minutes=10))
    assert await pair.received() == 1_000


async def test_what_the_reactor_stumbles_over_keeps_no_other_from_settling(pair: Pair) -> None:
    """The first time such a message is parked (`_commit_all`); behind a parked one it is not."""

    def other(number: int, **more: object) -> dict[str, object]:
        data = {"person": "PM-0000000002", "status": "closed"} | more
        return told(number, data=data)

    await pair.deliver(
        pair.frame_of(
            told(1, data=CLOSED),
            told(2, data=CLOSED | {"status": "ready"}),
            other(3),
            other(4, status="ready"),
        )
    )
    await discard(pair, 1, 3)

    def stumbles(sender: str, message: Any, *more: Any) -> Sequence[Command]:
        assert isinstance(message, CaseStatusChanged)
        if message.person == "PM-0000000001":
            raise KeyError("a fault of our own")
        return react(sender, message, *more)

    pair.inbox._reactor = stumbles
    await pair.inbox.settle(NOW, "worker")
    assert await pair.received() == 1


async def test_a_step_that_was_under_way_does_not_undo_a_going_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step begins while the transport is cleared, and ends after it."""
    await pair.record(5)
    await pair.relay.step(NOW)
    lost = len(pair.wire.frames)
    await pair.record(1)
    pair.seconds += GO_BACK_SECONDS
    clearing, cleared, sending, sent = (asyncio.Event() for _ in range(4))

    async def clear(receiver: str) -> None:
        clearing.set()
        await cleared.wait()

    send = pair.wire.send

    async def slow(receiver: str, frame: bytes) -> bytes:
        sending.set()
        await sent.wait()
        return await send(receiver, frame)

    with monkeypatch.context() as patch:
        patch.setattr(pair.wire, "clear", clear)
        patch.setattr(pair.wire, "send", slow)
        hearing = asyncio.create_task(pair.relay.confirm(pair.told(0, gap=True), NOW))
        await clearing.wait()
        stepping = asyncio.create_task(pair.relay.step(NOW))
        await sending.wait()
        cleared.set()
        await hearing
        sent.set()
        await stepping
    for _ in range(3):
        await pair.relay.step(NOW)
    receipt = await pair.deliver(*pair.wire.frames[lost:])
    assert receipt is not None
    # The receiver asks once more: that is too soon after the last time, and not heard.
    await pair.relay.confirm(receipt, NOW)
    at = len(pair.wire.frames)
    for _ in range(3):
        await pair.relay.step(NOW)
    await pair.deliver(*pair.wire.frames[at:])
    assert await pair.received() == 6


async def test_a_claim_that_an_idle_link_lost_is_made_again(offices: Offices) -> None:
    """ADR 0024: every five seconds an office says how its log stands. A flush took that away."""
    await offices.record(1)
    await offices.cross()
    await offices.city.store.append(Commit(at=NOW, events=[event("quiet", 1, tell=False)]))
    offices.seconds += CLAIM_SECONDS
    await offices.relay.step(NOW)
    assert len(offices.wire.claims) == 1
    offices.wire.claims.clear()
    for minute in range(1, 61):
        offices.seconds += 60
        await offices.cross()
        now = NOW + timedelta(minutes=minute)
        await offices.relay.confirm(await offices.inbox.receipt(gap=False, now=now), now)
    kept = await offices.kept()
    assert kept is not None
    assert kept.size == 2


async def test_rubbish_beside_a_batch_that_is_tried_again_counts_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How often the same bytes came is shown to the operator (`times`)."""
    await pair.record(1)
    await pair.relay.step(NOW)
    with monkeypatch.context() as patch:

        async def away(*_: object) -> None:
            raise OperationalError

        patch.setattr(pair.inbox, "_apply", away)
        for again in range(5):
            with pytest.raises(OperationalError):
                await pair.deliver(b"hello", *pair.wire.frames, again=bool(again))
    await pair.deliver(b"hello", *pair.wire.frames, again=True)
    assert await rows(pair.province, "select times from parked") == [(1,)]


async def test_a_database_that_was_away_for_a_moment_spends_no_try(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.deliver(pair.frame_of(told(1, data=CLOSED)))
    at = NOW + timedelta(hours=1)
    await pair.inbox.settle(at, "worker")
    tries = "select tries from parked"
    assert await rows(pair.province, tries) == [(2,)]
    with monkeypatch.context() as patch:

        async def away(*_: object) -> None:
            raise OperationalError

        patch.setattr(pair.inbox._links, "waiting", away)
        with pytest.raises(OperationalError):
            await pair.inbox.settle(at + timedelta(seconds=1), "worker")
    await pair.inbox.settle(at + timedelta(seconds=2), "worker")
    assert await rows(pair.province, tries) == [(2,)]
