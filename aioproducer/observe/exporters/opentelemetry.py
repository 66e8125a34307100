"""Metrics and spans for OpenTelemetry; of its packages only the API is needed here.

    tracing = TracingInterceptor()
    async with AsyncProducer("localhost:9092", interceptors=[tracing]) as producer:
        with instrument(producer):
            ...

Names follow the messaging conventions of OpenTelemetry's semantic conventions 1.44, which are still
in development: the table below is all that depends on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import (
    CallbackOptions,
    Histogram,
    Meter,
    MeterProvider,
    Observation,
    get_meter,
)
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, TracerProvider

from aioproducer.errors import BrokerError
from aioproducer.observe.catalogue import METRICS, Group, Kind, Metric
from aioproducer.observe.exporters.names import exported
from aioproducer.observe.exporters.source import Measured, Source
from aioproducer.observe.snapshot import MetricsSnapshot
from aioproducer.records import Header, Record, RecordMetadata
from aioproducer.version import __version__

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
PARTITION = "messaging.destination.partition.id"
CLIENT_ID = "messaging.client.id"
OFFSET = "messaging.kafka.offset"
KEY = "messaging.kafka.message.key"
TOMBSTONE = "messaging.kafka.message.tombstone"
BODY_SIZE = "messaging.message.body.size"
ERROR_TYPE = "error.type"
SENT_MESSAGES = "messaging.client.sent.messages"
DURATION = "messaging.client.operation.duration"
NODE_ID = "kafka.node.id"

_SCOPE = "aioproducer"
_SEND = {SYSTEM: "kafka", OPERATION_NAME: "send", OPERATION_TYPE: "send"}
# The buckets that the conventions recommend, in seconds.
_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_SNAPSHOT_SECONDS = 0.5
_SUFFIXES = ("_seconds", "_ratio", "_bytes")

K = TypeVar("K")
V = TypeVar("V")


class _Headers(Getter[Sequence[Header]], Setter[list[Header]]):
    """Lets propagators read and write the headers of a record."""

    def get(self, carrier: Sequence[Header], key: str) -> list[str] | None:
        found = [value for name, value in carrier if name.lower() == key and value is not None]
        return [value.decode("utf-8", "replace") for value in found] or None

    def keys(self, carrier: Sequence[Header]) -> list[str]:
        return [name.lower() for name, _ in carrier]

    def set(self, carrier: list[Header], key: str, value: str) -> None:
        carrier.append((key, value.encode()))


_HEADERS = _Headers()


class TracingInterceptor:
    """A span for each record, from ``send()`` to what became of it, its context in the headers.

    A record that carries a context already, one that is forwarded say, gets that as a link and
    ours in its place. A span that is not sampled costs little more than its header.

    Args:
        tracer_provider: the global one if not given.
        propagator: who writes the context; the global one if not given.
        meter_provider: who gets ``messaging.client.operation.duration``; nobody if not given.
        inject_only: no spans, only the current context in the headers.
        record_key: put keys that are text into ``messaging.kafka.message.key``.
        client_id: becomes ``messaging.client.id``.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        meter_provider: MeterProvider | None = None,
        inject_only: bool = False,
        record_key: bool = False,
        client_id: str | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        self._propagator = propagator
        self._inject_only = inject_only
        self._record_key = record_key
        self._common = dict(_SEND) if client_id is None else {**_SEND, CLIENT_ID: client_id}
        self._open: dict[Header, tuple[Span, float]] = {}
        self._durations: Histogram | None = None
        if meter_provider is not None:
            self._durations = get_meter(_SCOPE, __version__, meter_provider).create_histogram(
                DURATION,
                "s",
                "Time from send() to the acknowledgement.",
                explicit_bucket_boundaries_advisory=list(_BOUNDARIES),
            )

    def on_send(self, record: Record[K, V]) -> Record[K, V]:
        """Begin the record's span and put its context into the headers."""
        propagator = self._propagator or get_global_textmap()
        fields = {field.lower() for field in propagator.fields}
        headers = [header for header in record.headers if header[0].lower() not in fields]
        if self._inject_only:
            propagator.inject(headers, setter=_HEADERS)
            return replace(record, headers=headers)
        span = self._tracer.start_span(
            f"send {record.topic}",
            kind=SpanKind.PRODUCER,
            attributes=self._attributes(record) if self._would_record() else None,
            links=self._links(propagator, record.headers, len(headers)),
        )
        before = len(headers)
        propagator.inject(headers, trace.set_span_in_context(span), setter=_HEADERS)
        self._keep(span, headers[before:])
        return replace(record, headers=headers)

    def on_acknowledgement(
        self,
        record: Record[Any, Any],
        metadata: RecordMetadata | None,
        error: Exception | None,
    ) -> None:
        """End the record's span with where it went, or why it failed."""
        for header in record.headers:
            kept = self._open.pop((header[0], header[1]), None)
            if kept is not None:
                self._end(*kept, record.topic, metadata, error)
                return

    def close(self) -> None:
        """End what is open."""
        while self._open:
            _, (span, _) = self._open.popitem()
            span.end()

    def _would_record(self) -> bool:
        return not isinstance(self._tracer, trace.NoOpTracer)

    def _attributes(self, record: Record[Any, Any]) -> dict[str, Any]:
        attributes: dict[str, Any] = {**self._common, DESTINATION: record.topic}
        if record.value is None:
            attributes[TOMBSTONE] = True
        elif isinstance(record.value, bytes | bytearray | str):
            attributes[BODY_SIZE] = len(record.value)
        if self._record_key and record.key is not None:
            key = _as_text(record.key)
            if key is not None:
                attributes[KEY] = key
        return attributes

    def _links(
        self, propagator: TextMapPropagator, headers: Sequence[Header], left: int
    ) -> list[Link]:
        if left == len(headers):
            return []
        context = propagator.extract(headers, Context(), getter=_HEADERS)
        found = trace.get_current_span(context).get_span_context()
        return [Link(found)] if found.is_valid else []

    def _keep(self, span: Span, injected: Sequence[Header]) -> None:
        """Remember the span by the header that has its id in it, whoever made that header."""
        if not span.is_recording() and self._durations is None:
            return
        span_id = trace.format_span_id(span.get_span_context().span_id).encode()
        for name, value in injected:
            if value is not None and span_id in value:
                self._open[name, value] = span, time.perf_counter()
                return
        # A propagator that writes nothing: nobody will know the span again.
        span.end()

    def _end(
        self,
        span: Span,
        started: float,
        topic: str,
        metadata: RecordMetadata | None,
        error: Exception | None,
    ) -> None:
        labels: dict[str, Any] = {**self._common, DESTINATION: topic}
        if metadata is not None:
            labels[PARTITION] = str(metadata.partition)
            span.set_attribute(PARTITION, labels[PARTITION])
            if metadata.has_offset:
                span.set_attribute(OFFSET, metadata.offset)
        if error is not None:
            labels[ERROR_TYPE] = error_type(error)
            span.set_attribute(ERROR_TYPE, labels[ERROR_TYPE])
            span.set_status(StatusCode.ERROR, str(error))
        if self._durations is not None:
            self._durations.record(time.perf_counter() - started, labels)
        span.end()


