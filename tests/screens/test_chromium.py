"""The three journeys in a real browser, on a city and a province in sync: from an operation to what
the other office's staff acknowledged; a discrepancy found, explained, and an answer corrected; an
audit from question to evidence. With a mouse, by keyboard alone, by touch at 360 px, and without
JavaScript.

axe looks at each page, and each is looked at for its width: see `tests.screens.chromium`.
"""

from __future__ import annotations

import io
import re
import zipfile

import pytest
from playwright.async_api import expect

from tests.screens.chromium import ByKeyboard, ByTouch, Stage, Visitor, WithoutJavaScript
from tests.system import story
from tests.system.offices import Desk, eventually

pytestmark = pytest.mark.xdist_group("chromium")

BOARD = "/kegiatan/OP-TEST"
CLAIM = {"subject": "persons", "figure": 8, "source": "laporan kota",
         "stated_by": "kepala bidang", "stated_on": "2019-10-01"}  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind",
    [Visitor, ByKeyboard, ByTouch, WithoutJavaScript],
    ids=["mouse", "keyboard", "touch", "no-javascript"],
)
async def test_the_three_journeys_in_a_browser(
    city: Desk, province: Desk, stage: Stage, kind: type[Visitor]
) -> None:
    stage.kind = kind
    handover, absent = await from_an_operation_to_what_is_acknowledged(city, province, stage)
    await a_discrepancy_explained_and_an_answer_corrected(city, province, stage, handover, absent)
    await an_audit_from_question_to_evidence(city, stage, handover)
    assert stage.wrong == []


async def from_an_operation_to_what_is_acknowledged(
    city: Desk, province: Desk, stage: Stage
) -> tuple[str, str]:
    """The handover's code, and the person who did not arrive."""
    await story.open_operation(city)
    await city.post("issuer", "/operations/OP-TEST/claims", CLAIM)
    rows = [story.intake_row(willingness="SPK/1")]
    rows += [story.intake_row(destination="53", willingness=f"SPK/5{n}") for n in range(2)]
    rows += [story.intake_row(destination=None, willingness=None) for _ in range(2)]
    await story.register(city, *rows)
    await story.open_house(province)

    intake = await stage.enter(city, "intake")
    await intake.picture("data-hari-ini")
    await intake.open("Kegiatan")
    await intake.look("kegiatan")
    await intake.open("Kegiatan contoh")
    await intake.look("papan")
    await intake.open("Daftarkan satu orang")
    await intake.look("daftarkan")
    await intake.picture("data-daftarkan")
    await intake.press("Daftarkan")
    await intake.look("daftarkan-salah")
    if intake.javascript:
        await expect(intake.page.locator("#masalah")).to_be_focused()
        await expect(intake.page.locator("#daring")).to_have_text("Daring")
    await intake.take_in("SPK/8")
    await intake.look("orang-siap")
    await intake.open("Penerima manfaat")
    await intake.look("orang-semua")
    await intake.open("OP-TEST")
    await intake.open("Daftarkan dari tabel")
    await intake.look("impor")
    header = "initials,origin,birth_date,sign_of_trafficking,destination,willingness"
    table = f"{header}\nQY,35.78,1990-01-02,tidak,35,SPK/90\nQZ,99,kemarin,tidak,35,SPK/91"
    await intake.fill("Tempel tabel", table)
    await intake.press("Periksa dahulu")
    await intake.look("impor-periksa")
    await intake.picture("data-impor")
    await intake.press("Impor 1 baris yang benar saja")
    await expect(intake.page.locator(".recorded")).to_be_visible()

    issuer = await stage.enter(city, "issuer")
    await issuer.picture("penerbit-hari-ini")
    await issuer.draft("2019-10-04")
    handover = await issuer.submit(3)

    approver = await stage.enter(city, "approver")
    await approver.picture("pengesah-hari-ini")
    await approver.approve(handover, "kepala", "2019-10-04")
    await issuer.issue(handover, "BAST/2019/10/001")
    await issuer.press("Mereka sudah berangkat")
    await expect(issuer.page.locator("main .tag").first).to_have_text("Berangkat")

    await story.expected(province, handover)
    absent = await reception_answers(province, stage, handover)

    async def acknowledged() -> bool:
        await issuer.page.reload()
        return await issuer.page.get_by_text("diakui petugas", exact=True).count() > 0

    await eventually(acknowledged)
    await issuer.look("diakui")
    await issuer.picture("penerbit-diakui", of="section[aria-labelledby=kabar]")
    return handover, absent


