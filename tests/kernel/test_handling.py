"""Handling: units that stand or fall together, each refusal its own, races decided anew."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from shared.kernel.handling import Handling, Outcome, StalePlan, Unit
from shared.kernel.store import Commit, Store
from tests.kernel.counter import NOW, Count, count, decider, publish
from tests.kernel.test_store import event


@pytest.fixture
def handling(store: Store) -> Handling:
    return Handling(store, [decider], publish)


async def do(handling: Handling, *units: list[Count], all_or_nothing: bool = True) -> Outcome:
    return await handling.handle(
        [Unit(unit) for unit in units],
        at=NOW,
        actor="tester",
        cause="c",
        all_or_nothing=all_or_nothing,
    )


async def total(handling: Handling, name: str) -> int:
    return int((await handling.states(decider, [name]))[name])


async def test_commands_of_a_unit_see_what_the_ones_before_decided(handling: Handling) -> None:
    outcome = await do(handling, [count("a", 2), count("a", -2)])
    assert [e.version for e in outcome.events] == [1, 2]
    assert await total(handling, "a") == 0


async def test_a_unit_with_a_refused_command_is_not_recorded_at_all(handling: Handling) -> None:
    outcome = await do(
        handling, [count("a", 5)], [count("b", 1), count("c", -1)], [count("a", -5)],
        all_or_nothing=False,
    )  # fmt: skip
    assert [(r.index, r.refused.code) for r in outcome.refused] == [(1, "BELOW_ZERO")]
    assert await total(handling, "a") == 0
    assert await total(handling, "b") == 0
    assert (await handling.store.head()).size == 2


async def test_one_refusal_keeps_everything_from_being_written(handling: Handling) -> None:
    outcome = await do(handling, [count("a", 1)], [count("b", -1)])
    assert outcome.refused
    assert (await handling.store.head()).size == 0


async def test_a_decision_that_decides_nothing_writes_nothing(handling: Handling) -> None:
    outcome = await do(handling, [count("a", 0)])
    assert outcome.events == []
    assert (await handling.store.head()).size == 0


async def test_two_who_decide_at_once_both_count(handling: Handling, store: Store) -> None:
    """A lost race is decided anew on what the other wrote, and never on what was read before."""
    others = [Handling(Store(store.pool, "53.71"), [decider], publish) for _ in range(4)]
    await asyncio.gather(*(do(one, [count("a", 1)]) for one in others for _ in range(5)))
    assert await total(handling, "a") == 20
    for one in others:
        await one.store.close()


async def test_nobody_counts_below_zero_in_a_race(handling: Handling, store: Store) -> None:
    await do(handling, [count("a", 1)])
    others = [Handling(Store(store.pool, "53.71"), [decider], publish) for _ in range(4)]
    outcomes = await asyncio.gather(*(do(one, [count("a", -1)]) for one in others))
    assert sum(bool(outcome.events) for outcome in outcomes) == 1
    assert await total(handling, "a") == 0
    for one in others:
        await one.store.close()


async def test_an_event_of_an_older_version_still_loads(
    handling: Handling, store: Store, owner: psycopg.Connection[Any]
) -> None:
    """Stored as version 1, read as version 2, its bytes never touched."""
    old = event("counter-a", 1)
    await store.append(Commit(at=NOW, events=[old]))
    owner.execute(
        "update events set body = convert_to(replace(replace(convert_from(body, 'UTF8'),"
        " 'counted.v2', 'counted.v1'), '\"by\":1', '\"step\":7'), 'UTF8')"
    )
    assert await total(handling, "a") == 7
    (stored,) = (await store.load(["counter-a"]))["counter-a"]
    assert stored.document["type"].endswith("v1")


async def test_a_plan_made_on_what_has_changed_since_is_not_carried_out(
    handling: Handling,
) -> None:
    versions: dict[str, int] = {}
    await handling.states(decider, ["a"], versions)
    await do(handling, [count("a", 1)])
    with pytest.raises(StalePlan):
        await handling.handle(
            [Unit([count("b", 1)])], at=NOW, actor="t", cause="c", planned_on=versions
        )
    assert await total(handling, "b") == 0
