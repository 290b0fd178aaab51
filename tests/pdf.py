"""Reads a paper as others do: its words, its fonts, its metadata, and the code printed on it.

By two programs that did not make it: PDFium opens and draws it, ZXing reads the picture.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw
import zxingcpp


@dataclass
class Read:
    data: bytes
    pages: list[str]
    """The words of each page, with one space between them."""
    codes: list[str]
    fonts: dict[str, bool]
    """Family → whether it lies in the file."""

    @property
    def text(self) -> str:
        return " ".join(self.pages)


def read(data: bytes) -> Read:
    document = pdfium.PdfDocument(data)
    pages = [document[number] for number in range(len(document))]
    return Read(
        data,
        [" ".join(page.get_textpage().get_text_range().split()) for page in pages],
        _codes(pages[0]),
        {name: embedded for page in pages for name, embedded in _fonts(page)},
    )


def _codes(page: Any) -> list[str]:
    """What a reader finds in the picture of the page, at the size of a screen."""
    picture = page.render(scale=2, grayscale=True)
    dots = memoryview(bytes(picture.buffer)).cast("B", (picture.height, picture.stride))
    return [code.text for code in zxingcpp.read_barcodes(dots)]


def _fonts(page: Any) -> list[tuple[str, bool]]:
    found = []
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT]):
        font = raw.FPDFTextObj_GetFont(item.raw)
        name = ctypes.create_string_buffer(64)
        raw.FPDFFont_GetBaseFontName(font, name, 64)
        found.append((name.value.decode(), raw.FPDFFont_GetIsEmbedded(font) == 1))
    return found


def metadata(data: bytes) -> str:
    """The XMP packet: PDF/A wants it readable without opening anything."""
    found = re.search(rb"<\?xpacket begin.*?<\?xpacket end", data, re.S)
    assert found, "no XMP metadata lie open in the file"
    return found[0].decode()
