"""Signing in with the office's own identity provider (OpenID Connect), where one is set.

Authorization code with PKCE, state and nonce. The provider says who somebody is, never what she
may do: there must be an active account here with her `oidc_subject`, and roles stay ours. Who
approves or audits also needs a second factor: the provider's, if it says so in `amr`, else our
one-time code afterwards.

What must be remembered on the way there and back stands in a short cookie, sealed by the office's
key; each state opens once. Nothing of the provider is cached: the few sign-ins of a day fetch its
keys anew, and follow its changes at once.
"""

from __future__ import annotations

import json
import logging
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from shared.kernel.keys import Unopened
from shared.runtime import attempts, gate, pages, sessions, staff
from shared.runtime.manifest import Problem
from shared.runtime.settings import Settings

log = logging.getLogger(__name__)

PATH = "/masuk/oidc"
BACK_PATH = PATH + "/kembali"
COOKIE = "__Host-pulang-oidc"
ALGORITHMS = ("RS256", "PS256", "ES256")
"""What a signature may be made with. Not `none`, and nothing with a shared secret."""
SECOND_FACTORS = frozenset({"mfa", "otp", "hwk"})
"""RFC 8176. A code by SMS is none."""
ON_THE_WAY = timedelta(minutes=10)
SKEW_SECONDS = 60
TIMEOUT_SECONDS = 5.0
MOST_BYTES = 256 * 1024


class Untrusted(Exception):
    """What came back is not a valid answer to what this browser asked; the text is for the log."""


class ProviderAway(Exception):
    """The identity provider gave no answer that could be read; the text is for the log."""

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


def is_configured(settings: Settings) -> bool:
    return None not in (settings.oidc_issuer, settings.oidc_client_id, settings.oidc_redirect_uri)


def install(app: FastAPI) -> None:
    """Adds the way to the provider, the way back, and the code afterwards."""

    @app.get(PATH, include_in_schema=False)
    async def leave(request: Request) -> Response:
        office = _office(request)
        try:
            address, kept = await _departure(office.settings)
        except ProviderAway as error:
            return _away(error)
        kept["until"] = (office.clock() + ON_THE_WAY).timestamp()
        response = RedirectResponse(address, status_code=303)
        sealed = await _seal(office, "oidc way", kept)
        # Lax, for the provider sends the browser back here, and that comes from another site.
        sessions.set_cookie(
            response, COOKIE, sealed, lax=True, seconds=int(ON_THE_WAY.total_seconds())
        )
        return response

    @app.get(BACK_PATH, include_in_schema=False)
    async def back(request: Request) -> Response:
        office = _office(request)
        try:
            kept = await _unseal(office, "oidc way", request)
            claims = await _arrival(office, request, kept)
            account = await staff.by_subject(office.pool, claims["sub"])
            if account is None:
                raise Untrusted("no active account has this subject")
        except ProviderAway as error:
            return _away(error)
        except Untrusted as error:
            return _refused(error)
        if account.needs_code and not SECOND_FACTORS & _methods(claims):
            return await _ask_for_code(office, account)
        return await _entered(office, account)

    @app.post(PATH, include_in_schema=False)
    async def code(
        request: Request, code: Annotated[str, Form()] = "", csrf: Annotated[str, Form()] = ""
    ) -> Response:
        office = _office(request)
        if not gate.csrf_of_cookie_fits(request, COOKIE, csrf):
            raise gate.not_our_page()
        try:
            kept = await _unseal(office, "oidc code", request)
            account = await staff.by_username(office.pool, kept["username"])
            if account is None or account.changed_at.isoformat() != kept["changed_at"]:
                raise Untrusted("the account changed meanwhile")
        except Untrusted as error:
            return _refused(error)
        now = office.clock()
        wait = await attempts.count(office.pool, account.username, now)
        if wait is not None:
            return HTMLResponse(pages.code(csrf, "Coba lagi nanti."), 429, attempts.later(wait))
        if not await staff.use_code(office.pool, office.keyring, account.username, code, now):
            return HTMLResponse(pages.code(csrf, "Kode tidak cocok."), 401)
        await attempts.forget(office.pool, account.username, now)
        return await _entered(office, account)


def _office(request: Request) -> Any:
    office = request.app.state.office
    if not is_configured(office.settings):
        raise Problem(404, "NOT_FOUND", "Halaman atau data ini tidak ada.", "Periksa alamatnya.")
    return office


