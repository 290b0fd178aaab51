"""What an operator does with parked messages: looks at one, tries again, gives it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from shared.custody.parked import DiscardMessage
from shared.kernel.handling import Unit
from shared.kernel.projector import rows
from shared.kernel.store import Conflict, Settled
from shared.runtime.office import Office

SHOWN_CHARACTERS = 4_000


class NotParked(Exception):
    """There is no such message, or it is settled. Nothing was changed."""


async def show(office: Office, number: int) -> dict[str, Any]:
    """The message with this number, raw as text. Raises NotParked."""
    async with office.pool.connection() as connection:
        found = await rows(
            connection,
            "select id, sender, sequence, reason, detail, times, tries, parked_at, affairs,"
            " settled_at, settled_as, settled_by, octet_length(raw) as bytes, raw"
            " from parked where id = %s",
            number,
        )
    if not found:
        raise NotParked(f"there is no parked message {number}: see `pulang parked list`")
    raw = bytes(found[0].pop("raw")).decode("utf-8", "backslashreplace")
    return found[0] | {"raw": raw[:SHOWN_CHARACTERS]}


async def retry(
    office: Office, numbers: Sequence[int], by: str
) -> tuple[list[int], list[dict[str, Any]]]:
    """Tries these again, all if none is named; gives those applied now, and those that stay.

    Others that only waited behind them follow. Raises NotParked.
    """
    open_ = await _open(office)
    if unknown := [one for one in numbers if one not in {row["id"] for row in open_}]:
        raise NotParked(f"not parked, or settled: {', '.join(map(str, unknown))}")
    chosen = frozenset(numbers or [row["id"] for row in open_])
    await office.keyring.refresh()
    applied: list[int] = []
    for sender in sorted({row["sender"] for row in open_}):
        applied += await office.inbox(sender).settle(office.clock(), by, chosen)
    return applied, [row for row in await _open(office) if row["id"] in chosen]


async def discard(office: Office, number: int, reason: str, by: str) -> list[int]:
    """Gives one up, on the record; gives those that waited and are applied now.

    Raises NotParked, also where the reason can't be kept.
    """
    now = office.clock()
    row = next((one for one in await _open(office) if one["id"] == number), None)
    if row is None:
        raise NotParked(f"not parked, or settled: {number}")
    try:
        command = DiscardMessage(
            by=by,
            now=now,
            occurred_at=now,
            parked=str(number),
            sender=row["sender"],
            sequence=row["sequence"],
            grounds=reason,
        )
    except ValidationError:
        raise NotParked(
            "the reason must be one line of at most 200 characters, without a long number:"
            " nothing was discarded"
        ) from None
    try:
        await office.handling.handle(
            [Unit([command])],
            at=now,
            actor=by,
            cause=f"parked-{number}",
            settled=[Settled(number, "discarded", by)],
        )
    except Conflict:
        raise NotParked(f"somebody else has settled {number} just now") from None
    return await office.inbox(row["sender"]).settle(office.clock(), by)


async def _open(office: Office) -> list[dict[str, Any]]:
    async with office.pool.connection() as connection:
        return await rows(
            connection,
            "select id, sender, sequence, reason, detail from parked where settled_at is null"
            " order by id",
        )
