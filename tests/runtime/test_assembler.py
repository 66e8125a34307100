"""One coroutine per active partition seals its batches: full, lingered, flushed or expedited."""

from __future__ import annotations

import asyncio

from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.topic_queues import TopicQueues
from aioproducer.delivery import Fate
from aioproducer.runtime.assembler import BatchAssembler
from tests.fake_broker import FakeCluster
from tests.runtime.world import engine_of, now, produced, running, virtual_loop


class Partition:
    """A queue with its assembler, and what the assembler said."""

    def __init__(self, *, linger: float = 5.0, idle: float = 30.0) -> None:
        self.queue = PartitionQueue(TopicQueues("orders", adaptive=True), 0, None)
        self.ready: list[tuple[float, Batch | None]] = []
        self.idle_at: list[float] = []
        self.assembler = BatchAssembler(
            self.queue,
            linger=linger,
            idle=idle,
            on_ready=lambda queue: self.ready.append((now(), queue.open)),
            on_idle=lambda _: self.idle_at.append(now()),
        )
        self.task = asyncio.create_task(self.assembler.run())

    def open(self) -> Batch:
        batch = Batch(
            "orders",
            0,
            Fate(asyncio.get_running_loop(), "orders", 0),
            order=self.queue.new_order(),
            created=now(),
            opened=now(),
            limit=100,
            base_timestamp=0,
        )
        self.queue.open = batch
        self.assembler.opened()
        return batch

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_a_batch_is_sealed_when_linger_is_over() -> None:
    partition = Partition(linger=3600.0)
    await asyncio.sleep(0)
    started = now()
    batch = partition.open()
    await asyncio.sleep(3599.9)
    assert not batch.is_ready
    await asyncio.sleep(0.2)
    assert batch.sealed is Sealed.LINGER
    assert partition.ready[0][0] - started == 3600.0
    await partition.end()


async def test_a_sealed_batch_stays_open_and_grows_until_it_leaves() -> None:
    partition = Partition()
    await asyncio.sleep(0)
    batch = partition.open()
    await asyncio.sleep(6)
    assert partition.queue.open is batch
    assert not batch.closed
    await partition.end()


async def test_the_timer_of_a_full_batch_leaves_the_next_one_alone() -> None:
    """The batch fills in the very turn in which its timer fires: the next has its own linger."""
    partition = Partition()
    await asyncio.sleep(0)
    started = now()
    first = partition.open()

    def fill() -> None:
        partition.queue.close_open(Sealed.SIZE)
        partition.open()

    virtual_loop().call_at(started + 5.0, fill)
    await asyncio.sleep(5.0)
    second = partition.queue.open
    assert second is not None
    assert second is not first
    await asyncio.sleep(4.9)
    assert not second.is_ready
    await asyncio.sleep(0.2)
    assert second.sealed is Sealed.LINGER
    assert partition.ready[-1][0] == started + 10.0
    await partition.end()


async def test_a_batch_that_fills_just_before_its_timer_leaves_the_next_one_alone() -> None:
    partition = Partition()
    await asyncio.sleep(0)
    started = now()
    partition.open()
    await asyncio.sleep(4.999)
    partition.queue.close_open(Sealed.SIZE)
    second = partition.open()
    await asyncio.sleep(4.999)
    assert not second.is_ready
    await asyncio.sleep(0.01)
    assert partition.ready == [(started + 9.999, second)]
    await partition.end()


async def test_sealing_by_hand_ends_the_linger_at_once_and_once() -> None:
    partition = Partition()
    await asyncio.sleep(0)
    batch = partition.open()
    partition.assembler.seal(batch, Sealed.FLUSH)
    partition.assembler.seal(batch, Sealed.EXPEDITE)
    await asyncio.sleep(10)
    assert batch.sealed is Sealed.FLUSH
    assert len(partition.ready) == 1
    await partition.end()


async def test_it_ends_when_the_partition_has_been_idle() -> None:
    partition = Partition(idle=30.0)
    await asyncio.sleep(0)
    partition.open()
    await asyncio.sleep(5.5)
    partition.queue.close_open(Sealed.LINGER)
    await asyncio.wait([partition.task])
    assert partition.task.exception() is None
    assert len(partition.idle_at) == 1
    assert not virtual_loop().pending_timers()


async def test_it_does_not_end_while_a_batch_is_open() -> None:
    """A batch that waits for its broker is not idleness."""
    partition = Partition(idle=30.0)
    await asyncio.sleep(0)
    partition.open()
    await asyncio.sleep(100)
    assert not partition.task.done()
    await partition.end()


async def test_idle_partitions_have_no_task_and_wake_up_again() -> None:
    cluster = FakeCluster()
    cluster.add_topic("orders", 3)
    async with running(cluster, linger_ms=5) as producer:
        await producer.warm_up(["orders"])
        await producer.send("orders", b"one", partition=2)
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert {name for name in names if "assembler" in name} == {
            f"{producer.client_id}:assembler-orders-2"
        }
        await asyncio.sleep(60)
        assert not [t for t in asyncio.all_tasks() if "assembler" in t.get_name()]
        await producer.send("orders", b"two", partition=2)
    assert cluster.topics["orders"].partitions[2].values == [b"one", b"two"]


async def test_linger_gathers_records_into_one_batch() -> None:
    cluster = FakeCluster()
    cluster.add_topic("orders")
    async with running(cluster, linger_ms=50) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        started = now()
        deliveries = []
        for number in range(5):
            deliveries.append(producer.send("orders", b"%d" % number))
            await asyncio.sleep(0.009)
        await asyncio.gather(*deliveries)
        assert 0.05 <= now() - started < 0.06
    assert produced(cluster.brokers[1]) == [[b"0", b"1", b"2", b"3", b"4"]]


async def test_the_next_batch_lingers_in_full_after_one_that_filled() -> None:
    cluster = FakeCluster()
    cluster.add_topic("orders")
    async with running(cluster, linger_ms=50, batch_size=150) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        await producer.send("orders", b"known")
        started = now()
        first = [producer.send("orders", b"." * 30) for _ in range(2)]
        await asyncio.sleep(0.0499)
        last = producer.send("orders", b"." * 40)
        await asyncio.gather(*first)
        assert now() - started < 0.06
        await last
        assert now() - started >= 0.0999


async def test_no_assembler_is_needed_without_linger() -> None:
    cluster = FakeCluster()
    cluster.add_topic("orders")
    async with running(cluster, linger_ms=0) as producer:
        await producer.send("orders", b"one")
        assert all(q.assembler is None for q in engine_of(producer).intake.queues())
