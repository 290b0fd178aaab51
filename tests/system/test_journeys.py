"""The main job, end to end, on real servers: city and province in sync, person by person."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from services.city.projections.board import ended
from services.province.service import SERVICE as PROVINCE
from shared.runtime.settings import Settings
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk


async def test_a_handover_crosses_and_each_arrival_comes_back(city: Desk, province: Desk) -> None:
    """Rules 5 and 6."""
    first, second, third = await story.issued(city)
    await city.post("issuer", "/handovers/HO-1/departure")
    found = await story.expected(province)
    assert {e["person"] for e in found["entries"]} == {first, second, third}
    await story.open_house(province)
    await story.answer(province, first, story.ARRIVED)
    await story.until_states(city, {first: "arrived", second: "departed", third: "departed"})
    await story.answer(province, second, {"outcome": "absent", "absence": "left_in_transit"})
    await story.answer(province, third, {"outcome": "diverted", "diverted_to": "53"})
    await story.until_states(city, {first: "arrived", second: "absent", third: "diverted"})
    assert (await city.post("issuer", "/handovers/HO-1/closing"))["recorded"] == 1
    await story.in_sync(city, province)
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert board["states"] == {"arrived": 1, "absent": 1, "diverted": 1}
    names = [d["discrepancy"] for d in board["discrepancies"]]
    assert names == ["absent_35", "diverted_35"]


async def test_an_arrival_is_answered_before_the_word_of_the_departure(
    city: Desk, province: Desk
) -> None:
    person = await story.arrived(city, province)
    await city.post("issuer", "/handovers/HO-1/departure")
    await story.in_sync(city, province)
    assert await story.entry_states(city) == {person: "arrived"}


async def test_a_wrong_answer_is_corrected_at_both_offices(city: Desk, province: Desk) -> None:
    """Rule 18: the correction cites the answer it replaces; bed and case go with it."""
    (person,) = await story.awaited(city, province, 1)
    await story.answer(province, person, story.ARRIVED)
    path = f"/arrivals/HO-1/entries/{person}"
    wrong = {"outcome": "absent", "absence": "not_on_transport"}
    assert await province.refused("reception", f"{path}/answer", wrong) == "ALREADY_ANSWERED"
    await province.post(
        "reception", f"{path}/correction", wrong | {"corrects": 1, "reason": "Salah orang"}
    )
    await story.until_states(city, {person: "absent"})
    assert (await province.get("auditor", "/houses"))[0]["residents"] == 0
    assert await province.get("auditor", "/cases") == []
    # Absent at 35, she may enter a new handover that names its predecessor (rule 8).
    await story.draft(city, [person], "HO-2", predecessor="HO-1")


async def test_somebody_who_stands_on_no_list_is_shown_and_never_swallowed(
    city: Desk, province: Desk
) -> None:
    """Rule 1."""
    await story.awaited(city, province, 1)
    body = {"initials": "ZZ", "house": "RS-1", "willing": True}
    person = (await province.post("reception", "/arrivals/HO-1/unlisted", body))["person"]
    await eventually(lambda: has_state(city, person, "unlisted"))
    await story.in_sync(city, province)
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert [d["discrepancy"] for d in board["discrepancies"]] == ["unlisted_35"]
    # Her affairs go on at the other office: the schedule proposes her to nobody.
    async with city.office.pool.connection() as connection:
        assert await ended(connection, datetime.now(UTC) + timedelta(days=4_000)) == []
    # It was a mistake: she is taken back at both offices, with the bed and the case (rule 18).
    path = f"/arrivals/HO-1/unlisted/{person}/correction"
    await province.post("reception", path, {"reason": "Salah orang"})
    await story.in_sync(city, province)
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert board["discrepancies"] == []
    assert (await province.get("auditor", "/houses"))[0]["residents"] == 0


async def has_state(city: Desk, person: str, state: str) -> bool:
    people = await city.get("auditor", "/operations/OP-TEST/beneficiaries")
    return any(p["person"] == person and p["state"] == state for p in people)


async def test_a_house_that_is_full_needs_a_recorded_override(city: Desk, province: Desk) -> None:
    """Rule 11: and a refused arrival leaves neither answer nor case behind."""
    first, second = await story.issued(city, 2)
    await story.expected(province)
    await story.open_house(province, capacity=1)
    await story.answer(province, first, story.ARRIVED)
    before = await province.size()
    path = f"/arrivals/HO-1/entries/{second}/answer"
    assert await province.refused("reception", path, story.ARRIVED) == "HOUSE_FULL"
    assert await province.size() == before
    await province.post(
        "reception", path, story.ARRIVED | {"override_reason": "Tidak ada tempat lain"}
    )
    assert (await province.get("auditor", "/houses"))[0]["overrides"] == 1


async def test_one_person_is_withdrawn_and_the_manifest_amended(city: Desk, province: Desk) -> None:
    """Rule 9: her willingness is hers to withdraw until departure."""
    first, second = await story.issued(city, 2)
    await story.expected(province)
    await city.post("intake", f"/beneficiaries/{first}/willingness-withdrawal")

    async def amended() -> bool:
        found = await province.get("auditor", "/arrivals/HO-1")
        states = {e["person"]: e["state"] for e in found["entries"]}
        return states == {first: "withdrawn", second: "expected"}

    await eventually(amended)
    assert await has_state(city, first, "withdrawn")
    await city.post("issuer", "/handovers/HO-1/departure")
    path = f"/handovers/HO-1/entries/{second}/withdrawal"
    assert await city.refused("issuer", path, {"reason": "Terlambat"}) == "HANDOVER_PHASE"


async def test_a_whole_handover_is_withdrawn_at_both_offices(city: Desk, province: Desk) -> None:
    (person,) = await story.issued(city, 1)
    await story.expected(province)
    await city.post("issuer", "/handovers/HO-1/withdrawal", {"reason": "Kapal batal"})

    async def withdrawn() -> bool:
        found = await province.get("auditor", "/arrivals/HO-1")
        return bool(found["phase"] == "withdrawn")

    await eventually(withdrawn)
    await story.draft(city, [person], "HO-2")


async def test_a_declined_handover_frees_its_people(city: Desk, province: Desk) -> None:
    (person,) = await story.issued(city, 1)
    await story.expected(province)
    decline = {"reason": "capacity", "explanation": "Penuh sampai bulan depan"}
    await province.post("reception", "/arrivals/HO-1/decline", decline)
    await story.until_states(city, {person: "declined"})
    await story.draft(city, [person], "HO-2")


async def credit(city: Desk, person: str, reference: str, **more: Any) -> dict[str, Any]:
    row = story.CREDIT | {"person": person, "reference": reference} | more
    return await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [row]})


async def grants_at(province: Desk) -> list[tuple[str, int]]:
    found = await province.get("auditor", "/grants")
    return [(c["reference"], c["standing_rupiah"]) for c in found["credits"]]


async def test_a_grant_comes_before_or_after_the_handover(city: Desk, province: Desk) -> None:
    """Rule 16; a province hears of a grant only once its person is handed over to it."""
    await story.open_operation(city)
    before, after = await story.register(city, story.intake_row(), story.intake_row())
    await credit(city, before, "K/1")
    await story.draft(city, [before, after])
    await story.issue(city)
    await story.expected(province)
    await credit(city, after, "K/2")
    await story.in_sync(city, province)
    assert sorted(await grants_at(province)) == [("K/1", 6_000_000), ("K/2", 6_000_000)]


async def test_a_failed_grant_is_paid_again_confirmed_and_never_nets(
    city: Desk, province: Desk
) -> None:
    """Rules 10, 15, 19."""
    (person,) = await story.issued(city, 1)
    await credit(city, person, "K/1")
    await credit(city, person, "K/1", status="failed", reason="Rekening salah")
    again = await credit(city, person, "K/2", replaces="K/1")
    assert again["recorded"] == 2
    repeated = await credit(city, person, "K/2", replaces="K/1")
    assert repeated["recorded"] == 0
    await story.expected(province)
    await story.open_house(province)
    await story.answer(province, person, story.ARRIVED)
    await story.in_sync(city, province)
    assert await grants_at(province) == [("K/1", 0), ("K/2", 6_000_000)]
    case = f"/cases/{person}"
    texts = {"potential": "Contoh A", "wish": "Contoh B", "opportunity": "Contoh C"}
    assert await province.refused("case_worker", f"{case}/assessment", texts) == "NOT_ASSIGNED"
    await province.post("case_worker", f"{case}/taking")
    await province.post("case_worker", f"{case}/assessment", texts)
    await province.post("case_worker", f"{case}/offers", {"offers": ["Salon", "Menjahit"]})
    await province.post("case_worker", f"{case}/choice", {"chosen": []})
    await province.post("case_worker", f"{case}/readiness")
    home = f"{case}/family-return"
    assert await province.refused("case_worker", home, {"agrees": True}) == "CAPITAL_NOT_CONFIRMED"
    confirm = f"/beneficiaries/{person}/grant-confirmations"
    await province.post("case_worker", confirm, {"reference": "K/2"})
    assert await province.refused("case_worker", home, {"agrees": False}) == "AGREEMENT_MISSING"
    await province.post("case_worker", home, {"agrees": True})
    await eventually(lambda: has_state(city, person, "returned_to_family"))
    ledger = await city.get("treasurer", "/operations/OP-TEST/ledger")
    assert ledger["grants"]["standing_rupiah"] == 6_000_000
    assert ledger["grants"]["failed_rupiah"] == 6_000_000
    assert ledger["grants"]["confirmed"] == 1
    assert (await province.get("auditor", "/houses"))[0]["residents"] == 0


async def test_the_city_sees_a_cases_status_and_nothing_else(city: Desk, province: Desk) -> None:
    """Rule 21, looked for in every byte that the city holds."""
    (person,) = await story.awaited(city, province, 1)
    await story.answer(province, person, story.ARRIVED)
    secret = "rahasia-asesmen-contoh"
    await province.post("case_worker", f"/cases/{person}/taking")
    texts = {"potential": secret, "wish": secret, "opportunity": secret}
    await province.post("case_worker", f"/cases/{person}/assessment", texts)
    await province.post("case_worker", f"/cases/{person}/leaving")
    await province.post("case_worker", f"/cases/{person}/follow-ups", {"note": secret})
    await story.in_sync(city, province)
    seen = await province.look("case_worker", f"/cases/{person}/notes", "case_work")
    assert (seen["wish"], seen["notes"][0]["note"]) == (secret, secret)
    assert (await province.get("auditor", f"/cases/{person}"))["wish"] == "(tersegel)"
    for desk in (city, province):
        for table in ("events", "outbox", "inbox"):
            async with desk.office.pool.connection() as connection:
                cursor = await connection.execute(
                    f"select 1 from {table} where position(%s in body) > 0".encode(),
                    (secret.encode(),),
                )
                assert await cursor.fetchall() == []


async def test_travel_money_adds_up_per_person_and_surplus_goes_back(city: Desk) -> None:
    """Rules 13 and 14."""
    await story.open_operation(city)
    first, second = await story.register(city, story.intake_row(), story.intake_row())
    rows = [
        {"person": p, "release": f"P/{n}", "budget_code": "DPA/1", "amount_rupiah": 2_000_000}
        for n, p in enumerate((first, second))
    ]
    await city.post("treasurer", "/operations/OP-TEST/advances", {"rows": rows})
    fare = {"receipt": "KW/1", "amount_rupiah": 1_600_000}
    await city.post("treasurer", f"/beneficiaries/{first}/fares", fare)
    high = {"receipt": "KW/2", "amount_rupiah": 2_000_001}
    path = f"/beneficiaries/{second}/fares"
    assert await city.refused("treasurer", path, high) == "FARE_ABOVE_CEILING"
    sts = {
        "sts": "STS/1",
        "operation": "OP-TEST",
        "bank_validation": "V/1",
        "deposited_on": "2019-10-18",
        "total_rupiah": 2_400_000,
        "shares": [
            {"person": first, "amount_rupiah": 400_001},
            {"person": second, "amount_rupiah": 1_999_999},
        ],
    }
    refused = await city.refused("treasurer", "/treasury-returns", sts)
    assert refused == "RETURN_BEYOND_OUTSTANDING"
    sts["shares"] = [
        {"person": first, "amount_rupiah": 400_000},
        {"person": second, "amount_rupiah": 2_000_000},
    ]
    await city.post("treasurer", "/treasury-returns", sts)
    ledger = await city.get("treasurer", "/operations/OP-TEST/ledger")
    assert ledger["fares"] == {
        "released_rupiah": 4_000_000,
        "spent_rupiah": 1_600_000,
        "returned_rupiah": 2_400_000,
        "outstanding_rupiah": 0,
    }


async def test_while_a_worker_is_away_people_go_on_and_nothing_comes_twice(
    city: Desk, stack: AsyncExitStack, settings: Callable[..., Settings]
) -> None:
    """The province's worker is killed in mid-work, and started again later."""
    first, second = await story.issued(city, 2)
    of_35 = settings("35", ("53.71",))
    async with AsyncExitStack() as until_killed:
        province = await open_desk(until_killed, of_35, PROVINCE)
        await story.expected(province)
        await story.open_house(province)
        await story.answer(province, first, story.ARRIVED)
    # Away: the city goes on issuing, and cannot know more than it was told.
    persons = await story.register(city, *(story.intake_row() for _ in range(5)))
    await story.draft(city, persons, "HO-2")
    await story.issue(city, "HO-2")
    await city.post("issuer", "/handovers/HO-1/departure")
    province = await open_desk(stack, of_35, PROVINCE)
    await story.expected(province, "HO-2")
    await story.answer(province, second, story.ARRIVED)
    await story.until_states(city, {first: "arrived", second: "arrived"})
    await story.in_sync(city, province)
    async with province.office.pool.connection() as connection:
        cursor = await connection.execute(
            "select stream, type, count(*) from events where type like '%%expected%%'"
            " group by 1, 2 having count(*) > 1"
        )
        assert await cursor.fetchall() == []


