"""The vault: ciphertext in the log, a key for each person, nothing to be moved or changed."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from shared.kernel import rotation
from shared.kernel.keyring import Keyring
from shared.kernel.keys import Unopened
from shared.kernel.store import Commit, Conflict, StaleKeys, Store
from shared.kernel.vault import Erased, Vault
from shared.runtime.key_file import SealedFile
from tests.conftest import PASSPHRASE, make_keyring
from tests.kernel.counter import NOW
from tests.servers import Servers

ONE, OTHER = "PM-0000000001", "PM-0000000002"


@pytest.fixture
async def vault(pool: AsyncConnectionPool, tmp_path: Path) -> Vault:
    return Vault(await make_keyring(pool, tmp_path, "53.71"))


async def keep(vault: Vault, *items: tuple[str, str]) -> list[str]:
    """Seals, and commits the new keys as handling does."""
    texts, keys = await vault.seal(items)
    store = Store(vault.keyring.pool, "53.71")
    await store.append(Commit(at=NOW, keys=keys))
    await store.close()
    return [text for text in texts if text is not None]


async def opened(vault: Vault, person: str, sealed: str) -> str | None:
    (text,) = await vault.open([(person, sealed)])
    return text


async def destroy(vault: Vault, *subjects: str) -> None:
    async with vault.keyring.pool.connection() as connection:
        await vault.destroy(connection, subjects)


async def test_two_who_draw_her_first_key_at_once_do_not_lose_a_text(vault: Vault) -> None:
    """The second one's commit is refused whole, and is decided anew with the key that stands."""
    _, keys = await vault.seal([(ONE, "a")])
    _, others = await vault.seal([(ONE, "b")])
    store = Store(vault.keyring.pool, "53.71")
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


async def test_a_changed_text_is_not_opened(vault: Vault) -> None:
    (sealed,) = await keep(vault, (ONE, "a"))
    for broken in (sealed[:-4] + "AAA=", sealed[:10], "s1.", "s1.%%%", "a"):
        with pytest.raises(Unopened):
            await opened(vault, ONE, broken)


async def test_without_her_key_nothing_opens_and_nothing_more_is_written(vault: Vault) -> None:
    (sealed, kept) = await keep(vault, (ONE, "a"), (OTHER, "b"))
    await destroy(vault, ONE)
    assert await opened(vault, ONE, sealed) is None
    assert await opened(vault, OTHER, kept) == "b"
    with pytest.raises(Erased):
        await vault.seal([(ONE, "again")])


async def test_a_key_drawn_before_an_erasure_is_not_committed_after_it(vault: Vault) -> None:
    """The slow writer's commit is refused: what was erased does not begin again."""
    _, keys = await vault.seal([(ONE, "a")])
    await destroy(vault, ONE)
    store = Store(vault.keyring.pool, "53.71")
    with pytest.raises(Conflict):
        await store.append(Commit(at=NOW, keys=keys))
    await store.close()


async def test_the_running_role_cannot_take_the_tombstone_of_a_person_away(
    vault: Vault, pool: AsyncConnectionPool
) -> None:
    await keep(vault, (ONE, "a"), ("handover-HO-1", "b"))
    await destroy(vault, ONE)
    async with pool.connection() as connection:
        cursor = await connection.execute("delete from person_keys returning subject")
        assert await cursor.fetchall() == [("handover-HO-1",)]


async def test_a_papers_key_may_begin_anew(vault: Vault) -> None:
    (old,) = await keep(vault, ("handover-HO-1", "a"))
    await destroy(vault, "handover-HO-1")
    (new,) = await keep(vault, ("handover-HO-1", "b"))
    assert await vault.open([("handover-HO-1", old), ("handover-HO-1", new)]) == [None, "b"]


async def test_in_a_new_epoch_everything_living_still_opens(vault: Vault) -> None:
    (sealed,) = await keep(vault, (ONE, "a"))
    keyring = vault.keyring
    assert await rotation.rotate(keyring) == 2
    assert list(keyring.provider.epochs()) == [2]
    assert await opened(vault, ONE, sealed) == "a"
    (later,) = await keep(vault, (ONE, "b"))
    assert await opened(vault, ONE, later) == "b"


