"""The office's own keys: it signs what it sends, opens what is sealed to it, and trusts partners.

Three kinds of key, each wrapped by the key of an epoch and kept in `office_keys`:

- signing (Ed25519): long-lived; partners trust its public half explicitly, as a C2SP note verifier
  key. It is rolled with overlap: `next` is published before it becomes `current`.
- sealing (X25519, for HPKE, RFC 9180): one an epoch. Its public half goes to partners in every
  signed receipt, so that it can be replaced at any moment; what was sealed to the old one is sent
  again. Destroyed with its epoch, it opens nothing that anybody has kept.
- index (HMAC-SHA-256): one an epoch, for blind indexes.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from shared.kernel import note
from shared.kernel.kept import keep
from shared.kernel.keys import KeyProvider, KeysUnusable, Unopened
from shared.kernel.note import Checkpoint

HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
ED25519 = b"\x01"
COSIGNER = b"\x04"
"""The signature types of C2SP signed notes: Ed25519, and a timed cosignature of a checkpoint. The
same key makes both; what is signed begins otherwise for each use."""


class NoKeys(KeysUnusable):
    """This office has no keys yet, or they were destroyed."""


class NotAVerifierKey(ValueError):
    """A line that is no note verifier key of that office."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """The public half that partners seal to. A higher epoch replaces a lower one."""

    epoch: int
    public: bytes


@dataclass
class _Loaded:
    epoch: int
    signing: dict[str, Ed25519PrivateKey] = field(default_factory=dict)
    current: str = ""
    sealing: dict[str, X25519PrivateKey] = field(default_factory=dict)
    index: dict[int, bytes] = field(default_factory=dict)
    standing: tuple[int, frozenset[tuple[Any, ...]]] = (0, frozenset())


class Keyring:
    """Use one a process. `refresh` reads anew what another process changed."""

    def __init__(self, pool: AsyncConnectionPool, provider: KeyProvider, office: str) -> None:
        self.pool = pool
        self.provider = provider
        self.office = office
        self._loaded: _Loaded | None = None
        self._trusted: dict[str, dict[str, Ed25519PublicKey]] = {}

    @property
    def epoch(self) -> int:
        return self._keys.epoch

    @property
    def _keys(self) -> _Loaded:
        if self._loaded is None:
            raise NoKeys("this office has no keys yet: run `pulang keys init`")
        return self._loaded

    async def refresh(self) -> None:
        """Takes in new epochs, keys, and whom this office trusts. Raises NoKeys, Unopened."""
        async with self.pool.connection() as connection:
            ((epoch, own, rows),) = await _rows(connection, _STANDING)
            if not own:
                raise NoKeys("this office has no keys yet: run `pulang keys init`")
            # Also a key that went: what was destroyed must leave every process's memory.
            standing = frozenset(map(tuple, own))
            same = self._loaded is not None and self._loaded.standing == (epoch, standing)
            keys = [] if same else await _rows(connection, _OFFICE_KEYS)
        trusted: dict[str, dict[str, Ed25519PublicKey]] = {}
        for office, key_id, public in rows:
            trusted.setdefault(office, {})[key_id] = Ed25519PublicKey.from_public_bytes(
                bytes.fromhex(public)
            )
        self._trusted = trusted
        if not same:
            loaded = await asyncio.to_thread(self._load, epoch, keys)
            loaded.standing = (epoch, standing)
            self._loaded = loaded

    def _load(self, epoch: int, rows: Sequence[tuple[Any, ...]]) -> _Loaded:
        loaded = _Loaded(epoch)
        for key_id, purpose, key_epoch, wrapped, state in rows:
            private = self.provider.unwrap(key_epoch, wrapped, key_id.encode())
            if purpose == "signing" and state != "retired":
                loaded.signing[key_id] = Ed25519PrivateKey.from_private_bytes(private)
                loaded.current = key_id if state == "current" else loaded.current
            elif purpose == "sealing":
                loaded.sealing[key_id] = X25519PrivateKey.from_private_bytes(private)
            elif purpose == "index":
                loaded.index[key_epoch] = private
        return loaded

    def cosign(self, checkpoint: Checkpoint, now: datetime) -> Checkpoint:
        """A partner's checkpoint with this office's cosignature beside its signature."""
        private = self._keys.signing[self._keys.current]
        id_ = key_id(self.office, private.public_key().public_bytes_raw(), COSIGNER)
        at = int(now.timestamp())
        line = note.cosignature(checkpoint, note.name_of(self.office), id_, at, private.sign)
        return replace(checkpoint, signatures=(*checkpoint.signatures, line))

    def made_note(self, checkpoint: Checkpoint) -> bool:
        """Whether a key that this office trusts for its office signed the checkpoint."""
        trusted = self._trusted.get(checkpoint.office, {})
        return any(note.signs(checkpoint, id_, public) for id_, public in trusted.items())

    async def made_own(self, connection: AsyncConnection[Any], checkpoint: Checkpoint) -> bool:
        """Whether a signing key of this office made it, one of before it rolled the key too."""
        own = [private.public_key() for private in self._keys.signing.values()]
        if checkpoint.office != self.office:
            return False
        if self._signs(checkpoint, own):
            return True
        cursor = await connection.execute("select public from retired_keys")
        rows = await cursor.fetchall()
        retired = [Ed25519PublicKey.from_public_bytes(bytes(public)) for (public,) in rows]
        return self._signs(checkpoint, retired)

    def _signs(self, checkpoint: Checkpoint, keys: Iterable[Ed25519PublicKey]) -> bool:
        return any(
            note.signs(checkpoint, key_id(self.office, key.public_bytes_raw()), key) for key in keys
        )

    def cosigned(self, checkpoint: Checkpoint, partner: str) -> bool:
        """Whether a key that this office trusts for the partner cosigned the checkpoint."""
        name = note.name_of(partner)
        return any(
            note.cosigned_at(
                checkpoint, name, key_id(partner, public.public_bytes_raw(), COSIGNER), public
            )
            for public in self._trusted.get(partner, {}).values()
        )

    def sign(self, payload: bytes) -> tuple[str, bytes]:
        """This office's Ed25519 signature, with the id of the key that made it."""
        keys = self._keys
        return keys.current, keys.signing[keys.current].sign(payload)

    def sign_as(self, key_id: str) -> Callable[[bytes], tuple[str, bytes]]:
        """This office's signature by a key that it has, the prepared one too."""
        return lambda payload: (key_id, self._keys.signing[key_id].sign(payload))

    def own_public(self) -> dict[str, bytes]:
        """The public halves of the signing keys whose secrets this office can open."""
        found = self._keys.signing.items()
        return {key_id: one.public_key().public_bytes_raw() for key_id, one in found}

    def trusts(self, office: str, key_id: str, payload: bytes, signature: bytes) -> bool:
        """Whether a key of that office that this one trusts made the signature."""
        public = self._trusted.get(office, {}).get(key_id)
        if public is None:
            return False
        try:
            public.verify(signature, payload)
        except InvalidSignature:
            return False
        return True

    @property
    def sealing_key(self) -> SealingKey:
        """What partners are to seal to from now on."""
        private = self._keys.sealing[sealing_key_id(self._keys.epoch)]
        return SealingKey(self._keys.epoch, private.public_key().public_bytes_raw())

    def opens(self, epoch: int) -> bool:
        """Whether this office still has the sealing key of that epoch."""
        return sealing_key_id(epoch) in self._keys.sealing

    def unseal(self, epoch: int, sealed: bytes, info: bytes) -> bytes:
        """What a partner sealed to this office's key of that epoch. Raises Unopened."""
        private = self._keys.sealing.get(sealing_key_id(epoch))
        if private is None:
            raise Unopened(f"the sealing key of epoch {epoch} is gone")
        try:
            return HPKE.decrypt(sealed, private, info=info)
        except (InvalidTag, ValueError) as error:
            raise Unopened("it was not sealed to this office, or was changed") from error

    def digest(self, about: str, text: bytes) -> tuple[int, bytes]:
        """The epoch, and an HMAC that tells nothing to whoever lacks that epoch's index key."""
        return self.epoch, _hmac(self._keys.index[self.epoch], about, text)

    def digests(self, about: str, text: bytes) -> list[bytes]:
        """The HMACs under every epoch that still lives: while one is replaced, there are two."""
        return [_hmac(key, about, text) for key in self._keys.index.values()]

    async def wrap(self, text: bytes, about: str) -> tuple[int, bytes]:
        """A secret of the office, wrapped by the current epoch."""
        # Another process may have ended the epoch that this one still thinks current.
        await self.refresh()
        epoch = self.epoch
        return epoch, await asyncio.to_thread(self.provider.wrap, epoch, text, about.encode())

    async def unwrap(self, epoch: int, wrapped: bytes, about: str) -> bytes:
        """The way back. Raises Unopened."""
        return await asyncio.to_thread(self.provider.unwrap, epoch, wrapped, about.encode())

    async def public(self) -> list[tuple[str, str]]:
        """State and note verifier key of each signing key that partners should trust."""
        async with self.pool.connection() as connection:
            rows = await _rows(
                connection,
                "select state, public from office_keys where purpose = 'signing'"
                " and state in ('current', 'next') order by state",
            )
        return [(state, verifier_key(self.office, bytes(public))) for state, public in rows]

    async def trust(self, office: str, line: str, by: str) -> str:
        """Trusts a partner's verifier key from now on; gives its id. Raises NotAVerifierKey."""
        key_id, public = read_verifier_key(office, line)
        await self.refresh()
        async with self.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(
                "insert into trusted_keys (office, key_id, public, trusted_by) values"
                " (%s, %s, %s, %s) on conflict (office, key_id) do nothing returning trusted_at",
                (office, key_id, public, by),
            )
            if row := await cursor.fetchone():
                act = ("trusted", office, key_id, public.hex(), by, row[0])
                await keep(connection, self.office, self.sign, "trust_acts", act)
            else:
                cursor = await connection.execute(
                    "select 1 from trusted_keys where office = %s and key_id = %s"
                    " and public = %s and revoked_at is null",
                    (office, key_id, public),
                )
                if await cursor.fetchone() is None:
                    raise NotAVerifierKey(
                        f"key {key_id} of office {office} was revoked; it is not trusted again"
                    )
        return key_id

    async def revoke(self, office: str, key_id: str, by: str) -> bool:
        """Trusts that key no more, for good; whether there was such a key.

        Nor what it vouched for: the sealing key that came with its receipts is forgotten.
        """
        await self.refresh()
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(
                "update link_out set sealing_epoch = null, sealing_key = null, sealing_by = null"
                " where receiver = %s and sealing_by = %s",
                (office, key_id),
            )
            cursor = await connection.execute(
                "update trusted_keys set revoked_at = now(), revoked_by = %s"
                " where office = %s and key_id = %s and revoked_at is null"
                " returning public, revoked_at",
                (by, office, key_id),
            )
            if (row := await cursor.fetchone()) is None:
                return False
            act = ("revoked", office, key_id, bytes(row[0]).hex(), by, row[1])
            return await keep(connection, self.office, self.sign, "trust_acts", act)


