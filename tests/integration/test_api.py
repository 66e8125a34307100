"""The public API, on a cluster: what each call promises, and what a Delivery is to asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import time
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    BufferExhaustedError,
    Delivery,
    DeliveryTimeoutError,
    FlushTimeoutError,
    MetadataNotReadyError,
    MetadataTimeoutError,
    NotStartedError,
    PartitionInfo,
    ProducerClosedError,
    ProducerError,
    ProducerStateError,
    Record,
    RecordMetadata,
    RecordTooLargeError,
    TopicReport,
)
from aioproducer.serializers import JsonSerializer, SerializationContext, StringSerializer
from aioproducer.testing import KafkaCluster
from aioproducer.testing.judge import end_offsets, read_topic_async
from tests.conftest import TopicFactory

# Nothing listens there; connecting to it is refused at once.
NOWHERE = "127.0.0.1:1"


def nowhere(**options: Any) -> AsyncProducer[bytes, bytes]:
    """A producer without a cluster, which does not try for ever when a test fails."""
    return AsyncProducer(
        NOWHERE, delivery_timeout_ms=60_000, request_timeout_ms=2000, linger_ms=0, **options
    )


async def values_of(bootstrap: str, topic: str) -> list[bytes | None]:
    return [read.value for read in await read_topic_async(bootstrap, topic)]


# send, send_and_wait


@pytest.mark.core
async def test_send_returns_at_once_and_its_delivery_yields_the_metadata(
    kafka: KafkaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """send() is a plain call; awaiting what it returns is awaiting the acknowledgement."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        delivery = producer.send(name, b"value", key=b"key")
        assert isinstance(delivery, Delivery)
        assert not delivery.done()
        metadata = await delivery
        assert isinstance(metadata, RecordMetadata)
        assert delivery.done() and delivery.result() is metadata
        assert delivery.exception() is None
    assert metadata == RecordMetadata(name, 0, 0, metadata.timestamp_ms, 3, 5)
    assert metadata.has_offset
    # The embedded cluster claims to stamp records, with a time of its own invention.
    assert abs(metadata.timestamp_ms - time.time() * 1000) < 60_000 or not kafka.is_real


