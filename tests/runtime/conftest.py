"""What the tests of the runtime share."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from psycopg_pool import AsyncConnectionPool

from shared.runtime import passwords, sign_in
from tests.runtime.door import Door

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
def door(pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch) -> Door:
    """A door whose hashes and refusals are quick; how slow they are is a test of its own."""
    monkeypatch.setattr(passwords, "_HASHER", QUICK)
    monkeypatch.setattr(sign_in, "REFUSAL_SECONDS", 0.0)
    return Door(pool)
