"""Which failed transactions are run again, and when."""

from __future__ import annotations

import random

import pytest

from aioproducer.errors import (
    DeliveryTimeoutError,
    FatalTransactionError,
    GroupAuthorizationFailedError,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    MessageTooLargeError,
    NotEnoughReplicasError,
    ProducerClosedError,
    ProducerError,
    ProducerFencedError,
    SchemaRegistryError,
    SerializationError,
    SerializerTimeoutError,
    TopicAuthorizationFailedError,
    TransactionAbortedError,
    TransactionStateError,
    TransactionTimeoutError,
)
from aioproducer.patterns.retry_rules import may_run_again, pause_before


def _aborted_because_of(cause: ProducerError | None) -> TransactionAbortedError:
    error = TransactionAbortedError("aborted")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("committing", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        NotEnoughReplicasError(),
        DeliveryTimeoutError(),
        DeliveryTimeoutError(persisted="maybe"),
        _aborted_because_of(NotEnoughReplicasError()),
        _aborted_because_of(None),
        FatalTransactionError(),
        ProducerFencedError(),
        TransactionTimeoutError(),
        SerializerTimeoutError(retriable=False),
        SchemaRegistryError(retriable=True),
        _aborted_because_of(SerializerTimeoutError()),
    ],
    ids=repr,
)
def test_what_may_pass_is_run_again(error: ProducerError, committing: bool) -> None:
    assert may_run_again(error, committing=committing)


@pytest.mark.parametrize("committing", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        SerializationError(),
        SchemaRegistryError(),
        MessageTooLargeError(),
        InvalidTimestampError(),
        InvalidRecordError(),
        InvalidTopicError(),
        TopicAuthorizationFailedError(),
        GroupAuthorizationFailedError(),
        TransactionStateError(),
        ProducerClosedError(),
        _aborted_because_of(MessageTooLargeError()),
        _aborted_because_of(_aborted_because_of(SerializationError())),
    ],
    ids=repr,
)
def test_what_would_happen_again_is_not_run_again(error: ProducerError, committing: bool) -> None:
    assert not may_run_again(error, committing=committing)


@pytest.mark.parametrize(
    "kind",
    [TransactionTimeoutError, FatalTransactionError, ProducerFencedError, ProducerClosedError],
)
def test_a_commit_in_doubt_is_never_run_again(kind: type[ProducerError]) -> None:
    """Before the commit the same words concern something else: nothing is visible yet."""
    assert not may_run_again(kind(persisted="maybe"), committing=True)
    closed = kind is ProducerClosedError
    assert may_run_again(kind(persisted="maybe"), committing=False) is not closed


def test_pauses_double_up_to_the_longest_and_vary_by_a_fifth() -> None:
    rng = random.Random(1)
    for attempt, expected in ((1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (5000, 1.0)):
        pauses = {pause_before(attempt, 100, 1000, rng) for _ in range(200)}
        assert expected * 0.8 <= min(pauses) < expected * 0.85
        assert expected * 1.15 < max(pauses) <= expected * 1.2


def test_a_longest_pause_below_the_shortest_does_not_count() -> None:
    assert pause_before(1, 500, 100, random.Random(1)) >= 0.4
