"""The loads of the probes: each sends for a while and has seen every acknowledgement by its end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

from aioproducer import AsyncProducer, Delivery
from benchmarks.job import Job, Measurement
from benchmarks.payload import make_values
from benchmarks.stopwatch import Stopwatch

Place = tuple[str, int]
"""A topic and a partition."""

_TURN_SECONDS = 0.001


def places(job: Job) -> list[Place]:
    """Return every partition of every topic, one partition of each topic after another."""
    return [(topic, index) for index in range(job.partitions) for topic in job.topic_names]


class Meter(Protocol):
    """What measures something besides while the load runs."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Load:
    """Sends to partitions that it names itself.

    ``job.parameters`` choose how: with ``run``, so many records to each partition in a row, and to
    every partition at least once, however long that takes; with ``tasks``, so many tasks that await
    every record, a hundred to a partition; with ``queued``, so many records before the first is
    awaited. ``rate`` bounds the records per second.
    """

    def __init__(self, producer: AsyncProducer[Any, Any], job: Job) -> None:
        self._producer = producer
        self._job = job
        self._values = itertools.cycle(make_values(job.value_size))
        self._places = places(job)
        self._is_over = False

    async def measure(self, meter: Meter | None = None) -> Measurement:
        """Warm up and send; return the figures of what was acknowledged after the warm-up.

        ``meter`` is started and stopped with the time that counts.
        """
        await self._producer.warm_up(self._job.topic_names)
        if "tasks" in self._job.parameters:
            return await self._measure_tasks(meter)
        # Each partition's first batch, which may have to travel alone.
        pairs = zip(self._places, self._values, strict=False)
        sent = await self._window(((place, value) for place, value in pairs), float("inf"))
        sent += await self._pump(self._job.warm_up)
        watch = Stopwatch()
        if meter is not None:
            meter.start()
        try:
            records = await self._pump(self._job.seconds)
        finally:
            if meter is not None:
                meter.stop()
        wall, cpu = watch.read()
        return Measurement(records=records, seconds=wall, cpu_seconds=cpu, sent=sent + records)

    async def _pump(self, seconds: float) -> int:
        """Send for so long; return the number of records."""
        chosen = self._job.parameters
        end = time.perf_counter() + seconds
        if "queued" in chosen:
            return await self._queued(int(chosen["queued"]), end)
        if "rate" in chosen:
            return await self._paced(chosen["rate"], seconds)
        run = int(chosen.get("run", 1))
        at_least = run * len(self._places) if seconds == self._job.seconds else 0
        return await self._window(self._in_runs(run), end, at_least)

    def _in_runs(self, length: int) -> Iterator[tuple[Place, bytes]]:
        while True:
            for place in self._places:
                for value in islice(self._values, length):
                    yield place, value

    async def _window(
        self, records: Iterable[tuple[Place, bytes]], end: float, at_least: int = 0
    ) -> int:
        send, window = self._producer.send, self._job.window
        unawaited: deque[Delivery] = deque()
        count = 0
        for (topic, partition), value in records:
            unawaited.append(send(topic, value, partition=partition))
            count += 1
            if len(unawaited) > window:
                await unawaited.popleft()
            if count % 100 == 0 and count >= at_least and time.perf_counter() >= end:
                break
        for delivery in unawaited:
            await delivery
        return count

    async def _queued(self, burst: int, end: float) -> int:
        send = self._producer.send
        records = self._in_runs(100)
        count = 0
        while True:
            deliveries = deque(
                send(topic, value, partition=partition)
                for (topic, partition), value in islice(records, burst)
            )
            count += burst
            while deliveries:
                await deliveries.popleft()
            if time.perf_counter() >= end:
                return count

    async def _paced(self, rate: float, seconds: float) -> int:
        send = self._producer.send
        records = self._in_runs(1)
        unawaited: deque[Delivery] = deque()
        count, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds:
            due = int(passed * rate) - count
            for (topic, partition), value in islice(records, max(due, 0)):
                unawaited.append(send(topic, value, partition=partition))
                count += 1
            while unawaited and unawaited[0].done():
                unawaited.popleft().result()
            await asyncio.sleep(_TURN_SECONDS)
        for delivery in unawaited:
            await delivery
        return count

    async def _measure_tasks(self, meter: Meter | None) -> Measurement:
        """What is acknowledged between two moments, the tasks being there before and after."""
        number = int(self._job.parameters["tasks"])
        rate = self._job.parameters.get("rate")
        gate = _Gate(rate) if rate else None
        counts = [0] * number
        tasks = [
            asyncio.create_task(self._one(index, counts, gate), name=f"load {index}")
            for index in range(number)
        ]
        pacer = asyncio.create_task(gate.open_on_time()) if gate else None
        # Until each has had its turn a few times.
        while min(counts) < (1 if gate else 3):  # noqa: ASYNC110 - an event would cost the tasks
            await asyncio.sleep(self._job.warm_up)
        watch, before = Stopwatch(), sum(counts)
        if meter is not None:
            meter.start()
        await asyncio.sleep(self._job.seconds)
        if meter is not None:
            meter.stop()
        (wall, cpu), records = watch.read(), sum(counts) - before
        self._is_over = True
        if gate is not None and pacer is not None:
            gate.is_over = True
            await pacer
        await asyncio.gather(*tasks)
        return Measurement(records=records, seconds=wall, cpu_seconds=cpu, sent=sum(counts))

    async def _one(self, index: int, counts: list[int], gate: _Gate | None) -> None:
        send, value = self._producer.send, next(self._values)
        topic, partition = self._places[index // 100 % len(self._places)]
        while not self._is_over:
            if gate is not None:
                await gate.wait()
            await send(topic, value, partition=partition)
            counts[index] += 1


class _Gate:
    """Lets tasks through one after another, at a rate; all of them when it is over."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.is_over = False

    async def wait(self) -> None:
        if not self.is_over:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    async def open_on_time(self) -> None:
        started, let = time.perf_counter(), 0
        while not self.is_over:
            due = int((time.perf_counter() - started) * self._rate)
            while let < due and self._waiting:
                self._waiting.popleft().set_result(None)
                let += 1
            let = due
            await asyncio.sleep(_TURN_SECONDS)
        while self._waiting:
            self._waiting.popleft().set_result(None)
