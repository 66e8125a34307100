"""What a client is told: whether to come again, and whether its record may be in Kafka."""

from __future__ import annotations

import pytest

from aioproducer import (
    AuthenticationError,
    BufferExhaustedError,
    ClusterConnectionError,
    DeliveryTimeoutError,
    MetadataTimeoutError,
    NotStartedError,
    PartitionerError,
    ProducerClosedError,
    ProducerError,
    RecordTooLargeError,
    SerializationError,
)
from aioproducer.errors import SchemaRegistryError, broker_error
from aioproducer.integrations import OutboxFullError, answer_for


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RecordTooLargeError("1 MB"), 413),
        (broker_error(10), 413),
        (SerializationError("no JSON"), 422),
        (broker_error(87), 422),
        (SchemaRegistryError("away", retriable=True), 503),
        (ClusterConnectionError("away"), 503),
        (AuthenticationError("refused"), 503),
        (MetadataTimeoutError("unknown"), 503),
        (BufferExhaustedError("full"), 503),
        (OutboxFullError("full"), 503),
        (ProducerClosedError("ends"), 503),
        (broker_error(6), 503),
        (DeliveryTimeoutError("late", persisted="no"), 503),
        (DeliveryTimeoutError("late", persisted="maybe"), 504),
        (ProducerClosedError("ends", persisted="maybe"), 504),
        (NotStartedError("not yet"), 500),
        (PartitionerError("bug"), 500),
        (broker_error(29), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_the_status_says_whose_turn_it_is(error: ProducerError, status: int) -> None:
    answer = answer_for(error)
    assert answer.status == answer.body["status"] == status
    assert answer.body["error"] == type(error).__name__
    assert answer.body["persisted"] == error.persisted
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_an_error_that_knows_when_says_when() -> None:
    error = ClusterConnectionError("the circuit is open")
    error.retry_after = 12.2  # type: ignore[attr-defined]
    assert answer_for(error).headers == {"Retry-After": "13"}


def test_at_least_a_second_is_asked_for() -> None:
    error = ClusterConnectionError("the circuit is half open")
    error.retry_after = 0.0  # type: ignore[attr-defined]
    assert answer_for(error).headers == {"Retry-After": "1"}


def test_the_inside_is_told_to_nobody_unless_it_may_be() -> None:
    error = ClusterConnectionError("10.0.0.7:9092: connection refused")
    assert "10.0.0.7" not in str(answer_for(error))
    assert answer_for(error, details=True).body["detail"] == "10.0.0.7:9092: connection refused"


def test_who_sent_too_much_is_told_how_much() -> None:
    answer = answer_for(RecordTooLargeError("the record has 2000000 bytes"))
    assert answer.body["detail"] == "the record has 2000000 bytes"
    assert answer.body["what_next"]
