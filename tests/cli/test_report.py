"""The figures of the demo and how they are drawn."""

from __future__ import annotations

import math

import pytest

from aioproducer.cli.report import (
    Progress,
    TopicFigures,
    bar,
    failure_lines,
    latency_line,
    partition_bars,
    percentile,
    progress_line,
    topic_table,
    verdict_lines,
)
from aioproducer.cli.verify import Difference, Findings


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (1, 1.0), (50, 50.0), (95, 95.0), (99, 99.0), (100, 100.0)]
)
def test_a_percentile_is_a_value_that_occurred(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], percent) == expected


def test_a_percentile_of_few_values_is_rounded_up_in_rank() -> None:
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([1.0, 2.0], 51) == 2.0
    assert percentile([7.0], 99) == 7.0


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 50))


def test_a_bar_is_as_long_as_its_share() -> None:
    assert bar(10, 10, 8) == "█" * 8
    assert bar(5, 10, 8) == "█" * 4
    assert bar(1, 16, 2) == "▏"
    assert bar(0, 10) == ""


def test_a_bar_knows_no_division_by_zero_and_never_leaves_its_width() -> None:
    assert bar(0, 0) == ""
    assert bar(20, 10, 4) == "████"
    assert bar(-1, 10, 4) == ""


def test_a_plain_bar_is_ascii() -> None:
    assert bar(5, 10, 8, plain=True) == "####"
    assert progress_line(Progress(10, 10, 5, 0, 1.0), plain=True).isascii()


def test_the_progress_line_tells_rate_and_open_and_settled_records() -> None:
    line = progress_line(Progress(total=1000, sent=700, acknowledged=490, failed=10, seconds=2.0))
    assert " 50% " in line
    assert " 245/s" in line
    assert " 200 in flight" in line
    assert " 490 acknowledged" in line
    assert line.endswith("10 failed")


def test_the_progress_line_can_be_drawn_before_anything_happened() -> None:
    assert "0/s" in progress_line(Progress(10, 0, 0, 0, 0.0))


def test_latencies_are_told_in_milliseconds() -> None:
    line = latency_line(n / 1000 for n in range(1, 1001))
    assert line.endswith("p50 500.0 ms   p95 950.0 ms   p99 990.0 ms   max 1,000.0 ms")


def _figures(codec: str, per_partition: dict[int, int]) -> TopicFigures:
    return TopicFigures(
        f"orders-{codec}", codec, sum(per_partition.values()), 4, 0.25, per_partition
    )


def test_the_table_has_a_line_per_topic() -> None:
    _, *lines = topic_table([_figures("none", {0: 20}), _figures("zstd", {0: 10})]).splitlines()
    assert lines[0].split() == ["orders-none", "none", "20", "4", "5.0", "25.0%"]
    assert lines[1].split() == ["orders-zstd", "zstd", "10", "4", "2.5", "25.0%"]


def test_a_topic_without_batches_has_its_line_too() -> None:
    figures = TopicFigures("orders", "none", 0, 0, 1.0, {0: 0})
    assert topic_table([figures]).splitlines()[1].split()[2:5] == ["0", "0", "0.0"]


def test_all_partitions_are_drawn_on_one_scale() -> None:
    text = partition_bars([_figures("none", {0: 40, 1: 20}), _figures("zstd", {0: 10})])
    lengths = [line.count("█") for line in text.splitlines()]
    assert lengths == [40, 20, 10]
    assert [line.split()[-1] for line in text.splitlines()] == ["40", "20", "10"]


def test_a_clean_result_is_said_to_be_one() -> None:
    lines = verdict_lines([Findings("orders", 10, 10, 2)])
    assert lines[0].startswith("OK: 10 records came back.")


def test_a_difference_is_told_with_its_samples() -> None:
    findings = Findings("orders", 10, 9, 2)
    findings.add(Difference.LOST, "order-1 paid")
    text = "\n".join(verdict_lines([findings]))
    assert text.startswith("DIFFERENT: 10 records were sent, 9 came back.")
    assert "orders: 1 acknowledged, but not in Kafka:\n    order-1 paid" in text


def test_records_that_failed_are_counted_and_their_errors_named() -> None:
    first, *errors = failure_lines(Progress(10, 9, 6, 3, 1.0), ["3 x TimeoutError: late"])
    assert first.startswith("FAILED: of 9 records 6 were acknowledged and 3 were not")
    assert errors == ["  3 x TimeoutError: late"]
