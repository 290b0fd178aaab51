"""Writes what is published: events, the JSON APIs (OpenAPI), the streams (AsyncAPI 3).

    python -m tests.describe      writes them below docs/; `make docs` does the same

`test_published.py` fails where a file is not what the code says, and where a published version
lost or changed something that somebody may rely on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.contracts.messages import MESSAGES
from shared.runtime.manifest import Service
from shared.runtime.web import describe, make_app

DOCS = Path(__file__).resolve().parent.parent / "docs"


def app_of(service: Service) -> FastAPI:
    """The app of an office that is never opened: only its addresses are looked at."""
    return make_app(lambda: None, service, with_worker=False, body_bytes=1024)


def openapi(service: Service) -> dict[str, Any]:
    return describe(app_of(service))


def asyncapi() -> dict[str, Any]:
    """Every message, on the one kind of channel that there is."""
    messages = {
        type_: {
            "name": type_,
            "contentType": "application/json",
            "summary": (model.__doc__ or "").strip().splitlines()[0],
            "payload": model.model_json_schema(),
        }
        for type_, model in sorted(MESSAGES.items())
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pulang: what offices tell each other",
            "version": "1",
            "description": "Each stream entry is a frame: header lines, an empty line, and a JSON"
            " array of CloudEvents 1.0 documents (application/cloudevents-batch+json) with"
            " consecutive `sequence` numbers. The payloads below are their `data`.",
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
        "components": {"messages": messages},
    }


def events() -> str:
    """Every event of both offices, and every message between them."""
    lines = [
        "# Events and messages",
        "",
        "Made by `make docs` from the code; do not edit. Stored events are CloudEvents 1.0",
        "documents whose `data` has the fields below.",
    ]
    for service in (CITY, PROVINCE):
        for decider in service.deciders:
            lines += ["", f"## {service.kind}: {decider.category}", ""]
            lines += ["| type | says | fields |", "|---|---|---|"]
            for event in decider.events:
                fields = ", ".join(f"`{name}`" for name in event.model_fields)
                lines.append(f"| `{event.type}` | {event.words} | {fields} |")
    lines += ["", "## Between offices", "", "| type | says | fields |", "|---|---|---|"]
    for type_, model in sorted(MESSAGES.items()):
        first = (model.__doc__ or "").strip().splitlines()[0]
        fields = ", ".join(f"`{name}`" for name in model.model_fields)
        lines.append(f"| `{type_}` | {first} | {fields} |")
    return "\n".join(lines) + "\n"


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
