"""Which failed transactions may be run again, and after what pause."""

from __future__ import annotations

import random

from aioproducer import (
    ConfigurationError,
    FatalTransactionError,
    PartitionerError,
    ProducerError,
    ProducerStateError,
    RecordTooLargeError,
    SerializationError,
    TransactionAbortedError,
    TransactionTimeoutError,
)
from aioproducer.errors import (
    GroupAuthorizationFailedError,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    TopicAuthorizationFailedError,
)

# What the same records would meet again.
_HOPELESS = (
    ConfigurationError,
    GroupAuthorizationFailedError,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    PartitionerError,
    ProducerStateError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)


def may_run_again(error: ProducerError, *, committing: bool) -> bool:
    """Return whether a transaction is surely not committed, and may succeed another time.

    ``committing`` says whether its body was through when ``error`` was raised.
    """
    if committing and error.persisted == "maybe":
        # Of a record it says nothing about the commit: that transaction was aborted.
        return not isinstance(
            error, FatalTransactionError | TransactionTimeoutError | ProducerStateError
        )
    cause: BaseException | None = error
    while isinstance(cause, TransactionAbortedError):
        cause = cause.__cause__
    if isinstance(cause, SerializationError):
        # A schema registry that is away comes back; a value that does not fit never does.
        return type(cause).retriable or cause.retriable
    return not isinstance(cause, _HOPELESS)


def pause_before(attempt: int, shortest_ms: float, longest_ms: float, rng: random.Random) -> float:
    """Return the seconds to wait after ``attempt`` failed: twice as long each time, with jitter."""
    pause_ms = min(max(shortest_ms, longest_ms), shortest_ms * 2.0 ** min(attempt - 1, 32))
    return pause_ms * rng.uniform(0.8, 1.2) / 1000
