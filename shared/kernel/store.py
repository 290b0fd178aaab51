"""The event store on PostgreSQL: the one way to append, and the reads of the log.

Each append is one statement guarded by the head row of the log. It takes gapless positions in
commit order, extends the Merkle frontier, gives each message the next sequence number of its
link, and writes events, outbox, inbox, sealed files and request rows together, or nothing at all.
Where another process was faster, nothing is written and the batch is computed anew from the new
head. Appends of one process that wait together share one statement (group commit).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from psycopg import AsyncConnection, InterfaceError, OperationalError, errors
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from shared.kernel import merkle
from shared.kernel.event import NewEvent, StoredEvent
from shared.kernel.hold import Held, Past, read_hold
from shared.kernel.link_tables import LinkTables

CHANNEL = "pulang_log"
GROUP_COMMIT_EVENTS = 2_000
GROUP_COMMIT_FILE_BYTES = 8 * 1024 * 1024
"""Files are long: everybody waits for the statement that has them."""
HEAD_TRIES = 50
WAITING_COMMITS = 10_000
RECENT_FRAMES = 64
"""So many frames of a link are remembered, by digest, to tell a replay."""
TEXT_CHARACTERS = 500
AWAY = (OperationalError, InterfaceError, PoolTimeout)
"""The database can't be reached: nothing is wrong with what was to be written."""


class Conflict(Exception):
    """Somebody else wrote first: a stream's version, an inbox sequence or a request's key."""


class StaleKeys(Conflict):
    """A key epoch ended since the commit's keys were wrapped: seal anew. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message from another office, as its inbox row keeps it.

    `frame` is the signed head of the frame that it came in: with the bodies of that frame it can
    be verified for ever. `digest` is that of the whole frame, by which a replay is known.
    """

    sender: str
    sequence: int
    body: bytes
    frame: bytes = b""
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Parked:
    """What could not be read or applied: raw, with the reason. `sequence` is None if unreadable.

    `affairs` are those that it is about: later messages about them wait. `personal` has who its
    persons are, sealed under this office's own keys.
    """

    sender: str
    sequence: int | None
    reason: str
    detail: str
    raw: bytes
    affairs: frozenset[str] = frozenset()
    personal: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """A parked message that is done with: applied after all, or discarded. Only once."""

    id: int
    how: Literal["applied", "discarded"]
    by: str


@dataclass(frozen=True, slots=True)
class Request:
    """An answered request, kept under its idempotency key.

    `digest` is an HMAC of what was sent, under the index key of `digest_epoch`.
    """

    actor: str
    key: str
    digest: bytes
    response: dict[str, Any]
    digest_epoch: int = 0


@dataclass(frozen=True, slots=True)
class PersonKey:
    """A new subject's key, wrapped by its epoch's. A second one for a subject is a Conflict."""

    subject: str
    epoch: int
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class IndexLine:
    """A line of the blind index: what `person` can be looked up by, as an HMAC of an epoch."""

    person: str
    kind: str
    epoch: int
    digest: bytes
    sealed: str


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file about a person, sealed under her key, by the SHA-256 of the sealed bytes."""

    person: str
    sha256: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """All that becomes true together.

    `unmoved` are streams that were read and are not written, with their versions: the commit is a
    Conflict where one of them has moved on since. With `past` it is for a log that is held.
    """

    at: datetime
    events: Sequence[NewEvent] = ()
    unmoved: Sequence[tuple[str, int]] = ()
    keys: Sequence[PersonKey] = ()
    index: Sequence[IndexLine] = ()
    files: Sequence[SealedFile] = ()
    received: Sequence[Received] = ()
    parked: Sequence[Parked] = ()
    settled: Sequence[Settled] = ()
    request: Request | None = None
    past: Past | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Size of the log, its Merkle frontier, each outgoing link's last number, the key epoch."""

    size: int
    frontier: tuple[bytes, ...]
    outgoing: dict[str, int]
    key_epoch: int = 0


