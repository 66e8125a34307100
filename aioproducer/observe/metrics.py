"""Makes a snapshot of what the meters counted; costs only those who ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from aioproducer.core.histogram import percentile
from aioproducer.core.meters import NodeSample, ProducerSample
from aioproducer.core.sampling import Lately, Meter
from aioproducer.observe.catalogue import (
    NODE_METRICS,
    PRODUCER_METRICS,
    TOPIC_METRICS,
    Kind,
    Metric,
    Of,
)
from aioproducer.observe.readings import Registered, TimeHistogram
from aioproducer.observe.snapshot import MetricsSnapshot, NodeMetrics, TopicMetrics
from aioproducer.runtime.connection_manager import ConnectionManager
from aioproducer.runtime.engine import Engine

_PER_SECOND = {"ns": 1e9, "ms": 1e3}
"""Samples hold seconds."""


class _Source(NamedTuple):
    """All that was counted, what was counted lately, and in how many seconds each."""

    total: Any
    recent: tuple[Lately[Any], ...]

    @classmethod
    def of(cls, meter: Meter[Any], now: float) -> _Source:
        return cls(meter.total(), (meter.lately(now),))

    @classmethod
    def of_all(cls, meters: Iterable[Meter[NodeSample]], now: float) -> _Source:
        total = NodeSample(now)
        recent = []
        for meter in meters:
            total.add(meter.total())
            recent.append(meter.lately(now))
        return cls(total, tuple(recent))

    def read(self, metric: Metric) -> Any:
        """Return the value of ``metric``."""
        scale = _PER_SECOND.get(metric.unit, 1)
        if metric.kind is Kind.PERCENTILE:
            sample: ProducerSample = self.recent[0].sample
            fraction = float(metric.source[0])
            return percentile(sample.ack_times, fraction, sample.ack_time_max) * scale
        field = metric.source[0]
        if metric.kind is Kind.TOTAL:
            total = getattr(self.total, field)
            return total if scale == 1 else round(total * scale)
        if metric.kind is Kind.RATE:
            return sum((getattr(sample, field) / seconds for sample, seconds in self.recent), 0.0)
        if metric.kind is Kind.MAXIMUM:
            most = max((getattr(sample, field) for sample, _ in self.recent), default=0.0)
            return float(most * scale)
        amount = sum(getattr(sample, field) for sample, _ in self.recent)
        count = sum(getattr(sample, metric.source[1]) for sample, _ in self.recent)
        return amount / count * scale if count else 0.0


def take_snapshot(
    engine: Engine | None,
    client_id: str = "",
    registered: Mapping[Registered, Callable[[], float]] | None = None,
) -> MetricsSnapshot:
    """Return the figures of ``engine``, zeros before the producer was started."""
    if engine is None:
        return MetricsSnapshot(client_id)
    engine.admission.book_waits()
    now = engine.now()
    meters = engine.meters
    sources = {
        Of.PRODUCER: _Source.of(meters.producer, now),
        Of.NODES: _Source.of_all(meters.all_nodes(), now),
    }
    values: dict[str, Any] = {
        metric.attribute: sources[metric.of].read(metric)
        for metric in PRODUCER_METRICS
        if metric.of is not Of.MOMENT
    }
    total: ProducerSample = sources[Of.PRODUCER].total
    view = engine.cluster.view.topics
    topics = {
        name: _topic(meter, len(view[name].partitions) if name in view else 0, now)
        for name, meter in meters.topics.items()
    }
    managers = engine.cluster.managers()
    nodes = {
        node_id: _node(meter, managers.get(node_id), now) for node_id, meter in meters.nodes.items()
    }
    own = dict(_read_all(registered or {}))
    values |= _moment(engine, values, now)
    values["count"] = (
        len(PRODUCER_METRICS)
        + len(TOPIC_METRICS) * len(topics)
        + len(NODE_METRICS) * len(nodes)
        + len(own)
    )
    return MetricsSnapshot(
        client_id=client_id,
        ack_times=TimeHistogram(tuple(total.ack_times), total.ack_time),
        topics=topics,
        nodes=nodes,
        ciphers=Counter(cipher for m in managers.values() if (cipher := m.cipher) is not None),
        registered=own,
        **values,
    )


def _read_all(
    registered: Mapping[Registered, Callable[[], float]],
) -> Iterable[tuple[Registered, float]]:
    for metric, read in list(registered.items()):
        try:
            yield metric, float(read())
        except Exception:  # noqa: BLE001 - the application's own; all others are to be had
            yield metric, float("nan")


def _topic(meter: Meter[Any], partitions: int, now: float) -> TopicMetrics:
    source = _Source.of(meter, now)
    values: dict[str, Any] = {metric.attribute: source.read(metric) for metric in TOPIC_METRICS}
    return TopicMetrics(
        **values, partition_records=source.recent[0].sample.partitions, partition_count=partitions
    )


def _node(meter: Meter[NodeSample], manager: ConnectionManager | None, now: float) -> NodeMetrics:
    source = _Source.of(meter, now)
    values: dict[str, Any] = {
        metric.attribute: source.read(metric)
        for metric in NODE_METRICS
        if metric.of is not Of.MOMENT
    }
    return NodeMetrics(
        **values,
        requests_in_flight=0 if manager is None else manager.in_flight,
        connected=int(manager is not None and manager.is_connected),
        throttled=int(manager is not None and manager.is_throttled),
    )


def _moment(engine: Engine, values: Mapping[str, float], now: float) -> dict[str, float]:
    """Return what is not counted but looked at now."""
    budget, room = engine.budget, engine.admission.room
    stalls = engine.watch.figures
    cluster = engine.cluster
    oldest = room.oldest()
    refreshed = cluster.refreshed_at
    return {
        "buffer_total_bytes": budget.total,
        "buffer_available_bytes": budget.available,
        "waiting_threads": len(room.memory_line),
        "requests_in_flight": cluster.brokers.requests_in_flight(),
        "metadata_age": 0.0 if refreshed is None else now - refreshed,
        "connection_count": sum(m.is_connected for m in cluster.managers().values()),
        "deliveries_outstanding": len(room) + engine.records.in_batches(),
        "waiting_records": len(room),
        "waiting_bytes": budget.waiting,
        "waiting_oldest_ms": 0.0 if oldest is None else (now - oldest.sent_at) * 1000,
        "batch_fill_avg": values["batch_size_avg"] / engine.batch_size,
        "loop_stalls": stalls.count,
        "loop_stall_longest_s": stalls.longest,
        "loop_stall_total_s": stalls.total,
        "uptime_s": now - engine.started_at,
        "metadata_topics": len(cluster.view.topics),
        "start_time_ms": engine.started_ms,
    }
