"""The simulator is itself tested: what is planted on purpose is found, and soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.planted import ONCE, PLANTED
from tests.simulation.world import simulate

SEEDS_AT_MOST = 200
ONCE_SEEDS_AT_MOST = 600
LISTED = Path(__file__).with_name("regressions.txt").read_text().splitlines()


def listed_for(name: str) -> list[int]:
    return [int(line.split()[0]) for line in LISTED if line.endswith(f"[{name}]")]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """First by the seed that is listed for it, where no early one finds it."""
    PLANTED[name](monkeypatch)
    first = [seed for seed in listed_for(name) if seed < SEEDS_AT_MOST]
    assert any(simulate(seed).failure for seed in (*first, *range(SEEDS_AT_MOST))), name


@pytest.mark.parametrize("name", ONCE)
def test_a_fault_that_the_product_once_had_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First by the seed that is listed for it, which another story may have made mean another."""
    listed = listed_for(name)
    ONCE[name](monkeypatch)
    assert listed
    assert any(simulate(seed).failure for seed in (*listed, *range(ONCE_SEEDS_AT_MOST)))
