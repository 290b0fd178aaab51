"""What reads the whole log holds a batch of it, whatever its length."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from benchmarks.audit import Province, operation
from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.kernel import kept, merkle, note, projector
from shared.runtime import audit
from shared.runtime.audit import links, log
from shared.runtime.office import Office
from shared.runtime.settings import Settings
from tests.system.offices import open_desk

BATCH = 50
PERSONS = 20
BYTES_AN_EVENT = 60
"""Less than an id in a set takes. A fuller batch is somewhat larger than another."""
NOW = datetime(2019, 10, 4, tzinfo=UTC)


async def sign_all(office: Office) -> None:
    """A checkpoint of every size, as an office has that records one event at a time."""
    frontier: tuple[bytes, ...] = ()
    async with office.pool.connection() as connection, connection.transaction():
        for position, stored in enumerate(await office.store.read(0, 1_000_000)):
            frontier = merkle.extend(position, frontier, [stored.body])
            made = note.signed("53.71", position + 1, merkle.root(frontier), office.keyring.sign)
            row = (made.size, made.note, NOW)
            await kept.keep(connection, "53.71", office.keyring.sign, "checkpoints", row)


async def peaks(office: Office) -> tuple[int, int]:
    """Bytes of an audit, and of rebuilding the board, at most."""
    found = []
    board = office.projectors[0]

    async def verify() -> None:
        async with office.pool.connection() as connection:
            assert (await audit.verify(connection, office, [board])).faults.document() == []

    async def rebuild() -> None:
        assert (await board.rebuild()).differences == []

    for work in (verify, rebuild):
        gc.collect()
        tracemalloc.start()
        await work()
        found.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return found[0], found[1]


async def test_an_audit_and_a_rebuild_hold_a_batch_of_the_log_whatever_its_length(
    broker: None,
    stack: AsyncExitStack,
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, name in (
        (log, "BATCH"),
        (links, "ROWS"),
        (projector, "BATCH_EVENTS"),
        (projector, "DIGEST_ROWS"),
    ):
        monkeypatch.setattr(module, name, BATCH)
    desks = [
        await open_desk(stack, settings(code, (partner,)), service, with_worker=False)
        for code, partner, service in (("53.71", "35", CITY), ("35", "53.71", PROVINCE))
    ]
    city, other = (desk.office for desk in desks)
    province = Province(city, other)
    found: list[tuple[int, int, int]] = []
    for number in range(10):
        await operation(city, province, f"OP-{number}", PERSONS)
        if number in (0, 1, 9):
            await sign_all(city)
            while await city.projectors[0].step():
                pass
            found.append(((await city.store.head()).size, *await peaks(city)))
    # The first time filled what is kept for good: prepared statements, compiled patterns.
    _, (few, *before), (many, *after) = found
    assert many - few > 2_000
    for name, one, other_ in zip(("an audit", "a rebuild"), before, after, strict=True):
        assert other_ - one < BYTES_AN_EVENT * (many - few), (name, one, other_)
