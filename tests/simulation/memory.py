"""An office's database in memory: it answers the statements of the kernel, and no other.

Each commit is judged as it happens, by rules of its own: positions, versions and numbers without
holes, each once, and what came equal to what the partner wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import errors

from shared.kernel.store import APPEND


class Broken(BaseException):
    """The auditor's verdict: what must never happen has happened. No handler of ours stops it."""


@dataclass
class Database:
    """What survives a crash."""

    office: str
    size: int = 0
    frontier: bytes = b""
    outgoing: dict[str, int] = field(default_factory=dict)
    events: list[tuple[int, str, int, str, bytes]] = field(default_factory=list)
    streams: dict[str, list[tuple[int, str, int, str, bytes]]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    outbox: dict[str, list[tuple[int, int, bytes, Any]]] = field(default_factory=dict)
    inbox: dict[str, list[bytes]] = field(default_factory=dict)
    recent: dict[str, list[bytes]] = field(default_factory=dict)
    link_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    parked: list[dict[str, Any]] = field(default_factory=list)
    person_keys: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    requests: dict[tuple[str, str], Any] = field(default_factory=dict)
    office_keys: list[tuple[str, str, int, bytes, str]] = field(default_factory=list)
    trusted: list[tuple[str, str, bytes]] = field(default_factory=list)
    partners: dict[str, Database] = field(default_factory=dict)

    def link(self, receiver: str) -> dict[str, Any]:
        empty = {"sent": 0, "confirmed": 0, "epoch": None, "key": None, "unapplied": []}
        return self.link_out.setdefault(receiver, empty)

    def append(self, p: dict[str, Any]) -> int | None:
        """The guarded statement. None: the head has moved."""
        seen = (self.size, self.frontier, self.outgoing, 1)
        if seen != (p["old_size"], p["old_frontier"], p["old_outgoing"].obj, p["key_epoch"]):
            return None
        if any(
            len(self.streams.get(s, ())) > v
            for s, v in zip(p["u_stream"], p["u_version"], strict=True)
        ):
            return None
        if any(one["settled"] for one in self.parked if one["id"] in p["s_id"]):
            return None
        self._unique(p)
        rows = list(
            zip(p["position"], p["stream"], p["version"], p["type"], p["body"], strict=True)
        )
        for row, id_ in zip(rows, p["id"], strict=True):
            self.events.append(row)
            self.streams.setdefault(row[1], []).append(row)
            self.ids.add(id_)
        for receiver, sequence, position, body, personal in zip(
            *(p[f"o_{c}"] for c in ("receiver", "sequence", "position", "body", "personal")),
            strict=True,
        ):
            told = personal.obj if personal else {}
            self.outbox.setdefault(receiver, []).append((sequence, position, body, told))
            if sequence != len(self.outbox[receiver]):
                raise Broken(f"{self.office}: message {sequence} to {receiver} leaves a hole")
        for sender, sequence, body, digest in zip(
            *(p[f"i_{c}"] for c in ("sender", "sequence", "body", "digest")), strict=True
        ):
            came = self.inbox.setdefault(sender, [])
            came.append(body)
            self.recent[sender] = [digest, *self.recent.get(sender, [])][:64]
            sent = self.partners[sender].outbox.get(self.office, [])
            if sequence != len(came) or len(sent) < sequence or sent[sequence - 1][2] != body:
                raise Broken(f"{self.office}: message {sequence} of {sender} is not what was sent")
        names = ("sender", "sequence", "reason", "detail", "raw", "digest", "affairs", "personal")
        for values in zip(*(p[f"p_{name}"] for name in names), strict=True):
            row = dict(zip(names, values, strict=True))
            known = [x for x in self.parked if (x["sender"], x["digest"]) == (values[0], values[5])]
            if not known:
                more = {"id": len(self.parked) + 1, "tries": 1, "at": p["at"], "settled": None}
                self.parked.append(row | more)
        for one in self.parked:
            if one["id"] in p["s_id"]:
                one["settled"] = p["s_how"][p["s_id"].index(one["id"])]
        for subject, epoch, wrapped in zip(
            p["k_subject"], p["k_epoch"], p["k_wrapped"], strict=True
        ):
            self.person_keys[subject] = (epoch, wrapped)
        for actor, key in zip(p["r_actor"], p["r_key"], strict=True):
            self.requests[actor, key] = True
        self.size, self.frontier = p["new_size"], p["frontier"]
        self.outgoing = dict(p["outgoing"].obj)
        self._judge(rows)
        return self.size

    def _unique(self, p: dict[str, Any]) -> None:
        taken = [
            *(id_ for id_ in p["id"] if id_ in self.ids),
            *(
                (s, v)
                for s, v in zip(p["stream"], p["version"], strict=True)
                if v <= len(self.streams.get(s, ()))
            ),
            *(
                (s, n)
                for s, n in zip(p["i_sender"], p["i_sequence"], strict=True)
                if n <= len(self.inbox.get(s, ()))
            ),
            *(
                (r, n)
                for r, n in zip(p["o_receiver"], p["o_sequence"], strict=True)
                if n <= len(self.outbox.get(r, ()))
            ),
            *(k for k in zip(p["r_actor"], p["r_key"], strict=True) if k in self.requests),
            *(k for k in p["k_subject"] if k in self.person_keys),
        ]
        if taken:
            raise errors.UniqueViolation(str(taken[0]))

    def _judge(self, rows: list[tuple[int, str, int, str, bytes]]) -> None:
        new = range(self.size - len(rows) + 1, self.size + 1)
        if [row[0] for row in rows] != [*new] or len(self.events) != self.size:
            raise Broken(f"{self.office}: positions have a hole or a double")
        for _, stream, version, _, _ in rows:
            if self.streams[stream][version - 1][2] != version:
                raise Broken(f"{self.office}: {stream} has a hole or a double")

    def answer(self, query: str, p: Any) -> list[tuple[Any, ...]]:
        """The rows of one of the kernel's statements."""
        if query is APPEND:
            size = self.append(p)
            return [] if size is None else [(size, "")]
        return self._read(query, p) if query.startswith("select") else self._note(query, p)

    def _read(self, q: str, p: Any) -> list[tuple[Any, ...]]:
        if q.startswith("select size, frontier"):
            return [(self.size, self.frontier, dict(self.outgoing), 1)]
        if q.startswith("select e.* from unnest"):
            return [row for stream in p[0] for row in self.streams.get(stream, ())]
        if q.startswith("select actor, key, digest"):
            return [(*p, b"", {}, 0)] if tuple(p) in self.requests else []
        if q.startswith("select sequence, body, coalesce"):
            rows = self.outbox.get(p[0], [])[p[1] : p[1] + p[2]]
            return [(n, body, told) for n, _, body, told in rows]
        if q.startswith("select coalesce(max(sequence), 0) from outbox"):
            return [(len(self.outbox.get(p[0], [])),)]
        if q.startswith("select confirmed_through"):
            link = self.link(p[0])
            return [(link["confirmed"], link["epoch"], link["key"])]
        if q.startswith("select applied_through, recent"):
            return [(len(self.inbox.get(p[0], [])), self.recent.get(p[0], []))]
        if q.startswith("select count(*), coalesce(sum(octet"):
            rows = [x for x in self.parked if x["sender"] == p[0] and x["sequence"] is None]
            return [(len(rows), sum(len(x["raw"]) for x in rows))]
        if q.startswith("select subject, epoch, wrapped from person_keys"):
            return [(s, *self.person_keys[s]) for s in p[0] if s in self.person_keys]
        if q.startswith("select office, key_id, public from trusted"):
            return list(self.trusted)
        if q.startswith("select key_epoch"):
            return [(1, 1)]
        if q.startswith("select key_id, state, epoch"):
            return [(key_id, state, epoch) for key_id, _, epoch, _, state in self.office_keys]
        if q.startswith("select key_id, purpose"):
            return list(self.office_keys)
        return self._parked(q, p)

    def _parked(self, q: str, p: Any) -> list[tuple[Any, ...]]:
        rows = [x for x in self.parked if x["sender"] == p[0] and x["sequence"] is not None]
        if q.startswith("select distinct unnest(affairs)"):
            return [(a,) for x in rows if not x["settled"] for a in x["affairs"].obj]
        if q.startswith("select distinct sequence from parked"):
            rows = [x for x in rows if x["settled"] != "applied"]
            return [(x["sequence"],) for x in rows[::-1][: p[1]]]
        if q.startswith("select id, sequence, reason, raw"):
            rows = [x for x in rows if not x["settled"] and x["sequence"] > p[1]]
            return [
                (
                    *(x[c] for c in ("id", "sequence", "reason", "raw")),
                    x["affairs"].obj,
                    x["personal"].obj if x["personal"] else {},
                    x["tries"],
                    x["at"],
                )
                for x in sorted(rows, key=lambda x: x["sequence"])[: p[2]]
            ]
        raise NotImplementedError(q)

    def _note(self, q: str, p: Any) -> list[tuple[Any, ...]]:
        if "link_out (receiver, sent_through)" in q:
            link = self.link(p["receiver"])
            link["sent"] = max(link["sent"], p["through"])
        elif "link_out (receiver, confirmed_through" in q:
            link, through = self.link(p["receiver"]), p["through"]
            if through > len(self.partners[p["receiver"]].inbox.get(self.office, [])):
                raise Broken(f"{self.office}: {through} confirmed and never applied")
            link["confirmed"] = max(link["confirmed"], through)
        elif "link_out (receiver, sealing_epoch" in q:
            self.link(p[0]).update(epoch=p[1], key=p[2])
        elif "link_out (receiver, unapplied)" in q:
            self.link(p["receiver"])["unapplied"] = p["numbers"]
        elif q.startswith("update parked set reason"):
            for one in self.parked:
                if one["id"] == p[2] and not one["settled"]:
                    one.update(reason=p[0], detail=p[1], tries=one["tries"] + 1)
        else:
            raise NotImplementedError(q)
        return []


@dataclass
class Cursor:
    rows: list[tuple[Any, ...]]

    @property
    def rowcount(self) -> int:
        return len(self.rows)

    async def fetchone(self) -> tuple[Any, ...] | None:
        return self.rows[0] if self.rows else None

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows


class Pool:
    """One process's connections. `point` is where the seed delays, fails or kills it."""

    def __init__(self, database: Database, point: Callable[[str], Awaitable[None]]) -> None:
        self._database = database
        self._point = point

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Pool]:
        yield self

    async def execute(self, query: Any, parameters: Any = ()) -> Cursor:
        text = query.decode() if isinstance(query, bytes) else query
        name = "commit" if text is APPEND else text[:6]
        await self._point(f"before {name}")
        rows = self._database.answer(text, parameters)
        await self._point(f"after {name}")
        return Cursor(rows)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when nothing else is to do; nothing runs in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]

        def select(timeout: float | None = None) -> list[Any]:
            if timeout is None:
                raise Broken("everybody waits, and nothing will ever happen")
            self._virtual += timeout
            return []

        selector.select = select

    def time(self) -> float:
        return self._virtual

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future
