"""Who sees whom, on what record, and how somebody is forgotten: through the API of whole offices.

A city and two provinces with their workers. Identity opens for the role that needs it, for a
purpose, on the record; case notes for the assigned case worker; break-glass for an hour. A look-up
tells the same of whom it may not tell as of nobody. An erasure reaches every office that knew her.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
import statistics
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from psycopg import OperationalError

from shared.kernel import merkle, rotation
from shared.kernel.store import read_head
from shared.runtime import sessions, staff
from shared.runtime.web import reads_of
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually, three_offices
from tests.system.test_matrix import unzipped

pytestmark = pytest.mark.xdist_group("custody")

ERASED = "(dihapus)"
_numbers = count(1)
FORMULA = "=HYPERLINK(1;2)"
"""A name that a spreadsheet would take for a formula."""


@dataclass
class Offices:
    city: Desk
    east: Desk
    south: Desk

    def province(self, code: str) -> Desk:
        return self.east if code == "35" else self.south


@pytest.fixture(scope="module")
async def offices(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Offices]:
    folder = tmp_path_factory.mktemp("custody")
    async with three_offices(servers, folder, looks_alarm_persons=3) as (city, east, south, _):
        made = Offices(city, east, south)
        await story.open_operation(made.city)
        for province in (made.east, made.south):
            house = {"house": "RS-1", "name": FORMULA, "capacity": 500}
            await province.post("admin", "/houses", house)
        yield made


def somebody(**more: Any) -> dict[str, Any]:
    """A row of the intake with every personal field; each call is another person."""
    number = next(_numbers)
    return story.intake_row(
        initials="QX",
        name=f"Contoh Orang {number}",
        nik=f"359999020190{number:04}",
        contact=f"0811999{number:05}",
        account=f"BRI 9999{number:06}",
        **more,
    )


async def arrived(
    offices: Offices, number: int = 1, office: str = "35"
) -> tuple[list[str], list[dict[str, Any]]]:
    """So many people, handed over to that province and there; with their rows of the intake."""
    rows = [somebody(destination=office) for _ in range(number)]
    persons = await story.register(offices.city, *rows)
    handover = f"HO-{persons[0]}"
    await hand_over(offices, persons, handover, office)
    for person in persons:
        await say(offices, office, handover, person, story.ARRIVED)
    return persons, rows


async def hand_over(
    offices: Offices, persons: list[str], handover: str, office: str, **more: Any
) -> None:
    await story.draft(offices.city, persons, handover, receiving_office=office, **more)
    await story.issue(offices.city, handover)
    await story.expected(offices.province(office), handover)


async def say(offices: Offices, office: str, handover: str, person: str, body: Any) -> None:
    path = f"/arrivals/{handover}/entries/{person}/answer"
    await offices.province(office).post("reception", path, body)


async def account(desk: Desk, username: str, *roles: str) -> str:
    """One more account, with several roles if need be; gives its name."""
    await desk.account(username, *roles)
    return username


@contextmanager
def later(desk: Desk, moved: timedelta) -> Iterator[None]:
    """The desk's clock is ahead by this; that of its worker isn't."""
    office = desk.office
    desk.app.state.office = replace(office, clock=lambda: office.clock() + moved)
    try:
        yield
    finally:
        desk.app.state.office = office


async def code(desk: Desk, role: str, path: str, purpose: str | None = "identity_check") -> str:
    """What a look at this address is answered with: "200", or the code of the refusal."""
    response = await desk.http.get(
        f"/api/v1{path}",
        params={"purpose": purpose} if purpose else None,
        headers={"Authorization": f"Bearer {desk.tokens[role]}"},
    )
    return "200" if response.status_code == 200 else str(response.json()["code"])


async def looks(desk: Desk, by: str, subject: str) -> list[dict[str, Any]]:
    """What the auditor sees of that member of staff's looks at that person, newest first."""

    async def seen() -> Any:
        return await desk.get("auditor", f"/looks?subject={subject}&by={by}")

    found: list[dict[str, Any]] = await eventually(seen)
    return found


# Identity, and the record of each look.


