"""The city's money by forms alone: grants with a bank's file, travel money down to the STS."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from services.city.service import SERVICE
from services.city.web.commands import TREASURER
from shared.runtime.sheets import read_xlsx
from tests import pdf
from tests.screens.browser import HTML, Browser, operation_shown, signed_in
from tests.system import story
from tests.system.offices import Desk, eventually

GRANTS, TICKETS = "/uang/OP-TEST/bantuan", "/uang/OP-TEST/tiket"
STS = "/uang/OP-TEST/sts"


async def people(city: Desk, number: int) -> list[str]:
    await operation_shown(city)
    rows = (story.intake_row(willingness=f"SPK/{n}") for n in range(number))
    return sorted(await story.register(city, *rows))


async def rows_of(browser: Browser, address: str) -> list[dict[str, Any]]:
    """What a list's link to a workbook downloads."""
    page = await browser.open(address)
    link = re.search(r'href="(/api/v1/[^"]*format=xlsx[^"]*)"', page.text)
    assert link, address
    answer = await browser.http.get(link[1].replace("&amp;", "&"))
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    return read_xlsx(answer.content)


async def imported(browser: Browser, address: str, table: str, **more: str) -> Any:
    """A table that is looked at and then imported."""
    looked_at = await browser.submit(await browser.open(address), "preview", table=table)
    assert looked_at.status_code == 200, looked_at.text
    return await browser.submit(looked_at, "import", **more)


async def test_every_money_command_has_a_form() -> None:
    money = {one.path for one in SERVICE.commands if one.roles & TREASURER}
    reached = {act.command for screen in SERVICE.screens for act in screen.acts.values()}
    assert money
    assert money <= reached


async def test_a_bank_file_is_checked_imported_and_safely_repeated(
    city: Desk, stack: AsyncExitStack
) -> None:
    one, two, three = await people(city, 3)
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    assert "bantuan belum ada kredit" in (await treasurer.open("/")).text
    template = (await treasurer.open(f"{GRANTS}/impor/contoh")).text
    assert all(code in template for code in (one, two, three)), "who waits stands in it already"
    head = "person,reference,status,amount_rupiah,credited_on,replaces,reason"
    table = "\n".join(
        [
            head,
            f"{one},BRI/1,masuk,6.000.000,2019-10-02,,",
            f"{two},BRI/2,masuk,Rp2.000.000,2019-10-02,,",
            f"{three},BRI/3,masuk,enam juta,2019-10-02,,",
        ]
    )
    page = await treasurer.submit(await treasurer.open(f"{GRANTS}/impor"), "preview", table=table)
    assert "2 dari 3 baris benar" in page.text
    assert "Jumlah (rupiah): " in page.text
    assert ">Rp6.000.000</td>" in page.text, "money is said as money"
    done = await treasurer.submit(page, "import", partial="ya")
    # The bad row is said again: that page alone knows of it.
    assert done.status_code == 200
    assert "1 hal tidak dicatat" in done.text
    assert "Baris 3: Jumlah (rupiah): harus bilangan bulat, misalnya 6000000" in done.text
    size = await city.size()
    assert (await treasurer.submit(page, "import", partial="ya")).status_code == 200
    assert await city.size() == size
    # The bank's file of the next day, with the same rows under a new key.
    good = "\n".join(table.splitlines()[:3])
    again = await imported(treasurer, f"{GRANTS}/impor", good)
    assert again.status_code == 303
    assert "semua ini sudah tercatat" in (await treasurer.open(again.headers["location"])).text
    # A rule's refusal of one row: all or nothing, unless she asks for the rest.
    other = (
        f"{head}\n{two},BRI/1,masuk,4000000,2019-10-02,,\n{three},BRI/4,masuk,6000000,2019-10-02,,"
    )
    refused = await imported(treasurer, f"{GRANTS}/impor", other)
    assert refused.status_code == 409
    assert "sudah tercatat untuk orang lain" in refused.text
    assert "Baris 1:" in refused.text
    assert "Yang Anda ketik" not in refused.text, "the table is not in its field any more"
    assert three in (await treasurer.open(f"{GRANTS}?keadaan=none")).text
    taken = await treasurer.submit(refused, "import", partial="ya")
    assert "sudah tercatat untuk orang lain" in taken.text
    assert "Tersimpan: 1 baris." in taken.text
    found = {row["Kode PM"]: row["Keadaan"] for row in await rows_of(treasurer, GRANTS)}
    assert found == {
        one: "penuh, belum dipastikan", two: "kurang dari haknya",
        three: "penuh, belum dipastikan",
    }  # fmt: skip
    only = await rows_of(treasurer, f"{GRANTS}?keadaan=partial")
    assert [row["Kode PM"] for row in only] == [two]
    assert f">{two}<" in (await treasurer.open(f"{GRANTS}?cari={two.lower()}")).text
    # In full is not confirmed yet: nobody says that all is settled.
    assert "1 orang belum beres" in (await treasurer.open("/uang")).text
    await imported(treasurer, f"{GRANTS}/impor", f"{head}\n{two},BRI/5,masuk,4000000,2019-10-02,,")
    assert "Tidak ada yang menunggu bendahara" in (await treasurer.open("/uang")).text
    assert "belum dipastikan kantornya" in (await treasurer.open(GRANTS)).text


