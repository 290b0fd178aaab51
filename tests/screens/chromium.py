"""A real browser before offices: visitors who look at each page with axe, by mouse or by keys.

Fails in CI where there is no chromium, and skips elsewhere: `apt-get install chromium`. With
`PULANG_SCREENSHOTS` in the environment a picture of every page is left in that folder, in three
widths for whoever has a mouse. Those of the guides: `tests.screens.pictures`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyotp
import pytest
import uvicorn
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from shared.runtime.serve import Server
from tests.screens import pictures
from tests.system.offices import PASSWORD, Desk

CHROMIUM = Path("/usr/bin/chromium")
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCREENSHOTS = os.environ.get("PULANG_SCREENSHOTS")
WIDE, TABLET, PHONE = (
    {"width": 1280, "height": 900}, {"width": 768, "height": 1024}, {"width": 360, "height": 740}
)  # fmt: skip
MOST_TABS = 150
SECONDS = 20
"""How long a page may take on a machine that does other things too."""
expect.set_options(timeout=SECONDS * 1_000)
CALLED = {
    "intake": "petugas-data", "issuer": "penerbit", "approver": "pengesah", "auditor": "auditor-1",
    "treasurer": "bendahara", "reception": "petugas-tiba", "case_worker": "pendamping",
    "operator": "operator-1", "admin": "admin-1",
}  # fmt: skip
"""What the accounts are called, role by role: a picture shows it."""


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[str]:
    """The office's app on a port of the loopback address."""
    config = uvicorn.Config(
        desk.app, port=0, lifespan="off", log_level="error", timeout_graceful_shutdown=1
    )
    server = Server(config)
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

    device: ClassVar[dict[str, Any]] = {"viewport": WIDE}
    """What the browser runs on, or is told that it does."""
    widths: ClassVar[tuple[dict[str, int], ...]] = (PHONE, TABLET, WIDE)
    """The same page on other screens: what their width could break."""
    pictured: ClassVar[bool] = True
    """Whether the guides' pictures are of these pages."""

    page: Page
    name: str
    wrong: list[str]
    """What is the matter with the pages, of all visitors together."""
    seen: list[str] = field(default_factory=list)

    @property
    def javascript(self) -> bool:
        return bool(self.device.get("java_script_enabled", True))

    async def look(self, name: str) -> None:
        await self.settle()
        await expect(self.page.locator("h1")).to_be_visible()
        await self.page.wait_for_load_state("load")  # With its style sheet.
        await self.examine(name)

    async def examine(self, name: str) -> None:
        """The page as it stands, also while a form waits."""
        self.seen.append(name)
        if await self.page.get_by_text("UNEXPECTED", exact=True).count():
            self.wrong.append(f"{name}: the office failed")
        if self.javascript:
            await self.page.evaluate(AXE)
            await self._ask_axe(name)
        for size in self.widths:
            await self.page.set_viewport_size(size)  # type: ignore[arg-type]
            await self._fits(name)

    async def picture(self, name: str, of: str = "main", width: int = 720) -> None:
        """One of a guide's pictures: made anew, or compared with the page that is open."""
        if not self.pictured:
            return
        await self.settle()
        await self.page.wait_for_load_state("load")
        size = self.page.viewport_size or {}
        await self.page.set_viewport_size({"width": width, "height": PHONE["height"]})
        if (found := await pictures.stale(self.page, name, of)) is not None:
            self.wrong.append(found)
        await self.page.set_viewport_size(size)  # type: ignore[arg-type]

    async def settle(self) -> None:
        """A form that a script sends has led on, or come back."""
        busy = self.page.locator("form[aria-busy]")
        await expect(busy).to_have_count(0, timeout=SECONDS * 1_000)

    async def _ask_axe(self, name: str) -> None:
        # It works with promises, which stand still where JavaScript is off.
        found = await self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", RULES
        )
        for one in found["violations"]:
            self.wrong.append(f"{name}: {one['id']} {[n['target'] for n in one['nodes']]}")

    async def _fits(self, name: str) -> None:
        """Nothing scrolls sideways, and all that is pressed is 44 px high and wide."""
        wider = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if wider > 0:
            self.wrong.append(f"{name}: scrolls sideways by {wider} px")
        small = await self.page.evaluate(
            "[...document.querySelectorAll('a, button, summary, select, input:not([type=hidden])')]"
            ".filter(e => e.checkVisibility() && !e.closest('p:not(.crumb), .hint, .tick, svg')"
            " && Math.min(e.getBoundingClientRect().height, e.getBoundingClientRect().width) < 43.5"
            " && e.getBoundingClientRect().left >= 0)"
            ".map(e => e.outerHTML.slice(0, 120))"
        )
        self.wrong += [f"{name}: smaller than 44 px: {one}" for one in small]
        if SCREENSHOTS:
            width = (self.page.viewport_size or {})["width"]
            path = Path(SCREENSHOTS) / f"{self.name}-{len(self.seen):02}-{name}-{width}.png"
            await self.page.screenshot(path=path, full_page=True)

    async def open(self, link: str) -> None:
        await self.go(self.page.get_by_role("link", name=re.compile(link)).first)

    async def go(self, where: Locator) -> None:
        """Follows a link, or opens what is folded."""
        await self.settle()
        await where.click()

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button, exact=True).click()
        await self.settle()

    async def fill(self, label: str, text: str) -> None:
        await self.fill_in(self.page.get_by_label(label, exact=True), text)

    async def fill_in(self, where: Locator, text: str) -> None:
        await where.fill(text)

    async def choose(self, label: str, value: str) -> None:
        await self.page.get_by_label(label, exact=True).select_option(value)

    async def check(self, label: str) -> None:
        await self.page.get_by_label(label, exact=True).check()

    async def sign_in(self, username: str, password: str, totp_secret: str | None) -> None:
        await self.page.goto("/")
        await self.fill("Nama pengguna", username)
        await self.fill("Kata sandi", password)
        if totp_secret:
            await self.fill("Kode sekali pakai", pyotp.TOTP(totp_secret).now())
        await self.press("Masuk")
        await self.look("hari-ini")

    # A city's staff, from the page that is open to an issued handover.

    async def take_in(self, willingness: str) -> None:
        """Who she is, where she goes, and that she wants to."""
        await self.fill("Inisial", "QX")
        await self.fill("Tanggal lahir", "1990-01-02")
        await self.fill("Kode wilayah asal", "35.78")
        await self.check("Tidak")
        await self.press("Daftarkan")
        await self.look("orang")
        await self.choose("Tujuan", "35")
        await self.press("Simpan tujuan")
        await self.fill("Nomor surat kesediaan", willingness)
        await self.picture("data-kesediaan")
        await self.press("Simpan surat")
        await expect(self.page.get_by_text("ya, ada suratnya")).to_be_visible()

    async def draft(self, departure: str) -> None:
        """Up to the choice of who goes along."""
        await self.open("siap diserahterimakan")
        await self.look("rancang")
        await self.choose("Kantor penerima", "35")
        await self.fill("Rencana berangkat", departure)
        await self.fill("Sarana angkutan", "KM Contoh")
        await self.press("Lanjut: pilih orangnya")
        await self.look("pilih")
        await self.picture("penerbit-pilih")

    async def submit(self, number: int) -> str:
        """With everybody who may go along, so many; gives the handover's code."""
        await self.press(f"Masukkan semua {number} orang")
        await self.look("periksa")
        await self.picture("penerbit-periksa")
        handover = re.split("[/?]", self.page.url)[4]
        await self.press("Ajukan untuk disahkan")
        return handover

    async def approve(self, handover: str, signatory: str, deed_date: str) -> None:
        await self.open("Menunggu pengesahan Anda")
        await self.look("serah-terima")
        await self.open(handover)
        await self.choose("Penanda tangan", signatory)
        await self.fill("Tanggal BAST", deed_date)
        await self.look("sahkan")
        await self.picture("pengesah-sahkan")
        await self.press("Sahkan serah terima")

    async def issue(self, handover: str, deed_number: str) -> None:
        await self.open("Serah terima")
        await self.open(handover)
        await self.fill("Nomor BAST", deed_number)
        await self.picture("penerbit-terbitkan")
        await self.press("Terbitkan")
        await expect(self.page.get_by_text("BAST terbit, belum berangkat")).to_be_visible()
        await self.look("terbit")


