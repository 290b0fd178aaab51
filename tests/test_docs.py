"""Docs that can be tested are tested: codes, commands, rules, decisions, words, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from services.cli import app
from shared.runtime.metrics import LINK_NUMBERS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
RUNBOOK = DOCS / "runbook.md"
RULES = DOCS / "rules.md"
SECURITY = DOCS / "security.md"
ADRS = sorted((DOCS / "adr").glob("*.md"))
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
NO_CODES = {"LC_ALL", "SUDO_USER"}
NAMED_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
WORDS = """
    Beneficiary Operation Handover Manifest Willingness Consent Approval Authority Case Grant
    Credit Advance Fare House discrepancy absent diverted unlisted arrived acting decider unit
    outbox inbox link frame receipt gap relay confirmed parked projection checkpoint lag replay
    head frontier position publisher reactor upcaster vault sealed worker standby refusal message
    event command log kuitansi panjar selisih BAST STS Plt diklat custody look purpose epoch session
    tombstone erasure hold
"""
SUPERSEDED = re.compile(r"^\*\*Status\.\*\* Superseded by \[\d{4}\]\(([\w-]+\.md)\)\.$", re.M)
ASVS = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1,
    "3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4,
    "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3, "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5,
    "6.6": 3, "6.8": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2,
    "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4,
    "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3, "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4,
    "11.5": 1, "11.6": 1, "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1, "13.2": 5, "13.3": 2,
    "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3, "15.1": 3, "15.2": 3, "15.3": 7, "16.1": 1,
    "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4, "17.3": 2,
}  # fmt: skip
"""How many requirements of levels 1 and 2 each section of ASVS 5.0.0 has; they come first in it."""


def product() -> Iterator[Path]:
    for folder in ("shared", "services"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def codes_in(path: Path) -> set[str]:
    """Every text in a file that has the form of a code; names of settings have not that meaning."""
    texts = {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    found = {text for text in texts if CODE.fullmatch(text)}
    found |= {place.value for place in code_calls(path) if isinstance(place, ast.Constant)}
    return {code for code in found - NO_CODES if not code.startswith("PULANG_")}


def code_calls(path: Path) -> Iterator[ast.expr]:
    """What stands in the place of the code where a file refuses."""
    place = {"Refused": 0, "Problem": 1}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            index = place.get(node.func.id)
            if index is not None and len(node.args) > index:
                yield node.args[index]


def codes_of_rows(text: str) -> list[str]:
    return re.findall(r"^\| `([A-Z_0-9]+)` \|", text, re.M)


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def names_in(path: Path) -> set[str]:
    """The tests in a file; those of the compose file are functions named `check_…`."""
    if not path.is_file():
        return set()
    return set(re.findall(r"def ((?:test|check)_\w+)", path.read_text(encoding="utf-8")))


def missing_tests(text: str, below: Path = ROOT) -> list[str]:
    named = NAMED_TEST.findall(text)
    return [f"{file}::{test}" for file, test in named if test not in names_in(below / file)]


def security_rows() -> list[list[str]]:
    """The cells of every row of the ASVS tables: requirements, status, why, tests."""
    text = SECURITY.read_text(encoding="utf-8").partition("## OWASP ASVS")[2]
    rows = re.findall(r"^\| (\d+\.\d+\.\d.*)\|$", text, re.M)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


def requirements(cell: str) -> Iterator[str]:
    """`1.2.3-5, 1.3.1` → 1.2.3, 1.2.4, 1.2.5, 1.3.1."""
    for part in cell.split(", "):
        found = re.fullmatch(r"(\d+\.\d+)\.(\d+)(?:-(\d+))?", part)
        assert found, f"{part!r} is no requirement"
        first, last = int(found[2]), int(found[3] or found[2])
        assert first <= last, part
        yield from (f"{found[1]}.{number}" for number in range(first, last + 1))


def commands() -> list[str]:
    """Every `pulang` command, those of a group with the group's name before."""
    group = typer.main.get_command(app)
    names = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        names += [f"{name} {one}" for one in below] if below else [name]
    return names


def test_every_code_that_the_product_can_say_is_in_the_runbook() -> None:
    said = set().union(*map(codes_in, product()))
    assert len(said) > 80, "the search finds nothing"
    explained = codes_of_rows(RUNBOOK.read_text(encoding="utf-8"))
    assert sorted(said - set(explained)) == [], "these codes have no row in docs/runbook.md"
    assert sorted(set(explained) - said) == [], "the runbook explains codes that nothing says"
    assert len(explained) == len(set(explained)), "a code has one row"


def test_every_command_has_a_line_in_the_runbook() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    assert [name for name in commands() if f"| `pulang {name}" not in text] == []


