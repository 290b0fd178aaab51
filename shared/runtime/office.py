"""One running office, wired: the root that web, worker, command line and tests share."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg_pool import AsyncConnectionPool, PoolTimeout

from shared.kernel.handling import Handling
from shared.kernel.projector import Projector
from shared.kernel.store import Store
from shared.kernel.vault import Unopened, Vault
from shared.runtime.clock import Clock, system_clock
from shared.runtime.manifest import Service
from shared.runtime.settings import Settings, read_office_key

log = logging.getLogger(__name__)

DATABASE_WAIT_SECONDS = 10.0


class NotThisOffice(Exception):
    """Database, key and settings do not belong to the same office."""


@dataclass(frozen=True)
class Office:
    settings: Settings
    service: Service
    pool: AsyncConnectionPool
    store: Store
    handling: Handling
    vault: Vault
    projectors: tuple[Projector, ...]
    clock: Clock


@asynccontextmanager
async def open_office(
    settings: Settings, service: Service, *, patient: bool = False
) -> AsyncIterator[Office]:
    """Connects to the office's database and prepares its read models.

    Raises KeyFileMissing, NotThisOffice, and psycopg_pool.PoolTimeout where the database is away;
    `patient` waits for it however long it takes, and says so.
    """
    if settings.kind != service.kind:
        raise ValueError(f"office {settings.office} is no {service.kind}")
    key = read_office_key(settings.key_file)
    pool = await _open_pool(settings, patient)
    store = Store(pool, settings.office)
    try:
        handling = Handling(store, service.deciders, service.publisher)
        projectors = tuple(Projector(pool, handling.types, p) for p in service.projections)
        vault = Vault(pool, key)
        await _check_database(pool, vault, settings)
        for projector in projectors:
            await projector.prepare()
        yield Office(
            settings,
            service,
            pool,
            store,
            handling,
            vault,
            projectors,
            system_clock(settings.zone),
        )
    finally:
        await store.close()
        await pool.close()


async def _open_pool(settings: Settings, patient: bool) -> AsyncConnectionPool:
    while True:
        pool = AsyncConnectionPool(
            settings.database_url,
            min_size=2,
            max_size=settings.pool_connections,
            # Most work is one statement, which is a transaction of its own; what needs more opens
            # one. Connections are not tried before each use: whoever meets a dead one has the
            # pool look at the others (`pool.check`), and is safe to ask again.
            kwargs={"options": "-c timezone=UTC", "autocommit": True},
            open=False,
        )
        try:
            await pool.open(wait=True, timeout=DATABASE_WAIT_SECONDS)
        except PoolTimeout:
            await pool.close()
            if not patient:
                raise
            log.warning("the database is away; waiting for it")
        else:
            return pool


async def _check_database(pool: AsyncConnectionPool, vault: Vault, settings: Settings) -> None:
    """The database belongs to the office that opens it first, and its key opens what is in it."""
    async with pool.connection() as connection:
        await connection.execute(
            "update log_head set office = %s where office is null", (settings.office,)
        )
        cursor = await connection.execute("select office from log_head")
        row = await cursor.fetchone()
    if row is None or row[0] != settings.office:
        raise NotThisOffice(
            f"this database is that of office {row[0] if row else None}, not of {settings.office}:"
            " look at PULANG_DATABASE_URL and PULANG_OFFICE"
        )
    try:
        await vault.check()
    except Unopened:
        raise NotThisOffice(
            f"{settings.key_file} is not the key that this database's keys were wrapped with:"
            " restore the right file"
        ) from None
