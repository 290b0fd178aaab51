"""Redis streams for real: each trap that was measured, and that it does not bite here."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from shared.kernel.link import Receipt, encode
from shared.runtime import streams
from shared.runtime.streams import RedisLinks, stream_name
from shared.runtime.tasks import end
from tests.servers import Servers

INCOMING = stream_name("53.71", "35")
OUTGOING = stream_name("35", "53.71")


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    client = Redis.from_url(servers.redis_url)
    await client.flushall()
    yield client
    await client.flushall()
    await client.aclose()


class Received(list[bytes]):
    """What a link gave its receiver, with a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.fail = False
        self.fails_of: str | None = None
        self.again: list[bool] = []

    async def take(self, sender: str, raws: Sequence[bytes], again: bool) -> None:
        if self.fail or sender == self.fails_of:
            raise RuntimeError("the database is away")
        self.extend(raws)
        self.again.append(again)

    async def wait_for(self, number: int) -> None:
        await eventually(lambda: asyncio.sleep(0, len(self) >= number))


async def eventually(true: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(servers: Servers, received: Received, *more: str) -> AsyncIterator[RedisLinks]:
    links = RedisLinks(servers.redis_url, "35", [*more, "53.71"], received.take)
    task = asyncio.create_task(links.run())
    try:
        await eventually(lambda: asyncio.sleep(0, links.trouble != "not started"))
        yield links
    finally:
        await end([task])


async def put(redis: Redis, text: bytes) -> bytes:
    return bytes(await redis.xadd(INCOMING, {streams.FIELD: text}))


async def pending(redis: Redis) -> int:
    return int((await redis.xpending(INCOMING, "35"))["pending"])


async def test_what_was_sent_before_the_first_start_is_read(servers: Servers, redis: Redis) -> None:
    """A group that starts at `$` would never see it."""
    await put(redis, b"early")
    received = Received()
    async with running(servers, received):
        await received.wait_for(1)
    assert received == [b"early"]


async def test_a_foreign_entry_rejects_nothing_and_stays_pending_nowhere(
    servers: Servers, redis: Redis
) -> None:
    """One body that does not parse rejects FastStream's whole batch by default."""
    await put(redis, b"one")
    await redis.xadd(INCOMING, {b"\xff": b"\x00\xfe", b"other": b"field"})
    await put(redis, b"\xff\xfe not text")
    await put(redis, b"two")
    received = Received()
    async with running(servers, received):
        await received.wait_for(4)
        await eventually(lambda: is_zero(pending(redis)))
    assert received[0] == b"one"
    assert b"other" in received[1]
    assert received[2:] == [b"\xff\xfe not text", b"two"]


async def is_zero(number: Awaitable[int]) -> bool:
    return await number == 0


async def test_nothing_is_acknowledged_before_it_is_recorded(
    servers: Servers, redis: Redis
) -> None:
    """A receiver that fails is asked again; meanwhile the entry is pending, and it is said."""
    received = Received()
    received.fail = True
    async with running(servers, received) as links:
        await put(redis, b"one")
        await eventually(lambda: asyncio.sleep(0, "recorded" in (links.trouble or "")))
        assert await pending(redis) == 1
        received.fail = False
        await received.wait_for(1)
        await eventually(lambda: is_zero(pending(redis)))
        await eventually(lambda: asyncio.sleep(0, links.trouble is None))
        await put(redis, b"two")
        await received.wait_for(2)
    # What was tried before may have been recorded in part: it is no replay.
    assert received.again == [True, False]


async def test_a_link_that_stands_still_keeps_no_other(servers: Servers, redis: Redis) -> None:
    """Also at the start, when what was pending before a crash is read first."""
    stuck = stream_name("51", "35")
    await redis.xadd(stuck, {streams.FIELD: b"stuck"})
    await redis.xgroup_create(stuck, "35", id="0")
    await redis.xreadgroup("35", streams.CONSUMER, {stuck: ">"})
    await put(redis, b"one")
    received = Received()
    received.fails_of = "51"
    async with running(servers, received, "51") as links:
        await received.wait_for(1)
        assert received == [b"one"]
        await eventually(lambda: asyncio.sleep(0, "entries from 51" in (links.trouble or "")))
        await put(redis, b"two")
        await received.wait_for(2)
        # The other one's success does not hide it.
        await asyncio.sleep(2 * streams.SUPERVISE_SECONDS)
        assert "entries from 51" in (links.trouble or "")
        received.fails_of = None
        await received.wait_for(3)
    assert received == [b"one", b"two", b"stuck"]


async def test_what_was_delivered_before_a_crash_is_read_again(
    servers: Servers, redis: Redis
) -> None:
    """By default nothing ever retries a pending entry, not even a restart."""
    await put(redis, b"one")
    await redis.xgroup_create(INCOMING, "35", id="0")
    await redis.xreadgroup("35", streams.CONSUMER, {INCOMING: ">"})
    assert await pending(redis) == 1
    received = Received()
    async with running(servers, received):
        await received.wait_for(1)
        await eventually(lambda: is_zero(pending(redis)))
    assert received == [b"one"]
    assert received.again == [True]


async def test_after_a_flush_the_group_is_made_again_and_reading_goes_on(
    servers: Servers, redis: Redis
) -> None:
    """The subscriber stops for a lost group while a ping still succeeds."""
    received = Received()
    async with running(servers, received) as links:
        await redis.flushall()
        await eventually(lambda: asyncio.sleep(0, links.trouble is not None))
        await eventually(lambda: asyncio.sleep(0, links.trouble is None))
        await put(redis, b"later")
        await received.wait_for(1)
    assert received == [b"later"]


async def test_a_link_whose_server_is_away_says_so_and_waits(
    servers: Servers, stack: AsyncExitStack
) -> None:
    links = RedisLinks("redis://127.0.0.1:1/0", "35", ["53.71"], Received().take)
    task = asyncio.create_task(links.run())
    stack.callback(task.cancel)
    await eventually(lambda: asyncio.sleep(0, "away" in (links.trouble or "")))
    with pytest.raises(ConnectionError):
        await links.send("53.71", b"x")
    assert not task.done()


@asynccontextmanager
async def line(
    servers: Servers, answered: Callable[[bytes], Awaitable[bool]]
) -> AsyncIterator[str]:
    """The address of the same Redis at the end of a line.

    Each part of an answer waits for `answered`; the line breaks where that is false.
    """
    at = urlsplit(servers.redis_url)

    async def whole(data: bytes) -> bool:
        return True

    async def pass_on(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        goes_on: Callable[[bytes], Awaitable[bool]] = whole,
    ) -> None:
        with suppress(OSError):
            while (data := await reader.read(4_096)) and await goes_on(data):
                writer.write(data)
                await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis, to_redis = await (
            asyncio.open_unix_connection(at.path)
            if at.scheme == "unix"
            else asyncio.open_connection(at.hostname, at.port)
        )
        ways = [
            asyncio.create_task(pass_on(reader, to_redis)),
            asyncio.create_task(pass_on(redis, writer, answered)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for one in (writer, to_redis):
                one.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def slowly(data: bytes) -> bool:
    """50,000 bytes a second."""
    await asyncio.sleep(len(data) / 50_000)
    return True


async def test_a_line_too_thin_to_read_by_is_said_until_reading_works_again(
    servers: Servers, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping still succeeds, and the framework tries again in silence."""
    monkeypatch.setattr(streams, "REPLY_SECONDS", 1.0)
    received = Received()
    far = copy.copy(servers)
    async with line(servers, slowly) as far.redis_url, running(far, received) as links:
        await put(redis, bytes(500_000))
        await eventually(lambda: asyncio.sleep(0, links.trouble is not None))
        assert links.trouble == "what 53.71 sends can't be read: TimeoutError"
        await redis.xtrim(INCOMING, maxlen=0)
        await put(redis, b"small")
        await received.wait_for(1)
        await eventually(lambda: asyncio.sleep(0, links.trouble is None))
    assert received == [b"small"]


async def test_a_frame_stands_as_plain_text_in_its_stream(servers: Servers, redis: Redis) -> None:
    async with running(servers, Received()) as links:
        await links.send("53.71", b"link: 35:53.71\r\n\r\n[]")
    assert [fields for _, fields in await redis.xrange(OUTGOING)] == [
        {streams.FIELD: b"link: 35:53.71\r\n\r\n[]"}
    ]


async def test_only_the_newest_receipt_stays(servers: Servers, redis: Redis) -> None:
    async with running(servers, Received()) as links:
        for through in range(1, 5):
            await links.send_receipt(
                "53.71",
                encode(Receipt("35", "53.71", through), lambda text: ("00000000", bytes(64))),
            )
    (entry,) = await redis.xrange(OUTGOING)
    assert b'"applied_through": 4' in entry[1][streams.FIELD]


async def test_trimming_takes_only_what_was_confirmed(servers: Servers, redis: Redis) -> None:
    async with running(servers, Received()) as links:
        entries = [await links.send("53.71", b"%d" % n) for n in range(5)]
        await links.trim("53.71", entries[2])
    left = [fields[streams.FIELD] for _, fields in await redis.xrange(OUTGOING)]
    assert left == [b"3", b"4"]
