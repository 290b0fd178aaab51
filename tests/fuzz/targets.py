"""The targets: one parser each, and what it promises for whatever bytes it gets.

A target gets bytes and returns, or raises `Broken` where a promise is: another error than the
documented ones came out, or something was believed that must not be. Its samples are what an
office really sends, so that mutations of them reach behind the first check.
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import ValidationError

from shared.contracts.messages import SEALED_PART
from shared.kernel.event import UnknownType
from shared.kernel.inbox import describe, read_message
from shared.kernel.keyring import (
    NotAVerifierKey,
    SealingKey,
    draw_sealing,
    key_id,
    read_verifier_key,
    seal_to,
    verifier_key,
)
from shared.kernel.keys import Unopened
from shared.kernel.link import (
    BATCH,
    RECEIPT,
    Frame,
    Receipt,
    Unreadable,
    decode,
    encode,
    payload,
    verify_kept,
)
from shared.kernel.vault import SCHEME, open_text

CITY, PROVINCE = "53.71", "35"
PERSON = "PM-0123456789"
EPOCHS = 2**31
"""Beyond this the database takes no epoch."""


class Broken(Exception):
    """A parser broke its promise."""


@dataclass(frozen=True)
class Target:
    """`run` gets any bytes; `samples` are good ones. `allowed` are the documented errors."""

    run: Callable[[bytes], None]
    samples: Sequence[bytes]
    allowed: tuple[type[Exception], ...]

    def __call__(self, data: bytes) -> None:
        try:
            self.run(data)
        except self.allowed:
            return
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"{type(error).__name__}, which is none of its errors") from error


KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
KEY_ID = key_id(CITY, PUBLIC)
_SEALING = SealingKey(3, draw_sealing()[0])


def sign(text: bytes) -> tuple[str, bytes]:
    return KEY_ID, KEY.sign(text)


def trusts(office: str, key: str, text: bytes, signature: bytes) -> bool:
    try:
        KEY.public_key().verify(signature, text)
    except InvalidSignature:
        return False
    return (office, key) == (CITY, KEY_ID)


def trusts_anything(office: str, key: str, text: bytes, signature: bytes) -> bool:
    return True


def _message(sequence: int, type_: str, data: dict[str, object]) -> bytes:
    document = {
        "specversion": "1.0",
        "id": f"contoh-{sequence}",
        "source": f"pulang/{CITY}",
        "type": type_,
        "time": "2019-10-04T08:00:00+08:00",
        "sequence": str(sequence),
        "data": data,
    }
    return json.dumps(document, separators=(",", ":")).encode()


MESSAGES = [
    _message(
        1,
        "pulang.handover.issued.v1",
        {
            "handover": "HO-1",
            "operation": "OP-1",
            "deed_number": "BAST/1",
            "deed_date": "2019-10-04",
            "planned_departure": "2019-10-04",
            "transport": "Kapal",
            "entries": [{"person": PERSON, "origin": "35.78"}],
        },
    ),
    _message(2, "pulang.grant.failed.v1", {"person": PERSON, "reference": "K/1"}),
]
FRAMES = [
    encode(Frame(CITY, PROVINCE, 1, tuple(MESSAGES), 5, b"tersegel", 1), sign),
    encode(Frame(CITY, PROVINCE, 2, (MESSAGES[1],), 6), sign),
    encode(Receipt(CITY, PROVINCE, 7, True, _SEALING, 8), sign),
]


def _frame(data: bytes) -> None:
    """Behind the signature: what a trusted office that runs mad could send."""
    item = decode(data, sender=CITY, receiver=PROVINCE, trusts=trusts_anything)
    if isinstance(item, Receipt):
        _check_receipt(item)
        return
    if not 1 <= item.first <= item.last or not item.bodies:
        raise Broken("numbers that run from nowhere")
    for body in item.bodies:
        json.loads(body)
    if not verify_kept(item.head, item.bodies, CITY, trusts_anything):
        raise Broken("what is kept of a frame can't be verified any more")


def _frame_of_anybody(data: bytes) -> None:
    """Nobody but the partner makes anything that is believed, not by as little as one bit."""
    decode(data, sender=CITY, receiver=PROVINCE, trusts=trusts)
    if data not in FRAMES:
        raise Broken("bytes were believed that the trusted key never signed as they are")


def _receipt(data: bytes) -> None:
    """A receipt's document, rightly signed."""
    head = f"link: {CITY}:{PROVINCE}\r\nsent: 1\r\ncontent-type: {RECEIPT}\r\n\r\n".encode()
    item = decode(_signed(head + data), sender=CITY, receiver=PROVINCE, trusts=trusts)
    if not isinstance(item, Receipt):
        raise Broken("a receipt that is none")
    _check_receipt(item)


