"""One trace shows a command, its message, and what follows at the other office."""

from __future__ import annotations

import json

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.runtime import tracing
from tests.system import story
from tests.system.offices import Desk, eventually


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = tracing.provider("53.71", exporter)
    monkeypatch.setattr("shared.kernel.trace._TRACER", provider.get_tracer("pulang"))
    return provider, exporter


async def correlations(desk: Desk, type_: str) -> list[str]:
    events = await desk.office.store.read(0, 1_000)
    return [one.document["correlationid"] for one in events if one.type == type_]


async def test_a_handover_and_what_follows_from_it_are_one_trace(
    spans: tuple[TracerProvider, InMemorySpanExporter], city: Desk, province: Desk
) -> None:
    await story.issued(city)
    await story.expected(province)
    (issued,) = await correlations(city, "pulang.city.handover.issued.v1")
    assert await correlations(province, "pulang.province.arrival.expected.v1") == [issued]
    provider, exporter = spans

    async def ended(name: str) -> list[ReadableSpan]:
        provider.force_flush()
        return [one for one in exporter.get_finished_spans() if one.name == name]

    (effect,) = await eventually(lambda: ended("apply pulang.handover.issued.v1"))
    (command,) = await eventually(lambda: ended("POST /api/v1/handovers/{handover}/issue"))
    assert f"{command.context.trace_id:032x}" == issued
    assert effect.context.trace_id == command.context.trace_id
    assert effect.parent is not None
    assert effect.parent.span_id == command.context.span_id


async def test_without_a_collector_the_trace_goes_on_all_the_same(
    city: Desk, province: Desk
) -> None:
    await story.arrived(city, province)
    (answered,) = await correlations(province, "pulang.province.arrival.acknowledged.v1")
    assert await correlations(city, "pulang.city.handover.arrival-recorded.v1") == [answered]
    (issued,) = await correlations(city, "pulang.city.handover.issued.v1")
    assert issued != answered


async def test_no_span_says_who_anybody_is(
    spans: tuple[TracerProvider, InMemorySpanExporter], city: Desk, province: Desk
) -> None:
    (person,) = await story.issued(city, 1)
    await story.expected(province)
    await city.send("issuer", "/handovers/HO-1/withdrawal", {"reason": "Rahasia Lima Kata"})
    provider, exporter = spans
    provider.force_flush()
    said = json.dumps([json.loads(one.to_json()) for one in exporter.get_finished_spans()])
    assert "POST /api/v1/handovers" in said
    for secret in (person, "HO-1", "Rahasia", "issuer"):
        assert secret not in said
