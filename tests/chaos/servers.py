"""PostgreSQL and Valkey as child processes that the harness may kill and start again.

The embedded servers of the product start both together and stop them in order. Here each has to
die alone and at any moment, so the programs are launched anew, as the same account, on the same
kind of private folder; only the making of the cluster and the finding of places are borrowed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.runtime import embedded
from shared.runtime.embedded import EmbeddedServers

START_SECONDS = 30.0
END_SECONDS = 10.0
POLL_SECONDS = 0.02


def die_with_parent() -> None:
    """Asks the kernel to kill this child when the harness ends, however it ends."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def end(process: subprocess.Popen[Any], ending: signal.Signals = signal.SIGKILL) -> None:
    """Ends a child of the harness, by force where it does not go by itself."""
    with suppress(ProcessLookupError):
        process.send_signal(ending)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Server:
    """What both have: a private place, and one process or none."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.place = EmbeddedServers(folder)
        self.programs, self.valkey = embedded._programs(os.geteuid() == 0)
        self.process: subprocess.Popen[Any] | None = None
        self.place._private(self.place._sockets)
        self.place._log.touch(mode=0o600)

    def launch(self, command: list[str | Path]) -> None:
        with self.place._log.open("ab") as log:
            self.process = self.place._popen(
                command, stdout=log, stderr=log, preexec_fn=die_with_parent
            )

    def stop(self, ending: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            end(self.process, ending)
            self.process = None

    def remove(self) -> None:
        """Ends it for good, with its folder of sockets; the data lie in the harness's folder."""
        self.stop()
        shutil.rmtree(self.place._sockets, ignore_errors=True)


class Postgres(_Server):
    """One office's PostgreSQL."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cluster = self.place._home / "postgres"
        with self.place._log.open("ab") as log:
            self.place._make_cluster(self.programs, self.cluster, log.fileno())

    def start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        self._launch()
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.place._url("postgres"), connect_timeout=5).close()
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not come up, see {self.place._log}")
            if self.process is not None and self.process.poll() is not None:
                # Backends of the killed one may hold its shared memory a moment longer.
                time.sleep(0.2)
                self._launch()
            time.sleep(POLL_SECONDS)

    def _launch(self) -> None:
        command: list[str | Path] = [self.programs / "postgres", "-D", self.cluster]
        command += ["-k", self.place._sockets, "-p", "5432", "-c", "listen_addresses="]
        self.launch([*command, "-c", "max_connections=100", "-c", "log_min_messages=fatal"])

    def stop_immediately(self) -> None:
        """No checkpoint and no goodbye: the next start recovers from the write-ahead log."""
        self.stop(signal.SIGQUIT)

    def database_url(self, name: str) -> str:
        return self.place.database_url(name)


class Valkey(_Server):
    """The Redis between the offices."""

    @property
    def socket(self) -> Path:
        return self.place._sockets / "valkey.sock"

    def client(self, seconds: float = 5.0) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0), socket_timeout=seconds
        )

    def start(self) -> None:
        data = self.place._private(self.place._home / "valkey")
        command: list[str | Path] = [self.valkey, "--dir", data, "--port", "0"]
        command += ["--unixsocket", self.socket, "--unixsocketperm", "700", "--save", ""]
        self.launch([*command, "--appendonly", "yes", "--appendfsync", "everysec"])
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(redis.RedisError), self.client() as client:
                client.ping()
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"Valkey did not come up, see {self.place._log}")
            time.sleep(POLL_SECONDS)

    def forget(self) -> None:
        """Removes its data; it must be down."""
        shutil.rmtree(self.place._home / "valkey", ignore_errors=True)
