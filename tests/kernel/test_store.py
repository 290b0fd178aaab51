"""The contract of the event store: what every store must do, with a race between writers in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import AsyncConnectionPool

from shared.kernel import merkle
from shared.kernel.event import EventTypes, NewEvent, Outgoing
from shared.kernel.projector import Projector
from shared.kernel.store import (
    GROUP_COMMIT_FILE_BYTES,
    Commit,
    Conflict,
    Parked,
    Received,
    Request,
    SealedFile,
    Settled,
    Store,
)
from shared.kernel.trace import traceparent
from tests.kernel.counter import NOW, Counted, decider, publish
from tests.kernel.stores import Kept
from tests.simulation import story


def event(stream: str, version: int, by: int = 1, *, tell: bool = True) -> NewEvent:
    counted = Counted(counter=stream, by=by)
    messages: tuple[Outgoing, ...] = tuple(publish(stream, counted)) if tell else ()
    return NewEvent(
        id=str(uuid4()),
        stream=stream,
        version=version,
        event=counted,
        occurred_at=NOW,
        recorded_at=NOW,
        actor="tester",
        traceparent=traceparent(None, "c"),
        causation="c",
        messages=messages,
    )


def commit(*events: NewEvent) -> Commit:
    return Commit(at=NOW, events=events)


@pytest.fixture
async def store(kept: Kept) -> AsyncIterator[Store]:
    one = kept.another()
    yield one
    await one.close()


@pytest.fixture
async def sql_store(pool: AsyncConnectionPool) -> AsyncIterator[Store]:
    one = Store(pool, "53.71")
    yield one
    await one.close()


async def test_what_is_appended_is_read_back_byte_for_byte(store: Store) -> None:
    one = event("a", 1)
    await store.append(commit(one))
    (stored,) = (await store.load(["a"]))["a"]
    assert (stored.position, stored.version) == (1, 1)
    assert stored.body == one.body("53.71")
    document = json.loads(stored.body)
    assert document["specversion"] == "1.0"
    assert document["source"] == "pulang/53.71"
    assert document["streamversion"] == 1
    assert document["time"] == NOW.isoformat()


async def test_a_stream_that_moved_on_refuses_an_older_version(store: Store) -> None:
    await store.append(commit(event("a", 1)))
    with pytest.raises(Conflict, match=r"\(a, 1\)"):
        await store.append(commit(event("a", 1)))
    assert (await store.head()).size == 1


async def test_a_refused_commit_leaves_nothing_behind(store: Store, kept: Kept) -> None:
    await store.append(commit(event("a", 1)))
    before = await store.head()
    whole = Commit(
        at=NOW,
        events=[event("b", 1), event("a", 1)],
        received=[Received("35", 1, b"{}")],
        parked=[Parked("35", None, "X", "x", b"raw")],
        request=Request("tester", "key-00001", b"d", {}),
    )
    with pytest.raises(Conflict):
        await store.append(whole)
    assert await store.head() == before
    assert (await store.load(["b"]))["b"] == []
    assert await kept.beside() == [0, 0, 0, 0]
    assert [number for number, _, _ in await kept.outbox()] == [1]


async def test_one_that_lost_the_race_does_not_take_others_with_it(store: Store) -> None:
    """Commits that wait together share a statement; a conflict is still each one's own."""
    results = await asyncio.gather(
        store.append(commit(event("a", 1))),
        store.append(commit(event("a", 1))),
        store.append(commit(event("b", 1))),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "int", "int"]
    assert (await store.head()).size == 2


async def test_writers_of_several_processes_leave_no_hole_and_no_double(kept: Kept) -> None:
    """The race: eight writers with their own appenders, as eight processes would have."""
    stores = [kept.another() for _ in range(8)]

    async def write(store: Store, name: int) -> None:
        for version in range(1, 26):
            await store.append(commit(event(f"s{name}", version)))

    await asyncio.gather(*(write(store, name) for name, store in enumerate(stores)))
    for store in stores:
        await store.close()
    total = [*range(1, 8 * 25 + 1)]
    assert [event.position for event in await stores[0].read(0, 1_000)] == total
    assert [(number, at) for number, at, _ in await kept.outbox()] == [(n, n) for n in total]


