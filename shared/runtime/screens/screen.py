"""A screen, and the acts that it offers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.runtime.manifest import Desk

Loaded = Mapping[str, Any]


@dataclass(frozen=True)
class Act:
    """A form on a screen: the command's address, and the screen to go to once it is recorded.

    What stands in braces in either is filled from the screen's address, the form's fields and the
    command's answer.
    """

    command: str
    then: str | None = None
    """The screen itself where it is None."""


@dataclass(frozen=True)
class Screen:
    """One address that a person opens.

    `load` gives what the template shows; None is a page that is not there. `optional` names the
    query parameters that it heeds. With `menu` it stands in the navigation, under that word.
    """

    path: str
    template: str
    roles: frozenset[str]
    load: Callable[[Desk, dict[str, str]], Awaitable[Loaded | None]]
    acts: Mapping[str, Act] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    menu: str | None = None
