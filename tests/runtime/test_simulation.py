"""The whole producer against faults of every kind, hundreds of times, each run from one seed.

A failing seed replays exactly: ``Simulation(seed).run().violations``.
"""

from __future__ import annotations

import logging

import pytest

from tests.simulation import Simulation

SEEDS = 400
_CHUNK = 50


@pytest.mark.parametrize("first", range(0, SEEDS, _CHUNK))
def test_nothing_is_lost_repeated_reordered_or_left_behind(
    first: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Every record is settled once, in time and truthfully; memory, tasks and timers are gone."""
    caplog.set_level(logging.CRITICAL)
    wrong = {}
    for seed in range(first, first + _CHUNK):
        violations = Simulation(seed).run().violations
        if violations:
            wrong[seed] = violations
    assert not wrong


def test_a_seed_replays_exactly() -> None:
    """Without that, no failure could be looked into."""
    runs = [Simulation(7).run() for _ in range(2)]
    assert runs[0].outcomes == runs[1].outcomes
    assert runs[0].faults == runs[1].faults
    done = [[sent.done_at for sent in run.sent] for run in runs]
    assert done[0] == done[1]


def test_the_simulation_meets_what_it_is_for(caplog: pytest.LogCaptureFixture) -> None:
    """Enough records get through, and each kind of fault happens."""
    caplog.set_level(logging.CRITICAL)
    runs = [Simulation(seed).run() for seed in range(60)]
    faults = {kind for run in runs for kind, count in run.faults.items() if count}
    assert faults >= {
        "rejected", "unsure", "appended", "before", "after", "amid", "stall", "delay",
        "throttle", "move", "restart", "hang up", "partition", "topic", "leaderless",
    }  # fmt: skip
    assert sum(run.outcomes["NoneType"] for run in runs) > 1000
