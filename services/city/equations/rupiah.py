"""What must add up in rupiah at the city: travel money per person, operation and fund, the papers
of what went back, and the ministry's grants. The two never net (rules 13 to 15).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from services.city.domain import advance, bank, beneficiary, grant, operation, treasury
from shared.kernel.decider import Event
from shared.runtime.equations import NAMED, Equation, Findings, compare

Explained = Mapping[str, set[tuple[str, int]]]
"""Operation → the discrepancies that people have explained, each with its difference."""


@dataclass(slots=True)
class _Advance:
    """One person's advance in one operation. `outstanding` is what each event left of it."""

    funds: set[str] = field(default_factory=set)
    released: dict[str, int] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)
    outstanding: int = 0


@dataclass(slots=True)
class _Credit:
    """`returned` sums the single returns; `in_all` is what the last of them said."""

    operation: str
    amount: int
    failed: bool = False
    returned: int = 0
    in_all: int = 0
    answer: str | None = None

    @property
    def standing(self) -> int:
        return 0 if self.failed else max(0, self.amount - self.returned)


class Rupiah:
    """The fold of the city's money."""

    def __init__(self) -> None:
        self._advances: dict[tuple[str, str], _Advance] = {}
        self._papers: dict[str, treasury.TreasuryReturnRecorded] = {}
        self._credits: dict[tuple[str, str], _Credit] = {}
        self._references: dict[str, str] = {}
        self._entitled: dict[str, int] = {}
        self._registered: dict[str, str] = {}

    def take(self, event: Event) -> None:
        match event:
            case operation.OperationOpened(operation=id_, grant_rupiah=rupiah):
                self._entitled[id_] = rupiah
            case beneficiary.BeneficiaryRegistered(person=person, operation=id_):
                self._registered[person] = id_
            case advance.AdvanceReleased(amount_rupiah=rupiah) as released:
                one = self._advance(released)
                one.funds.add(released.budget_code)
                one.released[released.release] = rupiah
                one.outstanding += rupiah
            case advance.FareRecorded(receipt=receipt, amount_rupiah=rupiah):
                one = self._advance(event)
                one.spent[receipt] = rupiah
                one.outstanding -= rupiah
            case advance.FareCorrected(receipt=receipt, amount_rupiah=rupiah):
                one = self._advance(event)
                one.spent[receipt] = rupiah
                one.outstanding += event.wrong_rupiah - rupiah
            case advance.SurplusReturned(sts=sts, amount_rupiah=rupiah):
                one = self._advance(event)
                one.returned[sts] = rupiah
                one.outstanding -= rupiah
            case treasury.TreasuryReturnRecorded(sts=sts):
                self._papers[sts] = event
            case bank.ReferenceUsed(reference=reference, person=person):
                self._references[reference] = person
            case grant.GrantDisbursed() | grant.GrantRedisbursed():
                credit = _Credit(event.operation, event.amount_rupiah)
                self._credits[event.person, event.reference] = credit
            case (
                grant.GrantFailed()
                | grant.GrantReturned()
                | grant.ConfirmationRecorded()
                | grant.DisputeRecorded()
            ) if known := self._credits.get((event.person, event.reference)):
                _credited(known, event)

    def _advance(self, event: Any) -> _Advance:
        return self._advances.setdefault((event.person, event.operation), _Advance())

    def equations(self, explained: Explained) -> Iterator[tuple[Equation, bool]]:
        yield from self._fares()
        yield from self._returns()
        yield from self._grants()
        for one in self.duplicates(explained):
            yield one, True

    def _fares(self) -> Iterator[tuple[Equation, bool]]:
        """`released = spent + returned + outstanding`, and nothing beyond what was released."""
        whole: dict[str, list[int]] = {}
        for (person, id_), one in sorted(self._advances.items()):
            parts = [sum(of.values()) for of in (one.released, one.spent, one.returned)]
            released, spent, returned = parts
            about = f"{person}, {id_}, {'+'.join(sorted(one.funds)) or 'no fund'}"
            yield _fare(about, [*parts, one.outstanding], (person,)), False
            beyond = {"spent and returned beyond it": max(0, spent + returned - released)}
            yield (
                Equation("surplus", about, "rupiah", "allowed", 0, beyond, persons=(person,)),
                False,
            )
            more = {"more than one": max(0, len(one.funds) - 1)}
            yield (
                Equation("fund", about, "persons", "mixed funds", 0, more, persons=(person,)),
                False,
            )
            sums = whole.setdefault(id_, [0, 0, 0, 0])
            whole[id_] = [a + b for a, b in zip(sums, [*parts, one.outstanding], strict=True)]
        for id_, sums in sorted(whole.items()):
            yield _fare(id_, sums), True

    def _returns(self) -> Iterator[tuple[Equation, bool]]:
        """Each STS is the sum of its shares, and of what advances say went back by it."""
        told: dict[tuple[str, str], dict[str, int]] = {}
        for (person, id_), one in self._advances.items():
            for sts, rupiah in one.returned.items():
                told.setdefault((sts, id_), {})[person] = rupiah
        papers = {(sts, paper.operation): paper for sts, paper in self._papers.items()}
        for key in sorted(told.keys() | papers.keys()):
            paper, by = papers.get(key), told.get(key, {})
            shares = {s.person: s.amount_rupiah for s in paper.shares} if paper else {}
            others = sorted(p for p in shares.keys() | by.keys() if shares.get(p) != by.get(p))
            about = f"STS {key[0]}, {key[1]}"
            total, named = paper.total_rupiah if paper else 0, tuple(others[:NAMED])
            for name, terms in (
                ("sts", {"returned by advances": sum(by.values())}),
                ("shares", {"shares": sum(shares.values())}),
            ):
                yield Equation(name, about, "rupiah", "paid in", total, terms, persons=named), False
            differing = {"persons with another share than her advance says": len(others)}
            yield (
                Equation("sts_persons", about, "persons", "allowed", 0, differing, persons=named),
                False,
            )

    def _grants(self) -> Iterator[tuple[Equation, bool]]:
        whole: dict[str, list[int]] = {}
        strangers = []
        for (person, reference), one in sorted(self._credits.items()):
            failed = one.amount if one.failed else 0
            parts = [one.amount, one.standing, one.returned, failed]
            about = f"{person}, {one.operation}, {reference}"
            yield _credit(about, parts, (person,)), False
            terms = {"single returns": one.returned}
            yield (
                Equation(
                    "credit_returns", about, "rupiah", "returned in all", one.in_all, terms,
                    persons=(person,),
                ),
                False,
            )  # fmt: skip
            if self._references.get(reference) != person:
                strangers.append(person)
            sums = whole.setdefault(one.operation, [0, 0, 0, 0])
            whole[one.operation] = [a + b for a, b in zip(sums, parts, strict=True)]
        for id_, sums in sorted(whole.items()):
            yield _credit(id_, sums), True
        known = {(person, reference) for reference, person in self._references.items()}
        unused = sorted(person for person, _ in known - self._credits.keys())
        odd = {
            "credits without their bank reference": len(strangers),
            "bank references without a credit": len(unused),
        }
        named = tuple([*strangers, *unused][:NAMED])
        yield Equation("references", "the bank", "credits", "allowed", 0, odd, persons=named), False

    def duplicates(self, explained: Explained) -> Iterator[Equation]:
        """What persons hold beyond their operation's grant, where they do (rule 15)."""
        held: dict[tuple[str, str], int] = {}
        for (person, _), one in self._credits.items():
            key = one.operation, person
            held[key] = held.get(key, 0) + one.standing
        beyond: dict[str, dict[str, int]] = {}
        for (id_, person), rupiah in sorted(held.items()):
            if (more := rupiah - self._entitled.get(id_, 0)) > 0:
                beyond.setdefault(id_, {})[person] = more
        for id_, by in beyond.items():
            name, total = "grants_duplicate", sum(by.values())
            yield Equation(
                "entitlement", id_, "rupiah", "allowed beyond the grant", 0, {"held": total},
                name, (name, total) in explained.get(id_, ()), tuple([*by][:NAMED]),
            )  # fmt: skip

    async def against(self, connection: AsyncConnection[Any], found: Findings) -> None:
        await compare(
            connection,
            found,
            "ledger",
            "movement",
            "select person, operation, kind, paper, amount_rupiah from rm_ledger.movement",
            {
                (person, id_, kind, paper): (rupiah,)
                for (person, id_), one in self._advances.items()
                for kind in ("released", "spent", "returned")
                for paper, rupiah in getattr(one, kind).items()
            },
        )
        await compare(
            connection,
            found,
            "ledger",
            "credit",
            "select person, reference, operation, amount_rupiah, failed, returned_rupiah,"
            " standing_rupiah, answer from rm_ledger.credit",
            {
                key: (
                    one.operation, one.amount, one.failed, one.returned, one.standing, one.answer,
                )
                for key, one in self._credits.items()
            },
        )  # fmt: skip
        await compare(
            connection,
            found,
            "ledger",
            "sts",
            "select sts, operation, total_rupiah, persons from rm_ledger.sts",
            {
                (sts,): (one.operation, one.total_rupiah, len(one.shares))
                for sts, one in self._papers.items()
            },
        )
        await compare(
            connection,
            found,
            "ledger",
            "entitlement",
            "select operation, grant_rupiah from rm_ledger.entitlement",
            {(id_,): (rupiah,) for id_, rupiah in self._entitled.items()},
        )
        await compare(
            connection,
            found,
            "ledger",
            "advance",
            "select person, operation, receipts, released_rupiah, spent_rupiah, returned_rupiah,"
            " outstanding_rupiah from rm_ledger.advance",
            {
                (person,): (
                    id_, len(one.spent), sum(one.released.values()), sum(one.spent.values()),
                    sum(one.returned.values()), one.outstanding,
                )
                for (person, id_), one in self._advances.items()
            },
        )  # fmt: skip
        await compare(
            connection,
            found,
            "ledger",
            "holding",
            "select person, operation, credits, standing_rupiah, state from rm_ledger.holding",
            self._holdings(),
        )

    def _holdings(self) -> dict[tuple[str], tuple[str, int, int, str]]:
        """What each person holds, and in which state her grant is."""
        hers: dict[str, list[_Credit]] = {}
        for (person, _), one in self._credits.items():
            hers.setdefault(person, []).append(one)
        return {
            (person,): (id_, len(of), sum(one.standing for one in of), _state(of, grant_rupiah))
            for person, id_ in self._registered.items()
            for of, grant_rupiah in ((hers.get(person, []), self._entitled[id_]),)
        }


