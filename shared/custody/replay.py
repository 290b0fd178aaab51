"""A read model that was built anew: who asked for it, why, by what software, what it showed.

The record is for auditors. It is made with the switch, and of a copy that could not be built too.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from shared.contracts.values import Identifier, Line
from shared.kernel.decider import Command, Decider, Decision, Event

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 over all rows of a copy (`shared.kernel.projector.digest`)."""

Outcome = Literal["equal", "different", "another_version", "refused"]
"""What was found of the live copy. Unless *refused*, the rebuilt one took its place."""


class ReplayRecorded(Event):
    """`first` to `last` are the positions that the rebuilt copy was made of; `live` and `rebuilt`
    the digests before the switch, at `last`; `differing` the rows that only one copy had."""

    type: ClassVar[str] = "pulang.custody.replay.recorded.v1"
    words: ClassVar[str] = (
        "Model baca {read_model} dibangun ulang ({run}) dari peristiwa {first} sampai {last}"
        " oleh versi {software}: {outcome}. {grounds}"
    )
    read_model: Identifier
    run: Identifier
    software: str
    projection_version: int
    first: int
    last: int
    live: Digest
    rebuilt: Digest | None
    differing: int | None
    outcome: Outcome
    grounds: Line


class RecordReplay(Command):
    """`run` names what one command of an operator did; it may have rebuilt several read models."""

    read_model: Identifier
    run: Identifier
    software: str
    projection_version: int = Field(ge=1)
    first: int = Field(ge=0)
    last: int = Field(ge=0)
    live: Digest
    rebuilt: Digest | None
    differing: int | None = Field(ge=0)
    outcome: Outcome
    grounds: Line


def decide(command: Command, recorded: frozenset[str]) -> Decision:
    match command:
        case RecordReplay(run=run):
            if run in recorded:
                return []
            fields = {name: getattr(command, name) for name in ReplayRecorded.model_fields}
            return [ReplayRecorded(**fields)]
    raise TypeError(command)


def evolve(recorded: frozenset[str], event: Event) -> frozenset[str]:
    return recorded | {event.run} if isinstance(event, ReplayRecorded) else recorded


decider: Decider[frozenset[str]] = Decider(
    category="replay",
    key="read_model",
    commands=(RecordReplay,),
    events=(ReplayRecorded,),
    initial=frozenset(),
    evolve=evolve,
    decide=decide,
)
