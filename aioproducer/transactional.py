"""The part of AsyncProducer that is about transactions (KIP-98, KIP-447, KIP-890)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from aioproducer.checks import check_timeout
from aioproducer.core.transaction import TransactionState
from aioproducer.core.transaction_scope import OffsetsToCommit
from aioproducer.errors import TransactionStateError
from aioproducer.offsets import group_metadata as as_group_metadata
from aioproducer.offsets import offsets_of
from aioproducer.runtime.engine import Engine
from aioproducer.transaction import Transaction, TransactionTurn

if TYPE_CHECKING:
    from aioproducer.producer import AsyncProducer
    from aioproducer.runtime.transaction_manager import TransactionManager

K = TypeVar("K")
V = TypeVar("V")


class Transactional(Generic[K, V]):
    """What a producer with a ``transactional_id`` can do beside sending."""

    _turn: TransactionTurn

    # These two are AsyncProducer's own; here they stand for the type checker.

    def _require_engine(self) -> Engine:
        raise NotImplementedError

    def _default_block_timeout(self, timeout: float | None) -> float:
        raise NotImplementedError

    def transaction(self, *, timeout: float | None = None) -> Transaction[K, V]:
        """Return a transaction to be entered with ``async with``: commits, or aborts if it raises.

        ``timeout`` seconds (default: ``max.block.ms``) bound each of its waits on its own: for its
        turn, for the requests of ``send_offsets()``, of the commit and of the abort. The records
        themselves have until ``delivery.timeout.ms``. One transaction is open at a time: another
        task's waits its turn. Raises :exc:`TransactionStateError` without ``transactional_id``.
        """
        check_timeout(timeout)
        self._require_transactions()
        # The one class that this is a part of.
        producer = cast("AsyncProducer[K, V]", self)
        return Transaction(producer, self._turn, self._default_block_timeout(timeout))

    async def init_transactions(self, timeout: float | None = None) -> None:
        """Obtain the identity of ``transactional_id``; what an older producer left open is aborted.

        That older producer is fenced: nothing it does succeeds any more. ``start()`` has done this
        already, unless told not to; then, and when it was done before, it returns at once. Raises
        :exc:`TransactionTimeoutError` after ``timeout`` seconds (default: ``max.block.ms``) and
        the broker's error if it refuses, for want of a permission or because
        ``transaction.timeout.ms`` is too long; the same call can be repeated. Cancelling abandons
        the wait only. Follows KafkaProducer.initTransactions.
        """
        check_timeout(timeout)
        manager = self._require_transactions()
        with self._require_engine().timing("txn_init"):
            await manager.initialize(self._default_block_timeout(timeout))

    def begin_transaction(self) -> None:
        """Open a transaction; every ``send()`` belongs to it until commit or abort.

        Raises :exc:`TransactionStateError` if one is open or not yet ended, and
        :exc:`FatalTransactionError` when the producer can begin none any more.
        """
        manager = self._require_transactions()
        with self._require_engine().timing("txn_begin"):
            manager.begin()

    async def commit_transaction(self, timeout: float | None = None) -> None:
        """Deliver all records of the open transaction, then make them visible.

        Raises the first cause if anything of it failed; nothing became visible then, and the
        transaction is to be aborted. Raises :exc:`FatalTransactionError` (as
        :exc:`ProducerFencedError` when a newer producer took over) when only closing the producer
        helps. After ``timeout`` seconds (default: ``max.block.ms``), counted once all records are
        settled, raises :exc:`TransactionTimeoutError` with ``persisted="maybe"``: call it again,
        the commit goes on. Cancelling abandons the wait only. Follows
        KafkaProducer.commitTransaction.
        """
        check_timeout(timeout)
        manager = self._require_transactions()
        with self._require_engine().timing("txn_commit"):
            await manager.commit(self._default_block_timeout(timeout))

    async def abort_transaction(self, timeout: float | None = None) -> None:
        """Give up the open transaction: nothing of it becomes visible.

        Records that are not on their way fail with :exc:`TransactionAbortedError`. Errors, timeout
        and cancelling are those of ``commit_transaction()``. Follows
        KafkaProducer.abortTransaction.
        """
        check_timeout(timeout)
        manager = self._require_transactions()
        with self._require_engine().timing("txn_abort"):
            await manager.abort(self._default_block_timeout(timeout))

    async def send_offsets_to_transaction(
        self,
        offsets: Mapping[Any, Any] | Iterable[Any],
        group_metadata: object,
        timeout: float | None = None,
    ) -> None:
        """Commit a consumer group's offsets with the open transaction (KIP-98, KIP-447).

        ``offsets`` maps partitions to the offset of the next record to read, or is a list of
        confluent-kafka's TopicPartition. ``group_metadata`` is the group id, a
        :class:`GroupMetadata`, or the consumer (or its group metadata) of aiokafka,
        confluent-kafka or kafka-python. Raises the broker's error if the group refuses them (the
        member lost its partitions): the transaction is to be aborted then. Raises
        :exc:`TransactionTimeoutError` after ``timeout`` seconds (default: ``max.block.ms``); the
        same call can be repeated. Cancelling abandons the wait only.
        """
        check_timeout(timeout)
        manager = self._require_transactions()
        wish = OffsetsToCommit(as_group_metadata(group_metadata), offsets_of(offsets))
        with self._require_engine().timing("txn_send_offsets"):
            await manager.send_offsets(wish, self._default_block_timeout(timeout))

    async def _settle_transaction(self, timeout: float) -> None:
        """Finish what an earlier transaction left under way, aborting it if it has to be."""
        manager = self._require_transactions()
        await manager.settle(timeout)
        if manager.scope.state is TransactionState.ABORTABLE_ERROR:
            await manager.abort(timeout)

    def _require_transactions(self) -> TransactionManager:
        manager = self._require_engine().transactions
        if manager is None:
            raise TransactionStateError(
                "this producer has no transactional.id",
                what_next="Give it a transactional_id, one that no other living producer has.",
            )
        return manager
