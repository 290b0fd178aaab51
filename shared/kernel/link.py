"""The link: signed frames of numbered messages one way, signed receipts the other.

A frame is one stream entry: headers, an empty line, and messages in the CloudEvents batch format
(`application/cloudevents-batch+json`). It is text, so that `redis-cli` and any client can read
it. The first lines are the sender's Ed25519 signature over everything below them (in the
pre-authentication encoding of DSSE), the key's id, and the sealed part; the signed headers hold a
digest of that, so that a frame can still be verified when the sealed part is gone.

Between them an office says how its log stands (a *claim*: `shared.kernel.witness`), and a receipt
what of that was witnessed.

The receiver verifies before it parses anything else. A receipt says through which number its
sender has applied the other's messages, and to which key it wants personal data sealed from now
on. The transport may lose, repeat and reorder frames; numbers and receipts make up for it.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any, Protocol

from shared.kernel.keyring import SealingKey, seal_to
from shared.kernel.note import NotANote
from shared.kernel.witness import Claim, parse_claim

BATCH = "application/cloudevents-batch+json"
RECEIPT = "application/vnd.pulang.receipt+json"
CLAIM = "application/vnd.pulang.claim+json"
PAYLOAD_TYPE = b"application/vnd.pulang.frame"
FRAME_MESSAGES = 500
FRAME_BYTES = 4 * 1024 * 1024
HEAD_BYTES = 1024
"""A head is kept beside each of its messages."""
SENT_DIGITS = 20
RECEIPT_UNAPPLIED = 200
"""So many ranges of unapplied numbers a receipt names."""
ASIDE_CHARACTERS = 2 * 1024 * 1024
"""So long an auditor's question may be, or the answer to one."""
_START = re.compile(r"\{")
_UNSIGNED = re.compile(
    rb"signature: ([A-Za-z0-9+/]{86}==)\r\nkey: ([0-9a-f]{8})\r\n(?:sealed: ([A-Za-z0-9+/=]+)\r\n)?"
)

Numbers = tuple[tuple[int, int], ...]
"""Message numbers as ranges, first to last each, in order and apart."""

Sign = Callable[[bytes], tuple[str, bytes]]
"""Payload → key id and signature."""

Trusts = Callable[[str, str, bytes, bytes], bool]
"""(office, key id, payload, signature) → whether a trusted key of that office made it."""


class Unreadable(Exception):
    """Bytes that are no frame, or a frame that is not for this link."""

    code = "UNREADABLE_FRAME"


class Untrusted(Unreadable):
    """No key that this office trusts has signed these bytes: forged, edited, or a revoked key."""

    code = "UNTRUSTED_FRAME"


@dataclass(frozen=True, slots=True)
class Frame:
    """Messages with consecutive numbers, first to last, as raw CloudEvents bytes.

    `sealed` is the HPKE ciphertext to the receiver's key of epoch `sealed_to`, or empty. `sent`
    is when, in microseconds, and makes each sending of a frame another one. `head` and `digest`
    are those of a frame that came.
    """

    sender: str
    receiver: str
    first: int
    bodies: tuple[bytes, ...]
    sent: int = 0
    sealed: bytes = b""
    sealed_to: int = 0
    head: bytes = b""
    digest: bytes = b""

    @property
    def last(self) -> int:
        return self.first + len(self.bodies) - 1

    @property
    def info(self) -> bytes:
        """What the sealed part is bound to: this link and these messages."""
        return f"pulang/frame {self.sender}:{self.receiver} {self.first}-{self.last}".encode()


