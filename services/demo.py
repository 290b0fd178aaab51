"""The demo: three offices on embedded servers, with the case of 2019 loaded through their APIs.

It starts processes and speaks HTTP; it knows nothing of any office's inside.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from shared.kernel.migrate import migrate
from shared.kernel.rotation import init
from shared.runtime.embedded import EmbeddedServers
from shared.runtime.key_file import SealedFile
from shared.runtime.office import open_keyring
from shared.runtime.settings import Settings
from shared.runtime.staff import Kind, add_staff

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = Path("var/demo")
EXAMPLE = ROOT / "examples" / "karang-dempel-2019"
READY_SECONDS = 60.0
SYNC_SECONDS = 60.0
OPERATION = "KD-2019"
ON_THE_WAY = ("issued", "departed")

OFFICES: dict[str, dict[str, Any]] = {
    "53.71": {
        "name": "Dinas Sosial Kota Kupang",
        "port": 8071,
        "time_zone": "Asia/Makassar",
        "partners": "35,53",
        "kind": "city",
        "roles": ("intake", "issuer", "approver", "treasurer", "auditor", "operator", "admin"),
    },
    "53": {
        "name": "Dinas Sosial Provinsi Nusa Tenggara Timur",
        "port": 8053,
        "time_zone": "Asia/Makassar",
        "partners": "53.71",
        "kind": "province",
        "roles": ("reception", "case_worker", "approver", "auditor", "operator", "admin"),
    },
    "35": {
        "name": "Dinas Sosial Provinsi Jawa Timur",
        "port": 8035,
        "time_zone": "Asia/Jakarta",
        "partners": "53.71",
        "kind": "province",
        "roles": ("reception", "case_worker", "approver", "auditor", "operator", "admin"),
    },
}


class DemoFailed(Exception):
    """The demo could not come up; says what to do."""


def _new_connections() -> httpx.Client:
    """A connection for each request, as an office may have begun anew; what is dear, once."""
    return httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))


@dataclass(frozen=True)
class Client:
    """One office, spoken to as its staff would."""

    base_url: str
    tokens: dict[str, str]
    http: httpx.Client = field(default_factory=_new_connections)

    def get(self, role: str, path: str) -> Any:
        response = self.http.get(
            f"{self.base_url}/api/v1{path}", headers=self._headers(role), timeout=30
        )
        return self._answer(response)

    def post(self, role: str, path: str, key: str, body: dict[str, Any]) -> Any:
        response = self.http.post(
            f"{self.base_url}/api/v1{path}",
            json=body,
            headers=self._headers(role) | {"Idempotency-Key": key},
            timeout=60,
        )
        return self._answer(response)

    def _headers(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def _answer(self, response: httpx.Response) -> Any:
        if response.is_error:
            raise DemoFailed(f"{response.request.url.path}: {response.text}")
        return response.json()


def run(*, once: bool) -> int:
    """Brings the demo up. With `once` it prints the board as its last line and ends."""
    out = Console(stderr=once)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / "ready.json").unlink(missing_ok=True)
    _check_ports()
    with ExitStack() as stack:
        out.print("Menyalakan PostgreSQL dan Valkey …")
        servers = stack.enter_context(EmbeddedServers.start(DIRECTORY.resolve() / "servers"))
        environments = {code: _environment(code, servers) for code in OFFICES}
        keys = {code: _migrate(code, environments[code]) for code in OFFICES}
        accounts = {code: _prepare(code, environments[code], keys) for code in OFFICES}
        for code in OFFICES:
            stack.callback(_stop, _start(code, environments[code]))
        clients = {
            code: Client(_base_url(code), {a["role"]: a["token"] for a in accounts[code].values()})
            for code in OFFICES
        }
        _wait_ready(clients)
        out.print("Memuat kasus 2019 melalui API …")
        _load(clients)
        board = _wait_in_sync(clients)
        _write_ready(accounts)
        if once:
            sys.stdout.write(json.dumps(board, ensure_ascii=False) + "\n")
            return 0 if board["in_sync"] else 1
        _print_board(out, board, accounts)
        _wait_for_the_end()
    return 0


def _load(clients: dict[str, Client]) -> None:
    """Runs the example's own loader, which is part of the example and not of the software."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        load = importlib.import_module("load")

        load.load(clients["53.71"], {"35": clients["35"], "53": clients["53"]})
    except (KeyError, IndexError):
        raise _another_version() from None
    finally:
        sys.path.remove(str(EXAMPLE))


