"""Whether this office is well, for the open address that machines ask: each trouble in a sentence.

It answers within READY_SECONDS whatever the database does, and holds at most one connection for
it however many ask. It is a lamp and no switch: commands are taken whatever it says, so that
neither a broker nor a partner that is away keeps anybody from recording.
"""

from __future__ import annotations

import asyncio
import logging

from psycopg import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout

from shared.runtime import status
from shared.runtime.office import Office
from shared.runtime.worker import Worker

log = logging.getLogger(__name__)

READY_SECONDS = 2.0


class Readiness:
    """Asks one office's database, and the worker in this process where there is one."""

    def __init__(self, office: Office, worker: Worker | None) -> None:
        self._office = office
        self._worker = worker
        self._asking: asyncio.Task[list[str]] | None = None
        self._mending: asyncio.Task[None] | None = None

    async def troubles(self) -> list[str]:
        """Why this office is not ready; empty when it is."""
        asking = self._asking
        if asking is None or asking.done():
            asking = self._asking = asyncio.create_task(self._ask())
        # Waited for from outside: on a server that says nothing at all, ending a query hangs as
        # well as the query does. What is still under way then is what the next who asks waits for.
        await asyncio.wait({asking}, timeout=READY_SECONDS)
        if asking.done() and not asking.cancelled():
            return asking.result()
        asking.cancel()
        return [f"the database did not answer within {READY_SECONDS:.0f} seconds"]

    async def _ask(self) -> list[str]:
        office = self._office
        try:
            async with office.pool.connection() as connection:
                found = await status.status(connection, office.settings.partners)
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            log.warning("readiness: the database is away: %s", type(error).__name__)
            if self._mending is None or self._mending.done():
                # Beside this answer, which is not to wait for it, and never ended halfway: the
                # pool would lose the connections that it is looking at.
                self._mending = asyncio.create_task(office.pool.check())
            return [f"the database is away: {type(error).__name__}"]
        return status.troubles(found, self._worker)
