"""The ledger: what is unsettled, what was delivered or failed, and who waits for that."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aioproducer.core.batch import Batch
from aioproducer.core.memory_budget import MemoryBudget
from aioproducer.core.meters import Meters
from aioproducer.delivery import Delivery, Fate
from aioproducer.errors import BufferExhaustedError, ProducerError
from aioproducer.records import UNKNOWN_TIMESTAMP, CloseReport, Record, TopicReport
from aioproducer.runtime.events import EventLog
from aioproducer.runtime.failure_feed import FailureFeed


class Flush:
    """What one flush() still waits for; its future is done when that is nothing."""

    def __init__(self, remaining: Iterable[object], loop: asyncio.AbstractEventLoop) -> None:
        self.remaining = set(remaining)
        self.done: asyncio.Future[None] = loop.create_future()
        self._check()

    def replace(self, old: object, new: Iterable[object]) -> None:
        """Wait for ``new`` instead of ``old``, if that was waited for."""
        if old in self.remaining:
            self.remaining.discard(old)
            self.remaining.update(new)
            self._check()

    def _check(self) -> None:
        if not self.remaining and not self.done.done():
            self.done.set_result(None)


class Ledger:
    """Settles fates, returns memory, counts, and tells flushes."""

    def __init__(
        self,
        budget: MemoryBudget,
        feed: FailureFeed,
        meters: Meters,
        events: EventLog,
        on_memory: Callable[[], None],
    ) -> None:
        self._feed = feed
        self.unsettled: dict[Fate, None] = {}
        self.flushes: list[Flush] = []
        # A transaction is told of every failure; its commit raises the first, nothing else need.
        self.on_failure: Callable[[ProducerError], None] | None = None
        self._budget = budget
        self._on_memory = on_memory
        self._loop = asyncio.get_running_loop()
        self._meters = meters
        self._events = events

    def opened(self, fate: Fate) -> None:
        """Note a new batch."""
        self.unsettled[fate] = None

    def moved(self, old: object, new: Iterable[object]) -> None:
        """Tell flushes that ``new`` took the place of ``old``."""
        for flush in self.flushes:
            flush.replace(old, new)

    def delivered(
        self, batch: Batch, base_offset: int, log_append_time_ms: int, now: float
    ) -> None:
        """Settle ``batch`` as acknowledged."""
        if batch.expired:
            # Too late for its fate, which the clock has settled as failed.
            self.release(batch)
            return
        self._meters.delivered(batch, now)
        story = batch.fate.story
        if story is not None:
            story.settled_at = now
        self._close(batch)
        batch.fate.deliver(base_offset, log_append_time_ms)
        self._forget(batch.fate)
        self.release(batch)

    def failed(self, batch: Batch, error: ProducerError, *, keep_memory: bool = False) -> None:
        """Settle ``batch`` as failed; on the wire its memory stays taken until the answer."""
        error.topic = batch.topic
        error.partition = batch.partition
        error.attempts = max(error.attempts, batch.attempts)
        if batch.maybe_written and error.persisted == "no":
            error.persisted = "maybe"
        now = self._loop.time()
        self._meters.failed(batch.topic, batch.count, now)
        story = batch.fate.story
        if story is not None:
            story.settled_at = now
        self._close(batch)
        self._say_failure(batch.topic, batch.count, error)
        self._tell_failure(batch.fate, error)
        self._feed.publish_batch(batch, error)
        batch.fate.fail(error)
        self._forget(batch.fate)
        if not keep_memory:
            self.release(batch)

    def divided(self, batch: Batch, heirs: list[Batch], fates: list[tuple[int, Fate, int]]) -> None:
        """Hand the fate of ``batch`` on to ``fates``; its memory went to the ``heirs``."""
        for heir in heirs:
            self.unsettled[heir.fate] = None
        self._close(batch)
        batch.charged = 0
        self._meters.producer.at(self._loop.time()).batches_split += 1
        batch.fate.divide(fates)
        self.unsettled.pop(batch.fate, None)
        self.moved(batch.fate, [heir.fate for heir in heirs])

    def retried(self, batch: Batch) -> None:
        """Count another attempt."""
        self._meters.retried(batch, self._loop.time())

    def release(self, batch: Batch) -> None:
        """Give back the memory of ``batch``."""
        charged, batch.charged = batch.charged, 0
        if charged:
            self._budget.give_back(charged)
            self._on_memory()

    def failed_alone(
        self, fate: Fate, error: ProducerError, records: Sequence[Record[Any, Any]]
    ) -> None:
        """Settle records as failed that have no batch, or shall not share their batch's fate."""
        error.topic, error.partition = fate.topic, fate.partition
        now = self._loop.time()
        self._meters.failed(fate.topic, len(records), now)
        if isinstance(error, BufferExhaustedError):
            self._meters.producer.at(now).buffer_exhausted += len(records)
        self._say_failure(fate.topic, len(records), error)
        self._tell_failure(fate, error)
        for record in records:
            self._feed.publish(record, error)
        fate.fail(error)

    def _say_failure(self, topic: str, count: int, error: ProducerError) -> None:
        # At INFO: who sends learns of it by the Delivery, or as nobody's having looked at one.
        self._events.repeat(
            logging.INFO, "records.failed", f"{count} record(s) for {topic} failed: {error}",
            key=topic, topic=topic, records=count, error_type=type(error).__name__,
            persisted=error.persisted,
        )  # fmt: skip

    def _tell_failure(self, fate: Fate, error: ProducerError) -> None:
        fate.quiet = self._feed.is_read or self.on_failure is not None
        if self.on_failure is not None:
            self.on_failure(error)

    def refuse(self, record: Record[Any, Any], error: ProducerError) -> Delivery:
        """Return a Delivery that has failed already, for a record that never got in."""
        fate = Fate(self._loop, record.topic, record.partition, count=1)
        delivery = fate.delivery(0, UNKNOWN_TIMESTAMP, -1, -1)
        self.failed_alone(fate, error, [record])
        return delivery

    def report(self, abandoned: Counter[str]) -> CloseReport:
        """Return the counts by topic."""
        counted = {topic: meter.total() for topic, meter in sorted(self._meters.topics.items())}
        gone = self._meters.forgotten.total()
        return CloseReport(
            topics={
                topic: TopicReport(
                    delivered=total.ack_records,
                    failed=total.records_failed - abandoned[topic],
                    abandoned=abandoned[topic],
                )
                for topic, total in counted.items()
                if total.ack_records or total.records_failed
            },
            forgotten=TopicReport(gone.ack_records, gone.records_failed, 0),
        )

    @property
    def records_delivered(self) -> int:
        """Records acknowledged so far."""
        return self._meters.producer.total().ack_records

    @property
    def records_failed(self) -> int:
        """Records failed so far."""
        return self._meters.producer.total().records_failed

    @property
    def records_retried(self) -> int:
        """Records that went back to be sent again, each time counted."""
        return self._meters.producer.total().records_retried

    @property
    def batches_delivered(self) -> int:
        """Batches acknowledged so far."""
        return self._meters.producer.total().ack_batches

    def _close(self, batch: Batch) -> None:
        batch.fate.count = batch.count
        clock = batch.clock
        if clock is not None:
            clock.stop(batch)
            batch.clock = None

    def _forget(self, fate: Fate) -> None:
        self.unsettled.pop(fate, None)
        self.moved(fate, ())
