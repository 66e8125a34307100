"""Objects in, bytes out: a serializer object for a dataclass, a plain callable for its key."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from aioproducer import AsyncProducer, RecordMetadata
from aioproducer.serializers import SerializationContext

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")


@dataclass(frozen=True)
class Order:
    customer: str
    total: Decimal
    created: datetime


class OrderSerializer:
    """An object may hold settings and is told the topic; a callable does without either."""

    def __init__(self, version: int) -> None:
        self._version = version

    def serialize(self, value: Order, context: SerializationContext) -> bytes:
        fields = {"version": self._version, "topic": context.topic, **asdict(value)}
        return json.dumps(fields, default=str).encode()


def key_to_bytes(key: UUID) -> bytes:
    return key.bytes


async def main(bootstrap: str = BOOTSTRAP, topic: str = "orders") -> RecordMetadata:
    producer: AsyncProducer[UUID, Order] = AsyncProducer(
        bootstrap, key_serializer=key_to_bytes, value_serializer=OrderSerializer(version=2)
    )
    order = Order("customer-7", Decimal("99.90"), datetime.now(UTC))
    async with producer:
        metadata = await producer.send_and_wait(topic, order, key=uuid4())
    print(f"{metadata.serialized_value_size} bytes at offset {metadata.offset}")
    return metadata


if __name__ == "__main__":
    asyncio.run(main())
