"""A small domain that makes genuine messages which can't be applied, or not yet.

An errand about a beneficiary has steps that several provinces say to the city, each over its own
link: a step that comes before the one that it builds on is refused, and taken once that has come.
Beside steps a province or the city may say what the other's version of the software can't read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, Literal

from shared.contracts.messages import MESSAGES, Message
from shared.contracts.values import Identifier, OfficeCode, PersonCode
from shared.kernel.decider import Command, Decider, Decision, Event, Refused
from shared.kernel.event import Outgoing
from shared.kernel.handling import Publisher
from shared.kernel.inbox import Reactor

Kind = Literal["step", "of a newer version", "garbled"]


class StepSaid(Message):
    type: ClassVar[str] = "pulang.simulation.step-said.v1"
    errand: Identifier
    person: PersonCode
    step: int


class Newer(Message):
    """No office has this type."""

    type: ClassVar[str] = "pulang.simulation.step-said.v9"
    person: PersonCode


class Garbled(Message):
    """Every office has this type, with other fields."""

    type: ClassVar[str] = StepSaid.type
    person: PersonCode
    status: str = "?"


class Said(Event):
    type: ClassVar[str] = "pulang.simulation.errand.said.v1"
    words: ClassVar[str] = "{person}: {kind} {step}"
    errand: Identifier
    person: PersonCode
    step: int
    kind: Kind
    to: OfficeCode


class Noted(Event):
    type: ClassVar[str] = "pulang.simulation.errand.noted.v1"
    words: ClassVar[str] = "{person}: {step}"
    errand: Identifier
    person: PersonCode
    step: int


class Say(Command):
    errand: Identifier
    person: PersonCode
    step: int
    kind: Kind
    to: OfficeCode


class Note(Command):
    errand: Identifier
    person: PersonCode
    step: int


STEP_MISSING = "STEP_MISSING"


def decide(command: Command, noted: int) -> Decision:
    match command:
        case Say(errand=errand, person=person, step=step, kind=kind, to=to):
            return [Said(errand=errand, person=person, step=step, kind=kind, to=to)]
        case Note(errand=errand, person=person, step=step):
            if step > noted + 1:
                return Refused(STEP_MISSING, f"Step {noted + 1} has not come.", "Wait for it.")
            return [Noted(errand=errand, person=person, step=step)] if step > noted else []
    raise TypeError(command)


def evolve(noted: int, event: Event) -> int:
    return event.step if isinstance(event, Noted) else noted


decider: Decider[int] = Decider(
    category="errand",
    key="errand",
    commands=(Say, Note),
    events=(Said, Noted),
    initial=0,
    evolve=evolve,
    decide=decide,
)


def publisher(own: Publisher) -> Publisher:
    def publish(stream: str, event: Event) -> Iterator[Outgoing]:
        if not isinstance(event, Said):
            yield from own(stream, event)
        elif event.kind == "step":
            said = StepSaid(errand=event.errand, person=event.person, step=event.step)
            yield Outgoing(event.to, stream, said)
        else:
            unread = Newer if event.kind == "of a newer version" else Garbled
            yield Outgoing(event.to, stream, unread(person=event.person))

    return publish


def reactor(own: Reactor) -> Reactor:
    def react(
        sender: str,
        message: Message,
        actor: str,
        now: datetime,
        occurred_at: datetime,
        identities: Mapping[str, str],
    ) -> Sequence[Command]:
        if not isinstance(message, StepSaid):
            return own(sender, message, actor, now, occurred_at, identities)
        said: Any = message.model_dump()
        return [Note(by=actor, now=now, occurred_at=occurred_at, **said)]

    return react


@contextmanager
def readable() -> Iterator[None]:
    """While it lasts, offices can read what is said of errands."""
    MESSAGES[StepSaid.type] = StepSaid
    try:
        yield
    finally:
        del MESSAGES[StepSaid.type]
