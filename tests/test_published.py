"""What is published is what the code says, and a version only ever grows."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.describe import DOCS, asyncapi, published

PUBLISHED = published()


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.name)
def test_the_published_file_is_what_the_code_says(path: Path) -> None:
    assert path.read_text() == PUBLISHED[path], "run `make docs` and look at what changed"


def released() -> dict[str, Any]:
    """The messages as the newest release tag published them; today's where nothing is released."""
    tag = _git("describe", "--tags", "--abbrev=0", "--match", "v*").strip()
    text = _git("show", f"{tag}:docs/asyncapi.json") if tag else ""
    document = json.loads(text or (DOCS / "asyncapi.json").read_text())
    messages: dict[str, Any] = document["components"]["messages"]
    return messages


def _git(*words: str) -> str:
    if not shutil.which("git"):
        return ""
    return subprocess.run(
        ["git", *words], cwd=DOCS, capture_output=True, text=True, check=False
    ).stdout


def test_a_message_that_was_released_only_grew_by_what_may_be_left_out() -> None:
    """Additive within a version: no field lost, none newly required, no type changed."""
    now = asyncapi()["components"]["messages"]
    for type_, before in released().items():
        old, new = before["payload"], now[type_]["payload"]
        assert set(old["properties"]) <= set(new["properties"]), type_
        assert set(new.get("required", [])) <= set(old.get("required", [])), type_
        for name, schema in old["properties"].items():
            assert new["properties"][name] == schema, (type_, name)
