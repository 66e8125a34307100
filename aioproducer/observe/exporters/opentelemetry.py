"""Metrics and spans for OpenTelemetry; of its packages only the API is needed here.

tracing = TracingInterceptor()
async with AsyncProducer("localhost:9092", interceptors=[tracing]) as producer:
    with instrument(producer):
        ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, MeterProvider, get_meter
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, TracerProvider

from aioproducer.errors import BrokerError
from aioproducer.observe.exporters.otel_metrics import Instrumentation, instrument
from aioproducer.observe.exporters.otel_names import (
    BODY_SIZE,
    CLIENT_ID,
    DESTINATION,
    DURATION,
    ERROR_TYPE,
    KEY,
    OFFSET,
    PARTITION,
    SCOPE,
    SEND,
    TOMBSTONE,
)
from aioproducer.records import Header, Record, RecordMetadata
from aioproducer.version import __version__

__all__ = ["Instrumentation", "TracingInterceptor", "error_type", "instrument"]

# The buckets that the conventions recommend, in seconds.
_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

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
    ours in its place. A span that is not sampled costs little more than its header. One whose
    header an interceptor behind drops ends when its record does, or an older one, and says nothing
    of the outcome. Several producers may share an instance.

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
        self._tracer = trace.get_tracer(SCOPE, __version__, tracer_provider)
        self._propagator = propagator
        self._inject_only = inject_only
        self._record_key = record_key
        self._common = dict(SEND) if client_id is None else {**SEND, CLIENT_ID: client_id}
        self._lock = threading.Lock()
        self._open: dict[Header, tuple[Span, float]] = {}
        self._under_way = 0
        self._durations: Histogram | None = None
        if meter_provider is not None:
            self._durations = get_meter(SCOPE, __version__, meter_provider).create_histogram(
                DURATION,
                "s",
                "Time from send() to the acknowledgement.",
                explicit_bucket_boundaries_advisory=list(_BOUNDARIES),
            )

    def on_send(self, record: Record[K, V]) -> Record[K, V]:
        """Begin the record's span and put its context into the headers."""
        with self._lock:
            self._under_way += 1
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
        kept = None
        with self._lock:
            for header in record.headers:
                kept = self._open.pop((header[0], header[1]), None)
                if kept is not None:
                    break
        if kept is not None:
            self._end(*kept, record.topic, metadata, error)
        self._settled()

    def close(self) -> None:
        """End what is open."""
        with self._lock:
            left = list(self._open.values())
            self._open.clear()
            self._under_way = 0
        for span, _ in left:
            span.end()

    def _settled(self) -> None:
        """End the oldest spans as long as there are more than records under way.

        Their records came back without our header: an interceptor behind dropped it.
        """
        lost = []
        with self._lock:
            self._under_way = max(0, self._under_way - 1)
            while len(self._open) > self._under_way:
                lost.append(self._open.pop(next(iter(self._open))))
        for span, _ in lost:
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
                with self._lock:
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
