"""Nothing is open without an account, every address asks for its role, and sign-in gives both."""

from __future__ import annotations

import base64
import re

import httpx
import pyotp
import pytest
from fastapi.routing import APIRoute

from shared.runtime import custody_routes, staff
from shared.runtime.gate import SECURITY_HEADERS
from shared.runtime.staff import ROLES_OF, SECOND_FACTOR, NewAccount
from shared.runtime.web import reads_of
from tests.system import story
from tests.system.offices import PASSWORD, Desk

OPEN = {
    ("GET", "/health/live"): {200},
    ("GET", "/health/ready"): {200, 503},
    ("GET", "/masuk"): {200},
    ("POST", "/masuk"): {403, 422},
    ("POST", "/api/v1/sessions"): {422},
    ("GET", "/masuk/oidc"): {404},
    ("POST", "/masuk/oidc"): {404, 422},
    ("GET", "/masuk/oidc/kembali"): {404},
    ("GET", "/periksa"): {200},
}
"""What opens without an account, and what it answers to who says nothing there."""
PURPOSE = {"purpose": "identity_check"}
"""Without one nothing sealed is opened; where nothing is, it is not looked at."""


def addresses(desk: Desk) -> list[tuple[str, str]]:
    found = [
        (method, re.sub(r"{\w+}", "x", route.path))
        for route in desk.app.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]
    assert len(found) > 20
    return found


async def sign_in(desk: Desk, account: NewAccount, username: str) -> str:
    """The session's token."""
    code = pyotp.TOTP(account.totp_secret).now() if account.totp_secret else ""
    body = {"username": username, "password": PASSWORD, "code": code}
    response = await desk.http.post("/api/v1/sessions", json=body)
    assert response.status_code == 201, response.text
    token: str = response.json()["token"]
    return token


async def test_no_address_opens_without_an_account(city: Desk, province: Desk) -> None:
    for desk in (city, province):
        found = addresses(desk)
        assert set(OPEN) <= set(found)
        for method, path in found:
            response = await desk.http.request(method, path, json={})
            if (method, path) in OPEN:
                assert response.status_code in OPEN[method, path], (method, path)
            else:
                assert response.status_code == 401, (method, path)
                assert response.json()["code"] == "NO_ACCOUNT"
            for name, value in SECURITY_HEADERS.items():
                assert response.headers[name] == value, (method, path, name)


async def test_a_browser_without_an_account_is_led_to_the_sign_in_page(city: Desk) -> None:
    for path in ("/", "/openapi.json", "/api/v1/operations", "/kata-sandi", "/nowhere"):
        response = await city.http.get(path, headers={"Accept": "text/html"})
        assert (response.status_code, response.headers["location"]) == (303, "/masuk")


async def test_every_address_refuses_who_has_not_its_role(city: Desk, province: Desk) -> None:
    for desk in (city, province):
        service = desk.office.service
        commands = (*service.commands, *custody_routes.commands(service.kind))
        for route in (*commands, *reads_of(service)):
            for role in sorted(ROLES_OF[service.kind] - route.roles):
                path = re.sub(r"{\w+}", "x", route.path)
                is_command = route in commands
                headers = {
                    "Authorization": f"Bearer {desk.tokens[role]}",
                    "Idempotency-Key": "access-key-1",
                }
                response = await desk.http.request(
                    "POST" if is_command else "GET",
                    f"/api/v1{path}",
                    params=None if is_command else PURPOSE,
                    headers=headers,
                    json={},
                )
                # A body that is not valid is told so before the role is looked at.
                assert response.status_code in (403, 422), (role, route.path, response.text)
                if not is_command:
                    assert response.status_code == 403, (role, route.path)


