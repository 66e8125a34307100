"""What finally failed, for those who do not await each Delivery; and what came too late."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from aioproducer.core.batch import Batch
from aioproducer.delivery import Delivery
from aioproducer.errors import ProducerError
from aioproducer.records import FailedRecord, LateResult, Record, RecordMetadata
from aioproducer.wire.record_batch import decode_records

READER_LIMIT = 10_000


class FailureReader:
    """An async iterator of failures; ends when the producer is closed and all were read.

    It holds up to ``READER_LIMIT`` unread failures. When more come the oldest are dropped, and
    ``dropped`` counts them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.dropped = 0
        self._loop = loop
        self._unread: deque[FailedRecord] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def __aiter__(self) -> FailureReader:
        return self

    async def __anext__(self) -> FailedRecord:
        """Return the next failure. Cancelling loses none."""
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is None or self._waiter.done():
                self._waiter = self._loop.create_future()
            # Shielded: several may wait for the next failure, and one may give up.
            await asyncio.shield(self._waiter)
        return self._unread.popleft()

    def add(self, failure: FailedRecord) -> None:
        """Hand over one failure."""
        if len(self._unread) >= READER_LIMIT:
            self._unread.popleft()
            self.dropped += 1
        self._unread.append(failure)
        self._wake()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class FailureFeed:
    """Hands failures to readers and late results to the hook."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # A reader that nobody holds any more no longer counts as one who looks.
        self._readers: weakref.WeakSet[FailureReader] = weakref.WeakSet()
        self.on_late_result: Callable[[LateResult], object] | None = None

    @property
    def is_read(self) -> bool:
        """Whether somebody reads; then failures are not reported to the loop's handler too."""
        return bool(self._readers)

    def reader(self) -> FailureReader:
        """Return a new reader of all that fails from now on."""
        reader = FailureReader(self._loop)
        self._readers.add(reader)
        return reader

    def publish_batch(self, batch: Batch, error: ProducerError) -> None:
        """Tell of every record in ``batch``."""
        if not self._readers:
            return
        for record in decode_records(batch.body, batch.count, batch.base_timestamp):
            self.publish(
                Record(
                    batch.topic,
                    record.value,
                    record.key,
                    batch.partition,
                    record.timestamp,
                    record.headers,
                ),
                error,
            )

    def publish(self, record: Record[Any, Any], error: ProducerError) -> None:
        """Tell of one record."""
        for reader in list(self._readers):
            reader.add(FailedRecord(record, error.replica()))

    def late(self, deliveries: Iterable[Delivery]) -> None:
        """Tell the hook what became of records whose waiters had given up."""
        hook = self.on_late_result
        if hook is None:
            return
        for delivery in deliveries:
            outcome = delivery._make_outcome()
            result = (
                LateResult(outcome.topic, outcome.partition, outcome, None)
                if isinstance(outcome, RecordMetadata)
                else LateResult(delivery.topic, delivery.partition, None, outcome)
            )
            self._loop.call_soon(hook, result)

    def close(self) -> None:
        """Let every reader end after what it has not read yet."""
        for reader in list(self._readers):
            reader.end()
