"""From an announced handover to a closed case by forms alone, as a province's staff do it."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import Any

from services.province.service import SERVICE
from services.province.web.commands import COMMANDS
from services.province.web.imports import IMPORTS
from shared.runtime.sheets import read_xlsx
from tests.screens.browser import Browser, signed_in
from tests.system import story
from tests.system.offices import Desk, eventually


async def handed_over(city: Desk, province: Desk, number: int) -> list[str]:
    """People whom the city has announced to the province."""
    await story.open_operation(city)
    persons = await story.register(
        city, *(story.intake_row(name=f"Contoh {n}") for n in range(number))
    )
    await story.draft(city, persons)
    await story.issue(city)
    await story.expected(province)
    return persons


async def entries(province: Desk) -> dict[str, dict[str, Any]]:
    found = await province.get("auditor", "/arrivals/HO-1")
    return {one["person"]: one for one in found["entries"]}


HERE = "/kedatangan/HO-1"


def test_every_command_of_the_office_is_reached_from_a_screen() -> None:
    reached = {act.command for screen in SERVICE.screens for act in screen.acts.values()}
    assert {route.path for route in COMMANDS + IMPORTS} - reached == set()


async def test_arrivals_are_answered_in_sittings_and_undone_by_correction(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    admin = await stack.enter_async_context(signed_in(province, "admin-satu", "admin"))
    reception = await stack.enter_async_context(signed_in(province, "penerima", "reception"))
    assert "Tidak ada yang menunggu Anda" in (await reception.open("/")).text
    assert "Belum ada serah terima" in (await reception.open("/kedatangan")).text
    one, two, three, four = await handed_over(city, province, 4)
    assert "HO-1: jawab siapa yang tiba" in (await reception.open("/")).text
    waiting = await reception.open("/kedatangan")
    assert "dari Kota Kupang (53.71) · 4 orang" in waiting.text
    assert '<strong class="tag">Diharapkan tiba' in waiting.text
    assert "Belum ada rumah singgah" in (await reception.open(HERE)).text
    house = {"house": "RS-1", "name": "Rumah contoh", "capacity": "2"}
    page = await admin.step("/rumah-singgah", "open", **house)
    assert "Daya tampung 2" in page.text
    assert "2 tempat kosong" in (await reception.open("/rumah-singgah")).text

    # The row's own form: one tap opens it, another sends it.
    page = await reception.open(HERE)
    rows = re.findall(r"<h3>(PM-\w+)</h3>", page.text)
    assert set(rows) == {one, two, three, four}
    sent = await reception.submit(page, "arrive", person=one, willing="ya")
    assert sent.headers["location"].startswith(f"{HERE}?rumah=RS-1&baru={one}&tersimpan=arrive")
    page = await reception.open(sent.headers["location"])
    assert f"{one}: tiba." in page.text
    assert "3 dari 4 orang belum dijawab" in page.text
    size = await province.size()
    assert (await reception.submit(page, "arrive", person=one, willing="ya")).status_code == 303
    assert await province.size() == size, "to acknowledge twice is to acknowledge once"

    # The others, with a reason or an office.
    away = f"{HERE}?orang={two}"
    refused = await reception.submit(await reception.open(away), "answer", outcome="absent")
    assert refused.status_code == 409
    assert "Sebab ketidakhadiran" in refused.text
    page = await reception.step(away, "answer", outcome="absent", absence="left_in_transit")
    assert "tidak tiba: pergi dalam perjalanan" in page.text
    page = await reception.step(
        f"{HERE}?orang={three}", "answer", outcome="diverted", diverted_to="53"
    )
    assert "dialihkan: Nusa Tenggara Timur (53)" in page.text

    # She came after all: the correction names the answer that it corrects.
    page = await reception.open(away)
    assert "Koreksi jawaban ke-1" in page.text
    now = {"outcome": "arrived", "willing": "tidak", "house": "RS-1"}
    page = await reception.step(away, "correct", reason="Kapal berikutnya", **now)
    assert f"{two}: tiba." in page.text
    assert "Kapal berikutnya" not in page.text
    shown = (await reception.open(f"{HERE}?keadaan=arrived")).text
    assert "keadaan=arrived&amp;rumah=RS-1#daftar" in shown.replace("&rumah", "&amp;rumah")
    assert 'aria-current="true"><strong>2</strong> tiba' in shown
    assert "Hanya yang: tiba." in shown
    assert "Hanya yang:" not in (await reception.open(HERE)).text
    found = await entries(province)
    assert {person: (found[person]["state"], found[person]["answer"]) for person in found} == {
        one: ("arrived", 1), two: ("arrived", 2), three: ("diverted", 1), four: ("expected", 0),
    }  # fmt: skip

    # The house is full: the reason goes on record with whoever it was for.
    assert "penuh" in (await reception.open(HERE)).text
    last = f"{HERE}?orang={four}"
    full = await reception.submit(await reception.open(last), "answer", **now)
    assert full.status_code == 409
    assert "HOUSE_FULL" in full.text
    await reception.step(last, "answer", override_reason="Hanya untuk malam ini", **now)
    page = await reception.open("/rumah-singgah")
    assert "Penuh" in page.text
    assert "1 dengan alasan melebihi daya tampung" in page.text
    whole = await reception.open(HERE)
    assert "pengakuan kedatangan (PDF)" in whole.text
    assert '<strong class="tag">Semua sudah dijawab' in whole.text
    assert '<strong class="tag">Semua sudah dijawab' in (await reception.open("/kedatangan")).text
    assert f">{one}<" in (await reception.open(f"{HERE}?keadaan=arrived")).text
    assert f">{one}<" not in (await reception.open(f"{HERE}?keadaan=diverted")).text
    assert "Tidak ada kode ini" in (await reception.open(f"{HERE}?cari=PM-0000000000")).text


async def test_who_came_unlisted_gets_a_code_and_a_handover_is_declined_with_its_consequence(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    reception = await stack.enter_async_context(signed_in(province, "penerima", "reception"))
    await handed_over(city, province, 1)
    await story.open_house(province)
    page = await reception.step(
        f"{HERE}/tidak-terdaftar",
        "unlisted",
        initials="QX",
        name="Contoh Tak Terduga",
        born="1991-02-03",
        willing="ya",
    )
    code = page.url.path.rpartition("/")[2]
    assert code.startswith("PM-")
    assert "Tulis kode ini pada berkasnya" in page.text
    assert "Contoh Tak Terduga" not in page.text
    assert (await entries(province))[code]["state"] == "unlisted"
    page = await reception.step(f"{HERE}?orang={code}", "not_unlisted", reason="Tertukar orang")
    assert code not in await entries(province), "that arrival did not occur"

    page = await reception.open(HERE)
    assert "tidak menerima 1 orang ini" in page.text
    refused = await reception.submit(page, "decline", reason="capacity", explanation="")
    assert refused.status_code == 422
    assert "<details open>" in refused.text
    page = await reception.step(HERE, "decline", reason="capacity", explanation="Rumahnya penuh")
    assert "Ditolak kantor ini" in page.text
    assert "Rumahnya penuh" not in page.text
    assert "Ada yang tetap datang" in page.text
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))

    async def told() -> Any:
        page = await issuer.open("/serah-terima/HO-1")
        return page.text if "Ditolak kantor penerima" in page.text else None

    page_text = await eventually(told)
    assert "Alasan kantor penerima: daya tampung." in page_text
    assert "Tutup serah terima" not in page_text, "it is refused for one that was declined"


async def test_an_admin_assigns_and_counts_beds_without_seeing_who_and_how_many_live_where(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    """No screen gives her what the API refuses her: cases' codes, and who lives in a house."""
    admin = await stack.enter_async_context(signed_in(province, "admin-satu", "admin"))
    assert "Catat rumah singgah" in (await admin.open("/")).text
    await story.arrived(city, province)
    pages = {one: (await admin.open(one)).text for one in ("/", "/penugasan", "/rumah-singgah")}
    assert [one for one, text in pages.items() if "PM-" in text.replace("PM-7Q2M9XK4AB", "")] == []
    assert "1 kasus belum ada pekerja sosialnya" in pages["/penugasan"]
    assert "Rumah contoh" in pages["/rumah-singgah"]
    assert [one for one, text in pages.items() if "terisi" in text or "tempat kosong" in text] == []
    for address in ("/cases", "/houses"):
        headers = {"Authorization": f"Bearer {province.tokens['admin']}"}
        refused = await province.http.get(f"/api/v1{address}", headers=headers)
        assert refused.status_code == 403


