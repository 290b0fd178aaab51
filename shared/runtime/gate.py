"""The gate before every address: who asks, how much she sends, and what every answer carries.

Nobody without an account passes, but to the open addresses. Who has one shows a session's cookie,
or as a bearer a session's token or an API token; HTTP Basic is not taken, for it can't be ended
and asks for no second factor. What a browser sends with a cookie must come from a page of ours:
by its `Sec-Fetch-Site` or `Origin`, and by a token that the page carried.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hmac import compare_digest
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from starlette.datastructures import FormData, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime import assets, problems, sessions, staff
from shared.runtime.compressing import Compressed
from shared.runtime.manifest import Problem
from shared.runtime.papers.record import VERIFY
from shared.runtime.screens import language
from shared.runtime.sessions import Session
from shared.runtime.staff import Staff

log = logging.getLogger(__name__)

SIGN_IN_PATH = "/masuk"
PASSWORD_PATH = "/kata-sandi"  # noqa: S105 — an address
API_SESSIONS_PATH = "/api/v1/sessions"
OPEN_PATHS = ("/health/live", "/health/ready", SIGN_IN_PATH, VERIFY)
OPEN_PREFIXES = (assets.PREFIX, f"{SIGN_IN_PATH}/")
FORM_FIELDS = 2_000
ANY_LENGTH = 2**31
# What staff send lies on no disk in clear; how long it may be was looked at before.
MultiPartParser.spool_max_size = ANY_LENGTH
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CSRF_FIELD = "csrf"
FORM = "application/x-www-form-urlencoded"
CSRF_HEADER = "x-csrf-token"
BY_ITSELF_HEADER = "x-pulang-sendiri"
"""With it a page's script says that it asks by itself, and nobody has done anything."""
LIVE_PATH = "/kabar"
POLICY = "Content-Security-Policy"
SECURITY_HEADERS = {
    POLICY: "default-src 'none'; style-src 'self'; img-src 'self';"
    " script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex",
}


def install(app: FastAPI, limit_bytes: int) -> None:
    """Puts the gate before the app, and the headers around both."""
    app.add_middleware(Gate, limit_bytes=limit_bytes)
    app.add_middleware(Compressed)
    app.add_middleware(Headers)


