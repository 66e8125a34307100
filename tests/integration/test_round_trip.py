"""What was sent arrives: the same bytes, in order, where the acknowledgement says, once.

The whole product of codec, acks and route runs on asyncio; uvloop changes nothing between a
record and its bytes, so there most combinations send a tenth. Old brokers and the embedded cluster
run the smaller tests below.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from typing import Any

import pytest

from aioproducer import AsyncProducer, Delivery, Record
from aioproducer.testing.judge import ReadRecord, end_offsets, read_topic_async
from aioproducer.testing.where import Found
from tests.conftest import TopicFactory

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ROUTES = ("keyed", "unkeyed", "explicit partition")
PARTITIONS = 3
RECORDS = 10_000

_FULL = list(itertools.product(CODECS, (0, 1, "all"), ROUTES))
_ONE_PER_CODEC = set(zip(CODECS, itertools.cycle(("all", 1, 0)), itertools.cycle(ROUTES)))


# librdkafka's mock brokers answer as for LogAppendTime, always with this time.
MOCK_APPEND_TIME = 1234


def make_records(topic: str, route: str, count: int, seed: int) -> list[Record[bytes, bytes]]:
    """Records of many shapes; each value begins with its number, nulls stand in between."""
    rng = random.Random(seed)
    noise = rng.randbytes(4096)
    records = []
    for number in range(count):
        size = rng.choice((0, 10, 100, 300))
        start = rng.randrange(len(noise) - size)
        value = b"%d:" % number + noise[start : start + size] + b"compressible " * (size // 50)
        records.append(
            Record(
                topic,
                value,
                key=_key(route, rng),
                partition=rng.randrange(PARTITIONS) if route == "explicit partition" else None,
                timestamp_ms=1_700_000_000_000 + number,
                headers=_headers(number),
            )
        )
    return records


def _key(route: str, rng: random.Random) -> bytes | None:
    if route == "unkeyed":
        return None
    if route == "explicit partition":
        return rng.choice((None, b"", b"key"))
    return b"key-%d" % rng.randrange(500)


def _headers(number: int) -> list[tuple[str, bytes | None]]:
    return [
        ("number", b"%d" % number),
        ("none", None),
        ("repeated", b"first"),
        ("repeated", b"second"),
        ("häder", b""),
    ][: number % 6]


def number_of(read: ReadRecord) -> int:
    assert read.value is not None
    return int(read.value.partition(b":")[0])


async def wait_for_leaders(bootstrap: str, topic: str) -> None:
    """With acks=0 a record is lost on a broker that has yet to hear of its new partition."""
    await asyncio.to_thread(end_offsets, bootstrap, topic)


async def wait_for_count(bootstrap: str, topic: str, count: int) -> None:
    """Only acks=all says that consumers can see the records: otherwise the end offsets do."""
    deadline = time.monotonic() + 90
    while sum((await asyncio.to_thread(end_offsets, bootstrap, topic)).values()) < count:
        assert time.monotonic() < deadline, f"{count} records did not arrive within 90 s"


def check_identical(
    sent: list[Record[bytes, bytes]],
    deliveries: list[Delivery],
    read: list[ReadRecord],
    acks: object,
    *,
    append_time: int | None = None,
) -> None:
    """Every record is there once, identical, in order, and where its metadata says.

    ``append_time`` is what a broker claims to have stamped, without having done so.
    """
    assert len(read) == len(sent)
    last = dict.fromkeys(range(PARTITIONS), -1)
    seen = Counter()
    for arrived in read:
        number = number_of(arrived)
        seen[number] += 1
        record, metadata = sent[number], deliveries[number].result()
        assert (arrived.key, arrived.value) == (record.key, record.value)
        assert arrived.headers == tuple(record.headers)
        assert arrived.timestamp_ms == record.timestamp_ms
        told = record.timestamp_ms if acks == 0 or append_time is None else append_time
        assert metadata.timestamp_ms == told
        assert number > last[arrived.partition], "out of order within a partition"
        last[arrived.partition] = number
        offset = -1 if acks == 0 else arrived.offset
        assert (metadata.partition, metadata.offset) == (arrived.partition, offset)
        assert record.partition in (None, metadata.partition)
        assert metadata.serialized_value_size == len(record.value or b"")
        assert metadata.serialized_key_size == (-1 if record.key is None else len(record.key))
    assert len(seen) == len(sent)
    assert max(seen.values()) == 1


async def send_all(
    producer: AsyncProducer[bytes, bytes], records: list[Record[bytes, bytes]]
) -> list[Delivery]:
    deliveries = []
    for record in records:
        deliveries.append(
            producer.send(
                record.topic,
                record.value,
                key=record.key,
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
                headers=record.headers,
            )
        )
        await producer.drain()
    await producer.flush()
    assert all(delivery.done() for delivery in deliveries)
    return deliveries


@pytest.mark.parametrize("acks", [0, 1, "all"])
@pytest.mark.parametrize("codec", CODECS)
async def test_ten_thousand_records_come_back_identical_and_in_order(
    bootstrap: str, topic: TopicFactory, subtests: pytest.Subtests, codec: str, acks: object
) -> None:
    """Whatever the codec, the acknowledgement and the route, nothing is lost, changed or moved.

    The routes run at the same time, each with a producer and a topic of its own: most of a round
    trip is waiting for the brokers.
    """

    async def run(route: str) -> None:
        name = topic(PARTITIONS)
        count = _count(codec, acks, route)
        records = make_records(name, route, count, seed=_FULL.index((codec, acks, route)))
        if acks == 0:
            await wait_for_leaders(bootstrap, name)
        options: Any = {"compression_type": codec, "acks": acks, "linger_ms": 5}
        async with AsyncProducer(bootstrap, **options) as producer:
            deliveries = await send_all(producer, records)
        if acks != "all":
            await wait_for_count(bootstrap, name, count)
        read = await read_topic_async(bootstrap, name)
        with subtests.test(route=route):
            check_identical(records, deliveries, read, acks)

    await asyncio.gather(*(run(route) for route in ROUTES))


def _count(codec: str, acks: object, route: str) -> int:
    on_uvloop = "uvloop" in type(asyncio.get_running_loop()).__module__
    # The loop has no part in encoding: on the second one most combinations send a tenth.
    return RECORDS // 10 if on_uvloop and (codec, acks, route) not in _ONE_PER_CODEC else RECORDS


@pytest.mark.core
@pytest.mark.parametrize("codec", CODECS)
async def test_records_of_every_codec_come_back_from_every_broker(
    bootstrap: str, topic: TopicFactory, found: Found, subtests: pytest.Subtests, codec: str
) -> None:
    """The brokers' versions since 2.1 take every codec with every acknowledgement."""
    append_time = None if found.cluster.is_real else MOCK_APPEND_TIME

    async def run(acks: object) -> None:
        name = topic(PARTITIONS)
        records = make_records(name, "keyed", 1000, seed=7)
        if acks == 0:
            await wait_for_leaders(bootstrap, name)
        options: Any = {"compression_type": codec, "acks": acks}
        async with AsyncProducer(bootstrap, **options) as producer:
            deliveries = await send_all(producer, records)
        if acks != "all":
            await wait_for_count(bootstrap, name, len(records))
        read = await read_topic_async(bootstrap, name)
        with subtests.test(acks=acks):
            check_identical(records, deliveries, read, acks, append_time=append_time)

    await asyncio.gather(*(run(acks) for acks in (0, 1, "all")))


