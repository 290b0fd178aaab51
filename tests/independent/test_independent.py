"""Evidence as it is specified is accepted by implementations that nobody here wrote, and refused
after any edit.

The folder is made by a throw-away writer below, of hashlib and `cryptography` only, so that these
tests hold the format itself, whatever the product does.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.independent import checkers

pytestmark = pytest.mark.xdist_group("independent")

VECTORS = Path(__file__).resolve().parent.parent / "kernel"
SIGNS, COSIGNS = b"\x01", b"\x04"
AT = 1_790_000_000
SIZE = 13
STEP = 17  # of every so many bytes, one is changed
SEEN = (("prov-a", 8), ("prov-a", 11), ("prov-b", 1), ("prov-b", 13))


@pytest.fixture(params=checkers.ALL)
def name(request: pytest.FixtureRequest) -> str:
    why = checkers.missing(request.param)
    if why:
        pytest.skip(why)
    return str(request.param)


# The writer.


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def split(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)


def root(events: list[bytes]) -> bytes:
    if len(events) < 2:
        return sha256(b"\0" + events[0] if events else b"").digest()
    at = split(len(events))
    return node(root(events[:at]), root(events[at:]))


def inclusion(index: int, events: list[bytes]) -> list[bytes]:
    if len(events) == 1:
        return []
    at = split(len(events))
    if index < at:
        return [*inclusion(index, events[:at]), root(events[at:])]
    return [*inclusion(index - at, events[at:]), root(events[:at])]


def consistency(size: int, events: list[bytes], whole: bool = True) -> list[bytes]:
    if size == 0:
        return []
    if size == len(events):
        return [] if whole else [root(events)]
    at = split(len(events))
    if size <= at:
        return [*consistency(size, events[:at], whole), root(events[at:])]
    return [*consistency(size - at, events[at:], False), root(events[:at])]


def b64(data: bytes) -> str:
    return b64encode(data).decode()


class Key:
    def __init__(self, name: str, kind: bytes, seed: str = "") -> None:
        self.name, self.kind = name, kind
        self.secret = Ed25519PrivateKey.from_private_bytes(
            sha256(f"{name} {kind.hex()} {seed}".encode()).digest()
        )
        self.public = kind + self.secret.public_key().public_bytes_raw()
        self.id = sha256(name.encode() + b"\n" + self.public).digest()[:4]

    def line(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64(self.public)}\n"

    def sign(self, text: str, at: int = AT) -> str:
        if self.kind == SIGNS:
            blob = self.secret.sign(text.encode())
        else:
            signed = f"cosignature/v1\ntime {at}\n{text}".encode()
            blob = at.to_bytes(8, "big") + self.secret.sign(signed)
        return f"— {self.name} {b64(self.id + blob)}\n"


OWN = Key("pulang/kota", SIGNS)
A, B = Key("pulang/prov-a", COSIGNS), Key("pulang/prov-b", COSIGNS)
PARTNERS = {"prov-a": A, "prov-b": B}
EVENTS = [
    json.dumps({"type": "Catatan", "nomor": n, "isi": "é" * n}, ensure_ascii=False).encode()
    for n in range(SIZE)
]


def text(events: list[bytes], origin: str = OWN.name) -> str:
    return f"{origin}\n{len(events)}\n{b64(root(events))}\n"


def signed(body: str, *keys: Key) -> str:
    return body + "\n" + "".join(key.sign(body) for key in keys)


def write(
    folder: Path,
    events: list[bytes] = EVENTS,
    seen: tuple[tuple[str, int], ...] = SEEN,
    shown: range | None = None,
) -> None:
    for inside in ("events", "witnessed"):
        (folder / inside).mkdir(parents=True)
    (folder / "keys").write_text(OWN.line() + A.line() + B.line())
    (folder / "checkpoint").write_text(signed(text(events), OWN, A, B))
    shown = range(len(events)) if shown is None else shown
    for index in shown:
        (folder / f"events/{index}.json").write_bytes(events[index])
    for partner, size in seen:
        note = signed(text(events[:size]), OWN, PARTNERS[partner])
        (folder / f"witnessed/{partner}-{size}").write_text(note)
    proofs = {
        "size": len(events),
        "inclusion": {str(i): [b64(h) for h in inclusion(i, events)] for i in shown},
        "consistency": [
            {"from": size, "proof": [b64(h) for h in consistency(size, events)]}
            for size in sorted({size for _, size in seen})
        ],
    }
    (folder / "proofs.json").write_text(json.dumps(proofs))


# What is accepted.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "evidence")
    return tmp_path / "evidence"


def test_it_is_accepted_as_it_is(name: str, folder: Path) -> None:
    code, told = checkers.ask(name, folder)
    assert code == 0, told
    for index in range(SIZE):
        assert f"ok: events/{index}.json is event {index} of the log\n" in told
    for partner, size in SEEN:
        assert f"ok: witnessed/{partner}-{size} is a prefix of the checkpoint\n" in told
    assert told.count(": cosignature by ") == 2 + len(SEEN)
    assert "cosignature by pulang/prov-a+" in told and "at 2026-09-21T14:13:20Z" in told


def test_some_of_the_events_are_enough(name: str, tmp_path: Path) -> None:
    write(tmp_path / "evidence", shown=range(3, 6))
    code, told = checkers.ask(name, tmp_path / "evidence")
    assert code == 0, told


def test_every_size_and_every_prefix_is_accepted(name: str, tmp_path: Path) -> None:
    events = [b"%d" % n for n in range(18)]
    for size in range(len(events) + 1):
        folder = tmp_path / str(size)
        write(folder, events[:size], tuple(("prov-a", old) for old in range(size + 1)))
        code, told = checkers.ask(name, folder)
        assert code == 0, told


# What is refused. Each edit is named, made in a folder, and says where the fault is to be found.

Edit = Callable[[Path], None]
EDITS: dict[str, tuple[str, Edit]] = {}


def edit(where: str) -> Callable[[Edit], Edit]:
    def keep(made: Edit) -> Edit:
        EDITS[made.__name__] = where, made
        return made

    return keep


def replace(path: Path, old: str, new: str) -> None:
    before = path.read_bytes().decode()
    assert old in before
    path.write_bytes(before.replace(old, new, 1).encode())


def proofs(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "proofs.json"
    given = json.loads(path.read_text())
    change(given)
    path.write_text(json.dumps(given))


def flipped(data: str, at: int = -1) -> str:
    raw = bytearray(b64decode(data))
    raw[at] ^= 1
    return b64(bytes(raw))


def resign(path: Path, number: int, at: int) -> None:
    """Flips a bit in the blob of one signature line: 4 bytes of id, then what was signed with."""
    lines = path.read_text().splitlines(keepends=True)
    dash, name, blob = lines[4 + number].split()
    lines[4 + number] = f"{dash} {name} {flipped(blob, at)}\n"
    path.write_text("".join(lines))


@edit("events/3.json")
def a_byte_of_an_event(folder: Path) -> None:
    replace(folder / "events/3.json", '"nomor": 3', '"nomor": 4')


@edit("events/3.json")
def a_newline_after_an_event(folder: Path) -> None:
    (folder / "events/3.json").write_bytes(EVENTS[3] + b"\n")


@edit("events/")
def two_events_swapped(folder: Path) -> None:
    (folder / "events/3.json").write_bytes(EVENTS[4])
    (folder / "events/4.json").write_bytes(EVENTS[3])


@edit("proofs.json")
def an_event_taken_out(folder: Path) -> None:
    (folder / "events/12.json").unlink()


@edit("events/13.json")
def an_event_added(folder: Path) -> None:
    (folder / "events/13.json").write_bytes(EVENTS[0])
    proofs(folder, lambda p: p["inclusion"].update({"13": p["inclusion"]["12"]}))


@edit("events/5.json")
def an_inclusion_hash(folder: Path) -> None:
    def change(given: dict) -> None:
        given["inclusion"]["5"][1] = flipped(given["inclusion"]["5"][1], 0)

    proofs(folder, change)


@edit("events/5.json")
def an_inclusion_hash_too_few(folder: Path) -> None:
    proofs(folder, lambda p: p["inclusion"]["5"].pop())


@edit("events/5.json")
def an_inclusion_hash_too_many(folder: Path) -> None:
    proofs(folder, lambda p: p["inclusion"]["5"].append(p["inclusion"]["5"][0]))


@edit("proofs.json")
def a_hash_without_its_padding(folder: Path) -> None:
    def change(given: dict) -> None:
        given["inclusion"]["5"][1] = given["inclusion"]["5"][1].rstrip("=")

    proofs(folder, change)


@edit("witnessed/prov-a-8")
def a_consistency_hash(folder: Path) -> None:
    def change(given: dict) -> None:
        path = next(c["proof"] for c in given["consistency"] if c["from"] == 8)
        path[0] = flipped(path[0], 31)

    proofs(folder, change)


@edit("witnessed/prov-a-11")
def a_consistency_proof_emptied(folder: Path) -> None:
    proofs(folder, lambda p: next(c for c in p["consistency"] if c["from"] == 11)["proof"].clear())


@edit("witnessed/prov-b-1")
def no_consistency_proof(folder: Path) -> None:
    proofs(folder, lambda p: p["consistency"].pop(0))


@edit("proofs.json")
def a_consistency_proof_of_what_nobody_saw(folder: Path) -> None:
    (folder / "witnessed/prov-a-8").unlink()


@edit("proofs.json")
def a_wrong_size_of_the_proofs(folder: Path) -> None:
    proofs(folder, lambda p: p.update(size=SIZE - 1))


@edit("checkpoint")
def a_wrong_size_of_the_checkpoint(folder: Path) -> None:
    replace(folder / "checkpoint", f"\n{SIZE}\n", f"\n{SIZE + 1}\n")


@edit("events/")
def a_wrong_size_that_all_signed(folder: Path) -> None:
    body = text(EVENTS).replace(f"\n{SIZE}\n", f"\n{SIZE + 4}\n")
    (folder / "checkpoint").write_text(signed(body, OWN, A, B))
    proofs(folder, lambda p: p.update(size=SIZE + 4))


@edit("checkpoint")
def a_size_with_a_leading_zero(folder: Path) -> None:
    body = text(EVENTS).replace(f"\n{SIZE}\n", f"\n0{SIZE}\n")
    (folder / "checkpoint").write_text(signed(body, OWN, A, B))


@edit("checkpoint")
def a_wrong_origin(folder: Path) -> None:
    replace(folder / "checkpoint", "pulang/kota\n", "pulang/desa\n")


@edit("checkpoint")
def a_wrong_origin_that_all_signed(folder: Path) -> None:
    (folder / "checkpoint").write_text(signed(text(EVENTS, "pulang/desa"), OWN, A, B))


@edit("checkpoint")
def a_bad_signature(folder: Path) -> None:
    resign(folder / "checkpoint", 0, -1)


@edit("checkpoint")
def no_signature_of_its_own(folder: Path) -> None:
    (folder / "checkpoint").write_text(signed(text(EVENTS), A, B))


@edit("checkpoint")
def a_bad_cosignature(folder: Path) -> None:
    resign(folder / "checkpoint", 1, -1)


@edit("checkpoint")
def another_time_of_a_cosignature(folder: Path) -> None:
    resign(folder / "checkpoint", 2, 4 + 7)


@edit("checkpoint")
def a_plain_signature_for_a_cosignature(folder: Path) -> None:
    body = text(EVENTS)
    blob = A.id + AT.to_bytes(8, "big") + A.secret.sign(body.encode())
    note = signed(body, OWN) + f"— {A.name} {b64(blob)}\n"
    (folder / "checkpoint").write_text(note)


@edit("checkpoint")
def a_cosignature_of_another_checkpoint(folder: Path) -> None:
    note = signed(text(EVENTS), OWN) + A.sign(text(EVENTS[:11]))
    (folder / "checkpoint").write_text(note)


@edit("checkpoint")
def an_unknown_key(folder: Path) -> None:
    (folder / "keys").write_text(OWN.line() + A.line())


@edit("checkpoint")
def anothers_key_of_the_same_name(folder: Path) -> None:
    stranger = Key(OWN.name, SIGNS, "stranger")
    (folder / "keys").write_text(stranger.line() + A.line() + B.line())


@edit("checkpoint")
def a_key_that_changed_under_its_id(folder: Path) -> None:
    """Signed by a stranger who claims the known key's name and id."""
    stranger = Key(OWN.name, SIGNS, "stranger")
    stranger.id = OWN.id
    (folder / "checkpoint").write_text(signed(text(EVENTS), stranger, A, B))


