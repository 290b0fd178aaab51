"""The order of an audit: one moment, one pass over the log, then the links and the read models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg import AsyncConnection, InterfaceError, OperationalError

from shared.kernel import note
from shared.kernel.keyring import COSIGNER, key_id
from shared.kernel.note import Checkpoint
from shared.kernel.projector import Projector
from shared.kernel.store import read_head
from shared.runtime.audit import links, log
from shared.runtime.audit.attached import check_files
from shared.runtime.audit.faults import Faults
from shared.runtime.audit.kept import KeptCheck
from shared.runtime.office import Office

Progress = Callable[[str, int, int], None]
"""(what is looked at, how far, of how many)"""


@dataclass
class Report:
    """What was looked at, and what is wrong."""

    office: str
    events: int = 0
    checkpoints: int = 0
    witnessed: int = 0
    messages_in: int = 0
    read_models: list[str] = field(default_factory=list)
    given_up: list[tuple[int, int]] = field(default_factory=list)
    """After restores, on the record: where the log went on, and how far it was witnessed."""
    faults: Faults = field(default_factory=Faults)

    def document(self) -> dict[str, Any]:
        return {
            "office": self.office,
            "events": self.events,
            "checkpoints": self.checkpoints,
            "witnessed": self.witnessed,
            "messages_in": self.messages_in,
            "read_models": self.read_models,
            "given_up": self.given_up,
            "faults": self.faults.number,
            "found": self.faults.document(),
        }


class Keys:
    """All signing keys that this office has had, and all that it ever trusted: what was signed
    stays signed when a key is rolled or revoked."""

    def __init__(self, office: str) -> None:
        self.office = office
        self._by_office: dict[str, list[Ed25519PublicKey]] = {}

    async def read(self, connection: AsyncConnection[Any]) -> None:
        cursor = await connection.execute(
            "select %(office)s::text, public from office_keys where purpose = 'signing'"
            " union all select %(office)s, public from retired_keys"
            " union all select office, public from trusted_keys",
            {"office": self.office},
        )
        for office, public in await cursor.fetchall():
            found = Ed25519PublicKey.from_public_bytes(bytes(public))
            self._by_office.setdefault(office, []).append(found)

    def lines(self) -> list[tuple[str, Ed25519PublicKey]]:
        return [(office, key) for office, keys in self._by_office.items() for key in keys]

    def signed(self, office: str, checkpoint: Checkpoint) -> bool:
        return any(
            note.signs(checkpoint, key_id(office, key.public_bytes_raw()), key)
            for key in self._by_office.get(office, ())
        )

    def cosigned(self, partner: str, checkpoint: Checkpoint) -> bool:
        name = note.name_of(partner)
        return any(
            note.cosigned_at(
                checkpoint, name, key_id(partner, key.public_bytes_raw(), COSIGNER), key
            )
            for key in self._by_office.get(partner, ())
        )

    def trusts(self, office: str, id_: str, payload: bytes, signature: bytes) -> bool:
        for key in self._by_office.get(office, ()):
            if key_id(office, key.public_bytes_raw()) == id_:
                return note.made(key, signature, payload)
        return False


async def verify(
    connection: AsyncConnection[Any],
    office: Office,
    projectors: Sequence[Projector] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Looks at everything that is kept, as of one moment; writes nothing.

    `connection` is in no transaction yet, or in one that sees one moment.
    """
    report = Report(office.settings.office)
    async with connection.transaction(force_rollback=True):
        await _one_moment(connection)
        await _verify(connection, office, report, progress)
        chosen = office.projectors if projectors is None else projectors
        for projector in chosen:
            name = projector.projection.name
            report.read_models.append(name)
            for words in await _differences(projector, connection, progress):
                report.faults.add(f"rm_{name}", name, words, "a rebuild", "the live copy")
    return report


async def _differences(
    projector: Projector, connection: AsyncConnection[Any], progress: Progress
) -> list[str]:
    name = projector.projection.name
    try:
        return await projector.differences(
            connection, lambda done, total: progress(name, done, total)
        )
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        return [f"it can't be built from this log: {type(error).__name__}"]


async def _one_moment(connection: AsyncConnection[Any]) -> None:
    cursor = await connection.execute("show transaction_isolation")
    if await cursor.fetchone() != ("repeatable read",):
        await connection.execute("set transaction isolation level repeatable read")


async def _verify(
    connection: AsyncConnection[Any], office: Office, report: Report, progress: Progress
) -> None:
    faults, code = report.faults, office.settings.office
    keys = Keys(code)
    await keys.read(connection)
    head = await read_head(connection)
    heard = await links.check_inbox(connection, keys.trusts, faults)
    own = log.CheckpointCheck("checkpoints", code, lambda _, one: keys.signed(code, one), faults)
    cosigned = log.CheckpointCheck(
        "cosignatures",
        code,
        lambda partner, one: keys.signed(code, one) and keys.cosigned(partner, one),
        faults,
    )
    events = log.LogCheck(code, office.handling.types, faults)
    tiles = log.TileCheck(connection, faults)
    named = log.NamedCheck(connection, faults)
    outbox = links.OutboxCheck(code, office.handling.publisher, faults)
    causes = links.CauseCheck(heard, faults)
    for notes in (own, cosigned):
        await notes.begin(connection)
    await outbox.begin(connection)
    async for batch in log.events(connection):
        for row in batch:
            event = events.take(row)
            await tiles.take(row.body)
            await named.take(row)
            await outbox.take(row, event)
            for notes in (own, cosigned):
                await notes.take(events)
            causes.take(row)
        progress("log", events.size, head.size)
    causes.finish(events.restored)
    await outbox.finish(head.outgoing)
    await tiles.finish()
    await named.finish(events.size)
    for notes in (own, cosigned):
        await notes.finish(events)
    await log.check_head(connection, events, faults)
    await log.check_versions(connection, faults)
    report.given_up = events.given_up
    report.events, report.checkpoints = events.size, own.number
    report.messages_in = sum(map(len, heard.values()))
    report.witnessed = await _check_witnessed(connection, code, keys, faults)
    await check_files(connection, events.attached, events.erased, faults)
    await KeptCheck(connection, office.keyring, faults).check(events.accepted)


async def _check_witnessed(
    connection: AsyncConnection[Any], office: str, keys: Keys, faults: Faults
) -> int:
    """What this office has kept of its partners: signed by them, cosigned by it."""
    number = 0
    async with connection.cursor("audit_of_witnessed") as cursor:
        await cursor.execute(
            "select w.id, w.office, w.size, w.note, exists (select from forks f"
            " where f.office = w.office and f.came = w.note) as accepted"
            " from witnessed w order by id"
        )
        async for id_, partner, size, text, accepted in cursor:
            number += 1
            place = f"{id_}, partner {partner}, size {size}"
            if not text and accepted:
                continue
            try:
                one = note.parse(text)
            except note.NotANote as error:
                words = "the note can't be read"
                faults.add("witnessed", place, words, "a signed checkpoint", error)
                continue
            if (one.office, one.size) != (partner, size):
                words = "the columns are not what the note says"
                faults.add("witnessed", place, words, (one.office, one.size), (partner, size))
            elif not keys.signed(partner, one) or not (accepted or keys.cosigned(office, one)):
                words = "the note is not signed by its office and cosigned by this one"
                faults.add("witnessed", place, words, "valid signatures", "none")
    return number
