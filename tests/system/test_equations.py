"""What must add up at each office: derived from the events, held against the read models."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from shared.kernel import asof
from shared.runtime import custody_routes
from shared.runtime.audit.sums import derive
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_command import environment, pulang
from tests.system.test_tampering import owners


async def derived(desk: Desk) -> tuple[int, dict[str, Any]]:
    code, out, err = await pulang("audit", "equations", "--json", **environment(desk))
    assert out, err
    return code, json.loads(out)


async def projected(*desks: Desk) -> None:
    """Waits until every read model stands at the log's end."""
    for desk in desks:

        async def same(desk: Desk = desk) -> bool:
            async with desk.office.pool.connection() as db:
                cursor = await db.execute(
                    "select min(position) = (select size from log_head) from projections"
                )
                return bool((await cursor.fetchone() or (False,))[0])

        await eventually(same)


def named(found: dict[str, Any], name: str, about: str = "OP-TEST") -> dict[str, Any]:
    (one,) = [e for e in found["equations"] if (e["name"], e["about"]) == (name, about)]
    return dict(one)


async def declare(city: Desk, subject: str, figure: int, **more: Any) -> None:
    said = {"source": "Berita", "stated_by": "Plt. Kepala Dinas", "stated_on": "2019-10-03"}
    body = {"subject": subject, "figure": figure} | said | more
    await city.post("issuer", "/operations/OP-TEST/claims", body)


async def split(city: Desk, total: int, **offices: int) -> None:
    await declare(city, "persons", total)
    for office, figure in offices.items():
        await declare(city, "destination", figure, destination=office.removeprefix("to"))


async def money(city: Desk, first: str, second: str) -> None:
    """Advances of two, of which one gives back what is left; the other's fare is corrected."""
    rows = [
        {"person": p, "release": f"SP2D/{n}", "budget_code": "5.1", "amount_rupiah": 2_000_000}
        for n, p in enumerate((first, second))
    ]
    await city.post("treasurer", "/operations/OP-TEST/advances", {"rows": rows})
    for person, receipt in ((first, "KW/1"), (second, "KW/2")):
        fare = {"receipt": receipt, "amount_rupiah": 1_500_000}
        await city.post("treasurer", f"/beneficiaries/{person}/fares", fare)
    right = {"receipt": "KW/2", "amount_rupiah": 1_600_000, "reason": "Salah ketik"}
    await city.post("treasurer", f"/beneficiaries/{second}/fare-corrections", right)
    sts = {
        "sts": "STS/1", "operation": "OP-TEST", "bank_validation": "NTPN1",
        "deposited_on": "2019-10-05", "total_rupiah": 500_000,
        "shares": [{"person": first, "amount_rupiah": 500_000}],
    }  # fmt: skip
    await city.post("treasurer", "/treasury-returns", sts)


async def both_stories(city: Desk, province: Desk) -> list[str]:
    """Persons, both kinds of money, a house with somebody in it, a credit that is confirmed."""
    first, second = await story.issued(city, 2)
    await city.post("issuer", "/handovers/HO-1/departure")
    await story.expected(province)
    await story.open_house(province)
    await story.answer(province, first, story.ARRIVED)
    await money(city, first, second)
    row = story.CREDIT | {"person": first, "reference": "K/1"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [row]})

    async def told() -> bool:
        return bool((await province.get("auditor", "/grants"))["credits"])

    await eventually(told)
    confirm = f"/beneficiaries/{first}/grant-confirmations"
    await province.post("case_worker", confirm, {"reference": "K/1"})
    await story.in_sync(city, province)
    await projected(city, province)
    return [first, second]


async def test_five_of_68_are_unaccounted_for_and_said_so_until_it_is_explained(city: Desk) -> None:
    await story.open_operation(city)
    rows = [story.intake_row(destination=d) for d in ("35", "35", "53", None, None)]
    *_, fourth, fifth = await story.register(city, *rows)
    await split(city, 5, to35=2, to53=1)
    await projected(city)
    code, found = await derived(city)
    one = named(found, "split")
    assert (code, one["outcome"], one["difference"]) == (0, "open", -2)
    assert (one["left"], one["terms"]) == (5, {"to 35": 2, "to 53": 1})
    assert (one["discrepancy"], set(one["persons"])) == ("declared_split", {fourth, fifth})
    assert named(found, "persons")["terms"] == {"assigned": 3, "undetermined": 2}
    code, out, _ = await pulang("audit", "equations", **environment(city))
    assert code == 0
    assert "split, OP-TEST: declared 5 is not to 35 2 + to 53 1 = 3: 2 missing." in out
    assert "The discrepancy declared_split (-2) is open." in out
    why = {"discrepancy": "declared_split", "difference": -2, "explanation": "Dua belum pasti"}
    await city.post("approver", "/operations/OP-TEST/explanations", why)
    await projected(city)
    code, found = await derived(city)
    assert (code, named(found, "split")["outcome"]) == (0, "explained")


