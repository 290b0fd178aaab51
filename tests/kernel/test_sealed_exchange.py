"""Personal data between two offices: sealed to one, signed by the other, gone when erased."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from psycopg_pool import AsyncConnectionPool

from shared.contracts.messages import SEALED_PART, HandoverIssued, Message
from shared.contracts.values import Identity, ManifestEntry, ManifestLine
from shared.kernel import index, rotation
from shared.kernel.decider import Command, Decider, Event
from shared.kernel.event import Outgoing
from shared.kernel.handling import Handling, Unit
from shared.kernel.inbox import Inbox
from shared.kernel.keyring import Keyring, seal_to
from shared.kernel.link import Frame, Receipt, decode, encode, verify_kept
from shared.kernel.outbox import RESEND_AFTER_SECONDS, Relay
from shared.kernel.store import Store
from shared.kernel.vault import Vault
from shared.runtime.key_file import KeyFileUnusable
from tests.conftest import make_keyring
from tests.kernel.counter import NOW
from tests.kernel.test_exchange import Wire
from tests.servers import Servers

PERSON, OTHER = "PM-0000000001", "PM-0000000002"
NEEDLE = "Nama Contoh Jarum"


class Listed(Event):
    type: ClassVar[str] = "pulang.test.list.listed.v1"
    words: ClassVar[str] = "{entries}"
    entries: tuple[ManifestEntry, ...]


class List(Command):
    number: str
    entries: tuple[ManifestEntry, ...]


lists: Decider[None] = Decider(
    category="list",
    key="number",
    commands=(List,),
    events=(Listed,),
    initial=None,
    evolve=lambda state, event: None,
    decide=lambda command, state: [Listed(entries=command.entries)],
)


def publish(stream: str, event: Event) -> Iterable[Outgoing]:
    assert isinstance(event, Listed)
    yield Outgoing(
        "35",
        stream,
        HandoverIssued(
            handover="HO-1",
            operation="OP-1",
            deed_number="B/1",
            deed_date=NOW.date(),
            planned_departure=NOW.date(),
            transport="Kapal",
            entries=tuple(ManifestLine(person=e.person, origin=e.origin) for e in event.entries),
        ),
        {e.person: e.identity for e in event.entries if e.identity},
    )


def react(
    sender: str,
    message: Message,
    actor: str,
    now: datetime,
    occurred_at: datetime,
    identities: Mapping[str, str],
) -> Sequence[Command]:
    assert isinstance(message, HandoverIssued)
    entries = tuple(
        ManifestEntry(**line.model_dump(), identity=identities.get(line.person))
        for line in message.entries
    )
    return [List(by=actor, now=now, occurred_at=occurred_at, number="received", entries=entries)]


class Pair:
    def __init__(self, here: Keyring, there: Keyring) -> None:
        self.here, self.there = Vault(here), Vault(there)
        self.city = Handling(Store(here.pool, "53.71"), [lists], publish)
        self.province = Handling(Store(there.pool, "35"), [lists], lambda stream, event: ())
        self.wire = Wire()
        self.relay = Relay(self.city.store.links, self.here, self.wire, "35")
        self.inbox = Inbox(self.province, self.there, react, "53.71")

    async def hello(self, now: datetime = NOW) -> None:
        """The province says what to seal to; the city hears it as it would from the wire."""
        await self.there.keyring.refresh()
        raw = encode(await self.inbox.receipt(gap=False, now=now), self.there.keyring.sign)
        await self.here.keyring.refresh()
        trusts = self.here.keyring.trusts
        receipt = decode(raw, sender="35", receiver="53.71", trusts=trusts)
        assert isinstance(receipt, Receipt)
        await self.relay.confirm(receipt, now)

    async def record(self, *persons: str) -> None:
        identity = Identity(initials="NCJ", name=NEEDLE)
        sealed, keys, lines = await index.seal(self.here, [(p, identity) for p in persons])
        entries = tuple(
            ManifestEntry(person=p, origin="35.78", identity=text)
            for p, text in zip(persons, sealed, strict=True)
        )
        command = List(by="tester", now=NOW, occurred_at=NOW, number="sent", entries=entries)
        found = [line for some in lines.values() for line in some]
        unit = Unit([command], keys=[*keys.values()], index=found)
        await self.city.handle([unit], at=NOW, actor="tester", cause="c")

    async def deliver(self, *raws: bytes) -> Receipt | None:
        receipt, _ = await self.inbox.receive(raws, NOW)
        return receipt

    async def received(self) -> dict[str, str | None]:
        """Who the province knows, by her own keys: the last list that came."""
        stored = (await self.province.store.load(["list-received"]))["list-received"]
        if not stored:
            return {}
        event = self.province.types.parse(stored[-1].document)
        assert isinstance(event, Listed)
        sealed = [(e.person, e.identity) for e in event.entries]
        opened = await self.there.open([(p, text) for p, text in sealed if text])
        names = dict(zip([p for p, text in sealed if text], opened, strict=True))
        return {
            p: Identity.model_validate_json(text).name if (text := names.get(p)) else None
            for p, _ in sealed
        }

    async def parked(self) -> list[str]:
        async with self.there.keyring.pool.connection() as connection:
            cursor = await connection.execute("select reason from parked order by id")
            return [row[0] for row in await cursor.fetchall()]

    async def erase(self, vault: Vault, person: str) -> None:
        async with vault.keyring.pool.connection() as connection:
            await vault.destroy(connection, [person])
        await rotation.rotate(vault.keyring)


async def trust(one: Keyring, other: Keyring) -> None:
    for _, line in await other.public():
        await one.trust(other.office, line, "test")


@pytest.fixture
async def pair(servers: Servers, databases: None, tmp_path: Path) -> AsyncIterator[Pair]:
    async with (
        AsyncConnectionPool(servers.database(), min_size=1) as here,
        AsyncConnectionPool(servers.database(), min_size=1) as there,
    ):
        one = await make_keyring(here, tmp_path, "53.71")
        other = await make_keyring(there, tmp_path, "35")
        await trust(one, other)
        await trust(other, one)
        both = Pair(one, other)
        yield both
        await both.city.store.close()
        await both.province.store.close()


async def test_who_she_is_arrives_sealed_and_is_kept_under_the_receivers_own_key(
    pair: Pair,
) -> None:
    await pair.hello()
    await pair.record(PERSON, OTHER)
    await pair.relay.step(NOW)
    (raw,) = pair.wire.frames
    assert NEEDLE.encode() not in raw
    assert PERSON.encode() in raw
    await pair.deliver(raw)
    assert await pair.received() == {PERSON: NEEDLE, OTHER: NEEDLE}
    (event,) = (await pair.province.store.load(["list-received"]))["list-received"]
    assert NEEDLE.encode() not in event.body


async def test_nothing_personal_is_sent_before_the_receiver_said_what_to_seal_to(
    pair: Pair,
) -> None:
    await pair.record(PERSON)
    with pytest.raises(ConnectionError):
        await pair.relay.step(NOW)
    assert pair.wire.frames == []
    await pair.hello()
    assert await pair.relay.step(NOW) == 1


async def test_what_was_sealed_to_an_old_key_is_asked_for_again(pair: Pair) -> None:
    """A key epoch may end while frames are on their way: nothing is lost, nothing parked."""
    await pair.hello()
    await pair.record(PERSON)
    await pair.relay.step(NOW)
    await rotation.rotate(pair.there.keyring)
    receipt = await pair.deliver(*pair.wire.frames)
    assert receipt is not None
    assert (receipt.applied_through, receipt.gap) == (0, True)
    await pair.relay.confirm(receipt, NOW + timedelta(seconds=1))
    assert await pair.relay.step(NOW + timedelta(seconds=1)) == 1
    await pair.deliver(pair.wire.frames[-1])
    assert await pair.received() == {PERSON: NEEDLE}
    assert await pair.parked() == []


async def test_an_old_receipt_does_not_bring_an_old_sealing_key_back(pair: Pair) -> None:
    await pair.hello()
    old = await pair.inbox.receipt(gap=False, now=NOW + timedelta(hours=1))
    await rotation.rotate(pair.there.keyring)
    await pair.hello(NOW + timedelta(minutes=1))
    await pair.relay.confirm(old, NOW)
    again = Relay(pair.city.store.links, pair.here, pair.wire, "35")
    await pair.record(PERSON)
    for relay in (pair.relay, again):
        await relay.step(NOW)
    frames = [
        decode(raw, sender="53.71", receiver="35", trusts=pair.there.keyring.trusts)
        for raw in pair.wire.frames
    ]
    assert [getattr(frame, "sealed_to", 0) for frame in frames] == [2, 2]


async def test_who_was_erased_is_sent_no_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    await pair.hello()
    await pair.record(PERSON, OTHER)
    await pair.relay.step(NOW)
    await pair.erase(pair.here, PERSON)
    monkeypatch.setattr("shared.kernel.outbox._elapsed", lambda: 1e9 + RESEND_AFTER_SECONDS)
    await pair.relay.step(NOW)
    await pair.deliver(pair.wire.frames[-1])
    assert await pair.received() == {PERSON: None, OTHER: NEEDLE}


async def test_who_was_erased_at_the_receiver_does_not_begin_again(pair: Pair) -> None:
    await pair.hello()
    await pair.record(PERSON, OTHER)
    await pair.erase(pair.there, PERSON)
    await pair.hello(NOW + timedelta(seconds=1))
    await pair.relay.step(NOW)
    await pair.deliver(*pair.wire.frames)
    assert await pair.received() == {PERSON: None, OTHER: NEEDLE}


async def test_a_frame_that_was_taken_down_opens_no_more_after_an_erasure(pair: Pair) -> None:
    """The broker, a backup of it, a parked copy: they hold what no key opens any more."""
    await pair.hello()
    await pair.record(PERSON)
    await pair.relay.step(NOW)
    (kept,) = pair.wire.frames
    await pair.deliver(kept)
    trusts = pair.there.keyring.trusts
    frame = decode(kept, sender="53.71", receiver="35", trusts=trusts)
    await pair.erase(pair.there, PERSON)
    assert not pair.there.keyring.opens(getattr(frame, "sealed_to", 0))
    assert list(pair.there.keyring.provider.epochs()) == [2]


async def test_a_frame_of_a_key_that_nobody_trusts_changes_nothing(pair: Pair) -> None:
    await pair.hello()
    await pair.record(PERSON)
    await pair.relay.step(NOW)
    ((_, line),) = await pair.here.keyring.public()
    assert await pair.there.keyring.revoke("53.71", line.split("+")[1], "test")
    assert await pair.deliver(*pair.wire.frames) is None
    assert await pair.received() == {}
    assert await pair.parked() == ["UNTRUSTED_FRAME"]


async def test_an_office_cannot_speak_for_another(pair: Pair) -> None:
    """The province's own key is trusted here, for the province alone."""
    await pair.record(PERSON)
    forged = encode(await pair.inbox.receipt(gap=False, now=NOW), pair.there.keyring.sign)
    assert await pair.deliver(forged) is None
    assert await pair.parked() == ["UNTRUSTED_FRAME"]


