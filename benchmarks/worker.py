"""Runs one job with one client: ``python -m benchmarks.worker JOB`` prints its measurement."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from benchmarks.drivers.base import Driver
from benchmarks.figures import median, percentiles
from benchmarks.job import Job, Measurement
from benchmarks.pacing import Schedule
from benchmarks.payload import Pairs, make_pairs
from benchmarks.peers import OURS, PEERS
from benchmarks.stopwatch import Stopwatch
from benchmarks.ticks import Ticks

# The interpreter of the metronome starts and sleeps before the first tick.
_LEAD_NS = 100_000_000

Probe = Callable[[Job], Awaitable[Measurement]]

PROBES = {
    "ping-pong": "benchmarks.probes.ping_pong:measure",
    "scale": "benchmarks.probes.scale:measure",
    "codecs": "benchmarks.probes.codecs:measure",
    "serializers": "benchmarks.probes.serializers:measure",
    "memory": "benchmarks.probes.memory:measure",
    "loop-hold": "benchmarks.probes.loop_hold:measure",
    "idle": "benchmarks.probes.idle:measure",
    "import": "benchmarks.probes.import_time:measure",
}
"""What is measured by a function of its own."""


def make_driver(job: Job) -> Driver:
    return cast("Callable[[Job], Driver]", _named(PEERS[job.peer].driver))(job)


def _named(path: str) -> object:
    module, _, name = path.partition(":")
    found: object = getattr(importlib.import_module(module), name)
    return found


async def measure(job: Job) -> Measurement:
    """Run ``job`` from connecting to disconnecting."""
    if job.kind in PROBES:
        run = await cast("Probe", _named(PROBES[job.kind]))(job)
    else:
        run = await _drive(job)
    return dataclasses.replace(run, build=build_of(job.peer))


def build_of(peer: str) -> str:
    """Return how this producer runs, compiled or pure; nothing for others."""
    if not peer.startswith(OURS):
        return ""
    import aioproducer

    return "compiled" if getattr(aioproducer, "accelerated", False) else "pure"


async def _drive(job: Job) -> Measurement:
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
