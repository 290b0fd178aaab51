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
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from engine import PROJECT, ROOT, STARTED, CheckFailed, Compose, expect, free_port, say

from services import demo

# Everything together ends within this, with room for the image's first build.
TOTAL_SECONDS = 540.0
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
}
# Long enough for a frame that is believed to be applied and confirmed many times over.
UNBELIEVED_SECONDS = 3.0
Parked = set[tuple[str, int]]
RETURNED_RUPIAH = 1_000_000


def make_clients(compose: Compose, ports: dict[str, int]) -> dict[str, demo.Client]:
    """Accounts as an operator makes them: who meets people, who oversees, and who approves."""
    overseeing = {"auditor", "operator", "admin"}
    accounts = []
    for code, office in demo.OFFICES.items():
        roles = set(office["roles"]) - {"approver"}
        accounts.append((code, "petugas", sorted(roles - overseeing)))
        accounts.append((code, "pengawas", sorted(roles & overseeing)))
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


def parked(clients: dict[str, demo.Client], reason: str | None = None) -> Parked:
    """What is parked, by office and number; if a reason is given, for that reason alone."""
    return {
        (code, int(row["id"]))
        for code, client in clients.items()
        for row in client.get("auditor", "/parked")
        if reason in (None, row["reason"])
    }


def in_sync(compose: Compose, clients: dict[str, demo.Client], before: Parked) -> dict[str, Any]:
    """The board, when all that was recorded is confirmed and nothing more was parked than before.

    What came before the offices trusted each other stays parked: nothing discards it by itself.
    """
    board: dict[str, Any] = {}
    waiting: list[dict[str, Any]] = []

    def holds() -> bool:
        board.update(demo.summary(clients))
        links = [one for client in clients.values() for one in client.get("auditor", "/links")]
        waiting[:] = [one for one in links if one["recorded"] != one["confirmed"]]
        return not waiting and not board["disagreements"]

    try:
        compose.wait("all offices in sync", 60, holds)
    except CheckFailed as failed:
        raise CheckFailed(f"{failed}; {json.dumps([board, waiting])}") from None
    expect(parked(clients) - before, set(), "messages that were parked")
    return board


def check_secrets(compose: Compose, secrets: Path) -> None:
    """Who has which secret: the owner's password migrates, and is nowhere in what runs."""
    containers = {one["service"]: one for one in compose.containers()}
    for code in demo.OFFICES:
        owner = (secrets / f"{code}.postgres.env").read_text().strip().partition("=")[2]
        holders = {
            service
            for service, one in containers.items()
            if any(owner in value for value in one["environment"].values())
        }
        wanted = {f"migrate-{code}", f"postgres-{code}"}
        expect(holders, wanted, f"who has the owner's password of office {code}")
        for service, writes in (("web", False), ("worker", True), ("migrate", True)):
            found = "/var/lib/pulang" in containers[f"{service}-{code}"]["writable"]
            expect(found, writes, f"{service}-{code} can write the key file")
    for service, user in (("redis", "redis"), ("postgres-35", "postgres")):
        look = ("stat", "-c", "%a %U", "/run/pulang/server.key")
        expect(compose("exec", "-T", service, *look).strip(), f"400 {user}", f"{service}'s key")


def check_separation(compose: Compose, foreign_authority: str) -> None:
    """Each office's own credentials, from inside its own worker, against the others."""
    probe = (ROOT / "tests" / "compose" / "probe.py").read_text()

    def run_probe(case: tuple[str, str, str]) -> None:
        command = ("python", "-", *case, foreign_authority)
        answer = compose("exec", "-T", f"worker-{case[0]}", *command, text=probe)
        expect(json.loads(answer), [], f"what office {case[0]} can do and must not")

    cases = [("35", "53.71", "53"), ("53", "53.71", "35"), ("53.71", "35", "53")]
    with ThreadPoolExecutor() as threads:
        list(threads.map(run_probe, cases))


def link(client: demo.Client, partner: str) -> dict[str, Any]:
    found = client.get("auditor", "/links")
    return next(dict(one) for one in found if one["partner"] == partner)


