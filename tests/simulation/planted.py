"""Faults that are planted on purpose: each is a small change of the real code or its stand-ins.

Whoever changes the auditor sees here whether it still finds what it is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from services.province.domain import grant
from shared.contracts import messages
from shared.custody import exchange
from shared.kernel.inbox import Inbox
from shared.kernel.keyring import Keyring
from shared.kernel.link import Frame, decode, encode
from shared.kernel.outbox import Relay
from shared.kernel.store import Commit, Head, Received
from tests.simulation.memory import MemoryLinkTables, MemoryStore, Tables
from tests.simulation.office import Process
from tests.simulation.transport import Links

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
PLANTED: dict[str, Plant] = {}


def planted(plant: Plant) -> Plant:
    PLANTED[plant.__name__] = plant
    return plant


@planted
def entries_are_acknowledged_before_the_commit(patch: Patch) -> None:
    async def take(self: Links, link: Any, entries: Any) -> None:
        await self._acknowledge(link, entries, self.due(link))
        await self.process.receive(link[0], [raw for _, raw in entries], False)

    patch.setattr(Links, "_take", take)


@planted
def a_receipt_goes_before_the_commit(patch: Patch) -> None:
    real = Process.receive

    async def receive(self: Process, sender: str, raws: Sequence[bytes], again: bool) -> None:
        keyring = self.office.keyring
        for raw in raws:
            try:
                item = decode(raw, sender=sender, receiver=keyring.office, trusts=keyring.trusts)
            except Exception:
                continue
            if isinstance(item, Frame):
                receipt = self.inboxes[sender].receipt(item.last, gap=False,
                                                       now=self.office.clock())  # fmt: skip
                await self.links.send_receipt(sender, encode(receipt, keyring.sign))
        await real(self, sender, raws, again)

    patch.setattr(Process, "receive", receive)


@planted
def what_was_applied_is_applied_again(patch: Patch) -> None:
    real = Tables.check

    async def applied(self: MemoryLinkTables, sender: str) -> tuple[int, set[bytes]]:
        return 0, set()

    def check(self: Tables, p: Any) -> None:
        real(self, {**p, "i_sender": [], "i_sequence": []})

    patch.setattr(MemoryLinkTables, "applied", applied)
    patch.setattr(Tables, "check", check)


async def _nothing(*_: Any) -> None:
    return None


@planted
def marked_as_sent_before_it_is_and_never_gone_back_for(patch: Patch) -> None:
    real = Relay.step

    async def step(self: Relay, now: Any) -> int:
        try:
            return await real(self, now)
        except ConnectionError:
            self._sent = await self._links.last_recorded(self.receiver)
            raise

    patch.setattr(Relay, "step", step)
    patch.setattr(Relay, "_resend_when_quiet", _nothing)


@planted
def a_receipt_is_too_high_by_one(patch: Patch) -> None:
    real = Inbox.receipt

    def receipt(self: Inbox, applied: int, **more: Any) -> Any:
        return real(self, applied + 1, **more)

    patch.setattr(Inbox, "receipt", receipt)


@planted
def a_receipt_is_believed_beyond_what_was_written(patch: Patch) -> None:
    async def last_recorded(self: MemoryLinkTables, receiver: str) -> int:
        return 10**9

    patch.setattr(MemoryLinkTables, "last_recorded", last_recorded)


@planted
def all_that_was_sent_is_trimmed(patch: Patch) -> None:
    async def trim(self: Relay) -> None:
        if self._entries:
            await self._transport.trim(self.receiver, self._entries[-1][1])

    patch.setattr(Relay, "_trim", trim)


@planted
def a_number_is_used_again_after_a_crash(patch: Patch) -> None:
    """The last numbers are kept in memory and not guarded by the head."""

    async def read_head(self: MemoryStore, connection: Any) -> Head:
        first = self.__dict__.setdefault("first", dict(self.tables.head.outgoing))
        head = self.tables.head
        return Head(head.size, head.frontier, dict(first), head.key_epoch)

    guarded, check = Tables.guarded, Tables.check

    def guarded_but(self: Tables, p: Any) -> bool:
        own = type("Own", (), {"obj": self.head.outgoing})
        return guarded(self, {**p, "old_outgoing": own})

    def check_but(self: Tables, p: Any) -> None:
        check(self, {**p, "o_receiver": [], "o_sequence": []})

    patch.setattr(MemoryStore, "_read_head", read_head)
    patch.setattr(Tables, "guarded", guarded_but)
    patch.setattr(Tables, "check", check_but)


@planted
def the_head_is_not_compared(patch: Patch) -> None:
    patch.setattr(Tables, "guarded", lambda self, p: True)


@planted
def nothing_is_ever_sent_again(patch: Patch) -> None:
    patch.setattr(Relay, "_resend_when_quiet", _nothing)


@planted
def a_gap_is_not_minded(patch: Patch) -> None:
    async def apply(self: Inbox, frames: Any, applied: int, now: Any) -> Any:
        run = [
            Received(self._sender, number, body, frame.head, frame.digest)
            for frame in frames
            for number, body in enumerate(frame.bodies, frame.first)
            if number > applied
        ]
        if run:
            await self._commit_all(run, {}, now)
            applied = run[-1].sequence
        return self.receipt(applied, gap=False, now=now)

    patch.setattr(Inbox, "_apply", apply)


@planted
def outbox_rows_are_written_after_the_commit(patch: Patch) -> None:
    real, execute = Tables.write_outbox, MemoryStore._execute

    async def later(self: MemoryStore, connection: Any, parameters: Any) -> bool:
        written = await execute(self, connection, parameters)
        if written:
            real(self.tables, parameters)
        return written

    patch.setattr(Tables, "write_outbox", lambda self, p: None)
    patch.setattr(MemoryStore, "_execute", later)


@planted
def an_inbox_row_has_no_effects(patch: Patch) -> None:
    async def commit(self: Inbox, run: Any, told: Any, now: Any) -> None:
        await self._handling.store.append(Commit(at=now, received=run))

    patch.setattr(Inbox, "_commit", commit)


@planted
def effects_and_inbox_row_are_two_commits(patch: Patch) -> None:
    real = Inbox._commit

    async def commit(self: Inbox, run: Any, told: Any, now: Any) -> None:
        handle = self._handling.handle

        async def in_two(units: Any, *, received: Any = (), **more: Any) -> Any:
            outcome = await handle(units, **more)
            await self._handling.store.append(Commit(at=now, received=received))
            return outcome

        self._handling.handle = in_two  # type: ignore[method-assign]
        try:
            await real(self, run, told, now)
        finally:
            self._handling.handle = handle  # type: ignore[method-assign]

    patch.setattr(Inbox, "_commit", commit)


@planted
def nobody_looks_at_signatures(patch: Patch) -> None:
    patch.setattr(Keyring, "trusts", lambda *_: True)


@planted
def identities_are_dropped_on_the_way(patch: Patch) -> None:
    async def unsealed(self: Inbox, frame: Any, now: Any) -> Any:
        return {}

    patch.setattr(Inbox, "_unsealed", unsealed)


@planted
def the_disk_lies_about_what_it_wrote(patch: Patch) -> None:
    real = Tables.append

    def append(self: Tables, p: Any) -> bool:
        return True if p["new_size"] % 23 == 0 else real(self, p)

    patch.setattr(Tables, "append", append)


@planted
def a_second_return_counts_the_first_again(patch: Patch) -> None:
    real = grant._on_credit

    def on_credit(command: Any, credit: Any, state: Any) -> Any:
        decision = real(command, credit, state)
        if isinstance(command, grant.NoteReturn) and isinstance(decision, list):
            return [e.model_copy(update={"amount_rupiah": command.amount_rupiah}) for e in decision]
        return decision

    patch.setattr(grant, "_on_credit", on_credit)


@planted
def a_failed_credit_is_told_to_nobody(patch: Patch) -> None:
    real = exchange.publisher

    def publisher(own: Any) -> Any:
        publish = real(own)

        def forgetful(stream: str, event: Any) -> Any:
            told = publish(stream, event)
            return [one for one in told if not isinstance(one.message, messages.GrantFailed)]

        return forgetful

    patch.setattr(exchange, "publisher", publisher)


@planted
def a_request_is_answered_before_its_commit(patch: Patch) -> None:
    real = MemoryStore.append

    async def append(self: MemoryStore, commit: Commit) -> int:
        if commit.request is None:
            return await real(self, commit)
        keep = asyncio.get_running_loop().create_task(real(self, commit))
        keep.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self.tables.head.size + len(commit.events)

    patch.setattr(MemoryStore, "append", append)