async def test_a_role_that_fits_not_is_refused_whatever_is_sent(city: Desk) -> None:
    response = await city.send("auditor", "/operations", story.OPERATION)
    assert response.status_code == 403
    assert response.json()["code"] == "ROLE_MISSING"
    assert await city.size() == 0


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer pulang_wrong",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(f"intake:{PASSWORD}".encode()).decode(),
        "Digest x",
    ],
)
async def test_wrong_credentials_open_nothing(city: Desk, header: str) -> None:
    response = await city.http.get("/api/v1/operations", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


async def test_each_role_signs_in_at_its_office_and_reads_what_its_token_reads(
    city: Desk, province: Desk
) -> None:
    for desk in (city, province):
        for role in sorted(ROLES_OF[desk.office.service.kind]):
            account = await desk.account(f"one-{role}", role)
            assert bool(account.totp_secret) == (role in SECOND_FACTOR)
            token = await sign_in(desk, account, f"one-{role}")
            for read in reads_of(desk.office.service):
                if "{" in read.path:
                    continue
                headers = {"Authorization": f"Bearer {token}"}
                response = await desk.http.get(
                    f"/api/v1{read.path}", params=PURPOSE, headers=headers
                )
                assert (response.status_code == 403) == (role not in read.roles), (role, read.path)


async def test_an_office_gives_no_role_of_another_kind(city: Desk, province: Desk) -> None:
    for desk, role in ((city, "case_worker"), (province, "issuer")):
        with pytest.raises(ValueError, match="roles at a"):
            await desk.account("petugas", role)


async def test_a_session_ends_when_its_account_is_disabled(city: Desk) -> None:
    account = await city.account("petugas", "intake")
    headers = {"Authorization": f"Bearer {await sign_in(city, account, 'petugas')}"}
    assert (await city.http.get("/api/v1/operations", headers=headers)).status_code == 200
    assert await staff.disable(city.office.pool, "petugas")
    assert (await city.http.get("/api/v1/operations", headers=headers)).status_code == 401


async def test_a_command_from_a_browser_needs_the_token_of_a_page(city: Desk) -> None:
    await city.account("petugas", "issuer")
    transport = httpx.ASGITransport(app=city.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://office") as browser:
        csrf = re.findall(r'name="csrf" value="(\w+)"', (await browser.get("/masuk")).text)[0]
        fields = {"username": "petugas", "password": PASSWORD, "csrf": csrf}
        assert (await browser.post("/masuk", data=fields)).status_code == 303
        csrf = re.findall(r'name="csrf" value="(\w+)"', (await browser.get("/")).text)[0]
        key = {"Idempotency-Key": "browser-key-1"}

        async def post(**headers: str) -> int:
            sent = key | {name.replace("_", "-"): value for name, value in headers.items()}
            body = story.OPERATION
            return (await browser.post("/api/v1/operations", json=body, headers=sent)).status_code

        assert await post() == 403
        assert await post(X_CSRF_Token="0" * 64) == 403
        assert await post(X_CSRF_Token=csrf, Sec_Fetch_Site="cross-site") == 403
        assert await city.size() == 0
        assert await post(X_CSRF_Token=csrf) == 201
        assert await city.size() > 0


async def test_every_link_of_the_page_of_what_can_be_read_leads_somewhere(city: Desk) -> None:
    """What needs more than an address is shown with what is to be filled in."""
    for role, token in city.tokens.items():
        headers = {"Authorization": f"Bearer {token}"}
        page = (await city.http.get("/baca", headers=headers)).text
        links = re.findall(r'href="(/api/[^"]*)"', page)
        for link in links:
            assert (await city.http.get(link, headers=headers)).status_code == 200, (role, link)
        shown = "<code>/api/v1/changes?from={from}&amp;to={to}</code>" in page
        assert (len(links) > 1, shown) == (True, role in ("auditor", "admin")), role


async def test_neither_password_nor_token_stands_in_the_database(city: Desk) -> None:
    account = await city.account("petugas", "auditor")
    session = await sign_in(city, account, "petugas")
    assert account.totp_secret
    async with city.office.pool.connection() as connection:
        cursor = await connection.execute(
            "select staff::text from staff union all select staff_totp::text from staff_totp"
            " union all select sessions::text from sessions"
        )
        text = repr(await cursor.fetchall())
    assert "$argon2id$" in text
    secrets = (PASSWORD, session, account.totp_secret, account.token, *city.tokens.values())
    for secret in secrets:
        for part in (secret, secret.removeprefix("pulang_")):
            assert part not in text
            assert part.encode().hex() not in text


async def test_one_account_is_never_issuer_and_approver(city: Desk) -> None:
    """Rule 7."""
    with pytest.raises(ValueError, match="who issues does not approve"):
        await city.account("both", "issuer", "approver")


async def test_issuer_and_approver_are_two_people(city: Desk) -> None:
    """Rule 7: and the signatory's authority is valid at the date of the deed."""
    await story.open_operation(city)
    persons = await story.register(city, story.intake_row())
    await story.draft(city, persons)
    await city.post("issuer", "/handovers/HO-1/submission")
    approval = {"signatory": "kepala", "deed_date": "2020-01-01"}
    path = "/handovers/HO-1/approval"
    assert await city.refused("approver", path, approval) == "AUTHORITY_NOT_VALID"
    await city.post("approver", path, approval | {"deed_date": "2019-12-31"})


async def test_the_api_describes_itself_to_staff(city: Desk) -> None:
    response = await city.http.get(
        "/openapi.json", headers={"Authorization": f"Bearer {city.tokens['operator']}"}
    )
    paths = response.json()["paths"]
    for route in city.office.service.commands:
        assert "post" in paths[f"/api/v1{route.path}"]
    for read in city.office.service.reads:
        assert "get" in paths[f"/api/v1{read.path}"]
    assert "post" in paths["/api/v1/sessions"]
