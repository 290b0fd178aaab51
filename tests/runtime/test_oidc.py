"""Signing in with the office's identity provider: a real one, and the ways it could be forged."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from shared.runtime import oidc, staff
from tests.runtime.door import Door, cookie_of, csrf_in
from tests.runtime.provider import BACK, Provider, configure, depart, travel


async def is_refused(door: Door, browser: httpx.AsyncClient, response: httpx.Response) -> bool:
    """Whether nothing was opened, in words that do not say why."""
    assert cookie_of(browser) is None
    assert await door.rows("select * from sessions") == []
    return response.status_code == 401 and "tidak membuka kantor ini" in response.text


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
async def test_who_is_known_to_the_provider_and_to_us_gets_in(
    office: Door, provider: Provider, alg: str
) -> None:
    provider.alg = alg
    async with office.browser() as browser:
        assert "/masuk/oidc" in (await browser.get("/masuk")).text
        response = await travel(browser)
        assert response.status_code == 200
        # A redirect would come from elsewhere, and the strict cookie would not be sent.
        assert '<meta http-equiv="refresh" content="0; url=/">' in response.text
        answer = await browser.get("/api/v1/whoami")
    assert answer.json()["username"] == "petugas"
    assert answer.json()["roles"] == ["intake"]


async def test_the_cookie_of_the_way_is_lax_short_and_sealed(office: Door) -> None:
    async with office.browser() as browser:
        response = await browser.get("/masuk/oidc")
        cookie = response.headers["set-cookie"].lower()
        value = browser.cookies[oidc.COOKIE]
        assert cookie.startswith("__host-pulang-oidc=")
        for mark in ("samesite=lax", "max-age=600", "secure", "httponly", "path=/"):
            assert mark in cookie
        state = httpx.URL(response.headers["location"]).params["state"]
        assert state not in value
        await travel(browser)
        assert oidc.COOKIE not in browser.cookies


async def test_a_client_without_a_secret_relies_on_pkce(office: Door, provider: Provider) -> None:
    provider.client_secret = None
    configure(office, provider)
    async with office.browser() as browser:
        assert (await travel(browser)).status_code == 200


async def test_a_provider_may_change_its_keys_at_any_time(office: Door, provider: Provider) -> None:
    for _ in range(2):
        provider.draw_keys()
        async with office.browser() as browser:
            assert (await travel(browser)).status_code == 200


async def test_nobody_is_let_in_or_made_who_has_no_active_account(
    office: Door, provider: Provider
) -> None:
    accounts = await office.rows("select * from staff")
    provider.subject = "subject-2"
    async with office.browser() as browser:
        assert await is_refused(office, browser, await travel(browser))
    assert await office.rows("select * from staff") == accounts
    provider.subject = "subject-1"
    await staff.disable(office.pool, "petugas")
    async with office.browser() as browser:
        assert await is_refused(office, browser, await travel(browser))


# Second factors


@pytest.mark.parametrize("amr", [["pwd", "otp"], ["mfa"], ["hwk"]])
async def test_the_providers_second_factor_is_enough_for_an_auditor(
    office: Door, provider: Provider, amr: list[str]
) -> None:
    await office.add("auditor", "auditor")
    await staff.link_oidc(office.pool, "auditor", "subject-2")
    provider.subject, provider.amr = "subject-2", amr
    async with office.browser() as browser:
        await travel(browser)
        assert (await browser.get("/api/v1/whoami")).json()["username"] == "auditor"


@pytest.mark.parametrize("amr", [None, [], ["pwd"], ["sms"], "mfa", {"mfa": True}, [["mfa"]], 1])
async def test_an_auditor_without_it_gives_our_code_afterwards(
    office: Door, provider: Provider, amr: Any
) -> None:
    made = await office.add("auditor", "auditor")
    await staff.link_oidc(office.pool, "auditor", "subject-2")
    provider.subject, provider.amr = "subject-2", amr
    async with office.browser() as browser:
        response = await travel(browser)
        assert cookie_of(browser) is None
        fields = {"csrf": csrf_in(response), "code": "000000"}
        response = await browser.post("/masuk/oidc", data=fields)
        assert response.status_code == 401
        assert cookie_of(browser) is None
        fields |= {"code": office.code(made)}
        without = await browser.post("/masuk/oidc", data=fields | {"csrf": ""})
        assert without.status_code == 403
        assert (await browser.post("/masuk/oidc", data=fields)).status_code == 200
        assert (await browser.get("/api/v1/whoami")).json()["username"] == "auditor"
        assert await office.rows("select * from sign_in_failures where failures > 0") == []


async def test_guessing_that_code_is_counted_and_the_way_ends(
    office: Door, provider: Provider
) -> None:
    made = await office.add("auditor", "auditor")
    await staff.link_oidc(office.pool, "auditor", "subject-2")
    provider.subject = "subject-2"
    async with office.browser() as browser:
        fields = {"csrf": csrf_in(await travel(browser)), "code": "000000"}
        found = [await browser.post("/masuk/oidc", data=fields) for _ in range(6)]
        assert [one.status_code for one in found] == [401] * 5 + [429]
        assert found[-1].headers["retry-after"] == "2"
        fields |= {"code": office.code(made)}
        assert (await browser.post("/masuk/oidc", data=fields)).status_code == 429
        office.later(minutes=11)
        fields |= {"code": office.code(made)}
        response = await browser.post("/masuk/oidc", data=fields)
        assert await is_refused(office, browser, response)


async def test_who_is_halfway_in_when_her_account_changes_starts_again(
    office: Door, provider: Provider
) -> None:
    await office.add("auditor", "auditor")
    await staff.link_oidc(office.pool, "auditor", "subject-2")
    provider.subject = "subject-2"
    async with office.browser() as browser:
        fields = {"csrf": csrf_in(await travel(browser))}
        made = await office.add("auditor", "auditor")
        response = await browser.post("/masuk/oidc", data=fields | {"code": office.code(made)})
        assert await is_refused(office, browser, response)


# Forgery


async def test_a_token_signed_by_another_key_is_refused(office: Door, provider: Provider) -> None:
    rsa = RSAKey.generate_key(2048, {"kid": provider.rsa.kid})
    ec = ECKey.generate_key("P-256", {"kid": provider.ec.kid})
    stranger = RSAKey.generate_key(2048, {"kid": "stranger"})
    forgeries = [
        lambda claims: provider.signed(claims, rsa, "RS256"),
        lambda claims: provider.signed(claims, ec, "ES256"),
        lambda claims: provider.signed(claims, stranger, "RS256"),
        provider.unsigned,
        provider.signed_with_the_public_key,
        lambda claims: provider.signed(claims)[:-8] + "AAAAAAAA",
        lambda claims: provider.signed(claims, None, "RS512"),
        lambda claims: provider.unsigned(claims) + provider.signed(claims).split(".")[2],
        lambda claims: "x",
        lambda claims: "..",
        lambda claims: "",
    ]
    for number, sign in enumerate(forgeries):
        provider.sign = sign
        async with office.browser() as browser:
            assert await is_refused(office, browser, await travel(browser)), number
    provider.sign = None
    async with office.browser() as browser:
        assert (await travel(browser)).status_code == 200, "the provider itself was fine"


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"aud": None},
        {"aud": ["pulang-53.71", "another-client"]},
        {"aud": ["pulang-53.71", "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"iat": 1_000_000_000},
        {"iat": 9_999_999_999},
        {"iat": None},
        {"nbf": 9_999_999_999},
        {"nbf": "x"},
        {"sub": None},
        {"sub": ""},
        {"sub": 1},
        {"sub": ["subject-1"]},
    ],
)
async def test_a_token_that_is_not_for_this_sign_in_is_refused(
    office: Door, provider: Provider, lie: dict[str, Any]
) -> None:
    def change(claims: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in (claims | lie).items() if value is not None}

    provider.change = change
    async with office.browser() as browser:
        assert await is_refused(office, browser, await travel(browser))


async def test_a_token_for_several_of_us_names_us_as_the_one_who_asked(
    office: Door, provider: Provider
) -> None:
    provider.change = lambda claims: claims | {"aud": ["x", "pulang-53.71"], "azp": "pulang-53.71"}
    async with office.browser() as browser:
        assert (await travel(browser)).status_code == 200


async def test_a_way_is_gone_once_even_if_the_provider_would_bear_more(
    office: Door, provider: Provider
) -> None:
    provider.forgets_codes = False
    async with office.browser() as browser:
        location = await depart(browser)
        cookies = {oidc.COOKIE: browser.cookies[oidc.COOKIE]}
        assert (await browser.get(location)).status_code == 200
        assert (await browser.get(location)).status_code == 401, "the cookie is gone"
    exchanges = provider.exchanges
    await staff.sign_out(office.pool, "petugas")
    async with office.browser(cookies=cookies) as thief:
        assert await is_refused(office, thief, await thief.get(location))
    assert provider.exchanges == exchanges, "the provider was not even asked"


async def test_an_answer_opens_only_in_the_browser_that_asked(
    office: Door, provider: Provider
) -> None:
    """Else somebody could have a victim sign in as him."""
    async with office.browser() as attacker, office.browser() as victim:
        location = await depart(attacker)
        assert await is_refused(office, victim, await victim.get(location))
        await victim.get("/masuk/oidc")
        assert await is_refused(office, victim, await victim.get(location))
    assert provider.exchanges == 0


async def test_a_code_that_was_given_to_another_browser_is_none(
    office: Door, provider: Provider
) -> None:
    """PKCE: the state is right, the code is somebody else's."""
    async with office.browser() as attacker, office.browser() as victim:
        stolen = httpx.URL(await depart(victim)).params["code"]
        location = httpx.URL(await depart(attacker)).copy_set_param("code", stolen)
        assert await is_refused(office, attacker, await attacker.get(location))
    assert provider.exchanges == 1


