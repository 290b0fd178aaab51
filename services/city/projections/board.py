"""The operation's board: how many were declared and by whom, where each is, what doesn't add up.

Every person who was enumerated is in exactly one state (rule 1). A discrepancy is computed here
from claims and people, and stands open until an explanation for this very difference is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from services.city.domain import answer, beneficiary, case, handover, operation
from shared.contracts.values import PROVINCES, in_rupiah
from shared.custody import erasure
from shared.kernel.projector import Projection, Recorded, Statement, rows

TABLES = """
create table operation (
  operation text primary key, name text not null, site text not null,
  planned_departure date not null, grant_rupiah bigint not null,
  fare_floor_rupiah bigint not null, fare_ceiling_rupiah bigint not null
);
create table claim (
  operation text not null, position bigint primary key, subject text not null, destination text,
  figure bigint not null, source text not null, stated_by text not null, stated_on date not null
);
create table explanation (
  operation text not null, discrepancy text not null, difference bigint not null,
  explanation text not null, explained_by text not null, recorded_at timestamptz not null,
  position bigint primary key
);
create table person (
  person text primary key, operation text not null, identity text, origin text,
  destination text, listed boolean not null, willing boolean not null default false,
  state text not null, office text, handover text, answered_in text, received_in text,
  case_status text,
  said_by text not null, since timestamptz not null
);
create index on person (operation, destination, state, listed, willing, handover, received_in);
create index on person (operation, person);
create index on person (operation, state, willing, handover)
  where listed and state in ('undetermined', 'assigned');
create index on person (operation) where handover <> received_in;
create index on claim (operation);
create index on explanation (operation);
"""

SENTENCES = {
    "declared_split": "Dinyatakan {declared} orang, tetapi rincian tujuannya berjumlah {split}.",
    "enumerated_persons": "Dinyatakan {declared} orang, terdaftar {enumerated}.",
    "enumerated_destination": "Dinyatakan {declared} orang ke {office}, terdaftar {enumerated}.",
    "undetermined": "{number} orang belum mempunyai tujuan.",
    "absent": "{office}: {number} orang tidak tiba.",
    "diverted": "{office}: {number} orang dialihkan ke kantor lain.",
    "unlisted": "{office}: {number} orang tiba tanpa tercantum dalam daftar.",
    "claims_differ_persons": "Sumber-sumber menyatakan {least} sampai {most} orang.",
    "claims_differ_grants_rupiah": "Sumber-sumber menyatakan {least_rupiah} sampai {most_rupiah}.",
    "claims_differ_fares_rupiah": "Sumber-sumber menyatakan {least_rupiah} sampai {most_rupiah}.",
    "received_while_on_another_manifest":
        "{number} orang sudah diterima, tetapi tercantum dalam serah terima lain.",
    "grants_duplicate": "{rupiah} melebihi hak penerimanya dan belum kembali.",
}  # fmt: skip
"""What a discrepancy of this name says, its destination left out; `{…rupiah}` is an amount."""

Figures = Mapping[str, int | str]
Finding = tuple[str, int, Figures]
"""A discrepancy's name, its difference, and the figures that its sentence shows."""
Say = Callable[[str, Figures], str]


def said(sentence: str, shown: Figures, rupiah: Callable[[int], str] = in_rupiah) -> str:
    """The sentence of a discrepancy with its figures."""
    return sentence.format(
        **{
            name: rupiah(value) if name.endswith("rupiah") and isinstance(value, int) else value
            for name, value in shown.items()
        }
    )


SET_STATE = (
    "update person set state = %(state)s, said_by = %(by)s, since = %(since)s"
    " where person = any(%(persons)s)"
)
# An answer counts for the handover she is in, or else for the one that was answered last: a late
# word about an earlier handover must not undo what a later one brought.
ANSWER = (
    "update person set state = case when %(state)s::text = 'arrived'"
    " and received_in = %(handover)s and state in ('returned_to_family', 'closed')"
    " then state else %(state)s end, office = %(office)s, answered_in = %(handover)s,"
    " said_by = %(by)s, since = %(since)s where person = %(person)s"
    " and coalesce(received_in, handover, answered_in, %(handover)s) = %(handover)s"
)
BACK_TO_ASSIGNED = (
    "update person set state = case when destination is null then 'undetermined'"
    " else 'assigned' end, office = null, said_by = %(by)s, since = %(since)s"
    " where person = any(%(persons)s) and state = any(%(only)s)"
)


