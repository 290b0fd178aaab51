"""`python -m tests.simulation --seeds N` or `--seed S`; exit 1 names the first seed that fails."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from multiprocessing import Pool

from tests.simulation.load import load
from tests.simulation.memory import Broken
from tests.simulation.world import simulate


def tried(seed: int) -> tuple[int, str]:
    try:
        simulate(seed, load)
    except (Exception, Broken):
        return seed, traceback.format_exc()
    return seed, ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    seeds = [asked.seed] if asked.seed is not None else list(range(asked.seeds))
    began = time.monotonic()
    with Pool() as pool:
        failed = [one for one in pool.imap_unordered(tried, seeds, 8) if one[1]]
    seconds = time.monotonic() - began
    for seed, why in sorted(failed)[:3]:
        sys.stdout.write(f"seed {seed}:\n{why}\n")
    rate = len(seeds) / seconds
    sys.stdout.write(f"{len(seeds)} seeds, {len(failed)} failed, {rate:.1f} a second\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
