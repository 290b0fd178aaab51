"""What the tests share: real servers once a run, a database of its own for each office."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr

from shared.kernel import rotation
from shared.kernel.keyring import Keyring
from shared.kernel.store import Store
from shared.runtime import key_file, passwords
from shared.runtime.key_file import SealedFile
from shared.runtime.settings import Settings
from tests.chaos.servers import Valkey
from tests.servers import Servers, engine_answers, start_servers

ON_ENGINE = engine_answers()

# A hundred milliseconds a hash is what people pay who guess passwords; the tests need not.
passwords._HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)

# The same for the key file's passphrase: a fifth of a second each time an office is opened.
DEAR = {"PASSES": key_file.PASSES, "MEMORY_KIB": key_file.MEMORY_KIB}
key_file.PASSES, key_file.MEMORY_KIB = 1, 64

PASSPHRASE = "kata sandi berkas kunci contoh"


TOGETHER = (
    "test_needle", "test_demo", "test_parsers", "test_supply_chain", "test_embedded",
    "test_forgery", "test_custody", "test_matrix",
)  # fmt: skip
"""Files whose tests share something slow: each stays in one process, and begins first."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.path.stem not in TOGETHER)


def pytest_report_header() -> str:
    where = "in containers" if ON_ENGINE else "embedded, for no container engine answers"
    return f"PostgreSQL and Redis: {where}"


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with start_servers() as started:
        yield started


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A Redis of its own, which a test may fill and end."""
    # Not below a test's own folder: the path of a socket is short, and its server another account.
    folder = Path(tempfile.mkdtemp(prefix="pulang-valkey-"))
    folder.chmod(0o755)
    server = Valkey(folder / "valkey")
    try:
        server.start()
        yield server
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def databases(servers: Servers) -> Iterator[None]:
    """Outlives whatever uses a test's databases, and takes them away."""
    with servers.dropping():
        yield


@pytest.fixture
async def pool(servers: Servers, databases: None) -> AsyncIterator[AsyncConnectionPool]:
    """A pool on a new, migrated database."""
    async with AsyncConnectionPool(servers.database(), min_size=1, max_size=20) as opened:
        yield opened


@pytest.fixture
def owner(servers: Servers, pool: AsyncConnectionPool) -> Iterator[psycopg.Connection[Any]]:
    """The owner of that pool's database, who may do what the running software can't."""
    with psycopg.connect(servers.owner(pool.conninfo), autocommit=True) as connection:
        yield connection


@pytest.fixture
async def store(pool: AsyncConnectionPool) -> AsyncIterator[Store]:
    one = Store(pool, "53.71")
    yield one
    await one.close()


async def make_keyring(pool: AsyncConnectionPool, path: Path, office: str) -> Keyring:
    """An office's first keys, in a new sealed file."""
    keyring = Keyring(pool, SealedFile.make(path / f"{office}.key", PASSPHRASE, office), office)
    await rotation.init(keyring)
    return keyring


def office_settings(
    servers: Servers, folder: Path, office: str, partners: tuple[str, ...], **more: Any
) -> Settings:
    """The settings of an office with a new database and key file."""
    key = folder / f"{office}.key"
    SealedFile.make(key, PASSPHRASE, office)
    # A connection costs the server more than most tests ask of it, and offices start with many.
    more.setdefault("pool_connections", 4)
    return Settings(
        office=office,
        office_name=f"Kantor {office}",
        partners=partners,
        database_url=servers.database(),
        redis_url=servers.redis_url,
        key_file=key,
        key_passphrase=SecretStr(PASSPHRASE),
        **more,
    )


@pytest.fixture
def settings(servers: Servers, databases: None, tmp_path: Path) -> Callable[..., Settings]:
    """Makes the settings of an office for one test."""
    return partial(office_settings, servers, tmp_path)


@pytest.fixture
async def stack(databases: None) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


NOW = datetime(2019, 10, 4, 8, 0, tzinfo=UTC)
