"""The log itself: positions, columns against bytes, the tree, its tiles and every checkpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from shared.custody.erasure import ErasureBegun
from shared.custody.fork import HistoryAccepted
from shared.custody.restored import RestoreSettled
from shared.kernel import merkle, named, note
from shared.kernel.decider import Event, FileAttached
from shared.kernel.event import EventTypes, StoredEvent
from shared.kernel.hold import read_hold
from shared.kernel.note import Checkpoint, NotANote
from shared.kernel.store import read_head
from shared.kernel.tiles import TILE_HASHES, perfect_root
from shared.runtime.audit.faults import Faults

BATCH = 2_000
COLUMNS = {"id": "id", "stream": "subject", "version": "streamversion", "type": "type",
           "occurred_at": "time", "recorded_at": "recordedtime", "actor": "actor",
           "correlation": "correlationid"}  # fmt: skip
"""Each column beside the bytes, and the attribute that it is a copy of."""

Signed = Callable[[str, Checkpoint], bool]
"""(partner, or '' where it is this office's own, note) → whether all signed it who are to have."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `events`, its document parsed where it parses."""

    position: int
    columns: dict[str, Any]
    body: bytes
    document: dict[str, Any] | None

    @property
    def stored(self) -> StoredEvent:
        columns = self.columns
        return StoredEvent(
            self.position, columns["stream"], columns["version"], columns["type"], self.body
        )


async def events(connection: AsyncConnection[Any]) -> AsyncIterator[list[Row]]:
    """All rows in the order of their positions, in batches."""
    names = [*COLUMNS]
    after = -(2**62)
    while True:
        cursor = await connection.execute(
            f"select position, {', '.join(names)}, body from events"  # noqa: S608
            " where position > %s order by position limit %s".encode(),
            (after, BATCH),
        )
        batch = [
            Row(row[0], dict(zip(names, row[1:-1], strict=True)), bytes(row[-1]), _parse(row[-1]))
            for row in await cursor.fetchall()
        ]
        if not batch:
            return
        after = batch[-1].position
        yield batch


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


class LogCheck:
    """Takes every row once, in order; `finish` says what was missing at the end."""

    def __init__(self, office: str, types: EventTypes, faults: Faults) -> None:
        self._office = office
        self._types = types
        self._faults = faults
        self._expected = 1
        self._frontier: tuple[bytes, ...] = ()
        self._size = 0
        self.given_up: list[tuple[int, int]] = []
        """Where the log went on after a restore, and through which size partners had more of it."""
        self.restored: list[tuple[int, int]] = []
        """On record of each restore: how many events the backup had, and the log at its end."""
        self.accepted: set[str] = set()
        """The forks of which it is on record who accepted them."""
        self.attached: dict[str, tuple[int, str]] = {}
        """By digest: where each file was first attached, and to whom."""
        self.erased: set[str] = set()
        """Whose erasure has begun."""
        self.settled = 0
        """How many events partners had witnessed at most where a restore was settled."""

    def take(self, row: Row) -> Event | None:
        """Gives the event, where it can be read."""
        if row.position != self._expected:
            what = "is missing" if row.position > self._expected else "is none of the log's"
            place = self._expected if row.position > self._expected else row.position
            self._faults.add(
                "events", f"position {place}", f"an event {what}", self._expected, row.position
            )
        self._expected = max(row.position + 1, self._expected)
        event = self._columns(row)
        self._frontier = merkle.extend(self._size, self._frontier, [row.body])
        self._size += 1
        return event

    def _columns(self, row: Row) -> Event | None:
        place = f"position {row.position}, stream {row.columns['stream']}"
        document = row.document
        if document is None:
            self._faults.add("events", place, "the bytes are no JSON document", "JSON", row.body)
            return None
        for column, attribute in COLUMNS.items():
            there, copy = document.get(attribute), row.columns[column]
            if not _same(there, copy):
                words = f"column {column} is not what the bytes say"
                self._faults.add("events", place, words, there, copy)
        if document.get("source") != note.name_of(self._office):
            words = "the event is another office's"
            self._faults.add(
                "events", place, words, note.name_of(self._office), document.get("source")
            )
        try:
            event = self._types.parse(document)
        except Exception as error:
            words = "the event can't be read by this version of the software"
            self._faults.add("events", place, words, row.columns["type"], type(error).__name__)
            return None
        if isinstance(event, FileAttached):
            self.attached.setdefault(event.sha256, (row.position, event.person))
        if isinstance(event, ErasureBegun):
            self.erased.add(event.person)
        if isinstance(event, HistoryAccepted):
            self.accepted.add(event.fork)
        if isinstance(event, RestoreSettled):
            self.restored.append((event.restored, event.events))
            self.settled = max(self.settled, event.witnessed)
            if event.witnessed > event.events:
                self.given_up.append((event.events, event.witnessed))
        return event

    def is_given_up(self, size: int) -> bool:
        return any(end < size <= witnessed for end, witnessed in self.given_up)

    @property
    def size(self) -> int:
        return self._size

    @property
    def frontier(self) -> tuple[bytes, ...]:
        return self._frontier


def _same(said: object, copy: object) -> bool:
    if isinstance(copy, datetime):
        try:
            return datetime.fromisoformat(str(said)) == copy
        except ValueError:
            return False
    return said == copy


async def check_head(connection: AsyncConnection[Any], log: LogCheck, faults: Faults) -> None:
    """The head row against what the events add up to."""
    head = await read_head(connection)
    if head.size != log.size:
        words = "the head says another number of events than there are"
        faults.add("log_head", "size", words, log.size, head.size)
    if head.frontier != log.frontier:
        words = "the head's tree is not that of the events"
        faults.add(
            "log_head", "frontier", words, merkle.root(log.frontier), merkle.root(head.frontier)
        )
    hold = await read_hold(connection)
    if hold.given_up > log.settled:
        words = "more is given up than the log has on record: a shorter log would not be held"
        faults.add("log_head", "given_up", words, log.settled, hold.given_up)
    ended = {restored for restored, _ in log.restored}
    if hold.restored_at is None and hold.restored_size and hold.restored_size not in ended:
        words = "the log was restored, and no event says that it was compared or accepted since"
        faults.add("log_head", "restored_at", words, "held", "not held")


async def check_versions(connection: AsyncConnection[Any], faults: Faults) -> None:
    """Versions of each stream without a hole, in the order of positions."""
    cursor = await connection.execute(
        "select stream, version, position, due from (select stream, version, position,"
        " row_number() over (partition by stream order by position) as due from events) as e"
        " where version <> due order by position limit %s",
        (BATCH,),
    )
    for stream, version, position, due in await cursor.fetchall():
        words = "the version is not the next of its stream"
        faults.add("events", f"position {position}, stream {stream}", words, due, version)


class TileCheck:
    """Full tiles against the events: the leaf that differs is known by its position."""

    def __init__(self, connection: AsyncConnection[Any], faults: Faults) -> None:
        self._connection = connection
        self._faults = faults
        self._levels: list[list[bytes]] = []
        self._tiles: list[int] = []

    async def take(self, body: bytes) -> None:
        await self._hash(0, merkle.leaf_hash(body))

    async def _hash(self, level: int, value: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._tiles.append(0)
        row = self._levels[level]
        row.append(value)
        if len(row) == TILE_HASHES:
            root = perfect_root(row)
            await self._compare(level, self._tiles[level], row, root)
            self._tiles[level] += 1
            self._levels[level] = []
            await self._hash(level + 1, root)

    async def _compare(self, level: int, index: int, row: Sequence[bytes], root: bytes) -> None:
        cursor = await self._connection.execute(
            "select hashes, root from tiles where level = %s and index = %s", (level, index)
        )
        found = await cursor.fetchone()
        if found is None:
            # The worker writes it soon; `finish` says where one before it is there.
            return
        place = f"level {level}, tile {index}"
        kept = bytes(found[0])
        for at, value in enumerate(row):
            there = kept[at * 32 : at * 32 + 32]
            if there != value:
                if level == 0:
                    place = f"position {index * TILE_HASHES + at + 1}"
                words = "the tile has another hash than the event at this position"
                self._faults.add("tiles", place, words, value, there)
        if bytes(found[1]) != root:
            self._faults.add("tiles", place, "the tile's root is not that of its hashes", root,
                             bytes(found[1]))  # fmt: skip

    async def finish(self) -> None:
        """Tiles that the log does not fill, and holes between those that are there."""
        cursor = await self._connection.execute(
            "select level, max(index), count(*) from tiles group by level order by level"
        )
        for level, last, number in await cursor.fetchall():
            due = self._tiles[level] if level < len(self._tiles) else 0
            if last >= due:
                words = "there are tiles that the log does not fill"
                self._faults.add("tiles", f"level {level}, tile {last}", words, due, last + 1)
            if number != last + 1:
                words = "a tile between others is missing"
                self._faults.add("tiles", f"level {level}", words, last + 1, number)


class NamedCheck:
    """What each full block names, against what was written down: a code left out hides events."""

    def __init__(self, connection: AsyncConnection[Any], faults: Faults) -> None:
        self._connection = connection
        self._faults = faults
        self._block = 0
        self._events: list[tuple[str, bytes]] = []

    async def take(self, row: Row) -> None:
        block = (row.position - 1) // named.BLOCK_EVENTS
        if block != self._block:
            await self._compare()
            self._block = block
        self._events.append((row.columns["stream"], row.body))

    async def _compare(self) -> None:
        due, self._events = set(named.codes(self._events)), []
        cursor = await self._connection.execute(
            "select codes from named where block = %s", (self._block,)
        )
        found = await cursor.fetchone()
        if found is not None and set(found[0]) != due:
            words = "the block names other codes than its events do"
            there = set(found[0])
            self._faults.add(
                "named", f"block {self._block}", words, sorted(due - there), sorted(there - due)
            )

    async def finish(self, size: int) -> None:
        """The last block, blocks that the log does not fill, and holes between others."""
        await self._compare()
        cursor = await self._connection.execute("select max(block) + 1, count(*) from named")
        done, number = await cursor.fetchone() or (None, 0)
        if done is not None and done > size // named.BLOCK_EVENTS:
            words = "there are blocks that the log does not fill"
            self._faults.add("named", f"block {done - 1}", words, size // named.BLOCK_EVENTS, done)
        if number and number != done:
            words = "a block between others is missing"
            self._faults.add("named", "all blocks", words, done, number)


class CheckpointCheck:
    """Every kept note of a table against the tree derived anew, in the order of the log.

    It looks one note ahead: an office may have as many of them as events. The first that does not
    hold tells where the log was changed.
    """

    def __init__(self, table: str, office: str, signed: Signed, faults: Faults) -> None:
        self._table = table
        self._office = office
        self._signed = signed
        self._faults = faults
        self._rows: AsyncIterator[tuple[str, int, str]] | None = None
        self._next: tuple[str, int, str] | None = None
        self._held = 0
        self._broken: set[str] = set()
        self.number = 0

    async def begin(self, connection: AsyncConnection[Any]) -> None:
        self._rows = _notes(connection, self._table)
        self._next = await anext(self._rows, None)

    async def take(self, log: LogCheck) -> None:
        """What is kept of the log as it is after its last event."""
        while self._next is not None and self._next[1] <= log.size:
            self._check(*self._next, log)
            await self._advance()

    async def finish(self, log: LogCheck) -> None:
        while self._next is not None:
            self._check(*self._next, log)
            await self._advance()

    async def _advance(self) -> None:
        self._next = await anext(self._rows, None) if self._rows is not None else None

    def _check(self, partner: str, size: int, text: str, log: LogCheck) -> None:
        """`partner` is who cosigned it, and empty where this office alone signed."""
        table, faults = self._table, self._faults
        place = f"size {size}" + (f", partner {partner}" if partner else "")
        try:
            one = note.parse(text)
        except NotANote as error:
            faults.add(table, place, "the note can't be read", "a signed checkpoint", error)
            return
        self.number += 1
        if one.office != self._office:
            faults.add(table, place, "the note is another office's", self._office, one.office)
            return
        if not self._signed(partner, one):
            words = "the note is not signed by a key of this office, or not cosigned by its partner"
            faults.add(table, place, words, "a valid signature", "none")
        same = size == log.size and merkle.root(log.frontier) == one.head
        if one.size != size:
            # Where in the log it belongs is not known then, or past already.
            faults.add(table, place, "column size is not what the note says", one.size, size)
        elif same:
            self._held = size
        elif partner and log.is_given_up(size):
            pass  # It is on the record who decided that, and why.
        elif size > log.size:
            who = f"partner {partner} has witnessed" if partner else "this office has signed"
            words = f"{who} more events than the log has: events were lost"
            faults.add(table, place, words, size, log.size)
        elif partner not in self._broken:
            # What follows one that does not hold can't hold either.
            self._broken.add(partner)
            words = f"the log was changed between positions {self._held + 1} and {size}"
            faults.add(table, place, words, one.head, merkle.root(log.frontier))


async def _notes(
    connection: AsyncConnection[Any], table: str
) -> AsyncIterator[tuple[str, int, str]]:
    """Whose partner kept it ('' for this office's own), size and note, by size."""
    office = "''" if table == "checkpoints" else "office"
    async with connection.cursor(f"audit_of_{table}") as cursor:
        await cursor.execute(
            f"select {office}, size, note from {table} order by size".encode()  # noqa: S608
        )
        async for row in cursor:
            yield row
