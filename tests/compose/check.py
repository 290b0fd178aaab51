"""Does docker-compose.yml hold what it promises? Builds it, runs the case of 2019 on it, breaks it.

    .venv/bin/python tests/compose/check.py

A script and no pytest module: it takes a minute or two, needs a container engine, and CI runs it
after the tests. It uses the file as it stands, under a project name, secrets and, where the usual
ones are taken, ports of its own; and it takes down what it made, however it ends. The image
`pulang:check` stays, so that the next run builds faster.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from services import demo

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = "pulang-check"
# Everything together ends within this, with room for the image's first build.
TOTAL_SECONDS = 300.0
# How `make demo ONCE=1` prints the same case.
BOARD = {
    "declared": 68,
    "enumerated": 68,
    "assigned": 63,
    "undetermined": 5,
    "grants_rupiah": 408_000_000,
    "discrepancies": [
        "declared_split",
        "undetermined",
        "absent_35",
        "unlisted_35",
        "claims_differ_grants_rupiah",
    ],
    "disagreements": [],
    "in_sync": True,
}
RETURNED_RUPIAH = 1_000_000


class CheckFailed(Exception):
    """What was expected, and what was found."""


def expect(found: Any, wanted: Any, what: str) -> None:
    if found != wanted:
        raise CheckFailed(f"{what}: expected {wanted!r}, found {found!r}")


class Compose:
    """The project's containers; every command has a bound."""

    def __init__(self, environment: dict[str, str], deadline: float) -> None:
        self._environment = environment
        self._deadline = deadline
        # The plugin where it is there, else the older program of its own.
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        program = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
        self._command = [*program, "--project-name", PROJECT, "--file", "docker-compose.yml"]

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._environment,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=max(self._deadline - time.monotonic(), 1),
            check=False,
        )
        if done.returncode:
            output = (done.stdout + done.stderr).strip()[-4000:]
            raise CheckFailed(f"compose {' '.join(arguments)}: exit {done.returncode}\n{output}")
        return done.stdout

    def wait(self, what: str, seconds: float, holds: Callable[[], bool]) -> None:
        deadline = min(time.monotonic() + seconds, self._deadline)
        while not holds():
            if time.monotonic() > deadline:
                raise CheckFailed(f"{what}: not within {seconds:.0f} s")
            time.sleep(0.3)

    def down(self) -> None:
        self._deadline = max(self._deadline, time.monotonic() + 60)
        self("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def containers(self) -> list[dict[str, str]]:
        """Name, status, exit code and health of each; the one-shot ones that ended included."""
        ids = subprocess.run(
            ["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.split()
        if not ids:
            return []
        inspected = subprocess.run(
            ["docker", "inspect", *ids], capture_output=True, text=True, timeout=30, check=True
        )
        return [
            {
                "id": one["Id"],
                "name": one["Name"].removeprefix("/"),
                "status": one["State"]["Status"],
                "exit": str(one["State"]["ExitCode"]),
                "health": one["State"].get("Health", {}).get("Status", "none"),
                "restarts": str(one["RestartCount"]),
                "last": (one["State"].get("Health", {}).get("Log") or [{}])[-1].get("Output", ""),
            }
            for one in json.loads(inspected.stdout)
        ]

    def unwell(self) -> list[dict[str, str]]:
        """The containers that are neither healthy nor ended as a one-shot one should."""
        return [
            one
            for one in self.containers()
            if (one["status"], one["health"]) != ("running", "healthy")
            and (one["status"], one["exit"]) != ("exited", "0")
        ]

    def print_unwell(self) -> None:
        for one in self.unwell():
            say(f"{one['name']}: {one['status']}, exit {one['exit']}, health {one['health']}")
            say(f"  health check said: {one['last'].strip()[-1000:]}")
            logs = subprocess.run(
                ["docker", "logs", "--tail", "60", one["id"]],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=30,
                check=False,
            )
            say(logs.stdout)


STARTED = time.monotonic()


def say(words: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.1f} s] {words}", flush=True)


def free_port(usual: int) -> int:
    """The usual port, or any other where somebody has it, perhaps a demo."""
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CheckFailed("this machine has no free port")


def make_clients(compose: Compose, ports: dict[str, int]) -> dict[str, demo.Client]:
    """Accounts as an operator makes them. One person holds many roles, but none approves alone."""
    accounts = []
    for code, office in demo.OFFICES.items():
        accounts.append((code, "petugas", [r for r in office["roles"] if r != "approver"]))
        if "approver" in office["roles"]:
            accounts.append((code, "kepala", ["approver"]))

    def add(account: tuple[str, str, list[str]]) -> tuple[str, dict[str, str]]:
        code, name, roles = account
        command = ("pulang", "staff", "add", name, "--roles", ",".join(roles), "--json")
        made = json.loads(compose("exec", "-T", f"web-{code}", *command))
        return code, dict.fromkeys(roles, made["token"])

    tokens: dict[str, dict[str, str]] = {code: {} for code in demo.OFFICES}
    with ThreadPoolExecutor() as threads:
        for code, added in threads.map(add, accounts):
            tokens[code] |= added
    return {
        code: demo.Client(f"http://127.0.0.1:{ports[code]}", tokens[code]) for code in demo.OFFICES
    }


def is_ready(base_url: str) -> bool:
    try:
        return httpx.get(f"{base_url}/health/ready", timeout=5).is_success
    except httpx.HTTPError:
        return False


def in_sync(compose: Compose, clients: dict[str, demo.Client]) -> dict[str, Any]:
    board: dict[str, Any] = {}

    def holds() -> bool:
        board.update(demo.summary(clients))
        return bool(board["in_sync"])

    try:
        compose.wait("all offices in sync", 60, holds)
    except CheckFailed as failed:
        raise CheckFailed(f"{failed}; the board: {json.dumps(board)}") from None
    return board


def check_separation(compose: Compose) -> None:
    """Each office's own credentials, from inside its own worker, against the others."""
    probe = (ROOT / "tests" / "compose" / "probe.py").read_text()

    def run_probe(case: tuple[str, str, str]) -> None:
        answer = compose("exec", "-T", f"worker-{case[0]}", "python", "-", *case, text=probe)
        expect(json.loads(answer), [], f"what office {case[0]} can do and must not")

    cases = [("35", "53.71", "53"), ("53", "53.71", "35"), ("53.71", "35", "53")]
    with ThreadPoolExecutor() as threads:
        list(threads.map(run_probe, cases))


def link(client: demo.Client, partner: str) -> dict[str, Any]:
    found = client.get("auditor", "/links")
    return next(dict(one) for one in found if one["partner"] == partner)


def check_killed_worker(compose: Compose, clients: dict[str, demo.Client]) -> None:
    """What the city records while East Java's worker is dead arrives there later, and once."""
    city, province = clients["53.71"], clients["35"]
    there = {credit["person"] for credit in province.get("auditor", "/grants")["credits"]}
    credit = next(
        one
        for one in city.get("auditor", "/operations/KD-2019/ledger")["credits"]
        if one["person"] in there and one["standing_rupiah"] > RETURNED_RUPIAH
    )
    before = link(city, "35")

    compose("kill", "worker-35")
    body = {
        "reference": credit["reference"],
        "amount_rupiah": RETURNED_RUPIAH,
        "returned_on": "2019-10-21",
        "reason": "Contoh: sebagian dikembalikan oleh bank",
        "occurred_at": "2019-10-21T09:00:00+08:00",
    }
    path = f"/beneficiaries/{credit['person']}/grant-returns"
    city.post("treasurer", path, "check-return-1", body)
    city.post("treasurer", path, "check-return-1", body)
    after = link(city, "35")
    expect(after["recorded"], before["recorded"] + 1, "messages recorded for office 35")
    sent = after["recorded"]
    compose.wait("the city's relay sends", 20, lambda: link(city, "35")["sent"] == sent)
    # Long enough for the relay to send again, for want of a receipt: a duplicate for the inbox.
    time.sleep(6)
    expect(link(city, "35")["confirmed"], before["confirmed"], "confirmed by a dead worker")
    expect(is_ready(province.base_url), False, "office 35 says it is ready without a worker")

    compose("start", "worker-35")
    board = in_sync(compose, clients)
    expect(
        board["grants_rupiah"], BOARD["grants_rupiah"] - RETURNED_RUPIAH, "grants after the return"
    )
    expect(link(province, "53.71")["applied"], after["recorded"], "applied at office 35")
    notes = [
        line
        for line in province.get("auditor", f"/history/{credit['person']}")
        if line["type"] == "pulang.province.grant.return-noted.v1"
    ]
    expect(len(notes), 1, "times that office 35 noted the return")


def run(compose: Compose, ports: dict[str, int]) -> None:
    say("building the image")
    compose("build", "migrate-53.71")
    say("starting three offices")
    compose("up", "--detach")
    for code in demo.OFFICES:
        url = f"http://127.0.0.1:{ports[code]}"
        compose.wait(f"office {code} is ready", 60, lambda url=url: is_ready(url))

    say("making accounts, loading the case of 2019")
    clients = make_clients(compose, ports)
    demo._load(clients)
    board = in_sync(compose, clients)
    expect({name: board[name] for name in BOARD}, BOARD, "the board")

    say("in sync; looking for what an office may do to another")
    check_separation(compose)
    say("nothing; killing a worker")
    check_killed_worker(compose, clients)

    say("in sync again; waiting for every health check")
    compose.wait("every container is healthy", 60, lambda: not compose.unwell())
    restarted = [one["name"] for one in compose.containers() if one["restarts"] != "0"]
    expect(restarted, [], "containers that ended and were restarted")


def main() -> int:
    # So that what was started is also taken down when the time of the caller is over.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    usual = {code: office["port"] for code, office in demo.OFFICES.items()}
    ports = {code: free_port(port) for code, port in usual.items()}
    secrets = Path(tempfile.mkdtemp(prefix="pulang-check-"))
    environment = os.environ | {
        "PULANG_SECRETS": str(secrets),
        "PULANG_VERSION": "check",
        **{f"PORT_{code.replace('.', '_')}": str(port) for code, port in ports.items()},
    }
    compose = Compose(environment, STARTED + TOTAL_SECONDS)
    try:
        subprocess.run([ROOT / "deploy" / "make-secrets", secrets], check=True, timeout=30)
        compose.down()
        run(compose, ports)
    except Exception as failed:
        compose.print_unwell()
        if not isinstance(failed, CheckFailed):
            traceback.print_exception(failed)
        say(f"FAILED: {failed}")
        return 1
    finally:
        compose.down()
        shutil.rmtree(secrets)
        say("taken down")
    say("the compose file holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
