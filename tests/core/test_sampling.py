"""Kafka's windows: what counts lately, by how many seconds a rate divides, what is never lost."""

from __future__ import annotations

import random

import pytest

from aioproducer.core.sampling import Meter, Sample


class Apples(Sample):
    SUMS = ("count",)
    MAXIMA = ("largest",)
    __slots__ = (*SUMS, *MAXIMA)
    count: int
    largest: float


def meter(samples: int = 2, window: float = 30.0) -> Meter[Apples]:
    return Meter(Apples, samples, window, 0.0)


def pick(where: Meter[Apples], now: float, size: float = 1.0) -> None:
    sample = where.at(now)
    sample.count += 1
    sample.largest = max(sample.largest, size)


def test_a_rate_divides_by_all_windows_but_one_at_least() -> None:
    """One event in the first second is a rate of one in 31 seconds, as in Kafka's Rate."""
    apples = meter()
    pick(apples, 1.0)
    recent = apples.lately(1.0)
    assert (recent.sample.count, recent.seconds) == (1, 31.0)


def test_a_rate_in_the_second_window_divides_by_the_time_since_the_first() -> None:
    apples = meter()
    for second in range(45):
        pick(apples, float(second))
    recent = apples.lately(45.0)
    assert (recent.sample.count, recent.seconds) == (45, 45.0)


def test_with_one_window_a_rate_divides_by_no_less_than_it() -> None:
    apples = meter(samples=1)
    pick(apples, 0.0)
    assert apples.lately(0.0).seconds == 30.0


def test_what_is_older_than_all_windows_no_longer_counts() -> None:
    apples = meter()
    pick(apples, 5.0, size=9.0)
    assert apples.lately(89.0).sample.largest == 9.0
    assert apples.lately(90.0).sample.count == 0
    assert apples.lately(90.0).sample.largest == 0.0


def test_a_steady_rate_does_not_jump_where_a_window_ends() -> None:
    apples = meter()
    for tenth in range(2000):
        now = tenth / 10
        pick(apples, now)
        if now > 60:
            recent = apples.lately(now)
            assert 9.9 < recent.sample.count / recent.seconds < 10.1


def test_events_after_a_pause_begin_a_window_of_their_own() -> None:
    apples = meter()
    pick(apples, 0.0)
    pick(apples, 100.0)
    recent = apples.lately(101.0)
    assert (recent.sample.count, recent.seconds) == (1, 31.0)


def test_totals_lose_nothing() -> None:
    rng = random.Random(7)
    apples, now = meter(samples=3, window=1.0), 0.0
    for _ in range(1000):
        now += rng.expovariate(2)
        pick(apples, now)
    assert apples.total().count == 1000


def test_what_a_gone_meter_counted_is_taken_over_as_long_past() -> None:
    apples, others = meter(), meter()
    pick(others, 1.0)
    apples.absorb(others)
    assert apples.total().count == 1
    assert apples.lately(1.0).sample.count == 0


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_a_meter_keeps_no_more_samples_than_it_needs(samples: int) -> None:
    apples = meter(samples=samples)
    for number in range(100):
        pick(apples, number * 31.0)
        assert len(apples._past) <= samples
    assert apples.total().count == 100