@pytest.mark.core
async def test_one_awaited_record_is_at_offset_zero_of_its_partition(
    bootstrap: str, topic: TopicFactory, found: Found
) -> None:
    """The smallest program: one record, one acknowledgement that tells where it is."""
    name = topic(PARTITIONS)
    async with AsyncProducer(bootstrap) as producer:
        metadata = await producer.send(name, b"value", key=b"key", partition=2)

    assert (metadata.topic, metadata.partition, metadata.offset) == (name, 2, 0)
    [read] = await read_topic_async(bootstrap, name)
    assert (read.partition, read.key, read.value) == (2, b"key", b"value")
    if found.cluster.is_real:
        assert read.timestamp_ms == metadata.timestamp_ms


@pytest.mark.parametrize("codec", CODECS)
async def test_records_smaller_and_larger_than_a_batch_come_back_identical(
    bootstrap: str, topic: TopicFactory, codec: str
) -> None:
    """A record may be larger than batch.size: it travels alone, and in its place."""
    name = topic()
    sizes = [0, 1, 16_383, 16_384, 16_385, 100_000, 1, 900_000, 0, 900_000, 1]
    values = [bytes(size) for size in sizes] + [random.Random(7).randbytes(size) for size in sizes]
    async with AsyncProducer(
        bootstrap, compression_type=codec, batch_size=16_384, linger_ms=10
    ) as producer:
        metadata = await asyncio.gather(*(producer.send(name, value) for value in values))

    assert [each.offset for each in metadata] == list(range(len(values)))
    assert [read.value for read in await read_topic_async(bootstrap, name)] == values


async def test_unacknowledged_records_reach_the_broker_before_close_returns(
    bootstrap: str, topic: TopicFactory
) -> None:
    """acks=0 promises no acknowledgement, but closing does not throw away what was accepted."""
    name = topic()
    await wait_for_leaders(bootstrap, name)
    value = bytes(900_000)
    async with AsyncProducer(bootstrap, acks=0, buffer_memory=128 << 20) as producer:
        for _ in range(60):
            producer.send(name, value)

    await wait_for_count(bootstrap, name, 60)
