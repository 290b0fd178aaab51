"""Offices witness each other's history: a rewritten or restored one is found by its partner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from shared.kernel import merkle, note, outbox, witness
from shared.kernel.checkpoints import HistoryBroken
from shared.kernel.handling import Handling
from shared.kernel.hold import Held
from shared.kernel.link import Receipt, Witnessed
from shared.kernel.note import Checkpoint
from shared.kernel.outbox import CLAIM_SECONDS, Relay
from shared.kernel.store import Commit, Store
from shared.kernel.vault import Vault
from tests.conftest import make_keyring
from tests.kernel.counter import NOW, decider, publish
from tests.kernel.test_exchange import Pair
from tests.kernel.test_store import event
from tests.servers import Servers

TABLES = ("events", "outbox", "log_head", "link_out", "link_times", "tiles", "checkpoints",
          "cosignatures")  # fmt: skip


class Offices(Pair):
    """City and province; the city's database can be put back to an earlier state."""

    owner: psycopg.Connection[Any]

    async def cross(self) -> Receipt | None:
        """What the city sends, at the province, and its receipt back at the city."""
        await self.relay.step(NOW)
        raws = [*self.wire.claims, *self.wire.frames]
        self.wire.claims, self.wire.frames = [], []
        receipt, _ = await self.inbox.receive(raws, NOW)
        if receipt is not None:
            await self.here.refresh()
            await self.relay.confirm(receipt, NOW)
        return receipt

    async def kept(self) -> Checkpoint | None:
        async with self.there.pool.connection() as connection:
            return (await witness.kept_of(connection, "53.71"))[0]

    async def forked(self) -> bool:
        async with self.there.pool.connection() as connection:
            return (await witness.kept_of(connection, "53.71"))[1]

    async def why(self) -> str:
        async with self.there.pool.connection() as connection:
            cursor = await connection.execute("select detail from forks order by id")
            (row,) = await cursor.fetchall()
        return str(row[0])

    def back_up(self) -> None:
        for table in TABLES:
            self.owner.execute(f"create table kept_{table} as table {table}")

    def restore(self) -> None:
        """From the backup, with a worker that starts anew."""
        for table in TABLES:
            self.owner.execute(f"delete from {table}")
            self.owner.execute(f"insert into {table} select * from kept_{table}")
        self.start_anew()

    def start_anew(self) -> None:
        self.city = Handling(Store(self.here.pool, "53.71"), [decider], publish)
        self.relay = Relay(self.city.store.links, Vault(self.here), self.wire, "35")


@pytest.fixture
async def offices(
    servers: Servers, databases: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Offices]:
    city, province = servers.database(), servers.database()
    async with (
        AsyncConnectionPool(city, min_size=1) as here,
        AsyncConnectionPool(province, min_size=1) as there,
    ):
        one = await make_keyring(here, tmp_path, "53.71")
        other = await make_keyring(there, tmp_path, "35")
        for who, whom in ((one, other), (other, one)):
            ((_, line),) = await whom.public()
            await who.trust(whom.office, line, "test")
        both = Offices(one, other)
        monkeypatch.setattr("shared.kernel.outbox._elapsed", lambda: both.seconds)
        with psycopg.connect(servers.owner(city), autocommit=True) as owner:
            both.owner = owner
            yield both
        await both.city.store.close()
        await both.province.store.close()


async def test_what_an_office_tells_is_witnessed_and_comes_back_cosigned(offices: Offices) -> None:
    for size in (3, 5, 9):
        recorded = (await offices.city.store.head()).size
        await offices.record(size - recorded)
        receipt = await offices.cross()
        assert receipt is not None
        assert receipt.witnessed is not None
        assert (receipt.applied_through, receipt.witnessed.size) == (size, size)
        kept = await offices.kept()
        assert kept is not None
        head = await offices.city.store.head()
        assert (kept.size, kept.head) == (size, merkle.root(head.frontier))
    async with offices.here.pool.connection() as connection:
        cursor = await connection.execute("select size, note from cosignatures order by size")
        cosigned = await cursor.fetchall()
    assert [size for size, _ in cosigned] == [3, 5, 9]
    assert all(offices.here.cosigned(note.parse(text), "35") for _, text in cosigned)