async def test_messages_survive_a_broker_that_lost_everything(
    city: Desk, province: Desk, servers: Any
) -> None:
    """Redis is transport, never the record."""
    from redis.asyncio import Redis

    async with Redis.from_url(servers.redis_url) as broker:
        await broker.flushall()
        (person,) = await story.issued(city, 1)
        await broker.flushall()
        await story.expected(province)
        await broker.flushall()
    await story.open_house(province)
    await story.answer(province, person, story.ARRIVED)
    await story.until_states(city, {person: "arrived"})
    await story.in_sync(city, province)


async def test_a_discrepancy_closes_only_by_an_explanation_of_this_very_difference(
    city: Desk,
) -> None:
    """Rules 1 and 3."""
    await story.open_operation(city)
    claim = {
        "subject": "persons",
        "figure": 3,
        "source": "Surat contoh",
        "stated_by": "Kepala",
        "stated_on": "2019-10-03",
    }
    await city.post("issuer", "/operations/OP-TEST/claims", claim)
    await story.register(city, story.intake_row(), story.intake_row())

    async def found() -> list[tuple[str, int, bool]]:
        board = await city.get("auditor", "/operations/OP-TEST/board")
        return [(d["discrepancy"], d["difference"], d["open"]) for d in board["discrepancies"]]

    assert await found() == [("enumerated_persons", -1, True)]
    why = {
        "discrepancy": "enumerated_persons",
        "difference": -1,
        "explanation": "Satu orang pulang sendiri",
    }
    await city.post("approver", "/operations/OP-TEST/explanations", why)
    assert await found() == [("enumerated_persons", -1, False)]
    await story.register(city, story.intake_row(), story.intake_row())
    assert await found() == [("enumerated_persons", 1, True)]


