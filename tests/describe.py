"""Writes what is published: events, the JSON APIs (OpenAPI), the streams (AsyncAPI 3).

What every office has beside its own, custody above all, is described with it. The headers of a
frame are read from a frame that the code makes, so that none can be forgotten here.

    python -m tests.describe      writes them below docs/; `make docs` does the same

`test_published.py` fails where a file is not what the code says, and where a published version
lost or changed something that somebody may rely on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.contracts.messages import MESSAGES, SEALED_PART
from shared.custody import DECIDERS as CUSTODY
from shared.kernel.decider import Decider
from shared.kernel.keyring import SealingKey
from shared.kernel.link import ASIDE_CHARACTERS, RECEIPT_UNAPPLIED, Frame, Receipt, encode
from shared.runtime.manifest import Service
from shared.runtime.web import describe, make_app

DOCS = Path(__file__).resolve().parent.parent / "docs"


HEADERS = {
    "signature": "Ed25519 in base64, over the DSSE encoding (PAE) of all signed bytes",
    "key": "the id of the sender's key that signed: 8 hexadecimal digits",
    "sealed": "who the persons are: HPKE ciphertext in base64, bound to the link and the numbers",
    "link": "`sender:receiver`, the one link that this is for",
    "sent": "when, in microseconds; makes each sending another one",
    "content-type": "`application/cloudevents-batch+json` or `application/vnd.pulang.receipt+json`",
    "first": "number of the first message",
    "last": "number of the last message",
    "sealed-to": "the epoch of the receiver's key that the sealed part opens with",
    "sealed-digest": "SHA-256 of the sealed part, in base64",
}
"""Each header line of a frame or a receipt, and what it says."""

SCHEMA = "#/components/schemas/{model}"

_FRAME = Frame("53.71", "35", 1, (b'{"sequence":"1"}',), sent=1, sealed=b"sealed", sealed_to=1)
_RECEIPT = Receipt(
    "35", "53.71", 1, sealing=SealingKey(1, bytes(32)), sent=1, unapplied=((1, 1),), asks="?",
    tells="!", heard=1,
)  # fmt: skip


def header_names(item: Frame | Receipt) -> tuple[list[str], list[str]]:
    """The header lines that stand before the signed bytes, and those that are signed."""
    payloads: list[bytes] = []

    def sign(payload: bytes) -> tuple[str, bytes]:
        payloads.append(payload)
        return "00000000", bytes(64)

    raw = encode(item, sign)
    # The encoding (PAE) is four words and the signed bytes, which end the frame.
    signed = payloads[0].split(b" ", 4)[4]
    return _names(raw.removesuffix(signed)), _names(signed.partition(b"\r\n\r\n")[0])


def _names(head: bytes) -> list[str]:
    return [line.split(": ")[0] for line in head.decode().split("\r\n") if line]


def app_of(service: Service) -> FastAPI:
    """The app of an office that is never opened: only its addresses are looked at."""
    return make_app(lambda: None, service, with_worker=False, body_bytes=1024)


def openapi(service: Service) -> dict[str, Any]:
    return describe(app_of(service))


def asyncapi() -> dict[str, Any]:
    """Every message, on the one kind of channel that there is, and the frame around them."""
    schemas: dict[str, dict[str, Any]] = {
        "FrameHeaders": _headers(_FRAME),
        "SealedPart": SEALED_PART.json_schema(ref_template=SCHEMA),
        "ReceiptHeaders": _headers(_RECEIPT),
        "Receipt": _receipt(),
    }
    messages: dict[str, dict[str, Any]] = {
        type_: {
            "name": type_,
            "contentType": "application/json",
            "summary": (model.__doc__ or "").strip().splitlines()[0],
            "payload": model.model_json_schema(ref_template=SCHEMA),
        }
        for type_, model in sorted(MESSAGES.items())
    }
    # A pointer starts at the document's root, so what several point to stands there once.
    for one in [*schemas.values(), *(message["payload"] for message in messages.values())]:
        schemas |= one.pop("$defs", {})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pulang: what offices tell each other",
            "version": "1",
            "description": "Each stream entry is a frame: header lines, an empty line, and a JSON"
            " array of CloudEvents 1.0 documents (application/cloudevents-batch+json) with"
            " consecutive `sequence` numbers. The payloads below are their `data`. The first lines"
            " are the sender's signature over everything below them, and who the persons are,"
            " sealed to the receiver: that stands in no payload. See FrameHeaders, SealedPart"
            " and, for what comes back, ReceiptHeaders and Receipt.",
        },
        "channels": {
            "link": {
                "address": "pulang:{sender}:{receiver}",
                "parameters": {
                    "sender": {"description": "Code of the sending office, such as 53.71."},
                    "receiver": {"description": "Code of the receiving office, such as 35."},
                },
                "messages": {
                    type_: {"$ref": f"#/components/messages/{type_}"} for type_ in messages
                },
            }
        },
        "operations": {
            "send": {"action": "send", "channel": {"$ref": "#/channels/link"}},
            "receive": {"action": "receive", "channel": {"$ref": "#/channels/link"}},
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _headers(item: Frame | Receipt) -> dict[str, Any]:
    before, signed = header_names(item)
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": HEADERS[name], "x-signed": name in signed}
            for name in (*before, *signed)
        },
        "required": [name for name in (*before, *signed) if not name.startswith("sealed")],
    }


def _receipt() -> dict[str, Any]:
    """The body of a receipt. Its names are those that the code writes."""
    body = json.loads(encode(_RECEIPT, lambda _: ("00000000", bytes(64))).partition(b"\r\n\r\n")[2])
    says = {
        "applied_through": {"type": "integer", "minimum": 0},
        "gap": {"type": "boolean"},
        "unapplied": {
            "type": "array",
            "description": "What came and is not applied: ranges of numbers, first and last, in"
            " order and apart. Absent: not said.",
            "maxItems": RECEIPT_UNAPPLIED,
            "items": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 2,
                "maxItems": 2,
            },
        },
        "asks": {
            "type": "string",
            "description": "An auditor's question about this link, as JSON (asking.py). An office"
            " that does not know it lets it pass.",
            "maxLength": ASIDE_CHARACTERS,
        },
        "tells": {
            "type": "string",
            "description": "The answer to one, as JSON: numbers, codes and digests.",
            "maxLength": ASIDE_CHARACTERS,
        },
        "heard": {
            "type": "integer",
            "description": "When the receiver's receipt was made that was taken in last, by"
            " `sent` in it: what was sent before that is applied. Absent: none was.",
            "minimum": 0,
        },
        "sealing": {
            "type": "object",
            "description": "The key that personal data are to be sealed to from now on.",
            "properties": {"epoch": {"type": "integer"}, "key": {"type": "string"}},
            "required": sorted(body["sealing"]),
        },
    }
    return {
        "type": "object",
        "properties": {name: says[name] for name in body},
        "required": [name for name in body if name in ("applied_through", "gap")],
    }


def events() -> str:
    """Every event of both offices and of custody, every message between them, and the frame."""
    lines = [
        "# Events and messages",
        "",
        "Made by `make docs` from the code; do not edit. Stored events are CloudEvents 1.0",
        "documents whose `data` has the fields below.",
    ]
    for service in (CITY, PROVINCE):
        lines += _events(service.kind, service.deciders)
    lines += _events("every office", CUSTODY)
    lines += ["", "## Between offices", "", "| type | says | fields |", "|---|---|---|"]
    for type_, model in sorted(MESSAGES.items()):
        first = (model.__doc__ or "").strip().splitlines()[0]
        fields = ", ".join(f"`{name}`" for name in model.model_fields)
        lines.append(f"| `{type_}` | {first} | {fields} |")
    for title, item in (("frame", _FRAME), ("receipt", _RECEIPT)):
        before, signed = header_names(item)
        lines += ["", f"## The header lines of a {title}", ""]
        lines += ["| line | signed | says |", "|---|---|---|"]
        for name in (*before, *signed):
            lines.append(f"| `{name}` | {'yes' if name in signed else 'no'} | {HEADERS[name]} |")
    return "\n".join(lines) + "\n"


def _events(whose: str, deciders: Iterable[Decider[Any]]) -> list[str]:
    lines = []
    for decider in deciders:
        lines += ["", f"## {whose}: {decider.category}", ""]
        lines += ["| type | says | fields |", "|---|---|---|"]
        for event in decider.events:
            fields = ", ".join(f"`{name}`" for name in event.model_fields)
            lines.append(f"| `{event.type}` | {event.words} | {fields} |")
    return lines


def published() -> dict[Path, str]:
    """Each file below docs/ and what it must hold."""
    return {
        DOCS / "events.md": events(),
        DOCS / "asyncapi.json": _json(asyncapi()),
        DOCS / "openapi" / "city.json": _json(openapi(CITY)),
        DOCS / "openapi" / "province.json": _json(openapi(PROVINCE)),
    }


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    for path, text in published().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
