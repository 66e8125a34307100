"""Transaction: what `producer.transaction()` gives, from its first record to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from aioproducer.errors import (
    FatalTransactionError,
    ProducerError,
    TransactionStateError,
    TransactionTimeoutError,
)

if TYPE_CHECKING:
    from aioproducer.delivery import Delivery
    from aioproducer.producer import AsyncProducer
    from aioproducer.records import Header, Record, RecordMetadata, SendManyResult

K = TypeVar("K")
V = TypeVar("V")


class TransactionTurn:
    """Whose transaction is open: one at a time, first come, first served."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None

    async def take(self, timeout: float) -> None:
        """Wait for the turn of the calling task.

        Raises :exc:`TransactionStateError` if that task has it already, and
        :exc:`TransactionTimeoutError` if it has not come after ``timeout`` seconds.
        """
        task = asyncio.current_task()
        if self._lock.locked() and task is not None and self._owner is task:
            raise TransactionStateError(
                "this task is in a transaction of the same producer; transactions do not nest",
                what_next="Send within the open transaction, or use a producer for each.",
            )
        try:
            async with asyncio.timeout(timeout):
                await self._lock.acquire()
        except TimeoutError as error:
            raise TransactionTimeoutError(
                f"another task's transaction was still open after {timeout:g} s",
                what_next="End transactions sooner, or use a producer for each task.",
            ) from error
        self._owner = task

    def give(self) -> None:
        """Let the next task have its turn."""
        self._owner = None
        self._lock.release()


class Transaction(Generic[K, V]):
    """Records and offsets that become visible together, or not at all.

    Use it as ``async with producer.transaction() as tx``. Leaving the block commits; when the body
    raises or is cancelled it aborts. A commit that cannot be had, because a record failed, aborts
    and raises the first cause. Follows KIP-98.
    """

    def __init__(
        self, producer: AsyncProducer[K, V], turn: TransactionTurn, timeout: float
    ) -> None:
        self._producer = producer
        self._turn = turn
        self._timeout = timeout
        self._open = False

    async def __aenter__(self) -> Self:
        """Wait for the turn, and for what an earlier transaction left under way; then begin.

        Raises :exc:`TransactionTimeoutError` after the timeout given to ``transaction()``,
        :exc:`FatalTransactionError` when the producer can begin none any more. Cancelling gives the
        turn back.
        """
        await self._turn.take(self._timeout)
        try:
            await self._producer._settle_transaction(self._timeout)
            self._producer.begin_transaction()
        except BaseException:
            self._turn.give()
            raise
        self._open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, or abort when the body raised.

        Raises what :meth:`AsyncProducer.commit_transaction` raises, after an abort where that is
        due. A body's exception goes on; only a :exc:`FatalTransactionError` of the abort replaces
        it, unless it is a cancellation. Cancelling abandons the wait: the step goes on, and the
        next transaction waits for it.
        """
        try:
            if exc is None:
                await self._commit()
            else:
                await self._abort(exc)
        finally:
            self._open = False
            self._turn.give()

    async def _commit(self) -> None:
        producer = self._producer
        try:
            await producer.commit_transaction(self._timeout)
        except (FatalTransactionError, TransactionTimeoutError, TransactionStateError):
            raise
        except ProducerError as cause:
            await self._abort(cause)
            raise

    async def _abort(self, cause: BaseException) -> None:
        try:
            await self._producer.abort_transaction(self._timeout)
        except FatalTransactionError as error:
            if isinstance(cause, Exception):
                raise error from cause
            cause.add_note(f"the transaction could not be aborted either: {error}")
        except ProducerError as error:
            cause.add_note(f"the transaction could not be aborted either: {error}")

    # What belongs to it

    def send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
        timeout: float | None = None,
    ) -> Delivery:
        """Queue one record of this transaction, as :meth:`AsyncProducer.send` does.

        Its Delivery is done when the record is in the log; readers that read committed see it once
        the transaction is committed. There is no need to await it: the commit waits for all.
        Raises :exc:`TransactionStateError` after the end of the transaction.
        """
        self._require_open()
        return self._producer.send(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms,
            headers=headers, timeout=timeout,
        )  # fmt: skip

    def try_send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
    ) -> Delivery:
        """Queue one record of this transaction, or refuse at once, as the producer's own does."""
        self._require_open()
        return self._producer.try_send(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms, headers=headers
        )

    async def send_and_wait(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
        timeout: float | None = None,
    ) -> RecordMetadata:
        """Send one record of this transaction without lingering and return its metadata.

        Raises and is cancelled as :meth:`AsyncProducer.send_and_wait`.
        """
        self._require_open()
        return await self._producer.send_and_wait(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms,
            headers=headers, timeout=timeout,
        )  # fmt: skip

    async def send_many(
        self,
        records: Iterable[Record[K, V]] | AsyncIterable[Record[K, V]],
        *,
        timeout: float | None = None,
    ) -> SendManyResult:
        """Send many records of this transaction, as :meth:`AsyncProducer.send_many` does.

        A record that fails stands in the result, and makes the transaction fail. Cancelling
        withdraws the records that still wait for room.
        """
        self._require_open()
        return await self._producer.send_many(records, timeout=timeout)

    async def send_offsets(
        self, offsets: Mapping[Any, Any] | Iterable[Any], group_metadata: object
    ) -> None:
        """Commit a consumer group's offsets with this transaction (KIP-98, KIP-447).

        Arguments, errors and cancelling are those of
        :meth:`AsyncProducer.send_offsets_to_transaction`.
        """
        self._require_open()
        await self._producer.send_offsets_to_transaction(
            offsets, group_metadata, timeout=self._timeout
        )

    def _require_open(self) -> None:
        if not self._open:
            raise TransactionStateError(
                "this transaction is not open: it has not begun, or it has ended",
                what_next="Use it inside its own `async with` block.",
            )

    def __repr__(self) -> str:
        return f"<Transaction of {self._producer!r} {'open' if self._open else 'not open'}>"
