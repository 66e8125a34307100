"""For how long callbacks hold the loop, in CPU time of its thread, garbage collection apart."""

from __future__ import annotations

import asyncio
import gc
import time
from asyncio import events
from dataclasses import replace
from typing import Any

from aioproducer import AsyncProducer
from benchmarks.drivers.aioproducer_driver import settings
from benchmarks.figures import percentile
from benchmarks.job import Job, Measurement
from benchmarks.probes.loads import Load


class HoldMeter:
    """Times every callback of asyncio's loop but those of the load itself.

    A step of the task that sends holds the loop for as long as its author likes. Its sends are the
    producer's all the same, but their cost is that of each call, which the other tables show.
    """

    def __init__(self, load: asyncio.Task[Any] | None) -> None:
        self._load = load
        self._collecting = 0.0
        self._began = 0.0
        self._top = 0.0
        self.held: list[float] = []
        self.collections: list[float] = []
        self.longest = ""

    def start(self) -> None:
        run = events.Handle._run
        clock = time.thread_time
        meter = self

        def timed(handle: Any) -> None:
            callback = handle._callback
            owner = getattr(callback, "__self__", None)
            if owner is meter._load:
                run(handle)
                return
            meter._collecting = 0.0
            began = clock()
            run(handle)
            meter._note(clock() - began - meter._collecting, callback, owner)

        self._restore = run
        setattr(events.Handle, "_run", timed)  # noqa: B010 - a method is replaced
        gc.callbacks.append(self._collects)

    def stop(self) -> None:
        setattr(events.Handle, "_run", self._restore)  # noqa: B010
        gc.callbacks.remove(self._collects)

    def _note(self, seconds: float, callback: object, owner: object) -> None:
        self.held.append(seconds)
        if seconds > self._top:
            self._top = seconds
            name = getattr(callback, "__qualname__", type(callback).__name__)
            self.longest = owner.get_name() if isinstance(owner, asyncio.Task) else name

    def _collects(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            used = time.thread_time() - self._began
            self._collecting += used
            self.collections.append(used)


async def measure(job: Job) -> Measurement:
    # Tasks that await each record hold the loop for one send each: those count.
    meter = HoldMeter(asyncio.current_task())
    async with AsyncProducer(job.bootstrap_servers, config=settings(job)) as producer:
        run = await Load(producer, job).measure(meter)
    held = sorted(meter.held)
    extra = {"callbacks": float(len(held))}
    for name, percent in (("p99", 99.0), ("p99.99", 99.99), ("max", 100.0)):
        extra[f"hold {name} ms"] = percentile(held, percent) * 1000
    extra["gc max ms"] = max(meter.collections, default=0.0) * 1000
    return replace(run, extra=extra, notes={"longest": meter.longest})
