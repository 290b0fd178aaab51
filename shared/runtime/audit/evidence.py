"""`pulang audit evidence`: what an inspector can check of one subject without this office.

A folder, and the same as a .zip beside it: the stored bytes of each event of the subject's history,
the newest checkpoint with the cosignatures of partners, the proofs that the events are in the log,
earlier checkpoints as partners kept them with the proofs that the log has only grown since, the
papers that were made of those events (a BAST without its annex), a timeline in plain words, and a
program that checks it all (`checker.py`, there `verify.py`). The formats are those of C2SP and RFC
9162; docs/audit.md says how to check them.

It is read at one moment and nothing in the database is changed. It tells what the newest checkpoint
covers: what was recorded after that is named, and not proven. Where histories differ the
evidence is made all the same, shows it, and what does not hold is said.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from hashlib import sha256
from importlib import resources
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from psycopg import AsyncConnection

from shared.kernel import checkpoints, merkle, note, tiles
from shared.kernel.asof import Moment
from shared.kernel.event import UnknownType
from shared.kernel.keyring import COSIGNER, Keyring, key_id, verifier_key
from shared.kernel.merkle import Span
from shared.kernel.note import Checkpoint, NotANote
from shared.runtime.audit import checker
from shared.runtime.history import history
from shared.runtime.office import Office
from shared.runtime.papers.paper import typeset
from shared.runtime.papers.record import Source
from shared.runtime.screens import language

WITNESSED = 1_000
"""So many checkpoints of one partner are all shown; of more, those beside the subject's events."""
STREAMS = {"city": "handover", "province": "arrival"}
"""What each kind of office calls the stream of a handover."""


class NoEvidence(Exception):
    """None can be made, or not there. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What goes into the folder, by path, and what it says in short."""

    subject: str
    size: int
    covered: int
    beyond: int
    files: dict[str, bytes] = field(repr=False)
    witnessed: dict[str, tuple[int, int]]
    """Partner → how many of its checkpoints are shown, and how many there are."""

    def document(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "size": self.size,
            "events": self.covered,
            "not_covered": self.beyond,
            "witnessed": {
                partner: {"shown": shown, "kept": kept}
                for partner, (shown, kept) in self.witnessed.items()
            },
        }


@dataclass(frozen=True, slots=True)
class _Kept:
    """This office's checkpoint as a partner kept it; `one` is None where it does not parse."""

    partner: str
    size: int
    text: str
    one: Checkpoint | None


async def gather(
    connection: AsyncConnection[Any], office: Office, subject: str, stream: str
) -> Evidence:
    """All of it, as of one moment. Raises NoEvidence.

    `stream` is the one that this office must have of the subject; `connection` is in no
    transaction yet.
    """
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        try:
            return await _gather(connection, office, subject, stream)
        except (LookupError, ValueError, UnknownType) as error:
            raise NoEvidence(
                f"the log can't be read ({type(error).__name__}): run `pulang audit verify`"
            ) from error


async def _gather(
    connection: AsyncConnection[Any], office: Office, subject: str, stream: str
) -> Evidence:
    lines = await _lines(connection, office, subject)
    if not any(line["subject"] == stream for line in lines):
        raise NoEvidence(f"this office has no {stream} in its log")
    newest = await checkpoints.latest(connection)
    covered = [line for line in lines if newest and line["position"] <= newest.size]
    if newest is None or not covered:
        raise NoEvidence(
            f"no checkpoint covers anything of {subject} yet: the worker makes one after each"
            " batch; see `pulang status`"
        )
    size, positions = newest.size, [line["position"] for line in covered]
    bodies = await _bodies(connection, positions)
    kept, number_kept = await _kept(connection, positions)
    spans = [merkle.inclusion_spans(position - 1, size) for position in positions]
    inclusion = dict(zip(positions, await _proofs(connection, spans), strict=True))
    sizes = sorted({one.size for one in kept if one.size <= size})
    spans = [merkle.consistency_spans(old, size) for old in sizes]
    consistency = dict(zip(sizes, await _proofs(connection, spans), strict=True))
    (head,) = await tiles.hashes(connection, [(0, size)])
    signer = await _signer(connection, office.keyring, replace(newest, head=head))
    source = Source(connection, office.handling.types, office.settings, size)
    papers = await office.service.evidence(source, subject)
    shown = {
        partner: (sum(one.partner == partner for one in kept), number)
        for partner, number in number_kept.items()
    }
    files = {
        "checkpoint": signer.shown(_cosigned(newest, kept), []).encode(),
        "keys": "".join(f"{line}\n" for line in signer.lines).encode(),
        "proofs.json": _proofs_document(size, inclusion, consistency),
    }
    for position, body in zip(positions, bodies, strict=True):
        files[f"events/{position - 1}.json"] = body
    for one in kept:
        text = signer.shown(one.one, consistency.get(one.size, [])) if one.one else one.text
        files[f"witnessed/{one.partner}-{one.size}"] = text.encode()
    for name, paper in papers.items():
        # In a thread: the web, which makes evidence too, goes on meanwhile.
        files[name] = await asyncio.to_thread(typeset, paper)
    made = Evidence(subject, size, len(covered), len(lines) - len(covered), files, shown)
    files["linimasa.txt"] = _timeline(made, office, lines, sorted(papers)).encode()
    files["verify.py"] = resources.files(__package__).joinpath("checker.py").read_bytes()
    files["contents"] = _contents(office.keyring, subject, files)
    return made