@dataclass(frozen=True, slots=True)
class Receipt:
    """`sender` has applied everything through `applied_through`; `gap`: it saw later ones.

    `sealing` is the key that it wants personal data sealed to. `sent` as in a frame.
    """

    sender: str
    receiver: str
    applied_through: int
    gap: bool = False
    sealing: SealingKey | None = None
    sent: int = 0
    unapplied: Numbers | None = None
    """What came and is not applied: parked, or discarded. None: not said."""
    signed_by: str = ""
    """The id of the key that signed a receipt which came, and so vouches for `sealing`."""
    witnessed: Witnessed | None = None
    asks: str = ""
    """An auditor's question to the other office, if there is one. It goes beside the messages."""
    tells: str = ""
    """The answer to one of the other office's auditors."""
    heard: int = 0
    """When the receiver's receipt was made that its sender took in last, as that one says: what the
    receiver sent before it is applied by now, or will never be."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What the receipt's sender has kept of the other's history: its checkpoint of `size` events.

    `note` is that checkpoint, cosigned; empty where none is kept. `ask`: the last claim did not
    start from it, so claim anew. `forked`: that history is not believed any more.
    """

    size: int = 0
    note: str = ""
    ask: bool = False
    forked: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """`sender` says how its log stands. `sent` as in a frame."""

    sender: str
    receiver: str
    claim: Claim
    sent: int = 0


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


def payload(signed: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding (PAE)."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(signed), signed)


Item = Frame | Receipt | Claimed


def encode(item: Item, sign: Sign) -> bytes:
    headers = {"link": f"{item.sender}:{item.receiver}", "sent": str(item.sent)}
    unsigned = ""
    if isinstance(item, Frame):
        headers |= {"content-type": BATCH, "first": str(item.first), "last": str(item.last)}
        if item.sealed:
            headers |= {"sealed-to": str(item.sealed_to), "sealed-digest": _digest(item.sealed)}
            unsigned = f"sealed: {b64encode(item.sealed).decode()}\r\n"
        body = _batch(item.bodies)
    elif isinstance(item, Claimed):
        headers |= {"content-type": CLAIM}
        body = json.dumps({"claim": item.claim.encode()}).encode()
    else:
        headers |= {"content-type": RECEIPT}
        body = json.dumps(_receipt_document(item)).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    signed = head.encode() + b"\r\n" + body
    key_id, signature = sign(payload(signed))
    first = f"signature: {b64encode(signature).decode()}\r\nkey: {key_id}\r\n{unsigned}"
    return first.encode() + signed


def decode(raw: bytes, *, sender: str, receiver: str, trusts: Trusts) -> Item:
    """The frame, receipt or claim in `raw`. Raises Unreadable, or Untrusted, with the reason."""
    if len(raw) > 3 * FRAME_BYTES:
        raise Unreadable(f"{len(raw)} bytes are more than a frame may have")
    if (unsigned := _UNSIGNED.match(raw)) is None:
        raise Untrusted("it does not begin with a signature")
    signed = raw[unsigned.end() :]
    try:
        signature, sealed = _exact(unsigned[1]), _exact(unsigned[3] or b"")
    except ValueError as error:
        raise Untrusted(
            "its signature or its sealed part is not in base64's one spelling"
        ) from error
    key_id = unsigned[2].decode()
    if not trusts(sender, key_id, payload(signed), signature):
        raise Untrusted(f"key {key_id} of office {sender} is not trusted, or did not sign this")
    head, found, body = signed.partition(b"\r\n\r\n")
    if not found or len(head) > HEAD_BYTES:
        raise Unreadable("no header block, or one that is too long")
    try:
        headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n"))
        text = body.decode("utf-8")
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"headers or body do not parse: {type(error).__name__}") from error
    if headers.get("link") != f"{sender}:{receiver}":
        raise Unreadable(f"it names the link {headers.get('link')!r}")
    if headers.get("sealed-digest", "") != (_digest(sealed) if sealed else ""):
        raise Untrusted("its sealed part is not the one that was signed")
    match headers.get("content-type"):
        case "application/vnd.pulang.receipt+json":
            receipt = _receipt(document, sender, receiver, _number(headers, "sent"))
            return replace(receipt, signed_by=key_id)
        case "application/vnd.pulang.claim+json":
            return Claimed(sender, receiver, _claim(document), _number(headers, "sent"))
        case "application/cloudevents-batch+json":
            bodies = _bodies(headers, text, document)
            return Frame(
                sender,
                receiver,
                _number(headers, "first"),
                bodies,
                sent=_number(headers, "sent"),
                sealed=sealed,
                sealed_to=_number(headers, "sealed-to") if sealed else 0,
                head=raw[: unsigned.end(2)] + b"\r\n" + head + b"\r\n\r\n",
                digest=sha256(raw).digest(),
            )
        case other:
            raise Unreadable(f"content type {other!r} is unknown")


