"""Words and formats of screens: Indonesian as it stands in the templates, English as translated.

A catalogue has every text of every template; `tests/test_language.py` holds that none is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from fastapi import Response
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from shared.contracts.cities import CITIES
from shared.contracts.values import PROVINCES
from shared.runtime.papers import words

LANGUAGES = ("id", "en")
COOKIE = "bahasa"
CATALOGUE = Path(__file__).with_name("en.po")
ZONES = {"Asia/Jakarta": "WIB", "Asia/Makassar": "WITA", "Asia/Jayapura": "WIT"}

chosen: ContextVar[str] = ContextVar("language", default="id")
"""Of the request that is worked on."""


@cache
def _messages() -> dict[str, tuple[str, str]]:
    """Text → its English, of one and of many; most texts have one for both."""
    with CATALOGUE.open("rb") as file:
        found = read_po(file, locale="en")
    said: dict[str, tuple[str, str]] = {}
    for one in found:
        text = one.id[0] if isinstance(one.id, tuple | list) else one.id
        forms = one.string if isinstance(one.string, tuple | list) else (one.string,)
        if text and all(forms):
            said[str(text)] = (str(forms[0]), str(forms[-1]))
    return said


@cache
def catalogue() -> dict[str, str]:
    """Text → its English, of many."""
    return {text: many for text, (_, many) in _messages().items()}


@cache
def singulars() -> dict[str, str]:
    """The same of one, where that is another."""
    return {text: one for text, (one, many) in _messages().items() if one != many}


def gettext(text: str, of: object = None) -> str:
    """The text in the language of this request; `of` is what it counts, as it is shown."""
    if chosen.get() != "en":
        return text
    one = singulars().get(text) if str(of) == "1" else None
    return one or catalogue().get(text, text)


@pass_context
def in_template(context: Context, text: str, /, **shown: Any) -> str:
    """A template's text with what it shows; it counts its `of`, or else its `number`."""
    said = gettext(text, shown.get("of", shown.get("number")))
    # A text of our own catalogue; what it shows is escaped.
    return (Markup(said) if context.eval_ctx.autoescape else said) % shown  # noqa: S704


def choose(wanted: str) -> str:
    """The language of what follows in this request: the wanted one, where there is such a one."""
    chosen.set(wanted if wanted in LANGUAGES else LANGUAGES[0])
    return chosen.get()


def remember(response: Response) -> None:
    """The language of this request is that of the next ones in this browser."""
    response.set_cookie(
        COOKIE, chosen.get(), max_age=365 * 86_400, samesite="strict", httponly=True
    )


def told(text: str) -> str | Markup:
    """What the office itself says when something goes wrong; marked where it has no English."""
    if chosen.get() == "id" or text in catalogue():
        return gettext(text)
    return Markup('<span lang="id">{}</span>').format(text)


def rupiah(amount: int) -> str:
    """`Rp1.500.000`, in English `Rp1,500,000`."""
    if chosen.get() == "en":
        return "Rp" + format_decimal(amount, locale="en")
    return words.rupiah(amount)


def number(whole: int) -> str:
    return str(format_decimal(whole, locale=chosen.get()))


def day(on: date | str) -> str:
    """`Jumat, 4 Oktober 2019`."""
    return _day(date.fromisoformat(on) if isinstance(on, str) else on, chosen.get())


@lru_cache(maxsize=4_096)
def _day(on: date, locale: str) -> str:
    """A list says the same few days many times."""
    return str(format_date(on, "EEEE, d MMMM y", locale=locale))


def clock(zone: ZoneInfo) -> Callable[[datetime | str], str]:
    """`Jumat, 4 Oktober 2019, 14.30 WITA`, in the office's zone."""

    def at(when: datetime | str) -> str:
        found = datetime.fromisoformat(when) if isinstance(when, str) else when
        local = found.astimezone(zone)
        separator = "." if chosen.get() == "id" else ":"
        name = ZONES.get(zone.key, f"{local:%Z}")
        return f"{day(local.date())}, {local:%H}{separator}{local:%M} {name}"

    return at


def office_name(code: str) -> str:
    """`Jawa Timur (35)`, `Kota Kupang (53.71)`; of a regency only its code is known here."""
    name = PROVINCES.get(code) or CITIES.get(code)
    return f"{name} ({code})" if name else code


def filters(zone: ZoneInfo) -> dict[str, Any]:
    return {
        "rupiah": rupiah,
        "number": number,
        "day": day,
        "moment": clock(zone),
        "office_name": office_name,
        "told": told,
    }
