"""How far each message is, since when, and whether somebody there has answered it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.city.service import SERVICE as CITY
from shared.runtime import deliveries
from shared.runtime.settings import Settings
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk
from tests.system.test_command import environment
from tests.system.typed import pulang

ISSUED = "pulang.handover.issued.v1"


async def issued_message(city: Desk) -> dict[str, Any]:
    found = await city.get("operator", "/deliveries?subject=HO-1")
    (one,) = [row for row in found if row["type"] == ISSUED]
    return dict(one)


async def until(city: Desk, state: str, answered: int) -> dict[str, Any]:
    async def reached() -> Any:
        one = await issued_message(city)
        return (one["state"], one["acknowledged_persons"]) == (state, answered) and one

    return dict(await eventually(reached))


async def test_a_handover_is_acknowledged_when_staff_there_have_answered_for_all(
    city: Desk, province: Desk
) -> None:
    first, second = await story.awaited(city, province, 2)
    await until(city, "applied", 0)
    await story.answer(province, first, story.ARRIVED)
    one = await until(city, "applied", 1)
    assert (one["acknowledged_of"], one["acknowledged_at"]) == (2, None)
    await story.answer(province, second, {"outcome": "absent", "absence": "left_in_transit"})
    one = await until(city, "acknowledged", 2)
    times = [one[f"{state}_at"] for state in ("recorded", "sent", "received", "applied")]
    assert None not in [*times, one["acknowledged_at"]]
    assert times == sorted(times)
    # An answer asks nobody for another one.
    found = await province.get("operator", f"/deliveries?subject={first}")
    assert {row["acknowledged_of"] for row in found} == {None}

    code, out, _ = await pulang("deliveries", "HO-1", "--json", **environment(city))
    assert code == 0
    assert ISSUED in {row["type"] for row in json.loads(out) if row["state"] == "acknowledged"}
    code, out, _ = await pulang("deliveries", "HO-1", **environment(city) | {"COLUMNS": "200"})
    assert "acknowledged" in out
    assert "2 of 2" in out
    code, out, _ = await pulang("deliveries", "HO-NONE", **environment(city))
    assert (code, out.strip()) == (0, "No message to a partner.")


async def test_a_declined_handover_is_answered_for_everybody(city: Desk, province: Desk) -> None:
    await story.issued(city, 2)
    await story.expected(province)
    decline = {"reason": "capacity", "explanation": "Penuh sampai bulan depan"}
    await province.post("reception", "/arrivals/HO-1/decline", decline)
    await until(city, "acknowledged", 2)


async def test_a_credit_is_acknowledged_by_the_word_of_her_office(
    city: Desk, province: Desk
) -> None:
    (person,) = await story.awaited(city, province, 1)
    await story.answer(province, person, story.ARRIVED)
    row = story.CREDIT | {"person": person, "reference": "K/1"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [row]})

    async def state() -> Any:
        found = await city.get("operator", f"/deliveries?subject={person}")
        return {r["state"] for r in found if r["type"] == "pulang.grant.disbursed.v1"}

    async def reached(wanted: str) -> bool:
        return bool(await state() == {wanted})

    await eventually(lambda: reached("applied"))
    await province.post(
        "case_worker", f"/beneficiaries/{person}/grant-confirmations", {"reference": "K/1"}
    )
    await eventually(lambda: reached("acknowledged"))
    # By her office, not by whoever else was told of the credit.
    async with city.office.pool.connection() as connection:
        await connection.execute("update rm_ledger.credit set answered_by = '53'")
    assert await state() == {"applied"}


async def test_the_times_are_those_at_which_this_office_learned_it(
    city: Desk, province: Desk
) -> None:
    """A late answer says when she came; the ledger says when the city got to know."""
    (person,) = await story.awaited(city, province, 1)
    began = await now(city)
    await story.answer(province, person, story.ARRIVED)
    one = await until(city, "acknowledged", 1)
    assert began < datetime.fromisoformat(one["acknowledged_at"]) < await now(city)


async def test_pages_leave_nothing_out(
    city: Desk, province: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.issued(city, 3)
    await story.expected(province)
    whole = await city.get("operator", "/deliveries")
    monkeypatch.setattr(deliveries, "DELIVERIES", 2)
    pages: list[Any] = []
    page = await city.get("operator", "/deliveries")
    while page:
        pages += page
        page = await city.get("operator", f"/deliveries?before={page[-1]['position']}")
    assert [(row["position"], row["receiver"], row["sequence"]) for row in pages] == [
        (row["position"], row["receiver"], row["sequence"]) for row in whole
    ]
    oldest = whole[-1]["position"]
    asked = ("deliveries", "--before", str(oldest + 1), "--json")
    code, out, _ = await pulang(*asked, **environment(city))
    assert (code, {row["position"] for row in json.loads(out)}) == (0, {oldest})


async def test_what_a_partner_lost_by_a_restore_is_not_said_to_be_applied_there(
    broker: None, stack: AsyncExitStack, settings: Callable[..., Settings]
) -> None:
    city = await open_desk(stack, settings("53.71", ("35",)), CITY)
    await story.issued(city, 1)
    links = city.office.store.links
    last = await links.last_recorded("35")

    async def the_partner_says(through: int, minutes: int) -> None:
        at = datetime.now(UTC) + timedelta(minutes=minutes)
        await links.note_heard("35", at, int(at.timestamp() * 1_000_000), through)

    await links.note_sent("35", last, datetime.now(UTC))
    await the_partner_says(last, 0)
    await links.note_confirmed("35", last, datetime.now(UTC))
    applied = await issued_message(city)
    assert applied["state"] == "applied"
    await the_partner_says(last - 1, 1)
    one = await issued_message(city)
    assert (one["state"], one["received_at"], one["applied_at"]) == ("sent", None, None)
    (link,) = await city.get("operator", "/links")
    assert (link["recorded"], link["confirmed"]) == (last, last - 1)
    assert link["waiting_since"] is not None
    await the_partner_says(last, 2)
    assert await issued_message(city) == applied


async def test_a_parameter_that_is_not_known_is_refused_by_name(city: Desk) -> None:
    """Left out in silence, a misspelt one would show all where one was asked for."""
    response = await city.http.get(
        "/api/v1/deliveries?subjct=HO-1",
        headers={"Authorization": f"Bearer {city.tokens['operator']}"},
    )
    assert (response.status_code, response.json()["code"]) == (422, "UNKNOWN_PARAMETER")
    assert "subjct" in response.text


async def now(desk: Desk) -> datetime:
    async with desk.office.pool.connection() as connection:
        cursor = await connection.execute("select clock_timestamp()")
        row = await cursor.fetchone()
    assert row is not None
    return datetime.fromisoformat(row[0].isoformat())
