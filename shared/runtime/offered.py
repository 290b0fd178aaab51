"""What others keep of this office's log: folders of evidence, read back by the office itself.

A folder (or its .zip) is what `pulang audit evidence` once made here and a partner or inspector
kept: exact bytes of events with their index, proofs, and signed checkpoints. None of it is believed
but what is proven: the checkpoint by a signature of this office's own, an event by its proof of
inclusion.

The proof of a leaf has, on its left, exactly the frontier of the tree before that leaf. So a proven
event at the log's end also proves that the log here is the beginning of that same history.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from shared.kernel import merkle, note
from shared.kernel.note import Checkpoint, NotANote
from shared.runtime.audit.verify import Keys

FILES_BYTES = 1024 * 1024 * 1024
READ_BYTES = 1024 * 1024
COMPRESSED = (ZIP_STORED, ZIP_DEFLATED)
"""As `pulang audit evidence` and other people's programs pack a folder."""


class NotOffered(Exception):
    """The folder is none of this office's evidence, or does not prove what it holds."""


@dataclass(frozen=True, slots=True)
class Offered:
    """An event that is proven to have stood at `index` of this office's log."""

    index: int
    body: bytes
    before: tuple[bytes, ...]
    """The frontier of the log before it."""
    place: str

    @property
    def document(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True, slots=True)
class Kept:
    """What one folder proves. `notes` are signed checkpoints, each with who cosigned it, if so."""

    notes: list[tuple[str, Checkpoint]]
    events: list[Offered]


def read(path: Path, keys: Keys) -> Kept:
    """What is proven in a folder or .zip. Raises NotOffered."""
    files = _files(path)
    try:
        checkpoint = _signed(files["checkpoint"], keys, path)
        notes = [(keys.office, checkpoint)]
        for name in sorted(files):
            if name.startswith("witnessed/"):
                partner = name.removeprefix("witnessed/").rpartition("-")[0]
                one = _signed(files[name], keys, path / name)
                if not keys.cosigned(partner, one):
                    raise NotOffered(f"{path / name} is not cosigned by office {partner}")
                notes.append((partner, one))
        proofs = json.loads(files["proofs.json"])["inclusion"]
        events = [
            _event(path / name, name, files[name], proofs, checkpoint)
            for name in sorted(files)
            if name.startswith("events/")
        ]
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise NotOffered(f"{path} is no folder of evidence: {type(error).__name__}") from None
    return Kept(notes, events)


def _signed(data: bytes, keys: Keys, path: Path) -> Checkpoint:
    try:
        one = note.parse(data.decode())
    except NotANote as error:
        raise NotOffered(f"{path}: {error}") from None
    if one.office != keys.office or not keys.signed(keys.office, one):
        raise NotOffered(f"{path} has no checkpoint that this office has signed")
    return one


def _event(
    path: Path, name: str, body: bytes, proofs: Mapping[str, list[str]], checkpoint: Checkpoint
) -> Offered:
    text = name.removeprefix("events/").removesuffix(".json")
    index, size = int(text), checkpoint.size
    proof = [b64decode(one, validate=True) for one in proofs[text]]
    leaf = merkle.leaf_hash(body)
    if not merkle.included(leaf, index, size, proof, checkpoint.head):
        raise NotOffered(f"{path} is not proven to stand in the log at {index}")
    spans = merkle.inclusion_spans(index, size)
    left = [one for span, one in zip(spans, proof, strict=True) if span[1] <= index]
    return Offered(index, body, tuple(reversed(left)), str(path))


def _files(path: Path) -> dict[str, bytes]:
    try:
        if path.is_dir():
            found = [one for one in path.rglob("*") if one.is_file()]
            _refuse_long(path, (one.stat().st_size for one in found))
            return {one.relative_to(path).as_posix(): one.read_bytes() for one in found}
        with ZipFile(path) as zipped:
            entries = [one for one in zipped.infolist() if not one.is_dir()]
            _refuse_long(path, (one.file_size for one in entries))
            if not all(one.compress_type in COMPRESSED for one in entries):
                # Of other kinds the library unpacks all that comes, whatever length was said.
                raise NotOffered(f"{path} is packed in a way that no evidence is")
            return {one.filename: _unpacked(zipped, one) for one in entries}
    except (OSError, BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        raise NotOffered(f"{path} can't be read: {error}") from None


def _unpacked(zipped: ZipFile, one: ZipInfo) -> bytes:
    """No more of it than it says to be: asked for all, the library unpacks first and cuts then."""
    with zipped.open(one) as file:
        found = bytearray()
        while some := file.read(READ_BYTES):
            found += some
    return bytes(found)


def _refuse_long(path: Path, sizes: Iterable[int]) -> None:
    if sum(sizes) > FILES_BYTES:
        raise NotOffered(f"{path} is longer than {FILES_BYTES} bytes")
