"""A snapshot read as a list."""

from __future__ import annotations

from typing import Any

import pytest

from aioproducer import MetricKind, MetricsSnapshot, NodeMetrics, TopicMetrics
from aioproducer.core.histogram import bucket_of, no_counts
from aioproducer.observe.catalogue import METRICS, NODE_METRICS, TOPIC_METRICS, Group
from aioproducer.observe.readings import Registered, TimeHistogram


def test_every_figure_comes_with_its_metric_and_its_tags() -> None:
    snapshot = MetricsSnapshot(
        record_send_rate=12.5,
        topics={"orders": TopicMetrics(byte_rate=7.0)},
        nodes={3: NodeMetrics(request_total=9)},
        registered={Registered("dead-letter-total", MetricKind.TOTAL, "records", "Lost."): 2.0},
    )
    readings = list(snapshot.readings())
    found = {
        (each.metric.group, each.metric.name, *each.tags.values()): each.value for each in readings
    }
    assert len(found) == len(readings) == len(METRICS) + 1
    assert found[Group.PRODUCER, "record-send-rate"] == 12.5
    assert found[Group.TOPIC, "byte-rate", "orders"] == 7.0
    assert found[Group.NODE, "request-total", "node-3"] == 9
    assert found[Group.REGISTERED, "dead-letter-total"] == 2.0


def test_without_topics_and_brokers_only_the_producer_is_read() -> None:
    names = {each.metric for each in MetricsSnapshot().readings()}
    assert not names & {*TOPIC_METRICS, *NODE_METRICS}


def test_as_java_has_kafkas_names_and_none_of_ours() -> None:
    java = MetricsSnapshot(record_send_total=4, waiting_records=2).as_java()
    assert java["record-send-total"] == 4
    assert "waiting-records" not in java


def test_a_histogram_knows_its_percentiles() -> None:
    counts = no_counts()
    counts[bucket_of(0.05)] = 99
    counts[bucket_of(1.0)] = 1
    times = TimeHistogram(tuple(counts), 5.95)
    assert times.count == 100
    assert times.percentile(50) <= 0.05 < times.percentile(99.5) <= 1.0


@pytest.mark.parametrize("percent", [-1, 100.1, float("nan")])
def test_a_percentile_is_from_0_to_100(percent: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 100"):
        TimeHistogram(tuple(no_counts())).percentile(percent)


def test_one_figure_is_had_by_either_name() -> None:
    snapshot = MetricsSnapshot(
        record_send_rate=2.0,
        topics={"orders": TopicMetrics(byte_rate=3.0)},
        nodes={1: NodeMetrics(request_latency_avg=4.0)},
    )
    assert snapshot.value("record-send-rate") == snapshot.value("record_send_rate") == 2.0
    assert snapshot.value("byte-rate", topic="orders") == 3.0
    assert snapshot.value("request-latency-avg", node=1) == 4.0


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("record-sent-rate", {}, "no such metric; did you mean 'record_send_rate'"),
        ("byte-rate", {}, "no such metric"),
        ("xyz", {"topic": "orders"}, "'xyz': no such metric$"),
        ("byte-rate", {"topic": "others"}, "nothing was counted of others"),
        ("request-rate", {"node": 7}, "nothing was counted of broker 7"),
    ],
)
def test_an_unknown_metric_is_refused(name: str, place: dict[str, Any], words: str) -> None:
    snapshot = MetricsSnapshot(topics={"orders": TopicMetrics()})
    with pytest.raises(ValueError, match=words):
        snapshot.value(name, **place)