async def test_a_credit_fails_is_sent_again_and_goes_back(
    city: Desk, stack: AsyncExitStack
) -> None:
    (one,) = await people(city, 1)
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    here = f"/penerima-manfaat/{one}/uang"
    wrong = await treasurer.submit(await treasurer.open(here), "credit", reference="BRI/1")
    assert wrong.status_code == 422
    assert 'href="#credit-credited_on">Tanggal masuk' in wrong.text
    page = await treasurer.step(here, "credit", reference="BRI/1", credited_on="2019-10-02")
    assert "penuh, belum dipastikan" in page.text
    page = await treasurer.step(here, "fail", reference="BRI/1", reason="Rekening ditutup")
    assert "gagal atau dikembalikan" in page.text
    assert "Rekening ditutup" not in page.text
    page = await treasurer.step(
        here, "credit", reference="BRI/2", credited_on="2019-10-03", replaces="BRI/1"
    )
    assert "mengganti BRI/1" in page.text
    back = {"reference": "BRI/2", "amount_rupiah": "1.000.000", "returned_on": "2019-10-05",
            "reason": "Salah jumlah"}  # fmt: skip
    page = await treasurer.step(here, "return", **back)
    assert "dikembalikan sebagian" in page.text
    assert "Rp5.000.000 tercatat masuk ke rekeningnya" in page.text
    read_only = (await auditor.open(here)).text
    assert '<form method="post" action="/penerima' not in read_only
    assert 'value="fail"' not in read_only


async def test_travel_money_is_given_spent_and_paid_back(city: Desk, stack: AsyncExitStack) -> None:
    one, two = await people(city, 2)
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))
    template = (await treasurer.open(f"{TICKETS}/cairkan/contoh")).text
    assert one in template
    table = "person,release,budget_code,amount_rupiah\n" + "\n".join(
        f"{code},SP2D/1,5.2.2,2.000.000" for code in (one, two)
    )
    assert (await imported(treasurer, f"{TICKETS}/cairkan", table)).status_code == 303
    page = await treasurer.open(TICKETS)
    assert "Diberikan Rp4.000.000 = dibelanjakan Rp0 + disetor kembali Rp0" in page.text
    assert "masih di tangan Rp4.000.000" in page.text
    assert "disetor paling lambat" in page.text
    assert one in (await treasurer.open(f"{TICKETS}/kuitansi/contoh")).text
    table = f"person,receipt,amount_rupiah\n{one},KW/1,1.750.000\n{two},KW/2,1.900.000"
    assert (await imported(treasurer, f"{TICKETS}/kuitansi", table)).status_code == 303
    here = f"/penerima-manfaat/{two}/uang"
    above = await treasurer.submit(
        await treasurer.open(here), "fare", receipt="KW/3", amount_rupiah="200.000"
    )
    assert above.status_code == 409
    assert "FARE_ABOVE_CEILING" in above.text
    correction = {"receipt": "KW/2", "amount_rupiah": "1.800.000", "reason": "Salah baca"}
    page = await treasurer.step(here, "correct", **correction)
    assert "masih di tangan Rp200.000" in page.text

    page = await treasurer.open(STS)
    assert f"{one} 250000\n{two} 200000\n" in page.text
    given = {"sts": "STS/1", "bank_validation": "VAL-1", "deposited_on": "2019-10-10"}
    bad = await treasurer.submit(
        page, "check", **given, total_rupiah="Rp450.000", shares="PM-X banyak"
    )
    assert bad.status_code == 422
    assert "baris 1 belum berbentuk kode PM lalu rupiah" in bad.text
    differs = await treasurer.submit(page, "check", **given, total_rupiah="400.000")
    assert "berselisih Rp50.000" in differs.text
    assert 'value="record"' not in differs.text
    checked = await treasurer.submit(differs, "check", total_rupiah="450.000")
    assert "tidak dapat diubah atau dibatalkan" in checked.text
    size = await city.size()
    done = await treasurer.submit(checked, "record")
    assert done.status_code == 303
    size, before = await city.size(), size
    assert size > before
    assert (await treasurer.submit(checked, "record")).status_code == 303
    assert await city.size() == size, "sent twice, recorded once"
    page = await treasurer.open(STS)
    assert "Tidak ada sisa untuk disetor" in page.text
    assert [row["Nomor STS"] for row in await rows_of(treasurer, STS)] == ["STS/1"]
    assert [row["Keadaan"] for row in await rows_of(treasurer, TICKETS)] == ["tidak ada sisa"] * 2
    assert 'value="check"' not in (await approver.open(STS)).text
    assert "Diberikan Rp4.000.000" in (await approver.open("/uang")).text

    async def printed() -> Any:
        link = re.search(r'href="([^"]*format=pdf&amp;sts=[^"]*)"', page.text)
        assert link
        answer = await treasurer.http.get(link[1].replace("&amp;", "&"))
        return answer if answer.status_code == 200 else None

    assert "STS/1" in " ".join(pdf.Read((await eventually(printed)).content).pages)


