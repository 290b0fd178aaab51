"""W3C trace context: one trace shows a command, its messages, and what follows at another office.

The id of a trace is the correlation id of the events that it led to, so that log and trace lead to
each other. A message carries it on in `traceparent` (CloudEvents' distributed tracing extension).
Spans name commands, message types and offices; no value and no error's text is ever put in one.
Where nothing collects them (`shared.runtime.tracing`), they cost next to nothing and the ids are
passed on all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

ROOT: ContextVar[str] = ContextVar("ROOT")
"""The trace id that the next root span takes."""
_TRACER = trace.get_tracer("pulang")
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


def id_of(text: str) -> str:
    """The trace id (32 hex digits) of whatever `text` names; the same each time."""
    return sha256(text.encode()).hexdigest()[:32]


def parse(traceparent: str | None) -> SpanContext | None:
    """The context in a traceparent header; None where there is none.

    Of a version above 00 the fields of 00 are read, and what may follow them is not.
    """
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None or (found[1] == "00" and found[5]):
        return None
    trace_id, span_id, flags = (int(found[n], 16) for n in (2, 3, 4))
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & 1))


def traceparent(span: Span | None, cause: str) -> str:
    """What goes on with a message: of this span, or the current one, or of the cause alone."""
    context = (span or trace.get_current_span()).get_span_context()
    if context.is_valid:
        flags = int(context.trace_flags)
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
    id_ = id_of(cause)
    return f"00-{id_}-{id_of(id_)[:16]}-00"


def correlation(traceparent: str) -> str:
    """The trace id in a traceparent that `traceparent` made."""
    return traceparent[3:35]


@contextmanager
def command(name: str, cause: str) -> Iterator[None]:
    """A span for what a person asks for; the first of its trace."""
    token = ROOT.set(id_of(cause))
    try:
        with _TRACER.start_as_current_span(
            name,
            context=Context(),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield
    finally:
        ROOT.reset(token)


def applying(type_: str, sender: str, came: str | None, cause: str) -> Span:
    """A span for one message of another office, in its trace or, where it has none, in a new one.

    It is to be ended when the message is applied or parked.
    """
    context = parse(came) or parse(traceparent(trace.INVALID_SPAN, cause))
    parent = trace.set_span_in_context(NonRecordingSpan(context), Context()) if context else None
    return _TRACER.start_span(
        f"apply {type_}",
        context=parent,
        kind=SpanKind.CONSUMER,
        attributes={"messaging.operation.type": "process", "messaging.pulang.sender": sender},
    )
