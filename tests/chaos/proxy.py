"""A tiny proxy before Redis: the wire between an office and Redis, which can be cut or made slow.

One listener an office, so that one of them can be alone in the dark. It runs in a thread with a
loop of its own, looks at nothing, and passes bytes on.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

CHUNK = 64 * 1024


class Wire:
    """One office's connection to Redis."""

    def __init__(self) -> None:
        self.port = 0
        self.cut = False
        self.delay = 0.0
        self.writers: set[asyncio.StreamWriter] = set()


class Proxy:
    """`wires` by office; `cut`, `mend` and `delay` may be called from any thread."""

    def __init__(self, upstream: Path, offices: tuple[str, ...]) -> None:
        self._upstream = str(upstream)
        self.wires = {code: Wire() for code in offices}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def url(self, code: str) -> str:
        return f"redis://127.0.0.1:{self.wires[code].port}"

    def cut(self, code: str) -> None:
        self.wires[code].cut = True
        self._loop.call_soon_threadsafe(self._drop, code)

    def delay(self, code: str, seconds: float) -> None:
        self.wires[code].delay = seconds

    def mend(self, code: str) -> None:
        self.wires[code].cut, self.wires[code].delay = False, 0.0

    def stop(self) -> None:
        for code in self.wires:
            self.cut(code)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _drop(self, code: str) -> None:
        for writer in list(self.wires[code].writers):
            # Without a goodbye, as when somebody pulls the plug.
            writer.transport.abort()

    async def _listen(self) -> None:
        for wire in self.wires.values():

            async def accept(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire = wire
            ) -> None:
                await self._serve(wire, reader, writer)

            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            wire.port = server.sockets[0].getsockname()[1]

    async def _serve(
        self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if wire.cut:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, up_writer}
        wire.writers |= both
        try:
            ways = [
                asyncio.ensure_future(self._pass(wire, reader, up_writer)),
                asyncio.ensure_future(self._pass(wire, up_reader, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        finally:
            wire.writers -= both
            for one in both:
                one.transport.abort()

    async def _pass(
        self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if wire.delay:
                    await asyncio.sleep(wire.delay)
                writer.write(data)
                await writer.drain()
