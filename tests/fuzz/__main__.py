"""`python -m tests.fuzz TARGET SECONDS`: looks for an input that breaks a target, with atheris.

Guided by which lines of `shared` and `services` were reached. Ends with 0 where nothing was found;
otherwise prints the error and where the input was kept, below `var/fuzz`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["shared", "services"]):
    from tests.fuzz.at_the_desk import AT_THE_DESK
    from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).resolve().parent.parent.parent / "var" / "fuzz"
INPUT_SECONDS = 10
INPUT_BYTES = 16_384
MEMORY_MIB = 1_024


def main() -> None:
    every = TARGETS | AT_THE_DESK
    if len(sys.argv) != 3 or sys.argv[1] not in every or not sys.argv[2].isdigit():
        sys.exit(f"usage: python -m tests.fuzz TARGET SECONDS\ntargets: {', '.join(every)}")
    name, seconds = sys.argv[1:]
    FOUND.mkdir(parents=True, exist_ok=True)
    corpus = Path(tempfile.mkdtemp(prefix="pulang-fuzz-"))
    for number, sample in enumerate(every[name].samples):
        (corpus / str(number)).write_bytes(sample)
    options = {
        "max_total_time": seconds,
        "timeout": INPUT_SECONDS,
        "max_len": INPUT_BYTES,
        "rss_limit_mb": MEMORY_MIB,
        "artifact_prefix": f"{FOUND}/{name}-",
        "print_final_stats": 1,
    }
    # libFuzzer ends the process by itself.
    atheris.Setup(
        [name, *(f"-{key}={value}" for key, value in options.items()), str(corpus)], every[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
