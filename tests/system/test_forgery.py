"""What somebody puts on a link who may write to Redis, but has no office's key: it changes nothing.

On the real streams of running offices. Forged, edited, re-addressed, replayed, truncated and huge
frames are parked with their reason, the receiver's log stays as it was, and the link goes on with
what its partner really sends. Neither can who has the running software's place in the database
rewrite what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from redis.asyncio import Redis

from shared.kernel import merkle, rotation
from shared.kernel.keyring import Keyring, key_id
from shared.kernel.link import FRAME_BYTES, Frame, Receipt, encode
from shared.kernel.store import read_head
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually, three_offices

pytestmark = pytest.mark.xdist_group("forgery")

FIELD = "__data__"
THERE, BACK = "pulang:53.71:35", "pulang:35:53.71"


@dataclass
class Tapped:
    """A city and two provinces; `heard` is every entry that office 35 was given by its stream."""

    city: Desk
    east: Desk
    south: Desk
    redis: Redis
    heard: list[bytes] = field(default_factory=list)

    async def put(self, stream: str, raw: bytes) -> None:
        await self.redis.xadd(stream, {FIELD: raw})

    def frames(self) -> list[bytes]:
        """The frames among what was heard, in order; the rest are receipts."""
        return [raw for raw in self.heard if b"\r\nfirst: " in raw]


@pytest.fixture(scope="module")
async def links(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Tapped]:
    async with three_offices(servers, tmp_path_factory.mktemp("forgery")) as offices:
        made = Tapped(*offices)
        tap(made)
        await story.open_operation(made.city)
        await story.open_house(made.east)
        await handed_over(made, "HO-0")
        assert made.frames()
        # Each has heard by now what to seal to: nothing but the tests' own doing moves anything.
        await eventually(lambda: announced(made))
        yield made


async def announced(links: Tapped) -> bool:
    """Whether every office knows the sealing key of each partner."""
    known = 0
    for desk in (links.city, links.east, links.south):
        async with desk.office.pool.connection() as connection:
            cursor = await connection.execute(
                "select count(*) from link_out where sealing_key is not null"
            )
            known += (await cursor.fetchone() or (0,))[0]
    return known == 4


def tap(links: Tapped) -> None:
    """Keeps a copy of what the receiver's worker takes from its stream: an eavesdropper's part."""
    inbox = links.east.app.state.worker._inboxes["53.71"]
    receive = inbox.receive

    async def heard(raws: Any, *rest: Any, **more: Any) -> Any:
        links.heard += raws
        return await receive(raws, *rest, **more)

    inbox.receive = heard


async def handed_over(links: Tapped, handover: str) -> None:
    """A real handover comes over the link."""
    persons = await story.register(links.city, story.intake_row(name="Contoh Tiba"))
    await story.draft(links.city, persons, handover)
    await story.issue(links.city, handover)
    await story.expected(links.east, handover)


async def confirmed(links: Tapped) -> None:
    async def same() -> bool:
        (link,) = [x for x in await links.city.get("auditor", "/links") if x["partner"] == "35"]
        return bool(link["recorded"] == link["confirmed"])

    await eventually(same)


async def parked(desk: Desk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await desk.get("operator", "/parked")
    return found


async def standing(desk: Desk) -> tuple[Any, ...]:
    """Everything that a false message could have moved: the log, the inbox, what is confirmed."""
    async with desk.office.pool.connection() as connection:
        cursor = await connection.execute(
            "select (select size from log_head), (select count(*) from inbox),"
            " (select count(*) from outbox), (select count(*) from person_keys),"
            " (select jsonb_agg(jsonb_build_array(sender, applied_through) order by sender)"
            "  from link_in), (select jsonb_agg(jsonb_build_array(receiver, confirmed_through,"
            " encode(sealing_key, 'hex')) order by receiver) from link_out)"
        )
        return tuple(await cursor.fetchone() or ())


async def changes_nothing(links: Tapped, desk: Desk, stream: str, raw: bytes, reason: str) -> None:
    """These bytes on that stream are parked at the receiving office, for this reason alone."""
    await confirmed(links)
    before, seen = await standing(desk), {one["id"] for one in await parked(desk)}
    await links.put(stream, raw)

    async def came() -> Any:
        return [one for one in await parked(desk) if one["id"] not in seen]

    (one,) = await eventually(came)
    assert (one["reason"], one["times"]) == (reason, 1)
    assert await standing(desk) == before


def own_key(office: str) -> Callable[[bytes], tuple[str, bytes]]:
    """Somebody's own key, under the name of an office."""
    private = Ed25519PrivateKey.generate()
    id_ = key_id(office, private.public_key().public_bytes_raw())
    return lambda payload: (id_, private.sign(payload))


