"""What the rest of the machine was doing."""

from __future__ import annotations

import pytest

from benchmarks.noise import Busy, family_seconds, machine_seconds, other_cores


def stat(name: str, parent: int, *times: int) -> str:
    fields = ["S", str(parent), *["0"] * 9, *map(str, times), "20", "0"]
    return f"1 ({name}) {' '.join(fields)}"


def test_idle_waiting_and_guests_are_not_busy() -> None:
    line = "cpu  100 20 30 9000 800 4 5 6 50 7"
    assert machine_seconds(line, ticks=100) == pytest.approx(1.65)


def test_descendants_are_found_whatever_their_names() -> None:
    stats = {
        10: stat("root", 1, 100, 100, 100, 100),
        11: stat("a) (b", 10, 10, 20, 3, 4),
        12: stat("grand child", 11, 1, 2, 0, 0),
        13: stat("stranger", 1, 5000, 0, 0, 0),
    }
    assert family_seconds(stats, 10, ticks=10) == pytest.approx(4.0)


def test_others_are_what_is_left_of_the_machine() -> None:
    before = Busy(at=10.0, machine=100.0, ours=50.0)
    after = Busy(at=12.0, machine=103.5, ours=52.5)
    assert other_cores(before, after) == pytest.approx(0.5)


def test_rounding_never_makes_others_negative() -> None:
    before = Busy(at=10.0, machine=100.0, ours=50.0)
    assert other_cores(before, Busy(at=11.0, machine=100.9, ours=51.0)) == 0.0


def test_a_system_that_does_not_tell_is_unknown() -> None:
    assert other_cores(None, Busy(1.0, 1.0, 1.0)) is None
