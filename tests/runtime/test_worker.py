"""The worker's loops: what wakes them, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from psycopg import AsyncConnection

from shared.kernel.link import Receipt
from shared.runtime.worker import LOCK_CONNECTION, Worker
from tests.servers import Servers

SECONDS = 6.0


async def test_what_fails_for_another_reason_is_left_in_peace_by_receipts() -> None:
    """A read model that can't take an event is tried after 0.5, 1, 2, 5, 10 s; not ten times a
    second, each with its traceback in the log, as long as a partner is talking."""
    tries = 0

    async def fails() -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            # As each start begins: what it fails for later is no transport's affair any more.
            raise ConnectionError("not started")
        raise KeyError("an event that this read model can't take")

    async def confirm(*_: Any) -> None:
        return None

    async def receive(
        raws: Sequence[bytes], now: datetime, *, again: bool
    ) -> tuple[None, list[Receipt]]:
        return None, [Receipt("35", "53.71", 0)]

    office: Any = SimpleNamespace(clock=lambda: datetime.now(UTC))
    worker = Worker.__new__(Worker)
    worker._office = office
    worker._wakes, worker._following, worker.troubles, worker._cut_off = {}, [], {}, set()
    worker._asked, worker._heard = {}, {}
    worker._receiving = {"35": asyncio.Lock()}
    inbox: Any = SimpleNamespace(receive=receive)
    relay: Any = SimpleNamespace(confirm=confirm, waits=False)
    worker._inboxes, worker._relays = {"35": inbox}, {"35": relay}
    loop = asyncio.create_task(worker._loop("projection board", fails, follows=False))
    try:
        end = asyncio.get_running_loop().time() + SECONDS
        while asyncio.get_running_loop().time() < end:
            await worker._receive("35", [b"a receipt"], False)
            await asyncio.sleep(0.05)
    finally:
        loop.cancel()
    # 0.5 + 1 + 2 + 5 s: five tries at most.
    assert tries <= 5


async def test_the_server_finds_soon_that_the_machine_of_a_worker_is_gone(
    servers: Servers,
) -> None:
    async with await AsyncConnection.connect(servers.database(), **LOCK_CONNECTION) as connection:
        cursor = await connection.execute(
            "select current_setting('tcp_keepalives_idle')::int"
            " + current_setting('tcp_keepalives_interval')::int"
            " * current_setting('tcp_keepalives_count')::int, inet_client_addr() is null"
        )
        row = await cursor.fetchone()
    # On a socket of the same machine there is nothing to find: the server says 0.
    assert row in ((25, False), (0, True))
