"""The loads of the probes: each sends for a while and has seen every acknowledgement by its end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from aioproducer import AsyncProducer, Delivery
from benchmarks.job import Job
from benchmarks.payload import make_values

Place = tuple[str, int]
"""A topic and a partition."""

_TURN_SECONDS = 0.001


def places(job: Job) -> list[Place]:
    """Return every partition of every topic, one partition of each topic after another."""
    return [(topic, index) for index in range(job.partitions) for topic in job.topic_names]


class Load:
    """Sends to partitions that it names itself.

    ``job.parameters`` choose how: with ``run``, so many records to each partition in a row; with
    ``tasks``, so many tasks that await every record, a hundred to a partition; with ``queued``, so
    many records before the first is awaited. ``rate`` bounds the records per second.
    """

    def __init__(self, producer: AsyncProducer[Any, Any], job: Job) -> None:
        self._producer = producer
        self._job = job
        self._values = itertools.cycle(make_values(job.value_size))
        self._places = places(job)

    async def warm_up(self) -> None:
        """Send to each partition once, then what the load does for a while."""
        await self._producer.warm_up(self._job.topic_names)
        self.warmed = await self._window(
            ((place, value) for place, value in zip(self._places, self._values, strict=False)),
            float("inf"),
        )
        self.warmed += await self.pump(self._job.warm_up)

    async def pump(self, seconds: float) -> int:
        """Send for so long; return the number of records."""
        chosen = self._job.parameters
        end = time.perf_counter() + seconds
        if "tasks" in chosen:
            return await self._tasks(int(chosen["tasks"]), end, chosen.get("rate"))
        if "queued" in chosen:
            return await self._queued(int(chosen["queued"]), end)
        if "rate" in chosen:
            return await self._paced(chosen["rate"], seconds)
        return await self._window(self._in_runs(int(chosen.get("run", 1))), end)

    def _in_runs(self, length: int) -> Iterator[tuple[Place, bytes]]:
        while True:
            for place in self._places:
                for value in islice(self._values, length):
                    yield place, value

    async def _window(self, records: Iterable[tuple[Place, bytes]], end: float) -> int:
        send, window = self._producer.send, self._job.window
        unawaited: deque[Delivery] = deque()
        count = 0
        for (topic, partition), value in records:
            unawaited.append(send(topic, value, partition=partition))
            count += 1
            if len(unawaited) > window:
                await unawaited.popleft()
            if count % 100 == 0 and time.perf_counter() >= end:
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

    async def _tasks(self, number: int, end: float, rate: float | None) -> int:
        send, value = self._producer.send, next(self._values)
        gate = _Gate(rate, end)
        pacer = asyncio.create_task(gate.open_on_time()) if rate else None
        counts = [0] * number

        async def one(index: int) -> None:
            topic, partition = self._places[index // 100 % len(self._places)]
            while time.perf_counter() < end:
                if pacer is not None:
                    await gate.wait()
                await send(topic, value, partition=partition)
                counts[index] += 1

        await asyncio.gather(*(one(index) for index in range(number)))
        if pacer is not None:
            await pacer
        return sum(counts)


class _Gate:
    """Lets tasks through one after another, at a rate; all of them when the time is up."""

    def __init__(self, rate: float | None, end: float) -> None:
        self._rate = rate or 0.0
        self._end = end
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_over = False

    async def wait(self) -> None:
        if not self._is_over:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    async def open_on_time(self) -> None:
        started, let = time.perf_counter(), 0
        while (now := time.perf_counter()) < self._end:
            due = int((now - started) * self._rate)
            while let < due and self._waiting:
                self._waiting.popleft().set_result(None)
                let += 1
            let = due
            await asyncio.sleep(_TURN_SECONDS)
        self._is_over = True
        while self._waiting:
            self._waiting.popleft().set_result(None)
