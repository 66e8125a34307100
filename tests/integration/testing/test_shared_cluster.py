"""The cluster that all tests share, through the fixtures they use."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.testing import KafkaCluster, NodeControl
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

    assert broker_ids(kafka.bootstrap_servers) == set(node_control.node_ids)
    assert [r.value for r in read_topic(kafka.bootstrap_servers, name)] == [b"while one is away"]


def test_a_frozen_node_goes_on_where_it_was(
    kafka: KafkaCluster, node_control: NodeControl, topic: TopicFactory, produce: Produce
) -> None:
    name = topic()
    node_control.pause(2)
    node_control.resume(2)
    produce(kafka.bootstrap_servers, name, [b"value"])
    assert len(read_topic(kafka.bootstrap_servers, name)) == 1
