"""Offices that share a link are each other's witnesses: none can rewrite what it has told.

An office says how its log stands in a *claim*, the request of C2SP tlog-witness: its checkpoint,
and the proof that it extends one that its partner has kept. The partner verifies, keeps and
cosigns it. Where it can't be right, the partner's history is *forked*: what it says is recorded and
no longer applied, until people have decided.

A claim that starts from another checkpoint than the one kept last proves nothing either way: then
the partner is told which one was kept, and asked to claim anew.
"""

from __future__ import annotations

import logging
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection

from shared.kernel import merkle, note
from shared.kernel.kept import keep
from shared.kernel.keyring import Keyring
from shared.kernel.note import Checkpoint, NotANote

log = logging.getLogger(__name__)

PROOF_HASHES = 64
LOCK = 53710006
ASKED_IN_VAIN = 3
"""So many claims below what was kept, one after the other, are no messages that crossed."""
_HASH = re.compile(r"[A-Za-z0-9+/]{43}=")

Verdict = Literal["kept", "known", "ask", "forked"]


@dataclass(frozen=True, slots=True)
class Claim:
    """This checkpoint extends the one of `old` events, and here is the proof."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint

    def encode(self) -> str:
        lines = "".join(b64encode(one).decode() + "\n" for one in self.proof)
        return f"old {self.old}\n{lines}\n{self.checkpoint.note}"


def parse_claim(text: str) -> Claim:
    """Raises NotANote."""
    head, found, rest = text.partition("\n\n")
    first, *lines = head.split("\n")
    old = re.fullmatch(r"old (0|[1-9][0-9]{0,17})", first)
    if not found or old is None or len(lines) > PROOF_HASHES:
        raise NotANote("this is no claim of a checkpoint")
    if not all(_HASH.fullmatch(line) for line in lines):
        raise NotANote("a hash of the claim's proof does not parse")
    proof = tuple(b64decode(line, validate=True) for line in lines)
    return Claim(int(old[1]), proof, note.parse(rest))


class Witness:
    """Keeps one partner's history in sight."""

    def __init__(self, keyring: Keyring, partner: str) -> None:
        self._keyring = keyring
        self.partner = partner
        self._in_vain = 0

    async def hear(self, claim: Claim, now: datetime) -> Verdict:
        """Verifies a claim of the partner, and keeps its checkpoint cosigned, or notes a fork.

        Raises NotANote where it is not the partner's at all.
        """
        came = claim.checkpoint
        if came.office != self.partner or not self._keyring.made_note(came):
            raise NotANote("the checkpoint is not signed by a key that is trusted for its office")
        async with self._keyring.pool.connection() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
            kept, forked = await kept_of(connection, self.partner)
            if forked:
                return "forked"
            verdict, why = await self._judge(connection, claim, kept)
            if verdict == "kept":
                await witness_kept(connection, self._keyring, self._keyring.cosign(came, now), now)
            elif verdict == "forked":
                await self._note_fork(connection, why, kept, came, now)
        return verdict

    async def kept(self) -> tuple[Checkpoint | None, bool]:
        """What was kept last of the partner's history, and whether it is forked."""
        async with self._keyring.pool.connection() as connection:
            return await kept_of(connection, self.partner)

    async def fork(self, why: str, now: datetime) -> None:
        """Notes that the partner's history is forked, by what its messages show."""
        async with self._keyring.pool.connection() as connection, connection.transaction():
            kept, forked = await kept_of(connection, self.partner)
            if not forked:
                await self._note_fork(connection, why, kept, None, now)

    async def _note_fork(
        self,
        connection: AsyncConnection[Any],
        detail: str,
        kept: Checkpoint | None,
        came: Checkpoint | None,
        now: datetime,
    ) -> None:
        log.error("witness: the history of office %s is forked: %s", self.partner, detail)
        notes = (kept.note if kept else "", came.note if came else "", came.size if came else 0)
        ring = self._keyring
        row = (self.partner, detail, *notes, now)
        await keep(connection, ring.office, ring.sign, "forks", row)

    async def _judge(
        self, connection: AsyncConnection[Any], claim: Claim, kept: Checkpoint | None
    ) -> tuple[Verdict, str]:
        came = claim.checkpoint
        if kept is None:
            return ("kept" if claim.old == 0 and not claim.proof else "ask"), ""
        if came.size == kept.size:
            why = f"two histories of {came.size} events"
            return ("known", "") if came.head == kept.head else ("forked", why)
        if claim.old == kept.size:
            if merkle.consistent(kept.size, came.size, kept.head, came.head, claim.proof):
                self._in_vain = 0
                return "kept", ""
            return "forked", f"its {came.size} events do not begin with the {kept.size} kept here"
        if came.size > kept.size or await _was_kept(connection, came):
            return "ask" if came.size > kept.size else "known", ""
        self._in_vain += 1
        why = f"it ends at {came.size} events and has shown {kept.size} before"
        return ("forked", why) if self._in_vain >= ASKED_IN_VAIN else ("ask", "")


async def kept_of(connection: AsyncConnection[Any], partner: str) -> tuple[Checkpoint | None, bool]:
    """What this office has verified and cosigned last of a partner's history, and whether that is
    forked and nobody has decided yet.
    """
    cursor = await connection.execute(
        "select (select note from witnessed where office = %(partner)s order by id desc limit 1),"
        " exists (select from forks where office = %(partner)s and settled_at is null)",
        {"partner": partner},
    )
    kept, forked = await cursor.fetchone() or (None, False)
    return note.parse(kept) if kept else None, bool(forked)


async def _was_kept(connection: AsyncConnection[Any], came: Checkpoint) -> bool:
    cursor = await connection.execute(
        "select exists (select from witnessed where office = %s and size = %s"
        " and starts_with(note, %s))",
        (came.office, came.size, came.body),
    )
    return await cursor.fetchone() == (True,)


async def witness_kept(
    connection: AsyncConnection[Any], keyring: Keyring, one: Checkpoint, now: datetime
) -> None:
    """What is to be extended from now on. Within a transaction of the caller's."""
    row = (one.office, one.size, one.note, now)
    await keep(connection, keyring.office, keyring.sign, "witnessed", row)


async def note_cosigned(
    connection: AsyncConnection[Any],
    keyring: Keyring,
    partner: str,
    cosigned: Checkpoint,
    now: datetime,
) -> None:
    """This office's own checkpoint as a partner has kept and cosigned it.

    One that this office never made, or made otherwise, is kept too: it tells what was lost.
    """
    row = (partner, cosigned.size, cosigned.note, now)
    async with connection.transaction():
        await keep(connection, keyring.office, keyring.sign, "cosignatures", row)


async def cosigned_through(connection: AsyncConnection[Any], partner: str) -> int:
    """How many events of this office's log that partner has witnessed, as it once said."""
    cursor = await connection.execute(
        "select coalesce(max(size), 0) from cosignatures where office = %s", (partner,)
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def note_said(
    connection: AsyncConnection[Any], partner: str, size: int, forked: bool
) -> None:
    """What a partner says of this office's history: how much it kept, whether it believes it."""
    await connection.execute(
        "insert into link_out (receiver, witnessed, forked) values (%s, %s, %s)"
        " on conflict (receiver) do update set witnessed = excluded.witnessed,"
        " forked = excluded.forked where (link_out.witnessed, link_out.forked)"
        " is distinct from (excluded.witnessed, excluded.forked)",
        (partner, size, forked),
    )
