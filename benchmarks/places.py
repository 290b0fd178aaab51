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

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.kernel.migrate import migrate
from shared.runtime.embedded import EmbeddedServers
from shared.runtime.office import Office, open_office
from shared.runtime.settings import Settings, make_office_key

TEMPLATE = "template_pulang"


@dataclass(frozen=True)
class Places:
    """The servers of one run, and a folder for the offices' keys."""

    servers: EmbeddedServers
    folder: Path
    _numbers: Iterator[int] = field(default_factory=count)

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
        """One office on a new database, wired as in production."""
        key = self.folder / f"{code}.key"
        make_office_key(key)
        settings = Settings(
            office=code,
            office_name=f"Kantor {code}",
            partners=(partner,),
            database_url=self.database(),
            redis_url=self.servers.redis_url,
            key_file=key,
            pool_connections=connections,
        )
        service = CITY if settings.kind == "city" else PROVINCE
        if not read_models:
            service = replace(service, projections=())
        async with open_office(settings, service) as office:
            yield office


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