async def _departure(settings: Settings) -> tuple[str, dict[str, Any]]:
    """The provider's address for this browser, and what must be the same when it comes back."""
    async with _client() as client:
        provider = await _discover(client, settings)
    kept: dict[str, Any] = {
        name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")
    }
    challenge = urlsafe_b64encode(sha256(kept["verifier"].encode()).digest()).rstrip(b"=")
    query = urlencode(
        {
            "response_type": "code",
            "client_id": settings.oidc_client_id,
            "redirect_uri": settings.oidc_redirect_uri,
            "scope": "openid",
            "state": kept["state"],
            "nonce": kept["nonce"],
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
    )
    address = _endpoint(provider, "authorization_endpoint", settings)
    return f"{address}{'&' if '?' in address else '?'}{query}", kept


async def _arrival(office: Any, request: Request, kept: dict[str, Any]) -> dict[str, Any]:
    """The claims about who came back. Raises Untrusted, ProviderAway."""
    settings: Settings = office.settings
    given = request.query_params
    if not compare_digest(given.get("state", "").encode(), kept["state"].encode()):
        raise Untrusted("another state")
    until = datetime.fromtimestamp(kept["until"], office.clock().tzinfo)
    if not await attempts.first_use(office.pool, kept["state"], until):
        raise Untrusted("a state that was used")
    if given.get("iss", settings.oidc_issuer) != settings.oidc_issuer:
        raise Untrusted("another issuer answered")
    if "code" not in given:
        raise Untrusted("the provider gave no code")
    async with _client() as client:
        provider = await _discover(client, settings)
        id_token = await _exchange(client, provider, settings, given["code"], kept["verifier"])
        keys = await _fetch(client, "GET", _endpoint(provider, "jwks_uri", settings))
    return verified(
        id_token,
        keys,
        issuer=settings.oidc_issuer or "",
        client_id=settings.oidc_client_id or "",
        nonce=kept["nonce"],
        now=office.clock(),
    )


async def _exchange(
    client: httpx.AsyncClient, provider: dict[str, Any], settings: Settings, code: str, pkce: str
) -> str:
    """The ID token for a code."""
    body = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": settings.oidc_redirect_uri,
        "code_verifier": pkce,
    }
    client_id = settings.oidc_client_id or ""
    more: dict[str, Any] = {}
    if settings.oidc_client_secret is None:
        body["client_id"] = client_id
    else:
        secret = settings.oidc_client_secret.get_secret_value()
        more["auth"] = (quote(client_id, safe=""), quote(secret, safe=""))
    endpoint = _endpoint(provider, "token_endpoint", settings)
    try:
        answer = await _fetch(client, "POST", endpoint, data=body, **more)
    except ProviderAway as error:
        if error.status == 400:
            raise Untrusted("the provider does not know the code") from None
        raise
    id_token = answer.get("id_token")
    if not isinstance(id_token, str):
        raise Untrusted("no ID token")
    return id_token


def verified(
    id_token: str,
    keys: dict[str, Any],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    now: datetime,
) -> dict[str, Any]:
    """The claims of an ID token that is the provider's, for us, fresh, and for this sign-in.

    Raises Untrusted. The rules are those of OpenID Connect Core 1.0, section 3.1.3.7.
    """
    try:
        claims = jwt.decode(id_token, KeySet.import_key_set(keys), ALGORITHMS).claims  # type: ignore[arg-type]
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise Untrusted(f"signature: {type(error).__name__}") from None
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    seconds = now.timestamp()
    wrong = {
        "issuer": claims.get("iss") != issuer,
        "audience": client_id not in audiences,
        "authorized party": claims.get("azp", client_id) != client_id
        or (len(audiences) > 1 and "azp" not in claims),
        "expiry": not _time_of(claims, "exp") > seconds - SKEW_SECONDS,
        "time of issue": not seconds - ON_THE_WAY.total_seconds()
        < _time_of(claims, "iat")
        < seconds + SKEW_SECONDS,
        "not before": "nbf" in claims and not _time_of(claims, "nbf") < seconds + SKEW_SECONDS,
        "nonce": not compare_digest(str(claims.get("nonce")).encode(), nonce.encode()),
        "subject": not (isinstance(claims.get("sub"), str) and claims["sub"]),
    }
    if found := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise Untrusted(", ".join(found))
    return claims


