"""The offices' papers as they come from the addresses: the case of 2019, and what may befall it."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from services.city.documents import deed
from services.city.domain import handover
from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.runtime import custody_routes
from shared.runtime.papers.record import NotCovered, Source
from shared.runtime.papers.verifying import Shown, Verdict, shown, verify
from tests import pdf
from tests.conftest import office_settings
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk

pytestmark = pytest.mark.xdist_group("papers")

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "karang-dempel-2019"
CASE: dict[str, Any] = json.loads((EXAMPLE / "case.json").read_text())
HANDOVER = CASE["handovers"][0]
NUMBER = HANDOVER["deed_number"]
URL = "https://pulang.contoh"
ROWS = list(csv.DictReader((EXAMPLE / "intake.csv").open(newline="")))
NAME = "Contoh Ketujuh #x ] $"
BORN = ROWS[6]["birth_date"].split("-")
NIK = f"350799{int(BORN[2]) + 40}{BORN[1]}{BORN[0][2:]}0007"


@dataclass
class World:
    city: Desk
    east: Desk
    persons: list[str]

    @property
    def going(self) -> list[str]:
        """Those who go to East Java."""
        return self.persons[:58]


async def fetched(desk: Desk, role: str, path: str, **asked: str) -> httpx.Response:
    return await desk.http.get(
        f"/api/v1{path}",
        params=asked,
        headers={"Authorization": f"Bearer {desk.tokens[role]}"},
    )


async def printed(desk: Desk, role: str, path: str, **asked: str) -> pdf.Read:
    """The paper, once a checkpoint covers it."""

    async def there() -> bytes | None:
        response = await fetched(desk, role, path, format="pdf", **asked)
        if response.status_code == 409 and response.json()["code"] == "PAPER_NOT_COVERED":
            return None
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/pdf"
        assert response.headers["content-disposition"] == 'attachment; filename="dokumen.pdf"'
        assert response.headers["cache-control"] == "no-store"
        return response.content

    return pdf.Read(await eventually(there))


def held(paper: pdf.Read) -> Shown:
    """What somebody reads from the printed code with a telephone."""
    (code,) = paper.codes
    if code.startswith("pulang/35\n"):
        # Where no address is set that others can open: the same as text.
        found = shown(dict(line.split("=", 1) for line in code.splitlines()[1:]))
        assert found is not None
        return found
    address = urlsplit(code)
    assert (f"{address.scheme}://{address.netloc}", address.path) == (URL, "/periksa")
    found = shown(dict(parse_qsl(address.query)))
    assert found is not None
    return found


async def verdict(desk: Desk, one: Shown) -> Verdict:
    kinds = (*desk.office.service.papers, *custody_routes.PAPERS)
    async with desk.office.pool.connection() as connection:
        return await verify(connection, desk.office.handling.types, kinds, one)


@pytest.fixture(scope="module")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("papers")
    async with AsyncExitStack() as stack:
        settings = office_settings(servers, folder, "53.71", ("35", "53"), public_url=f"{URL}/")
        city = await open_desk(stack, settings, CITY)
        settings = office_settings(servers, folder, "35", ("53.71",))
        east = await open_desk(stack, settings, PROVINCE)
        made = World(city, east, [])
        await fill(made)
        yield made


async def fill(world: World) -> None:
    """The case's intake, claims and first handover; some arrivals; three advances."""
    city, east = world.city, world.east
    await city.post("admin", "/authorities", CASE["authority"])
    await city.post("issuer", "/operations", CASE["operation"])
    for claim in CASE["claims"]:
        await city.post("issuer", "/operations/KD-2019/claims", claim)
    rows: list[dict[str, Any]] = [
        {name: value for name, value in row.items() if value} | {"sign_of_trafficking": False}
        for row in ROWS
    ]
    rows[6] |= {"name": NAME, "nik": NIK}
    answer = await city.post("intake", "/operations/KD-2019/beneficiaries", {"rows": rows})
    world.persons = [entry["person"] for entry in answer["rows"]]
    more = {"operation": "KD-2019", "transport": HANDOVER["transport"]}
    await story.draft(city, world.going, "HO-KD-35", **more)
    await story.issue(city, "HO-KD-35", CASE["authority"]["signatory"], NUMBER)
    await story.expected(east, "HO-KD-35")
    await story.open_house(east, 60)
    at = {"occurred_at": HANDOVER["arrived_at"]}
    for person in world.going[:2]:
        path = f"/arrivals/HO-KD-35/entries/{person}/answer"
        await east.post("reception", path, story.ARRIVED | at)
    absent = {"outcome": "absent", "absence": "left_in_transit"} | at
    path = f"/arrivals/HO-KD-35/entries/{world.going[2]}/answer"
    await east.post("reception", path, absent)
    body = {"initials": "ZX", "house": "RS-1", "willing": True} | at
    await east.post("reception", "/arrivals/HO-KD-35/unlisted", body)
    advances = [
        {
            "person": person,
            "release": f"PJR/2019/{number}",
            "budget_code": CASE["advance"]["budget_code"],
            "amount_rupiah": 2_000_000,
        }
        for number, person in enumerate(world.going[:3], 1)
    ]
    await city.post("treasurer", "/operations/KD-2019/advances", {"rows": advances})
    for number, fare in enumerate((1_500_000, 2_000_000)):
        path = f"/beneficiaries/{world.going[number]}/fares"
        body = {"receipt": f"KW/2019/{number}", "amount_rupiah": fare}
        await city.post("treasurer", path, body)


