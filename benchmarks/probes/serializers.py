"""How many records of about a kilobyte go through each serializer."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from aioproducer import AsyncProducer, Delivery
from aioproducer.serializers import (
    AvroSerializer,
    BytesSerializer,
    JsonSerializer,
    SchemaRegistry,
    StringSerializer,
)
from benchmarks.drivers.aioproducer_driver import settings
from benchmarks.job import Job, Measurement
from benchmarks.payload import make_keys, make_values
from benchmarks.stopwatch import Stopwatch

NAMES = ("bytes", "string", "json", "avro")
_LOOK = 100


def event(text: str) -> dict[str, Any]:
    """Return an event of several fields that is about as long as ``text``."""
    fields = {f"field{number}": text[number * 80 : number * 80 + 80] for number in range(10)}
    return {"id": 123_456_789, "amount": 12.5, "active": True, **fields}


def _avro() -> AvroSerializer:
    fields: list[dict[str, str]] = [
        {"name": "id", "type": "long"},
        {"name": "amount", "type": "double"},
        {"name": "active", "type": "boolean"},
        *({"name": f"field{number}", "type": "string"} for number in range(10)),
    ]
    schema = {"type": "record", "name": "Event", "fields": fields}
    return AvroSerializer(schema, SchemaRegistry("mock://benchmark"))


def choose(name: str, size: int) -> tuple[Any, list[Any]]:
    """Return the serializer of that name and values for it."""
    texts = [value.decode() for value in make_values(size)]
    if name == "bytes":
        return BytesSerializer(), [text.encode() for text in texts]
    if name == "string":
        return StringSerializer(), texts
    events = [event(text) for text in texts]
    return (JsonSerializer() if name == "json" else _avro()), events


async def measure(job: Job) -> Measurement:
    serializer, values = choose(NAMES[int(job.parameters["serializer"])], job.value_size)
    records = zip(itertools.cycle(make_keys(job.keys)), itertools.cycle(values), strict=True)
    async with AsyncProducer(
        job.bootstrap_servers, config=settings(job), value_serializer=serializer
    ) as producer:
        await producer.warm_up([job.topic])
        # Records wait for their schema, and all that the loop below sends at once has no room.
        key, value = next(records)
        await producer.send(job.topic, value, key=key)
        warm = 1 + await _pump(producer, job, records, job.warm_up)
        watch = Stopwatch()
        count = await _pump(producer, job, records, job.seconds)
        wall, cpu = watch.read()
    return Measurement(records=count, seconds=wall, cpu_seconds=cpu, sent=warm + count)


async def _pump(
    producer: AsyncProducer[Any, Any], job: Job, records: Iterator[Any], seconds: float
) -> int:
    send, topic, window = producer.send, job.topic, job.window
    unawaited: deque[Delivery] = deque()
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, value in islice(records, _LOOK):
            unawaited.append(send(topic, value, key=key))
            if len(unawaited) > window:
                await unawaited.popleft()
        count += _LOOK
    for delivery in unawaited:
        await delivery
    return count
