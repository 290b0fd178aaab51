"""The `pulang` command as an operator types it, on a running office."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from psycopg import OperationalError

from services import cli
from services.city.projections.board import projection as BOARD
from shared.kernel.handling import Handling, Undecided
from shared.kernel.keyring import draw_signing, verifier_key
from shared.kernel.projector import Projector, Recorded, Statement
from shared.kernel.store import Conflict, Store
from shared.runtime import replaying
from shared.runtime.key_file import SealedFile
from shared.runtime.office import VERSION
from shared.runtime.replaying import NotReplayed
from tests.conftest import PASSPHRASE
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.typed import pulang

REPLAY = ("replay", "--reason", "Audit triwulan")


def environment(desk: Desk) -> dict[str, str]:
    settings = desk.office.settings
    return {
        "PULANG_OFFICE": settings.office,
        "PULANG_OFFICE_NAME": settings.office_name,
        "PULANG_PARTNERS": ",".join(settings.partners),
        "PULANG_DATABASE_URL": settings.database_url,
        "PULANG_REDIS_URL": settings.redis_url,
        "PULANG_KEY_FILE": str(settings.key_file),
        "PULANG_KEY_PASSPHRASE": PASSPHRASE,
    }


async def test_status_says_that_all_is_well(city: Desk, province: Desk) -> None:
    await story.open_operation(city)
    # Of office 53, which is not there, no key is trusted: that is wrong, and said.
    code, out, _ = await pulang("status", **environment(city))
    assert code == 1
    assert "no key of office 53 is trusted" in out
    await city.office.keyring.trust("53", verifier_key("53", draw_signing()[0]), "test")
    code, out, _ = await pulang("status", **environment(city))
    assert code == 0, out
    assert "Worker: active" in out
    code, out, _ = await pulang("status", "--json", **environment(city))
    found = json.loads(out)
    assert found["log"]["size"] == 2
    assert {row["lag"] for row in found["projections"]} == {0}
    assert [link["partner"] for link in found["links"]] == ["35", "53"]


async def test_status_says_what_is_wrong_and_ends_with_one(city: Desk) -> None:
    async with city.office.pool.connection() as connection:
        await connection.execute("update projections set position = 99 where name = 'board'")
    code, out, _ = await pulang("status", "--json", **environment(city))
    assert code == 1
    assert any("pulang replay board" in one for one in json.loads(out)["wrong"])


async def test_history_tells_in_plain_words_what_happened_and_who_did_it(city: Desk) -> None:
    (person,) = await story.issued(city, 1)
    code, out, _ = await pulang("history", "HO-1", "--json", **environment(city))
    lines = json.loads(out)
    assert code == 0
    assert lines[0]["words"] == "Serah terima HO-1 ke Jawa Timur (35) dirancang oleh issuer."
    assert [line["actor"] for line in lines if "disahkan" in line["words"]] == ["approver"]
    of_her = json.loads((await pulang("history", person, "--json", **environment(city)))[1])
    assert any(line["words"] == f"{person} menyatakan bersedia (SPK/1)." for line in of_her)
    assert (await pulang("history", "HO-1", **environment(city)))[0] == 0


async def test_history_as_known_at_a_time_tells_what_was_known_then(city: Desk) -> None:
    await story.issued(city, 1)
    past = ("--known-at", "2019-10-04T08:00:00+08:00")
    assert (await pulang("history", "HO-1", *past, **environment(city)))[0] == 1
    future = ("--known-at", "2099-10-04T08:00:00+08:00")
    assert (await pulang("history", "HO-1", *future, **environment(city)))[0] == 0


async def test_replay_proves_every_read_model_equal_while_staff_go_on(city: Desk) -> None:
    await story.issued(city, 3)
    replaying = asyncio.create_task(pulang(*REPLAY, "--json", **environment(city)))
    while not replaying.done():
        await story.register(city, story.intake_row())
    code, out, err = await replaying
    assert code == 0, err
    assert json.loads(out) == {"board": [], "custody": [], "handovers": [], "ledger": []}


async def test_replay_names_a_tampered_row_and_mends_it(city: Desk) -> None:
    (person,) = await story.issued(city, 1)
    async with city.office.pool.connection() as connection:
        await connection.execute("update rm_board.person set state = 'arrived'")
    code, out, _ = await pulang(*REPLAY, "board", "--json", **environment(city))
    assert code == 1
    assert person in json.loads(out)["board"][0]
    assert await story.entry_states(city) == {person: "issued"}


async def ledgers(desk: Desk) -> dict[str, int]:
    """How much stands in the log and in each table of messages."""
    found = {}
    async with desk.office.pool.connection() as connection:
        for table in ("events", "outbox", "inbox", "parked", "requests"):
            cursor = await connection.execute(f"select count(*) from {table}".encode())
            (found[table],) = await cursor.fetchone() or (0,)
    return found


async def recorded_replays(desk: Desk, model: str) -> list[dict[str, Any]]:
    stored = (await desk.office.store.load([f"replay-{model}"]))[f"replay-{model}"]
    return [one.document for one in stored]


async def test_a_replay_leaves_one_record_for_each_read_model_and_nothing_else(city: Desk) -> None:
    await story.issued(city, 1)
    before = await ledgers(city)
    code, _, err = await pulang(*REPLAY, **environment(city), SUDO_USER="auditor-kota")
    assert code == 0, err
    assert "events/s" in err
    assert await ledgers(city) == before | {"events": before["events"] + 4}
    (document,) = await recorded_replays(city, "board")
    assert document["actor"] == "auditor-kota"
    told = document["data"]
    assert (told["outcome"], told["differing"]) == ("equal", 0)
    assert (told["first"], told["last"]) == (1, before["events"])
    assert (told["software"], told["projection_version"]) == (VERSION, BOARD.version)
    assert told["live"] == told["rebuilt"]
    _, out, _ = await pulang("history", "board", "--json", **environment(city))
    (line,) = json.loads(out)
    assert "sama, dialihkan. Audit triwulan" in line["words"]
    assert line["actor"] == "auditor-kota"


async def test_the_record_says_that_rows_differed(city: Desk) -> None:
    await story.issued(city, 2)
    async with city.office.pool.connection() as connection:
        await connection.execute("update rm_board.person set state = 'arrived'")
    code, out, _ = await pulang(*REPLAY, "board", **environment(city))
    assert code == 1
    (document,) = await recorded_replays(city, "board")
    told = document["data"]
    assert (told["outcome"], told["differing"]) == ("different", 4)
    assert told["live"] != told["rebuilt"]
    assert told["rebuilt"] in out.replace("\n", "")


async def test_a_copy_that_cannot_be_built_is_on_record_and_the_live_one_stays(city: Desk) -> None:
    (person,) = await story.issued(city, 1)

    def fails(recorded: Recorded) -> list[Statement]:
        return [("select 1 / (%(position)s - 2)", {"position": recorded.position})]

    (real,) = [one for one in city.office.projectors if one.projection.name == "board"]
    broken = Projector(real.pool, city.office.handling.types, replace(BOARD, apply=fails))
    with pytest.raises(NotReplayed, match="DivisionByZero"):
        await replaying.replay(city.office, broken, "RP-1", "Audit", "op", lambda done, all_: None)
    (document,) = await recorded_replays(city, "board")
    assert document["data"]["outcome"] == "refused"
    assert document["data"]["rebuilt"] is None
    assert await story.entry_states(city) == {person: "issued"}


@pytest.mark.parametrize("error", [Conflict("a stream has moved on"), Undecided("30 tries")])
async def test_a_rebuild_that_others_were_faster_than_is_said_in_words(
    city: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def faster(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Handling, "handle", faster)
    (board,) = [one for one in city.office.projectors if one.projection.name == "board"]
    with pytest.raises(NotReplayed, match="run it again"):
        await replaying.replay(city.office, board, "RP-1", "Audit", "op", lambda done, all_: None)
    # Of any other command too: no traceback for what an operator mends by asking again.
    monkeypatch.setattr(cli, "app", Mock(side_effect=error))
    assert cli.main() == 2


async def test_a_switch_and_its_record_stand_or_fall_together(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (person,) = await story.issued(city, 1)
    async with city.office.pool.connection() as connection:
        await connection.execute("update rm_board.person set state = 'arrived'")
    (board,) = [one for one in city.office.projectors if one.projection.name == "board"]
    append = Store.append_within

    async def cut_off(store: Store, *given: Any) -> int:
        await append(store, *given)
        raise OperationalError("the connection is gone")

    async def replay() -> None:
        await replaying.replay(city.office, board, "RP-1", "Audit", "op", lambda done, all_: None)

    with monkeypatch.context() as patch, pytest.raises(OperationalError):
        patch.setattr(Store, "append_within", cut_off)
        await replay()
    assert await recorded_replays(city, "board") == []
    async with city.office.pool.connection() as connection:
        cursor = await connection.execute("select state from rm_board.person")
        assert await cursor.fetchall() == [("arrived",)]
    await replay()
    (document,) = await recorded_replays(city, "board")
    assert document["data"]["outcome"] == "different"
    # The office goes on where it was.
    assert await story.entry_states(city) == {person: "issued"}
    await story.register(city, story.intake_row())


async def test_what_the_worker_builds_anew_after_an_update_is_on_record(city: Desk) -> None:
    await story.issued(city, 1)
    size = await city.size()
    async with city.office.pool.connection() as connection:
        await connection.execute("update projections set version = 0 where name = 'board'")

    async def built() -> bool:
        return bool(await recorded_replays(city, "board"))

    await eventually(built)
    (document,) = await recorded_replays(city, "board")
    told = document["data"]
    assert (document["actor"], told["grounds"]) == ("worker", replaying.UPDATED)
    assert (told["outcome"], told["last"], told["differing"]) == ("another_version", size, None)


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (("status",), {}, "PULANG_OFFICE"),
        ((*REPLAY, "nothing"), {"city": "1"}, "There is no read model nothing"),
        (("replay",), {"city": "1"}, "--reason"),
        (("replay", "--reason", "NIK 5371012345678901"), {"city": "1"}, "nothing was rebuilt"),
        (("history", "X", "--known-at", "kemarin"), {"city": "1"}, "Waktunya tidak terbaca"),
        (("history", "X", "--true-at", ""), {"city": "1"}, "Waktunya tidak terbaca"),
        (("nonsense",), {}, "No such command"),
        (("status",), {"city": "1", "PULANG_KEY_FILE": "/nowhere/key"}, "/nowhere/key"),
        (
            ("staff", "add", "x", "--roles", "issuer,approver"),
            {"city": "1"},
            "who issues does not approve",
        ),
        (("migrate",), {"city": "1", "PULANG_PORT": "zero"}, "PULANG_PORT"),
    ],
)
async def test_what_cannot_run_says_why_and_ends_with_two(
    city: Desk, words: tuple[str, ...], more: dict[str, Any], said: str
) -> None:
    chosen = environment(city) if more.pop("city", None) else {}
    code, _, err = await pulang(*words, **(chosen | more))
    assert code == 2
    assert said in err
    assert "Traceback" not in err


async def test_an_account_made_by_the_command_opens_the_api(city: Desk) -> None:
    words = ("staff", "add", "petugas-1", "--roles", "issuer,intake", "--json")
    code, out, err = await pulang(*words, **environment(city))
    assert code == 0, err
    account = json.loads(out)
    city.tokens["petugas-1"] = account["token"]
    assert await city.get("petugas-1", "/operations") == []
    code, out, _ = await pulang("staff", "list", "--json", **environment(city))
    (listed,) = [row for row in json.loads(out) if row["username"] == "petugas-1"]
    assert (listed["roles"], listed["active"]) == (["intake", "issuer"], True)


async def test_a_disabled_account_opens_nothing(city: Desk) -> None:
    code, out, _ = await pulang("staff", "disable", "treasurer", **environment(city))
    assert (code, out) == (0, "treasurer: disabled.\n")
    assert (await city.send("treasurer", "/treasury-returns")).status_code == 401
    assert (await pulang("staff", "disable", "nobody", **environment(city)))[0] == 2


async def test_keys_are_listed_exported_trusted_rotated_and_revoked(
    city: Desk, province: Desk
) -> None:
    here, there = environment(city), environment(province)
    code, line, _ = await pulang("keys", "export-public", **here)
    assert code == 0
    key_id = line.split("+")[1]
    code, out, _ = await pulang("keys", "trust", "53.71", line.strip(), **there)
    assert (code, out) == (0, f"Office 35: key {key_id} of 53.71 trusted.\n")
    (person,) = await story.issued(city, 1)
    await story.expected(province)
    code, out, _ = await pulang("keys", "rotate", **there)
    assert code == 0
    assert "Key epoch 2" in out
    found = json.loads((await pulang("keys", "list", "--json", **there))[1])
    assert (found["epoch"], found["living_epochs"]) == (2, [2])
    assert {row["epoch"] for row in found["keys"]} == {2}
    seen = await province.look("reception", f"/beneficiaries/{person}/identity")
    assert seen["initials"] == "AB"
    code, _, err = await pulang("keys", "trust", "35", line.strip(), **here)
    assert code == 2
    assert "this is no key of office 35" in err
    code, out, _ = await pulang("keys", "trust", "53.71", key_id, "--revoke", **there)
    assert (code, out) == (0, f"Office 35: key {key_id} of 53.71 revoked.\n")
    code, _, err = await pulang("keys", "trust", "53.71", line.strip(), **there)
    assert code == 2
    assert "was revoked" in err


async def test_a_signing_key_is_prepared_and_switched_to(city: Desk) -> None:
    here = environment(city)
    assert (await pulang("keys", "rotate", "--switch-signing", **here))[0] == 2
    assert (await pulang("keys", "rotate", "--prepare-signing", **here))[0] == 0
    _, out, _ = await pulang("keys", "export-public", **here)
    current, prepared = out.splitlines()
    assert (await pulang("keys", "rotate", "--switch-signing", **here))[0] == 0
    assert (await pulang("keys", "export-public", **here))[1].splitlines() == [prepared]
    assert current != prepared


async def test_migrate_never_draws_a_new_key_over_lost_persons(city: Desk) -> None:
    """A new key would open nothing, and hide that the old one is gone."""
    await story.open_operation(city)
    await story.register(city, story.intake_row())
    lost = environment(city) | {"PULANG_KEY_FILE": str(city.office.settings.key_file) + ".lost"}
    code, _, err = await pulang("migrate", **lost)
    assert code == 2
    assert "Restore the file from your backup" in err
    assert not Path(lost["PULANG_KEY_FILE"]).exists()


async def test_an_office_does_not_open_another_ones_database(city: Desk) -> None:
    """It would write in its own name into somebody else's log."""
    wrong = environment(city) | {"PULANG_OFFICE": "35", "PULANG_PARTNERS": "53.71"}
    code, _, err = await pulang("status", **wrong)
    assert code == 2
    assert "this database is that of office 53.71" in err
    code, out, _ = await pulang("status", "--json", **environment(city))
    names = [row["name"] for row in json.loads(out)["projections"]]
    assert names == ["board", "custody", "handovers", "ledger"]


async def test_a_key_file_that_is_none_is_told_plainly(city: Desk, tmp_path: Path) -> None:
    await story.open_operation(city)
    await story.register(city, story.intake_row())
    other = tmp_path / "other.key"
    SealedFile.make(other, PASSPHRASE, "53.71")
    short = tmp_path / "short.key"
    short.write_text("YQ==")
    right = city.office.settings.key_file
    for path, passphrase, said in (
        (other, PASSPHRASE, "restore the newest backup"),
        (short, PASSPHRASE, str(short)),
        (tmp_path, PASSPHRASE, str(tmp_path)),
        (right, PASSPHRASE + "x", str(right)),
    ):
        more = {"PULANG_KEY_FILE": str(path), "PULANG_KEY_PASSPHRASE": passphrase}
        code, _, err = await pulang("status", **environment(city) | more)
        assert code == 2
        assert said in err
        assert passphrase not in err
