"""The intake: takes a record from send() to its batch, or to the waiting room on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

from aioproducer import inlined
from aioproducer.config import ProducerConfig
from aioproducer.core import key_hash
from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.cluster_view import ClusterView, TopicView
from aioproducer.core.memory_budget import RECORD_OVERHEAD, MemoryBudget
from aioproducer.core.meters import Meters
from aioproducer.core.murmur2 import partition_of_key
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.partitioner import Partitioner
from aioproducer.core.producer_identity import SequenceState
from aioproducer.core.routing import Router
from aioproducer.core.topic_queues import TopicQueues
from aioproducer.core.transaction_scope import TransactionScope
from aioproducer.core.waiting_room import WaitingRecord, WaitsFor
from aioproducer.delivery import Delivery, Fate
from aioproducer.errors import (
    BufferExhaustedError,
    MetadataNotReadyError,
    PartitionerError,
    ProducerError,
    RecordTooLargeError,
    SerializerNotReadyError,
    broker_error,
)
from aioproducer.records import Header, Record
from aioproducer.runtime.admission import Admission
from aioproducer.runtime.assembler import BatchAssembler
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.events import EventLog
from aioproducer.runtime.failure_feed import FailureFeed
from aioproducer.runtime.ledger import Flush, Ledger
from aioproducer.runtime.sender import Sender
from aioproducer.runtime.serializing import Answer, Serializing, answers, pending_size, with_headers
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.runtime.topic_errors import topic_error
from aioproducer.story import Story
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.record_batch import HEADER_SIZE
from aioproducer.wire.record_encoder import record_size_bound

Buffer = bytes | bytearray | memoryview

_ASSEMBLER_IDLE_S = 30.0
# Asked of the enum's class it costs a search each time in CPython 3.11.
_EXPEDITE = Sealed.EXPEDITE


class Intake:
    """Holds the topics' queues and the waiting room. Plain calls only; it has no task."""

    def __init__(
        self,
        config: ProducerConfig,
        client_id: str,
        cluster: Cluster,
        sender: Sender,
        ledger: Ledger,
        budget: MemoryBudget,
        supervisor: Supervisor,
        rng: random.Random,
        meters: Meters,
        events: EventLog,
        *,
        sequences: Callable[[str, int], SequenceState | None],
        partitioner: Partitioner | None,
        feed: FailureFeed,
        scope: TransactionScope | None = None,
    ) -> None:
        self._scope = scope
        self._on_late = feed.late
        self._config = config
        self._client_id = client_id
        self._cluster = cluster
        self._sender = sender
        self._offer = sender.offer
        self._ledger = ledger
        self._budget = budget
        self._supervisor = supervisor
        self._sequences = sequences
        self._loop = asyncio.get_running_loop()
        self._topics: dict[str, TopicQueues] = {}
        self.admission = Admission(
            config,
            cluster,
            ledger,
            budget,
            meters,
            events,
            append=self._append_waiting,
            memory_short=lambda: self._seal_everything(Sealed.MEMORY),
            next_wait=self._next_wait,
            left_serializer=lambda record: self._serializing.left(record),
            unblocked=self._set_blocked,
        )
        self._serializing = Serializing(
            client_id,
            budget,
            supervisor,
            narrow=self._narrow,
            done=lambda record: self.admission.moved_on(record.topic),
            failed=self.admission.fail,
            is_waiting=self.admission.room.__contains__,
            largest=self._too_large,
        )
        self._linger = config.linger_ms / 1000
        self._batch_size = max(1, config.batch_size)
        self._router = Router(
            partitioner,
            rng,
            ignore_keys=config.partitioner_ignore_keys,
            batch_size=self._batch_size,
        )
        self._hash_keys = self._router.hashes_keys
        self._chooses_freely = partitioner is None
        self._rng = rng
        self._largest_record = config.max_request_size - HEADER_SIZE
        self._memory_line = self.admission.room.memory_line
        self._compressing = config.compression_type != "none"
        self._keep_order = config.partition_ordering or config.enable_idempotence
        self._adaptive = config.linger_adaptive
        # With it: the partitions whose open batch waits for an answer of their leader.
        self._waiting_for_idle: dict[int, dict[PartitionQueue, None]] = {}
        if self._adaptive:
            sender.on_idle = self._broker_is_idle
        self._flushing = 0
        # While a record is taken that shall not linger.
        self._expediting = False
        self._since_turn = 0

    # The path of a record

    def accept_plain(self, topic: str, key: bytes | None, value: bytes) -> Delivery | None:
        """Append a record of bytes to its partition's batch, ``None`` if that takes any more.

        This is :meth:`accept` for what nearly every record is, and for nothing else.
        """
        queues = self._topics.get(topic)
        if queues is None or queues.blocked or self._memory_line:
            return None
        if key is None:
            size = record_size_bound(-1, len(value))
        elif self._hash_keys:
            size = record_size_bound(len(key), len(value))
        else:
            return None
        charge = size + RECORD_OVERHEAD
        if size > self._largest_record or charge > self._budget.available:
            return None
        if key is not None:
            queue = queues.partitions[(key_hash.hash_of(key) & 0x7FFFFFFF) % queues.count]
        elif self._chooses_freely:
            partition = queues.pick(self._batch_size, self._rng, self._unusable(queues))
            queue = queues.partitions[partition]
        else:
            return None
        self._since_turn += size
        return self._append(queue, size, inlined.time_ms(), key, value, ())

    def accept(
        self,
        topic: str,
        key: bytes | None,
        value: Buffer | None,
        partition: int | None,
        timestamp_ms: int | None,
        headers: Sequence[Header],
        user_key: object = None,
        user_value: object = None,
        expedite: bool = False,
        may_wait: bool = True,
    ) -> Delivery:
        """Append a record to its partition's batch, or let it wait; never blocks."""
        key_size = -1 if key is None else len(key)
        value_size = -1 if value is None else len(value)
        size = record_size_bound(key_size, value_size, headers)
        if timestamp_ms is None:
            timestamp_ms = inlined.time_ms()
        self._since_turn += size
        queues = self._topics.get(topic)
        queue: PartitionQueue | None
        if queues is None or queues.blocked or self._memory_line or size > self._largest_record:
            queue = None
        elif partition is None and key is not None and self._hash_keys:
            queue = queues.partitions[(key_hash.hash_of(key) & 0x7FFFFFFF) % queues.count]
        else:
            try:
                queue = self._router.route(
                    queues, partition, key, value, headers, user_key, user_value,
                    self._unusable(queues) if partition is None else frozenset(),
                )  # fmt: skip
            except PartitionerError as error:
                refused = Record(topic, value, key, partition, timestamp_ms, headers)
                return self._ledger.refuse(refused, error)
        charge = size + RECORD_OVERHEAD
        if queue is None or charge > self._budget.available:
            record = WaitingRecord(
                topic, partition, key, value, headers, timestamp_ms, size,
                self._loop.time(), user_key, user_value, expedite,
            )  # fmt: skip
            return self._accept_slowly(record, may_wait)
        if not expedite:
            return self._append(queue, size, timestamp_ms, key, value, headers)
        # A batch that this record opens need not begin to linger.
        self._expediting = True
        try:
            delivery = self._append(queue, size, timestamp_ms, key, value, headers)
        finally:
            self._expediting = False
        batch = queue.open
        if batch is not None and batch.sealed is None:
            self._seal(queue, batch, _EXPEDITE)
        return delivery

    def _append(
        self,
        queue: PartitionQueue,
        size: int,
        timestamp_ms: int,
        key: bytes | None,
        value: Buffer | None,
        headers: Sequence[Header],
    ) -> Delivery:
        """Append a record of at most ``size`` bytes, for which there is memory."""
        batch = queue.open
        if batch is None or batch.size * batch.growth + size > batch.limit:
            batch = self._new_batch(queue, timestamp_ms, size, None)
        # Whatever it raises, nothing was taken or opened yet.
        index = batch.append(timestamp_ms, key, value, headers)
        if index == 0:
            self._open(queue, batch)
        charge = size + RECORD_OVERHEAD
        self._budget.available -= charge
        batch.charged += charge
        return batch.fate.delivery(
            index,
            timestamp_ms,
            -1 if key is None else len(key),
            -1 if value is None else len(value),
        )

    def accept_answers(
        self,
        topic: str,
        key: bytes | Answer | None,
        value: Buffer | Answer | None,
        partition: int | None,
        timestamp_ms: int | None,
        headers: Sequence[Header],
        user_key: object,
        user_value: object,
        expedite: bool,
        may_wait: bool,
    ) -> Delivery:
        """Take a record whose serializers gave more than bytes: headers, or an answer to come."""
        pending = answers(key, value)
        if not any(answer.is_later for answer in pending):
            headers = with_headers(headers, key, value)
            key = key.now("key") if isinstance(key, Answer) else key
            value = value.now("value") if isinstance(value, Answer) else value
            return self.accept(
                topic, key, value, partition, timestamp_ms, headers,
                user_key, user_value, expedite, may_wait,
            )  # fmt: skip
        if not may_wait:
            for answer in pending:
                answer.discard()
            raise SerializerNotReadyError("the serializer has to wait", topic=topic)
        known_key = None if isinstance(key, Answer) else key
        known_value = None if isinstance(value, Answer) else value
        # However small buffer.memory is, one may wait.
        most = max(0, self._budget.total - RECORD_OVERHEAD)
        size = min(pending_size(headers, known_key, known_value), most)
        self._since_turn += size
        record = WaitingRecord(
            topic, partition, known_key, known_value, headers,
            inlined.time_ms() if timestamp_ms is None else timestamp_ms, size,
            self._loop.time(), user_key, user_value, expedite, serialized=False,
        )  # fmt: skip
        queues = self._known(topic)
        record.place = self._place(queues, partition, known_key)
        delivery = self.admission.let_wait(record, WaitsFor.SERIALIZER)
        if delivery is None:
            for answer in pending:
                answer.discard()
            return self._no_room(record)
        queues.blocked = True
        if queues.count == 0:
            self.admission.want_metadata(record)
        self._serializing.start(record, key, value)
        return delivery

    def _new_batch(
        self, queue: PartitionQueue, timestamp_ms: int, size: int, created: float | None
    ) -> Batch:
        """Return a batch for a record of ``size``, of which nobody knows yet."""
        now = self._loop.time()
        topic = queue.topic
        fate = Fate(self._loop, topic.name, queue.index)
        fate.on_late = self._on_late
        fate.story = Story(now)
        return Batch(
            topic.name,
            queue.index,
            fate,
            # It has none before it is opened.
            order=(),
            created=now if created is None else created,
            opened=now,
            limit=max(self._batch_size, size + HEADER_SIZE),
            ratio=topic.ratio.estimate if self._compressing else 1.0,
            base_timestamp=timestamp_ms,
        )

    def _open(self, queue: PartitionQueue, batch: Batch) -> None:
        """Close the partition's full batch, if any, and open ``batch``, which has a record."""
        now = batch.opened
        if queue.open is not None:
            self._close_full(queue, now)
        topic = queue.topic
        topic.last_used = now
        self._cluster.track(topic.name, now)
        batch.order = queue.new_order()
        queue.open = batch
        fate = batch.fate
        self._ledger.opened(fate)
        if self._scope is not None:
            self._scope.touch(topic.name, queue.index)
        self._sender.clock.start(queue, batch)
        why = self._reason_not_to_linger()
        if why is None and self._adaptive:
            why = self._reason_not_to_wait_for_answers(queue)
        if why is not None:
            batch.sealed = why
            if fate.story is not None:
                fate.story.sealed(now)
            self._sender.offer(queue)
        else:
            self._wake_assembler(queue)

    def _reason_not_to_linger(self) -> Sealed | None:
        if self._linger <= 0:
            return Sealed.LINGER
        if self._flushing:
            return Sealed.FLUSH
        if self._expediting:
            return _EXPEDITE
        return Sealed.MEMORY if self.admission.is_memory_short else None

    def _reason_not_to_wait_for_answers(self, queue: PartitionQueue) -> Sealed | None:
        """Return why a new batch may go at once; else it goes when its broker has answered all."""
        leader = queue.leader
        manager = self._cluster.manager(leader)
        if manager is not None and manager.is_connected and not manager.in_flight:
            return Sealed.IDLE
        self._waiting_for_idle.setdefault(leader, {})[queue] = None
        return None

    def _broker_is_idle(self, node_id: int) -> None:
        for queue in self._waiting_for_idle.pop(node_id, ()):
            batch = queue.open
            if batch is not None and batch.sealed is None and queue.leader == node_id:
                self._seal(queue, batch, Sealed.IDLE)

    def _close_full(self, queue: PartitionQueue, now: float) -> None:
        batch = queue.close_open(Sealed.SIZE)
        if batch is not None:
            if batch.fate.story is not None:
                batch.fate.story.sealed(now)
            self._sender.offer(queue)

    def _seal(self, queue: PartitionQueue, batch: Batch, why: Sealed) -> None:
        assembler = queue.assembler
        if isinstance(assembler, BatchAssembler):
            assembler.seal(batch, why)
        else:
            batch.sealed = why
            if batch.fate.story is not None:
                batch.fate.story.sealed(self._loop.time())
            self._sender.offer(queue)

    def _wake_assembler(self, queue: PartitionQueue) -> None:
        assembler = queue.assembler
        if isinstance(assembler, BatchAssembler):
            assembler.opened()
            return
        assembler = BatchAssembler(
            queue,
            linger=self._linger,
            idle=_ASSEMBLER_IDLE_S,
            on_ready=self._offer,
            on_idle=_retire_assembler,
        )
        queue.assembler = assembler
        self._supervisor.start(
            assembler.run(), name=f"{self._client_id}:assembler-{queue.topic.name}-{queue.index}"
        )

    def _unusable(self, queues: TopicQueues) -> frozenset[int]:
        """Return the partitions whose leader takes nothing, if that is to be minded (KIP-794)."""
        limit_ms = self._config.partitioner_availability_timeout_ms
        if limit_ms <= 0:
            return frozenset()
        nodes = self._cluster.stalled_nodes(limit_ms / 1000)
        return frozenset(queue.index for queue in queues.partitions if queue.leader in nodes)

    # The slow path

    def _accept_slowly(self, record: WaitingRecord, may_wait: bool) -> Delivery:
        """Let ``record`` wait, or refuse it."""
        topic = record.topic
        error = self._too_large(record.size)
        if error is not None:
            return self._ledger.refuse(record.as_record(), error)
        waits_for = self._reason_to_wait(record)
        if self._gets_in_now(record, waits_for):
            return self._append_at_once(record)
        if not may_wait:
            if waits_for is WaitsFor.SERIALIZER:
                raise SerializerNotReadyError(
                    "an earlier record's serializer has to wait", topic=topic
                )
            if waits_for is WaitsFor.MEMORY:
                self.admission.refused_for_memory()
                raise BufferExhaustedError(
                    f"buffer.memory is used up ({self._budget.held} bytes held)", topic=topic
                )
            raise MetadataNotReadyError(f"the metadata of {topic} is not known yet", topic=topic)
        delivery = self.admission.let_wait(record, waits_for)
        return delivery if delivery is not None else self._no_room(record)

    def _no_room(self, record: WaitingRecord) -> Delivery:
        full = BufferExhaustedError(
            f"buffer.memory and a waiting room of its size are full ({self._budget.total} bytes"
            " each)"
        )
        return self._ledger.refuse(record.as_record(), full)

    def _too_large(self, size: int) -> RecordTooLargeError | None:
        if size > self._largest_record:
            return RecordTooLargeError(
                f"the record takes up to {size + HEADER_SIZE} bytes uncompressed;"
                f" max.request.size is {self._config.max_request_size}"
            )
        if size + RECORD_OVERHEAD > self._budget.total:
            return RecordTooLargeError(
                f"the record takes up to {size + RECORD_OVERHEAD} bytes with what is kept beside"
                f" it; buffer.memory is {self._budget.total}"
            )
        return None

    def _gets_in_now(self, record: WaitingRecord, waits_for: WaitsFor) -> bool:
        """Return whether ``record`` is only behind others of its topic that are none of its."""
        return (
            waits_for is WaitsFor.MEMORY
            and not self._memory_line
            and record.size + RECORD_OVERHEAD <= self._budget.available
        )

    def _append_at_once(self, record: WaitingRecord) -> Delivery:
        """Append a record that has nothing to wait for, whoever else of its topic waits."""
        try:
            queue = self._route_waiting(record, self._topics[record.topic])
        except PartitionerError as error:
            return self._ledger.refuse(record.as_record(), error)
        assert queue is not None
        delivery = self._append(
            queue, record.size, record.timestamp_ms, record.key, record.value, record.headers
        )
        batch = queue.open
        if record.expedite and batch is not None and batch.sealed is None:
            self._seal(queue, batch, Sealed.EXPEDITE)
        return delivery

    def _reason_to_wait(self, record: WaitingRecord) -> WaitsFor:
        """Return what a new record waits for; where it stands behind a serializer, its place."""
        line = self.admission.room.serializer_line
        if line.holds(record.topic):
            queues = self._known(record.topic)
            record.place = self._place(queues, record.partition, record.key)
            if line.must_wait(record.topic, record.place):
                return WaitsFor.SERIALIZER
        return self._next_wait(record)

    def _next_wait(self, record: WaitingRecord) -> WaitsFor:
        """Return what a record waits for that is serialized and has nobody before it."""
        topic, partition = record.topic, record.partition
        queues = self._known(topic)
        if queues.count == 0 or self.admission.room.holds(topic):
            return WaitsFor.TOPIC
        if partition is not None and partition >= queues.count:
            return WaitsFor.PARTITION
        return WaitsFor.MEMORY

    # Behind a serializer

    def _place(self, queues: TopicQueues, partition: int | None, key: bytes | None) -> int | None:
        """Return the partition that a record will go to, ``None`` while that is not known."""
        if partition is None and key is not None and self._hash_keys and queues.count:
            return partition_of_key(key, queues.count)
        return partition

    def _narrow(self, record: WaitingRecord) -> None:
        """Have a record whose key is serialized hold its own partition alone, if that is known."""
        place = self._place(self._expecting(record.topic), record.partition, record.key)
        if place is not None and record.place is None:
            self.admission.room.serializer_line.narrow(record, place)
            self.admission.moved_on(record.topic)

    def _set_blocked(self, topic: str) -> None:
        queues = self._topics.get(topic)
        if queues is not None:
            queues.blocked = queues.count == 0 or self.admission.room.blocks(topic)

    # What ends the waiting

    def _expecting(self, topic: str) -> TopicQueues:
        queues = self._topics.get(topic)
        if queues is None:
            queues = self._topics[topic] = TopicQueues(
                topic, adaptive=self._config.partitioner_adaptive_partitioning_enable
            )
        return queues

    def _known(self, topic: str) -> TopicQueues:
        """Return the queues of ``topic``, with its partitions if the cluster has told them."""
        queues = self._expecting(topic)
        if queues.count == 0:
            view = self._cluster.view.topics.get(topic)
            if view is not None and view.is_known:
                self._update_topic(queues, view)
        return queues

    def view_changed(self, view: ClusterView, topics: Iterable[str]) -> None:
        """Take over leaders and partitions; let in the records that waited for them."""
        for name in topics:
            topic = view.topics.get(name)
            if topic is None:
                continue
            if topic.is_known:
                self._update_topic(self._expecting(name), topic)
            error = topic_error(topic)
            if error is not None:
                self.admission.topic_refused(name, error)

    def forget(self, topics: Iterable[str]) -> list[str]:
        """Let go of topics long unused; the producer id keeper still knows their sequences.

        Returns those of which nothing is under way.
        """
        gone = []
        for name in topics:
            queues = self._topics.get(name)
            if self.admission.room.holds_any(name):
                continue
            if queues is None or all(queue.is_empty for queue in queues.partitions):
                self._topics.pop(name, None)
                gone.append(name)
        return gone

    def knows(self, topic: str) -> bool:
        """Return whether ``topic`` is in use."""
        return topic in self._topics

    def _update_topic(self, queues: TopicQueues, view: TopicView) -> None:
        changes = queues.update(view, self._sequences, self._keep_order)
        for queue in changes.moved:
            self._sender.leader_moved(queue)
        for queue in changes.gone:
            self._sender.abandon(queue, _partition_is_gone)
        self.admission.topic_known(view.name, queues.count)
        queues.blocked = self.admission.room.blocks(view.name)

    def _append_waiting(self, record: WaitingRecord) -> None:
        queues = self._topics[record.topic]
        charge = record.size + RECORD_OVERHEAD
        try:
            queue = self._route_waiting(record, queues)
        except PartitionerError as error:
            self._budget.give_back(charge)
            self.admission.fail(record, error)
            return
        if queue is None:
            # The topic was made anew with fewer partitions while this record waited for memory.
            self._budget.give_back(charge)
            self.admission.room.join(record, WaitsFor.PARTITION)
            self._cluster.request_update(record.topic)
            return
        batch = queue.open
        if batch is None or not batch.has_room(record.size):
            batch = self._new_batch(queue, record.timestamp_ms, record.size, record.sent_at)
        index = batch.append(record.timestamp_ms, record.key, record.value, record.headers)
        if index == 0:
            self._open(queue, batch)
        elif record.sent_at < batch.created:
            batch.created = record.sent_at
            self._sender.clock.start(queue, batch)
        batch.charged += charge
        self.admission.leave(record, (batch.fate,))
        if batch.fate.story is not None:
            batch.fate.story.admitted(record.waited())
        record.delivery._attach(batch.fate, index)
        if record.expedite and batch.sealed is None:
            self._seal(queue, batch, Sealed.EXPEDITE)

    def _route_waiting(self, record: WaitingRecord, queues: TopicQueues) -> PartitionQueue | None:
        partition = record.partition
        if partition is None and record.place is not None and record.place < queues.count:
            # The one it held since it was sent, also if the topic has grown since.
            partition = record.place
        return self._router.route(
            queues, partition, record.key, record.value, record.headers,
            record.user_key, record.user_value, self._unusable(queues),
        )  # fmt: skip

    # Flush, drain, close

    def _seal_everything(self, why: Sealed) -> None:
        for queues in self._topics.values():
            for queue in queues.partitions:
                batch = queue.open
                if batch is not None and batch.sealed is None:
                    self._seal(queue, batch, why)

    def expedite_everything(self) -> None:
        """Let nothing linger that was sent so far, what still waits for room included."""
        self._expedite_waiting()
        self._seal_everything(Sealed.EXPEDITE)

    def _expedite_waiting(self) -> None:
        for record in self.admission.room:
            record.expedite = True

    def partition_of(self, topic: str, key: bytes, user_key: object) -> int:
        """Return the partition for a key alone; raises while the topic is unknown."""
        queues = self._topics.get(topic)
        if queues is None or queues.count == 0:
            raise MetadataNotReadyError(f"the metadata of {topic} is not known yet", topic=topic)
        return self._router.partition_of(queues, key, user_key)

    def begin_flush(self) -> Flush:
        """Send everything without lingering; returns what to wait for."""
        self._flushing += 1
        # Also if nobody waits for the flush any more by the time that they get in.
        self._expedite_waiting()
        self._seal_everything(Sealed.FLUSH)
        flush = Flush([*self.admission.room, *self._ledger.unsettled], self._loop)
        self._ledger.flushes.append(flush)
        return flush

    def end_flush(self, flush: Flush) -> None:
        """Let batches linger again."""
        self._flushing -= 1
        self._ledger.flushes.remove(flush)

    def needs_drain(self, since: float) -> bool:
        """Return whether the sockets should have a turn before more records come."""
        return (
            self.admission.is_crowded
            or self._since_turn >= self._batch_size
            or self._loop.time() - since >= 0.001
        )

    def turn_given(self) -> None:
        """The loop had a turn."""
        self._since_turn = 0

    def sticky_topics(self) -> frozenset[str]:
        """Return the topics of which a batch's worth goes to one partition and then to another."""
        return frozenset(name for name, queues in self._topics.items() if queues.sticky.is_used)

    def queues(self) -> list[PartitionQueue]:
        """Return every partition queue."""
        return [queue for queues in self._topics.values() for queue in queues.partitions]


def _partition_is_gone(batch: Batch) -> ProducerError:
    return broker_error(
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "the topic was made anew with fewer partitions"
    )


def _retire_assembler(queue: PartitionQueue) -> None:
    queue.assembler = None
