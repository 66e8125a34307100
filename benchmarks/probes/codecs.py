"""How much of the CPU time of compressed batches the codec itself takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aioproducer.runtime import batch_preparer
from aioproducer.wire import compression
from benchmarks.drivers.aioproducer_driver import AioproducerDriver
from benchmarks.job import Job, Measurement
from benchmarks.payload import make_pairs
from benchmarks.stopwatch import Stopwatch

NEVER, ALWAYS = 0, 1
"""``parameters["threads"]``: compress on the loop only, or on worker threads only."""


class CodecClock:
    """The thread CPU time spent in codecs, on the loop and on worker threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.on_loop = self.on_threads = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        began = time.thread_time()
        try:
            yield
        finally:
            used = time.thread_time() - began
            if threading.current_thread() is threading.main_thread():
                self.on_loop += used
            else:
                with self._lock:
                    self.on_threads += used

    def watch(self) -> None:
        """Measure every call from now on; compressing a batch takes far longer than that."""
        compress = compression.Compressor.compress
        clock = self

        def timed(self: compression.Compressor, body: Any) -> bytes:
            with clock.measured():
                return compress(self, body)

        setattr(compression.Compressor, "compress", timed)  # noqa: B010 - a method is replaced


async def measure(job: Job) -> Measurement:
    where = job.parameters.get("threads")
    if where is not None:
        batch_preparer.THREAD_PAYS_FROM_NS = 0 if where == ALWAYS else 2**62
    clock = CodecClock()
    clock.watch()
    driver = AioproducerDriver(job)
    pairs = make_pairs(job.value_size, job.keys)
    await driver.open()
    try:
        warm = await driver.pump(pairs, job.warm_up)
        clock.reset()
        watch = Stopwatch()
        records = await driver.pump(pairs, job.seconds)
        wall, cpu = watch.read()
    finally:
        await driver.close()
    per_million = 1e6 / records
    return Measurement(
        records=records,
        seconds=wall,
        cpu_seconds=cpu,
        sent=warm + records,
        extra={
            "codec s/M": (clock.on_loop + clock.on_threads) * per_million,
            "codec on threads s/M": clock.on_threads * per_million,
        },
    )
