"""The stream of news, what waits, the language, and a page of a failure: without a browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.contracts.values import Personal
from shared.runtime import assets, custody_routes
from shared.runtime.audit import asking
from shared.runtime.manifest import CommandRoute
from shared.runtime.screens import drafts, live, serving
from shared.runtime.sessions import COOKIE
from tests.screens.browser import HTML, Browser, form_of, signed_in
from tests.screens.chromium import served
from tests.system import story
from tests.system.offices import Desk, eventually

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
ROUTES = {
    f"{one.kind}{route.path}": route
    for one in (CITY, PROVINCE)
    for route in (*one.commands, *custody_routes.commands(one.kind))
}


@asynccontextmanager
async def listening(
    base: str, browser: Browser, page: str, **more: str
) -> AsyncIterator[httpx.Response]:
    """The stream of a page, as the browser of who is signed in opens it."""
    cookie = {"Cookie": f"{COOKIE}={browser.http.cookies[COOKIE]}"}
    async with (
        httpx.AsyncClient(base_url=base, headers=cookie, timeout=20) as http,
        http.stream("GET", "/kabar", params={"di": page, **more}) as answer,
    ):
        yield answer


async def until(stream: httpx.Response, event: str) -> None:
    async with asyncio.timeout(15):
        async for line in stream.aiter_lines():
            if line == f"event: {event}":
                return
    raise AssertionError(f"the stream ended without {event}")


async def test_a_stream_tells_that_something_changed_and_nothing_else(
    city: Desk, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.5)
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    now = str(city.office.clock().timestamp())
    async with served(city) as base, listening(base, issuer, "/kegiatan", sejak=now) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        async with asyncio.timeout(20):
            said = [await anext(lines) for _ in range(12)]
            await story.open_operation(city)
            while said[-1] != "event: berubah":
                said.append(await anext(lines))
        assert {line for line in said if line} <= {
            "retry: 5000", "event: detak", "event: berubah", "data: 1",
        }  # fmt: skip
        # Also to who comes with a page that was made before.
        async with listening(base, issuer, "/kegiatan/X", sejak=now) as late:
            await until(late, "berubah")
        # The process that is to stop does not wait for who listens.
        began = time.monotonic()
        # `served` has stopped the server here.
    assert time.monotonic() - began < 5


async def test_a_stream_opens_to_whom_its_page_opens_and_their_number_is_bounded(
    city: Desk, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    for page, status in (("/serah-terima/baru", 403), ("/tidak-ada", 404), ("", 404)):
        answer = await auditor.http.get("/kabar", params={"di": page})
        assert answer.status_code == status, page
    bearer = {"Authorization": f"Bearer {city.tokens['auditor']}"}
    answer = await city.http.get("/kabar", params={"di": "/"}, headers=bearer)
    assert answer.status_code == 204, "a program has no page"
    monkeypatch.setattr(live, "MOST_OF_A_SESSION", 1)
    async with (
        served(city) as base,
        listening(base, auditor, "/") as first,
        listening(base, auditor, "/kegiatan") as second,
    ):
        await until(first, "selesai")
        assert second.status_code == 200
        monkeypatch.setattr(live, "MOST_STREAMS", 1)
        async with listening(base, auditor, "/") as third:
            assert third.status_code == 204


async def test_what_a_page_asks_by_itself_is_no_use_of_its_session(
    city: Desk, stack: AsyncExitStack
) -> None:
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))

    async def seen() -> Any:
        async with city.office.pool.connection() as connection:
            cursor = await connection.execute("select max(seen_at) from sessions")
            return (await cursor.fetchone() or [None])[0]

    async with city.office.pool.connection() as connection:
        before = city.office.clock() - timedelta(minutes=29)
        await connection.execute("update sessions set seen_at = %s", (before,))
    by_itself = await auditor.http.get("/", headers=HTML | {"X-Pulang-Sendiri": "ya"})
    assert by_itself.status_code == 200
    assert await seen() == before
    await auditor.open("/")
    assert await seen() > before


async def test_a_failure_gives_back_what_was_typed(
    city: Desk, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    page = await issuer.open("/kegiatan")

    async def fails(*_: Any) -> None:
        raise RuntimeError("boom")

    with monkeypatch.context() as broken:
        broken.setattr(serving, "_carry_out", fails)
        lost = await issuer.submit(page, "open", name='Kegiatan "contoh"', site="53.71.01")
    assert lost.status_code == 500
    _, fields = form_of(lost, "open")
    assert fields["name"] == ['Kegiatan "contoh"']
    assert fields["key"] == form_of(page, "open")[1]["key"]
    # Also where nobody could be asked who she is.
    with monkeypatch.context() as away:
        away.setattr(city.office.pool, "connection", _away)
        lost = await issuer.submit(page, "open", name="Kegiatan lain", site="53.71.01")
        assert lost.status_code == 503
        assert form_of(lost, "open")[1]["name"] == ["Kegiatan lain"]
        secret = await issuer.http.post("/kata-sandi", data={"current": "rahasia"}, headers=HTML)
        assert secret.status_code == 503
        assert "rahasia" not in secret.text
        elsewhere = HTML | {"Sec-Fetch-Site": "cross-site"}
        forged = await issuer.http.post("/kegiatan", data={"name": "x"}, headers=elsewhere)
        assert 'name="name"' not in forged.text
    more = {
        "operation": "OP-LAGI", "planned_departure": "2019-10-04", "grant_rupiah": "1",
        "fare_floor_rupiah": "1", "fare_ceiling_rupiah": "2",
    }  # fmt: skip
    assert (await issuer.submit(lost, "open", **more)).status_code == 303


def _away(*_: Any, **__: Any) -> Any:
    from psycopg_pool import PoolTimeout

    raise PoolTimeout("away")


async def test_what_no_key_guards_is_not_said_to_be_safe_to_send_again(
    city: Desk, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    page = await auditor.open("/pencocokan")
    assert "key" not in form_of(page, "ask")[1], "the script sends nothing again without a key"

    async def silent(*_: Any) -> None:
        raise asking.Silent

    monkeypatch.setattr(asking, "over_link", silent)
    answer = await auditor.submit(page, "ask", partner="35")
    assert answer.status_code == 503
    assert "Pertanyaannya tercatat" in answer.text
    assert "tidak mencatat dua kali" not in answer.text
    assert "Tidak ada yang disimpan" not in answer.text

    async def fails(*_: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(asking, "over_link", fails)
    answer = await auditor.submit(page, "ask", partner="35")
    assert answer.status_code == 500
    assert form_of(answer, "ask")[1]["partner"] == ["35"]
    assert "tidak mencatat dua kali" not in answer.text


async def test_pages_say_that_sending_waits(city: Desk, stack: AsyncExitStack) -> None:
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))

    async def said_after(statement: str) -> str:
        async with city.office.pool.connection() as connection:
            await connection.execute(statement.encode())
        return (await issuer.open("/kegiatan")).text

    assert 'class="waits"' not in await said_after("select 1")

    async def cut() -> bool:
        # Again where the worker, which is only starting, has just said that it has no trouble.
        page = await said_after(
            "insert into worker_troubles values ('links', 'away', now() - interval '1 minute')"
            " on conflict (name) do update set since = excluded.since"
        )
        return "Sambungan ke kantor lain sedang putus" in page

    await eventually(cut)
    page = await said_after("delete from worker_troubles")
    assert 'class="waits"' not in page
    page = await said_after(
        "insert into trusted_keys (office, key_id, public, trusted_at, trusted_by)"
        " values ('35', 'x', 'x', now() - interval '1 hour', 'uji')"
    )
    assert "Belum ada jawaban dari Jawa Timur (35)" in page
    assert "Yang Anda catat aman di sini" in page
    page = await said_after("update log_head set restored_at = now()")
    assert "Tulis di kertas dahulu" in page
    # Who only reads there need not know.
    assert 'class="waits"' not in (await issuer.open("/serah-terima")).text
    await said_after("update log_head set restored_at = null")


async def test_the_language_is_chosen_before_signing_in_and_keeps_the_question(
    city: Desk, stack: AsyncExitStack
) -> None:
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    page = await auditor.open("/serah-terima?tahap=draft&halaman=2")
    here = 'name="here" value="/serah-terima?tahap=draft&amp;halaman=2"'
    assert here in page.text
    csrf = page.text.partition('name="csrf" value="')[2][:64]
    for asked, led in (
        ("/serah-terima?tahap=draft&halaman=2",) * 2,
        ("/", "/"),
        ("//evil.example/?x", "/"),
        ("/a?b\r\nSet-Cookie: x", "/"),
        ("https://evil.example", "/"),
    ):
        sent = {"csrf": csrf, "to": "en", "here": asked}
        answer = await auditor.http.post("/bahasa", data=sent, headers=HTML)
        assert answer.headers["location"] == led, asked
    missing = await auditor.open("/tidak-ada", 404)
    assert "There is no such page or record." in missing.text
    assert "Present password" in (await auditor.open("/kata-sandi")).text
    async with httpx.AsyncClient(
        transport=auditor.http._transport, base_url="https://office"
    ) as nobody:
        page = await nobody.get("/masuk")
        assert "Kata sandi" in page.text
        assert page.headers["clear-site-data"] == '"storage"', "no draft is left for who comes next"
        led_here = await nobody.get("/masuk", headers={"Sec-Fetch-Site": "cross-site"})
        assert "clear-site-data" not in led_here.headers, "she may be signed in beside that page"
        assert "One-time code" in (await nobody.get("/masuk?bahasa=en")).text
        assert "One-time code" in (await nobody.get("/masuk")).text


async def test_only_what_our_own_page_asked_for_is_compressed(
    city: Desk, stack: AsyncExitStack
) -> None:
    auditor = await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))
    for headers, compressed in (
        (SAME_ORIGIN, True),
        ({}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
    ):
        page = await auditor.http.get("/kegiatan", headers=HTML | headers)
        assert (page.headers.get("content-encoding") == "gzip") is compressed, headers
        assert page.headers["cache-control"] == "no-store"
    style = await auditor.http.get(assets.address("pulang.css"))
    assert style.headers["content-encoding"] == "gzip"
    assert style.headers["cache-control"] == assets.KEPT
    for other in ("/static/pulang.css", "/static/pulang.css?0123456789ab"):
        assert (await auditor.http.get(other)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("route", ROUTES.values(), ids=list(ROUTES))
def test_nothing_that_is_sealed_may_lie_on_a_device(route: CommandRoute) -> None:
    kept = drafts.kept(route)
    fields = dict(drafts._fields(route.form))
    assert kept <= set(fields)
    for name in kept:
        for _, marks in fields[name]:
            assert not any(isinstance(mark, Personal) for mark in marks), name
    who = {"initials", "name", "nik", "contact", "account", "born", "birth_date"}
    if who & set(fields) - {"name"} or route.is_import:
        assert kept == frozenset()


def test_what_may_lie_on_a_device_is_worth_it() -> None:
    kept = {address: drafts.kept(route) for address, route in ROUTES.items()}
    assert kept["city/handovers"] >= {"receiving_office", "planned_departure", "transport"}
    assert "reason" not in kept["city/handovers/{handover}/withdrawal"]
    assert "explanation" not in kept["province/arrivals/{handover}/decline"]
    assert kept["province/cases/{person}/assessment"] == {"occurred_at"}
    assert kept["province/arrivals/{handover}/unlisted"] == frozenset()
