"""Imports: good rows alone where that was asked for, CSV, XLSX and JSON, repetition safe."""

from __future__ import annotations

from typing import Any

import pytest

from services.city.web.imports import CreditRow
from shared.runtime.manifest import Problem
from shared.runtime.rows import FILES, XLSX, check_rows
from shared.runtime.sheets import to_xlsx
from tests.system import story
from tests.system.offices import Desk

SECRET = "nilai-rahasia-contoh"
read_csv = FILES["text/csv"]
INTAKE = "/operations/OP-TEST/beneficiaries"
CSV = (
    "initials,origin,birth_date,sign_of_trafficking,destination,willingness\r\n"
    "AB,35.78,1990-01-02,tidak,35,SPK/1\r\n"
    "CD,53.01,1991-03-04,tidak,,\r\n"
)


async def test_the_good_rows_alone_are_taken_where_that_was_asked_for(city: Desk) -> None:
    await story.open_operation(city)
    rows = [story.intake_row(), story.intake_row(origin="99"), story.intake_row()]
    rows.append(story.intake_row(sign_of_trafficking=True))
    answer = await city.post("intake", INTAKE, {"rows": rows, "partial": True})
    assert [entry["row"] for entry in answer["rows"]] == [1, 3]
    assert [(e["row"], e["code"]) for e in answer["refused"]] == [
        (2, "INVALID_ROW"),
        (4, "PROTECTION_PATH_TRAFFICKING"),
    ]
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert board["enumerated"] == 2


async def send_csv(city: Desk, path: str, text: str, **more: Any) -> Any:
    role = "treasurer" if "bank" in path else "intake"
    return await city.send(
        role, path, content=text.encode(), headers={"Content-Type": "text/csv"}, **more
    )


async def test_a_csv_file_is_taken_as_well(city: Desk) -> None:
    await story.open_operation(city)
    response = await send_csv(city, INTAKE, CSV)
    assert response.status_code == 201, response.text
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert board["states"] == {"assigned": 1, "undetermined": 1}


async def test_a_csv_file_that_is_none_is_refused(city: Desk) -> None:
    await story.open_operation(city)
    for text, code in (
        ("", "INVALID_INPUT"),
        ('initials\n"AB', "CSV_UNREADABLE"),
        ("a,b\n1,2,3\n", "INVALID_ROWS"),
    ):
        response = await send_csv(city, INTAKE, text)
        assert response.status_code == 422
        assert response.json()["code"] == code
    response = await city.send(
        "intake", INTAKE, content=b"\xff\xfe\x00", headers={"Content-Type": "text/csv"}
    )
    assert response.json()["code"] == "CSV_NOT_UTF8"


async def test_a_workbook_is_taken_as_well_and_the_good_rows_alone(city: Desk) -> None:
    await story.open_operation(city)
    rows = [story.intake_row(), story.intake_row(origin=SECRET), story.intake_row()]
    headers = {"Content-Type": XLSX.upper() + "; charset=binary"}
    raw = to_xlsx(rows, "Intake")
    refused = await city.send("intake", INTAKE, content=raw, headers=headers)
    assert refused.json()["code"] == "INVALID_ROWS"
    assert SECRET not in refused.text
    path = f"{INTAKE}?partial=true"
    answer = await city.send("intake", path, content=raw, headers=headers)
    assert [entry["row"] for entry in answer.json()["rows"]] == [1, 3]


async def test_a_workbook_that_is_none_is_refused_with_what_to_do(city: Desk) -> None:
    await story.open_operation(city)
    response = await city.send(
        "intake", INTAKE, content=SECRET.encode(), headers={"Content-Type": XLSX}
    )
    assert response.status_code == 422
    assert response.json()["code"] == "XLSX_UNREADABLE"
    assert response.json()["remedy"]
    assert SECRET not in response.text


async def test_the_documentation_names_each_kind_of_file(city: Desk) -> None:
    path = "/api/v1/operations/{operation}/beneficiaries"
    body = city.app.openapi()["paths"][path]["post"]["requestBody"]
    assert set(body["content"]) == {"application/json", *FILES}


