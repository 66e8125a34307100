"""What callers of transactional methods wait for; it outlives the call that began it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from contextlib import suppress

from aioproducer.core.transaction_scope import OffsetsToCommit
from aioproducer.errors import (
    Persisted,
    ProducerError,
    TransactionStateError,
    TransactionTimeoutError,
)
from aioproducer.runtime.stall import StallWatch


class Operation(enum.Enum):
    """What a caller waits for."""

    INITIALIZE = "init_transactions()"
    COMMIT = "commit_transaction()"
    ABORT = "abort_transaction()"
    SEND_OFFSETS = "send_offsets_to_transaction()"


class Pending:
    """An operation under way."""

    __slots__ = ("calm", "done", "operation", "undo")

    def __init__(self, operation: Operation, loop: asyncio.AbstractEventLoop) -> None:
        self.operation = operation
        # Resolved when all records of the transaction are settled.
        self.calm: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self.undo: Callable[[], None] | None = None

    def settle(self, error: ProducerError | None) -> None:
        """End the operation, once."""
        if self.undo is not None:
            self.undo()
            self.undo = None
        self.settled()
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            # Who gave up waiting must not be told by the loop's exception handler.
            self.done.exception()

    def settled(self) -> None:
        """Note that nothing of the transaction is open any more."""
        if not self.calm.done():
            self.calm.set_result(None)


class Operations:
    """The one operation under way, and the offsets on their way: one wish each.

    Args:
        patience: seconds in which all records are settled, by clocks of their own.
        watch: gives the loop a chance to read before a wait is over.
        last_error: tells what went wrong last, for who waited in vain.
    """

    def __init__(
        self, patience: float, watch: StallWatch, last_error: Callable[[], ProducerError | None]
    ) -> None:
        self.current: Pending | None = None
        self._offsets: dict[OffsetsToCommit, Pending] = {}
        self._patience = patience
        self._watch = watch
        self._last_error = last_error
        self._loop = asyncio.get_running_loop()

    # The one under way

    def begin(self, operation: Operation) -> Pending:
        """Have a new one under way."""
        self.current = Pending(operation, self._loop)
        return self.current

    def attach(self, operation: Operation) -> Pending | None:
        """Return the operation of that kind to go on waiting for, ``None`` if it is to begin."""
        current = self.current
        if current is None or current.operation is operation:
            return current
        self.require_ended()
        self.current = None
        return None

    def require_ended(self) -> None:
        """Raise :exc:`TransactionStateError` while one is under way."""
        current = self.current
        if current is not None and not current.done.done():
            raise TransactionStateError(
                f"{current.operation.value} is still under way",
                what_next="Await the same call again; it goes on where it was.",
            )

    def is_under_way(self, operation: Operation) -> bool:
        """Return whether the current one is of that kind."""
        return self.current is not None and self.current.operation is operation

    def settle(self, error: ProducerError | None) -> None:
        """End the one under way, if there is one."""
        if self.current is not None:
            self.current.settle(error)

    # Offsets

    def wished(self, offsets: OffsetsToCommit) -> Pending | None:
        """Return the wish for the same offsets: they were given up and given again, or twice."""
        for queued, pending in self._offsets.items():
            if queued.group == offsets.group and queued.offsets == offsets.offsets:
                return pending
        return None

    def wish(self, offsets: OffsetsToCommit) -> Pending:
        """Have ``offsets`` waited for."""
        pending = self._offsets[offsets] = Pending(Operation.SEND_OFFSETS, self._loop)
        pending.settled()
        return pending

    def granted(self, offsets: OffsetsToCommit) -> None:
        """Tell who waits for ``offsets`` that their group's coordinator has them."""
        if (pending := self._offsets.pop(offsets, None)) is not None:
            pending.settle(None)

    def fail_offsets(self, error: ProducerError) -> None:
        """Fail whoever waits for offsets."""
        waiting, self._offsets = self._offsets, {}
        for pending in waiting.values():
            pending.settle(error.replica())

    # Waiting

    async def finish(self, pending: Pending, timeout: float) -> None:
        """Wait for ``pending``; the operation goes on when the wait is given up."""
        await self._wait(pending.calm, self._patience)
        if pending.calm.done():
            await self._wait(pending.done, timeout)
        if not pending.done.done():
            committing = pending.operation is Operation.COMMIT
            limit = timeout if pending.calm.done() else self._patience
            raise self._too_late(
                pending.operation, limit, persisted="maybe" if committing else "no"
            )
        if self.current is pending:
            self.current = None
        error = pending.done.exception()
        if error is not None:
            assert isinstance(error, ProducerError)
            raise error.replica()

    async def ended(self, timeout: float) -> None:
        """Return once no operation is under way, however it ended.

        Raises :exc:`TransactionTimeoutError` if one still is after ``timeout`` seconds.
        """
        current = self.current
        if current is None or current.done.done():
            return
        await self._wait(current.done, timeout)
        if not current.done.done():
            raise self._too_late(current.operation, timeout, persisted="no")

    async def _wait(self, future: asyncio.Future[None], timeout: float) -> None:
        """Wait until ``future`` is done, or ``timeout`` seconds are over."""
        with suppress(TimeoutError):
            async with self._watch.timeout(timeout):
                await asyncio.wait([future])

    def _too_late(
        self, operation: Operation, timeout: float, *, persisted: Persisted
    ) -> TransactionTimeoutError:
        cause = self._last_error()
        error = TransactionTimeoutError(
            f"{operation.value} did not end within {timeout:g} s"
            + (f"; last error: {cause}" if cause is not None else ""),
            persisted=persisted,
        )
        error.__cause__ = cause
        return error