@edit("key")
def an_id_that_is_not_the_keys(folder: Path) -> None:
    replace(folder / "keys", f"+{A.id.hex()}+", "+00000000+")


@edit("key")
def an_id_in_capitals(folder: Path) -> None:
    assert OWN.id.hex() != OWN.id.hex().upper()
    replace(folder / "keys", OWN.id.hex(), OWN.id.hex().upper())


@edit("key")
def a_cosigners_key_of_the_wrong_type(folder: Path) -> None:
    wrong = Key(A.name, SIGNS)
    (folder / "keys").write_text(OWN.line() + wrong.line() + B.line())


@edit("key")
def no_signing_key(folder: Path) -> None:
    (folder / "keys").write_text(A.line() + B.line())


@edit("checkpoint")
def lines_ended_as_on_windows(folder: Path) -> None:
    path = folder / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@edit("checkpoint")
def no_newline_at_the_end(folder: Path) -> None:
    path = folder / "checkpoint"
    path.write_bytes(path.read_bytes()[:-1])


@edit("checkpoint")
def a_hyphen_for_the_em_dash(folder: Path) -> None:
    replace(folder / "checkpoint", "— pulang", "- pulang")


@edit("checkpoint")
def a_signature_written_otherwise(folder: Path) -> None:
    """The last character before the padding has bits that no decoder needs."""
    path = folder / "checkpoint"
    line = path.read_text().splitlines()[4]
    assert line.endswith("=") and not line.endswith("==")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = letters[letters.index(line[-2]) | 1]
    assert b64decode(line.split()[2]) == b64decode(line.split()[2][:-2] + other + "=")
    replace(path, line, line[:-2] + other + "=")


