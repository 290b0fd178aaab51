"""Rows that no event tells of: whoever deletes, doubles or dates one anew is found by an audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection

from shared.kernel import rotation
from shared.kernel.kept import COUNTED, chained
from shared.kernel.keyring import draw_signing, key_id, verifier_key
from tests.servers import Servers
from tests.system.offices import Desk
from tests.system.test_audit import whole_story
from tests.system.test_command import environment, pulang
from tests.system.test_tampering import audited, owners

Owner = AsyncConnection[Any]
THREE = ("checkpoints", "cosignatures", "witnessed")
TIMES = {"checkpoints": "made_at", "cosignatures": "received_at", "witnessed": "witnessed_at"}


@pytest.fixture
async def told(city: Desk, province: Desk, servers: Servers) -> AsyncIterator[Owner]:
    """The city has witnessed and is witnessed; its database's owner."""
    await whole_story(city, province)
    async with owners(city, servers) as db:
        yield db


async def found(db: Owner, city: Desk, *edits: str) -> list[str]:
    """What an audit finds after these edits, which are then taken back."""
    async with db.transaction(force_rollback=True):
        await db.execute("set transaction isolation level repeatable read")
        for edit in edits:
            done = await db.execute(edit.encode())
            assert done.rowcount, edit
        faults = (await audited(db, city, models=False)).faults.kept
    return [f"{one.table}, {one.place}: {one.words}" for one in faults]


async def test_what_was_kept_is_missed_wherever_in_its_table_it_stood(
    told: Owner, city: Desk
) -> None:
    assert await found(told, city) == []
    for table in THREE:
        ((last,),) = await (
            await told.execute(f"select max(number) from {table}".encode())
        ).fetchall()
        assert last > 2, table
        for number in (1, 2, last):
            lines = await found(told, city, f"delete from {table} where number = {number}")
            assert f"{table}, row {number} to {number}:" in "".join(lines), lines
        assert any(
            line.startswith(f"{table}, row 1 to {last}: the newest that was kept was taken away")
            for line in await found(told, city, f"delete from {table}")
        )


async def test_a_row_twice_or_a_time_made_other_is_found(told: Owner, city: Desk) -> None:
    for table in THREE:
        time = TIMES[table]
        lines = await found(
            told,
            city,
            f"update {table} set {time} = {time} - interval '1 microsecond' where number = 2",
        )
        assert any(line.startswith(f"{table}, row 2, ") for line in lines), lines
    for number in ("number", "null", "number + 1000"):
        lines = await found(
            told,
            city,
            "insert into witnessed (office, size, note, witnessed_at, number, chain) select office,"
            f" size, note, witnessed_at, {number}, chain from witnessed where number = 1",
        )
        assert any(line.startswith("witnessed, row ") for line in lines), lines


async def test_who_chains_the_rest_anew_lacks_the_signature(told: Owner, city: Desk) -> None:
    """The newest row goes, and all that can be computed without a key is made to fit."""
    for table, columns in COUNTED.items():
        ((last,),) = await (
            await told.execute(f"select coalesce(max(number), 0) from {table}".encode())
        ).fetchall()
        if table == "forks":
            continue
        rows = await (
            await told.execute(
                f"select {', '.join(columns)} from {table} where number < {last}"
                " order by number".encode()
            )
        ).fetchall()
        chain = b""
        for number, row in enumerate(rows, 1):
            chain = chained(chain, table, number, row)
        lines = await found(
            told,
            city,
            f"delete from {table} where number = {last}",
            f"update kept set number = {last - 1}, chain = '\\x{chain.hex()}'"
            f" where name = '{table}'",
        )
        assert any(line.startswith(f"kept, {table}: ") for line in lines), (table, lines)


async def test_what_was_taken_away_is_missed_after_more_was_kept(
    told: Owner, city: Desk, province: Desk
) -> None:
    """The next number follows from what was signed, and not from what is there."""
    for table in THREE:
        await told.execute(
            f"delete from {table} where number = (select number from kept"
            f" where name = '{table}')".encode()
        )
    before = (await audited(told, city, models=False)).faults.number
    assert before >= len(THREE)
    code, out, _ = await pulang("audit", "verify", **environment(city))
    assert code == 1
    assert "was taken away" in out


