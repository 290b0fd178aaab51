"""A backup restores whole or says what it lacks, and no office writes a second history."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.custody.restored import RestoreSettled
from shared.kernel import rotation
from shared.kernel.migrate import admit
from shared.runtime import backup, restoring
from shared.runtime.settings import Settings
from tests.servers import Servers, as_running
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk
from tests.system.test_command import environment, pulang
from tests.system.test_receipt_files import PDF, attach, look, paid

PRECIOUS = ("events", "outbox", "inbox", "parked", "requests", "checkpoints", "tiles",
            "cosignatures", "witnessed", "person_keys", "office_keys", "identity_index",
            "trusted_keys", "staff", "staff_totp", "link_in", "kept", "trust_acts",
            "attachments")  # fmt: skip
RIGHTS = (
    "select table_name, privilege_type from information_schema.role_table_grants"
    " where grantee = 'pulang_running' and table_schema = 'public' order by 1, 2",
    "select table_name, column_name from information_schema.column_privileges"
    " where grantee = 'pulang_running' and privilege_type = 'UPDATE'"
    " and table_schema = 'public' order by 1, 2",
    "select tablename, policyname, cmd, qual from pg_policies order by 1, 2",
    "select tgrelid::regclass::text, tgname from pg_trigger where not tgisinternal order by 1, 2",
)
"""What the running role may do, and what keeps it from the rest."""

REASON = "Server rusak; berita acara dengan Jawa Timur"


class Town:
    """A city whose database can be lost, and its province."""

    def __init__(self, servers: Servers, settings: Settings, province: Desk, folder: Path) -> None:
        self.servers, self.settings, self.province, self.folder = (
            servers, settings, province, folder,
        )  # fmt: skip
        self.running = AsyncExitStack()
        self.city: Desk | None = None
        self.lost: str | None = None

    @property
    def desk(self) -> Desk:
        assert self.city is not None
        return self.city

    @property
    def owner(self) -> str:
        return self.servers.owner(self.settings.database_url)

    async def start(self) -> Desk:
        self.city = await open_desk(self.running, self.settings, CITY)
        return self.city

    async def stop(self) -> None:
        await self.running.aclose()
        self.city = None

    async def run(self, *words: str) -> tuple[int, str, str]:
        settings = self.settings
        given = {
            "PULANG_OFFICE": settings.office,
            "PULANG_OFFICE_NAME": settings.office_name,
            "PULANG_PARTNERS": ",".join(settings.partners),
            "PULANG_DATABASE_URL": settings.database_url,
            "PULANG_OWNER_DATABASE_URL": self.owner,
            "PULANG_REDIS_URL": settings.redis_url,
            "PULANG_KEY_FILE": str(settings.key_file),
            "PULANG_KEY_PASSPHRASE": settings.key_passphrase.get_secret_value()
            if settings.key_passphrase
            else "",
        }
        return await pulang(*words, **given)

    async def back_up(self, name: str, *more: str) -> Path:
        out = self.folder / name
        code, _, err = await self.run("backup", str(out), *more)
        assert code == 0, err
        return out

    async def lose(self) -> None:
        """The database is gone; a new, empty one is in its place, under another name."""
        await self.stop()
        self.lost = self.settings.database_url
        self.settings = self.settings.model_copy(
            update={"database_url": empty_database(self.servers)}
        )

    async def restore(self, events: Path, keys: Path, *more: str) -> str:
        code, out, err = await self.run("restore", str(events), "--keys", str(keys), *more)
        assert code == 0, out + err
        return out

    def rows(self, query: str, url: str | None = None) -> list[Any]:
        with psycopg.connect(self.servers.owner(url or self.settings.database_url)) as connection:
            return connection.execute(query.encode()).fetchall()

    async def witnessed(self) -> None:
        """Each has all of the other's log, and said so: nothing more comes by itself. A claim that
        went astray under load comes again some seconds later, and would be in no backup."""

        async def all_of_it() -> bool:
            found = self.rows("select (select max(size) from cosignatures),"
                              " (select max(size) from witnessed)")  # fmt: skip
            return bool(found == [(await self.desk.size(), await self.province.size())])

        await story.in_sync(self.desk, self.province)
        await eventually(all_of_it)


def empty_database(servers: Servers) -> str:
    servers._made += 1
    name = f"empty_{servers._made}_{id(servers) % 10_000}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))
    servers._create(name, "template0")
    return as_running(servers._url(name))


@pytest.fixture
async def town(
    broker: None,
    stack: AsyncExitStack,
    settings: Callable[..., Settings],
    servers: Servers,
    tmp_path: Path,
) -> AsyncIterator[Town]:
    one = settings("53.71", ("35",))
    province = await open_desk(stack, settings("35", ("53.71",)), PROVINCE)
    town = Town(servers, one, province, tmp_path)
    await town.start()
    yield town
    await town.stop()


async def departed(town: Town) -> list[str]:
    """One handover that is known at both ends; then a backup may be made."""
    persons = await story.issued(town.desk, 2)
    await story.expected(town.province)
    await story.open_house(town.province)
    await town.witnessed()
    return persons


ABSENT = {"outcome": "absent", "absence": "left_in_transit"}


async def arrivals(town: Town, persons: list[str], answer: Any = story.ARRIVED) -> None:
    """What happens after the backup: departure, and an answer for both."""
    await town.desk.post("issuer", "/handovers/HO-1/departure")
    for person in persons:
        await story.answer(town.province, person, answer)
    await story.until_states(town.desk, dict.fromkeys(persons, answer["outcome"]))
    await town.witnessed()


async def evidence(town: Town, name: str = "bukti") -> Path:
    """What an inspector was given of the handover, and kept."""
    kept = town.folder / name
    code, _, err = await town.run("audit", "evidence", "HO-1", "--out", str(kept))
    assert code == 0, err
    return kept


async def goes_on(town: Town) -> dict[str, Any]:
    """Waits until the log is no longer held; gives the event that says so."""

    async def settled() -> Any:
        return town.rows(
            "select convert_from(body, 'UTF8') from events where"
            f" type = '{RestoreSettled.type}' order by position desc"
        )

    # A word of this office's to the partner and one back, each with the next receipt.
    found: dict[str, Any] = json.loads((await eventually(settled, 60))[0][0])["data"]
    return found


async def test_what_is_restored_is_what_was_backed_up_and_goes_on_when_all_were_heard(
    town: Town,
) -> None:
    persons = await departed(town)
    await paid(town.desk, persons[:1])
    assert (await attach(town.desk, persons[0], PDF)).status_code == 201
    await arrivals(town, persons)
    events, keys = await town.back_up("events"), await town.back_up("keys", "--keys")
    assert stat.S_IMODE((events / "events.dump").stat().st_mode) == 0o600
    assert stat.S_IMODE(events.stat().st_mode) == 0o700
    made = json.loads((events / "manifest.json").read_text())
    assert made["events"] == await town.desk.size()
    await town.lose()
    said = await town.restore(events, keys)
    assert "Nothing is recorded yet" in said
    for table in PRECIOUS:
        query = f"select to_jsonb(t)::text from {table} t order by 1"
        assert town.rows(query) == town.rows(query, town.lost), table
    for query in RIGHTS:
        assert town.rows(query) == town.rows(query, town.lost) != [], query
    assert town.rows("select count(*) from sessions") == [(0,)]
    size = made["events"]
    code, out, _ = await town.run("missing", "list", "--json")
    assert (code, json.loads(out)["partners"][0]["heard"]) == (1, False)
    await town.start()
    settled = await goes_on(town)
    assert settled == {
        "events": size, "restored": size, "witnessed": settled["witnessed"],
        "numbers": settled["numbers"], "unheard": [], "basis": "compared",
        "grounds": settled["grounds"],
    }  # fmt: skip
    await story.until_states(town.desk, dict.fromkeys(persons, "arrived"))
    assert (await look(town.desk, persons[0])).content == PDF
    await town.desk.post("issuer", "/operations", story.OPERATION | {"operation": "OP-NEW"})
    await town.witnessed()
    code, out, _ = await town.run("audit", "verify", "--json")
    assert (code, json.loads(out)["found"]) == (0, [])
    code, _, _ = await town.run("missing", "list")
    assert code == 0


async def test_an_office_that_is_behind_says_so_and_writes_nothing_until_it_has_all_back(
    town: Town,
) -> None:
    persons = await departed(town)
    events = await town.back_up("events")
    behind = await town.desk.size()
    await arrivals(town, persons, ABSENT)
    keys, size = await town.back_up("keys", "--keys"), await town.desk.size()
    kept = await evidence(town)
    await town.lose()
    said = await town.restore(events, keys, "--evidence", f"{kept}.zip")
    assert f"{size - behind} more events are lost with this backup alone" in said
    # What was compared by file before it runs: the office knows at once, and goes on knowing.
    code, out, _ = await town.run("missing", "list", "--json")
    found = json.loads(out)
    assert (code, found["events"], found["known_to_have_had"]) == (1, behind, size)
    assert f"has witnessed {size} events" in found["held"]
    city = await town.start()

    async def says_so() -> bool:
        code, out, _ = await town.run("status", "--json")
        sentence = f"office 35 has witnessed {size} events of this office's log, which has {behind}"
        return code == 1 and any(
            one.startswith("nothing is recorded:") and sentence in one
            for one in json.loads(out)["wrong"]
        )

    await eventually(says_so)
    ready = await city.http.get("/health/ready")
    assert ready.status_code == 503
    assert any("nothing is recorded" in one for one in ready.json()["troubles"])
    assert await city.refused("issuer", "/handovers/HO-1/departure") == "LOG_HELD"
    await asyncio.sleep(6)
    assert await city.size() == behind
    assert not (await town.province.get("auditor", "/links"))[0]["forked"]
    code, out, err = await town.run("missing", "recover", str(kept), "--json")
    back = json.loads(out)
    assert back["appended"] == size - behind, out + err
    settled = await goes_on(town)
    assert (settled["restored"], settled["events"]) == (behind, size)
    for query in (
        f"select position, body, stream, type, actor, correlation from events"
        f" where position <= {size} order by position",
        "select receiver, sequence, position, body, personal from outbox order by 1, 2",
    ):
        assert town.rows(query) == town.rows(query, town.lost)
    await town.witnessed()
    await story.until_states(town.desk, dict.fromkeys(persons, "absent"))

    async def verified() -> bool:
        """What the province had sent comes again, after which its events have their cause."""
        code, _, _ = await town.run("audit", "verify")
        return code == 0

    await eventually(verified, 60)


async def test_what_nobody_has_is_named_and_given_up_with_a_reason_and_no_number_comes_twice(
    town: Town,
) -> None:
    persons = await departed(town)
    events = await town.back_up("events")
    behind = await town.desk.size()
    await arrivals(town, persons)
    keys, size = await town.back_up("keys", "--keys"), await town.desk.size()
    kept = await evidence(town)
    ((number,),) = town.rows("select max(sequence) from outbox where receiver = '35'")
    theirs = town.folder / "35.json"
    words = ("audit", "reconcile", "53.71", "--export", str(theirs))
    code, _, err = await pulang(*words, **environment(town.province))
    assert code == 0, err
    await town.lose()
    await town.restore(events, keys)
    city = await town.start()

    async def held() -> bool:
        code, out, _ = await town.run("missing", "list", "--account", str(theirs), "--json")
        named.update(json.loads(out))
        return code == 1 and named["known_to_have_had"] == size

    named: dict[str, Any] = {}
    await eventually(held)
    assert named["unknown"] == [[behind, size - 1]]
    assert named["messages"][-1]["number"] == number
    assert {one["subject"] for one in named["messages"]} == {"HO-1"}
    assert all(one["type"] for one in named["messages"])
    code, out, _ = await town.run("missing", "list")
    assert f"index {behind} to {size - 1}: nothing is known" in out
    # Of the handover's own events those come back that have no hole before them.
    code, out, err = await town.run("missing", "recover", str(kept), "--json")
    back = json.loads(out)
    assert code == 1, err
    assert 0 < back["appended"] < size - behind
    behind += back["appended"]
    assert back["events"] == behind == back["unknown"][0][0]
    assert back["missing"]
    assert all(one["index"] > behind and one["type"] and one["time"] for one in back["missing"])
    code, _, err = await town.run("missing", "accept", "--reason", "NIK 5371012345678901")
    assert (code, await city.size()) == (2, behind), err
    code, out, err = await town.run("missing", "accept", "--reason", REASON)
    assert code == 0, err
    assert f"the next message has number {number + 1}" in out
    settled = await goes_on(town)
    assert (settled["basis"], settled["events"], settled["witnessed"]) == (
        "accepted", behind, size,
    )  # fmt: skip
    assert settled["grounds"] == REASON
    await story.draft(city, await story.register(city, story.intake_row()), "HO-2")
    await story.issue(city, "HO-2")
    first = town.rows(f"select min(sequence) from outbox where position > {behind}")
    assert first == [(number + 1,)]

    async def forked() -> bool:
        return bool((await town.province.get("auditor", "/links"))[0]["forked"])

    # Its partner has witnessed another history, and its people are asked.
    await eventually(forked, 90)
    words = ("witness", "accept", "53.71", "--reason", REASON)
    code, _, err = await pulang(*words, **environment(town.province))
    assert code == 0, err

    async def confirmed() -> bool:
        (link,) = await city.get("auditor", "/links")
        return bool(link["confirmed"] == link["recorded"] > number and not link["forked_there"])

    await eventually(confirmed, 60)
    code, out, _ = await town.run("audit", "verify", "--json")
    found = json.loads(out)
    assert found["given_up"] == [[behind, size]]
    assert {one["table"] for one in found["found"]} <= {"events"}, found["found"]
    code, _, err = await town.run("missing", "accept", "--reason", REASON)
    assert (code, "not held" in err) == (2, True)


@asynccontextmanager
async def changed(town: Town) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(town.owner, autocommit=True) as owner:
        yield owner


def scratch(town: Town) -> list[Any]:
    return town.rows("select datname from pg_database where datname like 'pulang_drill%'")


async def test_a_drill_is_green_leaves_nothing_and_is_red_for_what_is_damaged(town: Town) -> None:
    persons = await departed(town)
    events, keys = await town.back_up("events"), await town.back_up("keys", "--keys")
    await arrivals(town, persons)
    before = town.rows("select to_jsonb(h)::text from log_head h")
    for more in ((), ("--keys", str(keys))):
        code, out, err = await town.run("restore", str(events), "--drill", "--json", *more)
        found = json.loads(out)
        assert (code, found["faults"]) == (0, 0), out + err
        assert [one["name"] for one in found["steps"]] == [
            "check", "restore", "migrate", "rebuild", "verify", "manifest", "witnesses",
        ]  # fmt: skip
        assert any("more events are lost" in one for one in found["steps"][-1]["says"])
    assert town.rows("select to_jsonb(h)::text from log_head h") == before
    assert scratch(town) == []
    dump = events / "events.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-200] + bytes([whole[-200] ^ 1]) + whole[-199:])
    code, out, _ = await town.run("restore", str(events), "--drill")
    assert code == 1
    assert "is not the file that was made" in out
    # Who makes the digest fit does not make the history fit.
    async with changed(town) as owner:
        await owner.execute(
            "update events set body = replace(convert_from(body, 'UTF8'), '2019', '2018')::bytea"
            " where position = 1"
        )
    worse = await town.back_up("worse")
    code, out, _ = await town.run("restore", str(worse), "--drill", "--json")
    found = json.loads(out)
    assert code == 1
    assert [one["name"] for one in found["steps"] if one["faults"]] == ["verify", "witnesses"]
    assert scratch(town) == []


async def test_a_drill_that_is_cut_off_leaves_no_database(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await departed(town)
    events = await town.back_up("events")
    begun = asyncio.Event()

    async def stand_still(*_: Any, **__: Any) -> None:
        begun.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(restoring, "_prove", stand_still)
    settings = town.settings.model_copy(update={"owner_database_url": town.owner})
    task = asyncio.create_task(restoring.drill(settings, CITY, events, None, ()))
    await begun.wait()
    assert len(scratch(town)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scratch(town) == []


async def test_who_was_erased_after_the_backup_stays_erased(town: Town) -> None:
    first, second = await departed(town)
    (sealed,) = town.rows(
        "select convert_from(body, 'UTF8') from events where type like '%registered%'"
        f" and stream = 'beneficiary-{first}'"
    )
    assert "s1." in sealed[0]
    events = await town.back_up("events")
    # An account that is newer than the backup of events: its second factor belongs to nobody.
    await town.desk.account("baru", "approver")
    keyring, vault = town.desk.office.keyring, town.desk.office.vault
    async with keyring.pool.connection() as connection:
        await vault.destroy(connection, [first])
    await rotation.rotate(keyring)
    keys = await town.back_up("keys", "--keys")
    for dump in (events / "events.dump", keys / "keys.dump"):
        assert town.settings.key_file is not None
        assert town.settings.key_file.read_bytes() not in dump.read_bytes()
    await town.lose()
    await town.restore(events, keys)
    found = dict(town.rows("select subject, wrapped is null from person_keys"))
    assert (found[first], found[second]) == (True, False)
    city = await town.start()
    await goes_on(town)
    path = f"/beneficiaries/{second}/identity"
    assert (await city.look("intake", path))["person"] == second
    assert await city.office.vault.gone([first, second]) == {first}


async def test_nothing_is_restored_over_anything_and_nothing_is_overwritten(town: Town) -> None:
    await departed(town)
    events, keys = await town.back_up("events"), await town.back_up("keys", "--keys")
    before = town.rows("select to_jsonb(h)::text from log_head h")
    for words, said in (
        (("backup", str(events)), "is there already"),
        (("backup", str(events / "x" / "y")), "is no folder"),
        (("restore", str(events), "--keys", str(keys)), "is not empty"),
        (("restore", str(events)), "name the newest backup of keys"),
        (("restore", str(keys), "--keys", str(keys)), "is a backup of keys"),
        (("restore", str(town.folder), "--keys", str(keys)), "is no backup"),
        (("missing", "recover", str(events)), "is not held"),
        (("missing", "list", "--evidence", str(events)), "is no folder of evidence"),
    ):
        code, _, err = await town.run(*words)
        assert (code, said in err) == (2, True), (words, err)
    with pytest.raises(backup.NoBackup, match=r"office 53\.71, not of 35"):
        backup.back_up(town.owner, "35", town.folder / "x", "events", town.desk.office.clock())
    with pytest.raises(backup.NoBackup, match=r"office 53\.71, not of 35"):
        backup.read(events, "35", "events")
    assert town.rows("select to_jsonb(h)::text from log_head h") == before
    # A dump that breaks off halfway leaves the empty database empty.
    dump, manifest = events / "events.dump", events / "manifest.json"
    whole = dump.read_bytes()
    dump.write_bytes(whole[: len(whole) * 2 // 3])
    made = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(made | {"sha256": backup.digest(dump)}))
    await town.lose()
    code, _, err = await town.run("restore", str(events), "--keys", str(keys))
    assert code == 2, err
    query = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    assert town.rows(f"{query} where n.nspname = 'public'") == [(0,)]
    admit(town.owner, town.settings.database_url)