def verify_kept(head: bytes, bodies: Sequence[bytes], office: str, trusts: Trusts) -> bool:
    """Whether a kept head (`Frame.head`) and the bodies of its frame still fit its signature."""
    if (unsigned := _UNSIGNED.match(head)) is None:
        return False
    signed = head[unsigned.end() :] + _batch(bodies)
    return trusts(office, unsigned[2].decode(), payload(signed), b64decode(unsigned[1]))


def frame_numbers(head: bytes) -> tuple[int, int] | None:
    """The first and the last number in a kept head; None where it is none."""
    lines = [line.partition(b": ") for line in head.split(b"\r\n")]
    headers = {name: value for name, found, value in lines if found}
    try:
        return int(headers[b"first"]), int(headers[b"last"])
    except (KeyError, ValueError):
        return None


def _exact(text: bytes) -> bytes:
    """Base64 has spare bits: in another spelling a frame that was seen would be another one."""
    value = b64decode(text, validate=True)
    if b64encode(value) != text:
        raise ValueError("not the one spelling of these bytes")
    return value


def _number(headers: dict[str, str], name: str) -> int:
    value = headers.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) <= SENT_DIGITS):
        raise Unreadable(f"header {name!r} is no number")
    return int(value)


def _receipt_document(item: Receipt) -> dict[str, Any]:
    document: dict[str, Any] = {"applied_through": item.applied_through, "gap": item.gap}
    if item.unapplied is not None:
        document["unapplied"] = _bounded(item.unapplied)
    if item.witnessed is not None:
        document["witnessed"] = asdict(item.witnessed)
    for name, said in (("asks", item.asks), ("tells", item.tells), ("heard", item.heard)):
        if said:
            document[name] = said
    if item.sealing is not None:
        key = b64encode(item.sealing.public).decode()
        document["sealing"] = {"epoch": item.sealing.epoch, "key": key}
    return document


def _bounded(numbers: Numbers) -> Numbers:
    """Where there are too many ranges the oldest become one: rather too much than too little."""
    if len(numbers) <= RECEIPT_UNAPPLIED:
        return numbers
    newest = numbers[len(numbers) - RECEIPT_UNAPPLIED + 1 :]
    return ((numbers[0][0], numbers[-len(newest) - 1][1]), *newest)


def _receipt(document: Any, sender: str, receiver: str, sent: int) -> Receipt:
    sealing: SealingKey | None = None
    match document:
        # To Python True is an int; to PostgreSQL it is none.
        case {"applied_through": int(through), "gap": bool(gap), **rest} if (
            type(through) is int and 0 <= through < 2**63
        ):
            match rest.get("sealing"):
                case {"epoch": int(epoch), "key": str(key)} if type(epoch) is int:
                    sealing = SealingKey(epoch, _key_bytes(epoch, key))
            unapplied = _unapplied(rest["unapplied"], through) if "unapplied" in rest else None
            witnessed = _witnessed(rest["witnessed"]) if "witnessed" in rest else None
            return Receipt(
                sender,
                receiver,
                through,
                gap,
                sealing,
                sent,
                unapplied,
                witnessed=witnessed,
                asks=_aside(rest.get("asks", "")),
                tells=_aside(rest.get("tells", "")),
                heard=_heard(rest.get("heard", 0)),
            )
    raise Unreadable("the receipt has no number")


def _aside(text: Any) -> str:
    if not isinstance(text, str) or len(text) > ASIDE_CHARACTERS:
        raise Unreadable("what the receipt asks or tells is no text, or too long")
    return text


