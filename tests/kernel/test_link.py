"""Frames and receipts: what one office writes the other reads, and rubbish is told apart."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.keyring import (
    NotAVerifierKey,
    SealingKey,
    key_id,
    read_verifier_key,
    verifier_key,
)
from shared.kernel.link import (
    FRAME_BYTES,
    FRAME_MESSAGES,
    HEAD_BYTES,
    RECEIPT,
    RECEIPT_UNAPPLIED,
    Frame,
    Numbers,
    Receipt,
    Unreadable,
    Untrusted,
    decode,
    encode,
    frames,
    payload,
    verify_kept,
)


def message(sequence: int, text: str = "x") -> bytes:
    return json.dumps({"sequence": str(sequence), "data": {"{text}": text}}).encode()


KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
ID = key_id("53.71", KEY.public_key().public_bytes_raw())


def sign(text: bytes) -> tuple[str, bytes]:
    return ID, KEY.sign(text)


def trusts(office: str, key: str, text: bytes, signature: bytes) -> bool:
    """Trusts KEY, for whichever office says it."""
    try:
        KEY.public_key().verify(signature, text)
    except InvalidSignature:
        return False
    return key == ID


def read(raw: bytes) -> Frame | Receipt:
    return decode(raw, sender="53.71", receiver="35", trusts=trusts)


def signed_again(raw: bytes) -> bytes:
    """What a trusted sender with a fault would send: changed, and signed as changed."""
    text = raw.partition(b"\r\n")[2].partition(b"\r\n")[2]
    unsigned = b""
    if text.startswith(b"sealed: "):
        unsigned, _, text = text.partition(b"\r\n")
        unsigned += b"\r\n"
    _, signature = sign(payload(text))
    return b"signature: %b\r\nkey: %b\r\n%b%b" % (
        b64encode(signature),
        ID.encode(),
        unsigned,
        text,
    )


@given(st.lists(st.text(max_size=20), min_size=1, max_size=20), st.integers(1, 10**9))
def test_a_frame_arrives_with_its_messages_byte_for_byte(texts: list[str], first: int) -> None:
    bodies = tuple(message(first + n, text) for n, text in enumerate(texts))
    frame = Frame("53.71", "35", first, bodies, sent=7, sealed=b"ciphertext", sealed_to=3)
    arrived = read(encode(frame, sign))
    assert isinstance(arrived, Frame)
    assert replace(arrived, head=b"", digest=b"") == frame
    assert verify_kept(arrived.head, arrived.bodies, "53.71", trusts)
    assert not verify_kept(arrived.head, (*arrived.bodies, b"{}"), "53.71", trusts)


def test_a_receipt_arrives() -> None:
    receipt = Receipt("53.71", "35", 17, gap=True, sealing=SealingKey(2, b"p" * 32), sent=9)
    arrived = read(encode(receipt, sign))
    assert arrived == replace(receipt, signed_by=ID)


def test_a_frame_is_text_that_any_client_can_read() -> None:
    text = encode(Frame("53.71", "35", 3, (message(3),)), sign).decode()
    assert text.startswith("signature: ")
    assert "\r\nlink: 53.71:35\r\n" in text
    assert "content-type: application/cloudevents-batch+json" in text


@given(st.binary(max_size=200))
def test_any_rubbish_is_unreadable_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read(raw)
    with pytest.raises(Unreadable):
        read(signed_again(b"\r\n\r\n" + raw))


GOOD = encode(
    Frame("53.71", "35", 1, (message(1), message(2)), sealed=b"ciphertext", sealed_to=1), sign
)
CHANGED = [
    GOOD.replace(b"link: 53.71:35", b"link: 53.71:53"),
    GOOD.replace(b"last: 2", b"last: 3"),
    GOOD.replace(b"first: 1", b"first: 0"),
    GOOD.replace(b'"sequence": "2"', b'"sequence": "4"'),
    GOOD.replace(b'"sequence": "2"', b'"sequel": "2"'),
    GOOD.replace(b"batch+json", b"batch+xml"),
    GOOD.replace(b"sealed-to: 1", b"sealed-to: x"),
    GOOD.replace(b"},{", b"}, {"),
    GOOD[:-1],
    GOOD.split(b"[")[0] + b"[]",
    GOOD.split(b"[")[0] + b"[" * 100_000,
]


@pytest.mark.parametrize("raw", CHANGED, ids=range(len(CHANGED)))
def test_a_frame_that_is_not_what_it_says_is_unreadable(raw: bytes) -> None:
    assert raw != GOOD
    with pytest.raises(Unreadable):
        read(signed_again(raw))


@pytest.mark.parametrize("raw", CHANGED, ids=range(len(CHANGED)))
def test_a_frame_that_was_edited_on_its_way_is_not_even_parsed(raw: bytes) -> None:
    with pytest.raises(Untrusted):
        read(raw)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_byte_of_a_frame_can_be_changed(at: int, by: int) -> None:
    changed = bytearray(GOOD)
    changed[at] ^= by
    with pytest.raises(Untrusted):
        read(bytes(changed))


def test_the_sealed_part_cannot_be_exchanged_or_taken_away() -> None:
    other = encode(
        Frame("53.71", "35", 1, (message(1), message(2)), sealed=b"another", sealed_to=1), sign
    )
    sealed, exchanged = (raw.split(b"\r\n")[2] for raw in (GOOD, other))
    for raw in (GOOD.replace(sealed, exchanged), GOOD.replace(sealed + b"\r\n", b"")):
        with pytest.raises(Untrusted):
            read(raw)


def test_a_verifier_key_is_read_back_and_no_other_office_gets_it() -> None:
    public = KEY.public_key().public_bytes_raw()
    line = verifier_key("53.71", public)
    assert line.startswith(f"pulang/53.71+{ID}+")
    assert read_verifier_key("53.71", line + "\n") == (ID, public)
    for office, text in (("35", line), ("53.71", line[:-4]), ("53.71", "x"), ("53.71", line + "A")):
        with pytest.raises(NotAVerifierKey):
            read_verifier_key(office, text)


@given(st.lists(st.integers(10, 5_000), max_size=30))
def test_frames_hold_everything_in_order_and_keep_their_bounds(sizes: list[int]) -> None:
    rows = [(n, b"x" * size, size * 100) for n, size in enumerate(sizes, 5)]
    packed = frames("a", "b", rows)
    assert [body for frame in packed for body in frame.bodies] == [body for _, body, _ in rows]
    numbers = [n for frame in packed for n in range(frame.first, frame.last + 1)]
    assert numbers == [n for n, _, _ in rows]


def test_frames_are_bounded_in_messages_and_bytes() -> None:
    many = frames("a", "b", [(n, b"{}", 0) for n in range(1, FRAME_MESSAGES + 2)])
    assert [len(frame.bodies) for frame in many] == [FRAME_MESSAGES, 1]
    heavy = frames("a", "b", [(n, b"x", FRAME_BYTES // 2 + 1) for n in range(1, 4)])
    assert [len(frame.bodies) for frame in heavy] == [1, 1, 1]


@pytest.mark.parametrize("parked", [(), ((1, 1),), ((1, 1), (3, 3)), ((1, 2), (3, 3)), None])
def test_a_receipt_says_what_came_and_is_not_applied(parked: Numbers | None) -> None:
    found = read(encode(Receipt("53.71", "35", 3, unapplied=parked), sign))
    assert isinstance(found, Receipt)
    assert found.unapplied == parked


def test_where_there_is_too_much_to_say_it_says_rather_too_much() -> None:
    numbers = tuple((n, n + 1) for n in range(1, 3 * RECEIPT_UNAPPLIED, 3))
    for more in (0, 1, 2, 40):
        several = (*numbers, *((n, n) for n in range(700, 700 + 2 * more, 2)))
        found = read(encode(Receipt("53.71", "35", 999, unapplied=several), sign))
        assert isinstance(found, Receipt)
        assert found.unapplied is not None
        assert len(found.unapplied) == RECEIPT_UNAPPLIED
        assert found.unapplied[1:] == several[len(several) - RECEIPT_UNAPPLIED + 1 :]
        assert found.unapplied[0] == (1, several[more][1])


@pytest.mark.parametrize(
    "parked",
    [((0, 1),), ((3, 4),), ((2, 1),), ((2, 2), (1, 1)), ((1, 2), (2, 3)), ((True, 1),), (1,)],
)
def test_a_receipt_with_other_numbers_is_none(parked: Any) -> None:
    with pytest.raises(Unreadable):
        read(encode(Receipt("53.71", "35", 3, unapplied=parked), sign))


@pytest.mark.parametrize(
    "document",
    [
        {"applied_through": True, "gap": False},
        {"applied_through": 2**63, "gap": False},
        {"applied_through": 1, "gap": False, "sealing": {"epoch": True, "key": "A" * 43 + "="}},
    ],
)
def test_a_truth_is_no_number(document: dict[str, object]) -> None:
    """To Python True is 1; a database that is given it stumbles, and the link with it."""
    signed = b"link: 35:53.71\r\nsent: 1\r\ncontent-type: " + RECEIPT.encode() + b"\r\n\r\n"
    raw = by_hand(signed + json.dumps(document).encode())
    try:
        found = decode(raw, sender="35", receiver="53.71", trusts=believes)
    except Unreadable:
        return
    assert isinstance(found, Receipt)
    assert found.sealing is None
    assert document["applied_through"] == 1


def test_headers_are_bounded() -> None:
    """They are kept beside each message of their frame."""
    signed = b"link: 35:53.71\r\nx: " + b"y" * HEAD_BYTES + b"\r\n\r\n[]"
    with pytest.raises(Unreadable, match="too long"):
        decode(by_hand(signed), sender="35", receiver="53.71", trusts=believes)


def by_hand(signed: bytes) -> bytes:
    signature = b64encode(b"s" * 64)
    return b"signature: " + signature + b"\r\nkey: 00000000\r\n" + signed


def believes(office: str, key: str, payload: bytes, signature: bytes) -> bool:
    return True
