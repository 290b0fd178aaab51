"""Halfway houses: how many live there, how many beds are free, and a new one."""

from __future__ import annotations

from services.province.projections import houses
from services.province.web.commands import ADMIN
from services.province.web.reads import STAFF
from shared.runtime.manifest import Desk
from shared.runtime.screens.screen import Act, Loaded, Screen


async def all_of_them(desk: Desk, _: dict[str, str]) -> Loaded:
    return {"houses": await houses.houses(desk.reading)}


HOUSES = Screen(
    "/rumah-singgah",
    "houses.html",
    STAFF | ADMIN,
    all_of_them,
    acts={"open": Act("/houses")},
    menu="Rumah singgah",
)
