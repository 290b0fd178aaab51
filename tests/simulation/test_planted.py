"""The simulator is itself tested: what is planted on purpose is found, and soon."""

from __future__ import annotations

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.world import simulate

SEEDS_AT_MOST = 200


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[name](monkeypatch)
    assert any(simulate(seed).failure for seed in range(SEEDS_AT_MOST)), name
