"""The public page to which the code on a paper leads: whether this office's log has that paper.

It needs no account, shows nobody and counts nothing: what stands on it is what the asker brought,
or a constant sentence. How often may be asked is bounded, for each address and for all together,
in this process's memory: it guards the office's time, not an account, so that nothing about who
asks has to be kept. A new process begins anew.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from shared.runtime import custody_routes
from shared.runtime.manifest import Service
from shared.runtime.papers.record import VERIFY
from shared.runtime.papers.verifying import SNAPSHOT, Shown, shown, verify
from shared.runtime.screens import language
from shared.runtime.screens.serving import render

WINDOW_SECONDS = 60
OF_ONE_ADDRESS = 30
OF_ALL = 6_000
"""Two hundred addresses at their own bound: a few of them shut nobody else out."""
CODE_CHARACTERS = 1_000


class Limit:
    """How many may ask in a minute. What it remembers is no more than it lets in."""

    def __init__(
        self,
        of_one: int = OF_ONE_ADDRESS,
        of_all: int = OF_ALL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_one, self._of_all, self._clock = of_one, of_all, clock
        self._began = clock()
        self._asked: Counter[str] = Counter()

    def wait(self, address: str) -> int:
        """Counts one who asks; gives 0, or after how many seconds she may ask."""
        now = self._clock()
        if now - self._began >= WINDOW_SECONDS:
            self._began = now
            self._asked.clear()
        if self._asked[address] >= self._of_one or self._asked.total() >= self._of_all:
            return math.ceil(self._began + WINDOW_SECONDS - now)
        self._asked[address] += 1
        return 0


def address_of(request: Request) -> str:
    """Who asks: an address, and of IPv6 the network, as one asker has all of it."""
    host = request.client.host if request.client else ""
    try:
        found = ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)


def brought(asked: Mapping[str, str]) -> Mapping[str, str]:
    """What the address carries, or what was pasted into the form: an address, or lines."""
    pasted = asked.get("kode", "")[:CODE_CHARACTERS].strip()
    if not pasted:
        return asked
    if "\n" not in pasted and "?" in pasted:
        # What merely looks like an address is a code that nobody knows.
        with suppress(ValueError):
            return dict(parse_qsl(urlsplit(pasted).query))
    return dict(line.strip().split("=", 1) for line in pasted.splitlines() if "=" in line)


def install(app: FastAPI, service: Service) -> None:
    """Adds the page. Each app counts for itself: an office's web is one process."""
    limit = Limit()
    kinds = (*service.papers, *custody_routes.PAPERS)

    @app.get(
        VERIFY,
        summary="Apakah suatu naskah tercatat pada kantor ini",
        response_class=HTMLResponse,
        include_in_schema=False,
    )
    async def page(request: Request) -> Response:
        if wanted := request.query_params.get("bahasa"):
            language.choose(wanted)
        response = await answer(request)
        if wanted:
            language.remember(response)
        return response

    async def answer(request: Request) -> Response:
        if not any(request.query_params.get(name) for name in ("kode", *"knepch")):
            return _page(service, request, 200)
        if wait := limit.wait(address_of(request)):
            response = _page(service, request, 429, wait=wait)
            response.headers["Retry-After"] = str(wait)
            return response
        held = shown(brought(request.query_params))
        state, snapshot = "unknown", False
        if held is not None:
            office = request.app.state.office
            async with office.pool.connection() as connection:
                verdict = await verify(connection, office.handling.types, kinds, held)
            state, snapshot = verdict.state, verdict.words == SNAPSHOT
        found = {"state": state, "snapshot": snapshot}
        return _page(service, request, 200, found, held if state != "unknown" else None)


def _page(
    service: Service,
    request: Request,
    status: int,
    verdict: Mapping[str, object] | None = None,
    held: Shown | None = None,
    wait: int = 0,
) -> HTMLResponse:
    asked = [pair for pair in request.query_params.multi_items() if pair[0] != "bahasa"]
    return render(
        service,
        request,
        "verify.html",
        status,
        verdict=verdict,
        held=held,
        wait=wait,
        asked=urlencode(asked),
        problem=None,
        recorded=None,
        act="",
    )
