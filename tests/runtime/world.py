"""A producer in virtual time with a cluster in memory, and what its tests ask again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aioproducer import AsyncProducer
from aioproducer.runtime.engine import Engine
from aioproducer.wire.record_batch import decode_batches
from tests.broker_wire import Request
from tests.fake_broker import FakeBroker, FakeCluster
from tests.virtual_clock import VirtualClockLoop


def virtual_loop() -> VirtualClockLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    return loop


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(cluster: FakeCluster, **options: Any) -> AsyncIterator[AsyncProducer[Any, Any]]:
    """Run a producer on ``cluster``; afterwards it must have left nothing behind."""
    loop = virtual_loop()
    loop.network = cluster
    options.setdefault("linger_ms", 0)
    bootstrap = options.pop("bootstrap", cluster.bootstrap)
    producer: AsyncProducer[Any, Any] = AsyncProducer(bootstrap, **options)
    producer._rng.seed(1)
    await producer.start()
    engine = engine_of(producer)
    try:
        yield producer
    finally:
        await producer.close()
        assert (engine.budget.held, engine.budget.waiting) == (0, 0)
        # The brokers' own timers come to their end.
        await asyncio.sleep(1)
        assert not cluster.open_sessions


def engine_of(producer: AsyncProducer[Any, Any]) -> Engine:
    assert producer._engine is not None
    return producer._engine


def values_of(cluster: FakeCluster, topic: str, partition: int = 0) -> list[bytes | None]:
    return cluster.topics[topic].partitions[partition].values


def produced(broker: FakeBroker) -> list[list[bytes | None]]:
    """Return the values of each produce request the broker worked on, in order."""
    return [values_in(request) for _, request in broker.produce_requests()]


def values_in(request: Request) -> list[bytes | None]:
    return [
        record.value
        for batch in request.body.batches
        for decoded in decode_batches(batch.records)
        for record in decoded.records
    ]


async def outcomes(deliveries: list[Any]) -> list[Any]:
    """Return each delivery's metadata or error."""
    return await asyncio.gather(*deliveries, return_exceptions=True)
