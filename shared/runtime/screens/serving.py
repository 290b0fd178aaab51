"""Serves screens: shows them, takes their forms, and says what was recorded or why it was not."""

from __future__ import annotations

import hmac
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlencode
from uuid import uuid4
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile

from shared.custody.access import Purpose
from shared.kernel.asof import Moment
from shared.kernel.handling import Undecided
from shared.kernel.hold import Held
from shared.runtime import custody, files, history, problems
from shared.runtime.forms import path_names
from shared.runtime.gate import CSRF_FIELD, csrf_token, form_sent, require, staff_of
from shared.runtime.manifest import CommandRoute, Problem, ReadRoute, Service
from shared.runtime.performing import PREFIX, Sent, desk_of, perform
from shared.runtime.reading import read
from shared.runtime.rows import Import
from shared.runtime.screens import drafts, language, live
from shared.runtime.screens.fields import body_of, time_of
from shared.runtime.screens.filled import Filled
from shared.runtime.screens.rendering import environment
from shared.runtime.screens.screen import AS_OF, Files, Loaded, Screen, Step
from shared.runtime.screens.waiting import waiting
from shared.runtime.staff import Staff

RECORDED = "tersimpan"
"""The query parameter by which a page says what was just recorded, signed for who recorded it."""
NOTHING_NEW = "sama"
"""The query parameter by which it says that all of it was recorded before."""
KEY = re.compile(r"[A-Za-z0-9._:-]{8,128}")
LANGUAGE_PATH = "/bahasa"
PURPOSE: TypeAdapter[Purpose] = TypeAdapter(Purpose)
SCRIPT_HEADER = "x-pulang-kirim"
"""With it a page's script has sent the form, and goes on by itself to where the answer says."""
HERE = re.compile(r"/([A-Za-z0-9][A-Za-z0-9/._-]*)?(\?[A-Za-z0-9/._~%&=+:-]*)?")
"""An address of this office, with its query."""
ECHOED_CHARACTERS = 200_000
"""A page of a failure carries what was typed, as far as it is no longer than this."""


def install(
    app: FastAPI, service: Service, commands: Sequence[CommandRoute], reads: Sequence[ReadRoute]
) -> None:
    """Adds each screen's address, the switch of language, and pages for what goes wrong."""
    by_path = {route.path: route for route in commands}
    sealed = {route.path: route for route in reads if route.opens is not None}
    for screen in service.screens:
        for act in screen.acts.values():
            if not by_path[act.command].roles & screen.roles:
                raise ValueError(f"{screen.path}: nobody who opens it may {act.command}")
        for path in screen.openings.values():
            if not sealed[path].roles & screen.roles:
                raise ValueError(f"{screen.path}: nobody who opens it may see {path}")
        _add(app, service, screen, by_path, sealed)
    app.state.kept = {
        screen.path: {
            name: sorted(drafts.kept(by_path[act.command]))
            for name, act in screen.acts.items()
            if act.body is None and act.rows is None
        }
        for screen in service.screens
    }
    live.install(app, service.screens)
    _add_language(app, frozenset().union(*(screen.roles for screen in service.screens)))
    app.state.problem_page = lambda request, problem: _problem_page(service, request, problem)


