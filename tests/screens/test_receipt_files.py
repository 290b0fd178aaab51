"""A receipt's scanned paper by forms alone: attached, replaced, opened on the record, counted."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack

import httpx

from tests.screens.browser import HTML, Browser, form_of, signed_in
from tests.screens.test_erased import ERASED, erase
from tests.screens.test_reasons import opened as reason_opened
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_receipt_files import JPEG, MIB, PDF, RECEIPT, travelled

TICKETS = "/uang/OP-TEST/tiket"


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found
    return found[1]


async def send(
    browser: Browser, page: httpx.Response, content: bytes | None, **typed: str
) -> httpx.Response:
    """The form as a browser sends it; without a file chosen its part is empty."""
    to, fields = form_of(page, "attach")
    name = "Siti Contoh.pdf" if content else ""
    return await browser.http.post(
        to, data=fields | typed, files={"file": (name, content or b"")}, headers=HTML
    )


async def test_a_receipts_file_is_attached_replaced_and_opened_on_the_record(
    city: Desk, stack: AsyncExitStack
) -> None:
    person, _ = await travelled(city, 2)
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    here = f"/penerima-manfaat/{person}/uang"
    assert "2 kuitansi belum ada berkasnya" in (await treasurer.open(TICKETS)).text
    page = await treasurer.open(here)
    assert "Belum ada berkas" in page.text
    assert 'value="receipt_file"' not in page.text, "there is nothing to open yet"
    for content, said in ((None, "wajib diisi"), (b"GIF89a", "isinya bukan PDF, JPEG atau PNG")):
        wrong = await send(treasurer, page, content)
        assert wrong.status_code == 422
        assert 'href="#attach-file">Berkas' in wrong.text
        assert f'id="attach-file-wrong">{said}' in wrong.text
    photo = await send(treasurer, wrong, JPEG + bytes(5 * MIB))
    assert photo.status_code == 413, photo.text
    assert "BODY_TOO_LONG" in photo.text
    done = await send(treasurer, wrong, PDF)
    assert done.status_code == 303, done.text
    size = await city.size()
    assert (await send(treasurer, wrong, PDF)).status_code == 303
    assert await city.size() == size, "sent twice, attached once"
    page = await treasurer.open(done.headers["location"])
    assert "Tersimpan" in page.text
    assert "Berkas terlampir, 1 kB, PDF" in page.text
    assert "Siti" not in page.text
    assert "1 kuitansi belum ada berkasnya" in (await treasurer.open(TICKETS)).text
    refused = await send(treasurer, page, JPEG)
    assert "RECEIPT_HAS_FILE" in refused.text
    done = await send(treasurer, refused, JPEG, reason="Salah pindai")
    page = await treasurer.open(done.headers["location"])
    assert "Berkas terlampir, 1 kB, JPEG" in page.text
    assert "Salah pindai" not in page.text
    what = f"Berkas kuitansi {RECEIPT} untuk {person} dilampirkan"
    assert "Salah pindai" in await reason_opened(approver, here, what)

    size = await city.size()
    unsaid = await approver.submit(await approver.open(here), "receipt_file")
    assert unsaid.status_code == 422
    assert 'href="#receipt_file-purpose"' in unsaid.text
    assert await city.size() == size, "nothing opened, nothing on record"
    opened = await approver.submit(unsaid, "receipt_file", purpose="receipt")
    assert (opened.status_code, opened.content) == (200, JPEG)
    assert opened.headers["content-disposition"] == 'attachment; filename="lampiran.jpg"'
    assert await city.size() == size + 1

    async def seen() -> bool:
        page = (await auditor.open("/pembukaan")).text
        return "berkas kuitansi" in page and "pemeriksaan kuitansi" in page

    assert await eventually(seen)
    told = (await auditor.open(f"/riwayat/{person}")).text
    assert f"Berkas kuitansi {RECEIPT} untuk {person} dilampirkan" in told
    closed = (await auditor.open(here)).text
    assert "Berkas terlampir, 1 kB, JPEG" in closed
    assert 'value="receipt_file"' not in closed
    assert 'value="attach"' not in closed
    # A form for it that she makes herself opens nothing.
    made = {"csrf": csrf_of(await auditor.open(here)), "act": "receipt_file", "receipt": RECEIPT}
    answer = await auditor.http.post(here, data=made | {"purpose": "receipt"}, headers=HTML)
    assert answer.status_code == 403
    assert "ROLE_MISSING" in answer.text


async def test_both_languages_say_what_became_of_a_file(city: Desk, stack: AsyncExitStack) -> None:
    (person,) = await travelled(city)
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    here = f"/penerima-manfaat/{person}/uang"
    page = await treasurer.open(here)
    await treasurer.http.post("/bahasa", data={"to": "en", "here": here, "csrf": csrf_of(page)})
    page = await treasurer.open(here)
    assert "No file yet" in page.text
    wrong = await send(treasurer, page, b"GIF89a")
    assert "it is no PDF, JPEG or PNG" in wrong.text
    done = await send(treasurer, wrong, PDF)
    assert "File attached, 1 kB, PDF" in (await treasurer.open(done.headers["location"])).text
    assert "receipts without a file" not in (await treasurer.open(TICKETS)).text


async def test_who_was_erased_is_asked_for_no_file_and_no_reason_beside_her_money(
    city: Desk, stack: AsyncExitStack
) -> None:
    gone, other = await travelled(city, 2)
    credits_ = [
        story.CREDIT | {"person": one, "reference": f"KREDIT/{n}"}
        for n, one in enumerate((gone, other))
    ]
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": credits_})
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    await send(treasurer, await treasurer.open(f"/penerima-manfaat/{gone}/uang"), PDF)
    await erase(city, gone)
    page = (await treasurer.open(f"/penerima-manfaat/{gone}/uang")).text
    assert ERASED in page
    theirs = (await treasurer.open(f"/penerima-manfaat/{other}/uang")).text
    for act in ("attach", "correct", "fail", "return"):
        assert f'name="act" value="{act}"' not in page
        assert f'name="act" value="{act}"' in theirs
    assert "KREDIT/0" in page, "what was paid remains"
    assert RECEIPT in page
