"""A lane for what is urgent: HIGH orders to partition 0, the rest by key, keyless at random."""

from __future__ import annotations

import asyncio
import json
import os
import random
from dataclasses import asdict, dataclass

from aioproducer import (
    AsyncProducer,
    PartitionerRecord,
    PartitionList,
    RecordMetadata,
    partition_of_key,
)

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")


@dataclass(frozen=True)
class Order:
    number: int
    priority: str = "NORMAL"


class PriorityPartitioner:
    """Looks at the order itself, as it was before it became bytes."""

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        if isinstance(record.value, Order) and record.value.priority == "HIGH":
            return 0
        if record.key_bytes is not None:
            return partition_of_key(record.key_bytes, partitions.all)
        return random.choice(partitions.available or range(partitions.all))


def to_json(order: Order) -> bytes:
    return json.dumps(asdict(order)).encode()


async def main(bootstrap: str = BOOTSTRAP, topic: str = "orders") -> list[RecordMetadata]:
    producer: AsyncProducer[str, Order] = AsyncProducer(
        bootstrap,
        key_serializer="string",
        value_serializer=to_json,
        partitioner=PriorityPartitioner(),
    )
    async with producer:
        deliveries = [
            producer.send(topic, Order(1, "HIGH"), key="customer-7"),
            producer.send(topic, Order(2), key="customer-7"),
            producer.send(topic, Order(3)),
        ]
        placed = await asyncio.gather(*deliveries)
    for number, metadata in enumerate(placed, start=1):
        print(f"order {number}: partition {metadata.partition}")
    return placed


if __name__ == "__main__":
    asyncio.run(main())
