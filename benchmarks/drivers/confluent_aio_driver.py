"""confluent-kafka's AIOProducer: ``produce()`` is a coroutine that returns a future."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import islice
from typing import Any

from confluent_kafka.aio import AIOProducer

from benchmarks.drivers.base import RECORDS_PER_LOOK, AsyncDriver
from benchmarks.drivers.librdkafka import settings
from benchmarks.payload import Pairs

# As constructed it buffers 1000 records or a second before it hands them to librdkafka, and serves
# delivery reports only then: nobody who cares for latency leaves it at that.
_BUFFER_FOR_LATENCY = 10
_POLL_SECONDS = 0.005


class ConfluentAioDriver(AsyncDriver):
    async def open(self) -> None:
        self._poller: asyncio.Task[None] | None = None
        if self.job.kind == "latency":
            self._producer = AIOProducer(settings(self.job), batch_size=_BUFFER_FOR_LATENCY)
            self._poller = asyncio.create_task(self._poll())
        else:
            self._producer = AIOProducer(settings(self.job))
        await self._producer.list_topics(self.job.topic, timeout=30)

    async def _poll(self) -> None:
        while True:
            await self._producer.poll(_POLL_SECONDS)

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])
        await self._producer.close()

    async def pump(self, pairs: Pairs, seconds: float) -> int:
        produce, topic, window = self._producer.produce, self.job.topic, self.job.window
        unawaited: deque[asyncio.Future[Any]] = deque()
        count = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, value in islice(pairs, RECORDS_PER_LOOK):
                unawaited.append(await produce(topic, value=value, key=key))
                if len(unawaited) > window:
                    await unawaited.popleft()
            count += RECORDS_PER_LOOK
        await self.flush()
        for future in unawaited:
            await future
        return count

    async def flush(self) -> None:
        await self._producer.flush()

    async def send(self, key: bytes | None, value: bytes) -> asyncio.Future[Any]:
        return await self._producer.produce(self.job.topic, value=value, key=key)
