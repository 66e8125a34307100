"""A service in virtual time, on a cluster in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aioproducer import AsyncProducer, ProducerError, Record
from aioproducer.integrations import ProducerLifespan
from tests.fake_broker import FakeCluster

Service = ProducerLifespan[bytes, bytes]


class Failed:
    """A failure hook that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[bytes | None, ProducerError]] = []

    def __call__(self, record: Record[Any, Any], error: ProducerError) -> None:
        self.told.append((record.value, error))

    @property
    def values(self) -> list[bytes | None]:
        return [value for value, _ in self.told]


def producer_on(cluster: FakeCluster, **options: Any) -> AsyncProducer[bytes, bytes]:
    options = {"max_block_ms": 2_000, "request_timeout_ms": 1_000, "linger_ms": 0, **options}
    options.setdefault("delivery_timeout_ms", 2_000)
    return AsyncProducer(cluster.bootstrap, **options)


@asynccontextmanager
async def service_on(
    cluster: FakeCluster, producer: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Service]:
    """Run a service; afterwards it must have left nothing behind."""
    service = ProducerLifespan(lambda: producer_on(cluster, **(producer or {})), **settings)
    async with service:
        yield service
    await asyncio.sleep(1)
    assert not cluster.open_sessions


def values_of(cluster: FakeCluster, topic: str = "orders") -> list[bytes | None]:
    return [value for part in cluster.topics[topic].partitions for value in part.values]


def stop_all(cluster: FakeCluster) -> None:
    for broker in cluster.brokers.values():
        broker.stop()


def start_all(cluster: FakeCluster) -> None:
    for broker in cluster.brokers.values():
        broker.start()
