"""The cluster that all tests share, through the fixtures they use."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.testing import FaultProxy, KafkaCluster, NodeControl, admin
from aioproducer.testing.admin import broker_ids
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.judge import dump_log, end_offsets, read_topic, read_topic_async
from tests.conftest import TopicFactory
from tests.integration.testing.conftest import Produce


@pytest.mark.core
def test_what_was_produced_is_read_back_with_all_its_parts(
    kafka: KafkaCluster, topic: TopicFactory, produce: Produce
) -> None:
    name = topic(partitions=2)
    produce(kafka.bootstrap_servers, name, [b"one", b"two", b"three"])

    records = read_topic(kafka.bootstrap_servers, name)

    assert [(r.partition, r.offset, r.value) for r in records] == [
        (0, 0, b"one"),
        (0, 1, b"two"),
        (0, 2, b"three"),
    ]
    assert {(r.key, r.headers) for r in records} == {(b"key", (("none", None),))}
    assert all(r.timestamp_ms > 1_600_000_000_000 for r in records)
    assert end_offsets(kafka.bootstrap_servers, name) == {0: 3, 1: 0}


@pytest.mark.core
async def test_reading_leaves_the_event_loop_free(
    bootstrap: str, topic: TopicFactory, produce: Produce
) -> None:
    name = topic()
    await asyncio.to_thread(produce, bootstrap, name, [b"value"])
    assert [record.value for record in await read_topic_async(bootstrap, name)] == [b"value"]


def test_a_topic_is_made_once_every_broker_knows_it_and_its_leaders_lead(
    bootstrap: str, topic: TopicFactory
) -> None:
    """One that is asked may have heard of it before those who have to take its records."""
    name = f"{topic()}-2"
    with FaultProxy(bootstrap) as proxy:
        unheard = proxy.fail("Metadata", "UNKNOWN_TOPIC_OR_PARTITION", topic=name, times=4)
        admin.create_topic(proxy.bootstrap_servers, name, 2, None, None)
        assert unheard.struck == 4
        questions = [(frame.name, frame.broker) for frame in proxy.seen]
    for broker in broker_ids(bootstrap, timeout=30):
        assert ("Metadata", broker) in questions
    for partition in admin.partition_states(bootstrap)[name]:
        assert ("ListOffsets", partition.leader) in questions


def test_the_log_dump_shows_the_batches_on_disk(
    kafka: KafkaCluster, topic: TopicFactory, produce: Produce
) -> None:
    if not isinstance(kafka, JavaCluster):
        pytest.skip("the log is on somebody else's disk")
    name = topic()
    produce(kafka.bootstrap_servers, name, [b"a", b"b"])

    batches = dump_log(kafka, name, 0)

    assert sum(batch.count for batch in batches) == 2
    assert batches[0].base_sequence == 0
    assert batches[0].producer_id >= 0
    assert all(batch.is_valid and batch.codec == "none" for batch in batches)


def test_a_killed_node_comes_back_and_catches_up(
    kafka: KafkaCluster, node_control: NodeControl, topic: TopicFactory, produce: Produce
) -> None:
    name = topic()
    node_control.kill(1)
    produce(kafka.bootstrap_servers, name, [b"while one is away"])

    node_control.restore()

    assert broker_ids(kafka.bootstrap_servers, timeout=30) == set(node_control.node_ids)
    assert [r.value for r in read_topic(kafka.bootstrap_servers, name)] == [b"while one is away"]


def test_a_frozen_node_goes_on_where_it_was(
    kafka: KafkaCluster, node_control: NodeControl, topic: TopicFactory, produce: Produce
) -> None:
    name = topic()
    node_control.pause(2)
    node_control.resume(2)
    produce(kafka.bootstrap_servers, name, [b"value"])
    assert len(read_topic(kafka.bootstrap_servers, name)) == 1
