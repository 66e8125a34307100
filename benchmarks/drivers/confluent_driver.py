"""confluent-kafka's synchronous producer: a delivery callback for each record."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from benchmarks.drivers.base import RECORDS_PER_LOOK, Driver
from benchmarks.drivers.librdkafka import settings
from benchmarks.job import Job
from benchmarks.pacing import Schedule
from benchmarks.payload import Pairs
from benchmarks.ticks import Ticks

_FLUSH_SECONDS = 60.0
_POLL_SECONDS = 0.1


class ConfluentDriver(Driver):
    """Blocks the loop of its worker, in which nothing else runs."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._acknowledged = 0

    async def open(self) -> None:
        self._producer = Producer(settings(self.job))
        self._producer.list_topics(self.job.topic, timeout=30)

    async def close(self) -> None:
        self._producer.flush(_FLUSH_SECONDS)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        self._acknowledged += 1

    async def pump(self, pairs: Pairs, seconds: float) -> int:
        produce, poll, delivered = self._producer.produce, self._producer.poll, self._delivered
        topic, room = self.job.topic, self.job.window - RECORDS_PER_LOOK
        count = 0
        self._acknowledged = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, value in islice(pairs, RECORDS_PER_LOOK):
                produce(topic, value, key, on_delivery=delivered)
            count += RECORDS_PER_LOOK
            poll(0)
            while count - self._acknowledged > room:
                poll(_POLL_SECONDS)
        self._flush(count)
        return count

    async def paced(
        self, schedule: Schedule, ticks: Ticks, pairs: Pairs, on_warm: Callable[[], None]
    ) -> list[float]:
        latencies: list[float] = []
        first = schedule.warm_up_records
        index = 0
        self._acknowledged = 0
        with self._served_by_thread():
            while index < schedule.total:
                ticks.wait()
                due = self.look(schedule, index)
                while index < due:
                    if index == first:
                        on_warm()
                    key, value = next(pairs)
                    counted = latencies if index >= first else None
                    callback = functools.partial(self._note, counted, schedule.intended_ns(index))
                    self._producer.produce(self.job.topic, value, key, on_delivery=callback)
                    index += 1
        self._flush(index)
        return latencies

    def _note(
        self,
        latencies: list[float] | None,
        intended_ns: int,
        error: KafkaError | None,
        message: Message,
    ) -> None:
        if latencies is not None:
            latencies.append((time.monotonic_ns() - intended_ns) / 1e6)
        self._delivered(error, message)

    @contextmanager
    def _served_by_thread(self) -> Iterator[None]:
        """Have callbacks called as soon as they are due, as services with this client do."""
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                self._producer.poll(_POLL_SECONDS)

        thread = threading.Thread(target=serve, name="poll")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _flush(self, count: int) -> None:
        left = self._producer.flush(_FLUSH_SECONDS)
        if left or self._acknowledged != count:
            raise RuntimeError(f"{self._acknowledged} of {count} records were acknowledged")
