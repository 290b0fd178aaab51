"""What staff should know before they record: that it waits to be sent, or can't be recorded yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from shared.kernel.hold import read_hold
from shared.kernel.projector import rows
from shared.runtime import status

LASTING = timedelta(seconds=10)
"""A worker that starts has no line either, for a moment."""


async def waiting(
    connection: AsyncConnection[Any], partners: Sequence[str], now: datetime
) -> dict[str, Any]:
    """`held`, `stopped` (no worker), `cut` (no transport), and the partners that don't answer."""
    links = await status.links(connection, partners)
    lasting = await rows(
        connection, "select name from worker_troubles where since < %s", now - LASTING
    )
    active = await status.worker_active(connection)
    return {
        "held": (await read_hold(connection)).why is not None,
        "stopped": not active,
        "cut": active and "links" in {row["name"] for row in lasting},
        "silent": [
            row["partner"]
            for row in links
            if (row["heard_at"] is not None and now - row["heard_at"] > status.SILENCE)
            or (row["waiting_since"] is not None and now - row["waiting_since"] > status.LINK_WAIT)
        ],
    }