async def test_a_case_goes_from_assessment_to_follow_up_with_her_wishes_first(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    worker = await stack.enter_async_context(signed_in(province, "pendamping", "case_worker"))
    other = await stack.enter_async_context(signed_in(province, "pendamping-dua", "case_worker"))
    admin = await stack.enter_async_context(signed_in(province, "admin-satu", "admin"))
    assert "Belum ada kasus" in (await worker.open("/kasus")).text
    person, second = await handed_over(city, province, 2)
    await story.open_house(province)
    for one in (person, second):
        await story.answer(province, one, story.ARRIVED)
    credit = story.CREDIT | {"person": person, "reference": "KREDIT/1"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [credit]})
    here = f"/kasus/{person}"

    assert "ambil kasusnya" in (await worker.open("/")).text
    assert person in (await worker.open("/kasus?pemegang=belum")).text
    page = await worker.open(here)
    assert page.text.index("Kehendaknya") < page.text.index("Pekerja sosialnya")
    await worker.step(here, "take")
    assert "Kasus ini dipegang pendamping." in (await other.open(here)).text
    for name in ("pendamping-dua", "pendamping"):
        await admin.step("/penugasan", "assign", person=person, worker=name)

    assert "Asesmen bersama dia" in (await worker.open("/")).text
    texts = {"potential": "Menjahit", "wish": "Usaha\nsendiri", "opportunity": "Pasar dekat"}
    page = await worker.step(here, "assess", **texts)
    assert "Menjahit" not in page.text
    page = await worker.step(here, "offer", offers="Salon\n\n Menjahit dasar \n")
    assert "Salon, Menjahit dasar" in page.text
    page = await worker.step(here, "choose")
    assert "tidak memilih diklat; itu juga pilihan" in page.text
    today = (await worker.open("/")).text
    assert "Tidak memilih diklat: lanjutkan pendampingan" in today
    assert "Tawarkan diklat" not in today, "she has chosen"
    page = await worker.step(here, "choose", chosen=["Menjahit dasar"])
    page = await worker.step(here, "complete", training="Menjahit dasar")
    assert "Selesai</dt><dd>Menjahit dasar" in page.text

    await worker.step(here, "family_declines")
    await worker.step(here, "ready")
    no = await worker.submit(await worker.open(here), "return_home", agrees="tidak")
    assert "Ia tidak setuju pulang sekarang" in no.text, "her word is asked for before the money"
    early = await worker.submit(await worker.open(here), "return_home", agrees="ya")
    assert early.status_code == 409
    assert "CAPITAL_NOT_CONFIRMED" in early.text

    async def credited() -> Any:
        return "KREDIT/1" in (await worker.open("/bantuan?jawaban=open")).text

    await eventually(credited)
    await worker.step("/bantuan?jawaban=open", "dispute", reason="Belum masuk")
    page = await worker.open(here)
    assert "tidak ada di rekeningnya" in page.text
    page = await worker.step(here, "confirm")
    assert "ada di rekeningnya" in page.text
    unsure = await worker.submit(await worker.open(here), "return_home", agrees="tidak")
    assert "tanpa persetujuannya" in unsure.text
    page = await worker.step(here, "return_home", agrees="ya")
    assert "kembali ke keluarga" in page.text
    page = await worker.step(here, "follow_up", note="Usahanya berjalan")
    assert "1 kali" in page.text
    assert "Usahanya berjalan" not in page.text
    page = await worker.step(here, "close")
    assert "ditutup" in page.text
    assert "Langkah berikutnya" not in page.text
    assert (await other.open(f"/kasus?cari={person}")).text.count(f'href="{here}"') == 1

    # Each list of hers as a workbook, with codes and nothing that is sealed.
    lists = ("/kasus", "/bantuan", "/rumah-singgah", "/kedatangan", "/kedatangan/HO-1")
    for address in lists:
        link = re.search(r'href="(/api/v1/[^"]*format=xlsx)"', (await worker.open(address)).text)
        assert link, address
        answer = await worker.http.get(link[1])
        assert answer.status_code == 200, answer.text
        table = read_xlsx(answer.content)
        assert "Pasar dekat" not in str(table)
        assert [head for row in table for head in row if head[:1].islower()] == [], address
    kept = (await worker.open("/kasus?rumah=RS-1")).text
    assert "Rumah singgah RS-1" in kept
    assert '<input type="hidden" name="rumah" value="RS-1">' in kept
    auditor = await stack.enter_async_context(signed_in(province, "pemeriksa", "auditor"))
    watched = (await auditor.open(here)).text
    assert "siapa ia" not in watched, "who she is is not an auditor's to open"
    for address in (here, f"/penerima-manfaat/{person}"):
        assert f'href="/riwayat/{person}"' in (await auditor.open(address)).text
    assert 'href="/riwayat/HO-1"' in (await auditor.open(HERE)).text
    assert "/riwayat/" not in (await worker.open(here)).text

    # Another leaves when she wants to; her bed is free again.
    await worker.step(f"/kasus/{second}", "take")
    page = await worker.step(f"/kasus/{second}", "leave")
    assert "meninggalkan rumah singgah" in page.text
    assert "0 dari 10 terisi" in (await worker.open("/rumah-singgah")).text


