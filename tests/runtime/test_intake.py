"""From send() to a batch: partitions, sizes, copies."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest

from aioproducer.core.batch import Sealed
from aioproducer.core.murmur2 import partition_of_key
from aioproducer.errors import (
    BufferExhaustedError,
    MetadataNotReadyError,
    PartitionerError,
    ProducerError,
    RecordTooLargeError,
)
from aioproducer.serializers import SerializationContext
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import engine_of, now, outcomes, produced, running, values_of


def cluster_of(partitions: int = 1, nodes: int = 1, latency: float = 0.01) -> FakeCluster:
    cluster = FakeCluster(nodes, latency=lambda: latency)
    cluster.add_topic("orders", partitions)
    return cluster


async def test_keys_keep_to_their_partition() -> None:
    cluster = cluster_of(5)
    async with running(cluster) as producer:
        keys = [b"key-%d" % number for number in range(40)]
        sent = await asyncio.gather(*[producer.send("orders", b"v", key=key) for key in keys * 2])
        assert [m.partition for m in sent] == [partition_of_key(key, 5) for key in keys * 2]
        assert producer.partition_for("orders", b"key-7") == partition_of_key(b"key-7", 5)


async def test_records_without_a_key_share_batches() -> None:
    cluster = cluster_of(5)
    async with running(cluster, linger_ms=5) as producer:
        await producer.warm_up(["orders"])
        sent = await asyncio.gather(*[producer.send("orders", b"%d" % n) for n in range(20)])
        assert len({m.partition for m in sent}) == 1


async def test_they_move_on_after_a_batch_s_worth() -> None:
    cluster = cluster_of(5)
    async with running(cluster, linger_ms=5, batch_size=200) as producer:
        await producer.warm_up(["orders"])
        sent = await asyncio.gather(*[producer.send("orders", b"." * 50) for _ in range(100)])
        assert len({m.partition for m in sent}) > 2


async def test_they_avoid_a_broker_that_takes_nothing() -> None:
    cluster = cluster_of(2, nodes=2)
    options: dict[str, Any] = {
        "partitioner_availability_timeout_ms": 500,
        "delivery_timeout_ms": 20_000,
        "request_timeout_ms": 1000,
        "batch_size": 100,
        "reconnect_backoff_max_ms": 1000,
    }
    async with running(cluster, **options) as producer:
        for partition in (0, 1):
            await producer.send("orders", b"known", partition=partition)
        cluster.brokers[1].stop()
        stuck = producer.send("orders", b"stuck", partition=0)
        await asyncio.sleep(3)
        later = [producer.send("orders", b"." * 60) for _ in range(10)]
        metadata = await asyncio.gather(*later)
        assert {m.partition for m in metadata[1:]} == {1}
        cluster.brokers[1].start()
        await stuck


async def test_a_record_above_max_request_size_fails_alone() -> None:
    cluster = cluster_of()
    async with running(cluster, max_request_size=500) as producer:
        await producer.warm_up(["orders"])
        small, large, other = await outcomes(
            [producer.send("orders", value) for value in (b"a", b"." * 600, b"b")]
        )
        assert isinstance(large, RecordTooLargeError)
        assert "max.request.size is 500" in str(large)
        assert (large.topic, large.persisted) == ("orders", "no")
        assert (small.offset, other.offset) == (0, 1)


async def test_the_size_is_judged_before_the_topic_is_known() -> None:
    async with running(cluster_of(), max_request_size=500) as producer:
        delivery = producer.send("never-heard-of", b"." * 600)
        assert isinstance(delivery.exception(), RecordTooLargeError)


async def test_a_record_larger_than_batch_size_has_a_batch_of_its_own() -> None:
    cluster = cluster_of()
    async with running(cluster, batch_size=100, linger_ms=5) as producer:
        await producer.warm_up(["orders"])
        values = [b"a", b"." * 500, b"b"]
        await asyncio.gather(*[producer.send("orders", value) for value in values])
    assert produced(cluster.brokers[1])[0] == [b"a"]
    assert values_of(cluster, "orders") == values


async def test_an_own_partitioner_that_raises_fails_its_record_alone() -> None:
    class Picky:
        def partition(self, record: Any, partitions: Any) -> Any:
            if record.value == b"bad":
                raise KeyError("no lane for it")
            return 9 if record.value == b"wrong" else 1

    cluster = cluster_of(2)
    async with running(cluster, partitioner=Picky()) as producer:
        early = [producer.send("orders", value) for value in (b"bad", b"good", b"wrong")]
        first = await outcomes(early)
        late = [producer.send("orders", value) for value in (b"bad", b"good", b"wrong")]
        second = await outcomes(late)
    for bad, good, wrong in (first, second):
        assert isinstance(bad, PartitionerError)
        assert isinstance(bad.__cause__, KeyError)
        assert isinstance(wrong, PartitionerError)
        assert good.partition == 1
    assert values_of(cluster, "orders", 1) == [b"good", b"good"]


async def test_mutable_buffers_are_copied_when_they_must_wait() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        key, value, header = bytearray(b"key"), bytearray(b"value"), bytearray(b"header")
        waiting = producer.send("orders", value, key=key, headers=[("h", header)])
        key[:], value[:], header[:] = b"KEY", b"VALUE", b"HEADER"
        await waiting
        soon = producer.send("orders", memoryview(value), key=key, headers=[("h", header)])
        key[:], value[:], header[:] = b"***", b"*****", b"******"
        await soon
    records = cluster.topics["orders"].partitions[0].records
    assert [(r.key, r.value, r.headers) for r in records] == [
        (b"key", b"value", (("h", b"header"),)),
        (b"KEY", b"VALUE", (("h", b"HEADER"),)),
    ]


async def test_headers_nulls_and_timestamps_arrive_as_they_are() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        headers = [("a", b"1"), ("a", None), ("", b"")]
        metadata = await producer.send(
            "orders", None, key=None, headers=headers, timestamp_ms=1_234_567
        )
        assert (metadata.serialized_key_size, metadata.serialized_value_size) == (-1, -1)
        assert metadata.timestamp_ms == 1_234_567
        await producer.send("orders", b"", key=b"", timestamp_ms=0)
    null, empty = cluster.topics["orders"].partitions[0].records
    assert (null.key, null.value, list(null.headers)) == (None, None, headers)
    assert null.timestamp == 1_234_567
    assert (empty.key, empty.value, empty.timestamp) == (b"", b"", 0)


async def test_try_send_does_not_wait_for_metadata() -> None:
    async with running(cluster_of()) as producer:
        with pytest.raises(MetadataNotReadyError):
            producer.try_send("orders", b"v")
        await producer.warm_up(["orders"])
        assert (await producer.try_send("orders", b"v")).offset == 0
        with pytest.raises(MetadataNotReadyError):
            producer.try_send("orders", b"v", partition=5)


async def test_try_send_does_not_wait_for_memory() -> None:
    cluster = cluster_of()
    async with running(cluster, buffer_memory=1000) as producer:
        await producer.warm_up(["orders"])
        cluster.brokers[1].script.append(Conduct(delay=1))
        taken = [producer.try_send("orders", b"." * 100) for _ in range(3)]
        with pytest.raises(BufferExhaustedError):
            producer.try_send("orders", b"." * 100)
        await asyncio.gather(*taken)


async def test_send_and_wait_does_not_linger_and_takes_its_batch_along() -> None:
    cluster = cluster_of()
    async with running(cluster, linger_ms=10_000) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        started = now()
        lingering = producer.send("orders", b"0")
        metadata = await producer.send_and_wait("orders", b"1")
        assert metadata.offset == 1
        assert lingering.result().offset == 0
        assert now() - started < 0.1


async def test_flush_ends_the_linger_of_everything() -> None:
    cluster = cluster_of(3)
    async with running(cluster, linger_ms=10_000) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        sent = [producer.send("orders", b"v", partition=p) for p in range(3)]
        started = now()
        await producer.flush()
        assert all(delivery.done() for delivery in sent)
        assert now() - started < 0.1


async def test_records_sent_during_a_flush_do_not_linger_but_are_not_waited_for() -> None:
    cluster = cluster_of()
    async with running(cluster, linger_ms=10_000) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        cluster.brokers[1].script.extend([Conduct(delay=1), Conduct(delay=100)])
        first = producer.send("orders", b"0")
        flushing = asyncio.create_task(producer.flush())
        await asyncio.sleep(0.5)
        second = producer.send("orders", b"1")
        assert engine_of(producer).intake.queues()[0].open is None or (
            engine_of(producer).intake.queues()[0].open.sealed is Sealed.FLUSH
        )
        await flushing
        assert first.done()
        assert not second.done()
        second.cancel()
        await asyncio.sleep(200)


async def test_a_flush_waits_for_what_is_split_and_for_who_still_waits() -> None:
    cluster = cluster_of()
    cluster.topics["orders"].partitions[0].max_message_bytes = 200
    async with running(cluster, linger_ms=10) as producer:
        sent = [producer.send("orders", b"." * 50) for _ in range(20)]
        await producer.flush()
        assert all(delivery.done() for delivery in sent)
        assert len(values_of(cluster, "orders")) == 20


async def test_a_topic_may_be_a_member_of_an_enumeration() -> None:
    class Topic(str, enum.Enum):  # noqa: UP042 - its str() is not its value
        ORDERS = "orders"

    cluster = cluster_of()
    async with running(cluster) as producer:
        first, second = await asyncio.gather(
            producer.send(Topic.ORDERS, b"a"), producer.send(Topic.ORDERS, b"b")
        )
        await producer.warm_up([Topic.ORDERS])
        assert (first.topic, type(first.topic)) == ("orders", str)
        assert second.offset == 1
        assert len(await producer.partitions_for(Topic.ORDERS)) == 1
        assert producer.partition_for(Topic.ORDERS, b"k") == 0


class Unencodable:
    """Adds a header that nothing can encode, past what would refuse it."""

    def __init__(self, later: bool) -> None:
        self.later = later

    def serialize(self, value: bytes, context: SerializationContext) -> Any:
        if not value.startswith(b"good"):
            nonsense: Any = "no bytes"
            context.added.append(("h", nonsense))
        return self._answer(value) if self.later else value

    async def _answer(self, value: bytes) -> bytes:
        return value


@pytest.mark.parametrize(
    ("later", "before"),
    [(False, []), (True, []), (False, [b"good"]), (False, [b"good" + bytes(300)])],
)
async def test_a_record_that_cannot_be_encoded_leaves_all_as_it_was(
    later: bool, before: list[bytes]
) -> None:
    """Whether it needed a new batch, had room in the open one, or that one was full."""
    cluster = cluster_of()
    serializer = Unencodable(later)
    async with running(
        cluster, linger_ms=60_000, batch_size=350, value_serializer=serializer
    ) as producer:
        await producer.warm_up(["orders"])
        engine = engine_of(producer)
        sent = [producer.send("orders", value) for value in before]
        queue = engine.intake.queues()[0]
        known = (queue.open, queue.next_order, engine.budget.held, list(engine.ledger.unsettled))
        for _ in range(3):
            with pytest.raises((TypeError, ProducerError)):
                await producer.send("orders", b"bad" + bytes(30))
        found = (queue.open, queue.next_order, engine.budget.held, list(engine.ledger.unsettled))
        assert found == known
        assert (list(queue.waiting), queue.on_wire, engine.budget.waiting) == ([], [], 0)
        sent.append(producer.send("orders", b"good too"))
        await producer.flush()
        assert [delivery.result().offset for delivery in sent] == list(range(len(sent)))
    assert values_of(cluster, "orders") == [*before, b"good too"]
