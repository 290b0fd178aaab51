"""The delivery ledger: each message to a partner, how far it is, and since when.

*recorded* here; *sent* to the transport; *received* there and not applied (parked, or discarded);
*applied* there; *acknowledged* there by a person, for all whom it names. The times are those at
which this office learned it. What a partner says to lack since it was restored to an earlier time
is *sent*, and no more than that, until it has it again.
"""

from __future__ import annotations

import json
from typing import Any

from psycopg import AsyncConnection

from shared.kernel.projector import rows
from shared.runtime.manifest import Acknowledged, Desk, ReadRoute, Service
from shared.runtime.status import CONFIRMED, POSITION_DIGITS, parse_position

DELIVERIES = 200
NEWEST = int("9" * POSITION_DIGITS)

_ABOUT = """select * from outbox where position < %s
    and (%s::text is null or position(%s in body) > 0)
    and (%s::text is null or receiver = %s)
  order by position desc fetch first %s rows with ties"""
_OF_STREAM = """select o.* from events s join outbox o using (position)
  where s.stream = %s order by position desc fetch first %s rows with ties"""
_SQL = f"""
select b.position, b.receiver, b.sequence, b.body, e.recorded_at,
  (select t.at from link_times t where t.receiver = b.receiver and t.state = 'sent'
    and t.sequence >= b.sequence order by t.sequence limit 1) as sent_at,
  r.at as received_at,
  case when b.sequence <@ o.unapplied then null else coalesce(a.at, r.at) end as applied_at
from ({{which}}) b
join events e on e.position = b.position
left join link_out o on o.receiver = b.receiver
left join lateral (select t.at from link_times t where t.receiver = b.receiver
  and t.state = 'received' and t.sequence >= b.sequence order by t.sequence limit 1) r
  on b.sequence <= {CONFIRMED}
left join link_times a on a.receiver = b.receiver and a.state = 'applied'
  and a.sequence = b.sequence and b.sequence <= {CONFIRMED}
order by b.position desc, b.receiver, b.sequence
"""  # noqa: S608


async def deliveries(
    connection: AsyncConnection[Any],
    service: Service,
    subject: str | None = None,
    before: int = NEWEST,
    *,
    receiver: str | None = None,
    most: int | None = None,
) -> list[dict[str, Any]]:
    """Each message, the newest first, of those before a position of the log; to one receiver if
    named.

    Some DELIVERIES of them, or `most`: those of one event come together, so that the next page
    may begin before the last position of this one.
    """
    found = await rows(
        connection,
        _SQL.format(which=_ABOUT),
        before,
        subject,
        f'"{subject}"'.encode(),
        receiver,
        receiver,
        most or DELIVERIES,
    )
    return await _with_answers(connection, service, found)


async def of_stream(
    connection: AsyncConnection[Any], service: Service, stream: str
) -> list[dict[str, Any]]:
    """The newest messages that went with the events of one stream: found by indexes alone."""
    found = await rows(connection, _SQL.format(which=_OF_STREAM), stream, DELIVERIES)
    return await _with_answers(connection, service, found)


async def _with_answers(
    connection: AsyncConnection[Any], service: Service, found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    documents = [json.loads(row.pop("body")) for row in found]
    receivers = [row["receiver"] for row in found]
    persons = await service.acknowledged(connection, list(zip(receivers, documents, strict=True)))
    return [
        _told(row, document, answer)
        for row, document, answer in zip(found, documents, persons, strict=True)
    ]


def _told(
    row: dict[str, Any], document: dict[str, Any], answer: Acknowledged | None
) -> dict[str, Any]:
    answered = answer is not None and answer.persons == answer.of > 0
    states = (
        ("acknowledged", answered and row["received_at"]),
        ("applied", row["applied_at"]),
        ("received", row["received_at"]),
        ("sent", row["sent_at"]),
    )
    return (
        {"type": document["type"], "subject": document["subject"]}
        | row
        | {
            "state": next((state for state, reached in states if reached), "recorded"),
            "acknowledged_at": answer.at if answer and answered else None,
            "acknowledged_persons": answer.persons if answer else None,
            "acknowledged_of": answer.of if answer else None,
        }
    )


async def _deliveries(desk: Desk, given: dict[str, str]) -> Any:
    before = parse_position(given.get("before", str(NEWEST)), "before")
    return await deliveries(desk.reading, desk.service, given.get("subject"), before)


READS = (
    ReadRoute(
        "/deliveries",
        "Sampai mana tiap pesan ke kantor lain",
        frozenset({"operator", "auditor", "admin"}),
        _deliveries,
        optional=("subject", "before"),
    ),
)
