"""What several of the kernel's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from psycopg_pool import AsyncConnectionPool

from tests.kernel.stores import InMemory, InPostgres, Kept
from tests.servers import Servers


@pytest.fixture(params=["postgresql", "memory"])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    """The simulation's database keeps the same contract, or what it finds would mean little."""
    if request.param == "memory":
        yield InMemory()
        return
    servers: Servers = request.getfixturevalue("servers")
    with servers.dropping():
        async with AsyncConnectionPool(servers.database(), min_size=1, max_size=20) as opened:
            yield InPostgres(opened)
