"""What a restore, or going on after one, must not take: dead halves, forged files, older keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.runtime.audit import account
from shared.runtime.missing import BELIEVED
from tests.system import story
from tests.system.offices import eventually
from tests.system.test_command import environment, pulang
from tests.system.test_restore import REASON, Town, departed, goes_on, town

__all__ = ["town"]

DIES = """
import os, sys
from pathlib import Path
from shared.runtime import restoring

whole, told = restoring._as_sql, []

def dies(run, dump, into, *more):
    told.append(dump)
    if len(told) == int(sys.argv[4]):
        into.flush()
        os._exit(9)
    whole(run, dump, into, *more)

restoring._as_sql = dies
restoring._into_empty(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
"""
"""Ends as the system ends who takes too much memory, when events are restored and keys are not."""


def tables(town: Town) -> int:
    query = (
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'public'"
    )
    return int(town.rows(query)[0][0])


@pytest.mark.parametrize("dump", ["2", "3"])
async def test_a_restore_that_dies_halfway_leaves_the_database_empty(town: Town, dump: str) -> None:
    await departed(town)
    events, keys = await town.back_up("events"), await town.back_up("keys", "--keys")
    await town.lose()
    words = [sys.executable, "-c", DIES, town.owner, str(events), str(keys), dump]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr

    async def ended() -> bool:
        name = psycopg.conninfo.conninfo_to_dict(town.owner)["dbname"]
        query = (
            f"select from pg_stat_activity where datname = '{name}' and application_name = 'psql'"
        )
        return town.rows(query) == []

    await eventually(ended)
    assert tables(town) == 0
    await town.restore(events, keys)


async def test_what_can_be_known_before_is_said_before_anything_is_restored(town: Town) -> None:
    await departed(town)
    events, old = await town.back_up("events"), await town.back_up("old", "--keys")
    code, _, err = await town.run("keys", "rotate")
    assert code == 0, err
    keys = await town.back_up("keys", "--keys")
    manifest = events / "manifest.json"
    made = json.loads(manifest.read_text())
    code, out, _ = await town.run("restore", str(events), "--keys", str(old), "--drill")
    assert code == 1
    assert "Does not hold: the backup of keys is of epoch" in out
    await town.lose()
    for words, said in (
        (("--keys", str(old)), "the backup of keys is of epoch"),
        (("--keys", str(keys), "--evidence", str(town.folder / "nix.zip")), "is not there"),
    ):
        code, _, err = await town.run("restore", str(events), *words)
        assert (code, said in err) == (2, True), err
        assert tables(town) == 0
    manifest.write_text(json.dumps(made | {"migration": "9999"}))
    code, _, err = await town.run("restore", str(events), "--keys", str(keys))
    assert (code, "this version does not know" in err) == (2, True), err
    assert tables(town) == 0
    manifest.write_text(json.dumps(made))
    # What is no evidence is a finding, not the end of a restore that is done.
    code, out, err = await town.run(
        "restore", str(events), "--keys", str(keys), "--evidence", str(manifest)
    )
    assert (code, f"does not hold: {manifest}" in out) == (1, True), out + err


async def test_a_drill_names_a_checkpoint_that_can_t_be_read(town: Town) -> None:
    await departed(town)
    events = await town.back_up("events")
    with psycopg.connect(town.owner) as owner:
        owner.execute("set session_replication_role = replica")
        owner.execute("update cosignatures set note = 'x' where size = (select max(size)"
                      " from cosignatures)")  # fmt: skip
        owner.execute("update checkpoints set note = 'x' where size = (select max(size)"
                      " from checkpoints)")  # fmt: skip
    worse = await town.back_up("worse")
    for folder in (worse, events):
        code, out, err = await town.run("restore", str(folder), "--drill", "--json")
        assert code == 1, err
        steps = {one["name"]: one["faults"] for one in json.loads(out)["steps"]}
        assert any("office 35: a checkpoint" in one for one in steps["witnesses"])
    assert steps["manifest"] == []


async def accounts(town: Town, file: str) -> Path:
    """The province's account of the link, made there and signed."""
    path = town.folder / file
    words = ("audit", "reconcile", "53.71", "--export", str(path))
    code, _, err = await pulang(*words, **environment(town.province))
    assert code == 0, err
    return path


async def test_no_file_and_no_receipt_sends_a_link_to_numbers_that_nobody_has(town: Town) -> None:
    await departed(town)
    events, keys = await town.back_up("events"), await town.back_up("keys", "--keys")
    honest = await accounts(town, "35.json")
    ((last,),) = town.rows("select (outgoing ->> '35')::bigint from log_head")
    await town.lose()
    await town.restore(events, keys)
    made: dict[str, Any] = json.loads(honest.read_text())
    made["received"]["last"] = 2**62
    forged, signed = town.folder / "forged.json", town.folder / "signed.json"
    forged.write_text(json.dumps(made))
    lie = account.signed(account.read(forged), town.province.office.keyring.sign)
    account.write(lie, signed)
    for path, said in ((forged, "signed by no key"), (signed, "that can't be")):
        code, _, err = await town.run(
            "missing", "accept", "--reason", REASON, "--account", str(path)
        )
        assert (code, said in err) == (2, True), err
    code, _, err = await town.run("missing", "list", "--account", str(forged))
    assert (code, "signed by no key" in err) == (2, True), err
    # The same by a receipt: as if nothing had been heard.
    with psycopg.connect(town.owner) as owner:
        owner.execute(
            "insert into link_out (receiver, applied_there, said_at) values ('35', %s, %s)"
            " on conflict (receiver) do update set applied_there = excluded.applied_there,"
            " said_at = excluded.said_at",
            (last + BELIEVED + 1, 2**60),
        )
    code, out, _ = await town.run("missing", "list", "--json")
    found = json.loads(out)
    assert (code, found["messages"], found["partners"][0]["heard"]) == (1, [], False)
    # A file from before the restore tells of numbers, and not that there are no more.
    code, out, err = await town.run(
        "missing", "accept", "--reason", REASON, "--account", str(honest)
    )
    assert code == 0, err
    assert f"the next message has number {last + 1}; it was NOT heard" in out
    await town.start()
    assert (await goes_on(town))["unheard"] == ["35"]


async def test_a_partner_whose_clock_is_ahead_is_heard_after_the_restore_alone(town: Town) -> None:
    await departed(town)
    await town.stop()
    with psycopg.connect(town.owner) as owner:
        owner.execute("update link_out set said_at = %s where receiver = '35'", (2**60,))
    events, keys = await town.back_up("events"), await town.back_up("keys", "--keys")
    await town.lose()
    await town.restore(events, keys)
    code, out, _ = await town.run("missing", "list", "--json")
    assert (code, json.loads(out)["partners"][0]["heard"]) == (1, False)
    await town.start()
    assert (await goes_on(town))["basis"] == "compared"


async def test_whose_events_were_lost_and_given_up_no_look_up_finds(town: Town) -> None:
    """Keys are backed up later than events, and the blind index with them."""
    before, after = (story.intake_row(**named(number)) for number in ("01", "02"))
    await story.open_operation(town.desk)
    (first,) = await story.register(town.desk, before)
    events = await town.back_up("events")
    (second,) = await story.register(town.desk, after)
    keys = await town.back_up("keys", "--keys")
    assert [await found(town, row) for row in (before, after)] == [first, second]
    await town.lose()
    await town.restore(events, keys)
    code, _, err = await town.run("missing", "accept", "--reason", REASON)
    assert code == 0, err
    await town.start()
    assert town.rows("select count(distinct person) from identity_index") == [(2,)]
    assert [await found(town, row) for row in (before, after)] == [first, None]


def named(number: str) -> dict[str, Any]:
    return {"nik": f"35999902019001{number}", "name": f"Contoh Orang {number}"}


async def found(town: Town, row: dict[str, Any]) -> str | None:
    asked = {"purpose": "identity_check", "nik": row["nik"]}
    person: str | None = (await town.desk.post("intake", "/lookups", asked))["person"]
    return person
