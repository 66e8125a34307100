"""The engine: makes the actors, knows their order of birth and death."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from aioproducer.config import ProducerConfig
from aioproducer.core.cluster_view import ClusterView
from aioproducer.core.memory_budget import MemoryBudget
from aioproducer.core.meters import Meters
from aioproducer.core.partitioner import Partitioner
from aioproducer.core.transaction import TransactionState
from aioproducer.core.transaction_scope import TransactionScope
from aioproducer.core.waiting_room import WaitingRecord
from aioproducer.delivery import Fate
from aioproducer.errors import (
    AFTER_A_CRASH,
    AuthenticationError,
    ProducerClosedError,
    ProducerError,
    ProducerStateError,
)
from aioproducer.records import CloseReport
from aioproducer.runtime.batch_preparer import BatchPreparer
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.events import EventLog, event
from aioproducer.runtime.failure_feed import FailureFeed
from aioproducer.runtime.held_records import HeldRecords
from aioproducer.runtime.intake import Intake
from aioproducer.runtime.ledger import Ledger
from aioproducer.runtime.patience import Patience
from aioproducer.runtime.producer_id import ProducerIdKeeper
from aioproducer.runtime.security import Security
from aioproducer.runtime.sender import Sender
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.runtime.topic_directory import TopicDirectory
from aioproducer.wire.compression import Compressor

if TYPE_CHECKING:
    from aioproducer.runtime.telemetry import Collect, TelemetryReporter
    from aioproducer.runtime.transaction_manager import TransactionManager

logger = logging.getLogger("aioproducer")

_FOR_TELEMETRY_S = 1.0
"""Seconds that the last push of metrics may take of the time that is left."""

_forgotten: set[asyncio.Task[CloseReport]] = set()
"""The ends of engines whose producer was collected; loops hold their tasks weakly."""


def _place(open_one: object) -> str:
    """Return where a batch or a waiting record of a flush is on its way to."""
    assert isinstance(open_one, (Fate, WaitingRecord))
    partition = open_one.partition
    return open_one.topic if partition is None else f"{open_one.topic}-{partition}"


class Engine:
    """Everything that lives while a producer is started; bound to the running loop."""

    def __init__(
        self,
        config: ProducerConfig,
        client_id: str,
        *,
        compressor: Compressor | None,
        partitioner: Partitioner | None,
        security: Security,
        rng: random.Random,
        on_crash: Callable[[], None],
        on_transaction_state: Callable[[TransactionState], None] = lambda state: None,
        telemetry: Collect = list,
        make_cluster: Callable[..., Cluster] = Cluster,
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._rng = rng
        self._on_crash = on_crash
        self.crash: BaseException | None = None
        # Awaited once every record is settled.
        self.before_end: Callable[[Patience], Awaitable[None]] | None = None
        self._loop = asyncio.get_running_loop()
        self.started_ms = round(time.time() * 1000)
        self.started_at = self._loop.time()
        self.batch_size = max(1, config.batch_size)
        # What all of the others are given.
        self.supervisor = Supervisor(client_id, self._crashed)
        self.budget = MemoryBudget(config.buffer_memory)
        self.feed = FailureFeed()
        self.meters = Meters(
            config.metrics_num_samples, config.metrics_sample_window_ms / 1000, self._loop.time()
        )
        self.events = EventLog(logger, client_id, self._loop.time)
        self.watch = StallWatch(client_id, self._is_busy, self._stalled)
        self._patience = Patience(self.watch)
        self.ledger = Ledger(
            self.budget, self.feed, self.meters, self.events, self._memory_released
        )
        # The actors, each made with those above it.
        self.cluster = self._make_cluster(make_cluster, security)
        self.topics = TopicDirectory(self.cluster)
        self.telemetry = self._make_telemetry(telemetry)
        self.keeper = self._make_keeper()
        scope = self._make_scope()
        self._preparer = BatchPreparer(compressor, client_id)
        self.sender = self._make_sender(scope)
        self.intake = self._make_intake(scope, partitioner)
        self.admission = self.intake.admission
        self.records = HeldRecords(self.intake, self.sender, self.budget)
        self.transactions = self._make_transactions(scope, on_transaction_state)

    def _make_cluster(self, make: Callable[..., Cluster], security: Security) -> Cluster:
        return make(
            self._config,
            self._client_id,
            self.supervisor,
            self._rng,
            meters=self.meters,
            events=self.events,
            watch=self.watch,
            on_view=self._view_changed,
            on_forgotten=self._topics_forgotten,
            on_replaced=self._cluster_replaced,
            on_refused=self._not_let_in,
            security=security,
        )

    def _make_keeper(self) -> ProducerIdKeeper:
        return ProducerIdKeeper(
            self._config,
            self._client_id,
            self.cluster,
            self._rng,
            on_identity=self._identity_acquired,
            on_refused=self._identity_refused,
        )

    def _make_sender(self, scope: TransactionScope | None) -> Sender:
        sender = Sender(
            self._config,
            self._client_id,
            self.cluster,
            self.keeper,
            self.ledger,
            self._preparer,
            self._rng,
            self.meters,
            scope,
        )
        self.cluster.attach(sender)
        return sender

    def _make_intake(
        self, scope: TransactionScope | None, partitioner: Partitioner | None
    ) -> Intake:
        return Intake(
            self._config,
            self._client_id,
            self.cluster,
            self.sender,
            self.ledger,
            self.budget,
            self.supervisor,
            self._rng,
            self.meters,
            self.events,
            sequences=self.keeper.sequences,
            partitioner=partitioner,
            feed=self.feed,
            scope=scope,
        )

    def _make_telemetry(self, collect: Collect) -> TelemetryReporter | None:
        config = self._config
        if not config.enable_metrics_push:
            return None
        from aioproducer.runtime.telemetry import TelemetryReporter

        return TelemetryReporter(
            self._client_id, self.cluster, collect, self._rng, config.transactional_id
        )

    def _make_scope(self) -> TransactionScope | None:
        transactional_id = self._config.transactional_id
        if transactional_id is None:
            return None
        return TransactionScope(transactional_id, self._transaction_wakes)

    def _make_transactions(
        self, scope: TransactionScope | None, on_state: Callable[[TransactionState], None]
    ) -> TransactionManager | None:
        if scope is None:
            return None
        from aioproducer.runtime.coordinator_client import CoordinatorClient
        from aioproducer.runtime.transaction_manager import TransactionManager

        config, client_id = self._config, self._client_id
        manager = TransactionManager(
            config,
            client_id,
            scope,
            CoordinatorClient(config, client_id, self.cluster, scope.transactional_id),
            self.keeper,
            self.records,
            self._rng,
            self.watch,
            on_fatal=self.records.fail_all,
            on_state=on_state,
        )
        self.ledger.on_failure = manager.record_failed
        return manager

    def start(self) -> None:
        """Start the tasks; they begin to connect by themselves."""
        self.supervisor.start(self.cluster.run(), name=f"{self._client_id}:metadata")
        if self.transactions is not None:
            name = f"{self._client_id}:transactions"
            self.supervisor.start(self.transactions.run(), name=name)
        elif self._config.enable_idempotence:
            self.keeper.want()
            self.supervisor.start(self.keeper.run(), name=f"{self._client_id}:producer-id")

    async def flush(self, timeout: float) -> list[str]:
        """Send everything accepted so far; returns where batches or records are still open.

        Cancelling abandons the wait; everything is sent all the same.
        """
        flush = self.intake.begin_flush()
        try:
            with contextlib.suppress(TimeoutError), self.timing("flush_time"):
                async with self.watch.timeout(timeout):
                    await asyncio.wait([flush.done])
            return [_place(each) for each in flush.remaining]
        finally:
            self.intake.end_flush(flush)

    def now(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    @contextlib.contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Count how long the block takes as ``what``, a sum of the producer's sample."""
        begun = self.now()
        try:
            yield
        finally:
            now = self.now()
            sample = self.meters.producer.at(now)
            setattr(sample, what, getattr(sample, what) + now - begun)

    async def close(self, timeout: float) -> CloseReport:
        """Deliver what ``timeout`` seconds allow, fail the rest, end all tasks.

        Cancelling it, as the end of the loop does, leaves no more time; all the rest is done.
        """
        patience = self._patience
        patience.shorten(timeout)
        self.supervisor.expect_cancelling()
        try:
            async with patience.step():
                if self.crash is None and patience.left > 0:
                    await self._leave(patience.left)
        finally:
            abandoned = self.records.fail_all(
                ProducerClosedError("the producer was closed before the record was delivered")
            )
            self.topics.fail_all(ProducerClosedError("the producer was closed"))
            if self.transactions is not None:
                self.transactions.close(ProducerClosedError("the producer was closed"))
            if self.before_end is not None:
                await self.before_end(patience)
            if self.telemetry is not None:
                left = min(max(patience.left, 0), _FOR_TELEMETRY_S)
                with contextlib.suppress(asyncio.CancelledError):
                    await self.telemetry.terminate(left)
            self.admission.close()
            self.sender.close()
            self.watch.close()
            await self.supervisor.close()
            await self._preparer.close()
            self.feed.close()
        report = self.ledger.report(abandoned)
        if report.abandoned:
            logger.warning(
                "[%s] closed with %d records undelivered: %s",
                self._client_id,
                report.abandoned,
                ", ".join(f"{t} {n.abandoned}" for t, n in report.topics.items() if n.abandoned),
                extra=event("records.abandoned", self._client_id, records=report.abandoned),
            )
        self.events.say(
            logging.INFO, "producer.closed",
            f"closed: {report.delivered} records delivered, {report.failed} failed",
            delivered=report.delivered, failed=report.failed, abandoned=report.abandoned,
        )  # fmt: skip
        return report

    def forgotten(self, timeout: float) -> None:
        """Close by itself, since nobody is left who could; callable from any thread.

        What was sent is delivered, and no task or socket outlives that.
        """
        # A loop that is closed has nothing left to end.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._close_alone, timeout)

    def _close_alone(self, timeout: float) -> None:
        task = asyncio.Task(self.close(timeout), loop=self._loop, name=f"{self._client_id}:close")
        _forgotten.add(task)
        task.add_done_callback(_forgotten.discard)

    def hasten(self, timeout: float) -> None:
        """Have ``close()`` go on for no more than ``timeout`` seconds from now."""
        self._patience.shorten(timeout)

    async def _leave(self, timeout: float) -> None:
        if self.transactions is None:
            await self.flush(timeout)
        else:
            # Its records are committed or aborted, so that none is left to flush.
            await self.transactions.leave(timeout)

    def trouble(self) -> ProducerError | None:
        """Return the last known cause of what is held up, ``None`` if none is known."""
        return self.records.last_error() or self.cluster.trouble()

    def _stalled(self, now: float) -> None:
        self.meters.producer.at(now).stalls += 1

    def _is_busy(self) -> bool:
        return bool(self.ledger.unsettled) or len(self.admission.room) > 0

    # What the actors tell each other

    def _view_changed(self, view: ClusterView, topics: Iterable[str]) -> None:
        names = tuple(topics)
        if self.telemetry is not None:
            self.telemetry.cluster_known(self.supervisor)
        self.intake.view_changed(view, names)
        self.topics.view_changed(view, names)
        self.sender.chase_leaders()

    def _topics_forgotten(self, topics: Iterable[str]) -> None:
        for name in self.intake.forget(topics):
            self.meters.topic_forgotten(name)

    def _cluster_replaced(self) -> None:
        if self.transactions is None:
            self.keeper.renounce()

    def _memory_released(self) -> None:
        self.admission.memory_released()
        self._transaction_wakes()

    def _transaction_wakes(self) -> None:
        if self.transactions is not None:
            self.transactions.wake()

    def _identity_acquired(self) -> None:
        self.sender.identity_acquired()

    def _identity_refused(self, error: ProducerError) -> None:
        self.records.fail_all(error)

    def _not_let_in(self, error: AuthenticationError, node_id: int | None) -> None:
        """Fail what waits for a broker that refuses us, or for the metadata if all of them do."""
        if node_id is None:
            self.admission.refuse_topics(error)
            self.topics.fail_all(error)
            return
        self.records.fail_all_of_broker(node_id, error)

    def _crashed(self, task: str, error: BaseException) -> None:
        if self.crash is not None:
            return
        self.crash = error
        self._on_crash()
        failure = ProducerStateError(
            f"the background task {task} died: {error!r}", what_next=AFTER_A_CRASH
        )
        failure.__cause__ = error
        self.records.fail_all(failure)
        self.topics.fail_all(failure)
        if self.transactions is not None:
            self.transactions.close(failure)