@edit("witnessed/prov-a-11")
def a_witnessed_checkpoint_that_is_no_prefix(folder: Path) -> None:
    """What a partner kept of a past that the office has since rewritten, all duly signed."""
    fork = [*EVENTS[:5], b'{"nomor": 5, "isi": "lain"}', *EVENTS[6:11]]
    (folder / "witnessed/prov-a-11").write_text(signed(text(fork), OWN, A))


@edit("witnessed/prov-b-13")
def a_witnessed_checkpoint_of_the_same_size_and_another_root(folder: Path) -> None:
    fork = [*EVENTS[:12], b"{}"]
    (folder / "witnessed/prov-b-13").write_text(signed(text(fork), OWN, B))


@edit("witnessed/prov-a-8")
def a_witnessed_checkpoint_without_its_cosignature(folder: Path) -> None:
    (folder / "witnessed/prov-a-8").write_text(signed(text(EVENTS[:8]), OWN))


@edit("witnessed/prov-a-8")
def a_witnessed_checkpoint_cosigned_by_another(folder: Path) -> None:
    (folder / "witnessed/prov-a-8").write_text(signed(text(EVENTS[:8]), OWN, B))


@edit("witnessed/prov-a-8")
def a_witnessed_checkpoint_of_another_size(folder: Path) -> None:
    (folder / "witnessed/prov-a-8").write_text(signed(text(EVENTS[:7]), OWN, A))


