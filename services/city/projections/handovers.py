"""The handovers, each with the state of every entry, and who may sign their deeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from services.city.domain import answer, authority, handover
from shared.kernel.projector import Projection, Recorded, Statement, rows

TABLES = """
create table handover (
  handover text primary key, operation text not null, receiving_office text not null,
  phase text not null, planned_departure date not null, transport text not null,
  predecessor text, issuer text not null, approver text, signatory text, deed_number text,
  deed_date date, departed_at timestamptz, revision integer not null default 0, note text
);
create table entry (
  handover text not null, person text not null, origin text,
  listed boolean not null, state text not null, answer integer, answered_at timestamptz,
  learned_at timestamptz,
  absence text, diverted_to text, primary key (handover, person)
);
create table authority (
  position bigint primary key, signatory text not null, office_position text not null,
  acting boolean not null, decree text not null, valid_from date not null, valid_until date
);
"""

PHASE = "update handover set phase = %(phase)s where handover = %(handover)s"
ENTRY = "update entry set state = %(state)s where handover = %(handover)s and person = %(person)s"
WAITING = (
    "update entry set state = %(state)s where handover = %(handover)s and state = any(%(only)s)"
)


def apply(recorded: Recorded) -> Iterator[Statement]:
    match recorded.event:
        case handover.HandoverDrafted() as drafted:
            yield (
                "insert into handover (handover, operation, receiving_office, phase,"
                " planned_departure, transport, predecessor, issuer) values (%(handover)s,"
                " %(operation)s, %(receiving_office)s, 'draft', %(planned_departure)s,"
                " %(transport)s, %(predecessor)s, %(issuer)s)",
                drafted.model_dump(),
            )
        case handover.EntryAdded(handover=id_, entry=entry):
            yield (
                "insert into entry (handover, person, origin, listed, state) values"
                " (%(handover)s, %(person)s, %(origin)s, true, 'listed')"
                " on conflict (handover, person) do update set state = 'listed'",
                entry.model_dump() | {"handover": id_},
            )
        case handover.EntryRemoved() | handover.EntryWithdrawn() as gone:
            yield ENTRY, {"handover": gone.handover, "person": gone.person, "state": "withdrawn"}
            if isinstance(gone, handover.EntryWithdrawn):
                yield (
                    "update handover set revision = %(revision)s where handover = %(handover)s",
                    {"handover": gone.handover, "revision": gone.revision},
                )
        case handover.HandoverSubmitted(handover=id_):
            yield PHASE, {"handover": id_, "phase": "submitted"}
        case handover.HandoverReturned(handover=id_, reason=reason):
            yield (
                "update handover set phase = 'draft', note = %(note)s"
                " where handover = %(handover)s",
                {"handover": id_, "note": reason},
            )
        case handover.HandoverApproved() as approved:
            yield (
                "update handover set phase = 'approved', approver = %(approver)s,"
                " signatory = %(signatory)s, deed_date = %(deed_date)s"
                " where handover = %(handover)s",
                approved.model_dump(),
            )
        case handover.HandoverIssued(handover=id_, deed_number=number):
            yield (
                "update handover set phase = 'issued', deed_number = %(number)s"
                " where handover = %(handover)s",
                {"handover": id_, "number": number},
            )
            yield WAITING, {"handover": id_, "state": "issued", "only": ["listed"]}
        case handover.HandoverWithdrawn(handover=id_):
            yield PHASE, {"handover": id_, "phase": "withdrawn"}
            yield WAITING, {"handover": id_, "state": "withdrawn", "only": ["listed", "issued"]}
        case handover.HandoverDeparted(handover=id_, departed_at=departed_at):
            yield (
                "update handover set phase = 'departed', departed_at = %(at)s"
                " where handover = %(handover)s",
                {"handover": id_, "at": departed_at},
            )
            yield WAITING, {"handover": id_, "state": "departed", "only": ["issued"]}
        case handover.DepartureCorrected(handover=id_):
            yield (
                "update handover set phase = 'issued', departed_at = null"
                " where handover = %(handover)s",
                {"handover": id_},
            )
            yield WAITING, {"handover": id_, "state": "issued", "only": ["departed"]}
        case answer.ArrivalRecorded() as arrival:
            yield (
                "update entry set state = %(outcome)s, answer = %(answer)s,"
                " answered_at = %(at)s, absence = %(absence)s, diverted_to = %(diverted_to)s,"
                " learned_at = %(learned_at)s"
                " where handover = %(handover)s and person = %(person)s",
                arrival.model_dump() | {"learned_at": recorded.recorded_at},
            )
        case answer.UnlistedArrivalRecorded() as unlisted:
            yield (
                "insert into entry (handover, person, listed, state, answer,"
                " answered_at) values (%(handover)s, %(person)s, false, 'unlisted',"
                " 1, %(at)s) on conflict (handover, person) do nothing",
                unlisted.model_dump(),
            )
        case answer.UnlistedArrivalCorrected(handover=id_, person=person):
            yield (
                "delete from entry where handover = %(handover)s and person = %(person)s"
                " and not listed",
                {"handover": id_, "person": person},
            )
        case answer.DeclineRecorded(handover=id_, reason=reason):
            yield (
                "update handover set phase = 'declined', note = %(note)s"
                " where handover = %(handover)s",
                {"handover": id_, "note": reason},
            )
            yield (
                "update entry set state = 'declined', answered_at = %(at)s,"
                " learned_at = %(learned_at)s"
                " where handover = %(handover)s and state in ('issued', 'departed')",
                {
                    "handover": id_,
                    "at": recorded.occurred_at,
                    "learned_at": recorded.recorded_at,
                },
            )
        case handover.HandoverClosed(handover=id_):
            yield PHASE, {"handover": id_, "phase": "closed"}
        case authority.AuthorityConferred() as conferred:
            yield (
                "insert into authority values (%(at)s, %(signatory)s, %(position)s, %(acting)s,"
                " %(decree)s, %(valid_from)s, %(valid_until)s)",
                conferred.model_dump() | {"at": recorded.position},
            )
        case authority.AuthorityEnded() as ended:
            yield (
                "update authority set valid_until = least(valid_until, %(valid_until)s)"
                " where signatory = %(signatory)s and decree = %(decree)s",
                ended.model_dump(),
            )


projection = Projection("handovers", 5, TABLES, apply)


async def answered(
    connection: AsyncConnection[Any], handovers: Sequence[str]
) -> dict[str, tuple[int, int, datetime | None]]:
    """For how many on each handover its receiver has answered, of how many.

    And when this office learned the last of these answers.
    """
    found = await rows(
        connection,
        "select handover, count(answered_at)::int as answered, count(*)::int as persons,"
        " max(learned_at) as at from rm_handovers.entry"
        " where handover = any(%s) and listed and state <> 'withdrawn' group by handover",
        list(handovers),
    )
    return {row["handover"]: (row["answered"], row["persons"], row["at"]) for row in found}


async def handovers(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Every handover with the number of its entries in each state."""
    return await rows(
        connection,
        "select h.*, (select coalesce(jsonb_object_agg(state, n), '{}') from"
        " (select state, count(*) as n from rm_handovers.entry e where e.handover = h.handover"
        " group by state) s) as entries from rm_handovers.handover h order by h.handover",
    )