def test_many_bad_rows_are_counted_and_the_first_are_named() -> None:
    with pytest.raises(Problem) as caught:
        check_rows(CreditRow, [{"x": 1}] * 20_000, partial=False)
    assert caught.value.detail.startswith("20000 dari 20000")
    assert len(caught.value.errors) == 200


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a\n" + "x" * 5_000, "TABLE_TOO_LARGE"),
        ("a\n" + "x" * 200_000, "CSV_UNREADABLE"),
        (",".join(f"k{n}" for n in range(65)), "TABLE_TOO_LARGE"),
        ("a\n" + "x\n" * 20_001, "TABLE_TOO_LARGE"),
        ("a\nx\0y", "TABLE_CHARACTER"),
        ("a\nx\x1by", "TABLE_CHARACTER"),
        ("a, a\n1,2\n", "CSV_HEADER_REPEATED"),
        (f'a\n"{SECRET}"x', "CSV_UNREADABLE"),
    ],
)
def test_a_csv_file_has_bounds_too(text: str, code: str) -> None:
    with pytest.raises(Problem) as caught:
        read_csv(text.encode())
    assert caught.value.code == code
    assert SECRET not in caught.value.detail + caught.value.remedy


def test_lines_of_a_csv_file_may_end_in_any_way_and_be_empty_at_the_end() -> None:
    for end in ("\n", "\r\n", "\r"):
        text = end.join([" a ,b,,", '"x\ny", ,,', ",,,", "z,1,,", ",,,", "", ""])
        assert read_csv(text.encode()) == [{"a": "x\ny"}, {}, {"a": "z", "b": "1"}]
    assert len(read_csv(b"a\n" + b"," * 2_000_000 + b"\nx")) == 2


async def test_a_bank_file_sent_twice_changes_nothing(city: Desk) -> None:
    """Rule 15, under another idempotency key: the file itself is recognised."""
    await story.open_operation(city)
    (person,) = await story.register(city, story.intake_row())
    text = (
        "person,reference,status,amount_rupiah,credited_on,reason\n"
        f"{person},K/1,credited,6000000,2019-10-02,\n"
        f"{person},K/1,returned,1000000,2019-10-03,Contoh\n"
    )
    path = "/operations/OP-TEST/bank-file"
    assert (await send_csv(city, path, text)).json()["recorded"] == 3
    before = await city.size()
    assert (await send_csv(city, path, text)).json()["recorded"] == 0
    assert await city.size() == before
    ledger = await city.get("treasurer", "/operations/OP-TEST/ledger")
    assert ledger["grants"]["standing_rupiah"] == 5_000_000


async def test_a_request_sent_twice_is_answered_alike_and_done_once(city: Desk) -> None:
    """A person's code is drawn once, whatever the line does."""
    await story.open_operation(city)
    body = {"rows": [story.intake_row()]}
    first = await city.post("intake", INTAKE, body, key="same-key-1")
    again = await city.post("intake", INTAKE, body, key="same-key-1")
    assert again["rows"] == first["rows"]
    assert again["repeated"]
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert board["enumerated"] == 1


async def test_the_same_key_for_another_request_is_refused(city: Desk) -> None:
    await story.open_operation(city)
    await city.post("intake", INTAKE, {"rows": [story.intake_row()]}, key="same-key-2")
    other = {"rows": [story.intake_row(initials="XY")]}
    refused = await city.refused("intake", INTAKE, other, key="same-key-2")
    assert refused == "IDEMPOTENCY_KEY_REUSED"


async def test_the_same_request_many_times_at_once_is_done_once(city: Desk) -> None:
    import asyncio

    await story.open_operation(city)
    body = {"rows": [story.intake_row()]}
    answers = await asyncio.gather(
        *(city.post("intake", INTAKE, body, key="same-key-3") for _ in range(8))
    )
    assert len({a["rows"][0]["person"] for a in answers}) == 1
    board = await city.get("auditor", "/operations/OP-TEST/board")
    assert board["enumerated"] == 1
