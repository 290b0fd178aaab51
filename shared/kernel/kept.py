"""Tables of which no row goes unseen: numbered, chained, and counted under a signature.

Who owns the database can delete a row, or change the time in it, and the log does not tell. So each
row of these tables has the next number and the hash of itself upon the row before, and beside the
table the newest number and hash stand signed. Who takes a row out, puts one in or changes one can
make the chain anew, and not the signature. What an audit finds of it: `shared.runtime.audit.kept`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from psycopg import AsyncConnection

from shared.kernel.note import name_of

Sign = Callable[[bytes], tuple[str, bytes]]
"""Payload → key id and signature."""

COUNTED = {
    "checkpoints": ("size", "note", "made_at"),
    "cosignatures": ("office", "size", "note", "received_at"),
    "witnessed": ("office", "size", "note", "witnessed_at"),
    "forks": ("office", "detail", "kept", "came", "came_size", "found_at"),
    "trust_acts": ("act", "office", "key_id", "public", "by", "at"),
}
"""Each table and the columns that never change, in the order in which they are hashed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def chained(chain: bytes, table: str, number: int, values: Sequence[object]) -> bytes:
    """The hash of a row upon that of the row before it."""
    return sha256(chain + json.dumps([table, number, *map(_plain, values)]).encode()).digest()


def _plain(value: object) -> object:
    return (value - _EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value


def payload(office: str, table: str, number: int, chain: bytes) -> bytes:
    """What is signed: so many rows were ever kept in this table, and this is the last one's hash.
    Its first line is that of nothing else that is signed."""
    lines = ("pulang-kept/v1", name_of(office), table, str(number), b64encode(chain).decode())
    return ("\n".join(lines) + "\n").encode()


async def keep(
    connection: AsyncConnection[Any],
    office: str,
    sign: Sign,
    table: str,
    values: Sequence[object],
) -> bool:
    """Adds a row, unless its own key is taken; whether it did. Within the caller's transaction.

    What is next follows from what was signed, not from what is there: what was taken away is missed
    for ever.
    """
    cursor = await connection.execute(
        "select number, chain from kept where name = %s for update", (table,)
    )
    number, chain = await cursor.fetchone() or (0, b"")
    number += 1
    chain = chained(bytes(chain), table, number, values)
    columns = (*COUNTED[table], "number", "chain")
    marks = ", ".join(["%s"] * len(columns))
    cursor = await connection.execute(
        f"insert into {table} ({', '.join(columns)}) values ({marks})"  # noqa: S608
        " on conflict do nothing returning 1".encode(),
        (*values, number, chain),
    )
    if await cursor.fetchone() is None:
        return False
    await _sign(connection, office, sign, table, number, chain)
    return True


async def begin(connection: AsyncConnection[Any], office: str, sign: Sign) -> None:
    """Signs what nothing was ever signed of: at an office's first keys, and after its tables were
    brought to the version that counts. Within a transaction of the caller's.
    """
    cursor = await connection.execute(
        "select name, number, chain, signature from kept order by name for update"
    )
    found = await cursor.fetchall()
    if not any(signature for *_, signature in found):
        for table, number, chain, _ in found:
            await _sign(connection, office, sign, table, number, bytes(chain))


async def _sign(
    connection: AsyncConnection[Any],
    office: str,
    sign: Sign,
    table: str,
    number: int,
    chain: bytes,
) -> None:
    key_id, signature = sign(payload(office, table, number, chain))
    await connection.execute(
        "update kept set number = %s, chain = %s, key_id = %s, signature = %s where name = %s",
        (number, chain, key_id, signature, table),
    )