def _cosigned(newest: Checkpoint, kept: list[_Kept]) -> Checkpoint:
    """The newest checkpoint with the signatures of all partners that have kept this very one."""
    notes = [newest, *(one.one for one in kept if one.one and one.one.body == newest.body)]
    signatures = dict.fromkeys(line for one in notes for line in one.signatures)
    return replace(newest, signatures=tuple(signatures))


def _proofs_document(
    size: int, inclusion: dict[int, list[bytes]], consistency: dict[int, list[bytes]]
) -> bytes:
    document = {
        "size": size,
        "inclusion": {str(at - 1): _encoded(proof) for at, proof in inclusion.items()},
        "consistency": [
            {"from": old, "proof": _encoded(proof)} for old, proof in consistency.items()
        ],
    }
    return json.dumps(document, indent=1).encode()


async def _lines(
    connection: AsyncConnection[Any], office: Office, subject: str
) -> list[dict[str, Any]]:
    """The subject's whole history, in plain words: Indonesian, whoever takes it away."""
    language.choose("id")
    lines: list[dict[str, Any]] = []
    types, corrections = office.handling.types, office.service.corrections
    while some := await history(
        connection,
        types,
        corrections,
        subject,
        Moment(),
        lines[-1]["position"] if lines else 0,
    ):
        lines += some
    return lines


async def _bodies(connection: AsyncConnection[Any], positions: list[int]) -> list[bytes]:
    cursor = await connection.execute(
        "select body from events where position = any(%s) order by position", (positions,)
    )
    return [bytes(body) for (body,) in await cursor.fetchall()]


async def _proofs(
    connection: AsyncConnection[Any], wanted: Sequence[list[Span]]
) -> list[list[bytes]]:
    flat = iter(await tiles.hashes(connection, [span for spans in wanted for span in spans]))
    return [list(islice(flat, len(spans))) for spans in wanted]


async def _kept(
    connection: AsyncConnection[Any], positions: list[int]
) -> tuple[list[_Kept], dict[str, int]]:
    """What partners kept of this office's log, and how many that are of each."""
    cursor = await connection.execute(
        "select office, array_agg(size order by size) from cosignatures group by office order by 1"
    )
    sizes: dict[str, list[int]] = dict(await cursor.fetchall())
    kept = []
    for office, some in sizes.items():
        cursor = await connection.execute(
            "select size, note from cosignatures where office = %s and size = any(%s)"
            " order by size",
            (office, _beside(some, positions)),
        )
        for size, text in await cursor.fetchall():
            try:
                one = note.parse(text)
            except NotANote:
                one = None
            kept.append(_Kept(office, size, text, one))
    return kept, {office: len(some) for office, some in sizes.items()}


def _beside(sizes: list[int], positions: list[int]) -> list[int]:
    """All, or of many: for each event the last without it and the first with it, and the newest."""
    if len(sizes) <= WITNESSED:
        return sizes
    chosen = {sizes[-1]}
    for position in positions:
        at = bisect_left(sizes, position)
        chosen.update(sizes[max(at - 1, 0) : at + 1])
    return sorted(chosen)


@dataclass(frozen=True, slots=True)
class _Signer:
    """This office's own key, those of its witnesses, and the log as it really is."""

    keyring: Keyring
    log: Checkpoint
    lines: list[str]
    known: frozenset[tuple[str, str]]

    def shown(self, one: Checkpoint, proof: list[bytes]) -> str:
        """The note with the signatures that `keys` can check.

        What this office signed with a key that it has rolled since is signed anew, the same text,
        with its key of today; and only if the proof shows it to be of this very log.
        """
        fresh = note.signed(one.office, one.size, one.head, self.keyring.sign).signatures[0]
        lines = [line for line in one.signatures if (line.name, line.key_id) in self.known]
        if (fresh.name, fresh.key_id) not in {(line.name, line.key_id) for line in lines}:
            sizes, heads = (one.size, self.log.size), (one.head, self.log.head)
            if one.office == self.log.office and merkle.consistent(*sizes, *heads, proof):
                lines.insert(0, fresh)
        return replace(one, signatures=tuple(lines)).note


