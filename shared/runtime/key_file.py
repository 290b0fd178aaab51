"""The sealed file: an office's wrapping keys under a passphrase, for offices without a token.

It is JSON. Each epoch's key is AES-256-GCM ciphertext under a key that Argon2id draws from the
passphrase, bound to its office and epoch. A seal over all the rest makes a lost, swapped or added
line a damaged file, never a silently missing key.

Promises: a change is a new file beside it, flushed and renamed, so that a crash leaves the old one
or the new one. Changes by several processes happen one after the other. What one process draws or
destroys, the others notice before their next use. An error holds no secret.

Who has both an old copy of the file and the passphrase opens what it held: keep them apart, and see
`SealedFile.destroy` for what destroying can't reach.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from argon2.exceptions import HashingError
from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from shared.kernel.keys import KeysUnusable, Unopened

PASSPHRASE_CHARACTERS = 20
KEY_BYTES = 32
SALT_BYTES = 16
PASSES = 3
MEMORY_KIB = 64 * 1024
NONCE_BYTES = 12
LOCK_WAIT_SECONDS = 10.0
CLOCK_TICK_SECONDS = 0.05
"""Two changes nearer to each other than this may bear one time in the file system."""

FILE_BYTES_AT_MOST = 1024 * 1024
PRIVATE = 0o600


class KeyFileUnusable(KeysUnusable):
    """The file can't be used as it is; the sentence says what to do."""


