"""The vault: ciphertext in the log, a key for each person, nothing to be moved or changed."""

from __future__ import annotations

import os

import pytest
from psycopg_pool import AsyncConnectionPool

from shared.kernel.store import Commit, Conflict, Store
from shared.kernel.vault import Unopened, Vault
from tests.kernel.counter import NOW

ONE, OTHER = "PM-0000000001", "PM-0000000002"


@pytest.fixture
def vault(pool: AsyncConnectionPool) -> Vault:
    return Vault(pool, b"k" * 32)


async def keep(vault: Vault, *items: tuple[str, str]) -> list[str]:
    """Seals, and commits the new keys as handling does."""
    texts, keys = await vault.seal(items)
    store = Store(vault._pool, "53.71")
    await store.append(Commit(at=NOW, keys=keys))
    await store.close()
    return texts


async def opened(vault: Vault, person: str, sealed: str) -> str:
    async with vault._pool.connection() as connection:
        (text,) = await vault.open(person, [sealed], connection)
    return text


async def test_two_who_draw_her_first_key_at_once_do_not_lose_a_text(vault: Vault) -> None:
    """The second one's commit is refused whole, and is decided anew with the key that stands."""
    _, keys = await vault.seal([(ONE, "a")])
    _, others = await vault.seal([(ONE, "b")])
    store = Store(vault._pool, "53.71")
    await store.append(Commit(at=NOW, keys=keys))
    with pytest.raises(Conflict):
        await store.append(Commit(at=NOW, keys=others))
    await store.close()


async def test_what_is_sealed_is_opened_again(vault: Vault) -> None:
    first, second = await keep(vault, (ONE, "teks contoh"), (ONE, "teks contoh"))
    assert first != second
    assert "teks" not in first
    assert await opened(vault, ONE, first) == "teks contoh"


async def test_a_text_cannot_be_moved_to_somebody_else(vault: Vault) -> None:
    sealed, _ = await keep(vault, (ONE, "a"), (OTHER, "b"))
    with pytest.raises(Unopened):
        await opened(vault, OTHER, sealed)


async def test_without_her_key_nothing_opens(vault: Vault, pool: AsyncConnectionPool) -> None:
    (sealed,) = await keep(vault, (ONE, "a"))
    async with pool.connection() as connection:
        await connection.execute("delete from person_keys")
    with pytest.raises(Unopened):
        await opened(vault, ONE, sealed)


async def test_another_office_key_opens_nothing(vault: Vault, pool: AsyncConnectionPool) -> None:
    (sealed,) = await keep(vault, (ONE, "a"))
    with pytest.raises(Unopened):
        await opened(Vault(pool, os.urandom(32)), ONE, sealed)


async def test_a_wrong_office_key_is_told_before_anybody_asks(
    vault: Vault, pool: AsyncConnectionPool
) -> None:
    await keep(vault, (ONE, "a"))
    await vault.check()
    with pytest.raises(Unopened):
        await Vault(pool, os.urandom(32)).check()
