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
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory
from tests.torture import moves

pytestmark = pytest.mark.timeout(900)

PARTITIONS = 6
PATIENT: dict[str, Any] = {"delivery_timeout_ms": 300_000, "max_block_ms": 300_000}
"""Longer than brokers take to come back, however slow the machine: nothing may fail."""


@dataclass(slots=True)
class Load:
    """A stream of numbered records, some every few milliseconds, until it is stopped."""

    producer: AsyncProducer[bytes, bytes]
    topic: str
    deliveries: list[Delivery] = field(default_factory=list)
    stopped: bool = False

    async def run(self) -> None:
        try:
            while not self.stopped:
                for _ in range(20):
                    self._send(len(self.deliveries))
                await self.producer.drain()
                # The brokers have to share the machine with it.
                await asyncio.sleep(0.02)
        finally:
            self.stopped = True

    def _send(self, number: int) -> None:
        self.deliveries.append(
            self.producer.send(self.topic, b"%d" % number, partition=number % PARTITIONS)
        )

    async def goes_on(self, records: int = 200) -> None:
        """Return when some more were sent."""
        enough = len(self.deliveries) + records
        while len(self.deliveries) < enough and not self.stopped:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def under_load(producer: AsyncProducer[bytes, bytes], topic: str) -> AsyncIterator[Load]:
    load = Load(producer, topic)
    running = asyncio.create_task(load.run())
    try:
        await load.goes_on()
        yield load
        await load.goes_on()
    finally:
        load.stopped = True
        await running


async def check_once_in_order(bootstrap: str, load: Load) -> None:
    """Every future resolved with the truth; every record there once, in order."""
    outcomes = await asyncio.gather(*load.deliveries, return_exceptions=True)
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
        bootstrap, linger_ms=2, batch_size=2000, request_timeout_ms=5000, **PATIENT
    ) as producer:
        async with under_load(producer, name) as load:
            await asyncio.to_thread(getattr(node_control, how), victim)
            await load.goes_on()
            await asyncio.to_thread(node_control.restart, victim)
        await producer.flush()
    await check_once_in_order(bootstrap, load)


