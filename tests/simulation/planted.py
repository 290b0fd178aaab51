"""Faults that are planted on purpose: each is a small change of the real code or its stand-ins.

Whoever changes the auditor sees here whether it still finds what it is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from psycopg import OperationalError
from psycopg.types.json import Jsonb

from services.province.domain import grant
from shared.contracts import messages
from shared.custody import exchange
from shared.kernel import inbox, outbox
from shared.kernel.handling import Handling
from shared.kernel.inbox import Inbox
from shared.kernel.keyring import Keyring
from shared.kernel.link import Frame, Receipt, Unreadable, decode, encode
from shared.kernel.link_tables import LinkTables, Waiting
from shared.kernel.outbox import Relay
from shared.kernel.projector import Projector
from shared.kernel.store import APPEND, Commit, Head, Received, Store, read_events
from shared.runtime.worker import Worker
from tests.simulation.memory import Database
from tests.simulation.pool import Connection, Cursor
from tests.simulation.transport import Links

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
PLANTED: dict[str, Plant] = {}
ONCE: dict[str, Plant] = {}
"""What the product itself once had wrong; `regressions.txt` lists a seed that finds each."""


def planted(plant: Plant) -> Plant:
    PLANTED[plant.__name__] = plant
    return plant


def once(plant: Plant) -> Plant:
    ONCE[plant.__name__] = plant
    return plant


@planted
def entries_are_acknowledged_before_the_commit(patch: Patch) -> None:
    async def take(self: Links, link: Any, entries: Any) -> None:
        await self._acknowledge(link, entries, self.due(link))
        await self.receive(link[0], [raw for _, raw in entries], False)

    patch.setattr(Links, "_take", take)


@planted
def a_receipt_goes_before_the_commit(patch: Patch) -> None:
    real = Worker._receive

    async def receive(self: Worker, sender: str, raws: Sequence[bytes], again: bool) -> None:
        keyring, clock = self._office.keyring, self._office.clock
        for frame in frames_in(raws, sender, keyring):
            receipt = await self._inboxes[sender].receipt(gap=False, now=clock())
            receipt = replace(receipt, applied_through=frame.last)
            await self.links.send_receipt(sender, encode(receipt, keyring.sign))
        await real(self, sender, raws, again)

    patch.setattr(Worker, "_receive", receive)


def frames_in(raws: Sequence[bytes], sender: str, keyring: Keyring) -> Iterator[Frame]:
    for raw in raws:
        try:
            item = decode(raw, sender=sender, receiver=keyring.office, trusts=keyring.trusts)
        except Unreadable:
            continue
        if isinstance(item, Frame):
            yield item


@planted
def what_could_not_be_recorded_is_acknowledged_all_the_same(patch: Patch) -> None:
    """The receipt says what was in the batch, written or not."""
    real = Worker._receive

    async def receive(self: Worker, sender: str, raws: Sequence[bytes], again: bool) -> None:
        keyring, clock = self._office.keyring, self._office.clock
        try:
            await real(self, sender, raws, again)
        except OperationalError:
            for frame in frames_in(raws, sender, keyring):
                receipt = await self._inboxes[sender].receipt(gap=False, now=clock())
                receipt = replace(receipt, applied_through=frame.last)
                await self.links.send_receipt(sender, encode(receipt, keyring.sign))

    patch.setattr(Worker, "_receive", receive)


async def _nothing_applied(self: LinkTables, sender: str) -> tuple[int, set[bytes]]:
    return 0, set()


@planted
def what_was_applied_is_applied_again(patch: Patch) -> None:
    real = Database.check

    def check(self: Database, p: Any) -> None:
        real(self, {**p, "i_sender": [], "i_sequence": []})

    patch.setattr(LinkTables, "applied", _nothing_applied)
    patch.setattr(Database, "check", check)


@planted
def what_was_applied_is_forgotten(patch: Patch) -> None:
    """The database still refuses what came twice: the link stands still."""
    patch.setattr(LinkTables, "applied", _nothing_applied)


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

    async def receipt(self: Inbox, **more: Any) -> Receipt:
        given = await real(self, **more)
        return replace(given, applied_through=given.applied_through + 1)

    patch.setattr(Inbox, "receipt", receipt)


@planted
def a_receipt_is_believed_beyond_what_was_written(patch: Patch) -> None:
    async def last_recorded(self: LinkTables, receiver: str) -> int:
        return 10**9

    patch.setattr(LinkTables, "last_recorded", last_recorded)


@planted
def all_that_was_sent_is_trimmed(patch: Patch) -> None:
    async def trim(self: Relay) -> None:
        if self._entries:
            await self._transport.trim(self.receiver, self._entries[-1].id)

    patch.setattr(Relay, "_trim", trim)


@planted
def a_number_is_used_again_after_a_crash(patch: Patch) -> None:
    """The last numbers are kept in memory and not guarded by the head."""
    parameters, guarded, check = Store._parameters, Database.guarded, Database.check

    def from_memory(self: Store, commits: Any, head: Head) -> Any:
        own: dict[str, int] = self.__dict__.setdefault("own", dict(head.outgoing))
        made, new = parameters(self, commits, replace(head, outgoing=own))
        self.__dict__["own"] = new.outgoing
        return made, new

    def guarded_but(self: Database, p: Any) -> bool:
        return guarded(self, {**p, "old_outgoing": Jsonb(self.outgoing)})

    def check_but(self: Database, p: Any) -> None:
        check(self, {**p, "o_receiver": [], "o_sequence": []})

    patch.setattr(Store, "_parameters", from_memory)
    patch.setattr(Database, "guarded", guarded_but)
    patch.setattr(Database, "check", check_but)


@planted
def numbers_begin_again_after_a_crash(patch: Patch) -> None:
    parameters = Store._parameters

    def again(self: Store, commits: Any, head: Head) -> Any:
        fresh = replace(head, outgoing={}) if self._head is None else head
        made, new = parameters(self, commits, fresh)
        return made | {"old_outgoing": Jsonb(head.outgoing)}, new

    patch.setattr(Store, "_parameters", again)


@planted
def the_head_is_not_compared(patch: Patch) -> None:
    patch.setattr(Database, "guarded", lambda self, p: True)


@planted
def nothing_is_ever_sent_again(patch: Patch) -> None:
    patch.setattr(Relay, "_resend_when_quiet", _nothing)


@planted
def a_gap_is_not_minded(patch: Patch) -> None:
    async def apply(self: Inbox, frames: Any, applied: int, now: Any, ask: bool) -> Any:
        run = [
            Received(self._sender, number, body, frame.head, frame.digest)
            for frame in frames
            for number, body in enumerate(frame.bodies, frame.first)
            if number > applied
        ]
        if run:
            await self._commit_all(run, {}, now)
        return await self.receipt(gap=False, now=now)

    patch.setattr(Inbox, "_apply", apply)


@planted
def outbox_rows_are_written_after_the_commit(patch: Patch) -> None:
    real, execute = Database.write_outbox, Connection.execute

    async def later(self: Connection, query: Any, parameters: Any = ()) -> Cursor:
        cursor = await execute(self, query, parameters)
        if query is APPEND and cursor.rowcount:
            real(self._database, parameters)
        return cursor

    patch.setattr(Database, "write_outbox", lambda self, p: None)
    patch.setattr(Connection, "execute", later)


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
    real = Database.append

    def append(self: Database, p: Any) -> bool:
        return True if p["new_size"] % 23 == 0 else real(self, p)

    patch.setattr(Database, "append", append)


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
    real = Store.append

    async def append(self: Store, commit: Commit) -> int:
        if commit.request is None:
            return await real(self, commit)
        keep = asyncio.get_running_loop().create_task(real(self, commit))
        keep.add_done_callback(lambda task: task.cancelled() or task.exception())
        return len(commit.events)

    patch.setattr(Store, "append", append)


@planted
def an_unanswered_commit_is_taken_for_done(patch: Patch) -> None:
    real = Store.append

    async def append(self: Store, commit: Commit) -> int:
        try:
            return await real(self, commit)
        except OperationalError:
            return 0

    patch.setattr(Store, "append", append)


@planted
def a_gap_is_skipped(patch: Patch) -> None:
    real = Inbox._apply

    async def apply(self: Inbox, frames: Any, applied: int, now: Any, ask: bool) -> Any:
        skipped = max(applied, min((f.first for f in frames), default=0) - 1)
        return await real(self, frames, skipped, now, ask)

    patch.setattr(Inbox, "_apply", apply)


@planted
def inbox_rows_are_not_written(patch: Patch) -> None:
    real = Handling.handle

    async def handle(self: Handling, units: Any, **more: Any) -> Any:
        return await real(self, units, **more | {"received": ()})

    patch.setattr(Handling, "handle", handle)


@planted
def what_was_sent_is_never_gone_back_to(patch: Patch) -> None:
    async def go_back(self: Relay, through: int) -> None:
        self._sent = max(self._sent or 0, await self._links.last_recorded(self.receiver))

    patch.setattr(Relay, "_go_back", go_back)


@planted
def what_was_sent_is_taken_for_confirmed(patch: Patch) -> None:
    real = LinkTables.note_sent

    async def note_sent(self: LinkTables, receiver: str, through: int, at: datetime) -> None:
        await real(self, receiver, through, at)
        await self.note_confirmed(receiver, through, at)

    patch.setattr(LinkTables, "note_sent", note_sent)


@once
def a_confirmation_is_remembered_before_it_is_written(patch: Patch) -> None:
    """A fault that the product once had: where the writing fails, an idle link never writes it."""
    confirm, note = Relay.confirm, LinkTables.note_confirmed

    async def remembered(self: Relay, receipt: Receipt, now: Any) -> None:
        self._links.__dict__.setdefault("relays", {})[self.receiver] = self
        await confirm(self, receipt, now)

    async def note_confirmed(self: LinkTables, receiver: str, through: int, at: Any) -> None:
        self.__dict__["relays"][receiver]._confirmed = through
        await note(self, receiver, through, at)

    patch.setattr(Relay, "confirm", remembered)
    patch.setattr(LinkTables, "note_confirmed", note_confirmed)


@once
def an_old_receipt_never_counts_again(patch: Patch) -> None:
    """Where the receiver's clock was set back, until it has caught up."""
    patch.setattr(outbox, "SILENCE_SECONDS", float("inf"))


