"""The reasons that lie sealed in what a page shows: each opened by its form, on the record.

A page lists them for whoever may open them; the text stands in the answer to that form alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.kernel.decider import Event
from shared.kernel.event import StoredEvent
from shared.kernel.projector import recorded, rows
from shared.runtime import history
from shared.runtime.manifest import Desk
from shared.runtime.office import Office
from shared.runtime.screens.oversight.looking_back import dated, open_text
from shared.runtime.screens.screen import Loaded

LOOKED_AT = 200
SHOWN = 20


async def sealed_reasons(
    desk: Desk, streams: Sequence[str], kinds: Sequence[type[Event]]
) -> list[dict[str, Any]]:
    """The newest events of these kinds that hold a sealed reason which this reader may open."""
    texts = desk.service.texts
    hers = [one for one in streams if texts.get(one.partition("-")[0], set()) & desk.staff.roles]
    if not hers:
        return []
    found = await rows(
        desk.reading,
        "select position, stream, version, type, body from events where stream = any(%s)"
        " and type = any(%s) order by position desc limit %s",
        hers,
        [kind.type for kind in kinds],
        LOOKED_AT,
    )
    events = [recorded(StoredEvent(**row), desk.handling.types) for row in found]
    lines = [
        {
            "position": one.position,
            "words": history.words(one.event),
            "recorded_at": one.recorded_at,
            "actor": one.actor,
        }
        for one in events
        if history.CLOSED in (history.why(one.event) or "")
    ]
    return [dated(line, desk.settings.zone) for line in lines[:SHOWN]]


async def open_reason(office: Office, desk: Desk, given: dict[str, str]) -> Loaded:
    """One of them; the look is on record before it is shown."""
    return {"opened": {"reason": (await open_text(office, desk, given))["preview"]}}
