"""This office's own checkpoints: made after each batch, kept for good, and proven from.

Before one is signed, the log must be proven to extend what the last one said: an office signs no
two histories. Where the log has become shorter or other, no checkpoint is made and the sentence
says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, errors

from shared.kernel import merkle, note, tiles
from shared.kernel.kept import keep
from shared.kernel.keyring import Keyring
from shared.kernel.note import Checkpoint
from shared.kernel.store import read_head
from shared.kernel.witness import Claim

LOCK = 53710005


class HistoryBroken(Exception):
    """The log does not extend what this office has signed before: restored, cut, or rewritten."""


class Checkpoints:
    """`step` makes the next one, where there is something new."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._pool = keyring.pool

    @asynccontextmanager
    async def _one_moment(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("set transaction isolation level repeatable read")
            yield connection

    async def step(self, now: datetime) -> int:
        """Writes missing tiles, or signs where the log ends now; gives 1 where it did anything.

        Raises HistoryBroken.
        """
        try:
            return await self._step(now)
        except errors.SerializationFailure:
            return 0  # Somebody else has just made it.

    async def _step(self, now: datetime) -> int:
        async with self._one_moment() as connection:
            cursor = await connection.execute("select pg_try_advisory_xact_lock(%s)", (LOCK,))
            if await cursor.fetchone() != (True,):
                return 0  # Somebody else makes it just now.
            head = await read_head(connection)
            last = await latest(connection)
            if head.size == (last.size if last else 0) and (
                last is None or merkle.root(head.frontier) == last.head
            ):
                return 0
            if not await tiles.extend(connection, head.size):
                await self._sign(connection, head.size, merkle.root(head.frontier), last, now)
        return 1

    async def _sign(
        self,
        connection: AsyncConnection[Any],
        size: int,
        head: bytes,
        last: Checkpoint | None,
        now: datetime,
    ) -> None:
        if last is not None:
            if size <= last.size:
                raise HistoryBroken(
                    f"the log ends at {size}; this office signed a checkpoint at {last.size}"
                )
            proof = await tiles.hashes(connection, merkle.consistency_spans(last.size, size))
            if not merkle.consistent(last.size, size, last.head, head, proof):
                raise HistoryBroken(
                    f"the log of {size} events does not extend the checkpoint signed at {last.size}"
                )
        made = note.signed(self._keyring.office, size, head, self._keyring.sign)
        ring = self._keyring
        await keep(connection, ring.office, ring.sign, "checkpoints", (size, made.note, now))


async def latest(connection: AsyncConnection[Any]) -> Checkpoint | None:
    """The newest checkpoint of this office's own log."""
    cursor = await connection.execute("select note from checkpoints order by size desc limit 1")
    row = await cursor.fetchone()
    return note.parse(row[0]) if row else None


async def claim(connection: AsyncConnection[Any], old: int) -> Claim | None:
    """Where this office's log stands, for who has kept its checkpoint of `old` events."""
    newest = await latest(connection)
    if newest is None or newest.size < old:
        return None
    spans = merkle.consistency_spans(old, newest.size)
    return Claim(old, tuple(await tiles.hashes(connection, spans)), newest)
