"""What a caller of a transactional method waits for; it outlives the call that began it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable

from aioproducer.errors import ProducerError


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