@pytest.mark.core
async def test_pipelined_sends_are_acknowledged_in_order(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Many sends may be open at once; their offsets follow the order of the calls."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        found = await asyncio.gather(*(producer.send(name, b"%d" % n) for n in range(500)))
    assert [metadata.offset for metadata in found] == list(range(500))
    assert await values_of(bootstrap, name) == [b"%d" % n for n in range(500)]


@pytest.mark.core
async def test_send_and_wait_does_not_linger(bootstrap: str, topic: TopicFactory) -> None:
    """One awaited record costs one round trip, whatever linger.ms says."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        await producer.warm_up([name])
        started = time.monotonic()
        metadata = await producer.send_and_wait(name, b"now")
        assert time.monotonic() - started < 300
    assert metadata.offset == 0


async def test_send_and_wait_takes_lingering_records_before_it_along(
    bootstrap: str, topic: TopicFactory
) -> None:
    """What was sent earlier to the same partition arrives earlier, so it leaves now as well."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=20_000) as producer:
        await producer.warm_up([name])
        earlier = producer.send(name, b"earlier")
        metadata = await producer.send_and_wait(name, b"now")
        assert (earlier.result().offset, metadata.offset) == (0, 1)


async def test_awaiting_a_delivery_does_not_expedite(bootstrap: str, topic: TopicFactory) -> None:
    """linger.ms is a promise about batching, also to those who await each record."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=400) as producer:
        await producer.warm_up([name])
        started = time.monotonic()
        await producer.send(name, b"value")
        assert time.monotonic() - started >= 0.39


async def test_a_topic_that_nobody_created_comes_to_be(bootstrap: str) -> None:
    """As with the Java client, the brokers create it when their settings allow that."""
    name = f"made-by-sending-{time.time_ns()}"
    async with AsyncProducer(bootstrap) as producer:
        metadata = await producer.send(name, b"first")
    assert metadata.offset == 0


async def test_a_topic_is_not_created_when_the_producer_may_not(
    bootstrap: str, topic: TopicFactory
) -> None:
    """allow_auto_create_topics=False: sending to a wrong name fails and creates nothing."""
    name = f"never-made-{time.time_ns()}"
    async with AsyncProducer(
        bootstrap, allow_auto_create_topics=False, max_block_ms=3000
    ) as producer:
        # Connected, so that the time is enough for a broker's answer.
        await producer.warm_up([topic()], timeout=60)
        with pytest.raises(MetadataTimeoutError, match=name) as caught:
            await producer.send(name, b"value")
    assert (
        "UNKNOWN_TOPIC_OR_PARTITION" in str(caught.value) or "unknown" in str(caught.value).lower()
    )
    assert (caught.value.persisted, caught.value.topic) == ("no", name)
    assert name not in await asyncio.to_thread(_topics, bootstrap)


def _topics(bootstrap: str) -> set[str]:
    from aioproducer.testing.admin import partition_states

    return set(partition_states(bootstrap))


@pytest.mark.core
async def test_null_and_empty_keys_and_values_are_kept_apart(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A tombstone is not an empty value, and an empty key is a key."""
    name = topic()
    pairs: list[tuple[bytes | None, bytes | None]] = [
        (None, None), (b"", None), (b"k", None), (None, b""), (b"", b""), (b"k", b"v"),
    ]  # fmt: skip
    async with AsyncProducer(bootstrap) as producer:
        found = await asyncio.gather(*(producer.send(name, v, key=k) for k, v in pairs))
    assert [(read.key, read.value) for read in await read_topic_async(bootstrap, name)] == pairs
    assert [(m.serialized_key_size, m.serialized_value_size) for m in found] == [
        (-1, -1), (0, -1), (1, -1), (-1, 0), (0, 0), (1, 1),
    ]  # fmt: skip


@pytest.mark.core
async def test_an_empty_key_always_goes_to_the_same_partition(
    bootstrap: str, topic: TopicFactory
) -> None:
    """It is a key like any other: murmur2 of no bytes decides."""
    name = topic(16)
    async with AsyncProducer(bootstrap) as producer:
        found = await producer.send_many(Record(name, b"v", key=b"") for _ in range(50))
        expected = producer.partition_for(name, b"")
    assert {metadata.partition for metadata in _all_delivered(found)} == {expected}


async def test_buffers_are_copied_when_they_are_sent(bootstrap: str, topic: TopicFactory) -> None:
    """bytearrays and memoryviews may be reused at once, also while their record waits."""
    name = topic()
    buffer = bytearray(b"first")
    async with AsyncProducer(bootstrap, linger_ms=50) as producer:
        producer.send(name, buffer, key=memoryview(buffer), headers=[("h", buffer)])
        buffer[:] = b"other"
        await producer.flush()
        producer.send(name, memoryview(buffer)[::2])
        buffer[:] = b"third"
    first, second = await read_topic_async(bootstrap, name)
    assert (first.key, first.value, first.headers) == (b"first", b"first", (("h", b"first"),))
    assert second.value == b"ohr"


@pytest.mark.parametrize("headers", [(), [], None, {}.items()], ids=repr)
async def test_no_headers_can_be_said_in_several_ways(
    bootstrap: str, topic: TopicFactory, headers: Any
) -> None:
    """Any empty iterable means none, and so does None."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        await producer.send(name, b"value", headers=headers)
    assert (await read_topic_async(bootstrap, name))[0].headers == ()


async def test_headers_may_come_from_any_iterable_of_pairs(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A dict's items or a generator do as well as a list."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        await producer.send(name, b"1", headers={"a": b"1", "b": None}.items())  # type: ignore[arg-type]
        await producer.send(name, b"2", headers=((k, k.encode()) for k in "xy"))  # type: ignore[arg-type]
    assert [read.headers for read in await read_topic_async(bootstrap, name)] == [
        (("a", b"1"), ("b", None)),
        (("x", b"x"), ("y", b"y")),
    ]


# Timestamps


@pytest.mark.core
async def test_each_record_of_a_batch_keeps_its_own_timestamp(
    kafka: KafkaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """CreateTime is the record's own, also when times go backwards within a batch."""
    name = topic()
    times = [1_700_000_000_000, 1_600_000_000_000, 1_700_000_000_001, 0, 1_500_000_000_000]
    async with AsyncProducer(bootstrap, linger_ms=100) as producer:
        found = await asyncio.gather(
            *(producer.send(name, b"v", timestamp_ms=each) for each in times)
        )
    reads = await read_topic_async(bootstrap, name)
    assert [read.timestamp_ms for read in reads] == times
    assert [metadata.timestamp_ms for metadata in found] == times or not kafka.is_real
    assert not any(read.is_log_append_time for read in reads)


async def test_log_append_time_is_told_by_the_broker(bootstrap: str, topic: TopicFactory) -> None:
    """Where the topic stamps records on arrival, the metadata has the broker's time."""
    name = topic(configs={"message.timestamp.type": "LogAppendTime"})
    async with AsyncProducer(bootstrap) as producer:
        metadata = await producer.send(name, b"value", timestamp_ms=1_600_000_000_000)
    [read] = await read_topic_async(bootstrap, name)
    assert read.is_log_append_time
    assert metadata.timestamp_ms == read.timestamp_ms
    assert abs(metadata.timestamp_ms - time.time() * 1000) < 60_000


# send_many, try_send, drain


def _all_delivered(outcomes: Sequence[RecordMetadata | ProducerError]) -> list[RecordMetadata]:
    assert all(isinstance(outcome, RecordMetadata) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, RecordMetadata)]


@pytest.mark.core
async def test_send_many_takes_a_list_a_generator_and_an_async_generator(
    bootstrap: str, topic: TopicFactory
) -> None:
    """One awaitable for many records; the outcomes stand in the order given."""
    name = topic()

    def generator() -> Iterator[Record[bytes, bytes]]:
        for number in range(100, 200):
            yield Record(name, b"%d" % number)

    async def async_generator() -> AsyncIterator[Record[bytes, bytes]]:
        for number in range(200, 300):
            await asyncio.sleep(0)
            yield Record(name, b"%d" % number)

    async with AsyncProducer(bootstrap, linger_ms=10_000) as producer:
        results = [
            await producer.send_many([Record(name, b"%d" % number) for number in range(100)]),
            await producer.send_many(generator()),
            await producer.send_many(async_generator()),
        ]
        assert len(await producer.send_many([])) == 0

    for first, result in zip((0, 100, 200), results, strict=True):
        assert len(result) == 100
        assert result.failures == ()
        result.raise_for_failures()
        assert [m.offset for m in _all_delivered(result)] == list(range(first, first + 100))
    assert await values_of(bootstrap, name) == [b"%d" % number for number in range(300)]