async def test_each_page_of_many_is_light(city: Desk, stack: AsyncExitStack) -> None:
    persons = await people(city, 120)
    rows = [
        {"person": one, "release": "SP2D/1", "budget_code": "5.2.2", "amount_rupiah": 2_000_000}
        for one in persons
    ]
    await city.post("treasurer", "/operations/OP-TEST/advances", {"rows": rows})
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    await city.post("issuer", "/handovers", story.DRAFT | {"handover": "HO-1"})
    choose = "/serah-terima/HO-1/pilih"
    for browser, address in (
        (treasurer, "/uang"), (treasurer, GRANTS), (treasurer, TICKETS),
        (treasurer, f"{STS}?semua=ya"), (issuer, choose), (issuer, "/kegiatan/OP-TEST/orang"),
    ):  # fmt: skip
        assert len((await browser.open(address)).content) < 50_000, address
    page = await issuer.open(f"{choose}?halaman=2")
    assert re.findall('name="persons" value="(PM-[^"]*)"', page.text) == persons[50:100]
    page = await issuer.submit(page, "add", act="add_more", persons=persons[50:52])
    assert page.headers["location"].startswith(choose)
    page = await issuer.open(page.headers["location"])
    assert "Sudah 2 orang dalam rancangan ini" in page.text
    found = await issuer.open(f"{choose}?cari={persons[119].lower()}")
    assert re.findall('name="persons" value="(PM-[^"]*)" checked', found.text) == [persons[119]]
    assert "tidak siap" in (await issuer.open(f"{choose}?cari={persons[50]}")).text
    page = await issuer.submit(page, "add_all")
    handover = await issuer.open(page.headers["location"])
    assert len(handover.content) < 50_000
    found = await city.get("auditor", "/handovers/HO-1")
    assert len(found["entries"]) == 120
    listed = await rows_of(issuer, "/serah-terima/HO-1")
    assert {row["Keadaan"] for row in listed} == {"tercantum"}
    assert len(listed) == 120


async def test_what_is_left_past_its_day_is_said(city: Desk, stack: AsyncExitStack) -> None:
    (one,) = await people(city, 1)
    row = {"person": one, "release": "SP2D/1", "budget_code": "5.2.2", "amount_rupiah": 2_000_000}
    long_ago = (city.office.clock() - timedelta(days=90)).isoformat()
    body = {"rows": [row]}
    await city.post("treasurer", "/operations/OP-TEST/advances", body)
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    assert "panjar tiket, belum ada kuitansi" in (await treasurer.open("/")).text
    async with city.office.pool.connection() as connection:
        await connection.execute("update rm_ledger.advance set since = %s", (long_ago,))
    for address in ("/", TICKETS, STS, f"/penerima-manfaat/{one}/uang"):
        assert re.search("[Ll]ewat tenggat", (await treasurer.open(address)).text), address


async def test_a_pasted_table_may_be_long_and_too_many_fields_are_called_that(
    city: Desk, stack: AsyncExitStack
) -> None:
    (one,) = await people(city, 1)
    treasurer = await stack.enter_async_context(signed_in(city, "bendahara-satu", "treasurer"))
    page = await treasurer.open(f"{TICKETS}/kuitansi")
    lines = [f"{one},KW/{n:040},1750000" for n in range(19_000)]
    table = "\n".join(["person,receipt,amount_rupiah", *lines])
    assert len(table) > 1_200_000
    answer = await treasurer.submit(page, "preview", table=table)
    assert answer.status_code == 200
    assert "19.000 dari 19.000 baris benar" in answer.text
    many: Any = {"csrf": "x", "persons": ["PM-0000000000"] * 3_000}
    answer = await treasurer.http.post(f"{TICKETS}/kuitansi", data=many, headers=HTML)
    assert answer.status_code == 422
    assert "FORM_TOO_MANY_FIELDS" in answer.text
