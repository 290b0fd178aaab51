"""What custody shows: looks and alarms, break-glass, erasures office by office, holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection

from shared.custody import access, erasure
from shared.kernel.projector import Projection, Recorded, Statement, rows

TABLES = """
create table look (
  look text not null, at timestamptz not null, staff text not null, subject text not null,
  fields text[] not null, purpose text not null, break_glass text, primary key (look, subject)
);
create index on look (staff, at);
create index on look (subject, at);
create table lookup (
  position bigint primary key, at timestamptz not null, staff text not null,
  purpose text not null, found boolean not null
);
create table alarm (
  position bigint primary key, at timestamptz not null, staff text not null,
  persons integer not null, minutes integer not null
);
create table break_glass (
  break_glass text primary key, staff text not null, person text not null, reason text,
  opened_at timestamptz not null, ends_at timestamptz not null, finding text, reviewed_by text,
  reviewed_at timestamptz
);
create table erasure (
  person text primary key, erasure text not null, basis text not null, reference text,
  state text not null, proposed_by text, proposed_at timestamptz, approved_by text,
  approved_at timestamptz, executed_at timestamptz, epoch integer, completed_at timestamptz,
  requested_by text
);
create table erasure_office (
  person text not null, office text not null, asked_at timestamptz not null,
  confirmed_at timestamptz, withheld_until date, primary key (person, office)
);
create table hold (person text primary key, until date not null, reason text, placed_by text);
"""

MOVE = "update erasure set state = %(state)s where person = %(person)s"


def apply(recorded: Recorded) -> Iterator[Statement]:
    at, by = recorded.recorded_at, recorded.actor
    match recorded.event:
        case access.PersonalDataSeen() as seen:
            for subject in seen.subjects:
                yield (
                    "insert into look values (%(look)s, %(at)s, %(by)s, %(subject)s, %(fields)s,"
                    " %(purpose)s, %(break_glass)s) on conflict do nothing",
                    {
                        "look": seen.look,
                        "at": at,
                        "by": by,
                        "subject": subject,
                        "fields": list(seen.fields),
                        "purpose": seen.purpose,
                        "break_glass": seen.break_glass,
                    },
                )
        case access.IdentityLookedUp() as asked:
            yield (
                "insert into lookup values (%(position)s, %(at)s, %(by)s, %(purpose)s, %(found)s)",
                {
                    "position": recorded.position,
                    "at": at,
                    "by": by,
                    "purpose": asked.purpose,
                    "found": asked.person is not None,
                },
            )
        case access.UnusualLookingNoticed() as noticed:
            yield (
                "insert into alarm values (%(position)s, %(at)s, %(by)s, %(persons)s, %(minutes)s)",
                {
                    "position": recorded.position,
                    "at": at,
                    "by": by,
                    "persons": noticed.persons,
                    "minutes": noticed.minutes,
                },
            )
        case access.BreakGlassOpened() as opened:
            yield (
                "insert into break_glass (break_glass, staff, person, reason, opened_at, ends_at)"
                " values (%(break_glass)s, %(by)s, %(person)s, %(reason)s, %(at)s, %(ends_at)s)",
                opened.model_dump() | {"at": at},
            )
        case access.BreakGlassReviewed() as reviewed:
            yield (
                "update break_glass set finding = %(finding)s, reviewed_by = %(by)s,"
                " reviewed_at = %(at)s where break_glass = %(break_glass)s",
                reviewed.model_dump() | {"at": at},
            )
        case erasure.HoldPlaced(person=person, until=until, reason=reason):
            yield (
                "insert into hold values (%(person)s, %(until)s, %(reason)s, %(by)s)"
                " on conflict (person) do update set until = excluded.until,"
                " reason = excluded.reason, placed_by = excluded.placed_by",
                {"person": person, "until": until, "reason": reason, "by": by},
            )
        case erasure.HoldLifted(person=person):
            yield "delete from hold where person = %(person)s", {"person": person}
        case erasure.ErasureEvent() as event:
            yield from _erasure(event, at, by)


def _erasure(event: erasure.ErasureEvent, at: str, by: str) -> Iterator[Statement]:
    person = event.person
    match event:
        case erasure.ErasureProposed():
            yield (
                "insert into erasure (person, erasure, basis, reference, state, proposed_by,"
                " proposed_at) values (%(person)s, %(erasure)s, %(basis)s, %(reference)s,"
                " 'proposed', %(by)s, %(at)s) on conflict (person) do update set"
                " reference = excluded.reference, proposed_by = excluded.proposed_by,"
                " proposed_at = excluded.proposed_at",
                event.model_dump() | {"by": by, "at": at},
            )
        case erasure.ErasureApproved():
            yield (
                "update erasure set state = 'approved', erasure = %(erasure)s,"
                " approved_by = %(by)s, approved_at = %(at)s where person = %(person)s",
                event.model_dump() | {"by": by, "at": at},
            )
        case erasure.ErasureRejected():
            yield (
                "delete from erasure where person = %(person)s and state = 'proposed'",
                {"person": person},
            )
        case erasure.ErasureOrdered(office=office, erasure=id_, basis=basis):
            yield (
                "insert into erasure (person, erasure, basis, state, requested_by) values"
                " (%(person)s, %(erasure)s, %(basis)s, 'ordered', %(office)s)"
                " on conflict (person) do update set"
                " requested_by = coalesce(erasure.requested_by, excluded.requested_by),"
                " state = case when erasure.state = 'proposed' then 'ordered'"
                " else erasure.state end",
                {"person": person, "erasure": id_, "basis": basis, "office": office},
            )
        case erasure.ErasureExecuted(erasure=id_, epoch=epoch, offices=offices):
            yield (
                "update erasure set state = 'executed', erasure = %(erasure)s, epoch = %(epoch)s,"
                " basis = %(basis)s, executed_at = %(at)s where person = %(person)s",
                event.model_dump(include={"person", "basis"})
                | {"erasure": id_, "epoch": epoch, "at": at},
            )
            for office in offices:
                yield (
                    "insert into erasure_office (person, office, asked_at)"
                    " values (%(person)s, %(office)s, %(at)s) on conflict do nothing",
                    {"person": person, "office": office, "at": at},
                )
            yield "update hold set reason = null where person = %(person)s", {"person": person}
            yield (
                "update break_glass set reason = null where person = %(person)s",
                {"person": person},
            )
        case erasure.ErasureConfirmed(office=office):
            yield (
                "update erasure_office set confirmed_at = %(at)s, withheld_until = null"
                " where person = %(person)s and office = %(office)s",
                {"person": person, "office": office, "at": at},
            )
        case erasure.ErasureWithheld(office=office, until=until):
            yield (
                "update erasure_office set withheld_until = %(until)s"
                " where person = %(person)s and office = %(office)s",
                {"person": person, "office": office, "until": until},
            )
        case erasure.ErasureCompleted():
            yield (
                "update erasure set completed_at = %(at)s where person = %(person)s",
                {"person": person, "at": at},
            )
            yield MOVE, {"person": person, "state": "completed"}


projection = Projection("custody", 1, TABLES, apply)


async def due(connection: AsyncConnection[Any], now: datetime) -> list[str]:
    """Whose erasure is decided, not executed, and not held."""
    found = await rows(
        connection,
        "select e.person from rm_custody.erasure e left join rm_custody.hold h using (person)"
        " where e.state in ('approved', 'ordered') and (h.until is null or h.until < %s)"
        " order by e.person limit 1000",
        now.date(),
    )
    return [row["person"] for row in found]


async def broken_glass(
    connection: AsyncConnection[Any], staff: str, person: str, now: datetime
) -> str | None:
    """The break-glass that lets this member of staff see that person now, if there is one."""
    found = await rows(
        connection,
        "select break_glass from rm_custody.break_glass where staff = %s and person = %s"
        " and opened_at <= %s and ends_at > %s order by opened_at desc limit 1",
        staff,
        person,
        now,
        now,
    )
    return str(found[0]["break_glass"]) if found else None


_ERASURES: LiteralString = (
    "select e.*, h.until as held_until, (select coalesce(jsonb_agg(jsonb_build_object("
    "'office', o.office, 'asked_at', o.asked_at, 'confirmed_at', o.confirmed_at,"
    " 'withheld_until', o.withheld_until) order by o.office), '[]')"
    " from rm_custody.erasure_office o where o.person = e.person) as offices"
)


async def erasures(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Every erasure with the offices that were asked, and the holds that stand."""
    return await rows(
        connection,
        _ERASURES
        + " from rm_custody.erasure e left join rm_custody.hold h using (person) order by e.person",
    )


