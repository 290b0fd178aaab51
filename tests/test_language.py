"""The words of the screens: none outside of the catalogue, none untranslated, none left over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment

from services.city.projections import board
from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.contracts.cities import CITIES
from shared.contracts.values import PROVINCES
from shared.runtime import history, problems
from shared.runtime.office import DECIDERS
from shared.runtime.screens import language
from shared.runtime.screens.rendering import TEMPLATES, environment

FOLDERS = {TEMPLATES, *(one.templates for one in (CITY, PROVINCE) if one.screens)}
FILES = sorted(path for folder in FOLDERS for path in folder.glob("*.html"))
SAID = {"title", "aria-label", "alt", "placeholder", "data-on", "data-off", "data-label"}
OWN_NAMES = {"English", "Bahasa Indonesia", "Pulang", "(Esc Esc)"}
"""A language is called by its own name in every language; so are the software and a key."""
ENVIRONMENT = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)


SAID_IN = {"Problem": (2, 3), "_form": (1,), "code": (1,), "_notice": (1,), "WeakPassword": (0,)}
"""Whose arguments are what the office's own shell says when something goes wrong."""
SHELL = ("gate", "oidc", "passwords", "performing", "problems", "sign_in", "screens/live",
         "screens/serving")  # fmt: skip


def said_by_the_shell() -> Iterator[tuple[str, str]]:
    """Sentences of the code that every office has; what a decider refuses is said in Indonesian."""
    for sentence in problems.SENTENCES.values():
        yield sentence, "problems.py"
    for name in SHELL:
        path = TEMPLATES.parent / f"{name}.py"
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            function = call.func.attr if isinstance(call.func, ast.Attribute) else call.func
            name_ = function.id if isinstance(function, ast.Name) else str(function)
            for at in SAID_IN.get(name_, ()):
                text = call.args[at] if len(call.args) > at else None
                said = str(text.value) if isinstance(text, ast.Constant) else ""
                # What names the header is for programs: pages say it in their own words.
                if " " in said and "Idempotency-Key" not in said:
                    yield said, path.name


def wanted() -> Iterator[tuple[str, str]]:
    """Every text that a screen says, with the file that says it."""
    yield from said_by_the_shell()
    for path in FILES:
        for _, function, text in ENVIRONMENT.extract_translations(path.read_text()):
            assert function in ("_", "gettext"), (path.name, function)
            if text is None and path.name == "base.html":
                continue  # The words of the menu, which come from the screens below.
            # With arguments there is None for each of them after the text.
            text = text[0] if isinstance(text, tuple) else text
            assert isinstance(text, str), path.name
            yield text, path.name
    for decider in (*CITY.deciders, *PROVINCE.deciders, *DECIDERS):
        for event in decider.events:
            yield event.words, event.type
    for text in (*history.PLAIN.values(), history.CLOSED, history.TO):
        yield text, "history.py"
    for text in board.SENTENCES.values():
        yield text, "board.py"
    for service in (CITY, PROVINCE):
        for screen in service.screens:
            if screen.menu:
                yield screen.menu, screen.path


