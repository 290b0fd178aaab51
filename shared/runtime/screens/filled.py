"""One form of a page as its template needs it: its hidden fields, what was typed, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Filled:
    """A form. Only the one that was sent has something typed, or wrong."""

    act: str
    csrf: str
    key: str
    """Empty where no key keeps it from being done twice: a script must not send that by itself."""
    was_sent: bool = False
    sent: Mapping[str, Sequence[str]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    kept: Sequence[str] = ()
    """The fields that may lie on a device until they are sent."""

    def typed(self, name: str, default: object = "") -> str:
        if not self.was_sent:
            return str(default)
        return next(iter(self.sent.get(name, ())), "")

    def ticked(self, name: str, value: str, default: bool = False) -> bool:
        return value in self.sent.get(name, ()) if self.was_sent else default

    def wrong(self, name: str) -> str | None:
        return self.errors.get(name) if self.was_sent else None

    def id(self, name: str) -> str:
        """Distinct on a page with several forms; also where the error summary leads."""
        return f"{self.act}-{name}"
