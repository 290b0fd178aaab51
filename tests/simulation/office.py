"""One office: durable rows, and the processes over them, each of which may end at any await."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from psycopg import OperationalError

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.custody import DECIDERS, exchange
from shared.kernel.checkpoints import Checkpoints
from shared.kernel.handling import Handling
from shared.kernel.inbox import Inbox
from shared.kernel.outbox import Relay
from shared.kernel.projector import Projector
from shared.kernel.store import Store
from shared.kernel.vault import Vault
from shared.runtime.worker import Worker
from tests.simulation import errands, story
from tests.simulation.loop import OWNER
from tests.simulation.memory import Database
from tests.simulation.pool import MemoryKeyring, Pool
from tests.simulation.transport import Links

if TYPE_CHECKING:
    from tests.simulation.world import World

CITY_CODE = "53.71"
PROVINCES = ("35", "53", "33")
OFFICES = (CITY_CODE, *PROVINCES)
BEGIN = datetime.fromisoformat("2019-10-04T08:00:00+00:00")
STATEMENTS = frozenset(
    ("read", *(f"{when} {what}" for when in ("before", "after")
               for what in ("commit", "write", "transaction")))
)  # fmt: skip
TOLD_AFTER_SECONDS = 0.2
"""So much later than a commit the workers hear of it."""


class Office:
    """What outlives its processes: code, rows, and a clock that may be wrong."""

    def __init__(self, world: World, code: str) -> None:
        self.world, self.code = world, code
        self.service = CITY if code == CITY_CODE else PROVINCE
        self.partners = PROVINCES if code == CITY_CODE else (CITY_CODE,)
        self.database = Database(heard=self._heard, projections={story.NAME: (0, 1)})
        self.ahead = 0.0
        self.looks = 0
        self.web: Process | None = None
        self.workers: list[Process] = []
        self._telling = False

    def clock(self) -> datetime:
        """Virtual time stands still while tasks run; a real clock never shows the same twice."""
        self.looks += 1
        shown = self.world.loop.time() + self.ahead
        return BEGIN + timedelta(seconds=round(shown, 6), microseconds=self.looks)

    def _heard(self, what: str, about: Any) -> None:
        self.world.auditor.heard(self.code, what, about)
        if what == "commit" and not self._telling:
            self._telling = True
            self.world.loop.call_later(TOLD_AFTER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._telling = False
        for process in self.workers:
            process.wake_all()


class Process:
    """A web or a worker process, in the shape of `shared.runtime.office.Office`.

    Crashed, its tasks end and nothing of its memory is left.
    """

    def __init__(self, office: Office, name: str) -> None:
        self.office, self.name, self.world = office, name, office.world
        self.tasks: list[asyncio.Task[Any]] = []
        self.dead = False
        self.settings = SimpleNamespace(office=office.code, partners=office.partners)
        self.service, self.clock = office.service, office.clock
        pool: Any = Pool(office.database, self.point)
        self.pool = pool
        self.store = Store(pool, office.code)
        deciders = (*office.service.deciders, *DECIDERS, errands.decider)
        publisher = errands.publisher(exchange.publisher(office.service.publisher))
        self.handling = Handling(self.store, deciders, publisher)
        self.keyring = MemoryKeyring(pool, office.code, OFFICES)
        self.vault = Vault(self.keyring)
        self.reactor = errands.reactor(exchange.reactor(office.service.reactor))
        self.projector = Projector(pool, self.handling.types, story.projection)
        self.worker: SimulatedWorker | None = None

    def inbox(self, sender: str) -> Inbox:
        return Inbox(self.handling, self.vault, self.reactor, sender)

    async def point(self, where: str) -> None:
        """Where the seed may delay this process, fail its statement, or end it."""
        if self.dead:
            raise asyncio.CancelledError
        world = self.world
        if not world.faults:
            return
        match world.happens_at_a_point():
            case None:
                return
            case "crash":
                world.drew("crash", where)
                world.crashed(self, where)
                raise asyncio.CancelledError
            case "delay":
                world.drew("delay")
                await asyncio.sleep(world.chance.choice((0, 0.01, 0.3, 2.0)))
                if self.dead:
                    raise asyncio.CancelledError
            case _ if where in STATEMENTS:
                world.drew("statement fails", where)
                raise OperationalError("the connection is lost")

    def kill(self) -> None:
        self.dead = True
        for task in self.tasks:
            task.cancel()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of this process: with the process it ends."""
        context = contextvars.copy_context()
        context.run(OWNER.set, self)
        return self.world.loop.create_task(coroutine, context=context)

    def work(self) -> None:
        """Begins all of a worker's loops."""
        self.worker = SimulatedWorker(self)
        for coroutine in self.worker.loops():
            self.start(coroutine)

    def wake_all(self) -> None:
        if self.worker is not None:
            self.worker.appended()


class SimulatedWorker(Worker):
    """The product's own loops: only the lock, the eraser and Redis are not there."""

    def __init__(self, process: Process) -> None:
        office: Any = process
        self._office = office
        links: Any = Links(process.world, process, self._receive)
        self.links = links
        partners = process.office.partners
        self._relays = {p: Relay(office.store.links, office.vault, links, p) for p in partners}
        self._inboxes = {p: office.inbox(p) for p in partners}
        self._receiving = {p: asyncio.Lock() for p in partners}
        self._asked, self._heard = {}, {}
        self._checkpoints = Checkpoints(office.keyring)
        self._wakes, self._following = {}, []
        self.state = "active"
        self.troubles = {}
        self._cut_off = set()

    async def _question(self, partner: str) -> str:
        """No auditor asks here, and what the seeds draw stays what it was."""
        return ""

    def loops(self) -> list[Coroutine[Any, Any, Any]]:
        links: Any = self.links
        return [
            *(links.serve(partner) for partner in self._relays),
            *(self._loop(f"relay {p}", self._relay(relay)) for p, relay in self._relays.items()),
            self._loop("checkpoints", self._checkpoint),
            *(
                self._loop(f"receipts to {p}", self._announce(p), follows=False)
                for p in self._relays
            ),
            *(self._loop(f"parked of {p}", self._settle(one)) for p, one in self._inboxes.items()),
            self._loop("projection story", self._office.projector.step),  # type: ignore[attr-defined]
        ]