def _another_version() -> DemoFailed:
    return DemoFailed(
        f"the data in {DIRECTORY} are of another version; remove that folder and start again"
    )


def _base_url(code: str) -> str:
    return f"http://127.0.0.1:{OFFICES[code]['port']}"


def _check_ports() -> None:
    for code, office in OFFICES.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", office["port"]))
            except OSError:
                raise DemoFailed(
                    f"port {office['port']} (office {code}) is taken; stop what uses it,"
                    " perhaps another demo, and start again"
                ) from None


def _environment(code: str, servers: EmbeddedServers) -> dict[str, str]:
    office = OFFICES[code]
    owner = servers.database_url("pulang_" + code.replace(".", "_"))
    settings = {
        "PULANG_OFFICE": code,
        "PULANG_OFFICE_NAME": office["name"],
        "PULANG_PARTNERS": office["partners"],
        "PULANG_TIME_ZONE": office["time_zone"],
        "PULANG_DATABASE_URL": owner.replace("//pulang@", "//pulang_app@", 1),
        "PULANG_REDIS_URL": servers.redis_url,
        "PULANG_KEY_FILE": str(DIRECTORY.resolve() / f"{code}.key"),
        "PULANG_KEY_PASSPHRASE": _passphrase(code),
        "PULANG_PORT": str(office["port"]),
        "PULANG_PUBLIC_URL": _base_url(code),
    }
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    _write_private(DIRECTORY / f"{code}.env", text)
    return os.environ | settings | {"PULANG_OWNER_DATABASE_URL": owner}


def _passphrase(code: str) -> str:
    """The one that an earlier demo sealed its key file with, or a new one."""
    environment = DIRECTORY / f"{code}.env"
    known = environment.read_text().splitlines() if environment.exists() else []
    for line in known:
        if line.startswith("PULANG_KEY_PASSPHRASE="):
            return line.partition("=")[2]
    return secrets.token_hex(32)


def _settings(environment: dict[str, str]) -> Settings:
    given = {name: value for name, value in environment.items() if name.startswith("PULANG_")}
    return Settings(**{name.removeprefix("PULANG_").lower(): v for name, v in given.items()})  # type: ignore[arg-type]


def _migrate(code: str, environment: dict[str, str]) -> list[str]:
    """Makes tables, roles and keys; gives the lines by which others are to trust this office."""
    settings = _settings(environment)
    try:
        migrate(environment["PULANG_OWNER_DATABASE_URL"], settings.database_url)
    except SQLAlchemyError:
        raise _another_version() from None
    SealedFile.make(DIRECTORY.resolve() / f"{code}.key", environment["PULANG_KEY_PASSPHRASE"], code)

    async def keys() -> list[str]:
        async with open_keyring(settings) as keyring:
            await init(keyring)
            return [line for _, line in await keyring.public()]

    return asyncio.run(keys())


def _prepare(
    code: str, environment: dict[str, str], keys: dict[str, list[str]]
) -> dict[str, dict[str, str]]:
    """Has the office trust its partners; gives each role an account with a fresh password."""
    settings = _settings(environment)
    kind: Kind = OFFICES[code]["kind"]

    async def accounts() -> dict[str, dict[str, str]]:
        made = {}
        async with open_keyring(settings) as keyring:
            await keyring.refresh()
            for partner in settings.partners:
                for line in keys[partner]:
                    await keyring.trust(partner, line, "demo")
            for role in OFFICES[code]["roles"]:
                password = secrets.token_urlsafe(15)
                account = await add_staff(
                    keyring.pool, role, frozenset({role}), password, kind=kind, wrap=keyring
                )
                made[role] = {
                    "role": role,
                    "username": role,
                    "password": password,
                    "token": account.token,
                }
                if account.totp_secret is not None:
                    made[role]["totp_secret"] = account.totp_secret
        return made

    return asyncio.run(accounts())


