"""Each record once and in order, whatever happens to acknowledgements and batches.

Judged by Kafka's own log dump, which shows producer id, epoch and sequence of each batch, and by a
consumer that is not ours.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from aioproducer import AsyncProducer, Delivery, DeliveryTimeoutError
from aioproducer.errors import MessageTooLargeError
from aioproducer.testing import KafkaCluster
from aioproducer.testing.admin import set_topic_config
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.judge import DumpedBatch, dump_log, read_topic_async
from aioproducer.testing.proxy import Cut, FaultProxy, Frame
from tests.conftest import TopicFactory


async def values_of(bootstrap: str, topic: str) -> list[bytes | None]:
    return [read.value for read in await read_topic_async(bootstrap, topic)]


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


@pytest.fixture
def java(kafka: KafkaCluster) -> JavaCluster:
    """The cluster, if its disks can be read."""
    if not isinstance(kafka, JavaCluster):
        pytest.skip("the log is on somebody else's disk")
    return kafka


async def dumped(java: JavaCluster, topic: str, partition: int = 0) -> list[DumpedBatch]:
    return await asyncio.to_thread(dump_log, java, topic, partition)


def check_sequences(batches: list[DumpedBatch]) -> None:
    """Under each identity sequences run from 0 without gap or repetition; epochs only rise."""
    expected: dict[tuple[int, int], int] = {}
    last_epoch: dict[int, int] = {}
    for batch in batches:
        assert batch.is_valid
        identity = (batch.producer_id, batch.producer_epoch)
        assert batch.producer_id >= 0
        assert batch.base_sequence == expected.get(identity, 0), f"gap before {batch}"
        assert batch.last_sequence == batch.base_sequence + batch.count - 1
        assert batch.producer_epoch >= last_epoch.get(batch.producer_id, 0)
        expected[identity] = batch.last_sequence + 1
        last_epoch[batch.producer_id] = batch.producer_epoch


async def send_pausing(
    producer: AsyncProducer[bytes, bytes], topic: str, values: list[bytes]
) -> list[Delivery]:
    """Send in small batches, so that several are in flight."""
    deliveries = []
    for number, value in enumerate(values):
        deliveries.append(producer.send(topic, value, partition=0))
        if number % 10 == 9:
            await asyncio.sleep(0)
    return deliveries


async def test_sequences_have_no_gap_with_five_requests_in_flight(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """On disk: one producer id, one epoch, sequences that follow each other, in every partition."""
    name = topic(3)
    async with AsyncProducer(bootstrap, batch_size=500, linger_ms=0) as producer:
        for number in range(3000):
            producer.send(name, b"%d" % number, partition=number % 3)
            if number % 20 == 0:
                await asyncio.sleep(0)
        await producer.flush()

    identities = set()
    for partition in range(3):
        batches = await dumped(java, name, partition)
        check_sequences(batches)
        assert len(batches) > 10
        assert sum(batch.count for batch in batches) == 1000
        identities |= {(batch.producer_id, batch.producer_epoch) for batch in batches}
    assert len(identities) == 1


async def test_five_requests_really_are_in_flight(bootstrap: str, topic: TopicFactory) -> None:
    """Answers held back: five produce requests to the broker go out, a sixth waits."""
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(proxy.bootstrap_servers, batch_size=200, linger_ms=0) as producer,
    ):
        await producer.send(name, b"first", partition=0)
        before = len(proxy.produce_requests)
        proxy.answers.clear()
        deliveries = await send_pausing(producer, name, numbers(300))
        async with asyncio.timeout(90):
            while len(proxy.produce_requests) - before < 5:
                await asyncio.sleep(0.01)
        # Time for a sixth.
        await asyncio.sleep(0.3)
        assert len(proxy.produce_requests) - before == 5
        proxy.answers.set()
        found = await asyncio.gather(*deliveries)
    assert [metadata.offset for metadata in found] == list(range(1, 301))


async def test_without_idempotence_one_request_per_partition_is_in_flight(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Otherwise a retry could overtake: order is kept also without sequences."""
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(
            proxy.bootstrap_servers, batch_size=200, linger_ms=0, enable_idempotence=False
        ) as producer,
    ):
        await producer.send(name, b"first", partition=0)
        before = len(proxy.produce_requests)
        proxy.answers.clear()
        deliveries = await send_pausing(producer, name, numbers(300))
        async with asyncio.timeout(90):
            while len(proxy.produce_requests) == before:
                await asyncio.sleep(0.01)
        # Time for a second.
        await asyncio.sleep(0.2)
        assert len(proxy.produce_requests) - before == 1
        proxy.answers.set()
        found = await asyncio.gather(*deliveries)
    assert [metadata.offset for metadata in found] == list(range(1, 301))


