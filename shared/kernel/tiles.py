"""The log's Merkle tree on disk: full tiles, and proofs from them without reading the whole log.

A tile has the 256 hashes of one level whose parents make one node eight levels up, as in C2SP
tlog-tiles; `root` is that node. Only full tiles are kept, and each is written once: the hashes of
the last, partial tile of a level come from the events, or from the roots one level below. So a
proof reads a few tiles and at most 255 events, whatever the log's length.

All here is derived from the events: `pulang audit verify` derives it anew and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection

from shared.kernel.merkle import HASH_BYTES, Node, Span, leaf_hash, node_hash, nodes, root

TILE_LEVELS = 8
TILE_HASHES = 1 << TILE_LEVELS
STEP_TILES = 16
"""So many tiles of leaves are read and written at once: 4,096 events."""


async def extend(connection: AsyncConnection[Any], size: int) -> bool:
    """Writes the next full tiles of a log of `size` events; whether any is still missing.

    Call it in a transaction of its own, from one process at a time.
    """
    done = await _count(connection, 0)
    due = min(size // TILE_HASHES, done + STEP_TILES)
    if due > done:
        cursor = await connection.execute(
            "select body from events where position > %s and position <= %s order by position",
            (done * TILE_HASHES, due * TILE_HASHES),
        )
        leaves = [leaf_hash(bytes(body)) for (body,) in await cursor.fetchall()]
        await _write(connection, 0, done, leaves)
    level = 0
    while parents := await _count(connection, level) // TILE_HASHES:
        known = await _count(connection, level + 1)
        for tile in range(known, parents):
            children = await _roots(connection, level, tile)
            await _write(connection, level + 1, tile, children)
        level += 1
    return due < size // TILE_HASHES


async def hashes(connection: AsyncConnection[Any], spans: Sequence[Span]) -> list[bytes]:
    """The hash of each span of leaves: what a proof consists of, or a tree head.

    The tiles must have come as far as the spans (`extend`). Raises LookupError where they have not.
    """
    wanted = {node for span in spans for node in nodes(span)}
    found = await _hashes_of(connection, wanted)
    return [root(tuple(found[node] for node in nodes(span))) for span in spans]


async def _hashes_of(connection: AsyncConnection[Any], wanted: Iterable[Node]) -> dict[Node, bytes]:
    by_tile: dict[tuple[int, int], list[Node]] = {}
    for level, index in wanted:
        tile_level, height = divmod(level, TILE_LEVELS)
        by_tile.setdefault((tile_level, (index << height) >> TILE_LEVELS), []).append(
            (level, index)
        )
    cursor = await connection.execute(
        "select t.level, t.index, t.hashes from tiles t"
        " join unnest(%s::int[], %s::bigint[]) as w(level, index)"
        " on t.level = w.level and t.index = w.index",
        ([level for level, _ in by_tile], [index for _, index in by_tile]),
    )
    tiles = {(level, index): bytes(raw) for level, index, raw in await cursor.fetchall()}
    for place in by_tile.keys() - tiles.keys():
        tiles[place] = b"".join(await _partial(connection, *place))
    return {node: _within(tiles[place], *node) for place, some in by_tile.items() for node in some}


async def _partial(connection: AsyncConnection[Any], level: int, index: int) -> list[bytes]:
    """The hashes that there are yet of a tile that is not full."""
    if level:
        return await _roots(connection, level - 1, index)
    cursor = await connection.execute(
        "select body from events where position > %s and position <= %s order by position",
        (index * TILE_HASHES, (index + 1) * TILE_HASHES),
    )
    return [leaf_hash(bytes(body)) for (body,) in await cursor.fetchall()]


def _within(tile: bytes, level: int, index: int) -> bytes:
    height = level % TILE_LEVELS
    first = (index << height) % TILE_HASHES
    row = _split(tile)[first : first + (1 << height)]
    if len(row) != 1 << height:
        raise LookupError(f"the tiles have not come as far as node {index} of level {level}")
    return perfect_root(row)


def _split(tile: bytes) -> list[bytes]:
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def perfect_root(row: Sequence[bytes]) -> bytes:
    """The root of a perfect subtree."""
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


async def _count(connection: AsyncConnection[Any], level: int) -> int:
    cursor = await connection.execute(
        "select coalesce(max(index) + 1, 0) from tiles where level = %s", (level,)
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def _roots(connection: AsyncConnection[Any], level: int, parent: int) -> list[bytes]:
    cursor = await connection.execute(
        "select root from tiles where level = %s and index >= %s and index < %s order by index",
        (level, parent * TILE_HASHES, (parent + 1) * TILE_HASHES),
    )
    return [bytes(one) for (one,) in await cursor.fetchall()]


async def _write(
    connection: AsyncConnection[Any], level: int, first: int, row: Sequence[bytes]
) -> None:
    some = [row[at : at + TILE_HASHES] for at in range(0, len(row), TILE_HASHES)]
    await connection.execute(
        "insert into tiles (level, index, hashes, root)"
        " select %s, u.* from unnest(%s::bigint[], %s::bytea[], %s::bytea[]) as u",
        (
            level,
            list(range(first, first + len(some))),
            [b"".join(tile) for tile in some],
            [perfect_root(tile) for tile in some],
        ),
    )
