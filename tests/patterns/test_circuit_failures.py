"""Each error is the cluster's or the caller's: nobody adds one without deciding."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aioproducer import BrokerError, DeadLetterError, ProducerError, TransactionAbortedError, errors
from aioproducer.errors import (
    DeliveryTimeoutError,
    MetadataTimeoutError,
    NotEnoughReplicasError,
    NotLeaderOrFollowerError,
    RecordTooLargeError,
    UnknownTopicOrPartitionError,
    broker_error,
)
from aioproducer.patterns.circuit_failures import COUNTS, counts_as_failure

PAGE = Path(__file__).parents[2] / "docs" / "circuit-breaker.md"

ALL = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, ProducerError)
]

COUNTED = {
    "AuthenticationError",
    "BrokerNotAvailableError",
    "ClusterConnectionError",
    "ConcurrentTransactionsError",
    "CoordinatorLoadInProgressError",
    "CoordinatorNotAvailableError",
    "DeliveryTimeoutError",
    "ElectionNotNeededError",
    "EligibleLeadersNotAvailableError",
    "FencedLeaderEpochError",
    "FetchSessionIdNotFoundError",
    "FetchSessionTopicIdError",
    "InconsistentTopicIdError",
    "InvalidFetchSessionEpochError",
    "InvalidShareSessionEpochError",
    "KafkaStorageError",
    "LeaderNotAvailableError",
    "ListenerNotFoundError",
    "MalformedResponseError",
    "MetadataTimeoutError",
    "NetworkError",
    "NotControllerError",
    "NotCoordinatorError",
    "NotEnoughReplicasAfterAppendError",
    "NotEnoughReplicasError",
    "NotLeaderOrFollowerError",
    "OffsetNotAvailableError",
    "PreferredLeaderNotAvailableError",
    "ProducerTimeoutError",
    "ReplicaNotAvailableError",
    "RequestTimedOutError",
    "ShareSessionLimitReachedError",
    "ShareSessionNotFoundError",
    "TransactionTimeoutError",
    "UnknownLeaderEpochError",
    "UnknownServerError",
    "UnknownTopicIdError",
    "UnstableOffsetCommitError",
}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_error_is_judged_as_it_was_decided(kind: type[ProducerError]) -> None:
    assert counts_as_failure(kind()) is (kind.__name__ in COUNTED)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_error_stands_in_the_table_or_is_a_broker_s_code(kind: type[ProducerError]) -> None:
    deciding = {each for each in kind.__mro__ if each in COUNTS or each is BrokerError}
    assert deciding > {ProducerError} or kind is ProducerError


def test_a_code_that_is_newer_than_the_list_is_judged_by_kafka_s_word() -> None:
    assert not counts_as_failure(broker_error(9999))
    assert counts_as_failure(BrokerError(code=9999, retriable=True))


def caused(error: ProducerError, cause: BaseException) -> ProducerError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (caused(DeliveryTimeoutError(), NotEnoughReplicasError()), True),
        (caused(MetadataTimeoutError(), UnknownTopicOrPartitionError()), False),
        (caused(MetadataTimeoutError(), errors.ClusterConnectionError()), True),
        (caused(errors.SerializerTimeoutError(), NotLeaderOrFollowerError()), False),
        (caused(TransactionAbortedError(), NotLeaderOrFollowerError()), True),
        (caused(TransactionAbortedError(), RecordTooLargeError()), False),
        (
            caused(DeadLetterError(), caused(TransactionAbortedError(), DeliveryTimeoutError())),
            True,
        ),
        (caused(DeadLetterError(), ValueError()), False),
        (OSError(), False),
    ],
    ids=repr,
)
def test_what_wraps_another_is_judged_by_that(error: BaseException, counts: bool) -> None:
    assert counts_as_failure(error) is counts


def test_the_page_names_what_is_in_the_table() -> None:
    rows = re.findall(r"^\| (.+) \| (yes|no|by its cause) \|", PAGE.read_text(), re.MULTILINE)
    told = {name: verdict for names, verdict in rows for name in re.findall(r"`(\w+Error)`", names)}
    named = {kind.__name__ for kind in COUNTS} - {"ProducerError"}
    assert set(told) >= named
    for name, verdict in told.items():
        if verdict != "by its cause":
            kind: type[ProducerError] = getattr(errors, name)
            assert counts_as_failure(kind()) is (verdict == "yes"), name
