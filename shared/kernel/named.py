"""Which codes are named where in the log, so that a history of one of them needs no scan.

Each full block of 256 events has the codes that stand quoted in its events' bytes, and those that
their streams are, or end with. It only narrows where to look: whoever asks still looks at every
event of the blocks that name the code, and of what comes after the last block. So an answer is the
same with it and without. All here is derived from the events: `pulang audit verify` derives it
anew and compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from psycopg import AsyncConnection

BLOCK_EVENTS = 256
STEP_BLOCKS = 4
"""So many blocks are read and written at once."""

CODE = re.compile(r"(?![0-9a-f]{8}-)[A-Za-z][A-Za-z0-9]{0,31}[-/][A-Za-z0-9._/-]{1,96}")
"""`PM-7Q2M9XK4AB`, `HO-KD-35`, `handover-HO-1`, `STS/12`: what people type and what pages link to,
and no event's id, which would be one more for each event."""
_BYTES = re.compile(CODE.pattern.encode())

NEAR = f"""(
  select e.* from (
    select block * {BLOCK_EVENTS} as after, (block + 1) * {BLOCK_EVENTS} as through
    from named where codes @> array[%(subject)s]::text[]
    union all
    select coalesce(max(block) + 1, 0) * {BLOCK_EVENTS}, {2**63 - 1} from named
  ) as part cross join lateral (
    select * from events where position > part.after and position <= part.through offset 0
  ) as e
)"""  # noqa: S608 - every word is ours
"""In the place of `events`: those among which all are that name `subject`, if it is a CODE.

`offset 0` keeps PostgreSQL from reading all events in the order that is wanted of a few.
"""


def is_named(subject: str | None) -> bool:
    """Whether blocks tell where it is named; anything else has to be looked for everywhere."""
    return subject is not None and CODE.fullmatch(subject) is not None


def codes(events: Iterable[tuple[str, bytes]]) -> list[str]:
    """What a block of these streams and bodies names, in order."""
    found, quoted = set[str](), set[bytes]()
    for stream, body in events:
        # A code has no quote in it: it stands between two of them that are neighbours.
        quoted.update(body.split(b'"')[1:-1])
        rest, dash = stream, "-"
        while dash:
            if CODE.fullmatch(rest):
                found.add(rest)
            _, dash, rest = rest.partition("-")
    return sorted(found | {one.decode() for one in quoted if _BYTES.fullmatch(one)})


async def extend(connection: AsyncConnection[Any]) -> int:
    """Writes the next full blocks; gives how many. More than one process may try at once."""
    cursor = await connection.execute(
        "select size, (select coalesce(max(block) + 1, 0) from named) from log_head"
    )
    row = await cursor.fetchone()
    size, done = row or (0, 0)
    due = range(done, min(size // BLOCK_EVENTS, done + STEP_BLOCKS))
    for block in due:
        cursor = await connection.execute(
            "select stream, body from events where position > %s and position <= %s",
            (block * BLOCK_EVENTS, (block + 1) * BLOCK_EVENTS),
        )
        events = [(stream, bytes(body)) for stream, body in await cursor.fetchall()]
        await connection.execute(
            "insert into named (block, codes) values (%s, %s) on conflict do nothing",
            (block, codes(events)),
        )
    return len(due)
