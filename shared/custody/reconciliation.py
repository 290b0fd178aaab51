"""An auditor's question to a partner, whether both have the same of what they told each other:
who asked, and how it ended. The question is a fact as much as its end is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from shared.contracts.values import Identifier, OfficeCode
from shared.kernel.decider import Command, Decider, Decision, Event

Outcome = Literal["agreed", "differed", "unanswered", "not_compared"]
"""*unanswered*: no answer came in time. *not_compared*: what came could not be."""


class ReconciliationAsked(Event):
    type: ClassVar[str] = "pulang.custody.reconciliation.asked.v1"
    words: ClassVar[str] = "Kantor {partner} ditanya apakah catatan tautannya sama ({run})."
    partner: OfficeCode
    run: Identifier


class ReconciliationEnded(Event):
    type: ClassVar[str] = "pulang.custody.reconciliation.ended.v1"
    words: ClassVar[str] = (
        "Pencocokan dengan kantor {partner} ({run}) selesai: {outcome}, {differences} selisih."
    )
    partner: OfficeCode
    run: Identifier
    outcome: Outcome
    differences: int


class AskReconciliation(Command):
    partner: OfficeCode
    run: Identifier


class EndReconciliation(Command):
    partner: OfficeCode
    run: Identifier
    outcome: Outcome
    differences: int = Field(ge=0)


@dataclass(frozen=True)
class State:
    """The run that was asked last, and whether it has ended."""

    run: str = ""
    ended: bool = False


def decide(command: Command, state: State) -> Decision:
    match command:
        case AskReconciliation(partner=partner, run=run):
            return [] if run == state.run else [ReconciliationAsked(partner=partner, run=run)]
        case EndReconciliation(partner=partner, run=run):
            if run != state.run or state.ended:
                return []
            return [
                ReconciliationEnded(
                    partner=partner,
                    run=run,
                    outcome=command.outcome,
                    differences=command.differences,
                )
            ]
    raise TypeError(command)


def evolve(state: State, event: Event) -> State:
    match event:
        case ReconciliationAsked(run=run):
            return State(run)
        case ReconciliationEnded(run=run):
            return State(run, ended=True)
    return state


decider: Decider[State] = Decider(
    category="reconciliation",
    key="partner",
    commands=(AskReconciliation, EndReconciliation),
    events=(ReconciliationAsked, ReconciliationEnded),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
