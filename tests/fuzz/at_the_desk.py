"""Targets at the desk: files and bodies that staff send, and the key file on the disk.

See `targets` for what a target is. A refusal is also rendered, for an answer that can't be sent is
a fault as well.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from services.city.service import SERVICE as CITY_SERVICE
from services.city.web.imports import CreditRow, IntakeRow, ReleaseRow
from services.province.service import SERVICE as PROVINCE_SERVICE
from shared.kernel import keyring
from shared.kernel.keys import Unopened
from shared.runtime import custody_routes, key_file, problems
from shared.runtime.key_file import KeyFileUnusable, SealedFile
from shared.runtime.manifest import Problem, Service
from shared.runtime.rows import FILES, XLSX, check_rows, read_import
from shared.runtime.sheets import to_csv, to_xlsx
from tests.fuzz.targets import CITY, PERSON, Broken, Target

CREDIT = {
    "person": PERSON,
    "reference": "K/1",
    "status": "credited",
    "amount_rupiah": 6_000_000,
    "credited_on": "2019-10-04",
}
INTAKE = {
    "initials": "AB",
    "origin": "35.78",
    "birth_date": "1990-01-02",
    "sign_of_trafficking": False,
    "nik": "3578010201900001",
}
RELEASE = {"person": PERSON, "release": "R/1", "budget_code": "B/1", "amount_rupiah": 1}
ROWS: tuple[type[BaseModel], ...] = (IntakeRow, CreditRow, ReleaseRow)


def _checked(rows: Sequence[dict[str, Any]]) -> None:
    """The rows of a file, as each of the city's imports checks them."""
    json.dumps(rows)
    for model in ROWS:
        for partial in (True, False):
            try:
                _, errors = check_rows(model, rows, partial=partial)
            except Problem as problem:
                problems.document(problem)
            else:
                json.dumps(errors)


def _file(kind: str) -> Any:
    def run(data: bytes) -> None:
        try:
            rows = FILES[kind](data)
        except Problem as problem:
            problems.document(problem)
            raise
        _checked(rows)

    return run


def _parts(workbook: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(workbook)) as package:
        return {name: package.read(name) for name in package.namelist()}


_WORKBOOK = _parts(to_xlsx([INTAKE, INTAKE], "Contoh"))
_PARTS = ("xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml")


def _xlsx_part(data: bytes) -> None:
    """One part of a whole workbook: behind what the zip format already refuses."""
    part = _PARTS[data[0] % len(_PARTS)] if data else _PARTS[0]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as package:
        for name, content in (_WORKBOOK | {part: data[1:]}).items():
            package.writestr(name, content)
    _file(XLSX)(made.getvalue())


def _import(data: bytes) -> None:
    """A body of an import, by its content type as it came over HTTP: JSON."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}
    try:
        form = _at_once(read_import(Request(scope, receive)))
    except RequestValidationError as error:
        _render(error.errors())
        raise
    _checked(form.rows)


def _at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs what never really waits, without the price of an event loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise Broken("it waited for something")


def _render(errors: Sequence[Any]) -> None:
    refusal = Problem(422, "INVALID_INPUT", "", "", problems.field_errors(errors))
    problems.document(refusal)


def _form(service: Service, path: str) -> Any:
    """A command's form, from a body as the framework reads it."""
    routes = (*service.commands, *custody_routes.commands(service.kind))
    (model,) = (route.form for route in routes if route.path == path)

    def run(data: bytes) -> None:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return  # Answered by the framework, before there is a form.
        try:
            form = model.model_validate(document)
        except ValidationError as error:
            _render(error.errors())
            raise
        form.model_dump_json()

    return run


_OFFICE_KEY = X25519PrivateKey.from_private_bytes(b"x" * 32)
_SEAL_INFO = b"contoh"


def _unseal(data: bytes) -> None:
    ring = keyring.Keyring(None, None, "35")  # type: ignore[arg-type]
    ring._loaded = keyring._Loaded(1, sealing={keyring.sealing_key_id(1): _OFFICE_KEY})
    ring.unseal(1, data, _SEAL_INFO)


_PASSPHRASE = "kata sandi berkas kunci contoh"


def _key_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="pulang-fuzz-") as folder:
        path = Path(folder) / "contoh.key"
        path.write_bytes(data)
        SealedFile(path, _PASSPHRASE, CITY).epochs()


def _sample_key_file() -> bytes:
    """With the weakest derivation that the file may ask for: this is about reading it."""
    weak = key_file._Derivation(passes=1, memory_kib=8, lanes=1, salt=key_file._text(b"s" * 16))
    with tempfile.TemporaryDirectory(prefix="pulang-fuzz-") as folder:
        path = Path(folder) / "contoh.key"
        made = SealedFile(path, _PASSPHRASE, CITY)
        made._write(made._with_key(key_file._File(office=CITY, derivation=weak, epochs={}), 1))
        return path.read_bytes()


def _json(*documents: object) -> list[bytes]:
    return [json.dumps(document).encode() for document in documents]


_TABLES: list[list[dict[str, Any]]] = [[INTAKE, INTAKE], [CREDIT], [RELEASE]]

AT_THE_DESK: dict[str, Target] = {
    "csv": Target(_file("text/csv"), [to_csv(rows) for rows in _TABLES], (Problem,)),
    "xlsx": Target(_file(XLSX), [to_xlsx(rows, "Contoh") for rows in _TABLES], (Problem,)),
    "xlsx-part": Target(
        _xlsx_part,
        [bytes([at]) + _WORKBOOK[name] for at, name in enumerate(_PARTS) if name in _WORKBOOK],
        (Problem,),
    ),
    "import": Target(
        _import,
        _json(*({"rows": rows, "partial": True} for rows in _TABLES)),
        (RequestValidationError,),
    ),
    "key-file": Target(_key_file, [_sample_key_file()], (KeyFileUnusable,)),
    "unseal": Target(
        _unseal,
        [keyring.seal_to(_OFFICE_KEY.public_key().public_bytes_raw(), b"{}", _SEAL_INFO)],
        (Unopened,),
    ),
    "form-operation": Target(
        _form(CITY_SERVICE, "/operations"),
        _json(
            {
                "operation": "OP-1",
                "name": "Contoh",
                "site": "53.71.01",
                "planned_departure": "2019-10-04",
                "grant_rupiah": 6_000_000,
                "fare_floor_rupiah": 1,
                "fare_ceiling_rupiah": 2,
                "occurred_at": "2019-10-04T08:00:00+08:00",
            }
        ),
        (ValidationError,),
    ),
    "form-unlisted": Target(
        _form(PROVINCE_SERVICE, "/arrivals/{handover}/unlisted"),
        _json({"initials": "AB", "born": "1990-01-02", "house": "RS-1", "willing": True}),
        (ValidationError,),
    ),
    "form-lookup": Target(
        _form(CITY_SERVICE, "/lookups"),
        _json({"nik": "3578010201900001", "purpose": "identity_check"}),
        (ValidationError,),
    ),
}
