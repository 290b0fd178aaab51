"""No stored type is without a reader, in logs that whole offices wrote to each other."""

from __future__ import annotations

from shared.kernel.unread import unread_messages, unread_types
from tests.system import story
from tests.system.offices import Desk


async def test_of_what_two_offices_wrote_each_type_has_a_reader(city: Desk, province: Desk) -> None:
    """The way of the demo: intake, a handover, its arrivals, a grant, and who was looked at."""
    came, away = await story.issued(city, 2)
    await city.post("issuer", "/handovers/HO-1/departure")
    credit = story.CREDIT | {"person": came, "reference": "K/1"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [credit]})
    await story.expected(province)
    await story.open_house(province)
    await story.answer(province, came, story.ARRIVED)
    await story.answer(province, away, {"outcome": "absent", "absence": "left_in_transit"})
    await story.until_states(city, {came: "arrived", away: "absent"})
    await city.look("intake", f"/beneficiaries/{came}/identity")
    await story.in_sync(city, province)
    for desk in (city, province):
        office = desk.office
        async with office.pool.connection() as connection:
            found = await connection.execute("select count(distinct type) from events")
            ((number,),) = await found.fetchall()
            assert number >= 5
            assert await unread_types(connection, office.handling.types) == []
            assert await unread_messages(connection) == []
