"""Which of the city's events say of others that they were not so, or were otherwise (rule 18)."""

from __future__ import annotations

from services.city.domain import advance, answer, case, handover
from shared.kernel.correction import Citation, Corrections
from shared.kernel.decider import Event


def cite(event: Event) -> Citation | None:
    """What this event is to the corrections in its stream. Pure."""
    match event:
        case handover.HandoverDeparted():
            return Citation("departure")
        case handover.DepartureCorrected():
            return Citation(corrects="departure")
        case answer.ArrivalRecorded(person=person, answer=number, corrects=corrected):
            return Citation(
                f"answer {number} for {person}",
                corrects=None if corrected is None else f"answer {corrected} for {person}",
                how="replaces",
            )
        case answer.UnlistedArrivalRecorded(person=person):
            return Citation(f"unlisted {person}")
        case answer.UnlistedArrivalCorrected(person=person):
            return Citation(corrects=f"unlisted {person}")
        case advance.FareRecorded(receipt=receipt):
            return Citation(f"fare {receipt}")
        case advance.FareCorrected(receipt=receipt):
            return Citation(f"fare {receipt}", corrects=f"fare {receipt}", how="restates")
        case advance.ReceiptAttached(receipt=receipt):
            return Citation(f"file {receipt}", corrects=f"file {receipt}", how="restates")
        case case.CareBegun():
            return Citation("care")
        case case.CaseStatusRecorded():
            return Citation("care", begins=False)
        case case.CareEnded():
            return Citation(corrects="care")
    return None


CORRECTIONS = Corrections(
    correcting=(
        handover.DepartureCorrected,
        answer.ArrivalRecorded,
        answer.UnlistedArrivalCorrected,
        advance.FareCorrected,
        advance.ReceiptAttached,
        case.CareEnded,
    ),
    cite=cite,
)
