"""Percentiles of many times, in little room."""

from __future__ import annotations

import random

import pytest

from aioproducer.cli.latencies import Latencies


def of(times: list[float]) -> Latencies:
    found = Latencies()
    for each in times:
        found.add(each)
    return found


@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("percent", [0.0, 50.0, 95.0, 99.0, 99.9, 100.0])
def test_percentiles_are_those_of_the_sorted_times(scale: float, percent: float) -> None:
    rng = random.Random(7)
    times = sorted(rng.expovariate(1 / scale) for _ in range(5000))
    exact = times[max(0, -int(-len(times) * percent // 100) - 1)]
    assert of(times).percentile(percent) == pytest.approx(exact, rel=1 / 256, abs=1.1e-6)


def test_no_percentile_is_below_its_time_or_above_the_longest() -> None:
    for micros in (0, 1, 1023, 1024, 1025, 2047, 2048, 123_456, 10**9):
        found = of([micros / 1e6, 3600.0])
        assert micros / 1e6 <= found.percentile(50) <= (micros + 1) * (1 + 1 / 512) / 1e6
        assert found.percentile(100) == 3600.0
    assert of([0.0123]).percentile(99) == 0.0123


def test_nothing_counted_is_zero() -> None:
    assert (Latencies().percentile(50), Latencies().mean, Latencies().maximum) == (0.0, 0.0, 0.0)


def test_merged_is_as_if_one_had_counted_all() -> None:
    rng = random.Random(8)
    one, two = ([rng.random() for _ in range(1000)] for _ in range(2))
    merged, both = of(one), of(one + two)
    merged.merge(of(two))
    assert merged.counts == both.counts
    assert (merged.count, merged.maximum) == (both.count, both.maximum)
    assert merged.total == pytest.approx(both.total)
    assert merged.mean == pytest.approx(sum(one + two) / 2000)


def test_it_grows_with_how_much_times_differ_not_with_their_number() -> None:
    rng = random.Random(9)
    assert len(of([rng.expovariate(20) for _ in range(50_000)]).counts) < 10_000
