"""From this package's errors to those that a program written for aiokafka catches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aioproducer import (
    AuthenticationError,
    BrokerError,
    BufferExhaustedError,
    ClusterConnectionError,
    MetadataTimeoutError,
    PartitionerError,
    ProducerClosedError,
    ProducerError,
    ProducerFencedError,
    ProducerStateError,
    ProducerTimeoutError,
    RecordTooLargeError,
)
from aioproducer.compat.aiokafka.errors import classes, for_code

# The first that fits counts.
_NAMES: tuple[tuple[type[ProducerError], str], ...] = (
    (ProducerFencedError, "ProducerFenced"),
    (AuthenticationError, "AuthenticationFailedError"),
    (ClusterConnectionError, "KafkaConnectionError"),
    (RecordTooLargeError, "MessageSizeTooLargeError"),
    (BufferExhaustedError, "KafkaTimeoutError"),
    (ProducerTimeoutError, "KafkaTimeoutError"),
    (ProducerClosedError, "ProducerClosed"),
    (ProducerStateError, "IllegalOperation"),
)


def translated(error: ProducerError) -> Exception:
    """Return aiokafka's exception for ``error``, which is its cause."""
    made = _made(error)
    if made is not error.__cause__:
        made.__cause__ = error
    return made


def _made(error: ProducerError) -> Exception:
    cause = error.__cause__
    if isinstance(error, PartitionerError) and isinstance(cause, Exception):
        # aiokafka lets through what a partitioner raises.
        return cause
    if isinstance(error, MetadataTimeoutError) and isinstance(cause, BrokerError):
        return _of_broker(cause, str(error))
    for kind, name in _NAMES:
        if isinstance(error, kind):
            named: Exception = classes[name](str(error))
            return named
    if isinstance(error, BrokerError):
        return _of_broker(error, str(error))
    unknown: Exception = classes["KafkaError"](str(error))
    return unknown


def _of_broker(error: BrokerError, words: str) -> Exception:
    made: Exception = for_code(error.code)(words)
    return made


@contextmanager
def translating() -> Iterator[None]:
    """Raise aiokafka's exceptions instead of this package's."""
    failure: Exception | None = None
    try:
        yield
    except ProducerError as error:
        failure = translated(error)
    if failure is not None:
        raise failure
