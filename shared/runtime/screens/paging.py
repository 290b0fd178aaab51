"""Long lists, a page at a time, as the database gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

PAGE_ROWS = 50
LAST_PAGE = 100_000


@dataclass(frozen=True)
class Page:
    """One page of a list, and the addresses of its neighbours."""

    rows: list[dict[str, Any]]
    number: int
    of: int
    query: Mapping[str, str]
    size: int = PAGE_ROWS

    @property
    def pages(self) -> int:
        return max(1, -(-self.of // self.size))

    @property
    def first(self) -> int:
        return (self.number - 1) * self.size + 1

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    def at(self, number: int) -> str:
        return "?" + urlencode({**self.query, "halaman": number})


def number_of(given: Mapping[str, str]) -> int:
    """The page that was asked for; the first where that is no number."""
    asked = given.get("halaman", "1")
    return min(max(int(asked), 1), LAST_PAGE) if asked.isascii() and asked.isdigit() else 1


def offset_of(given: Mapping[str, str], size: int = PAGE_ROWS) -> int:
    return (number_of(given) - 1) * size


def page_of(
    rows: list[dict[str, Any]],
    given: Mapping[str, str],
    *names: str,
    size: int = PAGE_ROWS,
    of: int | None = None,
) -> Page:
    """`names` are the parameters that stay the same from page to page.

    `of` is how many there are, where the rows don't say so themselves.
    """
    query = {name: given[name] for name in names if name in given}
    if of is None:
        of = rows[0]["of"] if rows else 0
    return Page(rows, number_of(given), of, query, size)


def person_asked(given: Mapping[str, str]) -> str:
    """What was typed where one searches for a person's code."""
    return given.get("cari", "").strip().upper()
