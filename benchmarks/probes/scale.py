"""What a record costs however many partitions, topics, tasks or queued bytes there are."""

from __future__ import annotations

from aioproducer import AsyncProducer
from benchmarks.drivers.aioproducer_driver import settings
from benchmarks.job import Job, Measurement
from benchmarks.probes.loads import Load


async def measure(job: Job) -> Measurement:
    async with AsyncProducer(job.bootstrap_servers, config=settings(job)) as producer:
        return await Load(producer, job).measure()
