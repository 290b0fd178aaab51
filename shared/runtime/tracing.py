"""Where spans go: to the collector that OpenTelemetry's own variables name, or nowhere."""

from __future__ import annotations

import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from shared.kernel.trace import ROOT

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class CorrelationIds(RandomIdGenerator):
    """A trace that begins here has the id of the events that follow from it."""

    def generate_trace_id(self) -> int:
        root = ROOT.get(None)
        return int(root, 16) if root else super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return False


def provider(office: str, exporter: SpanExporter) -> TracerProvider:
    """An office's own provider. Whether a partner traces is no reason for or against tracing."""
    made = TracerProvider(
        id_generator=CorrelationIds(),
        sampler=ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON),
        resource=Resource.create({"service.name": "pulang", "service.namespace": office}),
    )
    made.add_span_processor(BatchSpanProcessor(exporter))
    return made


def configure(office: str) -> None:
    """Sends this process's spans on, where a collector is named in the environment."""
    if any(os.environ.get(name) for name in ENDPOINTS):
        trace.set_tracer_provider(provider(office, OTLPSpanExporter()))
