"""What PostgreSQL keeps for an office, as dictionaries: the same guards, the same constraints.

It answers the statements of the kernel and no other, so that store, links, vault and projector
are the product's own down to their SQL. A `Database` outlives every process of its office; each
statement is one step without an await, as it is one step in PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import errors
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from shared.kernel.store import APPEND
from tests.simulation import story

EPOCH = 1
Rows = list[Any]
Event = tuple[int, str, int, str, bytes]
"""Position, stream, version, type and body, as the log's columns stand."""


@dataclass
class ParkedRow:
    id: int
    sender: str
    sequence: int | None
    reason: str
    detail: str
    raw: bytes
    digest: bytes
    affairs: tuple[str, ...]
    personal: Mapping[str, str]
    parked_at: datetime
    times: int = 1
    tries: int = 1
    settled_as: str | None = None
    settled_by: str | None = None


@dataclass
class LinkOut:
    sent: int = 0
    confirmed: int = 0
    epoch: int | None = None
    key: bytes | None = None
    by: str | None = None
    heard: datetime | None = None
    witnessed: int = 0
    forked: bool = False
    unapplied: list[int] = field(default_factory=list)


@dataclass
class Database:
    """One office's rows. `heard` is told after each write what was written."""

    events: list[Event] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    streams: dict[str, list[Event]] = field(default_factory=dict)
    size: int = 0
    frontier: bytes = b""
    outgoing: dict[str, int] = field(default_factory=dict)
    outbox: dict[str, list[tuple[int, int, bytes, Mapping[str, str]]]] = field(default_factory=dict)
    inbox: dict[str, dict[int, tuple[bytes, bytes]]] = field(default_factory=dict)
    applied: dict[str, tuple[int, list[bytes]]] = field(default_factory=dict)
    links: dict[str, LinkOut] = field(default_factory=dict)
    link_times: dict[tuple[str, str, int], datetime] = field(default_factory=dict)
    parked: list[ParkedRow] = field(default_factory=list)
    digests: dict[tuple[str, bytes], ParkedRow] = field(default_factory=dict)
    person_keys: dict[str, tuple[int, bytes | None]] = field(default_factory=dict)
    index: dict[tuple[str, str], tuple[int, bytes, str]] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    requests: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    checkpoints: dict[int, str] = field(default_factory=dict)
    tiles: dict[tuple[int, int], tuple[bytes, bytes]] = field(default_factory=dict)
    witnessed: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    cosignatures: dict[tuple[str, int], str] = field(default_factory=dict)
    forks: dict[str, str] = field(default_factory=dict)
    projections: dict[str, tuple[int, int]] = field(default_factory=dict)
    story: dict[str, tuple[int, int]] = field(default_factory=dict)
    locks: dict[object, asyncio.Lock] = field(default_factory=dict)
    heard: Callable[[str, Any], None] = lambda what, about: None

    def link(self, receiver: str) -> LinkOut:
        return self.links.setdefault(receiver, LinkOut())

    def append(self, p: Mapping[str, Any]) -> bool:
        """The APPEND statement. False where a guard does not hold."""
        if not self.guarded(p) or self.is_settled(p):
            return False
        self.check(p)
        self.write(p)
        self.heard("commit", p)
        return True

    def guarded(self, p: Mapping[str, Any]) -> bool:
        return (
            self.size == p["old_size"]
            and self.frontier == p["old_frontier"]
            and self.outgoing == p["old_outgoing"].obj
            and p["key_epoch"] == EPOCH
            and not any(
                len(self.streams.get(stream, ())) > version
                for stream, version in zip(p["u_stream"], p["u_version"], strict=True)
            )
        )

    def is_settled(self, p: Mapping[str, Any]) -> bool:
        return any(self.parked[id_ - 1].settled_as for id_ in p["s_id"])

    def check(self, p: Mapping[str, Any]) -> None:
        """What the tables' constraints refuse, before anything is written."""
        for texts in (p["actor"], p["stream"], p["correlation"], p["r_actor"], p["k_subject"]):
            if any("\0" in text for text in texts):
                raise errors.DataError("a text holds NUL")
        for stream, version in zip(p["stream"], p["version"], strict=True):
            if version <= len(self.streams.get(stream, ())):
                raise errors.UniqueViolation(f"({stream}, {version}) is taken in events")
        for receiver, number in zip(p["o_receiver"], p["o_sequence"], strict=True):
            rows = self.outbox.get(receiver, ())
            if rows and number <= rows[-1][0] and any(row[0] == number for row in rows):
                raise errors.UniqueViolation(f"({receiver}, {number}) is taken in outbox")
        for sender, number in zip(p["i_sender"], p["i_sequence"], strict=True):
            if number in self.inbox.get(sender, ()):
                raise errors.UniqueViolation(f"({sender}, {number}) is taken in inbox")
        _once("events", [*zip(p["stream"], p["version"], strict=True)], ())
        _once("events", p["id"], self.ids)
        _once("outbox", [*zip(p["o_receiver"], p["o_sequence"], strict=True)], ())
        _once("inbox", [*zip(p["i_sender"], p["i_sequence"], strict=True)], ())
        _once("person_keys", p["k_subject"], self.person_keys)
        _once("requests", [*zip(p["r_actor"], p["r_key"], strict=True)], self.requests)

    def write(self, p: Mapping[str, Any]) -> None:
        self.size, self.frontier = p["new_size"], p["frontier"]
        self.outgoing = dict(p["outgoing"].obj)
        for row in _rows(p, "position", "stream", "version", "type", "body"):
            self.events.append(row)
            self.streams.setdefault(row[1], []).append(row)
        self.ids.update(p["id"])
        self.write_outbox(p)
        self.write_inbox(p)
        self.write_parked(p)
        for subject, epoch, wrapped in _rows(p, "k_subject", "k_epoch", "k_wrapped"):
            self.person_keys[subject] = (epoch, wrapped)
        lines = _rows(p, "x_person", "x_kind", "x_epoch", "x_digest", "x_sealed")
        for person, kind, epoch, digest, sealed in lines:
            if self.person_keys.get(person, (0, b""))[1] is not None:
                self.index[(person, kind)] = (epoch, digest, sealed)
        for digest, person, sealed in _rows(p, "f_sha256", "f_person", "f_sealed"):
            if self.person_keys.get(person, (0, b""))[1] is not None:
                self.files.setdefault(digest, (person, sealed))
        answered = _rows(p, "r_actor", "r_key", "r_digest", "r_response", "r_digest_epoch")
        for actor, key, digest, response, epoch in answered:
            self.requests[(actor, key)] = (actor, key, digest, response.obj, epoch)

    def write_outbox(self, p: Mapping[str, Any]) -> None:
        new = _rows(p, "o_receiver", "o_sequence", "o_position", "o_body", "o_personal")
        for receiver, number, position, body, told in new:
            row = (number, position, body, told.obj if told else {})
            self.outbox.setdefault(receiver, []).append(row)

    def write_inbox(self, p: Mapping[str, Any]) -> None:
        came = [*_rows(p, "i_sender", "i_sequence", "i_body", "i_frame", "i_digest")]
        digests: dict[str, dict[bytes, None]] = {}
        for sender, number, body, frame, digest in came:
            self.inbox.setdefault(sender, {})[number] = (body, frame)
            digests.setdefault(sender, {})[digest] = None
        for sender, new in digests.items():
            last = max(row[1] for row in came if row[0] == sender)
            recent = [*new, *self.applied.get(sender, (0, []))[1]]
            self.applied[sender] = (last, recent[: p["recent"]])

    def write_parked(self, p: Mapping[str, Any]) -> None:
        names = ("sender", "sequence", "reason", "detail", "raw", "digest", "affairs", "personal")
        for *copied, affairs, personal in _rows(p, *(f"p_{name}" for name in names)):
            known = self.digests.get((copied[0], copied[5]))
            if known is not None:
                known.times += 1
                continue
            told = personal.obj if personal else {}
            whose = tuple(affairs.obj)
            row = ParkedRow(len(self.parked) + 1, *copied, whose, told, p["at"])  # type: ignore[call-arg]
            self.parked.append(row)
            self.digests[row.sender, row.digest] = row
        for id_, how, by in _rows(p, "s_id", "s_how", "s_by"):
            self.parked[id_ - 1].settled_as, self.parked[id_ - 1].settled_by = how, by

    def messages_parked(self, sender: str) -> list[ParkedRow]:
        return [row for row in self.parked if row.sender == sender and row.sequence is not None]


