"""A screen, and the acts that it offers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from fastapi import Response

from shared.kernel.projector import Projection
from shared.runtime.manifest import Desk

if TYPE_CHECKING:
    from shared.runtime.office import Office

AS_OF = ("dicatat", "terjadi")
"""The query parameters by which a screen shows how it was: as known then, as true then."""

Loaded = Mapping[str, Any]
Texts = Mapping[str, Sequence[str]]
"""What a form's fields held, as text."""
Files = Mapping[str, tuple[str, bytes]]
"""What files came with a form: field → name, content."""


@dataclass(frozen=True)
class Act:
    """A form on a screen: the command's address, and the screen to go to once it is recorded.

    What stands in braces in either is filled from the screen's address, the form's fields and the
    command's answer. `body` makes the command's body where it is not the form's fields one by one.
    """

    command: str
    then: str | None = None
    """The screen itself where it is None."""
    body: Callable[[Texts], dict[str, Any]] | None = None
    rows: Callable[[Texts, ZoneInfo], list[dict[str, Any]]] | None = None
    """Makes an import's rows of the form. Each is recorded or refused on its own: the page comes
    back with what was refused, and `refused` has it by the row's first field."""


@dataclass(frozen=True)
class Step:
    """A form that does what no single command can, such as asking a partner, for these roles.

    It gets what stands in the address and in the form, and gives what the page then shows beside
    the rest, or a file. Sent twice it must do no harm: no idempotency key guards it.
    """

    roles: frozenset[str]
    run: Callable[[Office, Desk, dict[str, str]], Awaitable[Loaded | Response]]


@dataclass(frozen=True)
class Screen:
    """One address that a person opens.

    `load` gives what the template shows, or a file to download; None is a page that is not there.
    `optional` names the query parameters that it heeds. With `menu` it stands in the navigation,
    under that word. `previews` are forms that record nothing: they show what would become of what
    was sent. `openings` are forms that show what is sealed.
    """

    path: str
    template: str
    roles: frozenset[str]
    load: Callable[[Desk, dict[str, str]], Awaitable[Loaded | Response | None]]
    acts: Mapping[str, Act] = field(default_factory=dict)
    models: tuple[Projection, ...] = ()
    """The read models that it shows: with them an auditor or admin may ask how it was."""
    previews: Mapping[str, Callable[[Desk, Texts, Files], Awaitable[Loaded]]] = field(
        default_factory=dict
    )
    openings: Mapping[str, str] = field(default_factory=dict)
    """Form → the address of the read that opens it: its roles, its purpose, its record of the look.
    What it gave stands in `opened`, in the answer to that form alone."""
    steps: Mapping[str, Step] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    menu: str | None = None
    under: tuple[str, ...] = ()
    """The screens of the menu that lead to it: the first that its reader has is marked as hers."""
