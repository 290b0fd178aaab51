"""From sign-in to an issued handover by forms alone, as staff without JavaScript do it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from tests.screens.browser import form_of, operation_shown, signed_in
from tests.system import story
from tests.system.offices import Desk, eventually

OPERATION = {
    "name": "Kegiatan contoh",
    "operation": "OP-LAYAR",
    "site": "53.71.01",
    "planned_departure": "2019-10-04",
    "grant_rupiah": "6.000.000",
    "fare_floor_rupiah": "1.500.000",
    "fare_ceiling_rupiah": "2000000",
}
PERSON = {
    "initials": "AB",
    "birth_date": "1990-01-02",
    "origin": "35.78",
    "sign_of_trafficking": "tidak",
    "destination": "35",
    "willingness": "SPK/1",
}


async def test_from_sign_in_to_an_issued_handover_by_forms_alone(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    admin = await stack.enter_async_context(signed_in(city, "admin-satu", "admin"))
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))

    authority = {
        "position": "Kepala Dinas", "signatory": "kepala", "acting": "tidak",
        "decree": "SK/1", "valid_from": "2019-01-01",
    }  # fmt: skip
    page = await admin.step("/kewenangan", "confer", **authority)
    assert "Kepala Dinas" in page.text

    assert "Mulai: buka kegiatan" in (await issuer.open("/")).text
    page = await issuer.step("/kegiatan", "open", **OPERATION)
    assert page.url.path == "/kegiatan/OP-LAYAR"
    claim = {
        "subject": "persons", "figure": "3", "source": "laporan kota",
        "stated_by": "kepala bidang", "stated_on": "2019-10-01",
    }  # fmt: skip
    page = await issuer.step("/kegiatan/OP-LAYAR", "claim", **claim)
    assert "3 dinyatakan" in page.text

    persons = []
    for number in (1, 2):
        fields = PERSON | {"willingness": f"SPK/{number}"}
        page = await intake.step("/kegiatan/OP-LAYAR/daftarkan", "register", **fields)
        persons.append(page.url.path.rpartition("/")[2])
        assert persons[-1].startswith("PM-")
    page = await intake.step(
        "/kegiatan/OP-LAYAR/daftarkan",
        "register",
        **PERSON | {"destination": "", "willingness": ""},
    )
    third = page.url.path.rpartition("/")[2]
    assert "tentukan tujuan" in (await intake.open("/")).text
    await intake.step(f"/penerima-manfaat/{third}", "destination", destination="35")
    await intake.step(f"/penerima-manfaat/{third}", "willing", statement="SPK/3")

    assert "siap diserahterimakan" in (await issuer.open("/")).text
    page = await issuer.step(
        "/serah-terima/baru?kegiatan=OP-LAYAR",
        "draft",
        receiving_office="35",
        planned_departure="2019-10-04",
        transport="KM Contoh",
    )
    handover = page.url.path.split("/")[2]
    page = await issuer.submit(page, "add", persons=[*persons, third])
    page = await issuer.open(page.headers["location"])
    assert "Periksa sebelum diajukan" in page.text
    await issuer.step(f"/serah-terima/{handover}", "submit")

    assert "Menunggu pengesahan Anda" in (await approver.open("/")).text
    here = f"/serah-terima/{handover}"
    page = await approver.step(here, "approve", signatory="kepala", deed_date="2019-10-04")
    page = await issuer.step(here, "issue", deed_number="BAST/LAYAR/1")
    assert "BAST terbit, belum berangkat" in page.text
    assert "Kabar ke kantor penerima" in page.text
    page = await issuer.step(here, "depart", occurred_at="2019-10-04T08:00")
    assert "Jumat, 4 Oktober 2019, 08.00 WITA" in page.text

    await story.expected(province, handover)

    async def received() -> Any:
        return "diterima sistem</strong>" in (await issuer.open(here)).text

    await eventually(received)
    await story.open_house(province)
    for person in (*persons, third):
        path = f"/arrivals/{handover}/entries/{person}/answer"
        await province.post("reception", path, story.ARRIVED)

    async def acknowledged() -> Any:
        return "diakui petugas</strong>" in (await issuer.open(here)).text

    assert "Menunggu jawaban kantor penerima" in (await issuer.open(here)).text
    await eventually(acknowledged)
    done = (await issuer.open(here)).text
    assert "Kantor penerima sudah menjawab untuk tiap orang" in done
    assert "Menunggu jawaban kantor penerima" not in done
    board = (await issuer.open("/kegiatan/OP-LAYAR")).text
    assert "tujuan=35&amp;keadaan=arrived" in board


async def test_a_repeated_submit_changes_nothing(city: Desk, stack: AsyncExitStack) -> None:
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    page = await issuer.open("/kegiatan")
    fields = OPERATION | {"operation": ""}
    first = await issuer.submit(page, "open", **fields)
    size = await city.size()
    again = await issuer.submit(page, "open", **fields)
    assert (first.status_code, again.status_code) == (303, 303)
    assert first.headers["location"] == again.headers["location"]
    assert await city.size() == size
    other = await issuer.submit(page, "open", **fields | {"name": "Kegiatan lain"})
    assert other.status_code == 409
    assert "sudah terkirim sebelumnya" in other.text
    assert await city.size() == size
    # The form that comes back is a new one: sent on purpose it is recorded.
    assert (await issuer.submit(other, "open")).status_code == 303
    assert await city.size() > size


async def test_only_who_recorded_something_is_told_that_it_was(
    city: Desk, stack: AsyncExitStack
) -> None:
    """A link that somebody made up says nothing, nor does another's own, nor on another page."""
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    other = await stack.enter_async_context(signed_in(city, "penerima-dua", "intake"))
    await operation_shown(city)
    persons = await story.register(city, *(story.intake_row(willingness=None) for _ in range(2)))
    here, there = (f"/penerima-manfaat/{person}" for person in persons)
    sent = await intake.submit(await intake.open(here), "willing", statement="SPK/1")
    said = sent.headers["location"]
    told = 'class="recorded"'
    assert said.startswith(f"{here}?tersimpan=willing.")
    assert told in (await intake.open(said)).text
    mark = said.partition("?")[2]
    for browser, address in (
        (other, said),
        (intake, f"{there}?{mark}"),
        (intake, f"{here}?tersimpan=willing"),
        (intake, f"{here}?tersimpan=register&sama=ya"),
        (intake, f"{here}?tersimpan=" + mark.partition("=")[2].replace("willing", "register")),
        (intake, f"{here}?tersimpan=%C3%A9.x"),
    ):
        page = (await browser.open(address)).text
        assert told not in page, address
        assert "Tersimpan. Mengirim" not in page
    again = await intake.submit(await intake.open(here), "destination", destination="35")
    assert "Tidak ada yang baru" in (await intake.open(again.headers["location"])).text


