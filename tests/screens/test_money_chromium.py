"""The money screens in a real browser, each looked at by axe and for its width."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.screens.chromium import Stage, Visitor
from tests.system import story
from tests.system.offices import Desk
from tests.system.test_receipt_files import JPEG, MIB, PDF, travelled

pytestmark = [pytest.mark.xdist_group("chromium"), pytest.mark.timeout(300)]

WAITS = """const timeout = AbortSignal.timeout.bind(AbortSignal); window.waits = [];
AbortSignal.timeout = (ms) => { window.waits.push(ms); return timeout(ms); };"""
"""Tells how long the page's script waits for each answer."""
GRANTS, TICKETS = "/uang/OP-TEST/bantuan", "/uang/OP-TEST/tiket"


async def test_a_photo_that_is_too_long_is_told_to_be(city: Desk, stage: Stage) -> None:
    """As a telephone makes it: beyond what is read at all, and the page does not wait for ever."""
    (person,) = await travelled(city)
    treasurer = await stage.enter(city, "treasurer")
    page = treasurer.page
    await page.add_init_script(WAITS)
    photo = {"name": "foto.jpg", "mimeType": "image/jpeg", "buffer": JPEG + bytes(12 * MIB)}
    await attach(treasurer, person, photo)
    await expect(page.get_by_text("Kiriman lebih dari")).to_be_visible()
    assert await page.evaluate("waits") == [180_000], "sent once, and a slow line has its time"


async def attach(treasurer: Visitor, person: str, file: Any) -> None:
    await treasurer.page.goto(f"/penerima-manfaat/{person}/uang")
    await treasurer.page.get_by_text("Lampirkan berkas kuitansi", exact=True).click()
    await treasurer.look("lampirkan-berkas")
    await treasurer.page.locator("#attach-file").set_input_files(file)
    await treasurer.press("Lampirkan berkas")


async def file_of_a_receipt(treasurer: Visitor, person: str) -> None:
    """Attached by the page's script, and downloaded by the browser itself."""
    page = treasurer.page
    scan = {"name": "tiket.pdf", "mimeType": "application/pdf", "buffer": PDF}
    await attach(treasurer, person, scan)
    await expect(page.get_by_text("Berkas terlampir, 1 kB, PDF")).to_be_visible()
    await page.get_by_text("Buka berkas kuitansi", exact=True).click()
    await treasurer.choose("Untuk apa dibuka", "receipt")
    await treasurer.look("buka-berkas")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Buka berkas", exact=True).click()
    download = await coming.value
    assert download.suggested_filename == "lampiran.pdf"
    assert (await download.path()).read_bytes() == PDF


async def test_grants_and_travel_money_in_a_browser(city: Desk, stage: Stage) -> None:
    await story.open_operation(city)
    rows = (story.intake_row(willingness=f"SPK/{n}") for n in range(55))
    persons = sorted(await story.register(city, *rows))

    treasurer = await stage.enter(city, "treasurer")
    await treasurer.open("Keuangan")
    await treasurer.look("keuangan")
    await treasurer.open("Bantuan OP-TEST")
    await treasurer.look("bantuan")
    await treasurer.open("Impor berkas bank")
    table = "person,reference,status,amount_rupiah,credited_on\n"
    table += "".join(
        f"{code},BRI/{n},masuk,6.000.000,2019-10-02\n" for n, code in enumerate(persons[:9])
    )
    await treasurer.fill("Tempel tabel", f"{table}{persons[9]},BRI/9,masuk,enam juta,2019-10-02")
    await treasurer.press("Periksa dahulu")
    await treasurer.look("berkas-bank-periksa")
    await treasurer.picture("bendahara-bank")
    await treasurer.press("Impor 9 baris yang benar saja")
    await treasurer.look("berkas-bank-tercatat")
    await treasurer.page.goto(f"{GRANTS}?keadaan=unconfirmed")
    await treasurer.open(persons[0])
    await treasurer.look("uang-satu-orang")
    await treasurer.page.get_by_text("Kredit gagal", exact=True).click()
    await treasurer.press("Catat bahwa kredit gagal")
    await treasurer.look("kredit-gagal-salah")

    await treasurer.page.goto(TICKETS)
    await treasurer.open("Catat pencairan panjar")
    table = "person,release,budget_code,amount_rupiah\n"
    table += "".join(f"{code},SP2D/1,5.2.2,2.000.000\n" for code in persons[:9])
    await treasurer.fill("Tempel tabel", table)
    await treasurer.press("Periksa dahulu")
    await treasurer.press("Impor 9 baris")
    await treasurer.look("tiket")
    await treasurer.open("Catat kuitansi tiket")
    table = "person,receipt,amount_rupiah\n"
    table += "".join(f"{code},KW/{n},1.750.000\n" for n, code in enumerate(persons[:8]))
    await treasurer.fill("Tempel tabel", table)
    await treasurer.press("Periksa dahulu")
    await treasurer.look("kuitansi-periksa")
    await treasurer.press("Impor 8 baris")
    await file_of_a_receipt(treasurer, persons[0])
    await treasurer.page.goto(TICKETS)
    await treasurer.look("tiket-tanpa-berkas")
    await treasurer.open("Setor sisa: STS")
    await treasurer.look("sts")
    await treasurer.fill("Nomor STS", "STS/2019/10/001")
    await treasurer.fill("Nomor validasi bank", "VAL-1")
    await treasurer.fill("Tanggal setor", "2019-10-10")
    await treasurer.fill("Jumlah pada lembar bank (rupiah)", "1.900.000")
    await treasurer.press("Periksa dahulu")
    await treasurer.look("sts-belum-cocok")
    await treasurer.fill("Jumlah pada lembar bank (rupiah)", "2.000.000")
    await treasurer.press("Periksa dahulu")
    await treasurer.look("sts-periksa")
    await treasurer.picture("bendahara-sts")
    await treasurer.press("Catat STS")
    await expect(treasurer.page.locator(".recorded")).to_be_visible()
    await treasurer.look("sts-tercatat")
    await treasurer.page.goto("/")
    await treasurer.look("hari-ini-bendahara")
    await treasurer.picture("bendahara-hari-ini")
    assert stage.wrong == []
