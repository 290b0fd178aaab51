"""Staff accounts: roles, a password (argon2id), and an API token.

A token has 256 random bits, so that a plain SHA-256 of it is enough to look it up; a password has
not, and gets argon2id.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from psycopg_pool import AsyncConnectionPool

Role = Literal[
    "intake", "issuer", "approver", "treasurer", "reception", "case_worker", "auditor",
    "operator", "admin",
]  # fmt: skip
ROLES: frozenset[str] = frozenset(get_args(Role))
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash(secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Staff:
    """Who is asking, and what she may do here."""

    username: str
    roles: frozenset[str]


async def add_staff(
    pool: AsyncConnectionPool, username: str, roles: frozenset[str], password: str
) -> str:
    """Makes the account, or gives it these roles and this password; returns its new token.

    Raises ValueError for an unknown role, an empty set of roles, or a password under 12 characters.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", username):
        raise ValueError("a username has small letters, digits, dot, dash and underscore, up to 64")
    if not roles or not roles <= ROLES:
        raise ValueError(f"roles are {', '.join(sorted(ROLES))}")
    if {"issuer", "approver"} <= roles:
        raise ValueError("who issues does not approve: one account cannot have both roles")
    if len(password) < 12:
        raise ValueError("a password has at least 12 characters")
    token = "pulang_" + secrets.token_urlsafe(32)
    hashed = await asyncio.to_thread(_HASHER.hash, password)
    async with pool.connection() as connection:
        await connection.execute(
            "insert into staff (username, roles, password_hash, token_digest)"
            " values (%s, %s, %s, %s) on conflict (username) do update set"
            " roles = excluded.roles, password_hash = excluded.password_hash,"
            " token_digest = excluded.token_digest, active = true",
            (username, sorted(roles), hashed, sha256(token.encode()).digest()),
        )
    return token


async def by_token(pool: AsyncConnectionPool, token: str) -> Staff | None:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select username, roles from staff where token_digest = %s and active",
            (sha256(token.encode()).digest(),),
        )
        row = await cursor.fetchone()
    return Staff(row[0], frozenset(row[1])) if row else None


async def by_password(pool: AsyncConnectionPool, username: str, password: str) -> Staff | None:
    """Takes as long for an unknown username as for a wrong password."""
    username = username.replace("\0", "�")  # PostgreSQL's text cannot hold the former.
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select username, roles, password_hash from staff where username = %s and active",
            (username,),
        )
        row = await cursor.fetchone()
    try:
        await asyncio.to_thread(_HASHER.verify, row[2] if row else _NOBODY, password)
    except VerificationError:
        return None
    return Staff(row[0], frozenset(row[1])) if row else None
