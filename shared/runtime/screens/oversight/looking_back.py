"""Looking back: any code's timeline, as of a time on either axis with what changed since, what
changed in the whole office, and evidence to take away.

What a page shows is what `/history` and `/changes` give, a page at a time.
"""

from __future__ import annotations

import asyncio
import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from fastapi import Response
from fastapi.responses import RedirectResponse, StreamingResponse
from psycopg import AsyncConnection

from shared.kernel.asof import Moment
from shared.kernel.projector import rows
from shared.runtime import custody_routes, history
from shared.runtime.audit import evidence
from shared.runtime.forms import path_names
from shared.runtime.manifest import Desk, Problem
from shared.runtime.office import Office
from shared.runtime.screens import language
from shared.runtime.screens.fields import time_of
from shared.runtime.screens.paging import PAGE_ROWS
from shared.runtime.screens.screen import AS_OF, Loaded, Screen, Step
from shared.runtime.status import parse_position

CHANGED_ROWS = 20
STEPS = 200
"""So many steps the slider has; of more it takes some, evenly. The links go one by one."""
CHUNK_BYTES = 64 * 1024
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9.]*(?:Z|[+-]\d\d:\d\d)")
DAY = re.compile(r"(?<![\w/-])\d{4}-\d\d-\d\d(?![\w/-])")
RUPIAH = re.compile(r"\bRp([0-9]{4,15})\b")
CODE = re.compile(r"[^\x00-\x1F\x7F/?#]{3,64}")
AUDITOR = frozenset({"auditor"})


@dataclass(frozen=True)
class Axis:
    """One axis of time on a page: the field's name, what it stands at, and where its steps lead."""

    name: str
    at: datetime | None
    times: Sequence[datetime]
    others: dict[str, str]
    zone: ZoneInfo

    @property
    def _index(self) -> int:
        """Of the last step that is seen."""
        if self.at is None:
            return len(self.times) - 1
        return bisect_right(self.times, self.at) - 1

    @property
    def value(self) -> str:
        """As a form's field takes it: rounded up, so that what stands there is still seen."""
        return _field(self.at, self.zone) if self.at else ""

    @property
    def before(self) -> str | None:
        return self._to(self._index - 1)

    @property
    def after(self) -> str | None:
        return self._to(self._index + 1) if self.at is not None else None

    @property
    def steps(self) -> list[str]:
        """The slider's, as a form's field has them, without those that look the same."""
        every = math.ceil(len(self.times) / STEPS) or 1
        some = [*self.times[::every], *self.times[-1:]]
        return list(dict.fromkeys(_field(one, self.zone) for one in some))

    @property
    def step(self) -> int:
        if self.at is None:
            return len(self.steps) - 1
        return max(0, bisect_right(self.steps, self.value) - 1)

    def _to(self, index: int) -> str | None:
        if not 0 <= index < len(self.times):
            return None
        return "?" + urlencode({**self.others, self.name: self.times[index].isoformat()})


def _field(at: datetime, zone: ZoneInfo) -> str:
    whole = at if not at.microsecond else at.replace(microsecond=0) + timedelta(seconds=1)
    return whole.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")


def found_by(text: str) -> str | None:
    """The code that somebody typed, as it stands in the log; None where it can be none."""
    code = text.strip()
    if not CODE.fullmatch(code):
        return None
    # Drawn codes and those that people chose are capitals; names of streams are not.
    return code.upper() if re.fullmatch(r"[A-Za-z]{2,3}-\S+", code) else code


def asked_for(given: Mapping[str, str]) -> str | None:
    """The code that a list is narrowed to, None for all; what can be no code is one without any."""
    typed = given.get("kode", "")
    return found_by(typed) or typed.strip() or None


