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
def catalogue() -> dict[str, str]:
    with CATALOGUE.open("rb") as file:
        found = read_po(file, locale="en")
    return {str(one.id): str(one.string) for one in found if one.id and one.string}


def gettext(text: str) -> str:
    """The text in the language of this request."""
    return catalogue().get(text, text) if chosen.get() == "en" else text


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


def ngettext(one: str, many: str, number: int) -> str:
    """Indonesian has one form for both."""
    return gettext(one if number == 1 else many)


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
