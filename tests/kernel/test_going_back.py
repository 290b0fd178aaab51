"""The sending end goes back at bad moments: while it sends or reads, and for who was restored."""

# ruff: noqa: F811 - a fixture of another module

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.kernel import outbox
from shared.kernel.link_tables import LinkTables
from shared.kernel.outbox import RESEND_AFTER_SECONDS
from tests.kernel.counter import NOW
from tests.kernel.test_exchange import Pair, pair  # noqa: F401


async def _to_the_end(pair: Pair, turns: int = 60) -> None:
    """Both ends run, nothing is lost any more, a minute a turn."""
    for _ in range(turns):
        at = len(pair.wire.frames)
        await pair.relay.step(NOW)
        receipt = await pair.deliver(
            *pair.wire.frames[at:], again=True
        ) or await pair.inbox.receipt(gap=False, now=NOW)
        await pair.relay.confirm(receipt, NOW)
        pair.seconds += 60


async def test_a_receipt_that_comes_while_it_goes_back(
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The receiver is slower than the resend timer; its receipt comes while it is sent again."""
    await pair.record(5)
    await pair.relay.step(NOW)
    first = list(pair.wire.frames)
    # The window holds just these five.
    monkeypatch.setattr(outbox, "WINDOW_BYTES", sum(map(len, first)))
    receipt = await pair.deliver(*first)
    assert receipt is not None
    assert receipt.applied_through == 5
    pair.seconds += RESEND_AFTER_SECONDS
    send = pair.wire.send

    async def slow(receiver: str, frame: bytes) -> bytes:
        entry = await send(receiver, frame)
        if receipt is not None:
            await pair.relay.confirm(receipt, NOW)
        return entry

    monkeypatch.setattr(pair.wire, "send", slow)
    # It goes back and sends again; the receipt for all comes meanwhile.
    await pair.relay.step(NOW)
    monkeypatch.setattr(pair.wire, "send", send)
    await pair.record(5)
    await _to_the_end(pair)
    assert await pair.applied_through() == 10


async def test_a_partner_restored_to_an_older_backup_gets_all_again(
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runbook, Restore, 6: what partners sent in the lost hours comes again by itself."""
    monkeypatch.setattr(outbox, "FRAME_MESSAGES", 5)
    monkeypatch.setattr("shared.kernel.link.FRAME_MESSAGES", 5)
    await pair.record(5)
    await pair.relay.step(NOW)
    size = len(pair.wire.frames[0])
    monkeypatch.setattr(outbox, "WINDOW_BYTES", 2 * size)
    # As if the partner had confirmed 40, and was then restored to what it had before.
    await pair.record(35)
    await pair.relay.confirm(pair.told(40), NOW)
    await pair.record(5)
    await _to_the_end(pair)
    assert await pair.applied_through() == 45


async def test_restored_and_nothing_new_is_recorded(pair: Pair) -> None:
    await pair.record(5)
    await pair.relay.step(NOW)
    await pair.relay.confirm(pair.told(5), NOW)
    await _to_the_end(pair)
    assert await pair.applied_through() == 5


async def test_a_relay_that_goes_back_while_it_reads_leaves_nothing_out(
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As test_a_relay_that_goes_back_while_it_sends…, a few awaits earlier."""
    await pair.record(6)
    await pair.relay.step(NOW)
    await pair.record(4)
    unsent = LinkTables.unsent

    async def gap_is_said(self: LinkTables, *given: object) -> object:
        found = await unsent(self, *given)  # type: ignore[arg-type]
        monkeypatch.setattr(LinkTables, "unsent", unsent)
        await pair.relay.confirm(pair.told(2, gap=True), NOW)
        return found

    monkeypatch.setattr(LinkTables, "unsent", gap_is_said)
    await pair.relay.step(NOW)
    assert await pair.relay.step(NOW) == 8


async def test_a_partner_that_says_gap_for_ever_is_answered_with_measure(
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await pair.record(50)
    await pair.relay.step(NOW)
    for n in range(20):
        one = pair.told(0, gap=True)
        await pair.relay.confirm(replace(one, sent=one.sent + n % 2), NOW)
        await pair.relay.step(NOW)
    # All within the same second: the same fifty were sealed, signed and sent so often.
    assert len(pair.wire.frames) <= 5
