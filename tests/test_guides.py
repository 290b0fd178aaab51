"""The guides say and show what the screens do: their words, their pictures, a page for a role."""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.runtime.screens import language
from tests.screens.pictures import PICTURES, held, settled

ROOT = Path(__file__).resolve().parent.parent
GUIDES = ROOT / "docs" / "panduan"
INDEX = GUIDES / "README.md"
PAGES = sorted(GUIDES.glob("*.md"))
SHOWN = re.compile(r"!\[([^\]]*)\]\(gambar/([\w-]+)\.png\)")
BOLD = re.compile(r"\*\*(.+?)\*\*", re.S)
BYTES, WIDTH = 60_000, 800


def shown() -> list[str]:
    return [name for page in PAGES for _, name in SHOWN.findall(page.read_text())]


def made() -> Iterator[str]:
    """The pictures that the journeys make, by name."""
    for path in (ROOT / "tests" / "screens").glob("*chromium.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            if call.func.attr == "picture":
                yield str(ast.literal_eval(call.args[0]))


def said_on_screens() -> list[re.Pattern[str]]:
    """Every text of the catalogue; what a screen fills in may be anything."""
    return [
        re.compile(r".+".join(map(re.escape, re.split(r"%\(\w+\)s", text))))
        for text in language.catalogue()
    ]


def test_each_picture_that_a_guide_shows_is_made_by_the_journeys_and_none_is_left_over() -> None:
    names = sorted(path.stem for path in PICTURES.glob("*"))
    assert sorted(made()) == names, "CONTRIBUTING.md says how to make them"
    assert sorted(shown()) == names, "a guide shows each of them, once"


@pytest.mark.parametrize("name", sorted(set(shown())))
def test_a_picture_is_small_and_shows_no_name(name: str) -> None:
    png = (PICTURES / f"{name}.png").read_bytes()
    assert len(png) < BYTES
    width, _ = struct.unpack(">II", png[16:24])
    assert width <= WIDTH
    assert held(png), "it says what stood on the screen"
    texts = [alt for page in PAGES for alt, one in SHOWN.findall(page.read_text()) if one == name]
    assert all(len(text.split()) > 1 for text in texts), "whoever can't see it is told what it is"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_guide_quotes_the_screens_in_bold_word_for_word(page: Path) -> None:
    known = said_on_screens()
    quoted = [re.sub(r"\s+", " ", one) for one in BOLD.findall(page.read_text())]
    assert quoted
    # A word of the middle of a sentence is a capital where it begins a choice.
    forms = {one: (one, one[:1].lower() + one[1:]) for one in quoted}
    assert [
        one
        for one in quoted
        if not any(text.fullmatch(form) for text in known for form in forms[one])
    ] == []


def test_what_is_another_each_time_makes_no_picture_stale_and_a_word_does() -> None:
    one = [
        "Riwayat HO-AB12CD",
        "Yang dicatat sejak Jumat, 4 Oktober 2019, 09.17 WITA",
        "PM-1",
        "PM-2",
    ]
    two = ["Riwayat HO-ZZ99", "Yang dicatat sejak Senin, 30 Mei 2022, 14.05 WITA", "PM-7Q2M9XK4AB"]
    assert settled(one) == settled(two)
    assert settled(one) != settled([one[0].replace("Riwayat", "Catatan"), *one[1:]])


def test_every_guide_stands_in_the_index_and_says_what_each_of_them_says() -> None:
    index = INDEX.read_text()
    for page in PAGES:
        if page == INDEX:
            continue
        assert f"]({page.name})" in index, page.name
        heads = re.findall(r"^## (.+)$", page.read_text(), re.M)
        for head in ("Kata-katanya", "Bila sambungan putus", "Jangan pernah",
                     "Bertanya kepada siapa"):  # fmt: skip
            assert head in heads, (page.name, head)
        assert SHOWN.search(page.read_text()), page.name
    assert "docs/panduan/README.md" in (ROOT / "README.md").read_text()