def _rows(p: Mapping[str, Any], *columns: str) -> Iterator[tuple[Any, ...]]:
    """The statement's arrays, side by side."""
    return zip(*(p[column] for column in columns), strict=True)


def _once(table: str, keys: Sequence[Any], taken: Any) -> None:
    if len(set(keys)) < len(keys) or any(key in taken for key in keys):
        raise errors.UniqueViolation(f"{table}: one of {keys} is taken")


# The kernel's statements, by how they begin

Answer = Callable[[Database, Any], Rows]
KINDS: dict[str, tuple[str, Answer]] = {}
"""Beginning of the statement → read, write, commit, lock or try lock, and what it does."""


def answers(beginning: str, kind: str = "read") -> Callable[[Answer], Answer]:
    def register(answer: Answer) -> Answer:
        KINDS[beginning] = kind, answer
        return answer

    return register


_FOUND: dict[Any, tuple[str, Answer]] = {}


def understood(query: Any) -> tuple[str, Answer]:
    """What this statement does. Raises NotImplementedError for one that is none of the kernel's."""
    if (found := _FOUND.get(query)) is None:
        text = query.decode() if isinstance(query, bytes) else query
        for beginning, known in KINDS.items():
            if text.startswith(beginning):
                found = _FOUND[query] = known
                break
        else:
            raise NotImplementedError(text)
    return found


