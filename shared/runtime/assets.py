"""The style sheet and the script: the same for everybody, so a browser may keep them.

Each is named with a digest of what is in it. Under that address it never changes, and is kept;
under any other it is as fresh as a page, so that nobody works with the script of an older version.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static/"
KEPT = "public, max-age=31536000, immutable"


@cache
def address(name: str) -> str:
    """Where a page gets this file from."""
    return f"{PREFIX}{name}?{sha256((FOLDER / name).read_bytes()).hexdigest()[:12]}"


@cache
def _kept() -> frozenset[str]:
    return frozenset(address(path.name) for path in FOLDER.iterdir())


def may_be_kept(path: str, query: str) -> bool:
    return path.startswith(PREFIX) and f"{path}?{query}" in _kept()
