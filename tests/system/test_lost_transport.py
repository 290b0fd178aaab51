"""Redis loses everything, or is away for long: nobody waits for it, and all comes through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, LiteralString

import pytest

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.runtime.settings import Settings
from tests.chaos.servers import Valkey
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk

FLUSHES = 3
IN_SYNC_SECONDS = 10.0
HANDOVERS = 30
PERSONS = 20
SEVEN_COMMANDS_SECONDS = 5.0
DRAINED_SECONDS = 20.0


@pytest.fixture
async def both(
    valkey: Valkey, stack: AsyncExitStack, settings: Callable[..., Settings]
) -> tuple[Desk, Desk]:
    def over_it(office: str, *partners: str) -> Settings:
        address = f"unix://{valkey.socket}"
        return settings(office, partners).model_copy(update={"redis_url": address})

    city = await open_desk(stack, over_it("53.71", "35"), CITY)
    return city, await open_desk(stack, over_it("35", "53.71"), PROVINCE)


async def confirmed(desk: Desk) -> tuple[int, int]:
    (link,) = await desk.get("auditor", "/links")
    return link["recorded"], link["confirmed"]


async def hand_over(city: Desk, number: int, persons: int) -> None:
    """Seven commands, from intake to departure."""
    ids = await story.register(city, *(story.intake_row() for _ in range(persons)))
    handover = f"HO-{number}"
    await story.draft(city, ids, handover)
    await story.issue(city, handover)
    await city.post("issuer", f"/handovers/{handover}/departure")


@dataclass
class Noting(Desk):
    """A desk that notes what was accepted."""

    accepted: list[str] = field(default_factory=list)

    async def post(self, role: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        answer = await super().post(role, path, body, **more)
        self.accepted += [event["id"] for event in answer["events"]]
        return answer


@asynccontextmanager
async def under_load(desk: Desk) -> AsyncIterator[list[str]]:
    """Gives the handovers that have departed. No command may fail, whatever becomes of Redis."""
    departed: list[str] = []
    stopping = asyncio.Event()

    async def work() -> None:
        for number in count(1_000):
            if stopping.is_set():
                return
            await hand_over(desk, number, 2)
            departed.append(f"HO-{number}")

    task = asyncio.create_task(work())
    try:
        yield departed
    finally:
        stopping.set()
        await task


async def until_departed(province: Desk, wanted: set[str]) -> None:
    async def seen() -> bool:
        found = await province.get("auditor", "/arrivals")
        return {one["handover"] for one in found if one["departed_at"]} == wanted

    await eventually(seen)


async def stored(desk: Desk, query: LiteralString) -> list[Any]:
    async with desk.office.pool.connection() as connection:
        return await (await connection.execute(query)).fetchall()


async def test_after_a_flush_under_load_all_is_in_sync_within_ten_seconds(
    valkey: Valkey, both: tuple[Desk, Desk]
) -> None:
    city, province = both
    await story.open_operation(city)
    before = await city.size()
    noting = Noting(city.app, city.http, city.tokens)
    async with under_load(noting) as handovers:
        for _ in range(FLUSHES):
            await asyncio.sleep(1)
            with valkey.client() as client:
                client.flushall()
            recorded, _ = await confirmed(city)

            async def what_came_after_it_too(wanted: int = recorded) -> bool:
                return (await confirmed(city))[1] > wanted

            await eventually(what_came_after_it_too, IN_SYNC_SECONDS)
    await story.in_sync(city, province)
    # What was accepted is there, each once, and nothing else; so is each message to the province.
    events = await stored(city, "select body from events order by position")
    assert [json.loads(body)["id"] for (body,) in events[before:]] == noting.accepted
    sent = await stored(city, "select sequence, body from outbox order by 1")
    assert sent == await stored(province, "select sequence, body from inbox order by 1")
    assert len(sent) == 2 * len(handovers)
    await until_departed(province, set(handovers))


async def test_while_redis_is_away_everything_is_recorded_and_goes_out_afterwards(
    valkey: Valkey, both: tuple[Desk, Desk]
) -> None:
    city, province = both
    await story.open_operation(city)
    await hand_over(city, 0, 1)
    await story.in_sync(city, province)
    valkey.stop()
    for number in range(1, HANDOVERS + 1):
        async with asyncio.timeout(SEVEN_COMMANDS_SECONDS):
            await hand_over(city, number, PERSONS)
    # Whoever looks is told that sending waits, and since when.
    (link,) = await city.get("auditor", "/links")
    assert link["recorded"] - link["confirmed"] == 2 * HANDOVERS
    assert link["waiting_since"] is not None
    found = await city.get("operator", f"/deliveries?subject=HO-{HANDOVERS}")
    assert {one["state"] for one in found} == {"recorded"}
    ready = await city.http.get("/health/ready")
    assert ready.status_code == 503
    assert any("Redis is away" in one for one in ready.json()["troubles"])

    valkey.start()

    async def drained() -> bool:
        recorded, through = await confirmed(city)
        return recorded == through

    await eventually(drained, DRAINED_SECONDS)
    await story.in_sync(city, province)
    await until_departed(province, {f"HO-{n}" for n in range(HANDOVERS + 1)})