async def test_nobody_is_left_behind_in_a_handover_that_is_withdrawn_while_she_enters(
    city: Desk,
) -> None:
    """Rule 8: whatever comes first, she can go into another handover afterwards."""
    import asyncio

    await story.open_operation(city)
    persons = await story.register(city, *(story.intake_row() for _ in range(6)))
    await story.draft(city, persons[:1])
    await asyncio.gather(
        *(
            city.send("issuer", "/handovers/HO-1/entries", {"persons": [person]})
            for person in persons[1:]
        ),
        city.post("issuer", "/handovers/HO-1/withdrawal", {"reason": "Batal"}),
    )
    await story.draft(city, persons, "HO-2")


async def test_an_answer_corrected_while_she_is_on_the_next_manifest_is_not_lost(
    city: Desk, province: Desk
) -> None:
    """Rules 1 and 5: she is in the house, and no board may say that she is absent."""
    (person,) = await story.awaited(city, province, 1)
    absent = {"outcome": "absent", "absence": "not_on_transport"}
    await story.answer(province, person, absent)
    await story.until_states(city, {person: "absent"})
    await story.draft(city, [person], "HO-2")
    await city.post("issuer", "/handovers/HO-2/submission")
    approval = {"signatory": "kepala", "deed_date": "2019-10-04"}
    await city.post("approver", "/handovers/HO-2/approval", approval)
    await province.post(
        "reception",
        f"/arrivals/HO-1/entries/{person}/correction",
        story.ARRIVED | {"corrects": 1, "reason": "Ternyata ada"},
    )
    await eventually(lambda: has_state(city, person, "arrived"))
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert [d["discrepancy"] for d in board["discrepancies"]] == [
        "received_while_on_another_manifest"
    ]
    issue = {"deed_number": "BAST/2"}
    assert await city.refused("issuer", "/handovers/HO-2/issue", issue) == "ALREADY_RECEIVED"
    taken = {"deed_number": "Bast/HO-1"}
    assert await city.refused("issuer", "/handovers/HO-2/issue", taken) == "DEED_NUMBER_OF_ANOTHER"
    path = f"/handovers/HO-2/entries/{person}/withdrawal"
    await city.post("issuer", path, {"reason": "Sudah di sana"})
    assert await has_state(city, person, "arrived")
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert board["discrepancies"] == []


