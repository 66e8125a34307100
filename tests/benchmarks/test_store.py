"""Runs outlive the benchmark that made them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.job import Measurement
from benchmarks.store import Run, Store

MEASURED = Measurement(records=1, seconds=1.0, cpu_seconds=0.5, sent=2, extra={"share": 0.8})


def run(row: str = "aiokafka", number: int = 1, **fields: object) -> Run:
    made = Run(section="s", table="t", row=row, round=number, digest="d", measurement=MEASURED)
    return replace(made, **fields)  # type: ignore[arg-type]


def test_what_was_noted_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    store = Store(path)
    store.describe({"Python": "3.11"})
    store.add(run(other_cores=0.5))
    store.add(run("confluent", measurement=None, problem="broke"))

    again = Store(path)
    assert again.environment == {"Python": "3.11"}
    assert again.runs == store.runs
    results = again.results("s", "t")
    assert results["aiokafka"].runs == [MEASURED]
    assert results["aiokafka"].other_cores == [0.5]
    assert results["confluent"].problems == ["broke"]


def test_the_last_words_of_a_killed_run_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Store(path).add(run())
    path.write_text(path.read_text() + '{"run": {"section": "s", "ta')
    assert len(Store(path).runs) == 1


def test_only_the_same_job_with_figures_needs_no_repeating() -> None:
    store = Store(None)
    store.add(run())
    store.add(run(number=2, measurement=None, problem="broke"))
    assert store.has("s", "t", "aiokafka", 1, "d")
    assert not store.has("s", "t", "aiokafka", 1, "another")
    assert not store.has("s", "t", "aiokafka", 2, "d")


def test_a_repeated_round_replaces_the_failed_one() -> None:
    store = Store(None)
    store.add(run(measurement=None, problem="broke"))
    store.add(run())
    result = store.results("s", "t")["aiokafka"]
    assert (len(result.runs), result.problems) == (1, [])


def test_sections_that_are_measured_anew_are_forgotten_and_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    store = Store(path)
    store.add(run())
    store.add(run(section="other"))
    assert [each.section for each in Store(path, forget=["s"]).runs] == ["other"]
    assert [each.section for each in Store(path).runs] == ["other"]
