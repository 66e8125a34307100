"""The Sender: hands each broker its ready batches, judges the answers, settles fates."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from aioproducer import inlined
from aioproducer.config import ProducerConfig
from aioproducer.core.backoff import backoff_ms, busy_backoff_ms
from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.cluster_view import NO_LEADER
from aioproducer.core.judgement import DELIVER, Judgement, Ruling, judge_answer, judge_lost
from aioproducer.core.meters import Meters
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.produce_exchange import ProduceExchange, Shipment
from aioproducer.core.producer_identity import SequenceState
from aioproducer.core.split import remove_records, split_batch
from aioproducer.core.transaction_scope import TransactionProtocol, TransactionScope
from aioproducer.delivery import FateState
from aioproducer.errors import (
    ConcurrentTransactionsError,
    DeliveryTimeoutError,
    ProducerError,
    broker_error,
)
from aioproducer.runtime.batch_preparer import BatchPreparer
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.connection_manager import ProduceWork
from aioproducer.runtime.delivery_clock import DeliveryClock
from aioproducer.runtime.events import event
from aioproducer.runtime.ledger import Ledger
from aioproducer.runtime.producer_id import ProducerIdKeeper
from aioproducer.story import NEVER
from aioproducer.wire.messages.produce import ProducePartitionResponse, ProduceResponse

logger = logging.getLogger("aioproducer")

# Members asked of an enum's class cost a search each time in CPython 3.11.
_DELIVER = Ruling.DELIVER
_RETRY = Ruling.RETRY
_SPLIT = Ruling.SPLIT

_LAST_PRODUCE_WITH_NAMES = 12
_FIRST_PRODUCE_THAT_ADDS = 12
"""From here on a produce request adds its partitions to the transaction by itself (KIP-890)."""


class Sender:
    """Stands between the partition queues and the connection managers; it has no task."""

    def __init__(
        self,
        config: ProducerConfig,
        client_id: str,
        cluster: Cluster,
        keeper: ProducerIdKeeper,
        ledger: Ledger,
        preparer: BatchPreparer,
        rng: random.Random,
        meters: Meters,
        scope: TransactionScope | None = None,
    ) -> None:
        self._meters = meters
        # The open transaction, if this producer has a transactional id.
        self._scope = scope
        self._config = config
        self._client_id = client_id
        self._cluster = cluster
        self._keeper = keeper
        self._ledger = ledger
        self._preparer = preparer
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._watch = cluster.watch
        self._lines: dict[int, deque[PartitionQueue]] = {}
        self._leaderless: dict[PartitionQueue, None] = {}
        self._retry_timers: dict[PartitionQueue, asyncio.TimerHandle] = {}
        # Told of each broker to which nothing is on its way any more; for an adaptive linger.
        self.on_idle: Callable[[int], None] | None = None
        self.clock = DeliveryClock(cluster.watch, config.delivery_timeout_ms / 1000, self._expire)

    # Into the lines

    def offer(self, queue: PartitionQueue) -> None:
        """Have ``queue`` looked at when its leader next has room."""
        leader = queue.leader
        manager = self._cluster.manager(leader) if leader != NO_LEADER else None
        if manager is None:
            # No leader, or one that the last answer did not list: its broker was behind.
            queue.listed_at = None
            self._leaderless[queue] = None
            self._cluster.request_update(queue.topic.name)
            return
        if queue.listed_at != leader:
            queue.listed_at = leader
            self._lines.setdefault(leader, deque()).append(queue)
        manager.schedule_drain()

    def leader_moved(self, queue: PartitionQueue) -> None:
        """Take note of a new leader; a retry need not wait out its backoff for it (KIP-951)."""
        self._leaderless.pop(queue, None)
        head = queue.head()
        if head is None:
            return
        for batch in queue.waiting or (head,):
            if batch.fate.story is not None:
                batch.fate.story.leader_at = self._loop.time()
        if queue.leader != NO_LEADER and head.retry_at:
            head.retry_at = 0.0
        self.offer(queue)

    def chase_leaders(self) -> None:
        """Ask again for the leaders of partitions that have something to send but no leader."""
        waiting, self._leaderless = self._leaderless, {}
        for queue in waiting:
            if queue.head() is not None:
                self.offer(queue)

    def node_gone(self, node_id: int) -> None:
        """Find other leaders for what stands in line for a broker that is no more."""
        for queue in self._lines.pop(node_id, ()):
            if queue.listed_at == node_id:
                queue.listed_at = None
                self.offer(queue)

    def has_work(self, node_id: int) -> bool:
        """Return whether any partition stands in line for a broker."""
        line = self._lines.get(node_id)
        if not line:
            return False
        while line:
            queue = line[0]
            if queue.listed_at == node_id:
                if queue.head() is not None:
                    return True
                queue.listed_at = None
            # It has found another leader, or all of it has failed.
            line.popleft()
        return False

    def identity_acquired(self) -> None:
        """Go on with everything that waited for a producer id."""
        for node_id, line in self._lines.items():
            manager = self._cluster.manager(node_id)
            if line and manager is not None:
                manager.schedule_drain()

    # Out of the lines

    def next_work(self, node_id: int) -> ProduceWork | None:
        """Return the next produce request for a broker, at most one batch per partition."""
        line = self._lines.get(node_id)
        if not line:
            return None
        if self._config.enable_idempotence and self._keeper.identity is None:
            self._keeper.want()
            return None
        now = self._loop.time()
        shipments = self._collect(node_id, line, now)
        if not shipments:
            return None
        config = self._config
        try:
            exchange = ProduceExchange(
                shipments,
                acks=config.acks,
                timeout_ms=config.request_timeout_ms,
                transactional_id=config.transactional_id,
            )
        except Exception as error:  # noqa: BLE001 - the task must outlive it
            self._give_up(shipments, error)
            return None
        self._meters.request_sent([batch for _, batch in shipments], now)
        self._tell_stories(shipments, node_id, now)
        return _Work(
            self,
            node_id,
            exchange,
            now,
            self._newest_produce(exchange),
            _FIRST_PRODUCE_THAT_ADDS if self._adds_by_itself() else None,
        )

    def _tell_stories(self, shipments: Sequence[Shipment], node_id: int, now: float) -> None:
        manager = self._cluster.manager(node_id)
        connected_at = NEVER if manager is None else manager.connected_at
        paused_until = NEVER if manager is None else manager.paused_until
        for _, batch in shipments:
            story = batch.fate.story
            if story is not None:
                story.leaves(now, node_id, batch.sealed, connected_at, paused_until)

    def _adds_by_itself(self) -> bool:
        return self._scope is not None and self._scope.protocol is TransactionProtocol.V2

    def _newest_produce(self, exchange: ProduceExchange) -> int | None:
        """Return the newest version that may carry the request, ``None`` for any."""
        if self._scope is not None and not self._adds_by_itself():
            return _FIRST_PRODUCE_THAT_ADDS - 1
        return None if exchange.has_topic_ids else _LAST_PRODUCE_WITH_NAMES

    def _collect(self, node_id: int, line: deque[PartitionQueue], now: float) -> list[Shipment]:
        """Take batches in turn from the partitions that stand in line, oldest turn first."""
        shipments: list[Shipment] = []
        size = 0
        again: list[PartitionQueue] = []
        for _ in range(len(line)):
            queue = line.popleft()
            if queue.listed_at != node_id:
                continue
            queue.listed_at = None
            batch = self._sendable(queue, now)
            if batch is None:
                continue
            if shipments and size + batch.wire_size > self._config.max_request_size:
                queue.listed_at = node_id
                line.appendleft(queue)
                break
            size += batch.wire_size
            queue.take(self._keeper.identity)
            if self._scope is not None:
                self._scope.sent(queue.topic.name, queue.index)
            shipments.append(inlined.row(Shipment, (queue, batch)))
            following = queue.head()
            if following is not None and following.sealed is not None:
                again.append(queue)
        for queue in again:
            queue.listed_at = node_id
            line.append(queue)
        return shipments

    def _sendable(self, queue: PartitionQueue, now: float) -> Batch | None:
        """Return the queue's head if it can go out now; whatever holds it up offers it again."""
        if self._scope is not None:
            if not self._admitted(queue, self._scope):
                return None
        elif queue.sequences is not None and not self._has_identity(queue, queue.sequences):
            self.offer(queue)
            return None
        if not queue.may_send(now):
            head = queue.head()
            if head is not None and head.retry_at > now:
                self._arm_backoff(queue)
            return None
        batch = queue.head()
        assert batch is not None
        if batch.payload is not None:
            return batch
        if batch is queue.open:
            queue.close_open(Sealed.LINGER)
        return batch if self._preparer.prepare(queue, batch, self._prepared) else None

    def _has_identity(self, queue: PartitionQueue, sequences: SequenceState) -> bool:
        """Return whether there is an identity to stamp batches with, a new one if it takes that."""
        if queue.needs_restart():
            identity = self._keeper.renewed(sequences.identity)
            if identity is None:
                return False
            queue.restart(identity)
        # Another partition may just have used up the last epoch: then there is none for new ones.
        return sequences.identity is not None or self._keeper.identity is not None

    def _admitted(self, queue: PartitionQueue, scope: TransactionScope) -> bool:
        """Return whether the transaction lets the head go; what it waits for offers it again."""
        head = queue.head()
        if head is None:
            return False
        if queue.needs_restart():
            # No epoch can be had within a transaction: it is aborted, and the next one has one.
            error = ProducerError("the log no longer follows this producer's sequence")
            error.__cause__ = head.last_error
            self._fail(queue, head, error)
            return False
        return scope.admits(queue.topic.name, queue.index, doubtful=head.maybe_written)

    def _prepared(self, queue: PartitionQueue, batch: Batch, error: ProducerError | None) -> None:
        """A worker thread has compressed ``batch``, or could not."""
        if error is not None and batch.fate.state is FateState.PENDING:
            self._fail(queue, batch, error)
        self.offer(queue)

    # Answers

    def _written(self, exchange: ProduceExchange) -> None:
        if exchange.acks == 0:
            now = self._loop.time()
            for queue, batch in exchange.shipments:
                self._settle(queue, batch, DELIVER, now)

    def _answered(
        self, node_id: int, exchange: ProduceExchange, response: ProduceResponse, sent_at: float
    ) -> None:
        manager = self._cluster.manager(node_id)
        if manager is not None and response.throttle_time_ms:
            manager.throttle(response.throttle_time_ms)
        now = self._loop.time()
        self._meters.answered(
            self._meters.node(node_id, now), now - sent_at, response.throttle_time_ms / 1000, now
        )
        try:
            pairs = exchange.answers(response)
        except ProducerError as error:
            self._lost(exchange, error)
            raise
        for shipment, answer in pairs:
            queue, batch = shipment
            try:
                if not answer.error_code:
                    self._settle(
                        queue, batch, DELIVER, now, None,
                        answer.base_offset, answer.log_append_time_ms,
                    )  # fmt: skip
                    continue
                self._judge(queue, batch, answer)
            except Exception as error:  # noqa: BLE001 - the other partitions go on
                self._give_up([shipment], error)
            if answer.current_leader is not None and answer.error_code:
                leader, epoch = answer.current_leader
                self._cluster.apply_hint(
                    queue.topic.name, queue.index, leader, epoch, response.node_endpoints
                )
        if self.on_idle is not None and manager is not None and not manager.in_flight:
            self.on_idle(node_id)

    def _refused(self, shipments: Sequence[Shipment], error: ProducerError) -> None:
        """Fail what this broker's versions cannot carry."""
        judgement = Judgement(Ruling.FAIL, breaks_sequence=self._config.enable_idempotence)
        now = self._loop.time()
        for queue, batch in shipments:
            self._settle(queue, batch, judgement, now, error.replica())

    def _give_up(self, shipments: Sequence[Shipment], error: Exception) -> None:
        """Fail what an unexpected exception hit, so that nothing else suffers from it."""
        logger.error(
            "[%s] unexpected error while sending",
            self._client_id,
            exc_info=error,
            extra=event("unexpected", self._client_id, error=repr(error)),
        )
        failure = ProducerError(f"unexpected error while sending: {error!r}", persisted="maybe")
        failure.__cause__ = error
        self._refused([s for s in shipments if s.batch in s.queue.on_wire], failure)
        for queue, batch in shipments:
            # It had left the wire already, and nobody else will settle it.
            if batch.fate.state is FateState.PENDING and batch not in queue.waiting:
                self._ledger.failed(batch, failure.replica())

    def _lost(self, exchange: ProduceExchange, error: ProducerError) -> None:
        now = self._loop.time()
        self._meters.producer.at(now).produce_lost += 1
        for queue, batch in exchange.shipments:
            judgement = judge_lost(queue.sequences, retries_left=self._retries_left(batch))
            # A copy each: topic, partition and attempts are written into it.
            own = error.replica()
            own.attempts = batch.attempts + 1
            self._settle(queue, batch, judgement, now, own)

    def _judge(self, queue: PartitionQueue, batch: Batch, answer: ProducePartitionResponse) -> None:
        """Do what the broker's error means."""
        code = answer.error_code
        judgement = judge_answer(
            batch,
            code,
            queue.sequences,
            retries_left=self._retries_left(batch),
            is_oldest=queue.is_oldest(batch),
            transactional=self._scope is not None,
        )
        error = broker_error(code, answer.error_message)
        error.attempts = batch.attempts + 1
        # In a transaction nothing is sent for what was refused: all of it is given up.
        alone = self._scope is None and judgement.ruling is Ruling.FAIL and judgement.rejected
        if alone and not batch.is_in_doubt:
            blamed = {
                error.batch_index: error.message
                for error in answer.record_errors
                if 0 <= error.batch_index < batch.count
            }
            if blamed and len(blamed) < batch.count and self._retries_left(batch):
                self._salvage(queue, batch, code, blamed)
                return
        self._settle(queue, batch, judgement, self._loop.time(), error)

    def _settle(
        self,
        queue: PartitionQueue,
        batch: Batch,
        judgement: Judgement,
        now: float,
        error: ProducerError | None = None,
        base_offset: int = -1,
        log_append_time_ms: int = -1,
    ) -> None:
        """Do what ``judgement`` says with a batch that is on the wire."""
        sequences = queue.sequences
        if not judgement.rejected and not batch.cannot_follow:
            batch.maybe_written = True
        if sequences is not None and judgement.breaks_sequence:
            sequences.broken = True
        batch.last_error = error
        story = batch.fate.story
        if story is not None:
            story.returns(now, error)
        ruling = judgement.ruling
        if ruling is _DELIVER:
            queue.answered(batch)
            if sequences is not None:
                sequences.acknowledged(batch)
            self._ledger.delivered(batch, base_offset, log_append_time_ms, now)
        elif batch.expired:
            self._bury(queue, batch)
        elif ruling is _RETRY:
            self._retry(queue, batch)
        elif ruling is _SPLIT:
            self._split(queue, batch)
        else:
            self._dismiss(queue, batch, judgement, error)
        if judgement.refresh_metadata:
            self._cluster.request_update(queue.topic.name)
        self._go_on(queue)

    def _go_on(self, queue: PartitionQueue) -> None:
        """See to what is left in ``queue`` after an answer."""
        scope = self._scope
        if scope is not None and scope.is_lost:
            self.withdraw(queue, scope.aborted, scope.keeps_doubtful)
        if queue.head() is not None:
            self.offer(queue)

    def _dismiss(
        self, queue: PartitionQueue, batch: Batch, judgement: Judgement, error: ProducerError | None
    ) -> None:
        """Fail a batch that comes off the wire."""
        assert error is not None
        queue.answered(batch)
        if judgement.rejected:
            queue.refused(batch)
        self._ledger.failed(batch, error)

    def _bury(self, queue: PartitionQueue, batch: Batch) -> None:
        """Take a batch off the wire whose fate the clock has settled; its sequence is in doubt."""
        queue.answered(batch)
        if queue.sequences is not None:
            queue.sequences.broken = True
        self._ledger.release(batch)

    def _retries_left(self, batch: Batch) -> bool:
        return batch.attempts < self._config.retries and not batch.expired

    def _retry(self, queue: PartitionQueue, batch: Batch) -> None:
        config = self._config
        # The coordinator still writes the markers of the last transaction.
        is_busy = isinstance(batch.last_error, ConcurrentTransactionsError)
        if self._scope is not None and not is_busy:
            self._scope.distrust()
        delay = (
            busy_backoff_ms(config.retry_backoff_ms, batch.attempts, self._rng)
            if is_busy
            else backoff_ms(
                config.retry_backoff_ms, config.retry_backoff_max_ms, batch.attempts, self._rng
            )
        )
        logger.debug("[%s] retrying %r: %s", self._client_id, batch, batch.last_error)
        batch.attempts += 1
        batch.retry_at = self._loop.time() + delay / 1000
        queue.put_back(batch)
        self._ledger.retried(batch)
        self._arm_backoff(queue)

    def _arm_backoff(self, queue: PartitionQueue) -> None:
        """Have ``queue`` offered again when its head has waited out its backoff."""
        head = queue.head()
        timer = self._retry_timers.pop(queue, None)
        if timer is not None:
            timer.cancel()
        if head is not None and head.retry_at:
            when = head.retry_at
            self._retry_timers[queue] = self._loop.call_at(when, self._after_backoff, queue, when)

    def _after_backoff(self, queue: PartitionQueue, when: float) -> None:
        del self._retry_timers[queue]
        head = queue.head()
        if head is None:
            return
        if head.retry_at > when:
            self._arm_backoff(queue)
            return
        head.retry_at = 0.0
        self.offer(queue)

    def _split(self, queue: PartitionQueue, batch: Batch) -> None:
        """Replace a batch that the broker found too large by smaller ones in its place."""
        queue.answered(batch)
        parts = split_batch(batch, self._config.batch_size)
        queue.topic.ratio.reset(batch.wire_size / max(1, batch.size))
        for _, part in reversed(parts):
            queue.insert(part)
            self.clock.start(queue, part)
        fates = [(first, part.fate, 0) for first, part in parts]
        self._ledger.divided(batch, [part for _, part in parts], fates)

    def _salvage(
        self, queue: PartitionQueue, batch: Batch, code: int, blamed: Mapping[int, str | None]
    ) -> None:
        """Fail the records that the broker blamed (KIP-467); send the others again in their place.

        The broker appended nothing of the batch. Its sequence has a gap now, so all that follows
        is stamped anew under a higher epoch.
        """
        queue.answered(batch)
        if queue.sequences is not None:
            queue.sequences.broken = True
            queue.refused(batch)
        survivors, parts, removed = remove_records(batch, blamed)
        queue.insert(survivors)
        self.clock.start(queue, survivors)
        self._ledger.divided(batch, [survivors], parts)
        for first, fate, _ in parts:
            if fate is not survivors.fate:
                error = broker_error(code, blamed[first], attempts=batch.attempts + 1)
                self._ledger.failed_alone(fate, error, [removed[first]])
        self.offer(queue)

    # The clock

    def _expire(self, queue: PartitionQueue, batch: Batch) -> None:
        if batch.fate.state is not FateState.PENDING:
            return
        on_wire = batch in queue.on_wire
        maybe = on_wire or batch.maybe_written
        limit = self._config.delivery_timeout_ms
        cause = batch.last_error or self._cluster.trouble()
        error = DeliveryTimeoutError(
            f"{batch.count} record(s) were not delivered within {limit} ms of send()"
            + (": the last request was not answered" if on_wire else "")
            + (f"; last error: {cause}" if cause is not None else ""),
            persisted="maybe" if maybe else "no",
            topic=batch.topic,
            partition=batch.partition,
            attempts=batch.attempts + on_wire,
        )
        error.__cause__ = cause
        if on_wire:
            batch.expired = True
            self._ledger.failed(batch, error, keep_memory=True)
        else:
            self._fail(queue, batch, error)
            self.offer(queue)

    def _fail(self, queue: PartitionQueue, batch: Batch, error: ProducerError) -> None:
        """Fail a batch that is not on the wire."""
        if batch.is_stamped and queue.sequences is not None:
            queue.sequences.broken = True
        queue.discard(batch)
        self._ledger.failed(batch, error)

    def abandon(self, queue: PartitionQueue, make_error: Callable[[Batch], ProducerError]) -> None:
        """Fail everything in ``queue``, as close() does when its time is over.

        What is on the wire stays there until it is answered or lost.
        """
        for batch in queue.on_wire:
            if batch.fate.state is FateState.PENDING:
                batch.expired = True
                batch.maybe_written = True
                self._ledger.failed(batch, make_error(batch), keep_memory=True)
        for batch in [*queue.waiting, *([queue.open] if queue.open else [])]:
            self._fail(queue, batch, make_error(batch))

    def withdraw(
        self, queue: PartitionQueue, make_error: Callable[[], ProducerError], keep_doubtful: bool
    ) -> None:
        """Fail what is not on the wire, as an abort does.

        With ``keep_doubtful`` a batch that may have been written is repeated until it is answered.
        """
        for batch in [*queue.waiting, *([queue.open] if queue.open else [])]:
            if not (keep_doubtful and batch.maybe_written):
                self._fail(queue, batch, make_error())

    def close(self) -> None:
        """Cancel the timers."""
        self.clock.close()
        for timer in self._retry_timers.values():
            timer.cancel()
        self._retry_timers.clear()


class _Work:
    """One produce request on its way to a broker: ``ProduceWork``."""

    __slots__ = (
        "_exchange",
        "_node_id",
        "_sender",
        "_sent_at",
        "at_least",
        "at_most",
        "expect_answer",
        "request",
    )

    def __init__(
        self,
        sender: Sender,
        node_id: int,
        exchange: ProduceExchange,
        sent_at: float,
        at_most: int | None,
        at_least: int | None,
    ) -> None:
        self._sender = sender
        self._node_id = node_id
        self._exchange = exchange
        self._sent_at = sent_at
        self.request = exchange.request
        self.at_most = at_most
        self.at_least = at_least
        self.expect_answer = exchange.acks != 0

    def answered(self, response: ProduceResponse) -> None:
        self._sender._answered(self._node_id, self._exchange, response, self._sent_at)

    def lost(self, error: ProducerError) -> None:
        self._sender._lost(self._exchange, error)

    def refused(self, error: ProducerError) -> None:
        self._sender._refused(self._exchange.shipments, error)

    def written(self) -> None:
        self._sender._written(self._exchange)
