"""`pulang restore`, and its drill: a backup into an empty database, checked in every way there is.

The restore is one transaction, so that it is there whole or not at all, and the log that it makes
is held (`shared.kernel.hold`). The drill does the same into a database of its own beside the live
one, which it takes away again however it ends; nothing is sent, for no worker runs on it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import psycopg
from psycopg import AsyncConnection, sql

from shared.kernel import checkpoints, merkle, note, rotation
from shared.kernel.migrate import admit, knows, migrate
from shared.kernel.note import Checkpoint, NotANote
from shared.kernel.store import AWAY, read_events, read_head
from shared.kernel.witness import note_cosigned
from shared.runtime import audit, offered
from shared.runtime.audit.verify import Keys
from shared.runtime.backup import (
    Damaged,
    Manifest,
    NoBackup,
    Programs,
    back_up,
    last_line,
    programs,
    reach,
)
from shared.runtime.backup import read as read_backup
from shared.runtime.clock import system_clock
from shared.runtime.manifest import Service
from shared.runtime.office import Office, open_office, provider_of
from shared.runtime.settings import Settings

DRILL_LOCK = 53710007
BATCH = 2_000
NEW_SETTING = b"SET transaction_timeout"
"""What the programs say since 17 and older servers do not know."""

BEFORE = """
do $$ begin
  if not exists (select from pg_roles where rolname = 'pulang_running') then
    create role pulang_running nologin;
  end if;
end $$;
"""
WITHOUT_ACCOUNT = """
delete from public.staff_totp where username not in (select username from public.staff);
"""
UNHEARD = """
update public.link_out set said_at = 0, answered = 0;
"""
"""What a partner whose clock is ahead said before the backup is not said since."""
HOLD = "update log_head set restored_at = clock_timestamp(), restored_size = size"


@dataclass
class Step:
    name: str
    seconds: float = 0.0
    says: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What was done, how long each step took, and what does not hold."""

    office: str
    manifest: Manifest
    steps: list[Step] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return sum(len(step.faults) for step in self.steps)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        began, step = time.monotonic(), Step(name)
        self.steps.append(step)
        try:
            yield step
        finally:
            step.seconds = round(time.monotonic() - began, 3)

    def document(self) -> dict[str, Any]:
        return {
            "office": self.office,
            "made_at": self.manifest.made_at,
            "events": self.manifest.events,
            "faults": self.faults,
            "steps": [asdict(step) for step in self.steps],
        }


async def restore(
    settings: Settings, service: Service, events: Path, keys: Path, evidence: Sequence[Path]
) -> Report:
    """Into the office's own database, which must be empty. Raises NoBackup; then it still is."""
    owner = settings.owner_database_url or settings.database_url
    report = _checked(settings, events, keys, evidence)
    await _load(report, owner, settings.database_url, events, keys)
    async with open_office(settings, service) as office:
        await rotation.count(office.keyring)
        await _prove(report, office, evidence)
    return report


async def drill(
    settings: Settings,
    service: Service,
    events: Path,
    keys: Path | None,
    evidence: Sequence[Path],
) -> Report:
    """The same into a database that is gone afterwards. Raises NoBackup.

    Without `keys` the live database's own are taken. `settings` are of the live office.
    """
    owner = settings.owner_database_url or settings.database_url
    with TemporaryDirectory(prefix="pulang-drill-") as folder:
        if keys is None:
            keys, now = Path(folder) / "keys", system_clock(settings.zone)()
            await asyncio.to_thread(back_up, owner, settings.office, keys, "keys", now)
        report = _checked(settings, events, keys, evidence)
        async with _scratch(owner, settings.office) as name:
            running = at(settings.database_url, name)
            await _load(report, at(owner, name), running, events, keys)
            beside = settings.model_copy(update={"database_url": running})
            async with open_office(beside, service) as office:
                await rotation.count(office.keyring)
                live = await _live(settings)
                await _prove(report, office, evidence, live)
    return report


