"""Redis streams in memory: entries, a group's pending ones, trimming; and all that can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from psycopg import Error

from shared.runtime.streams import Receive

if TYPE_CHECKING:
    from tests.simulation.office import Process
    from tests.simulation.world import World

BATCH_ENTRIES = 16
BACK_OFF_SECONDS = 0.5


@dataclass
class Stream:
    """One link and way, with its one consumer group."""

    entries: list[tuple[int, bytes]] = field(default_factory=list)
    group: bool = False
    delivered: int = 0
    pending: list[int] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)


class Broker:
    """The server. What it holds may vanish at any time."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.streams: dict[tuple[str, str], Stream] = {}
        self.last = 0
        self.down = False

    def stream(self, link: tuple[str, str]) -> Stream:
        if self.down:
            raise ConnectionError("the broker is away")
        return self.streams.setdefault(link, Stream())

    def add(self, link: tuple[str, str], raw: bytes) -> int:
        stream = self.stream(link)
        self.last += 1
        stream.entries.append((self.last, raw))
        stream.more.set()
        return self.last

    def flush(self) -> None:
        """FLUSHALL: entries and groups are gone; whoever waits finds no group."""
        for stream in self.streams.values():
            stream.more.set()
        self.streams = {}

    def group(self, link: tuple[str, str]) -> Stream:
        stream = self.stream(link)
        stream.group = True
        return stream

    def read(self, link: tuple[str, str], limit: int) -> list[tuple[int, bytes]]:
        stream = self.stream(link)
        if not stream.group:
            raise ConnectionError("the group is gone")
        found = [entry for entry in stream.entries if entry[0] > stream.delivered][:limit]
        if found:
            stream.delivered = found[-1][0]
            stream.pending += [number for number, _ in found]
        return found

    def read_pending(self, link: tuple[str, str]) -> list[tuple[int, bytes | None]]:
        stream = self.stream(link)
        kept = dict(stream.entries)
        return [(number, kept.get(number)) for number in stream.pending[:BATCH_ENTRIES]]

    def acknowledge(self, link: tuple[str, str], numbers: Sequence[int]) -> None:
        stream = self.stream(link)
        stream.pending = [number for number in stream.pending if number not in numbers]


class Links:
    """All links of one worker, in the manner of `RedisLinks`."""

    def __init__(self, world: World, process: Process, receive: Receive) -> None:
        self.world, self.process, self.receive = world, process, receive
        self.broker, self.office = world.broker, process.office.code
        self.last_receipt: dict[str, int] = {}

    async def send(self, receiver: str, frame: bytes) -> bytes:
        await self.process.point("before send")
        world, link = self.world, (self.office, receiver)
        if world.happens("refuse", "before send"):
            raise ConnectionError("the broker did not answer")
        number = self.broker.add(link, frame)
        world.auditor.sent(link, number, frame, self.process)
        if world.happens("lose"):
            stream = self.broker.stream(link)
            stream.entries.pop()
            world.note(f"lost entry {number} of {link}")
        elif world.happens("duplicate"):
            world.duplicated.add(frame)
            again = self.broker.add(link, frame)
            world.auditor.sent(link, again, frame, self.process)
        if world.happens("refuse", "after send"):
            raise ConnectionError("the broker took it and did not say so")
        await self.process.point("after send")
        return str(number).encode()

    async def send_receipt(self, receiver: str, receipt: bytes, *, aside: bool = False) -> None:
        number = int(await self.send(receiver, receipt))
        older = self.last_receipt.get(receiver)
        self.last_receipt[receiver] = number
        if older is not None:
            stream = self.broker.stream((self.office, receiver))
            stream.entries = [entry for entry in stream.entries if entry[0] != older]

    async def clear(self, receiver: str) -> None:
        await self.process.point("before clear")
        self.broker.stream((self.office, receiver)).entries.clear()

    async def trim(self, receiver: str, through: bytes) -> None:
        await self.process.point("before trim")
        link = (self.office, receiver)
        self.world.auditor.trimmed(link, int(through), self.process)
        if not self.broker.down:
            stream = self.broker.stream(link)
            stream.entries = [entry for entry in stream.entries if entry[0] > int(through)]

    async def serve(self, partner: str) -> None:
        """Reads this link for ever; begins anew where the server or the group went away."""
        link = (partner, self.office)
        while True:
            try:
                self.broker.group(link)
                await self._pending(link)
                while True:
                    await self._batch(link)
            except (ConnectionError, Error):
                await asyncio.sleep(BACK_OFF_SECONDS)

    async def _pending(self, link: tuple[str, str]) -> None:
        while entries := self.broker.read_pending(link):
            present = [raw for _, raw in entries if raw is not None]
            due = self.due(link)
            if len(self.process.office.workers) > 1:
                # The other worker may hold them in its hands, not knowing that they were given
                # twice: to it they are replays, and it parks them. Nothing is lost by that.
                self.world.duplicated.update(present)
            if present:
                await self.receive(link[0], present, True)
            await self._acknowledge(link, entries, due)

    async def _batch(self, link: tuple[str, str]) -> None:
        world = self.world
        stream = self.broker.stream(link)
        stream.more.clear()
        torn = world.happens("tear")
        entries = self.broker.read(link, world.chance.randint(1, 3) if torn else BATCH_ENTRIES)
        if not entries:
            if stream.more.is_set():
                return
            # Whatever happens to the stream, an entry or a flush, wakes whoever waits for it.
            await stream.more.wait()
            return
        if len(entries) > 1 and world.happens("reorder"):
            world.chance.shuffle(entries)
        await self.process.point("read a batch")
        await self._take(link, entries)

    async def _take(self, link: tuple[str, str], entries: Sequence[tuple[int, bytes]]) -> None:
        """Acknowledged only after all is committed."""
        again, due = False, self.due(link)
        while True:
            try:
                await self.receive(link[0], [raw for _, raw in entries], again)
                break
            except Exception as error:
                again = True
                self.world.note(f"{self.office}: a batch could not be recorded: {error!r}")
                await asyncio.sleep(BACK_OFF_SECONDS)
        await self._acknowledge(link, entries, due)

    def due(self, link: tuple[str, str]) -> int:
        """What is next in turn; none where two workers race, and each may give way to the other."""
        return self.world.auditor.due(link) if len(self.process.office.workers) < 2 else 0

    async def _acknowledge(
        self, link: tuple[str, str], entries: Sequence[tuple[int, bytes | None]], due: int = 1
    ) -> None:
        await self.process.point("before ack")
        # What was cleared while it was pending came with no content, and will be sent again.
        kept = [number for number, raw in entries if raw is not None]
        if len(self.process.office.workers) < 2:
            self.world.auditor.acknowledged(link, kept, due)
        self.broker.acknowledge(link, [number for number, _ in entries])
        await self.process.point("after ack")
