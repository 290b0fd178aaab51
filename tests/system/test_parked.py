"""Parked messages as an operator meets them: listed, shown, tried again, given up on the record."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from psycopg import AsyncConnection

from shared.contracts.messages import CaseStatusChanged
from shared.kernel.event import Outgoing
from shared.kernel.handling import Handling, Unit
from shared.runtime import status
from shared.runtime.worker import ANNOUNCE_SECONDS
from tests.kernel.counter import count, decider
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_command import environment
from tests.system.typed import pulang

STRANGER = "PM-ZZZZZZZZZZ"


async def told_of_nobody(province: Desk, *statuses: str) -> None:
    """The province speaks of a person whom the city never sent there: it will be refused."""
    messages = iter(statuses)
    speaking = Handling(
        province.office.store,
        [decider],
        lambda stream, event: [
            Outgoing("53.71", STRANGER, CaseStatusChanged(person=STRANGER, status=next(messages)))
        ],
    )
    units = [Unit([count(f"said-{n}")]) for n in range(len(statuses))]
    now = province.office.clock()
    await speaking.handle(units, at=now, actor="tester", cause="c")


async def test_a_refused_message_is_discarded_on_the_record_and_what_waited_goes_on(
    city: Desk, province: Desk
) -> None:
    persons = await story.issued(city, 1)
    await story.expected(province)
    await told_of_nobody(province, "ready", "returned_to_family")

    async def both() -> bool:
        return len(await city.get("operator", "/parked")) == 2

    await eventually(both)
    code, out, _ = await pulang("parked", "list", "--json", **environment(city))
    first, second = json.loads(out)
    assert (code, second["reason"]) == (1, "WAITS_BEHIND_PARKED")
    # Others go on meanwhile.
    await story.open_house(province)
    await story.answer(province, persons[0], story.ARRIVED)
    await story.until_states(city, {persons[0]: "arrived"})

    code, out, _ = await pulang("parked", "show", str(first["id"]), **environment(city))
    assert code == 0
    assert STRANGER in out
    code, out, _ = await pulang("parked", "retry", str(first["id"]), **environment(city))
    assert code == 1
    assert "0 message(s) applied, 1 of those tried" in out

    refused = ("parked", "discard", str(first["id"]), "--reason", "NIK 5371012345678901")
    code, _, err = await pulang(*refused, **environment(city))
    assert code == 2
    assert "nothing was discarded" in err
    discard = ("parked", "discard", str(first["id"]), "--reason", "Orang uji, bukan penerima kami")
    code, _, _ = await pulang(*discard, USER="petugas", **environment(city))
    assert code == 0
    code, _, err = await pulang(*discard, **environment(city))
    assert code == 2
    assert "settled" in err

    said = await city.get("auditor", f"/history/parked-{first['id']}")
    assert [(line["actor"], "bukan penerima kami" in line["words"]) for line in said] == [
        ("petugas", True)
    ]
    # The one that waited was tried in its turn, and is refused for its own sake now.
    (left,) = await city.get("operator", "/parked")
    assert (left["id"], left["reason"]) == (second["id"], first["reason"])


async def test_every_message_says_how_far_it_is(city: Desk, province: Desk) -> None:
    """Recorded, sent, received and parked there, applied there: in the API, message by message."""
    persons = await story.issued(city, 1)
    await story.expected(province)

    async def state_of(desk: Desk, subject: str, wanted: str) -> bool:
        found = await desk.get("operator", f"/deliveries?subject={subject}")
        return bool(found) and {one["state"] for one in found} == {wanted}

    await eventually(lambda: state_of(city, persons[0], "applied"))
    await told_of_nobody(province, "ready")
    # The city has it and did not apply it: the province is told so.
    await eventually(lambda: state_of(province, STRANGER, "received"))
    (link,) = await province.get("auditor", "/links")
    assert (link["unapplied_there"], link["recorded"] - link["confirmed"]) == (1, 0)
    (one,) = await city.get("operator", "/parked")
    await pulang(
        "parked", "discard", str(one["id"]), "--reason", "Kiriman uji", **environment(city)
    )
    # Discarded is not applied, and nobody says so.
    await asyncio.sleep(ANNOUNCE_SECONDS + 1)
    assert await state_of(province, STRANGER, "received")


async def unapplied_at(province: Desk, number: int) -> None:
    """The province knows of so many that the city did not apply."""

    async def told() -> bool:
        (link,) = await province.get("auditor", "/links")
        settled = link["recorded"] == link["confirmed"]
        return bool(settled and link["unapplied_there"] == number)

    await eventually(told)


async def said_of(desk: Desk) -> list[str]:
    """What its status says is wrong with its links."""
    async with desk.office.pool.connection() as connection:
        found = await status.status(connection, desk.office.settings.partners)
    return [one for one in status.wrong(found) if one.startswith("link to")]


async def test_a_message_that_its_receiver_never_applied_alarms_its_sender(
    city: Desk, province: Desk, monkeypatch: pytest.MonkeyPatch, servers: Servers
) -> None:
    """Received there and not applied: the sender's status must not be green."""
    await story.issued(city, 1)
    await story.expected(province)
    await told_of_nobody(province, "ready")
    await unapplied_at(province, 1)
    assert await said_of(province) == [], "not after a moment"
    with monkeypatch.context() as patch:
        patch.setattr(status, "LINK_WAIT", timedelta(0))
        (said,) = await said_of(province)
    assert "received and not applied there" in said

    # One that was given up a month ago is not told for ever, and hides no newer one.
    (one,) = await city.get("operator", "/parked")
    words = ("discard", str(one["id"]), "--reason", "salah orang")
    code, _, _ = await pulang("parked", *words, **environment(city))
    assert code == 0
    owner = servers.owner(province.office.settings.database_url)
    async with await AsyncConnection.connect(owner, autocommit=True) as connection:
        earlier = "update link_times set at = at - %s::interval"
        await connection.execute(earlier, ("31 days",))
        with monkeypatch.context() as patch:
            patch.setattr(status, "LINK_WAIT", timedelta(0))
            assert await said_of(province) == []
        await told_of_nobody(province, "ready")
        await unapplied_at(province, 2)
        await connection.execute(f"{earlier} where at > now() - interval '1 day'", ("1 hour",))
    (said,) = await said_of(province)
    assert "received and not applied there" in said
