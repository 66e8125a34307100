"""LetterDelivery: the awaitable of a record that becomes a dead letter if it fails."""

from __future__ import annotations

import asyncio
from typing import Any

from aioproducer import Delivery, Explanation, ProducerError, RecordMetadata


class LetterDelivery(asyncio.Future[RecordMetadata]):
    """The acknowledgement of a record; if it fails, done once the dead letter is kept or lost.

    Awaiting it raises the record's own error when the letter is kept, and :exc:`DeadLetterError`
    when it is not. ``kept`` then says where: the :class:`RecordMetadata` of the dead letter, the
    path of the spool file, or ``None``. A failure that was kept is not reported to the loop if
    nobody looks at it.

    Cancelling it while the record still waits for its serializer, for room or for metadata
    withdraws the record. Later it abandons the wait only: the record is delivered, or becomes a
    dead letter, all the same.
    """

    __slots__ = ("_sent", "failure", "kept")

    def __init__(self, sent: AnyDelivery) -> None:
        super().__init__(loop=sent.get_loop())
        self._sent = sent
        self.kept: RecordMetadata | str | None = None
        # The record's own error once it has failed; looking at it is not to have looked.
        self.failure: ProducerError | None = None

    @property
    def topic(self) -> str:
        """The topic that the record is for."""
        return self._sent.topic

    @property
    def partition(self) -> int | None:
        """The partition that the record is for, ``None`` until it is chosen."""
        return self._sent.partition

    @property
    def sent(self) -> AnyDelivery:
        """What the producer gave, for those who only watch; its user's cancelling is not its."""
        return self._sent

    def cancel(self, msg: Any = None) -> bool:
        """Withdraw a record that still waits, else abandon the wait only."""
        if not self.done():
            self._sent.withdraw()
        return super().cancel(msg)

    def withdraw(self) -> bool:
        """Cancel it if the record still waits, so that it is never sent; return whether it did."""
        if self.done() or not self._sent.withdraw():
            return False
        return super().cancel()

    def explain(self) -> Explanation:
        """Return what happened to the record so far, as :meth:`Delivery.explain` does."""
        return self._sent.explain()

    def settle(self, error: ProducerError, *, is_handled: bool) -> None:
        """Fail it; for those who keep its dead letter."""
        if not self.done():
            self.set_exception(error)
            if is_handled:
                # The loop need not be told of it: asking counts as having looked.
                self.exception()


AnyDelivery = Delivery | LetterDelivery
