"""The expected arrivals: each handover's checklist, with this office's answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import AsyncConnection

from services.province.domain import arrival
from shared.custody import erasure
from shared.kernel.projector import Projection, Recorded, Statement, rows

TABLES = """
create table handover (
  handover text primary key, city text not null, operation text not null,
  deed_number text not null, deed_date date not null, planned_departure date not null,
  transport text not null, predecessor text, phase text not null, departed_at timestamptz,
  revision integer not null default 0
);
create table entry (
  handover text not null, person text not null, identity text, origin text,
  listed boolean not null, state text not null, answer integer not null default 0,
  answered_at timestamptz, answered_by text, absence text, diverted_to text,
  crossed boolean not null default false, primary key (handover, person)
);
create index on entry (person);
create index on entry (handover) where state = 'expected';
"""


def apply(recorded: Recorded) -> Iterator[Statement]:
    match recorded.event:
        case arrival.HandoverExpected() as expected:
            yield (
                "insert into handover (handover, city, operation, deed_number, deed_date,"
                " planned_departure, transport, predecessor, phase) values (%(handover)s,"
                " %(city)s, %(operation)s, %(deed_number)s, %(deed_date)s,"
                " %(planned_departure)s, %(transport)s, %(predecessor)s, 'expected')",
                expected.model_dump(exclude={"entries"}),
            )
            for entry in expected.entries:
                yield (
                    "insert into entry (handover, person, identity, origin, listed, state)"
                    " values (%(handover)s, %(person)s, %(identity)s, %(origin)s, true,"
                    " 'expected') on conflict (handover, person) do nothing",
                    entry.model_dump() | {"handover": expected.handover},
                )
        case arrival.ExpectationAmended(handover=id_, withdrawn=gone, crossed=crossed):
            yield _withdraw(id_, [p for p in gone if p not in crossed])
            yield _cross(id_, list(crossed))
            yield (
                "update handover set revision = %(revision)s where handover = %(handover)s",
                {"handover": id_, "revision": recorded.event.revision},
            )
        case arrival.ExpectationWithdrawn(handover=id_, crossed=crossed):
            yield (
                "update handover set phase = 'withdrawn' where handover = %(handover)s",
                {"handover": id_},
            )
            yield (
                "update entry set state = 'withdrawn'"
                " where handover = %(handover)s and state in ('expected', 'declined')",
                {"handover": id_},
            )
            yield _cross(id_, list(crossed))
        case arrival.DepartureNoted(handover=id_, departed_at=at, did_not_occur=did_not_occur):
            yield (
                "update handover set departed_at = %(at)s where handover = %(handover)s",
                {"handover": id_, "at": None if did_not_occur else at},
            )
        case arrival.ArrivalAcknowledged() as answer:
            yield (
                "update entry set state = %(outcome)s, answer = %(answer)s,"
                " answered_at = %(at)s, answered_by = %(by)s, absence = %(absence)s,"
                " diverted_to = %(diverted_to)s"
                " where handover = %(handover)s and person = %(person)s",
                answer.model_dump() | {"by": recorded.actor},
            )
        case arrival.UnlistedArrivalAcknowledged() as unlisted:
            yield (
                "insert into entry (handover, person, identity, listed, state, answer,"
                " answered_at, answered_by) values (%(handover)s, %(person)s, %(identity)s,"
                " false, 'unlisted', 1, %(at)s, %(by)s) on conflict (handover, person) do update"
                " set state = 'unlisted', listed = false, answered_at = excluded.answered_at,"
                " answered_by = excluded.answered_by",
                unlisted.model_dump() | {"by": recorded.actor},
            )
        case arrival.UnlistedArrivalCorrected(handover=id_, person=person):
            yield (
                "delete from entry where handover = %(handover)s and person = %(person)s"
                " and not listed",
                {"handover": id_, "person": person},
            )
        case erasure.ErasureExecuted(person=person):
            yield "update entry set identity = null where person = %(p)s", {"p": person}
        case arrival.HandoverDeclined(handover=id_):
            yield (
                "update handover set phase = 'declined' where handover = %(handover)s",
                {"handover": id_},
            )
            yield (
                "update entry set state = 'declined'"
                " where handover = %(handover)s and state = 'expected'",
                {"handover": id_},
            )


def _withdraw(handover: str, persons: list[str]) -> Statement:
    return (
        "update entry set state = 'withdrawn'"
        " where handover = %(handover)s and person = any(%(persons)s)",
        {"handover": handover, "persons": persons},
    )


def _cross(handover: str, persons: list[str]) -> Statement:
    """Withdrawn by the city while this office had already answered: shown, not repaired."""
    return (
        "update entry set crossed = true"
        " where handover = %(handover)s and person = any(%(persons)s)",
        {"handover": handover, "persons": persons},
    )


projection = Projection("arrivals", 3, TABLES, apply)


async def arrivals(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Every announced handover with the number of its entries in each state."""
    return await rows(
        connection,
        "select h.*, (select coalesce(jsonb_object_agg(state, n), '{}') from"
        " (select state, count(*) as n from rm_arrivals.entry e where e.handover = h.handover"
        " group by state) s) as entries from rm_arrivals.handover h order by h.handover",
    )


