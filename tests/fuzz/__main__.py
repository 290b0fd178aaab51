"""`python -m tests.fuzz TARGET SECONDS`: looks for an input that breaks a target, with atheris.

`every` in a target's place takes one after the other, each for so long.
Guided by which lines of `shared` and `services` were reached. Ends with 0 where nothing was found;
otherwise prints the error and where the input was kept, below `var/fuzz`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["shared", "services"]):
    from tests.fuzz.at_the_desk import AT_THE_DESK
    from tests.fuzz.targets import TARGETS, Target

FOUND = Path(__file__).resolve().parent.parent.parent / "var" / "fuzz"
EVERY = "every"
INPUT_SECONDS = 10
INPUT_BYTES = 16_384
MEMORY_MIB = 1_024


def main() -> None:
    targets = TARGETS | AT_THE_DESK
    if len(sys.argv) != 3 or sys.argv[1] not in {*targets, EVERY} or not sys.argv[2].isdigit():
        sys.exit(f"usage: python -m tests.fuzz TARGET SECONDS\n{EVERY}, {', '.join(targets)}")
    name, seconds = sys.argv[1:]
    FOUND.mkdir(parents=True, exist_ok=True)
    if name != EVERY:
        search(name, targets[name], seconds)
    ends = {name: in_a_child(name, target, seconds) for name, target in targets.items()}
    for name, code in ends.items():
        print(f"{name}: {code}", flush=True)
    sys.exit(any(ends.values()))


def in_a_child(name: str, target: Target, seconds: str) -> int:
    """The search ends its process, so each has one; what was imported is imported once."""
    child = os.fork()
    if child == 0:
        search(name, target, seconds)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def search(name: str, target: Target, seconds: str) -> NoReturn:
    with tempfile.TemporaryDirectory(prefix="pulang-fuzz-") as folder:
        for number, sample in enumerate(target.samples):
            (Path(folder) / str(number)).write_bytes(sample)
        options = {
            "max_total_time": seconds,
            "timeout": INPUT_SECONDS,
            "max_len": INPUT_BYTES,
            "rss_limit_mb": MEMORY_MIB,
            "artifact_prefix": f"{FOUND}/{name}-",
            "print_final_stats": 1,
        }
        flags = [f"-{key}={value}" for key, value in options.items()]
        atheris.Setup([name, *flags, folder], target)
        # libFuzzer ends the process by itself, and reads the folder before the first input.
        atheris.Fuzz()
    raise RuntimeError("the search came back")


if __name__ == "__main__":
    main()