@answers(APPEND, "commit")
def _append(db: Database, p: Any) -> Rows:
    return [(db.size, "")] if db.append(p) else []


@answers("select size, frontier, outgoing, key_epoch from log_head")
def _head(db: Database, p: Any) -> Rows:
    return [(db.size, db.frontier, dict(db.outgoing), EPOCH)]


@answers("select e.* from unnest(%s::text[]) as wanted(stream)")
def _load(db: Database, p: Any) -> Rows:
    return [row for stream in p[0] for row in db.streams.get(stream, ())]


@answers("select position, stream, version, type, body from events where position > %s")
def _read(db: Database, p: Any) -> Rows:
    return db.events[p[0] : p[0] + p[1]]


@answers("select actor, key, digest, response, digest_epoch from requests")
def _answered(db: Database, p: Any) -> Rows:
    return [db.requests[p]] if p in db.requests else []


@answers("select subject, epoch, wrapped from person_keys")
def _person_keys(db: Database, p: Any) -> Rows:
    return [(s, *db.person_keys[s]) for s in p[0] if s in db.person_keys]


# Both ends of the links


@answers("select sequence, body, coalesce(personal, '{}') from (select sequence, body,")
def _unsent(db: Database, p: Any) -> Rows:
    receiver, after, limit, size = p
    found: Rows = []
    for n, _, body, told in db.outbox.get(receiver, ())[after : after + limit]:
        size -= len(body)
        if found and size < 0:
            break
        found.append((n, body, told))
    return found


@answers("select coalesce((outgoing ->> %s)::bigint, 0) from log_head")
def _last_recorded(db: Database, p: Any) -> Rows:
    return [(db.outgoing.get(p[0], 0),)]


@answers("select h.size, h.restored_at, h.restored_size, h.given_up")
def _hold(db: Database, p: Any) -> Rows:
    """Nothing is restored in these worlds."""
    size, office = max(((size, office) for office, size in db.cosignatures), default=(0, None))
    return [(db.size, None, 0, 0, size, office)]


@answers("select confirmed_through, sealing_epoch, sealing_key from link_out")
def _confirmed(db: Database, p: Any) -> Rows:
    link = db.links.get(p[0])
    return [(link.confirmed, link.epoch, link.key)] if link else []


@answers("with link as (insert into link_out (receiver, sent_through)", "write")
def _note_sent(db: Database, p: Any) -> Rows:
    link = db.link(p["receiver"])
    if link.sent < p["through"]:
        link.sent = p["through"]
        db.link_times.setdefault((p["receiver"], "sent", p["through"]), p["at"])
    return []


@answers("with link as (insert into link_out (receiver, confirmed_through", "write")
def _note_confirmed(db: Database, p: Any) -> Rows:
    link = db.link(p["receiver"])
    if link.confirmed < p["through"]:
        link.confirmed = p["through"]
        db.link_times.setdefault((p["receiver"], "received", p["through"]), p["at"])
    db.heard("confirmed", p["receiver"])
    return []


@answers("insert into link_out (receiver, heard_at, said_at", "write")
def _note_heard(db: Database, p: Any) -> Rows:
    db.link(p[0]).heard = p[1]
    return []


