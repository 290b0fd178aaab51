"""When each message was sent, received and applied, as the sender learned it."""

from __future__ import annotations

from datetime import timedelta

from psycopg_pool import AsyncConnectionPool

from shared.kernel.link_tables import LinkTables
from tests.kernel.counter import NOW

MINUTE = timedelta(minutes=1)


async def noted(pool: AsyncConnectionPool) -> list[tuple[str, int, int]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select state, sequence, at from link_times where receiver = '35'"
            " order by state desc, sequence"
        )
        return [(state, n, (at - NOW) // MINUTE) for state, n, at in await cursor.fetchall()]


async def test_only_the_first_sending_and_each_new_confirmation_are_noted(
    pool: AsyncConnectionPool,
) -> None:
    links = LinkTables(pool)
    for minute, through in enumerate([5, 3, 5, 9]):
        await links.note_sent("35", through, NOW + minute * MINUTE)
        await links.note_confirmed("35", through, NOW + (minute + 10) * MINUTE)
    assert await noted(pool) == [
        ("sent", 5, 0), ("sent", 9, 3), ("received", 5, 10), ("received", 9, 13),
    ]  # fmt: skip
    assert (await links.confirmed("35"))[0] == 9


async def test_what_is_parked_there_no_more_was_applied(pool: AsyncConnectionPool) -> None:
    links = LinkTables(pool)
    await links.note_unapplied("35", ((2, 2), (4, 4)), 4, NOW)
    await links.note_unapplied("35", ((2, 2), (4, 4)), 4, NOW + MINUTE)
    assert await noted(pool) == []
    await links.note_unapplied("35", ((4, 4), (7, 7)), 7, NOW + 2 * MINUTE)
    assert await noted(pool) == [("applied", 2, 2)]


async def test_an_older_receipt_takes_nothing_for_applied_that_it_does_not_speak_of(
    pool: AsyncConnectionPool,
) -> None:
    links = LinkTables(pool)
    await links.note_unapplied("35", ((2, 2), (4, 5)), 5, NOW)
    await links.note_unapplied("35", (), 3, NOW + MINUTE)
    assert await noted(pool) == [("applied", 2, 1)]
