"""What is returned, withdrawn, corrected or explained, by forms alone."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.screens.browser import signed_in
from tests.system import story
from tests.system.offices import Desk


async def test_a_handover_is_returned_thinned_out_and_withdrawn(
    city: Desk, stack: AsyncExitStack
) -> None:
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))
    await story.open_operation(city)
    persons = await story.register(
        city, *(story.intake_row(willingness=f"SPK/{n}") for n in range(3))
    )
    await story.draft(city, persons)
    here = "/serah-terima/HO-1"
    await issuer.step(here, "submit")
    refused = await approver.submit(await approver.open(here), "return", reason="")
    assert refused.status_code == 422
    assert 'href="#return-reason">Alasan:' in refused.text
    assert "<details open>" in refused.text
    page = await approver.step(here, "return", reason="Periksa daftarnya")
    assert "Rancangan" in page.text
    # Who drafted it is told that it came back, and reads why.
    page = await issuer.open(here)
    assert "Dikembalikan oleh pengesah." in page.text
    assert "Periksa daftarnya" not in page.text
    assert "Periksa daftarnya" in (await issuer.submit(page, "why")).text
    page = await issuer.step(here, "take_off", person=persons[0], reason="Belum siap")
    assert "ditarik" in page.text
    await issuer.step(here, "submit")
    signed = {"signatory": "kepala", "deed_date": "2020-01-01"}
    page = await approver.open(here)
    assert ">Plt. Kepala Dinas (kepala, SK/1" in page.text
    late = await approver.submit(page, "approve", **signed)
    assert late.status_code == 409
    assert "AUTHORITY_NOT_VALID" in late.text
    assert late.text.count("tidak berwenang pada tanggal 1-1-2020.") == 1
    await approver.step(here, "approve", **signed | {"deed_date": "2019-10-04"})
    await issuer.step(here, "issue", deed_number="BAST/1")
    page = await issuer.step(here, "depart")
    assert "Menunggu jawaban kantor penerima" in page.text
    page = await issuer.step(here, "stay", reason="Kapal tidak berangkat")
    assert "BAST terbit, belum berangkat" in page.text
    assert "2 orang kembali menunggu." in page.text, "who was taken off does not come back by it"
    page = await issuer.step(here, "withdraw", reason="Dibatalkan")
    assert "Serah terima ini ditarik." in page.text
    assert "Masukkan semua" in (await issuer.open("/serah-terima/HO-1/pilih")).text


async def test_a_discrepancy_is_explained_and_stays_in_sight(
    city: Desk, stack: AsyncExitStack
) -> None:
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))
    await story.open_operation(city)
    await story.register(city, story.intake_row(destination=None))
    assert "selisih yang belum dijelaskan" in (await approver.open("/")).text
    page = await approver.step("/kegiatan/OP-TEST", "explain", explanation="Tujuan dicari")
    assert "1 orang belum mempunyai tujuan" in page.text
    assert "Sudah dijelaskan" in page.text
    assert "Isinya tersegel" in page.text
    assert "Tujuan dicari" not in page.text
    assert "Tidak ada yang menunggu Anda" in (await approver.open("/")).text


async def test_a_person_takes_her_willingness_back_or_goes_to_the_protection_path(
    city: Desk, stack: AsyncExitStack
) -> None:
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    await story.open_operation(city)
    one, other = await story.register(
        city, *(story.intake_row(willingness=f"SPK/{n}") for n in range(2))
    )
    await story.draft(city, [one, other])
    page = await intake.step(f"/penerima-manfaat/{one}", "unwilling")
    assert "belum ada surat" in page.text
    await intake.step(f"/penerima-manfaat/{other}", "protect")
    found = await city.get("auditor", "/handovers/HO-1")
    assert {entry["state"] for entry in found["entries"]} == {"withdrawn"}


async def test_an_authority_ends_on_a_day_of_its_own_and_not_before(
    city: Desk, stack: AsyncExitStack
) -> None:
    admin = await stack.enter_async_context(signed_in(city, "admin-satu", "admin"))
    await story.open_operation(city)
    said = {"signatory": "kepala", "decree": "SK/1"}
    page = await admin.open("/kewenangan")
    assert "Plt. Kepala Dinas" in page.text
    assert "Plt Plt" not in page.text
    refused = await admin.submit(page, "end", valid_until="2019-08-31", **said)
    assert refused.status_code == 409
    assert "baru dimulai sesudah 31-8-2019" in refused.text
    assert "AUTHORITY_DATES_INVERTED" in refused.text
    assert "<details open>" in refused.text
    page = await admin.step("/kewenangan", "end", valid_until="2019-10-10", **said)
    assert "Kamis, 10 Oktober 2019" in page.text
