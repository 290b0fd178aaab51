"""Makes a page of a template, in the language and the time zone of who reads it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from shared.runtime import assets
from shared.runtime.screens import language

TEMPLATES = Path(__file__).parent.parent / "templates"


@cache
def environment(folder: Path, zone: str) -> Environment:
    """The templates of an office's folder, over those of every office."""
    made = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        loader=ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(TEMPLATES)]),
    )
    made.newstyle_gettext = True  # type: ignore[attr-defined]
    made.globals["gettext"] = language.in_template
    made.filters |= language.filters(ZoneInfo(zone))
    made.globals |= {"static": assets.address}
    return made


def plain(template: str, **shown: Any) -> str:
    """A page before anybody is known, or beside the screens: without their shell."""
    shown = {"onward": "", "notice": "", "language": language.chosen.get()} | shown
    return environment(TEMPLATES, "UTC").get_template(template).render(shown)
