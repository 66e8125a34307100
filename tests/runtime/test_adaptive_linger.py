"""With linger.adaptive a batch waits for company only while its broker is busy."""

from __future__ import annotations

import asyncio

from aioproducer import RecordMetadata
from tests.fake_broker import FakeCluster
from tests.runtime.world import engine_of, now, produced, running


def cluster_of(latency: float, partitions: int = 1) -> FakeCluster:
    cluster = FakeCluster(latency=lambda: latency)
    cluster.add_topic("orders", partitions)
    return cluster


async def test_while_nothing_is_on_its_way_a_batch_goes_at_the_end_of_the_turn() -> None:
    cluster = cluster_of(0.1)
    async with running(cluster, linger_ms=60_000, linger_adaptive=True) as producer:
        await producer.warm_up(["orders"])
        # The producer id and the connection's first answers.
        await asyncio.sleep(1)
        begin = now()
        sent = await asyncio.gather(*[producer.send("orders", b"%d" % n) for n in range(3)])
        assert now() - begin < 1
        assert [metadata.offset for metadata in sent] == [0, 1, 2]
        assert len(produced(cluster.brokers[1])) == 1
        assert producer.metrics().batch_sealed_idle_total == 1


async def test_records_sent_meanwhile_gather_until_the_answer_comes() -> None:
    cluster = cluster_of(0.1, partitions=2)
    async with running(cluster, linger_ms=60_000, linger_adaptive=True) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        begin = now()
        deliveries = [producer.send("orders", b"first", partition=0)]
        for number in range(20):
            await asyncio.sleep(0.004)
            deliveries.append(producer.send("orders", b"%d" % number, partition=number % 2))
        await asyncio.gather(*deliveries)
        assert now() - begin < 1
        assert [len(values) for values in produced(cluster.brokers[1])] == [1, 20]


async def test_linger_ms_is_the_longest_that_a_batch_waits() -> None:
    cluster = cluster_of(0.01)
    options = {"linger_ms": 100, "request_timeout_ms": 200_000, "delivery_timeout_ms": 400_000}
    async with running(cluster, linger_adaptive=True, **options) as producer:
        await producer.warm_up(["orders"])
        # Idempotent: until the first of a sequence is acknowledged the second does not go.
        await producer.send("orders", b"zeroth")
        cluster.latency = lambda: 30.0
        deliveries = [producer.send("orders", b"first")]
        await asyncio.sleep(0.02)
        deliveries.append(producer.send("orders", b"second"))
        await asyncio.sleep(1)
        assert producer.metrics().requests_in_flight == 2
        await asyncio.gather(*deliveries)
        metrics = producer.metrics()
        assert (metrics.batch_sealed_idle_total, metrics.batch_sealed_linger_total) == (2, 1)


async def test_without_it_kafka_s_linger_is_kept() -> None:
    cluster = cluster_of(0.001)
    async with running(cluster, linger_ms=500) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        begin = now()
        await producer.send("orders", b"v")
        assert 0.5 <= now() - begin < 0.6
        assert producer.metrics().batch_sealed_idle_total == 0


async def test_a_partition_that_waits_is_forgotten_with_the_answer() -> None:
    cluster = cluster_of(0.1, partitions=3)
    async with running(cluster, linger_ms=60_000, linger_adaptive=True) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        waiting: list[asyncio.Future[RecordMetadata]] = []
        for partition in range(3):
            waiting.append(producer.send("orders", b"v", partition=partition))
            await asyncio.sleep(0.01)
        intake = engine_of(producer).intake
        assert [len(queues) for queues in intake._waiting_for_idle.values()] == [2]
        await asyncio.gather(*waiting)
        assert not intake._waiting_for_idle
