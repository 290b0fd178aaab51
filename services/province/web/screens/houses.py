"""Halfway houses: how many live there, how many beds are free, and a new one."""

from __future__ import annotations

from services.province.projections import houses
from services.province.web.commands import ADMIN
from services.province.web.reads import STAFF
from shared.runtime.manifest import Desk
from shared.runtime.screens.screen import Act, Loaded, Screen


async def all_of_them(desk: Desk, _: dict[str, str]) -> Loaded:
    """An admin sees what she records: how many live there is not hers to read."""
    return {"houses": await houses.houses(desk.reading), "counted": bool(desk.staff.roles & STAFF)}


HOUSES = Screen(
    "/rumah-singgah",
    "houses.html",
    STAFF | ADMIN,
    all_of_them,
    acts={"open": Act("/houses")},
    menu="Rumah singgah",
)
