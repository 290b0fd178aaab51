"""What people do in one world: operations, handovers, answers, grants."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.world import CITY_CODE, PROVINCES, World
from tests.system import story


async def load(world: World) -> None:
    """City and provinces at once; each province answers what it was told."""
    city = CITY_CODE
    await world.staff(city, "/operations", story.OPERATION)
    await world.staff(city, "/authorities", story.AUTHORITY)
    await asyncio.gather(*(handed_over(world, office) for office in PROVINCES))


async def handed_over(world: World, office: str) -> None:
    city, handover = CITY_CODE, f"HO-{office}"
    house = {"house": "RS-1", "name": "Rumah contoh", "capacity": 10}
    await world.staff(office, "/houses", house)
    row = story.intake_row(destination=office, name="Contoh Uji")
    persons: list[str] = []
    for _ in range(world.chance.randrange(1, 3)):
        rows: Any = {"rows": [row, row]}
        answer = await world.staff(city, "/operations/OP-TEST/beneficiaries", rows)
        persons += [one["person"] for one in answer]
    if not persons:
        return
    if world.chance.random() < 0.5:
        await credited(world, office, persons[0])
    body = {
        "handover": handover,
        "operation": "OP-TEST",
        "receiving_office": office,
        "planned_departure": "2019-10-04",
        "transport": "Kapal",
    }
    await world.staff(city, "/handovers", body)
    await world.staff(city, f"/handovers/{handover}/entries", {"persons": persons})
    await world.staff(city, f"/handovers/{handover}/submission", {})
    deed = {"signatory": "kepala", "deed_date": "2019-10-04"}
    await world.staff(city, f"/handovers/{handover}/approval", deed)
    await world.staff(city, f"/handovers/{handover}/issue", {"deed_number": f"BAST/{handover}"})
    await credited(world, office, persons[-1])
    await world.staff(city, f"/handovers/{handover}/departure", {})
    for person in persons:
        arrived = world.chance.random() < 0.7
        away = {"outcome": "absent", "absence": "left_in_transit"}
        said: dict[str, Any] = story.ARRIVED if arrived else away
        path = f"/arrivals/{handover}/entries/{person}/answer"
        while (answer := await world.staff(office, path, said)) == "HANDOVER_UNKNOWN":
            await asyncio.sleep(2)
        if not isinstance(answer, str):
            world.answers[person] = said["outcome"]


async def credited(world: World, office: str, person: str) -> None:
    reference = f"KMS-{person[3:]}"
    row = {
        "person": person,
        "reference": reference,
        "status": "credited",
        "amount_rupiah": 6_000_000,
        "credited_on": "2019-10-02",
    }
    answer = await world.staff(CITY_CODE, "/operations/OP-TEST/bank-file", {"rows": [row]})
    if not isinstance(answer, str):
        world.credits[reference] = (office, 6_000_000)
