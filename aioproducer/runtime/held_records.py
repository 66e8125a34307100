"""HeldRecords: all records that are not settled, in the waiting room, in batches, on the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from aioproducer.core.batch import Batch
from aioproducer.core.memory_budget import MemoryBudget
from aioproducer.delivery import FateState
from aioproducer.errors import ProducerError
from aioproducer.runtime.intake import Intake
from aioproducer.runtime.sender import Sender


class HeldRecords:
    """What can be asked and done about all of them at once."""

    def __init__(self, intake: Intake, sender: Sender, budget: MemoryBudget) -> None:
        self._intake = intake
        self._admission = intake.admission
        self._sender = sender
        self._budget = budget

    def is_quiet(self) -> bool:
        """Return whether no record waits, is open, or is on the wire."""
        return self._budget.held == 0 and not self._admission.room

    def in_batches(self) -> int:
        """Return how many records are in batches that are not settled."""
        return sum(
            batch.count
            for queue in self._intake.queues()
            for batch in (*queue.on_wire, *queue.waiting, *([queue.open] if queue.open else []))
            if batch.fate.state is FateState.PENDING
        )

    def last_error(self) -> ProducerError | None:
        """Return what the first batch of some partition has met, ``None`` if none has."""
        for queue in self._intake.queues():
            batch = queue.on_wire[0] if queue.on_wire else queue.head()
            if batch is not None and batch.last_error is not None:
                return batch.last_error
        return None

    def hurry(self, done: Callable[[], None]) -> Callable[[], None]:
        """Send everything without lingering; ``done`` once it is settled. Returns what ends it."""
        flush = self._intake.begin_flush()
        flush.done.add_done_callback(lambda _: done())
        return lambda: self._intake.end_flush(flush)

    def offer_everything(self) -> None:
        """Have every partition that has something to send looked at."""
        for queue in self._intake.queues():
            head = queue.head()
            if head is not None and head.is_ready:
                self._sender.offer(queue)

    def withdraw(self, make_error: Callable[[], ProducerError], *, keep_doubtful: bool) -> None:
        """Fail everything that is not on the wire."""
        self._admission.fail_all(make_error)
        for queue in self._intake.queues():
            self._sender.withdraw(queue, make_error, keep_doubtful)

    def fail_all(self, error: ProducerError) -> Counter[str]:
        """Fail all that is queued, waiting or in flight; returns how many records per topic."""
        abandoned = Counter(self._admission.fail_all(error.replica))

        def fail(batch: Batch) -> ProducerError:
            abandoned[batch.topic] += batch.count
            failure = error.replica()
            queue_error = batch.last_error
            if queue_error is not None and failure.__cause__ is None:
                failure.__cause__ = queue_error
            return failure

        for queue in self._intake.queues():
            self._sender.abandon(queue, fail)
        return abandoned

    def fail_all_of_broker(self, node_id: int, error: ProducerError) -> None:
        """Fail what is in batches for a broker that refuses us."""

        def fail(batch: Batch) -> ProducerError:
            own = error.replica()
            own.persisted = "maybe" if batch.maybe_written else "no"
            own.attempts = batch.attempts
            return own

        for queue in self._intake.queues():
            if queue.leader == node_id:
                self._sender.abandon(queue, fail)
