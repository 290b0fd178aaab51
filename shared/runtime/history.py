"""The log in plain words: one subject's history, and what changed between two times.

Both can be asked as of a time, and on either axis: when it was recorded, or when it occurred. On
the second one what was corrected is not told: it was not so. Who did it is always told, and why
where the event has a reason; a sealed one is said to be sealed.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled

from shared.contracts.values import PROVINCES
from shared.kernel import asof, named
from shared.kernel.asof import Moment
from shared.kernel.correction import Corrections, Truth
from shared.kernel.decider import Event
from shared.kernel.event import EventTypes, StoredEvent
from shared.kernel.projector import recorded, rows
from shared.kernel.vault import is_sealed
from shared.runtime.manifest import Desk, Problem, ReadRoute
from shared.runtime.screens import language
from shared.runtime.staff import Staff
from shared.runtime.status import parse_position, parse_time

if TYPE_CHECKING:
    from shared.runtime.screens.screen import Screen

ROLES = frozenset({"auditor", "admin"})
"""Who may look back."""

LINES = 1_000

PLACED = """
select e.position, e.stream, e.version, e.type, e.body,
  case when %(recorded)s then e.recorded_at else coalesce(m.at, e.occurred_at) end as at
from {} e left join unnest(%(moved)s::bigint[], %(times)s::timestamptz[]) as m(position, at)
  using (position)