class ByTouch(Visitor):
    """Whoever has a phone: a finger on what is to be opened, on the width of its screen alone."""

    device: ClassVar = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
    widths = (PHONE,)
    pictured = False

    async def go(self, where: Locator) -> None:
        await self.settle()
        await where.tap()

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button, exact=True).tap()
        await self.settle()

    async def check(self, label: str) -> None:
        await self.page.get_by_label(label, exact=True).tap()


class WithoutJavaScript(Visitor):
    """Whoever's browser runs no script, on a phone."""

    device: ClassVar = {"viewport": PHONE, "java_script_enabled": False}
    widths = (PHONE,)
    pictured = False


class ByKeyboard(Visitor):
    """Who has no mouse: Tab to each thing, seen to be there, and then the keys that it takes."""

    pictured = False

    async def look(self, name: str) -> None:
        await self.settle()
        await expect(self.page.locator("h1")).to_be_visible()
        await self.page.wait_for_load_state("load")

    async def reach(self, where: Locator) -> None:
        """Tabs until it has the focus; whatever has it on the way shows that, within the window."""
        await expect(where).to_be_visible()
        wanted = await where.element_handle()
        if await self.page.evaluate("e => e === document.activeElement", wanted):
            return
        for _ in range(MOST_TABS):
            await self.page.keyboard.press("Tab")
            unseen, there, stands = await self.page.evaluate(UNSEEN, wanted)
            if not stands:
                # The page was refreshed by itself, which it does until the focus is within it.
                wanted = await where.element_handle()
            if unseen:
                self.wrong.append(f"{self.page.url}: the focus is not seen: {unseen}")
            if there:
                return
        raise AssertionError(f"{MOST_TABS} tabs do not reach {where}")

    async def go(self, where: Locator) -> None:
        await self.settle()
        await self.reach(where)
        await self.page.keyboard.press("Enter")

    async def press(self, button: str) -> None:
        await self.go(self.page.get_by_role("button", name=button, exact=True))
        await self.settle()

    async def fill_in(self, where: Locator, text: str) -> None:
        await self.reach(where)
        if await where.get_attribute("type") == "date":
            year, month, day = text.split("-")
            await self.page.keyboard.type(month + day + year)
            return
        await self.page.keyboard.press("Control+A")
        if "\n" in text:
            await self.page.keyboard.insert_text(text)  # Pasted.
        else:
            await self.page.keyboard.type(text)

    async def choose(self, label: str, value: str) -> None:
        field = self.page.get_by_label(label, exact=True)
        await self.reach(field)
        for _ in range(MOST_TABS):
            if await field.input_value() == value:
                return
            await self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{label}: no arrow leads to {value}")

    async def check(self, label: str) -> None:
        field = self.page.get_by_label(label, exact=True)
        if await field.get_attribute("type") == "radio":
            # One tab for all of them; the arrows go from one to the next.
            name = await field.get_attribute("name")
            await self.reach(self.page.locator(f"input[name={name}]").first)
            while not await field.is_checked():
                await self.page.keyboard.press("ArrowDown")
            return
        await self.reach(field)
        await self.page.keyboard.press("Space")


