"""From one office's commit to the other's: a backlog drained, and one message on a quiet day.

Ours is the whole way: outbox, relay, opening and sealing who the persons are, signed frames, Redis,
FastStream, verifying, unsealing and sealing under keys of the province's own, its decision, its
log, and the signed receipt back. The raw loop moves the same bytes: it reads the same
outbox, adds one entry a message in pipelines, reads them by group, inserts them in one
transaction a batch and acknowledges. It signs, seals, decides and confirms nothing.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
from redis.asyncio import Redis

from benchmarks import story
from benchmarks.measure import Row, Trips, paired, row_of, traced
from benchmarks.places import Places
from shared.kernel.handling import Unit
from shared.kernel.inbox import Inbox
from shared.kernel.link import FRAME_MESSAGES, Receipt
from shared.kernel.outbox import Relay
from shared.kernel.store import Commit
from shared.runtime.office import Office
from shared.runtime.streams import RedisLinks
from shared.runtime.worker import Worker

CITY, PROVINCE = "53.71", "35"
BACKLOG = 5_000
SINGLES = 120
RAW_STREAM = "raw"
DEADLINE_SECONDS = 60.0
PAUSE_SECONDS = 0.02  # Long enough that both sides are asleep again before the next message.
INSERT = (
    "insert into inbox (sender, sequence, body, received_at)"
    " select %s, *, now() from unnest(%s::bigint[], %s::bytea[])"
)
OUTBOX = (
    "select sequence, body from outbox where receiver = %s and sequence > %s"
    " order by sequence limit %s"
)


class Landing:
    """Notes when the province's commits stood, and how many messages have come with them."""

    def __init__(self, office: Office) -> None:
        self._append = office.store.append
        self._through = 0
        self._at = 0.0
        self._changed = asyncio.Event()
        office.store.append = self.append  # type: ignore[method-assign]

    async def append(self, commit: Commit) -> int:
        size = await self._append(commit)
        if commit.received:
            self._through, self._at = commit.received[-1].sequence, time.perf_counter()
            self._changed.set()
        return size

    async def reached(self, sequence: int) -> float:
        """The time at which everything through `sequence` was committed."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self._through < sequence:
                self._changed.clear()
                await self._changed.wait()
        return self._at


@asynccontextmanager
async def working(office: Office) -> AsyncIterator[Worker]:
    """The office's worker, as it runs in production, once its links are up."""
    worker = Worker(office)
    async with _running(worker.run()):
        await _until_up(worker.links)
        yield worker


@asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _until_up(links: RedisLinks) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while links.trouble is not None:
            await asyncio.sleep(0.01)


async def _until_introduced(office: Office, partner: str) -> None:
    """Waits for the partner's first receipt, which says what to seal to."""
    async with asyncio.timeout(DEADLINE_SECONDS), office.pool.connection() as connection:
        while True:
            cursor = await connection.execute(
                "select 1 from link_out where receiver = %s and sealing_key is not null", (partner,)
            )
            if await cursor.fetchone() is not None:
                return
            await asyncio.sleep(0.02)


