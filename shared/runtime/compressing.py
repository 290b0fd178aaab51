"""What goes over the wire compressed: files that are the same for all, and pages for their readers.

How long a compressed page is tells something of what is in it, if somebody else can have it asked
for with guesses in the address. Nobody's other site can here: what it asks for is not compressed.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.runtime.assets import PREFIX

LEAST_BYTES = 1_024
LEVEL = 6


class Compressed:
    """Compresses only what a page of this very host asked for, and what holds nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._compressed = GZipMiddleware(app, LEAST_BYTES, LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        may = scope["type"] == "http" and (
            scope["path"].startswith(PREFIX)
            or Headers(scope=scope).get("sec-fetch-site") == "same-origin"
        )
        await (self._compressed if may else self._plain)(scope, receive, send)
