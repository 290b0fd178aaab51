"""What both ends of a link keep in the office's database: how far they are, and what waits.

The transport may lose all that it holds; these rows are what the link starts again from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from psycopg_pool import AsyncConnectionPool

from shared.kernel.keyring import SealingKey
from shared.kernel.link import Numbers


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message in the outbox. `personal` has who its persons are, sealed under own keys."""

    sequence: int
    body: bytes
    personal: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A parked message that is not settled, without what came."""

    id: int
    sequence: int
    reason: str
    affairs: frozenset[str]
    tries: int
    parked_at: datetime


class LinkTables:
    """The links of one office, in PostgreSQL."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def unsent(self, receiver: str, after: int, limit: int, size: int) -> list[Unsent]:
        """Messages for this office with numbers above `after`, in order.

        At most `limit`, and not more than `size` bytes of them, but one at least.
        """
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select sequence, body, coalesce(personal, '{}') from (select sequence, body,"
                " personal, sum(octet_length(body)) over (order by sequence) as size,"
                " row_number() over (order by sequence) as n from outbox"
                " where receiver = %s and sequence > %s order by sequence limit %s) as found"
                " where n = 1 or size <= %s order by sequence",
                (receiver, after, limit, size),
            )
            return [Unsent(n, bytes(body), told) for n, body, told in await cursor.fetchall()]

    async def last_recorded(self, receiver: str) -> int:
        """The number of the newest message for this office, or the last that was given up."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select coalesce((outgoing ->> %s)::bigint, 0) from log_head", (receiver,)
            )
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def confirmed(self, receiver: str) -> tuple[int, SealingKey | None]:
        """Through which number that office has confirmed, and what it wants sealed to."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select confirmed_through, sealing_epoch, sealing_key from link_out"
                " where receiver = %s",
                (receiver,),
            )
            through, epoch, key = await cursor.fetchone() or (0, None, None)
        return int(through), SealingKey(epoch, bytes(key)) if key is not None else None

    async def note_sent(self, receiver: str, through: int, at: datetime) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "with link as (insert into link_out (receiver, sent_through)"
                " values (%(receiver)s, %(through)s) on conflict (receiver) do update"
                " set sent_through = excluded.sent_through"
                " where link_out.sent_through < excluded.sent_through returning receiver)"
                " insert into link_times select receiver, 'sent', %(through)s, %(at)s from link"
                " on conflict do nothing",
                {"receiver": receiver, "through": through, "at": at},
            )

    async def note_confirmed(self, receiver: str, through: int, at: datetime) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "with link as (insert into link_out (receiver, confirmed_through, confirmed_at,"
                " applied_there) values (%(receiver)s, %(through)s, %(at)s, %(through)s)"
                " on conflict (receiver) do update set confirmed_at = excluded.confirmed_at,"
                " confirmed_through = excluded.confirmed_through,"
                " applied_there = excluded.applied_there"
                " where link_out.confirmed_through < excluded.confirmed_through returning receiver)"
                " insert into link_times select receiver, 'received', %(through)s, %(at)s from link"
                " on conflict do nothing",
                {"receiver": receiver, "through": through, "at": at},
            )

    async def note_heard(
        self, receiver: str, at: datetime, said_at: int, applied: int, answered: int = 0
    ) -> None:
        """A receipt of that office came: when it was made there, how far it said to be, and which
        of this office's receipts it had taken in by then."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "insert into link_out (receiver, heard_at, said_at, applied_there, answered)"
                " values (%s, %s, %s, %s, %s) on conflict (receiver) do update"
                " set heard_at = excluded.heard_at, said_at = excluded.said_at,"
                " applied_there = excluded.applied_there, answered = excluded.answered",
                (receiver, at, said_at, applied, answered),
            )

    async def note_sealing(self, receiver: str, key: SealingKey, signed_by: str) -> None:
        """That office's newest sealing key. An older epoch's is a replay, and not taken back."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "insert into link_out (receiver, sealing_epoch, sealing_key, sealing_by)"
                " values (%s, %s, %s, %s)"
                " on conflict (receiver) do update set sealing_epoch = excluded.sealing_epoch,"
                " sealing_key = excluded.sealing_key, sealing_by = excluded.sealing_by"
                " where coalesce(link_out.sealing_epoch, 0) < excluded.sealing_epoch",
                (receiver, key.epoch, key.public, signed_by),
            )

    async def applied(self, sender: str) -> tuple[int, set[bytes]]:
        """Through which number messages are applied, and the digests of the latest frames."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select applied_through, recent from link_in where sender = %s", (sender,)
            )
            applied, recent = await cursor.fetchone() or (0, [])
        return int(applied), {bytes(digest) for digest in recent}

    async def said_otherwise(self, sender: str, again: Sequence[tuple[int, bytes]]) -> list[int]:
        """The numbers under which that office has sent another message before, in order."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select i.sequence from inbox i join unnest(%s::bigint[], %s::bytea[])"
                " as a(sequence, digest) using (sequence)"
                " where i.sender = %s and sha256(i.body) <> a.digest order by 1",
                (
                    [number for number, _ in again],
                    [sha256(body).digest() for _, body in again],
                    sender,
                ),
            )
            return [int(row[0]) for row in await cursor.fetchall()]

    async def parked_frames(self, sender: str) -> tuple[int, int]:
        """How many unreadable frames of that office are kept, and their bytes."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select count(*), coalesce(sum(octet_length(raw)), 0) from parked"
                " where sender = %s and sequence is null and settled_at is null",
                (sender,),
            )
            number, size = await cursor.fetchone() or (0, 0)
        return int(number), int(size)

    async def received(self, sender: str) -> tuple[int, Numbers]:
        """Through which number messages came; those of them that are parked or were discarded."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select coalesce((select applied_through from link_in where sender = %(sender)s),"
                " 0), (select coalesce(range_agg(int8range(sequence, sequence, '[]')), '{}')"
                " from parked where sender = %(sender)s and sequence is not null"
                " and settled_as is distinct from 'applied' and reason <> 'UNREADABLE_SEAL')",
                {"sender": sender},
            )
            through, unapplied = await cursor.fetchone() or (0, Multirange())
        return int(through), tuple((one.lower, one.upper - 1) for one in unapplied)

    async def note_unapplied(
        self, receiver: str, numbers: Numbers, through: int, at: datetime
    ) -> None:
        """What of all through a number that office has and did not apply, as it says.

        The rest of that it has applied; of later ones it says nothing.
        """
        async with self._pool.connection() as connection:
            await connection.execute(
                "with was as (select coalesce((select unapplied from link_out"
                " where receiver = %(receiver)s), '{}') as numbers),"
                " now as (select %(numbers)s::int8multirange + numbers *"
                " int8multirange(int8range(%(through)s, null, '()')) as numbers from was),"
                " link as (insert into link_out (receiver, unapplied)"
                " select %(receiver)s, numbers from now on conflict (receiver) do update"
                " set unapplied = excluded.unapplied"
                " where link_out.unapplied <> excluded.unapplied returning receiver)"
                " insert into link_times select receiver, 'applied', n, %(at)s"
                " from link, was, now, unnest(was.numbers - now.numbers) as gone,"
                " generate_series(lower(gone), upper(gone) - 1) as n on conflict do nothing",
                {
                    "receiver": receiver,
                    "numbers": Multirange([Range(first, last, "[]") for first, last in numbers]),
                    "through": through,
                    "at": at,
                },
            )

    async def held(self, sender: str) -> frozenset[str]:
        """Those about whom a message of that office is parked: what is next about them waits."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select distinct unnest(affairs) from parked"
                " where sender = %s and sequence is not null and settled_at is null",
                (sender,),
            )
            return frozenset(str(row[0]) for row in await cursor.fetchall())

    async def waiting(self, sender: str, after: int, limit: int) -> list[Waiting]:
        """Parked messages of that office with numbers above `after`, in order."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select id, sequence, reason, affairs, tries, parked_at from parked"
                " where sender = %s and sequence > %s"
                " and settled_at is null and reason <> 'UNREADABLE_SEAL'"
                " order by sequence limit %s",
                (sender, after, limit),
            )
            return [
                Waiting(id_, n, reason, frozenset(affairs), tries, at)
                for id_, n, reason, affairs, tries, at in await cursor.fetchall()
            ]

    async def as_it_came(self, id_: int) -> tuple[bytes, Mapping[str, str]]:
        """A parked message's body, and who its persons are, sealed under own keys."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select raw, coalesce(personal, '{}') from parked where id = %s", (id_,)
            )
            body, personal = await cursor.fetchone() or (b"", {})
        return bytes(body), personal

    async def note_refused(self, id_: int, reason: str, detail: str) -> None:
        """It was tried again, in vain."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "update parked set reason = %s, detail = %s, tries = tries + 1"
                " where id = %s and settled_at is null",
                (reason, detail[:500], id_),
            )