where %(known_at)s::timestamptz is null or e.recorded_at <= %(known_at)s
"""
"""Events with their place on an axis."""

Axis = Literal["recorded", "occurred"]

CLOSED = "alasannya tersegel"
REASONS = (
    "reason", "absence", "cause", "basis", "finding", "explanation", "override_reason", "purpose",
)  # fmt: skip
"""The fields of events that say why."""

CODED = frozenset({*REASONS, "outcome", "status", "kind", "subject"})
PLAIN = {
    "arrived": "tiba", "absent": "tidak tiba", "diverted": "dialihkan ke kantor lain",
    "withdrawn": "ditarik", "declined": "ditolak",
    "capacity": "daya tampung", "wrong_office": "salah kantor", "not_agreed": "tidak disepakati",
    "other": "sebab lain", "not_on_transport": "tidak ikut berangkat",
    "left_in_transit": "pergi dalam perjalanan", "declined_by_her": "ia tidak mau",
    "in_house": "di rumah singgah", "assessed": "sudah diases", "in_training": "mengikuti diklat",
    "ready": "siap pulang", "returned_to_family": "kembali ke keluarga",
    "declined_by_family": "keluarga belum menerima", "left_house": "meninggalkan rumah singgah",
    "follow_up": "pascalayanan", "closed": "ditutup",
    "full": "penuh", "partial": "sebagian", "duplicate": "ganda",
    "persons": "orang", "destination": "orang per tujuan", "grants_rupiah": "rupiah bantuan",
    "fares_rupiah": "rupiah tiket",
    "consent_withdrawn": "persetujuan ditarik", "purpose_ended": "tujuannya selesai",
    "retention_ended": "masa simpan lewat", "unlawful_processing": "pemrosesan tidak sah",
    "court_order": "perintah pengadilan", "justified": "beralasan",
    "unjustified": "tidak beralasan", "identity_check": "pemeriksaan identitas",
    "arrival": "kedatangan", "deed_annex": "lampiran BAST", "grant": "bantuan",
    "case_work": "pendampingan", "reading_reason": "membaca alasan", "correction": "koreksi",
    "receipt": "pemeriksaan kuitansi",
    "equal": "sama, dialihkan", "different": "berbeda, dialihkan",
    "another_version": "versi sebelumnya lain, dialihkan", "refused": "gagal, salinan lama tetap",
    "agreed": "semuanya cocok", "differed": "tidak cocok", "unanswered": "tidak dijawab",
    "not_compared": "tidak dapat dibandingkan",
    "compared": "telah dibandingkan dengan kantor lain", "accepted": "diterima oleh operator",
}  # fmt: skip
"""The codes that stand in events, as staff would say them."""
TO = "orang ke {destination}"
OFFICES = frozenset({"office", "receiving_office", "sender", "partner", "city", "destination"})
"""The fields of events that name an office or a province by its code."""


async def history(
    connection: AsyncConnection[Any],
    types: EventTypes,
    corrections: Corrections,
    subject: str,
    moment: Moment,
    after: int = 0,
    deadline: float | None = None,
    *,
    actor: str | None = None,
    category: str | None = None,
    most: int | None = None,
) -> list[dict[str, Any]]:
    """What is known of a subject as of a moment, in plain words, in the order of the log.

    At most so many lines; the rest comes with `after`, the last position that was given. With
    `actor` or `category` only what that account did, or what stands in streams of that kind.

    A subject is a stream (`handover-HO-1`) or an id in it (`HO-1`); events of other streams that
    name the id are part of its history.
    """
    told = await _truth(connection, types, corrections, moment, deadline)
    found = await rows(
        connection,
        f"select e.position, e.stream, e.version, e.type, e.body from {_among(subject)} e left join"  # noqa: S608
        " unnest(%(moved)s::bigint[], %(times)s::timestamptz[]) as m(position, at)"
        " using (position) where (e.stream = %(subject)s or e.stream like %(streams)s"
        " or position(%(quoted)s in e.body) > 0)"
        " and (%(known_at)s::timestamptz is null or e.recorded_at <= %(known_at)s)"
        " and (%(true_at)s::timestamptz is null or (e.position <> all(%(corrected)s::bigint[])"
        " and coalesce(m.at, e.occurred_at) <= %(true_at)s))"
        " and (%(actor)s::text is null or e.actor = %(actor)s)"
        " and (%(category)s::text is null or split_part(e.stream, '-', 1) = %(category)s)"
        " and e.position > %(after)s order by e.position limit %(lines)s",
        **_parameters(told, subject) | {"lines": most or LINES},
        known_at=moment.known_at,
        true_at=moment.true_at,
        actor=actor,
        category=category,
        after=after,
    )
    return [line(StoredEvent(**row), types) for row in found]


async def moments(
    connection: AsyncConnection[Any], subject: str
) -> list[tuple[datetime, datetime]]:
    """When each event of a subject was recorded and when it occurred, of the newest LINES."""
    cursor = await connection.execute(
        f"select recorded_at, occurred_at from {_among(subject)} e where stream = %(subject)s"  # noqa: S608
        " or stream like %(streams)s or position(%(quoted)s in body) > 0"
        " order by position desc limit %(lines)s".encode(),
        _parameters(Truth(), subject),
    )
    return await cursor.fetchall()


async def changes(
    connection: AsyncConnection[Any],
    types: EventTypes,
    corrections: Corrections,
    since: datetime,
    until: datetime,
    axis: Axis,
    zone: ZoneInfo,
    subject: str | None = None,
    after: int = 0,
    deadline: float | None = None,
    known_at: datetime | None = None,
    most: int | None = None,
) -> dict[str, Any]:
    """What was recorded, or what occurred, after one time and up to another, day by day.

    With `known_at` it is told as it was known then, without what was recorded later.

    At most so many lines; `after` in the answer is what to ask on with, and None where that is all.
    """
    moment = Moment(known_at, until) if axis == "occurred" else Moment(known_at=until)
    told = await _truth(connection, types, corrections, moment, deadline)
    found = await rows(
        connection,
        f"with placed as not materialized ({PLACED.format(_among(subject))}),"  # noqa: S608
        f" anywhere as not materialized ({PLACED.format('events')})"
        " select * from placed where (%(subject)s::text is null or stream = %(subject)s"
        " or stream like %(streams)s or position(%(quoted)s in body) > 0)"
        " and position <> all(%(corrected)s::bigint[])"
        " and at > %(since)s and at <= %(until)s"
        # What an earlier answer ended with may have been corrected since: it still has its place.
        " and (%(after)s = 0 or (at, position) >"
        " (select at, position from anywhere where position = %(after)s))"
        " order by at, position limit %(lines)s + 1",
        **_parameters(told, subject) | {"lines": most or LINES},
        recorded=axis == "recorded",
        known_at=known_at,
        since=since,
        until=until,
        after=after,
    )
    most = most or LINES
    more = len(found) > most
    lines = [(row.pop("at").astimezone(zone).date(), StoredEvent(**row)) for row in found[:most]]
    return {
        "from": since,
        "to": until,
        "axis": axis,
        "days": [
            {"day": day, "lines": [line(stored, types) for _, stored in group]}
            for day, group in groupby(lines, key=lambda line: line[0])
        ],
        "after": lines[-1][1].position if more else None,
    }


def _among(subject: str | None) -> str:
    """Where to look: a few blocks of the log for a code, all of it for anything else."""
    return named.NEAR if named.is_named(subject) else "events"


def _parameters(told: Truth, subject: str | None) -> dict[str, Any]:
    return {
        "moved": list(told.counts_from),
        "times": list(told.counts_from.values()),
        "corrected": list(told.corrected),
        "subject": subject,
        "streams": "%-" + re.sub(r"([\\%_])", r"\\\1", subject or ""),
        "quoted": f'"{subject}"'.encode(),
        "lines": LINES,
    }


async def _truth(
    connection: AsyncConnection[Any],
    types: EventTypes,
    corrections: Corrections,
    moment: Moment,
    deadline: float | None,
) -> Truth:
    """What was corrected matters only to what is asked as true."""
    if moment.true_at is None:
        return Truth()
    return await asof.truth(connection, types, corrections, moment.known_at, deadline)


def line(stored: StoredEvent, types: EventTypes) -> dict[str, Any]:
    entry = recorded(stored, types)
    return {
        "position": entry.position,
        "id": entry.id,
        "subject": entry.stream,
        "type": stored.type,
        "words": words(entry.event),
        "why": why(entry.event),
        "occurred_at": entry.occurred_at,
        "recorded_at": entry.recorded_at,
        "actor": entry.actor,
    }


def words(event: Event) -> str:
    """What happened, as the event says it, with its codes in plain words and offices by name.

    In the language of the request; the API's is Indonesian.
    """
    return language.gettext(event.words).format(**_plain(event.model_dump(mode="json")))


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    # A figure that somebody stated: only its subject says what it counts, and of whom.
    if str(fields.get("subject")).endswith("_rupiah"):
        fields = {**fields, "figure": f"Rp{fields['figure']}"}
    elif fields.get("subject") == "destination":
        there = fields["destination"]
        to = language.gettext(TO).format(destination=PROVINCES.get(there, there))
        fields = {**fields, "subject": to}
    return {name: _said(name, value) for name, value in fields.items()}


def _said(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value)
    if name in OFFICES and isinstance(value, str):
        return language.office_name(value)
    if name in CODED and value in PLAIN:
        return language.gettext(PLAIN[value])
    return value


def why(event: Event) -> str | None:
    """The reasons that stand in an event; what is sealed is opened at `/events/…/texts` alone."""
    given = [getattr(event, name, None) for name in REASONS]
    reasons = [str(one) for one in given if one is not None]
    told = [CLOSED if is_sealed(one) else PLAIN.get(one, one) for one in reasons]
    return "; ".join(dict.fromkeys(told)) or None


def moment_of(staff: Staff, given: dict[str, str]) -> Moment:
    """The moment that a request names, taken out of its parameters. Raises Problem (403, 422)."""
    known_at, true_at = (
        parse_time(given.pop(name)) if name in given else None for name in ("known_at", "true_at")
    )
    moment = Moment(known_at, true_at)
    if moment != Moment() and not staff.roles & ROLES:
        raise Problem(
            403,
            "ROLE_MISSING",
            "Keadaan pada suatu waktu hanya dibuka untuk auditor dan admin.",
            "Baca keadaan sekarang, atau mintalah kepada auditor.",
        )
    return moment


@asynccontextmanager
async def past(desk: Desk, route: ReadRoute | Screen, moment: Moment) -> AsyncIterator[None]:
    """Inside, the desk's connection reads the route's read models as of the moment.

    Raises Problem (409, 503).
    """
    if moment == Moment():
        yield
        return
    service, types = desk.service, desk.handling.types
    try:
        async with asof.past(
            desk.reading,
            route.models,
            types,
            service.corrections,
            moment,
            desk.settings.past_seconds,
        ):
            yield
    except asof.TooLong:
        raise too_long(desk) from None
    except asof.Busy:
        raise busy() from None
    except asof.Untold:
        raise Problem(
            409,
            "PAST_CONTRADICTS",
            "Waktu kejadian yang tercatat saling bertentangan, sehingga keadaannya tidak tersusun.",
            "Lihat riwayatnya (/history); minta keadaan menurut pencatatan (known_at).",
        ) from None


def busy() -> Problem:
    return Problem(
        503,
        "PAST_BUSY",
        "Beberapa petugas sedang membaca keadaan pada suatu waktu, atau persamaan.",
        "Coba lagi sebentar lagi.",
    )


def too_long(desk: Desk) -> Problem:
    return Problem(
        503,
        "PAST_TOO_LONG",
        f"Menyusun keadaan waktu itu lebih lama daripada {desk.settings.past_seconds:g} detik.",
        "Minta waktu yang lebih awal, atau riwayat satu pokok (/history).",
    )


@asynccontextmanager
async def snapshot(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Inside, corrections and what they bear on are of one moment, on every page."""
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        yield


