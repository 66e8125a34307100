"""What is measured, and in which order."""

from __future__ import annotations

from benchmarks.arguments import parse
from benchmarks.job import NULL_KEYS, Job, Measurement
from benchmarks.peers import PEERS
from benchmarks.plan import turns
from benchmarks.sections import tables
from benchmarks.sections.throughput import tables as throughput_tables


def test_rows_take_turns() -> None:
    assert list(turns(["a", "b", "c"], 2)) == [
        (1, "a"),
        (1, "b"),
        (1, "c"),
        (2, "a"),
        (2, "b"),
        (2, "c"),
    ]


def test_there_is_a_table_for_each_size_and_each_linger() -> None:
    settings = parse(
        ["throughput", "latency", "--quick", "--sizes", "10,20", "--latency-linger-ms", "0,3"]
    )
    assert [table.name for table in tables(settings)] == [
        "10 B keyed",
        "20 B keyed",
        "linger 0 ms",
        "linger 3 ms",
    ]


def test_only_what_was_asked_for_is_measured() -> None:
    assert {table.section for table in tables(parse(["latency"]))} == {"latency"}


def test_tables_can_be_told_apart() -> None:
    found = tables(parse(["--compression", "none,lz4"]))
    assert len({(table.section, table.name) for table in found}) == len(found)
    assert len({table.title for table in found}) == len(found)


def test_the_whole_throughput_has_equal_batches_and_null_keys_too() -> None:
    found = {table.name: table for table in throughput_tables(parse(["--sizes", "100"]))}
    assert list(found) == [
        "100 B keyed",
        "100 B keyed, 16 KiB batches",
        "100 B null",
        "100 B keyed, lz4",
        "100 B keyed, zstd",
    ]
    assert {job.batch_size for job in found["100 B keyed, 16 KiB batches"].rows.values()} == {
        16_384
    }
    assert {job.keys for job in found["100 B null"].rows.values()} == {NULL_KEYS}


def test_the_whole_benchmark_fits_into_its_time() -> None:
    """By the seconds that runs are given, and as much again as starting each takes here."""
    settings, seconds = parse([]), 0.0
    for table in tables(settings):
        for job in table.rows.values():
            warm_up = max(job.warm_up, PEERS[job.peer].warm_up_at_least)
            seconds += table.rounds * (warm_up + job.seconds + 0.9)
    assert seconds < settings.minutes * 60


def test_every_row_has_a_job_of_its_client() -> None:
    for table in tables(parse(["throughput", "latency"])):
        for row, job in table.rows.items():
            assert row == job.peer


def test_jobs_and_measurements_survive_the_pipe() -> None:
    settings = parse(["--batch-size", "131072", "--loop", "uvloop"])
    job = throughput_tables(settings)[0].rows["aiokafka"].at("localhost:9092", "topic")
    assert (job.batch_size, job.bootstrap_servers, job.topic) == (131072, "localhost:9092", "topic")
    assert Job.from_json(job.to_json()) == job
    run = Measurement(
        records=10, seconds=2.0, cpu_seconds=0.5, sent=12, latency_ms={"p50": 1.5}, call_delay_ms=1
    )
    assert Measurement.from_json(run.to_json()) == run
    assert (run.records_per_second, run.cpu_per_million) == (5.0, 50_000.0)


def test_words_for_other_languages_leave_out_what_is_unset() -> None:
    job = throughput_tables(parse([]))[0].rows["java"].at("localhost:9092", "topic")
    words = dict(word.split("=", 1) for word in job.to_words())
    assert words["bootstrap_servers"] == "localhost:9092"
    assert words["linger_ms"] == "5"
    assert not {"batch_size", "options", "parameters"} & words.keys()


def test_a_job_of_many_topics_names_them() -> None:
    job = throughput_tables(parse([]))[0].rows["aiokafka"].at("", "t")
    assert job.topic_names == ["t"]
    many = Job(peer="", kind="scale", value_size=1, linger_ms=0, seconds=1, warm_up=0, topics=3)
    assert many.at("", "t").topic_names == ["t.0", "t.1", "t.2"]
