"""Checks a folder of evidence, without the office that made it.

    python3 verify.py [FOLDER]     the folder that it lies in, where none is named

It says what holds and what does not, and ends with 0, or 1 where anything does not. It needs Python
3.9 and `cryptography`, and nothing of the office's software. `pulang audit evidence` puts a copy of
it into each folder as `verify.py`; whoever trusts no program from the office takes another, as the
formats are open: C2SP signed notes, checkpoints and cosignatures, proofs of RFC 9162.

What it can't know is whether the keys in `keys` are those of the offices. Ask each office itself.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import gmtime, strftime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNS, COSIGNS = 1, 4
"""The types of signature: of the office itself, and a witness's cosignature with its time."""
CONTENTS = "pulang-evidence/v1"
BAD = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OSError,
    OverflowError,
    RecursionError,
)
"""What files that were changed make the reading of them raise."""


class Fault(Exception):
    """What does not hold, in words."""


def must(holds: object, fault: str) -> None:
    if not holds:
        raise Fault(fault)


def plain(words: str) -> str:
    """Names that whoever made the folder chose, without what a terminal would obey."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """Where a tree of so many leaves parts: the largest power of two below (RFC 9162, 2.1.1)."""
    return 1 << (size - 1).bit_length() - 1


def head_from(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The head to which an inclusion proof leads (2.1.3)."""
    if size == 1:
        must(not path, "buktinya terlalu panjang")
        return leaf
    left, other = split(size), path[-1]
    if index < left:
        return node(head_from(leaf, index, left, path[:-1]), other)
    return node(other, head_from(leaf, index - left, size - left, path[:-1]))


def heads_from(
    old: int, size: int, head: bytes, path: list[bytes], whole: bool = True
) -> tuple[bytes, bytes]:
    """The older and the newer head to which a consistency proof leads (2.1.4)."""
    if old == size:
        must(len(path) == (0 if whole else 1), "buktinya tidak sepanjang yang seharusnya")
        return (head, head) if whole else (path[0], path[0])
    left, other = split(size), path[-1]
    if old <= left:
        older, newer = heads_from(old, left, head, path[:-1], whole)
        return older, node(newer, other)
    older, newer = heads_from(old - left, size - left, head, path[:-1], False)
    return node(other, older), node(other, newer)


def exact(text: str) -> bytes:
    """What base64 says, if it is written in its one way."""
    raw = b64decode(text, validate=True)
    must(b64encode(raw).decode() == text, f"{text[:60]!r} bukan base64 yang lazim")
    return raw


def hashes(texts: list[str]) -> list[bytes]:
    found = [exact(text) for text in texts]
    must(all(len(one) == 32 for one in found), "ada nilai yang bukan SHA-256")
    return found


def number(text: str) -> int:
    must(text.isascii() and text.isdigit() and str(int(text)) == text, f"{text!r} bukan angka")
    return int(text)


def key_line(name: str, kind: int, public: bytes) -> str:
    """A note verifier key."""
    raw = bytes([kind]) + public
    key_id = sha256(name.encode() + b"\n" + raw).hexdigest()[:8]
    return f"{name}+{key_id}+{b64encode(raw).decode()}"


@dataclass
class Checkpoint:
    size: int
    head: bytes
    cosigners: list[str] = field(default_factory=list)


