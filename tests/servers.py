"""Real PostgreSQL and Redis for the tests: containers where an engine answers, embedded elsewhere.

The same tests run on both; the header of the run says on which.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from shared.kernel.migrate import admit, migrate

TEMPLATE = "pulang_template"
UNDURABLE = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off",
    "max_wal_size": "512MB", "checkpoint_timeout": "1h",
}  # fmt: skip
"""Durability is not what these tests are about; the demo and the compose file keep it. Hundreds of
databases keep a vacuum, checkpoints and their writing busy for nothing."""
MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 << 30
"""Where embedded servers write, if they may and there is room: a database is hundreds of files, and
a disk takes four times as long to make them."""
LISTENING = range(20_000, 32_000)
"""Below the ports that a system gives to whoever connects or asks for any."""


def free_port() -> int:
    """One to listen on, also after a restart: nobody is given it meanwhile who asked for any."""
    while True:
        port = random.SystemRandom().choice(LISTENING)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def engine_answers() -> bool:
    """Whether a Docker engine is there. Asked once, with a bound."""
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    try:
        import docker

        docker.from_env(timeout=3).ping()
    except Exception:
        return False
    return True


@dataclass
class Servers:
    """One PostgreSQL, one Redis. `database` gives a new, migrated database each time."""

    postgres_url: str
    redis_url: str
    words: str
    _made: int = field(default=0)
    _names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._create(TEMPLATE, "template0")
        migrate(self._url(TEMPLATE))

    def database(self) -> str:
        """The address of a new one, under the role that the running software has."""
        self._made += 1
        name = f"test_{os.getpid()}_{self._made}"
        self._create(name, TEMPLATE)
        owner = self._url(name)
        running = as_running(owner)
        admit(owner, running)
        return running

    @contextmanager
    def dropping(self) -> Iterator[None]:
        """Afterwards the databases that were made meanwhile are gone."""
        before = len(self._names)
        yield
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            for name in self._names[before:]:
                query = sql.SQL("drop database if exists {} with (force)")
                connection.execute(query.format(sql.Identifier(name)))
        del self._names[before:]

    def owner(self, running_url: str) -> str:
        """The address of that database for its owner, who may do what the software can't."""
        return self._url(running_url.partition("?")[0].rpartition("/")[2])

    def _create(self, name: str, template: str) -> None:
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        self._names.append(name)

    def _url(self, name: str) -> str:
        return re.sub(r"^(postgresql://[^/]*)/[^?]*", rf"\1/{name}", self.postgres_url)


def as_running(owner_url: str) -> str:
    """The same database under the running software's role."""
    return re.sub(r"^postgresql://[^@]*@", "postgresql://pulang_app:kata-sandi@", owner_url)


def _take_away(started: Any) -> None:
    """Without waiting for it: hundreds of databases take the engine a minute."""
    container = started.get_wrapped_container()
    if container is None:
        return
    if (docker := shutil.which("docker")) is None:
        started.stop()
        return
    words = [docker, "rm", "--force", "--volumes", container.id]
    subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


@contextmanager
def start_servers() -> Iterator[Servers]:
    if engine_answers():
        from testcontainers.community.postgres import PostgresContainer
        from testcontainers.community.redis import RedisContainer

        given = {"max_connections": "300"} | UNDURABLE
        postgres = PostgresContainer("postgres:16", driver=None).with_command(
            " ".join(["postgres", *(f"-c {name}={value}" for name, value in given.items())])
        )
        # As embedded servers do, and because a password takes longer to prove than many a test.
        postgres.with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        redis = RedisContainer("redis:7")
        try:
            postgres.start()
            redis.start()
            host, port = redis.get_container_host_ip(), redis.get_exposed_port(6379)
            yield Servers(
                postgres.get_connection_url(),
                f"redis://{host}:{port}/0",
                "PostgreSQL and Redis in containers",
            )
        finally:
            for one in (postgres, redis):
                _take_away(one)
        return
    from shared.runtime.embedded import EmbeddedServers

    # Below a folder that an unprivileged server can reach, unlike pytest's own as root.
    writable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK | os.X_OK)
    in_memory = writable and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix="pulang-test-", dir=MEMORY if in_memory else None))
    folder.chmod(0o755)
    try:
        with EmbeddedServers.start(folder / "servers") as servers:
            postgres_url = servers.database_url("postgres")
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                for name, value in UNDURABLE.items():
                    query = sql.SQL("alter system set {} = {}")
                    connection.execute(query.format(sql.Identifier(name), sql.Literal(value)))
                connection.execute("select pg_reload_conf()")
            yield Servers(
                postgres_url,
                servers.redis_url,
                "embedded PostgreSQL and Valkey (no container engine answers)",
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
