"""A service's manifest: all that web, worker, command line and tests need to know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from fastapi.exceptions import RequestValidationError
from psycopg import AsyncConnection
from pydantic import ValidationError

from shared.contracts.values import PERSONAL_TEXT_CHARACTERS, Personal, Value
from shared.kernel.decider import Command, Decider
from shared.kernel.handling import Handling, Publisher, Unit
from shared.kernel.inbox import Reactor
from shared.kernel.projector import Projection
from shared.kernel.store import PersonKey
from shared.kernel.vault import Vault
from shared.runtime.settings import Settings
from shared.runtime.staff import Staff


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
    """Where one request is worked on: who asks, when, and the means to answer."""

    settings: Settings
    handling: Handling
    vault: Vault
    staff: Staff
    now: datetime
    occurred_at: datetime
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

    async def sealed(self, command: Command) -> tuple[Command, list[PersonKey]]:
        """The command with its personal texts sealed under its person's key, and a new key."""
        names = [
            name
            for name, info in type(command).model_fields.items()
            if any(isinstance(mark, Personal) for mark in info.metadata)
        ]
        if not names:
            return command, []
        person: str = command.person  # type: ignore[attr-defined]
        texts = [getattr(command, name) for name in names]
        for name, text in zip(names, texts, strict=True):
            if len(text) > PERSONAL_TEXT_CHARACTERS:
                raise Problem(
                    422,
                    "TEXT_TOO_LONG",
                    f"{name}: paling banyak {PERSONAL_TEXT_CHARACTERS} karakter.",
                    "Ringkas catatannya.",
                )
        sealed, keys = await self.vault.seal([(person, text) for text in texts])
        return command.model_copy(update=dict(zip(names, sealed, strict=True))), keys

    async def state(self, decider: Decider[Any], key: str) -> Any:
        """An aggregate's state to plan on. Where it changes meanwhile the plan is made anew."""
        return (await self.states(decider, [key]))[key]

    async def states(self, decider: Decider[Any], keys: Iterable[str]) -> dict[str, Any]:
        return await self.handling.states(decider, keys, self.planned_on)

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


@dataclass(frozen=True)
class ReadRoute:
    """GET `path`: a read model; `optional` names query parameters. None is a 404."""

    path: str
    summary: str
    roles: frozenset[str]
    query: Callable[[Desk, dict[str, str]], Awaitable[Any]]
    optional: tuple[str, ...] = ()


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
