"""Read models as of a time: built and rolled back beside the live ones, which nobody notices."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from shared.kernel import asof
from shared.kernel.asof import AT_ONCE, Busy, Moment, TooLong, Untold, past, truth
from shared.kernel.correction import Corrections
from shared.kernel.decider import Event
from shared.kernel.event import EventTypes
from shared.kernel.handling import Handling, Unit
from shared.kernel.projector import Projection, Projector, rows
from shared.kernel.store import Store
from tests.kernel.counter import NOW, Counted, count, decider, projection, publish

TYPES = EventTypes([decider])
LATER = NOW + timedelta(days=1)


@pytest.fixture
async def projector(pool: AsyncConnectionPool) -> Projector:
    one = Projector(pool, TYPES, projection)
    await one.prepare()
    return one


async def record(
    store: Store, counter: str, amount: int = 1, *, at: datetime = NOW, occurred: datetime = NOW
) -> None:
    command = count(counter, amount).model_copy(update={"occurred_at": occurred, "now": at})
    handling = Handling(store, [decider], publish)
    await handling.handle([Unit([command])], at=at, actor="tester", cause=f"{counter}{amount}{at}")


async def totals(connection: Any) -> dict[str, int]:
    found = await rows(connection, "select * from rm_totals.total")
    return {row["counter"]: row["total"] for row in found}


async def as_of(pool: AsyncConnectionPool, moment: Moment) -> dict[str, int]:
    async with pool.connection() as connection, reading(connection, moment):
        return await totals(connection)


def reading(connection: Any, moment: Moment, *more: Projection, **bound: float) -> Any:
    return past(connection, [projection, *more], TYPES, Corrections(), moment, **bound)


async def test_as_known_is_what_was_recorded_by_then_and_as_true_what_had_occurred(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, "a")
    await record(store, "late", at=LATER)
    await record(store, "b", at=LATER, occurred=LATER)
    assert await as_of(pool, Moment(known_at=NOW)) == {"a": 1}
    assert await as_of(pool, Moment(true_at=NOW)) == {"a": 1, "late": 1}
    assert await as_of(pool, Moment(known_at=NOW, true_at=LATER)) == {"a": 1}
    assert await as_of(pool, Moment(known_at=NOW - timedelta(1))) == {}
    assert await as_of(pool, Moment()) == {"a": 1, "late": 1, "b": 1}


async def test_today_is_the_day_that_it_was_at_the_office() -> None:
    here = datetime.fromisoformat("2026-11-26T12:00:00+08:00")
    asked = datetime.fromisoformat("2019-10-03T20:00:00+00:00")
    for moment in (Moment(true_at=asked), Moment(known_at=asked), Moment(LATER, asked)):
        assert moment.today(here).date().isoformat() == "2019-10-04"
    assert Moment().today(here) == here


async def test_nothing_of_it_stays(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, "a")
    await projector.step()
    async with pool.connection() as connection:
        async with reading(connection, Moment(known_at=NOW - timedelta(1))):
            assert await totals(connection) == {}
        await connection.commit()
        assert await totals(connection) == {"a": 1}
        await connection.commit()
        with pytest.raises(ZeroDivisionError):
            async with reading(connection, Moment()):
                raise ZeroDivisionError
        assert await totals(connection) == {"a": 1}
        left = await rows(connection, "select nspname from pg_namespace where nspname ~ '^rm_'")
        assert left == [{"nspname": "rm_totals"}]
        bound = await rows(connection, "show statement_timeout")
        assert bound == [{"statement_timeout": "0"}]


async def test_live_readers_and_the_projector_wait_for_nothing_meanwhile(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    """Each of them would give up after a second on a lock; a rebuild switches under it too."""
    await record(store, "a")
    await projector.step()
    async with pool.connection() as connection, reading(connection, Moment(known_at=NOW)):
        before = await totals(connection)
        await record(store, "b", at=LATER)
        async with pool.connection() as other:
            await other.execute("set lock_timeout = '1s'")
            assert await totals(other) == {"a": 1}
            await other.execute("reset lock_timeout")
        assert await projector.step() == 1
        async with pool.connection() as other:
            assert await totals(other) == {"a": 1, "b": 1}
        assert (await projector.rebuild()).differences == []
        assert await totals(connection) == before == {"a": 1}


async def test_it_holds_no_lock_on_anything_that_lives(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, "a")
    async with pool.connection() as connection, reading(connection, Moment(known_at=NOW)):
        await totals(connection)
        async with pool.connection() as other:
            held = await rows(
                other,
                "select c.relname, l.mode from pg_locks l join pg_class c on c.oid = l.relation"
                " join pg_namespace n on n.oid = c.relnamespace where n.nspname in"
                " ('public', 'rm_totals') and l.pid = %s and c.relkind = 'r'",
                connection.info.backend_pid,
            )
    assert {(row["relname"], row["mode"]) for row in held} == {("events", "AccessShareLock")}


async def test_what_takes_too_long_is_given_up(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    await record(store, "a")
    async with pool.connection() as connection:
        with pytest.raises(TooLong):
            async with reading(connection, Moment(), seconds=0.0):
                pass
        with pytest.raises(TooLong):
            async with reading(connection, Moment(), seconds=0.5):
                await rows(connection, "select pg_sleep(5)")
        assert await totals(connection) == {}


async def test_gathering_corrections_and_reading_on_share_one_bound(
    store: Store, pool: AsyncConnectionPool, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not each statement has the whole of it: many quick ones do not add up to more."""
    monkeypatch.setattr(asof, "BATCH_EVENTS", 1)
    for number in range(10):
        await record(store, f"c{number}")
    looked_at: list[Event] = []

    def slowly(event: Event) -> None:
        looked_at.append(event)
        time.sleep(0.2)

    corrections = Corrections(correcting=(Counted,), cite=slowly)
    async with pool.connection() as connection:
        with pytest.raises(TooLong):
            async with past(
                connection, [projection], TYPES, corrections, Moment(true_at=NOW), seconds=0.5
            ):
                pass
        assert len(looked_at) <= 3
        with pytest.raises(TooLong):
            async with connection.transaction():
                await truth(connection, TYPES, corrections, deadline=time.monotonic() + 0.5)
        assert len(looked_at) <= 6
        with pytest.raises(TooLong):
            async with reading(connection, Moment(), seconds=2.0):
                for _ in range(20):
                    await rows(connection, "select pg_sleep(0.2)")


