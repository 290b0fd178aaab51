"""Checks an evidence folder with tlog-scales, which the operator of a public witness wrote.

    python scales.py FOLDER    one line for each thing checked; 0, or 1 with the first fault

It reads keys, checkpoints and cosignatures, and follows both proofs. It is lenient about how a
text is written, so here each text must also be written exactly as it would write it. Nothing of
this project is used.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint, ConsistencyProof, InclusionProof

PREFIX = "pulang/"
SIGNS, COSIGNS = 1, 4


class Fault(Exception):
    pass


def must(holds: object, fault: str) -> None:
    if not holds:
        raise Fault(fault)


def ok(text: str) -> None:
    print(f"ok: {text}")


def hashes(given: list[str], of: str) -> list[bytes]:
    try:
        found = [b64decode(text, validate=True) for text in given]
    except ValueError as wrong:
        raise Fault(f"{of}: {wrong}") from wrong
    must([b64encode(h).decode() for h in found] == given, f"{of}: not exact base64")
    must(all(len(h) == 32 for h in found), f"{of}: not SHA-256")
    return found


def number(text: str) -> int:
    must(text.isascii() and text.isdigit() and str(int(text)) == text, f"{text!r} is not a number")
    return int(text)


class Evidence:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys: dict[tuple[str, int], Vkey] = {}

    def check(self) -> None:
        self.read_keys()
        self.head, _ = self.opened("checkpoint")
        self.proofs = json.loads((self.folder / "proofs.json").read_bytes())
        must(self.proofs["size"] == self.head.size, "proofs.json: not the checkpoint's size")
        self.check_events()
        self.check_witnessed()

    def read_keys(self) -> None:
        for line in (self.folder / "keys").read_text().removesuffix("\n").split("\n"):
            key = Vkey.from_string(line)
            exact = Vkey(key.name, None, key.sig_type, key.pubkey).serialize()
            must(exact == line, f"key {line!r}: should be {exact!r}")
            must(key.sig_type in (SIGNS, COSIGNS), f"key {line!r}: of another type")
            key.get_verifier()
            self.keys[key.name, key.key_id] = key
            ok(f"key {key.name}+{key.key_id:08x} of type 0x{key.sig_type:02x}")
        own = [key for key in self.keys.values() if key.sig_type == SIGNS]
        must(len(own) == 1, f"keys: {len(own)} signing keys (type 0x01)")
        self.own = own[0]

    def opened(self, called: str) -> tuple[Checkpoint, set[str]]:
        """What it says, and who cosigned, once every signature is known and holds."""
        text = (self.folder / called).read_bytes().decode()
        try:
            found = Checkpoint.from_text(text)
        except (ValueError, IndexError) as wrong:
            raise Fault(f"{called}: {wrong}") from wrong
        must(found.serialize() == text, f"{called}: should be {found.serialize()!r}")
        must(len(found.root_hash) == 32, f"{called}: the root is not SHA-256")
        must(
            found.origin == self.own.name and found.origin.startswith(PREFIX),
            f"{called}: origin {found.origin!r} is not the name of the signing key",
        )
        by_itself, cosigners = False, set()
        for signature in found.signatures:
            key = self.keys.get((signature.name, signature.key_id))
            must(key, f"{called}: signed by {signature.name}, whose key is not in keys")
            try:
                key.get_verifier().verify_note(signature, found)
            except Exception as wrong:
                raise Fault(f"{called}: invalid signature by {key.name}") from wrong
            by_itself = by_itself or key.sig_type == SIGNS
            if key.sig_type == COSIGNS:
                at = datetime.fromtimestamp(int.from_bytes(signature.payload[:8]), UTC)
                cosigners.add(key.name)
                ok(f"{called}: cosignature by {key.name}+{key.key_id:08x} at {at:%FT%TZ}")
            else:
                ok(f"{called}: signature by {key.name}+{key.key_id:08x}")
        must(by_itself, f"{called}: not signed by the office itself")
        ok(f"{called}: {found.origin} has {found.size} events")
        return found, cosigners

    def names(self, folder: str) -> list[str]:
        found = self.folder / folder
        return sorted(path.name for path in found.iterdir()) if found.is_dir() else []

    def check_events(self) -> None:
        names = self.names("events")
        indices = sorted(number(name.removesuffix(".json")) for name in names)
        must({f"{i}.json" for i in indices} == set(names), "events: not all named INDEX.json")
        given = self.proofs["inclusion"]
        must({str(i) for i in indices} == set(given), "proofs.json: not of the events")
        for index in indices:
            leaf = sha256(b"\0" + (self.folder / "events" / f"{index}.json").read_bytes())
            path = hashes(given[str(index)], f"proofs.json: inclusion of {index}")
            proof = InclusionProof(index, self.head.size, path)
            try:
                proof.check(leaf.digest(), self.head.root_hash)
            except Exception as wrong:
                raise Fault(f"events/{index}.json: {wrong}") from wrong
            ok(f"events/{index}.json is event {index} of the log")

    def check_witnessed(self) -> None:
        given = {entry["from"]: entry["proof"] for entry in self.proofs["consistency"]}
        must(len(given) == len(self.proofs["consistency"]), "proofs.json: consistency twice")
        used = set()
        for name in self.names("witnessed"):
            partner, _, text = name.rpartition("-")
            called, size = f"witnessed/{name}", number(text)
            old, cosigners = self.opened(called)
            must(old.size == size, f"{called}: of {old.size} events")
            must(PREFIX + partner in cosigners, f"{called}: not cosigned by {partner}")
            must(size in given, f"{called}: no consistency proof from {size}")
            path = hashes(given[size], f"proofs.json: consistency from {size}")
            try:
                proof = ConsistencyProof(size, self.head.size, path)
                proof.check(old.root_hash, self.head.root_hash)
            except Exception as wrong:
                raise Fault(f"{called}: {wrong}") from wrong
            used.add(size)
            ok(f"{called} is a prefix of the checkpoint")
        must(used == set(given), "proofs.json: consistency from a size that nobody witnessed")


def main(folder: str) -> int:
    try:
        Evidence(Path(folder)).check()
    except (Fault, ValueError, KeyError, OSError, TypeError, AttributeError, IndexError) as fault:
        print(f"fault: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
