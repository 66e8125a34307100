"""More events than Kafka can take at once: drain() slows the loop down, memory stays bounded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from aioproducer import AsyncProducer, Delivery, ProducerError

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")


async def pour(
    producer: AsyncProducer[bytes, bytes], topic: str, events: Iterable[bytes]
) -> list[ProducerError]:
    """Send every event and return what went wrong; only a few of them are in memory at a time."""
    failures: list[ProducerError] = []

    def look_at(delivery: Delivery) -> None:
        error = delivery.exception()
        if error is not None:
            failures.append(error)

    for event in events:
        # Nobody waits for this one record, so its failure is looked at when it happens.
        producer.send(topic, event).add_done_callback(look_at)
        await producer.drain()
    await producer.flush()
    # What the last deliveries call back runs in the next turn of the loop.
    await asyncio.sleep(0)
    return failures


async def main(
    bootstrap: str = BOOTSTRAP, topic: str = "clicks", count: int = 100_000
) -> list[ProducerError]:
    events = (f"click {number}".encode() for number in range(count))
    async with AsyncProducer(bootstrap, linger_ms=20, buffer_memory=1024 * 1024) as producer:
        failures = await pour(producer, topic, events)
        delivered = producer.metrics().record_ack_total
    print(f"{delivered:,} delivered, {len(failures):,} failed")
    return failures


if __name__ == "__main__":
    asyncio.run(main())
