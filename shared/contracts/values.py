"""Values that mean the same in every office: codes, rupiah, dates.

They refuse what cannot be true, so that a wrong code never reaches an event. Sources: the
region codes of the Ministry of Home Affairs (Kemendagri), the NIK's published layout.
"""

from __future__ import annotations

import re
import secrets
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
)

PROVINCES: dict[str, str] = {
    "11": "Aceh", "12": "Sumatera Utara", "13": "Sumatera Barat", "14": "Riau", "15": "Jambi",
    "16": "Sumatera Selatan", "17": "Bengkulu", "18": "Lampung",
    "19": "Kepulauan Bangka Belitung", "21": "Kepulauan Riau", "31": "DKI Jakarta",
    "32": "Jawa Barat", "33": "Jawa Tengah", "34": "DI Yogyakarta", "35": "Jawa Timur",
    "36": "Banten", "51": "Bali", "52": "Nusa Tenggara Barat", "53": "Nusa Tenggara Timur",
    "61": "Kalimantan Barat", "62": "Kalimantan Tengah", "63": "Kalimantan Selatan",
    "64": "Kalimantan Timur", "65": "Kalimantan Utara", "71": "Sulawesi Utara",
    "72": "Sulawesi Tengah", "73": "Sulawesi Selatan", "74": "Sulawesi Tenggara",
    "75": "Gorontalo", "76": "Sulawesi Barat", "81": "Maluku", "82": "Maluku Utara",
    "91": "Papua", "92": "Papua Barat", "93": "Papua Selatan", "94": "Papua Tengah",
    "95": "Papua Pegunungan", "96": "Papua Barat Daya",
}  # fmt: skip
"""Province codes and names, Kemendagri 100.1.1-6117/2022."""

_REGION = re.compile(r"\d{2}(\.\d{2}(\.\d{2}(\.\d{4})?)?)?", re.ASCII)


def _known_region(code: str) -> str:
    if not _REGION.fullmatch(code):
        raise ValueError("kode wilayah harus berbentuk 53, 53.71 atau 53.71.01")
    if code[:2] not in PROVINCES:
        raise ValueError(f"kode provinsi {code[:2]} tidak dikenal")
    if any(int(part) == 0 for part in code.split(".")[1:]):
        raise ValueError("bagian kode wilayah tidak boleh nol")
    return code


def _one_line(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("teks tidak boleh berisi karakter kendali")
    return text


RegionCode = Annotated[str, AfterValidator(_known_region)]
"""A Kemendagri region code: province `53`, city or regency `53.71`, district `53.71.01`."""

OfficeCode = Annotated[str, StringConstraints(pattern=r"^\d{2}(\.\d{2})?$"),
                       AfterValidator(_known_region)]  # fmt: skip
"""The office of a province (`35`) or of a city (`53.71`)."""

PersonCode = Annotated[str, StringConstraints(pattern=r"^PM-[0-9A-HJKMNP-TV-Z]{10}$")]
"""A beneficiary's public id: opaque, drawn at random, tells nothing about her."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""An id of an operation, a handover, a house: letters, digits, dot, dash, underscore."""

Reference = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]*$")
]
"""The number of a paper or a bank row: a BAST, a receipt, an STS, a credit."""

Rupiah = Annotated[int, Strict(), Field(ge=0, le=10**13)]
"""Whole rupiah, never a float (rule 13)."""

PositiveRupiah = Annotated[int, Strict(), Field(gt=0, le=10**13)]
Count = Annotated[int, Strict(), Field(ge=0, le=1_000_000)]


def _no_personal_number(text: str) -> str:
    if re.search(r"\d[\d .-]{7,}\d", text):
        raise ValueError("jangan tulis NIK, nomor telepon atau rekening di sini")
    return text


Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(_one_line),
    AfterValidator(_no_personal_number),
]
"""A label in clear: a ship, a house, a training. At most 200 characters, nothing personal."""


def _written_out(value: object) -> object:
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdigit()):
        raise ValueError("harus waktu berbentuk 2019-10-04T08:00:00+08:00")
    return value


def _storable(time: datetime) -> datetime:
    offset = time.utcoffset()
    if offset is None or abs(offset) > timedelta(hours=14) or offset % timedelta(minutes=1):
        raise ValueError("selisih zona waktunya tidak ada di dunia")
    if not 1900 < time.year < 9999:
        raise ValueError("tahunnya tidak mungkin")
    return time


FactTime = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_storable)]
"""When something happened, written out, with an offset that exists (rule 17)."""

PERSONAL_TEXT_CHARACTERS = 1_000
SEALED_CHARACTERS = 12_000


