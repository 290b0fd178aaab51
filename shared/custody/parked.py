"""A parked message that is given up: who decided it, and why, on the record.

It stays in the database as it came; what is decided is that this office will not apply it.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.contracts.values import Line, OfficeCode
from shared.kernel.decider import Command, Decider, Decision, Event


class MessageDiscarded(Event):
    type: ClassVar[str] = "pulang.custody.message.discarded.v1"
    words: ClassVar[str] = (
        "Pesan tertahan {parked} dari kantor {sender} tidak diterapkan: {grounds}"
    )
    parked: str
    sender: OfficeCode
    sequence: int | None
    grounds: Line


class DiscardMessage(Command):
    """`parked` is its number in the list of parked messages, `sequence` that of its link."""

    parked: str = Field(pattern=r"^[1-9][0-9]{0,17}$")
    sender: OfficeCode
    sequence: int | None = Field(default=None, ge=1)
    grounds: Line


def decide(command: Command, discarded: bool) -> Decision:
    match command:
        case DiscardMessage(parked=parked, sender=sender, sequence=sequence, grounds=grounds):
            if discarded:
                return []
            return [
                MessageDiscarded(parked=parked, sender=sender, sequence=sequence, grounds=grounds)
            ]
    raise TypeError(command)


def evolve(discarded: bool, event: Event) -> bool:
    return discarded or isinstance(event, MessageDiscarded)


decider: Decider[bool] = Decider(
    category="parked",
    key="parked",
    commands=(DiscardMessage,),
    events=(MessageDiscarded,),
    initial=False,
    evolve=evolve,
    decide=decide,
)
