"""Exponential backoff with jitter."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.backoff import backoff_ms, busy_backoff_ms

times = st.integers(0, 10**7)


@given(base=times, maximum=times, attempt=st.integers(0, 10_000), seed=st.integers())
def test_it_is_within_a_fifth_of_doubling_up_to_the_limit(
    base: int, maximum: int, attempt: int, seed: int
) -> None:
    delay = backoff_ms(base, maximum, attempt, random.Random(seed))
    nominal = min(maximum, base * 2 ** min(attempt, 40)) if base else 0
    assert 0.799999 * nominal <= delay <= 1.2 * nominal * 1.000001


def test_no_base_means_no_delay() -> None:
    assert backoff_ms(0, 1000, 5, random.Random(1)) == 0


def test_two_clients_do_not_come_back_together() -> None:
    delays = {backoff_ms(100, 1000, 3, random.Random(seed)) for seed in range(50)}
    assert len(delays) == 50


@given(base=st.integers(1, 10**4), attempt=st.integers(0, 100), seed=st.integers())
def test_markers_are_asked_for_soon_and_no_faster_than_usual_in_the_end(
    base: int, attempt: int, seed: int
) -> None:
    delay = busy_backoff_ms(base, attempt, random.Random(seed))
    assert delay <= 1.2 * min(base, 5 * 2**attempt) * 1.000001
    if attempt < 16:
        assert delay <= 24.000001
    if attempt > 16 + 10:
        assert delay >= 0.799999 * base
