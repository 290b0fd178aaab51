"""A page and its line: news by themselves, drafts on the device, sending again, and hiding."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.screens.chromium import Stage
from tests.system import story
from tests.system.offices import Desk, eventually

pytestmark = pytest.mark.xdist_group("chromium")

CLAIM = {
    "subject": "persons", "figure": 3, "source": "laporan kota", "stated_by": "kepala bidang",
    "stated_on": "2019-10-01",
}  # fmt: skip
DRAFTS = (
    "Object.fromEntries(Object.entries(localStorage).filter(([name]) => name.startsWith('draf ')))"
)


async def drafts(page: Page) -> dict[str, Any]:
    found: dict[str, str] = await page.evaluate(DRAFTS)
    return {name: json.loads(text) for name, text in found.items()}


async def test_a_page_and_its_line(city: Desk, stage: Stage) -> None:
    await story.open_operation(city)
    await story.register(city, story.intake_row())
    issuer = await stage.enter(city, "issuer")
    page = issuer.page
    line, change = page.locator("#daring"), page.locator("#perubahan")

    # News: what others record shows by itself where nobody is at work on the page.
    await page.goto("/kegiatan/OP-TEST")
    await expect(page.locator(".lead")).to_contain_text("Belum ada jumlah")
    await city.post("issuer", "/operations/OP-TEST/claims", CLAIM)
    await expect(page.locator(".lead")).to_contain_text("3 dinyatakan")
    await expect(change).to_have_text("Halaman ini baru saja diperbarui.")
    # Where somebody is, she is told, and what she types stays.
    await page.goto("/kegiatan/OP-TEST")
    await page.locator("summary").last.click()
    await issuer.fill("Sumber", "laporan saya")
    await city.post("issuer", "/operations/OP-TEST/claims", CLAIM | {"figure": 4})
    await expect(change.get_by_role("link")).to_have_text("Ada perubahan: muat ulang")
    await issuer.examine("ada-perubahan")
    await expect(page.get_by_label("Sumber")).to_have_value("laporan saya")
    claims = page.locator("section[aria-labelledby=dinyatakan] tbody tr")
    await expect(claims).to_have_count(1)
    await change.get_by_role("link").click()
    await expect(claims).to_have_count(2)
    # Her draft is there again, marked as one; and away when she says so.
    await expect(page.get_by_label("Sumber")).to_have_value("laporan saya")
    await expect(page.locator(".state")).to_contain_text("belum terkirim")
    await page.get_by_role("button", name="Hapus draf").click()
    await expect(page.get_by_label("Sumber")).to_have_value("")
    assert await drafts(page) == {}

    # A line that is cut: the form waits, survives a closed page, and is recorded once.
    await page.goto("/serah-terima/baru?kegiatan=OP-TEST")
    await issuer.choose("Kantor penerima", "35")
    await issuer.fill("Rencana berangkat", "2019-10-04")
    await issuer.fill("Sarana angkutan", "KM Contoh")
    await expect(page.locator(".state")).to_have_text("Tersimpan di perangkat, belum terkirim.")
    await expect(line).to_have_text("Daring")
    before = await city.size()
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Lanjut: pilih orangnya").click()
    await expect(page.locator(".state")).to_contain_text("Tersimpan di perangkat, belum diakui")
    await expect(line).to_contain_text("Luring")
    await issuer.examine("luring")
    [draft] = (await drafts(page)).values()
    assert draft["sent"] is True
    assert dict(draft["fields"])["transport"] == "KM Contoh"
    other = await page.context.new_page()
    await page.close()
    page = issuer.page = other
    await page.context.set_offline(False)
    await page.goto("/serah-terima/baru?kegiatan=OP-TEST")
    await expect(page.locator(".state")).to_contain_text("belum diakui. Periksa, lalu kirim lagi")
    await expect(page.get_by_label("Sarana angkutan")).to_have_value("KM Contoh")
    assert await page.locator("form input[name=key]").first.input_value() == draft["key"]
    assert await city.size() == before
    # The office's answer is lost on the way: the same is sent again, and changes nothing.
    lost = []

    async def lose(route: Any) -> None:
        if route.request.method != "POST" or lost:
            return await route.fallback()
        lost.append(await route.fetch(max_redirects=0))
        return await route.abort()

    await page.route("**/serah-terima/baru", lose)
    await page.get_by_role("button", name="Lanjut: pilih orangnya").click()
    await expect(page.locator("h1")).to_have_text("Siapa yang ikut?")
    assert lost[0].status == 200
    assert await city.size() == before + 1
    assert await drafts(page) == {}

    # Who types on after a lost answer keeps the key; what she searched for lies on no device.
    await page.goto("/kegiatan?cari=Nama+Contoh")
    await page.context.set_offline(True)
    await issuer.fill("Rencana berangkat", "2019-10-04")
    await page.get_by_role("button", name="Buka kegiatan").click()
    await expect(page.locator(".state")).to_contain_text("belum diakui")
    other = await page.context.new_page()
    await page.close()
    page = issuer.page = other
    await page.context.set_offline(False)
    await page.goto("/kegiatan")
    await issuer.fill("Rencana berangkat", "2019-10-05")
    await expect(page.locator(".state")).to_contain_text("belum diakui")
    [(name, draft)] = (await drafts(page)).items()
    assert "Nama" not in name
    assert draft["sent"] is True
    assert draft["key"] == await page.locator("form input[name=key]").first.input_value()
    await page.evaluate("localStorage.clear()")

    # What is wrong comes back as without the script, and the summary has the focus.
    await page.goto("/kegiatan")
    await issuer.press("Buka kegiatan")
    await expect(page.locator("#masalah")).to_be_focused()
    await issuer.fill("Rencana berangkat", "2019-10-04")
    assert len(await drafts(page)) == 1
    # Signing out takes the drafts with it.
    await issuer.press("Keluar")
    await expect(page.locator("h1")).to_have_text("Masuk")
    await issuer.look("masuk")
    assert await drafts(page) == {}

    intake = await stage.enter(city, "intake")
    page = intake.page
    # Who somebody is lies on no device, not even as a draft.
    await page.goto("/kegiatan/OP-TEST/daftarkan")
    for label, text in (("Inisial", "QX"), ("Tanggal lahir", "1990-01-02"), ("Nama", "Contoh")):
        await page.get_by_label(label, exact=label == "Inisial").first.fill(text)
    await expect(page.locator(".state")).to_contain_text("tidak disimpan di perangkat")
    assert await page.evaluate("JSON.stringify([localStorage, sessionStorage])") == "[{},{}]"

    # Hiding: at once, and going back shows nothing.
    await page.goto("/kegiatan/OP-TEST/orang")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await expect(page).to_have_url("/static/kosong.html")
    for _ in range(2):
        await page.go_back(wait_until="commit")
        await expect(page).to_have_url("/static/kosong.html")
    await page.goto("/kegiatan")
    await expect(page.locator("h1")).to_be_visible()

    # Where somebody else has signed in meanwhile, a page stays hers who opened it.
    auditor = await stage.enter(city, "auditor")
    mine, others = await page.context.cookies(), await auditor.page.context.cookies()
    await page.context.add_cookies([dict(one) for one in others])  # type: ignore[arg-type]
    (person,) = await story.register(city, story.intake_row(willingness=None))
    await expect(page.locator("#perubahan a")).to_have_text("Sesi Anda berakhir: masuk lagi")
    await auditor.page.close()
    await page.context.add_cookies([dict(one) for one in mine])  # type: ignore[arg-type]
    await page.goto(f"/penerima-manfaat/{person}")
    await intake.fill("Nomor surat kesediaan", "SPK/1")
    await expect(page.locator(".state")).to_contain_text("Tersimpan di perangkat")
    assert len(await drafts(page)) == 1

    # The stream ends with its session, and says so.
    async def streams() -> int:
        return len(city.app.state.live._streams)

    await eventually(streams)
    async with city.office.pool.connection() as connection:
        await connection.execute("delete from sessions")
    await expect(page.locator("#perubahan a")).to_have_text("Sesi Anda berakhir: masuk lagi")
    assert await streams() == 0
    # What was typed stays on the page, and lies on the device no longer.
    assert await drafts(page) == {}
    await expect(page.locator(".state")).to_contain_text("tidak disimpan di perangkat")
    await intake.fill("Nomor surat kesediaan", "SPK/12")
    await expect(page.locator(".state")).to_contain_text("tidak disimpan di perangkat")
    assert await drafts(page) == {}
    # Nor where no page saw it end: whoever signs in next begins with none.
    await page.evaluate(
        "localStorage.setItem('draf /x? ', JSON.stringify({who: 'x', at: Date.now()}))"
    )
    await page.goto("/masuk")
    assert await drafts(page) == {}
    assert stage.wrong == []