def _heard(at: Any) -> int:
    if type(at) is not int or not 0 <= at < 2**63:
        raise Unreadable("what the receipt has heard is no time")
    return at


def _witnessed(document: Any) -> Witnessed:
    match document:
        case {"size": int(size), "note": str(text), "ask": bool(ask), "forked": bool(forked)}:
            if type(size) is int and 0 <= size < 2**63:
                return Witnessed(size, text, ask, forked)
    raise Unreadable("what the receipt says of a checkpoint does not parse")


def _claim(document: Any) -> Claim:
    match document:
        case {"claim": str(text)}:
            try:
                return parse_claim(text)
            except NotANote as error:
                raise Unreadable(str(error)) from error
    raise Unreadable("there is no claim in it")


def _unapplied(ranges: Any, through: int) -> Numbers:
    if not isinstance(ranges, list) or len(ranges) > RECEIPT_UNAPPLIED:
        raise Unreadable("the receipt's unapplied numbers are no list, or too many")
    found: list[tuple[int, int]] = []
    before = 0
    for one in ranges:
        match one:
            case [int(first), int(last)] if (
                type(first) is int and type(last) is int and before < first <= last <= through
            ):
                found.append((first, last))
                before = last
            case _:
                raise Unreadable("the receipt's unapplied numbers are none")
    return tuple(found)


def _key_bytes(epoch: int, text: str) -> bytes:
    if not 0 < epoch < 2**31:
        raise Unreadable("the receipt's epoch is none")
    try:
        return _sealable(text)
    except ValueError as error:
        raise Unreadable("nothing can be sealed to the receipt's key") from error


@lru_cache(maxsize=64)
def _sealable(text: str) -> bytes:
    """A key that can be sealed to, tried once: each receipt brings it, and it is seldom another.

    With any other the relay would stand still. Raises ValueError.
    """
    public = b64decode(text, validate=True)
    seal_to(public, b"", b"")
    return public


def _bodies(headers: dict[str, str], text: str, document: Any) -> tuple[bytes, ...]:
    if not isinstance(document, list) or not 0 < len(document) <= FRAME_MESSAGES:
        raise Unreadable("the body is no list of messages")
    first, last = _number(headers, "first"), _number(headers, "last")
    try:
        numbers = [int(message["sequence"]) for message in document]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unreadable("messages without sequence numbers") from error
    expected = list(range(first, first + len(document)))
    if first < 1 or numbers != expected or last != numbers[-1]:
        raise Unreadable("sequence numbers do not run from first to last")
    bodies = tuple(_slices(text, len(document)))
    if _batch(bodies).decode() != text:
        raise Unreadable("there is something between the messages")
    return bodies


def _slices(batch: str, count: int) -> Iterator[bytes]:
    """The exact bytes of each message in a batch that is known to parse."""
    decoder = json.JSONDecoder()
    at = batch.index("[") + 1
    for _ in range(count):
        at = _START.search(batch, at).start()  # type: ignore[union-attr]
        _, end = decoder.raw_decode(batch, at)
        yield batch[at:end].encode()
        at = end


def _batch(bodies: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(bodies) + b"]"


def _digest(sealed: bytes) -> str:
    return b64encode(sha256(sealed).digest()).decode()


def frames(sender: str, receiver: str, rows: Sequence[tuple[int, bytes, int]]) -> list[Frame]:
    """Packs outbox rows with consecutive numbers into frames within their bounds.

    A row is a number, a body, and how many bytes of personal data go beside it.
    """
    packed: list[Frame] = []
    bodies: list[bytes] = []
    first = size = 0
    for sequence, body, beside in rows:
        weight = len(body) + beside + 1
        if bodies and (len(bodies) == FRAME_MESSAGES or size + weight > FRAME_BYTES):
            packed.append(Frame(sender, receiver, first, tuple(bodies)))
            bodies, size = [], 0
        if not bodies:
            first = sequence
        bodies.append(body)
        size += weight
    if bodies:
        packed.append(Frame(sender, receiver, first, tuple(bodies)))
    return packed
