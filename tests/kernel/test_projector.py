"""The projector: batches with their checkpoint, rebuilding beside, proof of equality, switching."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from shared.kernel.event import EventTypes
from shared.kernel.handling import Handling, Unit
from shared.kernel.projector import AheadOfLog, Projector, rows
from shared.kernel.store import Store
from tests.kernel.counter import NOW, count, decider, projection, publish


@pytest.fixture
async def projector(pool: AsyncConnectionPool) -> Projector:
    one = Projector(pool, EventTypes([decider]), projection)
    await one.prepare()
    return one


async def record(store: Store, number: int) -> None:
    units = [Unit([count(f"c{n % 3}", 1)]) for n in range(number)]
    await Handling(store, [decider], publish).handle(units, at=NOW, actor="tester", cause="c")


async def totals(pool: AsyncConnectionPool) -> dict[str, int]:
    async with pool.connection() as connection:
        found = await rows(connection, "select * from rm_totals.total")
    return {row["counter"]: row["total"] for row in found}


async def run(pool: AsyncConnectionPool, query: str) -> list[Any]:
    async with pool.connection() as connection:
        cursor = await connection.execute(query.encode())
        return await cursor.fetchall() if cursor.description else []


async def test_it_applies_each_event_once(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, 10)
    assert await projector.step() == 10
    assert await projector.step() == 0
    assert await totals(pool) == {"c0": 4, "c1": 3, "c2": 3}


async def test_two_projectors_at_once_still_apply_each_event_once(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    import asyncio

    await record(store, 50)
    other = Projector(pool, EventTypes([decider]), projection)
    await asyncio.gather(projector.step(), other.step(), projector.step())
    assert sum((await totals(pool)).values()) == 50


async def test_rows_and_checkpoint_go_together_or_not_at_all(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    def fails_at_seven(recorded: Any) -> Any:
        if recorded.position == 7:
            raise RuntimeError("no")
        return projection.apply(recorded)

    await record(store, 10)
    broken = Projector(pool, EventTypes([decider]), replace(projection, apply=fails_at_seven))
    with pytest.raises(RuntimeError):
        await broken.step()
    assert await totals(pool) == {}
    assert await projector.step() == 10


async def test_a_rebuilt_copy_is_proven_equal_and_switched_to(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, 10)
    await projector.step()
    await record(store, 5)  # The live copy is behind; that is no difference.
    assert await projector.rebuild() == []
    assert sum((await totals(pool)).values()) == 15
    assert await projector.step() == 0


async def test_a_row_that_was_tampered_with_is_named_and_mended(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, 3)
    await projector.step()
    await run(pool, "update rm_totals.total set total = 99 where counter = 'c1'")
    differences = await projector.rebuild()
    assert len(differences) == 2
    assert 'only in the live copy: {"total": 99, "counter": "c1"}' in differences[0]
    assert (await totals(pool))["c1"] == 1


async def test_a_checkpoint_beyond_the_log_is_said_and_mended_by_a_rebuild(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    """As after a restore of the log to an earlier time."""
    await record(store, 3)
    await projector.step()
    await run(pool, "update projections set position = 99")
    with pytest.raises(AheadOfLog, match="pulang replay totals"):
        await projector.step()
    assert await projector.rebuild()
    assert await projector.step() == 0
    assert sum((await totals(pool)).values()) == 3


async def test_a_newer_version_is_built_beside_and_switched_to(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    """To look is not to replace: only a step of the newer version does, and staff read on."""
    await record(store, 4)
    await projector.step()
    newer = Projector(
        pool,
        EventTypes([decider]),
        replace(projection, version=2, tables=projection.tables.replace("bigint", "integer")),
    )
    await newer.prepare()
    assert sum((await totals(pool)).values()) == 4
    await run(pool, "update rm_totals.total set total = 99")
    assert await newer.step()
    assert sum((await totals(pool)).values()) == 4
    assert await run(pool, "select version, position from projections") == [(2, 4)]
    assert await newer.step() == 0


async def test_staff_read_on_while_a_copy_is_built_beside(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, 6)
    await projector.step()
    seen: list[int] = []
    original = projector._create

    async def create_and_look(connection: Any, schema: str) -> None:
        await original(connection, schema)
        seen.append(sum((await totals(pool)).values()))

    projector._create = create_and_look  # type: ignore[method-assign]
    await projector.rebuild()
    assert seen == [6]
