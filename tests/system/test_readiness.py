"""The health page tells the truth: each trouble in a sentence, and none keeps anybody from work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from services.city.service import SERVICE as CITY
from shared.kernel.inbox import Inbox
from shared.runtime import readiness, status, streams
from shared.runtime.settings import Settings
from shared.runtime.tasks import end
from shared.runtime.worker import Worker
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk


async def troubles(desk: Desk) -> list[str]:
    response = await desk.http.get("/health/ready")
    found: list[str] = response.json()["troubles"]
    assert response.status_code == (503 if found else 200)
    return found


async def until_said(desk: Desk, words: str) -> None:
    async def said() -> bool:
        return any(words in one for one in await troubles(desk))

    await eventually(said)


async def lone_city(
    stack: AsyncExitStack, settings: Callable[..., Settings], **more: object
) -> Desk:
    """A city whose partner 35 is not there."""
    made = settings("53.71", ("35",)).model_copy(update=more)
    return await open_desk(stack, made, CITY)


async def ready(desk: Desk) -> bool:
    return not await troubles(desk)


async def test_an_office_whose_links_are_confirmed_is_ready(city: Desk, province: Desk) -> None:
    await eventually(lambda: ready(province))
    assert (await province.http.get("/health/live")).status_code == 200


async def test_a_dead_subscriber_turns_it_red(
    province: Desk, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: ready(province))
    # It would be back before anybody looked.
    monkeypatch.setattr(streams, "BACK_OFF_SECONDS", (3.0,))
    async with Redis.from_url(servers.redis_url) as client:
        await client.flushall()
    await until_said(province, "a subscriber stopped; starting again")
    await eventually(lambda: ready(province))


async def test_a_stalled_projector_turns_it_red(
    province: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: ready(province))
    monkeypatch.setattr(status, "MODEL_WAIT", timedelta(0))
    async with province.office.pool.connection() as held, held.transaction():
        await held.execute("select from projections where name = 'houses' for update")
        await story.open_house(province)
        await until_said(province, "read model houses is 1 event(s) behind since")
    await eventually(lambda: ready(province))


async def test_a_checkpoint_ahead_of_the_log_turns_it_red(province: Desk) -> None:
    async with province.office.pool.connection() as connection:
        await connection.execute("update projections set position = 99 where name = 'cases'")
    await until_said(province, "read model cases is ahead of the log: run `pulang replay cases ")


async def test_a_link_without_receipts_turns_it_red_and_staff_still_record(
    broker: None,
    stack: AsyncExitStack,
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    city = await lone_city(stack, settings)
    await story.issued(city)
    monkeypatch.setattr(status, "LINK_WAIT", timedelta(0))
    await until_said(city, "message(s) unconfirmed since")
    await story.register(city, story.intake_row())


async def test_a_broker_that_is_down_turns_it_red_and_staff_still_record(
    stack: AsyncExitStack, settings: Callable[..., Settings]
) -> None:
    city = await lone_city(stack, settings, redis_url="redis://127.0.0.1:1/0")
    await until_said(city, "Redis is away")
    persons = await story.issued(city)
    assert len(persons) == 3
    assert (await city.http.get("/health/live")).status_code == 200


async def test_an_absent_worker_turns_it_red(
    broker: None, stack: AsyncExitStack, settings: Callable[..., Settings]
) -> None:
    city = await open_desk(stack, settings("53.71", ("35",)), CITY, with_worker=False)
    assert await troubles(city) == ["no worker is active: start `pulang worker`"]


async def test_a_partner_that_falls_silent_turns_it_red_though_nothing_waits_for_it(
    city: Desk, province: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: ready(city))
    long_ago = "update link_out set heard_at = heard_at - interval '3 minutes' where receiver = %s"
    async with city.office.pool.connection() as connection:
        await connection.execute(long_ago, ("35",))
    (found,) = await troubles(city)
    assert found.startswith("link to 35: nothing was heard since")
    await eventually(lambda: ready(city))
    # Of who never spoke, since it is trusted; of who is not trusted nothing is expected.
    async with city.office.pool.connection() as connection, connection.transaction():
        await connection.execute("update link_out set heard_at = null")
        cursor = await connection.execute("select trusted_at from trusted_keys where office = '35'")
        (trusted,) = await cursor.fetchall()
        links = await status.links(connection, ["35", "99"])
    assert [row["heard_at"] for row in links] == [trusted[0], None]


async def _fails(*_: object) -> None:
    raise KeyError("a fault of our own")


async def test_what_troubles_a_worker_is_said_by_every_process_of_its_office(
    broker: None,
    stack: AsyncExitStack,
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = settings("53.71", ("35",)).model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    beside = await open_desk(stack, made, CITY, with_worker=False)
    worker = Worker(beside.office)
    running = asyncio.create_task(worker.run())
    try:
        await until_said(beside, "worker: Redis is away")
        found = await beside.get("operator", "/status")
        assert "links" in {row["name"] for row in found["troubles"]}
        monkeypatch.setattr(Inbox, "settle", _fails)
        await until_said(beside, "worker: parked of 35 stands still: KeyError, see the log")
    finally:
        await end([running])
    # Of a worker that is gone nothing more is said than that, once its connection has ended too.
    await until_said(beside, "no worker is active")
    assert await troubles(beside) == ["no worker is active: start `pulang worker`"]


async def test_a_worker_that_can_not_begin_says_why(
    province: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: ready(province))

    worker = Worker(province.office)
    monkeypatch.setattr(Worker, "_hold_lock_and_work", _fails)
    running = asyncio.create_task(worker.run())
    try:
        await eventually(lambda: asyncio.sleep(0, bool(worker.troubles)))
    finally:
        await end([running])
    async with province.office.pool.connection() as connection:
        found = await status.status(connection, ("53.71",))
    assert status.troubles(found, worker) == ["the worker failed: KeyError"]


async def test_a_database_that_hangs_is_said_in_time_and_takes_one_connection(
    province: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: ready(province))
    real = status.status
    begun = 0

    async def hanging(*_: object) -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(3600)

    monkeypatch.setattr(status, "status", hanging)
    began = time.monotonic()
    found = await asyncio.gather(*(troubles(province) for _ in range(20)))
    assert time.monotonic() - began < readiness.READY_SECONDS + 1
    assert found == [["the database did not answer within 2 seconds"]] * 20
    assert begun == 1
    monkeypatch.setattr(status, "status", real)
    await eventually(lambda: ready(province))


async def test_a_database_that_ends_its_connections_is_said_and_comes_back(
    province: Desk, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: ready(province))
    # It would be back before anybody looked.
    monkeypatch.setattr("shared.runtime.worker.STANDBY_SECONDS", 3.0)
    async with province.office.pool.connection() as connection:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    await until_said(province, "the database is away: ")
    await eventually(lambda: ready(province))
