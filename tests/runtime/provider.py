"""A small OpenID provider on 127.0.0.1, with real keys, that can be told to lie."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import unquote, urlencode

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from pydantic import SecretStr

from tests.runtime.door import HOST, Door

BACK = "/masuk/oidc/kembali"
Claims = dict[str, Any]


@dataclass
class Provider:
    """Knows one client and one person; `sign` and `change` let a test forge what it hands out."""

    issuer: str = ""
    client_id: str = "pulang-53.71"
    client_secret: str | None = "a:secret/with signs+%"
    subject: str = "subject-1"
    amr: Any = None
    alg: str = "RS256"
    change: Callable[[Claims], Claims] = lambda claims: claims
    sign: Callable[[Claims], str] | None = None
    metadata: Claims = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    forgets_codes: bool = True
    exchanges: int = 0

    def __post_init__(self) -> None:
        self.draw_keys()

    def draw_keys(self) -> None:
        mark = secrets.token_hex(4)
        self.rsa = RSAKey.generate_key(2048, {"kid": f"rsa-{mark}", "use": "sig"})
        self.ec = ECKey.generate_key("P-256", {"kid": f"ec-{mark}", "use": "sig"})

    @property
    def jwks(self) -> Any:
        return KeySet([self.rsa, self.ec]).as_dict(private=False)

    def signed(self, claims: Claims, key: Any = None, alg: str | None = None) -> str:
        alg = alg or self.alg
        key = key or (self.ec if alg.startswith("ES") else self.rsa)
        return jwt.encode({"alg": alg, "kid": key.kid}, claims, key, algorithms=[alg])

    def unsigned(self, claims: Claims) -> str:
        return f"{_part({'alg': 'none'})}.{_part(claims)}."

    def signed_with_the_public_key(self, claims: Claims) -> str:
        """The classic confusion: the public key, which anybody has, as a shared secret."""
        text = f"{_part({'alg': 'HS256', 'kid': self.rsa.kid})}.{_part(claims)}"
        digest = hmac.digest(self.rsa.as_pem(private=False), text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        async def discovery() -> Claims:
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
            } | self.metadata

        @app.get("/jwks")
        async def jwks() -> Any:
            return self.jwks

        @app.get("/authorize")
        async def authorize(request: Request) -> Response:
            asked = dict(request.query_params)
            assert asked["response_type"] == "code"
            assert asked["scope"] == "openid"
            assert asked["client_id"] == self.client_id
            assert asked["code_challenge_method"] == "S256"
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            query = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
            return RedirectResponse(f"{asked['redirect_uri']}?{query}", 303)

        @app.post("/token")
        async def token(request: Request) -> Response:
            self.exchanges += 1
            form = dict(await request.form())
            code = str(form["code"])
            asked = self.codes.pop(code, None) if self.forgets_codes else self.codes.get(code)
            verifier = str(form["code_verifier"]).encode()
            challenge = base64.urlsafe_b64encode(sha256(verifier).digest()).rstrip(b"=").decode()
            if (
                asked is None
                or challenge != asked["code_challenge"]
                or form["redirect_uri"] != asked["redirect_uri"]
            ):
                return JSONResponse({"error": "invalid_grant"}, 400)
            if not self._knows(request, form):
                return JSONResponse({"error": "invalid_client"}, 401)
            return JSONResponse({"access_token": "x", "id_token": self.id_token(asked["nonce"])})

        return app

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims: Claims = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": self.subject,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
        }
        if self.amr is not None:
            claims["amr"] = self.amr
        return (self.sign or self.signed)(self.change(claims))

    def _knows(self, request: Request, form: dict[str, Any]) -> bool:
        if self.client_secret is None:
            return form.get("client_id") == self.client_id
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        name, _, secret = base64.b64decode(given).decode().partition(":")
        pair = (unquote(name), unquote(secret))
        return scheme == "Basic" and pair == (self.client_id, self.client_secret)


class _Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        return contextlib.nullcontext()


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """Serves an app on a free port of this machine, and gives its address."""
    server = _Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


def _part(value: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def configure(door: Door, provider: Provider) -> None:
    secret = provider.client_secret
    door.settings.oidc_issuer = provider.issuer
    door.settings.oidc_client_id = provider.client_id
    door.settings.oidc_client_secret = SecretStr(secret) if secret else None
    door.settings.oidc_redirect_uri = HOST + BACK


async def depart(browser: httpx.AsyncClient) -> str:
    """From our page to the provider, and to the address that it sends the browser back to."""
    response = await browser.get("/masuk/oidc")
    assert response.status_code == 303, response.text
    async with httpx.AsyncClient() as elsewhere:
        response = await elsewhere.get(response.headers["location"])
    assert response.status_code == 303
    location: str = response.headers["location"]
    assert location.startswith(HOST + BACK)
    return location


async def travel(browser: httpx.AsyncClient) -> httpx.Response:
    return await browser.get(await depart(browser))
