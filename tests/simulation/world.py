"""The world of one seed: faults while the story runs, then none, until everybody agrees."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from random import Random
from typing import Any

from psycopg import OperationalError

from shared.kernel import inbox
from shared.kernel.handling import Undecided
from shared.kernel.inbox import FOR_OPERATORS, passing
from shared.kernel.link import Frame, Receipt, encode
from shared.kernel.store import Conflict
from shared.runtime import parking, worker
from tests.simulation import agreement, errands
from tests.simulation.auditor import Auditor
from tests.simulation.load import Load
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.office import CITY_CODE, OFFICES, PROVINCES, Office, Process
from tests.simulation.pool import MemoryKeyring
from tests.simulation.transport import Broker

FAULT_SECONDS = 60.0
AGREE_SECONDS = 600.0
OPERATOR_AFTER_SECONDS = 20.0
"""So long after the faults an operator comes, where what is parked does not go by itself."""
RETRY_AFTER = timedelta(seconds=4)
"""Between retries of what was refused: shorter than the product's, to spend fewer seconds."""
POLL_SECONDS = 4.0
"""Between turns that nobody woke a loop for: longer than the product's, to spend fewer turns."""
RATES = {
    "crash": 0.003, "statement fails": 0.004, "delay": 0.03, "lose": 0.12, "duplicate": 0.12,
    "refuse": 0.06, "tear": 0.3, "reorder": 0.4,
}  # fmt: skip
"""How often each fault happens at a place where it can, in a seed that has it at all."""
AT_POINTS = ("crash", "statement fails", "delay")

EVENTS = ("flush", "down", "clock", "second worker", "poison", "replay", "edited", "receipt",
          "operator")  # fmt: skip
"""What happens from time to time, each in half of the seeds."""
IMPATIENT_TRIES = 30
FAR_SEEDS = 0.4
"""In so many seeds a clock is once set forward or back by up to two hours."""


@dataclass
class Result:
    seed: int
    failure: str | None
    trace: list[str] = field(default_factory=list)
    digest: str = ""
    requests: int = 0
    events: int = 0
    messages: int = 0
    seconds: float = 0.0
    agreed_after: float = 0.0
    drawn: Counter[str] = field(default_factory=Counter)


