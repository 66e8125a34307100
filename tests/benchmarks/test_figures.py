"""Medians, spreads and percentiles."""

from __future__ import annotations

import pytest

from benchmarks.figures import median, percentile, percentiles, ratio, spread


@pytest.mark.parametrize(("values", "expected"), [([3], 3), ([5, 1, 3], 3), ([4, 1, 3, 2], 2.5)])
def test_the_median_is_the_middle_value_or_the_mean_of_two(
    values: list[float], expected: float
) -> None:
    assert median(values) == expected


def test_the_spread_is_the_range_in_units_of_the_median() -> None:
    assert spread([9.0, 10.0, 12.0]) == pytest.approx(0.3)
    assert spread([7.0]) == 0.0
    assert spread([0.0, 0.0]) == 0.0


def test_a_percentile_is_a_value_that_was_seen() -> None:
    hundred = list(range(1, 101))
    assert [percentile(hundred, p) for p in (0, 50, 99, 99.9, 100)] == [1, 50, 99, 100, 100]
    assert percentile([7.0], 99.9) == 7.0


def test_percentiles_sort_what_they_are_given() -> None:
    assert percentiles([3.0, 1.0, 2.0]) == {
        "p50": 2.0,
        "p90": 3.0,
        "p99": 3.0,
        "p99.9": 3.0,
        "max": 3.0,
    }


def test_there_is_no_ratio_without_a_reference() -> None:
    assert ratio(6.0, 3.0) == 2.0
    assert ratio(6.0, None) is None
    assert ratio(6.0, 0.0) is None
