"""One world of a seed: a city, three provinces, the wires between them, and everything that fails.

First faults, with the databases judging each commit; then none, and all must converge in a bound.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from psycopg import OperationalError

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.custody import DECIDERS, exchange
from shared.kernel import merkle
from shared.kernel.handling import Handling, StalePlan, Undecided
from shared.kernel.inbox import Inbox
from shared.kernel.keyring import (
    Keyring,
    draw_index,
    draw_sealing,
    draw_signing,
    key_id,
    sealing_key_id,
)
from shared.kernel.link import encode
from shared.kernel.outbox import Relay
from shared.kernel.store import Conflict, Request, StaleKeys, Store
from shared.kernel.vault import Vault
from shared.runtime import custody
from shared.runtime.manifest import Desk, Problem
from shared.runtime.rows import Import
from shared.runtime.staff import ROLES, Staff
from tests.simulation.memory import Broken, Database, Pool, VirtualLoop

CITY_CODE, PROVINCES = "53.71", ("35", "53", "33")
START = datetime(2019, 10, 4, 8, 0, tzinfo=UTC)
FAULTS_SECONDS = 80.0
CONVERGE_SECONDS = 400.0
SIGNING = {office: draw_signing() for office in (CITY_CODE, *PROVINCES)}


class Wrapping:
    """A key provider that hides nothing: what is sealed is not what is looked at here."""

    def epochs(self) -> Sequence[int]:
        return [1]

    def create(self, epoch: int) -> None: ...

    def destroy(self, epoch: int) -> None: ...

    def wrap(self, epoch: int, plain: bytes, about: bytes) -> bytes:
        return plain

    def unwrap(self, epoch: int, wrapped: bytes, about: bytes) -> bytes:
        return wrapped


@dataclass
class Wire:
    """A stream as Redis has it: entries, what was delivered, and what nobody acknowledged."""

    entries: dict[int, bytes] = field(default_factory=dict)
    delivered: int = 0
    pending: set[int] = field(default_factory=set)


class Process:
    """One process of an office; `kill` leaves nothing of it but the database."""

    def __init__(self, world: World, office: str) -> None:
        self.world, self.office = world, office
        self.tasks: list[asyncio.Task[None]] = []
        self.dead = False
        service = CITY if office == CITY_CODE else PROVINCE
        self.service = service
        pool: Any = Pool(world.databases[office], self.point)
        self.store = Store(pool, office)
        publisher = exchange.publisher(service.publisher)
        self.handling = Handling(self.store, (*service.deciders, *DECIDERS), publisher)
        self.vault = Vault(Keyring(pool, Wrapping(), office))
        reactor = exchange.reactor(service.reactor)
        partners = PROVINCES if office == CITY_CODE else (CITY_CODE,)
        self.relays = {p: Relay(self.store.links, self.vault, self, p) for p in partners}
        self.inboxes = {p: Inbox(self.handling, self.vault, reactor, p) for p in partners}

    async def point(self, name: str) -> None:
        """Where the seed may let time pass, fail the database, or kill this process."""
        await self.world.point(self, name)

    def now(self) -> datetime:
        return self.world.now()

    def start(self) -> None:
        for partner in self.inboxes:
            self._spawn(self._relay(partner))
            self._spawn(self._receive(partner))
        self._spawn(self._announce())

    def _spawn(self, work: Any) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def kill(self) -> None:
        self.dead = True
        for task in [*self.tasks, self.store._appender]:
            if task is not None:
                task.cancel()

    # The transport, as the relay sees it.

    async def send(self, receiver: str, frame: bytes) -> bytes:
        await self.point("before send")
        return await self.world.send(self, receiver, frame)

    async def clear(self, receiver: str) -> None:
        self.world.must_be_up()
        self.world.wires[self.office, receiver].entries.clear()

    async def trim(self, receiver: str, through: bytes) -> None:
        wire = self.world.wires[self.office, receiver]
        applied = len(self.world.databases[receiver].inbox.get(self.office, ()))
        for entry in [one for one in wire.entries if one <= int(through)]:
            last = re.search(rb"\r\nlast: (\d+)", wire.entries[entry])
            # Of two workers one may trim what the other sent out of turn; it is sent again.
            alone = self.office not in self.world.twins
            if last and int(last[1]) > applied and alone:
                raise Broken(f"{self.office}: trimmed {last[1]!r}, which nobody has applied")
            del wire.entries[entry]

    # The worker's loops, as runtime/worker.py and runtime/streams.py have them.

    async def _forever(self, step: Any, pause: float) -> None:
        while True:
            try:
                done = await step()
            except (ConnectionError, OperationalError, Conflict, Undecided):
                done = 0
            if not done:
                await asyncio.sleep(pause)

    async def _relay(self, partner: str) -> None:
        await self._forever(lambda: self.relays[partner].step(self.now()), 1.0)

    async def _announce(self) -> None:
        async def step() -> int:
            await self.vault.keyring.refresh()
            for partner, inbox in self.inboxes.items():
                through, _ = await self.store.links.applied(partner)
                receipt = await inbox.receipt(through, gap=False, now=self.now())
                await self.send(partner, encode(receipt, self.vault.keyring.sign))
                await inbox.settle(self.now(), "worker")
            return 0

        await self._forever(step, 5.0)

    async def _receive(self, partner: str) -> None:
        wire = self.world.wires[partner, self.office]
        old = sorted(wire.pending)

        async def step() -> int:
            nonlocal old
            self.world.must_be_up()
            again, batch = bool(old), old[:16]
            old = old[16:]
            if not again:
                batch = self.world.delivered(wire)
            if not batch:
                return 0
            raws = [wire.entries[one] for one in batch if one in wire.entries]
            while True:
                try:
                    await self.take(partner, raws, again)
                    break
                except (OperationalError, Conflict, Undecided):
                    again = True
                    await asyncio.sleep(0.5)
            await self.acknowledge(wire, batch)
            return len(batch)

        await self._forever(step, 0.5)

    async def take(self, partner: str, raws: list[bytes], again: bool) -> None:
        receipt, incoming = await self.inboxes[partner].receive(raws, self.now(), again=again)
        for one in incoming:
            await self.relays[partner].confirm(one, self.now())
        if receipt is not None:
            try:
                await self.send(partner, encode(receipt, self.vault.keyring.sign))
            except ConnectionError:
                return

    async def acknowledge(self, wire: Wire, batch: list[int]) -> None:
        await self.point("before ack")
        wire.pending.difference_update(batch)
        await self.point("after ack")


class World:
    """Run one with `simulate`."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        offices = (CITY_CODE, *PROVINCES)
        self.databases = {office: Database(office) for office in offices}
        pairs = [(CITY_CODE, p) for p in PROVINCES] + [(p, CITY_CODE) for p in PROVINCES]
        self.wires = {pair: Wire() for pair in pairs}
        self.processes: dict[str, list[Process]] = {office: [] for office in offices}
        self.faults = True
        self.up = True
        self.jump = 0.0
        self.entry = 0
        self.poison = 0
        self.twins: set[str] = set()
        self.trace: list[str] = []
        self.answers: dict[str, str] = {}
        self.credits: dict[str, tuple[str, int]] = {}
        for office, database in self.databases.items():
            self._keys(office, database)
        for one, other in pairs:
            self.databases[one].partners[other] = self.databases[other]
            public = SIGNING[other][0]
            self.databases[one].trusted.append((other, key_id(other, public), public))

    def _keys(self, office: str, database: Database) -> None:
        public, private = SIGNING[office]
        database.office_keys = [
            (key_id(office, public), "signing", 1, private, "current"),
            (sealing_key_id(1), "sealing", 1, draw_sealing()[1], "current"),
            ("index-1", "index", 1, draw_index(), "current"),
        ]

    def note(self, what: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():.3f} {what}")

    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time() + self.jump)

    def must_be_up(self) -> None:
        if not self.up:
            raise ConnectionError("the broker is away")

    def tasks(self) -> list[asyncio.Task[Any]]:
        """All that the living processes do."""
        living = [process for some in self.processes.values() for process in some]
        found = [task for process in living for task in [*process.tasks, process.store._appender]]
        return [task for task in found if task is not None]

    async def point(self, process: Process, name: str) -> None:
        if process.dead:
            raise asyncio.CancelledError
        if not self.faults:
            return
        dice = self.chance.random()
        if dice < 0.02:
            await asyncio.sleep(self.chance.random() * 2)
        elif dice < 0.024 and process in self.processes[process.office]:
            self.note(f"{process.office} dies {name}")
            self.restart(process)
            await asyncio.sleep(10_000)
        elif dice < 0.03 and not name.endswith(("ack", "send")):
            self.note(f"{process.office} database fails {name}")
            raise OperationalError("the connection is lost")

    def restart(self, process: Process) -> None:
        process.kill()
        self.processes[process.office].remove(process)
        after = self.chance.random() * 10
        asyncio.get_running_loop().call_later(after, self.begin, process.office)

    def begin(self, office: str) -> None:
        process = Process(self, office)
        self.processes[office].append(process)
        process.start()

    async def send(self, process: Process, receiver: str, frame: bytes) -> bytes:
        self.must_be_up()
        if process.dead:
            raise asyncio.CancelledError
        wire = self.wires[process.office, receiver]
        self.entry += 1
        entry = self.entry
        if not self.faults or self.chance.random() > 0.08:
            wire.entries[entry] = frame
        if self.faults and self.chance.random() < 0.05:
            self.entry += 1
            wire.entries[self.entry] = frame
        return str(entry).encode()

    def delivered(self, wire: Wire) -> list[int]:
        """What the group gives next: in order, or not; a batch may be torn."""
        new = [one for one in wire.entries if one > wire.delivered][:16]
        if self.faults and new and self.chance.random() < 0.3:
            new = new[: self.chance.randrange(len(new)) + 1]
        if new:
            wire.delivered = new[-1]
        wire.pending.update(new)
        if self.faults and self.chance.random() < 0.2:
            self.chance.shuffle(new)
        return new

    async def mischief(self) -> None:
        """What happens to the broker, the clocks and the processes, apart from single points."""
        while True:
            await asyncio.sleep(self.chance.expovariate(1 / 6))
            what = self.chance.choice(["flush", "away", "clock", "two", "poison", "poison"])
            self.note(what)
            if what == "flush":
                for wire in self.wires.values():
                    wire.entries.clear()
                    wire.pending.clear()
            elif what == "away":
                self.up = False
                await asyncio.sleep(self.chance.random() * 15)
                self.up = True
            elif what == "clock":
                self.jump += self.chance.uniform(-30, 30)
            elif what == "two":
                office = self.chance.choice([*self.processes])
                if len(self.processes[office]) < 2:
                    self.twins.add(office)
                    self.begin(office)
            else:
                self._poison()

    def _poison(self) -> None:
        wire = self.wires[self.chance.choice([*self.wires])]
        self.poison += 1
        self.entry += 1
        genuine = [*wire.entries.values()]
        raw = f"bukan bingkai {self.poison}".encode()
        if genuine and self.chance.random() < 0.5:
            raw = self.chance.choice(genuine)
            at = self.chance.randrange(len(raw))
            raw = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        wire.entries[self.entry] = raw

    async def staff(self, office: str, path: str, body: dict[str, Any]) -> Any:
        """A form that a person sends, again with the same key until it is answered.

        Gives the outcome's answer, or the code of the refusal.
        """
        key = f"key-{len(self.trace)}-{self.chance.getrandbits(40)}"
        actor = "approver" if path.endswith("approval") else "issuer"
        await asyncio.sleep(self.chance.random() * 5)
        while True:
            living = self.processes[office]
            if not living:
                await asyncio.sleep(1)
                continue
            process = living[0]
            work = asyncio.ensure_future(self._once(process, path, body, actor, key))
            process.tasks.append(work)
            try:
                return await work
            except (OperationalError, Undecided, StalePlan, StaleKeys):
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                if not process.dead:
                    raise
                await asyncio.sleep(1)

    async def _once(
        self, process: Process, path: str, body: dict[str, Any], actor: str, key: str
    ) -> Any:
        if await process.store.answered(actor, key):
            return {}
        found: list[tuple[Any, dict[str, str]]] = []
        for route in process.service.commands:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
            if match := re.fullmatch(pattern, path):
                found.append((route, match.groupdict()))
        route, names = found[0]
        settings: Any = SimpleNamespace(office=process.office, zone=UTC, partners=PROVINCES)
        desk = Desk(
            settings=settings,
            handling=process.handling,
            vault=process.vault,
            service=process.service,
            staff=Staff(actor, ROLES),
            now=self.now(),
            occurred_at=self.now(),
        )
        try:
            form = (Import if route.is_import else route.form).model_validate(body)
            plan = await custody.sealed(desk, await route.plan(desk, form, names))
            outcome = await process.handling.handle(
                plan.units,
                at=desk.now,
                actor=actor,
                cause=key,
                all_or_nothing=plan.all_or_nothing,
                planned_on=desk.planned_on,
                request=lambda outcome: Request(actor, key, b"", {}),
            )
        except Problem as problem:
            return problem.code
        except Conflict:
            return {}
        if outcome.refused:
            return outcome.refused[0].refused.code
        return plan.per_unit or {}


