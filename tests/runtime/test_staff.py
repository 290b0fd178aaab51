"""Accounts: their roles, passwords, one-time codes and tokens."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher

from shared.runtime import passwords, staff
from shared.runtime.passwords import WeakPassword, check
from shared.runtime.staff import ROLES, ROLES_OF, add_staff, use_code
from tests.runtime.door import PASSWORD, Door, OneKey

WORDS = ("petugas.satu", "Dinas Sosial Kota Kupang", "53.71")


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "tanpa angka tanpa huruf besar",
        "éàü ñandú ÇaVa söder",
        "kata-sandi-contoh",
        "x7#Qp!m2^vL9&zR",
        "🙂 kambing 🙂 tangga 🙂",
    ],
)
def test_a_long_password_needs_no_kinds_of_characters(password: str) -> None:
    check(password, WORDS)


@pytest.mark.parametrize(
    "password",
    [
        "x7#Qp!m2^vL9&z",
        "passwordpassword",
        "123456789012345",
        "qwertyuiop12345",
        "aaaaaaaaaaaaaaaaaaaa",
        "rumahrumahrumah",
        "bismillahbismillah",
        "1qaz2wsx3edc4rfv",
    ],
)
def test_a_short_or_known_password_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword, match="Kata sandi"):
        check(password, WORDS)


@pytest.mark.parametrize(
    "password",
    [
        "petugas.satu-2026",
        "Dinas-Sosial-Kota-Kupang-53",
        "PulangPulang!!2026",
        "katasandi-kupang-1",
    ],
)
def test_a_password_made_of_the_accounts_and_offices_names_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword, match="nama akun"):
        check(password, WORDS)


def test_length_is_counted_after_normalising() -> None:
    ligatures = "ﬃ kz ﬃ wq ﬃ"
    assert len(ligatures) < 15 <= len(unicodedata.normalize("NFKC", ligatures))
    check(ligatures)
    combined = "e\u0301 kz o\u0308 wq a"
    assert len(combined) < 15
    with pytest.raises(WeakPassword, match="paling sedikit"):
        check(combined + "xyz")
    check("lampu bambu kuning sore " * 5 + "x" * 8)
    with pytest.raises(WeakPassword, match="paling banyak"):
        check("lampu bambu kuning sore " * 5 + "x" * 9)


async def test_the_same_password_typed_on_another_keyboard_opens() -> None:
    stored = await passwords.hashed("caf\u00e9 lampu bambu kuning")
    assert await passwords.fits(stored, "cafe\u0301 lampu bambu kuning")
    assert not await passwords.fits(stored, "cafe lampu bambu kuning")
    assert not await passwords.fits(None, "caf\u00e9 lampu bambu kuning")
    assert not await passwords.fits("no hash at all", PASSWORD)


async def test_a_weak_password_changes_no_account(door: Door) -> None:
    made = await door.add("petugas", "intake")
    before = await door.rows("select * from staff")
    with pytest.raises(WeakPassword):
        await add_staff(
            door.pool,
            "petugas",
            frozenset({"auditor"}),
            "kantor 53.71 pulang",
            kind="city",
            wrap=door.keyring,
            words=("Kantor 53.71", "53.71"),
        )
    assert await door.rows("select * from staff") == before
    assert await door.whoami(made.token) == 200


async def test_a_hash_is_renewed_at_sign_in_when_the_parameters_rose(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.add("petugas", "intake")
    ((old,),) = await door.rows("select password_hash from staff")
    assert "$m=64,t=1," in old
    await door.token("petugas")
    assert await door.rows("select password_hash from staff") == [(old,)]
    risen = PasswordHasher(time_cost=2, memory_cost=128, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", risen)
    token = await door.token("petugas")
    ((new,),) = await door.rows("select password_hash from staff")
    assert "$m=128,t=2," in new
    # The password is the same, so nothing ends by it.
    assert await door.whoami(token) == 200
    await door.token("petugas")


def test_the_hash_is_argon2id_with_at_least_the_parameters_of_rfc_9106() -> None:
    hasher = PasswordHasher()
    assert hasher.type.name == "ID"
    assert (hasher.memory_cost, hasher.time_cost) >= (64 * 1024, 3)


@pytest.mark.parametrize("kind", ["city", "province"])
async def test_an_office_has_only_the_roles_of_its_kind(door: Door, kind: Any) -> None:
    for role in sorted(ROLES):
        if role in ROLES_OF[kind]:
            await door.add(role, role, kind=kind)
        else:
            with pytest.raises(ValueError, match=f"roles at a {kind}"):
                await door.add(role, role, kind=kind)
    assert {name for (name,) in await door.rows("select username from staff")} == ROLES_OF[kind]


def test_cities_take_in_and_pay_and_provinces_receive() -> None:
    assert ROLES_OF["city"] - ROLES_OF["province"] == {"intake", "issuer", "treasurer"}
    assert ROLES_OF["province"] - ROLES_OF["city"] == {"reception", "case_worker"}


async def test_one_account_is_never_issuer_and_approver_nor_without_role(door: Door) -> None:
    for roles in (("issuer", "approver"), (), ("king",)):
        with pytest.raises(ValueError, match=r"approve|roles"):
            await door.add("petugas", *roles)
    with pytest.raises(ValueError, match="small letters"):
        await door.add("Petugas Satu", "intake")
    assert await door.rows("select * from staff") == []


async def test_who_approves_or_audits_gets_a_second_factor_and_others_may(door: Door) -> None:
    for role in ("approver", "auditor"):
        made = await door.add(role, role)
        assert made.totp_secret
        assert made.totp_uri
        assert made.totp_uri.startswith("otpauth://totp/Pulang:")
        assert made.totp_secret in made.totp_uri
    assert (await door.add("petugas", "intake")).totp_secret is None
    asked = await door.add("petugas", "intake", totp=True)
    renewed = await door.add("petugas", "intake")
    assert asked.totp_secret != renewed.totp_secret
    assert renewed.totp_secret, "renewing an account takes no second factor away"


async def test_no_secret_stands_readable_in_the_database(door: Door) -> None:
    made = await door.add("auditor", "auditor")
    session = await door.token("auditor", door.code(made))
    everything = repr(
        await door.rows("select staff::text from staff")
        + await door.rows("select staff_totp::text from staff_totp")
        + await door.rows("select sessions::text from sessions")
    )
    assert "$argon2id$" in everything
    assert made.totp_secret
    for secret in (PASSWORD, made.token, made.totp_secret, session):
        assert secret not in everything
        assert secret.encode().hex() not in everything


async def test_a_code_opens_once_and_none_before_it_opens_after_it(door: Door) -> None:
    made = await door.add("auditor", "auditor")

    async def use(steps: int) -> bool:
        code = door.code(made, steps)
        return await use_code(door.pool, door.keyring, "auditor", code, door.now)

    assert not await use(-2)
    assert not await use(2)
    assert await use(-1)
    assert not await use(-1)
    assert await use(1)
    assert not await use(0)
    assert not await use(1)
    door.later(seconds=60)
    assert await use(0)


@pytest.mark.parametrize("code", ["", "000000x", "12345", "1234567", "१२३४५६", "\0", "9" * 500])
async def test_what_is_no_code_opens_nothing(door: Door, code: str) -> None:
    await door.add("auditor", "auditor")
    assert not await use_code(door.pool, door.keyring, "auditor", code, door.now)


async def test_a_code_may_be_typed_with_a_gap(door: Door) -> None:
    made = await door.add("auditor", "auditor")
    code = door.code(made)
    gap = f" {code[:3]} {code[3:]} "
    assert await use_code(door.pool, door.keyring, "auditor", gap, door.now)


async def test_a_secret_opens_under_the_offices_key_and_for_its_account_alone(door: Door) -> None:
    made = await door.add("auditor", "auditor")
    other = await door.add("approver", "approver")
    code = door.code(made)
    assert not await use_code(door.pool, OneKey(), "auditor", code, door.now)
    async with door.pool.connection() as connection:
        await connection.execute(
            "update staff_totp set wrapped ="
            " (select wrapped from staff_totp where username = 'approver')"
        )
    stolen = door.code(other)
    assert not await use_code(door.pool, door.keyring, "auditor", stolen, door.now)
    assert await use_code(door.pool, door.keyring, "approver", stolen, door.now)


async def test_an_api_token_ends_after_ninety_days(door: Door) -> None:
    made = await door.add("petugas", "intake")
    assert made.token.startswith("pulang_")
    door.later(days=89)
    assert await door.whoami(made.token) == 200
    door.later(days=1, minutes=1)
    assert await door.whoami(made.token) == 401


async def test_renewing_an_account_ends_its_old_token(door: Door) -> None:
    old = await door.add("petugas", "intake")
    new = await door.add("petugas", "intake")
    assert await door.whoami(old.token) == 401
    assert await door.whoami(new.token) == 200


async def test_the_list_of_accounts_tells_how_each_signs_in_and_nothing_secret(door: Door) -> None:
    await door.add("auditor", "auditor")
    await door.add("petugas", "intake", "issuer")
    await door.token("petugas")
    assert await staff.link_oidc(door.pool, "auditor", "subject-1")
    assert await staff.disable(door.pool, "auditor")
    found = await staff.every_account(door.pool)
    ends_at = found[1].pop("token_expires_at")
    assert abs(ends_at - door.now - timedelta(days=90)) < timedelta(minutes=5)
    assert found == [
        {
            "username": "auditor", "roles": ["auditor"], "active": False,
            "token_expires_at": None, "oidc": True, "totp": True, "sessions": 0,
        },
        {
            "username": "petugas", "roles": ["intake", "issuer"], "active": True,
            "oidc": False, "totp": False, "sessions": 1,
        },
    ]  # fmt: skip


async def test_an_account_that_is_not_there_is_said_to_be_none(door: Door) -> None:
    assert not await staff.disable(door.pool, "nobody")
    assert not await staff.link_oidc(door.pool, "nobody", "subject-1")
    assert await staff.sign_out(door.pool, "nobody") == 0
