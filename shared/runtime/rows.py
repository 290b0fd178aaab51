"""Imports: many rows in one request, as JSON, CSV or XLSX, each checked on its own.

A bad row is named with its number and cell. Nothing is imported unless all rows are good, or the
sender asked for the good ones alone (`partial`).
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from shared.runtime.forms import Form
from shared.runtime.manifest import Problem
from shared.runtime.problems import field_errors
from shared.runtime.sheets import IMPORT_ROWS, Table, read_xlsx

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ERRORS_SHOWN = 200
UNKNOWN_COLUMN = "(kolom tidak dikenal)"

R = TypeVar("R", bound=BaseModel)


class Import(Form):
    """Rows of one kind. With `partial`, good rows are taken and bad ones named."""

    rows: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=IMPORT_ROWS)]
    partial: bool = False


async def read_import(request: Request) -> Import:
    """The import in a request's body: CSV or XLSX with a header row, or JSON."""
    raw = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in FILES:
        partial = request.query_params.get("partial", "false") == "true"
        # In a thread: a large file takes seconds, and others are answered meanwhile.
        rows = await asyncio.to_thread(FILES[kind], raw)
        document: Any = {"rows": rows, "partial": partial}
    else:
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            raise RequestValidationError([{"type": "json_invalid", "loc": ("body",)}]) from None
    try:
        return Import.model_validate(document)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def _csv_rows(raw: bytes) -> list[dict[str, Any]]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problem(
            422, "CSV_NOT_UTF8", "Berkas CSV bukan UTF-8.", "Simpan ulang sebagai CSV UTF-8."
        ) from None
    table = Table("CSV_HEADER_REPEATED")
    # With newline="" a line may end in CR, LF or both, and stays as it is within quotes.
    heading = text.partition("\n")[0]
    # As spreadsheets set to Indonesian save it; no column's name has either sign in it.
    separator = ";" if ";" in heading and "," not in heading else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for number, cells in enumerate(filter(None, reader), 1):
            table.add(number, enumerate(cells))
    except csv.Error:
        raise Problem(
            422,
            "CSV_UNREADABLE",
            f"Berkas CSV tidak terbaca pada baris {reader.line_num}.",
            "Periksa tanda kutipnya.",
        ) from None
    return table.rows


FILES: dict[str, Callable[[bytes], list[dict[str, Any]]]] = {
    "text/csv": _csv_rows,
    XLSX: read_xlsx,
}
"""Media type of a file → the reader of its rows."""


def check_rows(
    model: type[R], rows: Sequence[dict[str, Any]], *, partial: bool
) -> tuple[list[tuple[int, R]], list[dict[str, Any]]]:
    """The good rows with their numbers from 1, and what is wrong with the others.

    Raises Problem (422) that names every bad row and cell, unless `partial`.
    """
    good: list[tuple[int, R]] = []
    errors: list[dict[str, Any]] = []
    bad = 0
    known = {*model.model_fields, "body"}
    whole = {name for name, info in model.model_fields.items() if info.annotation is int}
    flags = {name for name, info in model.model_fields.items() if info.annotation is bool}
    for number, row in enumerate(rows, 1):
        try:
            good.append((number, model.model_validate(_typed(row, whole, flags))))
        except ValidationError as error:
            bad += 1
            if len(errors) >= ERRORS_SHOWN:
                continue
            for one in field_errors(error.errors()):
                # What is no column's name may be a cell of a file without a header line.
                cell = one["where"] if one["where"] in known else UNKNOWN_COLUMN
                errors.append(
                    {
                        "row": number,
                        "code": "INVALID_ROW",
                        "cell": cell,
                        "message": one["message"],
                    }
                )
    if errors and not (partial and good):
        raise Problem(
            422,
            "INVALID_ROWS",
            f"{bad} dari {len(rows)} baris tidak sah.",
            "Perbaiki sel yang disebut, atau minta impor sebagian (partial)."
            f" Kolomnya: {', '.join(model.model_fields)}.",
            errors[:ERRORS_SHOWN],
        )
    return good, errors[:ERRORS_SHOWN]


def _typed(row: dict[str, Any], whole: set[str], flags: set[str]) -> dict[str, Any]:
    """Digits in a column of whole numbers are a number; "ya" and "tidak" are a flag."""
    words = {"ya": True, "tidak": False, "true": True, "false": False}
    return {
        name: int(value)
        if name in whole and isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value)
        else words.get(value.lower(), value)
        if name in flags and isinstance(value, str)
        else value
        for name, value in row.items()
    }


def import_body(row: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI request body of an import: one row's columns, in JSON, CSV or XLSX."""
    schema = row.model_json_schema()
    columns = ",".join(schema.get("properties", {}))
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["rows"],
                        "properties": {
                            "rows": {"type": "array", "items": schema, "minItems": 1},
                            "partial": {"type": "boolean", "default": False},
                            "occurred_at": {"type": "string", "format": "date-time"},
                        },
                    }
                },
                "text/csv": {"schema": {"type": "string", "description": columns}},
                XLSX: {"schema": {"type": "string", "format": "binary", "description": columns}},
            },
        }
    }