async def test_in_send_many_a_bad_record_fails_alone(bootstrap: str, topic: TopicFactory) -> None:
    """Its error stands in its place, whatever the fault; all others are delivered."""
    name = topic()
    records: list[Record] = [
        Record(name, b"good 0"),
        Record(name, 5),
        Record("no such topic name!", b"x"),
        Record(name, b"good 1"),
        Record(name, b"x", partition=-1),
        Record(name, bytes(2000)),
        Record(name, b"x", headers=[("h", 5)]),  # type: ignore[list-item]
        Record(name, b"x", timestamp_ms=-5),
        Record(name, b"good 2"),
    ]
    async with AsyncProducer(bootstrap, max_request_size=1000) as producer:
        result = await producer.send_many(records)
        assert [position for position, _ in result.failures] == [1, 2, 4, 5, 6, 7]
        assert isinstance(result[5], RecordTooLargeError)
        with pytest.raises(ExceptionGroup) as caught:
            result.raise_for_failures()
        assert len(caught.value.exceptions) == 6
    assert await values_of(bootstrap, name) == [b"good 0", b"good 1", b"good 2"]


async def test_send_many_reads_its_source_lazily(bootstrap: str, topic: TopicFactory) -> None:
    """A source that never ends is read no faster than there is room."""
    name = topic()
    taken = 0

    def endless() -> Iterator[Record[bytes, bytes]]:
        nonlocal taken
        while True:
            taken += 1
            yield Record(name, bytes(1000))

    async with AsyncProducer(bootstrap, buffer_memory=100_000) as producer:
        sending = asyncio.ensure_future(producer.send_many(endless(), timeout=2))
        result = await asyncio.wait_for(sending, 60)
        acknowledged = producer.metrics().record_ack_total
    assert len(result) == taken
    # Two budgets of a hundred records each may wait beyond those that were acknowledged.
    assert 100 < taken <= acknowledged + 250


async def test_send_many_tells_which_records_its_timeout_left_open(
    bootstrap: str, topic: TopicFactory
) -> None:
    """After the timeout every record has an outcome; the open ones may yet be delivered."""
    name = topic()
    async with nowhere(max_block_ms=20_000) as producer:
        result = await producer.send_many((Record(name, b"v") for _ in range(3)), timeout=0.3)
        assert len(result) >= 1
        assert all(isinstance(outcome, DeliveryTimeoutError) for outcome in result)
        await producer.close(timeout=0)


async def test_send_many_ends_by_itself_when_no_broker_answers() -> None:
    """Never raises for a record: each has its own error once max.block.ms is over."""
    async with nowhere(max_block_ms=400) as producer:
        started = time.monotonic()
        result = await producer.send_many([Record("topic", b"v") for _ in range(20)])
        assert time.monotonic() - started < 20
        assert len(result) == 20
        assert all(isinstance(outcome, MetadataTimeoutError) for outcome in result)


async def test_an_error_of_the_source_comes_out_of_send_many(
    bootstrap: str, topic: TopicFactory
) -> None:
    """It is the caller's error, also when it is a TimeoutError; what was taken is delivered."""
    name = topic()

    async def source() -> AsyncIterator[Record[bytes, bytes]]:
        yield Record(name, b"before")
        raise TimeoutError("the source timed out")

    async with AsyncProducer(bootstrap) as producer:
        with pytest.raises(TimeoutError, match="the source timed out"):
            await producer.send_many(source(), timeout=30)
    assert await values_of(bootstrap, name) == [b"before"]


async def test_try_send_refuses_instead_of_waiting(bootstrap: str, topic: TopicFactory) -> None:
    """Unknown topic or no room: it raises at once, and nothing is queued."""
    name = topic()
    async with AsyncProducer(bootstrap, buffer_memory=10_000, linger_ms=300) as producer:
        with pytest.raises(MetadataNotReadyError):
            producer.try_send(name, b"too early")
        await producer.warm_up([name])
        accepted = 0
        with pytest.raises(BufferExhaustedError):
            for _ in range(1000):
                producer.try_send(name, bytes(100))
                accepted += 1
        assert 10 < accepted < 100
        await producer.flush()
        assert (await producer.try_send(name, b"room again")).offset == accepted
        with pytest.raises(MetadataNotReadyError):
            producer.try_send(name, b"v", partition=1)
    assert len(await values_of(bootstrap, name)) == accepted + 1