async def test_a_frozen_broker_delays_its_partitions_and_no_others(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """Its sockets stay open and nothing answers: the others go on, it catches up."""
    # One replica each: the others need not wait for it, and nobody takes its place.
    name = topic(PARTITIONS, replication=1)
    victim = node_control.node_ids[1]
    async with AsyncProducer(
        bootstrap, linger_ms=2, request_timeout_ms=3000, **PATIENT
    ) as producer:
        infos = await producer.partitions_for(name)
        await producer.warm_up([name])
        frozen = [info.partition for info in infos if info.leader == victim]
        alive = [info.partition for info in infos if info.leader not in (victim, None)]
        assert frozen and alive
        async with under_load(producer, name) as load:
            node_control.pause(victim)
            try:
                slow = [producer.send(name, b"-2", partition=partition) for partition in frozen]
                for _ in range(20):
                    await asyncio.gather(
                        *(producer.send(name, b"-2", partition=partition) for partition in alive)
                    )
                assert not any(delivery.done() for delivery in slow)
            finally:
                node_control.resume(victim)
            await asyncio.gather(*slow)
        await producer.flush()
    reads = await read_topic_async(bootstrap, name)
    for partition in range(PARTITIONS):
        mine = [int(r.value or b"") for r in reads if r.partition == partition]
        wanted = list(range(partition, len(load.deliveries), PARTITIONS))
        assert [n for n in mine if n != -2] == wanted
        assert mine.count(-2) == (partition in frozen) + 20 * (partition in alive)


async def test_a_healthy_partition_is_served_while_another_brokers_are_down(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """One replica each: what lives on the dead broker fails in time, the rest is not delayed."""
    name = topic(PARTITIONS, replication=1)
    async with AsyncProducer(
        bootstrap, linger_ms=0, delivery_timeout_ms=10_000, request_timeout_ms=3000
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
        await asyncio.gather(*healthy)
        await asyncio.wait(dead)
        assert 9.8 < time.monotonic() - started < 60
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
    async with AsyncProducer(bootstrap, linger_ms=2, request_timeout_ms=60_000) as producer:
        async with under_load(producer, name) as load:
            for _ in range(3):
                await asyncio.to_thread(moves.lead_elsewhere, bootstrap, name)
                started = time.monotonic()
                await producer.flush()
                longest = max(longest, time.monotonic() - started)
        await producer.flush()
    await check_once_in_order(bootstrap, load)
    # Nothing waited for the end of a request that nobody answers.
    assert longest < 45


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
    limits = {"delivery_timeout_ms": 5000, "request_timeout_ms": 1000, "max_block_ms": 4000}
    producer = AsyncProducer[bytes, bytes](bootstrap, linger_ms=5, **limits)  # type: ignore[arg-type]
    await producer.start()
    async with under_load(producer, name) as load:
        pass
    await producer.flush()
    assert loop.get_debug()
    # On a slow machine some of them may have been too late.
    late = sum(delivery.exception() is not None for delivery in load.deliveries)
    in_time = len(load.deliveries) - late

    await _end_all(node_control)
    started = time.monotonic()
    known = [producer.send(name, b"v", partition=n % PARTITIONS) for n in range(300)]
    unknown = [producer.send(f"{name}-unknown", b"v") for _ in range(20)]
    done, pending = await asyncio.wait([*known, *unknown], timeout=60)
    assert not pending
    assert all(isinstance(delivery.exception(), ProducerError) for delivery in done)
    assert all(isinstance(delivery.exception(), TimeoutError) for delivery in done)
    assert {d.exception().persisted for d in unknown} == {"no"}  # type: ignore[union-attr]

    started = time.monotonic()
    last = [producer.send(name, b"v") for _ in range(10)]
    await producer.flush()
    assert time.monotonic() - started < 60
    assert all(delivery.done() for delivery in last)

    hopeless = [producer.send(name, b"v") for _ in range(10)]
    started = time.monotonic()
    report = await producer.close(timeout=0.5)
    assert time.monotonic() - started < 30
    for delivery in hopeless:
        assert isinstance(delivery.exception(), ProducerClosedError)
    assert (report.delivered, report.failed, report.abandoned) == (in_time, late + 330, 10)
    assert asyncio.all_tasks() == before


@pytest.mark.usefixtures("strict")
async def test_a_producer_outlives_the_whole_cluster(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """All nodes end and return, on their old ports: what waited goes out, in order and once."""
    name = topic(PARTITIONS)
    async with AsyncProducer(
        bootstrap, linger_ms=2, request_timeout_ms=5000, **PATIENT
    ) as producer:
        async with under_load(producer, name) as load:
            await _end_all(node_control)
            await load.goes_on()
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
            await load.goes_on()
        await producer.flush()
        assert all(delivery.done() for delivery in load.deliveries)
    for delivery in load.deliveries:
        assert delivery.exception() is None or isinstance(delivery.exception(), ProducerError)
    await asyncio.to_thread(node_control.restore)
    reads = await read_topic_async(bootstrap, name)
    for partition in range(PARTITIONS):
        seen: dict[int, None] = {}
        for read in reads:
            if read.partition == partition:
                seen.setdefault(int(read.value or b""))
        assert list(seen) == sorted(seen)


async def test_a_producer_can_start_before_its_cluster(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """Records sent meanwhile go out once the brokers are there."""
    name = topic(PARTITIONS)
    await _end_all(node_control)
    async with AsyncProducer(bootstrap, **PATIENT) as producer:
        deliveries = [producer.send(name, b"%d" % n, partition=0) for n in range(100)]
        await asyncio.sleep(0.5)
        assert not any(delivery.done() for delivery in deliveries)
        await asyncio.to_thread(node_control.restore)
        found = await asyncio.gather(*deliveries)
    assert [metadata.offset for metadata in found] == list(range(100))
