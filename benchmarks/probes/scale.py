"""What a record costs however many partitions, topics, tasks or queued bytes there are."""

from __future__ import annotations

from aioproducer import AsyncProducer
from benchmarks.drivers.aioproducer_driver import settings
from benchmarks.job import Job, Measurement
from benchmarks.probes.loads import Load
from benchmarks.stopwatch import Stopwatch


async def measure(job: Job) -> Measurement:
    producer = AsyncProducer(job.bootstrap_servers, config=settings(job))
    async with producer:
        load = Load(producer, job)
        await load.warm_up()
        watch = Stopwatch()
        records = await load.pump(job.seconds)
        wall, cpu = watch.read()
    return Measurement(records=records, seconds=wall, cpu_seconds=cpu, sent=load.warmed + records)