async def test_a_frame_for_another_office_is_parked(pair: Pair) -> None:
    await pair.record(PERSON)
    await pair.here.keyring.refresh()
    readdressed = encode(Receipt("53.71", "53", 4), pair.here.keyring.sign)
    assert await pair.deliver(readdressed) is None
    assert await pair.parked() == ["UNREADABLE_FRAME"]


async def test_a_signing_key_is_rolled_with_overlap(pair: Pair) -> None:
    here, there = pair.here.keyring, pair.there.keyring
    await pair.hello()
    await pair.record(PERSON)
    await pair.relay.step(NOW)
    await rotation.prepare_signing(here)
    await trust(there, here)
    assert len(await here.public()) == 2
    await rotation.switch_signing(here)
    await pair.record(OTHER)
    await pair.relay.step(NOW)
    assert len({raw.split(b"\r\n")[1] for raw in pair.wire.frames}) == 2
    await pair.deliver(*pair.wire.frames)
    assert await pair.received() == {OTHER: NEEDLE}
    assert await pair.parked() == []


async def test_what_an_office_said_can_be_proven_from_its_inbox_for_ever(pair: Pair) -> None:
    await pair.hello()
    await pair.record(PERSON)
    await pair.record(OTHER)
    await pair.relay.step(NOW)
    await pair.deliver(*pair.wire.frames)
    async with pair.there.keyring.pool.connection() as connection:
        cursor = await connection.execute("select frame, body from inbox order by sequence")
        rows = [(bytes(frame), bytes(body)) for frame, body in await cursor.fetchall()]
    (head,) = {frame for frame, _ in rows}
    bodies = [body for _, body in rows]
    assert verify_kept(head, bodies, "53.71", pair.there.keyring.trusts)
    assert not verify_kept(head, [body.replace(b"Kapal", b"Bus") for body in bodies], "53.71",
                           pair.there.keyring.trusts)  # fmt: skip
    assert NEEDLE.encode() not in head


