"""A cluster that refuses some records, and a producer whose letters have a topic there."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aioproducer import AsyncProducer
from aioproducer.patterns import DeadLetter, DeadLetters, spool
from aioproducer.wire.record_batch import DecodedRecord
from tests.fake_broker import FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import virtual_loop

Letters = DeadLetters[Any, Any]
TOPIC_AUTHORIZATION_FAILED = 29
INVALID_RECORD = 87

OPTIONS: dict[str, Any] = {
    "linger_ms": 5,
    "delivery_timeout_ms": 2_000,
    "request_timeout_ms": 1_000,
    "max_block_ms": 2_000,
    "retry_backoff_ms": 50,
    "reconnect_backoff_max_ms": 100,
}


class World:
    """A cluster that refuses what is sent to the topic "bad"; its letters have a topic."""

    def __init__(self, *dead: str) -> None:
        self.cluster = FakeCluster(latency=lambda: 0.01)
        for name in ("good", "bad", *(dead or ("bad.dead-letters",))):
            self.cluster.add_topic(name, 1)
        self.refused = {"bad"}
        self.cluster.choose = self._choose
        virtual_loop().network = self.cluster

    def _choose(self, broker: object, partition: object) -> Verb | None:
        for name in self.refused:
            if partition in self.cluster.topics[name].partitions:
                return Verb(code=TOPIC_AUTHORIZATION_FAILED)
        return None

    def records(self, topic: str = "bad.dead-letters") -> list[DecodedRecord]:
        (partition,) = self.cluster.topics[topic].partitions
        return [
            record
            for stored in partition.stored
            for batch in [stored.batch]
            for record in batch.records
        ]

    def producer(self, **options: Any) -> AsyncProducer[Any, Any]:
        return AsyncProducer(self.cluster.bootstrap, **{**OPTIONS, **options})

    @asynccontextmanager
    async def letters(
        self, options: dict[str, Any] | None = None, **more: Any
    ) -> AsyncIterator[Letters]:
        async with DeadLetters(self.producer(**(options or {})), **more) as letters:
            yield letters
        assert letters.pending == 0
        await asyncio.sleep(1)
        assert not self.cluster.open_sessions


def left_in(path: Path) -> list[DeadLetter]:
    return [each.letter for each in spool.read(path) if each.letter is not None]


def reports() -> list[str]:
    gc.collect()
    return [str(each["message"]) for each in virtual_loop().reported]