class World:
    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.seed, self.loop = seed, loop
        self.chance = Random(seed)
        self.faults = True
        self.failure: str | None = None
        self.failed = asyncio.Event()
        self.trace: list[str] = []
        self.planted: set[bytes] = set()
        self.duplicated: set[bytes] = set()
        # Not every seed has every fault: where all happen at once, some hide others.
        self.rates = {n: r if self.chance.random() < 0.6 else 0.0 for n, r in RATES.items()}
        self.until_next = {name: self._places(rate) for name, rate in self.rates.items()}
        self.until_point = self._places(sum(self.rates[fault] for fault in AT_POINTS))
        self.events = [name for name in EVENTS if self.chance.random() < 0.5]
        self.errands, self.unreadable = self.chance.random() < 0.6, self.chance.random() < 0.5
        self.drawn: Counter[str] = Counter()
        self.broker = Broker(self.chance)
        self.auditor = Auditor(self)
        self.offices = {code: Office(self, code) for code in OFFICES}
        self.load = Load(self)
        self.agreed_after = 0.0

    def note(self, sentence: str) -> None:
        self.trace.append(f"{self.loop.time():9.3f} {sentence}")

    def fail(self, sentence: str) -> None:
        if self.failure is None:
            self.failure = sentence
            self.note(f"FAILED: {sentence}")
            self.failed.set()

    def happens(self, fault: str, where: str = "") -> bool:
        """Whether the seed has this fault happen here: how many places are let pass is drawn."""
        if not self.faults:
            return False
        self.until_next[fault] -= 1
        if self.until_next[fault] > 0:
            return False
        self.until_next[fault] = self._places(self.rates[fault])
        self.drew(fault, where)
        return True

    def happens_at_a_point(self) -> str | None:
        """The same for what can happen at every await: one count for all, then which it is."""
        self.until_point -= 1
        if self.until_point > 0:
            return None
        rates = [self.rates[fault] for fault in AT_POINTS]
        self.until_point = self._places(sum(rates))
        return self.chance.choices(AT_POINTS, rates)[0]

    def drew(self, fault: str, where: str = "") -> None:
        self.drawn[f"{fault} {where}".strip()] += 1

    def _places(self, rate: float) -> float:
        return 1 + self.chance.expovariate(1) / rate if rate else float("inf")

    # Processes

    def crashed(self, process: Process, where: str) -> None:
        self.note(f"{process.office.code} {process.name} crashed {where}")
        process.kill()
        office = process.office
        if process in office.workers:
            office.workers.remove(process)
        asyncio.get_running_loop().call_later(self.chance.choice((0.1, 1.0, 4.0)), self.revive,
                                              office)  # fmt: skip

    def revive(self, office: Office) -> None:
        if office.web is None or office.web.dead:
            office.web = Process(office, "web")
        if not office.workers:
            self.start_worker(office)

    def start_worker(self, office: Office) -> Process:
        one = Process(office, "worker")
        office.workers.append(one)
        one.work()
        return one

    # Faults that come of themselves

    async def misfortunes(self) -> None:
        far = self.chance.randint(1, 8) if self.chance.random() < FAR_SEEDS else 0
        turn = 0
        while True:
            await asyncio.sleep(self.chance.uniform(0.3, 3.0))
            turn += 1
            if turn == far:
                self.set_clock(
                    self.chance.choice((-1, -1, 1)) * self.chance.uniform(60, 7200),
                    "clock, up to two hours",
                )
            elif self.events:
                await self.misfortune(self.chance.choice(self.events))

    def set_clock(self, seconds: float, kind: str) -> None:
        office = self.offices[self.chance.choice(OFFICES)]
        office.ahead += seconds
        self.drawn[kind] += 1
        self.note(f"{kind}: {office.code} {seconds:+.0f} s")

    async def misfortune(self, kind: str) -> None:
        office = self.offices[self.chance.choice(OFFICES)]
        province = self.chance.choice(PROVINCES)
        links = ((CITY_CODE, province), (province, CITY_CODE))
        link = self.chance.choice(links)
        self.note(f"{kind}: {office.code} {link}")
        if kind not in ("second worker", "operator", "clock"):
            self.drawn[kind] += 1
        match kind:
            case "flush":
                self.broker.flush()
            case "down":
                self.broker.down = True
                await asyncio.sleep(self.chance.choice((1.0, 5.0)))
                self.broker.down = False
            case "clock":
                self.set_clock(self.chance.choice((-30.0, -2.0, 0.5, 20.0)), kind)
            case "second worker" if len(office.workers) == 1:
                self.drawn[kind] += 1
                self.start_worker(office)
                await asyncio.sleep(self.chance.uniform(1.0, 8.0))
                if len(office.workers) > 1:
                    office.workers.pop(self.chance.randrange(2)).kill()
            case "operator":
                await self.operate(office if office.database.parked else self.offices[CITY_CODE])
            case _ if not self.broker.down:
                if (raw := self.unwanted(kind, link)) is not None:
                    self.planted.add(sha256(raw).digest())
                    self.broker.add(link, raw)

    def unwanted(self, kind: str, link: tuple[str, str]) -> bytes | None:
        """What somebody adds to a stream beside its sender."""
        sender = keys(link[0])
        seen = self.auditor.frames.get(link, [])
        match kind:
            case "receipt":
                sent = int(self.offices[link[0]].clock().timestamp() * 1_000_000)
                return encode(Receipt(*link, 1_000, sent=sent), sender.sign)
            case "replay" if seen:
                return self.chance.choice(seen)
            case "edited" if seen:
                raw = bytearray(self.chance.choice(seen))
                raw[self.chance.randrange(len(raw))] ^= 1 << self.chance.randrange(7)
                return bytes(raw)
            case "poison":
                return self.poison(link)
        return None

    # What people do about what is parked

    async def operate(self, office: Office) -> None:
        """Somebody looks at what is parked: gives up what can't be read, tries the rest again.

        At times two do so at once.
        """
        rows = [row for row in office.database.parked if not row.settled_as and row.sequence]
        if not rows:
            return
        unread = [row.id for row in rows if row.reason in FOR_OPERATORS]
        gives_up = bool(unread) and self.chance.random() < 0.7
        names = ("operator", "other operator")[: self.chance.randint(1, 2)]
        tries = IMPATIENT_TRIES if self.chance.random() < 0.1 else 1
        self.drawn["two operators" if len(names) > 1 else "operator"] += 1
        self.drawn["impatient operator"] += tries > 1

        async def act(process: Any) -> None:
            if gives_up:
                await parking.discard(process, unread[0], "Tidak terbaca", process.name)
                return
            for _ in range(tries):
                await parking.retry(process, [], process.name)

        work = [one.start(act(one)) for one in (Process(office, name) for name in names)]
        await asyncio.wait(work)
        for task in work:
            error = None if task.cancelled() else task.exception()
            if error and not (isinstance(error, parking.NotParked) or passing(error)):
                self.fail(f"{office.code}: an operator was told {error!r}")

    async def operate_all(self) -> None:
        for office in self.offices.values():
            await self.operate(office)

    def poison(self, link: tuple[str, str]) -> bytes:
        """Bytes that are none of this link's, some of which pretend to be its next message."""
        sender, receiver = link
        next_ = self.offices[receiver].database.applied.get(sender, (0, []))[0] + 1
        body = (
            b'{"specversion":"1.0","id":"forged-%d","type":"pulang.case.status-changed.v1",'
            b'"time":"2019-10-04T08:00:00+00:00","sequence":"%d",'
            b'"data":{"person":"PM-0000000001","status":"ready"}}'
        ) % (self.chance.randrange(10**6), next_)
        frame = Frame(sender, receiver, next_, (body,), sent=self.chance.randrange(10**9))
        kind = self.chance.randrange(4)
        if kind == 0:
            return b"hello %d" % self.chance.randrange(10**9)
        if kind == 1:
            wrong = Frame(sender, "51", next_, (body,), sent=frame.sent)
            return encode(wrong, keys(sender).sign)
        return encode(frame, keys("53" if sender != "53" else "33").sign)

    # Both phases

    async def run(self) -> None:
        for office in self.offices.values():
            self.revive(office)
        unlucky = asyncio.create_task(self.misfortunes())
        story = [
            asyncio.create_task(self.load.run()),
            *(asyncio.create_task(self.load.receive(self.offices[code])) for code in PROVINCES),
        ]
        await self.until(lambda: all(task.done() for task in story), FAULT_SECONDS)
        # What is under way when people have done their part is broken too.
        await self.until(lambda: False, self.chance.choice((0.0, 2.0, 8.0)))
        unlucky.cancel()
        self.auditor.unchanged()
        self.mend()
        began = self.loop.time()

        def settled() -> bool:
            return (
                all(task.done() for task in story)
                and not any(self.waiting(office) for office in self.offices.values())
                and self.auditor.models_are_whole()
                and agreement.linked(self)
            )

        reached = await self.until(settled, OPERATOR_AFTER_SECONDS)
        while not reached and self.failure is None and self.loop.time() < began + AGREE_SECONDS:
            await self.operate_all()
            reached = await self.until(settled, 5.0)
        if not reached and self.failure is None:
            self.fail(f"after {AGREE_SECONDS:.0f} seconds without faults: "
                      f"{agreement.lagging(self)}")  # fmt: skip
        self.agreed_after = self.loop.time() - began
        self.note(f"all links confirmed {self.loop.time() - began:.1f} seconds after the faults")
        for task in story:
            if task.done() and not task.cancelled() and task.exception():
                self.fail(f"the story broke: {task.exception()!r}")
        if self.failure is None:
            self.auditor.unchanged()
            self.auditor.parked_is_poison()
            await agreement.check(self)

    def waiting(self, office: Office) -> bool:
        """Whether a message of a partner is parked there."""
        return any(row.sequence and not row.settled_as for row in office.database.parked)

    def mend(self) -> None:
        """From here on nothing goes wrong any more."""
        self.note("the faults end")
        self.faults = False
        self.broker.down = False
        for office in self.offices.values():
            while len(office.workers) > 1:
                office.workers.pop().kill()
            self.revive(office)

    async def until(self, reached: Any, seconds: float) -> bool:
        end = self.loop.time() + seconds
        while self.loop.time() < end and self.failure is None:
            if reached():
                return True
            await asyncio.sleep(0.5)
        return bool(reached())


