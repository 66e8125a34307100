"""kafka-python: ``send()`` returns a future of its own kind, completed by its thread."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from kafka import KafkaProducer

from benchmarks.drivers.base import RECORDS_PER_LOOK, Driver
from benchmarks.pacing import Schedule
from benchmarks.payload import Pairs
from benchmarks.ticks import Ticks

_PATIENCE_SECONDS = 60.0


class KafkaPythonDriver(Driver):
    """Blocks the loop of its worker, in which nothing else runs."""

    async def open(self) -> None:
        job = self.job
        settings: dict[str, Any] = {}
        if job.batch_size is not None:
            settings["batch_size"] = job.batch_size
        self._producer = KafkaProducer(
            bootstrap_servers=job.bootstrap_servers.split(","),
            acks="all",
            enable_idempotence=True,
            linger_ms=job.linger_ms,
            compression_type=None if job.compression == "none" else job.compression,
            **settings,
        )
        self._producer.partitions_for(job.topic)

    async def close(self) -> None:
        self._producer.close()

    async def pump(self, pairs: Pairs, seconds: float) -> int:
        send, topic, window = self._producer.send, self.job.topic, self.job.window
        unawaited: deque[Any] = deque()
        count = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, value in islice(pairs, RECORDS_PER_LOOK):
                unawaited.append(send(topic, value, key))
                if len(unawaited) > window:
                    unawaited.popleft().get(_PATIENCE_SECONDS)
            count += RECORDS_PER_LOOK
        self._producer.flush(_PATIENCE_SECONDS)
        for future in unawaited:
            future.get(_PATIENCE_SECONDS)
        return count

    async def paced(
        self, schedule: Schedule, ticks: Ticks, pairs: Pairs, on_warm: Callable[[], None]
    ) -> list[float]:
        latencies: list[float] = []
        futures: deque[Any] = deque()
        first = schedule.warm_up_records
        index = 0
        while index < schedule.total:
            ticks.wait()
            due = self.look(schedule, index)
            while index < due:
                if index == first:
                    on_warm()
                key, value = next(pairs)
                future = self._producer.send(self.job.topic, value, key)
                if index >= first:
                    future.add_callback(
                        functools.partial(_note, latencies, schedule.intended_ns(index))
                    )
                futures.append(future)
                index += 1
            while futures and futures[0].is_done:
                futures.popleft().get(0)
        self._producer.flush(_PATIENCE_SECONDS)
        for future in futures:
            future.get(_PATIENCE_SECONDS)
        return latencies


def _note(latencies: list[float], intended_ns: int, _metadata: object) -> None:
    latencies.append((time.monotonic_ns() - intended_ns) / 1e6)
