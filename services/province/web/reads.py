"""What the province's staff read: arrivals, houses, cases, grants."""

from __future__ import annotations

from typing import Any

from services.province.projections import arrivals, cases, grants, houses
from shared.kernel.vault import Unopened
from shared.runtime.manifest import Desk, ReadRoute

STAFF = frozenset({"reception", "case_worker", "auditor"})
CASEWORK = frozenset({"case_worker", "auditor"})
SEALED = ("potential", "wish", "opportunity")


async def _arrivals(desk: Desk, _: dict[str, str]) -> Any:
    return await arrivals.arrivals(desk.reading)


async def _arrival(desk: Desk, path: dict[str, str]) -> Any:
    return await arrivals.one(desk.reading, path["handover"])


async def _houses(desk: Desk, _: dict[str, str]) -> Any:
    return await houses.houses(desk.reading)


async def _grants(desk: Desk, _: dict[str, str]) -> Any:
    return await grants.grants(desk.reading)


async def _cases(desk: Desk, _: dict[str, str]) -> Any:
    return await cases.cases(desk.reading)


async def _case(desk: Desk, path: dict[str, str]) -> Any:
    """One case; its assessment is opened for case workers alone, the auditor sees that it is."""
    found = await cases.one(desk.reading, path["person"])
    if found is None:
        return None
    sealed = [name for name in SEALED if found[name] is not None]
    opened = ["(tersegel)"] * len(sealed)
    if "case_worker" in desk.staff.roles:
        try:
            texts = [found[name] for name in sealed]
            opened = await desk.vault.open(path["person"], texts, desk.reading)
        except Unopened:
            opened = ["(tidak dapat dibuka)"] * len(sealed)
    return found | dict(zip(sealed, opened, strict=True))


READS: tuple[ReadRoute, ...] = (
    ReadRoute("/arrivals", "Kedatangan yang diharapkan", STAFF, _arrivals),
    ReadRoute("/arrivals/{handover}", "Daftar periksa satu serah terima", STAFF, _arrival),
    ReadRoute("/houses", "Rumah singgah", STAFF, _houses),
    ReadRoute("/grants", "Bantuan yang diberitahukan", CASEWORK, _grants),
    ReadRoute("/cases", "Kasus", CASEWORK, _cases),
    ReadRoute("/cases/{person}", "Satu kasus", CASEWORK, _case),
)