_STANDING = """
select key_epoch,
  coalesce((select jsonb_agg(jsonb_build_array(key_id, state, epoch)) from office_keys), '[]'),
  coalesce((select jsonb_agg(jsonb_build_array(office, key_id, encode(public, 'hex')))
    from trusted_keys where revoked_at is null), '[]')
from log_head
"""
_OFFICE_KEYS = "select key_id, purpose, epoch, wrapped, state from office_keys"


def seal_to(public: bytes, text: bytes, info: bytes) -> bytes:
    """HPKE (RFC 9180) in base mode to a partner's sealing key."""
    return HPKE.encrypt(text, X25519PublicKey.from_public_bytes(public), info=info)


def draw_signing() -> tuple[bytes, bytes]:
    """A new signing key: public and private half."""
    private = Ed25519PrivateKey.generate()
    return private.public_key().public_bytes_raw(), private.private_bytes_raw()


def draw_sealing() -> tuple[bytes, bytes]:
    """A new sealing key: public and private half."""
    private = X25519PrivateKey.generate()
    return private.public_key().public_bytes_raw(), private.private_bytes_raw()


def draw_index() -> bytes:
    return os.urandom(32)


def sealing_key_id(epoch: int) -> str:
    return f"sealing-{epoch}"


def key_id(office: str, public: bytes, kind: bytes = ED25519) -> str:
    """The key id of C2SP signed notes: four bytes of a hash of name, type and key, as hex."""
    name = note.name_of(office).encode()
    return sha256(name + b"\n" + kind + public).hexdigest()[:8]


