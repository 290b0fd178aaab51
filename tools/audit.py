"""Looks at what this software is built on: the lock, its licences, and what is known against it.

Offline it can tell that every locked package is pinned to one version with its hashes, that all
that pyproject.toml asks for is locked, and that what is installed has a licence on the list below.
Whether a version was withdrawn (yanked) only its package index knows, which pip is asked for where
AUDIT_INDEX is set. What is known against a version only an advisory service knows: it is asked
where AUDIT_SERVICE is set, to `pypi` or `osv` or the address of another OSV service. Where it is
not set that audit does not happen, and this says so: it never passes for one.

    python tools/audit.py           # ends with 1 where something that was looked at does not hold

Whoever sets one of the two wants an answer: where there is none, this ends with 1 as well.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
SECONDS = 300

LICENCES = {
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LGPL-3.0-only", "MIT", "MIT-0",
    "MPL-2.0", "PSF-2.0",
}  # fmt: skip
"""May be used and passed on beside Apache-2.0. LGPL (psycopg) and MPL (certifi) are used unchanged."""

WORDS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""How older packages' classifiers say it."""


def locked(text: str) -> dict[str, list[str]]:
    """Every entry of a lock, up to its marker, with the hashes that follow."""
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            entry = re.split(r"\s*;|\s+--hash", line, maxsplit=1)[0].strip()
            found[entry] = re.findall(r"--hash=(\S+)", line)
    return found


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;@]", requirement, maxsplit=1)[0]).lower()


def faults_of_lock(text: str, wanted: list[str]) -> list[str]:
    entries = locked(text)
    faults = [] if entries else ["nothing is locked"]
    for entry, hashes in entries.items():
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", entry):
            faults.append(f"{entry} is not pinned to one version")
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes):
            faults.append(f"{entry} has no sha256 hash")
    names = {name_of(entry) for entry in entries}
    faults += [
        f"{name_of(one)} is asked for in pyproject.toml and not locked: run `make lock`"
        for one in wanted
        if name_of(one) not in names
    ]
    return faults


def faults_of_licences(names: list[str]) -> tuple[list[str], list[str]]:
    """What is installed with another licence, and what could not be looked at here."""
    faults, away = [], []
    for name in names:
        try:
            about = metadata(name)
        except PackageNotFoundError:
            away.append(name)
            continue
        said = about.get("License-Expression") or ""
        stated = (about.get("License") or "").strip()
        if not said and WORDS.get(stated, stated) in LICENCES:
            said = WORDS.get(stated, stated)
        words = [
            line.split("::")[-1].strip()
            for line in about.get_all("Classifier") or []
            if line.startswith("License ::")
        ]
        if not said and words:
            said = " AND ".join(WORDS.get(word, word) for word in words if word != "OSI Approved")
        if not allowed(said):
            faults.append(f"{name} is under {said or 'no stated licence'}, which is not on the list")
    return faults, away


def allowed(expression: str) -> bool:
    """Whether a licence expression leaves us one that is on the list. Brackets are not read."""
    return any(
        all(part.strip() in LICENCES for part in way.split(" AND "))
        for way in expression.split(" OR ")
    )


def withdrawn() -> list[str]:
    """What the index says is yanked, from the report of a pip that installs nothing."""
    command = [
        sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps",
        "--quiet", "--report", "-", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        return [f"the index was asked what is withdrawn, and gave no answer:\n{done.stderr[-800:]}"]
    return [
        f"{item['metadata']['name']} {item['metadata']['version']} was withdrawn by its makers"
        for item in json.loads(done.stdout)["install"]
        if item.get("is_yanked")
    ]


def advised_against(service: str) -> list[str]:
    """What an advisory service knows against the locked versions."""
    where = ["-s", service] if service in ("pypi", "osv") else ["-s", "osv", "--osv-url", service]
    command = [
        sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--strict",
        "--progress-spinner", "off", "-r", str(LOCK), *where,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    return [] if done.returncode == 0 else [(done.stdout + done.stderr)[-4_000:].strip()]


def main() -> int:
    text = LOCK.read_text()
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [name_of(entry) for entry in locked(text)]
    faults = faults_of_lock(text, wanted)
    licences, away = faults_of_licences(names)
    faults += licences
    print(f"{len(names)} locked packages: looked for pins, hashes and completeness")
    print(f"licences: {len(names) - len(away)} looked at; not installed here: {', '.join(away) or '-'}")
    if os.environ.get("AUDIT_INDEX"):
        faults += withdrawn()
        print("withdrawn versions: the index was asked")
    else:
        print("withdrawn versions: not looked for (AUDIT_INDEX is not set)")
    if service := os.environ.get("AUDIT_SERVICE"):
        faults += advised_against(service)
        print("known vulnerabilities: an advisory service was asked")
    else:
        print("known vulnerabilities: not audited: no advisory service reachable (AUDIT_SERVICE is not set)")
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
