"""How long records wait so that there are no more of them in a second than asked for."""

from __future__ import annotations

import pytest

from aioproducer.cli.pace import BURST_SECONDS, Pace


def run(pace: Pace, sizes: list[int], now: float = 0.0) -> float:
    """Send as the pace says; return when the last one left."""
    for size in sizes:
        now += pace.take(size, now)
    return now


def test_without_a_rate_nothing_waits() -> None:
    pace = Pace(None, None, 5.0)
    assert pace.is_free
    assert run(pace, [1000] * 100, 5.0) == 5.0


def test_records_leave_at_their_rate() -> None:
    assert run(Pace(100, None, 0.0), [1] * 1001) == pytest.approx(10.0)


def test_bytes_leave_at_their_rate() -> None:
    assert run(Pace(None, 1000, 0.0), [100] * 101) == pytest.approx(10.0)


def test_the_lower_of_both_rates_holds() -> None:
    assert run(Pace(10, 1000, 0.0), [500] * 21) == pytest.approx(10.0)
    assert run(Pace(10, 1000, 0.0), [5] * 101) == pytest.approx(10.0)


def test_only_a_little_of_what_was_missed_is_made_up_for() -> None:
    pace = Pace(100, None, 0.0)
    late = 60.0
    at_once = 0
    while pace.take(1, late) == 0.0:
        at_once += 1
    assert at_once == pytest.approx(BURST_SECONDS * 100 + 1, abs=1)