def _batch(data: bytes) -> None:
    """A frame's last number and its messages, rightly signed."""
    last, _, body = data.partition(b"\n")
    head = f"link: {CITY}:{PROVINCE}\r\nsent: 1\r\ncontent-type: {BATCH}\r\nfirst: 1\r\nlast: "
    _frame(_signed(head.encode() + last + b"\r\n\r\n" + body))


def _signed(text: bytes) -> bytes:
    signature = b64encode(KEY.sign(payload(text))).decode()
    return f"signature: {signature}\r\nkey: {KEY_ID}\r\n".encode() + text


def _check_receipt(item: Receipt) -> None:
    if item.sealing is None:
        return
    if not 0 < item.sealing.epoch < EPOCHS:
        raise Broken("an epoch that the database can't hold")
    # The relay seals to this key with every frame from now on.
    seal_to(item.sealing.public, b"{}", b"")


def _read_message(data: bytes) -> None:
    try:
        read_message(data)
    except (UnknownType, ValidationError) as error:
        describe(error)
        raise


def _sealed_part(data: bytes) -> None:
    part = SEALED_PART.validate_json(data)
    for persons in part.values():
        for identity in persons.values():
            identity.model_dump_json()


def _verifier_key(data: bytes) -> None:
    line = data.decode("utf-8", "surrogateescape")
    id_, public = read_verifier_key(CITY, line)
    if id_ not in line or (id_, public) != read_verifier_key(CITY, verifier_key(CITY, public)):
        raise Broken("another key than the line says")


TEXT_KEY = b"t" * 32


def _sealed(text: str) -> bytes:
    made = AESGCM(TEXT_KEY).encrypt(b"n" * 12, text.encode(), PERSON.encode())
    return f"{SCHEME}{urlsafe_b64encode(b'n' * 12 + made).decode()}".encode()


def _open_text(data: bytes) -> None:
    open_text(TEXT_KEY, PERSON, data.decode("utf-8", "surrogateescape"))


IDENTITY = {
    "initials": "AB",
    "born": "1990-01-02",
    "nik": "3578010201900001",
    "account": "BNK12345",
}
_PART = json.dumps({"1": {PERSON: IDENTITY}}).encode()
_RECEIPTS = [
    json.dumps({"applied_through": 7, "gap": False, "sealing": sealing}).encode()
    for sealing in (None, {"epoch": 3, "key": b64encode(_SEALING.public).decode()})
]

TARGETS: dict[str, Target] = {
    "frame": Target(_frame, FRAMES, (Unreadable,)),
    "frame-of-anybody": Target(_frame_of_anybody, FRAMES, (Unreadable,)),
    "batch": Target(_batch, [b"2\n[" + b",".join(MESSAGES) + b"]"], (Unreadable,)),
    "receipt": Target(_receipt, _RECEIPTS, (Unreadable,)),
    "message": Target(_read_message, MESSAGES, (UnknownType, ValidationError)),
    "sealed-part": Target(_sealed_part, [_PART], (ValidationError,)),
    "verifier-key": Target(
        _verifier_key, [verifier_key(CITY, PUBLIC).encode()], (NotAVerifierKey,)
    ),
    "sealed-text": Target(_open_text, [_sealed("Contoh"), _sealed("")], (Unopened,)),
}