def _checked(settings: Settings, events: Path, keys: Path, evidence: Sequence[Path]) -> Report:
    """What can be known before anything is restored. Raises NoBackup, KeysUnusable."""
    for path in evidence:
        if not path.exists():
            raise NoBackup(f"{path} is not there: nothing was restored")
    manifest = read_backup(events, settings.office, "events")
    report = Report(settings.office, manifest)
    with report.step("check") as step:
        of_keys = read_backup(keys, settings.office, "keys")
        for one in (manifest, of_keys):
            if not knows(one.migration):
                raise NoBackup(
                    f"the backup of {one.kind} was made by version {one.software}, whose tables"
                    f" ({one.migration}) this version does not know: restore with that one"
                )
        living = provider_of(settings).epochs()
        if of_keys.key_epoch not in living:
            raise Damaged(
                f"the backup of keys is of epoch {of_keys.key_epoch}, and what holds this office's"
                f" keys has {', '.join(map(str, living)) or 'none'}: take the newest of both"
            )
        step.says.append(
            f"{manifest.events} events of {manifest.made_at:%Y-%m-%d %H:%M %Z}; keys of"
            f" {of_keys.made_at:%Y-%m-%d %H:%M %Z}, epoch {of_keys.key_epoch}"
        )
    if of_keys.made_at < manifest.made_at:
        step.says.append("the keys are older than the events: who is newer can't be opened")
    return report


async def _load(report: Report, owner: str, running: str, events: Path, keys: Path) -> None:
    with report.step("restore"):
        await asyncio.to_thread(_into_empty, owner, events, keys)
    with report.step("migrate"):
        await asyncio.to_thread(_migrated, owner, running)


