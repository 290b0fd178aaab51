"""Oversight in a real browser, beyond the journeys: what an auditor lists, what an approver
decides, what an operator sees, and the public page of a paper; each looked at by axe."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.screens.chromium import Stage
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_papers import printed
from tests.system.test_parked import told_of_nobody

pytestmark = [pytest.mark.xdist_group("chromium"), pytest.mark.timeout(300)]


async def filled(city: Desk, province: Desk) -> list[str]:
    """Somebody who arrived, a difference, a look, a break-glass, two erasures, a parked message."""
    await story.open_operation(city)
    claim = {"subject": "persons", "figure": 5, "source": "laporan kota",
             "stated_by": "kepala bidang", "stated_on": "2019-10-01"}  # fmt: skip
    await city.post("issuer", "/operations/OP-TEST/claims", claim)
    row = story.intake_row(name="Contoh Orang", nik="3599990201900001")
    persons = await story.register(
        city, row, *(story.intake_row(willingness=f"SPK/{n}") for n in range(3))
    )
    await story.draft(city, persons[:2])
    await story.issue(city)
    await story.expected(province)
    await story.open_house(province)
    departed = {"occurred_at": "2019-10-04T08:00:00+08:00"}
    await city.post("issuer", "/handovers/HO-1/departure", departed)
    arrived = story.ARRIVED | {"occurred_at": "2019-10-06T09:00:00+07:00"}
    await story.answer(province, persons[0], arrived)
    reason = {"reason": "Ia dibawa ke rumah sakit"}
    await city.post("intake", f"/beneficiaries/{persons[0]}/break-glass", reason)
    await city.look("intake", f"/beneficiaries/{persons[0]}/identity")
    await city.post("intake", "/lookups", {"nik": row["nik"], "purpose": "identity_check"})
    for person in persons[2:]:
        ground = {"basis": "consent_withdrawn", "reference": "SRT/1"}
        await city.post("intake", f"/beneficiaries/{person}/erasure", ground)
    await told_of_nobody(province, "ready")
    await story.parked(city)
    return persons


LISTS = (
    "penghapusan", "penahanan", "masa-simpan", "pembukaan", "pencarian", "pembukaan-tidak-biasa",
    "tautan", "tautan/pesan",
)  # fmt: skip


async def listed(city: Desk, persons: list[str], stage: Stage) -> None:
    auditor = await stage.enter(city, "auditor")
    await auditor.page.goto("/riwayat/HO-1")
    await auditor.fill("Yang terjadi sampai", "2019-10-05T12:00:00")
    await auditor.press("Tampilkan")
    await auditor.look("riwayat-sampai")
    for address in (*LISTS, f"penghapusan/{persons[2]}"):
        await auditor.page.goto(f"/{address}")
        await auditor.look(address.replace("/", "-").replace(persons[2], "satu"))
    await auditor.page.goto("/akses-darurat")
    await auditor.page.get_by_role("button", name="Buka alasannya").click()
    await expect(auditor.page.get_by_text("Ia dibawa ke rumah sakit")).to_be_visible()
    await auditor.look("akses-darurat")
    await auditor.picture("auditor-darurat")
    await auditor.page.get_by_role("button", name="Catat temuan").click()
    await expect(auditor.page.locator("#masalah")).to_be_focused()
    await auditor.look("akses-darurat-salah")


async def test_what_is_listed_decided_tried_again_and_checked_by_the_public_in_a_browser(
    city: Desk, province: Desk, stage: Stage
) -> None:
    persons = await filled(city, province)
    paper = await printed(city, "approver", "/handovers/HO-1/deed")
    await listed(city, persons, stage)
    approver = await stage.enter(city, "approver")
    await approver.open("Usulan penghapusan data")
    await approver.open(persons[3])
    await approver.page.get_by_text("Tahan dari penghapusan").click()
    await approver.look("putuskan-penghapusan")
    await approver.fill("Tahan sampai", "2099-01-01")
    await approver.fill("Alasan hukum", "perkara berjalan")
    await approver.press("Tahan")
    await expect(approver.page.get_by_text("Datanya ditahan sampai")).to_be_visible()
    await approver.page.goto("/penahanan")
    await approver.look("tahan")
    await approver.page.goto(f"/penghapusan/{persons[2]}")
    await approver.press("Setujui penghapusan")

    async def erased() -> bool:
        await approver.page.reload()
        return await approver.page.get_by_text("Unduh surat keterangan").count() == 1

    await eventually(erased)
    await approver.look("terhapus")

    operator = await stage.enter(city, "operator")
    await operator.open("Tautan")
    await operator.picture("operator-tautan")
    await operator.page.goto("/")
    await operator.open("Pesan kantor lain yang tertahan")
    await operator.page.get_by_text("Lepaskan pesan ini").first.click()
    await operator.look("tertahan")
    await operator.picture("operator-tertahan")
    await operator.page.get_by_role("button", name="Coba lagi").first.click()
    await operator.look("tertahan-dicoba")

    intake = await stage.enter(city, "intake")
    await intake.page.goto("/usul-penghapusan")
    await intake.look("usul")

    # Whoever holds a paper, without an account.
    await intake.page.context.clear_cookies()
    await intake.page.goto("/periksa")
    await intake.look("periksa")
    await intake.fill("Isi kode pada naskah", paper.codes[0])
    await intake.press("Periksa")
    await expect(intake.page.get_by_role("heading", name="Tercatat")).to_be_visible()
    await intake.look("periksa-tercatat")
    await intake.fill("Isi kode pada naskah", paper.codes[0][:-1])
    await intake.press("Periksa")
    await intake.look("periksa-tidak-dikenal")
    assert stage.wrong == []