@asynccontextmanager
async def bounded(desk: Desk) -> AsyncIterator[float]:
    """Inside, it takes no longer than it may. Gives the deadline. Raises Problem (503)."""
    deadline = time.monotonic() + desk.settings.past_seconds
    try:
        async with snapshot(desk.reading):
            await asof.bound(desk.reading, deadline)
            yield deadline
    except (QueryCanceled, asof.TooLong):
        raise too_long(desk) from None


async def _history(desk: Desk, given: dict[str, str]) -> Any:
    language.choose("id")
    moment = moment_of(desk.staff, given)
    after = parse_position(given.get("after", "0"), "after")
    types, corrections = desk.handling.types, desk.service.corrections
    async with bounded(desk) as deadline:
        found = await history(
            desk.reading, types, corrections, given["subject"], moment, after, deadline
        )
    return found or None


async def _changes(desk: Desk, given: dict[str, str]) -> Any:
    language.choose("id")
    axis = given.get("axis", "recorded")
    if axis not in ("recorded", "occurred") or not {"from", "to"} <= given.keys():
        raise Problem(
            422,
            "CHANGES_UNREADABLE",
            "Isi 'from' dan 'to'; 'axis' ialah recorded (dicatat) atau occurred (terjadi).",
            "Tulis misalnya from=2019-10-03T00:00:00+08:00.",
        )
    async with bounded(desk) as deadline:
        return await changes(
            desk.reading,
            desk.handling.types,
            desk.service.corrections,
            parse_time(given["from"]),
            parse_time(given["to"]),
            "occurred" if axis == "occurred" else "recorded",
            desk.settings.zone,
            given.get("subject"),
            parse_position(given.get("after", "0"), "after"),
            deadline,
            parse_time(given["known_at"]) if "known_at" in given else None,
        )


READS = (
    ReadRoute(
        "/history/{subject}",
        "Riwayat satu pokok",
        ROLES,
        _history,
        optional=("known_at", "true_at", "after"),
    ),
    ReadRoute(
        "/changes",
        "Apa yang berubah antara dua waktu",
        ROLES,
        _changes,
        optional=("from", "to", "axis", "known_at", "subject", "after"),
        needs=("from", "to"),
    ),
)
