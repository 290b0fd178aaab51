"""Reasons that lie sealed in the log open on the page that they are about, to whoever may."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from tests.screens.browser import Browser, form_of, signed_in
from tests.system import story
from tests.system.offices import Desk, eventually


async def opened(browser: Browser, address: str, what: str) -> str:
    """The page with the one reason opened that stands under these words."""
    page = await browser.open(address)
    assert what in page.text
    to, fields = form_of(page, "reason")
    position = page.text.partition(what)[2].partition('name="position" value="')[2]
    fields["position"] = [position.partition('"')[0]]
    answer = await browser.http.post(to, data=fields, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.text


async def looked(desk: Desk, subject: str, by: str) -> None:
    """Waits until it is on record that she read a reason."""

    async def known() -> Any:
        found = await desk.get("auditor", f"/looks?subject={subject}")
        return [one for one in found if (one["staff"], one["purpose"]) == (by, "reading_reason")]

    await eventually(known)


async def test_why_somebody_left_a_handover_and_why_it_was_withdrawn_opens_on_its_page(
    city: Desk, stack: AsyncExitStack
) -> None:
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    one, _ = await story.issued(city, 2)
    here = "/serah-terima/HO-1"
    assert "Alasan yang tersegel" not in (await issuer.open(here)).text
    await issuer.step(here, "take_off", person=one, reason="Ia sakit")
    page = await issuer.step(here, "withdraw", reason="Kapal batal")
    assert "Ia sakit" not in page.text
    assert "Kapal batal" not in page.text
    page_text = await opened(approver, here, f"{one} ditarik dari serah terima HO-1.")
    assert "Ia sakit" in page_text
    assert "Kapal batal" not in page_text, "one look opens one reason"
    await looked(city, one, "pengesah")
    assert "Kapal batal" in await opened(issuer, here, "Serah terima HO-1 ditarik.")
    assert "Alasan yang tersegel" not in (await auditor.open(here)).text
    page = await auditor.open("/kegiatan")
    csrf = page.text.partition('name="csrf" value="')[2][:64]
    sent = {"csrf": csrf, "act": "reason", "position": "1"}
    assert (await auditor.http.post(here, data=sent)).status_code == 403


async def test_why_a_fare_is_above_the_ceiling_and_a_credit_went_back_opens_beside_her_money(
    city: Desk, stack: AsyncExitStack
) -> None:
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara", "treasurer"))
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    await story.open_operation(city)
    (person,) = await story.register(city, story.intake_row())
    credit = story.CREDIT | {"person": person, "reference": "KREDIT/1"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [credit]})
    releases = [
        {"person": person, "release": f"SP2D/{n}", "budget_code": "5.2", "amount_rupiah": 2_000_000}
        for n in (1, 2)
    ]
    await city.post("treasurer", "/operations/OP-TEST/advances", {"rows": releases})
    here = f"/penerima-manfaat/{person}/uang"
    fare = {"receipt": "KW/1", "amount_rupiah": "2.500.000"}
    await treasurer.step(here, "fare", **fare, override_reason="Hanya kelas satu")
    back = {"reference": "KREDIT/1", "amount_rupiah": "1.000.000", "returned_on": "2019-10-05"}
    page = await treasurer.step(here, "return", **back, reason="Keliru jumlah")
    assert "Hanya kelas satu" not in page.text
    assert "Keliru jumlah" not in page.text
    assert "Hanya kelas satu" in await opened(treasurer, here, "Tiket Rp2.500.000")
    assert "Keliru jumlah" in await opened(treasurer, here, "dari KREDIT/1")
    await looked(city, person, "bendahara")

    # Her own word is intake's to open.
    hers = f"/penerima-manfaat/{person}"
    await intake.step(hers, "unwilling", reason="Ingin tinggal dahulu")
    assert "Ingin tinggal dahulu" in await opened(intake, hers, "menarik kesediaannya")
    assert "Alasan yang tersegel" not in (await treasurer.open(hers)).text


async def test_why_a_province_declined_opens_to_its_reception(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    reception = await stack.enter_async_context(signed_in(province, "penerima", "reception"))
    worker = await stack.enter_async_context(signed_in(province, "pendamping", "case_worker"))
    await story.awaited(city, province, 1)
    here = "/kedatangan/HO-1"
    await reception.step(here, "decline", reason="capacity", explanation="Atapnya bocor")
    assert "Atapnya bocor" in await opened(reception, here, "Serah terima HO-1 ditolak")
    assert "Alasan yang tersegel" not in (await worker.open(here)).text
