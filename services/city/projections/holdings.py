"""What each person holds of the grant, and how her travel money stands: queries by the page.

They read the ledger's sums, which have an index by operation and state. A page of a list costs the
same whether the operation has fifty people or a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from shared.kernel.projector import rows

GRANT_STATES = (
    "none", "undone", "disputed", "beyond", "partial", "unconfirmed", "confirmed",
)  # fmt: skip
"""None credited; all failed or returned; not found by her office; beyond or below the grant; ..."""
GRANTS_WAITING = ("none", "undone", "disputed", "beyond", "partial")
ADVANCE_STATES = ("unspent", "surplus", "settled")
"""No receipt yet; receipts, and something left; nothing left."""
ADVANCES_WAITING = ("unspent", "surplus")
LINES_TODAY = 20


async def entitlement(connection: AsyncConnection[Any], operation: str) -> dict[str, Any] | None:
    """The operation's name, its grant and the range of its fares; None where there is none."""
    found = await rows(
        connection,
        "select operation, name, grant_rupiah, fare_floor_rupiah, fare_ceiling_rupiah"
        " from rm_board.operation where operation = %s",
        operation,
    )
    return found[0] if found else None


async def grant_states(connection: AsyncConnection[Any], operation: str) -> dict[str, Any]:
    """How many people are in which state, and how much they hold together."""
    found = await rows(
        connection,
        "select state, count(*)::int as persons, sum(standing_rupiah)::bigint as rupiah"
        " from rm_ledger.holding where operation = %s group by state",
        operation,
    )
    return {row["state"]: row for row in found}


