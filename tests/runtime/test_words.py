"""Numbers, days and money are said as an Indonesian office says them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.papers import words

SAID = {
    0: "nol",
    1: "satu",
    10: "sepuluh",
    11: "sebelas",
    12: "dua belas",
    19: "sembilan belas",
    20: "dua puluh",
    21: "dua puluh satu",
    58: "lima puluh delapan",
    63: "enam puluh tiga",
    100: "seratus",
    101: "seratus satu",
    111: "seratus sebelas",
    200: "dua ratus",
    999: "sembilan ratus sembilan puluh sembilan",
    1_000: "seribu",
    1_001: "seribu satu",
    1_100: "seribu seratus",
    2_019: "dua ribu sembilan belas",
    11_000: "sebelas ribu",
    21_000: "dua puluh satu ribu",
    100_000: "seratus ribu",
    101_000: "seratus satu ribu",
    1_000_000: "satu juta",
    1_001_000: "satu juta seribu",
    6_000_000: "enam juta",
    17_475_000: "tujuh belas juta empat ratus tujuh puluh lima ribu",
    102_000_000: "seratus dua juta",
    408_000_000: "empat ratus delapan juta",
    1_000_000_000: "satu miliar",
    1_000_000_000_000: "satu triliun",
}


@pytest.mark.parametrize(("whole", "said"), SAID.items())
def test_a_number_is_said_in_words(whole: int, said: str) -> None:
    assert words.number(whole) == said


def understood(said: str) -> int:
    """The number that somebody hears: another way back than the one that was gone."""
    scales = {word: scale for scale, word in words.SCALES}
    small = {word: value for value, word in enumerate(words.SMALL)}
    total, thousands, tens = 0, 0, 0
    for word in said.replace("seribu", "satu ribu").split():
        if word in small:
            tens += small[word]
        elif word == "seratus":
            thousands += 100
        elif word == "belas":
            tens += 10
        elif word == "puluh":
            thousands, tens = thousands + tens * 10, 0
        elif word == "ratus":
            thousands, tens = thousands + tens * 100, 0
        else:
            total, thousands, tens = total + (thousands + tens) * scales[word], 0, 0
    return total + thousands + tens


@given(st.integers(0, words.LARGEST))
def test_no_two_numbers_are_said_alike(whole: int) -> None:
    assert understood(words.number(whole)) == whole


@pytest.mark.parametrize("beyond", [-1, words.LARGEST + 1])
def test_what_is_never_counted_is_no_number(beyond: int) -> None:
    with pytest.raises(ValueError, match="no number that a paper says"):
        words.number(beyond)


def test_days_times_and_money_are_written_as_offices_write_them() -> None:
    departure = date(2019, 10, 4)
    assert words.day(departure) == "Jumat, 4 Oktober 2019"
    assert (
        words.day_in_words(departure)
        == "Jumat, tanggal empat bulan Oktober tahun dua ribu sembilan belas"
    )
    at = datetime(2019, 10, 4, 6, 30, tzinfo=UTC)
    assert words.moment(at, ZoneInfo("Asia/Makassar")) == "Jumat, 4 Oktober 2019, 14.30 WITA"
    assert words.short_moment(at, ZoneInfo("Asia/Jakarta")) == "4-10-2019, 13.30 WIB"
    assert words.short_moment(at, ZoneInfo("Asia/Jayapura")) == "4-10-2019, 15.30 WIT"
    assert words.rupiah(1_500_000) == "Rp1.500.000"
    assert words.rupiah(0) == "Rp0"
    assert words.rupiah_in_words(17_475_000).endswith("tujuh puluh lima ribu rupiah")
    assert words.counted(58) == "58 (lima puluh delapan)"


def test_an_office_that_is_known_by_its_code_is_called_by_it() -> None:
    assert words.region("35.78") == "35.78 (Jawa Timur)"
    assert words.office("35") == "Kantor sosial provinsi Jawa Timur (35)"
    assert words.office("53.71") == "Kantor sosial 53.71, Nusa Tenggara Timur"
