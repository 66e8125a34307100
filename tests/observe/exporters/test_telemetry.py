from __future__ import annotations

import gc
import re
import weakref

from aioproducer.observe.catalogue import METRICS, Group, Kind
from aioproducer.observe.exporters.telemetry import (
    collector_of,
    telemetry_name,
    telemetry_points,
)
from aioproducer.observe.readings import Registered
from aioproducer.observe.snapshot import MetricsSnapshot, NodeMetrics, TopicMetrics
from aioproducer.wire.otlp import Point

NAMES = {(metric.group, metric.name): telemetry_name(metric) for metric in METRICS}


def test_names_are_kafka_s_with_dots() -> None:
    assert NAMES[Group.PRODUCER, "connection-creation-rate"] == (
        "org.apache.kafka.producer.connection.creation.rate"
    )
    assert NAMES[Group.TOPIC, "byte-total"] == "org.apache.kafka.producer.topic.byte.total"
    assert NAMES[Group.NODE, "request-latency-avg"] == (
        "org.apache.kafka.producer.node.request.latency.avg"
    )
    assert all(re.fullmatch(r"[a-z0-9.]+", name) for name in NAMES.values())


def test_what_kafka_has_not_is_not_among_kafka_s_names() -> None:
    for metric in METRICS:
        assert telemetry_name(metric).startswith("org.apache.kafka.") is not metric.own


def test_totals_are_sums_and_tags_are_attributes() -> None:
    snapshot = MetricsSnapshot(
        record_send_total=7,
        request_latency_avg=12.5,
        topics={"orders": TopicMetrics(byte_total=99)},
        nodes={1: NodeMetrics(request_total=4)},
        registered={Registered("own", Kind.GAUGE, "1", ""): float("nan")},
    )
    points = telemetry_points(snapshot)
    assert Point("org.apache.kafka.producer.record.send.total", 7, True) in points
    assert Point("org.apache.kafka.producer.request.latency.avg", 12.5, False) in points
    topic = (("topic", "orders"),)
    assert Point("org.apache.kafka.producer.topic.byte.total", 99, True, topic) in points
    node = (("node_id", "node-1"),)
    assert Point("org.apache.kafka.producer.node.request.total", 4, True, node) in points
    assert not [point for point in points if "client" in str(point.attributes)]
    assert not [point for point in points if point.value != point.value]


def test_a_producer_that_is_gone_has_nothing_to_tell() -> None:
    class Producer:
        def metrics(self) -> MetricsSnapshot:
            return MetricsSnapshot(record_send_total=1)

    producer = Producer()
    collect = collector_of(weakref.WeakMethod(producer.metrics))
    assert collect()
    del producer
    gc.collect()
    assert collect() == []
