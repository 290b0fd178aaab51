"""The pictures of the guides in `docs/panduan`: made by the journeys, and as the screens are now.

A picture holds what stood on it: headings, labels and buttons, without numbers, codes and days.
Each run of the journeys compares, so that a picture whose screen says something else fails there.
Where `PULANG_PICTURES` names a folder, the journeys leave them there anew.
"""

from __future__ import annotations

import base64
import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.async_api import Page

PICTURES = Path(__file__).parents[2] / "docs" / "panduan" / "gambar"
MADE_IN = os.environ.get("PULANG_PICTURES")
HEIGHT = 760
"""What is lower on the page is cut off: a guide shows where something is, not all that is there."""
COLOURS = 64
BESIDE = 12
"""Around what is a part of a page."""
KEYWORD = b"Pulang"

SAID = """(main) =>
  [...main.querySelectorAll('h1, h2, h3, label, legend, button, summary, thead th, dt')]
  .filter(one => one.checkVisibility())
  .map(one => one.innerText.trim().split('\\n')[0])"""
# Chromium reads its own picture and says which of its few colours stands where.
REDUCE = """async ([source, most]) => {
  const image = new Image();
  image.src = 'data:image/png;base64,' + source;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), at = canvas.getContext('2d');
  at.drawImage(image, 0, 0);
  const dots = new Uint32Array(at.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const dot of dots) counts.set(dot, (counts.get(dot) ?? 0) + 1);
  const colours = [...counts].sort((a, b) => b[1] - a[1]).slice(0, most).map(one => one[0]);
  const parts = dot => [dot & 255, dot >> 8 & 255, dot >> 16 & 255];
  const palette = colours.map(parts);
  const nearest = dot => {
    const [r, g, b] = parts(dot);
    const far = palette.map(([x, y, z]) => (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2);
    return far.indexOf(Math.min(...far));
  };
  const known = new Map([...counts.keys()].map(dot => [dot, nearest(dot)]));
  let text = '';
  for (let n = 0; n < dots.length; n += 4096)
    text += String.fromCharCode(...dots.subarray(n, n + 4096).map(dot => known.get(dot)));
  return [image.width, palette, btoa(text)];
}"""


def settled(words: list[str]) -> str:
    """What stands on a page, without what is another each time, and each thing once."""
    known: dict[str, None] = {}
    for one in words:
        text = re.sub(r"\d[\d.,]*", "#", re.sub(r"\b[A-Z]{2,3}-[A-Z0-9-]+", "…", one))
        known[re.sub(r"\w+, # \w+ #(, # WI\w+)?", "…", text)] = None
    return "\n".join(text for text in known if text)


async def said(page: Page, of: str) -> str:
    return settled(await page.locator(of).first.evaluate(SAID))


async def taken(page: Page, of: str) -> bytes:
    """The picture of that part of the page, in few colours, with what stands on it."""
    words = await said(page, of)
    place = page.locator(of).first
    await place.scroll_into_view_if_needed()
    box: Any = await place.bounding_box()
    left, top = await page.evaluate("[scrollX, scrollY]")
    beside = 0 if of == "main" else BESIDE
    clip = {"x": max(box["x"] + left - beside, 0), "y": box["y"] + top - beside,
            "width": box["width"] + 2 * beside,
            "height": min(box["height"], HEIGHT) + 2 * beside}  # fmt: skip
    whole = await page.screenshot(full_page=True, clip=clip, animations="disabled")  # type: ignore[arg-type]
    blank = await page.context.new_page()
    try:
        source = base64.b64encode(whole).decode()
        width, palette, dots = await blank.evaluate(REDUCE, [source, COLOURS])
    finally:
        await blank.close()
    return _png(width, palette, base64.b64decode(dots), words)


def _png(width: int, palette: list[list[int]], dots: bytes, words: str) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data)
        )  # fmt: skip

    rows = b"".join(b"\0" + dots[n : n + width] for n in range(0, len(dots), width))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(dots) // width, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", b"".join(map(bytes, palette))),
            chunk(b"iTXt", KEYWORD + bytes(5) + words.encode()),
            chunk(b"IDAT", zlib.compress(rows, 9)),
            chunk(b"IEND", b""),
        ]
    )


def held(png: bytes) -> str:
    """What stood on the page of a picture."""
    for kind, data in _chunks(png):
        if kind == b"iTXt" and data.startswith(KEYWORD):
            return data[len(KEYWORD) + 5 :].decode()
    raise ValueError("this picture was not made by the journeys")


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += size + 12


async def stale(page: Page, name: str, of: str) -> str | None:
    """Makes the picture, or says how it differs from the page that it should show."""
    if MADE_IN:
        Path(MADE_IN).mkdir(parents=True, exist_ok=True)
        (Path(MADE_IN) / f"{name}.png").write_bytes(await taken(page, of))
        return None
    path = PICTURES / f"{name}.png"
    if not path.is_file():
        return f"{name}: docs/panduan/gambar lacks it"
    was, now = held(path.read_bytes()), await said(page, of)
    if was == now:
        return None
    changed = sorted(set(was.splitlines()) ^ set(now.splitlines()))
    return f"{name}: the screen is another now; CONTRIBUTING.md says how to make it anew: {changed}"
