"""Kafka loses an open transaction when its coordinator moves twice; its records stay in the logs.

A coordinator loads its log to the very end and answers from what it finds there, replicated or not
(``TransactionStateManager.loadTransactionMetadata`` and ``handleAddPartitionsToTransaction`` of
4.3.1). The next one may be elected without that end. It then knows nothing of a transaction to
which partitions have appended: refuses its commit, takes its abort for one without records, and
lets the transactional id's next transaction end the records along with its own.

Here a frozen node holds back the replication, so that this happens each time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from aioproducer import AsyncProducer
from aioproducer.testing.admin import connect, states_of
from aioproducer.testing.kraft import KraftCluster
from tests.integration.transactions.helpers import new_id, new_producer, visible, written

pytestmark = [pytest.mark.own_cluster, pytest.mark.timeout(900)]

STATE_TOPIC = "__transaction_state"
Producers: TypeAlias = dict[str, AsyncProducer[bytes, bytes]]
"""By the topic that each writes."""

ROUNDS, PATIENCE = 5, 150.0
QUORUM = "org.apache.kafka.tools.MetadataQuorumCommand"


@pytest.fixture(scope="module")
def cluster() -> Iterator[KraftCluster]:
    configs = {
        "transaction.state.log.num.partitions": "1",
        "auto.leader.rebalance.enable": "false",
        # A node that is frozen stays in sync, as one does that is merely slow.
        "broker.session.timeout.ms": "300000",
        "replica.lag.time.max.ms": "300000",
        "replica.fetch.wait.max.ms": "100",
    }
    with KraftCluster(3, configs=configs) as started:
        yield started


async def test_what_the_coordinator_lost_is_ended_as_it_should(cluster: KraftCluster) -> None:
    """Also when the same transactional ids commit other transactions after it."""
    bootstrap = cluster.bootstrap_servers
    for _ in range(ROUNDS):
        first = await asyncio.to_thread(_controller, cluster)
        last, second = (node for node in cluster.node_ids if node != first)
        # A broker has one such request at a time on its way to the coordinator: one topic each.
        committed, aborted = (_create_topic(cluster, node) for node in (first, second))
        awake = ",".join(f"127.0.0.1:{cluster.node(node).port}" for node in (first, second))
        async with (
            new_producer(awake, transaction_timeout_ms=600_000) as committing,
            new_producer(awake, transaction_timeout_ms=600_000) as aborting,
        ):
            producers = {committed: committing, aborted: aborting}
            await _send_each(producers, b"before")
            was_lost = await _lose(cluster, producers, awake, (first, second, last))
            await committing.commit_transaction()
            await aborting.abort_transaction()
            assert await visible(bootstrap, committed) == [b"before", b"lost"]
            await _send_each(producers, b"next")
        assert await visible(bootstrap, committed) == [b"before", b"lost", b"next"]
        assert await visible(bootstrap, aborted) == [b"before", b"next"]
        assert await written(bootstrap, aborted) == [b"before", b"lost", b"next"]
        if was_lost:
            return
    pytest.fail("the coordinator never lost them")


async def _send_each(producers: Producers, value: bytes) -> None:
    for name, producer in producers.items():
        async with producer.transaction() as tx:
            tx.send(name, value)


async def _lose(
    cluster: KraftCluster, producers: Producers, awake: str, nodes: tuple[int, int, int]
) -> bool:
    """Open a transaction each, have their coordinator lose them; return whether it did."""
    first, second, last = nodes
    await asyncio.to_thread(_coordinate, cluster, awake, first, second, last)
    await asyncio.to_thread(cluster.wait_in_sync)
    size = _size(cluster, first)
    await _holds(lambda: _size(cluster, second) == _size(cluster, last) == size)
    cluster.pause(last)
    try:
        # Until the first has answered what the last had asked before: with nothing.
        await asyncio.sleep(2)
        deliveries = []
        for name, producer in producers.items():
            before = _size(cluster, first)
            producer.begin_transaction()
            deliveries.append(producer.send(name, b"lost"))
            await _holds(lambda then=before: _size(cluster, second) == _size(cluster, first) > then)
        await asyncio.to_thread(_coordinate, cluster, awake, second, last, first)
        await asyncio.wait_for(asyncio.gather(*deliveries), PATIENCE)
        known_to_second = _size(cluster, second)
        await asyncio.to_thread(_coordinate, cluster, awake, last, first, second)
    finally:
        cluster.resume(last)
    await _holds(lambda: _size(cluster, second) == _size(cluster, last))
    return _size(cluster, last) < known_to_second


async def _holds(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _size(cluster: KraftCluster, node: int) -> int:
    segment = Path(cluster.node(node).data) / f"{STATE_TOPIC}-0" / f"{0:020}.log"
    return segment.stat().st_size


def _controller(cluster: KraftCluster) -> int:
    told = cluster.run_tool(
        QUORUM, "--bootstrap-server", cluster.bootstrap_servers, "describe", "--status"
    )
    (line,) = (line for line in told.splitlines() if line.startswith("LeaderId"))
    return int(line.split()[-1])


def _create_topic(cluster: KraftCluster, node: int) -> str:
    """Create a topic that no other node has to do with."""
    from confluent_kafka.admin import NewTopic

    name, config = new_id(), {"min.insync.replicas": "1"}
    topic = NewTopic(name, 1, replica_assignment=[[node]], config=config)
    client = connect(cluster.bootstrap_servers)
    client.create_topics([topic])[name].result()
    return name


def _coordinate(cluster: KraftCluster, awake: str, *replicas: int) -> None:
    """Have the first of ``replicas`` lead the partition of the transactions' state."""
    from confluent_kafka import ElectionType, KafkaException, TopicPartition
    from kafka import TopicPartition as Partition
    from kafka.admin import KafkaAdminClient

    deadline = time.monotonic() + PATIENCE
    answering = [node for node in cluster.node_ids if f":{cluster.node(node).port}" in awake]
    admin = KafkaAdminClient(bootstrap_servers=awake.split(","), bootstrap_timeout_ms=90_000)
    try:
        # Any node hands it on to the controller; metadata may name the frozen one for it.
        admin._controller_id = answering[0]
        admin.alter_partition_reassignments({Partition(STATE_TOPIC, 0): list(replicas)})
    finally:
        admin.close()
    while states_of(awake, STATE_TOPIC)[0].leader != replicas[0]:
        assert time.monotonic() < deadline, "the coordinator did not move"
        client = connect(awake)
        if client.list_topics(timeout=10).controller_id in answering:
            try:
                client.elect_leaders(
                    ElectionType.PREFERRED, [TopicPartition(STATE_TOPIC, 0)]
                ).result(timeout=10)
            except (KafkaException, TimeoutError):
                continue
        time.sleep(0.05)