async def one(connection: AsyncConnection[Any], handover: str) -> dict[str, Any] | None:
    """One handover with its entries, or None."""
    found = await rows(
        connection, "select * from rm_handovers.handover where handover = %s", handover
    )
    if not found:
        return None
    entries = await rows(
        connection,
        "select person, origin, listed, state, answer, answered_at, absence,"
        " diverted_to from rm_handovers.entry where handover = %s order by person",
        handover,
    )
    return found[0] | {"entries": entries}


async def page(
    connection: AsyncConnection[Any], phase: str | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    """Some handovers, the latest departure first, each with how many go and how many arrived."""
    return await rows(
        connection,
        # The page first: only of what is on it the people are counted.
        "select h.*, e.persons, e.answered from (select handover, operation, receiving_office,"
        " phase, planned_departure, deed_number, count(*) over ()::int as of"
        " from rm_handovers.handover where %s::text is null or phase = %s"
        " order by planned_departure desc, handover limit %s offset %s) h"
        " left join lateral (select"
        " count(*) filter (where listed and state <> 'withdrawn')::int as persons,"
        " count(answered_at) filter (where listed)::int as answered"
        " from rm_handovers.entry where handover = h.handover) e on true"
        " order by h.planned_departure desc, h.handover",
        phase,
        phase,
        limit,
        offset,
    )


async def head(connection: AsyncConnection[Any], handover: str) -> dict[str, Any] | None:
    """One handover without its entries, but with how many are in which state."""
    found = await rows(
        connection,
        "select h.*, (select coalesce(jsonb_object_agg(state, n), '{}') from"
        " (select state, count(*)::int as n from rm_handovers.entry e"
        " where e.handover = h.handover group by state) s) as states"
        " from rm_handovers.handover h where handover = %s",
        handover,
    )
    return found[0] if found else None


async def entries(
    connection: AsyncConnection[Any], handover: str, limit: int, offset: int
) -> list[dict[str, Any]]:
    """Some of the people of one handover."""
    return await rows(
        connection,
        "select person, origin, listed, state, answered_at, absence, diverted_to"
        " from rm_handovers.entry where handover = %s order by person limit %s offset %s",
        handover,
        limit,
        offset,
    )


async def waiting(connection: AsyncConnection[Any]) -> dict[str, int]:
    """How many handovers are in each phase."""
    found = await rows(
        connection, "select phase, count(*)::int as n from rm_handovers.handover group by phase"
    )
    return {row["phase"]: row["n"] for row in found}


async def authorities(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Who may sign, by which decree, for which days."""
    return await rows(
        connection,
        "select signatory, office_position, acting, decree, valid_from, valid_until"
        " from rm_handovers.authority order by valid_from desc, signatory",
    )
