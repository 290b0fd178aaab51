"""The scenarios with a figure of their own, each on offices that are otherwise whole.

They run under the same load and the same ledger as the rounds, so that the final check covers
them as well.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg

from tests.chaos.checker import CITY
from tests.chaos.faults import throw_in
from tests.chaos.load import Load
from tests.chaos.offices import PROVINCES, Offices
from tests.chaos.rubbish import KINDS

WITHIN_SECONDS = 90.0
FLUSHES = 5
FLUSHED_SECONDS = 10.0
BACKLOG_CASES = 50
BACKLOG_PERSONS = 60
RUBBISH = 100


def within(offices: Offices, ready: Callable[[], bool], what: str) -> float:
    """Seconds until `ready`. Raises TimeoutError with what is still open."""
    began = time.monotonic()
    while True:
        try:
            if ready():
                return time.monotonic() - began
        except psycopg.Error:
            pass  # A database that is just coming back.
        if time.monotonic() - began > WITHIN_SECONDS:
            raise TimeoutError(f"{what}: after {WITHIN_SECONDS:.0f} s: {offices.unsettled()}")
        time.sleep(0.05)


def settle(offices: Offices) -> float:
    return within(offices, lambda: not offices.unsettled(), "everything in sync")


def flush_under_load(offices: Offices, load: Load) -> dict[str, Any]:
    """How long after a FLUSHALL every link has confirmed something that was recorded after it.

    With that all is confirmed that was recorded before it. The wait for something to be recorded
    is part of the figure, so it is rather too long than too short.
    """
    load.start()
    found: list[float] = []
    for _ in range(FLUSHES):
        time.sleep(1.0)
        with offices.redis.client() as client:
            client.flushall()
        flushed = time.monotonic()
        wanted = {
            code: {receiver: recorded + 1 for receiver, recorded in links.items()}
            for code, links in _recorded(offices).items()
        }
        within(offices, partial(_confirmed, offices, wanted), "in sync after a flush")
        found.append(time.monotonic() - flushed)
    load.stop()
    seconds = sorted(round(one, 2) for one in found)
    if seconds[-1] > FLUSHED_SECONDS:
        load.violation(f"in sync only {seconds[-1]} s after a flush, {FLUSHED_SECONDS} s is due")
    return {"flushes": FLUSHES, "median_seconds": seconds[FLUSHES // 2], "worst": seconds[-1]}


def take_over(offices: Offices, load: Load) -> dict[str, Any]:
    """From kill -9 of the city's active worker to the other's lock, and to its first delivery."""
    load.start()
    time.sleep(1.0)
    city = offices.by_code[CITY]
    first = city.active_worker()
    if first is None:
        raise RuntimeError("no worker of the city is active")
    city.kill(first)
    killed = time.monotonic()
    within(offices, lambda: city.active_worker() not in (None, first), "another worker active")
    locked = time.monotonic() - killed
    wanted = {CITY: _recorded(offices)[CITY]}
    within(offices, lambda: _confirmed(offices, wanted), "the other worker delivers")
    delivered = time.monotonic() - killed
    city.supervise()
    load.stop()
    return {"seconds_to_lock": round(locked, 2), "seconds_to_delivery": round(delivered, 2)}


def redis_away(offices: Offices, load: Load) -> dict[str, Any]:
    """Redis is down for more than an hour's worth of work, by what the offices of 2019 had to do.

    All of it is accepted at the first time of asking, and drains afterwards.
    """
    settle(offices)
    offices.redis.stop()
    began, before = time.monotonic(), load.counts["commands_accepted"]
    repeated = load.counts["requests_repeated"]
    load.pace = 0.0
    try:
        for number in range(BACKLOG_CASES):
            office = PROVINCES[number % len(PROVINCES)]
            load._cities[0].case(office, BACKLOG_PERSONS, departs=True)
    finally:
        load.pace = 1.0
    worked = time.monotonic() - began
    if load.counts["requests_repeated"] > repeated:
        load.violation("a command was not accepted at once while Redis was away")
    links = load._cities[0].desk.get("auditor", "/links") or ()
    if {bool(link["waiting_since"]) for link in links} != {True}:
        load.violation("while Redis was away, a link did not say that sending waits")
    backlog = sum(offices.unconfirmed().values())
    offices.redis.start()
    up = time.monotonic()
    first = within(offices, lambda: _open(offices) < backlog, "draining begins")
    within(offices, lambda: not offices.unconfirmed(), "drained")
    seconds = time.monotonic() - up
    return {
        "commands_while_down": load.counts["commands_accepted"] - before,
        "seconds_down": round(worked, 2),
        "messages_waiting": backlog,
        "seconds_to_first_confirmation": round(first, 2),
        "seconds_to_drained": round(seconds, 2),
        "messages_a_second": round(backlog / seconds, 1),
    }


def rubbish_between(offices: Offices, load: Load, rng: random.Random) -> dict[str, Any]:
    """A hundred messages of ten kinds between good ones: all parked, all good ones applied."""
    settle(offices)
    before = _parked(offices)
    load.start()
    added = 0
    ways = [(CITY, PROVINCES[0]), (PROVINCES[0], CITY)]
    for number in range(RUBBISH // len(KINDS)):
        added += throw_in(offices, rng, ways[number % len(ways)], list(KINDS))
        time.sleep(0.3)
    load.stop()
    settle(offices)
    seconds = within(offices, lambda: _parked(offices) - before >= added, "rubbish is parked")
    parked = _parked(offices) - before
    if added != RUBBISH or parked != added:
        load.violation(f"of {added} rubbish messages {parked} were parked, {RUBBISH} were meant")
    return {"added": added, "parked": parked, "seconds_after": round(seconds, 2)}


def _recorded(offices: Offices) -> dict[str, dict[str, int]]:
    return {
        code: {receiver: recorded for receiver, (recorded, _) in office.links().items()}
        for code, office in offices.items()
    }


def _confirmed(offices: Offices, wanted: dict[str, dict[str, int]]) -> bool:
    links = {code: offices.by_code[code].links() for code in wanted}
    return all(
        links[code][receiver][1] >= recorded
        for code, one in wanted.items()
        for receiver, recorded in one.items()
    )


def _open(offices: Offices) -> int:
    return sum(offices.unconfirmed().values())


def _parked(offices: Offices) -> int:
    """All but what came twice: that is no rubbish."""
    return sum(
        times
        for _, office in offices.items()
        for reason, times in office.parked().items()
        if reason != "REPLAYED_FRAME"
    )
