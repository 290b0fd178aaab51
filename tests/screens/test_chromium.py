"""The journey in a real browser: with a mouse, and on a phone without JavaScript; axe on each page.

They fail in CI where there is no chromium, and say so elsewhere: `apt-get install chromium`.
With `PULANG_SCREENSHOTS` in the environment a picture of every page is left in that folder.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp
import pytest
import uvicorn
from playwright.async_api import Browser, Page, async_playwright, expect

from shared.runtime.staff import add_staff
from tests.system import story
from tests.system.offices import PASSWORD, Desk

pytestmark = pytest.mark.xdist_group("chromium")

CHROMIUM = Path("/usr/bin/chromium")
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCREENSHOTS = os.environ.get("PULANG_SCREENSHOTS")
WIDE, PHONE = (1280, 900), (360, 740)


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[str]:
    """The office's app on a port of the loopback address."""
    config = uvicorn.Config(
        desk.app, port=0, lifespan="off", log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Visitor:
    """Somebody at a browser's page, who looks at each page with axe."""

    page: Page
    name: str
    wrong: list[str]
    """What is the matter with the pages, of all visitors together."""
    javascript: bool
    seen: list[str] = field(default_factory=list)

    async def look(self, name: str) -> None:
        await expect(self.page.locator("h1")).to_be_visible()
        await self.page.wait_for_load_state("load")  # With its style sheet.
        if self.javascript:
            await self.page.evaluate(AXE)
            await self._ask_axe(name)
            # The same page on a phone: what its width could break.
            await self.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            await self._fits(name)
            await self.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
        await self._fits(name)
        self.seen.append(name)
        if SCREENSHOTS:
            width = (self.page.viewport_size or {})["width"]
            path = Path(SCREENSHOTS) / f"{len(self.seen):02}-{self.name}-{name}-{width}.png"
            await self.page.screenshot(path=path, full_page=True)

    async def _ask_axe(self, name: str) -> None:
        # It works with promises, which stand still where JavaScript is off.
        found = await self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", RULES
        )
        for one in found["violations"]:
            self.wrong.append(f"{name}: {one['id']} {[n['target'] for n in one['nodes']]}")

    async def _fits(self, name: str) -> None:
        """Nothing scrolls sideways, and all that is pressed is 44 px high."""
        wider = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if wider > 0:
            self.wrong.append(f"{name}: scrolls sideways by {wider} px")
        small = await self.page.evaluate(
            "[...document.querySelectorAll('a, button, summary, select, input:not([type=hidden])')]"
            ".filter(e => e.checkVisibility() && !e.closest('p:not(.crumb), .hint, .tick, svg')"
            " && e.getBoundingClientRect().height < 43.5 && e.getBoundingClientRect().left >= 0)"
            ".map(e => e.outerHTML.slice(0, 120))"
        )
        self.wrong += [f"{name}: lower than 44 px: {one}" for one in small]

    async def open(self, link: str) -> None:
        await self.page.get_by_role("link", name=re.compile(link)).first.click()

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def fill(self, label: str, text: str) -> None:
        await self.page.get_by_label(label, exact=True).fill(text)

    async def choose(self, label: str, value: str) -> None:
        await self.page.get_by_label(label, exact=True).select_option(value)


async def enter(
    browser: Browser,
    stack: AsyncExitStack,
    desk: Desk,
    base: str,
    wrong: list[str],
    role: str,
    **more: Any,
) -> Visitor:
    """A new account with that role, signed in on the page."""
    name = f"{role}-{more['viewport']['width']}"
    made = await add_staff(
        desk.office.pool, name, frozenset({role}), PASSWORD, kind="city", wrap=desk.office.keyring
    )
    context = await browser.new_context(base_url=base, **more)
    stack.push_async_callback(context.close)
    visitor = Visitor(await context.new_page(), role, wrong, more["java_script_enabled"])
    visitor.page.set_default_timeout(15_000)
    await visitor.page.goto("/")
    await visitor.fill("Nama pengguna", name)
    await visitor.fill("Kata sandi", PASSWORD)
    if made.totp_secret:
        await visitor.fill("Kode sekali pakai", pyotp.TOTP(made.totp_secret).now())
    await visitor.press("Masuk")
    await visitor.look("hari-ini")
    return visitor


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail("chromium is missing, and no screen goes unopened in CI")
        pytest.skip("chromium is missing, so the screens are NOT opened in a browser here")
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        await browser.close()


@pytest.mark.parametrize(
    ("size", "javascript"), [(WIDE, True), (PHONE, False)], ids=["mouse", "phone-no-javascript"]
)
async def test_from_sign_in_to_an_issued_handover_in_a_browser(
    city: Desk, chromium: Browser, size: tuple[int, int], javascript: bool
) -> None:
    # Not the fixture's: what it holds must be shut before the browser is.
    async with AsyncExitStack() as stack:
        await journey(city, chromium, stack, size, javascript)


async def journey(
    city: Desk, chromium: Browser, stack: AsyncExitStack, size: tuple[int, int], javascript: bool
) -> None:
    base = await stack.enter_async_context(served(city))
    wrong: list[str] = []
    viewport = {"width": size[0], "height": size[1]}
    more: Any = {"viewport": viewport, "java_script_enabled": javascript}
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
    await intake.page.get_by_label("Tidak", exact=True).check()
    await intake.press("Daftarkan")
    await intake.look("orang")
    await intake.open("Penerima manfaat")
    await intake.look("orang-semua")
    await intake.page.goto("/kegiatan/OP-TEST/impor")
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
    await approver.page.locator(".cards a").first.click()
    await approver.choose("Penanda tangan", "kepala")
    await approver.page.get_by_label("Tanggal BAST").fill("2019-10-04")
    await approver.look("sahkan")
    await approver.press("Sahkan serah terima")
    await approver.open("OP-TEST")
    await approver.page.get_by_text("Jelaskan selisih ini").first.click()
    await approver.look("selisih")
    await approver.open("Kewenangan")
    await approver.look("kewenangan")
    await approver.page.goto("/tidak-ada")
    await approver.look("tidak-ada")

    await issuer.open("Serah terima")
    await issuer.page.locator(".cards a").first.click()
    await issuer.fill("Nomor BAST", "BAST/2019/10/001")
    await issuer.press("Terbitkan")
    await expect(issuer.page.get_by_text("BAST terbit, belum berangkat")).to_be_visible()
    await issuer.look("terbit")
    if javascript:
        await issuer.page.keyboard.press("Escape")
        await issuer.page.keyboard.press("Escape")
        await expect(issuer.page).to_have_url(f"{base}/static/kosong.html")
    assert wrong == []
