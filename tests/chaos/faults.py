"""The faults: each breaks something for a moment and mends it, as a context.

A fault is drawn by seed and may meet another one: what is already broken by it is left so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import psycopg
import redis

from tests.chaos.offices import CODES, WORKERS, Offices
from tests.chaos.rubbish import KINDS, foreign

Fault = Callable[[Offices, random.Random], AbstractContextManager[None]]
STREAMS = tuple((a, b) for a in CODES for b in CODES if (a == "53.71") != (b == "53.71"))
FULL = 600_000
"""Less than an empty Valkey takes for itself: nothing more can be written."""


@contextmanager
def worker_killed(offices: Offices, rng: random.Random) -> Iterator[None]:
    """kill -9 of the active worker; it comes back when the other has long taken over."""
    office = offices.by_code[rng.choice(CODES)]
    name: str | None = None
    with suppress(psycopg.Error):
        name = office.active_worker()
    office.kill(name if name in WORKERS else WORKERS[0])
    yield
    office.supervise()


@contextmanager
def web_killed(offices: Offices, rng: random.Random) -> Iterator[None]:
    office = offices.by_code[rng.choice(CODES)]
    office.kill("web")
    yield
    office.supervise()


@contextmanager
def redis_killed(offices: Offices, rng: random.Random) -> Iterator[None]:
    offices.redis.stop()
    yield
    offices.redis.start()


@contextmanager
def redis_lost(offices: Offices, rng: random.Random) -> Iterator[None]:
    """Killed, and comes back without its data."""
    offices.redis.stop()
    offices.redis.forget()
    yield
    offices.redis.start()


@contextmanager
def redis_flushed(offices: Offices, rng: random.Random) -> Iterator[None]:
    with suppress(redis.RedisError), offices.redis.client() as client:
        client.flushall()
    yield


@contextmanager
def redis_full(offices: Offices, rng: random.Random) -> Iterator[None]:
    _limit(offices, FULL)
    yield
    _limit(offices, 0)


def _limit(offices: Offices, number: int) -> None:
    with suppress(redis.RedisError), offices.redis.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", number)


@contextmanager
def postgres_stopped(offices: Offices, rng: random.Random) -> Iterator[None]:
    database = offices.databases[rng.choice(CODES)]
    database.stop_immediately()
    yield
    database.start()


@contextmanager
def wire_cut(offices: Offices, rng: random.Random) -> Iterator[None]:
    code, proxy = rng.choice(CODES), offices.proxy
    if proxy is None:
        raise RuntimeError("there is no proxy to cut")
    proxy.cut(code)
    yield
    proxy.mend(code)


@contextmanager
def wire_slow(offices: Offices, rng: random.Random) -> Iterator[None]:
    code, proxy = rng.choice(CODES), offices.proxy
    if proxy is None:
        raise RuntimeError("there is no proxy to slow down")
    proxy.delay(code, rng.uniform(0.1, 0.8))
    yield
    proxy.mend(code)


@contextmanager
def rubbish(offices: Offices, rng: random.Random) -> Iterator[None]:
    """A foreign client adds rubbish of all kinds to a stream."""
    throw_in(offices, rng, rng.choice(STREAMS), list(KINDS))
    yield


@contextmanager
def said_again(offices: Offices, rng: random.Random) -> Iterator[None]:
    """A foreign client adds what stands in the streams once more, byte for byte."""
    with suppress(redis.RedisError), offices.redis.client() as client:
        for sender, receiver in STREAMS:
            name = f"pulang:{sender}:{receiver}"
            entries: Any = client.xrange(name, count=20)
            for _, fields in entries:
                client.xadd(name, fields)
    yield


def throw_in(offices: Offices, rng: random.Random, way: tuple[str, str], kinds: list[str]) -> int:
    """Adds one entry of each kind to a link's stream; gives how many Redis took."""
    added = 0
    name = f"pulang:{way[0]}:{way[1]}"
    with suppress(redis.RedisError), offices.redis.client() as client:
        others = [f"pulang:{a}:{b}" for a, b in STREAMS if (a, b) != way]
        genuine = _newest(client, name)
        of_another = next((one for one in (_newest(client, n) for n in others) if one), None)
        for kind in kinds:
            client.xadd(name, foreign(kind, rng, genuine, of_another))
            added += 1
    return added


def _newest(client: Any, name: str) -> bytes | None:
    for _, fields in client.xrevrange(name, count=50):
        frame: bytes = fields.get(b"__data__", b"")
        if frame.startswith(b"signature: "):
            return frame
    return None


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        worker_killed,
        web_killed,
        redis_killed,
        redis_lost,
        redis_flushed,
        redis_full,
        postgres_stopped,
        wire_cut,
        wire_slow,
        rubbish,
        said_again,
    )
}
