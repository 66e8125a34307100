"""Which errors say that the cluster fails, and which that the caller made a mistake.

An error is judged by the nearest of its classes that is in ``COUNTS``. For a broker's code that is
not there, Kafka's own word counts: what it calls retriable is a trouble of the brokers.
"""

from __future__ import annotations

from aioproducer import (
    AuthenticationError,
    BrokerError,
    BufferExhaustedError,
    CircuitOpenError,
    ClusterConnectionError,
    ConfigurationError,
    DeadLetterError,
    DeliveryTimeoutError,
    FatalTransactionError,
    FlushTimeoutError,
    MetadataNotReadyError,
    MetadataTimeoutError,
    PartitionerError,
    ProducerError,
    ProducerStateError,
    ProducerTimeoutError,
    RecordTooLargeError,
    SerializationError,
    SerializerTimeoutError,
    TransactionAbortedError,
    TransactionTimeoutError,
)
from aioproducer.errors import (
    BrokerNotAvailableError,
    CorruptMessageError,
    InvalidTxnStateError,
    MalformedResponseError,
    ThrottlingQuotaExceededError,
    UnknownServerError,
    UnknownTopicOrPartitionError,
)

COUNTS: dict[type[ProducerError], bool] = {
    # Of the cluster, or of the way there.
    ClusterConnectionError: True,
    AuthenticationError: True,
    MetadataTimeoutError: True,
    DeliveryTimeoutError: True,
    TransactionTimeoutError: True,
    ProducerTimeoutError: True,
    MalformedResponseError: True,
    UnknownServerError: True,
    BrokerNotAvailableError: True,
    # Kafka calls these retriable, but they are about one topic, one record, or the load.
    UnknownTopicOrPartitionError: False,
    CorruptMessageError: False,
    ThrottlingQuotaExceededError: False,
    InvalidTxnStateError: False,
    # Of the caller, the record or the load.
    ConfigurationError: False,
    ProducerStateError: False,
    SerializationError: False,
    SerializerTimeoutError: False,
    PartitionerError: False,
    RecordTooLargeError: False,
    BufferExhaustedError: False,
    MetadataNotReadyError: False,
    FlushTimeoutError: False,
    FatalTransactionError: False,
    CircuitOpenError: False,
    # Judged by their causes; without one they say nothing of the cluster.
    TransactionAbortedError: False,
    DeadLetterError: False,
    ProducerError: False,
}

_WRAPPERS = (TransactionAbortedError, DeadLetterError)


def counts_as_failure(error: BaseException) -> bool:
    """Return whether ``error`` says that the cluster fails; docs/circuit-breaker.md has the table.

    A timeout whose last cause was a broker's answer is judged by that answer: a topic that is not
    there is no failure of the cluster.
    """
    while isinstance(error, _WRAPPERS) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ProducerTimeoutError) and isinstance(error.__cause__, BrokerError):
        return counts_as_failure(error.__cause__) and _judged(type(error))
    return isinstance(error, ProducerError) and _judged(type(error), error.retriable)


def _judged(kind: type[BaseException], retriable: bool = False) -> bool:
    for each in kind.__mro__:
        if each is BrokerError:
            return retriable
        if each in COUNTS:
            return COUNTS[each]
    return False
