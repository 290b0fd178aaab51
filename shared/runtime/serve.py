"""Runs an office's processes: web with or without the worker, the worker alone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys

import uvicorn

from shared.runtime import logs, tracing
from shared.runtime.manifest import Service
from shared.runtime.office import open_office
from shared.runtime.settings import Settings
from shared.runtime.tasks import end
from shared.runtime.web import app_for
from shared.runtime.worker import Worker

log = logging.getLogger(__name__)

NOT_STARTED = 3
"""The exit code where the port was taken, as uvicorn's own."""


def _configured() -> Settings:
    logs.configure()
    settings = Settings()
    tracing.configure(settings.office)
    return settings


class Server(uvicorn.Server):
    """Ends the streams of open pages first, which would hold it up otherwise."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if live := getattr(self.config.app.state, "live", None):  # type: ignore[union-attr]
            live.end()
        await super().shutdown(sockets)


def serve(service: Service, *, with_worker: bool = True) -> None:
    """Web, and the worker in the same process unless told otherwise. Blocks until stopped."""
    settings = _configured()
    config = uvicorn.Config(
        app_for(settings, service, with_worker=with_worker),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,  # Which software answers is nobody's business.
        timeout_graceful_shutdown=10,
    )
    server = Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(NOT_STARTED)


def work(service: Service) -> None:
    """The worker alone. Blocks until stopped."""
    settings = _configured()

    async def run() -> None:
        async with open_office(settings, service, patient=True) as office:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for sign in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(sign, stop.set)
            task = asyncio.create_task(Worker(office).run())
            await stop.wait()
            await end([task])

    asyncio.run(run())