class _Derivation(BaseModel):
    """How the passphrase becomes a key: RFC 9106's second recommended parameters when drawn.

    The bounds are for files that somebody tampered with: they must not eat the machine's memory.
    Weaker parameters give another key, which opens nothing, so they need no bound.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Literal["argon2id"] = "argon2id"
    version: Literal[19] = ARGON2_VERSION
    passes: Annotated[int, Field(ge=1, le=10)]
    memory_kib: Annotated[int, Field(ge=8, le=256 * 1024)]
    lanes: Annotated[int, Field(ge=1, le=8)] = 4
    salt: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal["pulang-key-file"] = "pulang-key-file"
    version: Literal[1] = 1
    office: str
    derivation: _Derivation
    epochs: dict[PositiveInt, str]
    seal: str = ""

    def sealed_bytes(self) -> bytes:
        return json.dumps(self.model_dump(exclude={"seal"}), sort_keys=True).encode()


@dataclass(frozen=True)
class _Held:
    """What one version of the file holds, opened."""

    seen: tuple[int, ...]
    file: _File
    keys: dict[int, AESGCM] = field(repr=False)


class SealedFile:
    """A KeyProvider on a file. Safe to use from many threads and many processes."""

    def __init__(self, path: Path, passphrase: str, office: str) -> None:
        """Reads nothing yet: ask for `epochs` to know whether the file opens.

        Raises KeyFileUnusable where the passphrase is too short, as every other method does where
        the file can't be used.
        """
        if len(passphrase) < PASSPHRASE_CHARACTERS:
            raise KeyFileUnusable(
                f"the passphrase of {path} is too short: take at least {PASSPHRASE_CHARACTERS}"
                " characters, drawn and not thought up"
            )
        self._path, self._office = path, office
        # Python would put the whole text into an encoding error, hence an encoding without one.
        self._passphrase = passphrase.encode("utf-8", "surrogatepass")
        self._derived: tuple[_Derivation, AESGCM] | None = None
        self._held: _Held | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"SealedFile({str(self._path)!r}, office={self._office!r})"

    @classmethod
    def make(cls, path: Path, passphrase: str, office: str) -> SealedFile:
        """Draws a new file with epoch 1 unless one is there, and opens it. Raises KeyFileUnusable.

        It never writes over a file, be it damaged or another office's.
        """
        made = cls(path, passphrase, office)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _off(path, error) from None
        with made._lock, _only_one(path, fcntl.LOCK_EX):
            if not os.path.lexists(path):
                salt = _text(os.urandom(SALT_BYTES))
                derivation = _Derivation(salt=salt, passes=PASSES, memory_kib=MEMORY_KIB)
                empty = _File(office=office, derivation=derivation, epochs={})
                made._write(made._with_key(empty, 1))
        made.epochs()
        return made

    def epochs(self) -> list[int]:
        return sorted(self._refreshed().keys)

    def create(self, epoch: int) -> None:
        if epoch < 1:
            raise ValueError("epochs count from 1")
        with self._lock, _only_one(self._path, fcntl.LOCK_EX):
            held = self._read()
            if epoch not in held.keys:
                with self._old() as old:
                    self._write(self._with_key(held.file, epoch))
                    _overwrite(self._path, old)

    def destroy(self, epoch: int) -> None:
        """Rewrites the file without that epoch, then overwrites the bytes of the old one.

        That is a best effort. A solid-state disk writes elsewhere and keeps the old cells for a
        while; so do file systems that copy on write, journal data or take snapshots. And no copy
        is reached: a backup of the file, a disk image, the memory of a process that read the key
        (Python can't wipe it). So keep few backups of this file, for a time that is written down,
        apart from the passphrase. Where that is not enough, use a hardware module.
        """
        with self._lock, _only_one(self._path, fcntl.LOCK_EX):
            held = self._read()
            if epoch not in held.keys:
                return
            with self._old() as old:
                left = {e: text for e, text in held.file.epochs.items() if e != epoch}
                self._write(held.file.model_copy(update={"epochs": left}))
                _overwrite(self._path, old)

    def wrap(self, epoch: int, plain: bytes, about: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._key(epoch).encrypt(nonce, plain, about)

    def unwrap(self, epoch: int, wrapped: bytes, about: bytes) -> bytes:
        key = self._key(epoch)
        try:
            return _opened(key, wrapped, about)
        except (InvalidTag, ValueError):
            raise Unopened("it was wrapped by another key, for another use, or changed") from None

    def _key(self, epoch: int) -> AESGCM:
        key = self._refreshed().keys.get(epoch)
        if key is None:
            raise Unopened(f"the key of epoch {epoch} is gone")
        return key

    def _refreshed(self) -> _Held:
        """What the file holds now. It is read only where it is another than the last time."""
        with self._lock:
            try:
                seen = _seen(self._path.stat())
            except OSError as error:
                raise _off(self._path, error) from None
            if self._held is None or self._held.seen != seen:
                # A writer overwrites the old file's bytes, so nobody may be reading them then.
                with _only_one(self._path, fcntl.LOCK_SH):
                    self._held = self._read()
            return self._held

    def _read(self) -> _Held:
        try:
            with self._path.open("rb") as source:
                status = os.fstat(source.fileno())
                raw = source.read(FILE_BYTES_AT_MOST + 1)
        except OSError as error:
            raise _off(self._path, error) from None
        file = self._parsed(raw)
        sealer = self._sealer(file.derivation)
        try:
            _opened(sealer, _bytes(file.seal), file.sealed_bytes())
            keys = {
                epoch: AESGCM(_opened(sealer, _bytes(text), self._about(epoch)))
                for epoch, text in file.epochs.items()
            }
        except (InvalidTag, ValueError):
            raise KeyFileUnusable(
                f"{self._path} does not open: give the passphrase it was made with; if that is the"
                " right one, the file was damaged, so restore it from its backup"
            ) from None
        # A file this young is read again, for its next version might look just like it.
        settled = time.time() - status.st_mtime > CLOCK_TICK_SECONDS
        return _Held(_seen(status) if settled else (), file, keys)

    def _parsed(self, raw: bytes) -> _File:
        try:
            file = _File.model_validate_json(raw) if len(raw) <= FILE_BYTES_AT_MOST else None
        except ValidationError:
            file = None
        if file is None:
            raise KeyFileUnusable(
                f"{self._path} is no key file that this version reads, or it was damaged:"
                " restore it from its backup, or install the version that wrote it"
            )
        if file.office != self._office:
            raise KeyFileUnusable(
                f"{self._path} is not the key file of office {self._office}:"
                " point PULANG_KEY_FILE to this office's own"
            )
        return file

    def _sealer(self, derivation: _Derivation) -> AESGCM:
        """The key that the passphrase gives, drawn once for each salt: that takes a moment."""
        if self._derived is None or self._derived[0] != derivation:
            try:
                key = hash_secret_raw(
                    self._passphrase,
                    _bytes(derivation.salt),
                    derivation.passes,
                    derivation.memory_kib,
                    derivation.lanes,
                    KEY_BYTES,
                    Type.ID,
                    derivation.version,
                )
            except (HashingError, ValueError):
                raise KeyFileUnusable(
                    f"no key could be drawn for {self._path}: see that this process may use"
                    f" {derivation.memory_kib // 1024 + 1} MiB of memory; if it may, the file was"
                    " damaged, so restore it from its backup"
                ) from None
            self._derived = derivation, AESGCM(key)
        return self._derived[1]

    def _about(self, epoch: int) -> bytes:
        return json.dumps(["pulang-key-file", self._office, epoch]).encode()

    def _with_key(self, file: _File, epoch: int) -> _File:
        sealer = self._sealer(file.derivation)
        text = _sealed(sealer, os.urandom(KEY_BYTES), self._about(epoch))
        epochs = dict(sorted({**file.epochs, epoch: text}.items()))
        return file.model_copy(update={"epochs": epochs})

    def _old(self) -> BinaryIO:
        """The file as it is: held open, its bytes keep their place until they are overwritten."""
        try:
            return self._path.open("r+b")
        except OSError as error:
            raise _unwritten(self._path, error) from None

    def _write(self, file: _File) -> None:
        """Seals the file and puts it in place. The caller holds the lock."""
        seal = _sealed(self._sealer(file.derivation), b"", file.sealed_bytes())
        file = file.model_copy(update={"seal": seal})
        try:
            _replace(self._path, file.model_dump_json(indent=2).encode() + b"\n")
        except OSError as error:
            raise _unwritten(self._path, error) from None


def _overwrite(path: Path, old: BinaryIO) -> None:
    """What a replaced file held is written over, so that it doesn't lie about on free blocks."""
    try:
        old.write(os.urandom(os.fstat(old.fileno()).st_size))
        old.flush()
        os.fsync(old.fileno())
    except OSError as error:
        raise KeyFileUnusable(
            f"{path} was rewritten, but its old bytes could not be overwritten"
            f" ({type(error).__name__}): look at the disk, and treat it as one that holds the key"
        ) from None


def _replace(path: Path, content: bytes) -> None:
    # One name for all, under the lock: what a crash left there is written over, not left about.
    beside = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(beside, flags, PRIVATE), "wb") as target:
        os.fchmod(target.fileno(), PRIVATE)
        # A file that root rewrites still belongs to the user whom the office runs as.
        with suppress(FileNotFoundError, PermissionError):
            before = path.stat()
            os.fchown(target.fileno(), before.st_uid, before.st_gid)
        target.write(content)
        target.truncate()
        target.flush()
        os.fsync(target.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _only_one(path: Path, kind: int) -> Iterator[None]:
    """The advisory lock on the folder, for the file itself is replaced and may be read-only."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _off(path, error) from None
    try:
        until = time.monotonic() + LOCK_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(folder, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise KeyFileUnusable(
                        f"another process has held the folder of {path} for"
                        f" {LOCK_WAIT_SECONDS:.0f} s: end it if it hangs, then try again"
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(folder)


def _unwritten(path: Path, error: OSError) -> KeyFileUnusable:
    return KeyFileUnusable(
        f"{path} can't be written ({type(error).__name__}), and was left as it was: see that this"
        " process may write to it and its folder, and that there is free space"
    )


def _off(path: Path, error: OSError) -> KeyFileUnusable:
    if isinstance(error, FileNotFoundError):
        return KeyFileUnusable(
            f"{path} is missing: restore it from its backup, or make one with `pulang keys init`"
            " if this office never had one"
        )
    return KeyFileUnusable(
        f"{path} can't be read ({type(error).__name__}): give this process's user access to it"
    )


def _seen(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _sealed(key: AESGCM, plain: bytes, about: bytes) -> str:
    nonce = os.urandom(NONCE_BYTES)
    return _text(nonce + key.encrypt(nonce, plain, about))


def _opened(key: AESGCM, sealed: bytes, about: bytes) -> bytes:
    """Raises InvalidTag, or ValueError where it is too short to hold a nonce."""
    return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)


def _text(value: bytes) -> str:
    return b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)
