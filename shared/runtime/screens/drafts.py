"""Which fields of a form may lie on a device as a draft, until it is sent.

A phone may be shared, lost or looked at, and what lies there is not sealed. So only what events
hold in clear may: codes, numbers, days, choices, labels. What is sealed, that is who somebody is
and free text, stays in the page alone; of a form that asks who somebody is, all of it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AwareDatetime, BaseModel

from shared.contracts.values import (
    Account,
    Identifier,
    Identity,
    Initials,
    Line,
    Name,
    Nik,
    OfficeCode,
    Personal,
    PersonCode,
    Reference,
    RegionCode,
)
from shared.runtime.manifest import CommandRoute

WHO = tuple(get_args(kind)[1:] for kind in (Initials, Name, Nik, Account))
CLEAR_TEXTS = tuple(
    get_args(kind)[1:] for kind in (Identifier, Line, OfficeCode, PersonCode, Reference, RegionCode)
)
CLEAR_KINDS = (bool, int, date, datetime, AwareDatetime)
LINE = get_args(Line)[1:]
"""All that is said of a name, and that no number of anybody stands in it."""


def kept(route: CommandRoute) -> frozenset[str]:
    """The names of the form's fields that may be kept on a device."""
    if route.is_import:
        return frozenset()
    fields = dict(_fields(route.form))
    if any(_asks_who(kinds) for kinds in fields.values()):
        return frozenset()
    return frozenset(name for name, kinds in fields.items() if all(map(_is_clear, kinds)))


Kind = tuple[Any, tuple[Any, ...]]
"""A bare type, and all that is said of it."""


def _fields(form: type[BaseModel], before: str = "") -> Iterator[tuple[str, list[Kind]]]:
    for name, info in form.model_fields.items():
        kinds = list(_kinds(info.annotation, tuple(info.metadata)))
        inner = [
            kind for kind, _ in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if inner and inner != [Identity]:
            for one in inner:
                yield from _fields(one, f"{before}{name}.")
        else:
            yield before + name, kinds


def _kinds(annotation: Any, marks: tuple[Any, ...]) -> Iterator[Kind]:
    """Each kind of value that a field takes; of a list, those of its items."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0], marks + get_args(annotation)[1:])
    elif origin in (None, Literal):
        if annotation is not type(None):
            yield annotation, marks
    else:
        for one in get_args(annotation):
            if one is not Ellipsis:
                yield from _kinds(one, marks)


def _has(marks: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    return all(one in marks for one in wanted)


def _asks_who(kinds: list[Kind]) -> bool:
    return any(
        kind is Identity or (not _has(marks, LINE) and any(_has(marks, who) for who in WHO))
        for kind, marks in kinds
    )


def _is_clear(of: Kind) -> bool:
    kind, marks = of
    origin: Any = get_origin(kind)
    if any(isinstance(mark, Personal) for mark in marks):
        return False
    if origin is Literal or kind in CLEAR_KINDS:
        return True
    return kind is str and any(_has(marks, text) for text in CLEAR_TEXTS)