async def test_a_loop_of_send_and_drain_never_starves_the_event_loop(
    bootstrap: str, topic: TopicFactory
) -> None:
    """drain() gives other tasks a turn, keeps memory bounded and loses nothing."""
    name = topic()
    turns = 0
    done = False

    async def somebody_else() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0.001)

    async with AsyncProducer(bootstrap, buffer_memory=1 << 20) as producer:
        other = asyncio.create_task(somebody_else())
        # In seconds of this thread: others on the machine may have most of the clock's.
        started = time.thread_time()
        for _ in range(20_000):
            producer.send(name, bytes(100))
            await producer.drain()
            assert producer.metrics().waiting_records < 3000
        took = time.thread_time() - started
        done = True
        await other
        await producer.flush()
        assert producer.metrics().record_ack_total == 20_000
    assert turns > took * 50
    assert await asyncio.to_thread(end_offsets, bootstrap, name) == {0: 20_000}


async def test_drain_waits_for_room_only(bootstrap: str, topic: TopicFactory) -> None:
    """A record whose topic is not known yet holds up nobody else."""
    name = topic()
    async with AsyncProducer(
        bootstrap, allow_auto_create_topics=False, max_block_ms=120_000
    ) as producer:
        await producer.warm_up([name])
        lost = producer.send("no-such-topic", b"v")
        for _ in range(2000):
            producer.send(name, b"v")
            await producer.drain()
        assert not lost.done()
        assert lost.cancel()


async def test_drain_says_when_it_waited_too_long() -> None:
    """Its timeout is a TimeoutError; the records stay where they are."""
    async with nowhere(max_block_ms=20_000, buffer_memory=10_000) as producer:
        deliveries = [producer.send("topic", bytes(1000)) for _ in range(7)]
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await producer.drain(timeout=0.2)
        assert 0.15 < time.monotonic() - started < 15
        assert not any(delivery.done() for delivery in deliveries)
        await producer.close(timeout=0)
        assert {type(each.exception()) for each in deliveries} == {ProducerClosedError}


# flush, close, life


@pytest.mark.core
async def test_flush_returns_when_everything_before_it_is_settled(
    bootstrap: str, topic: TopicFactory
) -> None:
    """It does not linger, covers records that wait for metadata, and never raises for one."""
    name = topic(3)
    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        deliveries = [producer.send(name, b"v") for _ in range(100)]
        assert not any(delivery.done() for delivery in deliveries)
        await producer.flush(timeout=300)
        assert all(delivery.done() for delivery in deliveries)
        late = producer.send(name, b"later", partition=0)
        await asyncio.sleep(0.2)
        assert not late.done(), "a flush does not end lingering for ever"
        await asyncio.gather(producer.flush(), producer.flush())
        assert late.done()


async def test_flush_never_raises_the_failure_of_a_record(topic: TopicFactory) -> None:
    """That stands in the record's delivery."""
    async with nowhere(max_block_ms=200) as producer:
        delivery = producer.send("topic", b"v")
        await producer.flush()
        assert isinstance(delivery.exception(), MetadataTimeoutError)


async def test_flush_says_when_it_waited_too_long() -> None:
    """FlushTimeoutError after the given seconds; the records are still on their way."""
    async with nowhere(max_block_ms=30_000) as producer:
        delivery = producer.send("topic", b"v")
        started = time.monotonic()
        with pytest.raises(FlushTimeoutError):
            await producer.flush(timeout=0.2)
        assert 0.15 < time.monotonic() - started < 15
        assert not delivery.done()
        await producer.close(timeout=0)
        assert isinstance(delivery.exception(), ProducerClosedError)


