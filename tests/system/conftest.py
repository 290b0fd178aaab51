"""A city and a province in one process, on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.runtime.settings import Settings
from tests.servers import Servers
from tests.system.offices import Desk, open_desk


@pytest.fixture
async def broker(servers: Servers) -> AsyncIterator[None]:
    """An empty Redis: each test's offices have new databases and count from 1."""
    async with Redis.from_url(servers.redis_url) as client:
        await client.flushall()
        yield
        await client.flushall()


@pytest.fixture
async def city(broker: None, stack: AsyncExitStack, settings: Callable[..., Settings]) -> Desk:
    return await open_desk(stack, settings("53.71", ("35", "53")), CITY)


@pytest.fixture
async def province(broker: None, stack: AsyncExitStack, settings: Callable[..., Settings]) -> Desk:
    return await open_desk(stack, settings("35", ("53.71",)), PROVINCE)