def verifier_key(office: str, public: bytes, kind: bytes = ED25519) -> str:
    """`<name>+<key id>+<base64 of type and key>`, as C2SP signed notes have it."""
    encoded = b64encode(kind + public).decode()
    return f"{note.name_of(office)}+{key_id(office, public, kind)}+{encoded}"


def read_verifier_key(office: str, line: str) -> tuple[str, bytes]:
    """Key id and public half of a line that `export-public` wrote. Raises NotAVerifierKey."""
    name, _, rest = line.strip().partition("+")
    given_id, _, encoded = rest.partition("+")
    if name != f"pulang/{office}":
        raise NotAVerifierKey(f"this is no key of office {office}: it is named {name[:40]!r}")
    try:
        raw = b64decode(encoded, validate=True)
        Ed25519PublicKey.from_public_bytes(raw[1:])
    except ValueError as error:
        raise NotAVerifierKey("its key does not parse; copy the whole line") from error
    if raw[:1] != ED25519 or key_id(office, raw[1:]) != given_id:
        raise NotAVerifierKey("its key id does not fit its key; copy the whole line")
    return given_id, raw[1:]


def _hmac(key: bytes, about: str, text: bytes) -> bytes:
    return hmac.digest(key, about.encode() + b"\0" + text, "sha256")


async def _rows(connection: AsyncConnection[Any], query: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode())).fetchall()
