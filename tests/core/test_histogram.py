"""Times counted in buckets, and the percentiles they give."""

from __future__ import annotations

import itertools
import random

import pytest

from aioproducer.core.histogram import BOUNDS, bucket_of, no_counts, percentile


def counted(times: list[float]) -> list[int]:
    counts = no_counts()
    for time in times:
        counts[bucket_of(time)] += 1
    return counts


def test_bounds_rise_by_no_more_than_a_third() -> None:
    for low, high in itertools.pairwise(BOUNDS):
        assert 1 < high / low < 1.34


def test_a_time_is_counted_below_the_first_bound_that_is_not_below_it() -> None:
    assert BOUNDS[bucket_of(0.001)] == 0.001
    assert BOUNDS[bucket_of(0.0011)] == 0.00125
    assert bucket_of(0) == 0
    assert bucket_of(10_000) == len(BOUNDS)


@pytest.mark.parametrize("fraction", [0.5, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_good_to_a_sixth(fraction: float, seed: int) -> None:
    """An exponential distribution, as latencies are; the widest bucket is a third."""
    rng = random.Random(seed)
    times = sorted(rng.expovariate(1 / 0.05) for _ in range(20_000))
    exact = times[int(fraction * len(times))]
    assert percentile(counted(times), fraction, times[-1]) == pytest.approx(exact, rel=1 / 6)


def test_no_percentile_is_above_the_longest_time() -> None:
    assert percentile(counted([0.0101]), 0.99, 0.0101) <= 0.0101
    assert percentile(counted([5000.0]), 0.5, 5000.0) == 5000.0


def test_of_nothing_every_percentile_is_zero() -> None:
    assert percentile(no_counts(), 0.5, 0.0) == 0
