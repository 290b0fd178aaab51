"""The rupiah ledgers: the ministry's grants, and the city's travel money. They never net.

For travel money `released = spent + returned + outstanding`, per person, operation and fund
(rule 13); surplus is against what was released.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from services.city.domain import advance, beneficiary, grant, operation, treasury
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
  file_kind text, file_bytes bigint, file_sha256 text,
  primary key (person, kind, paper)
);
create index on movement (operation);
create table holding (
  person text primary key, operation text not null, credits integer not null default 0,
  standing_rupiah bigint not null default 0, state text not null default 'none'
);
create index on holding (operation, person);
create index on holding (state, operation, person);
create table advance (
  person text primary key, operation text not null, budget_code text not null,
  since timestamptz not null, receipts integer not null default 0,
  unfiled integer not null default 0,
  released_rupiah bigint not null default 0, spent_rupiah bigint not null default 0,
  returned_rupiah bigint not null default 0,
  outstanding_rupiah bigint generated always as
    (released_rupiah - spent_rupiah - returned_rupiah) stored,
  state text generated always as
    (case when released_rupiah = spent_rupiah + returned_rupiah then 'settled'
      when receipts = 0 then 'unspent' else 'surplus' end) stored
);
create index on advance (operation, person);
create index on advance (state, operation, person);
create table sts (
  sts text primary key, operation text not null, total_rupiah bigint not null,
  bank_validation text not null, deposited_on date not null, persons integer not null
);
"""

ERASED = "erased"
"""Said of a file that was attached, and is gone with her data."""

MOVEMENT = (
    "insert into movement values (%(person)s, %(operation)s, 'DPA', %(kind)s, %(paper)s,"
    " %(amount_rupiah)s, %(remark)s, %(position)s)"
)
ANSWER = (
    "update credit set answer = %(answer)s, answered_by = %(office)s,"
    " learned_at = %(learned_at)s"
    " where person = %(person)s and reference = %(reference)s"
)
# What she holds, in one word: of several the first that fits.
HOLDING = (
    "update holding h set credits = c.credits, standing_rupiah = c.standing, state = case"
    " when c.credits = 0 then 'none' when c.standing = 0 then 'undone'"
    " when c.disputed then 'disputed' when c.standing > e.grant_rupiah then 'beyond'"
    " when c.standing < e.grant_rupiah then 'partial' when c.confirmed then 'confirmed'"
    " else 'unconfirmed' end"
    " from entitlement e, (select count(*)::int as credits,"
    " coalesce(sum(standing_rupiah), 0)::bigint as standing,"
    " bool_or(answer = 'disputed') filter (where standing_rupiah > 0) is true as disputed,"
    " bool_and(answer is not distinct from 'confirmed') filter (where standing_rupiah > 0)"
    " is true as confirmed from credit where person = %(person)s) c"
    " where h.person = %(person)s and e.operation = h.operation"
)
ADVANCE = (
    "update advance a set receipts = m.receipts, unfiled = m.unfiled, released_rupiah = m.released,"
    " spent_rupiah = m.spent, returned_rupiah = m.returned from (select"
    " count(*) filter (where kind = 'spent')::int as receipts,"
    " count(*) filter (where kind = 'spent' and file_kind is null)::int as unfiled,"
    " coalesce(sum(amount_rupiah) filter (where kind = 'released'), 0)::bigint as released,"
    " coalesce(sum(amount_rupiah) filter (where kind = 'spent'), 0)::bigint as spent,"
    " coalesce(sum(amount_rupiah) filter (where kind = 'returned'), 0)::bigint as returned"
    " from movement where person = %(person)s) m where a.person = %(person)s"
)
MOVES_CREDIT = (
    grant.GrantDisbursed, grant.GrantRedisbursed, grant.GrantFailed, grant.GrantReturned,
    grant.ConfirmationRecorded, grant.DisputeRecorded,
    beneficiary.BeneficiaryRegistered,  # As it occurred, a credit may stand before it.
)  # fmt: skip
MOVES_ADVANCE = (
    advance.AdvanceReleased, advance.FareRecorded, advance.FareCorrected, advance.ReceiptAttached,
    advance.SurplusReturned,
)  # fmt: skip


