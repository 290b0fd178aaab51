"""What an operator sees of the witnesses, and does where a partner's history is forked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from pydantic import ValidationError

from shared.custody.fork import AcceptHistory
from shared.kernel.handling import Unit
from shared.kernel.kept import keep
from shared.kernel.projector import rows
from shared.runtime.office import Office


class NotForked(Exception):
    """There is nothing to decide about that partner. Nothing was changed."""


async def witnesses(
    connection: AsyncConnection[Any], partners: Sequence[str]
) -> list[dict[str, Any]]:
    """Each partner: what this office kept of its history, what it cosigned of ours, and a fork."""
    return await rows(
        connection,
        "select p.partner, w.size as kept, w.witnessed_at as kept_at, c.size as cosigned,"
        " c.received_at as cosigned_at, coalesce(o.witnessed, 0) as witnessed_there,"
        " coalesce(o.forked, false) as forked_there,"
        " f.id as fork, f.detail as fork_detail, f.found_at as forked_at"
        " from unnest(%s::text[]) as p(partner)"
        " left join lateral (select size, witnessed_at from witnessed where office = p.partner"
        " order by id desc limit 1) w on true"
        " left join lateral (select size, received_at from cosignatures where office = p.partner"
        " order by size desc limit 1) c on true"
        " left join link_out o on o.receiver = p.partner"
        " left join forks f on f.office = p.partner and f.settled_at is null order by 1",
        list(partners),
    )


async def accept(office: Office, partner: str, reason: str, by: str) -> list[int]:
    """Believes a partner again, on the record; gives the parked messages that are applied now.

    What it showed last is what its next claim is to extend. Raises NotForked, also where the reason
    can't be kept.
    """
    now = office.clock()
    async with office.pool.connection() as connection:
        found = await rows(
            connection,
            "select id, came, came_size from forks where office = %s and settled_at is null",
            partner,
        )
    if not found:
        raise NotForked(f"the history of {partner} is not forked: see `pulang witness list`")
    fork = found[0]
    try:
        command = AcceptHistory(
            by=by,
            now=now,
            occurred_at=now,
            fork=str(fork["id"]),
            partner=partner,
            size=fork["came_size"],
            grounds=reason,
        )
    except ValidationError:
        raise NotForked(
            "the reason must be one line of at most 200 characters, without a long number:"
            " nothing was decided"
        ) from None
    await office.handling.handle([Unit([command])], at=now, actor=by, cause=f"fork-{fork['id']}")
    # After the record: cut off in between, the same command finishes it and records nothing more.
    async with office.pool.connection() as connection, connection.transaction():
        cursor = await connection.execute(
            "update forks set settled_at = %s, settled_by = %s where id = %s"
            " and settled_at is null returning office, came_size, came",
            (now, by, fork["id"]),
        )
        if settled := await cursor.fetchone():
            ring = office.keyring
            await keep(connection, ring.office, ring.sign, "witnessed", (*settled, now))
    return await office.inbox(partner).settle(office.clock(), by)