async def test_no_more_than_a_few_read_at_once(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    assert AT_ONCE == 2
    async with (
        pool.connection() as one,
        pool.connection() as two,
        pool.connection() as three,
    ):
        async with reading(one, Moment()), reading(two, Moment()):
            with pytest.raises(Busy):
                async with reading(three, Moment()):
                    pass
        async with reading(three, Moment()):
            assert await totals(three) == {}


async def test_a_read_model_that_was_not_asked_for_is_not_read_from_the_live_copy(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    async with pool.connection() as connection:
        with pytest.raises(LookupError, match="other was not asked for"):
            async with reading(connection, Moment()):
                await rows(connection, "select * from rm_other.thing")


async def test_events_whose_times_contradict_each_other_are_refused_and_not_guessed_at(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    def twice(recorded: Any) -> Any:
        yield "insert into single values (1)", {}

    strict = Projection("strict", 1, "create table single (one int primary key)", twice)
    await record(store, "a")
    await record(store, "b")
    async with pool.connection() as connection:
        with pytest.raises(Untold):
            async with reading(connection, Moment(), strict):
                pass
        assert await totals(connection) == {}


async def test_more_events_than_one_batch_are_all_applied(
    store: Store, pool: AsyncConnectionPool, projector: Projector
) -> None:
    units = [Unit([count(f"c{n % 3}")]) for n in range(2_500)]
    await Handling(store, [decider], publish).handle(units, at=NOW, actor="t", cause="c")
    assert sum((await as_of(pool, Moment(known_at=NOW))).values()) == 2_500
