"""Whether the log is held: nothing is appended to one that may be shorter than others know it.

An office that was restored from a backup and goes on writing shows two histories, and takes
numbers again that its partners have already. So a log is *held* from when `pulang restore` made it
until it was compared with what every partner has, and at any time while a partner has cosigned more
of it than there is. The append statement itself looks, so that no process can be too early.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

_HOLD = (
    "select h.size, h.restored_at, h.restored_size, h.given_up, coalesce(c.size, 0), c.office"
    " from log_head h left join lateral (select size, office from cosignatures"
    " order by size desc limit 1) c on true"
)


class Held(Exception):
    """The log is held; the sentence says why. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Past:
    """Lets a commit into a log that is held and ends at `size`: events that it had before.

    With `settles` it is the end of the hold: outgoing links go on behind `numbers`, and what
    partners have witnessed through `given_up` events no longer holds it.
    """

    size: int
    settles: bool = False
    given_up: int = 0
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hold:
    """`witnessed` is the size of the largest checkpoint of this log that a partner has cosigned."""

    size: int
    restored_at: datetime | None
    restored_size: int
    given_up: int
    witnessed: int
    witness: str | None

    @property
    def behind(self) -> bool:
        return self.witnessed > max(self.size, self.given_up)

    @property
    def why(self) -> str | None:
        """Why nothing is written, or None where the log is not held."""
        if self.behind:
            return (
                f"office {self.witness} has witnessed {self.witnessed} events of this office's log,"
                f" which has {self.size}: see `pulang missing list`"
            )
        if self.restored_at is not None:
            return (
                f"the log was restored at {self.restored_at:%Y-%m-%d %H:%M} UTC and is not compared"
                " yet with what every partner has: see `pulang missing list`"
            )
        return None


async def read_hold(connection: AsyncConnection[Any]) -> Hold:
    cursor = await connection.execute(_HOLD)
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("log_head is empty: the database was not migrated by `pulang migrate`")
    return Hold(*row)