async def test_each_role_sees_of_an_identity_what_it_needs_and_no_more(offices: Offices) -> None:
    (person,), (row,) = await arrived(offices)
    path = f"/beneficiaries/{person}/identity"
    whole = {
        "initials": "QX",
        "name": row["name"],
        "nik": row["nik"],
        "born": row["birth_date"],
        "contact": row["contact"],
        "account": row["account"],
    }
    for desk, role, fields in (
        (offices.city, "intake", list(whole)),
        (offices.city, "issuer", ["initials", "name", "nik", "born"]),
        (offices.city, "treasurer", ["name", "account"]),
        (offices.east, "reception", ["initials", "name", "nik", "born"]),
    ):
        seen = await desk.look(role, path, "arrival")
        assert seen == {"person": person} | {name: whole[name] for name in fields}, role
        (look, *_) = await looks(desk, role, person)
        assert (look["staff"], look["subject"], look["purpose"]) == (role, person, "arrival")
        assert look["fields"] == ["identity." + "+".join(n for n in whole if n in fields)] or set(
            look["fields"][0].removeprefix("identity.").split("+")
        ) == set(fields)
    assert await code(offices.east, "case_worker", path) == "NOT_ASSIGNED"
    await offices.east.post("case_worker", f"/cases/{person}/taking")
    assert await offices.east.look("case_worker", path) == {"person": person} | whole
    # Where somebody is of no concern, no code of hers opens anything.
    assert await code(offices.south, "reception", path) == "NOT_FOUND"


async def test_nothing_is_opened_without_a_purpose_from_the_list(offices: Offices) -> None:
    (person,) = await story.register(offices.city, somebody())
    path = f"/beneficiaries/{person}/identity"
    before = await offices.city.size()
    for purpose in (None, "", "ingin tahu"):
        assert await code(offices.city, "intake", path, purpose) == "INVALID_INPUT"
    assert await offices.city.size() == before


