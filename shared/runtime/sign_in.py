"""Signing in and out: pages for people, and the same as JSON for programs.

Whatever is wrong (name, password, code, an account that is disabled, a name that must wait), the
words are the same, a password is hashed, and the answer takes as long. Only that a name must wait
is told, for names that exist and for others alike.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.staticfiles import StaticFiles

from shared.runtime import assets, attempts, gate, oidc, pages, passwords, problems, sessions, staff
from shared.runtime.manifest import Problem
from shared.runtime.screens import language
from shared.runtime.sessions import Begun

REFUSAL_SECONDS = 0.5
"""A refusal takes at least so long, so that its time does not tell what was wrong."""
MOST_AT_ONCE = 64
"""More passwords than these don't wait to be hashed; whoever comes then is told to come later."""
BUSY = timedelta(seconds=5)
FORM_COOKIE = "__Host-pulang-masuk"
NO_DRAFTS = {"Clear-Site-Data": '"storage"'}
_at_work = 0


log = logging.getLogger(__name__)


class Refused(Exception):
    """Not signed in. `wait` is given where the name, or the server, must be left alone so long."""

    def __init__(self, wait: timedelta | None = None) -> None:
        super().__init__()
        self.wait = wait

    @property
    def problem(self) -> Problem:
        if self.wait is None:
            return Problem(
                401,
                "SIGN_IN_REFUSED",
                "Nama pengguna, kata sandi, atau kode tidak cocok.",
                "Periksa ketiganya; kode berganti tiap 30 detik dan berlaku satu kali.",
            )
        return Problem(
            429,
            "SIGN_IN_LATER",
            "Terlalu banyak percobaan; coba lagi nanti.",
            "Tunggu sebentar; setiap percobaan yang gagal memperpanjang jedanya.",
        )

    @property
    def headers(self) -> dict[str, str]:
        if self.wait is None:
            return {"WWW-Authenticate": "Bearer"}
        return attempts.later(self.wait)


class SignIn(BaseModel):
    """Who wants in."""

    model_config = ConfigDict(extra="forbid")

    username: str = Field(max_length=256)
    password: str = Field(max_length=1024)
    code: str = Field(default="", max_length=16)


class SessionBegun(BaseModel):
    """The session's token, to be sent as a bearer; it is shown this once."""

    token: str
    ends_at: datetime


async def sign_in(office: Any, username: str, password: str, code: str) -> Begun:
    """Opens a session. Raises Refused, never sooner than after REFUSAL_SECONDS."""
    started = time.monotonic()
    name = attempts.tidy(username)
    try:
        begun = await _sign_in(office, name, password, code)
        log.info("sign-in: %s", name)
        return begun
    except Refused:
        # By digest: what was typed as a name may be a password in the wrong field.
        log.warning("sign-in refused: %s", sha256(name.encode()).hexdigest()[:12])
        await asyncio.sleep(max(0.0, started + REFUSAL_SECONDS - time.monotonic()))
        raise


async def _sign_in(office: Any, name: str, password: str, code: str) -> Begun:
    now = office.clock()
    account = await _with_password(office, name, password)
    if account.needs_code and not await staff.use_code(
        office.pool, office.keyring, account.username, code, now
    ):
        raise Refused
    begun = await sessions.begin(office.pool, account, now)
    if begun is None:
        raise Refused
    await attempts.forget(office.pool, name, now)
    await staff.rehash(office.pool, account, password)
    return begun


async def _with_password(office: Any, name: str, password: str) -> staff.Account:
    """The account whose name and password these are; each try is counted. Raises Refused."""
    global _at_work
    if _at_work >= MOST_AT_ONCE:
        raise Refused(BUSY)
    _at_work += 1
    try:
        wait = await attempts.count(office.pool, name, office.clock())
        account = await staff.by_username(office.pool, name)
        fits = await passwords.fits(account.password_hash if account else None, password)
    finally:
        _at_work -= 1
    if wait is not None or account is None or not fits:
        raise Refused(wait)
    return account


def install(app: FastAPI) -> None:
    """Adds the addresses of sign-in and sign-out, and the style sheet."""
    app.mount("/static", StaticFiles(directory=assets.FOLDER))
    _add_pages(app)
    _add_api(app)
    oidc.install(app)


