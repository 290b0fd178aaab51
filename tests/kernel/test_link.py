"""Frames and receipts: what one office writes the other reads, and rubbish is told apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.link import (
    FRAME_BYTES,
    FRAME_MESSAGES,
    Frame,
    Receipt,
    Unreadable,
    decode,
    encode,
    frames,
)


def message(sequence: int, text: str = "x") -> bytes:
    return json.dumps({"sequence": str(sequence), "data": {"{text}": text}}).encode()


@given(st.lists(st.text(max_size=20), min_size=1, max_size=20), st.integers(1, 10**9))
def test_a_frame_arrives_with_its_messages_byte_for_byte(texts: list[str], first: int) -> None:
    bodies = tuple(message(first + n, text) for n, text in enumerate(texts))
    frame = Frame("53.71", "35", first, bodies)
    assert decode(encode(frame), sender="53.71", receiver="35") == frame


def test_a_receipt_arrives() -> None:
    receipt = Receipt("35", "53.71", 17, gap=True)
    assert decode(encode(receipt), sender="35", receiver="53.71") == receipt


def test_a_frame_is_text_that_any_client_can_read() -> None:
    text = encode(Frame("53.71", "35", 3, (message(3),))).decode()
    assert text.startswith("link: 53.71:35\r\n")
    assert "content-type: application/cloudevents-batch+json" in text


@given(st.binary(max_size=200))
def test_any_rubbish_is_unreadable_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(raw, sender="53.71", receiver="35")


GOOD = encode(Frame("53.71", "35", 1, (message(1), message(2))))


@pytest.mark.parametrize(
    "raw",
    [
        GOOD.replace(b"link: 53.71:35", b"link: 53.71:53"),
        GOOD.replace(b"last: 2", b"last: 3"),
        GOOD.replace(b"first: 1", b"first: 0"),
        GOOD.replace(b'"sequence": "2"', b'"sequence": "4"'),
        GOOD.replace(b'"sequence": "2"', b'"sequel": "2"'),
        GOOD.replace(b"batch+json", b"batch+xml"),
        GOOD[:-1],
        GOOD.split(b"[")[0] + b"[]",
        GOOD.split(b"[")[0] + b"[" * 100_000,
    ],
)
def test_a_frame_that_is_not_what_it_says_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(raw, sender="53.71", receiver="35")


@given(st.lists(st.integers(10, 5_000), max_size=30))
def test_frames_hold_everything_in_order_and_keep_their_bounds(sizes: list[int]) -> None:
    rows = [(n, b"x" * size) for n, size in enumerate(sizes, 5)]
    packed = frames("a", "b", rows)
    assert [body for frame in packed for body in frame.bodies] == [body for _, body in rows]
    numbers = [n for frame in packed for n in range(frame.first, frame.last + 1)]
    assert numbers == [n for n, _ in rows]


def test_frames_are_bounded_in_messages_and_bytes() -> None:
    many = frames("a", "b", [(n, b"{}") for n in range(1, FRAME_MESSAGES + 2)])
    assert [len(frame.bodies) for frame in many] == [FRAME_MESSAGES, 1]
    heavy = frames("a", "b", [(n, b"x" * (FRAME_BYTES // 2 + 1)) for n in range(1, 4)])
    assert [len(frame.bodies) for frame in heavy] == [1, 1, 1]
