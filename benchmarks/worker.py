"""Runs one job with one client: ``python -m benchmarks.worker JOB`` prints its measurement."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import random
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

from benchmarks.drivers.base import Driver, Pairs
from benchmarks.figures import median, percentiles
from benchmarks.job import KEY_SIZE, Job, Measurement
from benchmarks.pacing import Schedule
from benchmarks.peers import PEERS
from benchmarks.ticks import Ticks

_VALUES = 4_000
# The interpreter of the metronome starts and sleeps before the first tick.
_LEAD_NS = 100_000_000


class Stopwatch:
    """Wall clock and CPU time of this process, all threads together."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def read(self) -> tuple[float, float]:
        """Return the wall and CPU seconds since ``start()``."""
        return time.perf_counter() - self._wall, cpu_seconds() - self._cpu


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def make_pairs(value_size: int, key_count: int) -> Pairs:
    """Return endless keys and values, the same for every client; hex digits, so half is entropy.

    ``key_count`` keys come round in a fixed order; 0 makes each one new.
    """
    rng = random.Random(20_000)
    key_of = f"key-%0{KEY_SIZE - 4}d".encode().__mod__
    values = [
        rng.randbytes(value_size // 2 + 1).hex().encode()[:value_size] for _ in range(_VALUES)
    ]
    if key_count == 0:
        return zip(map(key_of, itertools.count()), itertools.cycle(values), strict=True)
    keys = [key_of(number) for number in range(key_count)]
    rng.shuffle(keys)
    return zip(itertools.cycle(keys), itertools.cycle(values), strict=True)


def make_driver(job: Job) -> Driver:
    module, _, name = PEERS[job.peer].driver.partition(":")
    factory = cast("Callable[[Job], Driver]", getattr(importlib.import_module(module), name))
    return factory(job)


async def measure(job: Job) -> Measurement:
    """Run ``job`` from connecting to disconnecting."""
    pairs = make_pairs(job.value_size, job.keys)
    driver = make_driver(job)
    await driver.open()
    try:
        if job.kind == "throughput":
            return await _throughput(driver, job, pairs)
        return await _latency(driver, job, pairs)
    finally:
        await driver.close()


async def _throughput(driver: Driver, job: Job, pairs: Pairs) -> Measurement:
    warm = await driver.pump(pairs, job.warm_up)
    watch = Stopwatch()
    records = await driver.pump(pairs, job.seconds)
    wall, cpu = watch.read()
    return Measurement(records=records, seconds=wall, cpu_seconds=cpu, sent=warm + records)


async def _latency(driver: Driver, job: Job, pairs: Pairs) -> Measurement:
    schedule = Schedule(
        start_ns=time.monotonic_ns() + _LEAD_NS,
        rate=job.rate,
        warm_up=job.warm_up,
        seconds=job.seconds,
    )
    watch = Stopwatch()
    with Ticks(schedule) as ticks:
        latencies = await driver.paced(schedule, ticks, pairs, watch.start)
    wall, cpu = watch.read()
    if len(latencies) != schedule.total - schedule.warm_up_records:
        raise RuntimeError(f"{len(latencies)} latencies of {schedule.total} records on schedule")
    return Measurement(
        records=len(latencies),
        seconds=wall,
        cpu_seconds=cpu,
        sent=schedule.total,
        latency_ms=percentiles(latencies),
        call_delay_ms=median(driver.call_delays),
    )


def run(loop: str, main: Coroutine[Any, Any, Measurement]) -> Measurement:
    if loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    return asyncio.run(main)


if __name__ == "__main__":
    given = Job.from_json(sys.argv[1])
    sys.stdout.write(run(given.loop, measure(given)).to_json() + "\n")
