"""From this package's errors to those that a program for aiokafka catches."""

from __future__ import annotations

import pytest
from aiokafka import errors

from aioproducer import (
    AuthenticationError,
    BrokerError,
    BufferExhaustedError,
    ClusterConnectionError,
    ConfigurationError,
    DeliveryTimeoutError,
    FlushTimeoutError,
    MetadataTimeoutError,
    PartitionerError,
    ProducerClosedError,
    ProducerError,
    ProducerFencedError,
    RecordTooLargeError,
    TransactionStateError,
    TransactionTimeoutError,
)
from aioproducer.compat.aiokafka.translation import translated, translating
from aioproducer.errors import NotLeaderOrFollowerError, UnknownTopicOrPartitionError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ProducerFencedError("w"), errors.ProducerFenced),
        (AuthenticationError("w"), errors.AuthenticationFailedError),
        (ClusterConnectionError("w"), errors.KafkaConnectionError),
        (RecordTooLargeError("w"), errors.MessageSizeTooLargeError),
        (BufferExhaustedError("w"), errors.KafkaTimeoutError),
        (DeliveryTimeoutError("w"), errors.KafkaTimeoutError),
        (FlushTimeoutError("w"), errors.KafkaTimeoutError),
        (MetadataTimeoutError("w"), errors.KafkaTimeoutError),
        (TransactionTimeoutError("w"), errors.KafkaTimeoutError),
        (ProducerClosedError("w"), errors.ProducerClosed),
        (TransactionStateError("w"), errors.IllegalOperation),
        (NotLeaderOrFollowerError("w"), errors.NotLeaderForPartitionError),
        (ConfigurationError("w"), errors.KafkaError),
        (BrokerError("w", code=4711), errors.UnknownError),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else each.__name__,
)
def test_an_error_has_its_class_there_and_stays_its_cause(
    error: ProducerError, expected: type[Exception]
) -> None:
    made = translated(error)

    assert type(made) is expected
    assert "w" in str(made)
    assert made.__cause__ is error


def test_a_topic_that_is_not_there_is_told_by_the_broker_s_word() -> None:
    error = MetadataTimeoutError("not present after 1 s")
    error.__cause__ = UnknownTopicOrPartitionError()

    assert type(translated(error)) is errors.UnknownTopicOrPartitionError


def test_what_a_partitioner_raises_comes_through() -> None:
    error = PartitionerError("it raised")
    error.__cause__ = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError), translating():
        raise error


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(KeyError), translating():
        raise KeyError("k")
