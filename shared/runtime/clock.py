"""The one place where the time is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]


def system_clock(zone: ZoneInfo) -> Clock:
    """The wall clock with the office's own offset (rule 17)."""

    def now() -> datetime:
        return datetime.now(UTC).astimezone(zone)

    return now
