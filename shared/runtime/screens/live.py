"""Pages that update by themselves: a stream of Server-Sent Events for each that is open.

A stream says that something has changed, and never what: the page then asks for itself anew, as
its reader, and shows what is different. One loop in each process looks for all streams; while no
page is open it does not look at all. A stream is no use of its session: it ends with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from psycopg import Error
from psycopg_pool import PoolTimeout
from starlette.routing import compile_path

from shared.runtime import sessions
from shared.runtime.gate import LIVE_PATH, require, staff_of
from shared.runtime.manifest import Problem
from shared.runtime.office import Office
from shared.runtime.screens.screen import Screen

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
QUIET_SECONDS = 4.0
"""After it has said something a stream is quiet for so long, however much happens."""
BEAT_SECONDS = 15.0
MOST_STREAMS = 256
MOST_OF_A_SESSION = 6
_CHANGED = b"event: berubah\ndata: 1\n\n"
_BEAT = b"event: detak\ndata: 1\n\n"
_OVER = b"event: selesai\ndata: 1\n\n"

# How far the read models, the links and the hold are: what pages show changes with these alone.
_STATE = (
    "select concat_ws('/',"
    " (select string_agg(concat_ws('.', name, version, position), ' ' order by name)"
    " from projections),"
    " (select string_agg(concat_ws('.', receiver, sent_through, confirmed_through, applied_there,"
    " unapplied), ' ' order by receiver) from link_out),"
    " (select string_agg(name, ' ' order by name) from worker_troubles),"
    " (select restored_at from log_head))"
)


@dataclass(eq=False)
class Stream:
    """One open page."""

    session: bytes
    roles: frozenset[str]
    """Any of these opens the page."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    changed: bool = False
    ended: bool = False
    over: bool = False
    """Its session ended, so that asking again is of no use."""

    def tell(self) -> None:
        self.changed = True
        self.wake.set()

    def end(self, *, over: bool = False) -> None:
        self.ended, self.over = True, over
        self.wake.set()


class Live:
    """The streams of one process."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._streams: list[Stream] = []
        self._any = asyncio.Event()
        self._state = ""
        self._changed_at = 0.0
        self._ending = False

    async def run(self) -> None:
        """Looks while anybody has a page open. Until cancelled."""
        while True:
            await self._any.wait()
            try:
                await self._look()
            except (Error, OSError, PoolTimeout) as error:
                log.info("live: the database is away: %s", type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        now = self._office.clock()
        async with self._office.pool.connection() as connection:
            cursor = await connection.execute(_STATE)
            [state] = await cursor.fetchone() or [""]
            held = {stream.session for stream in self._streams}
            roles_of = await sessions.open_of(connection, held, now)
        for stream in self._streams:
            if not roles_of.get(stream.session, frozenset()) & stream.roles and (
                stream.session in held
            ):
                stream.end(over=True)
        if state != self._state:
            self._state, self._changed_at = state, now.timestamp()
            for stream in self._streams:
                stream.tell()

    def open(self, session: bytes, roles: frozenset[str], since: float) -> Stream | None:
        """A new stream for a page as of `since`; None where there is no room for one."""
        if self._ending or len(self._streams) >= MOST_STREAMS:
            return None
        of_session = [one for one in self._streams if one.session == session and not one.ended]
        if len(of_session) >= MOST_OF_A_SESSION:
            of_session[0].end(over=True)
        stream = Stream(session, roles)
        self._streams.append(stream)
        self._any.set()
        if since < self._changed_at:
            stream.tell()
        return stream

    async def said(self, stream: Stream) -> AsyncIterator[bytes]:
        """What is sent to the page, until it is closed or the stream ends."""
        loop = asyncio.get_running_loop()
        quiet_until = 0.0
        try:
            yield b"retry: 5000\n\n" + _BEAT
            while not stream.ended:
                wait = max(0.0, quiet_until - loop.time()) if stream.changed else BEAT_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await stream.wake.wait()
                stream.wake.clear()
                if stream.ended:
                    break
                if not stream.changed:
                    yield _BEAT
                elif loop.time() >= quiet_until:
                    stream.changed, quiet_until = False, loop.time() + QUIET_SECONDS
                    yield _CHANGED
            if stream.over:
                yield _OVER
        finally:
            self._streams.remove(stream)
            if not self._streams:
                self._any.clear()

    def end(self) -> None:
        """Ends all streams, so that a process that is to stop can; pages ask again elsewhere."""
        self._ending = True
        for stream in self._streams:
            stream.end()


def install(app: FastAPI, screens: Sequence[Screen]) -> None:
    """Adds the one address of the streams. `di` is the page, `sejak` when it was made."""
    patterns = [(compile_path(screen.path)[0], screen.roles) for screen in screens]

    async def stream(request: Request, di: str = "", sejak: float = 0.0) -> Response:
        roles = next((roles for pattern, roles in patterns if pattern.match(di)), None)
        if roles is None:
            raise Problem(404, "NOT_FOUND", "Halaman ini tidak ada.", "Periksa alamatnya.")
        require(staff_of(request), roles)
        session: Any = request.state.session
        live: Live = request.app.state.live
        opened = live.open(session.digest, roles, sejak) if session else None
        if opened is None:
            # By which a browser knows not to ask again: the page works without.
            return Response(status_code=204)
        return StreamingResponse(
            live.said(opened),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    stream.roles = frozenset().union(*(screen.roles for screen in screens))  # type: ignore[attr-defined]
    app.add_api_route(LIVE_PATH, stream, methods=["GET"], include_in_schema=False)