def dated(line: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """The line with the money and the times in its words as an office says them, in its zone."""
    at = language.clock(zone)

    def moment(found: re.Match[str]) -> str:
        try:
            return at(found[0])
        except ValueError:
            return found[0]

    def day(found: re.Match[str]) -> str:
        try:
            return language.day(found[0])
        except ValueError:
            return found[0]

    said = RUPIAH.sub(lambda found: language.rupiah(int(found[1])), line["words"])
    return line | {"words": DAY.sub(day, TIME.sub(moment, said))}


def _days(found: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    days = [one | {"lines": [dated(line, zone) for line in one["lines"]]} for one in found["days"]]
    return found | {"days": days}


async def search(desk: Desk, given: dict[str, str]) -> Response | None:
    """Leads to the timeline of what was typed; None where there is none."""
    for code in dict.fromkeys((found_by(given["kode"]), given["kode"].strip())):
        if not code or not CODE.fullmatch(code):
            continue
        async with history.bounded(desk) as deadline:
            types, corrections = desk.handling.types, desk.service.corrections
            if await history.history(
                desk.reading, types, corrections, code, Moment(), deadline=deadline, most=1
            ):
                return RedirectResponse(f"/riwayat/{quote(code, safe='')}", status_code=303)
    return None


async def timeline(desk: Desk, given: dict[str, str]) -> Loaded | None:
    subject, zone = given["subject"], desk.settings.zone
    known_at, true_at = (time_of(given.get(name), zone) for name in AS_OF)
    after = parse_position(given.get("mulai", "0"), "mulai")
    connection, types, corrections = desk.reading, desk.handling.types, desk.service.corrections
    kept = {n: given[n] for n in (*AS_OF, "oleh", "jenis") if given.get(n)}
    async with history.bounded(desk) as deadline:
        times = await history.moments(connection, subject)
        if not times:
            return None
        lines = await history.history(
            connection,
            types,
            corrections,
            subject,
            Moment(known_at, true_at),
            after,
            deadline,
            actor=given.get("oleh"),
            category=given.get("jenis"),
            most=PAGE_ROWS + 1,
        )
        changed = await _changed(desk, subject, known_at, true_at, deadline)
        carried = await _carried(connection, lines)
    more = lines[PAGE_ROWS - 1]["position"] if len(lines) > PAGE_ROWS else None
    axes = [
        Axis(name, at, sorted({pair[which] for pair in times}), _without(kept, name), zone)
        for which, (name, at) in enumerate((("dicatat", known_at), ("terjadi", true_at)))
    ]
    opening, prefix = _opened_by(desk), f"{evidence.STREAMS[desk.service.kind]}-"
    stream = prefix + subject.removeprefix(prefix)
    categories = {_category(line) for line in lines}
    return {
        "subject": subject,
        "lines": [
            dated(line, zone)
            | carried.get(line["position"], {})
            | {"opens": history.CLOSED in (line["why"] or "") and _category(line) in opening}
            for line in lines[:PAGE_ROWS]
        ],
        "here_again": "?" + urlencode({**kept, "mulai": after} if after else kept),
        "states": _states(desk, subject, lines, kept),
        "onward": "?" + urlencode({**kept, "mulai": more}) if more else None,
        "first": "?" + urlencode(kept) if after else None,
        "given": kept,
        "axes": axes,
        "known_at": known_at,
        "true_at": true_at,
        "changed": changed,
        "categories": sorted(categories | ({given["jenis"]} if given.get("jenis") else set())),
        "has_evidence": any(line["subject"] == stream for line in lines),
    }


def _category(line: dict[str, Any]) -> str:
    return str(line["subject"]).partition("-")[0]


def _opened_by(desk: Desk) -> set[str]:
    """The kinds of stream whose sealed reasons this auditor may open."""
    roles = AUDITOR & desk.staff.roles
    return {category for category, who in desk.service.texts.items() if who & roles}


def _states(
    desk: Desk, subject: str, lines: Sequence[dict[str, Any]], kept: dict[str, str]
) -> str | None:
    """Where the subject's own screen shows how it stood at that time, if there is one."""
    asked = {name: kept[name] for name in AS_OF if name in kept}
    for screen in desk.service.screens:
        names = path_names(screen.path)
        if screen.models and len(names) == 1 and screen.roles & desk.staff.roles:
            (name,) = names
            if any(line["subject"] == f"{name}-{subject}" for line in lines):
                return f"{screen.path.format_map({name: subject})}?{urlencode(asked)}"
    return None


def _without(kept: dict[str, str], name: str) -> dict[str, str]:
    return {one: text for one, text in kept.items() if one != name}


async def _changed(
    desk: Desk,
    subject: str,
    known_at: datetime | None,
    true_at: datetime | None,
    deadline: float,
) -> list[dict[str, Any]]:
    """What came after the time that is looked at: by the record, and by the occurrence as it was
    known then."""
    found: list[dict[str, Any]] = []
    wanted: list[tuple[history.Axis, datetime | None, datetime | None]] = [
        ("recorded", known_at, None),
        ("occurred", true_at, known_at),
    ]
    for axis, since, known in wanted:
        if since is None:
            continue
        one = await history.changes(
            desk.reading,
            desk.handling.types,
            desk.service.corrections,
            since,
            max(desk.now, since),
            axis,
            desk.settings.zone,
            subject,
            deadline=deadline,
            known_at=known,
            most=CHANGED_ROWS,
        )
        asked = {"dari": since.isoformat(), "sampai": max(desk.now, since).isoformat()}
        asked |= {"sumbu": axis, "kode": subject}
        asked |= {"diketahui": known.isoformat()} if known else {}
        one = _days(one, desk.settings.zone)
        found.append(one | {"since": since, "known": known, "all": "?" + urlencode(asked)})
    return found


async def _carried(
    connection: AsyncConnection[Any], lines: Sequence[dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Which message brought each event here, and which took it to other offices."""
    positions = [line["position"] for line in lines]
    came = [line["position"] for line in lines if line["actor"].startswith("office:")]
    causes = await rows(
        connection,
        "select position, convert_from(body, 'UTF8')::json ->> 'causationid' as message,"
        " split_part(actor, ':', 2) as sender from events where position = any(%s)",
        came,
    )
    went = await rows(
        connection,
        "select position, receiver, sequence from outbox where position = any(%s)"
        " order by position, receiver, sequence",
        positions,
    )
    found: dict[int, dict[str, Any]] = {}
    for row in causes:
        found.setdefault(row["position"], {})["came"] = row
    for row in went:
        found.setdefault(row["position"], {}).setdefault("went", []).append(row)
    return found


async def changes(desk: Desk, given: dict[str, str]) -> Loaded:
    zone = desk.settings.zone
    since, until, known = (
        time_of(given.get(name), zone) for name in ("dari", "sampai", "diketahui")
    )
    axis: history.Axis = "occurred" if given.get("sumbu") == "occurred" else "recorded"
    code = asked_for(given)
    until = until or desk.now
    since = since or until - timedelta(days=1)
    asked = {
        "dari": since.isoformat(),
        "sampai": until.isoformat(),
        "sumbu": axis,
        "kode": given.get("kode", ""),
        "diketahui": known.isoformat() if known else "",
    }
    async with history.bounded(desk) as deadline:
        found = await history.changes(
            desk.reading,
            desk.handling.types,
            desk.service.corrections,
            since,
            until,
            axis,
            zone,
            code,
            parse_position(given.get("mulai", "0"), "mulai"),
            deadline,
            known,
            most=PAGE_ROWS,
        )
    kept = {name: text for name, text in asked.items() if text}
    return _days(found, zone) | {
        "since": _field(since, zone),
        "until": _field(until, zone),
        "known": _field(known, zone) if known else "",
        "code": given.get("kode", ""),
        "onward": "?" + urlencode({**kept, "mulai": found["after"]}) if found["after"] else None,
        "first": "?" + urlencode(kept) if given.get("mulai") else None,
    }


async def open_text(office: Office, desk: Desk, given: dict[str, str]) -> Loaded:
    """The reason that an event holds sealed; the look is on record before it is shown."""
    position = given.get("position", "")
    async with office.pool.connection() as connection:
        found = await custody_routes.texts(
            replace(desk, connection=connection), {"position": position}
        )
    if found is None:
        raise Problem(404, "NOT_FOUND", "Data ini tidak ada.", "Muat ulang halamannya.")
    opened = await custody_routes.open_texts(replace(desk, purpose="reading_reason"), found)
    return {"preview": {"position": int(position), "texts": list(opened["texts"].values())}}


async def take_evidence(office: Office, desk: Desk, given: dict[str, str]) -> Response:
    """The folder of `pulang audit evidence` as one file, whole before its first byte is sent."""
    prefix = f"{evidence.STREAMS[office.settings.kind]}-"
    # A line of the log leads to its stream, the search to the code: both are this handover.
    handover = given["subject"].removeprefix(prefix)
    stream = f"{prefix}{handover}"
    try:
        async with office.pool.connection() as connection:
            made = await evidence.gather(connection, office, handover, stream)
        scratch = TemporaryDirectory(prefix="pulang-bukti-")
        try:
            archive = await asyncio.to_thread(_archived, made, Path(scratch.name))
        except BaseException:
            scratch.cleanup()
            raise
    except evidence.NoEvidence:
        raise Problem(
            409,
            "EVIDENCE_NOT_MADE",
            "Bukti serah terima ini belum dapat dibuat.",
            "Tunggu checkpoint berikutnya; bila tetap begitu, minta operator menjalankan"
            " `pulang audit evidence`.",
        ) from None
    return StreamingResponse(
        _sent(archive, scratch),
        media_type="application/zip",
        headers={
            "Content-Disposition": 'attachment; filename="bukti.zip"',
            "Content-Length": str(archive.stat().st_size),
        },
    )


def _archived(made: evidence.Evidence, folder: Path) -> Path:
    out = folder / "bukti"
    evidence.write(made, out)
    return evidence.archive_of(out)


def _sent(archive: Path, scratch: TemporaryDirectory[str]) -> Iterator[bytes]:
    with scratch, archive.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


TIMELINE = Screen(
    "/riwayat/{subject}",
    "oversight_timeline.html",
    history.ROLES,
    timeline,
    steps={
        "evidence": Step(AUDITOR, take_evidence),
        "text": Step(AUDITOR, open_text),
    },
    optional=(*AS_OF, "oleh", "jenis", "mulai"),
)
CHANGES = Screen(
    "/perubahan",
    "oversight_changes.html",
    history.ROLES,
    changes,
    optional=("dari", "sampai", "sumbu", "kode", "diketahui", "mulai"),
)
