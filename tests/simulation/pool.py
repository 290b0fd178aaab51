"""One process's connections to a database in memory, and the points where a seed breaks them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from psycopg.sql import Composable

from shared.kernel.keyring import Keyring, SealingKey, _Loaded, key_id, sealing_key_id
from tests.simulation import witnessed  # noqa: F401 - it adds statements to those of memory
from tests.simulation.memory import Answer, Database, understood

SCHEMA_AS_BEFORE = "set local search_path to default"
Point = Callable[[str], Awaitable[None]]
"""Where the seed may delay, fail or kill the process: `before commit`, `after write`, `read`."""


async def nothing(where: str) -> None:
    """Nothing is delayed and nothing fails; others get their turn, as they do at a real await."""
    await asyncio.sleep(0)


class Cursor:
    __slots__ = ("rowcount", "rows")

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows
        self.rowcount = len(rows)

    async def fetchone(self) -> Any:
        return self.rows[0] if self.rows else None

    async def fetchall(self) -> list[Any]:
        return self.rows


class Pool:
    """What a process opens at its start, and what ends with it."""

    def __init__(self, database: Database, point: Point = nothing) -> None:
        self.database = database
        self.point = point

    def connection(self) -> Connection:
        return Connection(self)

    async def check(self) -> None: ...


class Connection:
    """Statements outside of a transaction take effect at once, those in one all at its end."""

    __slots__ = ("_database", "_locks", "_piped", "_point", "_written")

    def __init__(self, pool: Pool) -> None:
        self._database = pool.database
        self._point = pool.point
        self._written: list[tuple[Answer, Any]] | None = None
        self._locks: list[asyncio.Lock] = []
        self._piped = False

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def execute(self, query: Any, parameters: Any = ()) -> Cursor:
        if query == SCHEMA_AS_BEFORE or isinstance(query, Composable):
            # The schema that the following statements are meant for: there is only one here.
            return Cursor([])
        kind, answer = understood(query)
        if self._piped and self._written is not None:
            self._written.append((answer, parameters))
            return Cursor([])
        if kind in ("read", "lock", "try lock"):
            await self._point("read")
            if kind == "try lock" and self._is_locked(parameters[0]):
                return Cursor([(False,)])
            if kind != "read":
                await self._lock(parameters[0])
            return Cursor(answer(self._database, parameters))
        await self._point(f"before {kind}")
        if self._written is not None:
            self._written.append((answer, parameters))
            return Cursor([])
        rows = answer(self._database, parameters)
        await self._point(f"after {kind}")
        return Cursor(rows)

    def _is_locked(self, name: object) -> bool:
        return name in self._database.locks and self._database.locks[name].locked()

    async def _lock(self, name: object) -> None:
        """`for update`: whoever comes second waits for the first's transaction to end."""
        lock = self._database.locks.setdefault(name, asyncio.Lock())
        await lock.acquire()
        self._locks.append(lock)

    def transaction(self) -> _Transaction:
        return _Transaction(self)

    def pipeline(self) -> _Pipeline:
        return _Pipeline(self)

    def cursor(self, row_factory: Any = None) -> _NamedRows:
        return _NamedRows(self)

    async def end(self, *, commit: bool) -> None:
        written, self._written = self._written or [], None
        try:
            if not commit:
                return
            await self._point("before transaction")
            for answer, parameters in written:
                answer(self._database, parameters)
            if written:
                self._database.heard("transaction", None)
        finally:
            while self._locks:
                self._locks.pop().release()
        await self._point("after transaction")


class _Transaction:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        self._connection._written = []

    async def __aexit__(self, kind: Any, *_: object) -> None:
        await self._connection.end(commit=kind is None)


class _Pipeline:
    """Sends without waiting for answers: in between nobody else gets a turn."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        self._connection._piped = True

    async def __aexit__(self, *_: object) -> None:
        self._connection._piped = False
        await self._connection._point("read")


class _NamedRows:
    """A cursor whose rows are dictionaries, which is how their statement is answered here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._found = Cursor([])

    async def __aenter__(self) -> _NamedRows:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def execute(self, query: Any, parameters: Any = ()) -> None:
        self._found = await self._connection.execute(query, parameters)

    async def fetchall(self) -> list[Any]:
        return await self._found.fetchall()


class PlainProvider:
    """Wraps nothing: what holds the wrapping keys is no part of what is simulated."""

    def epochs(self) -> Sequence[int]:
        return (0,)

    def create(self, epoch: int) -> None: ...

    def destroy(self, epoch: int) -> None: ...

    def wrap(self, epoch: int, plain: bytes, about: bytes) -> bytes:
        return plain

    def unwrap(self, epoch: int, wrapped: bytes, about: bytes) -> bytes:
        return wrapped


@dataclass(frozen=True, slots=True)
class StandInKey:
    """Signs with a keyed hash: one who forges signatures is no part of what is simulated.

    With Ed25519 each world has the same trace and takes a fifth longer; a test holds both together.
    """

    secret: bytes

    def sign(self, payload: bytes) -> bytes:
        return blake2b(payload, key=self.secret).digest()

    def verify(self, signature: bytes, payload: bytes) -> None:
        if signature != self.sign(payload):
            raise InvalidSignature

    def public_key(self) -> StandInKey:
        return self

    def public_bytes_raw(self) -> bytes:
        return self.secret


class MemoryKeyring(Keyring):
    """Keys that were drawn once from a number, and trust in every partner."""

    signing_key: Callable[[bytes], Any] = StandInKey

    def __init__(self, pool: Any, office: str, offices: Sequence[str]) -> None:
        super().__init__(pool, PlainProvider(), office)
        self._loaded = _keys(office, self.signing_key)
        for other in offices:
            if other != office:
                keys = _keys(other, self.signing_key)
                self._trusted[other] = {keys.current: keys.signing[keys.current].public_key()}

    async def refresh(self) -> None:
        """What is held stays: no epoch ends in a simulation."""

    @property
    def sealing_key(self) -> SealingKey:
        if self.office not in _SEALING:
            _SEALING[self.office] = super().sealing_key
        return _SEALING[self.office]


_SEALING: dict[str, SealingKey] = {}


@cache
def _keys(office: str, signing_key: Callable[[bytes], Any]) -> _Loaded:
    """Drawn once a run of the program: what they are makes no difference to what happens."""
    number = int(office.replace(".", ""))
    signing = signing_key(number.to_bytes(32, "big"))
    id_ = key_id(office, signing.public_key().public_bytes_raw())
    sealing = X25519PrivateKey.from_private_bytes((number + 1).to_bytes(32, "big"))
    return _Loaded(
        1, {id_: signing}, id_, {sealing_key_id(1): sealing}, {1: number.to_bytes(32, "big")}
    )
