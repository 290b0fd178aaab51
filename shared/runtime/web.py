"""The web shell: one FastAPI app for any office, made from its manifest.

Nothing but the two health addresses opens without an account. Every command carries an
`Idempotency-Key`: the same key with the same body gives the same answer and changes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Path, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kernel.handling import Outcome, StalePlan, Undecided
from shared.kernel.store import Conflict
from shared.kernel.store import Request as AnsweredRequest
from shared.runtime import pages, problems, status
from shared.runtime.manifest import CommandRoute, Desk, Plan, Problem, ReadRoute
from shared.runtime.office import Office, open_office
from shared.runtime.rows import import_body, read_import
from shared.runtime.staff import ROLES, Staff, by_password, by_token
from shared.runtime.tasks import end
from shared.runtime.worker import Worker

PREFIX = "/api/v1"
OPEN_PATHS = ("/health/live", "/health/ready")
PLAN_TRIES = 20
PathValue = Annotated[str, Path(max_length=64, pattern=r"^[^\x00-\x1F\x7F]+$")]
FUTURE_TOLERANCE = timedelta(minutes=5)
IDEMPOTENCY_KEY = r"^[A-Za-z0-9._:-]{8,128}$"


def make_app(
    opened: Callable[[], Any], service: Any, *, with_worker: bool, body_bytes: int
) -> FastAPI:
    """The app of one office. `opened` gives the context manager that opens the Office."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.office = await stack.enter_async_context(opened())
            app.state.worker = None
            if with_worker:
                # On connections of its own, so that many readers can't bring it to a stand.
                worker = Worker(await stack.enter_async_context(opened()))
                task = asyncio.create_task(worker.run())
                stack.push_async_callback(end, [task])
                app.state.worker = worker
            yield

    app = FastAPI(
        title=f"Pulang ({service.kind})",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(Gate, limit_bytes=body_bytes)
    problems.install(app)
    for command in service.commands:
        _add_command(app, command)
    for read in (*service.reads, *status.READS):
        _add_read(app, read)
    _add_open_routes(app)
    return app


def app_for(settings: Any, service: Any, *, with_worker: bool) -> FastAPI:
    return make_app(
        lambda: open_office(settings, service, patient=True),
        service,
        with_worker=with_worker,
        body_bytes=settings.body_bytes,
    )


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
        try:
            self._check_length(scope)
            if scope["path"] not in OPEN_PATHS:
                scope.setdefault("state", {})["staff"] = await authenticate(Request(scope))
        except Problem as problem:
            await problems.document(problem)(scope, receive, send)
        except (OperationalError, PoolTimeout) as error:
            await (await problems.database_away(scope["app"], error))(scope, receive, send)
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
            await self._app(scope, counted, answered)
        if received > self._limit_bytes:
            await problems.document(self._too_long())(scope, receive, send)

    def _too_long(self) -> Problem:
        return Problem(
            413,
            "BODY_TOO_LONG",
            f"Kiriman lebih dari {self._limit_bytes} byte.",
            "Bagi menjadi beberapa kiriman.",
        )


def staff_of(request: Request) -> Staff:
    """The member of staff whom the gate let in."""
    staff: Staff = request.state.staff
    return staff


async def authenticate(request: Request) -> Staff:
    """The member of staff behind a bearer token, or a username and password. Raises Problem."""
    pool = request.app.state.office.pool
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    staff: Staff | None = None
    if scheme.lower() == "bearer":
        staff = await by_token(pool, credentials.strip())
    elif scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        username, _, password = decoded.partition(":")
        staff = await by_password(pool, username, password)
    if staff is None:
        raise Problem(
            401,
            "NO_ACCOUNT",
            "Masuk dahulu dengan akun petugas.",
            "Sertakan token API atau nama pengguna dan kata sandi.",
        )
    return staff


def _require(staff: Staff, roles: frozenset[str]) -> None:
    if not staff.roles & roles:
        raise Problem(
            403,
            "ROLE_MISSING",
            "Peran Anda tidak mencakup ini.",
            f"Yang berwenang: {', '.join(sorted(roles))}.",
        )


def _desk(request: Request, staff: Staff, occurred_at: datetime | None) -> Desk:
    office: Office = request.app.state.office
    now = office.clock()
    if occurred_at is not None and occurred_at > now + FUTURE_TOLERANCE:
        raise Problem(
            422,
            "NOT_YET_OCCURRED",
            "Waktu kejadian berada di masa depan.",
            "Rencana bukan kejadian; catat setelah terjadi.",
        )
    return Desk(
        settings=office.settings,
        handling=office.handling,
        vault=office.vault,
        staff=staff,
        now=now,
        occurred_at=occurred_at or now,
    )


def _parameters(path: str) -> list[inspect.Parameter]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter("request", kind, annotation=Request),
        inspect.Parameter("staff", kind, annotation=Annotated[Staff, Depends(staff_of)]),
        *(inspect.Parameter(name, kind, annotation=PathValue) for name in names),
    ]


