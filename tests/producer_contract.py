"""What holds of every producer, a real one on a cluster and a fake one alike."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    BufferExhaustedError,
    FatalTransactionError,
    LifeState,
    MetadataNotReadyError,
    MetadataTimeoutError,
    NotStartedError,
    PartitionerRecord,
    PartitionList,
    ProducerClosedError,
    ProducerError,
    ProducerFencedError,
    ProducerStateError,
    Record,
    RecordMetadata,
    RecordTooLargeError,
    SerializationError,
    SerializerNotReadyError,
    TopicPartition,
    TransactionState,
    TransactionStateError,
    partition_of_key,
)


@dataclass(frozen=True)
class Site:
    """Where a contract is tried: how producers and topics are made there."""

    make: Callable[..., AsyncProducer[Any, Any]]
    topic: Callable[[int], str]
    """Makes a topic with so many partitions."""
    new_id: Callable[[], str]
    """Returns a transactional id that nobody else has."""
    fence: Callable[[AsyncProducer[Any, Any]], Awaitable[None]]
    """Lets another producer take over."""


Contract = Callable[[Site], Awaitable[None]]
CONTRACTS: list[Contract] = []
METHODS: set[str] = set()


def contract(*methods: str) -> Callable[[Contract], Contract]:
    """Add a contract; ``methods`` are what it asks of the producer."""

    def add(body: Contract) -> Contract:
        CONTRACTS.append(body)
        METHODS.update(methods)
        return body

    return add


@contract("start", "send", "close")
async def a_record_has_its_place_in_the_log(site: Site) -> None:
    topic = site.topic(1)
    producer = site.make()
    assert producer.state is LifeState.NEW
    with pytest.raises(NotStartedError):
        producer.send(topic, b"v")
    await producer.start()
    try:
        deliveries = [producer.send(topic, b"value", key=b"k") for _ in range(3)]
        assert all(asyncio.isfuture(delivery) and not delivery.done() for delivery in deliveries)
        rows = await asyncio.gather(*deliveries)
        assert [row.offset for row in rows] == [0, 1, 2]
        assert {row.topic_partition for row in rows} == {TopicPartition(topic, 0)}
        assert rows[0][-2:] == (1, 5)
        null = await producer.send(topic, None, timestamp_ms=1_700_000_000_000)
        assert (null.serialized_key_size, null.serialized_value_size) == (-1, -1)
    finally:
        report = await producer.close()
    assert (report.delivered, report.failed, report.abandoned) == (4, 0, 0)
    assert await producer.close() == report
    assert producer.state is LifeState.CLOSED
    with pytest.raises(ProducerClosedError):
        producer.send(topic, b"v")
    with pytest.raises(ProducerStateError):
        await producer.start()


@contract(
    "warm_up", "partitions_for", "known_partitions", "partition_for", "try_send", "send_and_wait"
)  # fmt: skip
async def keys_choose_partitions_as_java_does(site: Site) -> None:
    topic = site.topic(4)
    async with site.make() as producer:
        with pytest.raises(MetadataNotReadyError):
            producer.partition_for(topic, b"k")
        assert producer.known_partitions(topic) == ()
        await producer.warm_up([topic])
        assert [info.partition for info in await producer.partitions_for(topic)] == [0, 1, 2, 3]
        assert producer.known_partitions(topic) == await producer.partitions_for(topic)
        keys = [b"key-%d" % number for number in range(20)]
        for key in keys:
            delivery = producer.try_send(topic, b"v", key=key)
            assert (
                delivery.partition == partition_of_key(key, 4) == producer.partition_for(topic, key)
            )
            await delivery
        assert (await producer.send_and_wait(topic, b"v", key=keys[0], partition=3)).partition == 3


@contract("partitions_for")
async def an_unknown_topic_and_partition_are_waited_for(site: Site) -> None:
    topic = site.topic(1)
    async with site.make(max_block_ms=200) as producer:
        await producer.warm_up([topic], timeout=60)
        with pytest.raises(MetadataNotReadyError):
            producer.try_send(topic, b"v", partition=7)
        with pytest.raises(MetadataTimeoutError):
            await producer.send(topic, b"v", partition=7)
        with pytest.raises(MetadataTimeoutError):
            await producer.partitions_for("is-never-there", timeout=0.05)


@contract("send")
async def an_own_partitioner_sees_the_values_as_given(site: Site) -> None:
    seen: list[PartitionerRecord] = []

    class Last:
        def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
            seen.append(record)
            return partitions.all - 1

    topic = site.topic(3)
    async with site.make(partitioner=Last(), value_serializer=str.encode) as producer:
        assert (await producer.send(topic, "text")).partition == 2
    assert (seen[0].value, seen[0].value_bytes) == ("text", b"text")


@contract("send", "try_send", "serialize")
async def serializers_run_inside_of_send_and_may_answer_later(site: Site) -> None:
    async def later(value: str) -> bytes:
        await asyncio.sleep(0)
        if value == "bad":
            raise ValueError(value)
        return value.encode()

    topic = site.topic(1)
    async with site.make(value_serializer="json") as producer:
        row = await producer.send(topic, {"a": 1})
        assert row.serialized_value_size == len('{"a":1}')
        with pytest.raises(SerializationError):
            await producer.send(topic, object())
    async with site.make(value_serializer=later) as producer:
        await producer.warm_up([topic])
        with pytest.raises(SerializerNotReadyError):
            producer.try_send(topic, "text")
        assert await producer.serialize(topic, "text") == Record(topic, b"text", headers=())
        good, bad = producer.send(topic, "text"), producer.send(topic, "bad")
        assert (await good).serialized_value_size == 4
        with pytest.raises(SerializationError):
            await bad


@contract("send", "drain", "flush")
async def misuse_raises_at_once(site: Site) -> None:
    topic = site.topic(1)
    async with site.make() as producer:
        for wrong in (
            lambda: producer.send(5, b"v"),  # type: ignore[arg-type]
            lambda: producer.send(topic, b"v", partition="1"),  # type: ignore[arg-type]
            lambda: producer.send(topic, b"v", headers=[5]),  # type: ignore[list-item]
        ):
            with pytest.raises(TypeError):
                wrong()
        for wrong in (
            lambda: producer.send("no topic name", b"v"),
            lambda: producer.send(topic, b"v", partition=-1),
            lambda: producer.send(topic, b"v", timeout=-1),
        ):
            with pytest.raises(ValueError):
                wrong()
        with pytest.raises(TypeError):
            await producer.flush("soon")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            producer.send(topic, "text")
        with pytest.raises(TransactionStateError):
            producer.begin_transaction()
        await producer.drain()


@contract("send", "failures")
async def a_record_too_large_fails_alone(site: Site) -> None:
    topic = site.topic(1)
    async with site.make(max_request_size=2000) as producer:
        failures = producer.failures()
        big = producer.send(topic, bytes(3000))
        good = producer.send(topic, b"v")
        with pytest.raises(RecordTooLargeError):
            await big
        failed = await anext(failures)
        assert failed.record.value == bytes(3000)
        assert isinstance(failed.error, RecordTooLargeError)
        assert (await good).offset == 0


@contract("try_send")
async def memory_is_bounded(site: Site) -> None:
    topic = site.topic(1)
    async with site.make(buffer_memory=10_000, linger_ms=1000) as producer:
        await producer.warm_up([topic])
        first = producer.try_send(topic, bytes(1000))
        with pytest.raises(BufferExhaustedError):
            for _ in range(20):
                producer.try_send(topic, bytes(1000))
        await producer.flush()
        assert first.done()
        await producer.send(topic, bytes(1000))


@contract("send_many")
async def many_records_have_an_outcome_each(site: Site) -> None:
    topic = site.topic(1)
    async with site.make() as producer:
        records: list[Any] = [Record(topic, b"%d" % number) for number in range(5)]
        records.insert(2, Record("no topic name", b"v"))
        result = await producer.send_many(records)
        assert [position for position, _ in result.failures] == [2]
        offsets = [row.offset for row in result if isinstance(row, RecordMetadata)]
        assert offsets == [0, 1, 2, 3, 4]
        with pytest.raises(ExceptionGroup):
            result.raise_for_failures()


@contract("flush", "expedite")
async def a_flush_settles_all_that_was_sent(site: Site) -> None:
    topic = site.topic(2)
    async with site.make(linger_ms=60_000) as producer:
        hurried = producer.send(topic, b"v")
        producer.expedite()
        await hurried
        deliveries = [producer.send(topic, b"v") for _ in range(10)]
        called: list[object] = []
        deliveries[0].add_done_callback(called.append)
        await producer.flush()
        assert all(delivery.done() for delivery in deliveries)
        await asyncio.sleep(0)
        assert called == [deliveries[0]]
        assert deliveries[0].explain().outcome == "acknowledged"


@contract("on_late_result")
async def who_gives_up_is_told_later(site: Site) -> None:
    topic = site.topic(1)
    async with site.make(linger_ms=50) as producer:
        await producer.warm_up([topic])
        late: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        producer.on_late_result(late.set_result)
        delivery = producer.send(topic, b"v")
        assert delivery.cancel()
        assert (await late).metadata.offset == 0
        producer.on_late_result(None)
        waiting = producer.send(topic, b"v", partition=5)
        assert waiting.cancel()
        assert (await producer.send(topic, b"v")).offset == 1


@contract("send")
async def interceptors_see_records_and_their_fate(site: Site) -> None:
    told: list[Any] = []

    class Marks:
        def on_send(self, record: Record[Any, Any]) -> Record[Any, Any]:
            return Record(record.topic, record.value, b"marked", headers=[("h", b"1")])

        def on_acknowledgement(self, record: Any, metadata: Any, error: Any) -> None:
            told.append((record.key, metadata, error))

    topic = site.topic(1)
    async with site.make(interceptors=[Marks()]) as producer:
        row = await producer.send(topic, b"v")
        assert row.serialized_key_size == len(b"marked")
    assert told == [(b"marked", row, None)]


@contract("send")
async def without_acks_there_is_no_offset(site: Site) -> None:
    topic = site.topic(1)
    async with site.make(acks=0) as producer:
        assert (await producer.send(topic, b"v")).offset == -1


@contract(
    "metrics", "watch_metrics", "register_metric", "unregister_metric", "diagnose", "health",
    "client_instance_id",
)  # fmt: skip
async def a_producer_tells_of_itself(site: Site) -> None:
    topic = site.topic(1)
    producer = site.make()
    assert not producer.health().ready
    assert producer.metrics().record_send_total == 0
    async with producer:
        await producer.send(topic, b"v")
        producer.register_metric("own-total", lambda: 3.0)
        snapshot = producer.metrics()
        # A real leader may have wanted it twice.
        assert snapshot.record_send_total - snapshot.record_retry_total == 1
        assert list(snapshot.registered.values()) == [3.0]
        producer.unregister_metric("own-total")
        assert producer.health().ready
        assert producer.health().brokers_connected >= 1
        assert str(producer.diagnose())
        async for each in producer.watch_metrics(10):
            figures = each.topics[topic]
            assert figures.record_send_total - figures.record_retry_total == 1
            break
        with pytest.raises(ProducerStateError):
            await producer.client_instance_id(timeout=120)
    assert not producer.health().live


@contract("install_signal_drain")
async def signals_can_close_it(site: Site) -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with site.make() as producer:
        drain = producer.install_signal_drain()
        assert drain.received is None
    assert signal.getsignal(signal.SIGTERM) is before


# Transactions


@contract("transaction", "send_offsets_to_transaction")
async def what_is_committed_stands_behind_one_marker(site: Site) -> None:
    topic = site.topic(1)
    async with site.make(transactional_id=site.new_id()) as producer:
        assert producer.transaction_state is TransactionState.READY
        with pytest.raises(TransactionStateError):
            producer.send(topic, b"v")
        async with producer.transaction() as tx:
            first = tx.send(topic, b"v")
            await tx.send_offsets({TopicPartition(topic, 0): 3}, site.new_id())
        assert first.done()
        assert producer.transaction_state is TransactionState.READY
        with pytest.raises(TransactionStateError):
            tx.send(topic, b"v")
        with pytest.raises(KeyError):
            async with producer.transaction() as tx:
                await tx.send(topic, b"v")
                raise KeyError
        async with producer.transaction() as tx:
            third = tx.send(topic, b"v")
        # Each transaction's marker takes an offset of its own.
        assert ((await first).offset, (await third).offset) == (0, 4)


@contract("init_transactions", "begin_transaction", "commit_transaction", "abort_transaction")
async def the_states_of_a_transaction(site: Site) -> None:
    topic = site.topic(1)
    producer = site.make(transactional_id=site.new_id())
    await producer.start(initialize=False)
    try:
        assert producer.transaction_state is TransactionState.UNINITIALIZED
        with pytest.raises(TransactionStateError):
            producer.begin_transaction()
        await producer.init_transactions()
        await producer.init_transactions()
        for call in (producer.commit_transaction, producer.abort_transaction):
            with pytest.raises(TransactionStateError):
                await call()
        producer.begin_transaction()
        with pytest.raises(TransactionStateError):
            producer.begin_transaction()
        await producer.commit_transaction()
        producer.begin_transaction()
        delivery = producer.send(topic, b"v")
        await producer.abort_transaction()
        assert delivery.done()
        assert producer.transaction_state is TransactionState.READY
    finally:
        await producer.close()


@contract("commit_transaction")
async def a_record_that_failed_spoils_its_transaction(site: Site) -> None:
    topic = site.topic(1)
    async with site.make(transactional_id=site.new_id(), max_request_size=2000) as producer:
        producer.begin_transaction()
        producer.send(topic, bytes(3000))
        with pytest.raises(RecordTooLargeError):
            await producer.commit_transaction()
        assert producer.transaction_state is TransactionState.ABORTABLE_ERROR
        with pytest.raises(ProducerError):
            await producer.send(topic, b"v")
        with pytest.raises(ProducerError):
            await producer.send_offsets_to_transaction({TopicPartition(topic, 0): 1}, "g")
        await producer.abort_transaction()
        async with producer.transaction() as tx:
            tx.send(topic, b"v")


@contract("commit_transaction")
async def who_is_fenced_is_told_for_good(site: Site) -> None:
    topic = site.topic(1)
    async with site.make(transactional_id=site.new_id()) as producer:
        async with producer.transaction() as tx:
            tx.send(topic, b"v")
        await site.fence(producer)
        with pytest.raises(ProducerFencedError) as told:
            async with producer.transaction() as tx:
                delivery = tx.send(topic, b"v")
        # The leader's word made it abortable, the coordinator's was the last.
        assert isinstance(told.value.__cause__, ProducerError)
        with pytest.raises(ProducerError):
            await delivery
        assert producer.transaction_state is TransactionState.FATAL_ERROR
        with pytest.raises(FatalTransactionError):
            producer.begin_transaction()
        with pytest.raises(FatalTransactionError):
            await producer.commit_transaction()
        assert not producer.health().live
