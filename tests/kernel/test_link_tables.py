"""The contract of the link tables, on PostgreSQL and in the simulation's memory alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.kernel.keyring import SealingKey
from shared.kernel.link_tables import Unsent
from shared.kernel.store import Commit, Parked, Received, Settled, Store
from tests.kernel.counter import NOW
from tests.kernel.stores import Kept
from tests.kernel.test_store import commit, event

CITY = "53.71"


@pytest.fixture
async def store(kept: Kept) -> AsyncIterator[Store]:
    one = kept.another()
    yield one
    await one.close()


def parked(number: int | None, raw: bytes, reason: str = "BELOW_ZERO", *about: str) -> Parked:
    return Parked("35", number, reason, "x", raw, frozenset(about), {"PM-1": "s1.x"})


async def test_what_is_unsent_is_read_in_order_from_where_one_stands(store: Store) -> None:
    await store.append(commit(*(event("a", version) for version in (1, 2, 3))))
    assert await store.links.last_recorded("35") == 3
    assert await store.links.last_recorded("53") == 0
    rows = await store.links.unsent("35", 1, 1, 1_000)
    assert [(row.sequence, row.personal) for row in rows] == [(2, {})]
    assert await store.links.unsent("53", 0, 9, 1_000) == []
    assert isinstance(rows[0], Unsent)


async def test_a_confirmation_is_never_taken_back(store: Store) -> None:
    links = store.links
    assert await links.confirmed("35") == (0, None)
    await links.note_sent("35", 7, NOW)
    await links.note_confirmed("35", 5, NOW)
    await links.note_confirmed("35", 3, NOW)
    assert await links.confirmed("35") == (5, None)


async def test_a_sealing_key_is_replaced_by_a_newer_epochs_only(store: Store) -> None:
    links = store.links
    for epoch, public in ((2, b"two"), (1, b"one"), (3, b"three"), (3, b"other")):
        await links.note_sealing("35", SealingKey(epoch, public), "key")
    assert await links.confirmed("35") == (0, SealingKey(3, b"three"))


async def test_what_was_applied_is_told_with_the_latest_frames(store: Store) -> None:
    assert await store.links.applied("35") == (0, set())
    for number in (1, 2):
        row = Received("35", number, b"{}", b"head", b"digest %d" % number)
        await store.append(Commit(at=NOW, received=[row]))
    assert await store.links.applied("35") == (2, {b"digest 1", b"digest 2"})


async def test_only_what_moves_no_number_counts_as_an_unreadable_frame(store: Store) -> None:
    await store.append(Commit(at=NOW, parked=[parked(None, b"four"), parked(1, b"message")]))
    assert await store.links.parked_frames("35") == (1, 4)
    assert await store.links.parked_frames("53") == (0, 0)
    (message,) = await store.links.waiting("35", 0, 9)
    (rubbish,) = {1, 2} - {message.id}
    await store.append(Commit(at=NOW, settled=[Settled(rubbish, "discarded", "operator")]))
    assert await store.links.parked_frames("35") == (0, 0)


async def test_what_is_parked_holds_back_until_it_is_settled(store: Store) -> None:
    links = store.links
    rows = [parked(1, b"one", "BELOW_ZERO", "p", "q"), parked(2, b"two", "BELOW_ZERO", "q", "r")]
    await store.append(Commit(at=NOW, parked=rows))
    assert await links.held("35") == {"p", "q", "r"}
    assert await links.held(CITY) == frozenset()
    (first, _) = await links.waiting("35", 0, 9)
    await store.append(Commit(at=NOW, settled=[Settled(first.id, "applied", "worker")]))
    assert await links.held("35") == {"q", "r"}


async def test_what_waits_is_read_in_order_with_what_it_came_with(store: Store) -> None:
    links = store.links
    rows = [parked(n, b"%d" % n, "BELOW_ZERO", f"p{n}") for n in (3, 1, 2)]
    seal = parked(2, b"sealed", "UNREADABLE_SEAL")
    await store.append(Commit(at=NOW, parked=[*rows, seal, parked(None, b"rubbish")]))
    found = await links.waiting("35", 0, 9)
    assert [(row.sequence, row.affairs) for row in found] == [(n, {f"p{n}"}) for n in (1, 2, 3)]
    came = [await links.as_it_came(row.id) for row in found]
    assert came == [(b"%d" % n, {"PM-1": "s1.x"}) for n in (1, 2, 3)]
    assert {(row.tries, row.parked_at - NOW) for row in found} == {(1, timedelta(0))}
    assert [row.sequence for row in await links.waiting("35", 1, 1)] == [2]


async def test_a_try_in_vain_is_counted_until_it_is_settled(store: Store) -> None:
    links = store.links
    await store.append(Commit(at=NOW, parked=[parked(1, b"one")]))
    (row,) = await links.waiting("35", 0, 9)
    await links.note_refused(row.id, "OTHER", "y" * 1_000)
    (row,) = await links.waiting("35", 0, 9)
    assert (row.reason, row.tries) == ("OTHER", 2)
    await store.append(Commit(at=NOW, settled=[Settled(row.id, "applied", "worker")]))
    await links.note_refused(row.id, "LATE", "y")
    assert await links.waiting("35", 0, 9) == []


async def test_what_is_not_applied_is_told_also_when_it_was_discarded(store: Store) -> None:
    links = store.links
    rows = [parked(n, b"%d" % n) for n in (1, 2, 3)]
    await store.append(Commit(at=NOW, parked=[*rows, parked(4, b"sealed", "UNREADABLE_SEAL")]))
    ids = {row.sequence: row.id for row in await links.waiting("35", 0, 9)}
    settled = [Settled(ids[1], "applied", "x"), Settled(ids[2], "discarded", "x")]
    await store.append(Commit(at=NOW, settled=settled))
    assert await links.received("35") == (0, ((2, 3),))
    await store.append(Commit(at=NOW, parked=[parked(9, b"9")]))
    assert await links.received("35") == (0, ((2, 3), (9, 9)))


async def test_what_a_partner_says_is_unapplied_is_noted(store: Store, kept: Kept) -> None:
    """Of numbers beyond its own a receipt says nothing, and they stay."""
    links = store.links
    await links.note_unapplied("35", ((2, 3), (5, 5)), 5, NOW)
    assert await kept.unapplied() == [2, 3, 5]
    await links.note_unapplied("35", ((3, 3),), 4, NOW)
    assert await kept.unapplied() == [3, 5]
    await links.note_unapplied("35", (), 6, NOW)
    assert await kept.unapplied() == []
    assert await kept.times() == [("applied", 2), ("applied", 3), ("applied", 5)]


async def test_when_something_was_first_sent_and_received_is_kept(store: Store, kept: Kept) -> None:
    for number in (2, 2, 1, 3):
        await store.links.note_sent("35", number, NOW)
        await store.links.note_confirmed("35", number, NOW)
    assert await kept.times() == [("received", 2), ("received", 3), ("sent", 2), ("sent", 3)]