def _add_command(app: FastAPI, route: CommandRoute) -> None:
    async def endpoint(
        *, request: Request, staff: Staff, idempotency_key: str, form: Any, **path: str
    ) -> JSONResponse:
        _require(staff, route.roles)
        raw = await request.body()
        digest = sha256(f"{request.method} {request.url.path}\n".encode() + raw).digest()
        store = request.app.state.office.store
        if answered := await store.answered(staff.username, idempotency_key):
            return _repeat(answered, digest)
        for _ in range(PLAN_TRIES):
            desk = _desk(request, staff, form.occurred_at)
            plan = await route.plan(desk, form, path)
            try:
                outcome, answer = await _carry_out(desk, plan, idempotency_key, digest)
                break
            except StalePlan:
                await asyncio.sleep(0.01)
        else:
            raise Undecided(f"{PLAN_TRIES} plans were stale")
        if outcome is None:
            again = await store.answered(staff.username, idempotency_key)
            if again is None:
                raise Undecided(idempotency_key)
            return _repeat(again, digest)
        answer["visible"] = await _wait_visible(request.app.state.office, outcome.position)
        return JSONResponse(answer, status_code=201)

    kind = inspect.Parameter.KEYWORD_ONLY
    key = Annotated[str, Header(pattern=IDEMPOTENCY_KEY)]
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *_parameters(route.path),
            inspect.Parameter("idempotency_key", kind, annotation=key),
            inspect.Parameter("form", kind, annotation=_form(route)),
        ]
    )
    app.add_api_route(
        PREFIX + route.path,
        endpoint,
        methods=["POST"],
        status_code=201,
        summary=route.summary,
        description=f"Peran: {', '.join(sorted(route.roles))}.",
        response_model=None,
        name=route.path,
        responses=_PROBLEMS,
        openapi_extra=import_body(route.form) if route.is_import else None,
    )


def _form(route: CommandRoute) -> Any:
    """A JSON body, or for an import also a CSV file."""
    return Annotated[route.form, Depends(read_import)] if route.is_import else route.form


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": words, "content": {problems.CONTENT_TYPE: {}}}
    for code, words in {
        401: "Tanpa akun",
        403: "Peran tidak mencakup",
        409: "Ditolak oleh aturan; tidak ada yang disimpan",
        422: "Isian tidak sah; tidak ada yang disimpan",
        503: "Basis data tidak terjangkau; kirim lagi dengan kunci yang sama",
    }.items()
}


