"""One produce request: the batches in it, their places in the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aioproducer.core.batch import Batch
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.errors import MalformedResponseError
from aioproducer.wire.messages.produce import (
    ProducePartition,
    ProducePartitionResponse,
    ProduceRequest,
    ProduceResponse,
    ProduceTopic,
)


class Shipment(NamedTuple):
    """A batch on its way and the queue it came from."""

    queue: PartitionQueue
    batch: Batch


class ProduceExchange:
    """The shipments of one request. Topic ids are those of the moment of sending (KIP-516)."""

    __slots__ = ("_by_id", "_by_name", "acks", "request", "shipments")

    def __init__(
        self,
        shipments: Sequence[Shipment],
        *,
        acks: int,
        timeout_ms: int,
        transactional_id: str | None = None,
    ) -> None:
        transactional = transactional_id is not None
        self.shipments = shipments
        self.acks = acks
        self._by_name: dict[tuple[str, int], Shipment] = {}
        self._by_id: dict[tuple[bytes, int], Shipment] = {}
        topics: dict[str, list[ProducePartition]] = {}
        ids: dict[str, bytes] = {}
        for shipment in shipments:
            queue, batch = shipment
            topic = queue.topic
            ids[topic.name] = topic.topic_id
            self._by_name[topic.name, queue.index] = shipment
            self._by_id[topic.topic_id, queue.index] = shipment
            assert batch.payload is not None
            partition = ProducePartition(
                queue.index, (batch.header(transactional=transactional), batch.payload)
            )
            topics.setdefault(topic.name, []).append(partition)
        self.request = ProduceRequest(
            transactional_id=transactional_id,
            acks=acks,
            timeout_ms=timeout_ms,
            topics=[
                ProduceTopic(name, ids[name], partitions) for name, partitions in topics.items()
            ],
        )

    @property
    def has_topic_ids(self) -> bool:
        """Whether every topic's id is known, as Produce v13 needs."""
        return all(any(topic.topic_id) for topic in self.request.topics)

    def answers(
        self, response: ProduceResponse
    ) -> Iterator[tuple[Shipment, ProducePartitionResponse]]:
        """Pair each shipment with its answer; raises if the broker left one out or made one up."""
        pairs = []
        missing = {id(shipment.batch) for shipment in self.shipments}
        for topic in response.topics:
            for answer in topic.partitions:
                shipment = (
                    self._by_name.get((topic.name, answer.index))
                    if topic.name
                    else self._by_id.get((topic.topic_id, answer.index))
                )
                if shipment is None or id(shipment.batch) not in missing:
                    raise MalformedResponseError(
                        f"produce answer for {topic.name or topic.topic_id.hex()}-{answer.index},"
                        " which was not asked"
                    )
                missing.discard(id(shipment.batch))
                pairs.append((shipment, answer))
        if missing:
            raise MalformedResponseError(f"produce answer leaves out {len(missing)} partition(s)")
        return iter(pairs)
