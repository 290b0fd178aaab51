"""The rupiah ledgers: the ministry's grants, and the city's travel money. They never net.

For travel money `released = spent + returned + outstanding`, per person, operation and fund
(rule 13); surplus is against what was released.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from services.city.domain import advance, grant, operation, treasury
from shared.custody import erasure
from shared.kernel.projector import Projection, Recorded, Statement, rows

TABLES = """
create table credit (
  person text not null, reference text not null, operation text not null,
  amount_rupiah bigint not null, credited_on date not null, kind text not null, replaces text,
  failed boolean not null default false, returned_rupiah bigint not null default 0,
  answer text, answered_by text, learned_at timestamptz,
  standing_rupiah bigint generated always as
    (case when failed then 0 else amount_rupiah - returned_rupiah end) stored,
  primary key (person, reference)
);
create index on credit (operation);
create table entitlement (operation text primary key, grant_rupiah bigint not null);
create table movement (
  person text not null, operation text not null, fund text not null, kind text not null,
  paper text not null, amount_rupiah bigint not null, remark text, position bigint not null,
  primary key (person, kind, paper)
);
create index on movement (operation);
create table sts (
  sts text primary key, operation text not null, total_rupiah bigint not null,
  bank_validation text not null, deposited_on date not null, persons integer not null
);
"""

MOVEMENT = (
    "insert into movement values (%(person)s, %(operation)s, 'DPA', %(kind)s, %(paper)s,"
    " %(amount_rupiah)s, %(remark)s, %(position)s)"
)
ANSWER = (
    "update credit set answer = %(answer)s, answered_by = %(office)s,"
    " learned_at = %(learned_at)s"
    " where person = %(person)s and reference = %(reference)s"
)


def apply(recorded: Recorded) -> Iterator[Statement]:
    match recorded.event:
        case operation.OperationOpened(operation=id_, grant_rupiah=grant_rupiah):
            yield (
                "insert into entitlement values (%(operation)s, %(grant_rupiah)s)",
                {"operation": id_, "grant_rupiah": grant_rupiah},
            )
        case grant.GrantDisbursed() | grant.GrantRedisbursed() as credit:
            yield (
                "insert into credit (person, reference, operation, amount_rupiah, credited_on,"
                " kind, replaces) values (%(person)s, %(reference)s, %(operation)s,"
                " %(amount_rupiah)s, %(credited_on)s, %(kind)s, %(replaces)s)",
                {"replaces": None} | credit.model_dump(),
            )
        case grant.GrantFailed() as failed:
            yield (
                "update credit set failed = true"
                " where person = %(person)s and reference = %(reference)s",
                failed.model_dump(),
            )
        case grant.GrantReturned() as returned:
            yield (
                "update credit set returned_rupiah = returned_rupiah + %(amount_rupiah)s"
                " where person = %(person)s and reference = %(reference)s",
                returned.model_dump(),
            )
        case grant.ConfirmationRecorded() as confirmation:
            yield ANSWER, _answer(recorded, confirmation, "confirmed")
        case grant.DisputeRecorded() as dispute:
            yield ANSWER, _answer(recorded, dispute, "disputed")
        case advance.AdvanceReleased() as released:
            yield (
                MOVEMENT,
                released.model_dump()
                | {
                    "position": recorded.position,
                    "kind": "released",
                    "paper": released.release,
                    "remark": released.budget_code,
                },
            )
        case advance.FareRecorded() as fare:
            yield (
                MOVEMENT,
                fare.model_dump()
                | {
                    "position": recorded.position,
                    "kind": "spent",
                    "paper": fare.receipt,
                    "remark": fare.override_reason,
                },
            )
        case advance.FareCorrected() as corrected:
            yield (
                "update movement set amount_rupiah = %(amount_rupiah)s, remark = %(reason)s,"
                " position = %(position)s"
                " where person = %(person)s and kind = 'spent' and paper = %(receipt)s",
                corrected.model_dump() | {"position": recorded.position},
            )
        case advance.SurplusReturned() as surplus:
            yield (
                MOVEMENT,
                surplus.model_dump()
                | {
                    "position": recorded.position,
                    "kind": "returned",
                    "paper": surplus.sts,
                    "remark": None,
                },
            )
        case erasure.ErasureExecuted(person=person):
            yield (
                "update movement set remark = null where person = %(person)s and kind = 'spent'",
                {"person": person},
            )
        case treasury.TreasuryReturnRecorded() as sts:
            yield (
                "insert into sts values (%(sts)s, %(operation)s, %(total_rupiah)s,"
                " %(bank_validation)s, %(deposited_on)s, %(persons)s)",
                sts.model_dump(exclude={"shares"}) | {"persons": len(sts.shares)},
            )


def _answer(
    recorded: Recorded, event: grant.ConfirmationRecorded | grant.DisputeRecorded, answer: str
) -> dict[str, Any]:
    return event.model_dump() | {"answer": answer, "learned_at": recorded.recorded_at}


projection = Projection("ledger", 5, TABLES, apply)


async def answered(
    connection: AsyncConnection[Any], credits: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str | None, datetime | None]]:
    """Which office last said yes or no to each credit, and when this office learned it.

    By person and reference.
    """
    found = await rows(
        connection,
        "select person, reference, answered_by, learned_at from rm_ledger.credit join"
        " unnest(%s::text[], %s::text[]) as wanted(person, reference) using (person, reference)",
        [person for person, _ in credits],
        [reference for _, reference in credits],
    )
    return {
        (row["person"], row["reference"]): (row["answered_by"], row["learned_at"]) for row in found
    }


async def ledger(connection: AsyncConnection[Any], operation_: str) -> dict[str, Any]:
    """Both ledgers of one operation, whole and per person, in rupiah."""
    grants = await rows(
        connection,
        "select count(*)::int as credits, coalesce(sum(amount_rupiah), 0)::bigint as"
        " credited_rupiah, coalesce(sum(amount_rupiah) filter (where failed), 0)::bigint as"
        " failed_rupiah, coalesce(sum(returned_rupiah), 0)::bigint as returned_rupiah,"
        " coalesce(sum(standing_rupiah), 0)::bigint as standing_rupiah,"
        " count(*) filter (where kind = 'duplicate')::int as duplicates,"
        " count(*) filter (where answer = 'confirmed')::int as confirmed,"
        " count(*) filter (where answer = 'disputed')::int as disputed"
        " from rm_ledger.credit where operation = %s",
        operation_,
    )
    credits_ = await rows(
        connection,
        "select person, reference, amount_rupiah, credited_on, kind, replaces, failed,"
        " returned_rupiah, standing_rupiah, answer, answered_by"
        " from rm_ledger.credit where operation = %s order by person, credited_on, reference",
        operation_,
    )
    advances = await rows(
        connection,
        "select person, fund, sum(amount_rupiah) filter (where kind = 'released')::bigint as"
        " released_rupiah, coalesce(sum(amount_rupiah) filter (where kind = 'spent'), 0)::bigint"
        " as spent_rupiah, coalesce(sum(amount_rupiah) filter (where kind = 'returned'),"
        " 0)::bigint as returned_rupiah, sum(case when kind = 'released' then amount_rupiah else"
        " -amount_rupiah end)::bigint as outstanding_rupiah from rm_ledger.movement"
        " where operation = %s group by person, fund order by person",
        operation_,
    )
    papers = await rows(
        connection,
        "select * from rm_ledger.sts where operation = %s order by deposited_on, sts",
        operation_,
    )
    parts = ("released_rupiah", "spent_rupiah", "returned_rupiah", "outstanding_rupiah")
    return {
        "grants": grants[0],
        "credits": credits_,
        "fares": {part: sum(row[part] for row in advances) for part in parts},
        "advances": advances,
        "treasury_returns": papers,
    }


async def movements(connection: AsyncConnection[Any], operation_: str) -> list[dict[str, Any]]:
    """Every release, fare and return of an operation's travel money, with the event it is from."""
    return await rows(
        connection,
        "select person, kind, paper, amount_rupiah, position,"
        " case when kind = 'released' then remark end as budget_code"
        " from rm_ledger.movement where operation = %s order by person, kind, position, paper",
        operation_,
    )


async def findings(connection: AsyncConnection[Any], operation_: str) -> list[tuple[str, int, str]]:
    """What does not add up in the ledgers: name, difference in rupiah, words (rule 15).

    A duplicate is what a person holds beyond the operation's grant, whichever credit it came by.
    """
    found = await rows(
        connection,
        "select coalesce(sum(greatest(0, p.rupiah - o.grant_rupiah)), 0)::bigint as rupiah"
        " from (select sum(standing_rupiah) as rupiah from rm_ledger.credit"
        " where operation = %s group by person) p, rm_ledger.entitlement o where o.operation = %s",
        operation_,
        operation_,
    )
    rupiah = found[0]["rupiah"]
    return [("grants_duplicate", rupiah, f"Rp{rupiah} melebihi hak penerimanya dan belum kembali.")]
