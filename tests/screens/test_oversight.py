"""The auditor's, approver's and operator's screens by forms alone, at both kinds of office."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from contextlib import AsyncExitStack
from html import unescape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from services.city.service import SERVICE
from services.province.equations import FATES, STATES
from shared.runtime.screens.oversight.looking_back import CHANGED_ROWS, asked_for, dated, found_by
from shared.runtime.screens.paging import PAGE_ROWS
from shared.runtime.screens.rendering import environment
from tests.screens.browser import HTML, Browser, form_of, operation_shown, signed_in
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_parked import told_of_nobody

EAST = "kantor Jawa Timur (35)"


async def found(browser: Browser, code: str) -> httpx.Response:
    """Types a code into the search box and follows where it leads."""
    answer = await browser.http.get("/pemeriksaan", params={"kode": code}, headers=HTML)
    assert answer.status_code == 303, answer.text
    return await browser.open(answer.headers["location"])


def events(page: httpx.Response, section: str = "diketahui") -> list[str]:
    """The lines of a timeline, as text."""
    part = page.text.partition(f'aria-labelledby="{section}"')[2].partition("</section>")[0]
    items = re.findall(r"<li>\s*<p><strong>.*?</li>", part, re.S)
    return [re.sub(r"\s+", " ", re.sub(r"<.*?>", "", one)).strip() for one in items]


async def derived(auditor: Browser) -> httpx.Response:
    """The page of equations, after the button on it."""
    page = await auditor.submit(await auditor.open("/persamaan"), "derive")
    assert page.status_code == 200, page.text
    return page


def link(page: httpx.Response, words: str, number: int = 0) -> str:
    """Where a link with these words leads."""
    return unescape(re.findall(rf'href="([^"]*)"[^>]*>{re.escape(words)}', page.text)[number])


async def test_an_audit_from_question_to_evidence_by_forms_alone(
    city: Desk, province: Desk, stack: AsyncExitStack, tmp_path: Path
) -> None:
    person = await story.arrived(city, province)
    await story.in_sync(city, province)
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    there = await stack.enter_async_context(signed_in(province, "pemeriksa", "auditor"))

    # The question: how did she come there, and who says so? Each page leads to its history.
    pages = {"/penerima-manfaat": person, "/serah-terima": "HO-1", "/kegiatan": "OP-TEST"}
    for address, code in pages.items():
        seen = await auditor.open(f"{address}/{code}")
        assert f'href="/riwayat/{code}"' in seen.text, address
    wrong = await auditor.open("/pemeriksaan?kode=PM-0000000000")
    assert "tidak ada dalam log kantor ini" in wrong.text
    page = await found(auditor, f" {person.lower()} ")
    assert page.url.path == f"/riwayat/{person}"
    assert "handover-HO-1" in page.text, "a line leads to the paper that it stands in"
    page = await found(auditor, "HO-1")
    assert any(f"Diberitahukan dengan pesan nomor 1 ke {EAST}." in one for one in events(page))
    (answered,) = [one for one in events(page) if "menjawab untuk" in one]
    assert f"oleh {EAST}" in answered
    # The answer came in a message of the province: its event is found there.
    message = answered.rpartition(": ")[2].split(" ")[0]
    page = await found(there, message.rpartition("-")[0])
    assert "Diberitahukan dengan pesan nomor" in page.text

    page = await derived(auditor)
    assert "Yang dinyatakan dan yang terdaftar" in page.text
    asked = await auditor.submit(await auditor.open("/pencocokan"), "ask", partner="35")
    assert asked.status_code == 200, asked.text
    assert f"Tidak ada selisih dengan {EAST}" in asked.text
    assert "selesai: semuanya cocok, 0 selisih" in (await auditor.open("/pencocokan")).text

    async def witnessed() -> Any:
        return "Menyaksikan" in (await auditor.open("/bukti-log")).text

    await eventually(witnessed)
    # A line of the log leads to the stream, the search to the code: both have the evidence.
    for browser, desk, name in ((auditor, city, "handover-HO-1"), (there, province, "HO-1")):
        page = await browser.open(f"/riwayat/{name}")
        assert "RAHASIA." in page.text
        answer = await eventually(lambda b=browser, p=page: taken(b, p))
        assert answer.headers["content-disposition"] == 'attachment; filename="bukti.zip"'
        folder = tmp_path / desk.office.settings.office
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            archive.extractall(folder)
        checked = subprocess.run(
            [sys.executable, "verify.py"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout


async def taken(browser: Browser, page: httpx.Response) -> httpx.Response | None:
    """The evidence, once a checkpoint covers something."""
    answer = await browser.submit(page, "evidence")
    return answer if answer.status_code == 200 else None


async def test_a_timeline_goes_back_on_both_axes_and_says_what_changed_since(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    (person,) = await story.awaited(city, province, 1)
    departed = {"occurred_at": "2019-10-04T08:00:00+08:00"}
    await city.post("issuer", "/handovers/HO-1/departure", departed)
    arrived = story.ARRIVED | {"occurred_at": "2019-10-06T09:00:00+07:00"}
    await story.answer(province, person, arrived)
    await story.until_states(city, {person: "arrived"})
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))

    now = await auditor.open(f"/riwayat/{person}")
    known = [one for one in events(now) if "menjawab untuk" in one or "berangkat" in one]
    assert len(known) == 2
    # Not known yet: a step back on the axis of recording.
    before = await auditor.open(link(now, "Satu langkah sebelumnya"))
    assert len(events(before)) < len(events(now))
    assert not any("menjawab untuk" in one for one in events(before))
    assert any("menjawab untuk" in one for one in events(before, "berubah-1"))
    assert "Satu langkah sesudahnya" in before.text
    assert events(await auditor.open(link(before, "Satu langkah sesudahnya"))) == events(now)
    # Not so yet: by the office's own clock, whatever was written down later.
    at = {"terjadi": "2019-10-05T12:00"}
    true = await auditor.http.get(f"/riwayat/{person}", params=at, headers=HTML)
    assert events(true)
    assert not any("menjawab" in one for one in events(true))
    assert any("menjawab untuk" in one for one in events(true, "berubah-1"))
    assert 'value="2019-10-05T12:00:00"' in true.text
    # Both: what was known then of what had occurred by then.
    both = at | {"dicatat": "2019-10-05T12:00"}
    none = await auditor.http.get(f"/riwayat/{person}", params=both, headers=HTML)
    assert events(none) == []
    assert "Tidak ada yang cocok" in none.text
    assert events(none, "berubah-2") == [], "nothing was known then of what came later"
    odd = await auditor.http.get(f"/riwayat/{person}?dicatat=kemarin", headers=HTML)
    assert (odd.status_code, "TIME_UNREADABLE" in odd.text) == (422, True)

    only = await auditor.open(f"/riwayat/{person}?oleh=issuer&jenis=handover")
    assert events(only)
    assert all("oleh issuer" in one for one in events(only))
    page = await auditor.open(
        "/perubahan?dari=2019-10-04T00:00&sampai=2019-10-05T00:00&sumbu=occurred"
    )
    assert "Jumat, 4 Oktober 2019" in page.text
    assert "berangkat" in page.text


async def test_a_discrepancy_is_found_explained_and_read_as_it_was_before(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    await story.register(city, *(story.intake_row(willingness=f"SPK/{n}") for n in range(4)))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))
    before = city.office.clock().isoformat()
    claim = {"subject": "persons", "figure": "5", "source": "laporan kota",
             "stated_by": "kepala bidang", "stated_on": "2019-10-01"}  # fmt: skip
    await issuer.step("/kegiatan/OP-TEST", "claim", **claim)
    page = await derived(auditor)
    assert "1 selisih menunggu penjelasan" in page.text
    assert "5 dinyatakan" in page.text
    page = await auditor.open(link(page, "OP-TEST"))
    assert "alasannya tersegel" not in page.text
    assert "Belum dijelaskan" in (await auditor.open(link(page, "Lihat keadaannya"))).text

    why = "Satu orang dihitung dua kali"
    await approver.step("/kegiatan/OP-TEST", "explain", explanation=why)
    assert "selisih, sudah dijelaskan" in (await derived(auditor)).text
    page = await auditor.open("/riwayat/OP-TEST?oleh=pengesah")
    assert "alasannya tersegel" in page.text
    assert why not in page.text
    size = await city.size()
    opened = await auditor.submit(page, "text")
    assert why in opened.text
    assert "oleh=pengesah" in str(opened.url)
    assert await city.size() == size + 1, "the look is on record"
    # Whose reason is not an auditor's to read stays closed, whatever is sent.
    closed = await auditor.submit(page, "text", position="2")
    assert why not in closed.text

    # The board as it was known before anybody had said five.
    then = await auditor.http.get("/kegiatan/OP-TEST", params={"dicatat": before}, headers=HTML)
    assert "Bukan keadaan sekarang." in then.text
    assert "Belum ada jumlah yang dinyatakan" in then.text
    assert "5 dinyatakan" in (await auditor.open("/kegiatan/OP-TEST")).text
    page = await auditor.http.get("/riwayat/OP-TEST", params={"dicatat": before}, headers=HTML)
    same = await auditor.open(link(page, "Lihat keadaannya pada waktu itu"))
    assert "Belum ada jumlah yang dinyatakan" in same.text
    refused = await approver.http.get("/kegiatan/OP-TEST?dicatat=2026-01-01T00:00", headers=HTML)
    assert (refused.status_code, "ROLE_MISSING" in refused.text) == (403, True)


async def test_a_long_timeline_comes_by_the_page(city: Desk, stack: AsyncExitStack) -> None:
    await operation_shown(city)
    await story.register(city, *(story.intake_row(willingness=f"SPK/{n}") for n in range(60)))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    page = await auditor.open("/riwayat/OP-TEST")
    assert len(page.content) < 50_000
    seen, number = events(page), 1
    while "Berikutnya" in page.text:
        assert len(events(page)) == PAGE_ROWS
        page = await auditor.open(link(page, "Berikutnya"))
        seen, number = seen + events(page), number + 1
    assert number > 1
    assert len(seen) == len(set(seen)) > 60
    between = city.office.clock().isoformat()
    await story.register(city, *(story.intake_row(willingness=f"SPK/1{n}") for n in range(25)))
    both = {"dicatat": between, "terjadi": between}
    page = await auditor.http.get("/riwayat/OP-TEST", params=both, headers=HTML)
    assert (len(events(page)), len(events(page, "berubah-1"))) == (PAGE_ROWS, CHANGED_ROWS)
    assert len(page.content) < 50_000
    page = await auditor.open(link(page, "Lihat semua perubahannya"))
    assert len(page.content) < 50_000
    assert page.url.path == "/perubahan"


async def test_an_erasure_is_proposed_approved_and_certified_by_forms_alone(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    first, second = await story.register(city, story.intake_row(), story.intake_row())
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    hold = "Tahan data seseorang dari penghapusan"
    assert hold in (await approver.open("/penghapusan")).text
    assert hold not in (await auditor.open("/penghapusan")).text, "an auditor holds nothing"
    # Before anything is proposed too her history is there to be read.
    history = f"/riwayat/{first}?jenis=custody"
    assert f'href="{history}"' in (await auditor.open(f"/penghapusan/{first}")).text
    await auditor.open(history)
    for person in (first, second):
        there = f"/usul-penghapusan?orang={person}"
        assert f'href="{there}"' in (await intake.open(f"/penerima-manfaat/{person}")).text
        page = await intake.step(there, "propose", basis="consent_withdrawn", reference="SRT/1")
        assert "Usulan tercatat" in page.text
    assert "Usulan penghapusan data: setujui atau tolak" in (await approver.open("/")).text
    page = await approver.open("/penghapusan?tahap=proposed")
    assert first in page.text
    assert second in page.text
    here = f"/penghapusan/{second}"
    page = await approver.step(here, "reject")
    assert "belum diusulkan" in page.text
    page = await approver.step(here, "hold", until="2099-01-01", reason="perkara berjalan")
    assert "Kamis, 1 Januari 2099" in page.text
    assert "perkara berjalan" not in page.text
    assert second in (await approver.open("/penahanan")).text
    page = await approver.step(here, "end")
    assert "Akhiri penahanan" not in page.text

    here = f"/penghapusan/{first}"
    page = await auditor.open(here)
    assert 'name="act"' not in page.text.partition("<main")[2].partition("</main>")[0]
    page = await approver.open(here)
    assert "Ini tidak dapat dibatalkan." in page.text
    await approver.submit(page, "approve")

    async def completed() -> Any:
        return "Unduh surat keterangan" in (await auditor.open(here)).text

    await eventually(completed)
    assert "Selesai di semua kantor" in (await auditor.open("/penghapusan")).text
    assert any("disetujui oleh pengesah" in one for one in events(await auditor.open(history)))
    page = await found(auditor, f"custody-{first}")
    assert f"<h1>Riwayat penghapusan dan penahanan {first}</h1>" in page.text
    assert any("disetujui oleh pengesah" in one for one in events(page))
    page = await auditor.open("/penghapusan/PM-0000000000", 404)


async def test_break_glass_is_reviewed_and_every_look_is_listed(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    row = story.intake_row(name="Contoh Orang", nik="3599990201900001")
    (person,) = await story.register(city, row)
    glass = (
        await city.post("intake", f"/beneficiaries/{person}/break-glass", {"reason": "Ia hilang"})
    )["break_glass"]
    await city.look("intake", f"/beneficiaries/{person}/identity")
    await city.post("intake", "/lookups", {"nik": row["nik"], "purpose": "identity_check"})
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    approver = await stack.enter_async_context(signed_in(city, "pengesah", "approver"))

    assert "Akses darurat: tinjau alasannya" in (await auditor.open("/")).text
    page = await auditor.open("/akses-darurat")
    assert glass in page.text
    assert "Ia hilang" not in page.text
    size = await city.size()
    opened = await auditor.submit(page, "reason")
    assert "Ia hilang" in opened.text
    assert await city.size() > size, "the look at the reason is on record"
    assert "belum ditinjau" in opened.text
    nothing = await auditor.submit(page, "review")
    assert nothing.status_code == 422
    page = await auditor.step("/akses-darurat", "review", finding="justified")
    assert "Ditinjau oleh pemeriksa" in page.text
    assert page.url.path == "/akses-darurat"
    assert "Catat temuan" not in page.text

    page = await auditor.open("/pembukaan?oleh=intake")
    assert person in page.text
    assert "pemeriksaan identitas" in page.text
    assert person not in (await auditor.open("/pembukaan?oleh=orang-lain")).text
    page = await auditor.open("/pencarian")
    assert "intake" in page.text
    assert row["nik"] not in page.text
    await auditor.open("/pembukaan-tidak-biasa")
    page = await auditor.open("/masa-simpan")
    assert "Tidak ada yang masa simpannya lewat" in page.text
    await approver.open("/pembukaan", 403)
    page = await approver.open("/akses-darurat")
    assert "Buka alasannya" not in page.text


async def test_an_operator_sees_what_ails_a_link_and_tries_a_parked_message_again(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    await story.issued(city, 1)
    await story.expected(province)
    await story.in_sync(city, province)
    operator = await stack.enter_async_context(signed_in(city, "petugas-sistem", "operator"))
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    page = await operator.open("/tautan")
    # The other partner has no office here: nothing of it is trusted.
    assert "pulang keys trust 53</code>" in page.text
    assert "lancar" in page.text
    page = await operator.open("/tautan/pesan?kantor=35")
    assert "diterima sistem" in page.text
    assert "/riwayat/" not in page.text, "an operator is led nowhere that she may not open"
    assert "ke Nusa Tenggara Timur" not in page.text
    assert (
        "Tidak ada pesan dengan pilihan ini" in (await operator.open("/tautan/pesan?kode=X-1")).text
    )

    await told_of_nobody(province, "ready", "returned_to_family")

    async def both() -> Any:
        return "Pesan 2 dari Jawa Timur (35)" in (await operator.open("/tautan/tertahan")).text

    await eventually(both)
    assert "Pesan kantor lain yang tertahan" in (await operator.open("/")).text
    page = await operator.open("/tautan/tertahan")
    assert "ia menunggu pesan sebelumnya" in page.text
    assert "pulang parked discard 1 --reason …</code>" in page.text
    size = await city.size()
    tried = await operator.submit(page, "retry")
    assert "sudah dicoba dan tetap tertahan" in tried.text
    assert await city.size() == size
    async with city.office.pool.connection() as connection:
        await connection.execute(
            "insert into link_out (receiver, forked, witnessed, heard_at)"
            " values ('53', true, 999999, now() - interval '1 hour')"
        )
        await connection.execute(
            "insert into forks (office, detail, kept, came, came_size, found_at)"
            " values ('53', 'x', '', '', 1, now())"
        )
        await connection.execute(
            "insert into worker_troubles (name, says, since) values ('x', 'it stands still', now())"
        )
    ailing = (await operator.open("/tautan")).text
    for words in (
        "Satu bagian proses latar tersendat",
        "Tidak ada kabar sejak",
        "Riwayat kantor itu bercabang",
        "Kantor itu menyatakan riwayat kantor ini bercabang",
        "Kantor itu menyaksikan lebih banyak peristiwa",
        "2 pesan tertahan menunggu orang",
    ):
        assert words in ailing, words
    assert "pulang witness accept 53 --reason …</code>" in (await auditor.open("/bukti-log")).text
    assert "Riwayat kantor lain yang bercabang" in (await auditor.open("/pemeriksaan")).text
    gone = await operator.submit(page, "retry", parked="77")
    assert (gone.status_code, "NOT_PARKED" in gone.text) == (409, True)
    seen = await auditor.open("/tautan/tertahan")
    assert "Coba lagi" not in seen.text
    refused = await auditor.http.post(
        "/tautan/tertahan", data=form_of(page, "retry")[1] | {"csrf": csrf_of(seen)}, headers=HTML
    )
    assert (refused.status_code, "ROLE_MISSING" in refused.text) == (403, True)


def csrf_of(page: httpx.Response) -> str:
    return page.text.partition('name="csrf" value="')[2][:64]


def test_times_in_words_are_said_as_the_office_says_them() -> None:
    zone = ZoneInfo("Asia/Makassar")

    def said(words: str) -> str:
        return str(dated({"words": words}, zone)["words"])

    at = "HO-1 berangkat pada 2019-10-04T08:00:00+08:00."
    assert said(at) == "HO-1 berangkat pada Jumat, 4 Oktober 2019, 08.00 WITA."
    assert said("tertanggal 2019-10-04.") == "tertanggal Jumat, 4 Oktober 2019."
    for same in ("SK/2019-10-04/1", "BAST-2019-10-04", "2019-13-44"):
        assert said(same) == same


def test_a_code_is_found_however_it_is_typed() -> None:
    assert found_by(" pm-7q2m9xk4ab ") == "PM-7Q2M9XK4AB"
    assert found_by("ho-kd-35") == "HO-KD-35"
    assert found_by("handover-HO-1") == "handover-HO-1"
    for odd in ("", "a", "x" * 65, "../masuk", "HO-1?x", "HO\n1"):
        assert found_by(odd) is None
    assert asked_for({"kode": " ho-kd-35 "}) == "HO-KD-35"
    assert asked_for({"kode": "ab"}) == "ab", "nothing is about it, and not everything"
    assert asked_for({}) is asked_for({"kode": " "}) is None


def test_money_in_a_line_of_the_log_is_said_as_an_office_says_it() -> None:
    line = {"words": "Tiket Rp1900000 (KW/Rp1) untuk PM-7Q2M9XK4AB."}
    said = dated(line, ZoneInfo("Asia/Makassar"))["words"]
    assert said == "Tiket Rp1.900.000 (KW/Rp1) untuk PM-7Q2M9XK4AB."


def test_every_term_of_an_equation_has_words_of_the_office() -> None:
    """Both offices' equations name their sides in English, of which none stands on a screen."""
    made = environment(SERVICE.templates, "Asia/Makassar")
    said: Any = made.get_template("oversight_words.html")
    sources = [
        *Path("services/city/equations").glob("*.py"),
        Path("services/province/equations.py"),
    ]
    code = "".join(re.sub(r'""".*?"""', "", one.read_text(), flags=re.S) for one in sources)
    found = set(re.findall(r'"([a-z]+(?: [a-z]+,?)+)"', code))
    found = {one for one in found if not one.startswith("select ")} - {"an operation", "no row"}
    assert len(found) > 15
    terms = found - {"the bank"} | set(FATES) | set(STATES.values()) | {"declared to 35", "to 35"}
    assert {one for one in terms if str(said.module.term(one)) == one} == set()
    assert str(said.module.about("the bank")) == "semua kredit"


