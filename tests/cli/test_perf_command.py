"""The flags of kafka-producer-perf-test are taken as Kafka's tool takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioproducer.cli import WRONG_USE, main, perf_command
from aioproducer.cli.perf import PerfOptions
from aioproducer.cli.perf_run import PerfJob

LEAST = ["perf", "--topic", "orders", "--num-records", "100", "--record-size", "10"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    taken: list[object] = []

    def take(*arguments: object) -> int:
        taken.extend(arguments)
        return 0

    monkeypatch.setattr(perf_command, "run_perf", take)
    return taken


def job_of(given: list[object]) -> PerfJob:
    [job, _] = given
    assert isinstance(job, PerfJob)
    return job


def test_a_command_line_for_kafkas_tool_is_taken(tmp_path: Path, given: list[object]) -> None:
    config = tmp_path / "producer.properties"
    config.write_text("acks=1\nbatch.size=100\nbootstrap.servers=file:1\n")
    payloads = tmp_path / "payloads"
    payloads.write_text("a|b|")
    command = [
        "perf", "--bootstrap-server", "a:1", "--topic", "orders", "--num-records", "100",
        "--payload-file", str(payloads), "--payload-delimiter", "|", "--throughput", "-1",
        "--producer-props", "acks=all", "linger.ms=5", "--producer.config", str(config),
        "--print-metrics", "--transactional-id", "load", "--transaction-duration-ms", "250",
        "--warmup-records", "10", "--reporting-interval", "1000",
    ]  # fmt: skip
    assert main(command) == 0
    assert given == [
        PerfJob(
            topic="orders",
            settings={
                "acks": "all", "batch.size": "100", "bootstrap.servers": "a:1", "linger.ms": "5",
                "client.id": "perf-producer-client", "transactional.id": "load",
            },
            records=100,
            payloads=(b"a", b"b"),
            warm_up=10,
            interval=1.0,
            transaction_seconds=0.25,
            with_metrics=True,
        ),
        PerfOptions(),
    ]  # fmt: skip


def test_the_new_names_of_the_flags_are_taken_too(tmp_path: Path, given: list[object]) -> None:
    config = tmp_path / "producer.properties"
    config.write_text("acks=1\n")
    more = ["--command-property", "linger.ms=5", "batch.size=9", "--command-config", str(config)]
    assert main([*LEAST, *more, "-X", "client.id=me", "--throughput", "50"]) == 0
    job = job_of(given)
    assert job.settings == {
        "acks": "1", "linger.ms": "5", "batch.size": "9", "client.id": "me",
    }  # fmt: skip
    assert (job.throughput, job.transaction_seconds, job.record_size) == (50.0, None, 10)


def test_our_own_flags(given: list[object]) -> None:
    assert main([*LEAST, "--compare", "aiokafka", "--rounds", "5", "--json"]) == 0
    assert given[1] == PerfOptions(compare=("aiokafka",), rounds=5, as_json=True)
    given.clear()
    assert main([*LEAST, "--processes", "4", "--loop", "asyncio"]) == 0
    assert given[1] == PerfOptions(processes=4)
    assert job_of(given).loop == "asyncio"


def test_a_duration_alone_begins_transactions_under_a_name_by_chance(given: list[object]) -> None:
    assert main([*LEAST, "--transaction-duration-ms", "100"]) == 0
    job = job_of(given)
    assert str(job.settings["transactional.id"]).startswith("performance-producer-")
    assert job.transaction_seconds == 0.1


def test_an_id_alone_has_javas_duration(given: list[object]) -> None:
    assert main([*LEAST, "-X", "transactional.id=load"]) == 0
    assert job_of(given).transaction_seconds == 3.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["perf"],
        LEAST[:-2],
        [*LEAST, "--payload-monotonic"],
        [*LEAST, "--warmup-records", "100"],
        [*LEAST, "--throughput", "0"],
        [*LEAST, "--throughput", "-2"],
        [*LEAST, "--payload-delimiter", ""],
        [*LEAST, "--throughput", "nan"],
        [*LEAST, "--producer-props"],
        [*LEAST, "--producer-props", "--json"],
        [*LEAST, "--producer-props", "acks"],
        [*LEAST, "--transaction-duration-ms", "0"],
        [*LEAST, "--num-records", "0"],
        [*LEAST, "--topic", "bad/topic"],
        [*LEAST, "--processes", "2", "--compare", "aiokafka"],
        [*LEAST, "--compare", "nobody"],
    ],
)
def test_flags_that_make_no_sense_are_refused(
    arguments: list[str], given: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == WRONG_USE
    assert given == []
    assert "Traceback" not in capsys.readouterr().err
