"""The web shell: one FastAPI app for any office, made from its manifest.

Nothing but the two health addresses opens without an account. Every command carries an
`Idempotency-Key`: the same key with the same body gives the same answer and changes nothing.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from keyword import iskeyword
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute

from shared.custody import access
from shared.runtime import (
    custody,
    custody_routes,
    deliveries,
    files,
    gate,
    history,
    pages,
    problems,
    sign_in,
    status,
)
from shared.runtime.exports import to_workbook
from shared.runtime.gate import require, staff_of
from shared.runtime.manifest import CommandRoute, Problem, ReadRoute, Service
from shared.runtime.metrics import CONTENT_TYPE as METRICS_TYPE
from shared.runtime.metrics import METRICS_ROLES, exposition
from shared.runtime.office import Office, open_office
from shared.runtime.papers.paper import Paper, typeset
from shared.runtime.performing import PREFIX, Sent, perform
from shared.runtime.readiness import Readiness
from shared.runtime.reading import read
from shared.runtime.rows import XLSX, import_body, read_import
from shared.runtime.screens import serving as screens
from shared.runtime.screens import verifying
from shared.runtime.screens.live import Live
from shared.runtime.sheets import TABLE_ROWS, to_csv
from shared.runtime.staff import ROLES, Staff
from shared.runtime.tasks import end
from shared.runtime.worker import Worker

JSON = "application/json"
QueryText = Annotated[str, Query(max_length=64, pattern=r"^[^\x00-\x1F\x7F]+$")]
PathValue = Annotated[str, Path(max_length=64, pattern=r"^[^\x00-\x1F\x7F]+$")]
AS_OF = ("known_at", "true_at")
"""What a read model's address takes beside its own: as of when it is asked."""