async def looks(desk: Desk, subject: str, number: int) -> list[dict[str, Any]]:
    """The looks at a person, the newest first, once so many can be read."""

    async def known() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = await desk.get("auditor", f"/looks?subject={subject}")
        return found if len(found) >= number else None

    found: list[dict[str, Any]] = await eventually(known)
    assert len(found) == number
    return found


async def open_sealed(browser: Browser, address: str, act: str, **typed: Any) -> str:
    page = await browser.submit(await browser.open(address), act, **typed)
    assert page.headers["cache-control"] == "no-store"
    return f"{page.status_code} {page.text}"


async def test_a_credit_of_who_has_no_case_here_is_shown_and_is_nobodys_task(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    worker = await stack.enter_async_context(signed_in(province, "pendamping", "case_worker"))
    here, away = await handed_over(city, province, 2)
    await story.open_house(province)
    credits = [
        story.CREDIT | {"person": person, "reference": f"KREDIT/{n}"}
        for n, person in enumerate((here, away), 1)
    ]
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": credits})

    async def both() -> Any:
        page = (await worker.open("/bantuan")).text
        return page if "KREDIT/1" in page and "KREDIT/2" in page else None

    # Before anybody answers: the city tells no more credits of who did not arrive.
    await eventually(both)
    await story.answer(province, here, story.ARRIVED)
    absent = {"outcome": "absent", "absence": "left_in_transit"}
    await story.answer(province, away, absent)

    async def taken_in() -> Any:
        page = (await worker.open("/bantuan")).text
        return page if f'href="/kasus/{here}"' in page else None

    page = await eventually(taken_in)
    assert "KREDIT/1" in page
    assert "KREDIT/2" in page
    assert f'href="/penerima-manfaat/{away}"' in page
    assert page.count("Ia tidak mempunyai kasus di sini") == 1
    assert page.count("Pastikan ada di rekeningnya") == 1
    waiting = (await worker.open("/bantuan?jawaban=open")).text
    assert here in waiting
    assert away not in waiting
    assert "1 kredit" in waiting


async def test_what_is_sealed_opens_on_the_record_and_says_what_to_do_where_it_does_not(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    reception = await stack.enter_async_context(signed_in(province, "penerima", "reception"))
    worker = await stack.enter_async_context(signed_in(province, "pendamping", "case_worker"))
    auditor = await stack.enter_async_context(signed_in(province, "pemeriksa", "auditor"))
    (person,) = await handed_over(city, province, 1)
    await story.open_house(province)
    assert "Contoh 0" not in (await reception.open(HERE)).text
    page = await open_sealed(reception, HERE, "names")
    assert page.startswith("200")
    assert "Contoh 0" in page
    assert "<title>Daftar periksa" in page
    assert [(one["staff"], one["purpose"]) for one in await looks(province, person, 1)] == [
        ("penerima", "arrival")
    ]
    page = await open_sealed(reception, f"{HERE}/lembar", "names")
    assert "Contoh 0" in page
    await story.answer(province, person, story.ARRIVED)

    # For nothing it does not open, and for whom it is not hers the page says what to do.
    address, case = f"/penerima-manfaat/{person}", f"/kasus/{person}"
    page = await open_sealed(worker, address, "identity")
    assert page.startswith("422")
    assert 'href="#identity-purpose">Untuk apa dibuka' in page
    for place, act in ((address, "identity"), (case, "notes")):
        page = await open_sealed(worker, place, act, purpose="case_work")
        assert page.startswith("403")
        assert "Ambil kasusnya" in page
        assert "Buka akses darurat" in page
    await looks(province, person, 2)
    reason = {"reason": "Ia perlu ke rumah sakit"}
    assert "tersimpan" in (await worker.submit(await worker.open(case), "break_glass", **reason)
                           ).headers["location"]  # fmt: skip
    page = await open_sealed(worker, address, "identity", purpose="case_work")
    assert "Contoh 0" in page
    assert (await looks(province, person, 3))[0]["break_glass"].startswith("BG-")

    await worker.step(case, "take")
    texts = {"potential": "Menjahit", "wish": "<Usaha> sendiri", "opportunity": "Pasar"}
    await worker.step(case, "assess", **texts)
    page = await open_sealed(worker, case, "notes")
    assert "&lt;Usaha&gt; sendiri" in page
    shown = (await auditor.open(address)).text
    assert "Buka identitas" not in shown
    _, _, csrf = shown.partition('name="csrf" value="')
    sent = {"csrf": csrf[:64], "act": "identity", "purpose": "identity_check"}
    refused = await auditor.http.post(address, data=sent)
    assert refused.status_code == 403
    assert "Contoh 0" not in refused.text


async def test_the_city_opens_as_much_as_a_role_needs(city: Desk, stack: AsyncExitStack) -> None:
    intake = await stack.enter_async_context(signed_in(city, "petugas", "intake"))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    await story.open_operation(city)
    (person,) = await story.register(city, story.intake_row(name="Contoh Satu"))
    address = f"/penerima-manfaat/{person}"
    assert "Contoh Satu" not in (await intake.open(address)).text
    page = await open_sealed(intake, address, "identity", purpose="identity_check")
    assert "Contoh Satu" in page
    assert [one["staff"] for one in await looks(city, person, 1)] == ["petugas"]
    assert "Buka identitas" not in (await auditor.open(address)).text
    await intake.step(address, "protect")
    page = await open_sealed(intake, address, "identity", purpose="identity_check")
    assert page.startswith("403")
    assert "Buka akses darurat" in page
    await intake.step(address, "break_glass", reason="Ia perlu ke rumah sakit")
    page = await open_sealed(intake, address, "identity", purpose="identity_check")
    assert "Contoh Satu" in page