async def test_the_bast_of_2019(world: World) -> None:
    paper = await printed(world.city, "approver", "/handovers/HO-KD-35/deed")
    for words in (
        "KANTOR 53.71",
        "RAHASIA",
        f"Nomor: {NUMBER}",
        "Jumat, tanggal empat bulan Oktober tahun dua ribu sembilan belas",
        "(Jumat, 4 Oktober 2019)",
        "Jabatan : Plt. Kepala Dinas Sosial Kota Kupang",
        "Berdasarkan : SK/CONTOH/2019",
        "Instansi : Kantor sosial provinsi Jawa Timur (35)",
        "Kegiatan pemulangan KD-2019: Pemulangan dari KD Tenau, Alak.",
        "sejumlah 58 (lima puluh delapan) orang",
        "Angkutan : Kapal laut Tenau - Tanjung Perak",
        "orang demi orang, pada saat PIHAK KEDUA mengakui kedatangannya",
        "Dinyatakan 58 (lima puluh delapan) orang ke 35 (Jawa Timur)",
        "dalam daftar ini 58 (lima puluh delapan) orang: sama.",
        "Saksi",
        "Mengetahui",
        "DAFTAR NOMINATIF",
    ):
        assert words in paper.text, words
    manifest = paper.text.partition("DAFTAR NOMINATIF")[2]
    for number, person in enumerate(world.going, 1):
        assert f" {number} {person} " in manifest
    assert f"Halaman 1 dari {len(paper.pages)}" in paper.pages[0]
    for other in world.persons[58:]:
        assert other not in paper.text
    # Nobody's initials, name or NIK; and of other offices nothing, no number either.
    for told in (NAME, NIK, "53 (Nusa Tenggara Timur)", "enam puluh delapan"):
        assert told not in paper.text
    initials = {row["initials"] for row in ROWS}
    assert initials.isdisjoint(manifest.split())


