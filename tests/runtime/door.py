"""An office's door alone: gate and sign-in on a real database, without the office behind it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from psycopg_pool import AsyncConnectionPool

from shared.kernel.keys import Unopened
from shared.runtime import gate, pages, problems, sign_in
from shared.runtime.sessions import COOKIE
from shared.runtime.staff import NewAccount, add_staff

PASSWORD = "lampu bambu kuning sore"
HOST = "https://kantor.example"
HTML = {"Accept": "text/html,application/xhtml+xml"}


class OneKey:
    """Wraps under a key in memory, as the office's keyring does under its own."""

    def __init__(self) -> None:
        self._key = AESGCM(os.urandom(32))

    async def wrap(self, text: bytes, about: str) -> tuple[int, bytes]:
        nonce = os.urandom(12)
        return 1, nonce + self._key.encrypt(nonce, text, about.encode())

    async def unwrap(self, epoch: int, wrapped: bytes, about: str) -> bytes:
        try:
            return self._key.decrypt(wrapped[:12], wrapped[12:], about.encode())
        except (InvalidTag, ValueError):
            raise Unopened(about) from None


@dataclass
class Door:
    """The door, a clock that the test turns, and a browser before it."""

    pool: AsyncConnectionPool
    oidc: dict[str, Any] = field(default_factory=dict)
    keyring: OneKey = field(default_factory=OneKey)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    boom: bool = False

    def __post_init__(self) -> None:
        self.app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        gate.install(self.app, 100_000)
        problems.install(self.app)
        sign_in.install(self.app)
        names = ("issuer", "client_id", "client_secret", "redirect_uri")
        self.settings = SimpleNamespace(
            office="53.71",
            office_name="Kantor 53.71",
            **{f"oidc_{name}": self.oidc.get(name) for name in names},
        )
        self.app.state.office = SimpleNamespace(
            pool=self.pool, keyring=self.keyring, clock=lambda: self.now, settings=self.settings
        )

        @self.app.get("/")
        async def home(request: Request) -> HTMLResponse:
            return HTMLResponse(pages.home(request, "Kantor", "/api/v1", []))

        @self.app.get("/api/v1/whoami")
        @self.app.post("/api/v1/whoami")
        async def whoami(request: Request) -> dict[str, Any]:
            if self.boom:
                raise RuntimeError("boom")
            staff = gate.staff_of(request)
            body = await request.body()
            return {"username": staff.username, "roles": sorted(staff.roles), "body": len(body)}

    def browser(self, **more: Any) -> httpx.AsyncClient:
        """A browser with cookies of its own."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=HOST, **more)

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    def code(self, account: NewAccount, steps: int = 0) -> str:
        """The code that the account's authenticator shows now, or some steps of 30 s aside."""
        assert account.totp_secret
        return pyotp.TOTP(account.totp_secret).at(self.now + timedelta(seconds=30 * steps))

    async def add(self, username: str, *roles: str, **more: Any) -> NewAccount:
        given = {"kind": "city", "wrap": self.keyring} | more
        return await add_staff(self.pool, username, frozenset(roles), PASSWORD, **given)

    async def enter(
        self,
        browser: httpx.AsyncClient,
        username: str,
        password: str = PASSWORD,
        code: str = "",
        **more: Any,
    ) -> httpx.Response:
        """Fills in the form of the sign-in page."""
        csrf = csrf_in(await browser.get("/masuk"))
        fields = {"username": username, "password": password, "code": code, "csrf": csrf}
        return await browser.post("/masuk", data=fields, **more)

    async def post_session(
        self, username: str, password: str = PASSWORD, code: str = ""
    ) -> httpx.Response:
        """Signs in as a program does."""
        async with self.browser() as program:
            return await program.post(
                "/api/v1/sessions",
                json={"username": username, "password": password, "code": code},
            )

    async def token(self, username: str, code: str = "") -> str:
        response = await self.post_session(username, code=code)
        assert response.status_code == 201, response.text
        token: str = response.json()["token"]
        return token

    async def whoami(self, token: str) -> int:
        """The status that a bearer of this token is answered with."""
        async with self.browser() as program:
            response = await program.get(
                "/api/v1/whoami", headers={"Authorization": f"Bearer {token}"}
            )
        return response.status_code

    async def rows(self, query: str, *values: Any) -> list[Any]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall()


def csrf_in(response: httpx.Response) -> str:
    """The token in a page's form."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', response.text)
    assert found, response.text
    return found[1]


def cookie_of(browser: httpx.AsyncClient) -> str | None:
    return browser.cookies.get(COOKIE)
