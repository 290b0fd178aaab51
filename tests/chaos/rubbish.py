"""Rubbish of ten kinds, as a foreign client, a broken one or a hostile one may leave it.

Each entry differs from every other by a few random bytes, so that each is parked for itself.
"""

from __future__ import annotations

import json
import random

KINDS = (
    "bytes",
    "words",
    "other_fields",
    "more_fields",
    "unsigned_event",
    "broken_base64",
    "unknown_key",
    "edited",
    "another_link",
    "deep",
)
FIELD = b"__data__"
DEPTH = 20_000


def foreign(
    kind: str, rng: random.Random, genuine: bytes | None, of_another: bytes | None
) -> dict[bytes, bytes]:
    """The fields of one stream entry. `genuine` is a frame of this link, or None."""
    salt = rng.randbytes(8).hex().encode()
    head = b"signature: " + b"A" * 86 + b"==\r\nkey: 0badc0de\r\n"
    match kind:
        case "bytes":
            return {FIELD: rng.randbytes(200)}
        case "words":
            return {FIELD: b"halo, apakah ini jalurnya? " + salt}
        case "other_fields":
            return {b"perintah": b"hapus semua", b"salt": salt}
        case "more_fields":
            return {FIELD: genuine or b"x", b"salt": salt}
        case "unsigned_event":
            event = {"specversion": "1.0", "id": salt.decode(), "type": "pulang.handover.issued.v1"}
            return {FIELD: json.dumps([event]).encode()}
        case "broken_base64":
            return {FIELD: b"signature: ####" + salt + b"\r\nkey: zz\r\n\r\n[]"}
        case "unknown_key":
            return {FIELD: head + b"link: 1:2\r\n\r\n" + salt}
        case "edited":
            return {FIELD: (genuine or head) + b" " + salt}
        case "another_link":
            # Genuine bytes, but signed by somebody else or for another link; salted where they
            # are not signed would make them another kind, so the base may repeat.
            return {FIELD: (of_another or head + salt)}
        case "deep":
            return {FIELD: head + b"\r\n" + b"[" * DEPTH + salt}
    raise ValueError(kind)
