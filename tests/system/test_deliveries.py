"""How far each message is, since when, and whether somebody there has answered it."""

from __future__ import annotations

import json
from typing import Any

from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_command import environment, pulang

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
    first, second = await story.issued(city, 2)
    await story.expected(province)
    await story.open_house(province)
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
    (person,) = await story.issued(city, 1)
    await story.expected(province)
    await story.open_house(province)
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
