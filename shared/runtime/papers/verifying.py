"""Whether a paper that somebody holds is what this office's log recorded, for the public page.

Whoever asks has the paper: she is told yes or no to what stands on it, and nothing that does not.
One wrong letter gets the same answer as a paper that never was.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import AsyncConnection

from shared.kernel import note
from shared.kernel.event import EventTypes, StoredEvent
from shared.kernel.projector import recorded
from shared.runtime.papers.record import Kind

State = Literal["recorded", "superseded", "void", "unknown"]
WORDS: dict[State, str] = {
    "recorded": "Naskah ini tercatat pada kantor ini, dan tidak ada yang lebih baru.",
    "superseded": "Naskah ini pernah tercatat, tetapi sudah ada yang lebih baru; mintalah itu.",
    "void": "Naskah ini pernah tercatat, tetapi sudah ditarik dan tidak berlaku lagi.",
    "unknown": "Kantor ini tidak mengenal naskah dengan keterangan ini.",
}
SNAPSHOT = "Naskah ini tercatat: keadaan pada saat itu. Yang sesudahnya tidak ada di dalamnya."


@dataclass(frozen=True)
class Shown:
    """What a paper's code holds."""

    paper: str
    number: str
    event: str
    position: int
    size: int
    head: str


@dataclass(frozen=True)
class Verdict:
    state: State
    words: str


def shown(asked: Mapping[str, str]) -> Shown | None:
    """What an address carries, or None where it is no code of a paper."""
    texts = [asked.get(name, "") for name in ("k", "n", "e", "p", "c", "h")]
    if not all(0 < len(one) <= 128 for one in texts):
        return None
    kind, number, event, position, size, head = texts
    if not all(one.isascii() and one.isdigit() and len(one) <= 15 for one in (position, size)):
        return None
    return Shown(kind, number, event, int(position), int(size), head)


async def verify(
    connection: AsyncConnection[Any], types: EventTypes, kinds: Sequence[Kind], held: Shown
) -> Verdict:
    """What the log says to it. The stream is read only for who names its event's id."""
    kind = next((one for one in kinds if one.name == held.paper), None)
    if kind is None or not await _covered(connection, held):
        return _said("unknown")
    cursor = await connection.execute(
        "select stream, body from events where position = %s", (held.position,)
    )
    row = await cursor.fetchone()
    if row is None or json.loads(row[1])["id"] != held.event:
        return _said("unknown")
    cursor = await connection.execute(
        "select position, stream, version, type, body from events where stream = %s"
        " order by version",
        (row[0],),
    )
    entries = [recorded(StoredEvent(*found), types) for found in await cursor.fetchall()]
    known = [one.event for one in entries if one.position <= held.position]
    if not isinstance(known[-1], kind.anchors) or kind.number(known) != held.number:
        return _said("unknown")
    newest = [one.event for one in entries if isinstance(one.event, kind.anchors)][-1]
    if isinstance(newest, kind.voids):
        return _said("void")
    if not kind.one_stream:
        return Verdict("recorded", SNAPSHOT)
    return _said("recorded" if newest is known[-1] else "superseded")


async def _covered(connection: AsyncConnection[Any], held: Shown) -> bool:
    """The paper's checkpoint is one that this office signed, and covers its event."""
    cursor = await connection.execute("select note from checkpoints where size = %s", (held.size,))
    row = await cursor.fetchone()
    if row is None or held.size < held.position:
        return False
    head = urlsafe_b64encode(note.parse(row[0]).head).decode().rstrip("=")
    return head == held.head


def _said(state: State) -> Verdict:
    return Verdict(state, WORDS[state])