async def test_a_message_says_who_somebody_is_only_of_whom_it_announces(pair: Pair) -> None:
    """A partner can't rewrite by what another person is found, nor draw keys for strangers."""
    await pair.hello()
    await pair.record(PERSON)
    await pair.relay.step(NOW)
    (raw,) = pair.wire.frames
    genuine = decode(raw, sender="53.71", receiver="35", trusts=pair.there.keyring.trusts)
    assert isinstance(genuine, Frame)
    identity = Identity(initials="NCJ", name=NEEDLE)
    part = SEALED_PART.dump_json({1: {PERSON: identity, OTHER: identity}})
    sealed = seal_to(pair.there.keyring.sealing_key.public, part, genuine.info)
    await pair.deliver(encode(replace(genuine, sealed=sealed), pair.here.keyring.sign))
    assert await pair.received() == {PERSON: NEEDLE}
    async with pair.there.keyring.pool.connection() as connection:
        cursor = await connection.execute("select subject from person_keys")
        assert await cursor.fetchall() == [(PERSON,)]


async def test_with_a_revoked_key_goes_the_sealing_key_that_it_vouched_for(pair: Pair) -> None:
    await pair.hello()
    await pair.record(PERSON)
    ((_, line),) = await pair.there.keyring.public()
    await pair.here.keyring.revoke("35", line.split("+")[1], "test")
    with pytest.raises(ConnectionError):
        await pair.relay.step(NOW)
    assert pair.wire.frames == []


