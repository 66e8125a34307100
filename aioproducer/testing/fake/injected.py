"""Errors that a test has put in the way of a FakeProducer's calls."""

from __future__ import annotations

from collections import deque

from aioproducer.errors import (
    BufferExhaustedError,
    FatalTransactionError,
    MetadataNotReadyError,
    ProducerError,
    ProducerStateError,
    SerializerNotReadyError,
    TransactionStateError,
    TransactionTimeoutError,
)
from aioproducer.runtime.transaction_manager import TransactionManager

_NOT_NOW = (BufferExhaustedError, MetadataNotReadyError, SerializerNotReadyError)
_LEAVE_IT_OPEN = (TransactionTimeoutError, TransactionStateError)
_SPOIL = frozenset({"commit_transaction", "send_offsets_to_transaction"})


class InjectedErrors:
    """Which call fails next, and with what."""

    def __init__(self) -> None:
        self._errors: dict[str, deque[Exception]] = {}

    def add(self, method: str, error: Exception, times: int) -> None:
        """Have the next ``times`` calls of ``method`` fail."""
        self._errors.setdefault(method, deque()).extend([error] * times)

    def next(self, method: str) -> Exception | None:
        """Return the error of this call of ``method``, ``None`` if it is to succeed."""
        line = self._errors.get(method)
        if not line:
            return None
        error = line.popleft()
        # One object raised again and again would collect the tracebacks of all.
        return error.replica() if isinstance(error, ProducerError) else error

    def clear(self) -> None:
        """Let everything succeed."""
        self._errors.clear()


def is_raised_by_send(error: Exception, *, may_wait: bool) -> bool:
    """Return whether ``send()`` would raise that, instead of failing the Delivery with it."""
    if not isinstance(error, ProducerError) or isinstance(error, ProducerStateError):
        return True
    return not may_wait and isinstance(error, _NOT_NOW)


def suffer(manager: TransactionManager, method: str, error: Exception) -> None:
    """Leave the transaction as it would be after ``method`` had failed so."""
    if isinstance(error, FatalTransactionError):
        manager._doom(error)
    elif (
        method in _SPOIL
        and isinstance(error, ProducerError)
        and not isinstance(error, _LEAVE_IT_OPEN)
    ):
        manager.record_failed(error)
