"""The engine: makes the actors, knows their order of birth and death."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterable

from aioproducer.config import ProducerConfig
from aioproducer.core.batch import Batch
from aioproducer.core.cluster_view import ClusterView
from aioproducer.core.memory_budget import MemoryBudget
from aioproducer.core.partitioner import Partitioner
from aioproducer.errors import ProducerClosedError, ProducerError, ProducerStateError
from aioproducer.records import CloseReport
from aioproducer.runtime.batch_preparer import BatchPreparer
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.failure_feed import FailureFeed
from aioproducer.runtime.intake import Intake
from aioproducer.runtime.ledger import Ledger
from aioproducer.runtime.producer_id import ProducerIdKeeper
from aioproducer.runtime.sender import Sender
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.runtime.topic_directory import TopicDirectory
from aioproducer.wire.compression import Compressor


class Engine:
    """Everything that lives while a producer is started; bound to the running loop."""

    def __init__(
        self,
        config: ProducerConfig,
        client_id: str,
        *,
        compressor: Compressor | None,
        partitioner: Partitioner | None,
        rng: random.Random,
        on_crash: Callable[[], None],
    ) -> None:
        self._config = config
        self._on_crash = on_crash
        self._client_id = client_id
        self.crash: BaseException | None = None
        self.supervisor = Supervisor(client_id, self._crashed)
        self.budget = MemoryBudget(config.buffer_memory)
        self.feed = FailureFeed()
        self.ledger = Ledger(self.budget, self.feed, self._memory_released)
        self.watch = StallWatch(client_id, self._is_busy)
        self.cluster = Cluster(
            config,
            client_id,
            self.supervisor,
            rng,
            watch=self.watch,
            on_view=self._view_changed,
            on_forgotten=self._topics_forgotten,
        )
        self.keeper = ProducerIdKeeper(
            config,
            client_id,
            self.cluster,
            rng,
            on_identity=self._identity_acquired,
            on_refused=self._identity_refused,
        )
        self._preparer = BatchPreparer(compressor, client_id)
        self.sender = Sender(
            config, client_id, self.cluster, self.keeper, self.ledger, self._preparer, rng
        )
        self.cluster.attach(self.sender)
        self.topics = TopicDirectory(self.cluster)
        self.intake = Intake(
            config,
            client_id,
            self.cluster,
            self.sender,
            self.ledger,
            self.budget,
            self.supervisor,
            rng,
            sequences=self.keeper.sequences,
            partitioner=partitioner,
            feed=self.feed,
        )
        self.admission = self.intake.admission

    def start(self) -> None:
        """Start the tasks; they begin to connect by themselves."""
        self.supervisor.start(self.cluster.run(), name=f"{self._client_id}:metadata")
        if self._config.enable_idempotence:
            self.keeper.want()
            self.supervisor.start(self.keeper.run(), name=f"{self._client_id}:producer-id")

    async def flush(self, timeout: float) -> int:
        """Send everything accepted so far; returns how many batches or records are still open.

        Cancelling abandons the wait; everything is sent all the same.
        """
        flush = self.intake.begin_flush()
        try:
            with contextlib.suppress(TimeoutError):
                async with self.watch.timeout(timeout):
                    await asyncio.wait([flush.done])
            return len(flush.remaining)
        finally:
            self.intake.end_flush(flush)

    async def close(self, timeout: float) -> CloseReport:
        """Deliver what ``timeout`` seconds allow, fail the rest, end all tasks."""
        try:
            if self.crash is None and timeout > 0:
                await self.flush(timeout)
        finally:
            abandoned = self.fail_everything(
                ProducerClosedError("the producer was closed before the record was delivered")
            )
            self.topics.close(ProducerClosedError("the producer was closed"))
            self.admission.close()
            self.sender.close()
            self.watch.close()
            await self.supervisor.close()
            await self._preparer.close()
            self.feed.close()
        return self.ledger.report(abandoned)

    def fail_everything(self, error: ProducerError) -> Counter[str]:
        """Fail all that is queued, waiting or in flight; returns how many records per topic."""
        abandoned = Counter(self.admission.fail_all(error.replica))

        def fail(batch: Batch) -> ProducerError:
            abandoned[batch.topic] += batch.count
            failure = error.replica()
            queue_error = batch.last_error
            if queue_error is not None and failure.__cause__ is None:
                failure.__cause__ = queue_error
            return failure

        for queue in self.intake.queues():
            self.sender.abandon(queue, fail)
        return abandoned

    def _is_busy(self) -> bool:
        return bool(self.ledger.unsettled) or len(self.admission.room) > 0

    # What the actors tell each other

    def _view_changed(self, view: ClusterView, topics: Iterable[str]) -> None:
        names = tuple(topics)
        self.intake.view_changed(view, names)
        self.topics.view_changed(view, names)
        self.sender.chase_leaders()

    def _topics_forgotten(self, topics: Iterable[str]) -> None:
        self.intake.forget(topics)

    def _memory_released(self) -> None:
        self.admission.memory_released()

    def _identity_acquired(self) -> None:
        self.sender.identity_acquired()

    def _identity_refused(self, error: ProducerError) -> None:
        self.fail_everything(error)

    def _crashed(self, task: str, error: BaseException) -> None:
        self.crash = error
        self._on_crash()
        failure = ProducerStateError(f"the background task {task} died: {error!r}")
        failure.__cause__ = error
        self.fail_everything(failure)
        self.topics.close(failure)
