"""Intake: one person by a form, or many by a table that is looked at before it is imported."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from fastapi import Response

from services.city.projections import holdings
from services.city.web.commands import INTAKE
from services.city.web.imports import IntakeRow
from services.city.web.screens import tables
from services.city.web.screens.tables import Row
from shared.runtime.manifest import Desk
from shared.runtime.screens.screen import Act, Loaded, Screen

# Who she is need not stand on a screen to check the table's shape.
COLUMNS = tuple(
    name for name in IntakeRow.model_fields if name not in ("name", "nik", "contact", "account")
)
EXAMPLE = {
    "initials": "AB", "origin": "35.78", "birth_date": "1990-01-02",
    "sign_of_trafficking": "tidak", "destination": "35", "willingness": "SPK/2019/001",
}  # fmt: skip


async def operation(desk: Desk, given: dict[str, str]) -> Loaded | None:
    found = await holdings.entitlement(desk.reading, given["operation"])
    return {"operation": found, "partners": desk.settings.partners} if found else None


def remarks(desk: Desk, rows: Sequence[Row]) -> tables.Remarks:
    """Rows that are taken as they are, and hold up or mix up somebody later."""
    found: dict[int, list[str]] = defaultdict(list)
    statements = Counter(row.get("willingness") for row in rows)
    for number, row in enumerate(rows, 1):
        if row.get("destination") and row["destination"] not in desk.settings.partners:
            found[number].append("unlinked")
        if row.get("willingness") and statements[row["willingness"]] > 1:
            found[number].append("same_statement")
    return found


async def template(desk: Desk, given: dict[str, str]) -> Response:
    return tables.template(IntakeRow, [EXAMPLE])


ONE = Screen(
    "/kegiatan/{operation}/daftarkan",
    "register.html",
    INTAKE,
    operation,
    acts={
        "register": Act(
            "/operations/{operation}/beneficiaries",
            "/penerima-manfaat/{person}",
            tables.one_row(IntakeRow),
        )
    },
)
MANY = Screen(
    "/kegiatan/{operation}/impor",
    "import.html",
    INTAKE,
    operation,
    acts={
        "import": Act(
            "/operations/{operation}/beneficiaries", "/kegiatan/{operation}", tables.many_rows
        )
    },
    previews={"preview": tables.preview(IntakeRow, COLUMNS, remarks)},
)
TEMPLATE = Screen("/kegiatan/{operation}/impor/contoh", "", INTAKE, template)
