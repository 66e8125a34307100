"""The measurement of what counting costs."""

from __future__ import annotations

import pytest

from aioproducer.core.meters import Meters
from aioproducer.runtime import engine
from benchmarks.accounting import SilentMeters, meters, report


@pytest.mark.parametrize(("kind", "counted"), [(Meters, 1), (SilentMeters, 0)])
def test_silent_meters_count_no_request(kind: type[Meters], counted: int) -> None:
    made = kind(2, 30.0, 0.0)
    made.request_sent([], 1.0)
    made.answered(made.node(1, 0.0), 0.5, 0.0, 1.0)
    total = made.producer.total()
    assert (total.produce_requests, total.produce_answers) == (counted, counted)


def test_producers_count_with_them_while_they_are_set() -> None:
    with meters(SilentMeters):
        assert vars(engine)["Meters"] is SilentMeters
    assert vars(engine)["Meters"] is Meters


def test_the_median_of_the_pairs_decides() -> None:
    words, fits = report([(1.01, 1.0), (1.01, 1.0), (2.0, 1.0)])
    assert fits
    assert "+1.00 %" in words
    words, fits = report([(1.03, 1.0)] * 3)
    assert not fits
