"""A province in a real browser, beyond the journeys: houses, a sheet that is copied, a case."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.screens.chromium import Stage
from tests.screens.test_province import handed_over
from tests.system import story
from tests.system.offices import Desk

pytestmark = [pytest.mark.xdist_group("chromium"), pytest.mark.timeout(300)]


async def test_from_a_house_to_a_case_in_a_browser(
    city: Desk, province: Desk, stage: Stage
) -> None:
    admin = await stage.enter(province, "admin")
    await admin.open("Rumah singgah")
    await admin.look("rumah-kosong")
    for number, capacity in ((1, "4"), (2, "1")):
        await admin.fill("Kode rumah singgah", f"RS-{number}")
        await admin.fill("Nama rumah singgah", f"Rumah contoh {number}")
        await admin.fill("Daya tampung (orang)", capacity)
        await admin.press("Catat rumah singgah")
    await admin.look("rumah")
    await admin.picture("admin-rumah")

    persons = await handed_over(city, province, 5)
    credit = story.CREDIT | {"person": persons[0], "reference": "KREDIT/1"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [credit]})
    await story.answer(province, persons[0], story.ARRIVED)
    reception = await stage.enter(province, "reception")
    await reception.open("Kedatangan")
    await reception.look("kedatangan")
    await reception.open("HO-1")
    await reception.choose("Rumah singgah untuk yang tiba sekarang", "RS-1")
    await reception.press("Pakai")
    await reception.look("periksa")
    await reception.open("Salin lembar kertas")
    await reception.look("lembar")
    await reception.fill("Tanggal pada lembar", "2019-10-05")
    await reception.fill("Jam tiba", "14:30")
    await reception.choose("Rumah singgah", "RS-2")
    for row in await reception.page.locator("table select").all():
        await row.select_option("b")
    await reception.picture("tiba-lembar")
    await reception.press("Catat yang terisi")
    await expect(reception.page.get_by_text("Baris lainnya sudah dicatat.")).to_be_visible()
    await reception.look("lembar-sebagian")

    worker = await stage.enter(province, "case_worker")
    await worker.picture("pendamping-hari-ini")
    await worker.open("Belum ada pekerja sosialnya")
    await worker.look("kasus")
    await worker.page.goto(f"/kasus/{persons[0]}")
    await worker.press("Buka catatan untuk pendampingan")
    await worker.look("bukan-kasus-anda")
    await worker.press("Ambil kasus ini")
    await worker.fill("Keinginannya", "Usaha sendiri")
    await worker.fill("Potensinya", "Menjahit")
    await worker.fill("Peluang yang ada", "Pasar dekat")
    await worker.press("Simpan asesmen")
    await worker.fill("Diklat yang ditawarkan", "Menjahit dasar\nSalon")
    await worker.press("Simpan tawaran")
    await worker.page.get_by_label("Salon", exact=True).check()
    await worker.picture("pendamping-pilihan")
    await worker.press("Simpan pilihannya")
    await worker.look("satu-kasus")
    await worker.press("Buka catatan untuk pendampingan")
    await worker.look("catatan")
    await worker.open("Halaman orang ini")
    await worker.choose("Untuk apa dibuka", "case_work")
    await worker.press("Buka identitas")
    await worker.look("identitas")
    await worker.open("Bantuan")
    await worker.page.get_by_text("Uangnya tidak ada").first.click()
    await worker.look("bantuan")
    await worker.picture("pendamping-bantuan")
    await admin.open("Penugasan")
    await admin.look("penugasan")
    assert stage.wrong == []
