"""The decider: one aggregate's commands, events, state, evolve and decide, as plain values.

A decider does no I/O, reads no clock and draws no id; all of that comes with the command. It
promises two things: `decide` gives the events that follow from a command, or a `Refused`; and a
decision repeated decides nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import AwareDatetime

from shared.contracts.values import FactTime, PersonCode, Sha256, Value


class Command(Value):
    """What somebody wants. `now` is the time of recording, `occurred_at` that of the fact."""

    by: str
    now: AwareDatetime
    occurred_at: FactTime


class Event(Value):
    """What happened.

    `type` is a name of ours with its version, never a class path; `words` says it to people, with
    the event's fields in braces and nothing personal.
    """

    type: ClassVar[str]
    words: ClassVar[str]


class FileAttached(Event):
    """An event with a file about a person, which lies sealed beside the log.

    `sha256` is that of the sealed bytes: it tells whether they are still those, and nobody can
    hold a paper against it to see whether it is hers.
    """

    person: PersonCode
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal: its code, what is the matter, and what to do next. Nothing was changed."""

    code: str
    detail: str
    remedy: str


S = TypeVar("S")
Upcaster = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
Decision = Sequence[Event] | Refused


@dataclass(frozen=True)
class Decider(Generic[S]):
    """One aggregate. `key` names the command's field that tells which instance is meant."""

    category: str
    key: str
    commands: tuple[type[Command], ...]
    events: tuple[type[Event], ...]
    initial: S
    evolve: Callable[[S, Any], S]
    decide: Callable[[Any, S], Decision]
    upcasters: Mapping[str, Upcaster] = field(default_factory=dict)

    def stream(self, command: Command) -> str:
        return f"{self.category}-{getattr(command, self.key)}"
