"""What a browser's form sends, as the body that a command takes.

A browser knows text alone. Here an amount typed `1.500.000` becomes a number, a ticked box a flag,
several ticks a list, and a time of day one with the office's zone; what was left empty is left out.
What can't be that stays as it was typed, so that the command's own form says what is wrong.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Union, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel

from shared.runtime.status import parse_time

AMOUNT = re.compile(r"-?[0-9]{1,3}(\.[0-9]{3}){1,9}|-?[0-9]{1,30}")
"""A number as it is typed; of thousands of digits Python itself would make none."""
DAY_AND_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
TO_THE_SECOND = re.compile(DAY_AND_TIME.pattern + r"(:\d\d)?")


def body_of(
    form: type[BaseModel], sent: Mapping[str, Sequence[str]], zone: ZoneInfo
) -> dict[str, Any]:
    """The fields of `form` among what was sent; `claim.figure` is `figure` within `claim`."""
    body: dict[str, Any] = {}
    for name, info in form.model_fields.items():
        kind = _bare(info.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inner = {
                key.removeprefix(f"{name}."): values
                for key, values in sent.items()
                if key.startswith(f"{name}.")
            }
            if found := body_of(kind, inner, zone):
                body[name] = found
            continue
        texts = [text.strip() for text in sent.get(name, ())]
        if kind is bool:
            # A box that is not ticked sends nothing; a choice between yes and no sends a word.
            if texts and texts[-1]:
                body[name] = {"ya": True, "tidak": False}.get(texts[-1], texts[-1])
            continue
        texts = [text for text in texts if text]
        if get_origin(kind) in (tuple, list):
            if texts:
                body[name] = [_value(_bare(get_args(kind)[0]), text, zone) for text in texts]
        elif texts:
            body[name] = _value(kind, texts[-1], zone)
    return body


def _value(kind: Any, text: str, zone: ZoneInfo) -> Any:
    if kind is int and AMOUNT.fullmatch(text):
        return int(text.replace(".", ""))
    if kind in (datetime, AwareDatetime) and DAY_AND_TIME.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=zone).isoformat()
    return text


def time_of(text: str | None, zone: ZoneInfo) -> datetime | None:
    """A time as a form's field or a link has it. Raises Problem (422)."""
    if not text:
        return None
    if TO_THE_SECOND.fullmatch(text):
        with suppress(ValueError):
            text = datetime.fromisoformat(text).replace(tzinfo=zone).isoformat()
    return parse_time(text)


def _bare(annotation: Any) -> Any:
    """The kind of value, without constraints and without `None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType):
            # Several constraints of one kind, such as a count or a sum, are that kind.
            rest = {_bare(one) for one in get_args(annotation) if one is not type(None)}
            if len(rest) != 1:
                return annotation
            annotation = rest.pop()
        else:
            return annotation
