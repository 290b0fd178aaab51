"""A .zip of evidence comes from outside: what it unpacks to is bounded by what it says to be."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest

from shared.runtime import offered
from shared.runtime.audit.verify import Keys

LONG = 64 * 1024 * 1024


def bomb(path: Path, how: int) -> None:
    """An entry of LONG bytes that says to have ten."""
    with ZipFile(path, "w", how) as zipped:
        zipped.writestr("checkpoint", bytes(LONG))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(struct.pack("<I", LONG), struct.pack("<I", 10)))


@pytest.mark.parametrize("how", [ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA])
def test_what_is_longer_than_it_says_takes_no_memory(tmp_path: Path, how: int) -> None:
    bomb(tmp_path / "bukti.zip", how)
    tracemalloc.start()
    try:
        with pytest.raises(offered.NotOffered):
            offered.read(tmp_path / "bukti.zip", Keys("53.71"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LONG / 4


@pytest.mark.parametrize("bit", [0x1, 0x40])
def test_what_is_encrypted_is_refused_in_a_sentence(tmp_path: Path, bit: int) -> None:
    path = tmp_path / "bukti.zip"
    with ZipFile(path, "w") as zipped:
        zipped.writestr("checkpoint", b"x")
    raw = bytearray(path.read_bytes())
    raw[6] |= bit
    raw[raw.index(b"PK\x01\x02") + 8] |= bit
    path.write_bytes(raw)
    with pytest.raises(offered.NotOffered, match="can't be read"):
        offered.read(path, Keys("53.71"))


def test_a_zip_with_its_folders_is_read_as_one_without(tmp_path: Path) -> None:
    path = tmp_path / "bukti.zip"
    with ZipFile(path, "w") as zipped:
        zipped.mkdir("events")
        zipped.writestr("events/0.json", b"{}")
    assert offered._files(path) == {"events/0.json": b"{}"}
