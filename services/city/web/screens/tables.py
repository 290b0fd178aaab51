"""Tables that are looked at before they are imported, whichever command takes their rows."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from shared.runtime.manifest import Desk, Problem
from shared.runtime.rows import FILES, UNKNOWN_COLUMN, XLSX, check_rows
from shared.runtime.screens.fields import AMOUNT
from shared.runtime.screens.screen import Files, Loaded, Texts
from shared.runtime.sheets import IMPORT_ROWS, to_csv

ROWS_SHOWN = 50
HEADINGS_SHOWN = 20
HEADING_SHOWN = 40
"""Characters."""
FLAGS = {"ya": True, "tidak": False}
STATUS = {"masuk": "credited", "gagal": "failed", "dikembalikan": "returned"}
"""As staff write in a bank's table what the API calls by codes."""
HEADINGS = {
    "initials": "Inisial", "origin": "Kode wilayah asal", "birth_date": "Tanggal lahir",
    "sign_of_trafficking": "Ada tanda perdagangan orang?", "destination": "Tujuan",
    "willingness": "Nomor surat kesediaan", "name": "Nama", "nik": "NIK", "contact": "Kontak",
    "account": "Rekening bank", "person": "Kode PM", "reference": "Nomor kredit",
    "status": "Status", "amount_rupiah": "Jumlah (rupiah)", "credited_on": "Tanggal masuk",
    "replaces": "Mengganti kredit", "reason": "Alasan", "release": "Nomor pencairan",
    "budget_code": "Kode mata anggaran", "receipt": "Nomor kuitansi",
    "override_reason": "Alasan bila di atas batas",
}  # fmt: skip
"""How staff's tables name their columns, as the screens do; the API's own names serve too."""
_NAMES = {heading.casefold(): name for name, heading in HEADINGS.items()}
_RUPIAH = re.compile(r"(?i:rp)[. ]?")

Row = dict[str, Any]
Remarks = Mapping[int, Sequence[str]]
"""A row's number → what is to be said of it, by code."""


def typed(model: type[BaseModel], row: Mapping[str, Any]) -> Row:
    """A row with amounts as digits, however they were typed, and codes for what has plain words."""
    whole = {name for name, info in model.model_fields.items() if info.annotation is int}
    return {name: _cell(name, value, name in whole) for name, value in row.items()}


def _cell(name: str, value: Any, whole: bool) -> Any:
    if not isinstance(value, str):
        return value
    if name == "status":
        return STATUS.get(value.lower(), value)
    bare = _RUPIAH.sub("", value, count=1) if whole else ""
    return bare.replace(".", "") if AMOUNT.fullmatch(bare) else value


def _named(row: Row) -> Row:
    """The row by the API's names. A column that is there twice keeps its own, and is refused."""
    names = {key: _NAMES.get(" ".join(key.split()).casefold(), key) for key in row}
    return {key if name in row else name: row[key] for key, name in names.items()}


def one_row(model: type[BaseModel]) -> Callable[[Texts], dict[str, Any]]:
    """The body of an import with the one row of a form."""

    def body(sent: Texts) -> dict[str, Any]:
        given = {name: (sent.get(name) or [""])[-1].strip() for name in model.model_fields}
        row: Row = {name: text for name, text in given.items() if text}
        for name, info in model.model_fields.items():
            if info.annotation is bool and given[name] in FLAGS:
                row[name] = FLAGS[given[name]]
        return {"rows": [typed(model, row)]}

    return body


def many_rows(sent: Texts) -> dict[str, Any]:
    """What the preview showed, sent on as it was."""
    try:
        rows = json.loads((sent.get("rows") or [""])[-1])
    except (ValueError, RecursionError):
        raise RequestValidationError([{"type": "json_invalid", "loc": ("rows",)}]) from None
    return {"rows": rows, "partial": "ya" in sent.get("partial", ())}


def preview(
    model: type[BaseModel],
    columns: Sequence[str],
    remarks: Callable[[Desk, Sequence[Row]], Remarks] = lambda desk, rows: {},
) -> Callable[[Desk, Texts, Files], Awaitable[Loaded]]:
    """Shows each row with what is wrong in it. Nothing is recorded, and nothing kept.

    `columns` are those that may stand on a screen. `remarks` says what is worth a second look in
    rows that are right.
    """

    async def look(desk: Desk, sent: Texts, files: Files) -> Loaded:
        read = await asyncio.to_thread(_read, sent, files)
        rows = [typed(model, _named(row)) for row in read]
        if not rows:
            raise Problem(
                422, "INVALID_INPUT", "Tabelnya kosong.", "Tempel baris, atau pilih berkas."
            )
        if len(rows) > IMPORT_ROWS:
            raise Problem(
                422,
                "INVALID_INPUT",
                f"Tabelnya lebih dari {IMPORT_ROWS} baris.",
                "Bagi menjadi beberapa tabel.",
            )
        said = remarks(desk, rows)
        return {"preview": await asyncio.to_thread(_looked_at, model, columns, rows, said)}

    return look


def _looked_at(
    model: type[BaseModel], columns: Sequence[str], rows: list[Row], remarks: Remarks
) -> Row:
    wrong: dict[int, list[dict[str, Any]]] = {}
    good: dict[int, BaseModel] = {}
    try:
        taken, errors = check_rows(model, rows, partial=True)
        good = dict(taken)
    except Problem as problem:
        errors = problem.errors
    for error in errors:
        of_row = wrong.setdefault(error["row"], [])
        # The headings are named once, above; a row says that it has such a cell.
        if error.get("cell") != UNKNOWN_COLUMN or error not in of_row:
            of_row.append(error)
    unknown = dict.fromkeys(name for row in rows for name in row if name not in model.model_fields)
    shown = [
        {
            "number": number,
            "cells": {name: _read_as(good.get(number), name, row) for name in columns},
            "wrong": wrong.get(number, []),
            "remarks": remarks.get(number, ()),
        }
        for number, row in enumerate(rows, 1)
        if number in wrong or number in remarks or number <= ROWS_SHOWN
    ][: 2 * ROWS_SHOWN]
    return {
        "rows": shown,
        "of": len(rows),
        "good": len(good),
        "unknown": [name[:HEADING_SHOWN] for name in unknown][:HEADINGS_SHOWN],
        "columns": columns,
        "json": json.dumps(rows, ensure_ascii=False),
    }


def _read_as(taken: BaseModel | None, name: str, row: Row) -> Any:
    """A cell as it stands in the table; a day or an amount as what it was read as."""
    found = getattr(taken, name, None)
    return found if type(found) in (date, int) else row.get(name, "")


def _read(sent: Texts, files: Files) -> list[Row]:
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


def template(model: type[BaseModel], rows: Sequence[Mapping[str, Any]]) -> Response:
    """A table to fill in: every column, and what is known already."""
    names = tuple(model.model_fields)
    return Response(
        to_csv([{HEADINGS[name]: row.get(name) for name in names} for row in rows]),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="contoh-tabel.csv"'},
    )