async def _carry_out(
    desk: Desk, plan: Plan, key: str, digest: bytes
) -> tuple[Outcome | None, dict[str, Any]]:
    """Decides and appends. No outcome: the same key was answered meanwhile."""
    answer: dict[str, Any] = {}

    def request(outcome: Outcome) -> AnsweredRequest:
        refused = {one.index for one in outcome.refused}
        answer.update(plan.answer)
        if plan.per_unit:
            answer["rows"] = [one for n, one in enumerate(plan.per_unit) if n not in refused]
        answer["events"] = [
            {"id": event.id, "type": event.event.type, "subject": event.stream}
            for event in outcome.events[:1_000]
        ]
        answer["recorded"] = len(outcome.events)
        answer["refused"] = [
            *plan.row_errors,
            *problems.unit_errors(outcome.refused, plan.rows),
        ]
        return AnsweredRequest(desk.staff.username, key, digest, dict(answer))

    try:
        outcome = await desk.handling.handle(
            plan.units,
            at=desk.now,
            actor=desk.staff.username,
            correlation=sha256(f"{desk.staff.username}\n{key}".encode()).hexdigest()[:32],
            all_or_nothing=plan.all_or_nothing,
            planned_on=desk.planned_on,
            request=request,
        )
    except Conflict:
        return None, {}
    if outcome.refused and (plan.all_or_nothing or not outcome.events):
        raise problems.refusal(outcome.refused, plan.rows)
    return outcome, answer


def _repeat(answered: AnsweredRequest, digest: bytes) -> JSONResponse:
    if answered.digest != digest:
        raise Problem(
            422,
            "IDEMPOTENCY_KEY_REUSED",
            "Idempotency-Key ini sudah dipakai untuk kiriman lain.",
            "Pakai kunci baru untuk kiriman yang berbeda.",
        )
    return JSONResponse(answered.response | {"repeated": True}, status_code=200)


async def _wait_visible(office: Office, position: int) -> bool:
    """Waits a little for the read models, so that people read what they wrote.

    Where no worker is active nothing would come of waiting, and people go on recording.
    """
    deadline = time.monotonic() + office.settings.read_your_writes_seconds
    names = [projector.projection.name for projector in office.projectors]
    while True:
        async with office.pool.connection() as connection:
            cursor = await connection.execute(
                "select min(position) from projections where name = any(%s)", (names,)
            )
            row = await cursor.fetchone()
            if row and (row[0] or 0) >= position:
                return True
            if time.monotonic() > deadline or not await status.worker_active(connection):
                return False
        await asyncio.sleep(0.02)


def _add_read(app: FastAPI, route: ReadRoute) -> None:
    async def endpoint(*, request: Request, staff: Staff, **path: str) -> Any:
        _require(staff, route.roles)
        desk = _desk(request, staff, None)
        given = {name: value for name, value in path.items() if value is not None}
        async with request.app.state.office.pool.connection() as connection:
            found = await route.query(replace(desk, connection=connection), given)
        if found is None:
            raise Problem(404, "NOT_FOUND", "Data ini tidak ada.", "Periksa kodenya.")
        return found

    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *_parameters(route.path),
            *(
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=str | None
                )
                for name in route.optional
            ),
        ]
    )
    app.add_api_route(
        PREFIX + route.path,
        endpoint,
        methods=["GET"],
        summary=route.summary,
        description=f"Peran: {', '.join(sorted(route.roles))}.",
        response_model=None,
        name="GET " + route.path,
        responses={code: _PROBLEMS[code] for code in (401, 403)},
    )


def _add_open_routes(app: FastAPI) -> None:
    @app.get("/health/live", summary="Proses ini hidup")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", summary="Kantor ini siap melayani")
    async def ready(request: Request) -> JSONResponse:
        troubles = await status.troubles(request.app.state.office, request.app.state.worker)
        return JSONResponse(
            {"status": "ready" if not troubles else "not ready", "troubles": troubles},
            status_code=200 if not troubles else 503,
        )

    @app.get("/", summary="Apa yang dapat dibaca di sini", response_class=HTMLResponse)
    async def home(request: Request, staff: Annotated[Staff, Depends(staff_of)]) -> HTMLResponse:
        office: Office = request.app.state.office
        reads = (*office.service.reads, *status.READS)
        mine = [read for read in reads if read.roles & staff.roles]
        return HTMLResponse(pages.home(office.settings.office_name, PREFIX, mine))

    @app.get("/openapi.json", summary="Uraian API ini")
    async def openapi(
        request: Request, staff: Annotated[Staff, Depends(staff_of)]
    ) -> dict[str, Any]:
        _require(staff, ROLES)
        return describe(request.app)


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an office's app."""
    return get_openapi(title=app.title, version=app.version, routes=app.routes)
