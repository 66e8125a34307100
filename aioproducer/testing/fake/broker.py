"""The broker of a FakeProducer: topics, logs, a coordinator; asked with objects, not bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aioproducer.core.batch import Batch
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.produce_exchange import ProduceExchange, Shipment
from aioproducer.errors import ProducerError
from aioproducer.records import OffsetAndMetadata, TopicPartition
from aioproducer.runtime.sender import Sender
from aioproducer.testing.fake.history import StoredRecord, TransactionBook
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.add_partitions_to_txn import PartitionResult
from aioproducer.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from aioproducer.wire.messages.end_txn import EndTxnRequest, EndTxnResponse
from aioproducer.wire.messages.find_coordinator import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from aioproducer.wire.messages.init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from aioproducer.wire.messages.metadata import (
    Broker,
    MetadataRequest,
    MetadataResponse,
    PartitionMetadata,
    TopicMetadata,
)
from aioproducer.wire.messages.produce import (
    ProducePartitionResponse,
    ProduceResponse,
    ProduceTopicResponse,
)
from aioproducer.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from aioproducer.wire.record_batch import decode_records

NODE_ID = 1
FEATURES: Mapping[str, int] = {"transaction.version": 2}

Offsets = dict[str, dict[TopicPartition, OffsetAndMetadata]]


@dataclass(frozen=True, slots=True, eq=False)
class Outstanding:
    """A record that has left the producer and is not answered."""

    sender: Sender
    exchange: ProduceExchange
    queue: PartitionQueue
    batch: Batch
    sent_at: float
    transaction: int | None


class FakeBroker:
    """Takes records, and answers them by itself or when it is told to."""

    def __init__(
        self, topics: Mapping[str, int], default_partitions: int, *, auto_complete: bool
    ) -> None:
        self.book = TransactionBook()
        self.auto_complete = auto_complete
        self.fenced = False
        self.outstanding: deque[Outstanding] = deque()
        self.logs: dict[TopicPartition, list[StoredRecord]] = {}
        self.offsets: Offsets = {}
        self.pending_offsets: Offsets = {}
        # Takes what the producer has ready; set once there is one.
        self.take: Callable[[], None] = lambda: None
        self._topics = dict(topics)
        self._default_partitions = default_partitions
        self._next_offset: dict[TopicPartition, int] = {}
        self._in_transaction: set[TopicPartition] = set()
        self._epoch = -1
        self._is_answering = False

    # Topics

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 if it is not there."""
        return self._topics.get(topic, self._default_partitions)

    def set_partitions(self, topic: str, count: int) -> None:
        """Make a topic, or give it more partitions."""
        if count < self.partitions(topic) and topic in self._topics:
            raise ValueError(f"{topic} has {self.partitions(topic)} partitions; it cannot shrink")
        self._topics[topic] = count

    def metadata(self, topics: Iterable[str]) -> MetadataResponse:
        """Return what Metadata answers."""
        return MetadataResponse(
            throttle_time_ms=0,
            brokers=(Broker(NODE_ID, "fake", 9092),),
            cluster_id="fake",
            controller_id=NODE_ID,
            topics=tuple(self._topic(name) for name in topics),
        )

    def _topic(self, name: str) -> TopicMetadata:
        count = self.partitions(name)
        code = ErrorCode.NONE if count else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        nodes = (NODE_ID,)
        rows = [PartitionMetadata(0, i, NODE_ID, 0, nodes, nodes, ()) for i in range(count)]
        return TopicMetadata(code, name, bytes(16), False, tuple(rows))

    # Records

    def arrive(self, sender: Sender, exchange: ProduceExchange, sent_at: float) -> None:
        """Take one request; each of its records is answered on its own."""
        request = exchange.request
        for shipment in exchange.shipments:
            own = ProduceExchange(
                [shipment],
                acks=exchange.acks,
                timeout_ms=request.timeout_ms,
                transactional_id=request.transactional_id,
            )
            queue, batch = shipment
            self.outstanding.append(
                Outstanding(sender, own, queue, batch, sent_at, self.book.current)
            )
        if self.auto_complete and not self._is_answering:
            # Not at once: a real broker answers nothing inside of send() either.
            self._is_answering = True
            asyncio.get_running_loop().call_soon(self._answer_all)

    def _answer_all(self) -> None:
        self._is_answering = False
        self.complete_all()

    def complete_next(self) -> bool:
        """Acknowledge the oldest outstanding record; return whether there was one."""
        self.take()
        if not self.outstanding:
            return False
        one = self.outstanding.popleft()
        if self.fenced:
            # What leaders say; only the coordinator knows that it is for good.
            self._answer(one, ErrorCode.INVALID_PRODUCER_EPOCH, -1)
        elif one.exchange.acks == 0:
            self._store(one)
            one.sender._written(one.exchange)
        else:
            self._answer(one, ErrorCode.NONE, self._store(one))
        return True

    def complete_all(self) -> int:
        """Acknowledge all that is outstanding, and what that lets go; return how many."""
        count = 0
        while self.complete_next():
            count += 1
        return count

    def error_next(self, error: ProducerError) -> bool:
        """Fail the oldest outstanding record; return whether there was one."""
        self.take()
        if not self.outstanding:
            return False
        one = self.outstanding.popleft()
        one.sender._refused([Shipment(one.queue, one.batch)], error)
        return True

    def _answer(self, one: Outstanding, code: int, offset: int) -> None:
        row = ProducePartitionResponse(one.queue.index, code, offset, -1, 0, (), None, None)
        topic = ProduceTopicResponse(one.batch.topic, bytes(16), (row,))
        one.sender._answered(NODE_ID, one.exchange, ProduceResponse((topic,)), one.sent_at)

    def _store(self, one: Outstanding) -> int:
        batch = one.batch
        place = TopicPartition(batch.topic, batch.partition)
        first = offset = self._next_offset.get(place, 0)
        log = self.logs.setdefault(place, [])
        # The one it was sent in, which may be over, for a producer that failed for good.
        transaction = one.transaction
        if transaction is not None:
            self._in_transaction.add(place)
        for record in decode_records(batch.body, batch.count, batch.base_timestamp):
            where = (*place, offset, record.timestamp)
            log.append(StoredRecord(*where, record.key, record.value, record.headers, transaction))
            offset += 1
        self._next_offset[place] = offset
        return first

    # Everything else that is asked

    def answer(self, request: Any) -> Any:
        """Return the answer to anything but Produce."""
        match request:
            case MetadataRequest():
                return self.metadata(request.topics or ())
            case ApiVersionsRequest():
                return ApiVersionsResponse(0, {}, 0, FEATURES, 0)
            case FindCoordinatorRequest():
                return FindCoordinatorResponse(0, 0, None, NODE_ID, "fake", 9092)
            case InitProducerIdRequest():
                return self._init_producer_id()
            case TxnOffsetCommitRequest():
                return self._commit_offsets(request)
            case EndTxnRequest():
                return self._end(request)
        raise AssertionError(f"a FakeProducer asked for {type(request).__name__}")

    @property
    def _code(self) -> int:
        return ErrorCode.PRODUCER_FENCED if self.fenced else ErrorCode.NONE

    def _init_producer_id(self) -> InitProducerIdResponse:
        self._epoch += 1
        return InitProducerIdResponse(0, self._code, 1, self._epoch)

    def _commit_offsets(self, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse:
        code = self._code
        rows = []
        for topic, partitions in request.topics:
            for row in partitions:
                rows.append(PartitionResult(topic, row.partition_index, code))
                if not code:
                    self.pending_offsets.setdefault(request.group_id, {})[
                        TopicPartition(topic, row.partition_index)
                    ] = OffsetAndMetadata(
                        row.committed_offset,
                        row.committed_leader_epoch,
                        row.committed_metadata or "",
                    )
        return TxnOffsetCommitResponse(0, tuple(rows))

    def _end(self, request: EndTxnRequest) -> EndTxnResponse:
        if self.fenced:
            return EndTxnResponse(0, ErrorCode.PRODUCER_FENCED)
        if request.committed:
            for group, offsets in self.pending_offsets.items():
                self.offsets.setdefault(group, {}).update(offsets)
        self.pending_offsets.clear()
        for place in self._in_transaction:
            # The marker takes an offset, as in Kafka's log.
            self._next_offset[place] += 1
        self._in_transaction.clear()
        self._epoch += 1
        return EndTxnResponse(0, 0, 1, self._epoch)