async def reception_answers(province: Desk, stage: Stage, handover: str) -> str:
    """One came, one did not, who is given, one went elsewhere; one came of whom no list knew."""
    reception = await stage.enter(province, "reception")
    page = reception.page
    await reception.picture("tiba-hari-ini", width=360)
    await reception.open("jawab siapa yang tiba")
    await reception.look("daftar-periksa")
    await reception.press("Tampilkan nama (pembukaan tercatat)")
    await reception.look("nama")
    await reception.open("Kedatangan")
    await reception.open(handover)
    await expect(page.locator("h1")).to_contain_text(handover)
    await expect(page.get_by_role("button", name="Tampilkan nama")).to_be_visible()
    came, absent = (await page.locator(".checklist h3").all_inner_texts())[:2]
    await reception.go(page.get_by_text("Ia tiba", exact=True).first)
    await reception.look("ia-tiba")
    await reception.picture("tiba-jawab", of=".checklist li", width=360)
    await reception.press("Tiba, bersedia")
    await expect(page.get_by_text(f"{came}: tiba.")).to_be_visible()
    await reception.look("tiba")
    row = page.locator(".checklist li").filter(has_text=absent)
    await reception.go(row.get_by_role("link", name="Jawaban lain"))
    if reception.javascript:
        await expect(page.get_by_label("Sebab tidak tiba")).to_be_hidden()
    await reception.check("Tidak tiba")
    await expect(page.get_by_label("Sebab tidak tiba")).to_be_visible()
    await reception.press("Catat jawaban")
    await reception.look("jawab-salah")
    await reception.choose("Sebab tidak tiba", "left_in_transit")
    await reception.picture("tiba-tidak-tiba", of="#jawab", width=360)
    await reception.press("Catat jawaban")
    await expect(page.get_by_text(f"{absent}: tidak tiba")).to_be_visible()
    await reception.open("Jawaban lain")
    await reception.check("Dialihkan")
    await reception.choose("Dialihkan ke", "53")
    await reception.press("Catat jawaban")
    await expect(page.locator(".lead")).to_contain_text("0 dari 3 orang belum dijawab")
    await reception.open("Ada yang datang tanpa terdaftar")
    await reception.press("Catat kedatangannya")
    await reception.look("tidak-terdaftar-salah")
    await reception.fill("Inisial", "QW")
    await reception.check("Ya")
    await reception.press("Catat kedatangannya")
    await expect(page.get_by_text("Tulis kode ini pada berkasnya")).to_be_visible()
    await reception.look("tidak-terdaftar")
    return absent


async def a_discrepancy_explained_and_an_answer_corrected(
    city: Desk, province: Desk, stage: Stage, handover: str, absent: str
) -> None:
    approver = await stage.enter(city, "approver")
    page = approver.page
    await page.goto("/")
    await approver.open("selisih yang belum dijelaskan")
    await expect(page.locator(".lead")).to_contain_text("8 dinyatakan")
    await approver.look("papan-selisih")
    await approver.picture("pengesah-selisih", of="#selisih")
    await page.goto("/kegiatan/OP-TEST")
    first = page.locator("article.difference.open").first
    told = (await first.locator("h3").inner_text()).strip()
    await approver.go(first.get_by_text("Jelaskan selisih ini"))
    await approver.fill_in(first.get_by_label("Penjelasan"), "Pergi dalam perjalanan, laporan KM")
    await approver.go(first.get_by_role("button", name="Simpan penjelasan"))
    explained = page.locator("article.difference").filter(has_text=told)
    await expect(explained).to_contain_text("Sudah dijelaskan")
    await approver.look("dijelaskan")
    await approver.open("Kewenangan")
    await approver.look("kewenangan")
    await page.goto("/tidak-ada")
    await approver.look("tidak-ada")

    reception = await stage.enter(province, "reception")
    there = reception.page
    await reception.open("Kedatangan")
    await reception.open(handover)
    row = there.locator(".checklist li").filter(has_text=absent)
    await reception.go(row.get_by_role("link", name="Koreksi"))
    await reception.check("Tiba")
    await reception.check("Ya")
    await reception.fill("Alasan", "Tiba dengan kapal berikutnya")
    await reception.look("koreksi")
    await reception.picture("tiba-koreksi", of="#jawab", width=360)
    await reception.press("Catat koreksi")
    await expect(there.get_by_text(f"{absent}: tiba.")).to_be_visible()

    issuer = await stage.enter(city, "issuer")

    async def corrected() -> bool:
        await issuer.page.goto(BOARD)
        link = issuer.page.locator(f'.groups a[href="{BOARD}/orang?tujuan=35&keadaan=arrived"]')
        return await link.count() == 1 and await link.inner_text() == "2 tiba"

    await eventually(corrected)
    await issuer.look("papan-akhir")
    await issuer.picture("penerbit-papan")
    await issuer.go(issuer.page.locator('.groups a[href$="tujuan=35&keadaan=arrived"]'))
    await expect(issuer.page.get_by_role("link", name=absent)).to_be_visible()
    await issuer.look("orang-tiba")


