"""Producers observed by OpenTelemetry: one set of instruments for each meter provider.

The SDK hands an instrument back when one of its name is made again, and drops the callback that
came with it. So instruments are made once, and ask whatever producers are observed.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from opentelemetry.metrics import (
    CallbackOptions,
    Meter,
    MeterProvider,
    Observation,
    get_meter,
    get_meter_provider,
)

from aioproducer.observe.catalogue import METRICS, Group, Kind, Metric
from aioproducer.observe.exporters.otel_names import (
    CLIENT_ID,
    DESTINATION,
    ERROR_TYPE,
    NODE_ID,
    SCOPE,
    SEND,
    SENT_MESSAGES,
    otel_name,
)
from aioproducer.observe.exporters.source import Measured, Source
from aioproducer.observe.readings import Registered
from aioproducer.observe.snapshot import MetricsSnapshot
from aioproducer.version import __version__

_SNAPSHOT_SECONDS = 0.5
_MAKING_S = 0.05

_Rows = Callable[["Instrumentation", MetricsSnapshot], Iterable[Observation]]


class Instrumentation:
    """What ``instrument()`` gives: the producer is observed until ``close()`` or the block's end.

    OpenTelemetry has no way to take an instrument back; after ``close()`` ours say nothing of this
    producer.
    """

    def __init__(self, producer: Measured, instruments: _Instruments) -> None:
        self.source = Source(producer)
        self.client_id = producer.client_id
        self._instruments = instruments
        self._last: tuple[float, MetricsSnapshot | None] = (float("-inf"), None)

    def close(self) -> None:
        """Observe the producer no more."""
        self._instruments.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def snapshot(self) -> MetricsSnapshot | None:
        """Return one snapshot for all instruments of a collection."""
        taken, snapshot = self._last
        if time.monotonic() - taken >= _SNAPSHOT_SECONDS:
            snapshot = self.source.snapshot()
            # A loop that does not answer is not waited for by each instrument anew.
            self._last = time.monotonic(), snapshot
        return snapshot


class _Instruments:
    """All instruments of one provider, and the producers that they ask."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._observed: tuple[Instrumentation, ...] = ()
        self._registered: set[tuple[str, Kind]] = set()
        for metric in METRICS:
            self._make(metric, _rows_of(metric))
        meter.create_observable_counter(
            SENT_MESSAGES, [self._asking(_sent)], "{message}", "Records acknowledged or failed."
        )

    def add(self, producer: Measured) -> Instrumentation:
        """Observe a producer, once."""
        added = Instrumentation(producer, self)
        with self._lock:
            others = (each for each in self._observed if each.source.producer is not producer)
            self._observed = (*others, added)
        making = self._make_registered(producer.metrics().registered)
        if making is not None:
            making.join(_MAKING_S)
        return added

    def remove(self, gone: Instrumentation) -> None:
        """Observe it no more. Harmless when called twice."""
        with self._lock:
            self._observed = tuple(each for each in self._observed if each is not gone)

    def _make(self, metric: Metric, rows: _Rows) -> None:
        spelt = otel_name(metric)
        if spelt is None:
            return
        name, unit = spelt
        words = metric.doc.replace("`", "")
        if metric.kind is Kind.TOTAL:
            self._meter.create_observable_counter(name, [self._asking(rows)], unit, words)
        else:
            self._meter.create_observable_gauge(name, [self._asking(rows)], unit, words)

    def _make_registered(self, known: Iterable[Registered]) -> threading.Thread | None:
        """Make instruments for metrics of the application's own that have none yet.

        On a thread: whoever collects holds a lock of the SDK's while it waits for a producer's
        loop, and making an instrument waits for that lock.
        """
        with self._lock:
            new = [each for each in known if (each.name, each.kind) not in self._registered]
            self._registered.update((each.name, each.kind) for each in new)
        if not new:
            return None

        def make() -> None:
            for each in new:
                self._make(each.metric, _rows_of_registered(each))

        thread = threading.Thread(target=make, name="aioproducer-instruments", daemon=True)
        thread.start()
        return thread

    def _asking(self, rows: _Rows) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(options: CallbackOptions) -> Iterator[Observation]:
            for each in self._observed:
                snapshot = each.snapshot()
                if each.source.producer is None:
                    self.remove(each)
                elif snapshot is not None:
                    if snapshot.registered:
                        self._make_registered(snapshot.registered)
                    yield from rows(each, snapshot)

        return read


def _rows_of(metric: Metric) -> _Rows:
    scale = _scale(metric)

    def rows(observed: Instrumentation, snapshot: MetricsSnapshot) -> Iterator[Observation]:
        for labels, figures in _labelled(metric.group, observed.client_id, snapshot):
            yield Observation(getattr(figures, metric.attribute) * scale, labels)

    return rows


def _rows_of_registered(wanted: Registered) -> _Rows:
    def rows(observed: Instrumentation, snapshot: MetricsSnapshot) -> Iterator[Observation]:
        for each, value in snapshot.registered.items():
            is_it = (each.name, each.kind) == (wanted.name, wanted.kind)
            # What could not be read would spoil a sum for ever.
            if is_it and not math.isnan(value):
                yield Observation(value * _scale(each.metric), {CLIENT_ID: observed.client_id})

    return rows


def _scale(metric: Metric) -> float:
    return {"ms": 1e-3, "ns": 1e-9}.get(metric.unit, 1.0)


def _labelled(
    group: Group, client_id: str, snapshot: MetricsSnapshot
) -> Iterator[tuple[dict[str, Any], object]]:
    own = {CLIENT_ID: client_id}
    if group is Group.TOPIC:
        for topic, figures in snapshot.topics.items():
            yield {**own, DESTINATION: topic}, figures
    elif group is Group.NODE:
        for node_id, node in snapshot.nodes.items():
            # Addresses to begin with get ever new ids.
            if node_id >= 0:
                yield {**own, NODE_ID: node_id}, node
    else:
        yield own, snapshot


def _sent(observed: Instrumentation, snapshot: MetricsSnapshot) -> Iterator[Observation]:
    for topic, figures in snapshot.topics.items():
        labels = {**SEND, CLIENT_ID: observed.client_id, DESTINATION: topic}
        yield Observation(figures.record_ack_total, labels)
        if figures.record_error_total:
            failed = {**labels, ERROR_TYPE: "_OTHER"}
            yield Observation(figures.record_error_total, failed)


_lock = threading.Lock()
_by_provider: weakref.WeakKeyDictionary[MeterProvider, _Instruments] = weakref.WeakKeyDictionary()
# Made before the application had set a provider: they become that one's when it comes.
_early: list[_Instruments] = []


def instrument(producer: Measured, meter_provider: MeterProvider | None = None) -> Instrumentation:
    """Have OpenTelemetry observe a producer; called where its event loop runs.

    A reader takes a snapshot on the producer's thread, from whatever thread it comes. The producer
    is held weakly. Any number of producers may be observed; give each a ``client_id`` of its own,
    or their figures cannot be told apart. Metrics registered later show from the collection after
    the next on.
    """
    current = get_meter_provider()
    provider = current if meter_provider is None else meter_provider
    with _lock:
        instruments = _by_provider.get(provider)
        if instruments is None and provider is current and _early:
            instruments = _early[0]
        if instruments is None:
            instruments = _Instruments(get_meter(SCOPE, __version__, meter_provider))
            _by_provider[provider] = instruments
            if meter_provider is None:
                _early.append(instruments)
    return instruments.add(producer)
