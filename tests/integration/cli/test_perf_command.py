"""`aioproducer perf`: Kafka's own tool beside it, processes that end with it, other clients."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aioproducer.cli.exit_status import Exit
from aioproducer.testing import KafkaCluster
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.judge import read_topic
from tests.cli.test_perf_figures import shape
from tests.conftest import TopicFactory
from tests.integration.committed import read_settled
from tests.integration.complaints import complaints

# Each starts processes of its own, and one of them Java.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[3]
PATIENCE = 400
JAVA = "org.apache.kafka.tools.ProducerPerformance"


def command(bootstrap: str, topic: str, *more: str) -> list[str]:
    start = [sys.executable, "-m", "aioproducer", "perf", "--bootstrap-server", bootstrap]
    return [*start, "--topic", topic, *more]


def ran(*arguments: str) -> list[str]:
    done = subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == []
    return done.stdout.splitlines()


def test_the_lines_are_those_of_kafkas_own_tool(
    kafka: KafkaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """With the same flags: both print a window, the total, the steady state and the metrics."""
    flags = [
        "--num-records", "600", "--record-size", "100", "--throughput", "300",
        "--warmup-records", "100", "--reporting-interval", "900", "--print-metrics",
        "--transaction-duration-ms", "500", "--producer-props", "linger.ms=5", "acks=all",
    ]  # fmt: skip
    name = topic()
    ours = ran(*command(bootstrap, name, *flags))
    values = [record.value or b"" for record in read_settled(bootstrap, name)]
    assert len(values) == 600
    assert all(len(value) == 100 and value.isalpha() and value.isupper() for value in values)
    assert ours[0].startswith("Warmup first 100 records.")
    if not isinstance(kafka, JavaCluster):
        return
    theirs = kafka.run_tool(
        JAVA, "--bootstrap-server", bootstrap, "--topic", topic(), *flags, timeout=PATIENCE
    ).splitlines()
    shapes = {shape(line) for line in ours}
    for line in theirs:
        if "records sent" in line or line.startswith(("Warmup", "In steady")):
            assert shape(line) in shapes, line
    for each in (ours, theirs):
        [head] = [line for line in each if line.startswith("Metric")]
        assert head.split() == ["Metric", "Name", "Value"]
        [sent] = [line for line in each if line.startswith("producer-metrics:record-send-total:")]
        name_of_metric, _, value = sent.split()
        assert name_of_metric.endswith(":{client-id=perf-producer-client}")
        # What was repeated counts again, with either client.
        assert float(value) >= 600


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_processes_share_a_load_and_their_figures_are_one(
    bootstrap: str, topic: TopicFactory, loop: str
) -> None:
    name = topic(2)
    flags = ["--num-records", "5001", "--payload-monotonic", "--processes", "2", "--json"]
    told = json.loads("\n".join(ran(*command(bootstrap, name, *flags, "--loop", loop))))
    assert (told["processes"], told["failed"], told["total"]["records"]) == (2, 0, 5001)
    latency = told["total"]["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99.9"] <= latency["max"]
    values = {int(record.value or b"") for record in read_topic(bootstrap, name)}
    assert values == set(range(5001))


@contextmanager
def running(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A load in a group of its own, once its first line shows that all processes are at work."""
    with subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert "records sent" in process.stdout.readline()
            yield process
        finally:
            process.kill()


def group_of(leader: int) -> set[int]:
    """The processes of a session that are more than entries nobody has read."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.add(int(entry.name))
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


LONG = ["--num-records", "100000000", "--record-size", "50", "--throughput", "500"]
SHARED = [*LONG, "--processes", "2", "--reporting-interval", "100"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed in /proc")
def test_ctrl_c_ends_all_processes_and_reports_what_was_delivered(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    with running(command(bootstrap, name, *SHARED)) as process:
        # At a terminal every process of the group gets it.
        os.killpg(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == Exit.INTERRUPTED
        total = out.splitlines()[-1]
        assert "99.9th" in total
        # What a slow broker did not answer in ten seconds is told, and may have arrived.
        unanswered = sum(int(n) for n in re.findall(r"^(\d+) records failed: ", said, re.M))
        delivered, arrived = int(total.split()[0]), len(read_topic(bootstrap, name))
        assert 0 < delivered <= arrived <= delivered + unanswered
        wait_for(lambda: not group_of(process.pid))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed in /proc")
def test_no_process_outlives_one_that_was_killed(bootstrap: str, topic: TopicFactory) -> None:
    with running(command(bootstrap, topic(), *SHARED)) as process:
        assert len(group_of(process.pid)) >= 3
        process.kill()
        wait_for(lambda: not group_of(process.pid))


def test_clients_are_compared_in_turns(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    flags = ["--num-records", "300", "--record-size", "50", "--rounds", "1", "--json"]
    lines = ran(
        *command(bootstrap, name, *flags, "--compare", "aiokafka", "--compare", "confluent")
    )
    told = json.loads("\n".join(lines))
    assert list(told["clients"]) == ["aioproducer", "aiokafka", "confluent"]
    for each in told["clients"].values():
        [only] = each["rounds"]
        assert (only["total"]["records"], only["failed"]) == (300, 0)
    assert told["ratios"].keys() == {"aiokafka", "confluent"}
    assert len(read_topic(bootstrap, name)) == 900
