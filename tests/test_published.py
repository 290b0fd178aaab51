"""What is published is what the code says, and a version only ever grows."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.custody import DECIDERS
from shared.kernel.decider import Decider
from shared.runtime import custody_routes
from shared.runtime.manifest import Service
from shared.runtime.web import PREFIX, reads_of
from tests.describe import DOCS, asyncapi, openapi, published

PUBLISHED = published()


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.name)
def test_the_published_file_is_what_the_code_says(path: Path) -> None:
    assert path.read_text() == PUBLISHED[path], "run `make docs` and look at what changed"


@pytest.mark.parametrize("service", [CITY, PROVINCE], ids=lambda s: s.kind)
def test_every_address_of_an_office_is_published_custodys_too(service: Service) -> None:
    paths = openapi(service)["paths"]
    commands = (*service.commands, *custody_routes.commands(service.kind))
    reads = reads_of(service)
    assert "/lookups" in {one.path for one in commands}
    assert "/erasures" in {one.path for one in reads}
    assert [one.path for one in commands if "post" not in paths[PREFIX + one.path]] == []
    assert [one.path for one in reads if "get" not in paths[PREFIX + one.path]] == []


@pytest.mark.parametrize(
    "decider", [*CITY.deciders, *PROVINCE.deciders, *DECIDERS], ids=lambda d: d.category
)
def test_every_event_of_an_office_is_published_custodys_too(decider: Decider[Any]) -> None:
    text = (DOCS / "events.md").read_text()
    for event in decider.events:
        fields = ", ".join(f"`{name}`" for name in event.model_fields)
        assert f"| `{event.type}` | {event.words} | {fields} |" in text


def test_the_published_frame_says_what_is_signed_and_what_is_sealed() -> None:
    headers = asyncapi()["components"]["schemas"]["FrameHeaders"]["properties"]
    unsigned = {name for name, schema in headers.items() if not schema["x-signed"]}
    assert unsigned == {"signature", "key", "sealed"}
    assert "sealed-digest" in headers


def test_no_published_message_has_room_for_who_somebody_is() -> None:
    """That travels in the sealed part alone."""
    document = asyncapi()["components"]
    named = set(document["schemas"]["Identity"]["properties"])
    assert "name" in named
    for type_, message in document["messages"].items():
        fields = _fields(message["payload"], document["schemas"])
        assert fields & (named | {"identity"}) == set(), type_


def _fields(schema: Any, schemas: dict[str, Any]) -> set[str]:
    """The names of all fields in a schema, with those of what it points to."""
    if isinstance(schema, list):
        return set().union(*(_fields(one, schemas) for one in schema))
    if not isinstance(schema, dict):
        return set()
    found = set(schema.get("properties", {}))
    if "$ref" in schema:
        found |= _fields(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    return found.union(*(_fields(one, schemas) for one in schema.values()))


def released() -> dict[str, Any]:
    """What the newest release tag published; today's where nothing is released."""
    tag = _git("describe", "--tags", "--abbrev=0", "--match", "v*").strip()
    text = _git("show", f"{tag}:docs/asyncapi.json") if tag else ""
    return schemas_of(json.loads(text or (DOCS / "asyncapi.json").read_text()))


def schemas_of(document: dict[str, Any]) -> dict[str, Any]:
    """The schema of each message, and of each thing that messages and frames are made of."""
    parts = document["components"]
    payloads = {type_: message["payload"] for type_, message in parts["messages"].items()}
    schemas: dict[str, Any] = parts.get("schemas", {})
    return payloads | schemas


def _git(*words: str) -> str:
    if not shutil.which("git"):
        return ""
    return subprocess.run(
        ["git", *words], cwd=DOCS, capture_output=True, text=True, check=False
    ).stdout


def test_what_was_released_only_grew_by_what_may_be_left_out() -> None:
    """Additive within a version: no field lost, none newly required, no type changed."""
    now = schemas_of(asyncapi())
    for name, old in released().items():
        new = now[name]
        before, after = old.get("properties", {}), new.get("properties", {})
        assert set(before) <= set(after), name
        assert set(new.get("required", [])) <= set(old.get("required", [])), name
        for field, schema in before.items():
            assert after[field] == schema, (name, field)