async def test_what_was_refused_keeps_what_was_typed_and_says_that_nothing_was_saved(
    city: Desk, stack: AsyncExitStack
) -> None:
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    before = await city.size()
    page = await issuer.open("/kegiatan")
    wrong = OPERATION | {"grant_rupiah": "enam juta", "site": "99", "name": 'Kegiatan "<b>"'}
    page = await issuer.submit(page, "open", **wrong)
    assert page.status_code == 422
    assert "Tidak ada yang disimpan" in page.text
    assert '<a href="#open-grant_rupiah">Bantuan tiap orang (rupiah):' in page.text
    assert 'aria-describedby="open-grant_rupiah-hint open-grant_rupiah-wrong"' in page.text
    assert "<b>" not in page.text
    _, fields = form_of(page, "open")
    assert {name: fields[name] for name in wrong} == {name: [text] for name, text in wrong.items()}
    inverted = OPERATION | {"fare_floor_rupiah": "3.000.000"}
    page = await issuer.submit(page, "open", **inverted)
    assert page.status_code == 409
    assert "FARE_RANGE_INVERTED" in page.text
    assert await city.size() == before
    assert (await issuer.submit(page, "open", **OPERATION)).status_code == 303


async def test_a_form_needs_its_pages_token_and_its_senders_role(
    city: Desk, stack: AsyncExitStack
) -> None:
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    page = await issuer.open("/kegiatan")
    forged = await issuer.submit(page, "open", **OPERATION, csrf="0" * 64)
    assert forged.status_code == 403
    assert forged.headers["content-type"].startswith("text/html")
    assert 'name="act" value="open"' not in (await auditor.open("/kegiatan")).text
    own = await auditor.open("/kegiatan")
    _, fields = form_of(page, "open")
    csrf = own.text.partition('name="csrf" value="')[2][:64]
    sent: Any = fields | OPERATION | {"csrf": csrf}
    refused = await auditor.http.post("/kegiatan", data=sent, headers={"Accept": "text/html"})
    assert refused.status_code == 403
    assert "ROLE_MISSING" in refused.text
    assert await city.size() == 0
    for address, status in (("/tidak-ada", 404), ("/kegiatan/TIDAK-ADA", 404),
                            ("/serah-terima/baru", 403)):  # fmt: skip
        page = await auditor.open(address, status)
        assert page.headers["content-type"].startswith("text/html"), address
    # A program is told as before.
    headers = {"Authorization": f"Bearer {city.tokens['auditor']}"}
    answer = await city.http.get("/tidak-ada", headers=headers)
    assert answer.json()["code"] == "NOT_FOUND"
