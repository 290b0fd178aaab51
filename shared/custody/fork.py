"""A partner that has shown two histories, and is believed again: who decided it, and why."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.contracts.values import Line, OfficeCode
from shared.kernel.decider import Command, Decider, Decision, Event


class HistoryAccepted(Event):
    type: ClassVar[str] = "pulang.custody.history.accepted.v1"
    words: ClassVar[str] = (
        "Riwayat kantor {partner} yang bercabang (catatan {fork}) diterima lagi"
        " mulai dari {size} peristiwa: {grounds}"
    )
    fork: str
    partner: OfficeCode
    size: int
    grounds: Line


class AcceptHistory(Command):
    """`fork` is its number in the list of forks; `size` is where the history that came ends, 0
    where only its messages showed it."""

    fork: str = Field(pattern=r"^[1-9][0-9]{0,17}$")
    partner: OfficeCode
    size: int = Field(ge=0)
    grounds: Line


def decide(command: Command, accepted: bool) -> Decision:
    match command:
        case AcceptHistory(fork=fork, partner=partner, size=size, grounds=grounds):
            if accepted:
                return []
            return [HistoryAccepted(fork=fork, partner=partner, size=size, grounds=grounds)]
    raise TypeError(command)


def evolve(accepted: bool, event: Event) -> bool:
    return accepted or isinstance(event, HistoryAccepted)


decider: Decider[bool] = Decider(
    category="fork",
    key="fork",
    commands=(AcceptHistory,),
    events=(HistoryAccepted,),
    initial=False,
    evolve=evolve,
    decide=decide,
)
