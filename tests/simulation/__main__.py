"""`python -m tests.simulation --seeds 2000` on all cores, or `--seed 17` with its trace."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from multiprocessing import Pool

from tests.simulation.world import Result, simulate


def try_seed(seed: int) -> Result:
    """The trace stays behind: whoever wants it asks for that one seed."""
    result = simulate(seed)
    result.trace = []
    if seed % 16 == 0:
        # When little is left of a seed: in between it would only walk over living tasks.
        gc.collect()
    return result


def prepare() -> None:
    gc.freeze()
    gc.disable()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    return one(given.seed) if given.seed is not None else many(given)


def one(seed: int) -> int:
    result = simulate(seed)
    print("\n".join(result.trace))
    print(
        f"seed {seed}: {result.failure or 'all is well'}; {result.requests} requests,"
        f" {result.events} events, {result.messages} messages,"
        f" {result.seconds:.0f} virtual seconds; trace {result.digest[:16]}"
    )
    return 1 if result.failure else 0


def many(given: argparse.Namespace) -> int:
    began = time.monotonic()
    failed, latest = 0, 0.0
    drawn: Counter[str] = Counter()
    all_: Counter[str] = Counter()
    seeds = range(given.first, given.first + given.seeds)
    with Pool(given.processes, prepare) as pool:
        for result in pool.imap_unordered(try_seed, seeds, chunksize=4):
            drawn.update(result.drawn)
            all_.update(requests=result.requests, events=result.events, messages=result.messages)
            latest = max(latest, result.agreed_after)
            if result.failure:
                failed += 1
                print(f"seed {result.seed}: {result.failure}", flush=True)
    seconds = time.monotonic() - began
    for what, number in sorted(drawn.items()):
        print(f"{number:9,}  {what}")
    print("; ".join(f"{number:,} {what}" for what, number in all_.items()))
    print(f"all agreed at most {latest:.0f} virtual seconds after the faults")
    print(f"{given.seeds:,} seeds, {failed} failed, {given.seeds / seconds:.1f} a second")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
