"""The worker: relays, consumers and projectors, in the one process that holds the office's lock.

A session-level lock in the office's own database picks the active worker; others stand by and
take over when its connection ends. The same connection listens for new events; polling stands
behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from psycopg import AsyncConnection, Error, OperationalError
from pydantic import ValidationError

from shared.custody.eraser import Eraser
from shared.kernel import named
from shared.kernel.checkpoints import Checkpoints, HistoryBroken
from shared.kernel.hold import Held
from shared.kernel.inbox import Inbox, passing
from shared.kernel.link import Receipt, encode
from shared.kernel.outbox import Relay
from shared.kernel.projector import AheadOfLog
from shared.kernel.store import CHANNEL
from shared.runtime import missing
from shared.runtime.audit import asking
from shared.runtime.office import Office
from shared.runtime.replaying import follow
from shared.runtime.streams import RedisLinks
from shared.runtime.tasks import end

log = logging.getLogger(__name__)

WORKER_LOCK = 53710003
STANDBY_SECONDS = 1.0
POLL_SECONDS = 1.0
ANNOUNCE_SECONDS = 5.0
LOOK_SECONDS = 0.2
"""An auditor's question is looked for so often at most, however often new events wake the loop."""
FLOOR_SECONDS = 0.1
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)


LOCK_CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    "options": "-c search_path=public,pg_temp -c tcp_keepalives_idle=10"
    " -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=25000",
}  # fmt: skip
"""Either end finds within about half a minute that the other's machine is gone without a word, also
where something was sent that is not acknowledged: else the server would keep the lock, and no
standby takes over."""


