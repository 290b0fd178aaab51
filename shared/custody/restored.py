"""A log that was restored from a backup goes on: compared and whole, or shorter, with a reason.

The end of the hold (`shared.kernel.hold`), as an event of the log itself.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.contracts.values import Line, OfficeCode
from shared.kernel.decider import Command, Decider, Decision, Event

Basis = Literal["compared", "accepted"]
"""*Compared*: every partner was heard, and none has more. *Accepted*: an operator went on."""

Count = Annotated[int, Field(ge=0)]


class RestoreSettled(Event):
    """`restored` is how many events the backup had, 0 where that is not known; `events` how many
    the log has now, and `witnessed` how many a partner has cosigned. Outgoing links go on behind
    `numbers`. Of `unheard` partners nothing was known."""

    type: ClassVar[str] = "pulang.custody.restore.settled.v1"
    words: ClassVar[str] = (
        "Log yang dipulihkan dari cadangan dilanjutkan mulai dari {events} peristiwa ({basis});"
        " {restored} ada dalam cadangan, {witnessed} disaksikan kantor lain. {grounds}"
    )
    events: int
    restored: int
    witnessed: int
    numbers: dict[OfficeCode, int]
    unheard: tuple[OfficeCode, ...]
    basis: Basis
    grounds: Line


class SettleRestore(Command):
    """`log` is the size at which the log goes on: there it goes on once."""

    log: str = Field(pattern=r"^(0|[1-9][0-9]{0,17})$")
    restored: Count
    witnessed: Count
    numbers: dict[OfficeCode, Count]
    unheard: tuple[OfficeCode, ...] = ()
    basis: Basis
    grounds: Line


def decide(command: Command, settled: bool) -> Decision:
    match command:
        case SettleRestore(log=log):
            if settled:
                return []
            same = RestoreSettled.model_fields.keys() & SettleRestore.model_fields.keys()
            said = {name: getattr(command, name) for name in same}
            return [RestoreSettled(events=int(log), **said)]
    raise TypeError(command)


def evolve(settled: bool, event: Event) -> bool:
    return settled or isinstance(event, RestoreSettled)


decider: Decider[bool] = Decider(
    category="restore",
    key="log",
    commands=(SettleRestore,),
    events=(RestoreSettled,),
    initial=False,
    evolve=evolve,
    decide=decide,
)
