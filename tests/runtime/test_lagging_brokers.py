"""Answers from brokers that are behind, and topics that are made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from aioproducer import MetadataTimeoutError, ProducerClosedError, partition_of_key
from tests.fake_broker import FakeCluster
from tests.runtime.world import engine_of, now, running, values_of


def keys_in(partition: int, count: int) -> Iterator[bytes]:
    numbers = (b"key-%d" % number for number in range(1000))
    return (key for key in numbers if partition_of_key(key, count) == partition)


async def test_a_leader_that_one_answer_did_not_list_is_found_again() -> None:
    """Its connection was given up for that answer; what is sent next must not wait for minutes."""
    cluster = FakeCluster(3, latency=lambda: 0.01)
    topic = cluster.add_topic("orders")
    async with running(cluster) as producer:
        await producer.send("orders", b"first")
        leader = topic.partitions[0].leader
        await asyncio.sleep(1)
        engine = engine_of(producer)
        engine.cluster.brokers.drop(leader)
        started = now()
        assert (await producer.send("orders", b"second")).offset == 1
        assert now() - started < 5


async def test_a_topic_made_anew_with_fewer_partitions_takes_records_at_once() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders", 6)
    async with running(cluster, metadata_max_age_ms=1_000) as producer:
        await producer.send("orders", b"old", key=next(keys_in(5, 6)))
        cluster.recreate_topic("orders", 2)
        await asyncio.sleep(3)
        assert len(await producer.partitions_for("orders")) == 2
        key = next(keys_in(1, 2))
        metadata = await producer.send("orders", b"new", key=key)
        assert (metadata.partition, metadata.offset) == (1, 0)
    assert values_of(cluster, "orders", 1) == [b"new"]


async def test_metadata_of_no_age_is_still_asked_for_at_a_measured_pace() -> None:
    cluster = FakeCluster(latency=lambda: 0.002)
    cluster.add_topic("orders")
    async with running(cluster, metadata_max_age_ms=0) as producer:
        await producer.send("orders", b"v")
        before = sum(len(broker.requests) for broker in cluster.brokers.values())
        await asyncio.sleep(10)
        asked = sum(len(broker.requests) for broker in cluster.brokers.values()) - before
        assert asked <= 10 / 0.1 + 1


async def test_closing_tells_those_who_wait_for_metadata() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    async with running(cluster, allow_auto_create_topics=False) as producer:
        waiting = asyncio.ensure_future(producer.partitions_for("missing"))
        await asyncio.sleep(1)
        started = now()
        await producer.close()
        with pytest.raises(ProducerClosedError):
            await waiting
        assert now() - started < 1


async def test_warm_up_names_the_leader_that_does_not_answer() -> None:
    cluster = FakeCluster(2, latency=lambda: 0.01)
    topic = cluster.add_topic("orders")
    cluster.move_leader(topic.partitions[0], 2)
    cluster.brokers[2].up = False
    cluster.brokers[2].when_down = "hang"
    async with running(cluster, bootstrap="broker-1:9092") as producer:
        started = now()
        with pytest.raises(MetadataTimeoutError, match="broker-2:9092"):
            await producer.warm_up(["orders"], timeout=2)
        assert now() - started < 2.5


async def test_a_queue_in_line_for_a_dropped_broker_finds_its_leader_again() -> None:
    """One answer of a broker that is behind leaves the leader out while records wait for it."""
    cluster = FakeCluster(3, latency=lambda: 0.01)
    topic = cluster.add_topic("orders")
    async with running(cluster) as producer:
        await producer.send("orders", b"first")
        leader = topic.partitions[0].leader
        cluster.brokers[leader].stop()
        await asyncio.sleep(0.2)
        waiting = producer.send("orders", b"second")
        await asyncio.sleep(0.2)
        engine = engine_of(producer)
        engine.cluster.brokers.drop(leader)
        cluster.brokers[leader].start()
        started = now()
        assert (await waiting).offset == 1
        assert now() - started < 5


async def test_records_for_a_partition_that_went_while_they_waited_for_memory() -> None:
    """They wait for it to come back; nobody behind them is held up, and no memory is lost."""
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders", 6)
    cluster.add_topic("others")
    options = {"buffer_memory": 2000, "metadata_max_age_ms": 500, "max_block_ms": 5_000}
    async with running(cluster, delivery_timeout_ms=40_000, **options) as producer:
        await producer.warm_up(["orders", "others"])
        cluster.topics["orders"].partitions[5].leader = -1
        sent = [producer.send("orders", b"." * 100, partition=5) for _ in range(8)]
        await asyncio.sleep(1)
        cluster.recreate_topic("orders", 2)
        await asyncio.sleep(3)
        assert (await producer.send("others", b"not held up")).offset == 0
        await asyncio.wait(sent)
        assert all(delivery.exception() is not None for delivery in sent)
