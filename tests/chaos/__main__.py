"""`python -m tests.chaos --rounds N --seed S`: breaks what can break, and checks what is left.

Prints its progress on standard error and at the end one JSON on standard output; exits 0 where
nothing was violated. Whatever happens, no process and no folder of it stays.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from tests.chaos import measure
from tests.chaos.checker import check
from tests.chaos.faults import FAULTS
from tests.chaos.load import Load
from tests.chaos.offices import Offices

CONVERGE_SECONDS = 60.0
BROKEN_SECONDS = (0.4, 1.6)
REST_SECONDS = 1.5
SETTING_UP_SECONDS = 600
ROUND_SECONDS = 20
"""What a round takes at most, from which the end of the whole run follows."""


class OutOfTime(Exception):
    """The run as a whole took longer than its bound."""


class Asked(Exception):
    """Somebody asked the harness to end."""


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--evidence", type=Path, help="keep the offices' logs here")
    given = options.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    _bound(SETTING_UP_SECONDS + ROUND_SECONDS * given.rounds)
    report: dict[str, Any] = {"rounds": given.rounds, "seed": seed}
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="pulang-chaos-"))
    try:
        folder.chmod(0o755)  # The servers run as another account where we are root.
        _run(folder, report, given.evidence)
    except (Asked, KeyboardInterrupt):
        report.setdefault("violations", []).append("the run was ended before its end")
    except Exception as error:
        report.setdefault("violations", []).append(f"the run failed: {error!r}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(report, ensure_ascii=False), flush=True)
    return 1 if report["violations"] else 0


def _bound(seconds: int) -> None:
    def too_long(_: int, __: FrameType | None) -> None:
        raise OutOfTime(f"more than {seconds} seconds")

    def asked(_: int, __: FrameType | None) -> None:
        raise Asked

    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGTERM, asked)
    signal.alarm(seconds)


def _run(folder: Path, report: dict[str, Any], evidence: Path | None) -> None:
    rng = random.Random(report["seed"])
    with ExitStack() as stack:
        offices = Offices(folder)
        stack.callback(offices.stop)
        if evidence is not None:
            stack.callback(_keep, folder, evidence)
        _say("starting three offices")
        offices.start()
        load = Load(offices, report["seed"])
        report["violations"] = load.violations
        stack.callback(load.stopping.set)
        load.open()
        scenarios: dict[str, Callable[[], dict[str, Any]]] = {
            "flush_under_load": lambda: measure.flush_under_load(offices, load),
            "take_over": lambda: measure.take_over(offices, load),
            "redis_away": lambda: measure.redis_away(offices, load),
            "rubbish_between": lambda: measure.rubbish_between(offices, load, rng),
        }
        for name, figures in scenarios.items():
            report[name] = figures()
            _say(f"{name}: {report[name]}")
        report["faults"] = _rounds(report["rounds"], offices, load, rng)
        _converge(offices, load, report)
        _check(offices, load, report)


def _rounds(rounds: int, offices: Offices, load: Load, rng: random.Random) -> dict[str, int]:
    """Each round breaks one or two things for a moment, while the load goes on."""
    faults: Counter[str] = Counter()
    load.start()
    for number in range(1, rounds + 1):
        # Whatever was seen least is among them, so that a few rounds already see most kinds.
        chosen = rng.sample(sorted(FAULTS), rng.choice((1, 2)))
        rarest = min(sorted(FAULTS), key=lambda name: faults[name])
        if rarest not in chosen:
            chosen[0] = rarest
        _say(f"round {number}: {', '.join(chosen)}; accepted {load.counts['commands_accepted']}")
        with ExitStack() as broken:
            for name in chosen:
                broken.enter_context(FAULTS[name](offices, rng))
                faults[name] += 1
                time.sleep(rng.uniform(0.0, 0.3))
            time.sleep(rng.uniform(*BROKEN_SECONDS))
        offices.supervise()
        if number < rounds:
            time.sleep(REST_SECONDS)
    return dict(sorted(faults.items()))


def _converge(offices: Offices, load: Load, report: dict[str, Any]) -> None:
    """Faults have stopped; nobody lifts a hand, and all must come together."""
    began = time.monotonic()
    load.stop()
    try:
        measure.settle(offices)
    except TimeoutError as error:
        load.violation(str(error))
    report["seconds_to_converge"] = round(time.monotonic() - began, 2)
    if report["seconds_to_converge"] > CONVERGE_SECONDS:
        load.violation(f"converged after {report['seconds_to_converge']} s only")
    _say(f"converged in {report['seconds_to_converge']} s")


def _check(offices: Offices, load: Load, report: dict[str, Any]) -> None:
    # A web that was killed in the last round may still be starting.
    offices.supervise()
    offices.wait_ready()
    handovers = sorted(load.ledger.handovers)
    operations = sorted({sent.operation for sent in load.ledger.handovers.values()})
    states = {code: office.state(operations, handovers) for code, office in offices.items()}
    load.violations.extend(check(load.ledger, states))
    report |= {
        "commands_accepted": load.counts["commands_accepted"],
        "requests_repeated": load.counts["requests_repeated"],
        "answers_from_memory": load.counts["answers_from_memory"],
        "repeated_on_purpose": load.counts["repeated_on_purpose"],
        "persons": len(load.ledger.persons),
        "handovers": len(handovers),
        "answers": sum(map(len, load.ledger.answers.values())),
        "unlisted": len(load.ledger.unlisted),
        "messages": {
            f"{code}:{receiver}": len(rows)
            for code, state in states.items()
            for receiver, rows in state.outbox.items()
        },
        "messages_exchanged": sum(len(r) for s in states.values() for r in s.outbox.values()),
        "events": {code: state.size for code, state in states.items()},
        "parked": {code: office.parked() for code, office in offices.items()},
        "ended_by_themselves": [e for _, o in offices.items() for e in o.ended_alone],
    }


def _keep(folder: Path, evidence: Path) -> None:
    evidence.mkdir(parents=True, exist_ok=True)
    for path in (folder / "offices").glob("*.log"):
        shutil.copy(path, evidence / path.name)


def _say(words: str) -> None:
    print(f"[chaos] {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    code = main()
    # Threads of the load that wait for an answer must not hold the end up.
    sys.stdout.flush()
    os._exit(code)
