"""Bad input gets a clear refusal, names what is wrong without repeating it, and leaves nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.system import story
from tests.system.offices import Desk

INTAKE = "/operations/OP-TEST/beneficiaries"


@pytest.fixture
async def desk(city: Desk) -> AsyncIterator[Desk]:
    """A city with an open operation; whatever a test sends must leave its log as it was."""
    await story.open_operation(city)
    before = await city.office.store.head()
    yield city
    assert await city.office.store.head() == before
    async with city.office.pool.connection() as connection:
        cursor = await connection.execute("select count(*) from person_keys")
        assert await cursor.fetchone() == (0,)


async def test_of_ten_thousand_rows_three_bad_ones_are_named_and_none_is_taken(
    desk: Desk,
) -> None:
    rows = [story.intake_row() for _ in range(10_000)]
    rows[17]["origin"] = "99.01"
    rows[4_711]["birth_date"] = "2999-01-01"
    rows[9_999]["nik"] = "5371010101900000"
    response = await desk.send("intake", INTAKE, {"rows": rows})
    assert response.status_code == 422
    problem = response.json()
    assert problem["code"] == "INVALID_ROWS"
    assert [(e["row"], e["cell"]) for e in problem["errors"]] == [
        (18, "origin"),
        (4_712, "body"),
        (10_000, "nik"),
    ]
    assert "99.01" not in response.text.replace("provinsi 99", "")
    assert "5371010101900000" not in response.text


async def test_a_decision_of_ten_thousand_that_refuses_one_takes_none(desk: Desk) -> None:
    """Rule 12, for one row among many."""
    rows = [story.intake_row() for _ in range(100)]
    rows[41]["sign_of_trafficking"] = True
    response = await desk.send("intake", INTAKE, {"rows": rows})
    assert response.status_code == 409
    (error,) = response.json()["errors"]
    assert (error["row"], error["code"]) == (42, "PROTECTION_PATH_TRAFFICKING")


@pytest.mark.parametrize(
    ("wrong", "cell", "words"),
    [
        ({"origin": "99"}, "origin", "tidak dikenal"),
        ({"origin": "53.7"}, "origin", "harus berbentuk"),
        ({"birth_date": "kemarin"}, "birth_date", "tanggal"),
        ({"birth_date": None}, "birth_date", "tanggal"),
        ({"initials": "Nama Panjang"}, "initials", "bentuknya"),
        ({"sign_of_trafficking": "mungkin"}, "sign_of_trafficking", "true atau false"),
        ({"nik": "123"}, "nik", "16 angka"),
        ({"nik": "9971010101900001"}, "nik", "provinsinya"),
        ({"nik": "5371013213900001"}, "nik", "tanggal lahir di dalamnya"),
        ({"nik": "5371010101800001"}, "body", "tidak cocok"),
        ({"salary": 5}, "(kolom tidak dikenal)", "tidak dikenal"),
        ({"name": "baris\nbaru"}, "name", "kendali"),
    ],
)
async def test_a_wrong_cell_is_named(
    desk: Desk, wrong: dict[str, Any], cell: str, words: str
) -> None:
    response = await desk.send("intake", INTAKE, {"rows": [story.intake_row(**wrong)]})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert (error["row"], error["cell"]) == (1, cell)
    assert words in error["message"]


async def test_a_child_is_refused_with_a_pointer_to_the_protection_path(desk: Desk) -> None:
    """Rule 12."""
    birthday = datetime.now(UTC).date() - timedelta(days=17 * 365)
    response = await desk.send(
        "intake", INTAKE, {"rows": [story.intake_row(birth_date=birthday.isoformat())]}
    )
    assert response.json()["code"] == "PROTECTION_PATH_CHILD"
    assert "UPTD PPA" in response.json()["remedy"]


@pytest.mark.parametrize("amount", [6_000_000.0, 6_000_000.5, "6000000", True, None, -1, 0, 10**14])
async def test_money_is_whole_rupiah_and_nothing_else(desk: Desk, amount: object) -> None:
    """Rule 13."""
    row = {
        "person": "PM-0000000001",
        "reference": "K/1",
        "status": "credited",
        "amount_rupiah": amount,
        "credited_on": "2019-10-02",
    }
    if amount == "6000000":
        row["amount_rupiah"] = "6 000 000"
    response = await desk.send("treasurer", "/operations/OP-TEST/bank-file", {"rows": [row]})
    assert response.status_code == 422
    assert response.json()["errors"][0]["cell"] == "amount_rupiah"


@pytest.mark.parametrize("amount", [1_500_000.0, "1500000", 1e300, {}, []])
async def test_a_fare_is_whole_rupiah(desk: Desk, amount: object) -> None:
    body = {"receipt": "KW/1", "amount_rupiah": amount}
    path = "/beneficiaries/PM-0000000001/fares"
    assert await desk.refused("treasurer", path, body) == "INVALID_INPUT"


async def test_a_body_of_ten_megabytes_is_refused_before_it_is_read(desk: Desk) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b" " * 65_536

    for role, path, content in (
        ("intake", INTAKE, b" " * 10_485_760),
        ("intake", INTAKE, body()),
        ("issuer", "/operations", body()),
    ):
        response = await desk.send(role, path, content=content)
        assert response.status_code == 413
        assert response.json()["code"] == "BODY_TOO_LONG"


@pytest.mark.parametrize(
    "content", [b"{", b"", b"[]", b'"x"', b"\xff\xfe", b"[" * 50_000, b'{"rows": 1}', b"null"]
)
@pytest.mark.parametrize("path", [INTAKE, "/handovers"])
async def test_what_is_no_json_object_is_refused(desk: Desk, path: str, content: bytes) -> None:
    role = "intake" if path == INTAKE else "issuer"
    response = await desk.send(
        role, path, content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422, response.text
    assert response.json()["code"] == "INVALID_INPUT"


async def test_unknown_fields_are_named_and_not_ignored(desk: Desk) -> None:
    response = await desk.send("issuer", "/operations", story.OPERATION | {"notes": "x"})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"where": "notes", "message": "tidak dikenal; hapus isian ini"}
    ]


async def test_what_has_not_occurred_yet_cannot_be_recorded(desk: Desk) -> None:
    """Rule 4: a plan is not a fact."""
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    path = "/handovers/HO-1/departure"
    assert await desk.refused("issuer", path, {"occurred_at": later}) == "NOT_YET_OCCURRED"


async def test_a_time_without_its_offset_is_refused(desk: Desk) -> None:
    """Rule 17."""
    body = {"occurred_at": "2019-10-04T08:00:00"}
    assert await desk.refused("issuer", "/handovers/HO-1/departure", body) == "INVALID_INPUT"


async def test_a_person_nobody_knows_gets_no_money(desk: Desk) -> None:
    row = {
        "person": "PM-0000000001",
        "reference": "K/1",
        "status": "credited",
        "amount_rupiah": 6_000_000,
        "credited_on": "2019-10-02",
    }
    path = "/operations/OP-TEST/bank-file"
    assert await desk.refused("treasurer", path, {"rows": [row]}) == "BENEFICIARY_UNKNOWN"


@pytest.mark.parametrize(
    "when",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2019-10-04T08:00:00+23:59",
        "2019-10-04T08:00:00+08:00:30",
        1_570_147_200,
        "1570147200",
        "kemarin",
    ],
)
async def test_a_time_that_nothing_can_have_happened_at_is_refused(
    desk: Desk, when: object
) -> None:
    body = {"occurred_at": when}
    assert await desk.refused("issuer", "/handovers/HO-1/departure", body) == "INVALID_INPUT"
    rows = {"rows": [story.intake_row()], "occurred_at": when}
    assert await desk.refused("intake", INTAKE, rows) == "INVALID_INPUT"


@pytest.mark.parametrize("path", ["/history/a%00", "/handovers/a%00b", "/cases/%0a"])
async def test_an_address_with_what_no_code_can_hold_leads_nowhere(desk: Desk, path: str) -> None:
    response = await desk.http.get(
        f"/api/v1{path}", headers={"Authorization": f"Bearer {desk.tokens['auditor']}"}
    )
    assert response.status_code in (404, 422)


async def test_a_sign_that_matches_everything_matches_nothing(desk: Desk) -> None:
    for path in ("/history/%25", "/history/_", "/history/%5C"):
        response = await desk.http.get(
            f"/api/v1{path}", headers={"Authorization": f"Bearer {desk.tokens['auditor']}"}
        )
        assert response.status_code == 404


async def test_a_csv_file_without_its_header_line_is_not_repeated_to_anybody(desk: Desk) -> None:
    text = "NAMA CONTOH,5371014101900001,1990-01-01\nCONTOH DUA,5371014101900002,1990-01-01\n"
    response = await desk.send(
        "intake", INTAKE, content=text.encode(), headers={"Content-Type": "text/csv"}
    )
    assert response.status_code == 422
    assert "CONTOH" not in response.text
    assert "537101" not in response.text


async def test_a_number_with_thousands_of_digits_is_no_number(desk: Desk) -> None:
    text = (
        f"person,reference,status,amount_rupiah,credited_on\nx,K,credited,{'9' * 5000},2019-10-02"
    )
    response = await desk.send(
        "treasurer",
        "/operations/OP-TEST/bank-file",
        content=text.encode(),
        headers={"Content-Type": "text/csv"},
    )
    assert response.status_code == 422


async def test_nobody_without_an_account_has_a_body_read(desk: Desk) -> None:
    response = await desk.http.post("/api/v1/operations", content=b"{")
    assert response.status_code == 401


@pytest.mark.parametrize("key", [None, "short", "with space", "x" * 200])
async def test_a_command_needs_an_idempotency_key(desk: Desk, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {desk.tokens['issuer']}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    response = await desk.http.post("/api/v1/operations", json=story.OPERATION, headers=headers)
    assert response.status_code == 422
    assert "idempotency-key" in json.dumps(response.json()).lower()


@pytest.mark.parametrize("path", ["/handovers/HO%20x", "/handovers/" + "x" * 500, "/nothing"])
async def test_an_address_that_leads_nowhere_is_a_problem_document(desk: Desk, path: str) -> None:
    response = await desk.http.get(
        f"/api/v1{path}", headers={"Authorization": f"Bearer {desk.tokens['auditor']}"}
    )
    assert response.status_code in (404, 422)
    assert response.headers["content-type"] == "application/problem+json"


async def test_an_unlinked_office_cannot_be_sent_to(desk: Desk) -> None:
    body = {
        "operation": "OP-TEST",
        "receiving_office": "11",
        "planned_departure": "2019-10-04",
        "transport": "Kapal",
    }
    assert await desk.refused("issuer", "/handovers", body) == "OFFICE_NOT_LINKED"


@pytest.mark.parametrize("person", ["x", "PM-00000000OO", "PM-0000000001%00", "%ED%A0%80", "'--"])
async def test_a_code_in_the_address_that_can_be_none_is_refused(desk: Desk, person: str) -> None:
    body = {"receipt": "KW/1", "amount_rupiah": 1_500_000}
    path = f"/beneficiaries/{person}/fares"
    assert await desk.refused("treasurer", path, body) == "INVALID_INPUT"