async def test_a_reader_who_tails_the_log_misses_nothing_while_others_write(kept: Kept) -> None:
    """With positions from a sequence, this loses rows: order of a sequence is not commit order."""
    writers = [kept.another() for _ in range(4)]
    seen: list[int] = []

    async def write(store: Store, name: int) -> None:
        for version in range(1, 41):
            await store.append(commit(event(f"s{name}", version)))

    async def tail() -> None:
        while len(seen) < 160:
            seen.extend(e.position for e in await writers[0].read(seen[-1] if seen else 0, 7))

    async with asyncio.timeout(60):
        await asyncio.gather(tail(), *(write(store, n) for n, store in enumerate(writers)))
    for store in writers:
        await store.close()
    assert seen == [*range(1, 161)]


async def test_the_head_holds_the_tree_over_the_exact_bytes(store: Store) -> None:
    for version in range(1, 12):
        await store.append(commit(event("a", version, by=version)))
    head = await store.head()
    leaves = [e.body for e in await store.read(0, 100)]
    assert merkle.root(head.frontier) == naive_root(leaves)
    assert head.frontier == merkle.extend(0, (), leaves)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, as it is written there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = naive_root(leaves[:split]), naive_root(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


async def test_a_message_from_another_office_is_taken_once(store: Store) -> None:
    first = Commit(at=NOW, events=[event("a", 1)], received=[Received("35", 1, b"{}")])
    await store.append(first)
    again = Commit(at=NOW, events=[event("a", 2)], received=[Received("35", 1, b"{}")])
    with pytest.raises(Conflict):
        await store.append(again)
    assert (await store.head()).size == 1


async def test_an_idempotency_key_is_answered_once(store: Store) -> None:
    request = Request("tester", "key-00001", b"digest", {"ok": True})
    await store.append(Commit(at=NOW, events=[event("a", 1)], request=request))
    with pytest.raises(Conflict):
        await store.append(Commit(at=NOW, events=[event("a", 2)], request=request))
    assert await store.answered("tester", "key-00001") == request
    assert await store.answered("somebody", "key-00001") is None


async def test_the_same_rubbish_is_parked_once_and_counted(store: Store, kept: Kept) -> None:
    rubbish = Parked("35", None, "UNREADABLE_FRAME", "no header block", b"\xff\x00")
    for _ in range(3):
        await store.append(Commit(at=NOW, parked=[rubbish]))
    assert await kept.parked() == [(b"\xff\x00", 3)]


async def test_a_parked_message_is_settled_once(store: Store, kept: Kept) -> None:
    await store.append(Commit(at=NOW, parked=[Parked("35", 1, "X", "x", b"one", frozenset("p"))]))
    (row,) = await store.links.waiting("35", 0, 9)
    applied = Commit(at=NOW, events=[event("a", 1)], settled=[Settled(row.id, "applied", "worker")])
    await store.append(applied)
    again = Commit(at=NOW, events=[event("b", 1)], settled=[Settled(row.id, "discarded", "other")])
    with pytest.raises(Conflict):
        await store.append(again)
    assert (await store.head()).size == 1
    assert await store.links.waiting("35", 0, 9) == []


async def test_of_two_who_settle_the_same_at_once_one_is_refused(kept: Kept) -> None:
    stores = [kept.another() for _ in range(2)]
    await stores[0].append(Commit(at=NOW, parked=[Parked("35", 1, "X", "x", b"one")]))
    results = await asyncio.gather(
        *(
            one.append(
                Commit(at=NOW, events=[event(name, 1)], settled=[Settled(1, "applied", name)])
            )
            for name, one in zip("ab", stores, strict=True)
        ),
        return_exceptions=True,
    )
    for one in stores:
        await one.close()
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "int"]


async def test_each_link_counts_its_own_messages(store: Store, kept: Kept) -> None:
    both = event("a", 1)
    other = [Outgoing("53", "a", both.messages[0].message), *both.messages]
    await store.append(commit(replace(both, messages=tuple(other)), event("a", 2)))
    assert [number for number, _, _ in await kept.outbox()] == [1, 2]
    ((number, _, body),) = await kept.outbox("53")
    assert number == 1
    assert json.loads(body)["sequence"] == "1"


async def test_a_database_that_goes_away_is_said_and_the_next_append_goes_on(
    sql_store: Store, owner: psycopg.Connection[Any]
) -> None:
    await sql_store.append(commit(event("a", 1)))
    owner.execute("alter table events rename to gone")
    with pytest.raises(errors.UndefinedTable):
        await sql_store.append(commit(event("a", 2)))
    owner.execute("alter table gone rename to events")
    assert await sql_store.append(commit(event("a", 2))) == 2


