"""A paper, as blocks, and how it becomes a PDF: PDF/A-2b, and the same bytes each time.

What stands in a paper reaches the typesetter as JSON and is only ever shown as text: no name and no
number of a paper can be taken for code. Fonts are those within the typesetter (Libertinus Serif,
DejaVu Sans Mono), so that no machine's own fonts change the bytes; the date is the record's. A
blank (`None`) is a line to be filled in by hand: what no office has recorded is not guessed.
"""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

import segno
import typst

from shared.runtime.papers.record import Record

Block = dict[str, Any]
Cell = str | bool | None
"""Text, `True` for a box to tick, or nothing yet."""

CLASSIFIED = "RAHASIA"
REPLACED = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Paper:
    """What is printed. `number` is a paper's own, or that of what it is about."""

    title: str
    office: str
    record: Record
    blocks: Sequence[Block]
    number: str | None = None
    subtitle: str = ""
    classification: str = CLASSIFIED
    handling: str = "Hanya untuk pihak yang disebut di dalamnya."
    remark: str = ""
    wide: bool = False


def heading(text: str) -> Block:
    return {"kind": "heading", "text": text}


def text(*parts: str) -> Block:
    return {"kind": "text", "text": " ".join(parts)}


def closing(text: str) -> Block:
    """The last sentence, which stays with the signatures: nobody signs a page without words."""
    return {"kind": "closing", "text": text}


def note(text: str) -> Block:
    return {"kind": "note", "text": text}


def items(*texts: str | None) -> Block:
    """Numbered lines."""
    return {"kind": "items", "items": texts}


def fields(*rows: tuple[str, str | None]) -> Block:
    """Labels with what stands beside them."""
    return {"kind": "fields", "rows": rows}


def table(
    columns: Sequence[tuple[str, str, str]],
    rows: Sequence[Sequence[Cell]],
    foot: Sequence[Cell] = (),
) -> Block:
    """`columns` are head, width ("auto" or parts of what is left, such as "2") and alignment."""
    heads, widths, aligns = zip(*columns, strict=True)
    return {
        "kind": "table", "heads": heads, "widths": widths, "aligns": aligns, "rows": rows,
        "foot": foot,
    }  # fmt: skip


def annex(title: str) -> Block:
    """What follows begins on a new page."""
    return {"kind": "annex", "text": title}


def signatures(*people: tuple[str, str | None]) -> Block:
    """Two side by side, each with a role and a position; name and NIP are written by hand."""
    return {"kind": "signatures", "people": people}


def typeset(paper: Paper) -> bytes:
    """The PDF. It takes a moment for many rows: call it in a thread."""
    record = paper.record
    document = {
        "title": paper.title,
        "subtitle": paper.subtitle,
        "number": paper.number,
        "office": paper.office,
        "classification": paper.classification,
        "handling": paper.handling,
        "remark": paper.remark,
        "wide": paper.wide,
        "blocks": paper.blocks,
        "anchor": record.anchor,
        "dated": list(record.recorded_at.astimezone(UTC).timetuple()[:6]),
    }
    made = typst.compile(
        _template(),
        format="pdf",
        font_paths=_fonts(),
        ignore_system_fonts=True,
        sys_inputs={"paper": json.dumps(_printable(document)), "code": _code(record.code)},
        pdf_standards=["a-2b"],
        timestamp=_whole(record.recorded_at),
    )
    if not isinstance(made, bytes):
        raise TypeError("the typesetter gave no single document")
    return made


def _whole(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _code(text: str) -> str:
    """The QR code, as SVG. Medium correction: a crease or a stamp may take a seventh of it."""
    image = io.BytesIO()
    segno.make_qr(text, error="m").save(image, kind="svg", border=2, light="white")
    return image.getvalue().decode()


def _printable(found: Any) -> Any:
    """No character that the fonts lack: PDF/A forbids it, and one would keep all from printing."""
    if isinstance(found, str):
        return "".join(
            one if _shown(one) else REPLACED for one in unicodedata.normalize("NFC", found)
        )
    if isinstance(found, dict):
        return {name: _printable(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_printable(value) for value in found]
    return found


def _shown(character: str) -> bool:
    """Latin letters with all their marks, and what one types between them."""
    at = ord(character)
    return 0x20 <= at < 0x7F or 0xA0 <= at < 0x250 or character in "–—‘’“”…•ʼ"


@cache
def _template() -> bytes:
    return resources.files(__package__).joinpath("paper.typ").read_bytes()


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
