"""What a paper stands on: the events of a stream up to the newest that changes it, and where in the
log that one is.

So a paper says what was recorded by one event and nothing that came later: printed again, by
whomever, it is the same. A later event that changes it makes another paper, and `verifying` tells
the older one from it. The code that is printed holds the place: number, event, and the first
checkpoint that covers it with its tree's head, so that a paper in a drawer is a witness too.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any
from urllib.parse import urlencode

from psycopg import AsyncConnection

from shared.kernel import note
from shared.kernel.decider import Decider, Event
from shared.kernel.event import EventTypes, StoredEvent
from shared.kernel.projector import Recorded, recorded
from shared.runtime.settings import Settings

VERIFY = "/periksa"
"""The page to which a paper's code leads, below `PULANG_PUBLIC_URL`."""


class NotCovered(Exception):
    """No checkpoint covers the event yet: the worker makes one after each batch."""


@dataclass(frozen=True)
class Kind:
    """One kind of paper: the events that make a new one of it, and where its number stands.

    `voids` are those of `anchors` after which it no longer counts.
    """

    name: str
    anchors: tuple[type[Event], ...]
    number: Callable[[Sequence[Event]], str | None]
    voids: tuple[type[Event], ...] = ()
    one_stream: bool = True
    """Whether all that can change it stands in the stream of its anchor."""


@dataclass(frozen=True)
class Record:
    """Where a paper is anchored in its office's log, and what its code says."""

    office: str
    paper: str
    event: str
    position: int
    recorded_at: datetime
    size: int
    head: str
    code: str

    @property
    def anchor(self) -> str:
        return (
            f"Peristiwa {self.position} dalam log kantor {self.office} ({self.event}),"
            f" tercakup titik periksa {self.size}."
        )


@dataclass(frozen=True)
class Source:
    """Where papers are read from. With `size` nothing beyond that position is seen."""

    connection: AsyncConnection[Any]
    types: EventTypes
    settings: Settings
    size: int | None = None

    async def stream(
        self, decider: Decider[Any], key: str, through: int | None = None
    ) -> list[Recorded]:
        """The events of one stream, up to a position if one is named."""
        ends = [one for one in (through, self.size) if one is not None]
        cursor = await self.connection.execute(
            "select position, stream, version, type, body from events where stream = %s"
            " and (%s::bigint is null or position <= %s) order by version",
            (f"{decider.category}-{key}", min(ends, default=None), min(ends, default=None)),
        )
        return [recorded(StoredEvent(*row), self.types) for row in await cursor.fetchall()]

    async def event(self, position: int) -> Recorded:
        cursor = await self.connection.execute(
            "select position, stream, version, type, body from events where position = %s",
            (position,),
        )
        if (row := await cursor.fetchone()) is None:
            raise LookupError(f"the log has no event at {position}")
        return recorded(StoredEvent(*row), self.types)

    async def state(self, decider: Decider[Any], key: str, through: int) -> Any:
        """An aggregate's state as it was at that position of the log."""
        return fold(decider, await self.stream(decider, key, through))

    async def record(self, kind: Kind, last: Recorded, number: str) -> Record:
        """The anchor of a paper whose newest event is `last`. Raises NotCovered."""
        cursor = await self.connection.execute(
            "select note from checkpoints where size >= %s order by size limit 1",
            (last.position,),
        )
        if (row := await cursor.fetchone()) is None:
            raise NotCovered(last.position)
        covering = note.parse(row[0])
        head = urlsafe_b64encode(covering.head).decode().rstrip("=")
        asked = {
            "k": kind.name,
            "n": number,
            "e": last.id,
            "p": str(last.position),
            "c": str(covering.size),
            "h": head,
        }
        return Record(
            office=self.settings.office,
            paper=kind.name,
            event=last.id,
            position=last.position,
            recorded_at=datetime.fromisoformat(last.recorded_at),
            size=covering.size,
            head=head,
            code=_code(self.settings, asked),
        )


def _code(settings: Settings, asked: dict[str, str]) -> str:
    """An address that others can open; without one the same as text, to be asked at the office."""
    if settings.public_url is not None:
        return f"{settings.public_url.rstrip('/')}{VERIFY}?{urlencode(asked)}"
    return "\n".join([f"pulang/{settings.office}", *(f"{k}={v}" for k, v in asked.items())])


def fold(decider: Decider[Any], entries: Sequence[Recorded]) -> Any:
    return reduce(decider.evolve, (one.event for one in entries), decider.initial)


def told(kind: Kind, entries: Sequence[Recorded]) -> list[Recorded]:
    """The entries up to the newest that changes this kind of paper; none where none does yet."""
    last = max(
        (at for at, one in enumerate(entries, 1) if isinstance(one.event, kind.anchors)),
        default=0,
    )
    return list(entries[:last])
