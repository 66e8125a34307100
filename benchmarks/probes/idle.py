"""How often the loop of a connected producer wakes when nobody sends."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

from aioproducer import AsyncProducer
from benchmarks.drivers.aioproducer_driver import settings
from benchmarks.job import Job, Measurement
from benchmarks.stopwatch import Stopwatch


class WakeUps:
    """Counts how often the loop's selector returned."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.count = 0
        # asyncio's loops keep it there; uvloop has none, and is not measured this way.
        selector: selectors.BaseSelector = getattr(loop, "_selector")  # noqa: B009
        select = selector.select

        def counted(timeout: float | None = None) -> Any:
            self.count += 1
            return select(timeout)

        setattr(selector, "select", counted)  # noqa: B010 - a method is replaced


async def measure(job: Job) -> Measurement:
    producer = AsyncProducer(job.bootstrap_servers, config=settings(job))
    async with producer:
        await producer.warm_up([job.topic])
        # Every broker's connection is there, and has been used.
        for partition in range(job.partitions):
            await producer.send_and_wait(job.topic, b"v", partition=partition)
        await asyncio.sleep(job.warm_up)
        wake_ups = WakeUps(asyncio.get_running_loop())
        watch = Stopwatch()
        await asyncio.sleep(job.seconds)
        wall, cpu = watch.read()
        # The measurement's own timer is one of them.
        count = max(wake_ups.count - 1, 0)
    return Measurement(
        records=0,
        seconds=wall,
        cpu_seconds=cpu,
        sent=job.partitions,
        extra={"wake-ups/s": count / wall, "CPU ms/s": cpu / wall * 1000},
    )
