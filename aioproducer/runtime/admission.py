"""Admission: who waits for bytes, metadata or memory, who is let in when, who is too late."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable

from aioproducer.config import ProducerConfig
from aioproducer.core.memory_budget import RECORD_OVERHEAD, MemoryBudget
from aioproducer.core.meters import Meters
from aioproducer.core.waiting_room import WaitingRecord, WaitingRoom, WaitsFor
from aioproducer.delivery import Delivery, Fate
from aioproducer.errors import (
    BufferExhaustedError,
    DeliveryTimeoutError,
    MetadataTimeoutError,
    ProducerError,
)
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.events import EventLog
from aioproducer.runtime.ledger import Ledger
from aioproducer.runtime.serializing import waited_too_long
from aioproducer.runtime.stall import Alarm
from aioproducer.runtime.timers import SLACK
from aioproducer.runtime.topic_errors import topic_error

logger = logging.getLogger("aioproducer")

_ADMITTED_PER_TURN = 1_000
"""Appending this many takes a few milliseconds; sockets and timers get their turn in between."""


class Admission:
    """The waiting room with its clock. Plain calls only; it has no task."""

    def __init__(
        self,
        config: ProducerConfig,
        cluster: Cluster,
        ledger: Ledger,
        budget: MemoryBudget,
        meters: Meters,
        events: EventLog,
        *,
        append: Callable[[WaitingRecord], None],
        memory_short: Callable[[], None],
        next_wait: Callable[[WaitingRecord], WaitsFor],
        left_serializer: Callable[[WaitingRecord], None],
        unblocked: Callable[[str], None],
    ) -> None:
        self.room = WaitingRoom()
        # delivery.timeout.ms counts from send() too, and may be the shorter one.
        self._limit_ms = min(config.max_block_ms, config.delivery_timeout_ms)
        self._by_delivery_timeout = config.delivery_timeout_ms < config.max_block_ms
        self._cluster = cluster
        self._ledger = ledger
        self._budget = budget
        self._meters = meters
        self._events = events
        # Since when somebody waits for memory, and for metadata.
        self._memory_short_since: float | None = None
        self._metadata_short_since: float | None = None
        # Whether somebody is known to stand before memory that is used up: then nothing lingers.
        self.is_memory_short = False
        self._append = append
        self._memory_short = memory_short
        self._next_wait = next_wait
        self._left_serializer = left_serializer
        self._unblocked = unblocked
        self._moved_on: dict[str, None] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: Alarm | None = None
        self._scheduled = False
        self._drainers: list[asyncio.Future[None]] = []

    # In

    def let_wait(self, record: WaitingRecord, waits_for: WaitsFor) -> Delivery | None:
        """Give ``record`` a place and return its Delivery; ``None`` if the room is full."""
        if not self._budget.take_waiting(record.size + RECORD_OVERHEAD):
            return None
        record.take_copies()
        fate = Fate(self._loop, record.topic, record.partition, count=1)
        key, value = record.key, record.value
        record.delivery = fate.delivery(
            0,
            record.timestamp_ms,
            -1 if key is None else len(key),
            -1 if value is None else len(value),
        )
        fate.withdraw = lambda error: self._withdraw(record, error)
        fate.waiting = record
        record.waited_first = waits_for
        self.room.join(record, waits_for)
        if waits_for is WaitsFor.MEMORY:
            self._look_for_memory()
            self.memory_released()
        elif waits_for is not WaitsFor.SERIALIZER:
            self.want_metadata(record)
        self._meters.producer.at(record.sent_at).waits_begun += 1
        self._note_waits(record.sent_at)
        self._arm_timer()
        return record.delivery

    def want_metadata(self, record: WaitingRecord) -> None:
        """Ask for the partitions of the topic of ``record``."""
        self._cluster.track(record.topic, record.sent_at)
        self._cluster.request_update(record.topic)

    # Out

    def moved_on(self, topic: str) -> None:
        """Let those of ``topic`` go on whose serializer and turn have come, once per turn."""
        if not self._moved_on:
            self._loop.call_soon(self._leave_serializers)
        self._moved_on[topic] = None

    def _leave_serializers(self) -> None:
        moved_on, self._moved_on = self._moved_on, {}
        for topic in moved_on:
            ready: list[WaitingRecord] = []
            for record in self.room.serializer_line.take(topic):
                waits_for = self._next_wait(record)
                if waits_for is WaitsFor.MEMORY:
                    ready.append(record)
                else:
                    self.room.join(record, waits_for)
                    self.want_metadata(record)
            self._promote(ready)
            self._unblocked(topic)
        self._note_waits(self._loop.time())
        self._look_for_memory()
        self.memory_released()

    def topic_known(self, topic: str, count: int) -> None:
        """Let those go on who waited for ``topic``, which has ``count`` partitions."""
        waiting = self.room.waiting_for_topic(topic)
        waiting += self.room.waiting_for_partitions(topic, count)
        ready = [r for r in waiting if r.partition is None or r.partition < count]
        for record in waiting:
            if record.partition is not None and record.partition >= count:
                self.room.join(record, WaitsFor.PARTITION)
        self._promote(ready)
        if self.room.expects_partitions(topic):
            # They may be added any time: asked for again and again, with backoff.
            self._cluster.request_update(topic)
        if waiting:
            self._admit()
            self._note_waits(self._loop.time())

    def _promote(self, records: list[WaitingRecord]) -> None:
        """Let ``records`` wait for their turn to get memory, which may be there."""
        self.room.promote(records)
        if self.is_memory_short:
            self._begin_to_wait_for_memory(records)

    def _begin_to_wait_for_memory(self, records: Iterable[WaitingRecord]) -> None:
        now = self._loop.time()
        for record in records:
            if record.known_at is None and record.waited_first is not WaitsFor.MEMORY:
                record.known_at = now

    def _look_for_memory(self) -> None:
        """Have nothing linger from when the first in line finds too little memory."""
        if not self.room.someone_waits_for_memory:
            self.is_memory_short = False
        elif self._lacks_memory() and not self.is_memory_short:
            self.is_memory_short = True
            self._begin_to_wait_for_memory(self.room.memory_line)
            self._memory_short()

    def _lacks_memory(self) -> bool:
        """Return whether there is too little memory for the first in line, if there is one."""
        first = self.room.next_for_memory()
        return first is not None and first.size + RECORD_OVERHEAD > self._budget.available

    def topic_refused(self, topic: str, error: ProducerError) -> None:
        """Fail those who waited for a topic that may not be used, or for a partition of it."""
        for group in _alike(self.room.waiting_for_metadata(topic)):
            self._fail_together(group, error.replica())

    def refuse_topics(self, error: ProducerError) -> None:
        """Fail all who wait for a topic's metadata: nobody can be asked for it."""
        waiting = [record for record in self.room if record.waits_for is WaitsFor.TOPIC]
        for group in _alike(waiting):
            self._fail_together(group, error.replica())

    def memory_released(self) -> None:
        """Let records in, once, at the end of this turn.

        Woken one by one they would leave in batches of one.
        """
        if self.room.someone_waits_for_memory and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._admit)

    def _admit(self) -> None:
        """Let records in while there is memory, a bounded number in one turn of the loop."""
        self._scheduled = False
        for _ in range(_ADMITTED_PER_TURN):
            record = self.room.next_for_memory()
            if record is None or not self._budget.take(record.size + RECORD_OVERHEAD):
                self._note_waits(self._loop.time())
                self._look_for_memory()
                return
            try:
                self._append(record)
            except Exception as error:  # noqa: BLE001 - the others behind it must get in
                self._give_up(record, error)
        self.memory_released()

    def _give_up(self, record: WaitingRecord, error: Exception) -> None:
        logger.error("unexpected error while admitting a record", exc_info=error)
        if record in self.room:
            self._budget.give_back(record.size + RECORD_OVERHEAD)
            failure = ProducerError(f"unexpected error while queueing the record: {error!r}")
            failure.__cause__ = error
            self.fail(record, failure)

    def leave(self, record: WaitingRecord, for_batch: Iterable[object] = ()) -> None:
        """Forget ``record``; ``for_batch`` is the fate of the batch that took it."""
        self.room.leave(record)
        if not self.room.someone_waits_for_memory:
            self.is_memory_short = False
        if record.waits_for is WaitsFor.SERIALIZER:
            self._left_serializer(record)
            self.moved_on(record.topic)
        now = record.left_at = self._loop.time()
        self._meters.waited(now - record.sent_at, now)
        self._note_waits(now)
        record.delivery._fate.withdraw = record.delivery._fate.waiting = None
        self._budget.give_back_waiting(record.size + RECORD_OVERHEAD)
        self._ledger.moved(record, for_batch)
        if self._drainers and not self.is_crowded:
            drainers, self._drainers = self._drainers, []
            for waiter in drainers:
                if not waiter.done():
                    waiter.set_result(None)

    def _note_waits(self, now: float) -> None:
        """Measure for how long anybody at all waited; several at once count once."""
        # Not those whose turn is yet to come while there is memory.
        for_memory = self._lacks_memory()
        if for_memory != (self._memory_short_since is not None):
            if self._memory_short_since is not None:
                self._meters.producer.at(now).memory_wait += now - self._memory_short_since
            self._memory_short_since = now if for_memory else None
            if for_memory:
                self._events.repeat(
                    logging.INFO, "memory.short",
                    f"buffer.memory ({self._budget.total} bytes) is used up; records wait",
                    buffer_memory=self._budget.total,
                )  # fmt: skip
        for_metadata = self.room.someone_waits_for_metadata
        if for_metadata != (self._metadata_short_since is not None):
            if self._metadata_short_since is not None:
                self._meters.producer.at(now).metadata_wait += now - self._metadata_short_since
            self._metadata_short_since = now if for_metadata else None

    def book_waits(self) -> None:
        """Count the waiting up to now, also where it is not over."""
        now = self._loop.time()
        producer = self._meters.producer.at(now)
        if self._memory_short_since is not None:
            producer.memory_wait += now - self._memory_short_since
            self._memory_short_since = now
        if self._metadata_short_since is not None:
            producer.metadata_wait += now - self._metadata_short_since
            self._metadata_short_since = now

    def refused_for_memory(self) -> None:
        """Count a record that may not wait and for which there is no memory."""
        self._meters.producer.at(self._loop.time()).buffer_exhausted += 1

    def fail(self, record: WaitingRecord, error: ProducerError) -> None:
        """Fail a record that waits."""
        self._fail_together([record], error)

    def fail_all(self, make_error: Callable[[], ProducerError]) -> list[str]:
        """Fail every waiting record; returns their topics."""
        topics = []
        for group in _alike(self.room):
            topics += [record.topic for record in group]
            self._fail_together(group, make_error())
        return topics

    def _fail_together(self, records: list[WaitingRecord], error: ProducerError) -> None:
        """Fail records of one topic with one Fate: nobody-looked is reported once for all."""
        if not records:
            return
        first = records[0]
        fate = Fate(self._loop, first.topic, first.partition, count=len(records))
        for record in records:
            self.leave(record)
            record.delivery._attach(fate, 0)
        fate.waiting = first.waited()
        self._ledger.failed_alone(fate, error, [record.as_record() for record in records])
        # Behind a large one that has gone there may be smaller ones.
        self.memory_released()

    def _withdraw(self, record: WaitingRecord, error: ProducerError | None) -> None:
        """Let ``record`` go unsent: failed with ``error``, or cancelled."""
        if record not in self.room:
            return
        if error is None:
            self.leave(record)
            record.delivery._fate.waiting = record.waited()
        else:
            self.fail(record, error)
        # Behind a large one that has gone there may be smaller ones.
        self.memory_released()

    @property
    def is_crowded(self) -> bool:
        """Whether senders should hold back: memory is short, or half the room is taken."""
        return self.room.someone_waits_for_memory or self._budget.is_waiting_room_half_full

    async def uncrowded(self) -> None:
        """Return once there is room again. Cancelling abandons the wait only."""
        while self.is_crowded:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._drainers.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._drainers:
                    self._drainers.remove(waiter)

    # The clock of max.block.ms

    def _arm_timer(self) -> None:
        oldest = self.room.oldest()
        if oldest is not None and self._timer is None:
            deadline = oldest.sent_at + self._limit_ms / 1000
            self._timer = self._cluster.watch.call_at(deadline, self._expire)

    def _expire(self) -> None:
        # Armed for whoever has waited longest when it fires; all wait equally long.
        self._timer = None
        limit = self._loop.time() + SLACK - self._limit_ms / 1000
        expired = list(itertools.takewhile(lambda record: record.sent_at <= limit, self.room))
        for group in _alike(expired):
            self._fail_together(group, self._waited_too_long(group[0]))
        self._arm_timer()

    def _waited_too_long(self, record: WaitingRecord) -> ProducerError:
        limit = self._limit_ms
        if record.waits_for is WaitsFor.SERIALIZER:
            return waited_too_long(record, limit)
        cause = self._cluster.trouble()
        error: ProducerError
        if self._by_delivery_timeout:
            error = DeliveryTimeoutError(
                f"the record waited for {record.waits_for.value} until the {limit} ms of"
                " delivery.timeout.ms were over"
            )
        elif record.waits_for is WaitsFor.MEMORY:
            error = BufferExhaustedError(
                f"no room in buffer.memory ({self._budget.total} bytes) within {limit} ms"
            )
        elif record.waits_for is WaitsFor.PARTITION:
            view = self._cluster.view.topics.get(record.topic)
            count = len(view.partitions) if view is not None else 0
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

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _alike(records: Iterable[WaitingRecord]) -> list[list[WaitingRecord]]:
    """Group records that wait for the same thing."""
    groups: dict[tuple[str, int | None, WaitsFor], list[WaitingRecord]] = {}
    for record in records:
        key = (record.topic, record.partition, record.waits_for)
        groups.setdefault(key, []).append(record)
    return list(groups.values())
