"""The whole producer against faults of every kind, hundreds of times, each run from one seed.

A failing seed replays exactly: ``python -m tests.simulation 7-7``.
"""

from __future__ import annotations

import pytest

from tests.simulation import Simulation
from tests.simulation.__main__ import main, parse_seeds, simulate

SEEDS = 500
CALM_SEEDS = 100
_CHUNK = 50


@pytest.mark.parametrize("first", range(0, SEEDS, _CHUNK))
def test_nothing_is_lost_repeated_reordered_or_left_behind(first: int) -> None:
    """Every record is settled once, in time and truthfully; memory, tasks and timers are gone."""
    runs = [simulate(seed) for seed in range(first, first + _CHUNK)]
    assert {run.seed: run.violations for run in runs if run.violations} == {}


@pytest.mark.parametrize("first", range(0, CALM_SEEDS, _CHUNK))
def test_nothing_fails_when_nothing_goes_wrong(first: int) -> None:
    """Without faults nothing is tried twice, and only what was asked too much of fails."""
    runs = [simulate(seed, calm=True) for seed in range(first, first + _CHUNK)]
    assert {run.seed: run.violations for run in runs if run.violations} == {}


def test_a_seed_replays_exactly() -> None:
    """Without that, no failure could be looked into."""
    first = [Simulation(seed).run().digest() for seed in (7, 8, 9)]
    again = [Simulation(seed).run().digest() for seed in (9, 8, 7)]
    assert first == again[::-1]


def test_the_simulation_meets_what_it_is_for() -> None:
    """Enough records get through, and each kind of fault and of exception happens."""
    runs = [Simulation(seed).run() for seed in range(80)]
    faults = {kind for run in runs for kind, count in run.faults.counts.items() if count}
    assert faults >= {
        "rejected", "unsure", "appended", "final", "sequence",
        "before", "after", "amid", "stall", "swallow", "delay", "throttle", "request cut",
        "move", "restart", "hang up", "partition", "topic", "leaderless", "replicas", "limit",
        "forget", "unclean", "anew", "block", "restart without snapshot", "truncated",
        "slow network",
    }  # fmt: skip
    assert sum(run.outcomes["NoneType"] for run in runs) > 1000
    assert {kind for run in runs for kind in run.exceptions} >= {
        "acknowledged, then its topic was deleted",
        "acknowledged, then lost in an unclean election",
    }


def test_each_seed_has_enough_records_and_faults() -> None:
    """What a run is worth; the run itself checks it too."""
    for seed in range(20):
        run = Simulation(seed).run()
        assert len(run.sent) >= 50
        assert run.faults.counts.total() >= 3


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", range(3)), ("4-6", range(4, 7)), ("7-7", range(7, 8))]
)
def test_seeds_are_named_by_count_or_by_range(text: str, seeds: range) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "6-4"])
def test_no_seeds_are_refused(text: str) -> None:
    """A run of nothing must not look like one that passed."""
    with pytest.raises(ValueError, match="no seeds"):
        parse_seeds(text)


def test_the_command_tells_how_to_replay_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed that fails ends the command with 1 and its exact replay."""

    def fail_once(simulation: Simulation) -> Simulation:
        done = run(simulation)
        if simulation.seed == 2:
            simulation.violations.append("something did not hold")
        return done

    run = Simulation.run
    monkeypatch.setattr(Simulation, "run", fail_once)
    assert main(["3", "--workers", "1"]) == 1
    told = capsys.readouterr().out
    assert "SEED 2 FAILED" in told
    assert "python -m tests.simulation 2-2" in told
    assert main(["2-2"]) == 1
    assert "VIOLATION: something did not hold" in capsys.readouterr().out
    assert main(["0-1", "--workers", "1"]) == 0
