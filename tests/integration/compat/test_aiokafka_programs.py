"""Programs as they are written for aiokafka, run with its producer and with ours in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiokafka
import pytest
from aiokafka import errors
from aiokafka.structs import OffsetAndMetadata, RecordMetadata, TopicPartition

from aioproducer.compat.aiokafka import AIOKafkaProducer
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory
from tests.integration.committed import is_at, read_settled_async

NOBODY = "127.0.0.1:1"

Running = Callable[..., Any]


@pytest.fixture
def topic(topic: TopicFactory) -> TopicFactory:
    """With acks=1, aiokafka's default, readers see a record only once all replicas have it."""
    return partial(topic, replication=1)


@pytest.fixture(params=[aiokafka.AIOKafkaProducer, AIOKafkaProducer], ids=["theirs", "ours"])
def producer_class(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def running(producer_class: Any, bootstrap: str) -> Running:
    """Runs a producer of either kind on the cluster."""

    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Any]:
        producer = producer_class(bootstrap_servers=bootstrap, **options)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    return run


async def values_of(bootstrap: str, topic: str) -> list[bytes | None]:
    return [record.value for record in await read_topic_async(bootstrap, topic)]


async def committed_values_of(bootstrap: str, topic: str) -> list[bytes | None]:
    return [record.value for record in await read_settled_async(bootstrap, topic)]