async def test_who_was_never_declared_is_a_discrepancy_of_its_size_and_place(city: Desk) -> None:
    await story.open_operation(city)
    await story.register(city, story.intake_row(), story.intake_row(destination="53"))
    await split(city, 1, to35=1)
    await projected(city)
    code, found = await derived(city)
    assert code == 0
    one = named(found, "persons")
    assert (one["outcome"], one["discrepancy"], one["difference"]) == (
        "open", "enumerated_persons", 1,
    )  # fmt: skip
    assert named(found, "destination")["outcome"] == "holds"


async def test_both_offices_add_up_and_the_api_says_the_same(city: Desk, province: Desk) -> None:
    await both_stories(city, province)
    for desk in (city, province):
        code, found = await derived(desk)
        assert (code, found["faults"], found["differences"]) == (0, 0, [])
        assert found["holding"] == found["checked"]
        assert set(found["read_models"].values()) == {await desk.size()}
        assert await desk.get("auditor", "/equations") == found
    _, found = await derived(city)
    assert named(found, "fares")["terms"] == {
        "spent": 3_100_000, "returned": 500_000, "outstanding": 400_000,
    }  # fmt: skip
    assert named(found, "grants")["terms"] == {"standing": 6_000_000, "returned": 0, "failed": 0}
    assert {"sts", "shares", "sts_persons", "surplus", "fund", "references"} <= {*found["checked"]}
    _, found = await derived(province)
    assert named(found, "manifest", "HO-1")["terms"] == {"arrived": 1, "waiting": 1}
    assert named(found, "house", "RS-1")["terms"] == {"placed there": 1}
    assert named(found, "fates", "grants")["terms"]["confirmed"] == 1


PLANTED = {
    "53.71": [
        ("board.person", "update rm_board.person set state = 'closed' where person = '{0}'"),
        ("board.person", "delete from rm_board.person where person = '{0}'"),
        (
            "board.person",
            "insert into rm_board.person (person, operation, listed, state, said_by, since)"
            " values ('PM-ZZZZZZZZZZ', 'OP-TEST', true, 'assigned', 'x', now())",
        ),
        ("board.person", "update rm_board.person set destination = '53'"),
        ("board.claim", "update rm_board.claim set source = 'x'"),
        ("board.discrepancies", "update rm_board.claim set figure = 2 where subject = 'persons'"),
        (
            "board.discrepancies",
            "insert into rm_board.explanation values"
            " ('OP-TEST', 'enumerated_persons', -1, 'x', 'x', now(), 999)",
        ),
        ("board.operation", "delete from rm_board.operation"),
        ("ledger.movement", "update rm_ledger.movement set amount_rupiah = 1 where kind = 'spent'"),
        ("ledger.movement", "delete from rm_ledger.movement where kind = 'returned'"),
        ("ledger.credit", "update rm_ledger.credit set amount_rupiah = 7000000"),
        (
            "ledger.discrepancies",
            "update rm_ledger.holding set standing_rupiah = 7000000, state = 'beyond'",
        ),
        ("ledger.credit", "update rm_ledger.credit set answer = 'disputed'"),
        ("ledger.holding", "update rm_ledger.holding set standing_rupiah = 1"),
        ("ledger.holding", "update rm_ledger.holding set state = 'none'"),
        ("ledger.advance", "update rm_ledger.advance set spent_rupiah = 1"),
        ("ledger.sts", "update rm_ledger.sts set total_rupiah = 1"),
        ("ledger.entitlement", "update rm_ledger.entitlement set grant_rupiah = 1"),
        ("board.projections", "update projections set position = 9999 where name = 'board'"),
    ],
    "35": [
        ("arrivals.entry", "update rm_arrivals.entry set state = 'absent' where person = '{0}'"),
        ("arrivals.entry", "delete from rm_arrivals.entry where person = '{0}'"),
        ("houses.resident", "delete from rm_houses.resident"),
        ("houses.house", "update rm_houses.house set capacity = 1"),
        ("cases.casework", "update rm_cases.casework set house = 'RS-2'"),
        ("grants.credit", "update rm_grants.credit set answer = null"),
        ("grants.credit", "update rm_grants.credit set returned_rupiah = 1"),
    ],
}


