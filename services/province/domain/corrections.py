"""Which of a province's events say of others that they were not so, or were otherwise (rule 18)."""

from __future__ import annotations

from services.province.domain import arrival, case
from shared.kernel.correction import Citation, Corrections
from shared.kernel.decider import Event


def cite(event: Event) -> Citation | None:
    """What this event is to the corrections in its stream. Pure."""
    match event:
        case arrival.DepartureNoted(did_not_occur=True):
            return Citation(corrects="departure")
        case arrival.DepartureNoted():
            return Citation("departure")
        case arrival.ArrivalAcknowledged(person=person, answer=number, corrects=corrected):
            return Citation(
                f"answer {number} for {person}",
                corrects=None if corrected is None else f"answer {corrected} for {person}",
                how="replaces",
            )
        case arrival.UnlistedArrivalAcknowledged(person=person):
            return Citation(f"unlisted {person}")
        case arrival.UnlistedArrivalCorrected(person=person):
            return Citation(corrects=f"unlisted {person}")
        case case.CaseOpened():
            return Citation("case")
        case case.CaseOpenedInError():
            return Citation(corrects="case")
        case case.CaseEvent():
            # What was recorded in a case that was never hers falls with it.
            return Citation("case", begins=False)
    return None


CORRECTIONS = Corrections(
    correcting=(
        arrival.DepartureNoted,
        arrival.ArrivalAcknowledged,
        arrival.UnlistedArrivalCorrected,
        case.CaseOpenedInError,
    ),
    cite=cite,
)