def test_every_sentence_of_status_is_in_the_runbook() -> None:
    text = RUNBOOK.read_text(encoding="utf-8").replace("\\`", "`")
    for sentence in (
        "no worker is active: start `pulang worker`",
        "is ahead of the log: run `pulang replay",
        "event(s) behind since",
        "message(s) unconfirmed since",
        "is trusted: run `pulang keys trust",
        "message(s) parked: see the runbook",
    ):
        assert sentence in text
        assert sentence in (ROOT / "shared/runtime/status.py").read_text(encoding="utf-8")
    readiness = (ROOT / "shared/runtime/readiness.py").read_text(encoding="utf-8")
    for sentence in ("the database did not answer within", "the database is away: "):
        assert sentence in text
        assert sentence in readiness


def test_every_metric_is_in_the_runbook() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    source = (ROOT / "shared/runtime/metrics.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"(pulang_[a-z_]+)"', source))
    named |= {f"pulang_link_{name}" for name in LINK_NUMBERS}
    assert len(named) > 10, "the search finds nothing"
    assert {re.match(r"\w+", one)[0] for one in re.findall(r"`(pulang_[^`]+)`", text)} == named


def test_the_readmes_two_commands_are_targets() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    first = re.findall(r"^make (\w+) ", readme, re.M)
    assert first == ["demo", "test"]
    assert {"demo", "test"} <= set(targets)
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        named = re.findall(r"^make (\w+)|`make (\w+)", page.read_text(encoding="utf-8"), re.M)
        assert {one or other for one, other in named} <= set(targets), page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{target} is not there"
        assert there.is_relative_to(ROOT), f"{target} leads out of the house"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


def test_decisions_are_numbered_without_a_hole() -> None:
    assert [page.name[:4] for page in ADRS] == [f"{n:04}" for n in range(1, len(ADRS) + 1)]


@pytest.mark.parametrize("page", ADRS, ids=lambda p: p.stem)
def test_every_decision_names_a_test_that_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]} ")
    for part in ("**Context.**", "**Decision.**", "**Consequences.**", "**Held by**"):
        assert part in text
    held = text.partition("**Held by**")[2]
    assert NAMED_TEST.findall(held), "it names no test"
    if (superseded := SUPERSEDED.search(text)) is None:
        assert missing_tests(held) == []
        return
    # Its tests may be gone with it; what took its place names others, and says what it replaced.
    heir = (page.parent / superseded[1]).read_text(encoding="utf-8")
    assert f"Supersedes [{page.name[:4]}]({page.name})" in heir


def test_every_test_that_the_security_page_names_is_there() -> None:
    text = SECURITY.read_text(encoding="utf-8")
    assert len(NAMED_TEST.findall(text)) > 80, "the search finds nothing"
    assert missing_tests(text) == []


def test_every_requirement_that_holds_names_its_test() -> None:
    for cells in security_rows():
        numbers, status, why, tests = cells
        assert status in ("holds", "not applicable", "not yet"), numbers
        assert why, f"{numbers}: it does not say why"
        assert bool(NAMED_TEST.findall(tests)) == (status == "holds"), numbers


def test_every_requirement_of_levels_1_and_2_stands_in_one_row() -> None:
    stated = [one for cells in security_rows() for one in requirements(cells[0])]
    wanted = {f"{section}.{n}" for section, last in ASVS.items() for n in range(1, last + 1)}
    assert len(wanted) == 253, "ASVS 5.0.0 has 70 of level 1 and 183 of level 2"
    assert sorted(wanted - set(stated)) == [], "these are in no row"
    assert sorted(set(stated) - wanted) == [], "there are none such at these levels"
    assert len(stated) == len(set(stated)), "a requirement stands in one row"


def test_every_rule_names_its_specs() -> None:
    rows = re.findall(r"^\| (\d+) \|(.+)$", RULES.read_text(encoding="utf-8"), re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 22))
    for number, row in rows:
        assert NAMED_TEST.findall(row), f"rule {number} names no spec"
    assert missing_tests(RULES.read_text(encoding="utf-8"), ROOT / "tests") == []


def test_the_glossary_has_the_words() -> None:
    known = set(re.findall(r"\w+", (DOCS / "glossary.md").read_text(encoding="utf-8")))
    assert [word for word in WORDS.split() if word not in known] == []


def test_the_glossary_gives_a_word_once() -> None:
    """One word, one meaning: no word has two rows."""
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    first = re.findall(r"^\| ([^|]+?) \|", text, re.M)
    words = [one for one in first if not one.startswith(("---", "Indonesian", "word"))]
    assert len(words) == len(set(words))
