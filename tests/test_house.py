"""The house rules that a machine can hold: who imports whom, which words, which promises."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = [
    path for folder in ("shared", "services") for path in sorted((ROOT / folder).rglob("*.py"))
]
STIGMA = re.compile(
    r"\b(psk|wts|tuna.?susila|lokalisasi|pelacur\w*|prostitu\w*|pekerja seks|sex worker)\b", re.I
)
LINES_AT_MOST = 600


def committed() -> list[Path]:
    listed = None
    if shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    if listed is None or listed.returncode:
        # A copy without git or its history: look at all but what was built or downloaded.
        built = {".venv", ".git", "var", "__pycache__", "uv.lock", ".hypothesis"}
        return [p for p in ROOT.rglob("*") if p.is_file() and not _below(p, built)]
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def _below(path: Path, names: set[str]) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part in names or part.endswith("_cache") for part in parts)


def texts() -> Iterator[tuple[Path, str]]:
    for path in committed():
        if path.suffix not in {".whl", ".png", ".lock", ".woff2", ".pyc"}:
            yield path, path.read_text(encoding="utf-8")


def test_rooms_import_only_what_they_may() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_no_stigmatising_word_stands_anywhere() -> None:
    """She is a beneficiary, and never anything else."""
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path, text in texts()
        if path != Path(__file__)
        for match in STIGMA.finditer(text)
    ]
    assert found == []
    assert [p.name for p in committed() if STIGMA.search(p.name)] == []


def test_no_host_of_a_registry_and_no_private_path_is_committed() -> None:
    # Put together here, so that this file doesn't name them either.
    hosts = ("pypi" + r"\.org", "python" + "hosted", "npm" + "js", "deb" + r"\.debian")
    private = re.compile(r"/(root|home)/\w+/|" + "|".join(hosts))
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path, text in texts()
        if path != Path(__file__)
        for match in private.finditer(text)
    ]
    assert found == []
    assert (ROOT / "uv.lock") not in committed()


@pytest.mark.parametrize("path", PRODUCT, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_says_what_it_is_and_raises_what_it_rules(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module says what it is, why it is there, what it promises"
    # `python -O` strips assert, so a rule that is one would not hold.
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert len(path.read_text().splitlines()) <= LINES_AT_MOST


@pytest.mark.parametrize("service", [CITY, PROVINCE], ids=lambda s: s.kind)
class TestManifest:
    def test_each_command_has_one_decider(self, service) -> None:  # type: ignore[no-untyped-def]
        commands = [c for decider in service.deciders for c in decider.commands]
        assert len(commands) == len(set(commands))

    def test_each_event_type_is_a_name_of_ours(self, service) -> None:  # type: ignore[no-untyped-def]
        types = [e.type for decider in service.deciders for e in decider.events]
        assert len(types) == len(set(types))
        for name in types:
            assert re.fullmatch(rf"pulang\.{service.kind}\.[a-z]+\.[a-z-]+\.v\d+", name)

    def test_each_event_can_be_said_in_plain_words(self, service) -> None:  # type: ignore[no-untyped-def]
        for decider in service.deciders:
            for event in decider.events:
                fields = set(re.findall(r"{(\w+)}", event.words))
                assert fields <= set(event.model_fields), event
                assert event.words.strip() == event.words != ""

    def test_addresses_are_distinct(self, service) -> None:  # type: ignore[no-untyped-def]
        posts = [route.path for route in service.commands]
        gets = [route.path for route in service.reads]
        assert len(posts) == len(set(posts))
        assert len(gets) == len(set(gets))


@pytest.mark.xdist_group("house")
def test_tests_that_share_what_is_dear_run_in_one_process(request: pytest.FixtureRequest) -> None:
    """Where the two libraries do not fit, each process builds it again, and nothing says so."""
    if hasattr(request.config, "workerinput"):
        assert request.node.nodeid.endswith("@house")