async def test_what_is_recorded_later_changes_no_letter_of_a_deed(world: World) -> None:
    """Another head, another claim, a departure: none of them was so when it was made."""
    city, path = world.city, "/handovers/HO-KD-35/deed"
    before = await printed(city, "auditor", path)
    other = CASE["authority"] | {"position": "Kepala", "acting": False, "decree": "SK/LAIN/2019"}
    await city.post("admin", "/authorities", other)
    claim = CASE["claims"][1] | {"figure": 60, "source": "Laporan ketiga"}
    await city.post("issuer", "/operations/KD-2019/claims", claim)
    at = {"occurred_at": HANDOVER["departed_at"]}
    await city.post("issuer", "/handovers/HO-KD-35/departure", at)
    assert (await printed(city, "intake", path)).data == before.data, "the same bytes"
    assert (await verdict(city, held(before))).state == "recorded"


async def test_the_code_leads_to_a_verdict_and_a_wrong_letter_to_none(world: World) -> None:
    paper = await printed(world.city, "issuer", "/handovers/HO-KD-35/deed")
    one = held(paper)
    assert (one.paper, one.number, one.position) != ("", "", 0)
    assert (await verdict(world.city, one)).state == "recorded"
    assert f"Peristiwa {one.position} dalam log kantor 53.71 ({one.event})" in paper.text
    size = await world.city.size()
    wrong: dict[str, list[Any]] = {
        "paper": ["sts", "bast-identitas2", ""],
        "number": ["BAST/LAIN", NUMBER.lower()],
        "event": [one.event[:-1] + "0" * (one.event[-1] != "0") + "1" * (one.event[-1] == "0")],
        "position": [one.position + 1, one.position - 1, size + 5, 0],
        "size": [one.size + 1000, one.position - 1, 0],
        "head": [one.head[::-1]],
    }
    assert wrong.keys() == {field.name for field in fields(Shown)}
    answers = set()
    for name, values in wrong.items():
        for value in values:
            answers.add(await verdict(world.city, replace(one, **{name: value})))
    # And of what is in the log and has no paper: who asks learns nothing of it.
    for position in range(1, 12):
        async with world.city.office.pool.connection() as connection:
            cursor = await connection.execute(
                "select convert_from(body, 'utf8')::jsonb->>'id' from events where position = %s",
                (position,),
            )
            ((event,),) = await cursor.fetchall()
        answers.add(await verdict(world.city, replace(one, position=position, event=event)))
    # Nor at an office that did not make it.
    answers.add(await verdict(world.east, one))
    (same,) = answers
    assert same.state == "unknown"


@pytest.mark.parametrize(
    ("position", "acting", "printed_as"),
    [
        ("Kepala Dinas", True, "Plt. Kepala Dinas"),
        ("Plt. Kepala Dinas", True, "Plt. Kepala Dinas"),
        ("Kepala Dinas", False, "Kepala Dinas"),
        (None, True, None),
    ],
)
def test_an_acting_head_signs_as_acting(
    position: str | None, acting: bool, printed_as: str | None
) -> None:
    authority = {"signatory": "kepala", "position": position, "acting": acting, "decree": "SK/1"}
    assert deed._position(authority) == printed_as


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"k": "bast", "n": "1", "e": "x", "p": "-1", "c": "2", "h": "y"},
        {"k": "bast", "n": "1", "e": "x", "p": "\u0661", "c": "2", "h": "y"},
        {"k": "bast", "n": "1" * 200, "e": "x", "p": "1", "c": "2", "h": "y"},
        {"k": "bast", "n": "1", "e": "x", "p": "9" * 20, "c": "2", "h": "y"},
    ],
)
def test_what_is_no_code_of_a_paper_is_taken_for_none(asked: dict[str, str]) -> None:
    assert shown(asked) is None