async def test_more_keys_than_one_batch_are_moved(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH_KEYS", 3)
    texts = await keep(vault, *((f"PM-{n:010}", str(n)) for n in range(10)))
    await rotation.rotate(vault.keyring)
    found = await vault.open([(f"PM-{n:010}", text) for n, text in enumerate(texts)])
    assert found == [str(n) for n in range(10)]


async def test_a_key_wrapped_before_a_new_epoch_is_refused_and_sealed_anew(vault: Vault) -> None:
    """Committed after its epoch was destroyed, it would open nothing for ever."""
    _, keys = await vault.seal([(ONE, "a")])
    await rotation.rotate(vault.keyring)
    store = Store(vault.keyring.pool, "53.71")
    with pytest.raises(StaleKeys):
        await store.append(Commit(at=NOW, keys=keys))
    await store.close()
    (sealed,) = await keep(vault, (ONE, "a"))
    assert await opened(vault, ONE, sealed) == "a"


async def test_another_process_sees_the_new_epoch(
    vault: Vault, pool: AsyncConnectionPool, tmp_path: Path
) -> None:
    (sealed,) = await keep(vault, (ONE, "a"))
    file = SealedFile(tmp_path / "53.71.key", PASSPHRASE, "53.71")
    other = Vault(Keyring(pool, file, "53.71"))
    await other.keyring.refresh()
    await rotation.rotate(vault.keyring)
    assert await opened(other, ONE, sealed) == "a"
    (later,) = await keep(other, (OTHER, "b"))
    assert await opened(vault, OTHER, later) == "b"


@pytest.mark.parametrize("at", ["after the epoch was opened", "between two batches"])
async def test_a_rotation_that_was_killed_is_finished_later(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    texts = await keep(vault, *((f"PM-{n:010}", str(n)) for n in range(6)))
    monkeypatch.setattr(rotation, "BATCH_KEYS", 2)
    moved, move = [0], rotation._move_persons

    async def killed(*arguments: object) -> int:
        if at == "after the epoch was opened" or moved[0]:
            raise KeyboardInterrupt
        moved[0] += 1
        return await move(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rotation, "_move_persons", killed)
    with pytest.raises(KeyboardInterrupt):
        await rotation.rotate(vault.keyring)
    monkeypatch.undo()
    assert list(vault.keyring.provider.epochs()) == [1, 2]
    await vault.keyring.refresh()
    subjects = [f"PM-{n:010}" for n in range(6)]
    assert await vault.open(list(zip(subjects, texts, strict=True))) == list("012345")
    await rotation.finish(vault.keyring)
    assert list(vault.keyring.provider.epochs()) == [2]
    assert await vault.open(list(zip(subjects, texts, strict=True))) == list("012345")


async def test_a_destroyed_key_does_not_come_back_with_an_old_copy_of_its_table(
    vault: Vault, servers: Servers, pool: AsyncConnectionPool
) -> None:
    """As from an old backup or write-ahead log: it is wrapped by an epoch that is gone."""
    sealed, kept = await keep(vault, (ONE, "a"), (OTHER, "b"))
    with psycopg.connect(servers.owner(pool.conninfo)) as owner:
        copy = owner.execute("select subject, epoch, wrapped from person_keys").fetchall()
    await destroy(vault, ONE)
    await rotation.rotate(vault.keyring)
    with psycopg.connect(servers.owner(pool.conninfo)) as owner:
        current = owner.execute("select subject, epoch, wrapped from person_keys"
                                " where subject = %s", (OTHER,)).fetchall()  # fmt: skip
        owner.execute("delete from person_keys")
        for row in copy:
            owner.execute("insert into person_keys values (%s, %s, %s)", row)
    with pytest.raises(Unopened):
        await opened(vault, ONE, sealed)
    # The newest backup of the key table brings back all who live, and her not.
    with psycopg.connect(servers.owner(pool.conninfo)) as owner:
        owner.execute("delete from person_keys where subject = %s", (OTHER,))
        owner.execute("insert into person_keys values (%s, %s, %s)", current[0])
    assert await opened(vault, OTHER, kept) == "b"
    with pytest.raises(Unopened):
        await opened(vault, ONE, sealed)


async def test_an_epoch_that_something_still_needs_counts_as_alive(
    vault: Vault, pool: AsyncConnectionPool
) -> None:
    """Nothing is recorded as erased before the old epoch is gone."""
    (sealed,) = await keep(vault, (ONE, "a"))
    async with pool.connection() as other, other.transaction():
        await other.execute("select from person_keys where subject = %s for update", (ONE,))
        with pytest.raises(rotation.Unfinished):
            await rotation.rotate(vault.keyring)
    assert list(vault.keyring.provider.epochs()) == [1, 2]
    await rotation.finish(vault.keyring)
    assert list(vault.keyring.provider.epochs()) == [2]
    assert await opened(vault, ONE, sealed) == "a"
