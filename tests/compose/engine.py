"""The compose file's containers, as `check.py` starts, asks and ends them; all of it is bounded.

It knows the engine and nothing of what is checked.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = "pulang-check"


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

    def containers(self) -> list[dict[str, Any]]:
        """What each is and how it is; the one-shot ones that ended included."""
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
                "service": one["Config"]["Labels"]["com.docker.compose.service"],
                "environment": dict(line.split("=", 1) for line in one["Config"]["Env"]),
                "writable": [mount["Destination"] for mount in one["Mounts"] if mount["RW"]],
                "status": one["State"]["Status"],
                "exit": str(one["State"]["ExitCode"]),
                "health": one["State"].get("Health", {}).get("Status", "none"),
                "restarts": str(one["RestartCount"]),
                "last": (one["State"].get("Health", {}).get("Log") or [{}])[-1].get("Output", ""),
            }
            for one in json.loads(inspected.stdout)
        ]

    def unwell(self) -> list[dict[str, Any]]:
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
