"""Metrics, findings, health, stories and interceptors against real brokers."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from aioproducer import AsyncProducer, Interceptor, Record
from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.proxy import Cut, FaultProxy, Frame
from tests.conftest import TopicFactory


async def drained(producer: AsyncProducer[bytes, bytes], name: str, values: list[bytes]) -> None:
    for number, value in enumerate(values):
        producer.send(name, value, key=b"%d" % number)
        await producer.drain()
    await producer.flush()


@pytest.mark.core
async def test_the_figures_are_those_that_a_reader_of_the_topic_finds(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Records, partitions, keys and values; and what the brokers' side of it must come to."""
    name = topic(partitions=3)
    values = [b"%06d" % number * 10 for number in range(2000)]
    async with AsyncProducer(bootstrap, linger_ms=10) as producer:
        await drained(producer, name, values)
        metrics = producer.metrics()
        # Besides records there may be questions on the way: for metadata, for what to push.
        async with asyncio.timeout(90):
            while producer.metrics().requests_in_flight:
                await asyncio.sleep(0.01)
        assert producer.health().ready
        assert 1 <= producer.health().brokers_connected <= metrics.connection_count
    reads = await read_topic_async(bootstrap, name)
    # The leaders of a new topic may not know it yet, and have some sent again.
    again = metrics.record_retry_total
    assert metrics.record_ack_total == metrics.record_send_total - again == len(reads) == 2000
    assert metrics.topics[name].partition_count == 3
    found = {index: sum(read.partition == index for read in reads) for index in range(3)}
    counted = metrics.topics[name].partition_records
    assert sum(counted.values()) == 2000 + again
    assert all(counted[index] >= found[index] for index in range(3))
    payload = sum(len(read.value or b"") + len(read.key or b"") for read in reads)
    assert payload < metrics.topics[name].byte_total < 1.3 * payload * (1 + again / 2000)
    assert metrics.outgoing_byte_total > metrics.topics[name].byte_total
    assert metrics.record_error_total == 0
    assert metrics.batch_total >= 3
    assert metrics.ack_times.count == 2000
    assert 0 < metrics.ack_time_p50 <= metrics.ack_time_p99 <= metrics.ack_time_max
    assert metrics.request_latency_avg > 0
    assert metrics.deliveries_outstanding == 0
    brokers = [node for node_id, node in metrics.nodes.items() if node_id >= 0]
    assert sum(node.response_total for node in brokers) > 0


async def test_findings_show_on_a_real_cluster_and_only_where_they_should(
    bootstrap: str, topic: TopicFactory
) -> None:
    calm, hot = topic(partitions=3), topic(partitions=3)
    small = topic(configs={"max.message.bytes": "1000"})
    # What a busy machine may have as well is not judged.
    limits = {
        "batching_from_rate": 1.0, "request_latency_ms": 9000.0, "queue_time_ms": 9000.0,
        "request_latency_critical_ms": 9000.0, "loop_stalls_per_minute": 1000.0,
    }  # fmt: skip
    async with AsyncProducer(bootstrap, linger_ms=20, compression_type="gzip") as producer:
        await drained(producer, calm, [b'{"order": %06d}' % n * 10 for n in range(2000)])
        assert producer.diagnose(limits).names == ()
    async with AsyncProducer(bootstrap, linger_ms=20, compression_type="gzip") as producer:
        await drained(producer, calm, [os.urandom(500) for _ in range(200)])
        assert producer.diagnose(limits).names == ("poor_compression",)
    async with AsyncProducer(bootstrap, linger_ms=0) as producer:
        await asyncio.gather(*(producer.send(hot, b"v", key=b"always") for _ in range(200)))
        assert "hot_partition" in producer.diagnose(limits).names
        for _ in range(300):
            await producer.send(hot, b"v")
        assert "poor_batching" in producer.diagnose(limits).names
    async with AsyncProducer(bootstrap) as producer:
        lost = [producer.send(small, bytes(3000)) for _ in range(3)]
        await asyncio.wait(lost)
        assert all(delivery.exception() for delivery in lost)
        (finding,) = [each for each in producer.diagnose(limits) if each.name == "errors"]
        assert finding.where == f"topic {small}"


async def test_slow_and_lost_answers_are_seen_told_and_survived(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A proxy holds answers for a quarter of a second, and cuts one connection."""
    name = topic()
    cuts = 0

    def hold(frame: Frame) -> float | None:
        nonlocal cuts
        if frame.is_produce and cuts == 0:
            cuts += 1
            raise Cut
        return 0.25 if frame.is_produce else None

    async with FaultProxy(bootstrap) as proxy, AsyncProducer(proxy.bootstrap_servers) as producer:
        # The first record finds out whether the topic's leader knows it already.
        await producer.send(name, b"v")
        before = producer.metrics()
        proxy.on_answer = hold
        delivery = producer.send(name, b"v")
        await delivery
        finding = next(f for f in producer.diagnose() if f.name == "request_latency")
        # The first record was answered at once.
        assert finding.figure >= 100
        metrics = producer.metrics()
        assert metrics.request_lost_total == before.request_lost_total + 1
        assert metrics.record_retry_total == before.record_retry_total + 1
        story = delivery.explain()
        what = [step.what for step in story.steps]
        assert what[-6:] == [
            "sent", "failed", "connected", "sent", "answered", "acknowledged",
        ]  # fmt: skip
        assert story.duration_ms >= 250
        assert "attempt 1 failed: ClusterConnectionError" in str(story)


async def test_health_follows_the_connection(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    async with FaultProxy(bootstrap) as proxy, AsyncProducer(proxy.bootstrap_servers) as producer:
        await producer.send(name, b"v")
        assert producer.health().ready

        def cut(frame: Frame) -> float | None:
            raise Cut

        proxy.on_request = cut
        waiting = producer.send(name, b"v")
        async with asyncio.timeout(90):
            while producer.health().ready:
                await asyncio.sleep(0.01)
        health = producer.health()
        assert health.live
        assert health.reasons
        proxy.on_request = lambda frame: None
        await waiting
        assert producer.health().ready


@pytest.mark.core
async def test_what_an_interceptor_adds_is_in_the_log(bootstrap: str, topic: TopicFactory) -> None:
    told: list[tuple[bytes | None, int]] = []

    class Stamp(Interceptor[bytes, bytes]):
        def on_send(self, record: Record[bytes, bytes]) -> Record[bytes, bytes]:
            return replace(record, headers=(*record.headers, ("source", b"shop")))

        async def on_acknowledgement(self, record, metadata, error) -> None:
            told.append((record.value, metadata.offset))

    name = topic()
    async with AsyncProducer(bootstrap, interceptors=[Stamp()]) as producer:
        sent = [producer.send(name, b"%d" % number) for number in range(10)]
        await asyncio.gather(*sent)
    reads = await read_topic_async(bootstrap, name)
    assert told == [(read.value, read.offset) for read in reads]
    assert all(list(read.headers) == [("source", b"shop")] for read in reads)
