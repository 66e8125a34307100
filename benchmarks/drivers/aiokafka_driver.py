"""aiokafka: ``send()`` is a coroutine that returns a future."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks.drivers.base import RECORDS_PER_LOOK, AsyncDriver
from benchmarks.payload import Pairs


class AiokafkaDriver(AsyncDriver):
    async def open(self) -> None:
        job = self.job
        settings: dict[str, Any] = {}
        if job.batch_size is not None:
            settings["max_batch_size"] = job.batch_size
        self._producer = AIOKafkaProducer(
            bootstrap_servers=job.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=job.linger_ms,
            compression_type=None if job.compression == "none" else job.compression,
            **settings,
        )
        await self._producer.start()
        await self._producer.partitions_for(job.topic)

    async def close(self) -> None:
        await self._producer.stop()

    async def pump(self, pairs: Pairs, seconds: float) -> int:
        send, topic, window = self._producer.send, self.job.topic, self.job.window
        unawaited: deque[asyncio.Future[Any]] = deque()
        count = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, value in islice(pairs, RECORDS_PER_LOOK):
                unawaited.append(await send(topic, value, key=key))
                if len(unawaited) > window:
                    await unawaited.popleft()
            count += RECORDS_PER_LOOK
        for future in unawaited:
            await future
        return count

    async def send(self, key: bytes | None, value: bytes) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = await self._producer.send(self.job.topic, value, key=key)
        return future