async def test_the_annex_alone_says_who_they_are_and_the_look_is_on_record(world: World) -> None:
    city, path = world.city, "/handovers/HO-KD-35/deed/identities"
    assert (await fetched(city, "issuer", path, format="pdf")).status_code == 422
    before = await city.get("auditor", f"/looks?subject={world.going[6]}")
    paper = await printed(city, "issuer", path, purpose="deed_annex")
    assert f"7 {world.going[6]} {ROWS[6]['initials']} {NAME} {NIK} " in paper.text
    assert "Lampiran tersegel Berita Acara Serah Terima" in paper.text
    assert f"Nomor: {NUMBER}" in paper.text
    for page in paper.pages:
        assert "Dibuka oleh akun issuer untuk: lampiran BAST. Pembukaan ini tercatat." in page
    # What the code says is public: it is checked, and names nobody.
    assert (await verdict(city, held(paper))).state == "recorded"
    assert not {NAME, NIK, *world.going} & set(paper.codes[0].split())

    async def on_record() -> Any:
        looks = await city.get("auditor", f"/looks?subject={world.going[6]}")
        return looks if len(looks) > len(before) else None

    look = (await eventually(on_record))[0]
    assert (look["staff"], look["purpose"]) == ("issuer", "deed_annex")
    assert look["fields"] == ["identity.initials+name+nik+born"]
    as_json = (await fetched(city, "issuer", path, purpose="deed_annex")).json()
    assert as_json["identities"][world.going[6]]["name"] == NAME
    assert "sealed" not in as_json


async def test_who_is_on_the_protection_path_stands_closed_in_the_annex(world: World) -> None:
    city = world.city
    persons = world.persons[58:61]
    await story.draft(city, persons, "HO-S", operation="KD-2019", receiving_office="53")
    await story.issue(city, "HO-S", CASE["authority"]["signatory"])
    # Before it she leaves the manifest with that; afterwards she stands on it, and no longer open.
    await city.post("issuer", "/handovers/HO-S/departure")
    await city.post("intake", f"/beneficiaries/{persons[0]}/protection-path")
    path = "/handovers/HO-S/deed/identities"
    paper = await printed(city, "issuer", path, purpose="deed_annex")
    assert f"1 {persons[0]} (jalur perlindungan)" in paper.text
    assert f"2 {persons[1]} {ROWS[59]['initials']}" in paper.text


async def test_a_withdrawal_makes_a_new_paper_and_the_older_is_told_from_it(world: World) -> None:
    city, persons = world.city, world.persons[61:63]
    await story.draft(city, persons, "HO-W", operation="KD-2019", receiving_office="53")
    assert (await fetched(city, "issuer", "/handovers/HO-W/deed")).json()["code"] == (
        "DEED_NOT_ISSUED"
    )
    assert (await fetched(city, "issuer", "/handovers/HO-9/deed")).status_code == 404
    await story.issue(city, "HO-W", CASE["authority"]["signatory"])
    first = await printed(city, "issuer", "/handovers/HO-W/deed")
    assert "sejumlah 2 (dua) orang" in first.text
    assert "selisih 3 (tiga)" in first.text, "five were declared to go there"
    withdrawn = f"/handovers/HO-W/entries/{persons[0]}/withdrawal"
    await city.post("issuer", withdrawn, {"reason": "Ia berubah pikiran"})
    second = await printed(city, "issuer", "/handovers/HO-W/deed")
    assert "Perubahan ke-1" in second.text
    assert "sejumlah 1 (satu) orang" in second.text
    assert f"1 (satu) orang ditarik dari daftar: {persons[0]}." in second.text
    assert "berubah pikiran" not in second.text
    assert (await verdict(city, held(first))).state == "superseded"
    assert (await verdict(city, held(second))).state == "recorded"
    await city.post("issuer", "/handovers/HO-W/withdrawal", {"reason": "Batal"})
    third = await printed(city, "issuer", "/handovers/HO-W/deed")
    assert "DITARIK, TIDAK BERLAKU" in third.text
    for paper in (first, second, third):
        assert (await verdict(city, held(paper))).state == "void"