async def test_a_message_that_came_at_another_time_than_its_events_say(
    told: Owner, city: Desk
) -> None:
    for change in ("+ interval '1 hour'", "- interval '1 hour'"):
        lines = await found(told, city, f"update inbox set received_at = received_at {change}")
        assert any("came at another time than it says" in line for line in lines), lines


async def test_a_history_that_is_forked_is_no_clean_audit(told: Owner, city: Desk) -> None:
    lines = await found(told, city, "update link_out set forked = true where receiver = '35'")
    assert lines == ["link_out, to 35: office 35 holds this office's history for forked: call it"]
    await city.office.inbox("35")._witness.fork("message 1 came before", city.office.clock())
    lines = await found(told, city)
    assert lines == [
        "forks, fork 1, partner 35: the history of office 35 is forked, and nobody has decided yet"
    ]
    code, out, _ = await pulang("audit", "verify", **environment(city))
    assert (code, "nobody has decided yet" in out) == (1, True)
    code, out, _ = await pulang("status", "--json", **environment(city))
    assert (code, "the history of office 35 is forked" in out) == (1, True)
    lines = await found(told, city, "update forks set settled_at = now(), settled_by = 'x'")
    assert lines == [
        "forks, fork 1, partner 35: it is marked as accepted, and no event says who accepted it"
        " and why"
    ]
    lines = await found(told, city, "delete from forks")
    assert lines == ["forks, row 1 to 1: the newest that was kept was taken away"]
    code, _, err = await pulang("witness", "accept", "35", "--reason", "Sudah dibicarakan",
                                **environment(city))  # fmt: skip
    assert code == 0, err
    assert await found(told, city) == []


async def test_a_key_that_no_command_left_is_found(told: Owner, city: Desk) -> None:
    keyring = city.office.keyring
    await rotation.prepare_signing(keyring)
    await rotation.switch_signing(keyring)
    other = draw_signing()[0]
    line = verifier_key("53", other)
    await keyring.trust("53", line, "uji")
    await keyring.revoke("53", line.split("+")[1], "uji")
    assert await found(told, city) == []
    forged = draw_signing()[0]
    partner, own = key_id("35", forged), key_id("53.71", forged)
    for table, place, *edits in (
        ("trusted_keys", f"key {partner}, office 35",
         "insert into trusted_keys (office, key_id, public, trusted_by) values"
         f" ('35', '{partner}', '\\x{forged.hex()}', 'uji')"),
        ("trusted_keys", "office 35",
         f"update trusted_keys set public = '\\x{forged.hex()}' where office = '35'"),
        ("trusted_keys", "office 35",
         "update trusted_keys set trusted_by = 'orang lain' where office = '35'"),
        ("trusted_keys", "office 53",
         "update trusted_keys set revoked_at = null, revoked_by = null where office = '53'"),
        ("trusted_keys", "office 53", "delete from trusted_keys where office = '53'"),
        ("retired_keys", f"key {own}",
         "insert into retired_keys (key_id, public) values"
         f" ('{own}', '\\x{forged.hex()}')"),
        ("retired_keys", "key", "delete from retired_keys"),
        ("office_keys", "key",
         f"update office_keys set public = '\\x{forged.hex()}' where purpose = 'signing'"),
        # With the act that would have left it.
        ("trust_acts", "row",
         "insert into trusted_keys (office, key_id, public, trusted_by, trusted_at) values"
         f" ('35', '{partner}', '\\x{forged.hex()}', 'uji', now())",
         "insert into trust_acts (act, office, key_id, public, by, at, number) values"
         f" ('trusted', '35', '{partner}', '{forged.hex()}', 'uji', now(),"
         " (select number + 1 from kept where name = 'trust_acts'))"),
    ):  # fmt: skip
        lines = await found(told, city, *edits)
        assert any(one.startswith(table) and place in one for one in lines), (edits, lines)


async def test_a_restored_log_whose_mark_was_taken_off_is_found(told: Owner, city: Desk) -> None:
    held = "update log_head set restored_at = null, restored_size = 3"
    assert await found(told, city, held) == [
        "log_head, restored_at: the log was restored, and no event says that it was compared or"
        " accepted since"
    ]
