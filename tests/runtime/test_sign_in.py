"""Signing in and out, sessions, lock-out, forged forms, and the headers of every answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from shared.runtime import attempts, passwords, sessions, sign_in, staff
from shared.runtime.gate import SECURITY_HEADERS
from tests.runtime.conftest import QUICK
from tests.runtime.door import HOST, PASSWORD, Door, cookie_of, csrf_in

HTML = {"Accept": "text/html,application/xhtml+xml"}
STYLE = Path(sign_in.__file__).parent / "static" / "pulang.css"


# Signing in


async def test_a_person_signs_in_on_the_page_and_out_again(door: Door) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        response = await browser.get("/", headers=HTML)
        assert (response.status_code, response.headers["location"]) == (303, "/masuk")
        response = await door.enter(browser, "petugas")
        assert (response.status_code, response.headers["location"]) == (303, "/")
        token = cookie_of(browser)
        home = await browser.get("/", headers=HTML)
        assert home.status_code == 200
        assert token
        assert token not in home.text
        response = await browser.post("/keluar", data={"csrf": csrf_in(home)})
        assert (response.status_code, response.headers["location"]) == (303, "/masuk")
        assert cookie_of(browser) is None
        assert await door.whoami(token) == 401
        assert await door.rows("select * from sessions") == []


async def test_the_cookie_is_for_this_host_over_tls_and_no_script_reads_it(door: Door) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        response = await door.enter(browser, "petugas")
    set_cookie = next(
        one for one in response.headers.get_list("set-cookie") if one.startswith("__Host-pulang=")
    )
    marks = {mark.strip().lower() for mark in set_cookie.split(";")[1:]}
    assert marks == {"secure", "httponly", "samesite=strict", "path=/"}


async def test_a_program_signs_in_and_out(door: Door) -> None:
    await door.add("petugas", "intake")
    response = await door.post_session("petugas")
    assert response.status_code == 201
    answer = response.json()
    assert set(answer) == {"token", "ends_at"}
    assert "set-cookie" not in response.headers
    assert len(answer["token"]) >= 43
    assert await door.whoami(answer["token"]) == 200
    async with door.browser(headers={"Authorization": f"Bearer {answer['token']}"}) as program:
        assert (await program.delete("/api/v1/sessions/current")).status_code == 204
    assert await door.whoami(answer["token"]) == 401


async def test_only_a_digest_of_the_session_is_stored_and_each_is_new(door: Door) -> None:
    await door.add("petugas", "intake")
    tokens = {await door.token("petugas") for _ in range(3)}
    assert len(tokens) == 3
    stored = repr(await door.rows("select sessions::text from sessions"))
    for token in tokens:
        assert token not in stored
        assert token.encode().hex() not in stored


async def test_signing_in_again_ends_the_browsers_former_session(door: Door) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        await door.enter(browser, "petugas")
        first = cookie_of(browser)
        await door.enter(browser, "petugas")
        second = cookie_of(browser)
    assert first
    assert second
    assert first != second
    assert await door.whoami(first) == 401
    assert await door.whoami(second) == 200


@pytest.mark.parametrize("role", ["approver", "auditor"])
async def test_who_approves_or_audits_does_not_get_in_without_a_code(door: Door, role: str) -> None:
    made = await door.add(role, role)
    assert (await door.post_session(role)).status_code == 401
    assert (await door.post_session(role, code="000000")).status_code == 401
    code = door.code(made)
    assert await door.whoami(await door.token(role, code)) == 200
    assert (await door.post_session(role, code=code)).status_code == 401, "a code opens once"
    async with door.browser() as browser:
        response = await door.enter(browser, role, code=door.code(made, 1))
        assert response.status_code == 303


async def test_an_approver_whose_secret_is_gone_does_not_get_in(door: Door) -> None:
    made = await door.add("approver", "approver")
    async with door.pool.connection() as connection:
        await connection.execute("delete from staff_totp")
    assert (await door.post_session("approver", code=door.code(made))).status_code == 401


async def test_who_chose_a_second_factor_needs_it(door: Door) -> None:
    made = await door.add("petugas", "intake", totp=True)
    assert (await door.post_session("petugas")).status_code == 401
    assert (await door.post_session("petugas", code=door.code(made))).status_code == 201


async def test_a_username_may_be_typed_with_a_capital(door: Door) -> None:
    await door.add("petugas", "intake")
    assert (await door.post_session(" Petugas ")).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"username": "petugas", "password": "x" * 1025},
        {"username": "x" * 257, "password": PASSWORD},
        {"username": "petugas"},
        {"username": "petugas", "password": PASSWORD, "admin": True},
        {"username": ["petugas"], "password": PASSWORD},
        "petugas",
    ],
)
async def test_what_is_no_sign_in_is_not_repeated_in_the_answer(door: Door, body: Any) -> None:
    async with door.browser() as program:
        response = await program.post("/api/v1/sessions", json=body)
    assert response.status_code == 422
    assert response.json()["code"] == "INVALID_INPUT"
    assert PASSWORD not in response.text


@pytest.mark.parametrize(
    "name", ["\0", "a\0b", "\ud800".encode("utf-8", "surrogatepass"), "🙂", ""]
)
async def test_a_strange_name_is_an_unknown_name(door: Door, name: Any) -> None:
    async with door.browser() as browser:
        csrf = csrf_in(await browser.get("/masuk"))
        fields = {"username": name, "password": name, "csrf": csrf}
        response = await browser.post("/masuk", data=fields)
    assert response.status_code == 401


# Sessions


async def test_a_session_ends_after_half_an_hour_without_use(door: Door) -> None:
    await door.add("petugas", "intake")
    token = await door.token("petugas")
    door.later(minutes=29)
    assert await door.whoami(token) == 200
    door.later(minutes=29)
    assert await door.whoami(token) == 200, "use keeps it"
    door.later(minutes=30)
    assert await door.whoami(token) == 401


async def test_a_session_ends_after_eight_hours_however_it_is_used(door: Door) -> None:
    await door.add("petugas", "intake")
    token = await door.token("petugas")
    for _ in range(23):
        door.later(minutes=20)
        assert await door.whoami(token) == 200
    door.later(minutes=20)
    assert await door.whoami(token) == 401


async def test_a_use_is_written_down_at_most_once_a_minute(door: Door) -> None:
    await door.add("petugas", "intake")
    token = await door.token("petugas")
    begun = door.now

    async def seen() -> Any:
        return (await door.rows("select seen_at from sessions"))[0][0]

    door.later(seconds=59)
    assert await door.whoami(token) == 200
    assert await seen() == begun
    door.later(seconds=1)
    assert await door.whoami(token) == 200
    assert await seen() == door.now


async def test_ended_sessions_are_swept(door: Door) -> None:
    await door.add("petugas", "intake")
    await door.token("petugas")
    door.later(hours=1)
    await door.token("petugas")
    assert await door.rows("select count(*) from sessions") == [(1,)]


async def renew(door: Door) -> None:
    await door.add("petugas", "treasurer")


async def disable(door: Door) -> None:
    assert await staff.disable(door.pool, "petugas")


async def sign_out(door: Door) -> None:
    assert await staff.sign_out(door.pool, "petugas") == 2


async def link(door: Door) -> None:
    assert await staff.link_oidc(door.pool, "petugas", "subject-1")


async def change_password(door: Door) -> None:
    account = await staff.by_username(door.pool, "petugas")
    assert account
    assert await staff.change_password(door.pool, account, "rak buku hijau tua sekali")


@pytest.mark.parametrize("change", [renew, disable, sign_out, link, change_password])
async def test_whatever_changes_an_account_ends_all_of_its_sessions(
    door: Door, change: Any
) -> None:
    await door.add("petugas", "intake")
    await door.add("lain", "intake")
    mine = [await door.token("petugas"), await door.token("petugas")]
    other = await door.token("lain")
    await change(door)
    assert [await door.whoami(token) for token in mine] == [401, 401]
    assert await door.whoami(other) == 200


async def test_a_disabled_account_opens_by_nothing_it_had(door: Door) -> None:
    made = await door.add("petugas", "intake")
    await disable(door)
    assert await door.whoami(made.token) == 401
    assert (await door.post_session("petugas")).status_code == 401


async def test_a_sign_in_that_meets_a_change_of_the_account_opens_nothing(door: Door) -> None:
    """Whichever comes first: no session of the former state stays open."""
    await door.add("petugas", "intake")
    account = await staff.by_username(door.pool, "petugas")
    assert account
    async with door.pool.connection() as connection:
        async with connection.transaction():
            await connection.execute(
                "update staff set roles = '{treasurer}', changed_at = clock_timestamp()"
            )
            meanwhile = asyncio.create_task(sessions.begin(door.pool, account, door.now))
            await asyncio.sleep(0.2)
            assert not meanwhile.done(), "it waits for the change"
        assert await meanwhile is None
    assert await door.rows("select * from sessions") == []


async def test_all_devices_can_be_signed_out_at_once(door: Door) -> None:
    await door.add("petugas", "intake")
    elsewhere = await door.token("petugas")
    async with door.browser() as browser:
        await door.enter(browser, "petugas")
        csrf = csrf_in(await browser.get("/", headers=HTML))
        await browser.post("/keluar", data={"csrf": csrf, "everywhere": "1"})
    assert await door.whoami(elsewhere) == 401
    token = await door.token("petugas")
    elsewhere = await door.token("petugas")
    async with door.browser(headers={"Authorization": f"Bearer {token}"}) as program:
        assert (await program.delete("/api/v1/sessions")).status_code == 204
    assert [await door.whoami(one) for one in (token, elsewhere)] == [401, 401]


async def test_an_api_token_is_no_session_that_could_be_closed(door: Door) -> None:
    made = await door.add("petugas", "intake")
    async with door.browser(headers={"Authorization": f"Bearer {made.token}"}) as program:
        response = await program.delete("/api/v1/sessions/current")
    assert response.status_code == 409
    assert response.json()["code"] == "NO_SESSION"
    assert await door.whoami(made.token) == 200


@pytest.mark.parametrize(
    "header", ["Basic cGV0dWdhczp4", "Bearer", "Bearer x", "Digest x", "", "x"]
)
async def test_a_cookie_never_stands_in_for_a_wrong_header(door: Door, header: str) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        await door.enter(browser, "petugas")
        assert (await browser.get("/api/v1/whoami")).status_code == 200
        response = await browser.get("/api/v1/whoami", headers={"Authorization": header} | HTML)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


async def test_username_and_password_on_a_request_open_nothing(door: Door) -> None:
    await door.add("petugas", "intake")
    async with door.browser(auth=("petugas", PASSWORD)) as program:
        response = await program.get("/api/v1/whoami")
    assert response.status_code == 401
    assert response.json()["code"] == "NO_ACCOUNT"


async def test_a_password_is_changed_by_who_knows_the_old_one(door: Door) -> None:
    await door.add("petugas", "intake")
    new = "rak buku hijau tua sekali"
    async with door.browser() as browser:
        await door.enter(browser, "petugas")
        session = cookie_of(browser)
        assert session
        csrf = csrf_in(await browser.get("/kata-sandi"))

        async def change(current: str, wanted: str) -> httpx.Response:
            fields = {"csrf": csrf, "current": current, "new": wanted}
            return await browser.post("/kata-sandi", data=fields)

        assert (await change("wrong", new)).status_code == 403
        response = await change(PASSWORD, "Kantor 53.71 petugas")
        assert response.status_code == 422
        assert "nama akun, kantor" in response.text
        assert await door.whoami(session) == 200
        assert (await change(PASSWORD, new)).status_code == 303
        assert await door.whoami(session) == 401
        assert (await door.enter(browser, "petugas")).status_code == 401
        assert (await door.enter(browser, "petugas", new)).status_code == 303


async def test_guessing_the_old_password_in_a_session_is_counted_too(door: Door) -> None:
    await door.add("petugas", "intake")
    async with door.browser() as browser:
        await door.enter(browser, "petugas")
        csrf = csrf_in(await browser.get("/kata-sandi"))
        fields = {"csrf": csrf, "current": "wrong", "new": "rak buku hijau tua sekali"}
        found = [(await browser.post("/kata-sandi", data=fields)).status_code for _ in range(6)]
    assert found == [403] * 5 + [429]


# Lock-out


async def tries(door: Door, username: str, number: int, **more: str) -> list[int]:
    given = {"password": "wrong"} | more
    return [(await door.post_session(username, **given)).status_code for _ in range(number)]


@pytest.mark.parametrize("username", ["petugas", "nobody"])
async def test_from_the_fifth_failure_on_a_name_waits_ever_longer(
    door: Door, username: str
) -> None:
    await door.add("petugas", "intake")
    assert await tries(door, username, 6) == [401] * 5 + [429]
    waits = []
    for _ in range(10):
        response = await door.post_session(username, "wrong")
        assert response.status_code == 429
        assert response.json()["code"] == "SIGN_IN_LATER"
        waits.append(int(response.headers["retry-after"]))
        door.later(seconds=waits[-1] - 1)
        assert await tries(door, username, 1) == [429]
        door.later(seconds=1)
        assert await tries(door, username, 1) == [401]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900]
    assert int((await door.post_session(username)).headers["retry-after"]) == 900


async def test_during_the_wait_the_right_password_is_refused_too(door: Door) -> None:
    await door.add("petugas", "intake")
    await tries(door, "petugas", 5)
    assert (await door.post_session("petugas")).status_code == 429
    door.later(seconds=2)
    assert (await door.post_session("petugas")).status_code == 201


async def test_a_success_lets_a_name_start_anew(door: Door) -> None:
    await door.add("petugas", "intake")
    await tries(door, "petugas", 4)
    assert (await door.post_session("petugas")).status_code == 201
    assert await door.rows("select * from sign_in_failures") == []
    assert await tries(door, "petugas", 6) == [401] * 5 + [429]


async def test_a_wrong_code_counts_as_a_failure(door: Door) -> None:
    made = await door.add("auditor", "auditor")
    found = await tries(door, "auditor", 6, password=PASSWORD, code="000000")
    assert found == [401] * 5 + [429]
    assert (await door.post_session("auditor", code=door.code(made))).status_code == 429


async def test_many_guesses_at_once_are_counted_like_one_after_the_other(door: Door) -> None:
    await door.add("petugas", "intake")
    found = await asyncio.gather(*(door.post_session("petugas", f"wrong {n}") for n in range(20)))
    statuses = [one.status_code for one in found]
    assert sorted(statuses) == [401] * 5 + [429] * 15


async def test_other_spellings_of_a_name_are_the_same_name(door: Door) -> None:
    await door.add("petugas", "intake")
    for username in ("petugas", "PETUGAS", " petugas", "petugas ", "ｐｅｔｕｇａｓ"):
        assert await tries(door, username, 1) == [401]
    assert await tries(door, "petugas", 1) == [429]


async def test_the_name_that_was_tried_is_nowhere_kept(door: Door) -> None:
    await tries(door, "a-password-typed-as-a-name", 3)
    text = repr(await door.rows("select sign_in_failures::text from sign_in_failures"))
    assert "failures" not in text
    assert "a-password" not in text
    assert b"a-password".hex() not in text


async def test_names_that_nobody_tried_for_a_day_are_forgotten(door: Door) -> None:
    await door.add("petugas", "intake")
    for number in range(3):
        await tries(door, f"nobody-{number}", 1)
    door.later(hours=23)
    await tries(door, "nobody-0", 1)
    door.later(hours=2)
    await door.token("petugas")
    assert await door.rows("select failures from sign_in_failures") == [(2,)]


async def every_refusal(door: Door) -> dict[str, httpx.Response]:
    made = await door.add("auditor", "auditor")
    await door.add("gone", "auditor")
    await staff.disable(door.pool, "gone")
    return {
        "unknown name": await door.post_session("nobody", code="000000"),
        "wrong password": await door.post_session("auditor", "wrong", door.code(made)),
        "wrong code": await door.post_session("auditor", code="000000"),
        "no code": await door.post_session("auditor"),
        "disabled": await door.post_session("gone", code="000000"),
    }


async def test_what_was_wrong_is_not_told(door: Door) -> None:
    answers = await every_refusal(door)
    assert {one.status_code for one in answers.values()} == {401}
    assert len({one.text for one in answers.values()}) == 1
    assert len({str(sorted(one.headers.items())) for one in answers.values()}) == 1
    assert answers["no code"].json()["code"] == "SIGN_IN_REFUSED"


async def test_each_attempt_costs_one_hash_whatever_is_wrong(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.add("petugas", "intake")
    await tries(door, "nobody", 1)
    verified: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, *given: Any) -> Any:
            verified.append("verified")
            return super().verify(*given)

    counting = Counting(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", counting)
    for username in ("nobody", "petugas"):
        verified.clear()
        await tries(door, username, 8)
        assert len(verified) == 8, "when the name is locked, too"


async def test_a_refusal_takes_half_a_second_whatever_is_wrong(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sign_in.REFUSAL_SECONDS == 0.0, "the tests are quick; the product is not"
    monkeypatch.undo()
    assert sign_in.REFUSAL_SECONDS == 0.5
    monkeypatch.setattr(passwords, "_HASHER", QUICK)
    await door.add("petugas", "intake")
    for username in ("petugas", "nobody"):
        for _ in range(6):
            started = time.monotonic()
            assert await tries(door, username, 1) in ([401], [429])
            assert 0.5 <= time.monotonic() - started < 1.0
    started = time.monotonic()
    door.later(minutes=1)
    await door.token("petugas")
    assert time.monotonic() - started < 0.5


async def test_more_attempts_than_can_be_hashed_are_told_to_come_later(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.add("petugas", "intake")
    monkeypatch.setattr(sign_in, "MOST_AT_ONCE", 3)
    found = await asyncio.gather(*(door.post_session(f"nobody-{n}") for n in range(12)))
    late = [one for one in found if one.status_code == 429]
    assert late
    assert {one.headers["retry-after"] for one in late} == {"5"}
    assert {one.status_code for one in found} == {401, 429}
    assert (await door.post_session("petugas")).status_code == 201


async def test_a_word_that_opens_once_opens_once(door: Door) -> None:
    found = await asyncio.gather(
        *(attempts.first_use(door.pool, "state", door.now) for _ in range(5))
    )
    assert sorted(found) == [False] * 4 + [True]


# Forged forms


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


# Pages and headers


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
    assert "script" not in policy


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
