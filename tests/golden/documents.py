"""The golden documents as they stand, what each shows of its type, and what none shows yet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.contracts.messages import MESSAGES, UPCASTERS
from shared.contracts.values import Value
from shared.custody import DECIDERS as CUSTODY
from shared.kernel.decider import Decider
from shared.kernel.event import EventTypes, upcast
from shared.kernel.inbox import read_message

FOLDER = Path(__file__).resolve().parent
DIGESTS = "digests.txt"
COMMAND = "python -m tests.golden"

DECIDERS: dict[str, tuple[Decider[Any], ...]] = {
    "city": CITY.deciders,
    "province": PROVINCE.deciders,
    "custody": CUSTODY,
}
KINDS = (*DECIDERS, "messages")
"""A file each. What is custody's is the same in every office."""

TYPES = {kind: EventTypes(deciders) for kind, deciders in DECIDERS.items()}
OLD: dict[str, Mapping[str, Any]] = {
    kind: {type_: step for one in deciders for type_, step in one.upcasters.items()}
    for kind, deciders in DECIDERS.items()
} | {"messages": UPCASTERS}
"""By kind, the types that only an upcaster reads."""


@dataclass(frozen=True)
class Golden:
    """One document, byte for byte."""

    kind: str
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def type(self) -> str:
        return str(self.document["type"])

    @property
    def digest(self) -> str:
        return f"{sha256(self.body).hexdigest()} {self.kind} {self.type}"

    def load(self) -> Value:
        """The typed event or message, as the product reads it. Raises UnknownType."""
        if self.kind == "messages":
            return read_message(self.body)[1]
        return TYPES[self.kind].parse(self.document)

    def data(self) -> dict[str, Any]:
        """What is stored; of an old version, what its upcasters make of it."""
        document = self.document
        return upcast(document["type"], document["data"], OLD[self.kind])[1]

    def __str__(self) -> str:
        return f"{self.kind}: {self.type}"


def standing(kind: str, folder: Path = FOLDER) -> list[Golden]:
    """The documents of one file, in order."""
    path = folder / f"{kind}.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [Golden(kind, line) for line in lines]


def changed(folder: Path = FOLDER) -> list[str]:
    """Documents that are no longer, or not yet, what the digests say."""
    written = set((folder / DIGESTS).read_text().splitlines())
    now = {golden.digest for kind in KINDS for golden in standing(kind, folder)}
    return sorted(line.partition(" ")[2] for line in written ^ now)


def models(kind: str) -> dict[str, type[Value]]:
    """Every type that the code writes, and its class."""
    return dict(MESSAGES if kind == "messages" else TYPES[kind].classes)


def traits(value: Value, at: str = "") -> Iterator[str]:
    """What a document shows: each field that has something in it, and each that is empty."""
    for name in type(value).model_fields:
        found, place = getattr(value, name), f"{at}{name}"
        if found is None:
            yield f"{place} empty"
        elif found != ():
            yield f"{place} filled"
            for one in found if isinstance(found, tuple) else (found,):
                if isinstance(one, Value):
                    yield from traits(one, f"{place}.")


def wanted(model: type[Value], at: str = "") -> Iterator[str]:
    """What the documents of a type are to show: every field filled, and each that may be, empty."""
    for name, field in model.model_fields.items():
        place = f"{at}{name}"
        yield f"{place} filled"
        if type(None) in get_args(field.annotation):
            yield f"{place} empty"
        for inner in _values_in(field.annotation):
            yield from wanted(inner, f"{place}.")


def _values_in(annotation: Any) -> Iterator[type[Value]]:
    if isinstance(annotation, type) and issubclass(annotation, Value):
        yield annotation
    for inner in get_args(annotation):
        yield from _values_in(inner)


def shown(type_: str, goldens: Iterable[Golden]) -> set[str]:
    return {trait for one in goldens if one.type == type_ for trait in traits(one.load())}


def missing(kind: str, folder: Path = FOLDER) -> list[str]:
    """What no golden document shows, each in words that say what to do."""
    goldens = standing(kind, folder)
    known = {golden.type for golden in goldens}
    found = []
    for type_, model in models(kind).items():
        if type_ not in known:
            found.append(f"{type_} has no golden document: run `{COMMAND}`, which writes it.")
        elif lacking := set(wanted(model)) - shown(type_, goldens):
            what = ", ".join(sorted(lacking))
            found.append(
                f"no golden document of {type_} has {what}: add such a one to"
                f" tests/golden/samples.py and run `{COMMAND}`."
            )
    return found