async def test_send_gives_futures_of_metadata(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with running() as producer:
        futures = [await producer.send(name, b"%d" % number, key=b"k") for number in range(100)]
        assert all(asyncio.isfuture(future) for future in futures)
        metadata = await asyncio.gather(*futures)
        now = time.time() * 1000
    assert [each.offset for each in metadata] == list(range(100))
    first = metadata[0]
    assert isinstance(first, RecordMetadata)
    assert (first.topic, first.partition) == (name, 0)
    assert first.topic_partition == TopicPartition(name, 0)
    assert abs(first.timestamp - now) < 600_000
    assert first.timestamp_type == 0
    assert await values_of(bootstrap, name) == [b"%d" % number for number in range(100)]


async def test_every_argument_of_send_arrives(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic(3)
    headers = [("trace", b"1"), ("trace", b"2")]
    async with running() as producer:
        metadata = await producer.send_and_wait(
            name, b"v", key=b"k", partition=2, timestamp_ms=1_700_000_000_000, headers=headers
        )
        tombstone = await producer.send_and_wait(name, None, b"k", 2)
    assert (metadata.partition, metadata.timestamp) == (2, 1_700_000_000_000)
    assert tombstone.offset == 1
    record, last = await read_topic_async(bootstrap, name)
    assert (record.value, record.key, record.partition) == (b"v", b"k", 2)
    assert record.timestamp_ms == 1_700_000_000_000
    assert list(record.headers) == headers
    assert last.value is None


async def test_the_broker_s_own_time_is_told_as_such(running: Running, topic: TopicFactory) -> None:
    name = topic(configs={"message.timestamp.type": "LogAppendTime"})
    async with running() as producer:
        metadata = await producer.send_and_wait(name, b"v", timestamp_ms=1_700_000_000_000)
    assert metadata.timestamp_type == 1
    assert metadata.timestamp > 1_700_000_000_000


async def test_serializers_and_an_own_partitioner_are_functions(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name, asked = topic(3), []

    def last_partition(key: bytes | None, every: list[int], available: list[int]) -> int:
        asked.append((key, sorted(every), sorted(available)))
        return every[-1] if key == b"last" else every[0]

    options = {"key_serializer": str.encode, "value_serializer": lambda value: b"<%d>" % value}
    async with running(partitioner=last_partition, **options) as producer:
        metadata = await producer.send_and_wait(name, 5, key="last")
    assert asked == [(b"last", [0, 1, 2], [0, 1, 2])]
    (record,) = await read_topic_async(bootstrap, name)
    assert (record.key, record.value, record.partition) == (b"last", b"<5>", metadata.partition)


async def test_keys_go_where_the_other_sends_them(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic(7)
    async with (
        running() as producer,
        aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap) as other,
    ):
        for number in range(20):
            key = b"key %d" % number
            mine = await producer.send_and_wait(name, b"v", key)
            theirs = await other.send_and_wait(name, b"v", key)
            assert mine.partition == theirs.partition


async def test_each_codec_compresses(running: Running, bootstrap: str, topic: TopicFactory) -> None:
    name, codecs = topic(), ("gzip", "snappy", "lz4", "zstd")
    for codec in codecs:
        async with running(compression_type=codec, linger_ms=5) as producer:
            for number in range(50):
                await producer.send(name, b"%d " % number * 20)
            await producer.flush()
    expected = [b"%d " % number * 20 for number in range(50)] * len(codecs)
    assert await values_of(bootstrap, name) == expected


async def test_a_batch_is_filled_and_sent_as_in_the_documentation(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic(2)
    async with running(max_batch_size=1000) as producer:
        batch = producer.create_batch()
        count = 0
        while batch.append(key=None, value=b"v" * 50, timestamp=1_700_000_000_000) is not None:
            count += 1
        # As many fit into a thousand bytes, header and all.
        assert (count, batch.record_count(), batch.size()) == (16, 16, 61 + 16 * 57)
        assert batch.closed()
        future = await producer.send_batch(batch, name, partition=1)
        metadata = await future
        assert (metadata.partition, metadata.offset) == (1, 0)
        with pytest.raises(AssertionError):
            await producer.send_batch(producer.create_batch(), name, partition=9)
    records = await read_topic_async(bootstrap, name)
    assert [(r.partition, r.value, r.timestamp_ms) for r in records] == [
        (1, b"v" * 50, 1_700_000_000_000)
    ] * 16


async def test_without_acknowledgements_the_future_s_result_is_none(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with running(acks=0) as producer:
        assert await producer.send_and_wait(name, b"v") is None
    async with asyncio.timeout(200):
        while await values_of(bootstrap, name) != [b"v"]:
            await asyncio.sleep(0.05)


async def test_misuse_is_told_as_ever(running: Running, topic: TopicFactory) -> None:
    name = topic()
    async with running(max_request_size=1000) as producer:
        with pytest.raises(AssertionError):
            await producer.send(name)
        with pytest.raises(AssertionError):
            await producer.send(name, b"v", partition=5)
        with pytest.raises(TypeError):
            await producer.send(name, "text without a serializer")
        with pytest.raises(errors.MessageSizeTooLargeError):
            await producer.send(name, b"v" * 2000)
        with pytest.raises(errors.IllegalOperation):
            await producer.begin_transaction()
        with pytest.raises(errors.IllegalOperation):
            await producer.commit_transaction()
        assert await producer.partitions_for(name) == {0}
    await producer.stop()
    with pytest.raises(errors.ProducerClosed):
        await (await producer.send(name, b"late"))


async def test_a_message_that_the_broker_refuses_fails_its_future(
    running: Running, topic: TopicFactory
) -> None:
    name = topic(configs={"max.message.bytes": "500"})
    async with running() as producer:
        future = await producer.send(name, b"v" * 1000)
        with pytest.raises(errors.MessageSizeTooLargeError):
            await future
        assert (await producer.send_and_wait(name, b"small")).offset == 0


async def test_a_cluster_that_is_not_there_fails_the_start(producer_class: Any) -> None:
    producer = producer_class(bootstrap_servers=NOBODY, request_timeout_ms=500)
    try:
        for _ in range(2):
            with pytest.raises(errors.KafkaConnectionError):
                await producer.start()
    finally:
        await producer.stop()


async def test_wrong_options_are_value_errors(producer_class: Any, bootstrap: str) -> None:
    for options in (
        {"acks": 7},
        {"compression_type": "brotli"},
        {"enable_idempotence": True, "acks": 1},
        {"security_protocol": "SSL"},
    ):
        with pytest.raises(ValueError):
            producer_class(bootstrap_servers=bootstrap, **options)


async def test_transactions_commit_and_abort(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with running(transactional_id=f"{name}-id") as producer:
        with pytest.raises(errors.IllegalOperation):
            await producer.send(name, b"outside")
        async with producer.transaction():
            await producer.send(name, b"committed")
        with pytest.raises(ZeroDivisionError):
            async with producer.transaction():
                await producer.send_and_wait(name, b"aborted")
                raise ZeroDivisionError
        await producer.begin_transaction()
        await producer.send(name, b"aborted too")
        await producer.abort_transaction()
        await producer.begin_transaction()
        await producer.send(name, b"committed too")
        await producer.commit_transaction()
        for misuse in (producer.commit_transaction, producer.abort_transaction):
            with pytest.raises((errors.IllegalOperation, AssertionError)):
                await misuse()
    assert await committed_values_of(bootstrap, name) == [b"committed", b"committed too"]


async def test_offsets_are_committed_with_the_transaction(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic(2)
    first, second = TopicPartition(name, 0), TopicPartition(name, 1)
    async with running(transactional_id=f"{name}-id") as producer:
        with pytest.raises(errors.IllegalOperation):
            await producer.send_offsets_to_transaction({first: 1}, name)
        async with producer.transaction():
            await producer.send(name, b"v")
            for wrong in ({}, None):
                with pytest.raises(ValueError):
                    await producer.send_offsets_to_transaction(wrong, name)
            with pytest.raises(ValueError):
                await producer.send_offsets_to_transaction({first: 1}, "")
            offsets = {first: 17, second: OffsetAndMetadata(18, "noted")}
            await producer.send_offsets_to_transaction(offsets, name)
    await is_at(bootstrap, name, name, 17, partition=0)
    await is_at(bootstrap, name, name, 18, partition=1)


async def test_the_older_of_two_producers_is_fenced(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with running(transactional_id=f"{name}-id") as old:
        await old.begin_transaction()
        await old.send_and_wait(name, b"old")
        async with running(transactional_id=f"{name}-id") as new:
            async with new.transaction():
                await new.send(name, b"new")
            with pytest.raises(errors.ProducerFenced):
                await old.commit_transaction()
    assert await committed_values_of(bootstrap, name) == [b"new"]


async def test_a_cancelled_wait_lets_the_record_go_on(
    running: Running, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with running(linger_ms=50) as producer:
        future = await producer.send(name, b"v")
        future.cancel()
        await producer.flush()
        assert (await producer.send_and_wait(name, b"w")).offset == 1
