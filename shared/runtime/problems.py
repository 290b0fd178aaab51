"""Problem documents (RFC 9457): a code, a sentence in Indonesian, and what to do next.

They never repeat what was sent: it may be somebody's secret.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from psycopg import DataError, InterfaceError, OperationalError
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from shared.kernel.handling import RefusedUnit, Undecided
from shared.kernel.hold import Held
from shared.kernel.keyring import NoKeys
from shared.kernel.keys import Unopened
from shared.runtime.hardware_keys import HardwareUnusable
from shared.runtime.key_file import KeyFileUnusable
from shared.runtime.manifest import Problem
from shared.runtime.papers.record import NotCovered

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

SENTENCES = {
    "missing": "wajib diisi",
    "extra_forbidden": "tidak dikenal; hapus isian ini",
    "int_type": "harus bilangan bulat, misalnya 6000000",
    "int_from_float": "harus bilangan bulat, tanpa pecahan",
    "greater_than": "terlalu kecil",
    "greater_than_equal": "terlalu kecil",
    "less_than_equal": "terlalu besar",
    "string_pattern_mismatch": "bentuknya tidak sesuai",
    "string_too_short": "terlalu pendek",
    "string_too_long": "terlalu panjang",
    "string_type": "harus teks",
    "bool_type": "harus true atau false",
    "bool_parsing": "harus true atau false",
    "date_from_datetime_parsing": "harus tanggal berbentuk 2019-10-04",
    "date_parsing": "harus tanggal berbentuk 2019-10-04",
    "date_type": "harus tanggal berbentuk 2019-10-04",
    "timezone_aware": "harus menyebut zona waktu, misalnya 2019-10-04T08:00:00+08:00",
    "datetime_parsing": "harus waktu berbentuk 2019-10-04T08:00:00+08:00",
    "datetime_from_date_parsing": "harus waktu berbentuk 2019-10-04T08:00:00+08:00",
    "literal_error": "bukan salah satu pilihan yang ada",
    "too_short": "terlalu sedikit",
    "too_long": "terlalu banyak",
    "tuple_type": "harus daftar",
    "list_type": "harus daftar",
    "json_invalid": "bukan JSON yang sah",
    "file_too_large": "berkasnya lebih dari 2 MiB; pindai ulang dengan mutu lebih rendah",
    "file_kind": "isinya bukan PDF, JPEG atau PNG",
}
"""Kind of error, as pydantic names it → what a clerk can do with."""


def sentence(error: Any) -> str:
    if error["type"] == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    return SENTENCES.get(error["type"], "tidak sah")


def field_errors(errors: Iterable[Any]) -> list[dict[str, Any]]:
    """One entry per wrong field: where it is, and what is the matter, without its value."""
    return [
        {
            "where": ".".join(str(part) for part in error["loc"] if part != "body") or "body",
            "message": sentence(error),
        }
        for error in errors
    ]


def document(problem: Problem) -> JSONResponse:
    return JSONResponse(
        {
            "type": f"urn:pulang:problem:{problem.code}",
            "title": problem.detail,
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail,
            "remedy": problem.remedy,
            "unchanged": "Tidak ada yang disimpan."
            if problem.status < 500
            else "Mungkin sudah tersimpan; kirim lagi dengan kunci yang sama.",
            "errors": problem.errors,
        },
        status_code=problem.status,
        media_type=CONTENT_TYPE,
        headers={"WWW-Authenticate": "Bearer"} if problem.status == 401 else None,
    )


def answer(request: Request, problem: Problem) -> Response:
    """A page for whom a browser brought here, where this office has pages; else a document."""
    page = getattr(request.app.state, "problem_page", None)
    if page and "text/html" in request.headers.get("accept", ""):
        shown: Response = page(request, problem)
        return shown
    return document(problem)


def held() -> Problem:
    return Problem(
        409,
        "LOG_HELD",
        "Kantor ini dipulihkan dari cadangan dan mungkin belum lengkap.",
        "Catat di kertas dan hubungi operator; kirim lagi setelah kantor ini dilanjutkan.",
    )


def try_again() -> Problem:
    return Problem(
        503,
        "TRY_AGAIN",
        "Banyak petugas sedang mencatat hal yang sama.",
        "Kirim lagi dengan Idempotency-Key yang sama.",
    )


def refusal(refused: Sequence[RefusedUnit], rows: Sequence[int] = ()) -> Problem:
    """The 409 of refused units: the first one's sentence, and each with its place."""
    first = refused[0].refused
    more = f" (dan {len(refused) - 1} penolakan lain)" if len(refused) > 1 else ""
    return Problem(409, first.code, first.detail + more, first.remedy, unit_errors(refused, rows))