UNSEEN = """(wanted) => {
  const at = document.activeElement;
  if (at === document.body) return ['', false, wanted.isConnected];
  const style = getComputedStyle(at), box = at.getBoundingClientRect();
  const marked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  const within = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return [marked && within && at.tabIndex === 0 ? '' : at.outerHTML.slice(0, 120), at === wanted,
          wanted.isConnected];
}"""
"""What has the focus, where that can't be seen, or comes in another order than it stands in;
whether it is the wanted one; and whether that one still stands in the page."""


@dataclass
class Stage:
    """Offices as one browser sees them, and what is the matter with any page."""

    browser: Browser
    stack: AsyncExitStack
    kind: type[Visitor] = Visitor
    wrong: list[str] = field(default_factory=list)
    _bases: dict[int, str] = field(default_factory=dict)
    _known: dict[tuple[int, str], Visitor] = field(default_factory=dict)

    async def come(self, base: str, name: str) -> Visitor:
        """Somebody with a browser of her own before that address."""
        context = await self.browser.new_context(base_url=base, **self.kind.device)
        self.stack.push_async_callback(context.close)
        visitor = self.kind(await context.new_page(), name, self.wrong)
        visitor.page.set_default_timeout(SECONDS * 1_000)
        return visitor

    async def enter(self, desk: Desk, role: str) -> Visitor:
        """Whoever has that role there, with a new account, signed in once."""
        if id(desk) not in self._bases:
            self._bases[id(desk)] = await self.stack.enter_async_context(served(desk))
        if (there := (id(desk), role)) not in self._known:
            visitor = self._known[there] = await self.come(self._bases[id(desk)], role)
            account = await desk.account(CALLED[role], role)
            await visitor.sign_in(CALLED[role], PASSWORD, account.totp_secret)
        return self._known[there]


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


@pytest.fixture
async def stage(chromium: Browser) -> AsyncIterator[Stage]:
    """The last of a test's arguments: it is shut before the offices are, and the browser after."""
    async with AsyncExitStack() as stack:
        yield Stage(chromium, stack)
