"""The intake: takes a record from send() to its batch, or to the waiting room on the way."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence

from aioproducer.config import ProducerConfig
from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.cluster_view import ClusterView, TopicView
from aioproducer.core.memory_budget import RECORD_OVERHEAD, MemoryBudget
from aioproducer.core.murmur2 import murmur2, partition_of_key
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.partitioner import Partitioner, PartitionerRecord, PartitionList
from aioproducer.core.producer_identity import SequenceState
from aioproducer.core.topic_queues import TopicQueues
from aioproducer.core.waiting_room import WaitingRecord, WaitingRoom, WaitsFor
from aioproducer.delivery import Delivery, Fate, failed_delivery
from aioproducer.errors import (
    BufferExhaustedError,
    MetadataNotReadyError,
    MetadataTimeoutError,
    PartitionerError,
    ProducerError,
    RecordTooLargeError,
)
from aioproducer.records import Header
from aioproducer.runtime.assembler import BatchAssembler
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.ledger import Flush, Ledger
from aioproducer.runtime.sender import Sender
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.runtime.topic_errors import topic_error
from aioproducer.wire.record_batch import HEADER_SIZE
from aioproducer.wire.record_encoder import append_record, record_size_bound

Buffer = bytes | bytearray | memoryview

_ASSEMBLER_IDLE_S = 30.0
_time_ns = time.time_ns


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
        *,
        sequences: Callable[[str, int], SequenceState | None],
        partitioner: Partitioner | None,
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._cluster = cluster
        self._sender = sender
        self._ledger = ledger
        self._budget = budget
        self._supervisor = supervisor
        self._rng = rng
        self._sequences = sequences
        self._partitioner = partitioner
        self._loop = asyncio.get_running_loop()
        self._topics: dict[str, TopicQueues] = {}
        self.room = WaitingRoom()
        self._room_timer: asyncio.TimerHandle | None = None
        self._admission_scheduled = False
        self._drainers: list[asyncio.Future[None]] = []
        self._linger = config.linger_ms / 1000
        self._batch_size = max(1, config.batch_size)
        self._hash_keys = partitioner is None and not config.partitioner_ignore_keys
        self._largest_record = config.max_request_size - HEADER_SIZE
        self._memory_line = self.room.memory_line
        self._compressing = config.compression_type != "none"
        self._keep_order = config.partition_ordering or config.enable_idempotence
        self._max_block = config.max_block_ms / 1000
        self._flushing = 0
        self._since_turn = 0

    # The path of a record

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
            timestamp_ms = _time_ns() // 1_000_000
        self._since_turn += size
        queues = self._topics.get(topic)
        queue: PartitionQueue | None
        if queues is None or queues.blocked or self._memory_line or size > self._largest_record:
            queue = None
        elif partition is None and key is not None and self._hash_keys:
            queue = queues.partitions[(murmur2(key) & 0x7FFFFFFF) % queues.count]
        else:
            try:
                queue = self._route(queues, partition, key, value, headers, user_key, user_value)
            except PartitionerError as error:
                return self._fail_at_once(topic, None, error)
        charge = size + RECORD_OVERHEAD
        budget = self._budget
        if queue is None or charge > budget.available:
            record = WaitingRecord(
                topic, partition, key, value, headers, timestamp_ms, size,
                self._loop.time(), user_key, user_value, expedite,
            )  # fmt: skip
            return self._accept_slowly(record, may_wait)
        budget.available -= charge
        batch = queue.open
        if batch is None or len(batch.body) * batch.growth + size > batch.limit:
            batch = self._open_batch(queue, timestamp_ms, size, None)
        index = batch.count
        append_record(batch.body, timestamp_ms - batch.base_timestamp, index, key, value, headers)
        batch.count = index + 1
        batch.charged += charge
        if timestamp_ms > batch.max_timestamp:
            batch.max_timestamp = timestamp_ms
        if expedite and batch.sealed is None:
            self._seal(queue, batch, Sealed.EXPEDITE)
        return Delivery(batch.fate, index, timestamp_ms, key_size, value_size)

    def _open_batch(
        self, queue: PartitionQueue, timestamp_ms: int, size: int, created: float | None
    ) -> Batch:
        """Close the partition's full batch, if any, and open one for a record of ``size``."""
        if queue.open is not None:
            self._close_full(queue)
        now = self._loop.time()
        topic = queue.topic
        topic.last_used = now
        self._cluster.track(topic.name, now)
        fate = Fate(self._loop, topic.name, queue.index)
        batch = Batch(
            topic.name,
            queue.index,
            fate,
            order=queue.new_order(),
            created=now if created is None else created,
            opened=now,
            limit=max(self._batch_size, size + HEADER_SIZE),
            ratio=topic.ratio.estimate if self._compressing else 1.0,
            base_timestamp=timestamp_ms,
        )
        queue.open = batch
        self._ledger.opened(fate)
        self._sender.arm_deadline(queue, batch)
        why = self._reason_not_to_linger()
        if why is not None:
            batch.sealed = why
            self._sender.offer(queue)
        else:
            self._wake_assembler(queue)
        return batch

    def _reason_not_to_linger(self) -> Sealed | None:
        if self._linger <= 0:
            return Sealed.LINGER
        if self._flushing:
            return Sealed.FLUSH
        return Sealed.MEMORY if self.room.someone_waits_for_memory else None

    def _close_full(self, queue: PartitionQueue) -> None:
        batch = queue.close_open(Sealed.SIZE)
        if batch is not None:
            self._sender.offer(queue)

    def _seal(self, queue: PartitionQueue, batch: Batch, why: Sealed) -> None:
        assembler = queue.assembler
        if isinstance(assembler, BatchAssembler):
            assembler.seal(batch, why)
        else:
            batch.sealed = why
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
            on_ready=self._sender.offer,
            on_idle=_retire_assembler,
        )
        queue.assembler = assembler
        self._supervisor.start(
            assembler.run(), name=f"{self._client_id}:assembler-{queue.topic.name}-{queue.index}"
        )

    # Partitions

    def _route(
        self,
        queues: TopicQueues,
        partition: int | None,
        key: bytes | None,
        value: Buffer | None,
        headers: Sequence[Header],
        user_key: object,
        user_value: object,
    ) -> PartitionQueue | None:
        """Return the queue of the partition given or chosen; ``None`` if it is not there yet."""
        if partition is None:
            if self._partitioner is not None:
                partition = self._ask_partitioner(queues, key, value, headers, user_key, user_value)
            elif key is None or not self._hash_keys:
                partition = self._pick(queues)
            else:
                partition = partition_of_key(key, queues.count)
        return queues.partitions[partition] if partition < queues.count else None

    def _pick(self, queues: TopicQueues) -> int:
        unusable: frozenset[int] = frozenset()
        if self._config.partitioner_availability_timeout_ms > 0:
            nodes = self._cluster.unreachable_nodes()
            unusable = frozenset(q.index for q in queues.partitions if q.leader in nodes)
        return queues.pick(self._batch_size, self._rng, unusable)

    def _ask_partitioner(
        self,
        queues: TopicQueues,
        key: bytes | None,
        value: Buffer | None,
        headers: Sequence[Header],
        user_key: object,
        user_value: object,
    ) -> int:
        """Ask the user's partitioner; whatever goes wrong there fails this record alone."""
        assert self._partitioner is not None
        record = PartitionerRecord(
            topic=queues.name,
            key=user_key,
            value=user_value,
            key_bytes=key,
            value_bytes=None if value is None else bytes(value),
            headers=headers,
        )
        partitions = PartitionList(all=queues.count, available=queues.available)
        try:
            answer = self._partitioner.partition(record, partitions)
        except Exception as error:
            failure = PartitionerError(f"the partitioner raised {error!r}", topic=queues.name)
            failure.__cause__ = error
            raise failure from error
        if type(answer) is not int or not 0 <= answer < queues.count:
            raise PartitionerError(
                f"the partitioner answered {answer!r}; an int from 0 to {queues.count - 1}"
                " was expected",
                topic=queues.name,
            )
        return answer

    # The slow path

    def _accept_slowly(self, record: WaitingRecord, may_wait: bool) -> Delivery:
        """Let ``record`` wait, or refuse it."""
        topic, partition, size = record.topic, record.partition, record.size
        if size > self._largest_record:
            limit = self._config.max_request_size
            error = RecordTooLargeError(
                f"the record takes up to {size + HEADER_SIZE} bytes uncompressed;"
                f" max.request.size is {limit}"
            )
            return self._fail_at_once(topic, partition, error)
        waits_for = self._reason_to_wait(self._topics.get(topic), topic, partition)
        if not may_wait:
            if waits_for is WaitsFor.MEMORY:
                raise BufferExhaustedError(
                    f"buffer.memory is used up ({self._budget.held} bytes held)", topic=topic
                )
            raise MetadataNotReadyError(f"the metadata of {topic} is not known yet", topic=topic)
        if not self._budget.take_waiting(size + RECORD_OVERHEAD):
            full = BufferExhaustedError(
                "buffer.memory and a waiting room of its size are full"
                f" ({self._budget.total} bytes each)"
            )
            return self._fail_at_once(topic, partition, full)
        return self._let_wait(record, waits_for)

    def _let_wait(self, record: WaitingRecord, waits_for: WaitsFor) -> Delivery:
        record.take_copies()
        fate = Fate(self._loop, record.topic, record.partition, count=1)
        key, value = record.key, record.value
        record.delivery = Delivery(
            fate,
            0,
            record.timestamp_ms,
            -1 if key is None else len(key),
            -1 if value is None else len(value),
        )
        fate.withdraw = lambda: self._withdraw(record)
        first_for_memory = not self.room.someone_waits_for_memory
        self.room.join(record, waits_for)
        if waits_for is WaitsFor.MEMORY:
            if first_for_memory:
                # Batches opened from now on do not linger either, see _open_batch.
                self._seal_everything(Sealed.MEMORY)
            self.memory_released()
        else:
            self._cluster.track(record.topic, record.sent_at)
            self._cluster.request_update(record.topic)
        self._arm_room_timer()
        return record.delivery

    def _reason_to_wait(
        self, queues: TopicQueues | None, topic: str, partition: int | None
    ) -> WaitsFor:
        if queues is None:
            queues = self._expecting(topic)
            view = self._cluster.view.topics.get(topic)
            if view is not None and view.is_known:
                self._update_topic(queues, view)
        if queues.count == 0 or self.room.holds(topic):
            return WaitsFor.TOPIC
        if partition is not None and partition >= queues.count:
            return WaitsFor.PARTITION
        return WaitsFor.MEMORY

    def _fail_at_once(self, topic: str, partition: int | None, error: ProducerError) -> Delivery:
        error.topic, error.partition = topic, partition
        self._ledger.failed_alone(topic)
        return failed_delivery(self._loop, topic, partition, error)

    def _withdraw(self, record: WaitingRecord) -> None:
        if record in self.room:
            self._leave_room(record)

    def _leave_room(self, record: WaitingRecord, now_in: Iterable[object] = ()) -> None:
        self.room.leave(record)
        record.delivery._fate.withdraw = None
        self._budget.give_back_waiting(record.size + RECORD_OVERHEAD)
        self._ledger.moved(record, now_in)
        if not len(self.room):
            drainers, self._drainers = self._drainers, []
            for waiter in drainers:
                if not waiter.done():
                    waiter.set_result(None)

    def _fail_waiting(self, record: WaitingRecord, error: ProducerError) -> None:
        error.topic, error.partition = record.topic, record.partition
        fate = record.delivery._fate
        self._leave_room(record)
        self._ledger.failed_alone(record.topic)
        fate.fail(error)

    # What ends the waiting

    def _expecting(self, topic: str) -> TopicQueues:
        queues = self._topics.get(topic)
        if queues is None:
            queues = self._topics[topic] = TopicQueues(
                topic, adaptive=self._config.partitioner_adaptive_partitioning_enable
            )
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
                for record in self.room.waiting_for_topic(name):
                    self._fail_waiting(record, error.replica())

    def _update_topic(self, queues: TopicQueues, view: TopicView) -> None:
        moved = queues.update(view, self._sequences, self._keep_order)
        for queue in moved:
            self._sender.leader_moved(queue)
        waiting = self.room.waiting_for_topic(view.name)
        waiting += self.room.waiting_for_partitions(view.name, queues.count)
        for record in waiting:
            if record.partition is not None and record.partition >= queues.count:
                self.room.join(record, WaitsFor.PARTITION)
            else:
                self.room.join(record, WaitsFor.MEMORY)
        queues.blocked = self.room.holds(view.name)
        if waiting:
            self._admit()

    def memory_released(self) -> None:
        """Let waiting records in, once, at the end of this turn: woken one by one they would
        leave in batches of one."""
        if self.room.someone_waits_for_memory and not self._admission_scheduled:
            self._admission_scheduled = True
            self._loop.call_soon(self._admit)

    def _admit(self) -> None:
        self._admission_scheduled = False
        while (record := self.room.next_for_memory()) is not None:
            if not self._budget.take(record.size + RECORD_OVERHEAD):
                return
            self._append_waiting(record)

    def _append_waiting(self, record: WaitingRecord) -> None:
        queues = self._topics[record.topic]
        charge = record.size + RECORD_OVERHEAD
        try:
            queue = self._route(
                queues, record.partition, record.key, record.value, record.headers,
                record.user_key, record.user_value,
            )  # fmt: skip
        except PartitionerError as error:
            self._budget.give_back(charge)
            self._fail_waiting(record, error)
            return
        assert queue is not None, "records whose partition is missing wait in another line"
        batch = queue.open
        if batch is None or not batch.has_room(record.size):
            batch = self._open_batch(queue, record.timestamp_ms, record.size, record.sent_at)
        batch.created = min(batch.created, record.sent_at)
        index = batch.count
        append_record(
            batch.body,
            record.timestamp_ms - batch.base_timestamp,
            index,
            record.key,
            record.value,
            record.headers,
        )
        batch.count = index + 1
        batch.charged += charge
        batch.max_timestamp = max(batch.max_timestamp, record.timestamp_ms)
        self._leave_room(record, (batch.fate,))
        record.delivery._attach(batch.fate, index)
        if record.expedite and batch.sealed is None:
            self._seal(queue, batch, Sealed.EXPEDITE)

    def _arm_room_timer(self) -> None:
        oldest = self.room.oldest()
        if oldest is not None and self._room_timer is None:
            self._room_timer = self._loop.call_at(
                oldest.sent_at + self._max_block, self._expire_waiting
            )

    def _expire_waiting(self) -> None:
        self._room_timer = None
        now = self._loop.time()
        while (record := self.room.oldest()) is not None:
            if record.sent_at + self._max_block > now:
                break
            self._fail_waiting(record, self._waited_too_long(record))
        self._arm_room_timer()

    def _waited_too_long(self, record: WaitingRecord) -> ProducerError:
        limit = self._config.max_block_ms
        cause = self._cluster.trouble()
        error: ProducerError
        if record.waits_for is WaitsFor.MEMORY:
            error = BufferExhaustedError(
                f"no room in buffer.memory ({self._budget.total} bytes) within {limit} ms"
            )
        elif record.waits_for is WaitsFor.PARTITION:
            count = self._topics[record.topic].count
            error = MetadataTimeoutError(
                f"partition {record.partition} of topic {record.topic} with partition count"
                f" {count} is not present in metadata after {limit} ms"
            )
        else:
            view = self._cluster.view.topics.get(record.topic)
            if cause is None and view is not None:
                cause = topic_error(view, also_passing=True)
            error = MetadataTimeoutError(
                f"topic {record.topic} not present in metadata after {limit} ms"
                + (f": {cause}" if cause is not None else "")
            )
        error.__cause__ = cause
        return error

    # Flush, drain, close

    def _seal_everything(self, why: Sealed) -> None:
        for queues in self._topics.values():
            for queue in queues.partitions:
                batch = queue.open
                if batch is not None and batch.sealed is None:
                    self._seal(queue, batch, why)

    def expedite_everything(self) -> None:
        """Let no open batch linger any more."""
        self._seal_everything(Sealed.EXPEDITE)

    def ask_partitioner(self, topic: str, key_bytes: bytes, key: object) -> int:
        """Return the own partitioner's choice for a key alone."""
        queues = self._topics.get(topic)
        if queues is None or queues.blocked:
            raise MetadataNotReadyError(f"the metadata of {topic} is not known yet", topic=topic)
        return self._ask_partitioner(queues, key_bytes, None, (), key, None)

    def begin_flush(self) -> Flush:
        """Send everything without lingering; returns what to wait for."""
        self._flushing += 1
        self._seal_everything(Sealed.FLUSH)
        flush = Flush([*self.room, *self._ledger.unsettled], self._loop)
        self._ledger.flushes.append(flush)
        return flush

    def end_flush(self, flush: Flush) -> None:
        """Let batches linger again."""
        self._flushing -= 1
        self._ledger.flushes.remove(flush)

    def needs_drain(self, since: float) -> bool:
        """Return whether the sockets should have a turn before more records come."""
        return (
            len(self.room) > 0
            or self._since_turn >= self._batch_size
            or self._loop.time() - since >= 0.001
        )

    def turn_given(self) -> None:
        """The loop had a turn."""
        self._since_turn = 0

    async def room_empty(self) -> None:
        """Return once nobody waits for room or metadata. Cancelling abandons the wait only."""
        while len(self.room):
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._drainers.append(waiter)
            await waiter

    def queues(self) -> list[PartitionQueue]:
        """Return every partition queue."""
        return [queue for queues in self._topics.values() for queue in queues.partitions]

    def topic_queues(self, topic: str) -> TopicQueues | None:
        """Return what is known of ``topic``'s partitions."""
        return self._topics.get(topic)

    def fail_all_waiting(self, make_error: Callable[[], ProducerError]) -> list[str]:
        """Fail every waiting record; returns their topics."""
        topics = []
        for record in list(self.room):
            topics.append(record.topic)
            self._fail_waiting(record, make_error())
        return topics

    def close(self) -> None:
        """Cancel the timer."""
        if self._room_timer is not None:
            self._room_timer.cancel()


def _retire_assembler(queue: PartitionQueue) -> None:
    queue.assembler = None
