"""Nothing is open without an account, and every address asks for its role."""

from __future__ import annotations

import base64
import re

import pytest
from fastapi.routing import APIRoute

from shared.runtime import status
from shared.runtime.staff import ROLES, add_staff
from tests.system import story
from tests.system.offices import PASSWORD, Desk

OPEN = {"/health/live", "/health/ready"}


def addresses(desk: Desk) -> list[tuple[str, str]]:
    found = [
        (method, re.sub(r"{\w+}", "x", route.path))
        for route in desk.app.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]
    assert len(found) > 20
    return found


async def test_no_address_opens_without_an_account(city: Desk, province: Desk) -> None:
    every = [(desk, *address) for desk in (city, province) for address in addresses(desk)]
    for desk, method, path in every:
        response = await desk.http.request(method, path, json={})
        if path in OPEN:
            assert response.status_code in (200, 503)
        else:
            assert response.status_code == 401, (method, path)
            assert response.json()["code"] == "NO_ACCOUNT"


async def test_every_address_refuses_who_has_not_its_role(city: Desk, province: Desk) -> None:
    for desk in (city, province):
        service = desk.office.service
        for route in (*service.commands, *service.reads, *status.READS):
            others = sorted(ROLES - route.roles)
            if not others:
                continue
            path = re.sub(r"{\w+}", "x", route.path)
            is_command = route in service.commands
            headers = {
                "Authorization": f"Bearer {desk.tokens[others[0]]}",
                "Idempotency-Key": "access-key-1",
            }
            response = await desk.http.request(
                "POST" if is_command else "GET", f"/api/v1{path}", headers=headers, json={}
            )
            # A body that is not valid is told so before the role is looked at; nothing is done.
            assert response.status_code in (403, 422), (route.path, response.text)
            if not is_command:
                assert response.status_code == 403, route.path


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
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"issuer:wrong").decode(),
        "Basic " + base64.b64encode(b"nobody:wrong").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        "Digest x",
    ],
)
async def test_wrong_credentials_open_nothing(city: Desk, header: str) -> None:
    response = await city.http.get("/api/v1/operations", headers={"Authorization": header})
    assert response.status_code == 401


async def test_a_password_opens_as_a_token_does(city: Desk) -> None:
    response = await city.http.get("/api/v1/operations", auth=("auditor", PASSWORD))
    assert response.status_code == 200


async def test_neither_password_nor_token_stands_in_the_database(city: Desk) -> None:
    async with city.office.pool.connection() as connection:
        cursor = await connection.execute("select staff::text from staff")
        text = repr(await cursor.fetchall())
    assert PASSWORD not in text
    assert "$argon2id$" in text
    for token in city.tokens.values():
        assert token not in text
        assert token.removeprefix("pulang_") not in text


async def test_one_account_is_never_issuer_and_approver(city: Desk) -> None:
    """Rule 7."""
    with pytest.raises(ValueError, match="who issues does not approve"):
        await add_staff(city.office.pool, "both", frozenset({"issuer", "approver"}), PASSWORD)


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