def under_its_id(keyring: Keyring) -> Callable[[bytes], tuple[str, bytes]]:
    """Somebody's own key, said to be the office's."""
    forge = own_key(keyring.office)
    return lambda payload: (keyring.sign(b"")[0], forge(payload)[1])


async def next_frame(links: Tapped) -> Frame:
    """What the city would send next: the last message over again, under the next number."""
    async with links.city.office.pool.connection() as connection:
        cursor = await connection.execute(
            "select sequence, body from outbox where receiver = '35' order by sequence desc limit 1"
        )
        row = await cursor.fetchone()
    assert row is not None
    sequence, body = int(row[0]), bytes(row[1])
    old, new = (f'"sequence":"{n}"'.encode() for n in (sequence, sequence + 1))
    assert body.count(old) == 1, body
    return Frame("53.71", "35", sequence + 1, (body.replace(old, new),))


async def test_what_nobody_signed_whom_this_office_trusts_is_parked(links: Tapped) -> None:
    frame = await next_frame(links)
    for sign in (
        own_key("53.71"),
        under_its_id(links.city.office.keyring),
        links.south.office.keyring.sign,
        links.east.office.keyring.sign,
    ):
        raw = encode(frame, sign)
        await changes_nothing(links, links.east, THERE, raw, "UNTRUSTED_FRAME")


async def test_a_frame_that_was_edited_is_parked(links: Tapped) -> None:
    """Its numbers, its text, its sealed part, the key that it names: each is covered."""
    genuine = next(raw for raw in links.frames() if b"sealed: " in raw)
    swapped = encode(await next_frame(links), links.city.office.keyring.sign)
    line = genuine[genuine.index(b"sealed: ") :].partition(b"\r\n")[0]
    key = genuine.partition(b"key: ")[2][:8]
    for edited in (
        genuine.replace(b"Kapal", b"Kereta"),
        genuine.replace(b"\r\nfirst: ", b"\r\nfirst: 9", 1),
        genuine.replace(line, line[:-8] + b"AAAAAAA="),
        genuine.replace(line + b"\r\n", b""),
        genuine.replace(key, b"00000000", 1),
        swapped[: swapped.index(b"sent: ")] + genuine[genuine.index(b"sent: ") :],
        genuine + b" ",
    ):
        assert edited != genuine
        await changes_nothing(links, links.east, THERE, edited, "UNTRUSTED_FRAME")


