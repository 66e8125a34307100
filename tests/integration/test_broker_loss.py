"""Brokers die, freeze, come back and hand over: nothing is lost, repeated or reordered.

Three real nodes, on both event loops: what a lost connection looks like differs between them.
"""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    Delivery,
    ProducerClosedError,
    ProducerError,
    RecordMetadata,
)
from aioproducer.testing import NodeControl
from aioproducer.testing.admin import connect, partition_states
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory

PARTITIONS = 6


@dataclass(slots=True)
class Load:
    """A stream of numbered records, a hundred every few milliseconds, until it is stopped."""

    producer: AsyncProducer[bytes, bytes]
    topic: str
    deliveries: list[Delivery] = field(default_factory=list)
    stopped: bool = False

    async def run(self) -> None:
        number = 0
        while not self.stopped:
            for _ in range(50):
                self.deliveries.append(
                    self.producer.send(self.topic, b"%d" % number, partition=number % PARTITIONS)
                )
                number += 1
            await self.producer.drain()
            await asyncio.sleep(0.01)


@asynccontextmanager
async def under_load(producer: AsyncProducer[bytes, bytes], topic: str) -> AsyncIterator[Load]:
    load = Load(producer, topic)
    running = asyncio.create_task(load.run())
    try:
        await asyncio.sleep(0.3)
        yield load
        await asyncio.sleep(0.3)
    finally:
        load.stopped = True
        await running


async def check_once_in_order(bootstrap: str, load: Load) -> None:
    """Every future resolved with the truth; every record there once, in order."""
    outcomes = await asyncio.wait_for(
        asyncio.gather(*load.deliveries, return_exceptions=True), timeout=40
    )
    failed = [each for each in outcomes if not isinstance(each, RecordMetadata)]
    assert failed == [], failed[:3]
    reads = await read_topic_async(bootstrap, load.topic)
    for partition in range(PARTITIONS):
        mine = [read for read in reads if read.partition == partition]
        wanted = range(partition, len(load.deliveries), PARTITIONS)
        assert [int(read.value or b"-1") for read in mine] == list(wanted)
        for read, number in zip(mine, wanted, strict=True):
            told = outcomes[number]
            assert isinstance(told, RecordMetadata)
            # -1: an earlier attempt had delivered it, and the broker no longer knew where.
            assert told.offset in (read.offset, -1)
    assert len(reads) == len(load.deliveries)


@pytest.mark.parametrize("how", ["kill", "terminate"])
async def test_losing_a_broker_under_load_loses_repeats_and_reorders_nothing(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory, how: str
) -> None:
    """kill -9 or a graceful end, and the broker's return, while records stream."""
    name = topic(PARTITIONS)
    victim = node_control.node_ids[0]
    async with AsyncProducer(
        bootstrap, linger_ms=2, batch_size=2000, delivery_timeout_ms=30_000, request_timeout_ms=3000
    ) as producer:
        async with under_load(producer, name) as load:
            await asyncio.to_thread(getattr(node_control, how), victim)
            await asyncio.sleep(1)
            await asyncio.to_thread(node_control.restart, victim)
        await producer.flush()
    await check_once_in_order(bootstrap, load)


