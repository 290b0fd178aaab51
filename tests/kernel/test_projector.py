"""The projector: batches with their checkpoint, rebuilding beside, proof of equality, switching."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import fields, replace
from inspect import signature
from typing import Any, get_type_hints

import pytest
from psycopg_pool import AsyncConnectionPool

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.custody.projection import projection as custody
from shared.kernel.event import EventTypes
from shared.kernel.handling import Handling, Unit
from shared.kernel.projector import AheadOfLog, Projection, Projector, Recorded, digest, rows
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
    rebuilt = await projector.rebuild()
    assert (rebuilt.differing, rebuilt.differences, rebuilt.through) == (0, [], 15)
    assert rebuilt.live == rebuilt.rebuilt
    assert sum((await totals(pool)).values()) == 15
    assert await projector.step() == 0


async def test_a_row_that_was_tampered_with_is_named_and_mended(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, 3)
    await projector.step()
    await run(pool, "update rm_totals.total set total = 99 where counter = 'c1'")
    rebuilt = await projector.rebuild()
    differences = rebuilt.differences
    assert (rebuilt.differing, len(differences)) == (2, 2)
    assert rebuilt.live != rebuilt.rebuilt
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
    assert (await projector.rebuild()).differences
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


async def test_the_digest_of_a_copy_is_that_of_its_rows_in_whatever_order_they_stand(
    store: Store, pool: AsyncConnectionPool, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can work it out: each table's name, then the sorted digests of its rows as JSON."""
    monkeypatch.setattr("shared.kernel.projector.DIGEST_ROWS", 2)
    await record(store, 5)
    await projector.step()

    async def now() -> str:
        async with pool.connection() as connection, connection.transaction():
            return await digest(connection, "rm_totals")

    lines = [
        f'{{"total": {total}, "counter": "{name}"}}' for name, total in (await totals(pool)).items()
    ]
    hashed = sorted(hashlib.sha256(line.encode()).digest() for line in lines)
    first = await now()
    assert first == hashlib.sha256(b"total\n" + b"".join(hashed)).hexdigest()
    await run(pool, "delete from rm_totals.total where counter = 'c0'")
    assert await now() != first
    await run(pool, "insert into rm_totals.total values ('c0', 2)")
    assert await now() == first
    await run(pool, "create table rm_totals.more (a int)")
    assert await now() != first


async def test_every_row_that_differs_is_counted_and_the_first_are_shown(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await run(pool, "insert into rm_totals.total select 'x' || n, n from generate_series(1, 50) n")
    await run(pool, "create table rm_totals.more (a int)")
    rebuilt = await projector.rebuild()
    assert rebuilt.differing == 51
    assert len(rebuilt.differences) == 21
    assert rebuilt.differences[0] == "more: the table is only in the live copy"


async def everything(pool: AsyncConnectionPool) -> dict[str, Any]:
    """Of each table of the office but the read models' positions: how many rows, and a digest."""
    found: dict[str, Any] = {}
    for (name,) in await run(pool, "select tablename from pg_tables where schemaname = 'public'"):
        if name != "projections":
            query = "select count(*), md5(string_agg(t::text, '|' order by t::text)) from {} t"
            (found[name],) = await run(pool, query.format(name))
    return found


async def test_a_rebuild_writes_nothing_but_the_read_model_and_calls_nobody(
    store: Store, pool: AsyncConnectionPool, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Side effects are off: log and tree, outbox, inbox and every other table are as they were."""
    await record(store, 10)
    await projector.step()
    before = await everything(pool)
    assert before["events"][0] == before["outbox"][0] == 10
    assert {"inbox", "log_head", "tiles", "parked", "link_out"} <= before.keys()

    def called(*_: Any) -> None:
        raise RuntimeError("a rebuild called somebody")

    monkeypatch.setattr(socket.socket, "connect", called)
    monkeypatch.setattr(socket.socket, "connect_ex", called)
    await run(pool, "update rm_totals.total set total = 99 where counter = 'c1'")
    assert (await projector.rebuild()).differing == 2
    assert await everything(pool) == before


@pytest.mark.parametrize(
    "one", [*CITY.projections, *PROVINCE.projections, custody], ids=lambda one: one.name
)
def test_a_projection_sees_an_event_and_nothing_that_it_could_act_with(one: Projection) -> None:
    """No store, connection or transport: all it can do is to give statements."""
    (parameter,) = signature(one.apply).parameters.values()
    assert get_type_hints(one.apply)[parameter.name] is Recorded
    assert {field.name for field in fields(Recorded)} == {
        "position", "stream", "id", "actor", "occurred_at", "recorded_at", "event",
    }  # fmt: skip
