"""aioproducer: ``send()`` is a plain call."""

from __future__ import annotations

import time
from collections import deque
from itertools import islice

from aioproducer import AsyncProducer, Delivery
from benchmarks.drivers.base import RECORDS_PER_LOOK, AsyncDriver
from benchmarks.job import Job
from benchmarks.payload import Pairs


def settings(job: Job) -> dict[str, object]:
    """Return the configuration for ``job`` by Kafka's names; a profile chooses by itself."""
    if "profile" in job.options:
        return dict(job.options)
    chosen: dict[str, object] = {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": job.linger_ms,
        "compression.type": job.compression,
        **job.options,
    }
    if job.batch_size is not None:
        chosen["batch.size"] = job.batch_size
    return chosen


class AioproducerDriver(AsyncDriver):
    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._producer = AsyncProducer(job.bootstrap_servers, config=settings(job))

    async def open(self) -> None:
        await self._producer.start()
        await self._producer.warm_up([self.job.topic])

    async def close(self) -> None:
        await self._producer.close()

    async def pump(self, pairs: Pairs, seconds: float) -> int:
        send, topic, window = self._producer.send, self.job.topic, self.job.window
        unawaited: deque[Delivery] = deque()
        count = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, value in islice(pairs, RECORDS_PER_LOOK):
                unawaited.append(send(topic, value, key=key))
                if len(unawaited) > window:
                    await unawaited.popleft()
            count += RECORDS_PER_LOOK
        for delivery in unawaited:
            await delivery
        return count

    async def send(self, key: bytes | None, value: bytes) -> Delivery:
        return self._producer.send(self.job.topic, value, key=key)
