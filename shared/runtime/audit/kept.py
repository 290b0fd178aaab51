"""What no event tells of: rows that were kept, keys that are trusted, marks that hold or park.

Each is held against what vouches for it: the chain of the counted tables (`shared.kernel.kept`) and
its signature, by a key whose secret this office can open; the acts by which keys were trusted; the
events by which people decided.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg import AsyncConnection

from shared.custody.fork import HistoryAccepted
from shared.kernel import note
from shared.kernel.kept import COUNTED, chained, payload
from shared.kernel.keyring import Keyring
from shared.runtime.audit.faults import Faults

ACTS = "trust_acts"
RETIRED = (
    "select '', key_id, encode(public, 'hex'), '', retired_at, null, null"
    " from retired_keys order by retired_at"
)
TRUSTED = (
    "select office, key_id, encode(public, 'hex'), trusted_by, trusted_at, revoked_by, revoked_at"
    " from trusted_keys order by office, trusted_at"
)


class KeptCheck:
    """`check` looks at all of it, in the transaction of the audit."""

    def __init__(self, connection: AsyncConnection[Any], keyring: Keyring, faults: Faults) -> None:
        self._connection = connection
        self._office = keyring.office
        self._faults = faults
        self._signers = {
            key_id: Ed25519PublicKey.from_public_bytes(public)
            for key_id, public in keyring.own_public().items()
        }

    async def check(self, accepted: Container[str]) -> None:
        """`accepted` are the forks of which an event says that somebody decided."""
        await self._own_keys()
        heads = await self._heads()
        # First whom to believe: the acts are signed by a key that can be opened, and no other.
        if await self._table(ACTS, heads.get(ACTS)):
            await self._trust()
        for table in COUNTED:
            if table != ACTS:
                await self._table(table, heads.get(table))
        await self._decided(accepted)

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return await (await self._connection.execute(query.encode())).fetchall()

    async def _own_keys(self) -> None:
        for key_id, public in await self._rows(
            "select key_id, public from office_keys where purpose = 'signing' order by key_id"
        ):
            known = self._signers.get(key_id)
            if known is None or known.public_bytes_raw() != bytes(public):
                words = "the public half is not that of a secret which this office can open"
                expected = known.public_bytes_raw() if known else "no key"
                self._faults.add("office_keys", f"key {key_id}", words, expected, bytes(public))

    async def _heads(self) -> dict[str, tuple[int, bytes, str, bytes]]:
        return {
            name: (number, bytes(chain), key_id, bytes(signature))
            for name, number, chain, key_id, signature in await self._rows(
                "select name, number, chain, key_id, signature from kept"
            )
        }

    async def _table(self, table: str, head: tuple[int, bytes, str, bytes] | None) -> bool:
        """Whether what was kept in this table is what is signed, no row more, less or other."""
        before = self._faults.number
        expected, chain = 1, b""
        columns = COUNTED[table]
        async with self._connection.cursor(f"audit_of_kept_{table}") as cursor:
            await cursor.execute(
                f"select number, chain, {', '.join(columns)} from {table}"  # noqa: S608
                " order by number nulls last".encode()
            )
            async for number, kept, *values in cursor:
                named = dict(zip(columns, values, strict=True))
                place = f"row {number}" + "".join(
                    f", {name} {named[name]}" for name in ("office", "size") if name in named
                )
                if number is None or number < expected:
                    words = "this row was put in beside those that were kept"
                    self._faults.add(table, place, words, "no row", "a row")
                    continue
                if number > expected:
                    words = "what was kept was taken away"
                    gone = f"row {expected} to {number - 1}"
                    self._faults.add(table, gone, words, number - expected, "no row")
                elif chained(chain, table, number, values) != bytes(kept or b""):
                    words = "this row, or a time in it, is not as it was kept"
                    self._faults.add(table, place, words, chained(chain, table, number, values),
                                     kept)  # fmt: skip
                expected, chain = number + 1, bytes(kept or b"")
        if head is None or not self._is_signed(table, *head):
            words = "how many rows were kept here is not signed by a key of this office"
            self._faults.add("kept", table, words, "a valid signature", "none")
        elif head[0] >= expected:
            words = "the newest that was kept was taken away"
            self._faults.add(table, f"row {expected} to {head[0]}", words,
                             head[0] - expected + 1, "no row")  # fmt: skip
        elif head[:2] != (expected - 1, chain):
            words = "the newest rows are not those that were kept and signed"
            self._faults.add(table, f"row {expected - 1}", words, head[1], chain)
        return self._faults.number == before

    def _is_signed(
        self, table: str, number: int, chain: bytes, key_id: str, signature: bytes
    ) -> bool:
        key = self._signers.get(key_id)
        signed = payload(self._office, table, number, chain)
        return key is not None and note.made(key, signature, signed)

    async def _trust(self) -> None:
        """The keys that are trusted, or were this office's own, against the acts that made them so.

        Those of before sign what was kept while they were in use.
        """
        due: dict[tuple[str, str], tuple[Any, ...]] = {}
        for act, office, key_id, public, by, at in await self._rows(
            f"select {', '.join(COUNTED[ACTS])} from {ACTS} order by number"  # noqa: S608
        ):
            of = (office, key_id)
            if act == "revoked" and of in due:
                due[of] = (*due[of][:-2], by, at)
            else:
                due[of] = (office, key_id, public, by, at, None, None)
            if act == "retired":
                self._signers[key_id] = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        for table, query in (("retired_keys", RETIRED), ("trusted_keys", TRUSTED)):
            there = {(row[0], row[1]): row for row in await self._rows(query)}
            owed = {
                of: row for of, row in due.items() if (of[0] == "") == (table == "retired_keys")
            }
            for office, key_id in sorted(there.keys() | owed.keys()):
                expected, found = owed.get((office, key_id)), there.get((office, key_id))
                if expected != found:
                    words = "this key is not what this office's commands have left"
                    place = f"key {key_id}" + (f", office {office}" if office else "")
                    self._faults.add(table, place, words, _said(expected), _said(found))

    async def _decided(self, accepted: Container[str]) -> None:
        """Forks that nobody has decided; and what is marked as decided, by the events of that."""
        for id_, partner, detail, found_at, settled in await self._rows(
            "select id, office, detail, found_at, settled_at is not null from forks order by id"
        ):
            place = f"fork {id_}, partner {partner}"
            if not settled:
                words = f"the history of office {partner} is forked, and nobody has decided yet"
                self._faults.add("forks", place, words, "one history",
                                 f"{detail}, found {found_at:%Y-%m-%d %H:%M} UTC")  # fmt: skip
            elif str(id_) not in accepted:
                words = "it is marked as accepted, and no event says who accepted it and why"
                self._faults.add("forks", place, words, HistoryAccepted.type, "no event")
        for (partner,) in await self._rows("select receiver from link_out where forked order by 1"):
            words = f"office {partner} holds this office's history for forked: call it"
            self._faults.add("link_out", f"to {partner}", words, "one history", "two")


def _said(row: tuple[Any, ...] | None) -> str:
    if row is None:
        return "no key"
    _, _, public, by, at, revoked_by, revoked_at = row
    said = f"{public[:16]}… trusted {at:%Y-%m-%d %H:%M:%S} UTC by {by or 'this office'}"
    return said + (f", revoked {revoked_at:%Y-%m-%d %H:%M:%S} UTC by {revoked_by}"
                   if revoked_at else "")  # fmt: skip
