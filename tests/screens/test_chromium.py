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
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.screens.chromium import (
    PHONE,
    WIDE,
    ByKeyboard,
    ByTouch,
    Visitor,
    WithoutJavaScript,
    enter,
    served,
)
from tests.system import story
from tests.system.offices import Desk, eventually

pytestmark = pytest.mark.xdist_group("chromium")

BOARD = "/kegiatan/OP-TEST"
CLAIM = {"subject": "persons", "figure": 8, "source": "laporan kota",
         "stated_by": "kepala bidang", "stated_on": "2019-10-01"}  # fmt: skip
FINGER = {"has_touch": True, "is_mobile": True}


@dataclass
class Stage:
    """Both offices as one browser sees them, and what is the matter with any page."""

    city: Desk
    province: Desk
    browser: Browser
    stack: AsyncExitStack
    kind: type[Visitor]
    more: dict[str, Any]
    wrong: list[str] = field(default_factory=list)
    bases: dict[str, str] = field(default_factory=dict)
    known: dict[str, Visitor] = field(default_factory=dict)
    handover: str = ""
    absent: str = ""

    async def enter(self, desk: Desk, role: str) -> Visitor:
        """Whoever has that role there, signed in once."""
        code = desk.office.settings.office
        if code not in self.bases:
            self.bases[code] = await self.stack.enter_async_context(served(desk))
        if (there := f"{role} {code}") not in self.known:
            self.known[there] = await enter(
                self.browser, self.stack, desk, self.bases[code], self.wrong, role, self.kind,
                **self.more,
            )  # fmt: skip
        return self.known[there]

    @property
    def javascript(self) -> bool:
        return bool(self.more["java_script_enabled"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "size", "javascript", "more"),
    [
        (Visitor, WIDE, True, {}),
        (ByKeyboard, WIDE, True, {}),
        (ByTouch, PHONE, True, FINGER),
        (WithoutJavaScript, PHONE, False, {}),
    ],
    ids=["mouse", "keyboard", "touch", "no-javascript"],
)
async def test_the_three_journeys_in_a_browser(
    city: Desk,
    province: Desk,
    chromium: Browser,
    kind: type[Visitor],
    size: tuple[int, int],
    javascript: bool,
    more: dict[str, Any],
) -> None:
    viewport = {"width": size[0], "height": size[1]}
    given = {"viewport": viewport, "java_script_enabled": javascript} | more
    # Not the fixture's: what it holds must be shut before the browser is.
    async with AsyncExitStack() as stack:
        stage = Stage(city, province, chromium, stack, kind, given)
        await from_an_operation_to_what_is_acknowledged(stage)
        await a_discrepancy_explained_and_an_answer_corrected(stage)
        await an_audit_from_question_to_evidence(stage)
        assert stage.wrong == []


async def from_an_operation_to_what_is_acknowledged(stage: Stage) -> None:
    city, province = stage.city, stage.province
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
    if stage.javascript:
        await expect(intake.page.locator("#masalah")).to_be_focused()
        await expect(intake.page.locator("#daring")).to_have_text("Daring")
    await intake.fill("Inisial", "QX")
    await intake.fill("Tanggal lahir", "1990-01-02")
    await intake.fill("Kode wilayah asal", "35.78")
    await intake.check("Tidak")
    await intake.press("Daftarkan")
    await intake.look("orang")
    await intake.choose("Tujuan", "35")
    await intake.press("Simpan tujuan")
    await intake.fill("Nomor surat kesediaan", "SPK/8")
    await intake.picture("data-kesediaan")
    await intake.press("Simpan surat")
    await expect(intake.page.get_by_text("ya, ada suratnya")).to_be_visible()
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
    await issuer.open("siap diserahterimakan")
    await issuer.look("rancang")
    await issuer.choose("Kantor penerima", "35")
    await issuer.fill("Rencana berangkat", "2019-10-04")
    await issuer.fill("Sarana angkutan", "KM Contoh")
    await issuer.press("Lanjut: pilih orangnya")
    await issuer.look("pilih")
    await issuer.picture("penerbit-pilih")
    await issuer.press("Masukkan semua 3 orang")
    await issuer.look("periksa")
    await issuer.picture("penerbit-periksa")
    stage.handover = re.split("[/?]", issuer.page.url)[4]
    await issuer.press("Ajukan untuk disahkan")

    approver = await stage.enter(city, "approver")
    await approver.picture("pengesah-hari-ini")
    await approver.open("Menunggu pengesahan Anda")
    await approver.look("serah-terima")
    await approver.go(approver.page.locator(".cards a").first)
    await approver.choose("Penanda tangan", "kepala")
    await approver.fill("Tanggal BAST", "2019-10-04")
    await approver.look("sahkan")
    await approver.picture("pengesah-sahkan")
    await approver.press("Sahkan serah terima")

    await issuer.open("Serah terima")
    await issuer.go(issuer.page.locator(".cards a").first)
    await issuer.fill("Nomor BAST", "BAST/2019/10/001")
    await issuer.picture("penerbit-terbitkan")
    await issuer.press("Terbitkan")
    await expect(issuer.page.get_by_text("BAST terbit, belum berangkat")).to_be_visible()
    await issuer.look("terbit")
    await issuer.press("Mereka sudah berangkat")
    await expect(issuer.page.locator("main .tag").first).to_have_text("Berangkat")

    await story.expected(province, stage.handover)
    await reception_answers(stage)

    async def acknowledged() -> bool:
        await issuer.page.reload()
        return await issuer.page.get_by_text("diakui petugas", exact=True).count() > 0

    await eventually(acknowledged)
    await issuer.look("diakui")
    await issuer.picture("penerbit-diakui", of="section[aria-labelledby=kabar]")