async def _run(world: World, load: Any) -> None:
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()

    def caught(_: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not failed.done():
            failed.set_exception(error)

    loop.set_exception_handler(caught)
    for office in world.processes:
        world.begin(office)
    mischief = loop.create_task(world.mischief())
    work = loop.create_task(load(world))

    async def until(check: Any, seconds: float, what: str) -> None:
        deadline = loop.time() + seconds
        while not check():
            for task in world.tasks():
                if task.done() and not task.cancelled():
                    raise_unless_expected(task.exception())
            if failed.done():
                failed.result()
            if loop.time() > deadline:
                raise Broken(what)
            await asyncio.sleep(0.5)

    await until(lambda: loop.time() > FAULTS_SECONDS, FAULTS_SECONDS + 1, "no time passes")
    mischief.cancel()
    world.faults, world.up = False, True
    for some in world.processes.values():
        for spare in some[1:]:
            spare.kill()
        del some[1:]
    await until(work.done, CONVERGE_SECONDS, "people wait for ever")
    await work
    await until(lambda: converged(world), CONVERGE_SECONDS, "the offices do not converge")
    judge(world)
    for process in [p for some in world.processes.values() for p in some]:
        process.kill()


def raise_unless_expected(error: BaseException | None) -> None:
    """A form that fails for what passes is sent again; anything else is a fault."""
    if error and not isinstance(error, (OperationalError, Undecided, StalePlan, StaleKeys)):
        raise error


def converged(world: World) -> bool:
    return all(
        len(db.outbox.get(partner, ())) == len(other.inbox.get(office, ()))
        and db.link(partner)["confirmed"] == len(db.outbox.get(partner, ()))
        for office, db in world.databases.items()
        for partner, other in db.partners.items()
    )


def judge(world: World) -> None:
    """What people were told is done stands at both offices, once."""
    for office, db in world.databases.items():
        bodies = [row[4] for row in db.events]
        if b"".join(merkle.extend(0, (), bodies)) != db.frontier:
            raise Broken(f"{office}: the tree is not that of its events")
        left = {x["reason"] for x in db.parked if not x["settled"]}
        allowed = {"UNTRUSTED_FRAME", "REPLAYED_FRAME"}
        if left - allowed:
            raise Broken(f"{office}: parked {left - allowed}")
    city = world.databases[CITY_CODE]
    for person, outcome in world.answers.items():
        for found in (said(city, "arrival-recorded", person), everywhere(world, person)):
            if len(found) != 1 or f'"outcome":"{outcome}"' not in found[0]:
                raise Broken(f"{person}: {outcome} was answered, and stands {len(found)} times")
    for reference, (office, amount) in world.credits.items():
        for db, kind in ((city, "grant.disbursed"), (world.databases[office], "credit-noted")):
            found = said(db, kind, reference)
            if len(found) != 1 or f'"amount_rupiah":{amount}' not in found[0]:
                raise Broken(f"{reference}: {kind} {len(found)} times at {db.office}")


def everywhere(world: World, person: str) -> list[str]:
    return [x for p in PROVINCES for x in said(world.databases[p], "arrival.acknowledged", person)]


def said(db: Database, kind: str, about: str) -> list[str]:
    return [row[4].decode() for row in db.events if kind in row[3] and f'"{about}"' in str(row[4])]


def simulate(seed: int, load: Any) -> str:
    """Runs one seed; gives the digest of its trace. Raises Broken, or what the code raised."""
    world = World(seed)
    chance = random.Random(seed + 1)
    loop = VirtualLoop()
    with (
        patch.object(uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4)),
        patch.object(os, "urandom", chance.randbytes),
        patch.object(random, "_urandom", chance.randbytes),
    ):
        try:
            loop.run_until_complete(_run(world, load))
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
    world.trace += [
        f"{o} {len(db.events)} {db.frontier.hex()}" for o, db in world.databases.items()
    ]
    return sha256("\n".join(world.trace).encode()).hexdigest()
