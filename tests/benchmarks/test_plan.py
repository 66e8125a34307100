"""What is measured, and in which order."""

from __future__ import annotations

from benchmarks.arguments import parse
from benchmarks.job import Job, Measurement
from benchmarks.plan import scenarios, turns


def test_clients_take_turns() -> None:
    assert list(turns(["a", "b", "c"], 2)) == [
        (1, "a"),
        (1, "b"),
        (1, "c"),
        (2, "a"),
        (2, "b"),
        (2, "c"),
    ]


def test_there_is_a_table_for_each_size_and_each_linger() -> None:
    settings = parse(["--sizes", "10,20", "--linger-ms", "7", "--latency-linger-ms", "0,3"])
    assert [(s.kind, s.value_size, s.linger_ms) for s in scenarios(settings)] == [
        ("throughput", 10, 7),
        ("throughput", 20, 7),
        ("latency", 100, 0),
        ("latency", 100, 3),
    ]


def test_only_what_was_asked_for_is_measured() -> None:
    kinds = {scenario.kind for scenario in scenarios(parse(["--measure", "latency"]))}
    assert kinds == {"latency"}


def test_titles_tell_scenarios_apart() -> None:
    settings = parse(["--compression", "lz4"])
    titles = [scenario.title(settings) for scenario in scenarios(settings)]
    assert len(set(titles)) == len(titles)
    assert all("lz4" in title for title in titles)


def test_jobs_and_measurements_survive_the_pipe() -> None:
    settings = parse(["--batch-size", "131072", "--loop", "uvloop"])
    job = scenarios(settings)[0].job(settings, "aiokafka", "localhost:9092", "topic")
    assert job.batch_size == 131072
    assert Job.from_json(job.to_json()) == job
    run = Measurement(
        records=10, seconds=2.0, cpu_seconds=0.5, sent=12, latency_ms={"p50": 1.5}, call_delay_ms=1
    )
    assert Measurement.from_json(run.to_json()) == run
    assert (run.records_per_second, run.cpu_per_million) == (5.0, 50_000.0)
