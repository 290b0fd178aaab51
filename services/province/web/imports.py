"""Imports at a province: the rows of an arrival sheet that was filled in without a line.

Each row is the answer for one person, with the time at which it was so on paper. A row that is
refused is named, and keeps none of the others from being recorded.
"""

from __future__ import annotations

from dataclasses import replace

from services.province.web.commands import RECEPTION, AnswerForm, announced, answering
from shared.contracts.values import PersonCode
from shared.kernel.handling import Unit
from shared.runtime.manifest import CommandRoute, Desk, Plan, Problem
from shared.runtime.performing import refuse_future
from shared.runtime.rows import Import, check_rows


class SheetRow(AnswerForm):
    """One line of the sheet."""

    person: PersonCode


async def copy_sheet(desk: Desk, form: Import, path: dict[str, str]) -> Plan:
    """The answers of a sheet; sent again they change nothing (rule 6)."""
    state, expected = await announced(desk, path["handover"])
    rows, errors = check_rows(SheetRow, form.rows, partial=form.partial)
    units, numbers = [], []
    for number, row in rows:
        at = row.occurred_at or desk.occurred_at
        try:
            refuse_future(at, desk.now)
            commands = answering(replace(desk, occurred_at=at), state, expected, row.person, row)
        except Problem as problem:
            if not form.partial:
                raise
            said = {"code": problem.code, "message": problem.detail, "remedy": problem.remedy}
            errors.append({"row": number} | said)
            continue
        units.append(Unit(commands))
        numbers.append(number)
    return Plan(units, {"handover": path["handover"]}, not form.partial, numbers, errors)


IMPORTS: tuple[CommandRoute, ...] = (
    CommandRoute(
        "/arrivals/{handover}/sheet",
        "Salin lembar kedatangan",
        RECEPTION,
        SheetRow,
        copy_sheet,
        is_import=True,
    ),
)