async def test_flush_is_called_off_without_calling_off_the_records(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Cancelling a flush abandons the wait only."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=10_000) as producer:
        delivery = producer.send(name, b"v")
        flushing = asyncio.create_task(producer.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        assert (await asyncio.wait_for(delivery, 60)).offset == 0


@pytest.mark.core
async def test_close_delivers_what_lingers_and_reports_what_became_of_it(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Nothing accepted is lost by closing, and the report counts by topic."""
    name = topic()
    producer = AsyncProducer[bytes, bytes](bootstrap, linger_ms=20_000)
    await producer.start()
    deliveries = [producer.send(name, b"v") for _ in range(10)]
    report = await producer.close()
    assert [delivery.result().offset for delivery in deliveries] == list(range(10))
    assert report.topics == {name: TopicReport(delivered=10)}
    assert (report.delivered, report.failed, report.abandoned) == (10, 0, 0)


async def test_close_twice_is_one_close_with_one_report(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Calling it again, at once or later, waits for the same end."""
    name = topic()
    producer = AsyncProducer[bytes, bytes](bootstrap)
    await producer.start()
    producer.send(name, b"v")
    first, second = await asyncio.gather(producer.close(), producer.close())
    assert first is second is await producer.close()
    assert first.delivered == 1


async def test_a_cancelled_close_goes_on_and_can_be_awaited_again(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Cancelling the caller never cancels the closing."""
    name = topic()
    producer = AsyncProducer[bytes, bytes](bootstrap, linger_ms=10_000)
    await producer.start()
    delivery = producer.send(name, b"v")
    closing = asyncio.create_task(producer.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    report = await producer.close()
    assert report.delivered == 1
    assert delivery.result().offset == 0


async def test_close_with_no_time_fails_what_is_open(bootstrap: str, topic: TopicFactory) -> None:
    """close(0) returns at once; every future is resolved, and the report says how many."""
    name = topic()
    producer = AsyncProducer[bytes, bytes](bootstrap, linger_ms=10_000)
    await producer.start()
    await producer.warm_up([name])
    deliveries = [producer.send(name, b"v") for _ in range(5)]
    waiting = producer.send(f"{name}-unknown", b"v")
    report = await producer.close(timeout=0)
    for delivery in (*deliveries, waiting):
        error = delivery.exception()
        assert isinstance(error, ProducerClosedError)
        assert error.persisted == "no"
    assert report.abandoned == 6
    assert (report.delivered, report.failed) == (0, 0)


async def test_a_producer_that_never_started_can_be_closed(bootstrap: str) -> None:
    """There is nothing to do; it cannot be started afterwards."""
    producer = AsyncProducer[bytes, bytes](bootstrap)
    report = await producer.close()
    assert report.topics == {}
    with pytest.raises(ProducerStateError):
        await producer.start()


async def test_the_context_manager_closes_alike_when_the_body_raises(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The body's error comes out, and what was sent before it is delivered."""
    name = topic()
    with pytest.raises(ZeroDivisionError):
        async with AsyncProducer(bootstrap, linger_ms=10_000) as producer:
            delivery = producer.send(name, b"v")
            raise ZeroDivisionError
    assert delivery.result().offset == 0
    with pytest.raises(ProducerClosedError):
        producer.send(name, b"v")


async def test_starting_twice_is_refused_and_harms_nothing(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The running producer goes on; a closed one stays closed."""
    name = topic()
    producer = AsyncProducer[bytes, bytes](bootstrap)
    await producer.start()
    with pytest.raises(ProducerStateError):
        await producer.start()
    await producer.send(name, b"still works")
    await producer.close()
    with pytest.raises(ProducerStateError):
        await producer.start()


async def test_a_producer_that_was_not_started_says_so(bootstrap: str) -> None:
    """Every call that needs a running producer tells what to do."""
    producer = AsyncProducer[bytes, bytes](bootstrap)
    for call in (producer.send, producer.try_send):
        with pytest.raises(NotStartedError, match="start"):
            call("topic", b"v")
    for awaitable in (
        producer.send_and_wait("topic", b"v"),
        producer.flush(),
        producer.drain(),
        producer.partitions_for("topic"),
        producer.warm_up(["topic"]),
        producer.send_many([Record("topic", b"v")]),
    ):
        with pytest.raises(NotStartedError, match="start"):
            await awaitable


def test_a_producer_can_be_made_where_no_loop_runs(bootstrap: str, topic: TopicFactory) -> None:
    """It binds to the loop that runs at start, so module level and __init__ are fine."""
    name = topic()
    producer = AsyncProducer[bytes, bytes](bootstrap)

    async def main() -> RecordMetadata:
        async with producer:
            return await producer.send(name, b"v")

    assert asyncio.run(main()).offset == 0


async def test_a_producer_dropped_without_closing_warns(bootstrap: str) -> None:
    """Forgetting close() shows as a ResourceWarning, as with other asyncio objects."""
    producer = AsyncProducer[bytes, bytes](bootstrap)
    await producer.start()
    closed = producer.close
    # What others have left is not collected in the middle of it.
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        producer.__del__()
    assert [each.category for each in caught] == [ResourceWarning]
    assert "was not closed" in str(caught[0].message)
    await closed()


async def test_a_closed_producer_can_be_collected(bootstrap: str, topic: TopicFactory) -> None:
    """Nothing in the loop or in a module keeps it."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        await producer.send(name, b"v")
    gone = weakref.ref(producer)
    del producer
    deadline = time.monotonic() + 60
    while gone() is not None:
        assert time.monotonic() < deadline, gc.get_referrers(gone())
        await asyncio.sleep(0.01)
        gc.collect()


async def test_many_producers_live_side_by_side(bootstrap: str, topic: TopicFactory) -> None:
    """They share nothing."""
    name = topic()
    producers = [AsyncProducer[bytes, bytes](bootstrap) for _ in range(5)]
    await asyncio.gather(*(producer.start() for producer in producers))
    found = await asyncio.gather(*(p.send_and_wait(name, b"v") for p in producers))
    await asyncio.gather(*(producer.close() for producer in producers))
    assert sorted(metadata.offset for metadata in found) == [0, 1, 2, 3, 4]


# The cluster


@pytest.mark.core
async def test_partitions_for_tells_leaders_and_replicas(
    bootstrap: str, topic: TopicFactory
) -> None:
    """One entry per partition, in order."""
    name = topic(3)
    async with AsyncProducer(bootstrap) as producer:
        found = await producer.partitions_for(name)
        assert await producer.partitions_for(name) == found
    assert [info.partition for info in found] == [0, 1, 2]
    for info in found:
        assert isinstance(info, PartitionInfo)
        assert info.topic == name
        assert info.leader in info.replicas
        assert set(info.in_sync_replicas) <= set(info.replicas)
        assert info.offline_replicas == ()


async def test_partitions_for_an_unknown_topic_ends_within_its_timeout(bootstrap: str) -> None:
    """It names the topic and the time it waited."""
    async with AsyncProducer(bootstrap, allow_auto_create_topics=False) as producer:
        started = time.monotonic()
        with pytest.raises(MetadataTimeoutError, match="no-such-topic"):
            await producer.partitions_for("no-such-topic", timeout=0.3)
        assert time.monotonic() - started < 20
        with pytest.raises(ValueError, match="topic name"):
            await producer.partitions_for("no such topic")


@pytest.mark.core
async def test_after_warm_up_the_first_record_waits_for_nothing(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Metadata and connections are there: try_send() takes the record."""
    names = [topic(2), topic(3)]
    async with AsyncProducer(bootstrap) as producer:
        await producer.warm_up(names)
        found = await asyncio.gather(*(producer.try_send(name, b"v") for name in names))
    assert [metadata.offset for metadata in found] == [0, 0]


async def test_warm_up_says_which_topic_it_waited_for(bootstrap: str, topic: TopicFactory) -> None:
    """One topic that is not there fails the call within its timeout."""
    name = topic()
    async with AsyncProducer(bootstrap, allow_auto_create_topics=False) as producer:
        await producer.warm_up([name])
        with pytest.raises(MetadataTimeoutError, match="no-such-topic"):
            await producer.warm_up([name, "no-such-topic"], timeout=0.3)


@pytest.mark.core
async def test_partition_for_tells_where_a_key_will_go(bootstrap: str, topic: TopicFactory) -> None:
    """And that is where it goes."""
    name = topic(7)
    keys = [b"key-%d" % number for number in range(50)]
    async with AsyncProducer(bootstrap) as producer:
        with pytest.raises(MetadataNotReadyError):
            producer.partition_for(name, b"key")
        await producer.warm_up([name])
        expected = [producer.partition_for(name, key) for key in keys]
        found = await asyncio.gather(*(producer.send(name, b"v", key=key) for key in keys))
    assert [metadata.partition for metadata in found] == expected
    assert len(set(expected)) > 3


# Serializers


async def test_serializers_can_be_named(bootstrap: str, topic: TopicFactory) -> None:
    """string, bytes and json are built in."""
    name = topic()
    async with AsyncProducer[str, object](
        bootstrap, key_serializer="string", value_serializer="json"
    ) as producer:
        await producer.send(name, {"größe": [1, None]}, key="schlüssel")
        await producer.send(name, None, key=None)
    first, second = await read_topic_async(bootstrap, name)
    assert (first.key, first.value) == ("schlüssel".encode(), '{"größe":[1,null]}'.encode())
    assert (second.key, second.value) == (None, None)


async def test_serializers_can_be_callables_and_objects(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A plain function gets the value; an object with serialize() gets the circumstances too."""
    name = topic()
    contexts: list[SerializationContext] = []

    class Circumstantial:
        def serialize(self, value: int, context: SerializationContext) -> bytes:
            contexts.append(context)
            return b"%d" % value

    async with AsyncProducer[str, int](
        bootstrap, key_serializer=str.encode, value_serializer=Circumstantial()
    ) as producer:
        await producer.send(name, 17, key="k", headers=[("h", b"1")])
    [read] = await read_topic_async(bootstrap, name)
    assert (read.key, read.value) == (b"k", b"17")
    assert [(c.topic, c.field, list(c.headers)) for c in contexts] == [
        (name, "value", [("h", b"1")])
    ]


async def test_serializer_objects_of_the_package_take_their_settings(
    bootstrap: str, topic: TopicFactory
) -> None:
    """An encoding for text, sorted keys for JSON."""
    name = topic()
    async with AsyncProducer[str, object](
        bootstrap,
        key_serializer=StringSerializer(encoding="latin-1"),
        value_serializer=JsonSerializer(deterministic=True),
    ) as producer:
        await producer.send(name, {"b": 1, "a": 2}, key="ä")
    [read] = await read_topic_async(bootstrap, name)
    assert (read.key, read.value) == (b"\xe4", b'{"a":2,"b":1}')


# timeout= of one send


async def test_the_timeout_of_one_send_withdraws_a_waiting_record(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A record that has no batch yet is never sent: persisted is "no"."""
    name = topic()
    async with nowhere(max_block_ms=30_000) as producer:
        started = time.monotonic()
        with pytest.raises(DeliveryTimeoutError) as caught:
            await producer.send(name, b"v", timeout=0.2)
        assert 0.15 < time.monotonic() - started < 15
        assert caught.value.persisted == "no"
        assert producer.metrics().waiting_records == 0


async def test_the_timeout_of_one_send_gives_up_a_queued_record_alone(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Its neighbours are unharmed; it may be delivered all the same: persisted is "maybe"."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        await producer.warm_up([name])
        first = producer.send(name, b"first")
        hasty = producer.send(name, b"hasty", timeout=0.1)
        last = producer.send(name, b"last", timeout=300)
        with pytest.raises(DeliveryTimeoutError) as caught:
            await hasty
        assert caught.value.persisted == "maybe"
        await producer.flush()
        assert [m.offset for m in await asyncio.gather(first, last)] == [0, 2]
    assert await values_of(bootstrap, name) == [b"first", b"hasty", b"last"]


async def test_send_and_wait_has_a_timeout_too(topic: TopicFactory) -> None:
    """In seconds, as asyncio's."""
    async with nowhere(max_block_ms=30_000) as producer:
        with pytest.raises(DeliveryTimeoutError, match=r"0\.2"):
            await producer.send_and_wait("topic", b"v", timeout=0.2)


# A Delivery is a future


async def test_a_delivery_passes_as_a_future_everywhere(
    bootstrap: str, topic: TopicFactory
) -> None:
    """gather, wait, wait_for, shield, as_completed take it as it is; no task is made for it."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=20) as producer:
        await producer.warm_up([name])
        sent = [producer.send(name, b"%d" % number) for number in range(10)]
        assert all(asyncio.isfuture(delivery) for delivery in sent)
        assert asyncio.ensure_future(sent[0]) is sent[0]
        assert sent[0].get_loop() is asyncio.get_running_loop()
        before = asyncio.all_tasks()
        assert (await asyncio.gather(*sent[:2]))[1].offset == 1
        done, pending = await asyncio.wait(sent[:4])
        assert (len(done), len(pending)) == (4, 0)
        assert (await asyncio.wait_for(sent[4], 60)).offset == 4
        assert (await asyncio.shield(sent[5])).offset == 5
        found = {(await each).offset for each in asyncio.as_completed(sent)}
        assert found == set(range(10))
        # The producer may have begun one of its own meanwhile.
        begun = [task.get_name() for task in asyncio.all_tasks() - before]
        assert [each for each in begun if not each.startswith(producer.client_id)] == []


async def test_pending_deliveries_can_be_gathered_waited_for_and_completed(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The same while they are open, which takes other roads through asyncio."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=30) as producer:
        await producer.warm_up([name])
        a, b = producer.send(name, b"a"), producer.send(name, b"b")
        assert [m.offset for m in await asyncio.gather(a, b)] == [0, 1]
        done, _ = await asyncio.wait([producer.send(name, b"c")])
        assert done.pop().result().offset == 2
        assert (await asyncio.wait_for(producer.send(name, b"d"), 60)).offset == 3
        assert (await asyncio.shield(producer.send(name, b"e"))).offset == 4
        for each in asyncio.as_completed([producer.send(name, b"f"), producer.send(name, b"g")]):
            assert (await each).offset in (5, 6)
        done, _ = await asyncio.wait(
            [producer.send(name, b"h"), producer.send(name, b"i")],
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert {d.result().offset for d in done} <= {7, 8}


async def test_deliveries_can_be_awaited_in_a_task_group(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Each task awaits one; several may await the same."""
    name = topic()

    async def wait_for_it(delivery: Delivery) -> int:
        return (await delivery).offset

    async with AsyncProducer(bootstrap, linger_ms=20) as producer:
        await producer.warm_up([name])
        delivery = producer.send(name, b"v")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(wait_for_it(delivery)) for _ in range(5)]
        assert [task.result() for task in tasks] == [0] * 5


async def test_done_callbacks_run_once_in_order_and_in_their_context(
    bootstrap: str, topic: TopicFactory
) -> None:
    """As asyncio.Future's: never inside send(), soon after the outcome, removable."""
    name = topic()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    calls: list[tuple[str, str, int]] = []

    def note(label: str):  # type: ignore[no-untyped-def]
        return lambda done: calls.append((label, variable.get(), done.result().offset))

    async with AsyncProducer(bootstrap, linger_ms=20) as producer:
        await producer.warm_up([name])
        delivery = producer.send(name, b"v")
        context = contextvars.copy_context()
        context.run(variable.set, "set")
        removed = note("removed")
        delivery.add_done_callback(note("first"))
        delivery.add_done_callback(removed)
        delivery.add_done_callback(note("second"), context=context)
        assert delivery.remove_done_callback(removed) == 1
        assert delivery.remove_done_callback(removed) == 0
        await delivery
        await asyncio.sleep(0)
        assert calls == [("first", "unset", 0), ("second", "set", 0)]
        delivery.add_done_callback(note("late"))
        assert len(calls) == 2
        await asyncio.sleep(0)
        assert calls[2:] == [("late", "unset", 0)]


async def test_callbacks_of_one_partition_run_in_the_order_of_sending(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Also over many batches."""
    name = topic()
    order: list[int] = []
    async with AsyncProducer(bootstrap, batch_size=500) as producer:
        for number in range(300):
            producer.send(name, b"%d" % number).add_done_callback(
                lambda done, n=number: order.append(n)
            )
        await producer.flush()
        await asyncio.sleep(0)
    assert order == list(range(300))


async def test_asking_too_early_is_an_invalid_state(bootstrap: str, topic: TopicFactory) -> None:
    """result() and exception() of an open delivery raise as a future's do."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=50) as producer:
        delivery = producer.send(name, b"v")
        with pytest.raises(asyncio.InvalidStateError):
            delivery.result()
        with pytest.raises(asyncio.InvalidStateError):
            delivery.exception()
        assert not delivery.cancelled()
        await delivery


async def test_cancelling_a_waiting_record_withdraws_it(
    bootstrap: str, topic: TopicFactory
) -> None:
    """It is never sent, and its place and memory are free at once."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        kept, dropped = producer.send(name, b"kept"), producer.send(name, b"dropped")
        assert dropped.cancel("changed my mind")
        assert dropped.cancelled() and dropped.done()
        assert not dropped.cancel()
        with pytest.raises(asyncio.CancelledError, match="changed my mind"):
            await dropped
        assert (await kept).offset == 0
    assert await values_of(bootstrap, name) == [b"kept"]


async def test_cancelling_a_queued_record_abandons_the_wait_only(
    bootstrap: str, topic: TopicFactory
) -> None:
    """cancel() answers True, the waiter is cancelled, the record arrives; neighbours too."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=100) as producer:
        await producer.warm_up([name])
        first, second = producer.send(name, b"first"), producer.send(name, b"second")
        # In the turn in which it was sent: it is on no wire yet.
        assert first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(asyncio.CancelledError):
            first.result()
        assert (await second).offset == 1
        assert not second.cancel()
    assert await values_of(bootstrap, name) == [b"first", b"second"]


async def test_cancelling_a_task_that_awaits_a_delivery_cancels_the_delivery(
    bootstrap: str, topic: TopicFactory
) -> None:
    """As with any future; shield() protects it."""
    name = topic()

    async def wait_for_it(delivery: Delivery, protected: bool) -> None:
        await (asyncio.shield(delivery) if protected else delivery)

    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        await producer.warm_up([name])
        bare, shielded = producer.send(name, b"bare"), producer.send(name, b"shielded")
        tasks = [
            asyncio.create_task(wait_for_it(bare, False)),
            asyncio.create_task(wait_for_it(shielded, True)),
        ]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        assert (await asyncio.wait(tasks))[0] == set(tasks)
        assert all(task.cancelled() for task in tasks)
        assert bare.cancelled()
        await producer.flush()
        assert (await shielded).offset == 1
    assert await values_of(bootstrap, name) == [b"bare", b"shielded"]


async def test_wait_for_gives_up_in_time_and_the_record_goes_on(
    bootstrap: str, topic: TopicFactory
) -> None:
    """TimeoutError after the given time, never a hang."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        await producer.warm_up([name])
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(producer.send(name, b"v"), 0.1)
        assert time.monotonic() - started < 60
    assert await values_of(bootstrap, name) == [b"v"]


async def test_gather_of_a_cancelled_delivery_ends(bootstrap: str, topic: TopicFactory) -> None:
    """One of them cancelled while gathered: the others' outcomes are not lost, nothing hangs."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        await producer.warm_up([name])
        first, second = producer.send(name, b"first"), producer.send(name, b"second")
        gathered = asyncio.gather(first, second, return_exceptions=True)
        await asyncio.sleep(0)
        first.cancel()
        await producer.flush()
        outcomes = await asyncio.wait_for(gathered, 60)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert outcomes[1].offset == 1

        third, fourth = producer.send(name, b"third"), producer.send(name, b"fourth")
        gathered = asyncio.gather(third, fourth)
        await asyncio.sleep(0)
        third.cancel("not now")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(gathered, 60)
        await producer.flush()
        assert (await fourth).offset == 3


async def test_cancelling_a_gather_cancels_its_deliveries(
    bootstrap: str, topic: TopicFactory
) -> None:
    """As asyncio documents for gather; the records are delivered all the same."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        await producer.warm_up([name])
        sent = [producer.send(name, b"%d" % number) for number in range(3)]
        gathered = asyncio.gather(*sent)
        await asyncio.sleep(0)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(gathered, 60)
        assert all(delivery.cancelled() for delivery in sent)
    assert await values_of(bootstrap, name) == [b"0", b"1", b"2"]


async def test_each_who_asks_gets_an_error_of_his_own(topic: TopicFactory) -> None:
    """Two records of one failure do not share a traceback."""
    async with nowhere(max_block_ms=100) as producer:
        first, second = producer.send("topic", b"1"), producer.send("topic", b"2")
        await asyncio.wait([first, second])
        assert first.exception() is not second.exception()
        assert first.exception() is first.exception()
        assert str(first.exception()) == str(second.exception())


async def test_a_delivery_knows_its_topic_and_its_partition_once_chosen(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Before that the partition is None; the text of a delivery tells its state."""
    name = topic(2)
    async with AsyncProducer(bootstrap, linger_ms=50) as producer:
        delivery = producer.send(name, b"v")
        assert (delivery.topic, delivery.partition) == (name, None)
        assert "pending" in repr(delivery)
        metadata = await delivery
        assert delivery.partition == metadata.partition
        assert "offset 0" in repr(delivery)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_everything_works_with_eager_tasks(bootstrap: str, topic: TopicFactory) -> None:
    """asyncio's eager task factory starts coroutines inside create_task()."""
    name = topic(3)
    loop = asyncio.get_running_loop()
    if "uvloop" in type(loop).__module__ and sys.version_info < (3, 14):
        pytest.skip("uvloop gives task factories an argument that came with Python 3.14")
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    try:
        async with AsyncProducer(bootstrap, linger_ms=5) as producer:
            await producer.warm_up([name])
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(producer.send_and_wait(name, b"%d" % n, partition=n % 3))
                    for n in range(100)
                ]
            await producer.send_many(Record(name, b"v") for _ in range(100))
            await producer.flush()
        assert {task.result().offset for task in tasks} == set(range(34))
    finally:
        loop.set_task_factory(None)
    assert len(await values_of(bootstrap, name)) == 200
