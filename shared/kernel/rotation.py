"""Key epochs: the first keys of an office, a new epoch, and the end of the old one.

A new epoch has a new wrapping key, a new sealing key and a new index key. Every key that still
lives is wrapped anew, batch by batch while people go on working; then the old epoch is destroyed.
Whatever was destroyed before that stays destroyed: an old backup, an old write-ahead log, a parked
frame hold it under keys that are nowhere any more.

Each step can be repeated: a rotation that was killed is finished by the next call of `finish`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import AsyncConnection

from shared.kernel import kept
from shared.kernel.keyring import (
    Keyring,
    draw_index,
    draw_sealing,
    draw_signing,
    key_id,
    sealing_key_id,
)
from shared.kernel.vault import open_text

BATCH_KEYS = 1_000


class Unfinished(Exception):
    """An older epoch still lives: nothing counts as erased before it is gone. Try again."""


async def init(keyring: Keyring) -> bool:
    """Draws this office's first keys, in the epoch that its provider has; False if it has some."""
    async with keyring.pool.connection() as connection, connection.transaction():
        if await _lock(connection) > 0:
            return False
        epochs = keyring.provider.epochs()
        epoch = epochs[-1] if epochs else 1
        keyring.provider.create(epoch)
        id_, private = await _insert_signing(connection, keyring, epoch, "current")
        await _open_epoch(connection, keyring, epoch)
        signing = Ed25519PrivateKey.from_private_bytes(private)
        await kept.begin(connection, keyring.office, lambda payload: (id_, signing.sign(payload)))
    await keyring.refresh()
    return True


async def count(keyring: Keyring) -> None:
    """Signs what nothing was signed of yet, where an office had keys before that was done."""
    async with keyring.pool.connection() as connection:
        (done,) = await _one(connection, "select bool_or(signature <> '') from kept")
    if done:
        return
    await keyring.refresh()
    async with keyring.pool.connection() as connection, connection.transaction():
        await kept.begin(connection, keyring.office, keyring.sign)


async def rotate(keyring: Keyring) -> int:
    """Opens a new epoch, moves every living key to it, destroys the old; gives its number."""
    async with keyring.pool.connection() as connection, connection.transaction():
        old = await _lock(connection)
        new = old + 1
        keyring.provider.create(new)
        await _rewrap(
            connection, keyring, new, "office_keys", "key_id", where="purpose = 'signing'"
        )
        await _open_epoch(connection, keyring, new)
    await finish(keyring)
    return new


async def finish(keyring: Keyring) -> None:
    """Moves what is still under an older epoch, then destroys the older ones. Repeatable."""
    while True:
        await keyring.refresh()
        async with keyring.pool.connection() as connection, connection.transaction():
            (epoch,) = await _one(connection, "select key_epoch from log_head")
            await _rewrap(connection, keyring, epoch, "staff_totp", "username", about="totp ")
            # Between the two another rotation may have begun; its own turns move these then.
            moved = await _move_persons(connection, keyring, epoch) if epoch == keyring.epoch else 1
        if not moved:
            break
    async with keyring.pool.connection() as connection, connection.transaction():
        # The head's lock: nobody commits a key of the old epoch between the look and the end.
        epoch = await _lock(connection)
        (left,) = await _one(
            connection,
            "select (select count(*) from person_keys where wrapped is not null and epoch < %s)"
            " + (select count(*) from staff_totp where epoch < %s)",
            epoch,
            epoch,
        )
        if left:
            raise Unfinished(f"{left} key(s) are still under an older epoch; it goes on")
        await connection.execute(
            "delete from office_keys where epoch < %s and purpose <> 'signing'", (epoch,)
        )
        # A commit that was on its way when a key was destroyed may have put its lines back.
        await connection.execute(
            "delete from identity_index using person_keys where subject = person"
            " and destroyed_at is not null"
        )
        # Nobody can open these any more.
        await connection.execute(
            "delete from attachments using person_keys where subject = person"
            " and destroyed_at is not null"
        )
    await keyring.refresh()
    for older in [one for one in keyring.provider.epochs() if one < epoch]:
        await asyncio.to_thread(keyring.provider.destroy, older)
    if [one for one in keyring.provider.epochs() if one < epoch]:
        raise Unfinished("an older epoch could not be destroyed")


async def prepare_signing(keyring: Keyring) -> str:
    """Draws the next signing key, for partners to trust before it is used; gives its id."""
    async with keyring.pool.connection() as connection, connection.transaction():
        epoch = await _lock(connection)
        cursor = await connection.execute("select key_id from office_keys where state = 'next'")
        if row := await cursor.fetchone():
            return str(row[0])
        id_, _ = await _insert_signing(connection, keyring, epoch, "next")
        return id_


async def switch_signing(keyring: Keyring) -> str | None:
    """Signs with the next key from now on, and destroys the private half of the current one.

    Its public half stays: what it signed is verified for ever.
    """
    await keyring.refresh()
    async with keyring.pool.connection() as connection, connection.transaction():
        await _lock(connection)
        cursor = await connection.execute("select key_id from office_keys where state = 'next'")
        row = await cursor.fetchone()
        if row is None:
            return None
        cursor = await connection.execute(
            "with gone as (delete from office_keys where state = 'current'"
            " and purpose = 'signing' returning key_id, public)"
            " insert into retired_keys (key_id, public) select key_id, public from gone"
            " returning key_id, encode(public, 'hex'), retired_at"
        )
        for id_, public, at in await cursor.fetchall():
            act = ("retired", "", id_, public, "", at)
            await kept.keep(connection, keyring.office, keyring.sign_as(row[0]), "trust_acts", act)
        await connection.execute(
            "update office_keys set state = 'current' where key_id = %s", (row[0],)
        )
    await keyring.refresh()
    return str(row[0])


