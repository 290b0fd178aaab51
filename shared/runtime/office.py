"""One running office, wired: the root that web, worker, command line and tests share."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg_pool import AsyncConnectionPool, PoolTimeout

from shared.custody import DECIDERS, exchange
from shared.custody.projection import projection as custody_projection
from shared.kernel.handling import Handling
from shared.kernel.inbox import Inbox, Reactor
from shared.kernel.keyring import Keyring
from shared.kernel.keys import KeyProvider, Unopened
from shared.kernel.projector import Projector
from shared.kernel.store import Store
from shared.kernel.vault import Vault
from shared.runtime.clock import Clock, system_clock
from shared.runtime.hardware_keys import HardwareKeys
from shared.runtime.key_file import KeyFileUnusable, SealedFile
from shared.runtime.manifest import Service
from shared.runtime.settings import Settings

log = logging.getLogger(__name__)

VERSION = "0.1.0"
"""As in pyproject.toml, which is not there where this runs."""

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
    reactor: Reactor
    projectors: tuple[Projector, ...]
    clock: Clock

    @property
    def keyring(self) -> Keyring:
        return self.vault.keyring

    def inbox(self, sender: str) -> Inbox:
        """The receiving end of that partner's link."""
        return Inbox(self.handling, self.vault, self.reactor, sender)


def provider_of(settings: Settings) -> KeyProvider:
    """What holds this office's wrapping keys. Raises KeyFileUnusable, HardwareUnusable."""
    if settings.pkcs11_module is not None:
        pin = settings.pkcs11_pin.get_secret_value() if settings.pkcs11_pin else ""
        return HardwareKeys(settings.pkcs11_module, settings.pkcs11_token, pin, settings.office)
    if settings.key_file is None or settings.key_passphrase is None:
        raise KeyFileUnusable(
            "set PULANG_KEY_FILE and PULANG_KEY_PASSPHRASE, or PULANG_PKCS11_MODULE"
        )
    passphrase = settings.key_passphrase.get_secret_value()
    return SealedFile(settings.key_file, passphrase, settings.office)


@asynccontextmanager
async def open_keyring(settings: Settings) -> AsyncIterator[Keyring]:
    """The office's keys alone, also before there are any."""
    provider = provider_of(settings)
    pool = await _open_pool(settings, patient=False)
    try:
        await _check_database(pool, settings)
        yield Keyring(pool, provider, settings.office)
    finally:
        await pool.close()


@asynccontextmanager
async def open_office(
    settings: Settings, service: Service, *, patient: bool = False
) -> AsyncIterator[Office]:
    """Connects to the office's database and prepares its read models.

    Raises KeyFileUnusable, HardwareUnusable, NoKeys, NotThisOffice, and psycopg_pool.PoolTimeout
    where the database is away; `patient` waits for it however long it takes, and says so.
    """
    if settings.kind != service.kind:
        raise ValueError(f"office {settings.office} is no {service.kind}")
    provider = provider_of(settings)
    pool = await _open_pool(settings, patient)
    store = Store(pool, settings.office)
    try:
        deciders = (*service.deciders, *DECIDERS)
        handling = Handling(store, deciders, exchange.publisher(service.publisher))
        projections = (*service.projections, custody_projection)
        projectors = tuple(Projector(pool, handling.types, p) for p in projections)
        vault = Vault(Keyring(pool, provider, settings.office))
        await _check_database(pool, settings)
        await _check_keys(vault.keyring)
        for projector in projectors:
            await projector.prepare()
        yield Office(
            settings,
            service,
            pool,
            store,
            handling,
            vault,
            exchange.reactor(service.reactor),
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
            kwargs={"options": "-c timezone=UTC -c search_path=public,pg_temp", "autocommit": True},
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


async def _check_database(pool: AsyncConnectionPool, settings: Settings) -> None:
    """The database belongs to the office that opens it first."""
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


async def _check_keys(keyring: Keyring) -> None:
    """The keys in the database are of an epoch that still lives. Raises NoKeys, NotThisOffice.

    Where the log was restored from an older backup than the keys, it learns which epoch it is.
    """
    async with keyring.pool.connection() as connection:
        await connection.execute(
            "update log_head set key_epoch = newest.epoch"
            " from (select max(epoch) as epoch from office_keys) as newest"
            " where log_head.key_epoch < newest.epoch"
        )
    try:
        await keyring.refresh()
    except Unopened:
        living = ", ".join(map(str, keyring.provider.epochs())) or "none"
        raise NotThisOffice(
            "this database's keys are wrapped by an epoch that was destroyed or is another"
            f" office's (living: {living}): restore the newest backup of the key tables and of the"
            " key file, see the runbook"
        ) from None
