"""The public page to which a paper's code leads: what it says, to whom, and how often."""

from __future__ import annotations

import re
from html import escape, unescape
from urllib.parse import urlencode

import httpx

from shared.runtime.screens.verifying import WINDOW_SECONDS, Limit, brought
from tests.screens.browser import HTML
from tests.system import story
from tests.system.offices import Desk
from tests.system.test_papers import printed


async def test_whoever_holds_a_paper_is_told_whether_it_is_recorded_and_nothing_else(
    city: Desk,
) -> None:
    (person,) = await story.issued(city, 1)
    paper = await printed(city, "approver", "/handovers/HO-1/deed")
    transport = httpx.ASGITransport(app=city.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://office") as http:

        async def ask(**asked: str) -> str:
            page = await http.get("/periksa", params=asked, headers=HTML)
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
            assert "set-cookie" not in page.headers
            assert page.headers["cache-control"] == "no-store"
            assert len(page.content) < 50_000
            # What was asked stands in the switch of language, as it was asked, and nowhere else.
            switch = (
                f'href="/periksa?{escape(urlencode(asked))}{"&amp;" if asked else ""}bahasa=en"'
            )
            assert page.text.count(switch) == 1
            return page.text.replace(switch, "")

        empty = await ask()
        assert "Pindai kode pada naskah" in empty
        (text,) = paper.codes
        good = dict(line.split("=", 1) for line in text.splitlines()[1:])
        told = await ask(**good)
        assert "tidak ada yang lebih baru" in told
        assert good["n"] in told
        assert person not in told
        assert "HO-1" not in told.replace(good["n"], "")
        # Pasted: as an address, and as the text that a code without an address holds.
        assert "<h2>Tercatat</h2>" in await ask(
            kode=f"https://lain.contoh/periksa?{urlencode(good)}"
        )
        assert "<h2>Tercatat</h2>" in await ask(kode=text.replace("\n", "\r\n"))
        # One wrong letter, a paper that never was, and nonsense are one answer, byte for byte.
        off = {name: said[:-1] + ("8" if said[-1] == "7" else "7") for name, said in good.items()}
        wrong = {await ask(**good | {name: off[name]}) for name in "nepch"}
        wrong |= {await ask(**good | {"k": "sts"}), await ask(k="bast"), await ask(kode="<b>x</b>")}
        assert len(wrong) == 1
        assert "<h2>Tidak dikenal</h2>" in wrong.pop()
        await city.post("issuer", "/handovers/HO-1/withdrawal", {"reason": "kapal batal"})
        assert "<h2>Tidak berlaku lagi</h2>" in await ask(**good)


async def test_the_page_is_read_in_english_with_the_paper_that_was_asked_about(city: Desk) -> None:
    await story.issued(city, 1)
    paper = await printed(city, "approver", "/handovers/HO-1/deed")
    asked = dict(line.split("=", 1) for line in paper.codes[0].splitlines()[1:])
    transport = httpx.ASGITransport(app=city.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://office") as http:
        page = (await http.get("/periksa", params=asked, headers=HTML)).text
        link = re.search(r'href="(/periksa\?[^"]*bahasa=en)"', page)
        assert link
        page = (await http.get(unescape(link[1]), headers=HTML)).text
        assert '<html lang="en">' in page
        assert "<h2>Tercatat</h2>" not in page
        assert asked["n"] in page, "the same paper, and its verdict"
        assert "bahasa=id" in page
        # It stays so for whoever comes again in this browser, and leads back.
        assert "Check a paper" in (await http.get("/periksa", headers=HTML)).text
        page = (await http.get("/periksa?bahasa=id", headers=HTML)).text
        assert "Pindai kode pada naskah" in page


def test_the_bound_of_all_is_far_beyond_what_a_few_addresses_use_up() -> None:
    limit = Limit(clock=lambda: 0.0)
    for address in range(100):
        assert [limit.wait(f"192.0.2.{address}") for _ in range(31)] == [0] * 30 + [60]
    assert limit.wait("198.51.100.1") == 0


async def test_who_asks_too_often_waits_and_is_told_how_long(city: Desk) -> None:
    transport = httpx.ASGITransport(app=city.app, client=("203.0.113.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://office") as http:
        answers = [await http.get("/periksa?kode=x", headers=HTML) for _ in range(31)]
        assert {one.status_code for one in answers[:30]} == {200}
        assert answers[-1].status_code == 429
        assert 0 < int(answers[-1].headers["retry-after"]) <= WINDOW_SECONDS
        assert "Terlalu banyak pemeriksaan" in answers[-1].text
        assert (await http.get("/periksa", headers=HTML)).status_code == 200, (
            "the form costs nothing"
        )


def test_one_address_uses_up_its_own_share_and_all_together_a_bound() -> None:
    now = [0.0]
    limit = Limit(of_one=2, of_all=5, clock=lambda: now[0])
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 60, 60]
    assert [limit.wait("b") for _ in range(2)] == [0, 0]
    now[0] = 20.5
    assert [limit.wait("c"), limit.wait("d")] == [0, 40]
    now[0] = 60
    assert limit.wait("a") == 0


def test_what_is_pasted_is_read_as_an_address_or_as_lines() -> None:
    assert brought({"k": "bast"}) == {"k": "bast"}
    assert brought({"kode": "https://x/periksa?k=bast&n=BAST%2F1"}) == {"k": "bast", "n": "BAST/1"}
    assert brought({"kode": "pulang/35\nk=bast\n n=A=1 "}) == {"k": "bast", "n": "A=1"}
    assert brought({"kode": "x"}) == {}
    assert brought({"kode": "http://[x?"}) == {}, "no address, and no failure either"