async def test_a_decline_that_crosses_a_withdrawal_ends_alike_at_both_offices(
    city: Desk, stack: AsyncExitStack, settings: Callable[..., Settings]
) -> None:
    """The province declines before it hears that the city has withdrawn."""
    await story.issued(city, 1)
    of_35 = settings("35", ("53.71",))
    async with AsyncExitStack() as for_a_while:
        province = await open_desk(for_a_while, of_35, PROVINCE)
        await story.expected(province)
    await city.post("issuer", "/handovers/HO-1/withdrawal", {"reason": "Kapal batal"})
    async with AsyncExitStack() as without_worker:
        province = await open_desk(without_worker, of_35, PROVINCE, with_worker=False)
        decline = {"reason": "capacity", "explanation": "Penuh"}
        await province.post("reception", "/arrivals/HO-1/decline", decline)
    province = await open_desk(stack, of_35, PROVINCE)
    await story.in_sync(city, province)

    async def alike() -> bool:
        theirs = await province.get("auditor", "/arrivals/HO-1")
        ours = await city.get("auditor", "/handovers/HO-1")
        return bool(
            {e["state"] for e in theirs["entries"]} == {e["state"] for e in ours["entries"]}
            and theirs["phase"] == ours["phase"] == "withdrawn"
        )

    await eventually(alike)


