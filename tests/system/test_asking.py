"""Two offices hold their accounts of one link against one another, asked over the link itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import ValidationError

from services.city.service import SERVICE as CITY
from shared.kernel.link import Receipt
from shared.runtime.audit import asking
from shared.runtime.audit.account import Account, NoAccount, direction
from shared.runtime.settings import Settings
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk
from tests.system.test_audit import whole_story
from tests.system.test_command import environment, pulang
from tests.system.test_parked import STRANGER, told_of_nobody
from tests.system.test_reconcile import LOST_AND_CHANGED, lost_and_changed, named, partner_of
from tests.system.test_tampering import owners


async def asked(desk: Desk) -> tuple[int, dict[str, Any]]:
    words = ("audit", "reconcile", partner_of(desk), "--json")
    code, out, err = await pulang(*words, **environment(desk))
    assert out, err
    return code, json.loads(out)


async def record(desk: Desk, partner: str) -> list[dict[str, Any]]:
    async with desk.office.pool.connection() as db:
        cursor = await db.execute(
            "select convert_from(body, 'UTF8')::jsonb->'data' from events"
            " where stream = %s order by version",
            (f"reconciliation-{partner}",),
        )
        return [row[0] for row in await cursor.fetchall()]


async def questions(desk: Desk) -> int:
    async with desk.office.pool.connection() as db:
        cursor = await db.execute("select count(*) from questions")
        return int((await cursor.fetchone() or (0,))[0])


async def test_offices_that_agree_say_so_and_only_the_question_is_recorded(
    city: Desk, province: Desk
) -> None:
    await whole_story(city, province)
    for desk, other in ((city, province), (province, city)):
        there = await other.size()
        code, found = await asked(desk)
        assert (code, found["differences"], found["history"]) == (0, [], [])
        assert found["sent"] > 0
        assert found["received"] > 0
        partner = partner_of(desk)
        first, last = await record(desk, partner)
        assert (first["partner"], last["run"]) == (partner, first["run"])
        assert (last["outcome"], last["differences"]) == ("agreed", 0)
        assert await other.size() == there
        assert await questions(desk) == await questions(other) == 0
    history = await pulang("history", "reconciliation-35", "--json", **environment(city))
    assert "ditanya apakah catatan tautannya sama" in history[1]


async def test_each_word_is_said_over_the_link_from_either_end(
    city: Desk, province: Desk, servers: Servers
) -> None:
    await lost_and_changed(city, province, servers)
    for desk in (city, province):
        code, found = await asked(desk)
        assert (code, named(found)) == (1, LOST_AND_CHANGED)
        assert all(one["type"] and one["subject"] for one in found["differences"])
        *_, last = await record(desk, partner_of(desk))
        assert (last["outcome"], last["differences"]) == ("differed", 3)
    code, out, _ = await pulang("audit", "reconcile", "35", **environment(city))
    assert code == 1
    assert "different: 53.71 to 35, number 1, pulang.handover.issued.v1 HO-1: 35 has other" in out


async def test_a_partner_that_tells_of_nothing_does_not_agree(
    city: Desk, province: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await whole_story(city, province)
    honest = asking.export

    async def nothing(*given: Any) -> Account:
        made = await honest(*given)
        none = direction(0, [])
        return made.model_copy(update={"sent": none, "received": none})

    # Here the offices' workers answer, and in a process of its own the command asks.
    monkeypatch.setattr(asking, "export", nothing)
    for desk in (city, province):
        code, found = await asked(desk)
        assert code == 1
        assert {one["kind"] for one in found["differences"]} == {"missing", "extra"}
        assert found["faults"] == found["sent"] + found["received"] > 0


async def test_what_is_parked_or_discarded_is_said_over_the_link(
    city: Desk, province: Desk
) -> None:
    await story.issued(city, 1)
    await story.expected(province)
    await told_of_nobody(province, "ready")

    (one,) = await story.parked(city)
    for kind in ("parked", "discarded"):
        for desk in (city, province):
            _, found = await asked(desk)
            assert [line["kind"] for line in found["differences"]] == [kind]
            assert found["differences"][0]["subject"] == STRANGER
        discard = ("parked", "discard", str(one["id"]), "--reason", "Kiriman uji")
        await pulang(*discard, **environment(city))


async def test_a_history_that_is_not_the_witnessed_one_is_said_over_the_link(
    city: Desk, province: Desk, servers: Servers
) -> None:
    await whole_story(city, province)
    async with owners(city, servers) as db:
        cursor = await db.execute("select id, note from witnessed where office = '35'")
        for id_, text in await cursor.fetchall():
            lines = text.splitlines(keepends=True)
            lines[2] = "A" * 43 + "=\n"
            await db.execute("update witnessed set note = %s where id = %s", ("".join(lines), id_))
    code, found = await asked(city)
    assert (code, found["differences"]) == (1, [])
    assert "another history" in found["history"][0]


async def test_a_silent_partner_is_said_after_a_wait_and_can_be_asked_again(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "WAIT_SECONDS", 1.0)
    for times in (1, 2):
        with pytest.raises(NoAccount, match="has not answered within 1 seconds"):
            await asking.over_link(city.office, "53", "auditor")
        found = await record(city, "53")
        assert len(found) == 2 * times
        assert found[-1]["outcome"] == "unanswered"
        assert await questions(city) == 0


async def test_an_office_that_knows_no_questions_parks_none(
    city: Desk, province: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its receipts are read by what it knows of them, and the rest is let pass."""
    await story.issued(city, 1)
    await story.expected(province)
    heard: list[Receipt] = []

    async def nothing(*given: Any) -> str:
        heard.append(given[2])
        return ""

    monkeypatch.setattr(asking.Answers, "to", nothing)
    monkeypatch.setattr(asking, "WAIT_SECONDS", 3.0)
    with pytest.raises(asking.Silent):
        await asking.over_link(city.office, "35", "auditor")
    assert heard
    assert await province.get("operator", "/parked") == []


