"""One load on one producer in one process, measured record by record."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from aioproducer.cli.interruption import Interruption, close_hurried, finish_or_set, pause
from aioproducer.cli.pace import Pace
from aioproducer.cli.perf_clients import Client, OwnClient, make_client
from aioproducer.cli.perf_figures import Figures, Outcome

PATIENCE = 10.0
"""How many seconds Ctrl-C gives to what is on its way."""

_SHORTEST_PAUSE = 0.001
_DIFFERENT_ERRORS = 100
_LETTERS = bytes(65 + byte % 26 for byte in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfJob:
    """What a process has to do; plain values, so that it can be handed to another one."""

    topic: str
    settings: Mapping[str, object]
    records: int
    client: str = "aioproducer"
    throughput: float | None = None
    record_size: int | None = None
    payloads: tuple[bytes, ...] = ()
    first: int = 0
    step: int = 1
    warm_up: int = 0
    interval: float = 5.0
    transaction_seconds: float | None = None
    with_metrics: bool = False
    loop: str = "auto"

    def values(self) -> Iterator[bytes]:
        """Yield what is sent, without end: letters by chance, lines by chance, or numbers."""
        rng = random.Random()
        if self.record_size is not None:
            while True:
                yield rng.randbytes(self.record_size).translate(_LETTERS)
        if self.payloads:
            while True:
                yield rng.choice(self.payloads)
        number = self.first
        while True:
            yield b"%d" % number
            number += self.step


OnWindow = Callable[[Figures, bool], None]
"""Is called with the figures of each interval, and whether it is the first in steady state."""


@dataclass(slots=True)
class Stopwatch:
    """Counts acknowledgements; tells of each interval that is over."""

    interval: float
    on_window: OnWindow
    clock: Callable[[], float] = time.perf_counter
    total: Figures = field(default_factory=Figures)
    steady: Figures | None = None
    errors: Counter[str] = field(default_factory=Counter)
    _window: Figures = field(default_factory=Figures)
    _began: float = 0.0
    _steady_since: float = 0.0
    _window_began: float = 0.0
    _last: float = 0.0
    _told_steady: bool = False

    def begin(self) -> None:
        """Start the clock."""
        self._began = self._window_began = self._last = self.clock()

    def begin_steady(self) -> None:
        """Count what is sent from now on as steady state, too."""
        self.steady = Figures()
        self._steady_since = self.clock()

    def settle(self, size: int, sent_at: float, steady: bool, error: object) -> None:
        """Count a record whose fate is known."""
        now = self._last = self.clock()
        if error is not None:
            words = f"{type(error).__name__}: {error}"
            if words not in self.errors and len(self.errors) >= _DIFFERENT_ERRORS:
                words = f"{type(error).__name__}, in other words"
            self.errors[words] += 1
            return
        seconds = now - sent_at
        window = self._window
        window.latencies.add(seconds)
        window.bytes += size
        if steady and self.steady is not None:
            self.steady.latencies.add(seconds)
            self.steady.bytes += size
        if now - self._window_began >= self.interval:
            window.seconds = now - self._window_began
            first_steady = self.steady is not None and not self._told_steady
            self._told_steady = self._told_steady or first_steady
            self._window, self._window_began = Figures(), now
            self.total.merge(window)
            self.on_window(window, first_steady)

    def end(self) -> None:
        """Stop the clock at the last answer."""
        self.total.merge(self._window)
        self._window = Figures()
        self.total.seconds = self._last - self._began
        if self.steady is not None:
            self.steady.seconds = max(0.0, self._last - self._steady_since)


async def run_job(
    job: PerfJob,
    on_window: OnWindow,
    interruption: Interruption,
    ready: Callable[[], Awaitable[None]] | None = None,
) -> Outcome:
    """Send what the job says and return what came of it.

    Args:
        job: the load.
        on_window: is called with the figures of each interval.
        interruption: stops the sending, and cuts short the waiting for answers.
        ready: is awaited once the client is connected, before the clock starts.
    """
    client = make_client(job.client, job.settings, interruption.stop)
    watch = Stopwatch(job.interval, on_window)
    outcome = Outcome(client=client.name)
    try:
        await finish_or_set(client.open(job.topic), interruption.stop)
        if ready is not None:
            await finish_or_set(ready(), interruption.stop)
        watch.begin()
        if job.transaction_seconds is None:
            async for _ in _sent(job, client, watch, interruption):
                pass
        elif not interruption.stop.is_set():
            await _send_in_transactions(job, client, watch, interruption)
    finally:
        await close_hurried(client, interruption, PATIENCE)
        # The callbacks of the last deliveries run in the next turn.
        await asyncio.sleep(0)
    watch.end()
    outcome.total, outcome.steady, outcome.errors = watch.total, watch.steady, watch.errors
    outcome.interrupted = interruption.stop.is_set()
    if job.with_metrics:
        outcome.metrics = client.metrics()
    return outcome


async def _send_in_transactions(
    job: PerfJob, client: Client, watch: Stopwatch, interruption: Interruption
) -> None:
    """Send in one transaction after the other, each open for as long as the job says."""
    assert isinstance(client, OwnClient)
    assert job.transaction_seconds is not None
    producer = client.producer
    producer.begin_transaction()
    began = watch.clock()
    async for _ in _sent(job, client, watch, interruption):
        if watch.clock() - began >= job.transaction_seconds:
            await producer.commit_transaction()
            producer.begin_transaction()
            began = watch.clock()
    await finish_or_set(producer.commit_transaction(), interruption.leave)


async def _sent(
    job: PerfJob, client: Client, watch: Stopwatch, interruption: Interruption
) -> AsyncIterator[None]:
    """Send the records as fast as the job allows; yield after each of them."""
    clock, send, settle, topic = watch.clock, client.send, watch.settle, job.topic
    stop, values = interruption.stop, job.values()
    pace = Pace(job.throughput, None, clock())
    steady = False
    for number in range(job.records):
        if stop.is_set():
            return
        if number == job.warm_up and job.warm_up:
            steady = True
            watch.begin_steady()
        value = next(values)
        if not pace.is_free:
            seconds = pace.take(len(value), clock())
            if seconds >= _SHORTEST_PAUSE:
                await pause(seconds, stop)
        await send(topic, value, partial(settle, len(value), clock(), steady))
        yield None