async def test_a_commit_is_refused_where_a_stream_that_it_only_read_moved_on(
    store: Store,
) -> None:
    """An authority that ended, a grant that was disputed: what was decided on must still hold."""
    await store.append(commit(event("read", 1)))
    await store.append(Commit(at=NOW, events=[event("a", 1)], unmoved=[("read", 1)]))
    await store.append(commit(event("read", 2)))
    stale = Commit(at=NOW, events=[event("a", 2)], unmoved=[("read", 1)])
    results = await asyncio.gather(
        store.append(stale), store.append(commit(event("b", 1))), return_exceptions=True
    )
    assert isinstance(results[0], Conflict)
    assert results[1] == 4
    assert len((await store.load(["a"]))["a"]) == 1


async def test_what_the_database_cannot_hold_fails_alone(store: Store) -> None:
    """Others who waited in the same statement are written all the same."""
    bad = replace(event("bad", 1), actor="a\0b")
    results = await asyncio.gather(
        *(store.append(commit(event(f"s{n}", 1))) for n in range(5)),
        store.append(commit(bad)),
        *(store.append(commit(event(f"t{n}", 1))) for n in range(5)),
        return_exceptions=True,
    )
    assert [type(r).__name__ for r in results if not isinstance(r, int)] == ["DataError"]
    assert (await store.head()).size == 10


async def test_a_log_that_was_put_back_is_not_written_on_with_a_tree_of_its_future(
    sql_store: Store, pool: AsyncConnectionPool, owner: psycopg.Connection[Any]
) -> None:
    """A database restored under a running process: the size may fit again, the tree must too."""
    await sql_store.append(commit(event("a", 1)))
    await sql_store.append(commit(event("a", 2)))
    owner.execute("delete from events")
    owner.execute("delete from outbox")
    owner.execute("update log_head set size = 0, frontier = '', outgoing = '{}'")
    other = Store(pool, "53.71")
    await other.append(commit(event("b", 1)))
    await other.append(commit(event("b", 2)))
    await other.close()
    await sql_store.append(commit(event("b", 3)))
    head = await sql_store.head()
    assert merkle.root(head.frontier) == naive_root([e.body for e in await sql_store.read(0, 9)])
    assert head.outgoing == {"35": 3}


async def test_the_simulations_read_model_is_the_fold_of_the_log(store: Store, kept: Kept) -> None:
    projector = Projector(store.pool, EventTypes([decider]), story.projection)
    await kept.prepare(projector)
    await store.append(commit(event("a", 1), event("b", 1), event("a", 2)))
    assert await projector.step() == 3
    await store.append(commit(event("b", 2)))
    # Two at once: the second waits for the first, and finds nothing left.
    assert sorted(await asyncio.gather(projector.step(), projector.step())) == [0, 1]
    assert await kept.story() == {"a": (2, 3), "b": (2, 4)}


async def test_a_step_of_the_projector_that_fails_leaves_neither_rows_nor_checkpoint(
    store: Store, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = Projector(store.pool, EventTypes([decider]), story.projection)
    await kept.prepare(projector)
    await store.append(commit(event("a", 1)))

    async def fails(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(Projector, "_checkpoint", fails)
        with pytest.raises(OSError):
            await projector.step()
    assert await kept.story() == {}
    assert await projector.step() == 1
    assert await kept.story() == {"a": (1, 1)}


async def test_many_files_at_once_are_written_by_several_statements(
    sql_store: Store, pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = sql_store._write

    async def counted(commits: Any, within: Any = None) -> int:
        written.append(sum(len(file.sealed) for one in commits for file in one.files))
        return await write(commits, within)

    monkeypatch.setattr(sql_store, "_write", counted)
    length = 2 * 1024 * 1024
    files = [SealedFile("PM-1", f"{n:064}", bytes(length)) for n in range(10)]
    await asyncio.gather(*(sql_store.append(Commit(at=NOW, files=[one])) for one in files))
    assert sum(written) == 10 * length
    assert max(written) <= GROUP_COMMIT_FILE_BYTES
    assert len(written) < len(files), "they still share statements"
    async with pool.connection() as connection:
        cursor = await connection.execute("select count(*) from attachments")
        assert await cursor.fetchone() == (10,)
