"""A browser without JavaScript: it keeps cookies, reads a page's forms, and sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import httpx
import pyotp

from tests.system import story
from tests.system.offices import PASSWORD, Desk, eventually

HTML = {"Accept": "text/html"}
Fields = dict[str, str | list[str]]


class _Forms(HTMLParser):
    """The forms of a page, with what stands in them."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "form":
            self.forms.append((given.get("action") or "", {}))
        elif tag == "input" and self.forms:
            ticked = given.get("type") not in ("radio", "checkbox") or "checked" in given
            if ticked and given.get("type") != "file":
                self.forms[-1][1].setdefault(name, []).append(given.get("value") or "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            self.forms[-1][1][self._select] = [given.get("value") or ""]
        elif tag == "textarea":
            self._textarea = name

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.forms[-1][1].setdefault(self._textarea, []).append(data)


def form_of(page: httpx.Response, act: str) -> tuple[str, dict[str, list[str]]]:
    """The address and the fields of the form with that act."""
    parser = _Forms()
    parser.feed(page.text)
    found = [(to, fields) for to, fields in parser.forms if fields.get("act") == [act]]
    assert found, (act, [fields.get("act") for _, fields in parser.forms])
    return found[0]


@dataclass
class Browser:
    http: httpx.AsyncClient

    async def open(self, address: str, status: int = 200) -> httpx.Response:
        page = await self.http.get(address, headers=HTML)
        assert page.status_code == status, (address, page.status_code, page.text)
        return page

    async def submit(self, page: httpx.Response, form: str, /, **typed: Any) -> httpx.Response:
        """Sends a form as it stands, with what was typed over it; `act` is a button of its own."""
        to, fields = form_of(page, form)
        return await self.http.post(to, data=fields | typed, headers=HTML)

    async def step(self, address: str, act: str, **typed: Any) -> httpx.Response:
        """Opens a page, sends a form of it, and gives the page where that leads."""
        answer = await self.submit(await self.open(address), act, **typed)
        assert answer.status_code == 303, (answer.status_code, answer.text)
        return await self.open(answer.headers["location"])


@asynccontextmanager
async def signed_in(desk: Desk, username: str, *roles: str) -> AsyncIterator[Browser]:
    """Somebody with these roles before the page of today, who came by the sign-in page."""
    account = await desk.account(username, *roles)
    transport = httpx.ASGITransport(app=desk.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://office") as http:
        browser = Browser(http)
        parser = _Forms()
        parser.feed((await browser.open("/masuk")).text)
        secret = account.totp_secret
        code = pyotp.TOTP(secret).now() if secret else ""
        fields: Any = parser.forms[0][1] | {
            "username": username, "password": PASSWORD, "code": code,
        }  # fmt: skip
        answer = await http.post("/masuk", data=fields, headers=HTML)
        assert answer.headers["location"] == "/", answer.text
        yield browser


async def operation_shown(city: Desk) -> None:
    """An operation that the read models know of: a page asked for earlier would not be there."""
    await story.open_operation(city)
    await eventually(lambda: city.get("issuer", "/operations"))