def _add_pages(app: FastAPI) -> None:
    @app.get(gate.SIGN_IN_PATH, include_in_schema=False)
    async def form(request: Request, bahasa: str = "") -> Response:
        if bahasa:
            language.choose(bahasa)
        response = _form(request)
        if bahasa:
            language.remember(response)
        return response

    @app.post(gate.SIGN_IN_PATH, include_in_schema=False)
    async def enter(
        request: Request,
        username: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        code: Annotated[str, Form()] = "",
        csrf: Annotated[str, Form()] = "",
    ) -> Response:
        if not gate.csrf_of_cookie_fits(request, FORM_COOKIE, csrf):
            return _form(
                request,
                "Muat ulang halaman ini dan coba lagi. Peramban harus menerima kuki, dan"
                " alamatnya harus HTTPS.",
                403,
            )
        office = request.app.state.office
        try:
            begun = await sign_in(office, username, password, code)
        except Refused as refused:
            problem = refused.problem
            response = _form(request, problem.detail, problem.status)
            response.headers.update(refused.headers)
            return response
        if before := request.cookies.get(sessions.COOKIE):
            await sessions.end(office.pool, before)
        response = RedirectResponse("/", status_code=303)
        sessions.set_cookie(response, sessions.COOKIE, begun.token)
        sessions.set_cookie(response, FORM_COOKIE, "", seconds=0)
        return response

    @app.post("/keluar", include_in_schema=False)
    async def leave(request: Request, everywhere: Annotated[str, Form()] = "") -> Response:
        office = request.app.state.office
        if everywhere:
            await staff.sign_out(office.pool, gate.staff_of(request).username)
        elif session := request.state.session:
            await sessions.end(office.pool, session.digest)
        return _to_form()

    @app.get(gate.PASSWORD_PATH, include_in_schema=False)
    async def password_form(request: Request) -> HTMLResponse:
        return HTMLResponse(pages.password(request))

    @app.post(gate.PASSWORD_PATH, include_in_schema=False)
    async def new_password(
        request: Request,
        current: Annotated[str, Form()] = "",
        new: Annotated[str, Form()] = "",
    ) -> Response:
        office = request.app.state.office
        name = gate.staff_of(request).username
        words = (office.settings.office_name, office.settings.office)
        try:
            account = await _with_password(office, name, current)
            changed = await staff.change_password(office.pool, account, new, words)
        except Refused as refused:
            notice = "Kata sandi sekarang tidak cocok." if refused.wait is None else ""
            return HTMLResponse(
                pages.password(request, notice or refused.problem.detail),
                403 if notice else 429,
                refused.headers,
            )
        except passwords.WeakPassword as weak:
            await attempts.forget(office.pool, name, office.clock())
            return HTMLResponse(pages.password(request, str(weak)), 422)
        if changed:
            await attempts.forget(office.pool, name, office.clock())
        return _to_form()


def _form(request: Request, notice: str = "", status: int = 200) -> Response:
    """The sign-in form, with a token that belongs to a cookie of this browser."""
    secret = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(32)
    with_oidc = oidc.is_configured(request.app.state.office.settings)
    page = pages.sign_in(sessions.csrf_of(secret), notice, with_oidc=with_oidc)
    response = HTMLResponse(page, status)
    sessions.set_cookie(response, FORM_COOKIE, secret)
    if request.headers.get("sec-fetch-site") != "cross-site":
        # Also where a session ended by itself: whoever comes next finds no draft on this device.
        # From a foreign page no session's cookie comes along: she may well be signed in.
        response.headers.update(NO_DRAFTS)
    return response


def _to_form() -> Response:
    response = RedirectResponse(gate.SIGN_IN_PATH, status_code=303)
    sessions.set_cookie(response, sessions.COOKIE, "", seconds=0)
    response.headers.update(NO_DRAFTS)
    return response


def _add_api(app: FastAPI) -> None:
    described: dict[int | str, dict[str, Any]] = {
        code: {"description": words, "content": {problems.CONTENT_TYPE: {}}}
        for code, words in {
            401: "Tidak cocok, atau tanpa akun",
            403: "Bukan dari halaman kantor ini",
            409: "Bukan sesi",
            413: "Kiriman terlalu panjang",
            422: "Isian tidak sah",
            429: "Coba lagi nanti",
            503: "Basis data tidak terjangkau",
        }.items()
    }

    def responses(*codes: int) -> dict[int | str, dict[str, Any]]:
        return {code: described[code] for code in codes}

    @app.post(
        gate.API_SESSIONS_PATH,
        status_code=201,
        summary="Masuk dan membuka sesi",
        response_model=SessionBegun,
        responses=responses(401, 413, 422, 429, 503),
    )
    async def begin(request: Request, body: SignIn) -> Any:
        office = request.app.state.office
        try:
            begun = await sign_in(office, body.username, body.password, body.code)
        except Refused as refused:
            response = problems.document(refused.problem)
            response.headers.update(refused.headers)
            return response
        return SessionBegun(token=begun.token, ends_at=begun.ends_at)

    @app.delete(
        gate.API_SESSIONS_PATH + "/current",
        status_code=204,
        summary="Menutup sesi ini",
        responses=responses(401, 403, 409, 413, 503),
    )
    async def end(request: Request) -> None:
        session = request.state.session
        if session is None:
            raise Problem(
                409,
                "NO_SESSION",
                "Token API bukan sesi dan tidak dapat ditutup di sini.",
                "Minta operator memperbarui atau menonaktifkan akunnya.",
            )
        await sessions.end(request.app.state.office.pool, session.digest)

    @app.delete(
        gate.API_SESSIONS_PATH,
        status_code=204,
        summary="Menutup semua sesi akun ini",
        responses=responses(401, 403, 413, 503),
    )
    async def end_all(request: Request) -> None:
        office = request.app.state.office
        await staff.sign_out(office.pool, gate.staff_of(request).username)