async def _lock(connection: AsyncConnection[Any]) -> int:
    (epoch,) = await _one(connection, "select key_epoch from log_head for update")
    return int(epoch)


async def _open_epoch(connection: AsyncConnection[Any], keyring: Keyring, epoch: int) -> None:
    public, private = draw_sealing()
    for id_, purpose, public_, secret in (
        (sealing_key_id(epoch), "sealing", public, private),
        (f"index-{epoch}", "index", None, draw_index()),
    ):
        await _insert(connection, keyring, epoch, (id_, purpose, public_, secret, "current"))
    await connection.execute("update log_head set key_epoch = %s", (epoch,))


async def _insert_signing(
    connection: AsyncConnection[Any], keyring: Keyring, epoch: int, state: str
) -> tuple[str, bytes]:
    public, private = draw_signing()
    id_ = key_id(keyring.office, public)
    await _insert(connection, keyring, epoch, (id_, "signing", public, private, state))
    return id_, private


async def _insert(
    connection: AsyncConnection[Any],
    keyring: Keyring,
    epoch: int,
    key: tuple[str, str, bytes | None, bytes, str],
) -> None:
    id_, purpose, public, secret, state = key
    wrapped = await asyncio.to_thread(keyring.provider.wrap, epoch, secret, id_.encode())
    await connection.execute(
        "insert into office_keys (key_id, purpose, epoch, public, wrapped, state)"
        " values (%s, %s, %s, %s, %s, %s)",
        (id_, purpose, epoch, public, wrapped, state),
    )


async def _rewrap(
    connection: AsyncConnection[Any],
    keyring: Keyring,
    epoch: int,
    table: str,
    name: str,
    *,
    where: str = "true",
    about: str = "",
) -> None:
    """Few rows, all at once. Table and column are names of ours; `about` is what was bound in."""
    cursor = await connection.execute(
        f"select {name}, epoch, wrapped from {table} where epoch < {epoch} and {where}".encode()  # noqa: S608
    )
    rows = [(str(id_), old, bytes(wrapped)) for id_, old, wrapped in await cursor.fetchall()]
    for id_, wrapped in await asyncio.to_thread(_wrapped_anew, keyring, epoch, rows, about):
        # Only where it still is under the older epoch: another rotation may have gone further.
        await connection.execute(
            f"update {table} set epoch = %s, wrapped = %s"  # noqa: S608
            f" where {name} = %s and epoch < %s".encode(),
            (epoch, wrapped, id_, epoch),
        )


def _wrapped_anew(
    keyring: Keyring, epoch: int, rows: Sequence[tuple[str, int, bytes]], about: str
) -> list[tuple[str, bytes]]:
    provider = keyring.provider
    anew: list[tuple[str, bytes]] = []
    for id_, old, wrapped in rows:
        bound = (about + id_).encode()
        anew.append((id_, provider.wrap(epoch, provider.unwrap(old, wrapped, bound), bound)))
    return anew


async def _move_persons(connection: AsyncConnection[Any], keyring: Keyring, epoch: int) -> int:
    """One batch of persons' keys, with their lines of the blind index."""
    cursor = await connection.execute(
        "select subject, epoch, wrapped from person_keys where wrapped is not null and epoch < %s"
        " order by subject limit %s for update skip locked",
        (epoch, BATCH_KEYS),
    )
    rows = [(str(s), old, bytes(wrapped)) for s, old, wrapped in await cursor.fetchall()]
    if not rows:
        return 0
    cursor = await connection.execute(
        "select person, kind, sealed from identity_index where person = any(%s)",
        ([subject for subject, _, _ in rows],),
    )
    index = [(str(p), str(k), str(s)) for p, k, s in await cursor.fetchall()]
    keys, lines = await asyncio.to_thread(_anew, keyring, epoch, rows, index)
    await connection.execute(
        "update person_keys set epoch = %s, wrapped = u.wrapped"
        " from unnest(%s::text[], %s::bytea[]) as u(subject, wrapped)"
        " where person_keys.subject = u.subject and person_keys.wrapped is not null",
        (epoch, [s for s, _ in keys], [w for _, w in keys]),
    )
    await connection.execute(
        "update identity_index set epoch = %s, digest = u.digest"
        " from unnest(%s::text[], %s::text[], %s::bytea[]) as u(person, kind, digest)"
        " where identity_index.person = u.person and identity_index.kind = u.kind"
        " and identity_index.epoch < %s",
        (
            epoch,
            [p for p, _, _ in lines],
            [k for _, k, _ in lines],
            [d for _, _, d in lines],
            epoch,
        ),
    )
    return len(rows)


def _anew(
    keyring: Keyring,
    epoch: int,
    rows: Sequence[tuple[str, int, bytes]],
    index: Sequence[tuple[str, str, str]],
) -> tuple[list[tuple[str, bytes]], list[tuple[str, str, bytes]]]:
    provider = keyring.provider
    plain = {
        subject: provider.unwrap(old, wrapped, subject.encode()) for subject, old, wrapped in rows
    }
    keys = [(s, provider.wrap(epoch, key, s.encode())) for s, key in plain.items()]
    lines = [
        (person, kind, keyring.digest(kind, open_text(plain[person], person, sealed).encode())[1])
        for person, kind, sealed in index
    ]
    return keys, lines


async def _one(connection: AsyncConnection[Any], query: str, *parameters: Any) -> tuple[Any, ...]:
    row = await (await connection.execute(query.encode(), parameters)).fetchone()
    if row is None:
        raise RuntimeError("log_head is empty: the database was not migrated by `pulang migrate`")
    return tuple(row)