def apply(recorded: Recorded) -> Iterator[Statement]:
    said = {"by": recorded.actor, "since": recorded.occurred_at}
    match recorded.event:
        case operation.OperationOpened() as opened:
            yield (
                "insert into operation values (%(operation)s, %(name)s, %(site)s,"
                " %(planned_departure)s, %(grant_rupiah)s, %(fare_floor_rupiah)s,"
                " %(fare_ceiling_rupiah)s)",
                opened.model_dump(),
            )
        case operation.TotalDeclared(operation=id_, claim=claim):
            yield (
                "insert into claim values (%(operation)s, %(position)s, %(subject)s,"
                " %(destination)s, %(figure)s, %(source)s, %(stated_by)s, %(stated_on)s)",
                claim.model_dump() | {"operation": id_, "position": recorded.position},
            )
        case operation.DiscrepancyExplained() as explained:
            yield (
                "insert into explanation values (%(operation)s, %(discrepancy)s, %(difference)s,"
                " %(explanation)s, %(by)s, %(recorded_at)s, %(position)s)",
                explained.model_dump()
                | {
                    "by": recorded.actor,
                    "recorded_at": recorded.recorded_at,
                    "position": recorded.position,
                },
            )
        case beneficiary.BeneficiaryRegistered() as registered:
            yield (
                "insert into person (person, operation, identity, origin, destination, listed,"
                " state, said_by, since) values (%(person)s, %(operation)s, %(identity)s,"
                " %(origin)s, %(destination)s, true, %(state)s, %(by)s, %(since)s)",
                registered.model_dump()
                | {"state": "assigned" if registered.destination else "undetermined"}
                | said,
            )
        case beneficiary.DestinationDetermined(person=person, destination=destination):
            yield (
                "update person set destination = %(destination)s where person = %(person)s",
                {"person": person, "destination": destination},
            )
            only = ["undetermined", "assigned", "absent", "diverted"]
            yield BACK_TO_ASSIGNED, {"persons": [person], "only": only} | said
        case beneficiary.WillingnessGiven(person=person):
            yield "update person set willing = true where person = %(p)s", {"p": person}
            yield BACK_TO_ASSIGNED, {"persons": [person], "only": ["withdrawn"]} | said
        case beneficiary.WillingnessWithdrawn(person=person):
            yield "update person set willing = false where person = %(p)s", {"p": person}
            yield (
                SET_STATE + " and state in ('undetermined', 'assigned', 'absent')",
                {"persons": [person], "state": "withdrawn"} | said,
            )
        case erasure.ErasureExecuted(person=person):
            yield "update person set identity = null where person = %(p)s", {"p": person}
        case beneficiary.HandoverEntered(person=person, handover=id_):
            yield (
                "update person set handover = %(handover)s where person = %(person)s",
                {"person": person, "handover": id_},
            )
            yield BACK_TO_ASSIGNED, {"persons": [person], "only": ["absent", "diverted"]} | said
        case beneficiary.HandoverLeft(person=person, handover=id_, cause=cause):
            yield (
                "update person set handover = nullif(handover, %(handover)s), received_in ="
                " case when %(arrived)s then %(handover)s else nullif(received_in, %(handover)s)"
                " end where person = %(person)s",
                {"person": person, "handover": id_, "arrived": cause == "arrived"},
            )
            if cause == "arrived":
                # Of two receivers who both say that she arrived, the one heard last has her.
                yield (
                    "update person set state = 'arrived', office = %(office)s, answered_in ="
                    " %(handover)s, said_by = %(by)s, since = %(since)s where person = %(person)s"
                    " and answered_in is distinct from %(handover)s",
                    {
                        "person": person,
                        "handover": id_,
                        "office": recorded.actor.removeprefix("office:"),
                    }
                    | said,
                )
        case beneficiary.ReceivedElsewhere(person=person, handover=id_):
            yield (
                "update person set state = 'arrived', office = %(office)s, received_in ="
                " %(handover)s, answered_in = %(handover)s, said_by = %(by)s, since = %(since)s"
                " where person = %(person)s",
                {
                    "person": person,
                    "handover": id_,
                    "office": recorded.actor.removeprefix("office:"),
                }
                | said,
            )
        case handover.HandoverDeparted(handover=id_, persons=persons):
            yield (
                SET_STATE + " and state = 'assigned' and handover = %(handover)s",
                {"persons": list(persons), "state": "departed", "handover": id_} | said,
            )
        case handover.DepartureCorrected(handover=id_, persons=persons):
            yield (
                BACK_TO_ASSIGNED + " and handover = %(handover)s",
                {"persons": list(persons), "only": ["departed"], "handover": id_} | said,
            )
        case answer.DeclineRecorded(handover=id_, persons=persons):
            yield (
                BACK_TO_ASSIGNED + " and handover = %(handover)s",
                {"persons": list(persons), "only": ["departed"], "handover": id_} | said,
            )
        case answer.ArrivalRecorded() as arrival:
            yield (
                ANSWER,
                {
                    "person": arrival.person,
                    "handover": arrival.handover,
                    "state": arrival.outcome,
                    "office": {
                        "arrived": recorded.actor.removeprefix("office:"),
                        "absent": None,
                        "diverted": arrival.diverted_to,
                    }[arrival.outcome],
                }
                | said,
            )
        case answer.UnlistedArrivalRecorded() as unlisted:
            yield (
                "insert into person (person, operation, identity, destination, listed, state,"
                " office, said_by, since) values (%(person)s, %(operation)s, %(identity)s,"
                " %(receiving_office)s, false, 'unlisted', %(receiving_office)s, %(by)s,"
                " %(since)s) on conflict (person) do update set state = 'unlisted',"
                " office = excluded.office, said_by = excluded.said_by, since = excluded.since",
                unlisted.model_dump() | said,
            )
        case answer.UnlistedArrivalCorrected(person=person):
            yield "delete from person where person = %(p)s and not listed", {"p": person}
        case case.CareEnded(person=person):
            yield "update person set case_status = null where person = %(p)s", {"p": person}
        case case.CaseStatusRecorded(person=person, status=status):
            yield (
                "update person set case_status = %(status)s where person = %(person)s",
                {"person": person, "status": status},
            )
            yield from _case_state(person, status, said)


