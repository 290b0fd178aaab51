"""Staff accounts: roles, a password, a one-time code (TOTP), and an API token.

Which roles there are depends on the kind of office. Who approves or audits signs in with a second
factor; others may have one. Its secret is wrapped by the office's key, and each code opens once.

An API token is for programs, and is a factor of its own: 256 random bits that the office drew, so
that a plain SHA-256 of it is enough to look it up. It ends after 90 days. It is shown once, and
whoever holds it has the account's roles without a password or a code; an account that needs none
is disabled or renewed.

Whatever changes an account (roles, password, disabling) ends all of its sessions in the same
transaction.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Literal, LiteralString, Protocol, get_args

import pyotp
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from shared.kernel.keys import Unopened
from shared.runtime import passwords

log = logging.getLogger(__name__)

Kind = Literal["city", "province"]
Role = Literal[
    "intake", "issuer", "approver", "treasurer", "reception", "case_worker", "auditor",
    "operator", "admin",
]  # fmt: skip
ROLES: frozenset[str] = frozenset(get_args(Role))
ROLES_OF: dict[Kind, frozenset[str]] = {
    "city": ROLES - {"reception", "case_worker"},
    "province": ROLES - {"intake", "issuer", "treasurer"},
}
PSEUDONYMOUS: frozenset[str] = frozenset({"auditor", "operator", "admin"})
MEETS_PEOPLE: frozenset[str] = frozenset(
    {"intake", "issuer", "treasurer", "reception", "case_worker"}
)
SECOND_FACTOR: frozenset[str] = frozenset({"approver", "auditor"})
TOKEN_PREFIX = "pulang_"  # noqa: S105 — what a token begins with, not one
TOKEN_DAYS = 90
CODE_SECONDS = 30
CODE_STEPS_ASIDE = 1


class Wrap(Protocol):
    """What wraps a secret by the office's key; `about` binds it to whose it is."""

    async def wrap(self, text: bytes, about: str) -> tuple[int, bytes]:
        """The key's epoch, and the wrapped text."""
        ...

    async def unwrap(self, epoch: int, wrapped: bytes, about: str) -> bytes:
        """The text. Raises shared.kernel.keys.Unopened."""
        ...


@dataclass(frozen=True, slots=True)
class Staff:
    """Who is asking, and what she may do here."""

    username: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What is shown once: the API token, and for a second factor its secret and its address."""

    token: str
    totp_secret: str | None
    totp_uri: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """What signing in looks at. `changed_at` tells one state of the account from the next."""

    username: str
    roles: frozenset[str]
    password_hash: str | None
    changed_at: datetime
    has_totp: bool

    @property
    def needs_code(self) -> bool:
        return self.has_totp or bool(self.roles & SECOND_FACTOR)


async def add_staff(
    pool: AsyncConnectionPool,
    username: str,
    roles: frozenset[str],
    password: str,
    *,
    kind: Kind,
    wrap: Wrap,
    words: Sequence[str] = (),
    totp: bool = False,
) -> NewAccount:
    """Makes the account, or gives it these roles, this password, a new token and a new secret.

    `words` are the office's name and code, which no password may consist of. A secret is drawn
    where a role needs it, where `totp` asks for it, and where the account had one.

    Raises ValueError for a username, roles or a password that can't be; nothing is changed then.
    """
    _check(username, roles, kind)
    passwords.check(password, (username, *words))
    hashed = await passwords.hashed(password)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    secret: str | None = None
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "insert into staff (username, roles, password_hash, token_digest, token_expires_at)"
            " values (%s, %s, %s, %s, now() + make_interval(days => %s))"
            " on conflict (username) do update set"
            " roles = excluded.roles, password_hash = excluded.password_hash,"
            " token_digest = excluded.token_digest, token_expires_at = excluded.token_expires_at,"
            " active = true, changed_at = clock_timestamp()",
            (username, sorted(roles), hashed, _digest(token), TOKEN_DAYS),
        )
        cursor = await connection.execute(
            "delete from staff_totp where username = %s returning 1", (username,)
        )
        if totp or roles & SECOND_FACTOR or await cursor.fetchone():
            secret = pyotp.random_base32()
            # No key epoch may end between the wrapping and the writing.
            await connection.execute("select from log_head for share")
            epoch, wrapped = await wrap.wrap(secret.encode(), _about(username))
            await connection.execute(
                "insert into staff_totp (username, epoch, wrapped) values (%s, %s, %s)",
                (username, epoch, wrapped),
            )
        await _end_sessions(connection, username)
    uri = (
        pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name="Pulang") if secret else None
    )
    return NewAccount(token, secret, uri)


def _check(username: str, roles: frozenset[str], kind: Kind) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", username):
        raise ValueError("a username has small letters, digits, dot, dash and underscore, up to 64")
    if not roles or not roles <= ROLES_OF[kind]:
        raise ValueError(f"roles at a {kind} are {', '.join(sorted(ROLES_OF[kind]))}")
    if {"issuer", "approver"} <= roles:
        raise ValueError("who issues does not approve: one account cannot have both roles")
    if roles & PSEUDONYMOUS and roles & MEETS_PEOPLE:
        raise ValueError(
            f"{', '.join(sorted(PSEUDONYMOUS))} see no personal data: one account cannot also be"
            f" {', '.join(sorted(roles & MEETS_PEOPLE))}"
        )


async def change_password(
    pool: AsyncConnectionPool, account: Account, password: str, words: Sequence[str] = ()
) -> bool:
    """Gives the account a new password and ends its sessions. False: it changed meanwhile.

    Raises passwords.WeakPassword. The API token stays: it is no password's child.
    """
    passwords.check(password, (account.username, *words))
    hashed = await passwords.hashed(password)
    async with pool.connection() as connection, connection.transaction():
        cursor = await connection.execute(
            "update staff set password_hash = %s, changed_at = clock_timestamp()"
            " where username = %s and active and changed_at = %s returning 1",
            (hashed, account.username, account.changed_at),
        )
        if await cursor.fetchone() is None:
            return False
        await _end_sessions(connection, account.username)
    return True


async def disable(pool: AsyncConnectionPool, username: str) -> bool:
    """Shuts the account: token and sessions end at once. False: there is no such account."""
    async with pool.connection() as connection, connection.transaction():
        cursor = await connection.execute(
            "update staff set active = false, token_digest = null, token_expires_at = null,"
            " changed_at = clock_timestamp() where username = %s returning 1",
            (username,),
        )
        await _end_sessions(connection, username)
        return await cursor.fetchone() is not None


async def sign_out(pool: AsyncConnectionPool, username: str) -> int:
    """Ends every session of the account; gives how many there were. Its API token stays."""
    async with pool.connection() as connection:
        return await _end_sessions(connection, username)


async def link_oidc(pool: AsyncConnectionPool, username: str, subject: str | None) -> bool:
    """Says who the account is at the office's identity provider, or that it is nobody there.

    False: there is no such account. Raises psycopg.errors.UniqueViolation where the subject is
    another account's.
    """
    async with pool.connection() as connection, connection.transaction():
        cursor = await connection.execute(
            "update staff set oidc_subject = %s, changed_at = clock_timestamp()"
            " where username = %s returning 1",
            (subject, username),
        )
        await _end_sessions(connection, username)
        return await cursor.fetchone() is not None


async def every_account(pool: AsyncConnectionPool) -> list[dict[str, Any]]:
    """The accounts, as `pulang staff list` shows them; nothing secret is among it."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select username, roles, active, token_expires_at, oidc_subject is not null,"
            " exists (select from staff_totp where staff_totp.username = staff.username),"
            " (select count(*) from sessions where sessions.username = staff.username"
            "  and ends_at > now())"
            " from staff order by username"
        )
        names = (
            "username", "roles", "active", "token_expires_at", "oidc", "totp", "sessions",
        )  # fmt: skip
        return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


