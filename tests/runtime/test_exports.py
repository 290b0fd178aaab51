"""Lists as workbooks for people: plain headings and words, nothing lost, no formulas."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.runtime.exports import HEADINGS, WORDS, to_workbook
from shared.runtime.history import PLAIN
from shared.runtime.sheets import read_xlsx

ZONE = ZoneInfo("Asia/Makassar")


def read(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return read_xlsx(to_workbook(rows, ZONE))


def test_headings_and_codes_are_plain_words_and_codes_stay_text() -> None:
    row = {
        "person": "PM-0000000001", "destination": "35", "state": "undetermined", "listed": True,
        "since": datetime(2019, 10, 4, 6, 30, tzinfo=UTC), "credited_on": date(2019, 10, 2),
        "amount_rupiah": 6_000_000, "absence": "left_in_transit", "office": None,
    }  # fmt: skip
    assert read(row) == [
        {
            "Kode PM": "PM-0000000001",
            "Tujuan": "35",
            "Keadaan": "belum ada tujuan",
            "Terdaftar": "ya",
            "Sejak": "2019-10-04 14:30:00+08:00",
            "Tanggal kredit": "2019-10-02",
            "Jumlah (rupiah)": "6000000",
            "Sebab": PLAIN["left_in_transit"],
        }
    ]


def test_what_stands_in_a_field_of_a_field_has_a_column_of_its_own() -> None:
    (row,) = read({"handover": "HO-1", "entries": {"listed": 2, "arrived": 1}})
    assert row == {"Serah terima": "HO-1", "Orang: tercantum": "2", "Orang: tiba": "1"}


def test_a_list_in_a_cell_is_read_and_none_that_was_said_is_not_an_empty_cell() -> None:
    (row,) = read({"person": "PM-1", "offers": ["Salon", "Menjahit"], "chosen": []})
    assert row == {"Kode PM": "PM-1", "Ditawarkan": "Salon, Menjahit", "Pilihannya": "–"}


def test_another_office_is_said_to_be_one() -> None:
    assert read({"said_by": "office:35", "phase": "expected"}) == [
        {"Menurut": "kantor 35", "Tahap": "diharapkan tiba"}
    ]


def test_two_fields_with_one_heading_are_two_columns() -> None:
    (row,) = read({"amount_rupiah": 1, "total_rupiah": 2})
    assert row == {"Jumlah (rupiah)": "1", "Jumlah (rupiah) (total_rupiah)": "2"}


def test_an_unknown_field_and_a_new_code_are_shown_as_they_are() -> None:
    assert read({"baru": "x", "state": "sesuatu"}) == [{"baru": "x", "Keadaan": "sesuatu"}]


def test_a_name_that_looks_like_a_formula_is_text() -> None:
    with zipfile.ZipFile(io.BytesIO(to_workbook([{"name": "=1+1", "=x": 1}], ZONE))) as book:
        parts = {name: book.read(name).decode() for name in book.namelist()}
    assert not any("<f>" in part for part in parts.values())
    assert re.findall("<t[^>]*>([^<]*)</t>", parts["xl/sharedStrings.xml"]) == [
        "Nama", "'=x", "'=1+1",
    ]  # fmt: skip


def test_no_heading_or_word_is_for_something_that_is_sealed() -> None:
    sealed = {"identity", "initials", "nik", "born", "contact", "account", "explanation", "reason"}
    assert HEADINGS.keys() & sealed <= {"reason"}
    assert all(words for codes in WORDS.values() for words in codes.values())


def test_every_list_that_opens_something_is_no_table() -> None:
    for service in (CITY, PROVINCE):
        assert not [one.path for one in service.reads if one.opens and one.table]
