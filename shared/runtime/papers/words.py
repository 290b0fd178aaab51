"""Numbers, dates, times and money in Bahasa Indonesia, as papers write them.

Our own few lines: the library that is common for it says "satu juta satu ribu" for 1,001,000, which
is "satu juta seribu", and pulls in a package that is only there as source.
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from shared.contracts.values import PROVINCES, in_rupiah, short_day

SMALL = (
    "nol", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan", "sembilan",
    "sepuluh", "sebelas",
)  # fmt: skip
SCALES = (
    (10**12, "triliun"), (10**9, "miliar"), (10**6, "juta"), (1_000, "ribu"), (100, "ratus"),
    (10, "puluh"),
)  # fmt: skip
LARGEST = 10**15 - 1
DAYS = ("Senin", "Selasa", "Rabu", "Kamis", "Jumat", "Sabtu", "Minggu")
MONTHS = (
    "Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September",
    "Oktober", "November", "Desember",
)  # fmt: skip


def number(whole: int) -> str:
    """58 → "lima puluh delapan". Raises ValueError beyond what is ever counted here."""
    if not 0 <= whole <= LARGEST:
        raise ValueError(f"{whole} is no number that a paper says in words")
    if whole < len(SMALL):
        return SMALL[whole]
    if whole < 20:
        return f"{SMALL[whole - 10]} belas"
    scale, word = next(one for one in SCALES if one[0] <= whole)
    times, rest = divmod(whole, scale)
    # One thousand, one hundred and one ten have words of their own; a million has not.
    said = f"se{word}" if times == 1 and scale <= 1_000 else f"{number(times)} {word}"
    return f"{said} {number(rest)}" if rest else said


def counted(whole: int) -> str:
    """58 → "58 (lima puluh delapan)"."""
    return f"{whole} ({number(whole)})"


def rupiah(amount: int) -> str:
    """1500000 → "Rp1.500.000"."""
    return in_rupiah(amount)


def rupiah_in_words(amount: int) -> str:
    """1500000 → "satu juta lima ratus ribu rupiah"."""
    return f"{number(amount)} rupiah"


def day(on: date) -> str:
    """4 October 2019 → "Jumat, 4 Oktober 2019"."""
    return f"{DAYS[on.weekday()]}, {on.day} {MONTHS[on.month - 1]} {on.year}"


def day_in_words(on: date) -> str:
    """ "Jumat, tanggal empat bulan Oktober tahun dua ribu sembilan belas"."""
    month = MONTHS[on.month - 1]
    return f"{DAYS[on.weekday()]}, tanggal {number(on.day)} bulan {month} tahun {number(on.year)}"


def moment(at: datetime, zone: ZoneInfo) -> str:
    """ "Jumat, 4 Oktober 2019, 14.30 WITA"."""
    local = at.astimezone(zone)
    return f"{day(local.date())}, {local:%H.%M} {local.tzname()}"


def short_moment(at: datetime, zone: ZoneInfo) -> str:
    """The same where a column is narrow: "4-10-2019, 14.30 WITA"."""
    local = at.astimezone(zone)
    return f"{short_day(local.date())}, {local:%H.%M} {local.tzname()}"


def region(code: str) -> str:
    """ "35.78 (Jawa Timur)": only provinces have names here."""
    return f"{code} ({PROVINCES[code[:2]]})"


def office(code: str) -> str:
    """Another office, by what is known of it: its code, and the name of its province."""
    place = PROVINCES[code[:2]]
    return (
        f"Kantor sosial {code}, {place}"
        if "." in code
        else f"Kantor sosial provinsi {place} ({code})"
    )