async def test_a_frame_without_a_signature_or_cut_short_is_parked(links: Tapped) -> None:
    genuine = links.frames()[0]
    for cut in (
        genuine[genuine.index(b"sealed: ") :],
        genuine[genuine.index(b"link: ") :],
        genuine[: len(genuine) // 2],
        genuine[:-1],
        genuine[:40],
        b"",
        b"{}",
    ):
        await changes_nothing(links, links.east, THERE, cut, "UNTRUSTED_FRAME")


async def test_a_frame_for_another_link_is_parked(links: Tapped) -> None:
    """Genuine, signed by the very city, but to the other province, or sent back to the city."""
    sign = links.city.office.keyring.sign
    frame = await next_frame(links)
    elsewhere = encode(Frame("53.71", "53", frame.first, frame.bodies), sign)
    await changes_nothing(links, links.east, THERE, elsewhere, "UNREADABLE_FRAME")
    back = links.frames()[0]
    await changes_nothing(links, links.city, BACK, back, "UNTRUSTED_FRAME")
    # And a province's own genuine word is not the city's.
    own = encode(Receipt("35", "53.71", 0), links.east.office.keyring.sign)
    await changes_nothing(links, links.east, THERE, own, "UNTRUSTED_FRAME")


async def test_a_frame_that_comes_again_is_parked_as_a_replay(links: Tapped) -> None:
    await handed_over(links, "HO-REPLAY")
    genuine = links.frames()[-1]
    await changes_nothing(links, links.east, THERE, genuine, "REPLAYED_FRAME")
    before = await standing(links.east)
    (once,) = [one for one in await parked(links.east) if one["reason"] == "REPLAYED_FRAME"]
    await links.put(THERE, genuine)

    async def counted() -> bool:
        return any(
            one["id"] == once["id"] and one["times"] == 2 for one in await parked(links.east)
        )

    await eventually(counted)
    assert await standing(links.east) == before


async def test_a_receipt_that_was_invented_confirms_nothing(links: Tapped) -> None:
    """Or messages that nobody applied would never be sent again, and sealed to somebody's key."""
    keyring = links.east.office.keyring
    receipt = Receipt("35", "53.71", 1_000, False, keyring.sealing_key, 2**60)
    for sign in (own_key("35"), under_its_id(keyring), links.south.office.keyring.sign):
        raw = encode(receipt, sign)
        await changes_nothing(links, links.city, BACK, raw, "UNTRUSTED_FRAME")


async def test_what_is_larger_than_a_frame_may_be_is_parked_unread(links: Tapped) -> None:
    huge = links.frames()[0] + b" " * (3 * FRAME_BYTES)
    await changes_nothing(links, links.east, THERE, huge, "UNREADABLE_FRAME")


async def test_an_entry_of_another_shape_is_parked(links: Tapped) -> None:
    before = await standing(links.east)
    seen = {one["id"] for one in await parked(links.east)}
    await links.redis.xadd(THERE, {"a": "x", FIELD: links.frames()[0]})

    async def came() -> Any:
        return [one for one in await parked(links.east) if one["id"] not in seen]

    (one,) = await eventually(came)
    assert one["reason"] == "UNTRUSTED_FRAME"
    assert await standing(links.east) == before


async def test_a_key_that_was_revoked_opens_the_link_no_more(links: Tapped) -> None:
    """The city rolls its key with overlap, the province revokes the old one."""
    city, east = links.city.office.keyring, links.east.office.keyring
    old = city.sign(b"")[0]
    stolen = city._keys.signing[old]
    await rotation.prepare_signing(city)
    for _, line in await city.public():
        await east.trust("53.71", line, "test")
    new = await rotation.switch_signing(city)
    assert new
    assert await east.revoke("53.71", old, "test")
    frame = await next_frame(links)
    raw = encode(frame, lambda payload: (old, stolen.sign(payload)))
    await changes_nothing(links, links.east, THERE, raw, "UNTRUSTED_FRAME")
    await handed_over(links, "HO-NEW-KEY")
    assert b"key: " + new.encode() in links.frames()[-1]


async def test_the_link_goes_on_beside_all_of_that(links: Tapped) -> None:
    """The last of this file: after everything above, and a burst of rubbish, real words come."""
    before = len(await parked(links.east))
    for number in range(40):
        await links.put(THERE, b"bukan bingkai %d" % number)
        await links.put(BACK, b"bukan bingkai %d" % number)
    await handed_over(links, "HO-LAST")
    await confirmed(links)

    async def all_parked() -> bool:
        return len(await parked(links.east)) >= min(before + 40, 100)

    await eventually(all_parked)
    (person,) = (await story.entry_states(links.city, "HO-LAST")).keys()
    path = f"/arrivals/HO-LAST/entries/{person}/answer"
    await links.east.post("reception", path, story.ARRIVED)

    async def arrived() -> bool:
        return await story.entry_states(links.city, "HO-LAST") == {person: "arrived"}

    await eventually(arrived)
    seen = await links.east.look("reception", f"/beneficiaries/{person}/identity", "arrival")
    assert seen["name"] == "Contoh Tiba"


REWRITES = (
    "update events set body = body",
    "update events set body = convert_to('x', 'utf8') where position = 1",
    "update events set position = position + 1",
    "delete from events",
    "delete from events where position = (select max(position) from events)",
    "truncate events",
    "drop table events",
    "alter table events rename to history",
    "alter table events add column x int",
    "alter table events disable trigger all",
    "create rule none as on insert to events do instead nothing",
    "create trigger none before insert on events execute function suppress_redundant_updates_"
    "trigger()",
    "insert into events select * from events where position = 1 on conflict (position)"
    " do update set body = excluded.body",
    "merge into events using (select 1) s on position = 1 when matched then delete",
    "with gone as (delete from events returning 1) select count(*) from gone",
    "select * from events for update",
    "update outbox set body = body",
    "delete from inbox",
    "copy events from program 'true'",
)


def _try_to_rewrite(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        # Without the right to give rights this is a warning, and gives nothing.
        connection.execute("grant update, delete on events to current_user")
        for statement in REWRITES:
            # A wrong statement would be refused too, and prove nothing.
            with pytest.raises(InsufficientPrivilege):
                connection.execute(sql.SQL(statement))


@pytest.mark.parametrize("kind", ["city", "east"])
async def test_the_running_softwares_own_role_can_rewrite_no_event(
    links: Tapped, kind: str
) -> None:
    """What happened stays; the tree, derived anew from the stored bytes, has the head's root."""
    desk: Desk = getattr(links, kind)

    async def stored() -> tuple[list[bytes], tuple[bytes, ...]]:
        async with desk.office.pool.connection() as connection:
            cursor = await connection.execute("select body from events order by position")
            bodies = [bytes(row[0]) for row in await cursor.fetchall()]
            return bodies, (await read_head(connection)).frontier

    bodies, frontier = await stored()
    assert bodies, "there is nothing to rewrite"
    # In a thread: some wait for a lock, which the offices' own work gives up only if it goes on.
    await asyncio.to_thread(_try_to_rewrite, desk.office.settings.database_url)
    after, frontier_after = await stored()
    assert after == bodies
    assert merkle.extend(0, (), bodies) == frontier == frontier_after