APPEND = """
with h as (
  update log_head set size = %(new_size)s, frontier = %(frontier)s, outgoing = %(outgoing)s,
    restored_at = case when not %(settles)s then restored_at end,
    given_up = greatest(given_up, %(given_up)s)
  where size = %(old_size)s and frontier = %(old_frontier)s and outgoing = %(old_outgoing)s
    and key_epoch = %(key_epoch)s and not exists (
    select from events join unnest(%(u_stream)s::text[], %(u_version)s::int[])
      as u(stream, version) on events.stream = u.stream and events.version = u.version + 1
  ) and not exists (
    select from parked where id = any(%(s_id)s::bigint[]) and settled_at is not null
  ) and (%(past)s or log_head.restored_at is null and not exists (
    select from cosignatures where cosignatures.size > greatest(log_head.size, log_head.given_up)
  )) returning size
), e as (
  insert into events
    (position, stream, version, id, type, occurred_at, recorded_at, actor, correlation, body)
  select u.* from h, unnest(%(position)s::bigint[], %(stream)s::text[], %(version)s::int[],
    %(id)s::text[], %(type)s::text[], %(occurred_at)s::timestamptz[],
    %(recorded_at)s::timestamptz[], %(actor)s::text[], %(correlation)s::text[],
    %(body)s::bytea[]) as u
), o as (
  insert into outbox (receiver, sequence, position, body, personal)
  select u.* from h, unnest(%(o_receiver)s::text[], %(o_sequence)s::bigint[],
    %(o_position)s::bigint[], %(o_body)s::bytea[], %(o_personal)s::jsonb[]) as u
), i as (
  insert into inbox (sender, sequence, body, frame, received_at)
  select u.* from h, unnest(%(i_sender)s::text[], %(i_sequence)s::bigint[],
    %(i_body)s::bytea[], %(i_frame)s::bytea[], %(i_at)s::timestamptz[]) as u
), l as (
  insert into link_in (sender, applied_through, applied_at, recent)
  select u.sender, max(u.sequence), %(at)s, array_agg(distinct u.digest)
  from h, unnest(%(i_sender)s::text[], %(i_sequence)s::bigint[], %(i_digest)s::bytea[])
    as u(sender, sequence, digest)
  group by u.sender
  on conflict (sender) do update
    set applied_through = excluded.applied_through, applied_at = excluded.applied_at,
      recent = (excluded.recent || link_in.recent)[1:%(recent)s]
), p as (
  insert into parked
    (sender, sequence, reason, detail, raw, digest, affairs, personal, parked_at)
  select u.sender, u.sequence, u.reason, u.detail, u.raw, u.digest,
    array(select jsonb_array_elements_text(u.affairs)), u.personal, %(at)s
  from h, unnest(%(p_sender)s::text[], %(p_sequence)s::bigint[],
    %(p_reason)s::text[], %(p_detail)s::text[], %(p_raw)s::bytea[], %(p_digest)s::bytea[],
    %(p_affairs)s::jsonb[], %(p_personal)s::jsonb[])
    as u(sender, sequence, reason, detail, raw, digest, affairs, personal)
  on conflict (sender, digest) do update set times = parked.times + 1
), s as (
  update parked set settled_at = %(at)s, settled_as = u.how, settled_by = u.by
  from h, unnest(%(s_id)s::bigint[], %(s_how)s::text[], %(s_by)s::text[]) as u(id, how, by)
  where parked.id = u.id
), k as (
  insert into person_keys (subject, epoch, wrapped)
  select u.* from h, unnest(%(k_subject)s::text[], %(k_epoch)s::int[], %(k_wrapped)s::bytea[]) as u
), x as (
  insert into identity_index (person, kind, epoch, digest, sealed)
  select u.* from h, unnest(%(x_person)s::text[], %(x_kind)s::text[], %(x_epoch)s::int[],
    %(x_digest)s::bytea[], %(x_sealed)s::text[]) as u(person, kind, epoch, digest, sealed)
  where not exists (select from person_keys where subject = u.person and destroyed_at is not null)
  on conflict (person, kind) do update
    set epoch = excluded.epoch, digest = excluded.digest, sealed = excluded.sealed
), f as (
  insert into attachments (sha256, person, sealed)
  select u.* from h, unnest(%(f_sha256)s::text[], %(f_person)s::text[], %(f_sealed)s::bytea[])
    as u(sha256, person, sealed)
  where not exists (select from person_keys where subject = u.person and destroyed_at is not null)
  on conflict do nothing
), r as (
  insert into requests (actor, key, digest, response, digest_epoch, recorded_at)
  select u.*, %(at)s from h, unnest(%(r_actor)s::text[], %(r_key)s::text[], %(r_digest)s::bytea[],
    %(r_response)s::jsonb[], %(r_digest_epoch)s::int[]) as u
)
select size, pg_notify(%(channel)s, size::text) from h
"""


