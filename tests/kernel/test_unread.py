"""Types that were stored and that nothing reads are named, with their number and their first."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from shared.contracts import messages
from shared.kernel.event import EventTypes, dump
from shared.kernel.handling import Handling, Unit
from shared.kernel.store import Store
from shared.kernel.unread import Unread, UnreadMessage, unread_messages, unread_types
from tests.kernel.counter import NOW, Counted, count, decider, publish

OLD = next(iter(decider.upcasters))
LATER = "pulang.test.counter.counted.v9"
FOREIGN = "pulang.elsewhere.thing.done.v1"
READ = messages.CaseStatusChanged.type


async def record(store: Store, number: int) -> None:
    units = [Unit([count(f"c{n}")]) for n in range(number)]
    await Handling(store, [decider], publish).handle(units, at=NOW, actor="tester", cause="c")


def insert(owner: psycopg.Connection[Any], position: int, type_: str) -> None:
    """What the running software can't: an event of any type."""
    owner.execute(
        "insert into events values (%s, %s, 1, %s, %s, now(), now(), 'owner', '', '{}')",
        (position, f"foreign-{position}", f"foreign-{position}", type_),
    )


def came(owner: psycopg.Connection[Any], sequence: int, body: bytes, sender: str = "35") -> None:
    owner.execute(
        "insert into inbox (sender, sequence, body, received_at) values (%s, %s, %s, now())",
        (sender, sequence, body),
    )


def message(type_: str, **data: Any) -> bytes:
    return dump({"id": "1", "type": type_, "time": NOW.isoformat(), "data": data})


async def unread_events(pool: AsyncConnectionPool) -> list[Unread]:
    async with pool.connection() as connection:
        return await unread_types(connection, EventTypes([decider]))


async def unread_letters(pool: AsyncConnectionPool) -> list[UnreadMessage]:
    async with pool.connection() as connection:
        return await unread_messages(connection)


async def test_of_an_empty_office_and_of_what_the_software_wrote_nothing_is_named(
    store: Store, pool: AsyncConnectionPool
) -> None:
    assert await unread_events(pool) == []
    assert await unread_letters(pool) == []
    await record(store, 3)
    assert await unread_events(pool) == []
    assert await unread_letters(pool) == []


async def test_a_foreign_type_is_named_with_how_many_there_are_and_where_the_first_is(
    store: Store, pool: AsyncConnectionPool, owner: psycopg.Connection[Any]
) -> None:
    """The earliest first: there a fold or a projection would stop."""
    await record(store, 3)
    for position, type_ in enumerate([LATER, FOREIGN, LATER, OLD, Counted.type], 4):
        insert(owner, position, type_)
    assert await unread_events(pool) == [Unread(LATER, 2, 4), Unread(FOREIGN, 1, 5)]


async def test_an_old_type_is_read_as_long_as_an_upcaster_is_there(
    pool: AsyncConnectionPool, owner: psycopg.Connection[Any]
) -> None:
    insert(owner, 1, OLD)
    assert await unread_events(pool) == []
    async with pool.connection() as connection:
        assert await unread_types(connection, EventTypes([])) == [Unread(OLD, 1, 1)]


async def test_a_message_of_a_type_that_is_in_no_contract_is_named_for_each_link(
    store: Store, pool: AsyncConnectionPool, owner: psycopg.Connection[Any]
) -> None:
    await record(store, 2)
    owner.execute(
        "insert into outbox (receiver, sequence, position, body) values ('35', 3, 3, %s)",
        (message(FOREIGN),),
    )
    came(owner, 1, message(READ, status="ready"))
    came(owner, 2, message(LATER))
    came(owner, 3, message(LATER, text="a\0b"))
    came(owner, 7, message(LATER), sender="53")
    assert await unread_letters(pool) == [
        UnreadMessage("inbox", "35", LATER, 2, 2),
        UnreadMessage("inbox", "53", LATER, 1, 7),
        UnreadMessage("outbox", "35", FOREIGN, 1, 3),
    ]


async def test_a_message_of_an_old_type_is_read_as_long_as_an_upcaster_is_there(
    pool: AsyncConnectionPool, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    came(owner, 1, message(FOREIGN))
    assert [one.type for one in await unread_letters(pool)] == [FOREIGN]
    monkeypatch.setitem(messages.UPCASTERS, FOREIGN, lambda data: (READ, data))
    assert await unread_letters(pool) == []


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[]", b'{"type":', b'{"type":5}', b'{"data":{"type":"x"}}']
)
async def test_what_is_no_message_has_no_type_and_stops_nothing(
    body: bytes, pool: AsyncConnectionPool, owner: psycopg.Connection[Any]
) -> None:
    """The inbox keeps what came, whatever it was; it is parked as unreadable."""
    came(owner, 1, body)
    came(owner, 2, message(LATER))
    assert await unread_letters(pool) == [UnreadMessage("inbox", "35", LATER, 1, 2)]
