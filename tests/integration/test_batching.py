"""Batches: when they leave, how large they grow, and what they may hold in memory.

Sizes and counts are read from Kafka's log dump, requests are counted by a proxy in between.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from aioproducer import AsyncProducer, BufferExhaustedError, Delivery, Record, RecordMetadata
from aioproducer.runtime import intake
from aioproducer.testing import KafkaCluster
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.judge import DumpedBatch, dump_log, read_topic_async
from aioproducer.testing.proxy import FaultProxy
from aioproducer.wire import compression
from tests.conftest import TopicFactory


@pytest.fixture
def java(kafka: KafkaCluster) -> JavaCluster:
    """The cluster, if its disks can be read."""
    if not isinstance(kafka, JavaCluster):
        pytest.skip("the log is on somebody else's disk")
    return kafka


async def dumped(java: JavaCluster, topic: str, partition: int = 0) -> list[DumpedBatch]:
    return await asyncio.to_thread(dump_log, java, topic, partition)


async def values_of(bootstrap: str, topic: str) -> list[bytes | None]:
    return [read.value for read in await read_topic_async(bootstrap, topic)]


def check_memory_is_free(producer: AsyncProducer[bytes, bytes]) -> None:
    figures = producer.metrics()
    assert figures.buffer_available_bytes == figures.buffer_total_bytes
    assert figures.waiting_records == 0


async def test_records_sent_within_linger_ms_share_a_batch(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """A hundred records within linger.ms: one batch, one request."""
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(proxy.bootstrap_servers, linger_ms=3000) as producer,
    ):
        await producer.warm_up([name])
        started = time.monotonic()
        deliveries = []
        for _ in range(100):
            deliveries.append(producer.send(name, b"v"))
            await asyncio.sleep(0)
        await asyncio.gather(*deliveries)
        assert 2.9 < time.monotonic() - started < 90
        again = producer.metrics().record_retry_total // 100
        assert len(proxy.produce_requests) == 1 + again
    assert [batch.count for batch in await dumped(java, name)] == [100]


async def test_linger_counts_from_the_first_record_of_the_batch(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Later records do not put it off: a trickle is not held for ever."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=200) as producer:
        await producer.send_and_wait(name, b"has connected")
        started = time.monotonic()
        first = producer.send(name, b"first")
        while not first.done():
            producer.send(name, b"more")
            await asyncio.sleep(0.01)
        assert 0.19 < time.monotonic() - started < 90
        await producer.flush()


async def test_each_partition_lingers_by_itself(bootstrap: str, topic: TopicFactory) -> None:
    """A full batch of one partition does not send the others."""
    name = topic(2)
    async with AsyncProducer(bootstrap, linger_ms=600_000, batch_size=2000) as producer:
        await producer.warm_up([name])
        slow = producer.send(name, b"slow", partition=0)
        full = [producer.send(name, bytes(500), partition=1) for _ in range(5)]
        await full[0]
        await asyncio.sleep(0.3)
        assert not slow.done()
        await producer.flush()
        assert slow.result().offset == 0


async def test_a_full_batch_does_not_linger(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """It leaves as soon as the next record has no room, and is no larger than batch.size."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=600_000, batch_size=4000) as producer:
        await producer.warm_up([name])
        deliveries = [producer.send(name, bytes(100)) for _ in range(400)]
        await asyncio.wait_for(asyncio.gather(*deliveries[:300]), 120)
        assert not deliveries[-1].done()
        await producer.flush()
        check_memory_is_free(producer)
    batches = await dumped(java, name)
    assert max(batch.size for batch in batches) <= 4000
    assert all(batch.size > 3500 for batch in batches[:-1])


