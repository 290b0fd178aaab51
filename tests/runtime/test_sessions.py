"""Sessions: when they end, what ends them, and what the running software may do to them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg_pool import AsyncConnectionPool

from shared.runtime import attempts, sessions, staff
from tests.runtime.door import HTML, PASSWORD, Door, cookie_of, csrf_in


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


async def test_the_running_software_needs_no_more_than_its_own_rights(
    door: Door, pool: AsyncConnectionPool
) -> None:
    options = {"options": "-c role=pulang_running", "autocommit": True}
    async with AsyncConnectionPool(pool.conninfo, kwargs=options, open=False) as running:
        door.pool = door.app.state.office.pool = running
        assert await door.rows("select current_user::text") == [("pulang_running",)]
        made = await door.add("auditor", "auditor")
        made = await door.add("auditor", "auditor")
        assert await door.whoami(made.token) == 200
        assert [await fail(door) for _ in range(6)] == [401] * 5 + [429]
        door.later(minutes=2)
        token = await door.token("auditor", door.code(made))
        door.later(minutes=2)
        assert await door.whoami(token) == 200
        assert await attempts.first_use(running, "state", door.now)
        assert await staff.link_oidc(running, "auditor", "subject-1")
        account = await staff.by_username(running, "auditor")
        assert account
        assert await staff.change_password(running, account, "rak buku hijau tua sekali")
        assert await staff.every_account(running)
        assert await staff.sign_out(running, "auditor") == 0
        assert await staff.disable(running, "auditor")
        with pytest.raises(InsufficientPrivilege):
            await door.rows("delete from staff returning 1")
        with pytest.raises(InsufficientPrivilege):
            await door.rows("update staff set username = 'x' returning 1")


async def fail(door: Door) -> int:
    return (await door.post_session("auditor", "wrong")).status_code