PDF = "application/pdf"
FORMATS, PAPER_FORMATS = Literal["json", "csv", "xlsx"], Literal["json", "pdf"]
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
            if service.screens:
                app.state.live = Live(app.state.office)
                looking = asyncio.create_task(app.state.live.run())
                stack.push_async_callback(end, [looking])
            app.state.readiness = Readiness(app.state.office, app.state.worker)
            yield

    app = FastAPI(
        title=f"Pulang ({service.kind})",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.router.route_class = RoleFirst
    gate.install(app, body_bytes)
    problems.install(app)
    sign_in.install(app)
    commands = (*service.commands, *custody_routes.commands(service.kind))
    for command in commands:
        _add_command(app, command)
    reads = reads_of(service)
    for route in reads:
        _add_read(app, route)
    _add_open_routes(app, "/baca" if any(one.path == "/" for one in service.screens) else "/")
    verifying.install(app, service)
    if service.screens:
        screens.install(app, service, commands, reads)
    return app


def app_for(settings: Any, service: Any, *, with_worker: bool) -> FastAPI:
    return make_app(
        lambda: open_office(settings, service, patient=True),
        service,
        with_worker=with_worker,
        body_bytes=settings.body_bytes,
    )


class RoleFirst(APIRoute):
    """Asks for the role before the body is read: nobody makes the office parse what is not hers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        roles: frozenset[str] | None = getattr(self.endpoint, "roles", None)

        async def checked(request: Request) -> Response:
            if roles is not None:
                require(staff_of(request), roles)
            return await handler(request)

        return checked


def reads_of(service: Service) -> tuple[ReadRoute, ...]:
    """All that an office of this kind can be asked: its own, custody's, every office's."""
    return (
        *service.reads,
        *custody_routes.reads(service),
        *status.READS,
        *history.READS,
        *deliveries.READS,
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
        body = form.sent() if isinstance(form, files.FileForm) else await request.body()
        sent = Sent(f"{request.method} {request.url.path}", body, idempotency_key)
        status_code, answer = await perform(request, staff, route, form, path, sent)
        return JSONResponse(answer, status_code=status_code)

    endpoint.roles = route.roles  # type: ignore[attr-defined]
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
        responses={code: one for code, one in _PROBLEMS.items() if code != 404} | _REPEATED,
        openapi_extra=_body(route),
    )


def _form(route: CommandRoute) -> Any:
    """A JSON body, or for an import also a CSV file; with a file within it is a multipart one."""
    if route.is_import:
        return Annotated[route.form, Depends(read_import)]
    if issubclass(route.form, files.FileForm):
        return Annotated[route.form, Depends(files.read_file(route.form))]
    return route.form


def _body(route: CommandRoute) -> dict[str, Any] | None:
    """How a body is described that is no JSON alone."""
    if issubclass(route.form, files.FileForm):
        return files.file_body(route.form)
    return import_body(route.form) if route.is_import else None


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": words, "content": {problems.CONTENT_TYPE: {}}}
    for code, words in {
        401: "Tanpa akun",
        403: "Peran tidak mencakup",
        404: "Tidak ada",
        409: "Ditolak oleh aturan; tidak ada yang disimpan",
        413: "Kiriman terlalu panjang; tidak ada yang disimpan",
        422: "Isian tidak sah; tidak ada yang disimpan",
        503: "Basis data tidak terjangkau; kirim lagi dengan kunci yang sama",
    }.items()
}


_REPEATED: dict[int | str, dict[str, Any]] = {
    200: {"description": "Sudah pernah dikirim; jawaban yang sama", "content": {JSON: {}}}
}
_TABLES: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}, XLSX: {}}}}
_PAPERS: dict[int | str, dict[str, Any]] = {200: {"content": {PDF: {}}}}
_FILES: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {} for kind in files.NAMES}}}
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "Belum siap; sebabnya disebut", "content": {JSON: {}}}
}


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: _PROBLEMS[code] for code in codes}


def _add_read(app: FastAPI, route: ReadRoute) -> None:
    known = {*route.optional, "purpose", *(AS_OF if route.models else ())}
    if not route.file:
        known.add("format")

    async def endpoint(
        *, request: Request, staff: Staff, purpose: Any = None, format: Any = None, **path: str
    ) -> Any:
        if unknown := sorted(request.query_params.keys() - known):
            raise Problem(
                422,
                "UNKNOWN_PARAMETER",
                f"Isian '{unknown[0][:40]}' tidak dikenal di sini.",
                f"Yang dikenal: {', '.join(sorted(known))}.",
            )
        given = {name.rstrip("_"): value for name, value in path.items() if value is not None}
        if route.opens is not None and format in ("csv", "xlsx"):
            # A file that is passed on is a look that nobody records. Nothing is opened for it.
            raise not_a_table("Yang tersegel tidak diunduh sebagai tabel.")
        desk, found = await read(request, staff, route, given, purpose)
        if route.file:
            return files.answer(found)
        if format == "pdf" and route.paper is not None:
            return await _pdf(route.paper(desk, found))
        found = custody.veiled(found)
        if format == "json":
            return found
        rows = route.table(found) if route.table else found
        return await _table(format, rows, desk.settings.zone)

    endpoint.roles = route.roles  # type: ignore[attr-defined]
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *_parameters(route.path),
            *(_query(name, QueryText | None, None) for name in route.optional),
            *(_query(name, QueryText | None, None) for name in AS_OF if route.models),
            *([_query("purpose", access.Purpose)] if route.opens is not None else ()),
            *([] if route.file else [_query("format", _formats(route), "json")]),
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
        responses=(_FILES if route.file else _TABLES if route.paper is None else _PAPERS)
        | _refusals(
            401,
            403,
            404,
            413,
            422,
            503,
            *([409] if route.opens or route.models or route.paper else ()),
        ),
    )


def _formats(route: ReadRoute) -> Any:
    return FORMATS if route.paper is None else PAPER_FORMATS


def _query(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    if iskeyword(name):
        # `from` is a good word in an address, and none that Python lets stand as a name.
        name, annotation = f"{name}_", Annotated[annotation, Query(alias=name)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def not_a_table(why: str) -> Problem:
    return Problem(422, "NOT_A_TABLE", why, "Minta sebagai JSON (format=json).")


async def _table(format: str, found: Any, zone: ZoneInfo) -> Response:
    """A list as a table that no spreadsheet takes for formulas. In a thread: it takes a while."""
    if not isinstance(found, list):
        raise not_a_table("Ini bukan daftar.")
    if len(found) > TABLE_ROWS:
        raise Problem(
            422,
            "TABLE_TOO_LARGE",
            f"Daftarnya lebih dari {TABLE_ROWS} baris.",
            "Unduh per bagian: pilih keadaan atau tujuan dahulu.",
        )
    kind, make = "text/csv; charset=utf-8", to_csv
    if format == "xlsx":
        kind, make = XLSX, partial(to_workbook, zone=zone)
    return Response(
        await asyncio.to_thread(make, found),
        media_type=kind,
        headers={"Content-Disposition": f'attachment; filename="daftar.{format}"'},
    )


async def _pdf(paper: Paper) -> Response:
    """In a thread: a thousand people take the typesetter a while. The file's name says nothing."""
    return Response(
        await asyncio.to_thread(typeset, paper),
        media_type=PDF,
        headers={"Content-Disposition": 'attachment; filename="dokumen.pdf"'},
    )


def _add_open_routes(app: FastAPI, list_path: str) -> None:
    """Health, metrics, what can be read here, and the description of the API."""

    @app.get("/health/live", summary="Proses ini hidup", responses=_refusals(413))
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get(
        "/health/ready",
        summary="Kantor ini siap melayani",
        responses=_refusals(413) | _NOT_READY,
    )
    async def ready(request: Request) -> JSONResponse:
        troubles = await request.app.state.readiness.troubles()
        return JSONResponse(
            {"status": "ready" if not troubles else "not ready", "troubles": troubles},
            status_code=200 if not troubles else 503,
        )

    async def metrics(
        request: Request, staff: Annotated[Staff, Depends(staff_of)]
    ) -> PlainTextResponse:
        office: Office = request.app.state.office
        return PlainTextResponse(
            await exposition(office, request.app.state.worker), media_type=METRICS_TYPE
        )

    metrics.roles = METRICS_ROLES  # type: ignore[attr-defined]
    app.add_api_route(
        "/metrics",
        metrics,
        methods=["GET"],
        summary="Angka kantor ini untuk Prometheus",
        description=f"Peran: {', '.join(sorted(METRICS_ROLES))}.",
        response_class=PlainTextResponse,
        responses=_refusals(401, 403, 413, 503),
    )

    @app.get(
        list_path,
        summary="Apa yang dapat dibaca di sini",
        response_class=HTMLResponse,
        responses=_refusals(401, 413, 503)
        | {303: {"description": "Peramban tanpa sesi dibawa ke halaman masuk"}},
    )
    async def home(request: Request, staff: Annotated[Staff, Depends(staff_of)]) -> HTMLResponse:
        office: Office = request.app.state.office
        mine = [one for one in reads_of(office.service) if one.roles & staff.roles]
        return HTMLResponse(pages.home(request, office.settings.office_name, PREFIX, mine))

    @app.get("/openapi.json", summary="Uraian API ini", responses=_refusals(401, 403, 413, 503))
    async def openapi(
        request: Request, staff: Annotated[Staff, Depends(staff_of)]
    ) -> dict[str, Any]:
        require(staff, ROLES)
        return describe(request.app)


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an office's app."""
    return get_openapi(title=app.title, version=app.version, routes=app.routes)