async def test_what_no_checkpoint_covers_is_not_printed_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.city.office.pool.connection() as connection:
        source = Source(connection, world.city.office.handling.types, world.city.office.settings)
        issued = (await source.stream(handover.decider, "HO-KD-35"))[-1]
        beyond = replace(issued, position=await world.city.size() + 1_000)
        with pytest.raises(NotCovered):
            await source.record(deed.KIND, beyond, NUMBER)

    async def not_yet(*_: object) -> None:
        raise NotCovered

    monkeypatch.setattr(Source, "record", not_yet)
    for role, path in (("issuer", "/handovers/HO-KD-35/deed"),):
        for format in ("json", "pdf"):
            response = await fetched(world.city, role, path, format=format)
            assert (response.status_code, response.json()["code"]) == (409, "PAPER_NOT_COVERED")


async def test_the_province_acknowledges_person_by_person_on_paper(world: World) -> None:
    east = world.east
    paper = await printed(east, "auditor", "/arrivals/HO-KD-35/acknowledgement")
    one, two, three = world.going[:3]
    for words in (
        "PENGAKUAN KEDATANGAN",
        "KANTOR 35",
        f"{NUMBER}, Jumat, 4 Oktober 2019",
        "Kantor sosial 53.71, Nusa Tenggara Timur",
        "Tiba : 2 (dua) orang",
        "Tidak tiba : 1 (satu) orang",
        "Belum dijawab : 55 (lima puluh lima) orang",
        "Tidak terdaftar, tiba : 1 (satu) orang",
        f"{one} tiba 6-10-2019, 08.30 WITA reception",
        f"{two} tiba 6-10-2019",
        f"{three} tidak tiba 6-10-2019, 08.30 WITA pergi dalam perjalanan reception",
        "tiba, tidak terdaftar",
    ):
        assert words in paper.text, words
    assert (await verdict(east, held(paper))).state == "recorded"
    path = f"/arrivals/HO-KD-35/entries/{three}/correction"
    right = story.ARRIVED | {"corrects": 1, "reason": "Tiba belakangan"}
    await east.post("reception", path, right)
    newer = await printed(east, "auditor", "/arrivals/HO-KD-35/acknowledgement")
    assert f"{three} tiba *" in newer.text
    assert "Tiba : 3 (tiga) orang" in newer.text
    assert "Tiba belakangan" not in newer.text
    assert (await verdict(east, held(paper))).state == "superseded"


async def test_the_sheet_for_a_day_without_a_line_names_people_only_on_the_record(
    world: World,
) -> None:
    east, person = world.east, world.going[6]
    plain = await printed(east, "reception", "/arrivals/HO-KD-35/sheet")
    for number, one in enumerate(world.going, 1):
        assert f"{number} {one} " in plain.text
    assert "63 Sebab" in plain.text or " 63 " in plain.text, "five lines for who is not on it"
    for told in (NAME, NIK, "1-1-1974"):
        assert told not in plain.text
    named = await printed(
        east, "reception", "/arrivals/HO-KD-35/sheet/identities", purpose="arrival"
    )
    assert f"7 {person} {NAME} ({ROWS[6]['initials']})" in named.text
    assert NIK not in named.text
    assert "Dibuka oleh akun reception untuk: kedatangan." in named.pages[-1]

    async def on_record() -> Any:
        return await east.get("auditor", f"/looks?subject={person}")

    assert (await eventually(on_record))[0]["fields"] == ["identity.initials+name+born"]
    for paper in (plain, named):
        assert (await verdict(east, held(paper))).state == "recorded"