async def _signer(connection: AsyncConnection[Any], keyring: Keyring, log: Checkpoint) -> _Signer:
    """Partners' keys that are no longer trusted count too: what they cosigned is cosigned."""
    own = dict(await keyring.public())["current"]
    cursor = await connection.execute(
        "select office, public from trusted_keys order by office, trusted_at"
    )
    partners = [(office, bytes(public)) for office, public in await cursor.fetchall()]
    lines = [own, *(verifier_key(office, public, COSIGNER) for office, public in partners)]
    known = {(note.name_of(keyring.office), own.split("+")[1])} | {
        (note.name_of(office), key_id(office, public, COSIGNER)) for office, public in partners
    }
    return _Signer(keyring, log, lines, frozenset(known))


def _encoded(proof: list[bytes]) -> list[str]:
    return [b64encode(one).decode() for one in proof]


def _contents(keyring: Keyring, subject: str, files: dict[str, bytes]) -> bytes:
    """What lies in the folder, signed: the timeline has no other proof, nor that none is missing.

    A signed note as the checkpoint is; its first line is that of nothing else that is signed.
    """
    lines = [checker.CONTENTS, note.name_of(keyring.office), subject]
    lines += [f"{sha256(data).hexdigest()}  {name}" for name, data in sorted(files.items())]
    body = "\n".join(lines) + "\n"
    key, signature = keyring.sign(body.encode())
    line = note.Signature(note.name_of(keyring.office), key, signature).line
    return f"{body}\n{line}".encode()


def _timeline(
    made: Evidence, office: Office, lines: list[dict[str, Any]], papers: list[str]
) -> str:
    settings = office.settings
    text = [
        f"Linimasa {made.subject}",
        f"menurut catatan kantor {settings.office} ({settings.office_name})",
        "",
        f"Checkpoint mencakup {made.size} peristiwa pertama dalam log kantor ini, di antaranya"
        f" {made.covered} tentang {made.subject}.",
    ]
    for partner, (shown, kept) in made.witnessed.items():
        text.append(f"Kantor {partner} menyaksikan {kept} checkpoint; {shown} ada di witnessed.")
    text += [
        f"Naskah: {', '.join(papers) or 'belum ada'}; sebagaimana dicetak dari peristiwa di sini.",
        "Penerima manfaat disebut dengan kode; identitas tersegel, lampirannya tidak disertakan.",
        "Untuk memeriksa: python3 verify.py",
    ]
    for at, line in enumerate(lines):
        if at == made.covered:
            text += ["", "Setelah checkpoint itu masih tercatat, belum tercakup dan tanpa bukti:"]
        place = f"events/{line['position'] - 1}.json" if at < made.covered else "(tanpa berkas)"
        text += [
            "",
            f"{place}  {line['words']}",
            f"    terjadi {_said(line['occurred_at'], settings.zone)},"
            f" dicatat {_said(line['recorded_at'], settings.zone)}, oleh {line['actor']}",
        ]
    return "\n".join(text) + "\n"


def _said(time: str, zone: tzinfo) -> str:
    return f"{datetime.fromisoformat(time).astimezone(zone):%d-%m-%Y %H:%M:%S %Z}"


def archive_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.zip")


def refuse_used(out: Path) -> None:
    """Raises NoEvidence where something lies already, or there is no place for it."""
    if not out.parent.is_dir():
        raise NoEvidence(f"{out.parent} is no folder: make it first")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise NoEvidence(f"{out} is there and not empty: name another")
    if archive_of(out).exists():
        raise NoEvidence(f"{archive_of(out)} is there already: name another")


def write(made: Evidence, out: Path) -> list[str]:
    """Folder and archive, whole or not at all; gives what of it does not hold. Raises NoEvidence.

    `out` is an absolute path.
    """
    refuse_used(out)
    try:
        with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            folder, archive = Path(scratch) / "folder", Path(scratch) / "archive"
            with ZipFile(archive, "w", ZIP_DEFLATED) as zipped:
                for name, data in made.files.items():
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
                    zipped.write(path, name)
            faults = checker.Evidence(folder, lambda words: None).check()
            folder.rename(out)
            try:
                archive.rename(archive_of(out))
            except BaseException:
                shutil.rmtree(out)
                raise
    except OSError as error:
        raise NoEvidence(f"{out} can't be written: {error}") from error
    return faults
