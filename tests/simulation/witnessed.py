"""What PostgreSQL keeps of checkpoints, tiles and witnesses, as `memory` keeps the rest."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from psycopg import errors

from tests.simulation.memory import Database, Rows, answers


@answers("set transaction isolation level repeatable read")
def _isolated(db: Database, p: Any) -> Rows:
    """What is read after it only grows: what a statement sees later extends what it saw first."""
    return []


@answers("select pg_try_advisory_xact_lock(%s)", "try lock")
def _try_lock(db: Database, p: Any) -> Rows:
    return [(True,)]


@answers("select pg_advisory_xact_lock(%s)", "lock")
def _lock(db: Database, p: Any) -> Rows:
    return []


@answers("select number, chain from kept where name = %s for update", "lock")
def _counted(db: Database, p: Any) -> Rows:
    """Who edits the database is not simulated: nothing is counted here."""
    return [(0, b"")]


@answers("select note from checkpoints order by size desc limit 1")
def _latest(db: Database, p: Any) -> Rows:
    return [(db.checkpoints[max(db.checkpoints)],)] if db.checkpoints else []


@answers("insert into checkpoints (size, note, made_at, number, chain)", "write")
def _checkpoint(db: Database, p: Any) -> Rows:
    db.checkpoints.setdefault(p[0], p[1])
    return []


@answers("select coalesce(max(index) + 1, 0) from tiles")
def _tiles(db: Database, p: Any) -> Rows:
    return [(max((index + 1 for level, index in db.tiles if level == p[0]), default=0),)]


@answers("select root from tiles where level = %s")
def _roots(db: Database, p: Any) -> Rows:
    level, first, end = p
    return [
        (root,)
        for (at, index), (_, root) in sorted(db.tiles.items())
        if at == level and first <= index < end
    ]


@answers("select t.level, t.index, t.hashes from tiles t")
def _hashes(db: Database, p: Any) -> Rows:
    places = zip(*p, strict=True)
    return [(*place, db.tiles[place][0]) for place in places if place in db.tiles]


@answers("insert into tiles (level, index, hashes, root)", "write")
def _tile(db: Database, p: Any) -> Rows:
    level, *columns = p
    for index, hashes, root in zip(*columns, strict=True):
        if (level, index) in db.tiles:
            raise errors.UniqueViolation(f"({level}, {index}) is taken in tiles")
        db.tiles[level, index] = hashes, root
    return []


@answers("select body from events where position > %s and position <= %s")
def _bodies(db: Database, p: Any) -> Rows:
    return [(event[4],) for event in db.events[p[0] : p[1]]]


@answers("select i.sequence from inbox i join unnest(%s::bigint[], %s::bytea[])")
def _said_otherwise(db: Database, p: Any) -> Rows:
    numbers, digests, sender = p
    came = db.inbox.get(sender, {})
    return [
        (number,)
        for number, digest in sorted(zip(numbers, digests, strict=True))
        if number in came and sha256(came[number][0]).digest() != digest
    ]


@answers("select (select note from witnessed where office = ")
def _kept(db: Database, p: Any) -> Rows:
    notes = db.witnessed.get(p["partner"])
    return [(notes[-1][1] if notes else None, p["partner"] in db.forks)]


@answers("select exists (select from witnessed where office = %s and size = %s")
def _was_kept(db: Database, p: Any) -> Rows:
    office, size, body = p
    kept = db.witnessed.get(office, ())
    return [(any(at == size and note.startswith(body) for at, note in kept),)]


@answers("insert into witnessed (office, size, note, witnessed_at, number, chain)", "write")
def _keep(db: Database, p: Any) -> Rows:
    db.witnessed.setdefault(p[0], []).append((p[1], p[2]))
    db.heard("witnessed", p[0])
    return []


@answers("insert into forks (office, detail, kept, came, came_size, found_at, number", "write")
def _fork(db: Database, p: Any) -> Rows:
    db.forks.setdefault(p[0], p[1])
    db.heard("forked", p[0])
    return []


@answers("insert into cosignatures (office, size, note, received_at, number, chain)", "write")
def _cosigned(db: Database, p: Any) -> Rows:
    db.cosignatures.setdefault((p[0], p[1]), p[2])
    return []


@answers("select coalesce(max(size), 0) from cosignatures")
def _cosigned_through(db: Database, p: Any) -> Rows:
    return [(max((size for office, size in db.cosignatures if office == p[0]), default=0),)]


@answers("insert into link_out (receiver, witnessed, forked)", "write")
def _said(db: Database, p: Any) -> Rows:
    link = db.link(p[0])
    link.witnessed, link.forked = p[1], p[2]
    return []
