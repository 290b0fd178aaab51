"""Brings the precious tables of one office to this version of the software, with Alembic.

The owner of the tables migrates; the software runs under another role, `pulang_running`'s member,
that can append and can neither change nor delete what is precious.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

MIGRATIONS = Path(__file__).parent / "migrations"
ROLE_LOCK = 53710008
ROLE_TRIES = 20
ROLE_WAIT_SECONDS = 0.1
BESIDE = (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_)
"""Roles belong to the whole server, and a lock to one database: what the server says where another
office's migration makes or changes the same role at the same moment."""


def migrate(owner_url: str, running_url: str | None = None) -> None:
    """Blocking; safe to run again and by two processes at once. Read models are never migrated.

    `running_url` is the address that the software runs with: its role is made where it is missing,
    given the password in that address, and admitted to this database.
    """
    # Here: to read it takes as long as a quarter of the software, and few commands migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    url = owner_url.replace("postgresql://", "postgresql+psycopg://", 1)
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    _beside_others(lambda: command.upgrade(config, "head"))
    if running_url is not None:
        admit(owner_url, running_url)


def knows(revision: str) -> bool:
    """Whether this version of the software can bring tables of that revision to its own."""
    from alembic.script import ScriptDirectory

    known = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    return revision in {one.revision for one in known}


def admit(owner_url: str, running_url: str) -> None:
    """Lets the role in `running_url` run the software on this database, and nothing more.

    Another office on the same server may be let in at the same moment.
    """
    _beside_others(lambda: _admit(owner_url, running_url))


def _beside_others(work: Callable[[], None]) -> None:
    """Each try is one transaction, or can be repeated; the last one's error is raised."""
    for left in reversed(range(ROLE_TRIES)):
        try:
            work()
        except Exception as error:
            if not left or not isinstance(getattr(error, "orig", error), BESIDE):
                raise
            time.sleep(ROLE_WAIT_SECONDS)
        else:
            return


def _admit(owner_url: str, running_url: str) -> None:
    running = conninfo_to_dict(running_url)
    owner = str(conninfo_to_dict(owner_url).get("user", ""))
    name, password = str(running.get("user", "")), running.get("password")
    if not name or name == owner:
        return
    role = sql.Identifier(name)
    with psycopg.connect(owner_url) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (ROLE_LOCK,))
        known = connection.execute("select from pg_roles where rolname = %s", (name,)).fetchone()
        make = "alter role {} login" if known is not None else "create role {} login"
        connection.execute(sql.SQL(make).format(role))
        if password:
            connection.execute(sql.SQL("alter role {} password {}").format(role, str(password)))
        connection.execute(sql.SQL("grant pulang_running to {}").format(role))
        database = sql.Identifier(connection.info.dbname)
        connection.execute(
            sql.SQL("grant connect, create, temporary on database {} to pulang_running").format(
                database
            )
        )