async def test_one_at_a_time_asks_a_partner(city: Desk) -> None:
    async with city.office.pool.connection() as db:
        await db.execute("select pg_advisory_lock(%s, hashtext('35'))", (asking.ASKING_LOCK,))
        with pytest.raises(NoAccount, match="somebody else is asking office 35"):
            await asking.over_link(city.office, "35", "auditor")
        await db.execute("select pg_advisory_unlock_all()")
    assert await record(city, "35") == []


async def test_what_is_no_question_or_no_answer_is_let_go(city: Desk, province: Desk) -> None:
    worker = city.app.state.worker
    for text in ("", "{", '{"id": "x"}', "\x00"):
        await asking_refuses(city, text)
    worker._asked["35"] = "{"
    await eventually(lambda: _none(worker._asked))
    await story.issued(city, 1)
    await story.expected(province)
    assert worker.troubles == {}


async def asking_refuses(city: Desk, text: str) -> None:
    with pytest.raises(ValidationError):
        await asking.Answers(city.office).to("35", text)
    with pytest.raises(ValidationError):
        await asking.note_answer(city.office, "35", text)


async def test_a_partner_that_asks_without_pause_costs_a_bounded_share(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = asking.export

    async def export(connection: Any, office: Any, partner: str) -> Any:
        made.append(partner)
        await asyncio.sleep(0.02)
        return await real(connection, office, partner)

    monkeypatch.setattr(asking, "export", export)
    answers, loop = asking.Answers(city.office), asyncio.get_running_loop()
    began, number = loop.time(), 0
    while (spent := loop.time() - began) < 2:
        number += 1
        await answers.to("35", question(number))
        await asyncio.sleep(0)
    # Each takes a fiftieth of a second and more, and as much four times over is waited.
    assert 1 < len(made) <= spent / (0.02 * (1 + asking.REST)) + 1
    assert number > 2 * len(made)

    # What follows in an interview, and what is asked again, is told from the same account.
    monkeypatch.setattr(asking, "REST", 0.0)
    answers, made[:] = asking.Answers(city.office), []
    first = await answers.to("35", question(1))
    assert await answers.to("35", question(1)) == first
    assert await answers.to("35", question(2, through=0)) is not None
    assert made == ["35"]
    assert await answers.to("53", question(3, through=0)) is not None
    assert await answers.to("35", question(4)) is not None
    assert made == ["35", "53", "35"]


def question(number: int, through: int | None = None) -> str:
    return asking.Question(id=f"{number:016x}", of="sent", through=through).model_dump_json()


async def _none(found: dict[str, str]) -> bool:
    return not found


async def test_without_a_partner_the_equations_come_first_and_then_each_partner(
    broker: None, stack: AsyncExitStack, settings: Callable[..., Settings], province: Desk
) -> None:
    city = await open_desk(stack, settings("53.71", ("35",)), CITY)
    await story.issued(city, 2)
    await story.expected(province)
    code, out, err = await pulang("audit", "reconcile", "--json", **environment(city))
    found = json.loads(out)
    assert (code, found["not_compared"]) == (0, {}), err
    assert found["equations"]["faults"] == 0
    assert [one["partner"] for one in found["partners"]] == ["35"]
    code, out, _ = await pulang("audit", "reconcile", **environment(city))
    assert code == 0
    assert "destinations, OP-TEST: enumerated 2 = 35 2." in out
    assert out.endswith("Nothing differs.\n")


async def test_bad_words_are_refused(city: Desk) -> None:
    for words, said in (
        (("36",), "no link with 36"),
        (("35", "--export", "a", "--with", "b"), "one of"),
        (("--export", "a"), "with which partner"),
    ):
        code, out, err = await pulang("audit", "reconcile", *words, **environment(city))
        assert (code, out) == (2, ""), words
        assert said in err
