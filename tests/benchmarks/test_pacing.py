"""The schedule of an open-loop run."""

from __future__ import annotations

import pytest

from benchmarks.pacing import TICK_NS, Schedule

START = 5_000_000_000


def schedule(rate: int = 5000, *, warm_up: float = 0.5, seconds: float = 2.0) -> Schedule:
    return Schedule(start_ns=START, rate=rate, warm_up=warm_up, seconds=seconds)


def test_the_warm_up_comes_before_what_counts() -> None:
    assert schedule().warm_up_records == 2500
    assert schedule().total == 12_500


def test_nothing_is_due_before_the_start() -> None:
    assert schedule().due(START - 1) == 0
    assert schedule().due(0) == 0


def test_each_tick_has_its_share_at_once() -> None:
    plan = schedule()
    assert plan.due(START) == 5
    assert plan.due(START + TICK_NS - 1) == 5
    assert plan.due(START + TICK_NS) == 10
    assert [plan.intended_ns(index) - START for index in (0, 4, 5)] == [0, 0, TICK_NS]


def test_what_a_stall_has_missed_is_due_at_once_and_keeps_its_time() -> None:
    plan = schedule()
    assert plan.due(START + 100 * TICK_NS) == 505
    assert plan.intended_ns(5) == START + TICK_NS


def test_no_more_is_due_than_there_is() -> None:
    plan = schedule()
    assert plan.due(START + 3_600_000_000_000) == plan.total


@pytest.mark.parametrize("rate", [1, 3, 700, 1000, 1500, 5000, 33_333, 1_000_000])
def test_a_record_becomes_due_exactly_when_it_was_intended(rate: int) -> None:
    plan = schedule(rate, warm_up=0, seconds=max(0.05, 5 / rate))
    for index in range(plan.total):
        intended = plan.intended_ns(index)
        assert plan.due(intended) > index
        assert plan.due(intended - 1) <= index


@pytest.mark.parametrize("rate", [3, 700, 5000])
def test_the_last_tick_makes_the_last_record_due(rate: int) -> None:
    plan = schedule(rate, warm_up=0, seconds=1)
    assert plan.intended_ns(plan.total - 1) == START + (plan.ticks - 1) * TICK_NS
