"""The Merkle tree of RFC 9162 (section 2.1), SHA-256: appending, and proofs. Pure.

The frontier of a tree of n leaves holds the roots of its perfect subtrees, largest first: one
hash for each bit that is set in n. It is all that appending needs, whatever the log's length.

A proof is a list of hashes, each of a span of leaves; which spans those are follows from the sizes
alone. A span is the leaves from `start` up to and without `end`, made of perfect subtrees, each a
node: its level (0: a leaf) and its index there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32

Span = tuple[int, int]
Node = tuple[int, int]


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def extend(size: int, frontier: tuple[bytes, ...], leaves: Iterable[bytes]) -> tuple[bytes, ...]:
    """The frontier after `leaves` (raw bytes) were appended to a tree of `size` leaves."""
    stack = list(frontier)
    for leaf in leaves:
        node, carry = leaf_hash(leaf), size
        while carry & 1:
            node = node_hash(stack.pop(), node)
            carry >>= 1
        stack.append(node)
        size += 1
    return tuple(stack)


def root(frontier: tuple[bytes, ...]) -> bytes:
    """The tree head: the subtrees folded from the right; of no leaves, the hash of nothing."""
    if not frontier:
        return sha256(b"").digest()
    node = frontier[-1]
    for left in reversed(frontier[:-1]):
        node = node_hash(left, node)
    return node


def nodes(span: Span) -> list[Node]:
    """The perfect subtrees that a span is made of, largest first. Its start is aligned to them."""
    found: list[Node] = []
    start, end = span
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def inclusion_spans(index: int, size: int) -> list[Span]:
    """What proves that leaf `index` (from 0) is in the tree of `size` (2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    spans: list[Span] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            spans.append((split, end))
            end = split
        else:
            spans.append((start, split))
            start = split
    return spans[::-1]


def consistency_spans(old: int, size: int) -> list[Span]:
    """What proves that the tree of `old` leaves is a prefix of that of `size` (2.1.4.1)."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} has no prefix of {old}")
    if old in (0, size):
        return []
    spans: list[Span] = []
    start, end = 0, size
    while old != end:
        split = start + _split(end - start)
        if old <= split:
            spans.append((split, end))
            end = split
        else:
            spans.append((start, split))
            start = split
    if start:
        spans.append((start, end))
    return spans[::-1]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], head: bytes) -> bool:
    """Whether the proof leads from a leaf's hash to the tree's head (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, at, last = leaf, index, size - 1
    for other in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(other, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, other)
        at, last = at >> 1, last >> 1
    return last == 0 and node == head


def consistent(old: int, size: int, old_head: bytes, head: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows the tree of `old` leaves to be a prefix of that of `size` (RFC 9162,
    2.1.4.2).
    """
    if not 0 <= old <= size:
        return False
    if old == 0:
        return not proof and old_head == root(())
    if old == size:
        return not proof and old_head == head
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_head)
    if not path:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            older, newer = node_hash(other, older), node_hash(other, newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, other)
        at, last = at >> 1, last >> 1
    return last == 0 and older == old_head and newer == head
