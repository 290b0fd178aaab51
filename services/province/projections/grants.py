"""The grants as this office knows them: credits the city told of, and what was found with her."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import AsyncConnection

from services.province.domain import grant
from shared.kernel.projector import Projection, Recorded, Statement, rows

TABLES = """
create table credit (
  person text not null, reference text not null, city text not null,
  amount_rupiah bigint not null, credited_on date not null, replaces text,
  failed boolean not null default false, returned_rupiah bigint not null default 0,
  answer text, answered_by text,
  standing_rupiah bigint generated always as
    (case when failed then 0 else amount_rupiah - returned_rupiah end) stored,
  primary key (person, reference)
);
create index on credit ((answer is not null), credited_on, person, reference);
"""

ANSWER = (
    "update credit set answer = %(answer)s, answered_by = %(by)s"
    " where person = %(person)s and reference = %(reference)s"
)


def apply(recorded: Recorded) -> Iterator[Statement]:
    match recorded.event:
        case grant.CreditNoted() as noted:
            yield (
                "insert into credit (person, reference, city, amount_rupiah, credited_on,"
                " replaces) values (%(person)s, %(reference)s, %(city)s, %(amount_rupiah)s,"
                " %(credited_on)s, %(replaces)s)",
                noted.model_dump(),
            )
        case grant.FailureNoted() as failed:
            yield (
                "update credit set failed = true"
                " where person = %(person)s and reference = %(reference)s",
                failed.model_dump(),
            )
        case grant.ReturnNoted() as returned:
            yield (
                "update credit set returned_rupiah = returned_rupiah + %(amount_rupiah)s"
                " where person = %(person)s and reference = %(reference)s",
                returned.model_dump(),
            )
        case grant.GrantConfirmed() as confirmed:
            yield ANSWER, confirmed.model_dump() | {"answer": "confirmed", "by": recorded.actor}
        case grant.GrantDisputed() as disputed:
            yield ANSWER, disputed.model_dump() | {"answer": "disputed", "by": recorded.actor}


projection = Projection("grants", 2, TABLES, apply)


async def grants(connection: AsyncConnection[Any]) -> dict[str, Any]:
    """Every credit this office was told of, and their sum, in rupiah."""
    credits_ = await rows(
        connection,
        "select * from rm_grants.credit order by person, credited_on, reference",
    )
    return {
        "standing_rupiah": sum(row["standing_rupiah"] for row in credits_),
        "credits": credits_,
    }


HERE = "exists (select from rm_cases.casework k where k.person = credit.person)"
"""Nobody here can look with her whether the money is there, unless she has a case."""
WHICH = (
    " from rm_grants.credit where case %(answer)s::text"
    " when 'open' then answer is null and standing_rupiah > 0 and "
    + HERE
    + " when 'gone' then standing_rupiah = 0"
    " else %(answer)s::text is null or answer = %(answer)s end"
    " and (%(person)s::text is null or person = %(person)s)"
)


async def open_ones(connection: AsyncConnection[Any]) -> int:
    """How many credits of those who have a case stand that nobody has answered for."""
    found = await rows(
        connection,
        "select count(*)::int as n" + WHICH,
        answer="open",
        person=None,
    )
    return int(found[0]["n"])


async def page(
    connection: AsyncConnection[Any],
    *,
    answer: str | None = None,
    person: str | None = None,
    limit: int,
    offset: int,
) -> list[dict[str, Any]]:
    """Some credits: `open` are those to be answered for, of who has a case (`here`)."""
    return await rows(
        connection,
        "select *, "
        + HERE
        + " as here, (select count(*)::int"
        + WHICH
        + ") as of"
        + WHICH
        + " order by answer is not null, credited_on, person, reference"
        " limit %(limit)s offset %(offset)s",
        answer=answer,
        person=person,
        limit=limit,
        offset=offset,
    )
