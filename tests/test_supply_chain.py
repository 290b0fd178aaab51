"""What comes in from others, and what must not go out: the lock, its licences, and no secret.

The scan for secrets asks nobody: a find is a find, whether or not somebody's service would still
take it. The audit of dependencies runs here against a service of our own, for to ask a real one is
the business of whoever runs `tools/audit.py` with AUDIT_SERVICE set.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

from tests.test_house import ROOT, committed
from tools import audit

EXCEPTIONS = {
    # What looks like a password in tests is one: of accounts on servers that end with the run.
    ("tests/*", "Secret Keyword"),
    ("tests/servers.py", "Basic Auth Credentials"),
    # The alphabet of public ids, Crockford's.
    ("shared/contracts/values.py", "Base64 High Entropy String"),
    # Published: RFC 6962's example trees, signed notes of others' tests, and the wheel of pip.
    ("tests/kernel/test_merkle.py", "Hex High Entropy String"),
    ("tests/kernel/merkle_vectors.json", "Hex High Entropy String"),
    ("tests/kernel/note_vectors.json", "Base64 High Entropy String"),
    ("tools/bootstrap.py", "Hex High Entropy String"),
    ("tests/test_supply_chain.py", "Hex High Entropy String"),
}
"""(path, kind of find): what was looked at by a person and is no secret."""

BINARY = {".whl", ".png", ".woff2", ".pyc"}
OTHERS = {
    "tests/screens/axe/axe.min.js": (
        "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
    ),
}
"""As its makers published it: path and SHA-256. A line of half a megabyte takes minutes to scan."""


def scanned(paths: list[Path], below: Path) -> set[tuple[str, str, int]]:
    """Path, kind and line of everything that looks like a secret."""
    with default_settings() as settings:
        # With a policy of verification it would show what it finds to the service that it is for.
        assert not [name for name in settings.filters if "verification" in name]
        return {
            (path.relative_to(below).as_posix(), found.type, found.line_number)
            for path in paths
            for found in scan_file(str(path))
        }


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a scan for secrets must ask nobody")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def excepted(path: str, kind: str) -> tuple[str, str] | None:
    return next((one for one in EXCEPTIONS if fnmatch(path, one[0]) and kind == one[1]), None)


def test_no_secret_is_committed_and_no_exception_is_left_over(offline: None) -> None:
    others = {ROOT / path: digest for path, digest in OTHERS.items()}
    for path, digest in others.items():
        assert sha256(path.read_bytes()).hexdigest() == digest
    ours = [path for path in committed() if path.suffix not in BINARY and path not in others]
    found = scanned(ours, ROOT)
    assert [one for one in sorted(found) if excepted(*one[:2]) is None] == []
    assert {excepted(*one[:2]) for one in found} == EXCEPTIONS


# Put together here, so that the scan above does not find them.
PLANTED = {
    "Private Key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAA\n",
    "AWS Access Key": "aws = '" + "AKIA" + "QX7ZD3M5LK2P9WBN'\n",
    "Hex High Entropy String": f"key = '{sha256(b'contoh').hexdigest()}'\n",
    "Basic Auth Credentials": "url = 'postgresql://pulang:" + "q8Zr4mT1x" + "@db/pulang'\n",
    "Secret Keyword": "pass" + "word = 'q8Zr4mT1xWv7'\n",
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("place", ["services/keys.py", "docker-compose.yml", "docs/new.md"])
def test_a_secret_that_is_planted_is_found(
    tmp_path: Path, offline: None, kind: str, place: str
) -> None:
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("# A file as any other.\n" + PLANTED[kind])
    found = scanned([path], tmp_path)
    assert kind in {one[1] for one in found}
    assert excepted(place, kind) is None


LOCK = audit.LOCK.read_text()
WANTED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def test_every_package_is_locked_to_one_version_with_its_hashes() -> None:
    assert audit.faults_of_lock(LOCK, WANTED) == []
    assert audit.faults_of_lock((ROOT / "requirements-dev.lock").read_text(), WANTED) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("contoh>=1 --hash=sha256:" + "a" * 64, "not pinned"),
        ("contoh==1.* --hash=sha256:" + "a" * 64, "not pinned"),
        ("contoh @ https://example.com/contoh.whl --hash=sha256:" + "a" * 64, "not pinned"),
        ("contoh==1", "no sha256"),
        ("contoh==1 --hash=md5:" + "a" * 32, "no sha256"),
        ("", "nothing is locked"),
        ("lain==1 --hash=sha256:" + "a" * 64, "not locked"),
    ],
)
def test_a_lock_that_leaves_something_open_is_told(line: str, fault: str) -> None:
    assert any(fault in one for one in audit.faults_of_lock(line, ["contoh>=1"]))


def test_every_package_has_a_licence_that_is_on_the_list() -> None:
    names = [audit.name_of(entry) for entry in audit.locked(LOCK)]
    faults, away = audit.faults_of_licences(names)
    assert faults == []
    # Those for another system or an older Python are not installed; the rest is.
    assert len(away) <= 3, away


def test_a_licence_that_is_not_on_the_list_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit.allowed("GPL-3.0-only OR MIT")
    assert not audit.allowed("MIT AND AGPL-3.0-only")
    assert not audit.allowed("")
    monkeypatch.setattr(audit, "LICENCES", {"MIT"})
    faults, _ = audit.faults_of_licences(["cryptography", "fastapi"])
    assert len(faults) == 1
    assert faults[0].startswith("cryptography ")


@pytest.fixture
def advisories() -> Iterator[str]:
    """An advisory service that knows something against one package of ours."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            known = {
                "id": "PYSEC-0000-1",
                "summary": "contoh",
                "details": "contoh",
                "affected": [
                    {
                        "package": {"name": "jinja2", "ecosystem": "PyPI"},
                        "versions": [asked["version"]],
                        "ranges": [],
                    }
                ],
            }
            answer = {"vulns": [known]} if asked["package"]["name"] == "jinja2" else {}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def audited(**environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AUDIT_")}
    return subprocess.run(
        [sys.executable, "tools/audit.py"],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_an_audit_that_did_not_happen_does_not_pass_for_one() -> None:
    done = audited()
    assert "not audited: no advisory service reachable" in done.stdout
    assert "an advisory service was asked" not in done.stdout
    assert done.returncode == 0, done.stdout


def test_what_is_known_against_a_package_is_told(advisories: str) -> None:
    done = audited(AUDIT_SERVICE=advisories)
    assert "PYSEC-0000-1" in done.stdout, done.stdout + done.stderr
    assert "not audited" not in done.stdout
    assert done.returncode == 1


def test_an_advisory_service_that_is_asked_for_and_away_is_a_fault() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = audited(AUDIT_SERVICE=f"http://127.0.0.1:{port}/v1/query")
    assert done.returncode == 1
    assert "FAULT" in done.stdout