class Bare(HTMLParser):
    """What a template says outside of gettext."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        if re.search(r"[^\W\d_]{2,}", data) and data.strip(" :–\n") not in OWN_NAMES:
            self.found.append(data.strip())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in SAID and re.search(r"[^\W\d_]{2,}", value or ""):
                self.found.append(f"{name}={value}")


def bare(text: str) -> list[str]:
    text = re.sub(r"{%-?\s*trans\b.*?endtrans\s*-?%}", "", text, flags=re.S)
    text = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", text, flags=re.S)
    parser = Bare()
    parser.feed(text)
    parser.close()
    # Attributes that a macro writes into a tag stand outside of one in the template.
    return [one for one in parser.found if not re.match(r'aria-(describedby|invalid)="', one)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_text_of_a_template_stands_outside_of_the_catalogue(path: Path) -> None:
    assert bare(path.read_text()) == []


def test_the_check_for_text_finds_what_it_is_for() -> None:
    assert bare("<p>Halo {{ name }}</p>") == ["Halo"]
    assert bare('<img alt="Gambar">') == ["alt=Gambar"]
    assert bare('<p title="{{ _("x") }}">{{ _("Halo") }} {% trans %}Halo{% endtrans %}</p>') == []


def test_no_words_stand_in_an_expression_outside_of_gettext() -> None:
    """A sentence in quotes within braces is for gettext too."""
    for path in FILES:
        for inner in re.findall(
            r"{{(.*?)}}|{%(?!-?\s*(?:trans|endtrans))(.*?)%}", path.read_text(), re.S
        ):
            rest = re.sub(r'_\(\s*"[^"]*"', "", "".join(inner))
            said = [
                one
                for one in re.findall(r'"([^"]*)"', rest)
                if re.search(r"[a-z]{2,} [a-z]{2,}", one)
            ]
            assert said == [], path.name


def test_every_text_is_translated_and_none_is_left_over() -> None:
    texts = {text for text, _ in wanted()}
    catalogue = language.catalogue()
    assert sorted(texts - set(catalogue)) == []
    assert sorted(set(catalogue) - texts) == []


def test_a_translation_names_what_its_text_names() -> None:
    for text, english in language.catalogue().items():
        names = [sorted(re.findall(r"%\(\w+\)s|{[^}]+}", one)) for one in (text, english)]
        assert names[0] == names[1], text


def test_what_is_counted_in_english_holds_for_one_too() -> None:
    """A number before a word in the plural needs the text of one beside it."""
    plural = re.compile(r"(%\((?:number|of)\)s)(?: [a-z]+)?(?: people| [a-z]+(?<![su])s)\b")
    verbs = {"does", "has", "is", "was", "waits", "minutes"}
    for text, english in language.catalogue().items():
        found = plural.search(english)
        if found and found[0].split()[-1] not in verbs:
            assert text in language.singulars(), english
    for text, one in language.singulars().items():
        names = [set(re.findall(r"%\((\w+)\)s", said)) for said in (text, one)]
        assert names[1] <= names[0], text
        assert names[0] - names[1] <= {"number"}, text


def test_one_is_one_in_english_and_many_are_many() -> None:
    made = environment(CITY.templates, "Asia/Makassar")
    shown = made.from_string(
        "{% trans number=n|number %}{{ number }} orang{% endtrans %} "
        "{% trans number=n|number, of=of|number %}{{ number }} dari {{ of }} orang dijawab"
        '{% endtrans %} {{ _("%(number)s selisih", number=n) }}'
    )
    token = language.chosen.set("en")
    try:
        assert shown.render(n=1, of=1) == "1 person 1 of 1 person answered for 1 discrepancy"
        assert shown.render(n=1, of=2) == "1 person 1 of 2 people answered for 1 discrepancy"
        assert shown.render(n=21, of=1101) == (
            "21 people 21 of 1,101 people answered for 21 discrepancies"
        )
        assert made.from_string('{{ _("<b>%(number)s</b>", number="<i>") }}').render() == (
            "<b>&lt;i&gt;</b>"
        ), "what is shown in a text is escaped as everywhere"
    finally:
        language.chosen.reset(token)
    assert shown.render(n=1, of=1) == "1 orang 1 dari 1 orang dijawab 1 selisih"


def test_numbers_and_times_are_said_as_the_language_says_them() -> None:
    from zoneinfo import ZoneInfo

    at = language.clock(ZoneInfo("Asia/Makassar"))
    said: dict[str, list[str]] = {}
    for one in language.LANGUAGES:
        token = language.chosen.set(one)
        said[one] = [
            language.rupiah(1_500_000),
            language.number(1234),
            language.day("2019-10-04"),
            at("2019-10-04T06:30:00+00:00"),
        ]
        language.chosen.reset(token)
    assert said["id"] == [
        "Rp1.500.000", "1.234", "Jumat, 4 Oktober 2019", "Jumat, 4 Oktober 2019, 14.30 WITA",
    ]  # fmt: skip
    assert said["en"][0] == "Rp1,500,000"
    assert said["en"][3].endswith("14:30 WITA")


def test_an_office_is_called_by_its_name_and_its_code() -> None:
    names = {code: language.office_name(code) for code in ("35", "53.71", "35.78", "64.74")}
    assert list(names.values()) == [
        "Jawa Timur (35)", "Kota Kupang (53.71)", "Kota Surabaya (35.78)", "Kota Bontang (64.74)",
    ]  # fmt: skip
    assert language.office_name("53.01") == "53.01", "a regency has no name here"
    assert {code[:2] for code in CITIES} <= set(PROVINCES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_template_has_neither_script_nor_style_within(path: Path) -> None:
    """The content policy would stop it, and nobody would see that it does nothing."""
    text = path.read_text()
    assert re.findall(r"<script(?! src=)|<style|\sstyle=|\son\w+=|javascript:", text) == []
    for title in re.findall(r"{% block title %}(.*?){% endblock %}", text):
        # Neutral: it may stand open on a screen that others see. Only words, no code of anybody.
        assert re.fullmatch(r'({{ _\("[^"]*"\) }})?', title), title