def _into_empty(owner: str, events: Path, keys: Path) -> None:
    with psycopg.connect(owner) as connection:
        found = connection.execute(
            "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%'"
        ).fetchone()
        server = connection.info.server_version // 10_000
        name = connection.info.dbname
    if found != (0,):
        raise NoBackup(
            f"database {name} is not empty: a backup is restored into an empty one alone. Nothing"
            " was changed. Make a new database, or name another in PULANG_DATABASE_URL"
        )
    run = programs(server)
    where, environment = reach(owner)
    psql = subprocess.Popen(  # noqa: S603 - every word is ours, or in the office's settings
        [run("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-d", where, "-f", "-"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _feed(psql, run, events / "events.dump", keys / "keys.dump")
    except BrokenPipeError:
        pass  # It has ended, and says below why.
    except BaseException:
        psql.kill()
        raise
    finally:
        _, said = psql.communicate()
    if psql.returncode:
        raise Damaged(f"nothing was restored: {last_line(said.decode(errors='replace'))}")


def _feed(psql: subprocess.Popen[bytes], run: Programs, events: Path, keys: Path) -> None:
    """All of it as one script: events, keys, and what makes them fit each other."""
    if psql.stdin is None:
        raise NoBackup("psql takes nothing")
    # Its own option for one transaction would commit what it has when we die halfway.
    psql.stdin.write(f"begin;\n{BEFORE}".encode())
    _as_sql(run, events, psql.stdin)
    # An account may be newer than the backup of events; its second factor then belongs to nobody.
    _as_sql(run, keys, psql.stdin, "--section=pre-data", "--section=data")
    psql.stdin.write(WITHOUT_ACCOUNT.encode())
    _as_sql(run, keys, psql.stdin, "--section=post-data")
    psql.stdin.write(f"{UNHEARD}update public.{HOLD.removeprefix('update ')};\ncommit;\n".encode())


def _as_sql(run: Programs, dump: Path, into: IO[bytes], *more: str) -> None:
    words = [run("pg_restore"), "--no-owner", "--exit-on-error", *more, "--file=-", str(dump)]
    with subprocess.Popen(  # noqa: S603 - every word is ours
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as reading:
        if reading.stdout is None or reading.stderr is None:
            raise NoBackup("pg_restore gives nothing")
        for line in reading.stdout:
            if line.startswith(NEW_SETTING):
                break
            into.write(line)
        shutil.copyfileobj(reading.stdout, into)
        said = reading.stderr.read()
    if reading.returncode:
        raise Damaged(f"{dump} can't be read: {last_line(said.decode(errors='replace'))}")


def _migrated(owner: str, running: str) -> None:
    migrate(owner)
    with psycopg.connect(owner) as connection:
        connection.execute(f"{HOLD} where restored_at is null".encode())
    admit(owner, running)


async def _prove(
    report: Report, office: Office, evidence: Sequence[Path], live: list[Told] | None = None
) -> None:
    with report.step("rebuild") as step:
        for projector in office.projectors:
            name, number = projector.projection.name, 0
            try:
                while done := await projector.step():
                    number += done
                step.says.append(f"{name}: {number} events")
            except AWAY:
                raise
            except Exception as error:
                step.faults.append(
                    f"{name} can't be built from this log: {type(error).__name__} after {number}"
                )
    async with office.pool.connection() as connection:
        with report.step("verify") as step:
            found = await audit.verify(connection, office)
            step.says.append(f"{found.events} events, {found.checkpoints} checkpoints")
            step.faults += [f"{one.table}, {one.place}: {one.words}" for one in found.faults.kept]
        with report.step("manifest") as step:
            await _as_in(report.manifest, connection, step)
        with report.step("witnesses") as step:
            keys = Keys(report.office)
            await keys.read(connection)
            notes = list[Witnessed]()
            for path in evidence:
                try:
                    notes += offered.read(path, keys).notes
                except offered.NotOffered as error:
                    step.faults.append(str(error))
            await _witnesses(connection, [*notes, *_read(live or [], step)], step)
            for partner, one in notes:
                if partner != report.office:
                    # As if that partner had said it again: a log that is shorter is held by it.
                    await note_cosigned(connection, office.keyring, partner, one, office.clock())
            if live is None and not evidence:
                step.says.append("nothing to compare with: partners say it once they are heard")


async def _as_in(manifest: Manifest, connection: AsyncConnection[Any], step: Step) -> None:
    """The log that was restored is the one that was dumped."""
    head = await read_head(connection)
    try:
        newest = await checkpoints.latest(connection)
    except NotANote:
        newest = None
    if (head.size, merkle.root(head.frontier).hex()) != (manifest.events, manifest.root):
        step.faults.append("the log is not the one that the manifest names")
    if (newest.note if newest else None) != manifest.checkpoint:
        step.faults.append("the newest checkpoint is not the one in the manifest")
    step.says.append(f"{head.size} events, root {manifest.root[:16]}…")


Witnessed = tuple[str, Checkpoint]
"""Who says so, and what: an office, and a checkpoint of this office's log."""
Told = tuple[str, str]
"""The same as it is kept, a note that may be none."""


async def _live(settings: Settings) -> list[Told] | None:
    """What the live database knows; None where there is none. It is only read."""
    try:
        async with await AsyncConnection.connect(settings.database_url) as connection:
            cursor = await connection.execute(
                "select %s::text, note from checkpoints union all"
                " select office, note from cosignatures",
                (settings.office,),
            )
            return [(office, text) for office, text in await cursor.fetchall()]
    except psycopg.Error:
        return None


def _read(told: Sequence[Told], step: Step) -> Iterator[Witnessed]:
    for office, text in told:
        try:
            yield office, note.parse(text)
        except NotANote:
            step.faults.append(
                f"office {office}: a checkpoint in the live database can't be read: run"
                " `pulang audit verify` there"
            )


async def _witnesses(
    connection: AsyncConnection[Any], notes: Sequence[Witnessed], step: Step
) -> None:
    """Every checkpoint that others keep against the tree of the restored log, derived anew."""
    wanted = {one.size for _, one in notes}
    heads = {0: merkle.root(())}
    size, frontier = 0, tuple[bytes, ...]()
    while events := await read_events(connection, size, BATCH):
        for event in events:
            frontier = merkle.extend(size, frontier, [event.body])
            size += 1
            if size in wanted:
                heads[size] = merkle.root(frontier)
    for office in sorted({office for office, _ in notes}):
        said = [one for whose, one in notes if whose == office]
        wrong = [one.size for one in said if one.size <= size and heads[one.size] != one.head]
        if wrong:
            step.faults.append(
                f"office {office}: at {min(wrong)} events it has another history than was restored"
            )
        newest = max(one.size for one in said)
        beyond = f"; {newest - size} more events are lost with this backup alone"
        step.says.append(f"office {office}: {newest} events{beyond if newest > size else ''}")


@asynccontextmanager
async def _scratch(owner: str, office: str) -> AsyncIterator[str]:
    """A database beside the office's own. What an earlier drill left by kill -9 goes first."""
    prefix = f"pulang_drill_{office}_"
    async with await AsyncConnection.connect(at(owner, "postgres"), autocommit=True) as connection:
        cursor = await connection.execute("select pg_try_advisory_lock(%s)", (DRILL_LOCK,))
        if await cursor.fetchone() != (True,):
            raise NoBackup("another drill runs on this server: wait for that")
        cursor = await connection.execute(
            "select datname from pg_database where starts_with(datname, %s)", (prefix,)
        )
        for (left,) in await cursor.fetchall():
            await _drop(connection, left)
        name = prefix + secrets.token_hex(4)
        try:
            await connection.execute(
                sql.SQL("create database {} template template0").format(sql.Identifier(name))
            )
            yield name
        finally:
            await _drop(connection, name)


async def _drop(connection: AsyncConnection[Any], name: str) -> None:
    await connection.execute(
        sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
    )


def at(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return re.sub(r"^(postgresql://[^/?]*)(/[^?]*)?", rf"\1/{database}", url)
