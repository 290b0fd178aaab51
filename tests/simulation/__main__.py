"""`python -m tests.simulation --seeds 2000` on all cores, or `--seed 17` with its trace."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from multiprocessing import Pool

from tests.simulation.world import simulate


def try_seed(seed: int) -> tuple[int, str | None]:
    result = simulate(seed)
    # Once a seed, when little is left of it: in between it would only walk over living tasks.
    gc.collect()
    return seed, result.failure


def prepare() -> None:
    gc.freeze()
    gc.disable()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    if given.seed is not None:
        result = simulate(given.seed)
        print("\n".join(result.trace))
        print(f"seed {result.seed}: {result.failure or 'all is well'}; {result.requests} requests,"
              f" {result.events} events, {result.messages} messages,"
              f" {result.seconds:.0f} virtual seconds; trace {result.digest[:16]}")  # fmt: skip
        return 1 if result.failure else 0
    began = time.monotonic()
    failed = 0
    seeds = range(given.first, given.first + given.seeds)
    with Pool(os.cpu_count(), prepare) as pool:
        for seed, failure in pool.imap_unordered(try_seed, seeds, chunksize=4):
            if failure:
                failed += 1
                print(f"seed {seed}: {failure}")
    seconds = time.monotonic() - began
    print(f"{given.seeds} seeds, {failed} failed, {given.seeds / seconds:.0f} a second")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
