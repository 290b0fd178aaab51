"""Serves screens: shows them, takes their forms, and says what was recorded or why it was not."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from starlette.datastructures import FormData

from shared.runtime import problems
from shared.runtime.forms import path_names
from shared.runtime.gate import csrf_token, require, staff_of
from shared.runtime.manifest import CommandRoute, Problem, Service
from shared.runtime.performing import PREFIX, Sent, desk_of, perform
from shared.runtime.screens import language
from shared.runtime.screens.fields import body_of
from shared.runtime.screens.screen import Screen

TEMPLATES = Path(__file__).parent.parent / "templates"
RECORDED = "tersimpan"
"""The query parameter by which a page says what was just recorded."""


def install(app: FastAPI, service: Service, commands: Sequence[CommandRoute]) -> None:
    by_path = {route.path: route for route in commands}
    for screen in service.screens:
        _add(app, service, screen, by_path)


@cache
def _environment(folder: Path, zone: str) -> Environment:
    from zoneinfo import ZoneInfo

    made = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        loader=ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(TEMPLATES)]),
    )
    made.install_gettext_callables(  # type: ignore[attr-defined]
        language.gettext, language.ngettext, newstyle=True
    )
    made.filters |= language.filters(ZoneInfo(zone))
    return made


def _add(
    app: FastAPI, service: Service, screen: Screen, commands: Mapping[str, CommandRoute]
) -> None:
    async def show(*, request: Request, **path: str) -> Response:
        return await _page(service, screen, request, path)

    async def take(*, request: Request, **path: str) -> Response:
        sent = await request.form()
        name = str(sent.get("act", ""))
        act = screen.acts.get(name)
        if act is None:
            raise Problem(404, "NOT_FOUND", "Formulir ini tidak ada.", "Muat ulang halamannya.")
        try:
            answer = await _carry_out(request, commands[act.command], sent, path)
        except Problem as problem:
            return await _page(service, screen, request, path, problem, sent)
        values = {**_texts(sent), **path, **answer}
        where = (act.then or screen.path).format_map(values)
        return RedirectResponse(f"{where}?{urlencode({RECORDED: name})}", status_code=303)

    for method, endpoint in (("GET", show), ("POST", take)):
        if method == "POST" and not screen.acts:
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


async def _carry_out(
    request: Request, route: CommandRoute, sent: FormData, path: dict[str, str]
) -> dict[str, Any]:
    """The command's answer. Raises Problem, also where a field is wrong."""
    staff = staff_of(request)
    require(staff, route.roles)
    texts = _lists(sent)
    values = {name: path.get(name) or texts.get(name, [""])[0] for name in path_names(route.path)}
    zone = request.app.state.office.settings.zone
    body = body_of(route.form, texts, zone)
    try:
        form = route.form.model_validate(body)
    except ValidationError as error:
        raise Problem(
            422,
            "INVALID",
            "Ada isian yang belum benar.",
            "Perbaiki isian yang ditandai, lalu kirim lagi.",
            problems.field_errors(error.errors()),
        ) from None
    address = f"POST {PREFIX}{route.path.format_map(values)}"
    given = Sent(address, json.dumps(body, sort_keys=True).encode(), str(sent.get("key", "")))
    _, answer = await perform(request, staff, route, form, values, given)
    return answer


async def _page(
    service: Service,
    screen: Screen,
    request: Request,
    path: dict[str, str],
    problem: Problem | None = None,
    sent: FormData | None = None,
) -> HTMLResponse:
    office = request.app.state.office
    staff = staff_of(request)
    language.chosen.set(_language(request))
    asked = {name: request.query_params[name] for name in screen.optional
             if request.query_params.get(name)}  # fmt: skip
    async with office.pool.connection() as connection:
        desk = replace(desk_of(request, staff), connection=connection)
        loaded = await screen.load(desk, path | asked)
    if loaded is None:
        raise Problem(404, "NOT_FOUND", "Data ini tidak ada.", "Periksa kodenya.")
    template = _environment(service.templates, office.settings.time_zone).get_template(
        screen.template
    )
    text = template.render(
        **loaded,
        office=office.settings.office_name,
        staff=staff,
        menu=[one for one in service.screens if one.menu and one.roles & staff.roles],
        here=request.url.path,
        language=language.chosen.get(),
        csrf=csrf_token(request),
        # Kept when a form comes back with an error, so that one try stays one try.
        key=_texts(sent)["key"] if sent else uuid4().hex,
        sent=_lists(sent) if sent else {},
        act=_texts(sent).get("act") if sent else None,
        problem=problem,
        wrong={e["where"]: e["message"] for e in problem.errors if "where" in e}
        if problem
        else {},
        recorded=request.query_params.get(RECORDED),
    )
    return HTMLResponse(text, status_code=problem.status if problem else 200)


def _language(request: Request) -> str:
    wanted = request.cookies.get(language.COOKIE, "id")
    return wanted if wanted in language.LANGUAGES else "id"


def _lists(sent: FormData) -> dict[str, list[str]]:
    return {
        name: [text for text in sent.getlist(name) if isinstance(text, str)] for name in sent
    }


def _texts(sent: FormData) -> dict[str, str]:
    return {name: values[-1] for name, values in _lists(sent).items() if values}
