"""What the running software may do in its database: append, and never rewrite (issue of rule 18).

Tried as the role that web and worker have, table by table, with SQL of one's own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import GeneratedAlways, InsufficientPrivilege
from psycopg_pool import AsyncConnectionPool

from shared.kernel.migrate import admit
from shared.kernel.store import (
    Commit,
    Parked,
    PersonKey,
    Received,
    Request,
    SealedFile,
    Store,
)
from tests.kernel.counter import NOW
from tests.kernel.test_store import event
from tests.servers import Servers

APPENDED_ONLY = ("events", "outbox", "inbox", "requests", "link_times",
                 "tiles", "checkpoints", "cosignatures", "witnessed", "retired_keys",
                 "trust_acts", "named", "attachments")  # fmt: skip
MAY_CHANGE = {
    "parked": {
        "detail", "reason", "settled_as", "settled_at", "settled_by", "times", "tries",
    },
    "person_keys": {"epoch", "wrapped", "destroyed_at"},
    "trusted_keys": {"revoked_at", "revoked_by"},
    "staff": {"roles", "password_hash", "token_digest", "token_expires_at", "oidc_subject",
              "active", "changed_at"},
    "forks": {"settled_at", "settled_by"},
    "kept": None,
    "equations": None,
    "log_head": None,
    "link_in": None,
    "link_out": None,
    "projections": None,
}  # fmt: skip
"""Table → the columns that may be changed, None for all; rows may be deleted from none of them."""

MAY_DELETE = {
    "office_keys", "identity_index", "staff_totp", "sessions", "sign_in_failures",
    "worker_troubles", "questions",
}  # fmt: skip


@pytest.fixture
async def filled(pool: AsyncConnectionPool, store: Store) -> None:
    await store.append(
        Commit(
            at=NOW,
            events=[event("a", 1)],
            keys=[PersonKey("PM-0000000001", 0, b"wrapped")],
            files=[SealedFile("PM-0000000001", "digest", b"sealed")],
            received=[Received("35", 1, b"{}")],
            parked=[Parked("35", None, "UNREADABLE_FRAME", "x", b"x")],
            request=Request("tester", "key-00001", b"digest", {}),
        )
    )


async def refused(pool: AsyncConnectionPool, statement: sql.Composed) -> bool:
    async with pool.connection() as connection:
        try:
            await connection.execute(statement)
        except (InsufficientPrivilege, GeneratedAlways):
            return True
    return False


async def columns(owner: psycopg.Connection[Any], table: str) -> list[str]:
    found = owner.execute(
        "select column_name from information_schema.columns"
        " where table_schema = 'public' and table_name = %s",
        (table,),
    )
    return [row[0] for row in found]


async def test_every_table_is_spoken_for(owner: psycopg.Connection[Any]) -> None:
    found = owner.execute("select tablename from pg_tables where schemaname = 'public'")
    known = {*APPENDED_ONLY, *MAY_CHANGE, *MAY_DELETE, "alembic_version"}
    assert {row[0] for row in found} == known


@pytest.mark.parametrize("table", [*APPENDED_ONLY, *MAY_CHANGE])
async def test_no_precious_row_can_be_changed_or_deleted(
    filled: None, pool: AsyncConnectionPool, owner: psycopg.Connection[Any], table: str
) -> None:
    allowed = MAY_CHANGE.get(table, set())
    for column in await columns(owner, table):
        change = sql.SQL("update {} set {} = {}").format(
            *(sql.Identifier(name) for name in (table, column, column))
        )
        may = table in MAY_CHANGE and (allowed is None or column in allowed)
        assert await refused(pool, change) != may, f"{table}.{column}"
    before = owner.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table)))
    rows = before.fetchone()
    assert rows is not None
    delete = sql.SQL("delete from {}").format(sql.Identifier(table))
    if table == "person_keys":
        await refused(pool, delete)
    else:
        assert await refused(pool, delete)
    for statement in ("truncate {}", "drop table {}", "alter table {} disable trigger all",
                      "alter table {} add column x int"):  # fmt: skip
        assert await refused(pool, sql.SQL(statement).format(sql.Identifier(table))), statement
    after = owner.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table)))
    assert after.fetchone() == rows


async def test_the_running_role_cannot_become_another(pool: AsyncConnectionPool) -> None:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select rolsuper or rolcreaterole or rolcreatedb or rolbypassrls from pg_roles"
            " where rolname = current_user"
        )
        assert await cursor.fetchone() == (False,)
    for statement in (
        "create table public.mine (x int)",
        "create role mine",
        "set session_replication_role = replica",
    ):
        assert await refused(pool, sql.SQL(statement).format()), statement


async def test_what_was_destroyed_or_revoked_stays_so(
    pool: AsyncConnectionPool, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(
        "insert into person_keys (subject, epoch, destroyed_at) values ('PM-X', 0, now())"
    )
    owner.execute(
        "insert into trusted_keys (office, key_id, public, trusted_by, revoked_at, revoked_by)"
        " values ('35', 'a', 'k', 'test', now(), 'test')"
    )
    for statement in (
        "update person_keys set wrapped = 'x', destroyed_at = null where subject = 'PM-X'",
        "update trusted_keys set revoked_at = null, revoked_by = null",
    ):
        assert await refused(pool, sql.SQL(statement).format()), statement


@pytest.mark.parametrize("place", ["pg_temp", "mine"])
async def test_a_table_of_ones_own_does_not_say_that_a_files_key_is_gone(
    filled: None, pool: AsyncConnectionPool, place: str
) -> None:
    async with pool.connection() as connection:
        if place == "mine":
            await connection.execute("create schema mine")
        where = sql.Identifier(place)
        await connection.execute(
            sql.SQL(
                "create table {}.person_keys as"
                " select 'PM-0000000001'::text as subject, now() as destroyed_at"
            ).format(where)
        )
        await connection.execute(sql.SQL("set search_path to {}, public").format(where))
        with pytest.raises(InsufficientPrivilege):
            await connection.execute("delete from attachments")


def test_offices_on_one_server_are_let_in_at_the_same_moment(servers: Servers) -> None:
    """A role belongs to the server, and the lock on it to one database."""
    running = servers.database(), servers.database(), servers.database()
    for one in running:
        # Of a name of its own, so that all of them come to make it.
        assert one.startswith("postgresql://pulang_app:")
    as_another = [one.replace("//pulang_app:", "//pulang_together:") for one in running]

    def let_in(url: str) -> None:
        for _ in range(20):
            admit(servers.owner(url), url)

    with ThreadPoolExecutor(len(running)) as threads:
        for done in [threads.submit(let_in, url) for url in as_another]:
            done.result()
    with psycopg.connect(as_another[0]) as connection:
        assert connection.execute("select current_user").fetchone() == ("pulang_together",)
