"""One produce request: the batches in it, their places in the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aioproducer import inlined
from aioproducer.core.batch import Batch
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.errors import MalformedResponseError
from aioproducer.wire.messages.produce import (
    ProducePartition,
    ProducePartitionResponse,
    ProduceRequest,
    ProduceResponse,
    ProduceTopic,
    ProduceTopicResponse,
)
from aioproducer.wire.primitives import ZERO_UUID


class Shipment(NamedTuple):
    """A batch on its way and the queue it came from."""

    queue: PartitionQueue
    batch: Batch


class ProduceExchange:
    """The shipments of one request. Topic ids are those of the moment of sending (KIP-516)."""

    __slots__ = ("_in_order", "acks", "has_topic_ids", "request", "shipments")

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
        # Whether every topic's id is known, as Produce v13 needs.
        self.has_topic_ids = True
        by_topic = self._group(transactional)
        topics = [
            inlined.row(ProduceTopic, (name, topic_id, partitions))
            for name, (topic_id, partitions, _) in by_topic.items()
        ]
        self.request = ProduceRequest(transactional_id, acks, timeout_ms, topics)
        # As they stand in the request, and mostly in the answer too.
        self._in_order = [
            (name, topic_id, shipment)
            for name, (topic_id, _, sent) in by_topic.items()
            for shipment in sent
        ]

    def _group(self, transactional: bool) -> dict[str, _OfTopic]:
        by_topic: dict[str, _OfTopic] = {}
        for shipment in self.shipments:
            queue, batch = shipment
            topic = queue.topic
            of_topic = by_topic.get(topic.name)
            if of_topic is None:
                of_topic = by_topic[topic.name] = (topic.topic_id, [], [])
                if topic.topic_id == ZERO_UUID:
                    self.has_topic_ids = False
            _, partitions, sent = of_topic
            records = (batch.header(transactional), batch.payload)
            partitions.append(inlined.row(ProducePartition, (queue.index, records)))
            sent.append(shipment)
        return by_topic

    def answers(self, response: ProduceResponse) -> list[tuple[Shipment, ProducePartitionResponse]]:
        """Pair each shipment with its answer; raises if the broker left one out or made one up."""
        pairs: list[tuple[Shipment, ProducePartitionResponse]] = []
        expected = self._in_order
        for topic in response.topics:
            for answer in topic.partitions:
                if len(pairs) == len(expected):
                    raise _not_asked(topic, answer)
                name, topic_id, shipment = expected[len(pairs)]
                if answer.index != shipment.queue.index or (
                    topic.name != name if topic.name else topic.topic_id != topic_id
                ):
                    return self._answers_in_any_order(response)
                pairs.append((shipment, answer))
        if len(pairs) < len(expected):
            raise _left_out(len(expected) - len(pairs))
        return pairs

    def _answers_in_any_order(
        self, response: ProduceResponse
    ) -> list[tuple[Shipment, ProducePartitionResponse]]:
        by_name = {(name, shipment.queue.index): shipment for name, _, shipment in self._in_order}
        by_id = {(uuid, shipment.queue.index): shipment for _, uuid, shipment in self._in_order}
        pairs = []
        for topic in response.topics:
            for answer in topic.partitions:
                shipment = (
                    by_name.pop((topic.name, answer.index), None)
                    if topic.name
                    else by_id.pop((topic.topic_id, answer.index), None)
                )
                if shipment is None:
                    raise _not_asked(topic, answer)
                pairs.append((shipment, answer))
        # By name and by id at once, one partition could be answered twice.
        left_out = len(self._in_order) - len({id(shipment) for shipment, _ in pairs})
        if left_out or len(pairs) > len(self._in_order):
            raise _left_out(left_out)
        return pairs


_OfTopic = tuple[bytes, list[ProducePartition], list[Shipment]]


def _not_asked(
    topic: ProduceTopicResponse, answer: ProducePartitionResponse
) -> MalformedResponseError:
    return MalformedResponseError(
        f"produce answer for {topic.name or topic.topic_id.hex()}-{answer.index},"
        " which was not asked"
    )


def _left_out(count: int) -> MalformedResponseError:
    return MalformedResponseError(f"produce answer leaves out {count} partition(s)")
