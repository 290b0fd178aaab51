"""Histories of a running office by the blocks that its worker writes, and blocks made other."""

from __future__ import annotations

from typing import Any

import pytest

from shared.kernel import named
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_command import environment
from tests.system.test_tampering import owners
from tests.system.typed import pulang

PEOPLE = 300


async def grown(city: Desk) -> list[str]:
    """An office with a first full block, of which its worker has written down what it names."""
    await story.open_operation(city)
    people = await story.register(city, *(story.intake_row() for _ in range(PEOPLE)))
    await story.draft(city, [people[0], people[-1]])

    async def written() -> bool:
        async with city.office.pool.connection() as db:
            cursor = await db.execute("select count(*) from named")
            return await cursor.fetchone() == (await city.size() // named.BLOCK_EVENTS,)

    await eventually(written)
    assert await city.size() > named.BLOCK_EVENTS
    return people


async def test_a_history_is_the_same_by_blocks_and_by_the_whole_log(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await grown(city)
    asked = [people[0], people[-1], "HO-1", "HO-10", "handover-HO-1", "OP-TEST", "op-test", "OP"]

    async def told() -> list[Any]:
        answers = []
        for one in asked:
            span = "from=2019-01-01T00:00:00Z&to=2030-01-01T00:00:00Z"
            for address in (f"/history/{one}", f"/changes?subject={one}&{span}"):
                bearer = {"Authorization": f"Bearer {city.tokens['auditor']}"}
                answer = await city.http.get(f"/api/v1{address}", headers=bearer)
                answers.append((answer.status_code, answer.json()))
        return answers

    narrowed = await told()
    monkeypatch.setattr(named, "is_named", lambda subject: False)
    assert narrowed == await told()
    lines = dict(zip(asked, narrowed[::2], strict=True))
    assert {line["subject"] for line in lines[people[0]][1]} == {
        f"beneficiary-{people[0]}", "handover-HO-1",
    }  # fmt: skip
    assert lines["HO-10"][0] == lines["OP"][0] == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update named set codes = array_remove(codes, '{0}') where block = 0", "other codes"),
        ("update named set codes = codes || 'PM-X'::text where block = 0", "other codes"),
        ("delete from named where block = 0", "a block between others is missing"),
        ("insert into named values (99, array[]::text[])", "that the log does not fill"),
    ],
)
async def test_an_audit_finds_what_a_block_was_made_to_name(
    city: Desk, servers: Servers, change: str, said: str
) -> None:
    people = await grown(city)
    code, out, err = await pulang("audit", "verify", **environment(city))
    assert code == 0, out + err
    async with owners(city, servers) as db:
        await db.execute(change.format(people[0]).encode())
    code, out, _ = await pulang("audit", "verify", **environment(city))
    assert code == 1
    assert f"named, {'block 99' if '99' in change else ''}" in out
    assert said in out
