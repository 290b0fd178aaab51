"""A service's manifest: all that web, worker, command line and tests need to know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastapi.exceptions import RequestValidationError
from psycopg import AsyncConnection
from pydantic import ValidationError

from shared.contracts.values import Value
from shared.custody.access import Purpose
from shared.kernel.correction import Corrections
from shared.kernel.decider import Command, Decider
from shared.kernel.handling import Handling, Publisher, Unit
from shared.kernel.inbox import Reactor
from shared.kernel.projector import Projection
from shared.kernel.vault import Vault
from shared.runtime.equations import NoSums, Sums
from shared.runtime.papers.paper import Paper
from shared.runtime.papers.record import Kind, Source
from shared.runtime.settings import Settings
from shared.runtime.staff import Staff

if TYPE_CHECKING:
    from shared.runtime.screens.screen import Screen


class Problem(Exception):
    """A refusal for a person: RFC 9457, with what to do next. Nothing was changed."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        remedy: str,
        errors: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.remedy = status, code, detail, remedy
        self.errors = list(errors)


@dataclass(frozen=True)
class Desk:
    """Where one request is worked on: who asks, when, why, and the means to answer."""

    settings: Settings
    handling: Handling
    vault: Vault
    service: Service
    staff: Staff
    now: datetime
    occurred_at: datetime
    purpose: Purpose | None = None
    connection: AsyncConnection[Any] | None = None
    planned_on: dict[str, int] = field(default_factory=dict)

    def command(self, kind: type[Command], **fields: Any) -> Command:
        """The command in this member of staff's name. Raises RequestValidationError."""
        try:
            return kind(
                by=self.staff.username, now=self.now, occurred_at=self.occurred_at, **fields
            )
        except ValidationError as error:
            # What came in the path is checked here, as what came in the body was before.
            raise RequestValidationError(error.errors()) from None

    async def state(self, decider: Decider[Any], key: str) -> Any:
        """An aggregate's state to plan on. Where it changes meanwhile the plan is made anew."""
        return (await self.states(decider, [key]))[key]

    async def states(self, decider: Decider[Any], keys: Iterable[str]) -> dict[str, Any]:
        return await self.handling.states(decider, keys, self.planned_on)

    @property
    def source(self) -> Source:
        """Where the papers of a read are read from."""
        return Source(self.reading, self.handling.types, self.settings)

    @property
    def reading(self) -> AsyncConnection[Any]:
        """The connection of a read. A command's desk has none."""
        if self.connection is None:
            raise RuntimeError("a command does not read from read models")
        return self.connection


@dataclass(frozen=True)
class Plan:
    """The units to decide, and what to tell the asker beside it.

    For an import `rows` has each unit's row number, `row_errors` what was wrong with the rows
    that became no unit, and `per_unit` what to tell of each unit that was not refused.
    """

    units: Sequence[Unit]
    answer: dict[str, Any] = field(default_factory=dict)
    all_or_nothing: bool = True
    rows: Sequence[int] = ()
    row_errors: Sequence[dict[str, Any]] = ()
    per_unit: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class CommandRoute:
    """POST `path`: a form becomes units of commands."""

    path: str
    summary: str
    roles: frozenset[str]
    form: type[Value]
    plan: Callable[[Desk, Any, dict[str, str]], Awaitable[Plan]]
    is_import: bool = False
    quiet: bool = False
    """Answers after a fixed time, so that how long it took tells nothing."""


@dataclass(frozen=True)
class ReadRoute:
    """GET `path`: a read model; `optional` names query parameters, and `needs` those of them that
    it can't do without. None is a 404.

    `models` are the read models that it reads: with them it can be asked as of a time. With
    `opens` it also shows what is sealed: that gets what the query found, and opens it by
    `shared.runtime.custody.opened`, which records the look. Then a purpose must be named. With
    `paper` what was found can be had as a PDF (`format=pdf`). A list can be had as a table, CSV or
    XLSX, and anything else of which `table` makes rows; what `opens` never can. With `file` what
    is opened is one (`shared.runtime.files.Opened`), and that is the answer.
    """

    path: str
    summary: str
    roles: frozenset[str]
    query: Callable[[Desk, dict[str, str]], Awaitable[Any]]
    optional: tuple[str, ...] = ()
    models: tuple[Projection, ...] = ()
    opens: Callable[[Desk, Any], Awaitable[Any]] | None = None
    needs: tuple[str, ...] = ()
    paper: Callable[[Desk, Any], Paper] | None = None
    table: Callable[[Any], list[dict[str, Any]]] | None = None
    file: bool = False

    @property
    def address(self) -> str:
        """The path with all that must be filled in, in braces."""
        asked = self.needs + (("purpose",) if self.opens else ())
        return self.path + "?" * bool(asked) + "&".join(f"{name}={{{name}}}" for name in asked)


async def _anybody(desk: Desk, person: str) -> bool:
    return True


async def _any_text(desk: Desk, category: str, person: str) -> bool:
    return True


async def _nobody(desk: Desk, before: datetime) -> list[dict[str, Any]]:
    return []


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """For how many of a message's persons its receiver's staff have answered.

    And when this office learned the last of it.
    """

    persons: int
    of: int
    at: datetime | None


async def _by_nobody(
    connection: AsyncConnection[Any], messages: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[Acknowledged | None]:
    return [None] * len(messages)


async def _no_papers(source: Source, subject: str) -> dict[str, Paper]:
    return {}


@dataclass(frozen=True)
class Service:
    """One kind of office, as declared in its `service.py`."""

    kind: Literal["city", "province"]
    deciders: tuple[Decider[Any], ...]
    publisher: Publisher
    reactor: Reactor
    projections: tuple[Projection, ...]
    commands: tuple[CommandRoute, ...]
    reads: tuple[ReadRoute, ...]
    texts: Mapping[str, frozenset[str]]
    """Category of stream → the roles that may open free texts in it."""
    is_here: Callable[[Desk, str], Awaitable[bool]] = _anybody
    """Whether the log tells of this person. The blind index may know of somebody whose events were
    lost with an older backup, and given up."""
    may_find: Callable[[Desk, str], Awaitable[bool]] = _anybody
    """Whether who asks may learn by a look-up that this person is here."""
    may_read: Callable[[Desk, str, str], Awaitable[bool]] = _any_text
    """Whether who asks may read free texts about this person in streams of this category."""
    acknowledged: Callable[
        [AsyncConnection[Any], Sequence[tuple[str, Mapping[str, Any]]]],
        Awaitable[list[Acknowledged | None]],
    ] = _by_nobody
    """What staff of receivers have answered to messages to them; None: nobody is asked to."""
    retained: Callable[[Desk, datetime], Awaitable[list[dict[str, Any]]]] = _nobody
    """Whose affairs ended before a time: what the retention schedule proposes to erase."""
    papers: tuple[Kind, ...] = ()
    """The kinds of paper whose code can be held against the log."""
    evidence: Callable[[Source, str], Awaitable[dict[str, Paper]]] = _no_papers
    """The papers of a subject that belong into its evidence, by file name. Nobody's identity."""
    corrections: Corrections = field(default_factory=Corrections)
    """Which events say of others that they were not so: what is asked as true heeds them."""
    sums: Callable[[], Sums] = NoSums
    """A new fold of what must add up here."""
    screens: tuple[Screen, ...] = ()
    """What its staff open in a browser, in the order of the menu."""
    templates: Path = Path()
    """The folder of the templates that its screens name."""