async def an_audit_from_question_to_evidence(city: Desk, stage: Stage, handover: str) -> None:
    auditor = await stage.enter(city, "auditor")
    page = auditor.page
    await auditor.open("Pemeriksaan")
    await auditor.look("pemeriksaan")
    await auditor.picture("auditor-cari")
    await auditor.fill("Cari kode", "HO-SALAH")
    await auditor.press("Cari")
    await auditor.look("tidak-ditemukan")
    await auditor.fill("Cari kode", handover.lower())
    await auditor.press("Cari")
    await expect(page.locator(".events li").last).to_contain_text("dalam log")
    await auditor.look("riwayat")
    lines = page.locator("section[aria-labelledby=diketahui] .events li")
    now = await lines.count()
    if stage.kind is Visitor:
        slider = page.get_by_label("Geser waktu: diketahui")
        await slider.focus()
        await slider.press("Home")
        await expect(page.get_by_label("Yang diketahui pada")).not_to_have_value("")
        await auditor.press("Tampilkan")
    else:
        await auditor.open("Satu langkah sebelumnya")
    await expect(page.get_by_text("Yang dicatat sejak")).to_be_visible()
    assert 0 < await lines.count() < now
    await auditor.look("riwayat-dulu")
    await auditor.picture("auditor-riwayat")
    await auditor.open("Satu langkah sesudahnya")
    await auditor.go(page.get_by_text("Saring menurut akun atau jenis"))
    await auditor.choose("Jenis catatan", "handover")
    await auditor.press("Tampilkan")
    await auditor.look("riwayat-disaring")
    await auditor.open("Pemeriksaan")
    await auditor.open("Apa yang berubah antara dua waktu")
    await auditor.look("perubahan")
    await auditor.open("Persamaan")
    await auditor.press("Hitung sekarang")
    await expect(page.get_by_text("Yang dinyatakan dan yang terdaftar").first).to_be_visible()
    await auditor.look("persamaan")
    await auditor.picture("auditor-persamaan")
    await auditor.open("Pencocokan")
    await auditor.choose("Kantor mitra", "35")
    await auditor.press("Tanya dan bandingkan")
    await expect(page.get_by_text("selisih dengan kantor Jawa Timur")).to_be_visible()
    await auditor.look("pencocokan")
    await auditor.open("Bukti log")
    await auditor.look("bukti-log")
    await page.goto(f"/riwayat/{handover}")
    await auditor.picture("auditor-bukti", of="section[aria-labelledby=bukti]")
    async with page.expect_download() as coming:
        await auditor.go(page.get_by_role("button", name="Unduh bukti"))
    found = await (await coming.value).path()
    with zipfile.ZipFile(io.BytesIO(found.read_bytes())) as archive:
        assert archive.testzip() is None
        assert {"checkpoint", "contents", "verify.py", "linimasa.txt"} <= set(archive.namelist())
    if auditor.javascript:
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(re.compile("/static/kosong.html$"))