@answers("insert into link_out (receiver, sealing_epoch", "write")
def _note_sealing(db: Database, p: Any) -> Rows:
    link = db.link(p[0])
    if (link.epoch or 0) < p[1]:
        link.epoch, link.key, link.by = p[1], p[2], p[3]
    return []


@answers("with was as (select coalesce((select unapplied from link_out", "write")
def _note_unapplied(db: Database, p: Any) -> Rows:
    link = db.link(p["receiver"])
    was = link.unapplied
    said = {n for one in p["numbers"] for n in range(one.lower, one.upper + (one.bounds[1] == "]"))}
    link.unapplied = sorted({*said, *(n for n in was if n > p["through"])})
    for number in was:
        if number not in link.unapplied:
            db.link_times.setdefault((p["receiver"], "applied", number), p["at"])
    return []


@answers("select applied_through, recent from link_in")
def _applied(db: Database, p: Any) -> Rows:
    return [db.applied[p[0]]] if p[0] in db.applied else []


@answers("select count(*), coalesce(sum(octet_length(raw)), 0) from parked")
def _parked_frames(db: Database, p: Any) -> Rows:
    raws = [
        row.raw
        for row in db.parked
        if row.sender == p[0] and row.sequence is None and not row.settled_as
    ]
    return [(len(raws), sum(map(len, raws)))]


@answers("select coalesce((select applied_through from link_in")
def _received(db: Database, p: Any) -> Rows:
    numbers = {
        row.sequence or 0
        for row in db.messages_parked(p["sender"])
        if row.settled_as != "applied" and row.reason != "UNREADABLE_SEAL"
    }
    ranges: list[Range[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1].upper == number:
            ranges[-1] = Range(ranges[-1].lower, number + 1)
        else:
            ranges.append(Range(number, number + 1))
    return [(db.applied.get(p["sender"], (0, []))[0], Multirange(ranges))]


@answers("select distinct unnest(affairs) from parked")
def _held(db: Database, p: Any) -> Rows:
    rows = [row for row in db.messages_parked(p[0]) if not row.settled_as]
    return [(one,) for one in sorted({one for row in rows for one in row.affairs})]


@answers("select id, sequence, reason, affairs, tries, parked_at from parked")
def _waiting(db: Database, p: Any) -> Rows:
    sender, after, limit = p
    rows = [
        (row.sequence, row)
        for row in db.messages_parked(sender)
        if row.sequence is not None and row.sequence > after and not row.settled_as
        if row.reason != "UNREADABLE_SEAL"
    ]
    rows.sort(key=lambda one: one[0])
    return [(r.id, n, r.reason, list(r.affairs), r.tries, r.parked_at) for n, r in rows[:limit]]


@answers("select raw, coalesce(personal, '{}') from parked where id = %s")
def _as_it_came(db: Database, p: Any) -> Rows:
    row = db.parked[p[0] - 1]
    return [(row.raw, row.personal)]


@answers("update parked set reason = %s, detail = %s, tries = tries + 1", "write")
def _note_refused(db: Database, p: Any) -> Rows:
    reason, detail, id_ = p
    row = db.parked[id_ - 1]
    if not row.settled_as:
        row.reason, row.detail, row.tries = reason, detail, row.tries + 1
    return []


@answers("select id, sender, sequence, reason, detail from parked where settled_at is null")
def _open(db: Database, p: Any) -> Rows:
    names = ("id", "sender", "sequence", "reason", "detail")
    return [{n: getattr(row, n) for n in names} for row in db.parked if not row.settled_as]


# One read model, and how far it is


@answers("select position, version from projections where name = %s for update", "lock")
def _position(db: Database, p: Any) -> Rows:
    return [db.projections[p[0]]] if p[0] in db.projections else []


@answers("select p.position = h.size and p.version = %s from projections p, log_head h")
def _is_caught_up(db: Database, p: Any) -> Rows:
    version, name = p
    return [(db.projections[name] == (db.size, version),)] if name in db.projections else []


@answers("insert into projections (name, version, position)", "write")
def _checkpoint(db: Database, p: Any) -> Rows:
    name, version, position = p
    db.projections[name] = position, version
    return []


@answers(story.TOLD, "write")
def _told(db: Database, p: Any) -> Rows:
    events, _ = db.story.get(p["stream"], (0, 0))
    db.story[p["stream"]] = events + 1, p["position"]
    return []
