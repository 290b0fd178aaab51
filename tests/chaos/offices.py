"""The three offices as production runs them: web and worker apart, a second worker standing by.

Keys, accounts and trust are prepared as the demo prepares them. Each office has a PostgreSQL of
its own and reaches Redis through its own wire of the proxy.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psycopg

from services import demo
from shared.runtime.worker import WORKER_LOCK
from tests.chaos.checker import OfficeState
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Postgres, Valkey, die_with_parent, end
from tests.servers import free_port

CODES = ("53.71", "35", "53")
CITY = "53.71"
PROVINCES = ("35", "53")
WORKERS = ("worker-a", "worker-b")
PROCESSES = ("web", *WORKERS)
READY_SECONDS = 90.0
LINES_OF_TROUBLE = 60


class Office:
    """One office: its database, its processes, its tokens."""

    def __init__(self, code: str, folder: Path, postgres: Postgres, redis_url: str) -> None:
        self.code = code
        self.folder = folder
        self.postgres = postgres
        self.redis_url = redis_url  # what `demo._environment` asks of its servers
        demo.OFFICES[code]["port"] = free_port()
        self.environment = demo._environment(code, self) | {  # type: ignore[arg-type]
            # The load must not spend its time waiting where nobody projects.
            "PULANG_READ_YOUR_WRITES_SECONDS": "0.2",
        }
        self.base_url = demo._base_url(code)
        self.tokens: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ended_alone: list[str] = []

    def database_url(self, name: str) -> str:
        return self.postgres.database_url(name)

    def start(self, name: str) -> None:
        with (self.folder / f"{self.code}-{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "services.cli", name.partition("-")[0]],
                # The name by which the database says who holds the worker's lock.
                env=self.environment | {"PGAPPNAME": name},
                cwd=demo.ROOT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent,
            )

    def kill(self, name: str) -> None:
        end(self.processes[name])

    def supervise(self) -> None:
        """Starts what is not there, as a supervisor would, and notes what ended by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                if process.returncode != -signal.SIGKILL:
                    self.ended_alone.append(f"{self.code} {name}: exit {process.returncode}")
                self.start(name)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def connect(self) -> psycopg.Connection[Any]:
        url = self.environment["PULANG_OWNER_DATABASE_URL"]
        return psycopg.connect(url, connect_timeout=5, autocommit=True)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def active_worker(self) -> str | None:
        found = self.rows(
            "select a.application_name from pg_locks l join pg_stat_activity a on a.pid = l.pid"
            " join pg_database d on d.oid = l.database where l.locktype = 'advisory'"
            " and l.objid = %s and l.granted and d.datname = current_database()",
            WORKER_LOCK,
        )
        return found[0][0] if found else None

    def links(self) -> dict[str, tuple[int, int]]:
        """Recorded and confirmed, by receiver."""
        found = self.rows(
            "select o.receiver, max(o.sequence), coalesce((select confirmed_through from link_out l"
            " where l.receiver = o.receiver), 0) from outbox o group by o.receiver"
        )
        return {receiver: (recorded, confirmed) for receiver, recorded, confirmed in found}

    def lag(self) -> int:
        """How many events the slowest read model is behind; all of them where it is missing."""
        found = self.rows(
            "select h.size - coalesce((select min(position) from projections), 0) from log_head h"
        )
        return int(found[0][0])

    def parked(self) -> dict[str, int]:
        """How often each reason was parked, repetitions counted."""
        return dict(self.rows("select reason, sum(times)::int from parked group by reason"))

    def replay(self) -> str | None:
        """What `pulang replay` found different, or None where the rebuilt models are equal."""
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", "replay", "--reason", "Uji gangguan", "--json"],
            env=self.environment,
            cwd=demo.ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode == 0 and not any(json.loads(done.stdout).values()):
            return None
        return f"exit {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}"

    def get(self, role: str, path: str) -> Any:
        response = httpx.get(
            f"{self.base_url}/api/v1{path}",
            headers={"Authorization": f"Bearer {self.tokens[role]}"},
            timeout=30,
        )
        response.raise_for_status()
        return response.json()

    def state(self, operations: list[str], handovers: list[str]) -> OfficeState:
        """All that the checker wants to know: the stored bytes, and what staff would see."""
        outbox: dict[str, list[tuple[int, bytes]]] = {}
        inbox: dict[str, list[tuple[int, bytes]]] = {}
        for other, number, body in self.rows(
            "select receiver, sequence, body from outbox order by 1, 2"
        ):
            outbox.setdefault(other, []).append((number, bytes(body)))
        for other, number, body in self.rows(
            "select sender, sequence, body from inbox order by 1, 2"
        ):
            inbox.setdefault(other, []).append((number, bytes(body)))
        size, frontier = self.rows("select size, frontier from log_head")[0]
        found = OfficeState(
            code=self.code,
            events=[
                (position, bytes(body))
                for position, body in self.rows("select position, body from events order by 1")
            ],
            size=size,
            frontier=bytes(frontier),
            outbox=outbox,
            inbox=inbox,
            confirmed={other: confirmed for other, (_, confirmed) in self.links().items()},
            parked=[
                (sender, number, reason)
                for sender, number, reason in self.rows(
                    "select sender, sequence, reason from parked order by id"
                )
            ],
            requests={(actor, key) for actor, key in self.rows("select actor, key from requests")},
        )
        if self.code == CITY:
            self._city(found, operations, handovers)
        else:
            self._province(found)
        found.replay = self.replay()
        return found

    def _city(self, found: OfficeState, operations: list[str], handovers: list[str]) -> None:
        for operation in operations:
            for one in self.get("auditor", f"/operations/{operation}/beneficiaries"):
                found.persons[one["person"]] = one["state"]
            ledger = self.get("auditor", f"/operations/{operation}/ledger")
            board = self.get("auditor", f"/operations/{operation}/board")
            found.counts[operation] = {name: n for name, n in board["states"].items() if n}
            found.granted[operation] = ledger["grants"]["standing_rupiah"]
            for one in ledger["credits"]:
                found.credits[one["person"], one["reference"]] = (
                    one["standing_rupiah"],
                    one["answer"],
                )
            for one in ledger["advances"]:
                found.advances[one["person"]] = (one["released_rupiah"], one["spent_rupiah"])
        for handover in handovers:
            for one in self.get("auditor", f"/handovers/{handover}")["entries"]:
                found.entries[handover, one["person"]] = one["state"]

    def _province(self, found: OfficeState) -> None:
        for arrival in self.get("auditor", "/arrivals"):
            handover = arrival["handover"]
            for one in self.get("auditor", f"/arrivals/{handover}")["entries"]:
                found.entries[handover, one["person"]] = one["state"]
        for one in self.get("auditor", "/grants")["credits"]:
            found.credits[one["person"], one["reference"]] = (
                one["standing_rupiah"],
                one["answer"],
            )

    def troubles(self) -> str:
        """The end of each log, for whoever has to find out why."""
        parts = []
        for name in PROCESSES:
            path = self.folder / f"{self.code}-{name}.log"
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            parts.append(f"--- {path.name}\n" + "\n".join(lines[-LINES_OF_TROUBLE:]))
        return "\n".join(parts)