def _time_of(claims: dict[str, Any], name: str) -> float:
    """Not a number where there is none, and that is neither before nor after anything."""
    value = claims.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else float("nan")  # type: ignore[arg-type]


def _methods(claims: dict[str, Any]) -> frozenset[str]:
    """How the provider says that she proved who she is."""
    methods = claims.get("amr")
    given = methods if isinstance(methods, list) else []
    return frozenset(method for method in given if isinstance(method, str))


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False)


async def _discover(client: httpx.AsyncClient, settings: Settings) -> dict[str, Any]:
    issuer = settings.oidc_issuer or ""
    address = issuer.rstrip("/") + "/.well-known/openid-configuration"
    provider = await _fetch(client, "GET", address)
    if provider.get("issuer") != issuer:
        raise ProviderAway("it calls itself by another name than PULANG_OIDC_ISSUER")
    return provider


def _endpoint(provider: dict[str, Any], name: str, settings: Settings) -> str:
    """An address that the provider gives; over TLS, unless the provider itself is on loopback."""
    address = provider.get(name)
    scheme = urlsplit(address).scheme if isinstance(address, str) else ""
    if scheme not in ("https", urlsplit(settings.oidc_issuer or "").scheme):
        raise ProviderAway(f"no {name} over TLS")
    return str(address)


async def _fetch(
    client: httpx.AsyncClient, method: str, address: str, **more: Any
) -> dict[str, Any]:
    """A JSON object. Raises ProviderAway."""
    body = b""
    try:
        async with client.stream(method, address, **more) as response:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise ProviderAway("an answer that is too long")
        found = json.loads(body) if response.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        raise ProviderAway(type(error).__name__) from None
    if not isinstance(found, dict):
        raise ProviderAway(f"{method} answered {response.status_code}", response.status_code)
    return found


async def _seal(office: Any, about: str, kept: dict[str, Any]) -> str:
    epoch, wrapped = await office.keyring.wrap(json.dumps(kept).encode(), about)
    return f"{epoch}.{urlsafe_b64encode(wrapped).decode()}"


async def _unseal(office: Any, about: str, request: Request) -> dict[str, Any]:
    """What this browser was given, if it was for this and is not too old. Raises Untrusted."""
    epoch, _, wrapped = request.cookies.get(COOKIE, "").partition(".")
    try:
        text = await office.keyring.unwrap(int(epoch), urlsafe_b64decode(wrapped), about)
    except (ValueError, Unopened):
        raise Untrusted("no cookie, or not ours") from None
    kept: dict[str, Any] = json.loads(text)
    if kept["until"] < office.clock().timestamp():
        raise Untrusted("a cookie that ended")
    return kept


async def _ask_for_code(office: Any, account: staff.Account) -> Response:
    kept = {
        "username": account.username,
        "changed_at": account.changed_at.isoformat(),
        "until": (office.clock() + ON_THE_WAY).timestamp(),
    }
    sealed = await _seal(office, "oidc code", kept)
    response = HTMLResponse(pages.code(sessions.csrf_of(sealed)))
    sessions.set_cookie(response, COOKIE, sealed, seconds=int(ON_THE_WAY.total_seconds()))
    return response


async def _entered(office: Any, account: staff.Account) -> Response:
    begun = await sessions.begin(office.pool, account, office.clock())
    if begun is None:
        return _refused(Untrusted("the account changed meanwhile"))
    response = HTMLResponse(pages.onward("/"))
    sessions.set_cookie(response, sessions.COOKIE, begun.token)
    sessions.set_cookie(response, COOKIE, "", seconds=0)
    return response


def _refused(error: Untrusted) -> Response:
    log.warning("sign-in by the identity provider refused: %s", error)
    return _notice(401, "Akun instansi Anda tidak membuka kantor ini. Mulai lagi dari awal.")


def _away(error: ProviderAway) -> Response:
    log.warning("the identity provider is away: %s", error)
    return _notice(503, "Penyedia akun instansi sedang tidak menjawab. Coba lagi nanti.")


def _notice(status: int, words: str) -> Response:
    response = HTMLResponse(pages.notice(words, gate.SIGN_IN_PATH), status)
    sessions.set_cookie(response, COOKIE, "", seconds=0)
    return response