@edit("witnessed/prov-a-8")
def a_witnessed_checkpoint_of_another_office(folder: Path) -> None:
    (folder / "witnessed/prov-a-8").write_text(signed(text(EVENTS[:8], "pulang/desa"), OWN, A))


@pytest.mark.parametrize("made", EDITS)
def test_it_is_refused_after_an_edit(name: str, folder: Path, made: str) -> None:
    where, change = EDITS[made]
    change(folder)
    code, told = checkers.ask(name, folder)
    assert code == 1, told
    last = told.splitlines()[-1]
    assert last.startswith(f"fault: {where}"), told


def test_no_byte_can_be_changed(name: str, folder: Path) -> None:
    """Of every file but proofs.json, where a JSON text can be written in more than one way."""
    assert checkers.ask(name, folder)[0] == 0
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name == "proofs.json":
            continue
        before = path.read_bytes()
        for at in range(len(path.name) % STEP, len(before), STEP):
            changed = bytearray(before)
            changed[at] ^= 1
            path.write_bytes(changed)
            code, told = checkers.ask(name, folder)
            assert code == 1, f"{path.name}, byte {at}: {told}"
        path.write_bytes(before)
    assert checkers.ask(name, folder)[0] == 0


# Published vectors.


def published(file: str) -> Path:
    return VECTORS / file


