"""The measurement of what counting costs."""

from __future__ import annotations

import pytest

from aioproducer.core.meters import Meters
from aioproducer.runtime import engine
from benchmarks.accounting import (
    SilentMeters,
    Turn,
    meters,
    report,
    share_of_calls,
    time_of_calls,
)


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


def test_counting_costs_by_the_batch_not_by_the_record() -> None:
    """A factor of a thousand in records makes no difference worth the name."""
    few, many = time_of_calls(1, 10), time_of_calls(1, 10_000)
    assert many < 5 * few


def test_the_share_is_that_of_the_calls_in_the_time_of_a_request() -> None:
    turn = Turn(microseconds=2.0, records_per_batch=100, records_per_request=300)
    share = share_of_calls(turn)
    assert share > 0
    slower = turn._replace(microseconds=2000.0)
    assert share_of_calls(slower) < share / 100


def test_the_share_decides_and_the_turns_are_told() -> None:
    pairs = [(Turn(1.01), Turn(1.0)), (Turn(1.01), Turn(1.0)), (Turn(2.0), Turn(1.0))]
    words, fits = report(pairs, 0.7)
    assert fits
    assert "0.70 % of the processor time" in words
    assert "+1.0 % (half of the 3 pairs" in words
    assert not report(pairs, 2.1)[1]
