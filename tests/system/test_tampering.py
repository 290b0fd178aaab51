"""A thousand single edits by somebody who owns the database: each is found, and its place named.

The edits are drawn from a seed, made one at a time in a transaction of the owner's that is rolled
back after the audit. Before and after the campaign the same audit finds nothing.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from shared.kernel import merkle, note, outbox
from shared.runtime import audit
from tests.servers import Servers
from tests.system.offices import Desk, eventually
from tests.system.test_audit import whole_story
from tests.system.test_command import environment, pulang

EDITS = 1_000
SHARES = 4
"""The campaign is split, so that processes of a test run can share it."""


@dataclass(frozen=True)
class Edit:
    """What was done, and which table and words an auditor must name for it."""

    what: str
    named: str


Tamper = Callable[[AsyncConnection[Any], random.Random, Desk], Awaitable[Edit]]
TAMPERS: list[Tamper] = []


def tamper(one: Tamper) -> Tamper:
    TAMPERS.append(one)
    return one


async def one_of(db: AsyncConnection[Any], chance: random.Random, query: str) -> tuple[Any, ...]:
    found = await (await db.execute(query.encode())).fetchall()
    return tuple(chance.choice(found))


def flipped(body: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(body))
    return body[:at] + bytes([body[at] ^ 1 << chance.randrange(7)]) + body[at + 1 :]


@tamper
async def a_byte_of_an_event(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    position, body = await one_of(db, chance, "select position, body from events")
    new = flipped(bytes(body), chance)
    await db.execute("update events set body = %s where position = %s", (new, position))
    return Edit(f"a byte of event {position}", f"between positions|position {position}")


@tamper
async def a_copy_beside_an_event(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    (position,) = await one_of(db, chance, "select position from events")
    column, value = chance.choice(
        [
            ("stream", "'handover-HO-9'"), ("version", "version + 1000"), ("id", "id || 'x'"),
            ("type", "'pulang.city.other.v1'"), ("actor", "'orang-lain'"),
            ("occurred_at", "occurred_at - interval '1 day'"), ("correlation", "'0'"),
            ("recorded_at", "recorded_at + interval '1 second'"),
        ]
    )  # fmt: skip
    await db.execute(
        f"update events set {column} = {value} where position = %s".encode(), (position,)
    )
    return Edit(f"column {column} of event {position}", f"position {position}")


@tamper
async def the_newest_rows_deleted(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    number = chance.randint(1, 3)
    await db.execute(
        "delete from events where position > (select max(position) - %s from events)", (number,)
    )
    return Edit(f"the newest {number} rows deleted", "another number of events")


@tamper
async def a_row_in_the_middle_deleted(
    db: AsyncConnection[Any], chance: random.Random, _: Desk
) -> Edit:
    (position,) = await one_of(
        db,
        chance,
        "select position from events where position < (select max(position) from events)",
    )
    await db.execute("delete from events where position = %s", (position,))
    return Edit(f"event {position} deleted", f"position {position}: an event is missing")


@tamper
async def a_swapped_pair(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    (first,) = await one_of(
        db,
        chance,
        "select position from events where position < (select max(position) from events)",
    )
    for old, new in ((first, 900_001), (first + 1, first), (900_001, first + 1)):
        await db.execute("update events set position = %s where position = %s", (new, old))
    return Edit(f"events {first} and {first + 1} swapped", "between positions")


@tamper
async def an_inserted_row(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    (position,) = await one_of(db, chance, "select position from events")
    await db.execute(
        "insert into events (position, stream, version, id, type, occurred_at, recorded_at, actor,"
        " correlation, body) select (select max(position) + 1 from events), stream, version + 1000,"
        " id || 'x', type, occurred_at, recorded_at, actor, correlation, body from events"
        " where position = %s",
        (position,),
    )
    return Edit("a row inserted at the end", "another number of events")


@tamper
async def a_tree_rewritten_with_its_head(
    db: AsyncConnection[Any], chance: random.Random, desk: Desk
) -> Edit:
    """All that the owner of database and keys can make anew: only partners' copies tell."""
    (position,) = await one_of(db, chance, "select position from events")
    rows = await (await db.execute("select body from events order by position")).fetchall()
    bodies = [bytes(body) for (body,) in rows]
    old = bodies[position - 1]
    bodies[position - 1] = old.replace(b'"specversion":"1.0"', b'"specversion":"1.1"')
    await db.execute(
        "update events set body = %s where position = %s", (bodies[position - 1], position)
    )
    frontier = b"".join(merkle.extend(0, (), bodies))
    await db.execute("update log_head set frontier = %s", (frontier,))
    keyring = desk.office.keyring
    for (size,) in await (await db.execute("select size from checkpoints")).fetchall():
        head = merkle.root(merkle.extend(0, (), bodies[:size]))
        made = note.signed(desk.office.settings.office, size, head, keyring.sign)
        await db.execute("update checkpoints set note = %s where size = %s", (made.note, size))
    return Edit(f"event {position} and the whole tree with it", "cosignatures")


