"""The table of metrics: each of Kafka's is there, or named with the reason."""

from __future__ import annotations

import re

import pytest

from aioproducer.core.meters import NodeSample, ProducerSample, TopicSample
from aioproducer.observe.catalogue import (
    ABSENT,
    METRICS,
    NODE_METRICS,
    PRODUCER_METRICS,
    TOPIC_METRICS,
    Group,
    Kind,
    Metric,
    Of,
)

_BOTH = ("rate", "total")
_SPREAD = ("avg", "max")


def named(stem: str, endings: tuple[str, ...]) -> set[str]:
    return {f"{stem}-{ending}" for ending in endings}


# Kafka 4.3's producer, as SenderMetricsRegistry, KafkaProducerMetrics, BufferPool and Selector
# register them.
OF_KAFKA: dict[Group, set[str]] = {
    Group.PRODUCER: {
        "buffer-total-bytes", "buffer-available-bytes", "bufferpool-wait-ratio",
        "bufferpool-wait-time-ns-total", "waiting-threads", "compression-rate-avg",
        "records-per-request-avg", "requests-in-flight", "metadata-age", "flush-time-ns-total",
        "metadata-wait-time-ns-total", "txn-init-time-ns-total", "txn-begin-time-ns-total",
        "txn-send-offsets-time-ns-total", "txn-commit-time-ns-total", "txn-abort-time-ns-total",
        "txn-prepare-time-ns-total", "connection-count", "connections",
        "successful-authentication-no-reauth-total", "io-wait-time-ns-avg", "io-wait-ratio",
        "io-wait-time-ns-total", "io-time-ns-avg", "io-ratio", "io-time-ns-total",
        *(
            name
            for stem in (
                "batch-split", "buffer-exhausted", "record-send", "record-retry", "record-error",
                "connection-close", "connection-creation", "successful-authentication",
                "successful-reauthentication", "failed-authentication",
                "failed-reauthentication", "network-io", "outgoing-byte", "incoming-byte",
                "request", "response", "select",
            )
            for name in named(stem, _BOTH)
        ),
        *(
            name
            for stem in (
                "batch-size", "record-queue-time", "request-latency", "record-size",
                "produce-throttle-time", "reauthentication-latency", "request-size",
            )
            for name in named(stem, _SPREAD)
        ),
    },
    Group.TOPIC: {
        "compression-rate",
        *(n for stem in ("record-send", "byte", "record-retry", "record-error")
          for n in named(stem, _BOTH)),
    },
    Group.NODE: {
        *(n for stem in ("request", "outgoing-byte", "response", "incoming-byte")
          for n in named(stem, _BOTH)),
        *(n for stem in ("request-size", "request-latency") for n in named(stem, _SPREAD)),
    },
    Group.COUNT: {"count"},
    Group.APP: {"version", "commit-id", "start-time-ms"},
}  # fmt: skip


@pytest.mark.parametrize("group", OF_KAFKA, ids=lambda group: group.value)
def test_each_metric_of_kafka_is_there_or_named_with_the_reason(group: Group) -> None:
    there = {metric.name for metric in METRICS if metric.group is group and not metric.own}
    absent = {each.name for each in ABSENT if each.group is group}
    assert there | absent == OF_KAFKA[group]
    assert not there & absent


@pytest.mark.parametrize("metrics", [PRODUCER_METRICS, TOPIC_METRICS, NODE_METRICS])
def test_no_two_metrics_of_a_snapshot_share_an_attribute(metrics: tuple[Metric, ...]) -> None:
    attributes = [metric.attribute for metric in metrics]
    assert len(attributes) == len(set(attributes))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: f"{metric.group.name}-{metric.name}")
def test_each_metric_is_described_and_read_from_what_is_counted(metric: Metric) -> None:
    assert metric.doc.endswith(".")
    assert metric.unit
    assert re.fullmatch("[a-z][a-z0-9-]*", metric.name)
    samples = {
        Of.PRODUCER: ProducerSample, Of.TOPIC: TopicSample, Of.NODE: NodeSample,
        Of.NODES: NodeSample,
    }  # fmt: skip
    if metric.of is Of.MOMENT:
        assert metric.source == ()
    elif metric.kind is Kind.PERCENTILE:
        assert 0 < float(metric.source[0]) < 1
    else:
        sample = samples[metric.of]
        assert set(metric.source) <= {*sample.SUMS, *sample.MAXIMA}
        assert len(metric.source) == (2 if metric.kind is Kind.AVERAGE else 1)


@pytest.mark.parametrize("absent", ABSENT, ids=lambda absent: absent.name)
def test_each_absence_has_a_reason(absent: object) -> None:
    assert len(getattr(absent, "reason")) > 10  # noqa: B009