def _state(credits_: list[_Credit], grant_rupiah: int) -> str:
    standing = [one for one in credits_ if one.standing]
    answers = {one.answer for one in standing}
    held = sum(one.standing for one in standing)
    said = (
        (not credits_, "none"),
        (not held, "undone"),
        ("disputed" in answers, "disputed"),
        (held > grant_rupiah, "beyond"),
        (held < grant_rupiah, "partial"),
        (answers == {"confirmed"}, "confirmed"),
    )
    return next((state for so, state in said if so), "unconfirmed")


def _credited(known: _Credit, event: Event) -> None:
    match event:
        case grant.GrantFailed():
            known.failed = True
        case grant.GrantReturned():
            known.returned += event.amount_rupiah
            known.in_all = event.returned_rupiah
        case grant.ConfirmationRecorded():
            known.answer = "confirmed"
        case grant.DisputeRecorded():
            known.answer = "disputed"


def _fare(about: str, sums: list[int], persons: tuple[str, ...] = ()) -> Equation:
    released, *rest = sums
    terms = dict(zip(("spent", "returned", "outstanding"), rest, strict=True))
    return Equation("fares", about, "rupiah", "released", released, terms, persons=persons)


def _credit(about: str, sums: list[int], persons: tuple[str, ...] = ()) -> Equation:
    credited, *rest = sums
    terms = dict(zip(("standing", "returned", "failed"), rest, strict=True))
    return Equation("grants", about, "rupiah", "credited", credited, terms, persons=persons)
