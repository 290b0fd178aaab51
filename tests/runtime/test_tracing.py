"""Spans reach the collector that the environment names, under the ids that the log has."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.kernel import trace

ONE_COMMAND = """
from opentelemetry import trace as otel
from shared.kernel import trace
from shared.runtime import tracing
tracing.configure("53.71")
with trace.command("POST /contoh", "petugas kunci-1"):
    print(trace.traceparent(None, ""))
getattr(otel.get_tracer_provider(), "shutdown", lambda: None)()
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    came: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()


def run(**environment: str) -> str:
    given = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")} | environment
    done = subprocess.run(
        [sys.executable, "-c", ONE_COMMAND], env=given, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_command_is_told_to_the_collector_under_its_correlation_id(
    collector: tuple[str, list[bytes]],
) -> None:
    address, came = collector
    said = run(OTEL_EXPORTER_OTLP_ENDPOINT=address, OTEL_EXPORTER_OTLP_COMPRESSION="none")
    request = ExportTraceServiceRequest.FromString(came[0])
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert span.name == "POST /contoh"
    assert span.trace_id.hex() == trace.id_of("petugas kunci-1")
    assert said == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"


def test_where_no_collector_is_named_nothing_is_sent_and_the_ids_stay(
    collector: tuple[str, list[bytes]],
) -> None:
    _, came = collector
    # Nobody traces: the ids come of the cause alone, and the flag says so.
    assert run().endswith("-00")
    assert came == []


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "01-" + "1" * 32 + "-" + "1" * 16 + "-01more",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-more",
    ],
)
def test_what_is_no_traceparent_begins_a_trace_of_its_own(header: str) -> None:
    assert trace.parse(header) is None
    context = trace.applying("pulang.contoh.v1", "35", header, "35:7").get_span_context()
    assert f"{context.trace_id:032x}" == trace.id_of("35:7")
