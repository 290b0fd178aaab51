"""The Merkle tree of RFC 9162 (section 2.1), SHA-256, kept as a frontier.

The frontier of a tree of n leaves holds the roots of its perfect subtrees, largest first: one
hash for each bit that is set in n. It is all that appending needs, whatever the log's length.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

HASH_BYTES = 32


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