async def some_erasures(
    connection: AsyncConnection[Any],
    *,
    state: str | None = None,
    person: str | None = None,
    limit: int = 1,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """A page of them, what waits for a decision first; `of` is how many there are."""
    return await rows(
        connection,
        _ERASURES + ", count(*) over ()::int as of"
        " from rm_custody.erasure e left join rm_custody.hold h using (person)"
        " where (%(state)s::text is null or e.state = %(state)s)"
        " and (%(person)s::text is null or e.person = %(person)s)"
        " order by e.state <> 'proposed', coalesce(e.proposed_at, e.executed_at) desc nulls last,"
        " e.person limit %(limit)s offset %(offset)s",
        state=state,
        person=person,
        limit=limit,
        offset=offset,
    )


async def some_holds(
    connection: AsyncConnection[Any], today: date, person: str | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    """A page of the holds that stand on that day, or the one of a person."""
    return await rows(
        connection,
        "select person, until, placed_by, count(*) over ()::int as of from rm_custody.hold"
        " where until >= %(today)s and (%(person)s::text is null or person = %(person)s)"
        " order by until, person limit %(limit)s offset %(offset)s",
        today=today,
        person=person,
        limit=limit,
        offset=offset,
    )


async def some_break_glasses(
    connection: AsyncConnection[Any], limit: int, offset: int
) -> list[dict[str, Any]]:
    """A page of them, the unreviewed first, without the reason; `of` is how many there are."""
    return await rows(
        connection,
        "select break_glass, staff, person, opened_at, ends_at, finding, reviewed_by, reviewed_at,"
        " reason is not null as has_reason, count(*) over ()::int as of from rm_custody.break_glass"
        " order by finding is not null, opened_at desc limit %(limit)s offset %(offset)s",
        limit=limit,
        offset=offset,
    )


async def break_glass_reason(
    connection: AsyncConnection[Any], break_glass: str
) -> tuple[str, str | None] | None:
    """Whom it is about, and its sealed reason; that is None once she was erased."""
    cursor = await connection.execute(
        "select person, reason from rm_custody.break_glass where break_glass = %s", (break_glass,)
    )
    return await cursor.fetchone()


async def some_looks(
    connection: AsyncConnection[Any],
    *,
    subject: str | None,
    staff: str | None,
    limit: int,
    offset: int,
) -> list[dict[str, Any]]:
    """A page of the looks, newest first; those of one look stand in one row with its subjects."""
    return await rows(
        connection,
        "select look, at, staff, fields, purpose, break_glass, count(*)::int as persons,"
        " (array_agg(subject order by subject))[1:5] as subjects, count(*) over ()::int as of"
        " from rm_custody.look where (%(subject)s::text is null or subject = %(subject)s)"
        " and (%(staff)s::text is null or staff = %(staff)s)"
        " group by look, at, staff, fields, purpose, break_glass"
        " order by at desc, look limit %(limit)s offset %(offset)s",
        subject=subject,
        staff=staff,
        limit=limit,
        offset=offset,
    )


async def some_lookups(
    connection: AsyncConnection[Any], staff: str | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    """A page of the look-ups by identity, newest first: whether somebody was found, not who."""
    return await rows(
        connection,
        "select at, staff, purpose, found, count(*) over ()::int as of from rm_custody.lookup"
        " where (%(staff)s::text is null or staff = %(staff)s)"
        " order by position desc limit %(limit)s offset %(offset)s",
        staff=staff,
        limit=limit,
        offset=offset,
    )


async def waiting(connection: AsyncConnection[Any], since: datetime) -> dict[str, int]:
    """What waits for somebody: erasures to decide, break-glasses to review, alarms since a time."""
    found = await rows(
        connection,
        "select (select count(*)::int from rm_custody.erasure where state = 'proposed')"
        " as erasures,"
        " (select count(*)::int from rm_custody.break_glass where finding is null) as reviews,"
        " (select count(*)::int from rm_custody.alarm where at > %s) as alarms",
        since,
    )
    return dict(found[0])


async def holds(connection: AsyncConnection[Any], today: date) -> list[dict[str, Any]]:
    """The holds that stand on that day."""
    return await rows(
        connection,
        "select person, until, placed_by from rm_custody.hold where until >= %s"
        " order by until, person",
        today,
    )


async def looks(
    connection: AsyncConnection[Any], *, subject: str | None, staff: str | None, before: str | None
) -> Sequence[dict[str, Any]]:
    """The latest looks, newest first, of one person or one member of staff if named."""
    return await rows(
        connection,
        "select look, at, staff, subject, fields, purpose, break_glass from rm_custody.look"
        " where (%s::text is null or subject = %s) and (%s::text is null or staff = %s)"
        " and (%s::timestamptz is null or at < %s::timestamptz)"
        " order by at desc, look, subject limit 500",
        subject,
        subject,
        staff,
        staff,
        before,
        before,
    )


async def alarms(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    return await rows(
        connection,
        "select at, staff, persons, minutes from rm_custody.alarm order by position desc limit 500",
    )


async def break_glasses(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Every break-glass, the unreviewed first; the reason stays sealed."""
    return await rows(
        connection,
        "select break_glass, staff, person, opened_at, ends_at, finding, reviewed_by, reviewed_at,"
        " reason from rm_custody.break_glass order by finding is not null, opened_at desc"
        " limit 500",
    )
