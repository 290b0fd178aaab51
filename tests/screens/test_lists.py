"""Lists a page at a time, tables that are looked at before they are imported, and English."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack

from services.city.service import SERVICE
from services.city.web.imports import CreditRow, FareRow, IntakeRow, ReleaseRow
from services.city.web.screens.tables import HEADINGS
from shared.runtime.screens.rendering import environment
from shared.runtime.sheets import to_xlsx
from tests.screens.browser import HTML, form_of, operation_shown, signed_in
from tests.system import story
from tests.system.offices import Desk

HEADER = "initials,origin,birth_date,sign_of_trafficking,destination,willingness"


async def test_a_long_list_comes_by_the_page_and_is_searched_by_code(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    persons = await story.register(
        city, *(story.intake_row(willingness=f"SPK/{n}") for n in range(60))
    )
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    people = "/kegiatan/OP-TEST/orang"
    first = (await auditor.open(f"{people}?tujuan=35&keadaan=assigned")).text
    assert len(re.findall(r'href="/penerima-manfaat/PM-', first)) == 50
    assert "1 sampai 50 dari 60" in first
    following = re.search(r'href="(\?[^"]*)" rel="next"', first)
    assert following
    second = (await auditor.open(people + following[1].replace("&amp;", "&"))).text
    assert len(re.findall(r'href="/penerima-manfaat/PM-', second)) == 10
    shown = set(re.findall(r"PM-[0-9A-Z]{10}", first + second))
    assert set(persons) <= shown
    found = (await auditor.open(f"{people}?cari={persons[7].lower()}")).text
    assert re.findall(r'href="/penerima-manfaat/(PM-\w+)"', found) == [persons[7]]
    assert "Tidak ada kode ini" in (await auditor.open(f"{people}?cari=PM-X")).text
    for odd in ("0", "-1", "99999999999999999999", "x", "²"):
        await auditor.open(f"{people}?halaman={odd}")
    # Nobody's initials stand on a list.
    assert ">AB<" not in first


async def test_a_table_is_looked_at_before_it_is_imported(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    address = "/kegiatan/OP-TEST/impor"
    before = await city.size()
    page = await intake.open(address)
    lines = [
        HEADER,
        "AB,35.78,1990-01-02,tidak,35,SPK/1",
        "CD,99,1990-01-02,tidak,35,SPK/2",
        "EF,35.78,kemarin,tidak,35,SPK/3",
    ]
    looked_at = await intake.submit(page, "preview", table="\n".join(lines))
    assert looked_at.status_code == 200
    assert "1 dari 3 baris benar" in looked_at.text
    assert "kode provinsi 99 tidak dikenal" in looked_at.text
    assert await city.size() == before
    done = await intake.submit(looked_at, "import", partial="ya")
    assert "2 hal tidak dicatat" in done.text, "what was wrong is said where the rest is recorded"
    (code,) = {
        one["person"] for one in await city.get("intake", "/operations/OP-TEST/beneficiaries")
    }
    assert f'<a href="/penerima-manfaat/{code}">{code}</a>' in done.text
    assert '<th scope="row">1</th><td data-label="Inisial">AB</td>' in done.text
    size = await city.size()
    assert size > before
    again = await intake.submit(looked_at, "import", partial="ya")
    assert "2 hal tidak dicatat" in again.text
    assert await city.size() == size, "the same import again changes nothing"

    semicolons = "\n".join(line.replace(",", ";") for line in lines[:2])
    looked_at = await intake.submit(page, "preview", table=semicolons.replace("SPK/1", "SPK/8"))
    assert "1 dari 1 baris benar" in looked_at.text, "as Indonesian spreadsheets save it"
    tabs = "\n".join(line.replace(",", "\t") for line in lines[:2])
    looked_at = await intake.submit(page, "preview", table=tabs.replace("SPK/1", "SPK/9"))
    assert "1 dari 1 baris benar" in looked_at.text
    row = dict(zip(HEADER.split(","), lines[1].replace("SPK/1", "SPK/7").split(","), strict=True))
    to, fields = form_of(page, "preview")
    for name, content in (
        ("a.xlsx", to_xlsx([row], "Daftar")),
        ("a.csv", "\n".join(lines[:2]).encode()),
    ):
        answer = await intake.http.post(
            to, data={**fields, "table": ""}, files={"file": (name, content)}, headers=HTML
        )
        assert "1 dari 1 baris benar" in answer.text, name
    assert (await intake.submit(page, "preview", table="")).status_code == 422
    template = await intake.open(f"{address}/contoh")
    looked_at = await intake.submit(page, "preview", table=template.text)
    assert "1 dari 1 baris benar" in looked_at.text, "the template is itself a good table"
    assert "Inisial" in template.text, "in words, not in the API's names"


async def test_a_day_is_read_day_first_and_said_in_words_before_it_is_imported(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    page = await intake.open("/kegiatan/OP-TEST/impor")
    days = ("02/01/1990", "2/1/1990", "02-01-1990", "2.1.1990", "1990-01-02", "31/12/1990",
            "12/31/1990", "30/2/1990", "2/1/90", "86400", "1990/01/02")  # fmt: skip
    lines = [HEADER, *(f"AB,35.78,{day},tidak,35,SPK/{n}" for n, day in enumerate(days))]
    looked_at = await intake.submit(page, "preview", table="\n".join(lines))
    assert "6 dari 11 baris benar" in looked_at.text
    assert looked_at.text.count("2 Januari 1990") == 5, "a swapped day and month are seen"
    assert "31 Desember 1990" in looked_at.text
    assert looked_at.text.count("tanggal ini tidak ada") == 2
    assert looked_at.text.count("tulis hari/bulan/tahun") == 3
    done = await intake.submit(looked_at, "import", partial="ya")
    assert "5 hal tidak dicatat" in done.text
    (first, *_) = await city.get("intake", "/operations/OP-TEST/beneficiaries")
    address = f"/beneficiaries/{first['person']}/identity"
    assert (await city.look("intake", address))["born"] in ("1990-01-02", "1990-12-31")

    # The form and the API's own file take the same.
    row = "\n".join([HEADER, "AB,35.78,3/4/1991,tidak,35,SPK/20"]).encode()
    sent = await city.send(
        "intake",
        "/operations/OP-TEST/beneficiaries",
        content=row,
        headers={"Content-Type": "text/csv"},
    )
    person = sent.json()["rows"][0]["person"]
    seen = await city.look("intake", f"/beneficiaries/{person}/identity")
    assert seen["born"] == "1991-04-03"


async def test_who_goes_where_no_partner_is_is_taken_in_and_everybody_is_told(
    city: Desk, stack: AsyncExitStack
) -> None:
    """Rule 2: nobody is lost for where her home is. No handover can take her there yet."""
    await operation_shown(city)
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    lines = [
        HEADER,
        "AB,35.78,1990-01-02,tidak,35,SPK/1",
        "CD,32.73,1990-01-02,tidak,32,SPK/2",
    ]
    page = await intake.open("/kegiatan/OP-TEST/impor")
    looked_at = await intake.submit(page, "preview", table="\n".join(lines))
    assert looked_at.text.count("Tujuannya bukan mitra kantor ini") == 1
    done = await intake.submit(looked_at, "import")
    assert "Tersimpan: 2 baris." in done.text
    board = await intake.open("/kegiatan/OP-TEST")
    assert "Jawa Barat (32) bukan mitra kantor ini: 1 orang" in board.text
    assert "Minta operator membuat hubungan" in board.text
    for browser in (intake, issuer):
        assert "OP-TEST: tujuannya bukan kantor mitra" in (await browser.open("/")).text
    assert (
        'siap diserahterimakan</a> <span class="count">1 orang' in (await issuer.open("/")).text
    ), "only who has a partner to go to"
    found = await city.get("intake", "/operations/OP-TEST/beneficiaries")
    persons = {one["destination"]: one["person"] for one in found}
    told = "ia belum dapat diserahterimakan ke sana"
    assert told in (await intake.open(f"/penerima-manfaat/{persons['32']}")).text
    assert told not in (await intake.open(f"/penerima-manfaat/{persons['35']}")).text

    rows = [story.intake_row(destination="31"), story.intake_row(initials="CD")]
    answer = await city.post("intake", "/operations/OP-TEST/beneficiaries", {"rows": rows})
    assert answer["unlinked"] == ["31"]
    answer = await city.post("intake", "/operations/OP-TEST/beneficiaries", {"rows": rows[1:]})
    assert "unlinked" not in answer


async def test_a_statement_that_stands_twice_in_a_table_is_remarked_and_not_refused(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    page = await intake.open("/kegiatan/OP-TEST/impor")
    numbers = ("SPK/1", "SPK/2", "SPK/1", "", "")
    lines = [HEADER, *(f"AB,35.78,1990-01-02,tidak,35,{number}" for number in numbers)]
    looked_at = await intake.submit(page, "preview", table="\n".join(lines))
    assert "5 dari 5 baris benar" in looked_at.text
    assert looked_at.text.count("ada lebih dari sekali dalam tabel") == 2
    done = await intake.submit(looked_at, "import")
    assert "Tersimpan: 5 baris." in done.text
    assert "hal tidak dicatat" not in done.text
    found = await city.get("intake", "/operations/OP-TEST/beneficiaries")
    assert all(f">{one['person']}</a>" in done.text for one in found)


def test_tables_name_their_columns_as_the_screens_do() -> None:
    fields = environment(SERVICE.templates, "Asia/Makassar").get_template("fields.html").module
    assert {name: str(fields.column(name)) for name in HEADINGS} == HEADINGS  # type: ignore[attr-defined]
    for model in (IntakeRow, CreditRow, ReleaseRow, FareRow):
        assert set(model.model_fields) <= set(HEADINGS)


async def test_english_is_a_switch_and_leads_back(city: Desk, stack: AsyncExitStack) -> None:
    await operation_shown(city)
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    page = await auditor.open("/kegiatan/OP-TEST")
    csrf = page.text.partition('name="csrf" value="')[2][:64]
    for here, leads in (("/kegiatan/OP-TEST", "/kegiatan/OP-TEST"), ("//elsewhere.example", "/")):
        sent = {"csrf": csrf, "to": "en", "here": here}
        answer = await auditor.http.post("/bahasa", data=sent, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, leads)
    english = (await auditor.open("/kegiatan/OP-TEST")).text
    assert '<html lang="en">' in english
    assert "Friday, 4 October 2019" in english or "Friday, October 4, 2019" in english
    assert "Kegiatan</a>" not in english
