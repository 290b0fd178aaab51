"""The cases: where each person stands, her trainings and choice. Sealed texts stay sealed here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from services.province.domain import case
from shared.custody import erasure
from shared.kernel.projector import Projection, Recorded, Statement, rows

TABLES = """
create table casework (
  person text primary key, city text not null, handover text not null, house text not null,
  willing boolean not null, status text not null, offers jsonb not null default '[]',
  chosen jsonb, completed jsonb not null default '[]', potential text, wish text,
  opportunity text, worker text, follow_ups integer not null default 0,
  since timestamptz not null
);
create table note (
  position bigint primary key, person text not null, note text, by text not null,
  at timestamptz not null
);
create index on note (person);
create index on casework ((status = 'closed'), since, person);
create index on casework (worker);
"""

STATUS = "update casework set status = %(status)s, since = %(since)s where person = %(person)s"
STATUS_OF = {
    case.DeclaredReady: "ready",
    case.ReturnedToFamily: "returned_to_family",
    case.FamilyDeclined: "declined_by_family",
    case.LeftHouse: "left_house",
    case.CaseClosed: "closed",
}


def apply(recorded: Recorded) -> Iterator[Statement]:
    since = recorded.occurred_at
    match recorded.event:
        case case.CaseOpened() as opened:
            yield "delete from casework where person = %(person)s", {"person": opened.person}
            yield (
                "insert into casework (person, city, handover, house, willing, status, since)"
                " values (%(person)s, %(city)s, %(handover)s, %(house)s, %(willing)s,"
                " 'in_house', %(since)s)",
                opened.model_dump() | {"since": since},
            )
        case case.CaseOpenedInError(person=person):
            yield "delete from casework where person = %(person)s", {"person": person}
        case case.PersonAssessed() as assessed:
            yield (
                "update casework set status = 'assessed', potential = %(potential)s,"
                " wish = %(wish)s, opportunity = %(opportunity)s, since = %(since)s"
                " where person = %(person)s",
                assessed.model_dump() | {"since": since},
            )
        case case.TrainingsOffered(person=person, offers=offers):
            yield (
                "update casework set offers = %(offers)s, chosen = null where person = %(person)s",
                {"person": person, "offers": Jsonb(list(offers))},
            )
        case case.TrainingsChosen(person=person, chosen=chosen):
            yield (
                "update casework set chosen = %(chosen)s, status = case when %(some)s then"
                " 'in_training' else status end where person = %(person)s",
                {"person": person, "chosen": Jsonb(list(chosen)), "some": bool(chosen)},
            )
        case case.TrainingCompleted(person=person, training=training):
            yield (
                "update casework set completed = completed || %(training)s"
                " where person = %(person)s",
                {"person": person, "training": Jsonb([training])},
            )
        case case.CaseWorkerAssigned(person=person, worker=worker):
            yield (
                "update casework set worker = %(worker)s where person = %(person)s",
                {"person": person, "worker": worker},
            )
        case erasure.ErasureExecuted(person=person):
            yield (
                "update casework set potential = null, wish = null, opportunity = null"
                " where person = %(person)s",
                {"person": person},
            )
            yield "update note set note = null where person = %(person)s", {"person": person}
        case case.FollowedUp(person=person, note=note):
            yield (
                "insert into note values (%(position)s, %(person)s, %(note)s, %(by)s, %(at)s)",
                {
                    "position": recorded.position,
                    "person": person,
                    "note": note,
                    "by": recorded.actor,
                    "at": since,
                },
            )
            yield (
                "update casework set follow_ups = follow_ups + 1, status = 'follow_up'"
                " where person = %(person)s",
                {"person": person},
            )
        case case.CaseEvent() as event if type(event) in STATUS_OF:
            yield (
                STATUS,
                {"person": event.person, "status": STATUS_OF[type(event)], "since": since},
            )


projection = Projection("cases", 3, TABLES, apply)


async def cases(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Every case without its sealed texts."""
    return await rows(
        connection,
        "select person, city, handover, house, willing, status, offers, chosen, completed,"
        " worker, follow_ups, since from rm_cases.casework order by person",
    )


async def one(connection: AsyncConnection[Any], person: str) -> dict[str, Any] | None:
    """One case with its notes, all still sealed, or None."""
    found = await rows(connection, "select * from rm_cases.casework where person = %s", person)
    if not found:
        return None
    notes = await rows(
        connection,
        "select note, by, at from rm_cases.note where person = %s order by position",
        person,
    )
    return found[0] | {"notes": notes}


WHICH = (
    " from rm_cases.casework where (%(worker)s::text is null or worker = %(worker)s)"
    " and (not %(unassigned)s or (worker is null and status <> 'closed'))"
    " and (%(status)s::text is null or status = %(status)s)"
    " and (%(house)s::text is null or house = %(house)s)"
)


async def page(
    connection: AsyncConnection[Any],
    *,
    worker: str | None = None,
    unassigned: bool = False,
    status: str | None = None,
    house: str | None = None,
    limit: int,
    offset: int,
) -> list[dict[str, Any]]:
    """Some cases without their sealed texts, the longest unchanged first."""
    return await rows(
        connection,
        "select person, house, willing, status, worker, since, (select count(*)::int"
        + WHICH
        + ") as of"
        + WHICH
        + " order by status = 'closed', since, person limit %(limit)s offset %(offset)s",
        worker=worker,
        unassigned=unassigned,
        status=status,
        house=house,
        limit=limit,
        offset=offset,
    )


async def head(connection: AsyncConnection[Any], person: str) -> dict[str, Any] | None:
    """One case, and whether it holds sealed texts; they themselves are left out."""
    found = await rows(
        connection,
        "select person, city, handover, house, willing, status, offers, chosen, completed, worker,"
        " follow_ups, since, potential is not null as assessed"
        " from rm_cases.casework where person = %s",
        person,
    )
    return found[0] if found else None


async def waiting(connection: AsyncConnection[Any], worker: str) -> dict[str, int]:
    """How many cases nobody has, and how many of this worker's wait for which step."""
    found = await rows(
        connection,
        "select count(*) filter (where worker is null and status <> 'closed')::int as unassigned,"
        " count(*) filter (where worker = %(w)s and status = 'in_house')::int as in_house,"
        # To choose no training is a choice: nobody asks her for another one.
        " count(*) filter (where worker = %(w)s and status = 'assessed' and chosen is null)::int"
        " as assessed,"
        " count(*) filter (where worker = %(w)s and status = 'assessed'"
        " and chosen is not null)::int as chosen_none,"
        " count(*) filter (where worker = %(w)s and status = 'in_training')::int as in_training,"
        " count(*) filter (where worker = %(w)s and status = 'ready')::int as ready,"
        " count(*) filter (where worker = %(w)s and status = 'declined_by_family')::int"
        " as declined_by_family,"
        " count(*) filter (where worker = %(w)s and status in ('returned_to_family', 'left_house'))"
        "::int as gone from rm_cases.casework",
        w=worker,
    )
    return found[0]


async def ended(connection: AsyncConnection[Any], before: datetime) -> list[dict[str, Any]]:
    """Whose case here ended before a time."""
    return await rows(
        connection,
        "select person, status as state, since from rm_cases.casework where since < %s"
        " and status in ('closed', 'returned_to_family', 'left_house', 'follow_up')"
        " order by since, person limit 1000",
        before,
    )