async def test_each_planted_row_is_named_with_both_sides(
    city: Desk, province: Desk, servers: Servers
) -> None:
    persons = await both_stories(city, province)
    await split(city, 3, to35=2)
    await projected(city)
    for desk in (city, province):
        code, office = desk.office.settings.office, desk.office
        async with owners(desk, servers) as db:
            for table, statement in PLANTED[code]:
                async with db.transaction(force_rollback=True):
                    await db.execute("set transaction isolation level repeatable read")
                    await db.execute(statement.format(*persons).encode())
                    found = await derive(db, code, office.service, office.handling.types)
                tables = {f"{one.model}.{one.table}" for one in found.differences}
                assert table in tables, (statement, found.differences)
                assert found.faults
        _, clean = await derived(desk)
        assert clean["faults"] == 0


async def test_a_planted_row_makes_the_command_end_with_one(
    city: Desk, province: Desk, servers: Servers
) -> None:
    first, _ = await both_stories(city, province)
    async with owners(city, servers) as db:
        await db.execute("update rm_ledger.movement set amount_rupiah = 9 where kind = 'returned'")
    code, out, _ = await pulang("audit", "equations", **environment(city))
    assert code == 1
    assert f"ledger.movement, {first}, OP-TEST, returned, STS/1: it is not what the" in out
    assert "    from the events: (500000,)\n    found:           (9,)\n" in out


async def test_a_read_model_that_lags_is_compared_where_it_stands(
    city: Desk, servers: Servers
) -> None:
    await story.open_operation(city)
    await story.register(city, story.intake_row())
    await projected(city)
    office = city.office
    async with owners(city, servers) as db, db.transaction(force_rollback=True):
        await db.execute("set transaction isolation level repeatable read")
        await db.execute("delete from rm_board.person")
        await db.execute("update projections set position = 2 where name = 'board'")
        found = await derive(db, "53.71", office.service, office.handling.types)
    assert (found.faults, found.models["board"]) == (0, 2)


async def test_a_log_that_cannot_be_folded_is_not_guessed_at(city: Desk, servers: Servers) -> None:
    await story.open_operation(city)
    async with owners(city, servers) as db:
        await db.execute(
            "update events set body = replace(convert_from(body, 'UTF8'), 'grant_rupiah',"
            " 'grant')::bytea where position = 1"
        )
    code, out, err = await pulang("audit", "equations", **environment(city))
    assert (code, out) == (2, "")
    assert "event 1 can't be folded" in err
    response = await city.http.get(
        "/api/v1/equations", headers={"Authorization": f"Bearer {city.tokens['auditor']}"}
    )
    assert (response.status_code, response.json()["code"]) == (503, "LOG_NOT_DERIVED")


async def test_a_log_too_long_for_a_request_is_left_to_the_command(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.open_operation(city)
    monkeypatch.setattr(custody_routes, "EQUATIONS_EVENTS", 1)
    response = await city.http.get(
        "/api/v1/equations", headers={"Authorization": f"Bearer {city.tokens['auditor']}"}
    )
    assert (response.status_code, response.json()["code"]) == (503, "LOG_TOO_LONG")


async def test_the_equations_are_derived_by_two_at_once_and_for_so_long(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.open_operation(city)

    async def refused() -> str:
        response = await city.http.get(
            "/api/v1/equations", headers={"Authorization": f"Bearer {city.tokens['auditor']}"}
        )
        assert response.status_code == 503
        code: str = response.json()["code"]
        return code

    async def late(*given: Any) -> Any:
        return await derive(*given[:-1], time.monotonic() - 1)

    async with city.office.pool.connection() as one, one.transaction():
        await asof.slot(one)
        assert (await city.get("auditor", "/equations"))["faults"] == 0
        async with city.office.pool.connection() as other, other.transaction():
            await asof.slot(other)
            assert await refused() == "PAST_BUSY"
    monkeypatch.setattr(custody_routes, "derive", late)
    assert await refused() == "LOG_TOO_LONG"
