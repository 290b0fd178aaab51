"""Stored types that this version has no reader for: in the log, and among the messages.

What was once written is read for ever, by its class or by an upcaster to a newer one. A type that
neither knows stops each fold and each projection that comes to it. This names such types before
that: after an update, or after a version was put back. It only reads.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from psycopg import AsyncConnection
from pydantic import ValidationError

from shared.contracts.messages import MESSAGES, UPCASTERS, Envelope
from shared.kernel.event import EventTypes

BATCH_MESSAGES = 1_000

Table = Literal["inbox", "outbox"]
QUERIES: dict[Table, bytes] = {
    "inbox": b"select sender, sequence, body from inbox order by sender, sequence",
    "outbox": b"select receiver, sequence, body from outbox order by receiver, sequence",
}


class Unread(NamedTuple):
    """An event type without a reader: how many events have it, and the position of the first."""

    type: str
    number: int
    first: int


class UnreadMessage(NamedTuple):
    """The same for a message type of one link; `first` is the lowest number there."""

    table: Table
    office: str
    type: str
    number: int
    first: int


async def unread_types(connection: AsyncConnection[Any], types: EventTypes) -> list[Unread]:
    """Every event type in the log that `types` neither knows nor upcasts, the earliest first."""
    cursor = await connection.execute(
        "select type, count(*), min(position) from events group by type order by min(position)"
    )
    found = [Unread(*row) for row in await cursor.fetchall()]
    return [one for one in found if not types.reads(one.type)]


async def unread_messages(connection: AsyncConnection[Any]) -> list[UnreadMessage]:
    """Every message type in inbox and outbox that the contract neither knows nor upcasts."""
    found: dict[tuple[Table, str, str], tuple[int, int]] = {}
    for table, query in QUERIES.items():
        # A type is read here and not in SQL: PostgreSQL takes no NUL in a JSON text, Python does.
        async with connection.transaction(), connection.cursor(name="unread") as cursor:
            cursor.itersize = BATCH_MESSAGES
            await cursor.execute(query)
            async for office, sequence, body in cursor:
                type_ = _type_of(body)
                if type_ is None or type_ in MESSAGES or type_ in UPCASTERS:
                    continue
                number, first = found.get((table, office, type_), (0, sequence))
                found[table, office, type_] = number + 1, first
    return [UnreadMessage(*where, *how_many) for where, how_many in found.items()]


def _type_of(body: bytes) -> str | None:
    """What the inbox takes its type to be. What is no message has none, and was parked as that."""
    try:
        return Envelope.model_validate_json(body).type
    except ValidationError:
        return None
