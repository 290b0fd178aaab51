"""Whole offices in one process, spoken to over HTTP as their staff would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from redis.asyncio import Redis

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.kernel.keyring import Keyring
from shared.kernel.rotation import init
from shared.runtime.manifest import Service
from shared.runtime.office import Office, open_keyring, open_office
from shared.runtime.settings import Settings
from shared.runtime.staff import ROLES_OF, NewAccount, add_staff
from shared.runtime.web import make_app
from tests.conftest import office_settings
from tests.servers import Servers

PASSWORD = "kalimat sandi contoh"
_keys = count(1)


@dataclass
class Desk:
    """One office's API, with an account for every role."""

    app: FastAPI
    http: httpx.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def office(self) -> Office:
        office: Office = self.app.state.office
        return office

    async def send(
        self, role: str, path: str, body: Any = None, *, key: str | None = None, **more: Any
    ) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self.tokens.get(role, role)}",
            "Idempotency-Key": key or f"test-key-{next(_keys)}",
        } | more.pop("headers", {})
        content = {"json": body if body is not None else {}} if "content" not in more else {}
        return await self.http.post(f"/api/v1{path}", headers=headers, **content, **more)

    async def post(self, role: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        response = await self.send(role, path, body, **more)
        assert response.is_success, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def refused(self, role: str, path: str, body: Any = None, **more: Any) -> str:
        """The code of the refusal; it is a problem document with a sentence and a remedy."""
        response = await self.send(role, path, body, **more)
        assert response.status_code in (409, 422), response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["detail"]
        assert problem["remedy"]
        code: str = problem["code"]
        return code

    async def look(self, role: str, path: str, purpose: str = "identity_check") -> Any:
        """Reads what is sealed, for a purpose."""
        return await self.get(role, f"{path}?purpose={purpose}")

    async def get(self, role: str, path: str) -> Any:
        response = await self.http.get(
            f"/api/v1{path}", headers={"Authorization": f"Bearer {self.tokens[role]}"}
        )
        assert response.is_success, response.text
        return response.json()

    async def account(self, username: str, *roles: str) -> NewAccount:
        """One more account with these roles."""
        made = await add_staff(
            self.office.pool,
            username,
            frozenset(roles),
            PASSWORD,
            kind=self.office.service.kind,
            wrap=self.office.keyring,
        )
        self.tokens[username] = made.token
        return made

    async def size(self) -> int:
        return (await self.office.store.head()).size


_open: dict[str, Desk] = {}
"""The offices that are open now, which trust each other."""


async def open_desk(
    stack: AsyncExitStack, settings: Settings, service: Service, *, with_worker: bool = True
) -> Desk:
    """Starts an office; a worker runs beside its web unless told otherwise."""
    async with open_keyring(settings) as keyring:
        await init(keyring)
        for code in settings.partners:
            if code in _open:
                # Before the worker starts: its first word is to be believed.
                await _trust(keyring, _open[code].office.keyring)
                await _trust(_open[code].office.keyring, keyring)
    app = stack.enter_context(_app(settings, service, with_worker))
    await stack.enter_async_context(app.router.lifespan_context(app))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    http = await stack.enter_async_context(
        httpx.AsyncClient(transport=transport, base_url="http://office", timeout=60)
    )
    desk = Desk(app, http)
    for role in sorted(ROLES_OF[service.kind]):
        await desk.account(role, role)
    _open[settings.office] = desk
    stack.callback(_open.pop, settings.office)
    return desk


@asynccontextmanager
async def three_offices(
    servers: Servers, folder: Path, **more: Any
) -> AsyncIterator[tuple[Desk, Desk, Desk, Redis]]:
    """A city and two provinces, for as long as a module's tests run, and their Redis, emptied."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(servers.redis_url))
        await redis.flushall()
        stack.push_async_callback(redis.flushall)
        city, east, south = [
            await open_desk(stack, office_settings(servers, folder, code, partners, **more), of)
            for code, partners, of in (
                ("53.71", ("35", "53"), CITY),
                ("35", ("53.71",), PROVINCE),
                ("53", ("53.71",), PROVINCE),
            )
        ]
        yield city, east, south, redis


_idle: dict[tuple[int, int, bool], list[tuple[FastAPI, list[Settings]]]] = {}
"""Apps whose office is shut: building all routes anew takes longer than many a test."""


@contextmanager
def _app(settings: Settings, service: Service, with_worker: bool) -> Iterator[FastAPI]:
    idle = _idle.setdefault((id(service), settings.body_bytes, with_worker), [])
    if not idle:
        opening = [settings]
        app = make_app(
            lambda: open_office(opening[0], service, patient=True),
            service,
            with_worker=with_worker,
            body_bytes=settings.body_bytes,
        )
        idle.append((app, opening))
    app, opening = idle.pop()
    opening[0] = settings
    yield app
    idle.append((app, opening))


async def _trust(one: Keyring, other: Keyring) -> None:
    for _, line in await other.public():
        await one.trust(other.office, line, "test")


async def eventually(check: Callable[[], Any], seconds: float = 30) -> Any:
    """Waits to a deadline for `check` to give something true, and gives that."""
    async with asyncio.timeout(seconds):
        while not (found := await check()):
            await asyncio.sleep(0.05)
    return found
