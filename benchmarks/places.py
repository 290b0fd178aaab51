"""Where the measuring happens: embedded servers with fsync on, and offices on fresh databases."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import SecretStr

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.kernel.keyring import Keyring
from shared.kernel.migrate import migrate
from shared.kernel.rotation import init
from shared.runtime.embedded import EmbeddedServers
from shared.runtime.key_file import SealedFile
from shared.runtime.office import Office, open_keyring, open_office
from shared.runtime.settings import Settings

TEMPLATE = "template_pulang"
PASSPHRASE = "kata sandi berkas kunci untuk mengukur"


@dataclass(frozen=True)
class Places:
    """The servers of one run, a folder for the offices' keys, and the offices that are open."""

    servers: EmbeddedServers
    folder: Path
    _numbers: Iterator[int] = field(default_factory=count)
    _open: dict[str, Office] = field(default_factory=dict)

    def database(self) -> str:
        """The URL of a new, migrated database."""
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self.servers.database_url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(TEMPLATE)
                )
            )
        return self.servers.database_url(name)

    @asynccontextmanager
    async def office(
        self, code: str, partner: str, *, read_models: bool = True, connections: int = 10
    ) -> AsyncIterator[Office]:
        """One office on a new database, wired as in production; open partners trust each other."""
        key = self.folder / f"{code}.key"
        SealedFile.make(key, PASSPHRASE, code)
        settings = Settings(
            office=code,
            office_name=f"Kantor {code}",
            partners=(partner,),
            database_url=self.database(),
            redis_url=self.servers.redis_url,
            key_file=key,
            key_passphrase=SecretStr(PASSPHRASE),
            pool_connections=connections,
        )
        service = CITY if settings.kind == "city" else PROVINCE
        if not read_models:
            service = replace(service, projections=())
        async with open_keyring(settings) as keyring:
            await init(keyring)
        async with open_office(settings, service) as office:
            if (other := self._open.get(partner)) is not None:
                await _trust(office.keyring, other.keyring)
                await _trust(other.keyring, office.keyring)
            self._open[code] = office
            try:
                yield office
            finally:
                del self._open[code]


async def _trust(one: Keyring, other: Keyring) -> None:
    for _, line in await other.public():
        await one.trust(other.office, line, "ukur")


@contextmanager
def start_places() -> Iterator[Places]:
    """Starts PostgreSQL and Valkey as the demo does; containers without fsync would flatter us."""
    folder = Path(tempfile.mkdtemp(prefix="pulang-bench-"))
    folder.chmod(0o755)  # The servers' own account has to reach its data below.
    try:
        with EmbeddedServers.start(folder / "servers") as servers:
            migrate(servers.database_url(TEMPLATE))
            yield Places(servers, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