class Offices:
    """All three, with their servers. `stop` ends everything, also what only half came up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_code: dict[str, Office] = {}
        self.databases: dict[str, Postgres] = {}
        self.proxy: Proxy | None = None
        self.redis = Valkey(folder / "redis")

    def start(self) -> None:
        demo.DIRECTORY = self.folder / "offices"
        demo.DIRECTORY.mkdir()
        self.redis.start()
        self.proxy = Proxy(self.redis.socket, CODES)
        for code in CODES:
            self.databases[code] = Postgres(self.folder / f"pg-{code}")
            self.databases[code].start()
            url = self.proxy.url(code)
            self.by_code[code] = Office(code, demo.DIRECTORY, self.databases[code], url)
        keys = {code: demo._migrate(code, office.environment) for code, office in self.items()}
        for code, office in self.items():
            accounts = demo._prepare(code, office.environment, keys)
            office.tokens = {one["role"]: one["token"] for one in accounts.values()}
        for _, office in self.items():
            for name in PROCESSES:
                office.start(name)
        self.wait_ready()

    def items(self) -> list[tuple[str, Office]]:
        return list(self.by_code.items())

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        for code, office in self.items():
            while not _answers(office):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"office {code} did not come up:\n{office.troubles()}")
                time.sleep(0.2)

    def supervise(self) -> None:
        for _, office in self.items():
            office.supervise()

    def unconfirmed(self) -> dict[str, int]:
        """Messages that are recorded and not confirmed, by link."""
        return {
            f"{code}:{receiver}": recorded - confirmed
            for code, office in self.items()
            for receiver, (recorded, confirmed) in office.links().items()
            if recorded != confirmed
        }

    def unsettled(self) -> dict[str, int]:
        """The same, and the events that a read model does not show yet."""
        lags = {f"{code} read models": office.lag() for code, office in self.items()}
        return self.unconfirmed() | {name: lag for name, lag in lags.items() if lag}

    def stop(self) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            # Whoever asks twice must not leave half of it running.
            signal.signal(sign, signal.SIG_IGN)
        for _, office in self.items():
            office.stop()
        if self.proxy is not None:
            self.proxy.stop()
        for server in (*self.databases.values(), self.redis):
            server.remove()


def _answers(office: Office) -> bool:
    try:
        return (
            httpx.get(f"{office.base_url}/health/ready", timeout=5).is_success
            and office.active_worker() is not None
        )
    except (httpx.HTTPError, psycopg.Error):
        return False
