"""The operation (kegiatan pemulangan): one site's closure, with what was declared about it.

Declared totals are claims, each with its source; enumerated people are entries elsewhere, and
neither overwrites the other (rule 3). A discrepancy between them is computed by the board, and
closed only by an explanation that is recorded here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar, Literal

from shared.contracts.values import (
    Count,
    Identifier,
    Line,
    OfficeCode,
    PositiveRupiah,
    Reason,
    RegionCode,
    Sealed,
    Value,
)
from shared.kernel.decider import Command, Decider, Decision, Event, Refused

Subject = Literal["persons", "destination", "grants_rupiah", "fares_rupiah"]


class Claim(Value):
    """What somebody said: a figure about a subject, with its source (rules 3, 4, 17).

    `figure` counts persons, or rupiah where the subject's name ends so.
    """

    subject: Subject
    destination: OfficeCode | None = None
    figure: int
    source: Line
    stated_by: Line
    stated_on: date


class OperationOpened(Event):
    type: ClassVar[str] = "pulang.city.operation.opened.v1"
    words: ClassVar[str] = "Kegiatan {operation} dibuka: {name}."
    operation: Identifier
    name: Line
    site: RegionCode
    planned_departure: date
    grant_rupiah: int
    fare_floor_rupiah: int
    fare_ceiling_rupiah: int


class TotalDeclared(Event):
    type: ClassVar[str] = "pulang.city.operation.total-declared.v1"
    words: ClassVar[str] = (
        "Dinyatakan untuk {operation}: {claim[figure]} ({claim[subject]}), menurut {claim[source]}."
    )
    operation: Identifier
    claim: Claim


class DiscrepancyExplained(Event):
    type: ClassVar[str] = "pulang.city.operation.discrepancy-explained.v1"
    words: ClassVar[str] = "Selisih {discrepancy} ({difference}) dijelaskan (tersegel)."
    operation: Identifier
    discrepancy: Line
    difference: int
    explanation: Sealed


@dataclass(frozen=True)
class State:
    opened: OperationOpened | None = None
    claims: frozenset[Claim] = frozenset()
    explained: frozenset[tuple[str, int, str]] = frozenset()


def evolve(state: State, event: Event) -> State:
    match event:
        case OperationOpened():
            return replace(state, opened=event)
        case TotalDeclared(claim=claim):
            return replace(state, claims=state.claims | {claim})
        case DiscrepancyExplained(discrepancy=name, difference=difference, explanation=words):
            return replace(state, explained=state.explained | {(name, difference, words)})
    return state


class OpenOperation(Command):
    operation: Identifier
    name: Line
    site: RegionCode
    planned_departure: date
    grant_rupiah: PositiveRupiah
    fare_floor_rupiah: PositiveRupiah
    fare_ceiling_rupiah: PositiveRupiah


class DeclareTotal(Command):
    operation: Identifier
    subject: Subject
    destination: OfficeCode | None = None
    figure: Count | PositiveRupiah
    source: Line
    stated_by: Line
    stated_on: date


class ExplainDiscrepancy(Command):
    """Closes a discrepancy as long as it has this very difference."""

    operation: Identifier
    discrepancy: Line
    difference: int
    explanation: Reason


class RequireOperation(Command):
    """Asks whether the operation is open; it changes nothing."""

    operation: Identifier


def decide(command: Command, state: State) -> Decision:
    match command:
        case OpenOperation():
            return _open(command, state)
        case _ if state.opened is None:
            return Refused(
                "OPERATION_UNKNOWN",
                "Kegiatan pemulangan ini belum dibuka.",
                "Periksa kode kegiatan, atau buka kegiatannya lebih dahulu.",
            )
        case RequireOperation():
            return []
        case DeclareTotal():
            return _declare(command, state)
        case ExplainDiscrepancy(operation=operation, discrepancy=name, difference=difference):
            if (name, difference, command.explanation) in state.explained:
                return []
            return [
                DiscrepancyExplained(
                    operation=operation,
                    discrepancy=name,
                    difference=difference,
                    explanation=command.explanation,
                )
            ]
    raise TypeError(command)


def _open(command: OpenOperation, state: State) -> Decision:
    opened = OperationOpened(
        operation=command.operation,
        name=command.name,
        site=command.site,
        planned_departure=command.planned_departure,
        grant_rupiah=command.grant_rupiah,
        fare_floor_rupiah=command.fare_floor_rupiah,
        fare_ceiling_rupiah=command.fare_ceiling_rupiah,
    )
    if state.opened == opened:
        return []
    if state.opened is not None:
        return Refused(
            "OPERATION_EXISTS",
            "Kegiatan dengan kode ini sudah dibuka dengan keterangan lain.",
            "Pakai kode lain, atau lihat kegiatan yang sudah ada.",
        )
    if command.fare_floor_rupiah > command.fare_ceiling_rupiah:
        return Refused(
            "FARE_RANGE_INVERTED",
            "Batas bawah tiket lebih tinggi daripada batas atasnya.",
            "Periksa kedua batas harga tiket.",
        )
    return [opened]


def _declare(command: DeclareTotal, state: State) -> Decision:
    if (command.subject == "destination") != (command.destination is not None):
        return Refused(
            "CLAIM_INCOMPLETE",
            "Pernyataan per tujuan harus menyebut tujuannya, dan hanya pernyataan itu.",
            "Pilih tujuan untuk jumlah orang ke satu tujuan; kosongkan untuk yang lain.",
        )
    claim = Claim(
        subject=command.subject,
        destination=command.destination,
        figure=command.figure,
        source=command.source,
        stated_by=command.stated_by,
        stated_on=command.stated_on,
    )
    if claim in state.claims:
        return []
    return [TotalDeclared(operation=command.operation, claim=claim)]


decider: Decider[State] = Decider(
    category="operation",
    key="operation",
    commands=(OpenOperation, DeclareTotal, ExplainDiscrepancy, RequireOperation),
    events=(OperationOpened, TotalDeclared, DiscrepancyExplained),
    initial=State(),
    evolve=evolve,
    decide=decide,
)