def test_whatever_is_sealed_has_words_of_the_office_where_it_was_looked_at() -> None:
    made = environment(SERVICE.templates, "Asia/Makassar")
    said: Any = made.get_template("oversight_words.html")
    domains = [*Path("services").glob("*/domain/*.py"), *Path("shared/custody").glob("*.py")]
    code = "".join(one.read_text() for one in domains)
    found = set(re.findall(r"^    (\w+): Sealed\b", code, flags=re.M)) - {"identity"}
    assert found > {"wish", "note", "explanation"}
    assert {one for one in found if str(said.module.fields([one])) == one} == set()


async def test_the_menu_marks_where_its_reader_is_also_below_what_it_names(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    operator = await stack.enter_async_context(signed_in(city, "penjaga", "operator"))
    marked = re.compile(r'<a href="([^"]+)" aria-current="(?:page|true)">')
    for browser, address, menu in (
        (auditor, "/pemeriksaan", "/pemeriksaan"),
        (auditor, "/perubahan", "/pemeriksaan"),
        (auditor, "/persamaan", "/pemeriksaan"),
        (auditor, "/pencocokan", "/pemeriksaan"),
        (auditor, "/bukti-log", "/pemeriksaan"),
        (auditor, "/riwayat/OP-TEST", "/pemeriksaan"),
        (auditor, "/pembukaan", "/penghapusan"),
        (auditor, "/tautan/pesan", "/tautan"),
        (operator, "/bukti-log", "/tautan"),
    ):
        page = (await browser.open(address)).text
        main = page.partition('<nav class="menu"')[2].partition("</nav>")[0]
        assert marked.findall(main) == [menu], address
