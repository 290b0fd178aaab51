"""The vault: what is personal is ciphertext in the log, under a key of that one person.

AES-256-GCM; the person's code is bound in as associated data, so that a ciphertext can't be moved
to somebody else. Each person's key is wrapped by the office's key, and stands apart from the
events.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from shared.kernel.store import PersonKey

NONCE_BYTES = 12
KEY_BYTES = 32


class Unopened(Exception):
    """The key is gone or is another's, or the text was changed."""


class Vault:
    """Seals and opens text about persons."""

    def __init__(self, pool: AsyncConnectionPool, office_key: bytes) -> None:
        if len(office_key) != KEY_BYTES:
            raise ValueError(f"an office key has {KEY_BYTES} bytes")
        self._pool = pool
        self._office = AESGCM(office_key)

    async def seal(self, items: Sequence[tuple[str, str]]) -> tuple[list[str], list[PersonKey]]:
        """Seals (person code, text) pairs; gives the texts, and keys for persons who had none.

        The new keys are to be committed with what was sealed under them, or forgotten with it.
        """
        keys = await self._keys({person for person, _ in items})
        fresh: dict[str, bytes] = {}
        for person, _ in items:
            if person not in keys:
                fresh[person] = keys[person] = os.urandom(KEY_BYTES)
        texts = [
            _encode(_encrypt(AESGCM(keys[person]), text.encode(), person)) for person, text in items
        ]
        return texts, [PersonKey(p, _encrypt(self._office, key, p)) for p, key in fresh.items()]

    async def open(
        self, person: str, sealed: Sequence[str], connection: AsyncConnection[Any]
    ) -> list[str]:
        """The texts about one person. Raises Unopened."""
        keys = self._unwrap(await _wrapped(connection, [person]))
        if person not in keys:
            raise Unopened("no key")
        key = AESGCM(keys[person])
        return [_decrypt(key, urlsafe_b64decode(text), person).decode() for text in sealed]

    async def check(self) -> None:
        """Raises Unopened where this office key does not open the keys that are there."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("select person, wrapped from person_keys limit 1")
            self._unwrap(await cursor.fetchall())

    async def _keys(self, persons: set[str]) -> dict[str, bytes]:
        async with self._pool.connection() as connection:
            return self._unwrap(await _wrapped(connection, list(persons)))

    def _unwrap(self, rows: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
        return {person: _decrypt(self._office, bytes(wrapped), person) for person, wrapped in rows}


async def _wrapped(
    connection: AsyncConnection[Any], persons: Sequence[str]
) -> list[tuple[str, bytes]]:
    cursor = await connection.execute(
        "select person, wrapped from person_keys where person = any(%s)", (list(persons),)
    )
    return await cursor.fetchall()


def _encrypt(key: AESGCM, text: bytes, person: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, text, person.encode())


def _decrypt(key: AESGCM, sealed: bytes, person: str) -> bytes:
    try:
        return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], person.encode())
    except InvalidTag as error:
        raise Unopened("the key or the text is another's") from error


def _encode(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).decode()