class Worker:
    """`run` until cancelled. `state` and `troubles` say how it is."""

    def __init__(self, office: Office) -> None:
        self._office = office
        code = office.settings.office
        partners = office.settings.partners
        self.links = RedisLinks(office.settings.redis_url, code, partners, self._receive)
        self._relays = {p: Relay(office.store.links, office.vault, self.links, p) for p in partners}
        self._inboxes = {p: office.inbox(p) for p in partners}
        self._eraser = Eraser(office.handling, office.vault)
        self._receiving = {p: asyncio.Lock() for p in partners}
        self._asked: dict[str, str] = {}
        self._answers = asking.Answers(office)
        self._heard: dict[str, int] = {}
        self._told: dict[str, str] | None = None
        self._checkpoints = Checkpoints(office.keyring)
        self._wakes: dict[str, asyncio.Event] = {}
        self._following: list[str] = []
        self.state = "standby"
        self.troubles: dict[str, str] = {}
        self._cut_off: set[str] = set()

    async def run(self) -> None:
        while True:
            try:
                await self._hold_lock_and_work()
            except (Error, OSError) as error:
                self.troubles["worker"] = f"the database is away: {type(error).__name__}"
                log.warning("worker: %s", self.troubles["worker"])
            except Exception as error:
                # Nothing may end the worker for good; what it was is said in health and log.
                self.troubles["worker"] = f"the worker failed: {type(error).__name__}"
                log.exception("worker: failed")
            self.state = "standby"
            await asyncio.sleep(STANDBY_SECONDS)

    async def _hold_lock_and_work(self) -> None:
        connection = await AsyncConnection.connect(
            self._office.settings.database_url, autocommit=True, **LOCK_CONNECTION
        )
        async with connection:
            cursor = await connection.execute("select pg_try_advisory_lock(%s)", (WORKER_LOCK,))
            row = await cursor.fetchone()
            self.troubles.clear()
            self._cut_off.clear()
            if not row or not row[0]:
                return
            self.state = "active"
            self._told = None
            log.info("worker: active for %s", self._office.settings.office)
            work = [
                asyncio.create_task(self._listen(connection)),
                asyncio.create_task(self.links.run()),
                asyncio.create_task(self._loop("troubles", self._tell, follows=False)),
                asyncio.create_task(self._loop("checkpoints", self._checkpoint)),
                asyncio.create_task(self._loop("eraser", self._erase)),
                asyncio.create_task(self._loop("named", self._name, follows=False)),
                asyncio.create_task(self._loop("restored log", self._compare, follows=False)),
                *(
                    asyncio.create_task(
                        self._loop(f"receipts to {name}", self._announce(name), follows=False)
                    )
                    for name in self._inboxes
                ),
                *(
                    asyncio.create_task(self._loop(f"parked of {name}", self._settle(inbox)))
                    for name, inbox in self._inboxes.items()
                ),
                *(
                    asyncio.create_task(self._loop(f"relay {name}", self._relay(relay)))
                    for name, relay in self._relays.items()
                ),
                *(
                    asyncio.create_task(
                        self._loop(f"projection {p.projection.name}", follow(self._office, p))
                    )
                    for p in self._office.projectors
                ),
            ]
            try:
                ended, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Without the lock's connection nobody may work: another worker takes over.
                await end(work)
            for task in ended:
                task.result()

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        """Wakes what follows the log at each append. Raises when the connection ends."""
        await connection.execute(f"listen {CHANNEL}".encode())
        while True:
            async for _ in connection.notifies(timeout=POLL_SECONDS * 5, stop_after=1):
                self.appended()
            await connection.execute("select 1")

    def _relay(self, relay: Relay) -> Callable[[], Awaitable[int]]:
        async def step() -> int:
            return await relay.step(self._office.clock())

        return step

    async def _loop(
        self, name: str, step: Callable[[], Awaitable[int]], *, follows: bool = True
    ) -> None:
        """Steps again and again: at once when it is woken, and, if it follows the log, by appends.

        Its name wakes it (`_wake`).
        """
        wake = self._wakes[name] = asyncio.Event()
        if follows:
            self._following.append(name)
        failures = 0
        try:
            while True:
                wake.clear()
                try:
                    done = await step()
                    self.troubles.pop(name, None)
                    self._cut_off.discard(name)
                    failures = 0
                except (ConnectionError, AheadOfLog, Held, HistoryBroken) as error:
                    self.troubles[name] = f"{name}: {error}"
                    self._cut_off.discard(name)
                    if isinstance(error, ConnectionError):
                        self._cut_off.add(name)
                    done, failures = 0, failures + 1
                except Exception as error:
                    self._cut_off.discard(name)
                    if isinstance(error, OperationalError):
                        await self._office.pool.check()
                    # Its message may hold values, and health is open to all: the type must do.
                    self.troubles[name] = (
                        f"{name} stands still: {type(error).__name__}, see the log"
                    )
                    log.exception("worker: %s", name)
                    done, failures = 0, failures + 1
                if failures:
                    await asyncio.sleep(FLOOR_SECONDS)
                if failures or not done:
                    # What wakes a loop may be what it failed for: a receipt, a new event.
                    back_off = BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS)) - 1]
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(back_off if failures else POLL_SECONDS):
                            await wake.wait()
        finally:
            if follows:
                self._following.remove(name)
            del self._wakes[name]

    def _wake(self, name: str) -> None:
        """A loop that is not there is woken by its beginning."""
        if name in self._wakes:
            self._wakes[name].set()

    def appended(self) -> None:
        """Wakes what follows the log."""
        for name in self._following:
            self._wakes[name].set()

    async def _checkpoint(self) -> int:
        await self._office.keyring.refresh()
        return await self._checkpoints.step(self._office.clock())

    async def _name(self) -> int:
        async with self._office.pool.connection() as connection:
            return await named.extend(connection)

    async def _compare(self) -> int:
        """A log that was restored goes on once it is known to be whole."""
        return await missing.go_on_compared(self._office)

    async def _erase(self) -> int:
        return await self._eraser.step(self._office.clock())

    def _settle(self, inbox: Inbox) -> Callable[[], Awaitable[int]]:
        """What waited behind a parked message goes on when that one is settled."""

        async def step() -> int:
            await inbox.settle(self._office.clock(), "worker")
            return 0

        return step

    async def _tell(self) -> int:
        """Writes what troubles it where every process of this office can read it."""
        found = dict(self.troubles)
        if self.links.trouble:
            found["links"] = self.links.trouble
        if found != self._told:
            async with self._office.pool.connection() as connection:
                await connection.execute(
                    "with over as (delete from worker_troubles where name <> all(%(names)s))"
                    " insert into worker_troubles select name, says, %(now)s"
                    " from unnest(%(names)s::text[], %(says)s::text[]) as found(name, says)"
                    " on conflict (name) do update set says = excluded.says",
                    {
                        "names": list(found),
                        "says": list(found.values()),
                        "now": self._office.clock(),
                    },
                )
            self._told = found
        return 0

    def _announce(self, partner: str) -> Callable[[], Awaitable[int]]:
        """Tells a partner now and then, and at once in a new key epoch, what to seal to.

        At once too what an auditor asks, and the answer to what one there has asked.
        """
        keyring, inbox = self._office.keyring, self._inboxes[partner]
        at, looked, epoch, asked, asks = 0.0, 0.0, 0, "", ""

        async def step() -> int:
            nonlocal at, looked, epoch, asked, asks
            await keyring.refresh()
            now = asyncio.get_running_loop().time()
            if now - looked >= LOOK_SECONDS:
                asks, looked = await self._question(partner), now
            tells = await self._answer(partner)
            said = keyring.epoch == epoch and asks == asked and not tells
            if said and now - at < ANNOUNCE_SECONDS:
                return 0
            async with self._receiving[partner]:
                receipt = await inbox.receipt(gap=False, now=self._office.clock())
                heard = self._heard.get(partner, 0)
                receipt = replace(receipt, asks=asks, tells=tells, heard=heard)
                raw = encode(receipt, keyring.sign)
                await self.links.send_receipt(partner, raw, aside=bool(asks or tells))
            at, epoch, asked = now, keyring.epoch, asks
            return 0

        return step

    async def _question(self, partner: str) -> str:
        return await asking.open_question(self._office, partner)

    async def _answer(self, partner: str) -> str:
        """The answer to what a partner's auditor has asked; it asks again where this is lost."""
        if not (question := self._asked.get(partner, "")):
            return ""
        try:
            answer = await self._answers.to(partner, question)
        except ValidationError:
            log.warning("worker: a question of %s can't be read", partner)
            answer = ""
        if answer is not None and self._asked.get(partner) == question:
            del self._asked[partner]
        return answer or ""

    async def _receive(self, sender: str, raws: Sequence[bytes], again: bool) -> None:
        """One batch of a link: applied and committed before this returns."""
        async with self._receiving[sender]:
            # One at a time, or a receipt that was asked for later could say less.
            await self._receive_alone(sender, raws, again)

    async def _receive_alone(self, sender: str, raws: Sequence[bytes], again: bool) -> None:
        receipt, incoming = await self._inboxes[sender].receive(
            raws, self._office.clock(), again=again
        )
        for one in incoming:
            await self._confirm(sender, one)
            # After what came before it: each link is read in order, and nothing of it skipped.
            self._heard[sender] = one.sent
            if one.asks:
                self._asked[sender] = one.asks
                self._wake(f"receipts to {sender}")
            if self._relays[sender].waits:
                self._wake(f"relay {sender}")
        if incoming:
            # Something came, so that what failed for want of a transport may go on.
            for name in sorted(self._cut_off):
                self._wake(name)
        if receipt is not None:
            try:
                receipt = replace(receipt, heard=self._heard.get(sender, 0))
                await self.links.send_receipt(sender, encode(receipt, self._office.keyring.sign))
            except ConnectionError as error:
                # The sender will ask again by sending again.
                log.info("worker: receipt to %s not sent: %s", sender, error)

    async def _confirm(self, sender: str, receipt: Receipt) -> None:
        try:
            await self._relays[sender].confirm(receipt, self._office.clock())
            if receipt.tells:
                await asking.note_answer(self._office, sender, receipt.tells)
        except Exception as error:
            if passing(error) or isinstance(error, ConnectionError):
                raise
            # Trying again mends nothing, and a partner's next receipt says it anew.
            log.exception("worker: a receipt of %s could not be taken in", sender)
