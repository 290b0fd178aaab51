"""Some seeds of the simulation in every test run; `make simulate` tries as many as one likes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.kernel import outbox
from tests.simulation.pool import MemoryKeyring
from tests.simulation.world import simulate

SEEDS = 100
BATCH = 10
REGRESSIONS = Path(__file__).with_name("regressions.txt")


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_whatever_fails_nothing_is_lost_doubled_or_reordered(first: int) -> None:
    for seed in range(first, first + BATCH):
        assert simulate(seed).failure is None, f"make simulate SEED={seed}"


@pytest.mark.parametrize(
    "line", [line for line in REGRESSIONS.read_text().splitlines() if line[:1].isdigit()]
)
def test_a_seed_that_once_failed_is_well(line: str) -> None:
    seed, _, why = line.partition(" ")
    assert simulate(int(seed)).failure is None, why


def test_a_seed_always_tells_the_same_story() -> None:
    one, other = simulate(17), simulate(17)
    assert one.trace == other.trace
    assert one.digest == other.digest
    assert simulate(18).digest != one.digest


@pytest.mark.parametrize("seed", [17, 31])
def test_a_world_with_real_signatures_tells_the_same_story(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = simulate(seed)
    monkeypatch.setattr(MemoryKeyring, "signing_key", Ed25519PrivateKey.from_private_bytes)
    assert simulate(seed).trace == quick.trace


def test_a_seed_tells_the_same_story_in_another_process() -> None:
    """Where the order of a set came into it, another hash seed would show."""
    command = "from tests.simulation.world import simulate; print(simulate(17).digest)"
    told = {
        subprocess.run(
            [sys.executable, "-c", command],
            env=os.environ | {"PYTHONHASHSEED": number},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("1", "2")
    }
    assert told == {simulate(17).digest + "\n"}


@pytest.mark.parametrize("seed", [84, *range(12)])
def test_a_window_that_is_always_full_stops_no_link(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """84 once stood still: a receipt came while the relay went back."""
    monkeypatch.setattr(outbox, "WINDOW_BYTES", 3_000)
    monkeypatch.setattr(outbox, "WINDOW_MESSAGES", 4)
    run = simulate(seed)
    assert run.failure is None, run.failure