def unit_errors(refused: Sequence[RefusedUnit], rows: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Each refused unit with its row's number, or its own place where there are no rows."""
    return [
        {
            "row": rows[one.index] if rows else one.index + 1,
            "code": one.refused.code,
            "message": one.refused.detail,
            "remedy": one.refused.remedy,
        }
        for one in refused
    ]


async def database_away(request: Request, error: Exception) -> Response:
    """The 503 of a database that can't be reached; has the pool look at its connections."""
    log.warning("database: %s", type(error).__name__)
    if isinstance(error, OperationalError):
        await request.app.state.office.pool.check()
    return answer(
        request,
        Problem(
            503,
            "DATABASE_AWAY",
            "Basis data sedang tidak terjangkau.",
            "Kirim lagi dengan Idempotency-Key yang sama; yang sudah tersimpan tidak terulang.",
        ),
    )


def install(app: FastAPI) -> None:
    """Answers every error of the app with a problem document."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return answer(request, problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(
            request,
            Problem(
                422,
                "INVALID_INPUT",
                "Ada isian yang tidak sah.",
                "Perbaiki isian yang disebut di bawah dan kirim lagi.",
                field_errors(error.errors()),
            ),
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        known = {
            400: Problem(422, "INVALID_INPUT", "Kirimannya tidak terbaca.", "Kirim JSON yang sah."),
            404: Problem(
                404, "NOT_FOUND", "Halaman atau data ini tidak ada.", "Periksa alamatnya."
            ),
            405: Problem(
                405, "METHOD_NOT_ALLOWED", "Cara ini tidak dipakai di sini.", "Lihat /openapi.json."
            ),
        }
        other = Problem(
            error.status_code,
            "REQUEST_REFUSED",
            "Permintaan tidak dapat dilayani.",
            "Periksa permintaannya.",
        )
        return answer(request, known.get(error.status_code, other))

    @app.exception_handler(Undecided)
    async def _undecided(request: Request, error: Undecided) -> Response:
        log.warning("undecided: %s", error)
        return answer(request, try_again())

    @app.exception_handler(NotCovered)
    async def _not_covered(request: Request, error: NotCovered) -> Response:
        return answer(
            request,
            Problem(
                409,
                "PAPER_NOT_COVERED",
                "Belum ada titik periksa yang mencakup peristiwa terakhir dari naskah ini.",
                "Coba lagi sebentar lagi. Bila tetap begitu, proses latar kantor ini berhenti.",
            ),
        )

    @app.exception_handler(Held)
    async def _held(request: Request, why: Held) -> Response:
        log.warning("held: %s", why)
        return answer(request, held())

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeout)
    async def _database(request: Request, error: Exception) -> Response:
        return await database_away(request, error)

    @app.exception_handler(NoKeys)
    @app.exception_handler(Unopened)
    @app.exception_handler(KeyFileUnusable)
    @app.exception_handler(HardwareUnusable)
    async def _keys(request: Request, error: Exception) -> Response:
        log.error("keys: %s", type(error).__name__)
        return answer(
            request,
            Problem(
                503,
                "KEYS_UNUSABLE",
                "Kunci kantor ini sedang tidak dapat dipakai.",
                "Hubungi operator; kirim lagi dengan Idempotency-Key yang sama.",
            ),
        )

    @app.exception_handler(DataError)
    async def _unstorable(request: Request, error: DataError) -> Response:
        return answer(
            request,
            Problem(
                422,
                "INVALID_INPUT",
                "Ada isian yang tidak dapat disimpan.",
                "Hapus karakter yang tidak terlihat dan kirim lagi.",
            ),
        )

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        return answer(
            request,
            Problem(
                500,
                "UNEXPECTED",
                "Terjadi kesalahan yang tidak terduga.",
                "Kirim lagi dengan Idempotency-Key yang sama; bila tetap gagal, hubungi operator.",
            ),
        )