@once
def quiet_is_measured_by_a_clock_that_can_be_set(patch: Patch) -> None:
    shown: ContextVar[float] = ContextVar("shown")
    step, confirm = Relay.step, Relay.confirm

    async def step_at(self: Relay, now: datetime) -> int:
        shown.set(now.timestamp())
        return await step(self, now)

    async def confirm_at(self: Relay, receipt: Receipt, now: datetime) -> None:
        shown.set(now.timestamp())
        await confirm(self, receipt, now)

    patch.setattr(outbox, "_elapsed", shown.get)
    patch.setattr(Relay, "step", step_at)
    patch.setattr(Relay, "confirm", confirm_at)


@once
def the_time_until_the_next_try_is_reckoned_first(patch: Patch) -> None:
    """After so many tries in vain that it is beyond what a time can be, nobody's turn comes."""
    real = LinkTables.waiting

    async def waiting(self: LinkTables, sender: str, after: int, limit: int) -> list[Waiting]:
        rows = await real(self, sender, after, limit)
        for row in rows:
            inbox.RETRY_AFTER * 4 ** (row.tries - 1)
        return rows

    patch.setattr(LinkTables, "waiting", waiting)


# What is parked, and the read model


@planted
def every_message_is_parked(patch: Patch) -> None:
    real = Inbox._commit

    async def commit(self: Inbox, run: Any, told: Any, now: Any) -> None:
        def unable(*_: Any) -> Any:
            raise TypeError

        self._reactor = unable
        await real(self, run, told, now)

    patch.setattr(Inbox, "_commit", commit)