class _Stumbles(logging.Handler):
    """The product's log of errors: one that no fault of the seed explains is a fault of its own."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, (OperationalError, Conflict, Undecided)):
            self._world.fail(f"logged: {record.getMessage()}: {error!r}")


@contextmanager
def listening(world: World) -> Iterator[None]:
    product, own = logging.getLogger("shared"), _Stumbles(world)
    before = product.propagate, product.level
    product.propagate = False
    product.setLevel(logging.ERROR)
    product.addHandler(own)
    try:
        yield
    finally:
        product.removeHandler(own)
        product.propagate = before[0]
        product.setLevel(before[1])


def keys(code: str) -> MemoryKeyring:
    return MemoryKeyring(None, code, OFFICES)


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Ids, keys and nonces come from the seed too."""
    chance = Random(seed + 1)
    urandom, inner = os.urandom, random._urandom  # type: ignore[attr-defined]
    os.urandom = random._urandom = chance.randbytes  # type: ignore[attr-defined]
    retry_after, inbox.RETRY_AFTER = inbox.RETRY_AFTER, RETRY_AFTER
    poll, worker.POLL_SECONDS = worker.POLL_SECONDS, POLL_SECONDS
    try:
        with errands.readable():
            yield
    finally:
        inbox.RETRY_AFTER, worker.POLL_SECONDS = retry_after, poll
        os.urandom, random._urandom = urandom, inner  # type: ignore[attr-defined]


def simulate(seed: int) -> Result:
    """One seed from beginning to end."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _, context: None)
    with drawn_from(seed):
        holder: list[World] = []

        async def main() -> None:
            world = World(seed, loop)
            holder.append(world)
            with listening(world):
                await world.run()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

        try:
            loop.run_until_complete(main())
        except Stuck as error:
            holder[0].fail(str(error))
        world = holder[0]
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    log = b"".join(e[4] for one in world.offices.values() for e in one.database.events)
    digest = sha256("\n".join(world.trace).encode() + log).hexdigest()
    return Result(
        seed, world.failure, world.trace, digest, world.load.requests,
        sum(one.database.size for one in world.offices.values()),
        sum(sum(one.database.outgoing.values()) for one in world.offices.values()),
        loop.passed, world.agreed_after, world.drawn + world.auditor.tally,
    )  # fmt: skip
