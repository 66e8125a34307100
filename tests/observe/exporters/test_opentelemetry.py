"""Spans as OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aioproducer import AsyncProducer
from aioproducer.errors import DeliveryTimeoutError, broker_error
from aioproducer.observe.exporters.opentelemetry import TracingInterceptor, error_type
from aioproducer.records import Record, RecordMetadata
from tests.fake_broker import Conduct, FakeCluster
from tests.observe.exporters.test_otel_metrics import points
from tests.runtime.world import running
from tests.virtual_clock import VirtualClockLoop

DONE = RecordMetadata("orders", 2, 17, 1000, 1, 1)
UNSAMPLED = trace.SpanContext(1, 1, is_remote=False)


class Spans:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


def tracing(spans: Spans, **options: Any) -> TracingInterceptor:
    return TracingInterceptor(tracer_provider=spans.provider, **options)


def test_a_span_lasts_from_send_to_the_acknowledgement(spans: Spans) -> None:
    interceptor = tracing(spans, client_id="api")
    sent = interceptor.on_send(Record("orders", b"value", key=b"k", headers=[("a", b"b")]))
    assert not spans.ended
    interceptor.on_acknowledgement(sent, DONE, None)
    [span] = spans.ended
    assert span.name == "send orders"
    assert span.kind is SpanKind.PRODUCER
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.client.id": "api",
        "messaging.destination.name": "orders",
        "messaging.message.body.size": 5,
        "messaging.destination.partition.id": "2",
        "messaging.kafka.offset": 17,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert sent.headers[0] == ("a", b"b")


def test_its_context_is_in_the_headers(spans: Spans) -> None:
    interceptor = tracing(spans)
    sent = interceptor.on_send(Record("orders", b"v"))
    interceptor.on_acknowledgement(sent, DONE, None)
    [(name, value)] = sent.headers
    [span] = spans.ended
    assert name == "traceparent"
    context = span.get_span_context()
    assert context is not None
    ids, flags = (value or b"").decode().rsplit("-", 1)
    assert ids == f"00-{context.trace_id:032x}-{context.span_id:016x}"
    assert int(flags, 16) & 1, "sampled"


def test_it_is_a_child_of_what_is_going_on(spans: Spans) -> None:
    interceptor = tracing(spans)
    with trace.get_tracer("test", tracer_provider=spans.provider).start_as_current_span("request"):
        sent = interceptor.on_send(Record("orders", b"v"))
    interceptor.on_acknowledgement(sent, DONE, None)
    request, send = spans.ended
    assert send.parent is not None
    assert send.parent.span_id == request.get_span_context().span_id  # type: ignore[union-attr]


def test_a_failure_is_told_with_its_kind(spans: Spans) -> None:
    interceptor = tracing(spans)
    error = broker_error(29, "not yours")
    sent = interceptor.on_send(Record("orders", b"v"))
    interceptor.on_acknowledgement(sent, None, error)
    [span] = spans.ended
    assert span.status.status_code is StatusCode.ERROR
    assert "not yours" in (span.status.description or "")
    assert (span.attributes or {})["error.type"] == "TOPIC_AUTHORIZATION_FAILED"
    assert error_type(DeliveryTimeoutError("late")) == "DeliveryTimeoutError"


def test_acks_0_has_no_offset(spans: Spans) -> None:
    interceptor = tracing(spans)
    sent = interceptor.on_send(Record("orders", b"v"))
    interceptor.on_acknowledgement(sent, RecordMetadata("orders", 1, -1, -1, -1, 1), None)
    [span] = spans.ended
    assert "messaging.kafka.offset" not in (span.attributes or {})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record("t", None, key=b"k"), {"messaging.kafka.message.tombstone": True}),
        (Record("t", b"v", key=b"caf\xc3\xa9"), {"messaging.kafka.message.key": "café"}),
        (Record("t", b"v", key="text"), {"messaging.kafka.message.key": "text"}),
        (Record("t", b"v", key=7), {"messaging.kafka.message.key": "7"}),
    ],
)
def test_keys_and_tombstones(spans: Spans, record: Any, expected: dict[str, Any]) -> None:
    interceptor = tracing(spans, record_key=True)
    interceptor.on_acknowledgement(interceptor.on_send(record), DONE, None)
    [span] = spans.ended
    assert expected.items() <= dict(span.attributes or {}).items()


@pytest.mark.parametrize("key", [b"\xff\xfe", object(), None])
def test_keys_that_are_no_text_stay_out(spans: Spans, key: Any) -> None:
    interceptor = tracing(spans, record_key=True)
    interceptor.on_acknowledgement(interceptor.on_send(Record("t", b"v", key=key)), DONE, None)
    [span] = spans.ended
    assert "messaging.kafka.message.key" not in (span.attributes or {})


def test_keys_stay_out_unless_asked_for(spans: Spans) -> None:
    interceptor = tracing(spans)
    interceptor.on_acknowledgement(interceptor.on_send(Record("t", b"v", key="k")), DONE, None)
    [span] = spans.ended
    assert "messaging.kafka.message.key" not in (span.attributes or {})


def test_a_context_that_a_record_brings_becomes_a_link(spans: Spans) -> None:
    """Two traceparents in one record would be read one way here and another there."""
    interceptor = tracing(spans)
    theirs = ("Traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    sent = interceptor.on_send(Record("orders", b"v", headers=[theirs, ("x", b"y")]))
    interceptor.on_acknowledgement(sent, DONE, None)
    [span] = spans.ended
    [link] = span.links
    assert f"{link.context.span_id:016x}" == "b7ad6b7169203331"
    assert [name for name, _ in sent.headers] == ["x", "traceparent"]


def test_a_damaged_context_is_dropped(spans: Spans) -> None:
    interceptor = tracing(spans)
    sent = interceptor.on_send(Record("orders", b"v", headers=[("traceparent", b"\xff\xff")]))
    interceptor.on_acknowledgement(sent, DONE, None)
    [span] = spans.ended
    assert span.links == ()


def test_outcomes_find_their_span_in_any_order(spans: Spans) -> None:
    interceptor = tracing(spans)
    sent = [interceptor.on_send(Record("orders", b"%d" % n)) for n in range(5)]
    for n in (3, 0, 4, 1, 2):
        interceptor.on_acknowledgement(sent[n], DONE._replace(offset=n), None)
    by_id = {f"{span.get_span_context().span_id:016x}": span for span in spans.ended}  # type: ignore[union-attr]
    for n, record in enumerate(sent):
        span = by_id[(record.headers[0][1] or b"").decode().split("-")[2]]
        assert (span.attributes or {})["messaging.kafka.offset"] == n


def test_baggage_goes_along(spans: Spans) -> None:
    token = attach(baggage.set_baggage("tenant", "acme"))
    try:
        sent = tracing(spans).on_send(Record("orders", b"v"))
    finally:
        detach(token)
    assert ("baggage", b"tenant=acme") in sent.headers


def test_inject_only_makes_no_span(spans: Spans) -> None:
    interceptor = tracing(spans, inject_only=True)
    assert interceptor.on_send(Record("orders", b"v")).headers == []
    with trace.get_tracer("test", tracer_provider=spans.provider).start_as_current_span("request"):
        sent = interceptor.on_send(Record("orders", b"v"))
    interceptor.on_acknowledgement(sent, DONE, None)
    [request] = spans.ended
    context = request.get_span_context()
    assert context is not None
    assert f"{context.span_id:016x}".encode() in (sent.headers[0][1] or b"")


def test_what_is_not_sampled_is_not_kept(spans: Spans) -> None:
    quiet = TracerProvider(sampler=ALWAYS_OFF)
    interceptor = TracingInterceptor(tracer_provider=quiet)
    sent = interceptor.on_send(Record("orders", b"v"))
    assert int((sent.headers[0][1] or b"").rsplit(b"-")[-1], 16) & 1 == 0
    assert not interceptor._open
    interceptor.on_acknowledgement(sent, DONE, None)
    quiet.shutdown()


def test_without_a_provider_records_go_as_they_came() -> None:
    interceptor = TracingInterceptor()
    assert interceptor.on_send(Record("orders", b"v")).headers == []
    interceptor.on_acknowledgement(Record("orders", b"v"), DONE, None)


def test_a_propagator_that_writes_nothing_ends_the_span_at_once(spans: Spans) -> None:
    class Silent(TraceContextTextMapPropagator):
        def inject(self, *args: Any, **kwargs: Any) -> None:
            return None

    tracing(spans, propagator=Silent()).on_send(Record("orders", b"v"))
    assert len(spans.ended) == 1


def test_closing_ends_what_is_open(spans: Spans) -> None:
    interceptor = tracing(spans)
    sent = interceptor.on_send(Record("orders", b"v"))
    interceptor.close()
    assert len(spans.ended) == 1
    interceptor.on_acknowledgement(sent, DONE, None)
    assert len(spans.ended) == 1


def test_a_span_whose_header_is_dropped_ends_all_the_same(spans: Spans) -> None:
    """An interceptor behind may replace the headers."""
    interceptor = tracing(spans)
    for n in range(50):
        sent = interceptor.on_send(Record("orders", b"v"))
        interceptor.on_acknowledgement(replace(sent, headers=()), DONE, None)
        assert len(spans.ended) == n + 1
    assert not interceptor._open


def test_dropped_headers_cost_the_oldest_spans_and_no_more(spans: Spans) -> None:
    interceptor = tracing(spans)
    dropped = [interceptor.on_send(Record("orders", b"v")) for _ in range(5)]
    kept = [interceptor.on_send(Record("orders", b"v")) for _ in range(5)]
    for record in dropped:
        interceptor.on_acknowledgement(replace(record, headers=()), DONE, None)
    for record in kept:
        interceptor.on_acknowledgement(record, DONE, None)
    outcomes = ["messaging.kafka.offset" in (span.attributes or {}) for span in spans.ended]
    assert sorted(outcomes) == [False] * 5 + [True] * 5


def test_spans_that_are_not_sampled_end_no_other(spans: Spans) -> None:
    interceptor = tracing(spans)
    sent = interceptor.on_send(Record("orders", b"v"))
    token = attach(trace.set_span_in_context(trace.NonRecordingSpan(UNSAMPLED)))
    try:
        quiet = interceptor.on_send(Record("orders", b"v"))
    finally:
        detach(token)
    interceptor.on_acknowledgement(quiet, DONE, None)
    assert not spans.ended
    interceptor.on_acknowledgement(sent, DONE, None)
    assert len(spans.ended) == 1


def test_closing_one_producer_ends_no_span_of_another(spans: Spans) -> None:
    async def main() -> None:
        cluster, interceptor = FakeCluster(), tracing(spans)
        cluster.add_topic("orders")
        async with running(cluster, interceptors=[interceptor]) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=5))
            delivery = producer.send("orders", b"v")
            async with AsyncProducer(cluster.bootstrap, interceptors=[interceptor]):
                pass
            assert not delivery.done()
            assert not spans.ended
            await delivery
        [span] = spans.ended
        assert (span.attributes or {})["messaging.kafka.offset"] == 0

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


def test_durations_are_counted_by_outcome(spans: Spans) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    interceptor = tracing(spans, meter_provider=provider)
    for error in (None, DeliveryTimeoutError("late")):
        sent = interceptor.on_send(Record("orders", b"v"))
        interceptor.on_acknowledgement(sent, None if error else DONE, error)
    good, bad = sorted(points(reader)["messaging.client.operation.duration"], key=str)
    labels = [dict(good.attributes), dict(bad.attributes)]
    assert {"error.type": "DeliveryTimeoutError"}.items() <= next(
        each for each in labels if "error.type" in each
    ).items()
    assert good.explicit_bounds[0] == 0.005
    assert good.count == bad.count == 1
    provider.shutdown()