async def test_the_look_is_on_record_before_anything_is_opened(
    offices: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = offices.city
    (person,) = await story.register(city, somebody())
    vault = city.office.vault
    opened = vault.open
    recorded: list[Any] = []

    async def watched(items: Any) -> Any:
        async with city.office.pool.connection() as connection:
            cursor = await connection.execute(
                "select type, body from events order by position desc limit 1"
            )
            recorded.append(await cursor.fetchone())
        return await opened(items)

    monkeypatch.setattr(vault, "open", watched)
    await city.look("intake", f"/beneficiaries/{person}/identity", "grant")
    ((kind, body),) = recorded
    assert kind == "pulang.custody.personal-data-seen.v1"
    for part in (b'"intake"', f'"{person}"'.encode(), b'"grant"', b"identity.initials+name"):
        assert part in bytes(body)


async def test_a_look_that_cannot_be_recorded_shows_nothing(
    offices: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = offices.city
    row = somebody()
    (person,) = await story.register(city, row)
    before = await city.size()

    async def away(commit: Any) -> int:
        raise OperationalError("the database is away")

    opened: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setattr(city.office.handling.store, "append", away)
        patched.setattr(city.office.vault, "open", opened.append)
        response = await city.http.get(
            f"/api/v1/beneficiaries/{person}/identity?purpose=grant",
            headers={"Authorization": f"Bearer {city.tokens['intake']}"},
        )
    assert response.status_code == 503
    assert response.json()["code"] == "DATABASE_AWAY"
    assert row["name"] not in response.text
    assert opened == []
    assert await city.size() == before


async def test_who_looks_at_unusually_many_people_is_noticed_once_a_window(
    offices: Offices,
) -> None:
    """Three persons are usual at these offices."""
    city = offices.city
    persons = await story.register(city, *(somebody() for _ in range(9)))
    curious = await account(city, "penasaran", "intake")

    async def look(person: str) -> None:
        """One look, and the read model has it: the next is counted with it."""
        seen = f"/looks?subject={person}&by={curious}"
        before = len(await city.get("auditor", seen))
        await city.look(curious, f"/beneficiaries/{person}/identity")

        async def noted() -> bool:
            return len(await city.get("auditor", seen)) > before

        await eventually(noted)

    async def alarms() -> list[int]:
        found = await city.get("auditor", "/looks/alarms")
        return [one["persons"] for one in found if one["staff"] == curious]

    for person in [*persons[:3], *persons[:3]]:
        await look(person)
    assert await alarms() == []
    await look(persons[3])
    assert await eventually(alarms) == [4]
    for person in persons[4:7]:
        await look(person)
    assert await alarms() == [4]
    with later(city, timedelta(minutes=11)):
        for person in persons[:4]:
            await look(person)

        async def again() -> bool:
            return await alarms() == [4, 4]

        await eventually(again)


async def test_looking_at_many_people_at_once_raises_one_alarm(offices: Offices) -> None:
    """A program asks faster than a read model follows."""
    city = offices.city
    persons = await story.register(city, *(somebody() for _ in range(8)))
    hasty = await account(city, "tergesa", "intake")
    await asyncio.gather(
        *(city.look(hasty, f"/beneficiaries/{person}/identity") for person in persons)
    )
    for person in persons:
        await looks(city, hasty, person)
    found = await city.get("auditor", "/looks/alarms")
    assert len([one for one in found if one["staff"] == hasty]) == 1


# Case notes and break-glass.


async def noted(offices: Offices) -> str:
    """Somebody with a case worker, an assessment and a note of after-care."""
    (person,), _ = await arrived(offices)
    east = offices.east
    await east.post("case_worker", f"/cases/{person}/taking")
    texts = {"potential": "menjahit", "wish": "pulang", "opportunity": "koperasi"}
    await east.post("case_worker", f"/cases/{person}/assessment", texts)
    await east.post("case_worker", f"/cases/{person}/leaving")
    await east.post("case_worker", f"/cases/{person}/follow-ups", {"note": "ditelepon"})
    return person


async def test_case_notes_open_for_the_assigned_case_worker_alone(offices: Offices) -> None:
    east = offices.east
    person = await noted(offices)
    path = f"/cases/{person}/notes"
    seen = await east.look("case_worker", path, "case_work")
    assert (seen["potential"], seen["wish"], seen["opportunity"]) == (
        "menjahit",
        "pulang",
        "koperasi",
    )
    assert [note["note"] for note in seen["notes"]] == ["ditelepon"]
    other = await account(east, "pekerja-lain", "case_worker")
    assert await code(east, other, path) == "NOT_ASSIGNED"
    assert await code(east, other, f"/beneficiaries/{person}/identity") == "NOT_ASSIGNED"
    for role in ("reception", "auditor", "approver", "operator", "admin"):
        assert await code(east, role, path) == "ROLE_MISSING"
    note = {"note": "bukan kasus saya"}
    assert await east.refused(other, f"/cases/{person}/follow-ups", note) == "NOT_ASSIGNED"
    # The case as everybody sees it says that there is something, and not what.
    assert "ditelepon" not in str(await east.get("auditor", f"/cases/{person}"))
    # Given to the other one, it is hers, and no longer the first one's.
    await east.post("admin", f"/cases/{person}/assignment", {"worker": other})
    assert await code(east, other, path) == "200"
    assert await code(east, "case_worker", path) == "NOT_ASSIGNED"


async def test_who_is_at_reception_as_well_reads_no_notes_of_anothers_case(
    offices: Offices,
) -> None:
    """Two roles of one account add up, and give no third thing."""
    east = offices.east
    (person,), (row,) = await arrived(offices)
    await east.post("case_worker", f"/cases/{person}/taking")
    await east.post("case_worker", f"/cases/{person}/leaving")
    note = {"note": "ditelepon di rumah"}
    followed = await east.post("case_worker", f"/cases/{person}/follow-ups", note)
    (position,) = await positions(east, person, followed["events"][0]["id"])
    both = await account(east, "dua-meja", "reception", "case_worker")
    seen = await east.look(both, f"/beneficiaries/{person}/identity", "arrival")
    assert seen["name"] == row["name"]
    assert {
        "notes": await code(east, both, f"/cases/{person}/notes"),
        "text": await code(east, both, f"/events/{position}/texts"),
        "contact": seen.get("contact"),
        "account": seen.get("account"),
    } == {"notes": "NOT_ASSIGNED", "text": "NOT_ASSIGNED", "contact": None, "account": None}


async def test_breaking_the_glass_opens_for_an_hour_and_is_reviewed_by_another(
    offices: Offices,
) -> None:
    east = offices.east
    person = await noted(offices)
    notes, identity = f"/cases/{person}/notes", f"/beneficiaries/{person}/identity"
    other = await account(east, "pekerja-malam", "case_worker")
    path = f"/beneficiaries/{person}/break-glass"
    assert (await east.send(other, path, {})).status_code == 422
    answer = await east.post(other, path, {"reason": "Ia dibawa ke rumah sakit"})
    glass = answer["break_glass"]
    assert (await east.look(other, notes, "case_work"))["wish"] == "pulang"
    assert await code(east, other, identity) == "200"
    (look, *_) = await looks(east, other, person)
    assert look["break_glass"] == glass
    # It is hers alone, for this person alone, and for an hour.
    third = await account(east, "pekerja-ketiga", "case_worker")
    assert await code(east, third, notes) == "NOT_ASSIGNED"
    assert await code(east, other, f"/cases/{await noted(offices)}/notes") == "NOT_ASSIGNED"
    with later(east, timedelta(minutes=59)):
        assert await code(east, other, notes) == "200"
    with later(east, timedelta(minutes=61)):
        assert await code(east, other, notes) == "NOT_ASSIGNED"
        assert await code(east, other, identity) == "NOT_ASSIGNED"
    (shown,) = [x for x in await east.get("auditor", "/break-glass") if x["break_glass"] == glass]
    assert (shown["staff"], shown["person"], shown["finding"]) == (other, person, None)
    assert "rumah sakit" not in str(shown)
    reasons = await east.look("auditor", "/break-glass/reasons", "reading_reason")
    assert {"Ia dibawa ke rumah sakit"} == {
        one["reason"] for one in reasons if one["break_glass"] == glass
    }
    review = f"/break-glass/{glass}/review"
    finding = {"finding": "justified"}
    # She has become auditor meanwhile: her own she does not review.
    await account(east, "pekerja-malam", "auditor")
    assert await east.refused(other, review, finding) == "OWN_BREAK_GLASS"
    await east.post("auditor", review, finding)

    async def reviewed() -> Any:
        found = await east.get("approver", "/break-glass")
        return [x for x in found if x["break_glass"] == glass and x["finding"] == "justified"]

    assert (await eventually(reviewed))[0]["reviewed_by"] == "auditor"


async def test_who_is_on_the_protection_path_opens_by_break_glass_alone(offices: Offices) -> None:
    city = offices.city
    row = somebody()
    (person,) = await story.register(city, row)
    await city.post("intake", f"/beneficiaries/{person}/protection-path")
    path = f"/beneficiaries/{person}/identity"
    for role in ("intake", "issuer", "treasurer"):
        assert await code(city, role, path) == "PROTECTED"
    glass = await city.post(
        "intake", f"/beneficiaries/{person}/break-glass", {"reason": "Dijemput pendamping"}
    )
    assert (await city.look("intake", path, "case_work"))["name"] == row["name"]
    (look, *_) = await looks(city, "intake", person)
    assert look["break_glass"] == glass["break_glass"]
    assert await code(city, "issuer", path) == "PROTECTED"
    with later(city, timedelta(hours=1, seconds=1)):
        assert await code(city, "intake", path) == "PROTECTED"


# Look-ups by identity.


async def look_up(desk: Desk, role: str, **asked: Any) -> dict[str, Any]:
    return await desk.post(role, "/lookups", {"purpose": "identity_check"} | asked)


async def finds(desk: Desk, role: str, **asked: Any) -> str | None:
    person: str | None = (await look_up(desk, role, **asked))["person"]
    return person


async def test_a_look_up_finds_her_by_number_or_by_name_and_birth_date(offices: Offices) -> None:
    (person,), (row,) = await arrived(offices)
    for desk, role in ((offices.city, "intake"), (offices.east, "reception")):
        asker = await account(desk, "pencari", role)
        name, born = row["name"], row["birth_date"]
        assert await finds(desk, asker, nik=row["nik"]) == person
        assert await finds(desk, asker, name=name, born=born) == person
        written = "  " + name.upper().replace(" ", "   ") + " "
        assert await finds(desk, asker, name=written, born=born) == person
        assert await finds(desk, asker, name=name, born="1990-01-03") is None
        assert await finds(desk, asker, name=name + "x", born=born) is None
        assert await finds(desk, asker, name=name.split()[0], born=born) is None
        assert await finds(desk, asker, nik=somebody()["nik"]) is None
        half = {"purpose": "identity_check", "name": name}
        assert (await desk.send(asker, "/lookups", half)).status_code == 422
    reception = await account(offices.south, "pencari", "reception")
    assert await finds(offices.south, reception, nik=row["nik"]) is None


async def test_a_look_up_still_finds_after_the_keys_were_rotated(offices: Offices) -> None:
    (person,), (row,) = await arrived(offices)
    for desk, role in ((offices.city, "intake"), (offices.east, "reception")):
        asker = await account(desk, "pencari-lama", role)
        epoch = await rotation.rotate(desk.office.keyring)
        assert list(desk.office.keyring.provider.epochs()) == [epoch]
        assert await finds(desk, asker, nik=row["nik"]) == person
        born = row["birth_date"]
        assert await finds(desk, asker, name=row["name"], born=born) == person


ROUNDS = 30


async def test_whom_it_may_not_name_a_look_up_answers_like_nobody_and_as_fast(
    offices: Offices,
) -> None:
    """Another case worker's person, and one on the protection path: not here, it says."""
    east, city = offices.east, offices.city
    (mine, hers), (my_row, her_row) = await arrived(offices, 2)
    await east.post("case_worker", f"/cases/{mine}/taking")
    colleague = await account(east, "pekerja-kedua", "case_worker")
    await east.post(colleague, f"/cases/{hers}/taking")
    open_row, shut_row = somebody(), somebody()
    open_, shut = await story.register(city, open_row, shut_row)
    await city.post("intake", f"/beneficiaries/{shut}/protection-path")
    asked = {
        "east hit": (east, "case_worker", my_row["nik"], mine),
        "east miss": (east, "case_worker", somebody()["nik"], None),
        "east forbidden": (east, "case_worker", her_row["nik"], None),
        "city hit": (city, "intake", open_row["nik"], open_),
        "city miss": (city, "intake", somebody()["nik"], None),
        "city forbidden": (city, "intake", shut_row["nik"], None),
    }
    times: dict[str, list[float]] = {name: [] for name in asked}
    bodies: dict[str, dict[str, Any]] = {}

    async def one(name: str) -> None:
        desk, role, nik, person = asked[name]
        began = time.monotonic()
        bodies[name] = await look_up(desk, role, nik=nik)
        times[name].append(time.monotonic() - began)
        assert bodies[name]["person"] == person, name

    for number in range(ROUNDS):
        # Some rounds in each ten minutes of the desk's clock, for the bound on look-ups.
        with later(east, timedelta(minutes=3 * number)), later(city, timedelta(minutes=3 * number)):
            await asyncio.gather(*(one(name) for name in asked))
    medians = {name: statistics.median(found) for name, found in times.items()}
    for office in ("east", "city"):
        kinds = [f"{office} {kind}" for kind in ("hit", "miss", "forbidden")]
        slowest, fastest = (pick(medians[kind] for kind in kinds) for pick in (max, min))
        # On a busy machine the same answer takes now more, now less: that tells nothing.
        first, _, last = statistics.quantiles(times[f"{office} miss"], n=4)
        assert slowest - fastest < max(0.03, last - first), medians
        assert {str(shape(bodies[kind] | {"person": None})) for kind in kinds} == {
            str(shape(bodies[kinds[1]]))
        }
        # The record too says only what the asker was told.
        miss, forbidden = (bodies[kind]["events"][0]["type"] for kind in kinds[1:])
        assert miss == forbidden


def shape(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what is drawn anew each time."""
    return answer | {"events": [event | {"id": ""} for event in answer["events"]]}


async def test_after_twenty_look_ups_in_ten_minutes_the_office_says_later(
    offices: Offices,
) -> None:
    city = offices.city
    tireless = await account(city, "rajin", "intake")
    body = {"purpose": "identity_check", "nik": somebody()["nik"]}
    responses = await asyncio.gather(*(city.send(tireless, "/lookups", body) for _ in range(23)))
    codes = sorted(response.status_code for response in responses)
    assert codes == [201] * 20 + [409] * 3
    assert await city.refused(tireless, "/lookups", body) == "TOO_MANY_LOOKUPS"
    colleague = await account(city, "tenang", "intake")
    assert await finds(city, colleague, nik=body["nik"]) is None
    with later(city, timedelta(minutes=11)):
        assert await finds(city, tireless, nik=body["nik"]) is None


async def test_the_bound_on_look_ups_does_not_begin_anew_at_midnight(offices: Offices) -> None:
    city = offices.city
    nightly = await account(city, "malam", "intake")
    body = {"purpose": "identity_check", "nik": somebody()["nik"]}
    now = city.office.clock()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    with later(city, midnight - now - timedelta(minutes=2)):
        for _ in range(4):
            sent = (city.send(nightly, "/lookups", body) for _ in range(5))
            assert {response.status_code for response in await asyncio.gather(*sent)} == {201}
    with later(city, midnight - now + timedelta(minutes=2)):
        assert await city.refused(nightly, "/lookups", body) == "TOO_MANY_LOOKUPS"


# Erasure.


PROPOSAL = {"basis": "consent_withdrawn", "reference": "SK/HAPUS/1"}


async def erase(desk: Desk, role: str, person: str) -> None:
    await desk.post(role, f"/beneficiaries/{person}/erasure", PROPOSAL)
    await desk.post("approver", f"/beneficiaries/{person}/erasure-approval")


async def certificate(desk: Desk, person: str) -> dict[str, Any]:
    path = f"/erasures/{person}/certificate"

    async def there() -> Any:
        return await code(desk, "auditor", path, None) == "200"

    await eventually(there)
    found: dict[str, Any] = await desk.get("auditor", path)
    return found


async def of_erasure(desk: Desk, person: str) -> dict[str, Any]:
    """What the office's list of erasures says of her; empty if nothing."""
    found = await desk.get("auditor", "/erasures")
    return next((one for one in found if one["person"] == person), {})


async def verify(desk: Desk) -> None:
    """The log's tree is that of the stored bytes, and the read models are what it says."""
    async with desk.office.pool.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        cursor = await connection.execute("select body from events order by position")
        bodies = [bytes(row[0]) for row in await cursor.fetchall()]
        head = await read_head(connection)
    assert head.size == len(bodies)
    assert merkle.root(merkle.extend(0, (), bodies)) == merkle.root(head.frontier)
    for projector in desk.office.projectors:
        assert (await projector.rebuild()).differences == [], projector.projection.name


async def test_an_erasure_needs_a_second_person_and_forgets_her_at_both_offices(
    offices: Offices,
) -> None:
    city, east = offices.city, offices.east
    (person, other), (row, other_row) = await arrived(offices, 2)
    await east.post("case_worker", f"/cases/{person}/taking")
    texts = dict.fromkeys(("potential", "wish", "opportunity"), "menjahit")
    await east.post("case_worker", f"/cases/{person}/assessment", texts)
    await east.post("case_worker", f"/cases/{person}/leaving")
    followed = await east.post("case_worker", f"/cases/{person}/follow-ups", {"note": "ditelepon"})
    credit = {"person": person, "reference": f"K/{person}", "amount_rupiah": 6_000_000}
    sent = credit | {"status": "credited", "credited_on": "2019-10-02"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [sent]})

    async def credited() -> bool:
        found = (await east.get("auditor", "/grants"))["credits"]
        return any(one["reference"] == credit["reference"] for one in found)

    await eventually(credited)
    (text,) = await positions(east, person, followed["events"][0]["id"])
    read = f"/events/{text}/texts"
    assert (await east.look("case_worker", read))["texts"] == {"note": "ditelepon"}
    before = await settled_board(offices)
    both = await account(city, "dua-peran", "intake", "approver")
    path = f"/beneficiaries/{person}"
    await city.post(both, f"{path}/erasure", PROPOSAL)
    assert await city.refused(both, f"{path}/erasure-approval") == "SECOND_PERSON"
    assert await code(city, "auditor", f"/erasures/{person}/certificate", None) in (
        "ERASURE_INCOMPLETE",
        "NOT_FOUND",
    )
    assert (await city.look("intake", f"{path}/identity"))["name"] == row["name"]
    await city.post("approver", f"{path}/erasure-approval")
    paper = await certificate(city, person)
    assert (paper["proposed_by"], paper["approved_by"]) == (both, "approver")
    assert (paper["basis"], paper["state"]) == ("consent_withdrawn", "completed")
    assert [(one["office"], bool(one["confirmed_at"])) for one in paper["offices"]] == [
        ("35", True)
    ]
    assert row["name"] not in str(paper)
    # Further words about her are refused, and she is found no more.
    withdrawal = {"reason": "tidak jadi"}
    assert await city.refused("intake", f"{path}/willingness-withdrawal", withdrawal) == (
        "PERSON_ERASED"
    )
    note = {"note": "masih ditelepon"}
    assert await east.refused("case_worker", f"/cases/{person}/follow-ups", note) == (
        "PERSON_ERASED"
    )
    for desk, role in ((city, "intake"), (east, "reception")):
        asker = await account(desk, "pencari-terhapus", role)
        assert await finds(desk, asker, nik=row["nik"]) is None
        assert await finds(desk, asker, name=row["name"], born=row["birth_date"]) is None
        assert await finds(desk, asker, nik=other_row["nik"]) == other
    # What was counted counts, what happened is proven, and she who was beside her is there.
    assert await settled_board(offices) == before
    for desk in (city, east):
        await verify(desk)
    seen = await city.look("intake", f"/beneficiaries/{other}/identity")
    assert seen["name"] == other_row["name"]
    assert (await east.look("case_worker", read))["texts"] == {"note": ERASED}


async def positions(desk: Desk, subject: str, event: str) -> list[int]:
    history = await desk.get("auditor", f"/history/{subject}")
    return [line["position"] for line in history if line["id"] == event]


async def settled_board(offices: Offices) -> dict[str, Any]:
    """The board's figures, once every word of the provinces has come."""

    async def settled() -> bool:
        desks = (offices.city, offices.east, offices.south)
        links = [link for desk in desks for link in await desk.get("auditor", "/links")]
        status = [await desk.get("auditor", "/status") for desk in desks]
        lags = [model["lag"] for one in status for model in one["projections"]]
        return all(link["recorded"] == link["confirmed"] for link in links) and not any(lags)

    await eventually(settled)
    board = await offices.city.get("auditor", "/operations/OP-TEST/board")
    return {key: value for key, value in board.items() if key != "as_of"}


async def test_who_was_erased_is_shown_as_erased_everywhere(offices: Offices) -> None:
    city, east = offices.city, offices.east
    person = await noted(offices)
    await east.post("case_worker", f"/beneficiaries/{person}/break-glass", {"reason": "darurat"})
    await erase(city, "intake", person)
    await certificate(city, person)
    shown: dict[str, Any] = {}
    for desk, role in ((city, "intake"), (east, "reception"), (east, "case_worker")):
        seen = await desk.look(role, f"/beneficiaries/{person}/identity")
        shown |= {f"{role} {name}": value for name, value in seen.items() if name != "person"}
    notes = await east.look("case_worker", f"/cases/{person}/notes")
    shown |= {name: notes[name] for name in ("potential", "wish", "opportunity")}
    (note,) = notes["notes"]
    shown["note"] = note["note"]
    reasons = await east.look("auditor", "/break-glass/reasons", "reading_reason")
    (shown["reason"],) = [one["reason"] for one in reasons if one["person"] == person]
    (handover,) = [h for h in await east.get("auditor", "/arrivals") if person in h["handover"]]
    listed = await east.look("reception", f"/arrivals/{handover['handover']}/identities")
    (hers,) = [one for one in listed if one["person"] == person]
    shown |= {f"list {name}": value for name, value in hers.items() if name != "person"}
    assert len(shown) > 15
    assert {name: value for name, value in shown.items() if value != ERASED} == {}


async def test_a_legal_hold_at_the_province_defers_and_the_city_is_told_until_when(
    offices: Offices,
) -> None:
    city, east = offices.city, offices.east
    (person,), (row,) = await arrived(offices)
    path = f"/beneficiaries/{person}"
    hold = {"until": "2099-01-01", "reason": "Perkara di pengadilan"}
    await east.post("approver", f"{path}/hold", hold)
    assert await east.refused("reception", f"{path}/erasure", PROPOSAL) == "LEGAL_HOLD"
    await erase(city, "intake", person)

    async def told() -> Any:
        offices_ = (await of_erasure(city, person)).get("offices", [])
        return [one for one in offices_ if one["withheld_until"] == "2099-01-01"]

    (waiting,) = await eventually(told)
    assert (waiting["office"], waiting["confirmed_at"]) == ("35", None)
    assert (await of_erasure(east, person))["state"] == "ordered"
    paper = f"/erasures/{person}/certificate"
    assert await code(city, "auditor", paper, None) == "ERASURE_INCOMPLETE"
    assert (await east.look("reception", f"{path}/identity"))["name"] == row["name"]
    await east.post("approver", f"{path}/hold-end")
    done = await certificate(city, person)
    assert [(one["office"], one["withheld_until"]) for one in done["offices"]] == [("35", None)]
    assert (await east.look("reception", f"{path}/identity"))["name"] != row["name"]


async def test_an_erasure_begun_at_a_province_reaches_the_city_and_the_other_province(
    offices: Offices,
) -> None:
    """She was expected at one province, did not arrive, and went to the other."""
    city, east, south = offices.city, offices.east, offices.south
    row = somebody(destination="35")
    (person,) = await story.register(city, row)
    first, second = f"HO-{person}-A", f"HO-{person}-B"
    await hand_over(offices, [person], first, "35")
    absent = {"outcome": "absent", "absence": "not_on_transport"}
    await say(offices, "35", first, person, absent)

    async def known() -> bool:
        return (await story.entry_states(city, first)).get(person) == "absent"

    await eventually(known)
    await city.post("intake", f"/beneficiaries/{person}/destination", {"destination": "53"})
    await hand_over(offices, [person], second, "53", predecessor=first)
    await say(offices, "53", second, person, story.ARRIVED)
    assert await finds(east, "reception", nik=row["nik"]) == person
    await erase(south, "reception", person)
    paper = await certificate(south, person)
    assert [one["office"] for one in paper["offices"]] == ["53.71"]
    of_city = await certificate(city, person)
    assert (of_city["requested_by"], [o["office"] for o in of_city["offices"]]) == ("53", ["35"])
    assert (await certificate(east, person))["requested_by"] == "53.71"
    for desk, role in ((city, "intake"), (east, "reception"), (south, "reception")):
        asker = await account(desk, "pencari-bersama", role)
        assert await finds(desk, asker, nik=row["nik"]) is None
        seen = await desk.look(role, f"/beneficiaries/{person}/identity")
        assert row["name"] not in str(seen)
        async with desk.office.pool.connection() as connection:
            cursor = await connection.execute(
                "select wrapped is null from person_keys where subject = %s", (person,)
            )
            assert await cursor.fetchall() == [(True,)]


async def signed_in_later(desk: Desk, role: str, moved: timedelta) -> str:
    """Tokens end after ninety days: whoever acts years from now signs in then."""
    found = await staff.by_username(desk.office.pool, role)
    assert found is not None
    begun = await sessions.begin(desk.office.pool, found, desk.office.clock() + moved)
    assert begun is not None
    desk.tokens[f"{role} later"] = begun.token
    return f"{role} later"


async def proposed_to_erase(desk: Desk, moved: timedelta) -> list[str]:
    """Whom the retention schedule proposes by then."""
    role = await signed_in_later(desk, "approver", moved)
    with later(desk, moved):
        return [one["person"] for one in await desk.get(role, "/retention") if not one["held"]]


async def test_the_schedule_proposes_who_is_due_and_nobody_held_or_erased(
    offices: Offices,
) -> None:
    city = offices.city
    persons = await story.register(city, *(somebody() for _ in range(5)))
    due, held, erased, proposed, still_here = persons
    for person in (due, held, erased, proposed):
        await city.post("intake", f"/beneficiaries/{person}/willingness-withdrawal")
    hold = {"until": "2099-01-01", "reason": "Perkara di pengadilan"}
    await city.post("approver", f"/beneficiaries/{held}/hold", hold)
    await erase(city, "intake", erased)
    await certificate(city, erased)
    await city.post("intake", f"/beneficiaries/{proposed}/erasure", PROPOSAL)
    assert await city.get("approver", "/retention") == []
    years = timedelta(days=365)
    assert due not in await proposed_to_erase(city, 4 * years)
    found = await proposed_to_erase(city, 6 * years)
    assert [one for one in persons if one in found] == [due]
    assert still_here not in found
    # Proposed, and no more than that: nothing is done before two people have decided.
    assert await of_erasure(city, due) == {}


async def test_the_schedule_proposes_her_again_when_a_hold_has_ended(offices: Offices) -> None:
    city = offices.city
    (person,) = await story.register(city, somebody())
    await city.post("intake", f"/beneficiaries/{person}/willingness-withdrawal")
    today = city.office.clock().date()
    hold = {"until": str(today + timedelta(days=30)), "reason": "Perkara di pengadilan"}
    await city.post("approver", f"/beneficiaries/{person}/hold", hold)
    assert person in await proposed_to_erase(city, timedelta(days=365 * 6))


# What staff take away.


async def test_no_list_that_is_taken_away_holds_a_ciphertext_or_a_formula(
    offices: Offices,
) -> None:
    person = await noted(offices)
    reason = {"reason": "=1+1"}
    await offices.east.post("reception", f"/beneficiaries/{person}/break-glass", reason)
    lists = 0
    for desk in (offices.city, offices.east):
        for read in reads_of(desk.office.service):
            if "{" in read.path:
                continue
            for role in sorted(read.roles & set(desk.tokens)):
                found = {form: await taken(desk, role, read.path, form) for form in ("csv", "xlsx")}
                if not found["csv"]:
                    continue
                lists += 1
                check_csv(found["csv"].decode("utf-8-sig"))
                with zipfile.ZipFile(io.BytesIO(found["xlsx"])) as book:
                    assert not any("externalLink" in name for name in book.namelist())
                sheet = unzipped(found["xlsx"])
                assert "<f>" not in sheet
                assert "s1." not in sheet
                assert not re.search(r"<t[^>]*>[=+@\-]", sheet)
    assert lists > 20
    houses = (await taken(offices.east, "auditor", "/houses", "csv")).decode("utf-8-sig")
    assert f"'{FORMULA}" in houses
    # What was sealed goes into no file that is passed on, and asking for one is no look.
    size = await offices.east.size()
    for form in ("csv", "xlsx"):
        assert await taken(offices.east, "auditor", "/break-glass/reasons", form) == b""
    assert await offices.east.size() == size


SPANS = {"/changes": {"from": "2019-10-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}}
"""What tells of a span of time wants to know which one."""


async def taken(desk: Desk, role: str, path: str, form: str) -> bytes:
    """A list as a file; nothing where this is no list."""
    response = await desk.http.get(
        f"/api/v1{path}",
        params={
            "purpose": "reading_reason",
            "format": form,
            **SPANS.get(path, {}),
        },
        headers={"Authorization": f"Bearer {desk.tokens[role]}"},
    )
    if response.status_code == 422 and response.json()["code"] == "NOT_A_TABLE":
        return b""
    assert response.status_code == 200, response.text
    assert "attachment" in response.headers["content-disposition"]
    return response.content


def check_csv(text: str) -> None:
    assert "s1." not in text
    for line in csv.reader(io.StringIO(text, newline="")):
        for cell in line:
            assert not re.match(r"[=@\t\r]|[+-](?![\d.]+$)", cell), cell