class Headers:
    """Puts the security headers on every answer, that of an unexpected error too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        more = dict(SECURITY_HEADERS)
        if assets.may_be_kept(scope["path"], scope["query_string"].decode("latin-1")):
            more["Cache-Control"] = assets.KEPT

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                # A file's own policy is stricter than that of pages.
                headers.update(more | {POLICY: headers.get(POLICY, more[POLICY])})
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:
            # The framework would answer outside of here, without the headers. It still gets the
            # error, to log it.
            answer = scope["app"].exception_handlers.get(Exception)
            if answer is not None and not started:
                response = await answer(Request(scope), error)
                await response(scope, receive, with_headers)
            raise


class Gate:
    """What is looked at before a body is read: who asks, and how much she sends.

    A body that is too long is refused whatever its headers say, and so is anybody without an
    account at any address but the open ones.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        language.choose(Request(scope).cookies.get(language.COOKIE, ""))
        try:
            # Before anything is refused: a page that says so asks who reads it.
            state = scope.setdefault("state", {})
            state["staff"] = state["session"] = None
            self._check_length(scope)
            if not _is_open(scope):
                await authenticate(Request(scope))
        except Problem as problem:
            await _answer(problem, Request(scope))(scope, receive, send)
        except (OperationalError, PoolTimeout) as error:
            await self._keep_typed(scope, receive)
            await (await problems.database_away(Request(scope), error))(scope, receive, send)
        else:
            await self._counted(scope, receive, send)

    def _check_length(self, scope: Scope) -> None:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limit_bytes:
            raise self._too_long()

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the body on as far as it may go; beyond it, ours is the answer."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit_bytes:
                raise self._too_long()
            return message

        async def answered(message: Message) -> None:
            if received <= self._limit_bytes:
                await send(message)

        with contextlib.suppress(Problem):
            await self._from_our_page(scope, counted, answered)
        if received > self._limit_bytes:
            await problems.answer(Request(scope), self._too_long())(scope, receive, send)

    async def _from_our_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a browser change something only from a page that this office made for it."""
        request = Request(scope)
        session: Session | None = scope["state"]["session"]
        by_cookie = session is not None and "authorization" not in request.headers
        if session is None or not by_cookie or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        given = request.headers.get(CSRF_HEADER)
        if given is None:
            try:
                given, receive = await _csrf_field(scope, receive)
            except TooManyFields as problem:
                await problems.answer(request, problem)(scope, receive, send)
                return
        if not is_same_site(request) or not sessions.csrf_fits(session, given):
            await problems.answer(request, not_our_page())(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _keep_typed(self, scope: Scope, receive: Receive) -> None:
        """What a form of ours held, for the page that says that nobody could be asked for her."""
        request = Request(scope, receive)
        known = "content-length" in request.headers and sessions.COOKIE in request.cookies
        kind = request.headers.get("content-type", "")
        ours = known and kind.startswith(FORM) and is_same_site(request)
        # A password is typed anew: it stands in no page.
        if scope["method"] == "POST" and ours and scope["path"] != PASSWORD_PATH:
            with contextlib.suppress(HTTPException, MultiPartException):
                async with request.form() as form:
                    scope["state"]["typed"] = {
                        name: [text for text in form.getlist(name) if isinstance(text, str)]
                        for name in form
                    }

    def _too_long(self) -> Problem:
        return Problem(
            413,
            "BODY_TOO_LONG",
            f"Kiriman lebih dari {self._limit_bytes} byte.",
            "Bagi menjadi beberapa kiriman; pindai ulang lembarnya dengan mutu lebih rendah.",
        )


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    if path == API_SESSIONS_PATH:
        return bool(scope["method"] == "POST")
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


async def _csrf_field(scope: Scope, receive: Receive) -> tuple[str, Receive]:
    """The token in a form's field, and a `receive` that gives the same body once more.

    Raises TooManyFields, and Problem (413) while the body comes.
    """
    body = await Request(scope, receive).body()

    def again() -> Receive:
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(messages, None) or await receive()

        return replay

    given: object = None
    with contextlib.suppress(HTTPException, MultiPartException):
        async with form_sent(Request(scope, again())) as form:
            given = form.get(CSRF_FIELD)
    return given if isinstance(given, str) else "", again()


class TooManyFields(Problem):
    """A form of ours, but with more ticks or fields than are read."""

    def __init__(self) -> None:
        super().__init__(
            422,
            "FORM_TOO_MANY_FIELDS",
            f"Formulir ini berisi lebih dari {FORM_FIELDS} isian.",
            "Kirim lebih sedikit sekaligus: bagi tabelnya, atau centang lebih sedikit.",
        )


@asynccontextmanager
async def form_sent(request: Request) -> AsyncIterator[FormData]:
    """What a form sent. Its length was looked at before, and one field may be as long as that.

    Raises TooManyFields, HTTPException and MultiPartException.
    """
    try:
        form = await request.form(max_part_size=ANY_LENGTH, max_fields=FORM_FIELDS)
    except (HTTPException, MultiPartException) as error:
        said = error.detail if isinstance(error, HTTPException) else error.message
        if str(said).startswith("Too many"):
            raise TooManyFields from None
        raise
    try:
        yield form
    finally:
        await form.close()


def is_same_site(request: Request) -> bool:
    """Whether a browser says that a page of this very host sent this.

    Under our own `Referrer-Policy` browsers say `Origin: null` of a form, so where they also say
    `Sec-Fetch-Site` that alone is believed of such a one.
    """
    fetch_site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if fetch_site is not None and fetch_site not in ("same-origin", "none"):
        return False
    if origin is None or (origin == "null" and fetch_site is not None):
        return True
    return urlsplit(origin).netloc == request.headers.get("host")


def not_our_page() -> Problem:
    return Problem(
        403,
        "NOT_OUR_PAGE",
        "Kiriman ini tidak berasal dari halaman kantor ini.",
        "Muat ulang halamannya, lalu kirim lagi.",
    )


def csrf_token(request: Request, cookie: str = sessions.COOKIE) -> str:
    """What a page puts into its forms, in the field `csrf`. Empty without the cookie."""
    secret = request.cookies.get(cookie)
    return sessions.csrf_of(secret) if secret else ""


def csrf_of_cookie_fits(request: Request, cookie: str, given: str) -> bool:
    """For forms before there is a session: the page's token belongs to the browser's cookie."""
    wanted = csrf_token(request, cookie)
    fits = compare_digest(wanted.encode(), given.encode(errors="replace"))
    return bool(wanted) and fits and is_same_site(request)


def staff_of(request: Request) -> Staff:
    """The member of staff whom the gate let in."""
    found: Staff = request.state.staff
    return found


async def authenticate(request: Request) -> Staff:
    """The member of staff behind a bearer token or a session's cookie. Raises Problem.

    Where an `Authorization` is sent it alone counts, so that a cookie never stands in for it.
    """
    office = request.app.state.office
    now = office.clock()
    header = request.headers.get("authorization")
    found: Staff | None = None
    session: Session | None = None
    if header is None:
        if cookie := request.cookies.get(sessions.COOKIE):
            by_itself = BY_ITSELF_HEADER in request.headers or request.url.path == LIVE_PATH
            session = await sessions.by_token(office.pool, cookie, now, used=not by_itself)
    else:
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token.startswith(staff.TOKEN_PREFIX):
            found = await staff.by_token(office.pool, token, now)
        elif scheme.lower() == "bearer" and token:
            session = await sessions.by_token(office.pool, token, now)
    if session is not None:
        found = session.staff
    if found is None:
        raise Problem(
            401,
            "NO_ACCOUNT",
            "Masuk dahulu dengan akun petugas.",
            f"Masuk di {SIGN_IN_PATH}, atau sertakan token sebagai Bearer.",
        )
    request.state.staff, request.state.session = found, session
    return found


def _answer(problem: Problem, request: Request) -> Response:
    """A person with a browser is led to the sign-in page; anybody else is told the problem."""
    if problem.status != 401:
        return problems.answer(request, problem)
    if "text/html" in request.headers.get("accept", "") and "authorization" not in request.headers:
        return RedirectResponse(SIGN_IN_PATH, status_code=303)
    response = problems.document(problem)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def require(staff: Staff, roles: frozenset[str]) -> None:
    """Raises Problem unless she has one of these roles."""
    if not staff.roles & roles:
        log.info("role refused: %s", staff.username)
        raise Problem(
            403,
            "ROLE_MISSING",
            "Peran Anda tidak mencakup ini.",
            f"Yang berwenang: {', '.join(sorted(roles))}.",
        )
