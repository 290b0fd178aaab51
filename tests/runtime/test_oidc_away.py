"""An identity provider that is away, answers nonsense, or is not set at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Response

from shared.runtime import oidc
from tests.runtime.door import Door, cookie_of
from tests.runtime.provider import BACK, Provider, serve, travel


async def away(door: Door) -> bool:
    async with door.browser() as browser:
        response = await browser.get("/masuk/oidc")
    return response.status_code == 503 and "tidak menjawab" in response.text


async def test_a_provider_that_is_away_is_said_to_be_away(office: Door, provider: Provider) -> None:
    for lie in (
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "ftp://127.0.0.1/"},
        {"authorization_endpoint": ["https://evil.example"]},
        {"padding": "x" * 300_000},
    ):
        provider.metadata = lie
        assert await away(office), lie
    provider.metadata = {"jwks_uri": provider.issuer + "/nowhere"}
    async with office.browser() as browser:
        response = await travel(browser)
        assert response.status_code == 503
        assert cookie_of(browser) is None
    office.settings.oidc_issuer = "http://127.0.0.1:1"
    assert await away(office)


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b"[]"), (500, b"{}"), (302, b""), (200, b"\xff")]
)
async def test_a_provider_that_answers_nonsense_is_away(
    office: Door, status: int, body: bytes
) -> None:
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> Response:
        return Response(body, status, headers={"location": office.settings.oidc_issuer})

    async with serve(app) as address:
        office.settings.oidc_issuer = address
        assert await away(office)


def test_a_provider_over_tls_is_not_followed_out_of_it() -> None:
    settings: Any = SimpleNamespace(oidc_issuer="https://id.example")
    given = {"token_endpoint": "http://id.example/token", "jwks_uri": "https://id.example/jwks"}
    with pytest.raises(oidc.ProviderAway, match="TLS"):
        oidc._endpoint(given, "token_endpoint", settings)
    assert oidc._endpoint(given, "jwks_uri", settings) == "https://id.example/jwks"


async def test_an_office_without_a_provider_has_no_such_address(door: Door) -> None:
    async with door.browser() as browser:
        assert "/masuk/oidc" not in (await browser.get("/masuk")).text
        for path in ("/masuk/oidc", BACK):
            assert (await browser.get(path)).status_code == 404
        assert (await browser.post("/masuk/oidc")).status_code == 404