def apply(recorded: Recorded) -> Iterator[Statement]:
    """Each movement, and after it the one line that sums up hers."""
    yield from _single(recorded)
    match recorded.event:
        case event if isinstance(event, MOVES_CREDIT):
            yield HOLDING, {"person": event.person}
        case event if isinstance(event, MOVES_ADVANCE):
            yield ADVANCE, {"person": event.person}


def _single(recorded: Recorded) -> Iterator[Statement]:
    match recorded.event:
        case beneficiary.BeneficiaryRegistered(person=person, operation=id_):
            yield (
                "insert into holding (person, operation) values (%(person)s, %(operation)s)",
                {"person": person, "operation": id_},
            )
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
                "insert into advance (person, operation, budget_code, since) values (%(person)s,"
                " %(operation)s, %(budget_code)s, %(since)s) on conflict do nothing",
                released.model_dump() | {"since": recorded.occurred_at},
            )
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
        case advance.ReceiptAttached() as attached:
            yield (
                "update movement set file_kind = %(media_type)s, file_bytes = %(size_bytes)s,"
                " file_sha256 = %(sha256)s"
                " where person = %(person)s and kind = 'spent' and paper = %(receipt)s",
                attached.model_dump(),
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
            yield (
                "update movement set file_kind = %(erased)s, file_bytes = null,"
                " file_sha256 = null where person = %(person)s and file_kind is not null",
                {"person": person, "erased": ERASED},
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


projection = Projection("ledger", 7, TABLES, apply)


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
    parts = ("released_rupiah", "spent_rupiah", "returned_rupiah", "outstanding_rupiah")
    return {
        "grants": grants[0],
        "credits": await credits(connection, operation_),
        "fares": {part: sum(row[part] for row in advances) for part in parts},
        "advances": advances,
        "treasury_returns": await treasury_returns(connection, operation_),
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


async def credits(connection: AsyncConnection[Any], operation_: str) -> list[dict[str, Any]]:
    """Every credit of an operation, and what became of it."""
    return await rows(
        connection,
        "select person, reference, amount_rupiah, credited_on, kind, replaces, failed,"
        " returned_rupiah, standing_rupiah, answer, answered_by"
        " from rm_ledger.credit where operation = %s order by person, credited_on, reference",
        operation_,
    )


async def treasury_returns(
    connection: AsyncConnection[Any], operation_: str
) -> list[dict[str, Any]]:
    return await rows(
        connection,
        "select * from rm_ledger.sts where operation = %s order by deposited_on, sts",
        operation_,
    )


async def findings(
    connection: AsyncConnection[Any], operation_: str
) -> list[tuple[str, int, dict[str, int]]]:
    """What does not add up in the ledgers: name, difference in rupiah, figures (rule 15).

    A duplicate is what a person holds beyond the operation's grant, whichever credit it came by.
    """
    return (await findings_of(connection, [operation_]))[operation_]


async def findings_of(
    connection: AsyncConnection[Any], operations: Sequence[str]
) -> dict[str, list[tuple[str, int, dict[str, int]]]]:
    """The same of several operations, in one query."""
    found = await rows(
        connection,
        # Who holds more than the grant is in one of these two states.
        "select operation, sum(greatest(0, h.standing_rupiah - o.grant_rupiah))::bigint as rupiah"
        " from rm_ledger.holding h join rm_ledger.entitlement o using (operation)"
        " where operation = any(%s) and h.state in ('beyond', 'disputed') group by operation",
        list(operations),
    )
    beyond = dict.fromkeys(operations, 0) | {row["operation"]: row["rupiah"] for row in found}
    return {
        code: [
            ("grants_duplicate", rupiah, {"rupiah": rupiah}),
        ]
        for code, rupiah in beyond.items()
    }