def _add(
    app: FastAPI,
    service: Service,
    screen: Screen,
    commands: Mapping[str, CommandRoute],
    sealed: Mapping[str, ReadRoute],
) -> None:
    async def show(*, request: Request, **path: str) -> Response:
        return await _page(service, screen, request, path)

    async def take(*, request: Request, **path: str) -> Response:
        async with form_sent(request) as sent:
            # Whoever answers for what goes wrong gives her back what she typed.
            request.state.typed = _lists(sent)
            name = str(sent.get("act", ""))
            if name in screen.previews:
                return await _preview(service, screen, request, path, sent)
            if name in screen.openings:
                route = sealed[screen.openings[name]]
                return await _open(service, screen, request, path, sent, route)
            if step := screen.steps.get(name):
                return await _step(service, screen, step, request, path, sent)
            act = screen.acts.get(name)
            if act is None:
                raise Problem(404, "NOT_FOUND", "Formulir ini tidak ada.", "Muat ulang halamannya.")
            body = None
            try:
                body = act.body(_lists(sent)) if act.body else None
                if act.rows:
                    body = {"rows": act.rows(_lists(sent), _zone(request)), "partial": True}
                answer = await _carry_out(request, commands[act.command], sent, path, body)
            except (Problem, RequestValidationError, Undecided, Held) as error:
                problem = _told(error, None if act.rows else body)
                more: dict[str, Any] = (
                    {"refused": _by_row(problem.errors, body)} if act.rows else {}
                )
                return await _page(service, screen, request, path, problem, sent, more)
            if answer.get("refused") or len(answer.get("rows", ())) > 1:
                # Which rows were recorded, under which codes, and which not: said at once, for no
                # later page could.
                more = {"taken": answer, "did": _did(name, body, answer), "sent_rows": body}
                if act.rows:
                    more["refused"] = _by_row(answer["refused"], body)
                return await _page(
                    service, screen, request, path, sent=sent if act.rows else None, more=more
                )
        values = {**_texts(sent), **path, **answer}
        if len(answer.get("rows", ())) == 1:
            values |= answer["rows"][0]
        quoted = {name: quote(str(value), safe="") for name, value in values.items()}
        # A field that was left out leaves its place in the address empty.
        where = (act.then or screen.path).format_map(defaultdict(str, quoted))
        where, mark, place = where.partition("#")
        said = {RECORDED: _signed(request, _did(name, body, answer), where)} | (
            {NOTHING_NEW: "ya"} if not answer.get("recorded", 1) else {}
        )
        told = f"{'&' if '?' in where else '?'}{urlencode(said)}"
        onward = f"{where}{told}{mark}{place}"
        if SCRIPT_HEADER in request.headers:
            return JSONResponse({"ke": onward})
        return RedirectResponse(onward, status_code=303)

    for method, endpoint in (("GET", show), ("POST", take)):
        forms = screen.acts or screen.previews or screen.openings or screen.steps
        if method == "POST" and not forms:
            continue
        endpoint.roles = screen.roles  # type: ignore[attr-defined]
        endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
                for name, kind in {
                    "request": Request,
                    **dict.fromkeys(sorted(path_names(screen.path)), str),
                }.items()
            ]
        )
        app.add_api_route(screen.path, endpoint, methods=[method], include_in_schema=False)


def _did(name: str, body: Mapping[str, Any] | None, answer: Mapping[str, Any]) -> str:
    """`register`, or `import*58` where so many of a table's rows were recorded."""
    sent = (body or {}).get("rows", ())
    refused = {one.get("row") for one in answer.get("refused", ())}
    return f"{name}*{len(sent) - len(refused)}" if len(sent) > 1 else name


def _signed(request: Request, name: str, where: str) -> str:
    """What was recorded, as the page there says it to this session alone."""
    path = unquote(where.partition("?")[0])
    mark = hmac.digest(csrf_token(request).encode(), f"{name} {path}".encode(), "sha256")
    return f"{name}.{mark.hex()[:32]}"


def _recorded(request: Request) -> str | None:
    """What was just recorded. A link that somebody else made says nothing of it."""
    said = request.query_params.get(RECORDED, "")
    name = said.partition(".")[0]
    fits = csrf_token(request) and hmac.compare_digest(
        said.encode(errors="replace"), _signed(request, name, request.url.path).encode()
    )
    return name if fits else None


def _add_language(app: FastAPI, roles: frozenset[str]) -> None:
    async def choose(request: Request) -> Response:
        async with request.form() as sent:
            to, here = str(sent.get("to", "")), str(sent.get("here", ""))
        language.choose(to)
        response = RedirectResponse(here if HERE.fullmatch(here) else "/", status_code=303)
        language.remember(response)
        return response

    choose.roles = roles  # type: ignore[attr-defined]
    app.add_api_route(LANGUAGE_PATH, choose, methods=["POST"], include_in_schema=False)


def _told(
    error: Problem | RequestValidationError | Undecided | Held, body: dict[str, Any] | None
) -> Problem:
    """What went wrong, for somebody with a form before her."""
    match error:
        case Problem(code="INVALID_ROWS") if body and len(body["rows"]) == 1:
            # A form for one person: its cells are the form's fields.
            return _invalid([one | {"where": one["cell"]} for one in error.errors])
        case Problem(code="IDEMPOTENCY_KEY_REUSED"):
            return Problem(
                409,
                error.code,
                "Formulir ini sudah terkirim sebelumnya dengan isi lain.",
                "Lihat dahulu apa yang tercatat; bila kiriman ini memang baru, kirim lagi.",
            )
        case Problem():
            return error
        case RequestValidationError():
            return _invalid(problems.field_errors(error.errors()))
        case Held():
            return problems.held()
        case Undecided():
            return problems.try_again()


def _invalid(errors: list[dict[str, Any]]) -> Problem:
    return Problem(
        422,
        "INVALID_INPUT",
        "Ada isian yang belum benar.",
        "Perbaiki isian yang disebut di bawah, lalu kirim lagi.",
        errors,
    )


