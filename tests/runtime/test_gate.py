"""Forged forms, and what every answer and page carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.runtime import sign_in
from shared.runtime.gate import SECURITY_HEADERS
from tests.runtime.door import HOST, HTML, PASSWORD, Door, cookie_of, csrf_in

STYLE = Path(sign_in.__file__).parent / "static" / "pulang.css"


async def test_a_page_carries_the_token_that_its_form_needs(door: Door) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        await door.enter(browser, "petugas")
        csrf = csrf_in(await browser.get("/", headers=HTML))
        whoami = "/api/v1/whoami"
        other = "0" * 64
        assert (await browser.get(whoami)).status_code == 200
        assert (await browser.post(whoami)).status_code == 403
        assert (await browser.post(whoami, data={"csrf": other})).status_code == 403
        assert (await browser.post(whoami, headers={"X-CSRF-Token": other})).status_code == 403
        assert (await browser.post(whoami, headers={"X-CSRF-Token": csrf})).status_code == 200
        response = await browser.post(whoami, data={"csrf": csrf, "x": "y"})
        assert response.status_code == 200
        assert response.json()["body"] == len(f"csrf={csrf}&x=y"), "the body is passed on whole"
        file = {"file": ("rows.csv", b"a;b\n" * 1000)}
        response = await browser.post(whoami, data={"csrf": csrf}, files=file)
        assert response.status_code == 200
        assert response.json()["body"] > 4000
        assert (await browser.post(whoami, data={"csrf": other}, files=file)).status_code == 403
        response = await browser.post(whoami, files={"csrf": ("csrf", csrf.encode())})
        assert response.status_code == 403, "a file is no token"
        response = await browser.post(whoami, json={"csrf": csrf})
        assert response.status_code == 403, "JSON carries it in the header"
        assert response.json()["code"] == "NOT_OUR_PAGE"


async def test_a_form_that_is_broken_or_too_long_is_refused(door: Door) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        await door.enter(browser, "petugas")
        broken = {"Content-Type": "multipart/form-data; boundary=x"}
        response = await browser.post("/api/v1/whoami", content=b"--y\r\nabc", headers=broken)
        assert response.status_code == 403

        async def long() -> Any:
            for _ in range(11):
                yield b"x" * 10_000

        form = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await browser.post("/api/v1/whoami", content=long(), headers=form)
        assert response.status_code == 413


async def test_the_token_of_another_session_is_none(door: Door) -> None:
    await door.add("petugas", "intake")
    await door.add("lain", "intake")
    async with door.browser() as mine, door.browser() as other:
        await door.enter(mine, "petugas")
        await door.enter(other, "lain")
        csrf = csrf_in(await other.get("/", headers=HTML))
        assert (await mine.post("/keluar", data={"csrf": csrf})).status_code == 403
        assert (await mine.get("/api/v1/whoami")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": HOST}, 200),
        ({"Origin": HOST}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HOST}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": f"{HOST}.evil.example"}, 403),
        ({"Origin": f"{HOST}:8443"}, 403),
    ],
)
async def test_another_sites_page_changes_nothing_even_with_the_token(
    door: Door, headers: dict[str, str], status: int
) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        await door.enter(browser, "petugas")
        csrf = {"csrf": csrf_in(await browser.get("/", headers=HTML))}
        response = await browser.post("/api/v1/whoami", data=csrf, headers=headers)
        assert response.status_code == status
        # Reading changes nothing, and the same-site cookie is not sent from elsewhere anyhow.
        assert (await browser.get("/api/v1/whoami", headers=headers)).status_code == 200


async def test_a_bearer_needs_no_token_of_a_page(door: Door) -> None:
    made = await door.add("petugas", "intake")
    session = await door.token("petugas")
    for token in (made.token, session):
        async with door.browser(headers={"Authorization": f"Bearer {token}"}) as program:
            assert (await program.post("/api/v1/whoami")).status_code == 200


async def test_nobody_is_signed_in_by_another_sites_form(door: Door) -> None:
    await door.add("petugas", "intake")
    fields = {"username": "petugas", "password": PASSWORD}
    async with door.browser() as browser, door.browser() as other:
        assert (await browser.post("/masuk", data=fields)).status_code == 403
        stolen = csrf_in(await other.get("/masuk"))
        assert (await browser.post("/masuk", data=fields | {"csrf": stolen})).status_code == 403
        await browser.get("/masuk")
        assert (await browser.post("/masuk", data=fields | {"csrf": stolen})).status_code == 403
        evil = {"Sec-Fetch-Site": "cross-site"}
        assert (await door.enter(browser, "petugas", headers=evil)).status_code == 403
        assert cookie_of(browser) is None
        assert await door.rows("select * from sign_in_failures") == []
        assert (await door.enter(browser, "petugas")).status_code == 303


async def test_every_answer_carries_the_security_headers(door: Door) -> None:
    made = await door.add("petugas", "intake")
    bearer = {"Authorization": f"Bearer {made.token}"}
    door.boom = True
    async with door.browser() as browser:
        answers = {
            200: await browser.get("/masuk"),
            303: await browser.get("/", headers=HTML),
            401: await browser.get("/api/v1/whoami"),
            403: await browser.post("/masuk"),
            404: await browser.get("/nowhere", headers=bearer),
            405: await browser.put("/", headers=bearer),
            413: await browser.post("/masuk", content=b"x" * 100_001),
            422: await browser.post("/api/v1/sessions", json={}),
            500: await browser.get("/api/v1/whoami", headers=bearer),
        }
        style = await browser.get("/static/pulang.css")
    for status, response in {**answers, 0: style}.items():
        assert response.status_code == (status or 200)
        for name, value in SECURITY_HEADERS.items():
            assert response.headers.get_list(name) == [value], (status, name)
    assert answers[500].json()["code"] == "UNEXPECTED"
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    said = [part.strip() for part in policy.split(";") if "script" in part or "connect" in part]
    assert said == ["script-src 'self'", "connect-src 'self'"], "no other place, none inline"


async def test_pages_need_no_script_and_say_nothing_of_the_office_in_their_title(
    door: Door,
) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        texts = [(await browser.get("/masuk")).text]
        await door.enter(browser, "petugas")
        texts += [(await browser.get(path)).text for path in ("/", "/kata-sandi")]
    for text in texts:
        assert "<title>Pulang</title>" in text
        assert '<html lang="id">' in text
        for inline in ("<script", "<style", "style=", " on", "javascript:"):
            assert inline not in text.replace(" only", ""), inline


@pytest.mark.parametrize("name", ["pulang.js", "waktu.js"])
def test_a_script_shows_text_as_text(name: str) -> None:
    assert {path.name for path in STYLE.parent.glob("*.js")} == {"pulang.js", "waktu.js"}
    text = (STYLE.parent / name).read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "Function("):
        assert way not in text


async def test_the_style_sheet_is_all_that_is_served_without_an_account(door: Door) -> None:
    async with door.browser() as browser:
        response = await browser.get("/static/pulang.css")
        assert response.headers["content-type"].startswith("text/css")
        assert response.text == STYLE.read_text()
        for path in ("/static/../gate.py", "/static/%2e%2e/gate.py", "/static/", "/static/x"):
            assert (await browser.get(path)).status_code in (401, 404), path


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_can_be_read_and_buttons_can_be_hit() -> None:
    style = STYLE.read_text()
    assert contrast("#000", "#fff") == pytest.approx(21)
    for text, ground in (
        ("#1d1d1b", "#fbfaf7"), ("#1d1d1b", "#fff"), ("#0b4a6f", "#fbfaf7"), ("#4a4a46", "#fbfaf7"),
        ("#fff", "#0b4a6f"), ("#0b4a6f", "#fff"),
    ):  # fmt: skip
        assert text in style
        assert ground in style
        assert contrast(text, ground) >= 7
    for edge in ("#5b5b56", "#b35c00", "#8a2b12"):
        assert edge in style
        assert contrast(edge, "#fbfaf7") >= 3
    for rule in ("input {", "button {", "li a, .link {"):
        assert "min-height: 44px" in style.split(rule)[1].split("}")[0]
