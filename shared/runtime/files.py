"""Scanned papers: how they are sent, what is taken, and how one is given back.

What a file is, its own first bytes say, and never its name, which is kept nowhere: it may name her.
It lies on no disk in clear, and is given back so that a browser saves it and opens nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticCustomError
from starlette.datastructures import FormData, UploadFile

from shared.contracts.values import FileType
from shared.runtime.forms import Form
from shared.runtime.gate import form_sent

FILE_BYTES = 2 * 1024 * 1024
BEGINNINGS: dict[bytes, FileType] = {
    b"%PDF-": "application/pdf",
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
}
NAMES: dict[FileType, str] = {
    "application/pdf": "lampiran.pdf", "image/jpeg": "lampiran.jpg", "image/png": "lampiran.png",
}  # fmt: skip
POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


def _taken(content: bytes) -> bytes:
    if len(content) > FILE_BYTES:
        raise PydanticCustomError("file_too_large", "more than 2 MiB")
    if not content.startswith(tuple(BEGINNINGS)):
        raise PydanticCustomError("file_kind", "neither PDF nor JPEG nor PNG")
    return content


class FileForm(Form):
    """A form with one file."""

    file: Annotated[bytes, AfterValidator(_taken)]

    @property
    def media_type(self) -> FileType:
        return next(kind for start, kind in BEGINNINGS.items() if self.file.startswith(start))

    def sent(self) -> bytes:
        """What was sent, however it was wrapped: a program's next try has another boundary."""
        fields = self.model_dump(mode="json", exclude={"file"})
        return json.dumps(fields, sort_keys=True).encode() + b"\n" + self.file


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was opened on the record."""

    media_type: FileType
    content: bytes


def read_file(form: type[FileForm]) -> Callable[[Request], Awaitable[FileForm]]:
    """Reads a form of this kind from multipart/form-data."""

    async def read(request: Request) -> FileForm:
        async with form_sent(request) as sent:
            body = {name: one for name, one in sent.items() if isinstance(one, str)}
            body |= await file_in(sent)
        try:
            return form.model_validate(body)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None

    return read


async def file_in(sent: FormData) -> dict[str, Any]:
    """The field `file` of what a form sent, if a file was chosen."""
    one = sent.get("file")
    return {"file": await one.read()} if isinstance(one, UploadFile) and one.size else {}


def file_body(form: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI request body of a form with a file."""
    content = {"multipart/form-data": {"schema": form.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def answer(opened: Opened) -> Response:
    return Response(
        opened.content,
        media_type=opened.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{NAMES[opened.media_type]}"',
            "Content-Security-Policy": POLICY,
        },
    )
