"""How much memory the process takes, and whether it grows."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from itertools import islice
from pathlib import Path

from aioproducer import AsyncProducer, BufferExhaustedError, Delivery
from benchmarks.drivers.aioproducer_driver import settings
from benchmarks.job import Job, Measurement
from benchmarks.payload import Pairs, make_pairs
from benchmarks.stopwatch import Stopwatch

_MB = 1e6
_SOAK_SAMPLES = 50
_LOOK = 100


def resident_bytes() -> int:
    """Return the resident set of this process; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return _status_bytes(status, "VmRSS")


def _status_bytes(status: str, name: str) -> int:
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


class Watcher:
    """Samples the resident set."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, int]] = []
        """(records so far, bytes)."""

    def look(self, count: int) -> None:
        self.samples.append((count, resident_bytes()))


def growth_per_million(samples: list[tuple[int, int]]) -> float:
    """Return by how many bytes a million records make it grow: a line through the later half."""
    later = samples[len(samples) // 2 :]
    if len(later) < 2:
        return 0.0
    mean_x = sum(x for x, _ in later) / len(later)
    mean_y = sum(y for _, y in later) / len(later)
    spread = sum((x - mean_x) ** 2 for x, _ in later)
    if not spread:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in later) / spread * 1e6


async def measure(job: Job) -> Measurement:
    """Send until the time, or ``parameters["records"]``, is over.

    A soak keeps a window of records un-awaited; else ``buffer.memory`` is filled to the brim again
    and again without a turn for the loop, which is the most that a producer is asked to hold.
    """
    pairs = make_pairs(job.value_size, job.keys)
    before = resident_bytes()
    records = int(job.parameters.get("records", 0))
    watcher = Watcher()
    producer = AsyncProducer(job.bootstrap_servers, config=settings(job))
    async with producer:
        await producer.warm_up([job.topic])
        watch = Stopwatch()
        if records:
            count = await _soak(producer, job, pairs, records, watcher)
        else:
            count = await _fill(producer, job, pairs, watcher)
        wall, cpu = watch.read()
    peak = max(size for _, size in watcher.samples)
    extra = {
        "before MB": before / _MB,
        "peak MB": peak / _MB,
        "over start MB": (peak - before) / _MB,
        "over buffer.memory MB": (peak - before - producer.config.buffer_memory) / _MB,
    }
    if records:
        extra["growth KB per million"] = growth_per_million(watcher.samples) / 1000
    return Measurement(records=count, seconds=wall, cpu_seconds=cpu, sent=count, extra=extra)


async def _fill(
    producer: AsyncProducer[bytes, bytes], job: Job, pairs: Pairs, watcher: Watcher
) -> int:
    try_send, topic = producer.try_send, job.topic
    count, end = 0, time.perf_counter() + job.seconds
    while time.perf_counter() < end:
        with contextlib.suppress(BufferExhaustedError):
            for key, value in pairs:
                try_send(topic, value, key=key)
                count += 1
        watcher.look(count)
        await producer.flush()
    watcher.look(count)
    return count


async def _soak(
    producer: AsyncProducer[bytes, bytes], job: Job, pairs: Pairs, records: int, watcher: Watcher
) -> int:
    send, topic, window = producer.send, job.topic, job.window
    unawaited: deque[Delivery] = deque()
    step = max(records // _SOAK_SAMPLES // _LOOK, 1) * _LOOK
    for count in range(0, records, _LOOK):
        if count % step == 0:
            watcher.look(count)
        for key, value in islice(pairs, _LOOK):
            unawaited.append(send(topic, value, key=key))
            if len(unawaited) > window:
                await unawaited.popleft()
    for delivery in unawaited:
        await delivery
    watcher.look(records)
    return -(-records // _LOOK) * _LOOK