async def test_many_readers_of_sealed_cases_bring_nobody_to_a_stand(
    city: Desk, province: Desk
) -> None:
    import asyncio

    (person,) = await story.awaited(city, province, 1)
    await story.answer(province, person, story.ARRIVED)
    await province.post("case_worker", f"/cases/{person}/taking")
    texts = {"potential": "A", "wish": "B", "opportunity": "C"}
    await province.post("case_worker", f"/cases/{person}/assessment", texts)
    notes = f"/cases/{person}/notes"
    async with asyncio.timeout(20):
        await asyncio.gather(*(province.look("case_worker", notes, "case_work") for _ in range(60)))


async def test_an_issue_that_is_repeated_later_tells_nobody_of_her_money(
    city: Desk, province: Desk
) -> None:
    """The office that she doesn't go to after all hears no more of her (ADR 0006)."""
    (person,) = await story.issued(city, 1)
    await story.expected(province)
    await city.post("issuer", "/handovers/HO-1/withdrawal", {"reason": "Batal"})
    before = await city.size()
    again = await city.post("issuer", "/handovers/HO-1/issue", {"deed_number": "BAST/HO-1"})
    assert again["recorded"] == 0
    assert await city.size() == before
    await credit(city, person, "K/1")
    await story.in_sync(city, province)
    assert await grants_at(province) == []


async def test_a_duplicate_is_what_a_person_holds_beyond_her_grant(city: Desk) -> None:
    """Rule 15: whichever of the credits went back."""
    await story.open_operation(city)
    (person,) = await story.register(city, story.intake_row())

    async def excess() -> list[int]:
        board = await city.get("auditor", "/operations/OP-TEST/board")
        found = board["discrepancies"]
        return [d["difference"] for d in found if d["discrepancy"] == "grants_duplicate"]

    await credit(city, person, "K/1", amount_rupiah=4_000_000)
    await credit(city, person, "K/2", amount_rupiah=4_000_000)
    assert await excess() == [2_000_000]
    await credit(city, person, "K/1", status="returned", amount_rupiah=2_000_000)
    assert await excess() == []


async def test_a_corrected_hour_brings_nobody_back_from_her_family(
    city: Desk, province: Desk
) -> None:
    (person,) = await story.issued(city, 1)
    await credit(city, person, "K/1")
    await story.expected(province)
    await story.open_house(province)
    await story.answer(province, person, story.ARRIVED)
    await story.in_sync(city, province)
    texts = {"potential": "A", "wish": "B", "opportunity": "C"}
    for path, body in (
        (f"/cases/{person}/taking", {}),
        (f"/cases/{person}/assessment", texts),
        (f"/cases/{person}/readiness", {}),
        (f"/beneficiaries/{person}/grant-confirmations", {"reference": "K/1"}),
        (f"/cases/{person}/family-return", {"agrees": True}),
    ):
        await province.post("case_worker", path, body)
    await eventually(lambda: has_state(city, person, "returned_to_family"))
    correction = story.ARRIVED | {
        "corrects": 1,
        "reason": "Jamnya keliru",
        "occurred_at": "2019-10-06T06:00:00+07:00",
    }
    await province.post("reception", f"/arrivals/HO-1/entries/{person}/correction", correction)
    await story.in_sync(city, province)
    assert await has_state(city, person, "returned_to_family")
