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
from tests.kafka_tables import kafka_metrics

# Of TLS connections alone, which the producer of the table had not.
_UNDER_TLS = {"connections"}
GROUPS = (Group.PRODUCER, Group.TOPIC, Group.NODE, Group.COUNT, Group.APP)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.value)
def test_each_metric_of_kafka_is_there_or_named_with_the_reason(group: Group) -> None:
    kafka = {each.name: each for each in kafka_metrics() if each.group == group.value}
    there = {metric.name: metric for metric in METRICS if metric.group is group and not metric.own}
    absent = {each.name for each in ABSENT if each.group is group}
    assert there.keys() | absent == kafka.keys() | (
        _UNDER_TLS if group is Group.PRODUCER else set()
    )
    assert not there.keys() & absent
    for name, metric in there.items():
        assert sorted(metric.tags) == kafka[name].tags, name


def test_kafka_has_no_other_group() -> None:
    assert {each.group for each in kafka_metrics()} == {group.value for group in GROUPS}


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