class Store:
    """One office's log. Use one Store a process; `close` ends its appender."""

    def __init__(self, pool: AsyncConnectionPool, office: str) -> None:
        self.pool = pool
        self.office = office
        self.links = LinkTables(pool)
        self._head: Head | None = None
        self._waiting: asyncio.Queue[tuple[Commit, asyncio.Future[int]] | None] = asyncio.Queue(
            WAITING_COMMITS
        )
        self._appender: asyncio.Task[None] | None = None

    async def append(self, commit: Commit) -> int:
        """Writes all of `commit` or nothing; gives the log's size after it.

        Raises Held where nothing may be written, Conflict where a stream, an inbox sequence or a
        request key was taken first, and psycopg.Error where the database is away: then it is
        unknown whether the commit stands, and the caller's idempotency key or inbox sequence makes
        a repetition safe.
        """
        if self._appender is None:
            self._appender = asyncio.create_task(self._append_forever(), name="appender")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await self._waiting.put((commit, future))
        return await future

    async def append_within(self, connection: AsyncConnection[Any], commit: Commit) -> int:
        """The same as part of a transaction that is open on this connection, and with its end.

        Nobody else can append until then: let it be the last thing in it. Raises Conflict; then
        the transaction is lost.
        """
        try:
            return await self._write([commit], connection)
        except errors.UniqueViolation as error:
            raise _conflict(error) from error

    async def close(self) -> None:
        """Lets the appender finish what waits, and ends it."""
        if self._appender is not None:
            await self._waiting.put(None)
            await self._appender
            self._appender = None

    async def _append_forever(self) -> None:
        open_ = True
        while open_:
            group: list[tuple[Commit, asyncio.Future[int]]] = []
            events = size = 0
            while open_ and (not group or not self._waiting.empty()):
                item = await self._waiting.get()
                if item is None:
                    open_ = False
                    break
                group.append(item)
                events += len(item[0].events)
                size += sum(len(file.sealed) for file in item[0].files)
                if events >= GROUP_COMMIT_EVENTS or size >= GROUP_COMMIT_FILE_BYTES:
                    break
            if group:
                await self._append_group(group)

    async def _append_group(self, group: list[tuple[Commit, asyncio.Future[int]]]) -> None:
        try:
            size = await self._write([commit for commit, _ in group])
        except AWAY as error:
            self._head = None
            for _, future in group:
                _settle(future, error)
        except Exception as error:
            self._head = None
            if len(group) == 1:
                _settle(group[0][1], _conflict(error))
                return
            # One of them lost a race, or holds what the database can't: written one by one, only
            # that one is refused.
            for one in group:
                await self._append_group([one])
        else:
            for _, future in group:
                if not future.done():
                    future.set_result(size)

    def _connection(
        self, within: AsyncConnection[Any] | None
    ) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        return self.pool.connection() if within is None else nullcontext(within)

    async def _write(
        self, commits: Sequence[Commit], within: AsyncConnection[Any] | None = None
    ) -> int:
        async with self._connection(within) as connection:
            for _ in range(HEAD_TRIES):
                head = self._head or await read_head(connection)
                if any(key.epoch != head.key_epoch for one in commits for key in _epochal(one)):
                    self._head = head = await read_head(connection)
                    if any(key.epoch != head.key_epoch for one in commits for key in _epochal(one)):
                        raise StaleKeys("a key epoch has ended meanwhile")
                if any(one.past for one in commits):
                    _only_there(commits, head)
                parameters, new = self._parameters(commits, head)
                cursor = await connection.execute(APPEND, parameters)
                if cursor.rowcount:
                    self._head = new
                    return new.size
                self._head = await read_head(connection)
                if self._head == head:
                    if why := (await read_hold(connection)).why:
                        raise Held(why)
                    raise Conflict(
                        "a stream that was read has moved on, or a parked message is settled"
                    )
        raise Conflict(f"the head of the log moved {HEAD_TRIES} times in a row")

    def _parameters(self, commits: Sequence[Commit], head: Head) -> tuple[dict[str, Any], Head]:
        events = [event for commit in commits for event in commit.events]
        bodies = [event.body(self.office) for event in events]
        outgoing = dict(head.outgoing)
        for receiver, number in commits[0].past.numbers.items() if commits[0].past else ():
            outgoing[receiver] = max(number, outgoing.get(receiver, 0))
        outbox: list[tuple[str, int, int, bytes, Jsonb | None]] = []
        for position, event in enumerate(events, head.size + 1):
            for index, message in enumerate(event.messages):
                sequence = outgoing.get(message.receiver, 0) + 1
                outgoing[message.receiver] = sequence
                body = event.message_body(self.office, index, sequence)
                personal = Jsonb(dict(message.personal)) if message.personal else None
                outbox.append((message.receiver, sequence, position, body, personal))
        new = Head(
            size=head.size + len(events),
            frontier=merkle.extend(head.size, head.frontier, bodies),
            outgoing=outgoing,
            key_epoch=head.key_epoch,
        )
        received = [row for commit in commits for row in commit.received]
        parked = {
            (row.sender, _parked_digest(row)): row for commit in commits for row in commit.parked
        }
        settled = [one for commit in commits for one in commit.settled]
        unmoved = [read for commit in commits for read in commit.unmoved]
        keys = [key for commit in commits for key in commit.keys]
        lines = [line for commit in commits for line in commit.index]
        files = [file for commit in commits for file in commit.files]
        requests = [commit.request for commit in commits if commit.request]
        past = commits[0].past
        return {
            "channel": CHANNEL,
            "at": commits[-1].at,
            "old_size": head.size,
            "old_frontier": b"".join(head.frontier),
            "old_outgoing": Jsonb(head.outgoing),
            "key_epoch": head.key_epoch,
            "past": past is not None,
            "settles": past is not None and past.settles,
            "given_up": past.given_up if past else 0,
            "recent": RECENT_FRAMES,
            "new_size": new.size,
            "frontier": b"".join(new.frontier),
            "outgoing": Jsonb(outgoing),
            "u_stream": [stream for stream, _ in unmoved],
            "u_version": [version for _, version in unmoved],
            "position": list(range(head.size + 1, new.size + 1)),
            "stream": [event.stream for event in events],
            "version": [event.version for event in events],
            "id": [event.id for event in events],
            "type": [event.event.type for event in events],
            "occurred_at": [event.occurred_at for event in events],
            "recorded_at": [event.recorded_at for event in events],
            "actor": [event.actor for event in events],
            "correlation": [event.correlation for event in events],
            "body": bodies,
            "o_receiver": [row[0] for row in outbox],
            "o_sequence": [row[1] for row in outbox],
            "o_position": [row[2] for row in outbox],
            "o_body": [row[3] for row in outbox],
            "o_personal": [row[4] for row in outbox],
            "i_sender": [row.sender for row in received],
            "i_sequence": [row.sequence for row in received],
            "i_body": [row.body for row in received],
            "i_frame": [row.frame for row in received],
            "i_digest": [row.digest for row in received],
            # Each as of its own commit: the events that followed from it bear that time.
            "i_at": [commit.at for commit in commits for _ in commit.received],
            "p_sender": [row.sender for row in parked.values()],
            "p_sequence": [row.sequence for row in parked.values()],
            "p_reason": [_text(row.reason) for row in parked.values()],
            "p_detail": [_text(row.detail) for row in parked.values()],
            "p_raw": [row.raw for row in parked.values()],
            "p_digest": [digest for _, digest in parked],
            "p_affairs": [Jsonb(sorted(row.affairs)) for row in parked.values()],
            "p_personal": [
                Jsonb(dict(row.personal)) if row.personal else None for row in parked.values()
            ],
            "s_id": [one.id for one in settled],
            "s_how": [one.how for one in settled],
            "s_by": [one.by for one in settled],
            "k_subject": [row.subject for row in keys],
            "k_epoch": [row.epoch for row in keys],
            "k_wrapped": [row.wrapped for row in keys],
            "x_person": [row.person for row in lines],
            "x_kind": [row.kind for row in lines],
            "x_epoch": [row.epoch for row in lines],
            "x_digest": [row.digest for row in lines],
            "x_sealed": [row.sealed for row in lines],
            "f_sha256": [file.sha256 for file in files],
            "f_person": [file.person for file in files],
            "f_sealed": [file.sealed for file in files],
            "r_actor": [row.actor for row in requests],
            "r_key": [row.key for row in requests],
            "r_digest": [row.digest for row in requests],
            "r_response": [Jsonb(row.response) for row in requests],
            "r_digest_epoch": [row.digest_epoch for row in requests],
        }, new

    async def load(
        self, streams: Iterable[str], within: AsyncConnection[Any] | None = None
    ) -> dict[str, list[StoredEvent]]:
        """Every event of each stream, in order: one query whatever their number."""
        wanted = list(dict.fromkeys(streams))
        found: dict[str, list[StoredEvent]] = {stream: [] for stream in wanted}
        async with self._connection(within) as connection:
            cursor = await connection.execute(
                # Stream by stream through the index, also where the planner has no statistics.
                "select e.* from unnest(%s::text[]) as wanted(stream) cross join lateral"
                " (select position, stream, version, type, body from events"
                " where stream = wanted.stream order by version) as e",
                (wanted,),
            )
            for row in await cursor.fetchall():
                found[row[1]].append(StoredEvent(*row))
        return found

    async def read(self, after: int, limit: int) -> list[StoredEvent]:
        """Up to `limit` events with positions above `after`, in the order of the log."""
        async with self.pool.connection() as connection:
            return await read_events(connection, after, limit)

    async def head(self) -> Head:
        async with self.pool.connection() as connection:
            return await read_head(connection)

    async def answered(self, actor: str, key: str) -> Request | None:
        """The request that this actor has had answered under this idempotency key."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "select actor, key, digest, response, digest_epoch from requests"
                " where actor = %s and key = %s",
                (actor, key),
            )
            row = await cursor.fetchone()
        return Request(*row) if row else None


async def read_events(
    connection: AsyncConnection[Any], after: int, limit: int
) -> list[StoredEvent]:
    cursor = await connection.execute(
        "select position, stream, version, type, body from events"
        " where position > %s order by position limit %s",
        (after, limit),
    )
    return [StoredEvent(*row) for row in await cursor.fetchall()]


async def read_head(connection: AsyncConnection[Any]) -> Head:
    cursor = await connection.execute("select size, frontier, outgoing, key_epoch from log_head")
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("log_head is empty: the database was not migrated by `pulang migrate`")
    size, frontier, outgoing, key_epoch = row
    step = merkle.HASH_BYTES
    hashes = tuple(frontier[at : at + step] for at in range(0, len(frontier), step))
    links = json.loads(outgoing) if isinstance(outgoing, str) else outgoing
    return Head(size, hashes, links, key_epoch)


def _parked_digest(row: Parked) -> bytes:
    """Tells the same again from another. The bytes of a message may come as rubbish, or as a sealed
    part, before they come as that message.
    """
    kind = "" if row.sequence is None else f"{row.sequence} {row.reason == 'UNREADABLE_SEAL'}"
    return sha256(f"{kind}\n".encode() + row.raw).digest()


def _only_there(commits: Sequence[Commit], head: Head) -> None:
    """What goes past a hold goes alone, and only to where it was made for. Raises Conflict."""
    past = commits[0].past
    if len(commits) > 1 or past is None or past.size != head.size:
        raise Conflict(f"the log ends at {head.size}, and not where this was to go")


def _epochal(commit: Commit) -> Sequence[PersonKey | IndexLine]:
    return [*commit.keys, *commit.index]


def _settle(future: asyncio.Future[int], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _conflict(error: Exception) -> Exception:
    """Says which stream, expected version, inbox row or key was taken."""
    if isinstance(error, errors.UniqueViolation):
        return Conflict(error.diag.message_detail or str(error))
    return error


def _text(said: str) -> str:
    """Text that PostgreSQL can hold, of bounded length."""
    return said.encode("utf-8", "replace").decode().replace("\0", "�")[:TEXT_CHARACTERS]
