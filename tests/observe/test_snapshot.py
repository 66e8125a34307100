"""The snapshot's classes are written from the table."""

from __future__ import annotations

from dataclasses import fields

from aioproducer import MetricsSnapshot, NodeMetrics, TopicMetrics
from aioproducer.observe.catalogue import NODE_METRICS, PRODUCER_METRICS, TOPIC_METRICS
from tools.metrics_reference import render_page, render_snapshot


def test_each_metric_has_its_field() -> None:
    for made, metrics, beside in (
        (TopicMetrics, TOPIC_METRICS, {"partition_records", "partition_count"}),
        (NodeMetrics, NODE_METRICS, set()),
        (
            MetricsSnapshot,
            PRODUCER_METRICS,
            {"client_id", "version", "ack_times", "topics", "nodes", "ciphers", "registered"},
        ),
    ):
        names = {field.name for field in fields(made)}
        assert names - beside == {metric.attribute for metric in metrics}


def test_the_page_names_every_metric() -> None:
    page = render_page()
    assert all(f"`{metric.name}`" in page for metric in PRODUCER_METRICS)
    assert "record_send_rate: float = 0.0" in render_snapshot()
    assert "record_send_total: int = 0" in render_snapshot()
