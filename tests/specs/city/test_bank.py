"""The bank's references: one credit, one person."""

from services.city.domain.bank import ReferenceUsed, UseReference, decider

from ..spec import ANN, BEA, given, say

USED = ReferenceUsed(reference="SP2D/1", person=ANN)


def test_a_reference_is_used_for_one_person():
    """Rule 15."""
    given(decider).when(say(UseReference, reference="SP2D/1", person=ANN)).then(USED)


def test_the_same_reference_for_somebody_else_is_refused():
    """Rule 15: nobody guesses whose money it is."""
    given(decider, USED).when(say(UseReference, reference="SP2D/1", person=BEA)).refused(
        "CREDIT_OF_ANOTHER"
    )