async def grants(
    connection: AsyncConnection[Any],
    operation: str,
    state: str | None = None,
    person: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Some people with what they hold of the grant; of one state, or one person."""
    columns = "person, state, credits, standing_rupiah"
    return await _some(connection, "holding", columns, operation, state, person, limit, offset)


async def advance_states(connection: AsyncConnection[Any], operation: str) -> dict[str, Any]:
    """How many advances are in which state, with their sums, and since when the oldest."""
    found = await rows(
        connection,
        "select state, count(*)::int as persons, sum(released_rupiah)::bigint as released,"
        " sum(spent_rupiah)::bigint as spent, sum(returned_rupiah)::bigint as returned,"
        " sum(outstanding_rupiah)::bigint as outstanding, min(since) as since,"
        " sum(unfiled)::int as unfiled"
        " from rm_ledger.advance where operation = %s group by state",
        operation,
    )
    return {row["state"]: row for row in found}


async def advances(
    connection: AsyncConnection[Any],
    operation: str,
    state: str | None = None,
    person: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Some people with their travel money; of one state, or one person."""
    columns = (
        "person, state, budget_code, since, receipts, released_rupiah, spent_rupiah,"
        " returned_rupiah, outstanding_rupiah"
    )
    return await _some(connection, "advance", columns, operation, state, person, limit, offset)


async def _some(
    connection: AsyncConnection[Any],
    table: str,
    columns: str,
    operation: str,
    state: str | None,
    person: str | None,
    limit: int | None,
    offset: int,
) -> list[dict[str, Any]]:
    return await rows(
        connection,
        f"select {columns} from rm_ledger.{table}"  # noqa: S608 - both are written above
        " where operation = %(operation)s and (%(state)s::text is null or state = %(state)s)"
        " and (%(person)s::text is null or person = %(person)s)"
        " order by person limit %(limit)s offset %(offset)s",
        operation=operation,
        state=state,
        person=person,
        limit=limit,
        offset=offset,
    )


async def left_over(
    connection: AsyncConnection[Any], operation: str, states: Sequence[str], limit: int
) -> list[dict[str, Any]]:
    """Who has something left, and how much: what an STS may pay back."""
    return await rows(
        connection,
        "select person, outstanding_rupiah from rm_ledger.advance where operation = %s"
        " and state = any(%s) order by person limit %s",
        operation,
        list(states),
        limit,
    )


async def without_advance(
    connection: AsyncConnection[Any], operation: str, limit: int
) -> list[str]:
    """Who is registered and was given no travel money yet."""
    found = await rows(
        connection,
        "select h.person from rm_ledger.holding h where h.operation = %s and not exists"
        " (select 1 from rm_ledger.advance a where a.person = h.person)"
        " order by h.person limit %s",
        operation,
        limit,
    )
    return [row["person"] for row in found]


async def money_of(connection: AsyncConnection[Any], person: str) -> dict[str, Any] | None:
    """One person's grant and travel money, with every credit and every paper; None: not known."""
    holding = await rows(
        connection,
        "select h.*, e.grant_rupiah from rm_ledger.holding h"
        " join rm_ledger.entitlement e using (operation) where person = %s",
        person,
    )
    if not holding:
        return None
    credits_ = await rows(
        connection,
        "select reference, amount_rupiah, credited_on, kind, replaces, failed, returned_rupiah,"
        " standing_rupiah, answer, answered_by, learned_at from rm_ledger.credit where person = %s"
        " order by credited_on, reference",
        person,
    )
    found = await rows(connection, "select * from rm_ledger.advance where person = %s", person)
    papers = await rows(
        connection,
        "select kind, paper, amount_rupiah, file_kind, file_bytes"
        " from rm_ledger.movement where person = %s"
        " order by position, paper",
        person,
    )
    return {
        "holding": holding[0],
        "credits": credits_,
        "advance": found[0] if found else None,
        "papers": papers,
    }


async def receipt_file(
    connection: AsyncConnection[Any], person: str, receipt: str
) -> dict[str, Any] | None:
    """The newest file of one receipt, sealed; None where none was attached."""
    found = await rows(
        connection,
        "select m.person, m.file_kind, a.sealed from rm_ledger.movement m"
        " left join attachments a on a.sha256 = m.file_sha256"
        " where m.person = %s and m.kind = 'spent' and m.paper = %s and m.file_kind is not null",
        person,
        receipt,
    )
    return found[0] if found else None


async def papers(
    connection: AsyncConnection[Any], operation: str, limit: int, offset: int = 0
) -> list[dict[str, Any]]:
    """Some of an operation's STS, the newest first."""
    return await rows(
        connection,
        "select *, count(*) over ()::int as of from rm_ledger.sts where operation = %s"
        " order by deposited_on desc, sts limit %s offset %s",
        operation,
        limit,
        offset,
    )


async def waiting(connection: AsyncConnection[Any]) -> dict[str, list[dict[str, Any]]]:
    """What waits in the newest operations that have something, for today's page."""
    grants_ = await rows(
        connection,
        "select operation, state, count(*)::int as persons from rm_ledger.holding"
        " where state = any(%s) group by operation, state order by operation desc, state limit %s",
        list(GRANTS_WAITING),
        LINES_TODAY,
    )
    advances_ = await rows(
        connection,
        "select operation, state, count(*)::int as persons, min(since) as since,"
        " sum(outstanding_rupiah)::bigint as outstanding from rm_ledger.advance"
        " where state = any(%s) group by operation, state order by operation desc, state limit %s",
        list(ADVANCES_WAITING),
        LINES_TODAY,
    )
    return {"grants": grants_, "advances": advances_}


async def overview(
    connection: AsyncConnection[Any], limit: int, offset: int
) -> list[dict[str, Any]]:
    """Some operations, the latest departure first, each with the sums of both ledgers."""
    return await rows(
        connection,
        "select o.operation, o.name, o.grant_rupiah, h.persons, h.standing, h.waiting,"
        " a.released, a.spent, a.returned, a.outstanding, o.of from"
        " (select *, count(*) over ()::int as of from rm_board.operation"
        " order by planned_departure desc, operation limit %s offset %s) o"
        " left join lateral (select count(*)::int as persons,"
        " coalesce(sum(standing_rupiah), 0)::bigint as standing,"
        " count(*) filter (where state = any(%s))::int as waiting"
        " from rm_ledger.holding where operation = o.operation) h on true"
        " left join lateral (select coalesce(sum(released_rupiah), 0)::bigint as released,"
        " coalesce(sum(spent_rupiah), 0)::bigint as spent,"
        " coalesce(sum(returned_rupiah), 0)::bigint as returned,"
        " coalesce(sum(outstanding_rupiah), 0)::bigint as outstanding"
        " from rm_ledger.advance where operation = o.operation) a on true"
        " order by o.planned_departure desc, o.operation",
        limit,
        offset,
        list(GRANTS_WAITING),
    )
