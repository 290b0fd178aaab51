"""The vault: what is personal is ciphertext in the log, under a key of that one person.

AES-256-GCM; the person's code is bound in as associated data, so that a ciphertext can't be moved
to somebody else. Each person's key is wrapped by the office's key of an epoch, and stands apart
from the events. A text about a paper rather than a person has a key of that paper's stream.

A destroyed key leaves its row behind, so that nobody draws another for her: what was erased does
not begin again.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection

from shared.kernel.keyring import Keyring
from shared.kernel.keys import Unopened
from shared.kernel.store import PersonKey, SealedFile

SCHEME = "s1."
NONCE_BYTES = 12
KEY_BYTES = 32

Text = tuple[str, str]
"""Whose it is, person or stream, and the text."""


class Erased(Exception):
    """Her key was destroyed: nothing more is written about her."""


class Vault:
    """Seals and opens texts."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    async def seal(
        self, items: Sequence[Text], *, but_erased: bool = False
    ) -> tuple[list[str | None], list[PersonKey]]:
        """Seals texts; gives them in order, and keys for subjects who had none.

        The new keys are to be committed with what was sealed under them, or forgotten with it.
        Raises Erased where a key was destroyed; with `but_erased` such texts are left out (None).
        """
        if not items:
            return [], []
        await self.keyring.refresh()
        keys, gone = await self._keys(sorted({subject for subject, _ in items}))
        if gone and not but_erased:
            raise Erased(", ".join(sorted(gone)))
        fresh: dict[str, bytes] = {}
        texts: list[str | None] = []
        for subject, text in items:
            if subject in gone:
                texts.append(None)
                continue
            if subject not in keys:
                fresh[subject] = keys[subject] = os.urandom(KEY_BYTES)
            texts.append(_seal_text(keys[subject], subject, text))
        return texts, await asyncio.to_thread(self._wrapped, fresh)

    async def open(self, items: Sequence[Text]) -> list[str | None]:
        """The texts in order; None where the key was destroyed. Raises Unopened."""
        keys, gone = await self._keys(sorted({subject for subject, _ in items}))
        return [
            None if subject in gone else self._open(keys, subject, sealed)
            for subject, sealed in items
        ]

    def _open(self, keys: dict[str, bytes], subject: str, sealed: str) -> str | None:
        try:
            return open_text(keys[subject], subject, sealed)
        except (KeyError, Unopened) as error:
            if not is_person(subject):
                # A paper's key ended with the erasure of somebody on it, and may have begun anew.
                return None
            raise Unopened("the key or the text is another's, or the key is missing") from error

    async def seal_file(self, person: str, content: bytes) -> SealedFile:
        """The same content of the same person is the same sealed bytes, with the same digest.

        Its nonce is made of it, by a hash under her key: so that a file sent again is known without
        being opened, and by nobody who lacks the key. Raises Erased, and KeyError where she has no
        key here.
        """
        keys, gone = await self._keys([person])
        if gone:
            raise Erased(person)
        key = keys[person]
        nonce = hmac.digest(key, b"file\n" + content, "sha256")[:NONCE_BYTES]
        sealed = nonce + AESGCM(key).encrypt(nonce, content, _file_of(person))
        return SealedFile(person, sha256(sealed).hexdigest(), sealed)

    async def open_file(self, person: str, sealed: bytes) -> bytes | None:
        """The content; None where the key was destroyed. Raises Unopened."""
        keys, gone = await self._keys([person])
        if gone:
            return None
        try:
            nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return AESGCM(keys[person]).decrypt(nonce, rest, _file_of(person))
        except (KeyError, InvalidTag, ValueError) as error:
            raise Unopened("the key or the file is another's, or the key is missing") from error

    async def gone(self, subjects: Sequence[str]) -> set[str]:
        """Those whose key was destroyed."""
        return (await self._keys(subjects))[1]

    async def known(self, connection: AsyncConnection[Any], person: str) -> bool:
        """Whether this office has, or had, a key of this person."""
        cursor = await connection.execute("select 1 from person_keys where subject = %s", (person,))
        return await cursor.fetchone() is not None

    async def destroy(self, connection: AsyncConnection[Any], subjects: Sequence[str]) -> None:
        """Takes these keys out of this database, with their lines of the blind index.

        Old backups and logs still hold them under the epoch's key, until that is destroyed too.
        """
        await connection.execute(
            "delete from person_keys where subject = any(%s)",
            ([subject for subject in subjects if not is_person(subject)],),
        )
        subjects = [subject for subject in subjects if is_person(subject)]
        await connection.execute(
            "insert into person_keys (subject, epoch, destroyed_at) select unnest(%s::text[]), 0,"
            " now() on conflict (subject) do update set wrapped = null, destroyed_at = now()"
            " where person_keys.destroyed_at is null",
            (list(subjects),),
        )
        await connection.execute(
            "delete from identity_index where person = any(%s)", (list(subjects),)
        )

    async def _keys(self, subjects: Sequence[str]) -> tuple[dict[str, bytes], set[str]]:
        try:
            return await self._read_keys(subjects)
        except Unopened:
            # Their epoch may have ended between the reading and the opening: once more.
            return await self._read_keys(subjects)

    async def _read_keys(self, subjects: Sequence[str]) -> tuple[dict[str, bytes], set[str]]:
        async with self.keyring.pool.connection() as connection:
            cursor = await connection.execute(
                "select subject, epoch, wrapped from person_keys where subject = any(%s)",
                (list(subjects),),
            )
            rows = await cursor.fetchall()
        gone = {str(subject) for subject, _, wrapped in rows if wrapped is None}
        living = [(str(s), epoch, bytes(w)) for s, epoch, w in rows if w is not None]
        return await asyncio.to_thread(self._unwrapped, living), gone

    def _unwrapped(self, rows: Sequence[tuple[str, int, bytes]]) -> dict[str, bytes]:
        provider = self.keyring.provider
        return {s: provider.unwrap(epoch, wrapped, s.encode()) for s, epoch, wrapped in rows}

    def _wrapped(self, fresh: dict[str, bytes]) -> list[PersonKey]:
        epoch, provider = self.keyring.epoch, self.keyring.provider
        return [
            PersonKey(subject, epoch, provider.wrap(epoch, key, subject.encode()))
            for subject, key in fresh.items()
        ]


def is_person(subject: str) -> bool:
    """Whether a key's subject is a person, and not a paper's stream."""
    return subject.startswith("PM-")


def _file_of(person: str) -> bytes:
    """What a file is bound to: it is no text, and nobody else's."""
    return f"file\n{person}".encode()


def is_sealed(text: str) -> bool:
    return text.startswith(SCHEME)


def _seal_text(key: bytes, subject: str, text: str) -> str:
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), subject.encode())
    return SCHEME + urlsafe_b64encode(nonce + sealed).decode()


def open_text(key: bytes, subject: str, sealed: str) -> str:
    """One text with its subject's key. Raises Unopened."""
    if not is_sealed(sealed):
        raise Unopened("this is no sealed text")
    try:
        raw = urlsafe_b64decode(sealed.removeprefix(SCHEME))
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], subject.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise Unopened("the key or the text is another's") from error
