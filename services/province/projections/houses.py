"""The halfway houses: capacity, who lives there, and arrivals beyond capacity with their reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import AsyncConnection

from services.province.domain import house
from shared.kernel.projector import Projection, Recorded, Statement, rows

TABLES = """
create table house (house text primary key, name text not null, capacity integer not null);
create table resident (
  house text not null, person text not null, overridden boolean not null,
  since timestamptz not null, primary key (house, person)
);
"""


def apply(recorded: Recorded) -> Iterator[Statement]:
    match recorded.event:
        case house.HouseOpened() as opened:
            yield (
                "insert into house values (%(house)s, %(name)s, %(capacity)s)"
                " on conflict (house) do update"
                " set name = excluded.name, capacity = excluded.capacity",
                opened.model_dump(),
            )
        case house.PersonAdmitted() as admitted:
            yield (
                # Read as of a time, her leaving may not count yet, and her coming again already.
                "insert into resident values (%(house)s, %(person)s, %(overridden)s, %(since)s)"
                " on conflict (house, person) do update set overridden = excluded.overridden,"
                " since = excluded.since",
                {
                    "house": admitted.house,
                    "person": admitted.person,
                    "overridden": admitted.override_reason is not None,
                    "since": recorded.occurred_at,
                },
            )
        case house.PersonReleased() as released:
            yield (
                "delete from resident where house = %(house)s and person = %(person)s",
                released.model_dump(),
            )


projection = Projection("houses", 2, TABLES, apply)


async def houses(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Every house with its residents' number and the overrides in force."""
    return await rows(
        connection,
        "select h.house, h.name, h.capacity, count(r.person)::int as residents,"
        " (count(*) filter (where r.overridden))::int as overrides from rm_houses.house h"
        " left join rm_houses.resident r using (house) group by h.house, h.name, h.capacity"
        " order by h.house",
    )
