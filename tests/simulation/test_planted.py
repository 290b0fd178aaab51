"""The simulator is itself tested: each of these faults, planted in the code, is found soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from shared.kernel.handling import Handling
from shared.kernel.inbox import Inbox
from shared.kernel.keyring import Keyring
from shared.kernel.link_tables import LinkTables
from shared.kernel.outbox import Relay
from shared.kernel.store import Store
from tests.simulation.load import load
from tests.simulation.memory import Broken, Database
from tests.simulation.world import Process, simulate

SEEDS = 200

Plant = Callable[[pytest.MonkeyPatch], None]
PLANTS: dict[str, Plant] = {}


def plant(made: Plant) -> Plant:
    PLANTS[made.__name__] = made
    return made


@plant
def a_receipt_too_high(patch: pytest.MonkeyPatch) -> None:
    receipt = Inbox.receipt
    patch.setattr(Inbox, "receipt", lambda self, n, **more: receipt(self, n + 1, **more))


@plant
def a_receipt_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    async def receive(self: Inbox, frames: Any, applied: int, now: Any) -> Any:
        return self.receipt(max(one.last for one in frames), gap=False, now=now)

    patch.setattr(Inbox, "_apply", receive)


@plant
def no_inbox(patch: pytest.MonkeyPatch) -> None:
    """What was applied is forgotten, and comes as if it were new."""

    async def applied(self: LinkTables, sender: str) -> tuple[int, set[bytes]]:
        return 0, set()

    patch.setattr(LinkTables, "applied", applied)


@plant
def inbox_rows_beside_the_commit(patch: pytest.MonkeyPatch) -> None:
    handle = Handling.handle

    async def without(self: Handling, units: Any, **more: Any) -> Any:
        return await handle(self, units, **more | {"received": ()})

    patch.setattr(Handling, "handle", without)


@plant
def a_message_noted_and_not_acted_on(patch: pytest.MonkeyPatch) -> None:
    commit = Inbox._commit

    async def idle(self: Inbox, *rest: Any) -> None:
        self._reactor = lambda *_: []
        await commit(self, *rest)

    patch.setattr(Inbox, "_commit", idle)


@plant
def a_gap_that_is_skipped(patch: pytest.MonkeyPatch) -> None:
    apply = Inbox._apply

    async def skipping(self: Inbox, frames: Any, applied: int, now: Any) -> Any:
        return await apply(self, frames, max(applied, min(f.first for f in frames) - 1), now)

    patch.setattr(Inbox, "_apply", skipping)


@plant
def marked_as_sent_and_never_gone_back_to(patch: pytest.MonkeyPatch) -> None:
    async def stay(self: Relay, through: int) -> None:
        self._sent = max(self._sent or 0, await self._links.last_recorded(self.receiver))

    patch.setattr(Relay, "_go_back", stay)


@plant
def nothing_is_sent_again(patch: pytest.MonkeyPatch) -> None:
    async def never(self: Relay, now: Any) -> None:
        return

    patch.setattr(Relay, "_resend_when_quiet", never)


@plant
def sent_is_taken_for_confirmed(patch: pytest.MonkeyPatch) -> None:
    note = LinkTables.note_sent

    async def both(self: LinkTables, receiver: str, through: int) -> None:
        await note(self, receiver, through)
        await self.note_confirmed(receiver, through, None)  # type: ignore[arg-type]

    patch.setattr(LinkTables, "note_sent", both)


@plant
def trimmed_too_far(patch: pytest.MonkeyPatch) -> None:
    async def all_of_it(self: Relay) -> None:
        if self._entries:
            await self._transport.trim(self.receiver, self._entries[-1][1])

    patch.setattr(Relay, "_trim", all_of_it)


@plant
def the_head_is_not_guarded(patch: pytest.MonkeyPatch) -> None:
    append = Database.append

    def anyway(self: Database, p: dict[str, Any]) -> int | None:
        from psycopg.types.json import Jsonb

        now = {"old_size": self.size, "old_frontier": self.frontier}
        return append(self, p | now | {"old_outgoing": Jsonb(self.outgoing)})

    patch.setattr(Database, "append", anyway)


@plant
def numbers_that_begin_again_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    parameters = Store._parameters

    def again(self: Store, commits: Any, head: Any) -> Any:
        fresh = replace(head, outgoing={}) if self._head is None else head
        made, new = parameters(self, commits, fresh)
        return made | {"old_outgoing": parameters(self, commits, head)[0]["old_outgoing"]}, new

    patch.setattr(Store, "_parameters", again)


@plant
def messages_written_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    """And lost where the process dies between the two: here always, with every seventh event."""
    append = Database.append

    def torn(self: Database, p: dict[str, Any]) -> int | None:
        if p["new_size"] % 7 == 0 and p["o_receiver"]:
            p = p | {name: [] for name in p if name.startswith("o_")}
        return append(self, p)

    patch.setattr(Database, "append", torn)


@plant
def an_unanswered_commit_is_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    from psycopg import OperationalError

    append = Store.append

    async def hopeful(self: Store, commit: Any) -> int:
        try:
            return await append(self, commit)
        except OperationalError:
            return 0

    patch.setattr(Store, "append", hopeful)


@plant
def a_signature_that_nobody_verifies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keyring, "trusts", lambda *_: True)


@plant
def refused_for_good_what_waits_only_for_its_turn(patch: pytest.MonkeyPatch) -> None:
    """Every message is parked, and nothing is tried again."""
    commit = Inbox._commit

    async def refusing(self: Inbox, *rest: Any) -> None:
        def unable(*_: Any) -> Any:
            raise TypeError

        self._reactor = unable
        await commit(self, *rest)

    patch.setattr(Inbox, "_commit", refusing)


@plant
def acknowledged_and_dropped_when_the_database_fails(patch: pytest.MonkeyPatch) -> None:
    """The receipt says what was in the batch, written or not."""
    take = Process.take

    async def dropping(self: Process, partner: str, raws: Any, again: bool) -> None:
        from psycopg import OperationalError

        from shared.kernel.link import Frame, Unreadable, decode, encode

        trusts = self.vault.keyring.trusts
        try:
            await take(self, partner, raws, again)
        except OperationalError:
            for raw in raws:
                try:
                    item = decode(raw, sender=partner, receiver=self.office, trusts=trusts)
                except Unreadable:
                    continue
                if isinstance(item, Frame):
                    said = self.inboxes[partner].receipt(item.last, gap=False, now=self.now())
                    await self.send(partner, encode(said, self.vault.keyring.sign))

    patch.setattr(Process, "take", dropping)


def found(seeds: Iterator[int] | range) -> int | None:
    """The first seed that fails."""
    for seed in seeds:
        try:
            simulate(seed, load)
        except Broken:
            return seed
    return None


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS[name](monkeypatch)
    assert found(range(SEEDS)) is not None
