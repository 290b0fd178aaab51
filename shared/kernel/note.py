"""Checkpoints as C2SP signed notes (tlog-checkpoint), and cosignatures of them (tlog-cosignature).

A checkpoint says how large a log is and what its tree's head is: three lines, the origin, the
size and the head in base64. A signed note is such a text, an empty line, and signature lines
`— <name> <base64 of key id and signature>`. The origin is the office's name in its verifier key,
`pulang/<office code>`.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.kernel.merkle import HASH_BYTES

NOTE_BYTES = 16 * 1024
KEY_ID_BYTES = 4
SIGNATURE_BYTES = 64
_BODY = re.compile(r"pulang/([0-9.]{1,20})\n(0|[1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n")
_LINE = re.compile(r"\u2014 (\S{1,80}) ([A-Za-z0-9+/]+={0,2})\n")


class NotANote(ValueError):
    """Text that is no signed checkpoint of an office."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One line: who signed, by the id of which key (hex), and what follows the id."""

    name: str
    key_id: str
    blob: bytes

    @property
    def line(self) -> str:
        encoded = b64encode(bytes.fromhex(self.key_id) + self.blob).decode()
        return f"\u2014 {self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log of `office` had `size` events and this tree head, as those say who signed it."""

    office: str
    size: int
    head: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def body(self) -> str:
        """What is signed."""
        return f"{name_of(self.office)}\n{self.size}\n{b64encode(self.head).decode()}\n"

    @property
    def note(self) -> str:
        """The signed note."""
        return self.body + "\n" + "".join(one.line for one in self.signatures)


def name_of(office: str) -> str:
    """The office's name as origin of its checkpoints and in its verifier keys."""
    return f"pulang/{office}"


@lru_cache(maxsize=64)
def parse(note: str) -> Checkpoint:
    """Raises NotANote. No signature is looked at. The newest are asked for at each step."""
    body, found, lines = note.partition("\n\n")
    match = _BODY.fullmatch(body + "\n")
    if len(note) > NOTE_BYTES or not found or match is None or not note.endswith("\n"):
        raise NotANote("this is no signed checkpoint of an office")
    signatures = []
    for line in lines.splitlines(keepends=True):
        signed = _LINE.fullmatch(line)
        if signed is None:
            raise NotANote("a signature line of the checkpoint does not parse")
        try:
            raw = b64decode(signed[2], validate=True)
        except ValueError as error:
            raise NotANote("a signature of the checkpoint is not in base64") from error
        if len(raw) <= KEY_ID_BYTES:
            raise NotANote("a signature of the checkpoint is too short")
        signatures.append(Signature(signed[1], raw[:KEY_ID_BYTES].hex(), raw[KEY_ID_BYTES:]))
    head = b64decode(match[3], validate=True)
    if len(head) != HASH_BYTES or b64encode(head).decode() != match[3]:
        raise NotANote("the head of the checkpoint is not in base64's one spelling")
    return Checkpoint(match[1], int(match[2]), head, tuple(signatures))


def signed(
    office: str, size: int, head: bytes, sign: Callable[[bytes], tuple[str, bytes]]
) -> Checkpoint:
    """A checkpoint of this office's own log under its current key."""
    plain = Checkpoint(office, size, head)
    key_id, signature = sign(plain.body.encode())
    return Checkpoint(office, size, head, (Signature(name_of(office), key_id, signature),))


def cosigned_payload(body: str, at: int) -> bytes:
    """What a cosignature signs: this text, seen at this POSIX time in seconds."""
    return f"cosignature/v1\ntime {at}\n{body}".encode()


def cosignature(
    checkpoint: Checkpoint, name: str, key_id: str, at: int, sign: Callable[[bytes], bytes]
) -> Signature:
    signature = sign(cosigned_payload(checkpoint.body, at))
    return Signature(name, key_id, struct.pack(">Q", at) + signature)


def signs(checkpoint: Checkpoint, key_id: str, public: Ed25519PublicKey) -> bool:
    """Whether its own office signed it with this key."""
    name = name_of(checkpoint.office)
    return any(
        made(public, one.blob, checkpoint.body.encode())
        for one in checkpoint.signatures
        if (one.name, one.key_id) == (name, key_id)
    )


def cosigned_at(
    checkpoint: Checkpoint, name: str, key_id: str, public: Ed25519PublicKey
) -> int | None:
    """When the holder of this key cosigned it, in POSIX seconds; None: it did not."""
    for one in checkpoint.signatures:
        if (one.name, one.key_id) == (name, key_id) and len(one.blob) == 8 + SIGNATURE_BYTES:
            (at,) = struct.unpack(">Q", one.blob[:8])
            if made(public, one.blob[8:], cosigned_payload(checkpoint.body, at)):
                return int(at)
    return None


def made(public: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    """Whether the holder of this key made this signature."""
    try:
        public.verify(signature, payload)
    except InvalidSignature:
        return False
    return True
