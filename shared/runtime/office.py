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
from shared.kernel.vault import Vault
from shared.runtime.clock import Clock, system_clock
from shared.runtime.manifest import Service
from shared.runtime.settings import Settings, read_office_key

log = logging.getLogger(__name__)

DATABASE_WAIT_SECONDS = 10.0


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

    Raises KeyFileMissing, and psycopg_pool.PoolTimeout where the database is away; `patient`
    waits for it however long it takes, and says so.
    """
    if settings.kind != service.kind:
        raise ValueError(f"office {settings.office} is no {service.kind}")
    key = read_office_key(settings.key_file)
    pool = await _open_pool(settings, patient)
    store = Store(pool, settings.office)
    try:
        handling = Handling(store, service.deciders, service.publisher)
        projectors = tuple(Projector(pool, handling.types, p) for p in service.projections)
        for projector in projectors:
            await projector.prepare()
        yield Office(
            settings,
            service,
            pool,
            store,
            handling,
            Vault(pool, key),
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
