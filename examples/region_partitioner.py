"""A lane for each region, told by a header: US, EU, ASIA; all other records go by key."""

from __future__ import annotations

import asyncio
import os
import random

from aioproducer import (
    AsyncProducer,
    PartitionerRecord,
    PartitionList,
    RecordMetadata,
    partition_of_key,
)

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")

LANES = {b"US": 0, b"EU": 1, b"ASIA": 2}


class RegionPartitioner:
    """A topic with fewer partitions has fewer lanes; the regions without one go by key too."""

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        lane = LANES.get(dict(record.headers).get("region") or b"")
        if lane is not None and lane < partitions.all:
            return lane
        if record.key_bytes is not None:
            return partition_of_key(record.key_bytes, partitions.all)
        return random.choice(partitions.available or range(partitions.all))


async def main(bootstrap: str = BOOTSTRAP, topic: str = "orders") -> list[RecordMetadata]:
    async with AsyncProducer(bootstrap, partitioner=RegionPartitioner()) as producer:
        deliveries = [
            producer.send(topic, region, key=b"customer-7", headers=[("region", region)])
            for region in (b"US", b"EU", b"ASIA", b"elsewhere")
        ]
        placed = await asyncio.gather(*deliveries)
    for region, metadata in zip((*LANES, b"elsewhere"), placed, strict=True):
        print(f"{region.decode()}: partition {metadata.partition}")
    return placed


if __name__ == "__main__":
    asyncio.run(main())
