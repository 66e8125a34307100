"""The lines are those of Kafka's kafka-producer-perf-test; its own output is the example."""

from __future__ import annotations

import re

from aioproducer.cli.perf_figures import (
    Figures,
    Outcome,
    metric_lines,
    metric_names,
    total_line,
    window_line,
)
from aioproducer.observe.catalogue import METRICS
from aioproducer.observe.readings import Reading

# As org.apache.kafka.tools.ProducerPerformance of 4.3.1 printed them.
JAVA_WINDOW = (
    "9179 records sent, 8675.8 records/sec (0.83 MB/sec), 433.7 ms avg latency,"
    " 985.0 ms max latency."
)
JAVA_TOTAL = (
    "60000 records sent, 7449.714428 records/sec (0.71 MB/sec), 962.42 ms avg latency,"
    " 3604.00 ms max latency, 1024 ms 50th, 1475 ms 95th, 1566 ms 99th, 1583 ms 99.9th."
)
JAVA_STEADY = (
    "40000 steady state records sent, 14285.714286 records/sec (1.36 MB/sec), 1821.55 ms avg"
    " latency, 2411.00 ms max latency, 1834 ms 50th, 2374 ms 95th, 2406 ms 99th, 2411 ms 99.9th."
)


def shape(line: str) -> str:
    """The line with its digits left out, but for how many stand behind a point."""
    line = re.sub(r"(?<= )(50|95|99|99\.9)th", r"<\1>", line)
    return re.sub(r"\d+(\.\d+)?(?!>|\.9>)", lambda found: "#" + "." * len(found[1] or ""), line)


def figures(times: list[float], seconds: float) -> Figures:
    found = Figures(bytes=1024 * 1024 * len(times), seconds=seconds)
    for each in times:
        found.latencies.add(each)
    return found


def test_a_window_is_told_as_java_tells_it() -> None:
    line = window_line(figures([0.1, 0.3], 0.5))
    assert line == (
        "2 records sent, 4.0 records/sec (4.00 MB/sec), 200.0 ms avg latency, 300.0 ms max latency."
    )
    assert shape(line) == shape(JAVA_WINDOW)


def test_the_total_is_told_as_java_tells_it() -> None:
    found = figures([number / 1000 for number in range(1, 1001)], 4.0)
    line = total_line(found)
    assert line == (
        "1000 records sent, 250.000000 records/sec (250.00 MB/sec), 500.50 ms avg latency,"
        " 1000.00 ms max latency, 500 ms 50th, 950 ms 95th, 990 ms 99th, 999 ms 99.9th."
    )
    assert shape(line) == shape(JAVA_TOTAL)
    assert shape(total_line(found, steady=True)) == shape(JAVA_STEADY)


def test_nothing_sent_is_told_without_dividing_by_it() -> None:
    assert window_line(Figures()).startswith("0 records sent, 0.0 records/sec (0.00 MB/sec)")
    assert total_line(Figures()).startswith("0 records sent, 0.000000 records/sec")


def test_processes_add_up_over_the_time_of_the_longest() -> None:
    whole = Outcome()
    for seconds in (2.0, 4.0):
        whole.merge(
            Outcome(total=figures([0.1] * 4, seconds), steady=figures([0.1], 1.0), client="x")
        )
    assert (whole.total.records, whole.total.rate, whole.client) == (8, 2.0, "x")
    assert whole.steady is not None
    assert whole.steady.records == 2
    assert whole.as_dict()["failed"] == 0


def test_json_has_the_percentiles_in_milliseconds() -> None:
    told = figures([0.0123456], 1.0).as_dict()
    assert told["latency_ms"] == {
        "avg": 12.3456, "p50": 12.3456, "p95": 12.3456, "p99": 12.3456, "p99.9": 12.3456,
        "max": 12.3456,
    }  # fmt: skip


def test_metrics_are_listed_under_kafkas_names() -> None:
    by_group = {(metric.group.value, metric.name): metric for metric in METRICS}
    rate = by_group["producer-metrics", "record-send-rate"]
    of_topic = by_group["producer-topic-metrics", "record-send-rate"]
    found = metric_names([Reading(of_topic, {"topic": "orders"}, 2), Reading(rate, {}, 5)], "me")
    assert found == [
        ("producer-metrics:record-send-rate:{client-id=me}", 5.0),
        ("producer-topic-metrics:record-send-rate:{client-id=me, topic=orders}", 2.0),
    ]
    assert metric_lines([("a:long:{name}", 1.5), ("b", 2)]) == [
        "", "Metric Name     Value", "a:long:{name} : 1.500", "b             : 2.000",
    ]  # fmt: skip