async def test_a_batch_size_of_zero_sends_each_record_alone(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """As with the Java client: no batching."""
    name = topic()
    async with AsyncProducer(bootstrap, batch_size=0) as producer:
        await asyncio.gather(*(producer.send(name, b"v") for _ in range(20)))
    assert [batch.count for batch in await dumped(java, name)] == [1] * 20


async def test_without_linger_concurrent_records_still_share_a_batch(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """What is sent in one turn of the loop leaves together, also with linger.ms=0."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=0) as producer:
        await producer.warm_up([name])
        await producer.send(name, b"first")
        await asyncio.gather(*(producer.send(name, b"v") for _ in range(50)))
    assert [batch.count for batch in await dumped(java, name)] == [1, 50]


async def test_a_batch_grows_while_its_broker_is_busy(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """Requests in flight are all used: what comes meanwhile gathers in one batch, not in many."""
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(
            proxy.bootstrap_servers, linger_ms=0, max_in_flight_requests_per_connection=1
        ) as producer,
    ):
        await producer.send(name, b"first")
        proxy.answers.clear()
        deliveries = []
        for _ in range(100):
            deliveries.append(producer.send(name, b"v"))
            await asyncio.sleep(0.001)
        proxy.answers.set()
        await asyncio.gather(*deliveries)
        assert len(proxy.produce_requests) <= 4 + producer.metrics().record_retry_total
    assert len(await dumped(java, name)) <= 4


async def test_flush_and_send_and_wait_do_not_wait_for_linger(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Expedited batches go out in the same turn; other partitions go on lingering."""
    name = topic(3)
    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        await producer.warm_up([name])
        other = producer.send(name, b"other", partition=1)
        await asyncio.wait_for(producer.send_and_wait(name, b"now", partition=0), 90)
        assert not other.done()
        await asyncio.wait_for(producer.flush(), 90)
        assert other.done()
        await asyncio.wait_for(producer.send_many([Record(name, b"v", partition=2)]), 90)


async def test_hundreds_of_partitions_share_requests(bootstrap: str, topic: TopicFactory) -> None:
    """What is ready for a broker leaves in one request, not in one for each partition."""
    name = topic(120, replication=1)
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(proxy.bootstrap_servers, linger_ms=600_000) as producer,
    ):
        await producer.warm_up([name])
        found = []
        for number in range(3):
            sent = [producer.send(name, b"%d" % number, partition=index) for index in range(120)]
            await producer.flush()
            found += await asyncio.gather(*sent)
            if number == 0:
                # Brokers may still be opening the logs of a new topic, which makes retries.
                before = len(proxy.produce_requests)
                retried = producer.metrics().record_retry_total
        again = producer.metrics().record_retry_total - retried
        assert len(proxy.produce_requests) - before <= 2 * 3 + again
        check_memory_is_free(producer)
    assert [metadata.offset for metadata in found] == [0] * 120 + [1] * 120 + [2] * 120
    for read in await read_topic_async(bootstrap, name):
        assert read.value == b"%d" % read.offset


async def test_no_request_is_larger_than_max_request_size(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A hundred full partitions: several requests, each within the limit; all get their turn."""
    name = topic(100, replication=1)
    limit = 100_000
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(
            proxy.bootstrap_servers, linger_ms=50, batch_size=16_384, max_request_size=limit
        ) as producer,
    ):
        await producer.warm_up([name])
        deliveries = [
            producer.send(name, bytes(1000), partition=partition)
            for _ in range(30)
            for partition in range(100)
        ]
        await asyncio.gather(*deliveries)
        sizes = [frame.size for frame in proxy.produce_requests]
        check_memory_is_free(producer)
    assert max(sizes) <= limit
    assert max(sizes) > limit / 2
    assert len(sizes) >= 30


# Memory


async def test_ten_thousand_outstanding_records_go_through_little_memory_in_order(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Not one await between them: those without room wait their turn, first come, first served."""
    name = topic()
    values = [b"%d" % number + bytes(90) for number in range(10_000)]
    async with AsyncProducer(bootstrap, buffer_memory=2_000_000, linger_ms=2) as producer:
        await producer.warm_up([name])
        for round_ in range(2):
            deliveries = [producer.send(name, value) for value in values]
            assert producer.metrics().waiting_records > 1000
            found = await asyncio.gather(*deliveries)
            first = round_ * 10_000
            assert [metadata.offset for metadata in found] == list(range(first, first + 10_000))
            check_memory_is_free(producer)
    assert await values_of(bootstrap, name) == values * 2


async def test_records_that_wait_for_their_topic_keep_their_order(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Sent before anything is known of the cluster: all of them wait, none overtakes another."""
    name = topic()
    values = [b"%d" % number for number in range(5000)]
    async with AsyncProducer(bootstrap, buffer_memory=2_000_000, linger_ms=2) as producer:
        deliveries = [producer.send(name, value) for value in values]
        assert producer.metrics().waiting_records == 5000
        found = await asyncio.gather(*deliveries)
        assert [metadata.offset for metadata in found] == list(range(5000))
        check_memory_is_free(producer)
    assert await values_of(bootstrap, name) == values


async def test_memory_is_bounded_whatever_the_caller_does(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Past buffer.memory and a waiting room of its size a record fails at once."""
    name = topic()
    async with AsyncProducer(bootstrap, buffer_memory=100_000, linger_ms=5) as producer:
        await producer.warm_up([name])
        deliveries = [producer.send(name, b"%d" % n + bytes(1000)) for n in range(1000)]
        refused = [delivery for delivery in deliveries if delivery.done()]
        # A record is charged with its size and an overhead: about 1250 bytes.
        assert 1000 - 2 * 100_000 // 1000 <= len(refused) <= 1000 - 2 * 100_000 // 1500
        for delivery in refused:
            error = delivery.exception()
            assert isinstance(error, BufferExhaustedError)
            assert (error.persisted, error.retriable) == ("no", True)
        await producer.flush()
        accepted = [delivery for delivery in deliveries if delivery not in refused]
        assert [each.result().offset for each in accepted] == list(range(len(accepted)))
        check_memory_is_free(producer)
        assert (await producer.send(name, b"room again")).offset == len(accepted)


async def test_memory_comes_back_from_every_fate(bootstrap: str, topic: TopicFactory) -> None:
    """Delivered, split, too large, withdrawn, abandoned, timed out: nothing stays charged."""
    name = topic(configs={"max.message.bytes": "5000"})
    async with AsyncProducer(
        bootstrap, linger_ms=50, batch_size=50_000, allow_auto_create_topics=False, max_block_ms=300
    ) as producer:
        await producer.warm_up([name], timeout=90)
        deliveries = [producer.send(name, bytes(300)) for _ in range(500)]
        deliveries.append(producer.send(name, bytes(9000)))
        deliveries.append(producer.send("no-such-topic", b"v"))
        deliveries.append(producer.send("no-such-topic", b"v"))
        deliveries[-1].cancel()
        deliveries.append(producer.send(name, b"abandoned"))
        deliveries[-1].cancel()
        deliveries.append(producer.send(name, b"hasty", timeout=0.001))
        await asyncio.gather(*deliveries, return_exceptions=True)
        await producer.flush()
        check_memory_is_free(producer)


async def test_room_is_given_in_the_order_of_asking(bootstrap: str, topic: TopicFactory) -> None:
    """Small records do not slip past a large one that waits, over all partitions."""
    name = topic(4)
    done: list[int] = []
    async with AsyncProducer(bootstrap, buffer_memory=80_000, linger_ms=1) as producer:
        await producer.warm_up([name])
        for number in range(60):
            size = 20_000 if number % 20 == 10 else 1000
            delivery = producer.send(name, b"%d:" % number + bytes(size), partition=number % 4)
            delivery.add_done_callback(lambda _, n=number: done.append(n))
        await producer.flush()
        await asyncio.sleep(0)
        check_memory_is_free(producer)
    for partition in range(4):
        assert [n for n in done if n % 4 == partition] == list(range(partition, 60, 4))
    assert sorted(done) == list(range(60))


async def test_many_tasks_share_the_memory_fairly(bootstrap: str, topic: TopicFactory) -> None:
    """Sixty firehoses through a narrow pipe: each gets on, nothing is lost or reordered."""
    name = topic(6)
    finished: list[int] = []

    async def firehose(producer: AsyncProducer[bytes, bytes], number: int) -> list[Delivery]:
        sent = []
        for index in range(100):
            sent.append(
                producer.send(name, b"%d %d" % (number, index) + bytes(200), partition=number % 6)
            )
            await producer.drain()
        finished.append(number)
        return sent

    async with AsyncProducer(bootstrap, buffer_memory=50_000) as producer:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(firehose(producer, number)) for number in range(60)]
        await producer.flush()
        for task in tasks:
            offsets = [delivery.result().offset for delivery in task.result()]
            assert offsets == sorted(set(offsets))
        check_memory_is_free(producer)
    assert len(finished) == 60
    assert len(await values_of(bootstrap, name)) == 6000


# Compression


async def test_batches_grow_as_compression_proves_worth_it(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """batch.size means bytes on the wire: the better a topic compresses, the more fits."""
    name = topic()
    async with AsyncProducer(
        bootstrap, compression_type="gzip", batch_size=4000, linger_ms=200
    ) as producer:
        for _ in range(70):
            # The estimate learns from what has left: a backlog would be cut by the old one.
            for number in range(300):
                producer.send(name, b"the same words again and again %d" % (number % 10))
            await producer.flush()
        rate = producer.metrics().compression_rate_avg
        check_memory_is_free(producer)
    batches = await dumped(java, name)
    assert max(batch.size for batch in batches) <= 4000
    assert max(batch.count for batch in batches[-10:]) > 2 * batches[0].count
    assert {batch.codec for batch in batches} == {"gzip"}
    assert 0 < rate < 0.3


async def test_without_compression_the_rate_is_one(bootstrap: str, topic: TopicFactory) -> None:
    """What is on the wire is what was written, however small the batches."""
    name = topic()
    async with AsyncProducer(bootstrap, batch_size=0) as producer:
        await asyncio.gather(*(producer.send(name, b"v") for _ in range(20)))
        assert producer.metrics().compression_rate_avg == 1.0


async def test_noise_after_text_does_not_overfill_batches(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """The estimate worsens quickly when the records change."""
    name = topic()
    noise = random.Random(3)
    async with AsyncProducer(
        bootstrap, compression_type="lz4", batch_size=8000, linger_ms=5
    ) as producer:
        for number in range(6000):
            producer.send(name, b"text " * 20 if number < 4000 else noise.randbytes(100))
            await producer.drain()
            if number > 4000 and number % 400 == 0:
                # It learns from what has left: a backlog would be cut by the old one.
                await producer.flush()
        await producer.flush()
    batches = await dumped(java, name)
    assert sum(batch.count for batch in batches) == 6000
    assert max(batch.size for batch in batches[-5:]) <= 10_000


async def test_the_loop_goes_on_while_large_batches_are_compressed(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A codec that takes long works on a thread: nobody else on the loop waits for it."""
    name = topic()
    rng = random.Random(5)
    words = [rng.randbytes(4).hex().encode() for _ in range(3000)]
    value = b" ".join(rng.choice(words) for _ in range(100_000))
    compress = compression.get("zstd", 19).compress

    def compressed() -> float:
        started = time.thread_time()
        compress(value)
        return time.thread_time() - started

    # In seconds of a thread: others on the machine may have most of the clock's.
    alone = await asyncio.to_thread(compressed)
    gaps = []
    done = False

    async def ticker() -> None:
        last = time.thread_time()
        while not done:
            await asyncio.sleep(0.005)
            gaps.append(time.thread_time() - last)
            last = time.thread_time()

    async with AsyncProducer(
        bootstrap, compression_type="zstd", compression_zstd_level=19, max_request_size=2_000_000
    ) as producer:
        await producer.warm_up([name])
        ticking = asyncio.create_task(ticker())
        metadata = await producer.send(name, value)
        done = True
        await ticking
    assert isinstance(metadata, RecordMetadata)
    assert max(gaps) < alone / 2, f"compressing alone takes {alone:.2f} s"
    # Nor did it stand still without working.
    assert len(gaps) >= 3


# Tasks


async def test_assemblers_of_idle_partitions_end(
    bootstrap: str, topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task per active partition, none per partition ever used; it comes back when needed."""
    monkeypatch.setattr(intake, "_ASSEMBLER_IDLE_S", 0.3)
    name = topic(50, replication=1)

    def assemblers() -> int:
        return sum("assembler" in task.get_name() for task in asyncio.all_tasks())

    async with AsyncProducer(bootstrap, linger_ms=20) as producer:
        await producer.warm_up([name])
        deliveries = [producer.send(name, b"v", partition=index) for index in range(50)]
        await asyncio.sleep(0)
        assert assemblers() == 50
        await asyncio.gather(*deliveries)
        deadline = time.monotonic() + 60
        while assemblers() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert assemblers() == 0
        assert (await producer.send(name, b"again", partition=7)).offset == 1