def _start(code: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    kind = "city" if "." in code else "province"
    with (DIRECTORY / f"{code}.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 — our own command
            [sys.executable, "-m", f"services.{kind}"],
            env=environment,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    """Asks the kernel to stop this office when the demo's process ends, however it ends."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait_ready(clients: dict[str, Client]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    for code, client in clients.items():
        while True:
            try:
                if client.http.get(f"{client.base_url}/health/ready", timeout=5).is_success:
                    break
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise DemoFailed(f"office {code} is not ready; see {DIRECTORY}/{code}.log")
            time.sleep(0.1)


def _wait_in_sync(clients: dict[str, Client]) -> dict[str, Any]:
    deadline = time.monotonic() + SYNC_SECONDS
    while True:
        board = summary(clients)
        if board["in_sync"] or time.monotonic() > deadline:
            return board
        time.sleep(0.2)


def summary(clients: dict[str, Client]) -> dict[str, Any]:
    """The board of the example from the offices' own answers, compared person by person."""
    city = clients["53.71"]
    board = city.get("auditor", f"/operations/{OPERATION}/board")
    ledger = city.get("auditor", f"/operations/{OPERATION}/ledger")
    people = city.get("auditor", f"/operations/{OPERATION}/beneficiaries")
    offices = {"53.71": {"states": board["states"]}}
    disagreements: list[str] = []
    for code in ("53", "35"):
        theirs = _arrivals(clients[code])
        ours = _entries(city, code)
        disagreements += [
            f"{code}: {person}"
            for person in sorted(ours.keys() | theirs.keys())
            if ours.get(person) != theirs.get(person)
        ]
        credits = _credits(clients[code].get("auditor", "/grants")["credits"])
        credits = {one for one in credits if one[0] in ours}
        known = _credits(c for c in ledger["credits"] if c["person"] in ours)
        disagreements += [f"{code}: grant of {person}" for person, _ in credits ^ known]
        states: dict[str, int] = {}
        for state in theirs.values():
            states[state] = states.get(state, 0) + 1
        offices[code] = {
            "states": states,
            "grants_rupiah": sum(amount for _, (_, amount) in credits),
        }
    links = [link for client in clients.values() for link in client.get("auditor", "/links")]
    settled = all(link["recorded"] == link["confirmed"] and not link["parked"] for link in links)
    return {
        "declared": board["declared"],
        "enumerated": board["enumerated"],
        "assigned": sum(1 for p in people if p["listed"] and p["destination"]),
        "undetermined": board["states"].get("undetermined", 0),
        "grants_rupiah": ledger["grants"]["standing_rupiah"],
        "fares": ledger["fares"],
        "discrepancies": [d["discrepancy"] for d in board["discrepancies"] if d["open"]],
        "offices": offices,
        "disagreements": disagreements,
        "in_sync": settled and not disagreements,
    }


def _entries(city: Client, code: str) -> dict[str, str]:
    return {
        # What the city calls issued or departed is expected there.
        entry["person"]: "expected" if entry["state"] in ON_THE_WAY else entry["state"]
        for handover in city.get("auditor", "/handovers")
        if handover["receiving_office"] == code and handover["operation"] == OPERATION
        for entry in city.get("auditor", f"/handovers/{handover['handover']}")["entries"]
        if entry["state"] != "listed"
    }


def _arrivals(province: Client) -> dict[str, str]:
    return {
        entry["person"]: entry["state"]
        for handover in province.get("auditor", "/arrivals")
        if handover["operation"] == OPERATION
        for entry in province.get("auditor", f"/arrivals/{handover['handover']}")["entries"]
    }


def _credits(rows: Any) -> set[tuple[str, tuple[str, int]]]:
    return {(c["person"], (c["reference"], c["standing_rupiah"])) for c in rows}


def _write_ready(accounts: dict[str, dict[str, dict[str, str]]]) -> None:
    ready = {
        "offices": [
            {
                "code": code,
                "name": OFFICES[code]["name"],
                "base_url": _base_url(code),
                "accounts": list(accounts[code].values()),
            }
            for code in OFFICES
        ]
    }
    _write_private(DIRECTORY / "ready.json", json.dumps(ready, indent=2) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Into place at once, and readable by this user alone: it holds passwords."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(path)


def _print_board(
    out: Console, board: dict[str, Any], accounts: dict[str, dict[str, dict[str, str]]]
) -> None:
    out.print_json(json.dumps(board))
    for code, office in OFFICES.items():
        out.rule(f"{office['name']} ({code})  {_base_url(code)}", align="left")
        for account in accounts[code].values():
            out.print(
                f"  {account['role']:<12} {account['username']:<12} {account['password']}"
                f"  {account.get('totp_secret', '')}",
                highlight=False,
                # What is copied out of a narrow terminal is one line all the same.
                soft_wrap=True,
            )
    out.print(
        "\nKolom terakhir: rahasia kode sekali pakai (TOTP), untuk aplikasi autentikator."
        f"\nToken API: {DIRECTORY}/ready.json.  Akhiri dengan Ctrl+C."
    )


def _wait_for_the_end() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