@planted
def what_is_refused_is_dropped(patch: Patch) -> None:
    real = Handling.handle

    async def handle(self: Handling, units: Any, **more: Any) -> Any:
        return await real(self, units, **more | {"parked": None})

    patch.setattr(Handling, "handle", handle)


@planted
def what_waits_behind_a_parked_message_is_not_held(patch: Patch) -> None:
    async def held(self: LinkTables, sender: str) -> frozenset[str]:
        return frozenset()

    patch.setattr(LinkTables, "held", held)


@planted
def everybody_waits_behind_a_parked_message(patch: Patch) -> None:
    """What is about others waits too: nothing is lost by it, and one person stops all."""
    patch.setattr(inbox, "affairs_of", lambda body: frozenset({"everybody"}))


@planted
def what_waited_overtakes_what_it_waited_for(patch: Patch) -> None:
    real = LinkTables.waiting

    async def waiting(self: LinkTables, sender: str, after: int, limit: int) -> list[Waiting]:
        rows = await real(self, sender, after, limit)
        return [replace(row, affairs=frozenset()) for row in rows]

    patch.setattr(LinkTables, "waiting", waiting)


@planted
def nothing_that_is_parked_is_tried_again(patch: Patch) -> None:
    async def settle(self: Inbox, now: Any, by: str, chosen: Any = ()) -> list[int]:
        return []

    patch.setattr(Inbox, "settle", settle)