async def test_while_keys_are_away_nothing_is_parked_and_nobody_is_lost(
    pair: Pair, tmp_path: Path
) -> None:
    """Her identity came in the sealed part alone: parked without it she would be lost for good."""
    await pair.hello()
    await pair.record(PERSON)
    await pair.relay.step(NOW)
    file = tmp_path / "35.key"
    file.rename(tmp_path / "away")
    with pytest.raises(KeyFileUnusable):
        await pair.deliver(*pair.wire.frames)
    assert (await pair.province.store.links.received("53.71"), await pair.parked()) == ((0, ()), [])
    (tmp_path / "away").rename(file)
    await pair.deliver(*pair.wire.frames)
    assert await pair.received() == {PERSON: NEEDLE}


async def test_what_the_code_stumbled_over_still_knows_who_when_it_is_tried_again(
    pair: Pair,
) -> None:
    await pair.hello()
    await pair.record(PERSON)
    await pair.relay.step(NOW)

    def stumbles(*_: object) -> Sequence[Command]:
        raise RuntimeError("a fault of the code")

    faulty = Inbox(pair.province, pair.there, stumbles, "53.71")
    await faulty.receive(pair.wire.frames, NOW)
    assert await pair.received() == {}
    (waiting,) = await pair.province.store.links.waiting("53.71", 0, 10)
    assert waiting.reason == "UNAPPLIABLE_MESSAGE"
    assert await pair.inbox.settle(NOW, "operator", [waiting.id]) == [waiting.id]
    assert await pair.received() == {PERSON: NEEDLE}
