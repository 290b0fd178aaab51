"""The link: frames of numbered messages one way, receipts the other.

A frame is one stream entry: headers, an empty line, and messages in the CloudEvents batch format
(`application/cloudevents-batch+json`). It is text, so that `redis-cli` and any client can read
it. A receipt says through which number its sender has applied the other's messages. The transport
may lose, repeat and reorder frames; numbers and receipts make up for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

BATCH = "application/cloudevents-batch+json"
RECEIPT = "application/vnd.pulang.receipt+json"
FRAME_MESSAGES = 500
FRAME_BYTES = 4 * 1024 * 1024
_START = re.compile(r"\{")


class Unreadable(Exception):
    """Bytes that are no frame, or a frame that is not for this link."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Messages with consecutive numbers, first to last, as raw CloudEvents bytes."""

    sender: str
    receiver: str
    first: int
    bodies: tuple[bytes, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.bodies) - 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """`sender` has applied everything through `applied_through`; `gap`: it saw later ones."""

    sender: str
    receiver: str
    applied_through: int
    gap: bool = False


class Transport(Protocol):
    """What carries frames. It promises nothing but to try."""

    async def send(self, receiver: str, frame: bytes) -> bytes:
        """Takes a frame on; gives its entry id. Raises ConnectionError where it can't."""
        ...

    async def clear(self, receiver: str) -> None:
        """Forgets all that was sent: what is unconfirmed is about to be sent again."""
        ...

    async def trim(self, receiver: str, through: bytes) -> None:
        """May forget the entries up to and with this id."""
        ...


def encode(item: Frame | Receipt) -> bytes:
    headers = {"link": f"{item.sender}:{item.receiver}"}
    if isinstance(item, Frame):
        headers |= {"content-type": BATCH, "first": str(item.first), "last": str(item.last)}
        body = b"[" + b",".join(item.bodies) + b"]"
    else:
        headers |= {"content-type": RECEIPT}
        body = json.dumps({"applied_through": item.applied_through, "gap": item.gap}).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


def decode(raw: bytes, *, sender: str, receiver: str) -> Frame | Receipt:
    """The frame or receipt in `raw`. Raises Unreadable, with the reason, for anything else."""
    head, found, body = raw.partition(b"\r\n\r\n")
    if not found:
        raise Unreadable("no header block")
    if len(raw) > 2 * FRAME_BYTES:
        raise Unreadable(f"{len(raw)} bytes are more than a frame may have")
    try:
        headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n"))
        text = body.decode("utf-8")
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"headers or body do not parse: {type(error).__name__}") from error
    if headers.get("link") != f"{sender}:{receiver}":
        raise Unreadable(f"it names the link {headers.get('link')!r}")
    match headers.get("content-type"):
        case "application/vnd.pulang.receipt+json":
            return _receipt(document, sender, receiver)
        case "application/cloudevents-batch+json":
            return _frame(headers, text, document, sender, receiver)
        case other:
            raise Unreadable(f"content type {other!r} is unknown")


def _receipt(document: Any, sender: str, receiver: str) -> Receipt:
    match document:
        case {"applied_through": int(through), "gap": bool(gap)} if through >= 0:
            return Receipt(sender, receiver, through, gap)
    raise Unreadable("the receipt has no number")


def _frame(headers: dict[str, str], text: str, document: Any, sender: str, receiver: str) -> Frame:
    if not isinstance(document, list) or not 0 < len(document) <= FRAME_MESSAGES:
        raise Unreadable("the body is no list of messages")
    try:
        first, last = int(headers["first"]), int(headers["last"])
        numbers = [int(message["sequence"]) for message in document]
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable("messages without sequence numbers") from error
    if first < 1 or numbers != list(range(first, last + 1)):
        raise Unreadable("sequence numbers do not run from first to last")
    return Frame(sender, receiver, first, tuple(_slices(text, len(document))))


def _slices(batch: str, count: int) -> Iterator[bytes]:
    """The exact bytes of each message in a batch that is known to parse."""
    decoder = json.JSONDecoder()
    at = batch.index("[") + 1
    for _ in range(count):
        at = _START.search(batch, at).start()  # type: ignore[union-attr]
        _, end = decoder.raw_decode(batch, at)
        yield batch[at:end].encode()
        at = end


def frames(sender: str, receiver: str, rows: Sequence[tuple[int, bytes]]) -> list[Frame]:
    """Packs outbox rows with consecutive numbers into frames within their bounds."""
    packed: list[Frame] = []
    bodies: list[bytes] = []
    first = size = 0
    for sequence, body in rows:
        if bodies and (len(bodies) == FRAME_MESSAGES or size + len(body) > FRAME_BYTES):
            packed.append(Frame(sender, receiver, first, tuple(bodies)))
            bodies, size = [], 0
        if not bodies:
            first = sequence
        bodies.append(body)
        size += len(body) + 1
    if bodies:
        packed.append(Frame(sender, receiver, first, tuple(bodies)))
    return packed