async def one(connection: AsyncConnection[Any], handover: str) -> dict[str, Any] | None:
    """One handover's checklist, or None."""
    found = await rows(
        connection, "select * from rm_arrivals.handover where handover = %s", handover
    )
    if not found:
        return None
    entries = await rows(
        connection,
        "select person, origin, listed, state, answer, answered_at, answered_by,"
        " absence, diverted_to, crossed from rm_arrivals.entry where handover = %s"
        " order by person",
        handover,
    )
    return found[0] | {"entries": entries}


async def identities(connection: AsyncConnection[Any], handover: str) -> dict[str, Any] | None:
    """Who stands on one handover, still sealed, by person; None where there is no such handover."""
    entries = await rows(
        connection,
        "select person, identity from rm_arrivals.entry where handover = %s order by person",
        handover,
    )
    return {entry["person"]: entry["identity"] for entry in entries} or None


async def person(connection: AsyncConnection[Any], code: str) -> dict[str, Any] | None:
    """One person who was announced or came, her identity still sealed, or None."""
    found = await rows(
        connection,
        "select person, identity from rm_arrivals.entry where person = %s"
        " order by identity is null limit 1",
        code,
    )
    return found[0] if found else None


SOME = "select h.*, e.persons, e.unanswered from (select h.*, (select count(*)::int"
IN_ORDER = (
    " order by h.planned_departure desc, h.handover limit %(limit)s offset %(offset)s) h"
    " left join lateral (select"
    " count(*) filter (where listed and state <> 'withdrawn')::int as persons,"
    " count(*) filter (where state = 'expected')::int as unanswered"
    " from rm_arrivals.entry where handover = h.handover) e on true"
    " order by h.planned_departure desc, h.handover"
)
UNANSWERED = (
    "exists (select 1 from rm_arrivals.entry e where e.handover = h.handover"
    " and e.state = 'expected')"
)
WHICH = (
    " from rm_arrivals.handover h where case %(state)s::text"
    f" when 'waiting' then h.phase = 'expected' and {UNANSWERED}"
    f" when 'answered' then h.phase = 'expected' and not {UNANSWERED}"
    " else h.phase = coalesce(%(state)s, h.phase) end"
)


async def page(
    connection: AsyncConnection[Any], state: str | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    """Some announced handovers, the latest departure first; `waiting` are those with answers due.

    Each with how many are listed, and unanswered.
    """
    return await rows(
        connection,
        SOME + WHICH + ") as of" + WHICH + IN_ORDER,
        state=state,
        limit=limit,
        offset=offset,
    )


async def head(connection: AsyncConnection[Any], handover: str) -> dict[str, Any] | None:
    """One handover without its entries, but with how many are in which state, and answered for."""
    found = await rows(
        connection,
        "select h.*, (select coalesce(jsonb_object_agg(state, n), '{}') from"
        " (select state, count(*)::int as n from rm_arrivals.entry e"
        " where e.handover = h.handover group by state) s) as states,"
        " (select count(*)::int from rm_arrivals.entry e where e.handover = h.handover"
        " and answer > 0) as answered"
        " from rm_arrivals.handover h where handover = %s",
        handover,
    )
    return found[0] if found else None


ENTRY = (
    "select person, origin, listed, state, answer, answered_at, answered_by, absence, diverted_to,"
    " crossed, count(*) over ()::int as of from rm_arrivals.entry where handover = %(handover)s"
)


async def entries(
    connection: AsyncConnection[Any], handover: str, state: str | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    """Some of the people of one handover, those without an answer first."""
    return await rows(
        connection,
        ENTRY + " and (%(state)s::text is null or state = %(state)s)"
        " order by state <> 'expected', person limit %(limit)s offset %(offset)s",
        handover=handover,
        state=state,
        limit=limit,
        offset=offset,
    )


async def entry(
    connection: AsyncConnection[Any], handover: str, code: str
) -> dict[str, Any] | None:
    """One person of one handover, or None."""
    found = await rows(
        connection, ENTRY + " and person = %(person)s", handover=handover, person=code
    )
    return found[0] if found else None


async def answers(connection: AsyncConnection[Any], handover: str) -> dict[str, dict[str, Any]]:
    """What is answered of one handover, by person."""
    found = await rows(connection, ENTRY + " and answer > 0", handover=handover)
    return {row["person"]: row for row in found}


async def appearances(connection: AsyncConnection[Any], code: str) -> list[dict[str, Any]]:
    """Every handover that she was announced with or came with, the latest departure first."""
    return await rows(
        connection,
        "select e.handover, e.state, e.listed, e.answered_at, e.answered_by, e.absence,"
        " e.diverted_to, e.origin, h.city, h.planned_departure from rm_arrivals.entry e"
        " join rm_arrivals.handover h using (handover) where e.person = %s"
        " order by h.planned_departure desc, e.handover limit 20",
        code,
    )