def error_type(error: Exception) -> str:
    """Return what tells failures apart with few values: Kafka's name of the code, or the class."""
    return error.name if isinstance(error, BrokerError) else type(error).__name__


def _as_text(key: object) -> str | None:
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        try:
            return key.decode()
        except UnicodeDecodeError:
            return None
    return str(key) if isinstance(key, int) else None


class Instrumentation:
    """What ``instrument()`` gives: the producer is observed until ``close()`` or the block's end.

    OpenTelemetry has no way to take an instrument back; after ``close()`` ours observe nothing.
    """

    def __init__(self, producer: Measured, meter: Meter) -> None:
        self._source: Source | None = Source(producer)
        self._client_id = producer.client_id
        self._last: tuple[float, MetricsSnapshot | None] = (float("-inf"), None)
        for metric in METRICS:
            self._make(meter, metric)
        meter.create_observable_counter(
            SENT_MESSAGES, [self._sent], "{message}", "Records acknowledged or failed."
        )

    def close(self) -> None:
        """Observe the producer no more."""
        self._source = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _make(self, meter: Meter, metric: Metric) -> None:
        spelt = otel_name(metric)
        if spelt is None:
            return
        name, unit = spelt
        words = metric.doc.replace("`", "")
        if metric.kind is Kind.TOTAL:
            meter.create_observable_counter(name, [self._reader(metric)], unit, words)
        else:
            meter.create_observable_gauge(name, [self._reader(metric)], unit, words)

    def _reader(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        scale = {"ms": 1e-3, "ns": 1e-9}.get(metric.unit, 1.0)

        def read(options: CallbackOptions) -> Iterable[Observation]:
            snapshot = self._snapshot()
            if snapshot is None:
                return
            for labels, figures in self._rows(metric, snapshot):
                yield Observation(getattr(figures, metric.attribute) * scale, labels)

        return read

    def _rows(
        self, metric: Metric, snapshot: MetricsSnapshot
    ) -> Iterable[tuple[dict[str, Any], object]]:
        own = {CLIENT_ID: self._client_id}
        if metric.group is Group.TOPIC:
            for topic, figures in snapshot.topics.items():
                yield {**own, DESTINATION: topic}, figures
        elif metric.group is Group.NODE:
            for node_id, node in snapshot.nodes.items():
                # Addresses to begin with get ever new ids.
                if node_id >= 0:
                    yield {**own, NODE_ID: node_id}, node
        else:
            yield own, snapshot

    def _sent(self, options: CallbackOptions) -> Iterable[Observation]:
        snapshot = self._snapshot()
        if snapshot is None:
            return
        for topic, figures in snapshot.topics.items():
            labels = {**_SEND, CLIENT_ID: self._client_id, DESTINATION: topic}
            yield Observation(figures.record_ack_total, labels)
            if figures.record_error_total:
                failed = {**labels, ERROR_TYPE: "_OTHER"}
                yield Observation(figures.record_error_total, failed)

    def _snapshot(self) -> MetricsSnapshot | None:
        """Return one snapshot for all instruments of a collection."""
        taken, snapshot = self._last
        if self._source is None:
            return None
        now = time.monotonic()
        if now - taken >= _SNAPSHOT_SECONDS:
            snapshot = self._source.snapshot()
            self._last = now, snapshot
        return snapshot


def instrument(producer: Measured, meter_provider: MeterProvider | None = None) -> Instrumentation:
    """Have OpenTelemetry observe a producer; called where its event loop runs.

    A reader takes a snapshot on the producer's thread, from whatever thread it comes. The producer
    is held weakly.
    """
    return Instrumentation(producer, get_meter(_SCOPE, __version__, meter_provider))


def otel_name(metric: Metric) -> tuple[str, str] | None:
    """Return name and unit of a metric; ``None`` for rates, which follow from the totals.

    The name is the one for Prometheus without suffixes: whoever exports from OpenTelemetry to
    Prometheus puts them back. Percentiles are here because observed instruments have no histogram.
    """
    if metric.kind is Kind.PERCENTILE:
        return f"aioproducer.{metric.attribute}", "s"
    spelt = exported(metric)
    if spelt is None:
        return None
    name = spelt.name.removesuffix("_total")
    unit = {"ms": "s", "ns": "s", "s": "s", "bytes": "By", "ratio": "1"}.get(metric.unit)
    if unit is None:
        unit = f"{{{metric.unit}}}"
    for suffix in ("_seconds", "_ratio") if "byte" in metric.name else _SUFFIXES:
        name = name.removesuffix(suffix)
    for prefix in ("kafka_producer_topic_", "kafka_producer_node_", "kafka_producer_"):
        if name.startswith(prefix):
            return prefix.replace("_", ".") + name.removeprefix(prefix), unit
    return name.replace("aioproducer_", "aioproducer.", 1), unit