async def test_the_treasurers_papers_add_up(world: World) -> None:
    city, (one, two, three) = world.city, world.going[:3]
    report = await printed(city, "treasurer", "/operations/KD-2019/expenditure-report")
    for words in (
        "Dicairkan : Rp6.000.000 (enam juta rupiah)",
        "Dibelanjakan : Rp3.500.000 (tiga juta lima ratus ribu rupiah)",
        "Sisa di tangan : Rp2.500.000 (dua juta lima ratus ribu rupiah)",
        f"{one} DPA/CONTOH/1.06.01 Rp2.000.000 KW/2019/0 Rp1.500.000 – Rp0 Rp500.000",
        f"{two} DPA/CONTOH/1.06.01 Rp2.000.000 KW/2019/1 Rp2.000.000 – Rp0 Rp0",
        f"{three} DPA/CONTOH/1.06.01 Rp2.000.000 belum ada kuitansi Rp0 – Rp0 Rp2.000.000",
    ):
        assert words in report.text, words
    path = "/operations/KD-2019/treasury-return"
    draft = await printed(city, "treasurer", path)
    for words in (
        "RANCANGAN",
        "Jumlah : Rp2.500.000",
        "Terbilang : dua juta lima ratus ribu rupiah",
        "Kode mata anggaran : DPA/CONTOH/1.06.01",
        f"{three} Rp2.000.000 belum ada kuitansi",
    ):
        assert words in draft.text, words
    assert not any(person in draft.pages[0] for person in world.persons), "the bank's page"

    before_it = city.office.clock().isoformat()
    shares = [
        {"person": one, "amount_rupiah": 500_000},
        {"person": three, "amount_rupiah": 2_000_000},
    ]
    body = CASE["sts"] | {"operation": "KD-2019", "total_rupiah": 2_500_000, "shares": shares}
    await city.post("treasurer", "/treasury-returns", body)
    sts = await printed(city, "auditor", path, sts=CASE["sts"]["sts"])
    for words in (
        "Nomor: STS/CONTOH/2019/001",
        "Tanggal setor : Jumat, 18 Oktober 2019",
        "Nomor validasi bank : VALIDASI-CONTOH-001",
        "Terbilang : dua juta lima ratus ribu rupiah",
    ):
        assert words in sts.text, words
    assert (await verdict(city, held(sts))).state == "recorded"
    for paper in (report, draft):
        said = await verdict(city, held(paper))
        assert (said.state, "keadaan pada saat itu" in said.words) == ("recorded", True)

    async def paid_back() -> bool:
        return (await fetched(city, "treasurer", path)).status_code == 409

    await eventually(paid_back)
    assert (await fetched(city, "treasurer", path)).json()["code"] == "NOTHING_OUTSTANDING"
    assert (await fetched(city, "treasurer", path, sts="STS/LAIN")).status_code == 404
    later = await printed(city, "treasurer", "/operations/KD-2019/expenditure-report")
    assert "Disetor kembali : Rp2.500.000" in later.text
    assert "Sisa di tangan : Rp0 (nol rupiah)" in later.text
    # As it was known before: the very paper that was printed then.
    address = "/operations/KD-2019/expenditure-report"
    assert (await printed(city, "auditor", address, known_at=before_it)).data == report.data
    assert (
        await fetched(city, "auditor", "/operations/LAIN/expenditure-report")
    ).status_code == 404


async def test_an_erasure_has_its_certificate_on_paper(world: World) -> None:
    city, person = world.city, world.persons[-1]
    proposal = {"basis": "consent_withdrawn", "reference": "SURAT/2019/9"}
    await city.post("intake", f"/beneficiaries/{person}/erasure", proposal)
    await city.post("approver", f"/beneficiaries/{person}/erasure-approval")
    path = f"/erasures/{person}/certificate"

    async def complete() -> bool:
        return (await fetched(city, "auditor", path)).status_code == 200

    await eventually(complete)
    paper = await printed(city, "auditor", path)
    for words in (
        "SURAT KETERANGAN PENGHAPUSAN DATA",
        "TERBATAS",
        f"Kode yang dihapus : {person}",
        "Dasar hukum : persetujuan ditarik",
        "Surat dasar : SURAT/2019/9",
        "tidak ada yang menerima datanya",
        "Diusulkan oleh akun intake",
        "Disetujui oleh akun approver",
        "Selesai di semua kantor",
    ):
        assert words in paper.text, words
    assert (await verdict(city, held(paper))).state == "recorded"
