"""Checkpoints of a growing log, proven from tiles; and a log that is not what was signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from shared.kernel import merkle, note, tiles
from shared.kernel.checkpoints import Checkpoints, HistoryBroken, latest
from shared.kernel.keyring import Keyring, read_verifier_key
from shared.kernel.note import Checkpoint
from shared.kernel.store import Commit, Store
from tests.conftest import make_keyring
from tests.kernel.counter import NOW
from tests.kernel.test_store import event

SIZES = (1, 2, 3, 255, 256, 257, 600)


@pytest.fixture
async def keyring(pool: AsyncConnectionPool, tmp_path: Path) -> AsyncIterator[Keyring]:
    yield await make_keyring(pool, tmp_path, "53.71")


async def grow(store: Store, stream: str, number: int) -> None:
    await store.append(Commit(at=NOW, events=[event(stream, n + 1) for n in range(number)]))


async def newest(pool: AsyncConnectionPool) -> Checkpoint | None:
    async with pool.connection() as connection:
        return await latest(connection)


async def test_each_checkpoint_is_signed_and_says_the_trees_head(
    pool: AsyncConnectionPool, store: Store, keyring: Keyring
) -> None:
    checkpoints = Checkpoints(keyring)
    assert await checkpoints.step(NOW) == 0
    assert await newest(pool) is None
    size = 0
    ((_, line),) = await keyring.public()
    key_id, public = read_verifier_key("53.71", line)
    verifier = note.Ed25519PublicKey.from_public_bytes(public)
    for wanted in SIZES:
        await grow(store, f"s{wanted}", wanted - size)
        size = wanted
        while await checkpoints.step(NOW):
            pass
        made = await newest(pool)
        assert made is not None
        bodies = [one.body for one in await store.read(0, 10_000)]
        assert (made.size, made.head) == (size, merkle.root(merkle.extend(0, (), bodies)))
        assert note.signs(made, key_id, verifier)
        assert note.parse(made.note) == made


async def test_every_proof_from_tiles_is_that_of_the_tree(
    pool: AsyncConnectionPool, store: Store, keyring: Keyring
) -> None:
    checkpoints = Checkpoints(keyring)
    await grow(store, "a", 1_500)
    while await checkpoints.step(NOW):
        pass
    bodies = [one.body for one in await store.read(0, 10_000)]
    heads = {n: merkle.root(merkle.extend(0, (), bodies[:n])) for n in (1, 255, 256, 300, 1_500)}
    async with pool.connection() as connection:
        for old in heads:
            proof = await tiles.hashes(connection, merkle.consistency_spans(old, 1_500))
            assert merkle.consistent(old, 1_500, heads[old], heads[1_500], proof)
            assert len(proof) <= 12
        for index in (0, 1, 254, 255, 256, 1_279, 1_280, 1_499):
            proof = await tiles.hashes(connection, merkle.inclusion_spans(index, 1_500))
            leaf = merkle.leaf_hash(bodies[index])
            assert merkle.included(leaf, index, 1_500, proof, heads[1_500])


async def test_a_log_that_was_rewritten_with_its_head_gets_no_checkpoint(
    pool: AsyncConnectionPool, store: Store, keyring: Keyring, owner: psycopg.Connection[object]
) -> None:
    checkpoints = Checkpoints(keyring)
    await grow(store, "a", 5)
    await checkpoints.step(NOW)
    bodies = [one.body for one in await store.read(0, 10)]
    bodies[2] = bodies[2].replace(b"tester", b"zester")
    owner.execute("update events set body = %s where position = 3", (bodies[2],))
    frontier = b"".join(merkle.extend(0, (), bodies))
    owner.execute("update log_head set frontier = %s", (frontier,))
    with pytest.raises(HistoryBroken, match="signed a checkpoint at 5"):
        await checkpoints.step(NOW)
    await Store(pool, "53.71").append(Commit(at=NOW, events=[event("b", 1)]))
    with pytest.raises(HistoryBroken, match="does not extend"):
        await checkpoints.step(NOW)
    made = await newest(pool)
    assert made is not None
    assert made.size == 5


async def test_a_log_that_was_cut_gets_no_checkpoint(
    pool: AsyncConnectionPool, store: Store, keyring: Keyring, owner: psycopg.Connection[object]
) -> None:
    checkpoints = Checkpoints(keyring)
    await grow(store, "a", 5)
    await checkpoints.step(NOW)
    bodies = [one.body for one in await store.read(0, 4)]
    owner.execute("delete from events where position = 5")
    frontier = b"".join(merkle.extend(0, (), bodies))
    owner.execute("update log_head set size = 4, frontier = %s", (frontier,))
    with pytest.raises(HistoryBroken, match="ends at 4"):
        await checkpoints.step(NOW)
