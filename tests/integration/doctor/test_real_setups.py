"""The doctor against real topics: what is wrong with them is found, with good ones nothing is."""

from __future__ import annotations

import socket
import subprocess
import sys
import uuid
from typing import Any

import pytest

from aioproducer import AsyncProducer
from aioproducer.cli import main
from aioproducer.doctor import SetupReport, Severity, check_setup
from aioproducer.testing import KafkaCluster
from tests.conftest import TopicFactory, skip_for_cluster

PATIENCE = 120
GOOD: dict[str, object] = {"compression.type": "gzip"}


def names(report: SetupReport, topic: str | None = None) -> set[str]:
    return {each.name for each in report.findings if topic is None or each.topic == topic}


async def checked(bootstrap: str, *topics: str, rate: float | None = None, **more: Any) -> Any:
    settings = {**GOOD, "bootstrap.servers": bootstrap, **more}
    return await check_setup(settings, topics, bytes_per_second=rate, timeout=PATIENCE)


@pytest.fixture
def three_nodes(kafka: KafkaCluster, request: pytest.FixtureRequest) -> None:
    if not kafka.is_real:
        skip_for_cluster(request, "the embedded cluster knows no settings of topics")


@pytest.mark.usefixtures("three_nodes")
async def test_each_bad_topic_has_its_finding_and_the_good_one_none(
    bootstrap: str, topic: TopicFactory
) -> None:
    good = topic(3)
    bad = {
        "min-insync-1": topic(configs={"min.insync.replicas": "1"}),
        "low-replication": topic(replication=1, configs={"min.insync.replicas": "1"}),
        "no-replica-to-spare": topic(configs={"min.insync.replicas": "3"}),
        "topic-unusable": topic(replication=1, configs={"min.insync.replicas": "2"}),
        "request-above-limit": topic(configs={"max.message.bytes": "50000"}),
        "batch-above-limit": topic(configs={"max.message.bytes": "10000"}),
        "recompression": topic(configs={"compression.type": "zstd"}),
        "topic-missing": f"missing-{uuid.uuid4().hex[:8]}",
    }
    report = await checked(bootstrap, good, *bad.values())
    assert report.is_complete
    assert report.cluster.endswith("3 broker(s)")
    for name, where in bad.items():
        assert name in names(report, where), name
    assert not names(report, good)
    again = await checked(bootstrap, bad["topic-missing"])
    assert names(again) == {"topic-missing"}, "looking must not have created it"


@pytest.mark.usefixtures("three_nodes")
async def test_a_good_setup_is_called_good(bootstrap: str, topic: TopicFactory) -> None:
    name = topic(3)
    more = {"transactional.id": f"fresh-{uuid.uuid4().hex[:8]}"}
    report = await checked(bootstrap, name, rate=1e6, **more)
    assert not report.findings
    assert report.is_complete
    assert {"min-insync-1", "transactional-id-in-use", "buffer-for-rate"} <= set(report.checked)
    assert "constant-keys" not in report.checked
    assert any("holds 33.6 s" in note for note in report.notes)


@pytest.mark.usefixtures("three_nodes")
async def test_the_settings_of_brokers_are_compared(bootstrap: str, topic: TopicFactory) -> None:
    name = topic(40)
    report = await checked(
        bootstrap,
        name,
        rate=10e6,
        **{
            "transactional.id": f"late-{uuid.uuid4().hex[:8]}",
            "transaction.timeout.ms": 1_000_000,
            "request.timeout.ms": 20_000,
            "max.request.size": 200_000_000,
            "buffer.memory": 40 * 16384 - 1,
        },
    )
    assert names(report) >= {
        "transaction-timeout", "timeouts", "request-above-limit", "buffer-below-batches",
        "buffer-for-rate",
    }  # fmt: skip
    assert len(report.named("request-above-limit")) == 2, "the topic's limit and the brokers'"


@pytest.mark.usefixtures("three_nodes")
async def test_a_transactional_id_that_lives_is_noticed(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, own = topic(2), f"shared-{uuid.uuid4().hex[:8]}"
    settings = {"transactional.id": own}
    async with AsyncProducer(bootstrap, transactional_id=own) as other:
        async with other.transaction() as transaction:
            await transaction.send(name, b"1")
            report = await checked(bootstrap, name, **settings)
            [finding] = report.findings
            assert finding.name == "transactional-id-in-use"
            assert finding.severity is Severity.ERROR
            assert "has a transaction open" in finding.cause
            assert "Ongoing" in finding.cause
        [finding] = (await checked(bootstrap, name, **settings)).findings
        while "PrepareCommit" in finding.cause:
            # The markers are still being written.
            [finding] = (await checked(bootstrap, name, **settings)).findings
        assert f"wrote to {name}-" in finding.cause
        async with other.transaction() as transaction:
            await transaction.send(name, b"2")
    assert not names(await checked(bootstrap, name, **{"transactional.id": f"{own}-2"}))


@pytest.mark.usefixtures("three_nodes")
@pytest.mark.parametrize("keys", [1, 100])
async def test_keys_that_are_always_the_same_show_in_the_metrics(
    bootstrap: str, topic: TopicFactory, keys: int
) -> None:
    name = topic(3)
    async with AsyncProducer(bootstrap) as producer:
        for n in range(10_000):
            producer.send(name, b"v", key=b"%d" % (n % keys))
        await producer.flush()
        settings = {**GOOD, "bootstrap.servers": bootstrap}
        report = await check_setup(settings, [name], metrics=producer.metrics(), timeout=PATIENCE)
    assert names(report) == ({"constant-keys"} if keys == 1 else set())
    assert "constant-keys" in report.checked


@pytest.mark.core
async def test_any_broker_gets_a_report_that_says_what_it_lacks(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    report = await checked(bootstrap, name, acks="1")
    assert "acks-1" in names(report)
    assert report.cluster is not None
    gaps = {each for gap in report.unchecked for each in gap.findings}
    assert not gaps & set(report.checked)
    if report.is_complete:
        assert "topic-unauthorized" in report.checked


async def test_nobody_there_is_a_gap_and_no_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        report = await checked(f"127.0.0.1:{port}", "orders", acks="0")
    assert "acks-0" in names(report)
    [gap] = report.unchecked
    assert gap.what == "the cluster"
    assert "refused" in gap.why.lower()


async def test_somebody_who_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = {**GOOD, "bootstrap.servers": f"127.0.0.1:{silent.getsockname()[1]}"}
        report = await check_setup(settings, "orders", timeout=0.3)
    [gap] = report.unchecked
    assert gap.why == "not answered within 0.3 s"


@pytest.mark.usefixtures("three_nodes")
def test_the_command_ends_with_the_right_status(
    bootstrap: str, topic: TopicFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = topic(), topic(configs={"min.insync.replicas": "1"})
    command = ["doctor", "-b", bootstrap, "-X", "compression.type=gzip", "--timeout", "120"]
    assert main([*command, good]) == 0
    assert main([*command, bad]) == 1
    assert main([*command, bad, "--fail-on", "error"]) == 0
    assert main(["doctor", "-b", "127.0.0.1:1", "-X", "compression.type=gzip", good]) == 3
    assert "min-insync-1  topic" in capsys.readouterr().out


def test_the_library_alone_loads_none_of_the_extras() -> None:
    program = (
        "import aioproducer, sys\n"
        "extras = ('click', 'rich', 'prometheus_client', 'opentelemetry', 'confluent_kafka')\n"
        "print([name for name in extras if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=250
    )
    assert done.stdout.strip() == "[]"
