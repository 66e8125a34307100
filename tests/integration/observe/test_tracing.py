"""Spans of a real producer end with the broker's answer, and readers find their context."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from aioproducer import AsyncProducer, ProducerError
from aioproducer.observe.exporters.opentelemetry import TracingInterceptor, instrument
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory
from tests.observe.exporters.test_otel_metrics import points


@pytest.mark.core
async def test_each_record_has_a_span_with_its_offset_and_its_reader_the_context(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, exporter = topic(2), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = TracingInterceptor(tracer_provider=provider, client_id="api")
    async with AsyncProducer(bootstrap, interceptors=[tracing]) as producer:
        await asyncio.gather(*(producer.send(name, b"%d" % n) for n in range(20)))
        with pytest.raises(ProducerError):
            await producer.send(name, bytes(2_000_000))
    spans = exporter.get_finished_spans()
    failed = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert [(each.attributes or {})["error.type"] for each in failed] == ["RecordTooLargeError"]
    told = {
        (each.attributes or {})["messaging.destination.partition.id"]: set[object]()
        for each in spans
        if each not in failed
    }
    by_id = {}
    for span in spans:
        attributes = span.attributes or {}
        if span not in failed:
            place = attributes["messaging.destination.partition.id"]
            told[place].add(attributes["messaging.kafka.offset"])
            context = span.get_span_context()
            assert context is not None
            by_id[f"{context.span_id:016x}"] = (place, attributes["messaging.kafka.offset"])
    records = await read_topic_async(bootstrap, name)
    assert len(records) == 20
    for record in records:
        headers = dict(record.headers)
        span_id = (headers["traceparent"] or b"").decode().split("-")[2]
        assert by_id[span_id] == (str(record.partition), record.offset)
    provider.shutdown()


@pytest.mark.core
async def test_the_figures_of_a_real_producer_arrive(
    bootstrap: str, topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioproducer.observe.exporters.source._PATIENCE_S", 120.0)
    name, reader = topic(), InMemoryMetricReader()
    provider = MeterProvider([reader])
    async with AsyncProducer(bootstrap, client_id="api") as producer:
        with instrument(producer, provider):
            await asyncio.gather(*(producer.send(name, b"%d" % n) for n in range(20)))
            found = await asyncio.to_thread(points, reader)
    [sent] = found["messaging.client.sent.messages"]
    assert sent.value == 20
    assert sent.attributes["messaging.destination.name"] == name
    assert found["kafka.producer.record_send"][0].value >= 20
    provider.shutdown()
