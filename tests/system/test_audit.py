"""An auditor proves both offices' histories from their bytes, and nothing that fits is a fault."""

from __future__ import annotations

import json

from shared.kernel import rotation
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_command import environment, pulang


async def whole_story(city: Desk, province: Desk) -> None:
    """Handover, arrivals, grants, a correction; all known at both ends and witnessed."""
    first, second, third = await story.issued(city)
    await city.post("issuer", "/handovers/HO-1/departure")
    await story.expected(province)
    await story.open_house(province)
    await story.answer(province, first, story.ARRIVED)
    await story.answer(province, second, {"outcome": "absent", "absence": "left_in_transit"})
    await story.answer(province, third, {"outcome": "diverted", "diverted_to": "53"})
    row = story.CREDIT | {"person": first, "reference": "K/1"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [row]})
    wrong = {"outcome": "absent", "absence": "not_on_transport", "corrects": 1, "reason": "Salah"}
    await province.post("reception", f"/arrivals/HO-1/entries/{first}/correction", wrong)
    await story.in_sync(city, province)
    for desk, partner in ((city, "35"), (province, "53.71")):

        async def witnessed(desk: Desk = desk, partner: str = partner) -> bool:
            links = {link["partner"]: link for link in await desk.get("auditor", "/links")}
            return bool(links[partner]["witnessed_there"] == await desk.size())

        await eventually(witnessed)


async def test_two_offices_in_sync_have_no_fault(city: Desk, province: Desk) -> None:
    await whole_story(city, province)
    for desk in (city, province):
        code, out, err = await pulang("audit", "verify", "--json", **environment(desk))
        found = json.loads(out)
        assert (code, found["found"]) == (0, []), err
        assert found["events"] == await desk.size() > 10
        assert found["checkpoints"] > 0
        assert found["witnessed"] > 0
        assert found["messages_in"] > 0


async def test_what_a_key_signed_stays_signed_when_it_is_rolled(city: Desk, province: Desk) -> None:
    await whole_story(city, province)
    keyring = city.office.keyring
    await rotation.prepare_signing(keyring)
    await rotation.switch_signing(keyring)
    code, out, _ = await pulang("audit", "verify", "--json", **environment(city))
    found = json.loads(out)
    assert (code, found["found"]) == (0, [])
    assert found["checkpoints"] > 0
