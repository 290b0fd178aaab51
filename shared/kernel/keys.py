"""What holds an office's wrapping keys: one an epoch, and they never leave it.

Everything else that is secret (person keys, the signing key, the sealing key) is wrapped by the
key of an epoch and kept in tables. So whoever destroys an epoch's key makes all that was wrapped
under it unreadable for good, in every backup and every old write-ahead log too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class KeysUnusable(Exception):
    """Nothing can be wrapped or opened just now: the file or the module is away, or empty."""


class Unopened(Exception):
    """The key is gone or is another's, or the text was changed."""


class KeyProvider(Protocol):
    """A sealed file, or a hardware module. Calls may block for some milliseconds."""

    def epochs(self) -> Sequence[int]:
        """The epochs whose keys exist, in order. Reads anew what another process changed."""
        ...

    def create(self, epoch: int) -> None:
        """Draws the key of this epoch, durably. Does nothing where it exists."""
        ...

    def destroy(self, epoch: int) -> None:
        """Destroys the key of this epoch for good. Does nothing where there is none."""
        ...

    def wrap(self, epoch: int, plain: bytes, about: bytes) -> bytes:
        """AES-256-GCM under the epoch's key with `about` as associated data. Raises Unopened."""
        ...

    def unwrap(self, epoch: int, wrapped: bytes, about: bytes) -> bytes:
        """The way back. Raises Unopened where the epoch's key is gone, or is another's."""
        ...
