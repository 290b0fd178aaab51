"""How often a name may be tried: a wait that doubles, for names that exist and for others alike.

Each attempt is counted before it is looked at, and forgotten when it succeeds; so many at once
gain nothing. From the fifth failure on a name waits 2, 4, 8 … seconds, at most 15 minutes, and
during the wait the right password is refused too. A name stands here only as a digest: people
type their password where the name belongs.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime, timedelta
from hashlib import sha256

from psycopg_pool import AsyncConnectionPool

FREE_FAILURES = 4
LONGEST_WAIT = timedelta(minutes=15)
KEPT = timedelta(days=1)
"""A name that nobody tried for so long starts anew."""


def tidy(name: str) -> str:
    """A name as it is looked up and counted: who types it with a capital means the same one."""
    readable = name[:256].encode(errors="replace").decode()
    return unicodedata.normalize("NFKC", readable).strip().casefold()


async def count(pool: AsyncConnectionPool, name: str, now: datetime) -> timedelta | None:
    """Counts an attempt as failed, in advance. Gives the wait where the name is still locked."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "insert into sign_in_failures as known (account, failures, locked_until)"
            " values (%(account)s, 1, %(now)s)"
            " on conflict (account) do update set failures = least(known.failures + 1, 1000000),"
            " locked_until = %(now)s::timestamptz + case when known.failures < %(free)s"
            "  then interval '0' else least(%(longest)s::interval,"
            "   make_interval(secs => 2 ^ least(known.failures + 1 - %(free)s, 20))) end"
            " where known.locked_until <= %(now)s returning 1",
            {
                "account": _digest(name),
                "now": now,
                "free": FREE_FAILURES,
                "longest": LONGEST_WAIT,
            },
        )
        if await cursor.fetchone():
            return None
        cursor = await connection.execute(
            "select locked_until from sign_in_failures where account = %s", (_digest(name),)
        )
        row = await cursor.fetchone()
    return max(row[0] - now, timedelta(seconds=1)) if row else timedelta(seconds=1)


async def forget(pool: AsyncConnectionPool, name: str, now: datetime) -> None:
    """After a success: the name starts anew, and so does all that nobody tried for a day."""
    async with pool.connection() as connection:
        await connection.execute(
            "delete from sign_in_failures where account = %s or locked_until < %s",
            (_digest(name), now - KEPT),
        )


async def first_use(pool: AsyncConnectionPool, once: str, until: datetime) -> bool:
    """Whether this word, which must open only once, was never used before. Kept as a name is."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "insert into sign_in_failures (account, failures, locked_until) values (%s, 0, %s)"
            " on conflict do nothing returning 1",
            (sha256(b"pulang once " + once.encode()).digest(), until),
        )
        return await cursor.fetchone() is not None


def later(wait: timedelta) -> dict[str, str]:
    """The header that says how long to wait, in whole seconds."""
    return {"Retry-After": str(math.ceil(wait.total_seconds()))}


def _digest(name: str) -> bytes:
    return sha256(b"pulang sign-in " + name.encode()).digest()
