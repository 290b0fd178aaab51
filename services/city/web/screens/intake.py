"""Intake: one person by a form, or many by a table that is looked at before it is imported."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError

from services.city.projections import board
from services.city.web.commands import INTAKE
from services.city.web.imports import IntakeRow
from shared.runtime.manifest import Desk, Problem
from shared.runtime.rows import FILES, XLSX, check_rows
from shared.runtime.screens.screen import Act, Files, Loaded, Screen, Texts
from shared.runtime.sheets import IMPORT_ROWS

COLUMNS = tuple(IntakeRow.model_fields)
ROWS_SHOWN = 100
FLAGS = {"ya": True, "tidak": False}


async def operation(desk: Desk, given: dict[str, str]) -> Loaded | None:
    found = [
        one
        for one in await board.operations(desk.reading)
        if one["operation"] == given["operation"]
    ]
    return {"operation": found[0], "partners": desk.settings.partners} if found else None


def one_row(sent: Texts) -> dict[str, Any]:
    """The body of an import with the one person of the form."""
    typed = {name: (sent.get(name) or [""])[-1].strip() for name in COLUMNS}
    row: dict[str, Any] = {name: text for name, text in typed.items() if text}
    sign = typed["sign_of_trafficking"]
    if sign in FLAGS:
        row["sign_of_trafficking"] = FLAGS[sign]
    return {"rows": [row]}


def many_rows(sent: Texts) -> dict[str, Any]:
    """What the preview showed, sent on as it was."""
    try:
        rows = json.loads((sent.get("rows") or [""])[-1])
    except (ValueError, RecursionError):
        raise RequestValidationError([{"type": "json_invalid", "loc": ("rows",)}]) from None
    return {"rows": rows, "partial": "ya" in sent.get("partial", ())}


async def preview(desk: Desk, sent: Texts, files: Files) -> Loaded:
    """Each row with what is wrong in it. Nothing is recorded, and nothing kept."""
    rows = await asyncio.to_thread(_read, sent, files)
    if not rows:
        raise Problem(422, "INVALID_INPUT", "Tabelnya kosong.", "Tempel baris, atau pilih berkas.")
    if len(rows) > IMPORT_ROWS:
        raise Problem(
            422,
            "INVALID_INPUT",
            f"Tabelnya lebih dari {IMPORT_ROWS} baris.",
            "Bagi menjadi beberapa tabel.",
        )
    wrong: dict[int, list[dict[str, Any]]] = {}
    good = 0
    try:
        taken, errors = check_rows(IntakeRow, rows, partial=True)
        good = len(taken)
    except Problem as problem:
        errors = problem.errors
    for error in errors:
        wrong.setdefault(error["row"], []).append(error)
    shown = [
        {
            "number": number,
            "cells": {name: row.get(name, "") for name in COLUMNS if _seen(name)},
            "wrong": wrong.get(number, []),
        }
        for number, row in enumerate(rows, 1)
        if number in wrong or number <= ROWS_SHOWN
    ][: 2 * ROWS_SHOWN]
    return {
        "preview": {
            "rows": shown,
            "of": len(rows),
            "good": good,
            "columns": [name for name in COLUMNS if _seen(name)],
            "json": json.dumps(rows, ensure_ascii=False),
        }
    }


def _seen(column: str) -> bool:
    """Who she is need not stand on a screen to check the table's shape."""
    return column not in ("name", "nik", "contact", "account")


def _read(sent: Texts, files: Files) -> list[dict[str, Any]]:
    if "file" in files:
        name, content = files["file"]
        return FILES[XLSX if name.lower().endswith(".xlsx") else "text/csv"](content)
    pasted = (sent.get("table") or [""])[-1].strip()
    if not pasted:
        return []
    # What is copied out of a spreadsheet is separated by tabs.
    if "\t" in pasted.partition("\n")[0]:
        made = io.StringIO(newline="")
        csv.writer(made).writerows(line.split("\t") for line in pasted.splitlines())
        pasted = made.getvalue()
    return FILES["text/csv"](pasted.encode())


async def template(desk: Desk, given: dict[str, str]) -> Response:
    example = "AB,35.78,1990-01-02,tidak,35,SPK/2019/001"
    blanks = "," * (len(COLUMNS) - example.count(",") - 1)
    return Response(
        f"{','.join(COLUMNS)}\r\n{example}{blanks}\r\n",
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="contoh-tabel.csv"'},
    )


ONE = Screen(
    "/kegiatan/{operation}/daftarkan",
    "register.html",
    INTAKE,
    operation,
    acts={
        "register": Act(
            "/operations/{operation}/beneficiaries", "/penerima-manfaat/{person}", one_row
        )
    },
)
MANY = Screen(
    "/kegiatan/{operation}/impor",
    "import.html",
    INTAKE,
    operation,
    acts={
        "import": Act("/operations/{operation}/beneficiaries", "/kegiatan/{operation}", many_rows)
    },
    previews={"preview": preview},
)
TEMPLATE = Screen("/kegiatan/{operation}/impor/contoh", "", INTAKE, template)
