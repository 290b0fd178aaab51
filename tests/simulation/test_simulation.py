"""Some worlds at every run of the tests; `make simulate SEEDS=…` goes through as many as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.load import load
from tests.simulation.world import simulate

REGRESSIONS = Path(__file__).parent / "regressions.txt"


def regressions() -> list[int]:
    lines = REGRESSIONS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("seed", [*range(40), *regressions()])
def test_nothing_is_lost_doubled_or_reordered_whatever_breaks(seed: int) -> None:
    simulate(seed, load)


def test_the_same_seed_gives_the_same_trace() -> None:
    assert simulate(7, load) == simulate(7, load)
    assert simulate(7, load) != simulate(8, load)