@pytest.mark.parametrize("command, file", [("merkle", "merkle"), ("notes", "note")])
def test_x_mod_confirms_the_published_vectors(command: str, file: str) -> None:
    why = checkers.missing(checkers.X_MOD)
    if why:
        pytest.skip(why)
    code, told = checkers.go(command, published(f"{file}_vectors.json"))
    assert code == 0, told


def test_the_writer_makes_the_published_vectors() -> None:
    given = json.loads(published("merkle_vectors.json").read_text())
    leaves = [bytes.fromhex(leaf) for leaf in given["leaves"]]
    assert root([]).hex() == given["empty_root"]
    for size, expected in enumerate(given["roots"], 1):
        assert root(leaves[:size]).hex() == expected
    for v in given["inclusion"]:
        assert [h.hex() for h in inclusion(v["index"], leaves[: v["size"]])] == v["proof"]
    for v in given["consistency"]:
        assert [h.hex() for h in consistency(v["from"], leaves[: v["size"]])] == v["proof"]


def test_tlog_scales_confirms_the_published_vectors() -> None:
    why = checkers.missing(checkers.SCALES)
    if why:
        pytest.skip(why)
    from tlog_scales.signing import Vkey
    from tlog_scales.tlog import Checkpoint, ConsistencyProof, InclusionProof

    given = json.loads(published("merkle_vectors.json").read_text())
    roots = [bytes.fromhex(expected) for expected in given["roots"]]
    for v in given["inclusion"]:
        leaf = sha256(b"\0" + bytes.fromhex(given["leaves"][v["index"]])).digest()
        path = [bytes.fromhex(h) for h in v["proof"]]
        InclusionProof(v["index"], v["size"], path).check(leaf, roots[v["size"] - 1])
    for v in given["consistency"]:
        path = [bytes.fromhex(h) for h in v["proof"]]
        proof = ConsistencyProof(v["from"], v["size"], path)
        proof.check(roots[v["from"] - 1], roots[v["size"] - 1])
    # It reads no notes but checkpoints.
    for v in json.loads(published("note_vectors.json").read_text()):
        if len(v["note"].split("\n\n")[0].splitlines()) == 3:
            for key in v["keys"]:
                Checkpoint.from_text(v["note"]).verify(Vkey.from_string(key))