@tamper
async def the_heads_tree(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    ((frontier,),) = await (await db.execute("select frontier from log_head")).fetchall()
    await db.execute("update log_head set frontier = %s", (flipped(bytes(frontier), chance),))
    return Edit("the head's tree", "log_head, frontier")


@tamper
async def the_heads_counts(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    ((outgoing,),) = await (await db.execute("select outgoing from log_head")).fetchall()
    partner = chance.choice([*outgoing])
    new = outgoing | {partner: outgoing[partner] + chance.choice((-1, 1))}
    await db.execute("update log_head set outgoing = %s", (Jsonb(new),))
    return Edit(f"the head's count of {partner}", f"log_head, outgoing to {partner}")


@tamper
async def what_the_head_gives_up(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    """So that a log which is cut short is not held."""
    await db.execute("update log_head set given_up = %s", (chance.randint(1, 10**6),))
    return Edit("what is given up", "log_head, given_up")


@tamper
async def an_outbox_row(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    receiver, number, body, personal = await one_of(
        db, chance, "select receiver, sequence, body, personal from outbox"
    )
    where = (receiver, number)
    match chance.randrange(4):
        case 0:
            new = flipped(bytes(body), chance)
            await db.execute(
                "update outbox set body = %s where receiver = %s and sequence = %s", (new, *where)
            )
        case 1:
            await db.execute("delete from outbox where receiver = %s and sequence = %s", where)
        case 2:
            new_personal = Jsonb({"PM-0000000001": "x"} if not personal else {})
            await db.execute(
                "update outbox set personal = %s where receiver = %s and sequence = %s",
                (new_personal, *where),
            )
        case _:
            await db.execute(
                "update outbox set position = position + 1 where receiver = %s and sequence = %s",
                where,
            )
    return Edit(f"outbox {receiver} {number}", "outbox")


@tamper
async def an_inbox_row(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    sender, number, body, frame = await one_of(
        db, chance, "select sender, sequence, body, frame from inbox"
    )
    column, old = chance.choice((("body", body), ("frame", frame)))
    if chance.random() < 0.2:
        await db.execute("delete from inbox where sender = %s and sequence = %s", (sender, number))
    else:
        await db.execute(
            f"update inbox set {column} = %s where sender = %s and sequence = %s".encode(),
            (flipped(bytes(old), chance), sender, number),
        )
    return Edit(f"inbox {sender} {number}", "inbox|link_in")


@tamper
async def a_checkpoint_row(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    table = chance.choice(("checkpoints", "cosignatures", "witnessed"))
    size, text = await one_of(db, chance, f"select size, note from {table}")
    at = chance.randrange(len(text))
    new = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    await db.execute(f"update {table} set note = %s where note = %s".encode(), (new, text))
    return Edit(f"{table} {size}", table)


@tamper
async def a_row_that_was_kept(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    """Deleted, put in twice, or of another time."""
    table, time = chance.choice(
        (("checkpoints", "made_at"), ("cosignatures", "received_at"), ("witnessed", "witnessed_at"))
    )
    (number,) = await one_of(db, chance, f"select number from {table}")
    match chance.randrange(3):
        case 0:
            await db.execute(f"delete from {table} where number = %s".encode(), (number,))
        case 1:
            await db.execute(
                f"update {table} set {time} = {time} + interval '1 second'"
                " where number = %s".encode(),
                (number,),
            )
        case _:
            table = "witnessed"
            await db.execute(
                "insert into witnessed (office, size, note, witnessed_at) select office, size,"
                " note, witnessed_at from witnessed order by id desc limit 1"
            )
    return Edit(f"row {number} of {table}", f"{table}, row")


@tamper
async def a_key_that_is_trusted(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    match chance.randrange(3):
        case 0:
            await db.execute("delete from trusted_keys")
        case 1:
            await db.execute(
                "insert into trusted_keys (office, key_id, public, trusted_by) select office,"
                " '00000000', public, trusted_by from trusted_keys limit 1"
            )
        case _:
            await db.execute("update trusted_keys set trusted_at = trusted_at - interval '1 day'")
    return Edit("the trusted keys", "trusted_keys, key")


@tamper
async def a_read_model_row(db: AsyncConnection[Any], chance: random.Random, _: Desk) -> Edit:
    tables = await (
        await db.execute(
            "select table_schema, table_name, column_name from information_schema.columns"
            " where table_schema like 'rm\\_%' and data_type = 'text' and is_generated = 'NEVER'"
        )
    ).fetchall()
    chance.shuffle(tables)
    for schema, table, column in tables:
        done = await db.execute(
            f"update {schema}.{table} set {column} = {column} || 'x' where ctid ="
            f" (select ctid from {schema}.{table} where {column} is not null limit 1)".encode()
        )
        if done.rowcount:
            return Edit(f"{schema}.{table}.{column}", schema)
    raise AssertionError("the read models are empty")


@asynccontextmanager
async def owners(desk: Desk, servers: Servers) -> AsyncIterator[AsyncConnection[Any]]:
    """The owner's transaction, which sees one moment and is never kept."""
    url = servers.owner(desk.office.settings.database_url)
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("set session_replication_role = replica")
        yield connection


async def audited(
    connection: AsyncConnection[Any], desk: Desk, *, models: bool = True
) -> audit.Report:
    return await audit.verify(connection, desk.office, None if models else ())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("share", range(SHARES))
async def test_every_single_edit_is_found_and_located(
    city: Desk, province: Desk, servers: Servers, share: int
) -> None:
    await whole_story(city, province)
    seeds = range(share * EDITS // SHARES, (share + 1) * EDITS // SHARES)
    missed: list[str] = []
    async with owners(city, servers) as one, owners(province, servers) as other:
        for connection, desk in ((one, city), (other, province)):
            assert (await audited(connection, desk)).faults.document() == []
        for seed in seeds:
            chance = random.Random(seed)
            connection, desk = ((one, city), (other, province))[seed % 2]
            how = TAMPERS[seed // 2 % len(TAMPERS)]
            async with connection.transaction(force_rollback=True):
                await connection.execute("set transaction isolation level repeatable read")
                edit = await how(connection, chance, desk)
                # Building the read models is most of the work, and tells of them alone.
                models = how is a_read_model_row
                found = (await audited(connection, desk, models=models)).faults.kept
            named = [f"{one.table}, {one.place}: {one.words}" for one in found]
            if not any(words in line for words in edit.named.split("|") for line in named):
                missed.append(f"seed {seed}, {how.__name__}, {edit.what}: {named[:3]}")
        for connection, desk in ((one, city), (other, province)):
            assert (await audited(connection, desk)).faults.document() == []
    assert missed == []


async def test_what_was_written_into_the_database_moves_no_auditor_s_cursor(
    city: Desk, province: Desk, servers: Servers
) -> None:
    await whole_story(city, province)
    async with owners(city, servers) as db:
        await db.execute("update events set stream = E'\\x1b[8m' || stream where position = 2")
    code, out, _ = await pulang("audit", "verify", **environment(city))
    assert code == 1
    assert "position 2, stream \\x1b[8m" in out
    assert "\x1b" not in out


async def test_who_takes_the_witnesses_copies_away_is_found_by_what_they_say_again(
    city: Desk, province: Desk, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an office that records nothing more, too, and by somebody who has no key."""
    monkeypatch.setattr(outbox, "COSIGNED_SECONDS", 0.5)
    await whole_story(city, province)
    async with owners(city, servers) as db:
        rows = await (await db.execute("select body from events order by position")).fetchall()
        bodies = [bytes(body) for (body,) in rows]
        bodies[0] = bodies[0].replace(b"2019-10-04", b"2019-10-05")
        assert bodies[0] != bytes(rows[0][0])
        async with db.transaction():
            await db.execute("update events set body = %s where position = 1", (bodies[0],))
            frontier = b"".join(merkle.extend(0, (), bodies))
            await db.execute("update log_head set frontier = %s", (frontier,))
            for table in ("tiles", "checkpoints", "cosignatures"):
                await db.execute(f"delete from {table}".encode())

        async def found() -> bool:
            faults = (await audited(db, city, models=False)).faults.kept
            return any((one.table, "changed" in one.words) == ("cosignatures", True)
                       for one in faults)  # fmt: skip

        await eventually(found)
