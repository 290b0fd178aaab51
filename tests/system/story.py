"""Steps that many stories share, each through the API."""

from __future__ import annotations

from typing import Any

from tests.system.offices import Desk, eventually

OPERATION = {
    "operation": "OP-TEST",
    "name": "Kegiatan contoh",
    "site": "53.71.01",
    "planned_departure": "2019-10-04",
    "grant_rupiah": 6_000_000,
    "fare_floor_rupiah": 1_500_000,
    "fare_ceiling_rupiah": 2_000_000,
}
AUTHORITY = {
    "signatory": "kepala",
    "position": "Plt. Kepala Dinas",
    "acting": True,
    "decree": "SK/1",
    "valid_from": "2019-09-01",
    "valid_until": "2019-12-31",
}


def intake_row(**more: Any) -> dict[str, Any]:
    return {
        "initials": "AB",
        "origin": "35.78",
        "birth_date": "1990-01-02",
        "sign_of_trafficking": False,
        "destination": "35",
        "willingness": "SPK/1",
    } | more


async def open_operation(city: Desk) -> None:
    await city.post("issuer", "/operations", OPERATION)
    await city.post("admin", "/authorities", AUTHORITY)


async def register(city: Desk, *rows: dict[str, Any]) -> list[str]:
    answer = await city.post("intake", "/operations/OP-TEST/beneficiaries", {"rows": list(rows)})
    return [entry["person"] for entry in answer["rows"]]


DRAFT = {
    "operation": "OP-TEST",
    "receiving_office": "35",
    "planned_departure": "2019-10-04",
    "transport": "Kapal",
}
DEED = {"signatory": "kepala", "deed_date": "2019-10-04"}
CREDIT = {"status": "credited", "amount_rupiah": 6_000_000, "credited_on": "2019-10-02"}


async def draft(city: Desk, persons: list[str], handover: str = "HO-1", **more: Any) -> None:
    await city.post("issuer", "/handovers", DRAFT | {"handover": handover} | more)
    await city.post("issuer", f"/handovers/{handover}/entries", {"persons": persons})


async def issue(
    city: Desk, handover: str = "HO-1", signatory: str = "kepala", number: str | None = None
) -> None:
    await city.post("issuer", f"/handovers/{handover}/submission")
    signed = DEED | {"signatory": signatory}
    await city.post("approver", f"/handovers/{handover}/approval", signed)
    deed = {"deed_number": number or f"BAST/{handover}"}
    await city.post("issuer", f"/handovers/{handover}/issue", deed)


async def issued(city: Desk, number: int = 3) -> list[str]:
    """An operation with one issued handover to office 35; gives its people."""
    await open_operation(city)
    persons = await register(city, *(intake_row() for _ in range(number)))
    await draft(city, persons)
    await issue(city)
    return persons


async def expected(province: Desk, handover: str = "HO-1") -> dict[str, Any]:
    """The announced handover, once it has come over the link."""

    async def known() -> Any:
        known = {arrival["handover"] for arrival in await province.get("auditor", "/arrivals")}
        return handover in known and await province.get("auditor", f"/arrivals/{handover}")

    found: dict[str, Any] = await eventually(known)
    return found


async def parked(desk: Desk) -> list[dict[str, Any]]:
    """What an operator sees parked, once there is something."""

    async def known() -> Any:
        return await desk.get("operator", "/parked")

    found: list[dict[str, Any]] = await eventually(known)
    return found


async def open_house(province: Desk, capacity: int = 10) -> None:
    await province.post(
        "admin", "/houses", {"house": "RS-1", "name": "Rumah contoh", "capacity": capacity}
    )


ARRIVED = {"outcome": "arrived", "house": "RS-1", "willing": True}


async def answer(province: Desk, person: str, body: dict[str, Any], **more: Any) -> None:
    await province.post("reception", f"/arrivals/HO-1/entries/{person}/answer", body, **more)


async def awaited(city: Desk, province: Desk, number: int) -> list[str]:
    """So many people who are handed over to a province that knows of it and has a house."""
    persons = await issued(city, number)
    await expected(province)
    await open_house(province)
    return persons


async def arrived(city: Desk, province: Desk) -> str:
    """One beneficiary handed over, arrived, and known at both offices to have."""
    (person,) = await awaited(city, province, 1)
    await answer(province, person, ARRIVED)
    await until_states(city, {person: "arrived"})
    return person


async def entry_states(city: Desk, handover: str = "HO-1") -> dict[str, str]:
    found = await city.get("auditor", f"/handovers/{handover}")
    return {entry["person"]: entry["state"] for entry in found["entries"]}


async def until_states(city: Desk, wanted: dict[str, str]) -> None:
    async def same() -> bool:
        return await entry_states(city) == wanted

    await eventually(same)


async def in_sync(*desks: Desk) -> None:
    """Waits until every link of these offices is confirmed, and nothing is parked."""

    async def settled() -> bool:
        links = [link for desk in desks for link in await desk.get("auditor", "/links")]
        return all(link["recorded"] == link["confirmed"] for link in links)

    await eventually(settled)
    for desk in desks:
        assert await desk.get("auditor", "/parked") == []
