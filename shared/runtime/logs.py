"""Structured logs, one JSON object a line, without personal data: codes and sentences only.

An exception is logged as its types and places: its message may hold the values it stumbled over,
and a value may be somebody's secret.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

import structlog
from opentelemetry import trace

EXCEPTION_LINES = 100


def _exception_without_values(_: Any, __: str, event: Any) -> Any:
    info = event.pop("exc_info", None)
    if isinstance(info, tuple) and info[1] is not None:
        event["exception"] = describe(info[1])
    return event


def describe(error: BaseException) -> list[str]:
    """The exception's type and frames, then those of what caused it."""
    lines: list[str] = []
    one: BaseException | None = error
    while one is not None and len(lines) < EXCEPTION_LINES:
        lines.append(f"{type(one).__module__}.{type(one).__qualname__}")
        frames = traceback.extract_tb(one.__traceback__)
        lines += [f"  {frame.name} ({frame.filename}:{frame.lineno})" for frame in frames]
        one = one.__cause__ or one.__context__
    return lines[:EXCEPTION_LINES]


def _in_its_trace(_: Any, __: str, event: Any) -> Any:
    """So that a line is found from the trace or the events that it belongs to."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def configure() -> None:
    """Sends every log record of the process to standard error as JSON."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _in_its_trace,
        _exception_without_values,
    ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
