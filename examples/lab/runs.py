"""What the buttons do: runs that are measured. A run takes a producer and returns its figures."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aioproducer import (
    AsyncProducer,
    ClusterConnectionError,
    ProducerError,
    Record,
    RecordMetadata,
    TimeHistogram,
)

PERCENTILES = (50, 95, 99, 99.9)
# So many records are sent at once: memory stays bounded, and the page sees a long run move.
_AT_ONCE = 20_000
_CUSTOMERS = 1_000


@dataclass
class Tally:
    """Where records went, by topic and partition, as the brokers acknowledged them."""

    places: dict[str, Counter[int]] = field(default_factory=dict)

    def add(self, metadata: RecordMetadata) -> None:
        self.places.setdefault(metadata.topic, Counter())[metadata.partition] += 1


@dataclass(frozen=True)
class RunResult:
    """What a run showed; times are milliseconds."""

    kind: str
    records: int
    failed: int
    seconds: float
    latency_ms: dict[str, float]
    settings: dict[str, object]
    batch_fill: float
    records_per_request: float

    def as_dict(self) -> dict[str, object]:
        return {
            "run": self.kind,
            "records": self.records,
            "failed": self.failed,
            "seconds": round(self.seconds, 4),
            "messages_per_second": round((self.records - self.failed) / self.seconds),
            "latency_ms": self.latency_ms,
            "batch_fill": round(self.batch_fill, 3),
            "records_per_request": round(self.records_per_request, 1),
            "settings": self.settings,
        }


async def reach(producer: AsyncProducer[bytes, bytes], topic: str) -> int:
    """Return how many partitions the topic has; raise soon if the cluster cannot be reached."""
    partitions = len(await producer.partitions_for(topic))
    health = producer.health()
    if not health.ready and health.brokers_connected == 0:
        raise ClusterConnectionError("; ".join(health.reasons))
    return partitions


async def pipelined(
    producer: AsyncProducer[bytes, bytes], topic: str, count: int, kind: str, tally: Tally
) -> RunResult:
    """Send ``count`` records as fast as there is room for them, and wait for all."""
    await reach(producer, topic)
    before, began, failures = producer.metrics(), time.perf_counter(), 0
    first: ProducerError | None = None
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(count, start + _AT_ONCE))
        result = await producer.send_many(_events(topic, numbers))
        for outcome in result:
            if isinstance(outcome, RecordMetadata):
                tally.add(outcome)
            else:
                failures, first = failures + 1, first or outcome
        if failures == start + len(numbers) and first is not None:
            # Not one arrived so far: the rest would fare no better.
            raise first
    seconds = time.perf_counter() - began
    after = producer.metrics()
    return RunResult(
        kind,
        count,
        failures,
        seconds,
        percentiles(difference(before.ack_times, after.ack_times)),
        settings_of(producer),
        after.batch_fill_avg,
        after.records_per_request_avg,
    )


async def one_by_one(
    producer: AsyncProducer[bytes, bytes],
    topic: str,
    count: int,
    kind: str,
    tally: Tally,
    clock: Callable[[], float] = time.perf_counter,
) -> RunResult:
    """Send ``count`` records, each when the one before was acknowledged: exact times."""
    await reach(producer, topic)
    times, began = [], clock()
    for record in _events(topic, range(count)):
        sent = clock()
        tally.add(await producer.send_and_wait(record.topic, record.value, key=record.key))
        times.append(clock() - sent)
    times.sort()
    latency = {f"p{p:g}": _ms(times[min(count - 1, int(count * p / 100))]) for p in PERCENTILES}
    latency["max"] = _ms(times[-1])
    after = producer.metrics()
    return RunResult(
        kind,
        count,
        0,
        clock() - began,
        latency,
        settings_of(producer),
        after.batch_fill_avg,
        after.records_per_request_avg,
    )


def difference(before: TimeHistogram, after: TimeHistogram) -> TimeHistogram:
    """Return the times that ``after`` has counted since ``before``."""
    earlier = before.counts or (0,) * len(after.counts)
    counts = tuple(new - old for new, old in zip(after.counts, earlier, strict=True))
    return TimeHistogram(counts, after.sum - before.sum)


def percentiles(times: TimeHistogram) -> dict[str, float]:
    """Return milliseconds by name; nothing where nothing was counted."""
    if not times.count:
        return {}
    found = {f"p{p:g}": _ms(times.percentile(p)) for p in PERCENTILES}
    return {**found, "max": _ms(times.percentile(100))}


def settings_of(producer: AsyncProducer[bytes, bytes]) -> dict[str, object]:
    """Return what a run was made with."""
    config = producer.config
    return {
        "profile": config.profile,
        "batch_size": config.batch_size,
        "linger_ms": config.linger_ms,
        "compression_type": config.compression_type,
        "acks": config.acks,
    }


def _events(topic: str, numbers: range) -> Iterator[Record[bytes, bytes]]:
    now = time.time()
    for number in numbers:
        customer = f"customer-{number * 7919 % _CUSTOMERS}"
        event = {"number": number, "customer": customer, "at": now, "path": f"/item/{number % 97}"}
        yield Record(topic, json.dumps(event).encode(), customer.encode())


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