async def by_token(pool: AsyncConnectionPool, token: str, now: datetime) -> Staff | None:
    """The holder of an API token that has not ended."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select username, roles from staff"
            " where token_digest = %s and token_expires_at > %s and active",
            (_digest(token), now),
        )
        row = await cursor.fetchone()
    return Staff(row[0], frozenset(row[1])) if row else None


async def by_username(pool: AsyncConnectionPool, username: str) -> Account | None:
    return await _account(pool, _ACCOUNT + "username = %s", username)


async def by_subject(pool: AsyncConnectionPool, subject: str) -> Account | None:
    """Who has this subject at the office's identity provider."""
    return await _account(pool, _ACCOUNT + "oidc_subject = %s", subject)


_ACCOUNT: LiteralString = (
    "select username, roles, password_hash, changed_at,"
    " exists (select from staff_totp where staff_totp.username = staff.username)"
    " from staff where active and "
)


async def _account(pool: AsyncConnectionPool, query: LiteralString, value: str) -> Account | None:
    async with pool.connection() as connection:
        # PostgreSQL's text cannot hold a zero byte.
        cursor = await connection.execute(query, (value.replace("\0", "�"),))
        row = await cursor.fetchone()
    return Account(row[0], frozenset(row[1]), *row[2:]) if row else None


async def rehash(pool: AsyncConnectionPool, account: Account, password: str) -> None:
    """Hashes a password that was just found right with today's parameters, if they rose."""
    if account.password_hash is None or not passwords.outdated(account.password_hash):
        return
    hashed = await passwords.hashed(password)
    async with pool.connection() as connection:
        await connection.execute(
            "update staff set password_hash = %s where username = %s and password_hash = %s",
            (hashed, account.username, account.password_hash),
        )


async def use_code(
    pool: AsyncConnectionPool, wrap: Wrap, username: str, code: str, now: datetime
) -> bool:
    """Whether this one-time code opens now; it opens once, and none older opens after it."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select epoch, wrapped from staff_totp where username = %s", (username,)
        )
        row = await cursor.fetchone()
    if row is None:
        return False
    try:
        secret = await wrap.unwrap(row[0], row[1], _about(username))
    except Unopened:
        log.error("a one-time code's secret can't be opened: renew the account")
        return False
    step = int(now.timestamp()) // CODE_SECONDS
    codes = pyotp.TOTP(secret.decode())
    given = re.sub(r"\s", "", code).encode()
    fitting = [
        near
        for near in range(step - CODE_STEPS_ASIDE, step + CODE_STEPS_ASIDE + 1)
        if compare_digest(codes.generate_otp(near).encode(), given)
    ]
    if not fitting:
        return False
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "update staff_totp set last_step = %s where username = %s and last_step < %s"
            " and epoch = %s and wrapped = %s returning 1",
            (fitting[0], username, fitting[0], row[0], row[1]),
        )
        return await cursor.fetchone() is not None


async def _end_sessions(connection: AsyncConnection[Any], username: str) -> int:
    cursor = await connection.execute("delete from sessions where username = %s", (username,))
    return cursor.rowcount


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _about(username: str) -> str:
    return f"totp {username}"
