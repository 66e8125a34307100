"""Clusters that a test starts itself: what they leave behind, and how they fail."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from aioproducer.testing import ClusterStartError, EmbeddedCluster, KraftCluster, java_cluster
from aioproducer.testing.admin import broker_ids, client_config, partition_states
from aioproducer.testing.cluster import KafkaUnavailableError
from aioproducer.testing.java_cluster import accepts_connections, require_java
from aioproducer.testing.judge import read_topic
from tests.conftest import skip_for_cluster
from tests.integration.testing.conftest import Produce

pytestmark = pytest.mark.own_cluster

OWNER = """
import sys, time
from aioproducer.testing import KraftCluster
cluster = KraftCluster(nodes=1)
cluster.start()
node = cluster.node(1)
print(node.process.pid, node.directory, flush=True)
time.sleep(600)
"""


@pytest.fixture
def needs_java(request: pytest.FixtureRequest) -> None:
    try:
        require_java()
    except KafkaUnavailableError as error:
        skip_for_cluster(request, str(error))


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    # Dead, but nobody has asked for its exit code yet.
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_broker_outlives_an_owner_that_was_killed(needs_java: None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        assert runs(int(pid))
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 90
    while (runs(int(pid)) or Path(directory).exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(int(pid))
    assert not Path(directory).exists()


def test_a_broker_that_cannot_start_is_quoted_and_nothing_is_left(needs_java: None) -> None:
    cluster = KraftCluster(nodes=1, configs={"socket.send.buffer.bytes": "many"})
    with pytest.raises(ClusterStartError, match=r"socket\.send\.buffer\.bytes"):
        cluster.start()
    assert cluster.node_ids == ()


def test_a_lost_port_is_replaced(needs_java: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        original = java_cluster.free_ports
        answers = [[taken.getsockname()[1]]]
        monkeypatch.setattr(
            java_cluster, "free_ports", lambda count: answers.pop() if answers else original(count)
        )
        with KraftCluster(nodes=1) as cluster:
            assert cluster.node(1).port != taken.getsockname()[1]


async def test_a_stopped_cluster_is_gone(needs_java: None) -> None:
    async with KraftCluster(nodes=1) as cluster:
        node = cluster.node(1)
        assert broker_ids(cluster.bootstrap_servers, timeout=30) == {1}
    assert not accepts_connections(node.port)
    assert not node.directory.exists()
    assert cluster.bootstrap_servers == ""


async def test_the_embedded_cluster_creates_topics_as_asked() -> None:
    async with EmbeddedCluster(brokers=2) as cluster:
        cluster.create_topic("orders", partitions=7)
        states = partition_states(cluster.bootstrap_servers)
        assert len(states["orders"]) == 7
        assert all(len(partition.replicas) == 2 for partition in states["orders"])


def test_the_embedded_cluster_moves_leaders_and_loses_brokers(produce: Produce) -> None:
    with EmbeddedCluster(brokers=2) as cluster:
        cluster.create_topic("orders")
        cluster.set_leader("orders", 0, 2)
        assert partition_states(cluster.bootstrap_servers)["orders"][0].leader == 2
        cluster.set_down(1)
        produce(cluster.bootstrap_servers, "orders", [b"value"])
        cluster.set_up(1)
        assert [r.value for r in read_topic(cluster.bootstrap_servers, "orders")] == [b"value"]


def test_the_embedded_cluster_answers_with_the_errors_it_is_given() -> None:
    with EmbeddedCluster(brokers=1) as cluster:
        cluster.create_topic("orders")
        failures: list[str] = []

        def on_delivery(error: KafkaError | None, _message: Message) -> None:
            assert error is not None
            failures.append(error.name())

        with Producer(client_config(cluster.bootstrap_servers)) as producer:
            cluster.fail_next(api_key=0, errors=[29])
            producer.produce("orders", b"v", on_delivery=on_delivery)
            assert producer.flush(120) == 0
        assert failures == ["TOPIC_AUTHORIZATION_FAILED"]


def test_an_embedded_cluster_that_is_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        EmbeddedCluster().create_topic("orders")


def test_a_topic_that_exists_is_refused() -> None:
    with EmbeddedCluster(brokers=1) as cluster:
        cluster.create_topic("orders")
        with pytest.raises((RuntimeError, KafkaException)):
            cluster.create_topic("orders")


def test_several_clusters_live_side_by_side() -> None:
    with EmbeddedCluster(1) as first, EmbeddedCluster(1) as second:
        assert first.bootstrap_servers != second.bootstrap_servers
