"""What every driver can do, and the open-loop run that the asyncio clients share."""

from __future__ import annotations

import asyncio
import functools
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from benchmarks.job import Job
from benchmarks.pacing import Schedule
from benchmarks.payload import Pairs
from benchmarks.ticks import Ticks

RECORDS_PER_LOOK = 100
"""A throughput run looks at the clock once per so many records."""


class Driver(ABC):
    """One client under measurement.

    ``pump`` is written out for each client in that client's own idiom: a common wrapper around
    ``send`` would cost as much as the fastest of them.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.call_delays: list[float] = []
        """How long after it was due each tick's first record was sent, in milliseconds."""

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    @abstractmethod
    async def pump(self, pairs: Pairs, seconds: float) -> int:
        """Send as fast as can be with at most ``job.window`` un-awaited; return the count.

        Every acknowledgement has been looked at when this returns. Raises the first failure.
        """

    def look(self, schedule: Schedule, index: int) -> int:
        """Return how many records are due, ``index`` having been sent; note how late that is."""
        now = time.monotonic_ns()
        due = schedule.due(now)
        if schedule.warm_up_records <= index < due:
            self.call_delays.append((now - schedule.intended_ns(index)) / 1e6)
        return due

    @abstractmethod
    async def paced(
        self, schedule: Schedule, ticks: Ticks, pairs: Pairs, on_warm: Callable[[], None]
    ) -> list[float]:
        """Send on schedule; return the latencies after the warm-up, in milliseconds.

        ``on_warm`` is called when the first record that counts is due.
        """


class Acknowledgement(Protocol):
    """A future of any client."""

    def done(self) -> bool: ...

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None: ...

    def result(self) -> object: ...

    def __await__(self) -> Any: ...


class AsyncDriver(Driver):
    """A client whose ``send`` gives a future that the loop completes."""

    @abstractmethod
    async def send(self, key: bytes | None, value: bytes) -> Acknowledgement:
        """Hand over one record and return the future of its acknowledgement."""

    async def flush(self) -> None:
        """Have what is buffered sent, for clients that would wait otherwise."""

    async def paced(
        self, schedule: Schedule, ticks: Ticks, pairs: Pairs, on_warm: Callable[[], None]
    ) -> list[float]:
        latencies: list[float] = []
        unawaited: deque[Acknowledgement] = deque()
        first = schedule.warm_up_records
        index = 0
        while index < schedule.total:
            await ticks.next()
            due = self.look(schedule, index)
            while index < due:
                if index == first:
                    on_warm()
                key, value = next(pairs)
                intended = schedule.intended_ns(index)
                future = await self.send(key, value)
                if index >= first:
                    future.add_done_callback(functools.partial(_note, latencies, intended))
                unawaited.append(future)
                index += 1
            # As it goes: looking at all of them in the end would hold up the last ones.
            while unawaited and unawaited[0].done():
                unawaited.popleft().result()
        await self.flush()
        for future in unawaited:
            await future
        # Done, but the loop may still have to call the callbacks of the last ones.
        await asyncio.sleep(0)
        return latencies


def _note(latencies: list[float], intended_ns: int, future: Acknowledgement) -> None:
    latencies.append((time.monotonic_ns() - intended_ns) / 1e6)
