"""Sessions: what a member of staff holds after signing in, until it ends or is ended.

A token of 256 random bits, of which only the SHA-256 is stored; so who reads the database can't
take a session over. It ends after 30 minutes without use and after 8 hours in any case, and at
once when the account signs out, changes or is disabled.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from fastapi import Response
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from shared.runtime.staff import Account, Staff

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=8)
SEEN_EVERY = timedelta(minutes=1)
"""A session's use is written down no more often than this."""
COOKIE = "__Host-pulang"


@dataclass(frozen=True, slots=True)
class Begun:
    """A new session. The token is nowhere else."""

    token: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is open now."""

    staff: Staff
    digest: bytes
    csrf_digest: bytes


async def begin(pool: AsyncConnectionPool, account: Account, now: datetime) -> Begun | None:
    """Opens a session, and sweeps those that ended. None: the account changed meanwhile."""
    token = secrets.token_urlsafe(32)
    ends_at = now + ABSOLUTE
    async with pool.connection() as connection:
        await connection.execute(
            "delete from sessions where ends_at <= %s or seen_at <= %s", (now, now - IDLE)
        )
        # The lock on the account's row makes this wait for whoever is changing it, and whoever
        # changes it afterwards finds this session, and ends it.
        cursor = await connection.execute(
            "insert into sessions (digest, username, csrf_digest, created_at, seen_at, ends_at)"
            " select %s, username, %s, %s, %s, %s from staff"
            " where username = %s and active and changed_at = %s for share returning 1",
            (
                _digest(token),
                _digest(csrf_of(token)),
                now,
                now,
                ends_at,
                account.username,
                account.changed_at,
            ),
        )
        if await cursor.fetchone() is None:
            return None
    return Begun(token, ends_at)


async def by_token(
    pool: AsyncConnectionPool, token: str, now: datetime, *, used: bool = True
) -> Session | None:
    """The open session of this token, with the roles that its account has now.

    What a page asks by itself is no use of it: with `used` false it ends no later for that.
    """
    digest = _digest(token)
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select s.username, t.roles, s.csrf_digest, s.seen_at from sessions s"
            " join staff t using (username)"
            " where s.digest = %s and s.ends_at > %s and s.seen_at > %s and t.active",
            (digest, now, now - IDLE),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        if used and now - row[3] >= SEEN_EVERY:
            await connection.execute(
                "update sessions set seen_at = %s where digest = %s and seen_at < %s",
                (now, digest, now),
            )
    return Session(Staff(row[0], frozenset(row[1])), digest, row[2])


async def open_of(
    connection: AsyncConnection[Any], digests: Iterable[bytes], now: datetime
) -> dict[bytes, frozenset[str]]:
    """Which of these sessions are open, with the roles that their accounts have now."""
    cursor = await connection.execute(
        "select s.digest, t.roles from sessions s join staff t using (username)"
        " where s.digest = any(%s) and s.ends_at > %s and s.seen_at > %s and t.active",
        (list(digests), now, now - IDLE),
    )
    return {digest: frozenset(roles) for digest, roles in await cursor.fetchall()}


async def end(pool: AsyncConnectionPool, token_or_digest: str | bytes) -> None:
    """Ends one session. Does nothing where it has ended."""
    digest = _digest(token_or_digest) if isinstance(token_or_digest, str) else token_or_digest
    async with pool.connection() as connection:
        await connection.execute("delete from sessions where digest = %s", (digest,))


def csrf_of(token: str) -> str:
    """The CSRF token that belongs to a cookie's secret; it does not tell the secret."""
    return hmac.digest(token.encode(), b"pulang csrf", "sha256").hex()


def csrf_fits(session: Session, given: str) -> bool:
    return hmac.compare_digest(_digest(given), session.csrf_digest)


def set_cookie(
    response: Response, name: str, value: str, *, lax: bool = False, seconds: int | None = None
) -> None:
    """A cookie that only this very host gets back, only over TLS, and no script can read.

    `lax` also gives it to us where another site sends the browser here, as an identity provider
    does. Without `seconds` it goes when the browser is closed; with 0 at once.
    """
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=True,
        httponly=True,
        samesite="lax" if lax else "strict",
    )


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