async def reception_answers(stage: Stage) -> None:
    """One came, one did not, one went elsewhere; and one came of whom no list knew."""
    reception = await stage.enter(stage.province, "reception")
    page = reception.page
    await reception.picture("tiba-hari-ini", width=360)
    await reception.open("jawab siapa yang tiba")
    await reception.look("daftar-periksa")
    await reception.press("Tampilkan nama (pembukaan tercatat)")
    await reception.look("nama")
    await reception.open("Kedatangan")
    await reception.open(stage.handover)
    await expect(page.locator("h1")).to_contain_text(stage.handover)
    await expect(page.get_by_role("button", name="Tampilkan nama")).to_be_visible()
    came, stage.absent = (await page.locator(".checklist h3").all_inner_texts())[:2]
    await reception.go(page.get_by_text("Ia tiba", exact=True).first)
    await reception.look("ia-tiba")
    await reception.picture("tiba-jawab", of=".checklist li", width=360)
    await reception.press("Tiba, bersedia")
    await expect(page.get_by_text(f"{came}: tiba.")).to_be_visible()
    await reception.look("tiba")
    row = page.locator(".checklist li").filter(has_text=stage.absent)
    await reception.go(row.get_by_role("link", name="Jawaban lain"))
    if stage.javascript:
        await expect(page.get_by_label("Sebab tidak tiba")).to_be_hidden()
    await reception.check("Tidak tiba")
    await expect(page.get_by_label("Sebab tidak tiba")).to_be_visible()
    await reception.press("Catat jawaban")
    await reception.look("jawab-salah")
    await reception.choose("Sebab tidak tiba", "left_in_transit")
    await reception.picture("tiba-tidak-tiba", of="#jawab", width=360)
    await reception.press("Catat jawaban")
    await expect(page.get_by_text(f"{stage.absent}: tidak tiba")).to_be_visible()
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


async def a_discrepancy_explained_and_an_answer_corrected(stage: Stage) -> None:
    approver = await stage.enter(stage.city, "approver")
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

    reception = await stage.enter(stage.province, "reception")
    there = reception.page
    await reception.open("Kedatangan")
    await reception.open(stage.handover)
    row = there.locator(".checklist li").filter(has_text=stage.absent)
    await reception.go(row.get_by_role("link", name="Koreksi"))
    await reception.check("Tiba")
    await reception.check("Ya")
    await reception.fill("Alasan", "Tiba dengan kapal berikutnya")
    await reception.look("koreksi")
    await reception.picture("tiba-koreksi", of="#jawab", width=360)
    await reception.press("Catat koreksi")
    await expect(there.get_by_text(f"{stage.absent}: tiba.")).to_be_visible()

    issuer = await stage.enter(stage.city, "issuer")

    async def corrected() -> bool:
        await issuer.page.goto(BOARD)
        link = issuer.page.locator(f'.groups a[href="{BOARD}/orang?tujuan=35&keadaan=arrived"]')
        return await link.count() == 1 and await link.inner_text() == "2 tiba"

    await eventually(corrected)
    await issuer.look("papan-akhir")
    await issuer.picture("penerbit-papan")
    await issuer.go(issuer.page.locator('.groups a[href$="tujuan=35&keadaan=arrived"]'))
    await expect(issuer.page.get_by_role("link", name=stage.absent)).to_be_visible()
    await issuer.look("orang-tiba")


async def an_audit_from_question_to_evidence(stage: Stage) -> None:
    auditor = await stage.enter(stage.city, "auditor")
    page = auditor.page
    await auditor.open("Pemeriksaan")
    await auditor.look("pemeriksaan")
    await auditor.picture("auditor-cari")
    await auditor.fill("Cari kode", "HO-SALAH")
    await auditor.press("Cari")
    await auditor.look("tidak-ditemukan")
    await auditor.fill("Cari kode", stage.handover.lower())
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
    await page.goto(f"/riwayat/{stage.handover}")
    await auditor.picture("auditor-bukti", of="section[aria-labelledby=bukti]")
    async with page.expect_download() as coming:
        await auditor.go(page.get_by_role("button", name="Unduh bukti"))
    found = await (await coming.value).path()
    with zipfile.ZipFile(io.BytesIO(found.read_bytes())) as archive:
        assert archive.testzip() is None
        assert {"checkpoint", "contents", "verify.py", "linimasa.txt"} <= set(archive.namelist())
    if stage.javascript:
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(re.compile("/static/kosong.html$"))