async def test_an_idle_office_says_now_and_then_how_it_stands(offices: Offices) -> None:
    await offices.record(1)
    await offices.cross()
    await offices.city.store.append(Commit(at=NOW, events=[event("quiet", 1, tell=False)]))
    assert await offices.cross() is None
    offices.seconds += CLAIM_SECONDS
    await offices.cross()
    kept = await offices.kept()
    assert kept is not None
    assert kept.size == 2


async def test_a_claim_that_was_lost_is_asked_for_again(offices: Offices) -> None:
    await offices.record(1)
    await offices.cross()
    await offices.record(1)
    await offices.relay.step(NOW)
    offices.wire.claims.clear()
    await offices.record(1)
    receipt = await offices.cross()
    assert receipt is not None
    assert receipt.witnessed is not None
    # Its messages are applied: a claim that proves nothing is no fork.
    assert (receipt.applied_through, receipt.witnessed.ask) == (3, True)
    await offices.record(1)
    await offices.cross()
    kept = await offices.kept()
    assert kept is not None
    assert kept.size == 4
    assert not await offices.forked()


async def test_an_office_restored_from_an_old_backup_that_goes_on_writing_is_found(
    offices: Offices,
) -> None:
    """At its next message, and that message is recorded and not applied."""
    await offices.record(2)
    await offices.cross()
    offices.back_up()
    await offices.record(2)
    await offices.cross()
    assert await offices.received() == 4
    offices.restore()
    await offices.record(3)
    receipt = await offices.cross()
    assert receipt is not None
    assert receipt.witnessed is not None
    assert receipt.witnessed.forked
    assert await offices.forked()
    assert await offices.why() == "message 3 came before, and was another"
    assert await offices.received() == 4
    assert [(reason, number) for reason, number, _ in await offices.parked()] == [
        ("HISTORY_FORKED", None),
        ("HISTORY_FORKED", None),
        ("HISTORY_FORKED", 5),
    ]
    # It is told so itself.
    async with offices.here.pool.connection() as connection:
        cursor = await connection.execute("select witnessed, forked from link_out")
        assert await cursor.fetchall() == [(4, True)]


async def test_an_office_that_was_restored_hears_that_it_is_behind_and_sends_nothing(
    offices: Offices,
) -> None:
    await offices.record(2)
    await offices.cross()
    offices.back_up()
    await offices.record(3)
    await offices.cross()
    offices.restore()
    # Its partner says every five seconds what it has kept.
    await offices.relay.confirm(await offices.inbox.receipt(gap=False, now=NOW), NOW)
    with pytest.raises(Held, match=r"35 has witnessed 5 events.*which has 2"):
        await offices.record(1)
    with pytest.raises(HistoryBroken, match=r"35 has witnessed 5 events.*which has 2"):
        await offices.relay.step(NOW)
    assert (await offices.city.store.head()).size == 2
    assert offices.wire.frames == []
    assert not await offices.forked()


@pytest.mark.parametrize("signed", [False, True])
async def test_no_partner_holds_this_office_by_a_number_alone(
    offices: Offices, signed: bool
) -> None:
    """Not with a checkpoint that it has made itself, either."""
    await offices.record(2)
    await offices.cross()
    receipt = await offices.inbox.receipt(gap=False, now=NOW)
    invented = note.signed("53.71", 99, b"\0" * 32, offices.there.sign)
    text = offices.there.cosign(invented, NOW).note if signed else ""
    said = replace(receipt, witnessed=Witnessed(99, text, False, False))
    await offices.relay.confirm(said, NOW)
    await offices.record(1)
    assert (await offices.city.store.head()).size == 3