@planted
def a_message_is_settled_twice(patch: Patch) -> None:
    patch.setattr(Database, "is_settled", lambda self, p: False)


@planted
def what_is_settled_is_not_noted(patch: Patch) -> None:
    """Applied, and tried again for ever."""
    real = Handling.handle

    async def handle(self: Handling, units: Any, **more: Any) -> Any:
        return await real(self, units, **more | {"settled": ()})

    patch.setattr(Handling, "handle", handle)


@planted
def a_parked_message_forgets_who_it_brought(patch: Patch) -> None:
    real = LinkTables.as_it_came

    async def as_it_came(self: LinkTables, id_: int) -> tuple[bytes, Mapping[str, str]]:
        body, _ = await real(self, id_)
        return body, {}

    patch.setattr(LinkTables, "as_it_came", as_it_came)


@planted
def the_projectors_checkpoint_goes_before_its_rows(patch: Patch) -> None:
    async def next_batch(self: Projector, connection: Any, position: int) -> int:
        events = await read_events(connection, position, 1_000)
        if events:
            await self._checkpoint(connection, events[-1].position)
            await connection.end(commit=True)
            async with connection.transaction():
                await self._apply(connection, self.projection.schema, events)
        return len(events)

    patch.setattr(Projector, "_next_batch", next_batch)


@planted
def the_projectors_rows_go_before_its_checkpoint(patch: Patch) -> None:
    async def next_batch(self: Projector, connection: Any, position: int) -> int:
        events = await read_events(connection, position, 1_000)
        if events:
            await self._apply(connection, self.projection.schema, events)
            await connection.end(commit=True)
            async with connection.transaction():
                await self._checkpoint(connection, events[-1].position)
        return len(events)

    patch.setattr(Projector, "_next_batch", next_batch)


@planted
def two_projectors_do_not_wait_for_each_other(patch: Patch) -> None:
    async def no_lock(self: Connection, name: str) -> None: ...

    patch.setattr(Connection, "_lock", no_lock)