@pytest.mark.parametrize(
    "change",
    [
        {"state": "x"},
        {"state": ""},
        {"iss": "https://evil.example"},
        {"code": None, "error": "access_denied"},
        {"code": "unknown"},
    ],
)
async def test_an_answer_that_was_changed_on_the_way_is_refused(
    office: Door, change: dict[str, Any]
) -> None:
    async with office.browser() as browser:
        params = dict(httpx.URL(await depart(browser)).params) | change
        given = {name: value for name, value in params.items() if value is not None}
        assert await is_refused(office, browser, await browser.get(BACK, params=given))


async def test_a_way_that_took_too_long_or_a_cookie_of_another_kind_is_refused(
    office: Door, provider: Provider
) -> None:
    async with office.browser() as browser:
        location = await depart(browser)
        office.later(minutes=11)
        assert await is_refused(office, browser, await browser.get(location))
    for cookie in ("", "x", "1.", "1.AAAA", "x.AAAA", "99999999999999999999.AAAA"):
        async with office.browser(cookies={oidc.COOKIE: cookie}) as browser:
            assert await is_refused(office, browser, await browser.get(location))
    await office.add("auditor", "auditor")
    await staff.link_oidc(office.pool, "auditor", "subject-2")
    provider.subject = "subject-2"
    async with office.browser() as browser:
        await travel(browser)
        assert await is_refused(office, browser, await browser.get(location))