async def test_claims_that_stay_below_what_was_kept_are_a_fork(offices: Offices) -> None:
    """Of an office that does not listen. One alone may be a message that crossed another."""
    await offices.record(2)
    await offices.relay.step(NOW)
    early = list(offices.wire.claims)
    await offices.cross()
    offices.back_up()
    await offices.record(3)
    await offices.cross()
    await offices.inbox.receive(early, NOW)
    assert not await offices.forked()
    offices.restore()
    await offices.city.store.append(Commit(at=NOW, events=[event("quiet", 1, tell=False)]))
    for found in (False, False, True):
        offices.start_anew()
        await offices.relay.step(NOW)
        await offices.inbox.receive(offices.wire.claims[-1:], NOW)
        assert await offices.forked() == found


async def test_a_history_that_was_rewritten_with_all_that_goes_with_it_is_found(
    offices: Offices,
) -> None:
    """Whoever owns the database and the keys can make a log that fits itself. Its partner knows."""
    await offices.record(4)
    await offices.cross()
    bodies = [one.body for one in await offices.city.store.read(0, 10)]
    bodies[1] = bodies[1].replace(b"tester", b"zester")
    offices.owner.execute("update events set body = %s where position = 2", (bodies[1],))
    for table in ("tiles", "checkpoints"):
        offices.owner.execute(f"delete from {table}")
    frontier = b"".join(merkle.extend(0, (), bodies))
    offices.owner.execute("update log_head set frontier = %s", (frontier,))
    offices.start_anew()
    await offices.record(1)
    await offices.cross()
    assert await offices.forked()
    assert "do not begin with" in await offices.why()
    assert await offices.received() == 4


async def test_nobody_elses_checkpoint_is_kept(offices: Offices) -> None:
    await offices.record(1)
    await offices.relay.step(NOW)
    stranger = note.signed("53.71", 1, b"\0" * 32, offices.there.sign)
    keeper = witness.Witness(offices.there, "53.71")
    with pytest.raises(note.NotANote):
        await keeper.hear(witness.Claim(0, (), stranger), NOW)
    foreign = note.signed("35", 1, b"\0" * 32, offices.there.sign)
    with pytest.raises(note.NotANote):
        await keeper.hear(witness.Claim(0, (), foreign), NOW)
    assert await offices.kept() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "old 1\n",
        "old -1\n\npulang/35\n1\n" + "A" * 43 + "=\n\n",
        "old 01\n\npulang/35\n1\n" + "A" * 43 + "=\n\n",
        "old 1\nAAAA\n\npulang/35\n1\n" + "A" * 43 + "=\n\n",
        "old 0\n\npulang/35\n1\n" + "B" * 43 + "=\n\n",
        "old 0\n\npulang/x y\n1\n" + "A" * 43 + "=\n\n",
        "old 0\n\npulang/35\n1\n" + "A" * 43 + "=\n\n\u2014 pulang/35 !\n",
    ],
)
def test_what_is_no_claim_is_refused(text: str) -> None:
    with pytest.raises(note.NotANote):
        witness.parse_claim(text)


async def quiet(offices: Offices, version: int) -> None:
    """An event that is told to nobody; the next claim speaks of it."""
    await offices.city.store.append(Commit(at=NOW, events=[event("quiet", version, tell=False)]))
    offices.seconds += CLAIM_SECONDS


async def test_what_an_idle_office_said_is_taken_away_when_it_is_much(
    offices: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "CLAIMS_AT_MOST", 3)
    cleared = offices.wire.cleared
    for version in range(1, 8):
        await quiet(offices, version)
        await offices.cross()
    assert offices.wire.cleared == cleared + 3
    kept = await offices.kept()
    assert kept is not None
    assert kept.size == 7


async def test_to_an_absent_partner_only_so_much_is_said_of_the_log(
    offices: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "CLAIMS_AT_MOST", 3)
    cleared = offices.wire.cleared
    for version in range(1, 8):
        await quiet(offices, version)
        await offices.relay.step(NOW)
    assert offices.wire.cleared == cleared + 3
    for _ in range(2):
        offices.seconds += CLAIM_SECONDS
        await offices.cross()
    kept = await offices.kept()
    assert kept is not None
    assert kept.size == 7
