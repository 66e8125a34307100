"""A snapshot as brokers want it (KIP-714): Kafka's names with dots, sums and gauges."""

from __future__ import annotations

from collections.abc import Callable

from aioproducer.observe.catalogue import Group, Kind, Metric
from aioproducer.observe.snapshot import MetricsSnapshot
from aioproducer.wire.otlp import Point

_PREFIX = "org.apache.kafka."
_OWN_PREFIX = "aioproducer."
"""What Kafka has not is not put among its names."""


def telemetry_name(metric: Metric) -> str:
    """Return a metric's name: org.apache.kafka.producer.record.send.total."""
    group = metric.group.value.removesuffix("-metrics")
    prefix = _OWN_PREFIX if metric.own or metric.group is Group.OWN else _PREFIX
    return f"{prefix}{group}.{metric.name}".replace("-", ".")


def telemetry_points(snapshot: MetricsSnapshot) -> list[Point]:
    """Return every figure but the client id: the broker knows who pushes."""
    return [
        Point(
            telemetry_name(metric),
            value,
            metric.kind is Kind.TOTAL,
            tuple((tag.replace("-", "_"), text) for tag, text in tags.items()),
        )
        for metric, tags, value in snapshot.readings()
        # NaN is for an own metric that could not be read.
        if value == value
    ]


def collector_of(
    metrics: Callable[[], Callable[[], MetricsSnapshot] | None],
) -> Callable[[], list[Point]]:
    """Return what the engine asks for points; ``metrics`` holds the producer weakly."""

    def collect() -> list[Point]:
        take = metrics()
        return [] if take is None else telemetry_points(take())

    return collect
