"""LetterDelivery: the awaitable of a record that becomes a dead letter if it fails."""

from __future__ import annotations

import asyncio
from typing import Any

from aioproducer import Delivery, Explanation, ProducerError, RecordMetadata


class LetterDelivery(asyncio.Future[RecordMetadata]):
    """The acknowledgement of a record; if it fails, done once the dead letter is kept or lost.

    Awaiting it raises the record's own error when the letter is kept, and :exc:`DeadLetterError`
    when it is not. ``kept`` then says where: the :class:`RecordMetadata` of the dead letter, the
    path of the spool file, or ``None``.

    Cancelling it while the record still waits for its serializer, for room or for metadata
    withdraws the record. Later it abandons the wait only: the record is delivered, or becomes a
    dead letter, all the same.
    """

    kept: RecordMetadata | str | None = None
    _sent: AnyDelivery | None = None
    # Until its record is done: what keeps a caller's cancellation from reaching it.
    _error: ProducerError | None = None

    @property
    def topic(self) -> str:
        """The topic that the record is for."""
        assert self._sent is not None
        return self._sent.topic

    @property
    def partition(self) -> int | None:
        """The partition that the record is for, ``None`` until it is chosen."""
        return None if self._sent is None else self._sent.partition

    @property
    def failure(self) -> ProducerError | None:
        """The record's error once it has failed; nobody looked at it."""
        return self._error

    def cancel(self, msg: Any = None) -> bool:
        """Withdraw a record that still waits, else abandon the wait only."""
        if self._sent is not None and not self.done():
            self._sent.withdraw()
        return super().cancel(msg)

    def withdraw(self) -> bool:
        """Cancel it if the record still waits, so that it is never sent; return whether it did."""
        if self._sent is None or self.done() or not self._sent.withdraw():
            return False
        return super().cancel()

    def explain(self) -> Explanation:
        """Return what happened to the record so far, as :meth:`Delivery.explain` does."""
        assert self._sent is not None
        return self._sent.explain()


AnyDelivery = Delivery | LetterDelivery