async def test_without_idempotence_nothing_is_stamped(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """No producer id on disk."""
    name = topic()
    async with AsyncProducer(bootstrap, enable_idempotence=False) as producer:
        await producer.send(name, b"v")
    [batch] = await dumped(java, name)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (-1, -1, -1)


async def test_a_lost_acknowledgement_gives_exactly_one_record(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """The broker has the batch, the connection breaks before the answer: sent again, kept once."""
    name = topic()
    lost: list[Frame] = []

    def lose(frame: Frame) -> None:
        if frame.is_produce and len(lost) < 2:
            lost.append(frame)
            raise Cut

    async with FaultProxy(bootstrap) as proxy, AsyncProducer(proxy.bootstrap_servers) as producer:
        await producer.warm_up([name])
        proxy.on_answer = lose
        metadata = await producer.send(name, b"once", partition=0)
        assert producer.metrics().record_retry_total >= 2
        later = await producer.send(name, b"later", partition=0)
    assert len(lost) == 2
    # The broker knows the batch and tells its offset; one that has forgotten it would say -1.
    assert metadata.offset in (0, -1)
    assert later.offset == 1
    assert await values_of(bootstrap, name) == [b"once", b"later"]
    check_sequences(await dumped(java, name))


@pytest.mark.parametrize("seed", range(3))
async def test_acknowledgements_lost_under_load_repeat_and_reorder_nothing(
    java: JavaCluster, bootstrap: str, topic: TopicFactory, seed: int
) -> None:
    """Connections break at random, with five requests in flight, before and after the broker."""
    name = topic(2)
    rng = random.Random(seed)
    cuts = 0

    def sometimes(frame: Frame) -> None:
        nonlocal cuts
        if frame.is_produce and cuts < 12 and rng.random() < 0.15:
            cuts += 1
            raise Cut

    async with FaultProxy(bootstrap) as proxy, AsyncProducer(
        proxy.bootstrap_servers,
        batch_size=400, linger_ms=1, retry_backoff_ms=10,
        reconnect_backoff_ms=10, reconnect_backoff_max_ms=50,
    ) as producer:  # fmt: skip
        await producer.warm_up([name])
        proxy.on_request = proxy.on_answer = sometimes
        deliveries = []
        for number in range(4000):
            deliveries.append(producer.send(name, b"%d" % number, partition=number % 2))
            if number % 20 == 0:
                await asyncio.sleep(0.001)
        found = await asyncio.gather(*deliveries)
    # Twelve at most; how many requests there are is a matter of speed.
    assert cuts >= 3
    reads = await read_topic_async(bootstrap, name)
    for partition in range(2):
        mine = [read for read in reads if read.partition == partition]
        assert [read.value for read in mine] == [b"%d" % n for n in range(partition, 4000, 2)]
        told = [m.offset for m in found if m.partition == partition]
        assert all(offset in (index, -1) for index, offset in enumerate(told))
        check_sequences(await dumped(java, name, partition))


async def test_requests_that_never_reached_the_broker_are_sent_again(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """Five in flight, all swallowed with their connection: in order, under their old sequences."""
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(proxy.bootstrap_servers, batch_size=200, linger_ms=0) as producer,
    ):
        await producer.send(name, b"0", partition=0)
        proxy.requests.clear()
        deliveries = await send_pausing(producer, name, numbers(100, 1))
        async with asyncio.timeout(90):
            while producer.metrics().requests_in_flight < 5:
                await asyncio.sleep(0.01)
        proxy.cut_all()
        proxy.requests.set()
        found = await asyncio.gather(*deliveries)
    assert [metadata.offset for metadata in found] == list(range(1, 101))
    assert await values_of(bootstrap, name) == numbers(101)
    batches = await dumped(java, name)
    check_sequences(batches)
    assert len({(batch.producer_id, batch.producer_epoch) for batch in batches}) == 1


async def test_after_an_expiry_in_flight_the_partition_goes_on(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """The fate of the expired batch is "maybe"; what is sent later arrives once and in order."""
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(
            proxy.bootstrap_servers, linger_ms=0, delivery_timeout_ms=5000, request_timeout_ms=4000
        ) as producer,
    ):
        await producer.send(name, b"before", partition=0)
        proxy.requests.clear()
        doubtful = producer.send(name, b"doubtful", partition=0)
        await asyncio.wait([doubtful])
        error = doubtful.exception()
        assert isinstance(error, DeliveryTimeoutError)
        assert error.persisted == "maybe"
        proxy.cut_all()
        proxy.requests.set()
        after = await asyncio.gather(
            *(producer.send(name, value, partition=0) for value in numbers(20))
        )
    assert [metadata.offset for metadata in after] == list(range(1, 21))
    assert await values_of(bootstrap, name) == [b"before", *numbers(20)]
    check_sequences(await dumped(java, name))


async def test_an_expired_batch_that_did_arrive_is_not_repeated(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """Only the answer was late: the record is there once, later ones follow it."""
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(
            proxy.bootstrap_servers, linger_ms=0, delivery_timeout_ms=5000, request_timeout_ms=4000
        ) as producer,
    ):
        await producer.send(name, b"before", partition=0)
        proxy.answers.clear()
        doubtful = producer.send(name, b"doubtful", partition=0)
        await asyncio.wait([doubtful])
        error = doubtful.exception()
        assert isinstance(error, DeliveryTimeoutError)
        assert error.persisted == "maybe"
        proxy.cut_all()
        proxy.answers.set()
        await asyncio.gather(*(producer.send(name, value, partition=0) for value in numbers(20)))
    assert await values_of(bootstrap, name) == [b"before", b"doubtful", *numbers(20)]
    check_sequences(await dumped(java, name))


# Batches that the broker finds too large


@pytest.mark.parametrize("codec", ["none", "gzip"])
async def test_batches_above_the_brokers_limit_are_split(
    java: JavaCluster, bootstrap: str, topic: TopicFactory, codec: str
) -> None:
    """The limit was lowered below batch.size: everything arrives once, in order, told truly."""
    name = topic(configs={"max.message.bytes": "3000"})
    noise = random.Random(1)
    values = [b"%d:" % number + noise.randbytes(100) for number in range(2000)]
    async with AsyncProducer(
        bootstrap, batch_size=64_000, linger_ms=200, compression_type=codec
    ) as producer:
        await producer.warm_up([name])
        deliveries = [producer.send(name, value, partition=0) for value in values]
        found = await asyncio.gather(*deliveries)
        last = await producer.send(name, b"last", partition=0)
    assert [metadata.offset for metadata in found] == list(range(2000))
    assert last.offset == 2000
    assert await values_of(bootstrap, name) == [*values, b"last"]
    batches = await dumped(java, name)
    check_sequences(batches)
    assert max(batch.size for batch in batches) <= 3000


async def test_a_split_keeps_one_too_large_record_from_its_fellows(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """The one fails, all others of its batch and of the batches in flight behind it arrive."""
    name = topic(configs={"max.message.bytes": "3000"})
    async with AsyncProducer(bootstrap, batch_size=20_000, linger_ms=100) as producer:
        await producer.warm_up([name])
        good: list[Delivery] = []
        for number in range(1000):
            good.append(producer.send(name, b"%d" % number + bytes(90), partition=0))
            if number == 500:
                bad = producer.send(name, bytes(5000), partition=0)
        await asyncio.wait([bad])
        assert isinstance(bad.exception(), MessageTooLargeError)
        found = await asyncio.gather(*good)
    assert [metadata.offset for metadata in found] == list(range(1000))
    assert await values_of(bootstrap, name) == [b"%d" % n + bytes(90) for n in range(1000)]
    check_sequences(await dumped(java, name))


async def test_lowering_the_limit_under_load_loses_and_repeats_nothing(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """Splits begin in the middle of the stream, with five requests in flight."""
    name = topic()
    async with AsyncProducer(bootstrap, batch_size=32_000, linger_ms=5) as producer:
        await producer.warm_up([name])
        deliveries: list[Delivery] = []

        async def send(count: int) -> None:
            for _ in range(count):
                value = b"%d" % len(deliveries) + bytes(90)
                deliveries.append(producer.send(name, value, partition=0))
                await producer.drain()

        await send(2000)
        limit = {"max.message.bytes": "4000"}
        lowering = asyncio.create_task(asyncio.to_thread(set_topic_config, bootstrap, name, limit))
        # The broker follows some time after it was told.
        while not producer.metrics().batch_split_total:
            await send(100)
            await asyncio.sleep(0.02)
        await lowering
        await send(4000)
        found = await asyncio.gather(*deliveries)
    count = len(found)
    assert [metadata.offset for metadata in found] == list(range(count))
    assert await values_of(bootstrap, name) == [b"%d" % n + bytes(90) for n in range(count)]
    batches = await dumped(java, name)
    check_sequences(batches)
    assert max(batch.size for batch in batches) > 4000, "nothing had to be split"
    assert max(batch.size for batch in batches[-20:]) <= 4000


async def test_two_producers_have_identities_of_their_own(
    java: JavaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """A new producer begins at sequence 0 under another id, in the same partition."""
    name = topic()
    for value in (b"first", b"second"):
        async with AsyncProducer(bootstrap) as producer:
            await producer.send(name, value)
    batches = await dumped(java, name)
    check_sequences(batches)
    assert len({batch.producer_id for batch in batches}) == 2