class Backlog:
    """A city that has recorded its messages while the province was away."""

    def __init__(self, places: Places, city: Office, redis: Redis) -> None:
        self._places = places
        self._city = city
        self._redis = redis

    async def record(self) -> None:
        ids = await story.approved(self._city, BACKLOG)
        await story.handle(self._city.handling, [Unit([story.issue(id_)]) for id_ in ids])

    async def ours(self, read_models: bool) -> float:
        """Messages a second, from the relay's first turn to the province's last commit."""
        await self._redis.flushall()
        pool = self._city.pool
        async with pool.connection() as connection:
            await connection.execute("delete from link_out")
        async with self._places.office(PROVINCE, CITY, read_models=read_models) as province:
            landing = Landing(province)
            relays: list[Relay] = []

            async def receive(sender: str, raws: Sequence[bytes], again: bool) -> None:
                inbox = Inbox(self._city.handling, self._city.vault, self._city.reactor, PROVINCE)
                _, receipts = await inbox.receive(raws, self._city.clock(), again=again)
                for receipt in receipts:
                    await relays[0].confirm(receipt, self._city.clock())

            links = RedisLinks(self._city.settings.redis_url, CITY, [PROVINCE], receive)
            relays.append(Relay(self._city.store.links, self._city.vault, links, PROVINCE))
            async with working(province), _running(links.run()):
                await _until_up(links)
                await _until_introduced(self._city, PROVINCE)
                started = time.perf_counter()
                while await relays[0].step(self._city.clock()):
                    pass
                return BACKLOG / (await landing.reached(BACKLOG) - started)

    async def raw(self) -> float:
        await self._redis.flushall()
        await self._redis.xgroup_create(RAW_STREAM, "raw", id="0", mkstream=True)
        sending = psycopg.connect(self._city.settings.database_url)
        receiving = psycopg.connect(self._places.database())

        async def send() -> None:
            sent = 0
            while rows := sending.execute(OUTBOX, (PROVINCE, sent, FRAME_MESSAGES)).fetchall():
                async with self._redis.pipeline(transaction=False) as pipe:
                    for sequence, body in rows:
                        pipe.xadd(RAW_STREAM, {"sequence": sequence, "body": body})
                    await pipe.execute()
                sent = rows[-1][0]

        async def receive() -> None:
            received = 0
            while received < BACKLOG:
                received += await _receive_raw(self._redis, receiving)

        with sending, receiving:
            started = time.perf_counter()
            await asyncio.gather(send(), receive())
            return BACKLOG / (time.perf_counter() - started)


async def _receive_raw(redis: Redis, connection: psycopg.Connection[Any]) -> int:
    """One turn of the loop by hand: read, insert in one transaction, acknowledge."""
    found: Any = await redis.xreadgroup(
        "raw", "raw", {RAW_STREAM: ">"}, count=FRAME_MESSAGES, block=500
    )
    entries = found[0][1] if found else []
    if entries:
        sequences = [int(fields[b"sequence"]) for _, fields in entries]
        bodies = [fields[b"body"] for _, fields in entries]
        with connection.transaction():
            connection.execute(INSERT, ("raw", sequences, bodies))
        await redis.xack(RAW_STREAM, "raw", *(entry for entry, _ in entries))
    return len(entries)


async def latencies(
    places: Places, redis: Redis, read_models: bool
) -> tuple[list[float], list[float]]:
    """Seconds from commit to commit, ours and by hand, one message each by turns."""
    ours: list[float] = []
    raw: list[float] = []
    await redis.flushall()
    async with (
        places.office(CITY, PROVINCE, read_models=read_models) as city,
        places.office(PROVINCE, CITY, read_models=read_models) as province,
    ):
        ids = await story.approved(city, SINGLES)
        landing = Landing(province)
        connection = psycopg.connect(places.database())
        await redis.xgroup_create(RAW_STREAM, "raw", id="0", mkstream=True)
        async with working(city), working(province):
            await _caught_up(city)
            await _until_introduced(city, PROVINCE)
            for number, id_ in enumerate(ids, 1):
                await asyncio.sleep(PAUSE_SECONDS)
                await story.handle(city.handling, [Unit([story.issue(id_)])])
                started = time.perf_counter()
                ours.append(await landing.reached(number) - started)
                await asyncio.sleep(PAUSE_SECONDS)
                raw.append(await _raw_latency(redis, connection, number))
        connection.close()
    return ours, raw


