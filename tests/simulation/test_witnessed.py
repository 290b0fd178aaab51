"""Where a quiet world ends: every log is witnessed, though claims of its end were lost."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation import agreement
from tests.simulation.world import World, simulate

QUIET_SECONDS = 600.0


@pytest.mark.parametrize("seed", [0, 32, 52, 56])
def test_ten_quiet_minutes_later_every_log_is_witnessed_to_its_end(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind: list[str] = []

    async def check(world: World) -> None:
        await asyncio.sleep(QUIET_SECONDS)
        for code, office in world.offices.items():
            for partner in office.partners:
                kept = world.offices[partner].database.witnessed.get(code)
                witnessed, size = kept[-1][0] if kept else 0, office.database.size
                if witnessed != size:
                    behind.append(f"{partner} has witnessed {witnessed} of {size} of {code}")

    monkeypatch.setattr(agreement, "check", check)
    assert simulate(seed).failure is None
    assert behind == []