class Evidence:
    """The folder; `say` is told what holds, `faults` what does not."""

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self.folder, self.say = folder, say
        self.faults: list[str] = []
        self.keys: dict[tuple[str, str], tuple[int, Ed25519PublicKey]] = {}
        self.own = ""

    def check(self) -> list[str]:
        if self.holds("keys", self.read_keys):
            self.holds("contents", self.check_contents)
            if self.holds("checkpoint", self.read_checkpoint):
                self.holds("proofs.json", self.read_proofs)
        return self.faults

    def holds(self, called: str, look: Callable[..., None], *given: Any) -> bool:
        try:
            look(*given)
        except Fault as fault:
            self.faults.append(f"{called}: {fault}")
        except BAD as error:
            self.faults.append(f"{called}: tidak terbaca ({type(error).__name__}: {error})")
        else:
            return True
        return False

    def text(self, called: str) -> str:
        return (self.folder / called).read_bytes().decode()

    def names(self, below: str) -> list[str]:
        folder = self.folder / below
        found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return sorted(found, key=lambda name: (len(name), name))

    def read_keys(self) -> None:
        text = self.text("keys")
        must(text.endswith("\n"), "baris terakhirnya terpotong")
        for line in text[:-1].split("\n"):
            name, _, encoded = line.split("+", 2)
            raw = exact(encoded)
            must(key_line(name, raw[0], raw[1:]) == line, f"kunci {line!r} tidak utuh")
            must(raw[0] in (SIGNS, COSIGNS), f"kunci {line!r} berjenis lain")
            public = Ed25519PublicKey.from_public_bytes(raw[1:])
            self.keys[name, line.split("+")[1]] = raw[0], public
            does = "menandatangani" if raw[0] == SIGNS else "menyaksikan"
            self.say(f"kunci {name}, {does}; tanyakan kepada kantor itu apakah benar miliknya:")
            self.say(f"    {key_line(name, SIGNS, raw[1:])}")
        own = [name for (name, _), (kind, _) in self.keys.items() if kind == SIGNS]
        must(len(own) == 1, f"ada {len(own)} kunci penanda tangan; seharusnya satu")
        self.own = own[0]

    def signed(self, called: str) -> tuple[str, list[str]]:
        """The text of a signed note and who cosigned it; every signature in it must hold."""
        body, gap, lines = self.text(called).partition("\n\n")
        body += "\n"
        must(gap and lines.endswith("\n"), "bukan catatan yang bertanda tangan")
        by_itself, cosigners = False, []
        for line in lines[:-1].split("\n"):
            dash, name, encoded = line.split(" ")
            must(dash == "\u2014", "ada baris tanda tangan yang ditulis lain")
            raw = exact(encoded)
            known = self.keys.get((name, raw[:4].hex()))
            if known is None:
                raise Fault(f"ditandatangani {name} dengan kunci yang tidak ada di berkas keys")
            kind, key = known
            blob, payload, at = raw[4:], body, 0
            if kind == COSIGNS:
                at = int.from_bytes(blob[:8], "big")
                blob, payload = blob[8:], f"cosignature/v1\ntime {at}\n{body}"
            try:
                key.verify(blob, payload.encode())
            except InvalidSignature:
                raise Fault(f"tanda tangan {name} tidak sah") from None
            if kind == COSIGNS:
                time = strftime("%Y-%m-%d %H:%M:%S", gmtime(at))
                cosigners.append(name)
                self.say(f"{called}: disaksikan {name} pada {time} UTC")
            by_itself = by_itself or (kind, name) == (SIGNS, self.own)
        must(by_itself, f"tidak ditandatangani {self.own} sendiri")
        return body, cosigners

    def opened(self, called: str) -> Checkpoint:
        body, cosigners = self.signed(called)
        origin, size, head, rest = body.split("\n")
        must(origin == self.own and not rest, f"bukan checkpoint dari {self.own}")
        return Checkpoint(number(size), hashes([head])[0], cosigners)

    def check_contents(self) -> None:
        """Nothing was taken out, put in or changed since the office closed the folder."""
        body, _ = self.signed("contents")
        first, origin, subject, *lines = body[:-1].split("\n")
        must((first, origin) == (CONTENTS, self.own), f"bukan daftar isi dari {self.own}")
        listed = {}
        for line in lines:
            digest, _, name = line.partition("  ")
            listed[name] = digest
        files = (path for path in self.folder.rglob("*") if not path.is_dir())
        there = {path.relative_to(self.folder).as_posix() for path in files} - {"contents"}
        for name in sorted(listed.keys() - there):
            self.faults.append(f"{name}: tercantum dalam contents, tetapi tidak ada")
        for name in sorted(there - listed.keys()):
            self.faults.append(f"{name}: tidak tercantum dalam contents")
        for name in sorted(there & listed.keys()):
            if sha256((self.folder / name).read_bytes()).hexdigest() != listed[name]:
                self.faults.append(f"{name}: bukan lagi berkas yang dibuat kantor itu")
        self.say(f"contents: {self.own} menandatangani daftar isi bukti tentang {subject}")

    def read_checkpoint(self) -> None:
        self.head = self.opened("checkpoint")
        self.say(f"checkpoint: {self.own} menyatakan log-nya berisi {self.head.size} peristiwa")

    def read_proofs(self) -> None:
        proofs = json.loads(self.text("proofs.json"))
        must(proofs["size"] == self.head.size, "ukurannya bukan ukuran checkpoint")
        inclusion = dict(proofs["inclusion"])
        consistency = {one["from"]: one["proof"] for one in proofs["consistency"]}
        must(len(consistency) == len(proofs["consistency"]), "ada ukuran yang dibuktikan dua kali")
        events, witnessed = self.names("events"), self.names("witnessed")
        for name in events:
            self.holds(f"events/{name}", self.check_event, name, inclusion)
        for name in witnessed:
            self.holds(f"witnessed/{name}", self.check_witnessed, name, consistency)
        left = inclusion.keys() - {name.partition(".")[0] for name in events}
        must(not left, f"membuktikan peristiwa yang tidak ada di sini: {sorted(left)}")
        unseen = consistency.keys() - {int(name.rpartition("-")[2]) for name in witnessed}
        must(not unseen, f"membuktikan ukuran yang tidak disaksikan siapa pun: {sorted(unseen)}")

    def check_event(self, name: str, inclusion: dict[str, list[str]]) -> None:
        index, _, kind = name.partition(".")
        must(kind == "json" and number(index) < self.head.size, "tidak tercakup oleh checkpoint")
        must(index in inclusion, "tidak ada buktinya dalam proofs.json")
        leaf = sha256(b"\x00" + (self.folder / "events" / name).read_bytes()).digest()
        found = head_from(leaf, int(index), self.head.size, hashes(inclusion[index]))
        must(found == self.head.head, "bukan peristiwa yang ada di log menurut checkpoint")
        self.say(f"events/{name}: peristiwa dengan indeks {index} dalam log")

    def check_witnessed(self, name: str, consistency: dict[int, list[str]]) -> None:
        partner, _, text = name.rpartition("-")
        size, old = number(text), self.opened(f"witnessed/{name}")
        must(old.size == size, f"isinya checkpoint atas {old.size} peristiwa")
        must(f"pulang/{partner}" in old.cosigners, f"tidak disaksikan pulang/{partner}")
        must(size <= self.head.size, f"disaksikan {size} peristiwa; log kini lebih pendek")
        must(size in consistency, "tidak ada buktinya dalam proofs.json")
        older, newer = heads_from(size, self.head.size, old.head, hashes(consistency[size]))
        same = (older, newer) == (old.head, self.head.head)
        must(same, "log menurut checkpoint bukan lanjutan dari yang disaksikan ini")
        self.say(f"witnessed/{name}: {size} peristiwa pertama tetap seperti yang disaksikan")


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parent
    evidence = Evidence(folder, lambda words: sys.stdout.write(f"  {plain(words)}\n"))
    for fault in evidence.check():
        sys.stdout.write(f"SALAH: {plain(fault)}\n")
    number = len(evidence.faults)
    verdict = f"{number} hal TIDAK benar." if number else "Semua yang diperiksa benar."
    sys.stdout.write(f"{verdict}\n")
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