def _of_fields(errors: list[dict[str, Any]], sent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The errors by the fields of the page: one of a list's, or one of several kinds, is its."""
    found: dict[str, dict[str, Any]] = {}
    for error in errors:
        parts = error["where"].split(".")
        known = [name for n in range(len(parts), 1, -1) if (name := ".".join(parts[:n])) in sent]
        where = known[0] if known else parts[0]
        found.setdefault(where, error | {"where": where})
    return list(found.values())


async def _carry_out(
    request: Request,
    route: CommandRoute,
    sent: FormData,
    path: dict[str, str],
    body: dict[str, Any] | None,
) -> dict[str, Any]:
    """The command's answer. Raises Problem, also where a field is wrong."""
    staff = staff_of(request)
    require(staff, route.roles)
    texts = _lists(sent)
    values = {name: path.get(name) or texts.get(name, [""])[0] for name in path_names(route.path)}
    if body is None:
        body = body_of(route.form, texts, _zone(request)) | await files.file_in(sent)
    kind = Import if route.is_import else route.form
    try:
        form = kind.model_validate(body)
    except ValidationError as error:
        raise _invalid(_of_fields(problems.field_errors(error.errors()), texts)) from None
    key = str(sent.get("key", ""))
    if not KEY.fullmatch(key):
        raise Problem(422, "INVALID_INPUT", "Formulirnya tidak utuh.", "Muat ulang halamannya.")
    address = f"POST {PREFIX}{route.path.format_map(values)}"
    if isinstance(form, files.FileForm):
        raw = form.sent()
    else:
        raw = json.dumps(body, sort_keys=True).encode()
    given = Sent(address, raw, key)
    _, answer = await perform(request, staff, route, form, values, given)
    return answer


def _zone(request: Request) -> ZoneInfo:
    return ZoneInfo(request.app.state.office.settings.time_zone)


def _by_row(
    errors: Sequence[dict[str, Any]], body: dict[str, Any] | None
) -> dict[str, list[dict[str, Any]]]:
    """What was refused, by what its row calls itself in its first field."""
    found: dict[str, list[dict[str, Any]]] = {}
    for error in errors:
        if body and isinstance(number := error.get("row"), int):
            row: dict[str, Any] = body["rows"][number - 1]
            found.setdefault(str(next(iter(row.values()))), []).append(error)
    return found


async def _open(
    service: Service,
    screen: Screen,
    request: Request,
    path: dict[str, str],
    sent: FormData,
    route: ReadRoute,
) -> Response:
    """The page with what is sealed, as the API would open it: the look is on record first."""
    staff, name = staff_of(request), str(sent["act"])
    try:
        require(staff, route.roles)
        try:
            purpose = PURPOSE.validate_python(sent.get("purpose"))
        except ValidationError as error:
            wrong = {"where": "purpose", "message": problems.sentence(error.errors()[0])}
            raise _invalid([wrong]) from None
        texts = _texts(sent)
        given = {one: path[one] for one in path_names(route.path)}
        given |= {one: texts[one][:64] for one in route.optional if texts.get(one)}
        _, found = await read(request, staff, route, given, purpose)
    except (Problem, RequestValidationError, Undecided, Held) as error:
        return await _page(service, screen, request, path, _told(error, None), sent)
    if route.file:
        return files.answer(found)
    return await _page(
        service, screen, request, path, more={"opened": {name: custody.veiled(found)}}
    )


def _moment(screen: Screen, request: Request) -> Moment:
    """As of when the screen is asked. Raises Problem (403, 422)."""
    if not screen.models:
        return Moment()
    zone = request.app.state.office.settings.zone
    times = [time_of(request.query_params.get(name, "")[:64], zone) for name in AS_OF]
    named = zip(("known_at", "true_at"), times, strict=True)
    return history.moment_of(staff_of(request), {one: at.isoformat() for one, at in named if at})


async def _preview(
    service: Service, screen: Screen, request: Request, path: dict[str, str], sent: FormData
) -> Response:
    files: Files = {
        name: (one.filename or "", await one.read())
        for name, one in sent.items()
        if isinstance(one, UploadFile) and one.filename
    }
    desk = desk_of(request, staff_of(request))
    try:
        more = await screen.previews[str(sent["act"])](desk, _lists(sent), files)
    except Problem as problem:
        return await _page(service, screen, request, path, problem, sent)
    return await _page(service, screen, request, path, more=more)


async def _step(
    service: Service,
    screen: Screen,
    step: Step,
    request: Request,
    path: dict[str, str],
    sent: FormData,
) -> Response:
    staff = staff_of(request)
    require(staff, step.roles)
    office, desk = request.app.state.office, desk_of(request, staff)
    try:
        more = await step.run(office, desk, _texts(sent) | path)
    except (Problem, Undecided, Held) as error:
        problem = _told(error, None)
        return await _page(service, screen, request, path, problem, sent, {"stepped": True})
    if isinstance(more, Response):
        return more
    return await _page(service, screen, request, path, more=more)


async def _page(
    service: Service,
    screen: Screen,
    request: Request,
    path: dict[str, str],
    problem: Problem | None = None,
    sent: FormData | None = None,
    more: Loaded | None = None,
) -> Response:
    office = request.app.state.office
    asked = {
        name: text[:64] for name in screen.optional if (text := request.query_params.get(name))
    }
    moment = _moment(screen, request) if sent is None else Moment()
    async with office.pool.connection() as connection:
        desk = replace(desk_of(request, staff_of(request)), connection=connection)
        now = desk.now
        desk = replace(desk, now=moment.today(now))
        async with history.past(desk, screen, moment):
            loaded = await screen.load(desk, path | asked)
        partners = office.settings.partners
        # Only where something can be recorded: elsewhere nobody needs to know.
        held_up = await waiting(connection, partners, now) if screen.acts else {}
    if isinstance(loaded, Response):
        return loaded
    if loaded is None:
        raise Problem(404, "NOT_FOUND", "Data ini tidak ada.", "Periksa kodenya.")
    csrf, texts = csrf_token(request), _texts(sent) if sent else {}
    act, lists = texts.get("act", ""), _lists(sent) if sent else {}
    wrong = {
        error.get("where") or error.get("cell", ""): error["message"]
        for error in (problem.errors if problem else ())
    }
    # Kept when a form comes back with an error, so that one try stays one try.
    key = texts.get("key", "")[: len(uuid4().hex)]
    if not key or problem is None or problem.code == "IDEMPOTENCY_KEY_REUSED":
        key = uuid4().hex

    def form(name: str) -> Filled:
        keyed = "" if name in screen.openings or name in screen.steps else f"{key}-{name}"
        return Filled(name, csrf, keyed, name == act, lists, wrong, kept.get(name, ()))

    kept = request.app.state.kept[screen.path]
    nothing: dict[str, Any] = {
        "preview": None, "opened": {}, "refused": {}, "taken": None, "did": "", "sent_rows": None,
    }  # fmt: skip
    shown = dict(loaded) | nothing | dict(more or {})
    if moment != Moment():
        # Nothing is done to how it was.
        shown |= {"as_of": moment, "roles": frozenset()}
    return render(
        service,
        request,
        screen.template,
        problem.status if problem else 200,
        screen.under,
        **shown,
        act=act,
        form=form,
        problem=problem,
        recorded=shown.pop("did") or _recorded(request),
        nothing_new=NOTHING_NEW in request.query_params
        or (shown["taken"] or {}).get("recorded") == 0,
        held_up=held_up,
        made_at=now.timestamp() if request.method == "GET" and moment == Moment() else None,
    )


def render(
    service: Service,
    request: Request,
    template: str,
    status: int,
    under: Sequence[str] = (),
    **shown: Any,
) -> HTMLResponse:
    office = request.app.state.office
    # Nobody yet, where the gate itself could not look: then there is no menu either.
    staff = staff_of(request) or Staff("", frozenset())
    made = environment(service.templates, office.settings.time_zone)
    menu = [one for one in service.screens if one.menu and one.roles & staff.roles]
    known = {one.path for one in menu}
    context: dict[str, Any] = {
        "office": office.settings.office_name,
        "staff": staff,
        "roles": staff.roles,
        "as_of": None,
        "menu": menu,
        "under": next((path for path in under if path in known), None),
        "here": request.url.path,
        "query": request.url.query,
        "language": language.chosen.get(),
        "csrf": csrf_token(request),
    }
    text = made.get_template(template).render(context | shown)
    return HTMLResponse(text, status_code=status)


def _problem_page(service: Service, request: Request, problem: Problem) -> Response:
    typed = getattr(request.state, "typed", {}) if problem.status >= 500 else {}
    if sum(len(text) for texts in typed.values() for text in texts) > ECHOED_CHARACTERS:
        typed = {}
    return render(
        service,
        request,
        "problem.html",
        problem.status,
        problem=problem,
        typed={name: texts for name, texts in typed.items() if name != CSRF_FIELD},
        recorded=None,
        act="",
    )


def _lists(sent: FormData) -> dict[str, list[str]]:
    return {name: [text for text in sent.getlist(name) if isinstance(text, str)] for name in sent}


def _texts(sent: FormData) -> dict[str, str]:
    return {name: values[-1] for name, values in _lists(sent).items() if values}
