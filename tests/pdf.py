"""Reads a paper as others do: its words, its fonts, its metadata, and the code printed on it.

By two programs that did not make it: PDFium opens and draws it, ZXing reads the picture.
"""

from __future__ import annotations

import ctypes
import re
from functools import cached_property
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw
import zxingcpp


class Read:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self._document = pdfium.PdfDocument(data)

    def _each(self) -> list[Any]:
        return [self._document[number] for number in range(len(self._document))]

    @cached_property
    def pages(self) -> list[str]:
        """The words of each page, with one space between them."""
        return [" ".join(one.get_textpage().get_text_range().split()) for one in self._each()]

    @property
    def text(self) -> str:
        return " ".join(self.pages)

    @cached_property
    def codes(self) -> list[str]:
        """What a reader finds in the picture of the first page, at the size of a screen."""
        picture = self._document[0].render(scale=2, grayscale=True)
        dots = memoryview(bytes(picture.buffer)).cast("B", (picture.height, picture.stride))
        return [code.text for code in zxingcpp.read_barcodes(dots)]

    def fonts(self) -> dict[str, bool]:
        """The font of each text, and whether it lies in the file."""
        found = {}
        for page in self._each():
            for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT]):
                font = raw.FPDFTextObj_GetFont(item.raw)
                name = ctypes.create_string_buffer(64)
                raw.FPDFFont_GetBaseFontName(font, name, 64)
                found[name.value.decode()] = raw.FPDFFont_GetIsEmbedded(font) == 1
        return found

    def metadata(self) -> str:
        """The XMP packet: PDF/A wants it readable without opening anything."""
        found = re.search(rb"<\?xpacket begin.*?<\?xpacket end", self.data, re.S)
        assert found, "no XMP metadata lie open in the file"
        return found[0].decode()
