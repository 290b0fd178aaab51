"""Reading goes on: on a full server, beside a stream that is none, after a lost answer."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.runtime import streams
from shared.runtime.streams import RedisLinks, stream_name
from shared.runtime.tasks import end
from tests.chaos.servers import Valkey
from tests.runtime.test_streams import (  # noqa: F401
    INCOMING,
    Received,
    eventually,
    line,
    put,
    redis,
    running,
)
from tests.servers import Servers

OUTGOING = stream_name("35", "53.71")
FULL_BYTES = 4_000_000


@asynccontextmanager
async def full(valkey: Valkey) -> AsyncIterator[None]:
    """One frame of the partner, and all other memory taken by what this office sent to it.

    What becomes free is taken at once by the other offices that share the server.
    """
    with valkey.client() as client:
        client.xadd(INCOMING, {streams.FIELD: b"one"})
        client.xgroup_create(INCOMING, "35", id="0")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", FULL_BYTES)
        with suppress(RedisError):
            while True:
                client.xadd(OUTGOING, {streams.FIELD: bytes(10_000)})

    over = asyncio.Event()

    async def others() -> None:
        async with Redis(unix_socket_path=str(valkey.socket)) as other:
            while not over.is_set():
                try:
                    await other.xadd("pulang:51:53.71", {streams.FIELD: bytes(500)})
                except RedisError:
                    await asyncio.sleep(0.02)

    task = asyncio.create_task(others())
    try:
        await asyncio.sleep(1)
        yield
    finally:
        # It is asked to end: a client may take a cancellation for a failure of its own.
        over.set()
        await task


@asynccontextmanager
async def started(valkey: Valkey, received: Received, *more: str) -> AsyncIterator[RedisLinks]:
    links = RedisLinks(f"unix://{valkey.socket}", "35", [*more, "53.71"], received.take)
    task = asyncio.create_task(links.run())
    try:
        yield links
    finally:
        await end([task])


async def test_a_worker_that_starts_while_redis_is_full_reads_what_is_there(
    valkey: Valkey,
) -> None:
    received = Received()
    async with full(valkey), started(valkey, received) as links:
        with suppress(TimeoutError):
            await received.wait_for(1)
        assert received == [b"one"], links.trouble


async def test_a_link_without_a_group_on_a_full_redis_keeps_no_other(valkey: Valkey) -> None:
    """A new partner, or a flush and then a full server: for it no group can be made now."""
    received = Received()
    async with full(valkey), started(valkey, received, "51") as links:
        with suppress(TimeoutError):
            await received.wait_for(1)
        assert received == [b"one"], links.trouble
        await eventually(lambda: asyncio.sleep(0, "51" in (links.trouble or "")))
        assert links.trouble == "what 51 sends can't be read: Redis is full"


async def test_a_worker_that_starts_while_redis_is_full_can_take_its_own_entries_away(
    valkey: Valkey,
) -> None:
    """Nobody else may trim its stream: where it can't, Redis is full until a person comes."""
    async with full(valkey), started(valkey, Received()) as links:
        for _ in range(40):
            with suppress(ConnectionError):
                await links.clear("53.71")
                break
            await asyncio.sleep(0.5)
        with valkey.client() as client:
            assert client.xlen(OUTGOING) == 0, links.trouble


async def test_one_stream_that_is_none_keeps_no_other_link(servers: Servers, redis: Redis) -> None:  # noqa: F811
    """The module says: each link is read by itself, one that stands still keeps no other."""
    await redis.set(stream_name("51", "35"), "no stream")
    await put(redis, b"one")
    received = Received()
    async with running(servers, received, "51"):
        await received.wait_for(1)


async def test_what_was_given_as_the_line_broke_is_received_without_a_restart(
    servers: Servers,
    redis: Redis,  # noqa: F811
) -> None:
    """The group counts it as delivered; only a worker that starts anew asks for it."""
    received = Received()
    broken = False

    async def breaks_once(data: bytes) -> bool:
        nonlocal broken
        breaks = b"rubbish" in data and not broken
        broken = broken or breaks
        return not breaks

    far = copy.copy(servers)
    async with line(servers, breaks_once) as far.redis_url, running(far, received) as links:
        await eventually(lambda: asyncio.sleep(0, links.trouble is None))
        await put(redis, b"rubbish")
        await asyncio.sleep(1)
        await put(redis, b"later")
        with suppress(TimeoutError):
            await received.wait_for(2)
    assert set(received) == {b"rubbish", b"later"}
