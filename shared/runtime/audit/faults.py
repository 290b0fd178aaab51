"""What an audit finds: a bounded list of faults, each with its place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

FAULTS_KEPT = 1_000
SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """`table` and `place` say where, `words` what it means; `expected` and `found` are short."""

    table: str
    place: str
    words: str
    expected: str
    found: str


@dataclass
class Faults:
    """The first FAULTS_KEPT of them, and how many there are."""

    number: int = 0
    kept: list[Fault] = field(default_factory=list)

    def add(self, table: str, place: object, words: str, expected: object, found: object) -> None:
        self.number += 1
        if len(self.kept) < FAULTS_KEPT:
            self.kept.append(Fault(table, str(place), words, _short(expected), _short(found)))

    def document(self) -> list[dict[str, Any]]:
        return [asdict(one) for one in self.kept]


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()[:SHOWN_CHARACTERS] if len(value) <= 64 else f"{len(value)} bytes"
    return str(value)[:SHOWN_CHARACTERS]
