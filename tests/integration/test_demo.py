"""The demo against Kafka: what it sends arrives, and it says so."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka.partitioner.default import murmur2  # type: ignore[import-untyped]

from aioproducer.cli import demo, load
from aioproducer.cli.demo import (
    COULD_NOT_RUN,
    QUICK_RECORDS,
    DemoOptions,
    Screen,
    produce_and_compare,
    run_demo,
)
from aioproducer.cli.load import TopicPlan
from aioproducer.cli.report import Progress
from aioproducer.testing import EmbeddedCluster, KafkaCluster, where
from aioproducer.testing.admin import partition_states
from aioproducer.testing.judge import ReadRecord, read_topic
from aioproducer.wire.compression import CODECS
from tests.conftest import TopicFactory

ROOT = Path(__file__).parents[2]
PARTITIONS = 3


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no cluster that went away."""
    monkeypatch.setattr(load, "DELIVERY_MS", 120_000)


def _plans(topic: TopicFactory) -> list[TopicPlan]:
    return [TopicPlan(topic(PARTITIONS), codec.name) for codec in CODECS]


@pytest.mark.core
def test_every_record_comes_back_and_all_figures_are_told(
    bootstrap: str, topic: TopicFactory
) -> None:
    plans = _plans(topic)
    out = io.StringIO()

    status = produce_and_compare(bootstrap, plans, 5_000, Screen(out))

    text = out.getvalue()
    assert status == 0, text
    assert "OK: 5,000 records came back" in text
    assert re.search(r"5,000 acknowledged  0 failed", text)
    assert re.search(r"throughput: [\d,]+ records/s", text)
    assert re.search(r"p50 [\d,.]+ ms   p95 [\d,.]+ ms   p99 [\d,.]+ ms   max [\d,.]+ ms", text)
    for plan in plans:
        assert re.search(rf"{plan.name} +{plan.codec} +[\d,]+ +[\d,]+ +[\d.]+ +[\d.]+%", text)
    shares = [int(n.replace(",", "")) for n in re.findall(r" \d [#]* +([\d,]+)$", text, re.M)]
    assert len(shares) == PARTITIONS * len(plans)
    assert sum(shares) == 5_000


@pytest.mark.core
def test_the_keys_lie_where_another_client_would_put_them(
    bootstrap: str, topic: TopicFactory
) -> None:
    plans = _plans(topic)
    assert produce_and_compare(bootstrap, plans, 1_000, Screen(io.StringIO())) == 0
    for plan in plans:
        for record in read_topic(bootstrap, plan.name):
            assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS


@pytest.mark.core
def test_a_difference_ends_it_with_an_error_status(
    bootstrap: str, topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_with_faults(bootstrap_servers: str, name: str) -> list[ReadRecord]:
        records = read_topic(bootstrap_servers, name)
        return [*records[1:-1], records[-1]._replace(value=b"damaged")]

    monkeypatch.setattr(demo, "read_topic", read_with_faults)
    out = io.StringIO()
    status = produce_and_compare(bootstrap, [TopicPlan(topic(), "gzip")], 100, Screen(out))
    assert status == 1
    assert "DIFFERENT: 100 records were sent, 99 came back." in out.getvalue()
    assert "1 acknowledged, but not in Kafka" in out.getvalue()
    assert "1 changed on the way" in out.getvalue()


@pytest.mark.own_cluster
def test_a_cluster_that_goes_away_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load, "DELIVERY_MS", 5_000)
    out = io.StringIO()
    with EmbeddedCluster(1) as cluster:
        cluster.create_topic("orders")

        class Fragile(Screen):
            def progress(self, progress: Progress, *, last: bool = False) -> None:
                super().progress(progress, last=last)
                if not last:
                    cluster.set_down(1)

        plans = [TopicPlan("orders", "none")]
        status = produce_and_compare(cluster.bootstrap_servers, plans, 100_000, Fragile(out))
    assert status == 1
    failure = out.getvalue().partition("FAILED: of ")[2]
    assert "were acknowledged" in failure
    assert " x DeliveryTimeoutError: " in failure


def _start_demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "aioproducer", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def _told(err: str) -> list[str]:
    """What is on stderr but for what a busy machine may have a producer say."""
    return [line for line in err.splitlines() if "the event loop stood still" not in line]


def _wait_until_no_topic_is_left(kafka: KafkaCluster) -> None:
    """Brokers hear of a deletion one after the other."""
    deadline = time.monotonic() + 60
    while left := {
        name for name in partition_states(kafka.bootstrap_servers) if name.startswith("demo-orders")
    }:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_the_command_uses_the_cluster_it_is_told_and_leaves_no_topic_there(
    kafka: KafkaCluster,
) -> None:
    process = _start_demo("--quick", "--bootstrap", kafka.bootstrap_servers)
    out, err = process.communicate(timeout=280)

    assert process.returncode == 0, out + err
    assert _told(err) == []
    assert f"Kafka: the cluster at {kafka.bootstrap_servers}" in out
    assert f"OK: {QUICK_RECORDS:,} records came back" in out
    _wait_until_no_topic_is_left(kafka)


def test_an_interrupt_ends_the_command_and_takes_its_topics_away(kafka: KafkaCluster) -> None:
    process = _start_demo("--bootstrap", kafka.bootstrap_servers, "--records", "300000")
    assert process.stdout is not None
    shown = ""
    while "in flight" not in shown:
        line = process.stdout.readline()
        assert line, shown
        shown += line
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=250)

    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert out.rstrip().endswith("interrupted")
    assert time.monotonic() - began < 150
    _wait_until_no_topic_is_left(kafka)


@pytest.mark.own_cluster
def test_the_command_starts_and_ends_the_embedded_cluster_by_itself() -> None:
    process = _start_demo("--quick", "--kafka-version", "embedded")
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, out + err
    assert _told(err) == []
    assert "Kafka: embedded cluster, 3 mock brokers" in out
    assert f"OK: {QUICK_RECORDS:,} records came back" in out


@pytest.mark.own_cluster
def test_an_address_where_nobody_answers_is_said_to_be_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(where, "REACHABLE_SECONDS", 0.1)
    out = io.StringIO()
    assert run_demo(DemoOptions(bootstrap_servers="127.0.0.1:1"), out) == COULD_NOT_RUN
    assert out.getvalue() == ("no Kafka to run against: no broker answers at 127.0.0.1:1\n")