def trust_partners(environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [ROOT / "deploy" / "trust-partners"],
        env=environment | {"COMPOSE_PROJECT_NAME": PROJECT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    expect(done.returncode, 0, f"trust-partners, which said {done.stdout + done.stderr}")
    return done.stdout.splitlines()


class NotYet(Exception):
    """The loading came to what a province does."""


class Untold(demo.Client):
    """A province that nothing has reached yet, where nobody has anything to do."""

    def post(self, role: str, path: str, key: str, body: dict[str, Any]) -> Any:
        raise NotYet


def check_trust(
    compose: Compose, clients: dict[str, demo.Client], environment: dict[str, str]
) -> tuple[Parked, list[str]]:
    """Until offices trust each other, nothing of what the city has issued is applied.

    Gives what was parked by then, and what `trust-partners` said.
    """
    city = clients["53.71"]
    try:
        demo._load(clients | {code: Untold("", {}) for code in ("35", "53")})
    except NotYet:
        expect([link(city, code)["recorded"] > 0 for code in ("35", "53")], [True] * 2, "recorded")
    time.sleep(UNBELIEVED_SECONDS)
    for code, client in clients.items():
        for one in client.get("auditor", "/links"):
            between = f"from {one['partner']} at {code}"
            expect((one["applied"], one["confirmed"]), (0, 0), f"applied without trust, {between}")
    unbelieved = parked(clients)
    if not unbelieved:
        raise CheckFailed("nothing was parked: was anything sent, before offices trusted?")

    said = trust_partners(environment)
    after = parked(clients)
    expect(after - parked(clients, "UNTRUSTED_FRAME"), set(), "parked for another reason")
    pairs = [("53.71", "35"), ("53.71", "53"), ("35", "53.71"), ("53", "53.71")]
    wanted = sorted(f"{office} trusts key of {partner}" for office, partner in pairs)
    expect(sorted(re.sub(r" key [0-9a-f]{8} ", " key ", line) for line in said), wanted, "trust")
    return after, said


def check_killed_worker(
    compose: Compose, clients: dict[str, demo.Client], before_trust: Parked
) -> None:
    """What the city records while East Java's worker is dead arrives there later, and once."""
    city, province = clients["53.71"], clients["35"]
    # Of those who arrived: who did not is no longer office 35's to hear of.
    there = {row["person"] for row in province.get("auditor", "/cases")}
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
    board = in_sync(compose, clients, before_trust)
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


def run(
    compose: Compose, ports: dict[str, int], secrets: Path, environment: dict[str, str]
) -> None:
    say("building the image")
    compose("build", "migrate-53.71")
    say("starting three offices")
    compose("up", "--detach")
    for code in demo.OFFICES:
        url = f"http://127.0.0.1:{ports[code]}"
        compose.wait(f"office {code} is ready", 60, lambda url=url: is_ready(url))

    say("looking who has which secret")
    check_secrets(compose, secrets)
    say("making accounts, loading the case of 2019: the city's part, without trust")
    clients = make_clients(compose, ports)
    before_trust, said = check_trust(compose, clients, environment)
    say("nothing was applied without trust; now they trust each other, and the rest is loaded")
    # From the start: what the city has is answered as before, and not done again.
    demo._load(clients)
    board = in_sync(compose, clients, before_trust)
    expect({name: board[name] for name in BOARD}, BOARD, "the board")

    say("in sync; looking for what an office may do to another, to its log, and in clear")
    check_separation(compose, draw_secrets(secrets / "foreign")["trust/ca.pem"])
    say("nothing; killing a worker, and trusting again meanwhile, which changes nothing")
    with ThreadPoolExecutor() as threads:
        again = threads.submit(trust_partners, environment)
        check_killed_worker(compose, clients, before_trust)
        expect(again.result(), said, "trust-partners run again")

    say("in sync again; waiting for every health check")
    compose.wait("every container is healthy", 60, lambda: not compose.unwell())
    restarted = [one["name"] for one in compose.containers() if one["restarts"] != "0"]
    expect(restarted, [], "containers that ended and were restarted")


def draw_secrets(directory: Path) -> dict[str, str]:
    """What `make-secrets` wrote there, by name."""
    command = [ROOT / "deploy" / "make-secrets", directory]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_text() for path in files}


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
        drawn = draw_secrets(secrets)
        # Not with `expect`: what differs would be printed.
        if draw_secrets(secrets) != drawn:
            raise CheckFailed("make-secrets, run again, drew something anew")
        compose.down()
        run(compose, ports, secrets, environment)
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
