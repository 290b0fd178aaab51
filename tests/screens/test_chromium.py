"""The journey in a real browser: with a mouse, by keyboard alone, on a phone without JavaScript.

axe looks at each page, and each is looked at for its width: see `tests.screens.chromium`.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.screens.chromium import PHONE, SCREENSHOTS, WIDE, ByKeyboard, Visitor, enter, served
from tests.system import story
from tests.system.offices import Desk

pytestmark = pytest.mark.xdist_group("chromium")


@pytest.mark.parametrize(
    ("kind", "size", "javascript"),
    [(Visitor, WIDE, True), (ByKeyboard, WIDE, True), (Visitor, PHONE, False)],
    ids=["mouse", "keyboard", "phone-no-javascript"],
)
async def test_from_sign_in_to_an_issued_handover_in_a_browser(
    city: Desk,
    chromium: Browser,
    kind: type[Visitor],
    size: tuple[int, int],
    javascript: bool,
) -> None:
    # Not the fixture's: what it holds must be shut before the browser is.
    async with AsyncExitStack() as stack:
        await journey(city, chromium, stack, kind, size, javascript)


async def journey(
    city: Desk,
    chromium: Browser,
    stack: AsyncExitStack,
    kind: type[Visitor],
    size: tuple[int, int],
    javascript: bool,
) -> None:
    base = await stack.enter_async_context(served(city))
    wrong: list[str] = []
    viewport = {"width": size[0], "height": size[1]}
    more: Any = {"viewport": viewport, "java_script_enabled": javascript, "kind": kind}
    await story.open_operation(city)
    await city.post(
        "issuer",
        "/operations/OP-TEST/claims",
        {"subject": "persons", "figure": 68, "source": "laporan kota", "stated_by": "kepala bidang",
         "stated_on": "2019-10-01"},
    )  # fmt: skip
    rows = [story.intake_row(willingness=f"SPK/{n}") for n in range(58 if SCREENSHOTS else 12)]
    rows += [story.intake_row(destination="53", willingness=f"SPK/5{n}") for n in range(5)]
    rows += [story.intake_row(destination=None, willingness=None) for _ in range(5)]
    await story.register(city, *rows)

    intake = await enter(chromium, stack, city, base, wrong, "intake", **more)
    await intake.open("Kegiatan")
    await intake.look("kegiatan")
    await intake.open("Kegiatan contoh")
    await intake.look("papan")
    await intake.open("Daftarkan satu orang")
    await intake.look("daftarkan")
    await intake.press("Daftarkan")
    await intake.look("daftarkan-salah")
    if javascript:
        await expect(intake.page.locator("#masalah")).to_be_focused()
        await expect(intake.page.locator("#daring")).to_have_text("Daring")
    await intake.fill("Inisial", "QX")
    await intake.fill("Tanggal lahir", "1990-01-02")
    await intake.fill("Kode wilayah asal", "35.78")
    await intake.check("Tidak")
    await intake.press("Daftarkan")
    await intake.look("orang")
    await intake.open("Penerima manfaat")
    await intake.look("orang-semua")
    await intake.open("OP-TEST")
    await intake.open("Daftarkan dari tabel")
    await intake.look("impor")
    header = "initials,origin,birth_date,sign_of_trafficking,destination,willingness"
    table = f"{header}\nAB,35.78,1990-01-02,tidak,35,SPK/90\nCD,99,kemarin,tidak,35,SPK/91"
    await intake.fill("Tempel tabel", table)
    await intake.press("Periksa dahulu")
    await intake.look("impor-periksa")
    await intake.press("Impor 1 baris yang benar saja")
    await expect(intake.page.locator(".recorded")).to_be_visible()

    issuer = await enter(chromium, stack, city, base, wrong, "issuer", **more)
    await issuer.open("siap diserahterimakan")
    await issuer.look("rancang")
    await issuer.choose("Kantor penerima", "53")
    await issuer.fill("Rencana berangkat", "2019-10-04")
    await issuer.fill("Sarana angkutan", "KM Contoh")
    await issuer.press("Lanjut: pilih orangnya")
    await issuer.look("pilih")
    await issuer.press("Masukkan semua 5 orang")
    await issuer.look("periksa")
    await issuer.press("Ajukan untuk disahkan")

    approver = await enter(chromium, stack, city, base, wrong, "approver", **more)
    await approver.open("Menunggu pengesahan Anda")
    await approver.look("serah-terima")
    await approver.go(approver.page.locator(".cards a").first)
    await approver.choose("Penanda tangan", "kepala")
    await approver.fill("Tanggal BAST", "2019-10-04")
    await approver.look("sahkan")
    await approver.press("Sahkan serah terima")
    await approver.open("OP-TEST")
    await approver.go(approver.page.get_by_text("Jelaskan selisih ini").first)
    await approver.look("selisih")
    await approver.open("Kewenangan")
    await approver.look("kewenangan")
    await approver.page.goto("/tidak-ada")
    await approver.look("tidak-ada")

    await issuer.open("Serah terima")
    await issuer.go(issuer.page.locator(".cards a").first)
    await issuer.fill("Nomor BAST", "BAST/2019/10/001")
    await issuer.press("Terbitkan")
    await expect(issuer.page.get_by_text("BAST terbit, belum berangkat")).to_be_visible()
    await issuer.look("terbit")
    if javascript:
        await issuer.page.keyboard.press("Escape")
        await issuer.page.keyboard.press("Escape")
        await expect(issuer.page).to_have_url(f"{base}/static/kosong.html")
    assert wrong == []