class Personal:
    """Marks a command's field that is sealed before it is decided on.

    Under the key of its person; a text about a paper, under a key of that paper's stream.
    """


class PersonalIdentity(Personal):
    """The same for a person's identity, which can also be looked up."""


Sealed = Annotated[str, StringConstraints(min_length=1, max_length=SEALED_CHARACTERS)]
"""Ciphertext as the vault makes it. In an event, where people wrote or named somebody."""

PersonalText = Annotated[
    str, StringConstraints(min_length=1, max_length=SEALED_CHARACTERS), Personal()
]
"""Free text. People may write 1,000 characters; sealed it is longer."""

Reason = Annotated[
    str,
    StringConstraints(min_length=3, max_length=SEALED_CHARACTERS, strip_whitespace=True),
    AfterValidator(_one_line),
    Personal(),
]
"""Why somebody did something, in one line: free text, and sealed like all of it."""

SealedIdentity = Annotated[
    str, StringConstraints(min_length=1, max_length=SEALED_CHARACTERS), PersonalIdentity()
]
"""An `Identity` as JSON, sealed before it is decided on."""

Initials = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,4}$")]

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(_one_line),
]
"""A name, or how to reach somebody: personal, and in no event but sealed."""

Account = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2,10} ?)?[0-9][0-9 .-]{4,30}$")]
"""A bank account's number, perhaps after the bank's short name."""

Nik = Annotated[str, AfterValidator(lambda nik: _possible_nik(nik))]
"""A resident number of 16 digits. It encodes district, birth date and sex: handle as a secret."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

FileType = Literal["application/pdf", "image/jpeg", "image/png"]
"""The kinds of scanned paper that are taken."""

DeclineReason = Literal["capacity", "wrong_office", "not_agreed", "other"]
AbsenceReason = Literal["not_on_transport", "left_in_transit", "declined_by_her", "other"]
CaseStatus = Literal[
    "in_house", "assessed", "in_training", "ready", "returned_to_family",
    "declined_by_family", "left_house", "follow_up", "closed",
]  # fmt: skip
ErasureBasis = Literal[
    "consent_withdrawn", "purpose_ended", "retention_ended", "unlawful_processing", "court_order"
]
"""The ground in law for an erasure (UU PDP 27/2022, articles 8 and 43)."""

ArrivalOutcome = Literal["arrived", "absent", "diverted"]


class Value(BaseModel):
    """An immutable value without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Identity(Value):
    """Who a beneficiary is. It exists sealed only: in events, and between two offices."""

    initials: Initials
    born: date | None = None
    name: Name | None = None
    nik: Nik | None = None
    contact: Name | None = None
    account: Account | None = None


class ManifestLine(Value):
    """One person on a handover's manifest, as it travels: her identity goes beside it, sealed."""

    person: PersonCode
    origin: RegionCode


class ManifestEntry(ManifestLine):
    """The same line as an office keeps it, with her identity sealed under its own key of her."""

    identity: Sealed | None = None


def nik_birth_date(nik: str, today: date) -> date:
    """The birth date that a NIK encodes; 40 is added to the day for women.

    Raises ValueError where the digits are no date.
    """
    day, month, short_year = int(nik[6:8]), int(nik[8:10]), int(nik[10:12])
    day = day - 40 if day > 40 else day
    century = today.year - today.year % 100
    year = (
        century + short_year if century + short_year <= today.year else century - 100 + short_year
    )
    return date(year, month, day)


def _possible_nik(nik: str) -> str:
    if not re.fullmatch(r"\d{16}", nik, re.ASCII):
        raise ValueError("NIK harus terdiri dari 16 angka")
    if nik[:2] not in PROVINCES:
        raise ValueError("NIK tidak mungkin: kode provinsinya tidak ada")
    if nik[12:] == "0000":
        raise ValueError("NIK tidak mungkin: nomor urutnya nol")
    try:
        nik_birth_date(nik, date(2099, 12, 31))
    except ValueError:
        raise ValueError("NIK tidak mungkin: tanggal lahir di dalamnya tidak ada") from None
    return nik


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def in_rupiah(amount: int) -> str:
    """1500000 → "Rp1.500.000"."""
    return f"Rp{amount:,}".replace(",", ".")


def short_day(on: date) -> str:
    """4 October 2019 → "4-10-2019", in a sentence that says what can't be done."""
    return f"{on.day}-{on.month}-{on.year}"


def draw_person_code() -> str:
    """A new random public id, 50 bits."""
    return "PM-" + "".join(secrets.choice(_ALPHABET) for _ in range(10))


def draw_id(prefix: str) -> str:
    """A new random id such as `HO-7Q2M9XK4`, 40 bits."""
    return f"{prefix}-" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
