"""What the tests of the runtime share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher
from psycopg_pool import AsyncConnectionPool

from shared.runtime import passwords, sign_in, staff
from tests.runtime.door import Door
from tests.runtime.provider import Provider, configure, serve

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
def door(pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch) -> Door:
    """A door whose hashes and refusals are quick; how slow they are is a test of its own."""
    monkeypatch.setattr(passwords, "_HASHER", QUICK)
    monkeypatch.setattr(sign_in, "REFUSAL_SECONDS", 0.0)
    return Door(pool)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    one = Provider()
    async with serve(one.app()) as address:
        one.issuer = address
        yield one


@pytest.fixture
async def office(door: Door, provider: Provider) -> Door:
    """A door that knows the provider, with two people who are known there."""
    configure(door, provider)
    await door.add("petugas", "intake")
    await staff.link_oidc(door.pool, "petugas", "subject-1")
    return door
