"""Rounds that alternate, and the ratios of clients round by round."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioproducer.cli import perf_compare
from aioproducer.cli.perf_compare import (
    check_comparable,
    compared_as_dict,
    comparison_lines,
    ratios,
    run_rounds,
)
from aioproducer.cli.perf_figures import Figures, Outcome
from aioproducer.cli.perf_processes import Signals
from aioproducer.cli.perf_run import PerfJob
from aioproducer.cli.settings import SettingsError

JOB = PerfJob(topic="orders", settings={"bootstrap.servers": "a:1"}, records=10, record_size=1)


def outcome(client: str, rate: float) -> Outcome:
    figures = Figures(bytes=100, seconds=1.0)
    for _ in range(int(rate)):
        figures.latencies.add(0.010)
    return Outcome(total=figures, client=f"{client} 1.0")


def test_rounds_alternate_and_both_orders_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(jobs: list[PerfJob], *_: object) -> Outcome:
        [job] = jobs
        asked.append(job.client)
        return outcome(job.client, 10)

    monkeypatch.setattr(perf_compare, "run_in_processes", run)
    told: list[tuple[int, str]] = []
    found = run_rounds(
        JOB, ("aioproducer", "aiokafka"), 3, Signals(), lambda *each: told.append(each[:1])
    )
    assert asked == [
        "aioproducer",
        "aiokafka",
        "aiokafka",
        "aioproducer",
        "aioproducer",
        "aiokafka",
    ]
    assert {client: len(each) for client, each in found.items()} == {
        "aioproducer": 3,
        "aiokafka": 3,
    }
    assert len(told) == 6


def test_an_interruption_ends_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals()

    def run(jobs: list[PerfJob], *_: object) -> Outcome:
        signals.count += 1
        return outcome(jobs[0].client, 10)

    monkeypatch.setattr(perf_compare, "run_in_processes", run)
    found = run_rounds(JOB, ("aioproducer", "aiokafka"), 3, signals, lambda *each: None)
    assert [len(each) for each in found.values()] == [1, 0]
    assert "nothing was measured" in "\n".join(comparison_lines(found))
    assert ratios(found) == {}


def test_ratios_are_those_of_each_round_and_their_median() -> None:
    found = {
        "aioproducer": [outcome("aioproducer", rate) for rate in (20, 30, 40)],
        "aiokafka": [outcome("aiokafka", 10) for _ in range(3)],
    }
    assert ratios(found) == {"aiokafka": [2.0, 3.0, 4.0]}
    lines = list(comparison_lines(found))
    assert "  aioproducer / aiokafka: 3.00 (by round: 2.00, 3.00, 4.00)" in lines
    assert any(line.split()[:3] == ["aioproducer", "1.0", "30"] for line in lines)
    told = compared_as_dict(found)
    assert told["ratios"] == {"aiokafka": {"median": 3.0, "rounds": [2.0, 3.0, 4.0]}}


def test_what_other_clients_would_not_be_given_is_refused() -> None:
    check_comparable(JOB)
    with pytest.raises(SettingsError, match=r"leave linger\.adaptive out"):
        check_comparable(replace(JOB, settings={"linger.adaptive": "true"}))
    with pytest.raises(SettingsError, match="neither transactions"):
        check_comparable(replace(JOB, transaction_seconds=1.0))


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from aioproducer.cli import perf_clients

    monkeypatch.setattr(perf_clients, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="pip install confluent-kafka"):
        run_rounds(JOB, ("aioproducer", "confluent"), 1, Signals(), lambda *each: None)
