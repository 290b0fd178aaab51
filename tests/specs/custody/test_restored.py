"""A restored log goes on once at a size: compared and whole, or shorter with a reason."""

import pytest
from pydantic import ValidationError

from shared.custody.restored import RestoreSettled, SettleRestore, decider

from ..spec import NOW, given

SAID = {"by": "operator", "now": NOW, "occurred_at": NOW, "log": "1204"}
FOUND = {
    "restored": 1200,
    "witnessed": 1290,
    "numbers": {"35": 31},
    "unheard": ("53",),
    "basis": "accepted",
    "grounds": "Server terbakar; berita acara dengan Jawa Timur",
}
COMPARED = FOUND | {"witnessed": 1204, "unheard": (), "basis": "compared", "grounds": "Lengkap"}
VALUES = {name: [value] for name, value in (SAID | FOUND).items()
          if name not in ("now", "occurred_at")}  # fmt: skip
SETTLED = RestoreSettled(events=1204, **FOUND)


def test_a_restored_log_goes_on_whole_or_with_a_reason():
    for found in (FOUND, COMPARED):
        given(decider).when(SettleRestore(**SAID, **found)).then(
            RestoreSettled(events=1204, **found)
        )
    for reason in ("", "NIK 5371012345678901"):
        with pytest.raises(ValidationError):
            SettleRestore(**SAID, **FOUND | {"grounds": reason})


def test_going_on_twice_at_one_size_is_going_on_once():
    given(decider, SETTLED).when(SettleRestore(**SAID, **FOUND)).then()
    given(decider, SETTLED).when(SettleRestore(**SAID, **COMPARED)).then()
