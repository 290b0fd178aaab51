"""A message that is given up: with a reason, on the record, once."""

import pytest
from pydantic import ValidationError

from shared.custody.parked import DiscardMessage, MessageDiscarded, decider

from ..spec import NOW, given

DISCARD = {
    "by": "operator",
    "now": NOW,
    "occurred_at": NOW,
    "parked": "12",
    "sender": "35",
    "sequence": 7,
    "grounds": "Kiriman uji dari kantor pengirim",
}
VALUES = {name: [value] for name, value in DISCARD.items() if name not in ("now", "occurred_at")}
DISCARDED = MessageDiscarded(parked="12", sender="35", sequence=7, grounds=DISCARD["grounds"])


def test_a_parked_message_is_given_up_with_a_reason():
    given(decider).when(DiscardMessage(**DISCARD)).then(DISCARDED)
    for reason in ("", "NIK 5371012345678901"):
        with pytest.raises(ValidationError):
            DiscardMessage(**DISCARD | {"grounds": reason})


def test_what_never_had_a_number_can_be_given_up_too():
    given(decider).when(DiscardMessage(**DISCARD | {"sequence": None})).then(
        DISCARDED.model_copy(update={"sequence": None})
    )


def test_giving_up_twice_is_giving_up_once():
    given(decider, DISCARDED).when(DiscardMessage(**DISCARD)).then()