def _case_state(person: str, status: str, said: dict[str, str]) -> Iterator[Statement]:
    """A case's status moves her state only between arrived, home and closed."""
    moves = {
        "returned_to_family": ("returned_to_family", "('arrived', 'unlisted')"),
        "declined_by_family": ("arrived", "('returned_to_family')"),
        "closed": ("closed", "('arrived', 'unlisted', 'returned_to_family')"),
    }
    if status in moves:
        state, only = moves[status]
        yield (
            SET_STATE + f" and state in {only}",
            {"persons": [person], "state": state} | said,
        )


projection = Projection("board", 3, TABLES, apply)


async def operations(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Every operation with its number of enumerated people."""
    return await rows(
        connection,
        "select o.*, (select count(*) from rm_board.person p where p.operation = o.operation"
        " and p.listed) as enumerated from rm_board.operation o order by o.operation",
    )


async def newest(
    connection: AsyncConnection[Any], limit: int, offset: int = 0
) -> list[dict[str, Any]]:
    """Some operations, the latest departure first, each with its number of enumerated people."""
    return await rows(
        connection,
        "select o.*, (select count(*)::int from rm_board.person p where p.operation = o.operation"
        " and p.listed) as enumerated from (select *, count(*) over ()::int as of"
        " from rm_board.operation order by planned_departure desc, operation"
        " limit %s offset %s) o order by o.planned_departure desc, o.operation",
        limit,
        offset,
    )


async def newest_codes(connection: AsyncConnection[Any], limit: int) -> list[str]:
    """The codes of some operations, the latest departure first."""
    found = await rows(
        connection,
        "select operation from rm_board.operation order by planned_departure desc, operation"
        " limit %s",
        limit,
    )
    return [row["operation"] for row in found]


async def board(
    connection: AsyncConnection[Any],
    operation: str,
    more: Sequence[Finding] = (),
    say: Say = said,
) -> dict[str, Any] | None:
    """The board of one operation, or None where there is no such operation.

    `more` are what other read models found not to add up; `say` puts a discrepancy in words.
    """
    return (await boards(connection, [operation], {operation: more}, say)).get(operation)


async def boards(
    connection: AsyncConnection[Any],
    operations: Sequence[str],
    more: Mapping[str, Sequence[Finding]],
    say: Say = said,
) -> dict[str, dict[str, Any]]:
    """The boards of these operations, by code, in as many queries as one of them takes."""
    wanted = list(operations)

    async def of_each(query: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for row in await rows(connection, query, wanted):
            found.setdefault(row.pop("of_operation"), []).append(row)
        return found

    claims = await of_each(
        "select operation as of_operation, subject, destination, figure, source, stated_by,"
        " stated_on from rm_board.claim where operation = any(%s) order by position"
    )
    people = await of_each(
        "select operation as of_operation, coalesce(destination, 'undetermined') as destination,"
        " state, listed, count(*)::int as persons from rm_board.person where operation = any(%s)"
        " group by 1, 2, 3, 4 order by 1, 2, 3, 4"
    )
    crossed = await of_each(
        "select operation as of_operation, count(*)::int as persons from rm_board.person"
        " where operation = any(%s) and handover <> received_in group by 1"
    )
    explanations = await of_each(
        "select operation as of_operation, discrepancy, difference, explanation, explained_by,"
        " recorded_at from rm_board.explanation where operation = any(%s) order by recorded_at"
    )
    return {
        one["operation"]: _board(
            one,
            claims.get(one["operation"], []),
            people.get(one["operation"], []),
            explanations.get(one["operation"], []),
            crossed.get(one["operation"], [{"persons": 0}])[0]["persons"],
            more.get(one["operation"], ()),
            say,
        )
        for one in await rows(
            connection, "select * from rm_board.operation where operation = any(%s)", wanted
        )
    }


def _board(
    operation: dict[str, Any],
    claims: list[dict[str, Any]],
    people: list[dict[str, Any]],
    explanations: list[dict[str, Any]],
    crossed: int,
    more: Sequence[Finding],
    say: Say,
) -> dict[str, Any]:
    findings = [*more, ("received_while_on_another_manifest", crossed, {"number": crossed})]
    states: dict[str, int] = {}
    for group in people:
        states[group["state"]] = states.get(group["state"], 0) + group["persons"]
    return {
        "operation": operation,
        "declared": _declared_persons(claims),
        "enumerated": sum(group["persons"] for group in people if group["listed"]),
        "claims": claims,
        "states": states,
        "by_destination": people,
        "discrepancies": discrepancies(claims, people, explanations, findings, say),
    }


async def persons(
    connection: AsyncConnection[Any],
    operation: str,
    state: str | None = None,
    destination: str | None = None,
) -> list[dict[str, Any]]:
    """The people behind the numbers, pseudonymous; of one state, or to one destination."""
    return await rows(
        connection,
        "select person, origin, destination, listed, willing, state, office, handover,"
        " case_status, said_by, since from rm_board.person where operation = %(operation)s"
        " and (%(state)s::text is null or state = %(state)s)"
        " and (%(destination)s::text is null"
        " or coalesce(destination, 'undetermined') = %(destination)s) order by person",
        operation=operation,
        state=state,
        destination=destination,
    )


def discrepancies(
    claims: list[dict[str, Any]],
    people: list[dict[str, Any]],
    explanations: list[dict[str, Any]],
    more: Sequence[Finding] = (),
    say: Say = said,
) -> list[dict[str, Any]]:
    """What does not add up, by name: `difference` is found minus declared. Nothing is repaired."""
    found: list[dict[str, Any]] = []
    shown: Figures

    def note(name: str, difference: int, figures: Figures) -> None:
        if not difference:
            return
        sentence = SENTENCES.get(name) or SENTENCES[name.rpartition("_")[0]]
        why = [e for e in explanations if (e["discrepancy"], e["difference"]) == (name, difference)]
        found.append(
            {
                "discrepancy": name,
                "difference": difference,
                "words": say(sentence, figures),
                "open": not why,
                "explanations": why,
            }
        )

    def count(**wanted: Any) -> int:
        return sum(
            group["persons"]
            for group in people
            if all(group[key] == value for key, value in wanted.items())
        )

    split = {c["destination"]: c["figure"] for c in claims if c["subject"] == "destination"}
    declared = _declared_persons(claims)
    if declared is not None:
        if split:
            by_destination = sum(split.values())
            shown = {"declared": declared, "split": by_destination}
            note("declared_split", by_destination - declared, shown)
        enumerated = count(listed=True)
        shown = {"declared": declared, "enumerated": enumerated}
        note("enumerated_persons", enumerated - declared, shown)
    for destination, figure in sorted(split.items()):
        assigned = count(listed=True, destination=destination)
        note(
            f"enumerated_destination_{destination}",
            assigned - figure,
            {"declared": figure, "office": _office(destination), "enumerated": assigned},
        )
    undetermined = count(listed=True, destination="undetermined")
    note("undetermined", undetermined, {"number": undetermined})
    for state, sign in (("absent", -1), ("diverted", -1), ("unlisted", 1)):
        for destination in sorted({group["destination"] for group in people}):
            # Who came unlisted stays so, wherever she is now, until that is explained.
            wanted = {"listed": False} if state == "unlisted" else {"state": state}
            number = count(destination=destination, **wanted)
            shown = {"office": _office(destination), "number": number}
            note(f"{state}_{destination}", sign * number, shown)
    for subject in ("persons", "grants_rupiah", "fares_rupiah"):
        figures = sorted({c["figure"] for c in claims if c["subject"] == subject})
        if len(figures) > 1:
            unit = "_rupiah" if subject.endswith("_rupiah") else ""
            ends = {f"least{unit}": figures[0], f"most{unit}": figures[-1]}
            note(f"claims_differ_{subject}", figures[-1] - figures[0], ends)
    for finding in more:
        note(*finding)
    return found


def _office(code: str) -> str:
    return f"{PROVINCES[code]} ({code})" if code in PROVINCES else code


def _declared_persons(claims: list[dict[str, Any]]) -> int | None:
    """The declared total that was stated first; a later, different one is a discrepancy."""
    return next((c["figure"] for c in claims if c["subject"] == "persons"), None)


async def person(connection: AsyncConnection[Any], code: str) -> dict[str, Any] | None:
    """One person, her identity still sealed, or None."""
    found = await rows(
        connection,
        "select person, identity from rm_board.person where person = %s",
        code,
    )
    return found[0] if found else None


SOME = (
    " from rm_board.person where operation = %(operation)s"
    " and (%(destination)s::text is null or coalesce(destination, 'undetermined')"
    " = %(destination)s) and (%(state)s::text is null or state = %(state)s)"
    " and (%(willing)s::boolean is null or willing = %(willing)s)"
    " and (%(listed)s::boolean is null or listed = %(listed)s)"
)


async def some(
    connection: AsyncConnection[Any],
    operation: str,
    *,
    destination: str | None = None,
    state: str | None = None,
    willing: bool | None = None,
    listed: bool | None = None,
    limit: int,
    offset: int,
) -> list[dict[str, Any]]:
    """One page of the people behind a number; `of` is how many there are."""
    return await rows(
        connection,
        "select person, origin, destination, listed, willing, state, office, handover, since,"
        " count(*) over ()::int as of" + SOME + " order by person"
        " limit %(limit)s offset %(offset)s",
        operation=operation,
        destination=destination,
        state=state,
        willing=willing,
        listed=listed,
        limit=limit,
        offset=offset,
    )


async def one(connection: AsyncConnection[Any], code: str) -> dict[str, Any] | None:
    """One person, pseudonymous, or None."""
    found = await rows(
        connection,
        "select person, operation, origin, destination, listed, willing, state, office, handover,"
        " case_status, said_by, since from rm_board.person where person = %s",
        code,
    )
    return found[0] if found else None


async def ended(connection: AsyncConnection[Any], before: datetime) -> list[dict[str, Any]]:
    """Whose affairs with this city ended before a time. Who came unlisted has a case elsewhere."""
    return await rows(
        connection,
        "select person, state, since from rm_board.person where since < %s"
        " and state in ('withdrawn', 'returned_to_family', 'closed')"
        " order by since, person limit 1000",
        before,
    )
