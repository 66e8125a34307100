"""The smallest producer: one record, one acknowledgement."""

from __future__ import annotations

import asyncio
import os

from aioproducer import AsyncProducer, RecordMetadata

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")


async def main(bootstrap: str = BOOTSTRAP, topic: str = "orders") -> RecordMetadata:
    async with AsyncProducer(bootstrap) as producer:
        metadata = await producer.send_and_wait(topic, b"one espresso machine", key=b"order-1")
    print(f"partition {metadata.partition}, offset {metadata.offset}")
    return metadata


if __name__ == "__main__":
    asyncio.run(main())
