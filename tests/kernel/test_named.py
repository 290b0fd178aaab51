"""Which codes are named where: a history looks at few blocks and answers as if at the whole log."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncCursor
from psycopg_pool import AsyncConnectionPool

from shared.kernel import named
from shared.runtime import history
from tests.kernel.counter import NOW

Line = tuple[str, bytes]
LARGE = 100_000

ODD: list[Line] = [
    ("handover-HO-1", b'{"data":{"handover":"HO-1"}}'),
    ("handover-HO-10", b'{"data":{"handover":"HO-10"}}'),
    ("handover-HO-KD-35", b'{"data":{"handover":"HO-KD-35","persons":["PM-1","PM-2"]}}'),
    ("break-glass-BG-1", b'{"data":{"person":"PM-1"}}'),
    ("treasury-STS/1", b'{"data":{"sts":"STS/1"}}'),
    ("a-1", b'{"data":{"name":"PM-1 and \\"PM-2\\""}}'),
    ("a-2", b'{"data":{"name":"said \\"HO-1"}}'),
    ("a-3", json.dumps({"name": 'a"b\\c'}).encode()),
    ("a-4", json.dumps({"name": "Ngada-é", "place": "é-Ngada"}, ensure_ascii=False).encode()),
    ("a-5", json.dumps({"name": "ho-1", "other": "Ho-1", "x": "HO_1", "y": "HO.1"}).encode()),
    ("a-6", json.dumps({"name": "A-" + "b" * 96, "longer": "A-" + "c" * 97}).encode()),
    ("a-7", b'"HO-1"HO-2"HO-3'),
    ("a-8", b'\xff\x00"HO-4"\xff'),
    ("a-9", b'{"id":"aaaaaaaa-0000-4000-8000-000000000000"}'),
    ("35-A-1", b"{}"),
    ("é-HO-5", b"{}"),
    ("x%y-HO_1", b"{}"),
]
ASKED = [
    "HO-1", "HO-10", "HO-2", "HO-3", "HO-4", "HO-5", "HO-", "HO", "ho-1", "Ho-1", "HO_1", "HO.1",
    "KD-35", "35", "HO-KD-35", "handover-HO-1", "glass-BG-1", "break-glass-BG-1", "BG-1", "PM-1",
    "PM-2", "PM-1 and ", "STS/1", "treasury-STS/1", 'a"b\\c', 'a\\"b\\\\c', "\\", '"', "b", "%",
    "_", "%-1", "é", "Ngada-é", "é-Ngada", "A-" + "b" * 96, "A-" + "c" * 97, "A-1", "a-1", "",
    "aaaaaaaa-0000-4000-8000-000000000000", "PM-1\n", "data", "x%y-HO_1",
]  # fmt: skip


def write(owner: psycopg.Connection[Any], lines: list[Line]) -> None:
    """A log of these, each recorded a second after the one before."""
    with owner.cursor() as cursor:
        cursor.executemany(
            "insert into events (position, stream, version, id, type, occurred_at, recorded_at,"
            " actor, correlation, body) values (%s, %s, %s, %s, 't', %s, %s, 'x', 'x', %s)",
            [
                (n, stream, n, str(n), NOW, NOW + timedelta(seconds=n), body)
                for n, (stream, body) in enumerate(lines, 1)
            ],
        )
    owner.execute("update log_head set size = %s", (len(lines),))


async def whole(connection: Any) -> int:
    blocks = 0
    while done := await named.extend(connection):
        blocks += done
    return blocks


async def test_whatever_is_asked_the_answer_is_that_of_the_whole_log(
    owner: psycopg.Connection[Any], pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    between: list[Line] = [(f"counter-C-{n}", b"{}") for n in range(named.BLOCK_EVENTS)]
    write(owner, [*ODD, *between, *ODD, *between, *ODD])
    async with pool.connection() as connection:
        assert await whole(connection) == 2

        async def answers() -> dict[str, Any]:
            return {one: await history.moments(connection, one) for one in ASKED}

        narrowed = await answers()
        monkeypatch.setattr(named, "is_named", lambda subject: False)
        assert narrowed == await answers()
    assert len(narrowed["HO-1"]) == 9, "by its stream, quoted, and in what is no document"
    assert len(narrowed["HO-10"]) == len(narrowed["HO-2"]) == 3


class Explained(AsyncCursor[Any]):
    async def execute(self, query: Any, *more: Any, **named: Any) -> Any:
        return await super().execute(b"explain " + query, *more, **named)


async def test_a_person_is_found_in_a_large_log_without_reading_it(
    owner: psycopg.Connection[Any], pool: AsyncConnectionPool
) -> None:
    owner.execute(
        "insert into events select n, 'beneficiary-PM-' || n, 1, n, 't', now(), now(), 'x', 'x',"
        ' convert_to(\'{"person":"PM-\' || n || \'","operation":"OP-1"}\', \'UTF8\')'
        " from generate_series(1, %s) as n",
        (LARGE,),
    )
    owner.execute("update log_head set size = %s", (LARGE,))
    async with pool.connection() as connection:
        assert await whole(connection) == LARGE // named.BLOCK_EVENTS
        owner.execute("analyze events, named")
        assert len(await history.moments(connection, "PM-12345")) == 1
        connection.cursor_factory = Explained

        async def plan(subject: str) -> str:
            return "\n".join(str(row[0]) for row in await history.moments(connection, subject))

        narrow = await plan("PM-12345")
        assert "Bitmap Index Scan on named_codes_idx" in narrow
        assert "events_pkey" in narrow
        assert "Seq Scan on events" not in narrow
        assert "named_codes_idx" not in await plan("12345")


def test_a_block_has_codes_and_no_event_s_id() -> None:
    found = named.codes(ODD)
    assert {"HO-1", "HO-10", "KD-35", "glass-BG-1", "STS/1", "treasury-STS/1", "PM-2"} <= {*found}
    assert not [one for one in found if not named.is_named(one)]
    assert not {"aaaaaaaa-0000-4000-8000-000000000000", "35", "HO_1"} & {*found}