async def _raw_latency(redis: Redis, connection: psycopg.Connection[Any], number: int) -> float:
    """One entry to a reader that already waits for it, until its insert is committed."""
    landed = 0.0

    async def receive() -> None:
        nonlocal landed
        found: Any = await redis.xreadgroup("raw", "raw", {RAW_STREAM: ">"}, block=5_000)
        [(entry, fields)] = found[0][1]
        with connection.transaction():
            connection.execute(INSERT, ("raw", [number], [fields[b"body"]]))
        landed = time.perf_counter()
        await redis.xack(RAW_STREAM, "raw", entry)

    task = asyncio.create_task(receive())
    await asyncio.sleep(PAUSE_SECONDS)
    started = time.perf_counter()
    await redis.xadd(RAW_STREAM, {"sequence": number, "body": b"x" * 800})
    await task
    return landed - started


async def _caught_up(office: Office) -> None:
    """Waits for the read models, so that the day is as quiet as it is meant to be."""
    size = (await office.store.head()).size
    async with asyncio.timeout(DEADLINE_SECONDS), office.pool.connection() as connection:
        await connection.set_autocommit(True)
        try:
            while True:
                cursor = await connection.execute("select min(position) from projections")
                [position] = await cursor.fetchone() or [None]
                if position is None or position >= size:
                    return
                await asyncio.sleep(0.05)
        finally:
            await connection.set_autocommit(False)


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


async def measure(places: Places) -> list[Row]:
    redis = Redis.from_url(places.servers.redis_url)
    async with places.office(CITY, PROVINCE, read_models=False) as city:
        backlog = Backlog(places, city, redis)
        await backlog.record()
        loop = "XADD in pipelines of 500, XREADGROUP, one insert a batch"
        rows = [
            await paired(
                f"{BACKLOG:,} messages drained, the link alone",
                "messages/s",
                lambda: backlog.ours(read_models=False),
                backlog.raw,
                loop,
                rounds=3,
            ),
            await paired(
                f"{BACKLOG:,} messages drained, read models at work",
                "messages/s",
                lambda: backlog.ours(read_models=True),
                backlog.raw,
                loop,
                rounds=3,
            ),
        ]
    trip = "XADD, blocked XREADGROUP, insert, commit"
    for words, read_models in (("the link alone", False), ("read models at work", True)):
        ours, raw = await latencies(places, redis, read_models)
        for name, take in (("median", statistics.median), ("p95", _p95)):
            pair = (take(ours) * 1_000, take(raw) * 1_000)
            rows.append(row_of(f"one message, {words}, {name}", "ms", [pair], trip))
    await redis.aclose()
    return rows


class Wireless:
    """A transport that keeps frames in memory, so that only the database is counted."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    async def send(self, receiver: str, frame: bytes) -> bytes:
        self.frames.append(frame)
        return b"0-1"

    async def clear(self, receiver: str) -> None:
        pass

    async def trim(self, receiver: str, through: bytes) -> None:
        pass


async def count(places: Places) -> list[Trips]:
    async with (
        places.office(CITY, PROVINCE, read_models=False, connections=2) as city,
        places.office(PROVINCE, CITY, read_models=False, connections=2) as province,
    ):
        ids = await story.approved(city, 100)
        await story.handle(city.handling, [Unit([story.issue(id_)]) for id_ in ids])
        wireless = Wireless()
        relay = Relay(city.store.links, city.vault, wireless, PROVINCE)
        inbox = Inbox(province.handling, province.vault, province.reactor, CITY)
        await relay.confirm(await inbox.receipt(gap=False, now=story.NOW), story.NOW)
        receipts: list[Receipt | None] = []

        async def receive() -> None:
            receipts.append((await inbox.receive(wireless.frames, story.NOW))[0])

        async with traced(city.pool) as here, traced(province.pool) as there:
            await here.count("relay, first turn, 100 messages", relay.step(story.NOW))
            await here.count("relay, a turn with nothing to do", relay.step(story.NOW))
            await there.count("inbox, 100 messages", receive())
            receipt = receipts[0]
            if receipt is None:
                raise RuntimeError("the province gave no receipt")
            await here.count("relay, a receipt taken in", relay.confirm(receipt, story.NOW))
        return [*here.trips, *there.trips]
