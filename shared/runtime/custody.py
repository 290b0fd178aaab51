"""The desk's way with personal data: sealed before anything is decided, opened only on the record.

`sealed` takes a plan whose commands hold what people wrote, and gives one without. `opened` is the
one way to see anything sealed: it commits who looks at whom, at which fields and why, and opens
after that. Nobody gets a ciphertext.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from shared.contracts.values import (
    PERSONAL_TEXT_CHARACTERS,
    Identity,
    Personal,
    PersonalIdentity,
    draw_id,
)
from shared.custody import access
from shared.custody.projection import broken_glass
from shared.kernel import index
from shared.kernel.decider import Command
from shared.kernel.handling import Unit
from shared.kernel.store import SealedFile
from shared.kernel.vault import Erased, is_sealed
from shared.runtime.manifest import Desk, Plan, Problem

ERASED = "(dihapus)"
CLOSED = "(tersegel)"

_TURNS: dict[str, asyncio.Lock] = {}

Closed = tuple[str, str, str]
"""Whose it is (person or stream), which field, and the sealed text."""


@cache
def _personal(kind: type[Command]) -> tuple[tuple[str, bool], ...]:
    """The fields of a command that are sealed, and whether each is an identity."""
    marks = {
        name: [mark for mark in info.metadata if isinstance(mark, Personal)]
        for name, info in kind.model_fields.items()
    }
    for name, info in kind.model_fields.items():
        # `Reason | None` keeps its marks in the annotation's arms.
        for arm in getattr(info.annotation, "__args__", ()):
            marks[name] += [m for m in getattr(arm, "__metadata__", ()) if isinstance(m, Personal)]
    return tuple(
        (name, any(isinstance(mark, PersonalIdentity) for mark in found))
        for name, found in marks.items()
        if found
    )


async def sealed(desk: Desk, plan: Plan) -> Plan:
    """The plan with every personal text sealed, and the new keys beside it. Raises Problem."""
    places: list[tuple[int, int, str]] = []
    items: list[tuple[str, str | Identity]] = []
    for number, unit in enumerate(plan.units):
        for at, command in enumerate(unit.commands):
            for name, is_identity in _personal(type(command)):
                text = getattr(command, name)
                if text is None:
                    continue
                if not is_identity and len(text) > PERSONAL_TEXT_CHARACTERS:
                    raise Problem(
                        422,
                        "TEXT_TOO_LONG",
                        f"{name}: paling banyak {PERSONAL_TEXT_CHARACTERS} karakter.",
                        "Ringkas catatannya.",
                    )
                subject = getattr(command, "person", None) or desk.handling.stream(command)
                places.append((number, at, name))
                items.append((subject, Identity.model_validate_json(text) if is_identity else text))
    if not items:
        return plan
    try:
        texts, keys, lines = await index.seal(desk.vault, items)
    except Erased:
        raise is_erased() from None
    units = [(list(unit.commands), unit) for unit in plan.units]
    subjects: dict[int, set[str]] = {}
    for (number, at, name), text, (subject, _) in zip(places, texts, items, strict=True):
        commands = units[number][0]
        commands[at] = commands[at].model_copy(update={name: text})
        subjects.setdefault(number, set()).add(subject)
    return replace(
        plan,
        units=[
            replace(
                unit,
                commands=commands,
                keys=[keys[one] for one in subjects.get(number, ()) if one in keys],
                index=[x for one in subjects.get(number, ()) for x in lines.get(one, ())],
            )
            for number, (commands, unit) in enumerate(units)
        ],
    )


def is_erased() -> Problem:
    return Problem(
        409,
        "PERSON_ERASED",
        "Data orang ini sudah dihapus.",
        "Tidak ada lagi yang dapat ditulis tentangnya di bawah kode ini.",
    )


def is_unknown() -> Problem:
    return Problem(
        409,
        "BENEFICIARY_UNKNOWN",
        "Kantor ini tidak menyimpan data orang dengan kode ini.",
        "Periksa kode PM-nya.",
    )


async def sealed_file(desk: Desk, person: str, content: bytes) -> SealedFile:
    """A file about a person, sealed. Raises Problem."""
    try:
        return await desk.vault.seal_file(person, content)
    except Erased:
        raise is_erased() from None
    except KeyError:
        raise is_unknown() from None


async def opened(desk: Desk, items: Sequence[Closed], break_glass: str | None = None) -> list[str]:
    """The texts in order, after the look is on record; "(dihapus)" for whoever was erased.

    Raises Problem (422) where no purpose is named.
    """
    if not items:
        return []
    await _look(desk, [(subject, field) for subject, field, _ in items], break_glass)
    texts = await desk.vault.open([(subject, text) for subject, _, text in items])
    return [ERASED if text is None else text for text in texts]


async def opened_file(
    desk: Desk, person: str, field: str, content: bytes, break_glass: str | None = None
) -> bytes | None:
    """The same of a file; None for whoever was erased."""
    await _look(desk, [(person, field)], break_glass)
    return await desk.vault.open_file(person, content)


async def _look(desk: Desk, at: Sequence[tuple[str, str]], break_glass: str | None) -> None:
    """Has it on record that this desk looks at these fields of these subjects. Raises Problem."""
    if desk.purpose is None:
        raise Problem(
            422,
            "PURPOSE_MISSING",
            "Sebutkan untuk apa data pribadi ini dibuka.",
            "Isi 'purpose'.",
        )
    subjects = tuple(dict.fromkeys(subject for subject, _ in at))
    look = desk.command(
        access.RecordLook,
        staff_day=f"{desk.staff.username}-{desk.now:%Y%m%d}",
        usual_persons=desk.settings.looks_alarm_persons,
        look=draw_id("LK"),
        subjects=subjects,
        fields=tuple(dict.fromkeys(field for _, field in at)),
        purpose=desk.purpose,
        break_glass=break_glass,
    )
    # In turn: looks of one account are counted in one stream, and would only undo each other.
    async with _TURNS.setdefault(desk.staff.username, asyncio.Lock()):
        await desk.handling.handle(
            [Unit([look])], at=desk.now, actor=desk.staff.username, cause=draw_id("LK")
        )


async def identity(
    desk: Desk,
    person: str,
    closed: str | None,
    fields: Sequence[str],
    break_glass: str | None = None,
) -> dict[str, Any]:
    """These fields of one person's identity, on the record."""
    return (await identities(desk, {person: closed}, fields, break_glass))[person]