async def test_a_frozen_broker_delays_its_partitions_and_no_others(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """Its sockets stay open and nothing answers: the others go on, it catches up."""
    name = topic(PARTITIONS)
    victim = node_control.node_ids[1]
    async with AsyncProducer(
        bootstrap, linger_ms=2, delivery_timeout_ms=30_000, request_timeout_ms=3000
    ) as producer:
        infos = await producer.partitions_for(name)
        await producer.warm_up([name])
        async with under_load(producer, name) as load:
            node_control.pause(victim)
            alive = next(i.partition for i in infos if i.leader not in (victim, None))
            frozen = next(i.partition for i in infos if i.leader == victim)
            started = time.monotonic()
            slow = producer.send(name, b"-2", partition=frozen)
            await asyncio.sleep(0.6)
            assert not slow.done()
            node_control.resume(victim)
            await asyncio.wait_for(slow, 20)
            assert time.monotonic() - started < 20
        await producer.flush()
    reads = await read_topic_async(bootstrap, name)
    for partition in range(PARTITIONS):
        mine = [int(r.value or b"") for r in reads if r.partition == partition]
        wanted = list(range(partition, len(load.deliveries), PARTITIONS))
        assert [n for n in mine if n != -2] == wanted
        assert mine.count(-2) == (partition == frozen)
    assert alive != frozen


async def test_a_healthy_partition_is_served_while_another_brokers_are_down(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """One replica each: what lives on the dead broker fails in time, the rest is not delayed."""
    name = topic(PARTITIONS, replication=1)
    async with AsyncProducer(
        bootstrap, linger_ms=0, delivery_timeout_ms=6000, request_timeout_ms=1000
    ) as producer:
        infos = await producer.partitions_for(name)
        await producer.warm_up([name])
        victim = infos[0].leader
        assert victim is not None
        await asyncio.to_thread(node_control.kill, victim)
        started = time.monotonic()
        sent = {
            info.partition: producer.send(name, b"v", partition=info.partition) for info in infos
        }
        healthy = [sent[info.partition] for info in infos if info.leader != victim]
        dead = [sent[info.partition] for info in infos if info.leader == victim]
        assert healthy and dead
        await asyncio.wait_for(asyncio.gather(*healthy), 20)
        assert not any(delivery.done() for delivery in dead)
        await asyncio.wait(dead, timeout=40)
        assert 5.8 < time.monotonic() - started < 30
        for delivery in dead:
            error = delivery.exception()
            assert isinstance(error, ProducerError)
            assert isinstance(error, TimeoutError)


async def test_a_leader_that_moves_is_followed_at_once(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """Leadership is handed over while records stream: in order, once, without a long pause."""
    name = topic(PARTITIONS)
    longest = 0.0
    async with AsyncProducer(bootstrap, linger_ms=2, request_timeout_ms=10_000) as producer:
        async with under_load(producer, name) as load:
            for _ in range(3):
                await asyncio.to_thread(_move_leaders, bootstrap, name)
                started = time.monotonic()
                await producer.flush(timeout=20)
                longest = max(longest, time.monotonic() - started)
        await producer.flush()
    await check_once_in_order(bootstrap, load)
    assert longest < 9


def _move_leaders(bootstrap: str, topic: str) -> None:
    """Rotate the replicas of each partition and elect the new first ones."""
    from confluent_kafka import ElectionType, TopicPartition
    from confluent_kafka.admin import AdminClient

    before = [state.leader for state in partition_states(bootstrap)[topic]]
    client: AdminClient = connect(bootstrap)
    _rotate_replicas(bootstrap, topic)
    partitions = [TopicPartition(topic, index) for index in range(len(before))]
    client.elect_leaders(ElectionType.PREFERRED, partitions).result()
    deadline = time.monotonic() + 15
    while [state.leader for state in partition_states(bootstrap)[topic]] == before:
        assert time.monotonic() < deadline, "the leaders did not move"
        time.sleep(0.05)


def _rotate_replicas(bootstrap: str, topic: str) -> None:
    """Kafka's own tool costs a second of Java; kafka-python has the request."""
    from kafka import TopicPartition
    from kafka.admin import KafkaAdminClient

    states = partition_states(bootstrap)[topic]
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    try:
        admin.alter_partition_reassignments(
            {
                TopicPartition(topic, index): [*state.replicas[1:], state.replicas[0]]
                for index, state in enumerate(states)
            }
        )
    finally:
        admin.close()


# All brokers gone


async def _end_all(node_control: NodeControl) -> None:
    for node_id in node_control.node_ids:
        await asyncio.to_thread(node_control.kill, node_id)


@pytest.fixture
def strict() -> Any:
    """What is left unclosed is an error, found by a collection before the test ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.usefixtures("strict")
async def test_with_all_brokers_gone_everything_ends_within_its_bound(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """Every future by the delivery timeout, flush and close by theirs; no task, no socket left."""
    name = topic(PARTITIONS)
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    limits = {"delivery_timeout_ms": 2500, "request_timeout_ms": 1000, "max_block_ms": 1500}
    producer = AsyncProducer[bytes, bytes](bootstrap, linger_ms=5, **limits)  # type: ignore[arg-type]
    await producer.start()
    async with under_load(producer, name) as load:
        pass
    await producer.flush()
    assert loop.get_debug()
    sent_before = len(load.deliveries)
    assert all(delivery.exception() is None for delivery in load.deliveries)

    await _end_all(node_control)
    started = time.monotonic()
    known = [producer.send(name, b"v", partition=n % PARTITIONS) for n in range(300)]
    unknown = [producer.send(f"{name}-unknown", b"v") for _ in range(20)]
    done, pending = await asyncio.wait([*known, *unknown], timeout=30)
    assert not pending
    assert time.monotonic() - started < 20
    assert all(isinstance(delivery.exception(), ProducerError) for delivery in done)
    assert all(isinstance(delivery.exception(), TimeoutError) for delivery in done)
    assert {d.exception().persisted for d in unknown} == {"no"}  # type: ignore[union-attr]

    started = time.monotonic()
    last = [producer.send(name, b"v") for _ in range(10)]
    await producer.flush()
    assert time.monotonic() - started < 20
    assert all(delivery.done() for delivery in last)

    hopeless = [producer.send(name, b"v") for _ in range(10)]
    started = time.monotonic()
    report = await producer.close(timeout=0.5)
    assert time.monotonic() - started < 10
    for delivery in hopeless:
        assert isinstance(delivery.exception(), ProducerClosedError)
    assert (report.delivered, report.failed, report.abandoned) == (sent_before, 330, 10)
    assert asyncio.all_tasks() == before


@pytest.mark.usefixtures("strict")
async def test_a_producer_outlives_the_whole_cluster(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """All nodes end and return, on their old ports: what waited goes out, in order and once."""
    name = topic(PARTITIONS)
    async with AsyncProducer(
        bootstrap, linger_ms=2, delivery_timeout_ms=60_000, request_timeout_ms=3000
    ) as producer:
        async with under_load(producer, name) as load:
            await _end_all(node_control)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(node_control.restore)
        await producer.flush()
    await check_once_in_order(bootstrap, load)


@pytest.mark.parametrize("acks", [0, 1])
async def test_without_idempotence_every_future_resolves_all_the_same(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory, acks: int
) -> None:
    """Records may be lost or repeated then, but order of first arrival and bounds are kept."""
    name = topic(PARTITIONS)
    async with AsyncProducer(
        bootstrap, acks=acks, linger_ms=2, delivery_timeout_ms=15_000, request_timeout_ms=2000
    ) as producer:  # type: ignore[call-overload]
        async with under_load(producer, name) as load:
            await asyncio.to_thread(node_control.kill, node_control.node_ids[2])
            await asyncio.sleep(0.5)
        await producer.flush()
        assert all(delivery.done() for delivery in load.deliveries)
    for delivery in load.deliveries:
        assert delivery.exception() is None or isinstance(delivery.exception(), ProducerError)
    await asyncio.to_thread(node_control.restore)
    for partition in range(PARTITIONS):
        seen: dict[int, None] = {}
        for read in await read_topic_async(bootstrap, name):
            if read.partition == partition:
                seen.setdefault(int(read.value or b""))
        assert list(seen) == sorted(seen)


async def test_a_producer_can_start_before_its_cluster(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """Records sent meanwhile go out once the brokers are there."""
    name = topic(PARTITIONS)
    await _end_all(node_control)
    async with AsyncProducer(bootstrap, max_block_ms=40_000) as producer:
        deliveries = [producer.send(name, b"%d" % n, partition=0) for n in range(100)]
        await asyncio.sleep(0.5)
        assert not any(delivery.done() for delivery in deliveries)
        await asyncio.to_thread(node_control.restore)
        found = await asyncio.wait_for(asyncio.gather(*deliveries), 20)
    assert [metadata.offset for metadata in found] == list(range(100))
