"""Signing in: what opens, what is told to whom it does not, and how long a name waits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from shared.runtime import attempts, passwords, sign_in, staff
from tests.runtime.conftest import QUICK
from tests.runtime.door import HTML, PASSWORD, Door, cookie_of, csrf_in


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