async def identities(
    desk: Desk,
    closed: Mapping[str, str | None],
    fields: Sequence[str],
    break_glass: str | None = None,
) -> dict[str, dict[str, Any]]:
    """The same for several persons, as one look. Who was erased shows "(dihapus)"."""
    items = [(p, "identity." + "+".join(fields), text) for p, text in closed.items() if text]
    texts = dict(zip([p for p, _, _ in items], await opened(desk, items, break_glass), strict=True))
    texts |= dict.fromkeys(await erased(desk, closed), ERASED)
    return {person: _shown(texts.get(person), fields) for person in closed}


async def erased(desk: Desk, persons: Iterable[str]) -> set[str]:
    """Which of these persons were erased: what is shown of them is "(dihapus)"."""
    return await desk.vault.gone(list(persons))


def _shown(text: str | None, fields: Sequence[str]) -> dict[str, Any]:
    if text is None or text == ERASED:
        return dict.fromkeys(fields, ERASED if text else None)
    whole = json.loads(text)
    return {field: whole.get(field) for field in fields}


async def glass(desk: Desk, person: str) -> str | None:
    """The break-glass by which who asks may see this person now, if any."""
    async with desk.handling.store.pool.connection() as connection:
        return await broken_glass(connection, desk.staff.username, person, desk.now)


def veiled(found: Any) -> Any:
    """What leaves the office: a ciphertext that nobody opened is said to be there, not shown."""
    if isinstance(found, str):
        return CLOSED if is_sealed(found) else found
    if isinstance(found, Mapping):
        return {name: veiled(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [veiled(value) for value in found]
    return found
