"""Prometheus' conventions, held for every metric of the table."""

from __future__ import annotations

import re

import pytest

from aioproducer.observe.catalogue import METRICS, Group, Kind, Metric
from aioproducer.observe.exporters.names import EXPORTED, exported

rows = pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.group.value} {m.name}")


def test_names_are_unique() -> None:
    names = [each.name for each in EXPORTED.values()]
    assert len(names) == len(set(names))


@rows
def test_each_metric_has_a_name_or_can_be_worked_out(metric: Metric) -> None:
    spelt = exported(metric)
    if spelt is None:
        # A rate has its total; percentiles have the histogram.
        names = {each.name for each in METRICS if each.group is metric.group}
        stem = metric.name.removesuffix("-rate")
        assert {f"{stem}-total", f"{stem}s"} & names or metric.kind is Kind.PERCENTILE
        return
    assert re.fullmatch(r"[a-z][a-z0-9_]*", spelt.name)
    assert spelt.is_counter == spelt.name.endswith("_total") == (metric.kind is Kind.TOTAL)
    assert not re.search(r"_(ms|ns|s|byte)(_|$)", spelt.name), "base units, in words"
    assert "__" not in spelt.name


@rows
def test_values_come_in_base_units(metric: Metric) -> None:
    spelt = exported(metric)
    if spelt is None:
        return
    assert spelt.scale == {"ms": 1e-3, "ns": 1e-9}.get(metric.unit, 1.0)
    if metric.unit in ("ms", "ns", "s"):
        assert spelt.name.removesuffix("_total").endswith("_seconds")
    if metric.unit == "bytes":
        assert spelt.name.removesuffix("_total").endswith("_bytes")


@pytest.mark.parametrize(
    ("group", "name", "expected"),
    [
        (Group.PRODUCER, "record-send-total", "kafka_producer_record_send_total"),
        (Group.PRODUCER, "request-latency-avg", "kafka_producer_request_latency_avg_seconds"),
        (Group.PRODUCER, "flush-time-ns-total", "kafka_producer_flush_time_seconds_total"),
        (Group.PRODUCER, "buffer-available-bytes", "kafka_producer_buffer_available_bytes"),
        (Group.PRODUCER, "buffer-total-bytes", "kafka_producer_buffer_total_bytes"),
        (Group.TOPIC, "byte-total", "kafka_producer_topic_bytes_total"),
        (Group.NODE, "incoming-byte-total", "kafka_producer_node_incoming_bytes_total"),
        (Group.OWN, "batch-fill-avg", "aioproducer_batch_fill_avg_ratio"),
        (Group.APP, "start-time-ms", "aioproducer_start_time_seconds"),
    ],
)
def test_names_that_dashboards_rely_on(group: Group, name: str, expected: str) -> None:
    assert EXPORTED[group, name].name == expected


def test_a_metric_of_the_application_has_a_prefix_of_its_own() -> None:
    own = Metric("dead-letter-total", Kind.TOTAL, "records", "Letters.", Group.REGISTERED, own=True)
    spelt = exported(own)
    assert spelt is not None
    assert spelt.name == "aioproducer_app_dead_letter_total"
