"""Each finding is made by what is wrong, and by nothing that is right."""

from __future__ import annotations

import pytest

from aioproducer.doctor.checks import CHECKS, Check, drawn_from
from aioproducer.doctor.facts import Need, Setup, TransactionFacts
from aioproducer.doctor.report import Severity
from tests.doctor.setups import GOOD_BROKER, WRITE_AND_DESCRIBE, setup, topic

ONE_SIDED = {"orders": {0: 50_000, 1: 3}}
EVEN = {"orders": {0: 17_000, 1: 16_000, 2: 17_000}}
TRANSACTIONAL = {"transactional_id": "payments-1"}

PROVOKED: dict[str, list[Setup]] = {
    "acks-0": [setup(config={"acks": 0})],
    "acks-1": [setup(config={"acks": 1})],
    "retries-without-idempotence": [
        setup(config={"enable_idempotence": False}),
        setup(config={"acks": 1}),
    ],
    "reordering": [setup(config={"enable_idempotence": False, "partition_ordering": False})],
    "tiny-batches": [setup(config={"batch_size": 0}), setup(config={"batch_size": 8191})],
    "compression-without-batching": [
        setup(config={"linger_ms": 0}),
        setup(config={"batch_size": 1000}),
    ],
    "no-compression": [setup(config={"compression_type": "none"})],
    "timeouts": [
        setup(config={"delivery_timeout_ms": 50_000}),
        setup(config={"retry_backoff_ms": 120_000, "retry_backoff_max_ms": 200_000}),
        setup(config={**TRANSACTIONAL, "transaction_timeout_ms": 30_000}),
        setup(broker_settings={**GOOD_BROKER, "replica.lag.time.max.ms": "45000"}),
    ],
    "buffer-for-rate": [setup(bytes_per_second=10e6)],
    "constant-keys": [
        setup(records_per_partition=ONE_SIDED),
        setup(topic(partitions=3), records_per_partition={"orders": {2: 10_000}}),
    ],
    "topic-missing": [setup(topic(error_code=3))],
    "topic-unauthorized": [setup(topic(error_code=29)), setup(topic(operations=1 << 8))],
    "topic-unusable": [
        setup(topic(error_code=17)),
        setup(topic(leader=-1)),
        setup(topic(in_sync=1)),
    ],
    "min-insync-1": [setup(topic(settings={"min.insync.replicas": "1"}))],
    "low-replication": [setup(topic(replicas=2)), setup(topic(replicas=1), brokers=1)],
    "no-replica-to-spare": [
        setup(topic(settings={"min.insync.replicas": "3"})),
        setup(topic(replicas=1)),
    ],
    "request-above-limit": [
        setup(config={"max_request_size": 2_000_000}),
        setup(topic(settings={"max.message.bytes": "1000"})),
        setup(broker_settings={**GOOD_BROKER, "socket.request.max.bytes": "65536"}),
    ],
    "batch-above-limit": [setup(topic(settings={"max.message.bytes": "10000"}))],
    "recompression": [setup(topic(settings={"compression.type": "zstd"}))],
    "buffer-below-batches": [setup(topic(partitions=3000))],
    "transaction-timeout": [setup(config={**TRANSACTIONAL, "transaction_timeout_ms": 900_001})],
    "transactional-id-in-use": [
        setup(config=TRANSACTIONAL, transaction=TransactionFacts("Ongoing", open_for_s=3.0)),
        setup(
            config=TRANSACTIONAL,
            transaction=TransactionFacts("CompleteCommit", wrote_s_ago=5.0, where="orders-0"),
        ),
    ],
    "transactional-id-unauthorized": [
        setup(config=TRANSACTIONAL, transaction=TransactionFacts("hidden", refused=True))
    ],
}

# Right on the good side of each border.
QUIET: dict[str, list[Setup]] = {
    "acks-0": [setup(config={"acks": 1})],
    "acks-1": [setup(config={"acks": "all"})],
    "retries-without-idempotence": [
        setup(),
        setup(config={"enable_idempotence": False, "retries": 0}),
        setup(config={"acks": 0}),
    ],
    "reordering": [
        setup(),
        setup(config={"enable_idempotence": False}),
        setup(
            config={
                "enable_idempotence": False,
                "partition_ordering": False,
                "max_in_flight_requests_per_connection": 1,
            }
        ),
    ],
    "tiny-batches": [setup(config={"batch_size": 8192})],
    "compression-without-batching": [
        setup(config={"linger_ms": 1, "batch_size": 8192}),
        setup(config={"linger_ms": 0, "compression_type": "none"}),
    ],
    "no-compression": [setup(config={"compression_type": "gzip"})],
    "timeouts": [
        setup(config={"delivery_timeout_ms": 60_005}),
        setup(config={"delivery_timeout_ms": 50_000, "retries": 0, "enable_idempotence": False}),
        setup(config={**TRANSACTIONAL, "transaction_timeout_ms": 30_001}),
        setup(broker_settings=None),
    ],
    "buffer-for-rate": [setup(bytes_per_second=3.3e6), setup(bytes_per_second=None)],
    "constant-keys": [
        setup(records_per_partition=EVEN),
        setup(records_per_partition={"orders": {0: 9_999, 1: 0}}),
        setup(topic(partitions=1), records_per_partition={"orders": {0: 100_000}}),
        setup(),
    ],
    "topic-missing": [setup(), setup(topic(error_code=29))],
    "topic-unauthorized": [setup(topic(operations=WRITE_AND_DESCRIBE)), setup(topic(error_code=3))],
    "topic-unusable": [
        setup(topic(in_sync=2)),
        setup(topic(in_sync=1), config={"acks": 1}),
        setup(topic(error_code=3)),
    ],
    "min-insync-1": [
        setup(topic(settings={"min.insync.replicas": "2"})),
        setup(topic(settings={"min.insync.replicas": "1"}), config={"acks": 1}),
        setup(topic(settings={"min.insync.replicas": None})),
    ],
    "low-replication": [setup(topic(replicas=3)), setup(topic(error_code=3))],
    "no-replica-to-spare": [
        setup(),
        setup(topic(replicas=1, settings={"min.insync.replicas": "1"})),
        setup(topic(settings={"min.insync.replicas": "3"}), config={"acks": 1}),
    ],
    "request-above-limit": [setup(topic(settings={"max.message.bytes": "1048576"}))],
    "batch-above-limit": [setup(topic(settings={"max.message.bytes": "16384"}))],
    "recompression": [
        setup(topic(settings={"compression.type": "gzip"})),
        setup(
            topic(settings={"compression.type": "uncompressed"}),
            config={"compression_type": "none"},
        ),
    ],
    "buffer-below-batches": [setup(topic(partitions=2048))],
    "transaction-timeout": [
        setup(config={**TRANSACTIONAL, "transaction_timeout_ms": 900_000}),
        setup(config={"transaction_timeout_ms": 900_001}),
    ],
    "transactional-id-in-use": [
        setup(config=TRANSACTIONAL, transaction=TransactionFacts("Empty")),
        setup(
            config=TRANSACTIONAL,
            transaction=TransactionFacts("CompleteAbort", wrote_s_ago=61.0, where="orders-0"),
        ),
        setup(config=TRANSACTIONAL, transaction=None),
    ],
    "transactional-id-unauthorized": [
        setup(config=TRANSACTIONAL, transaction=TransactionFacts("Empty"))
    ],
}

by_name = {check.name: check for check in CHECKS}
every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


def test_each_check_has_its_cases() -> None:
    assert list(by_name) == [check.name for check in CHECKS]
    assert set(PROVOKED) == set(QUIET) == set(by_name)


@every_check
def test_what_is_wrong_is_found(check: Check) -> None:
    for each in PROVOKED[check.name]:
        findings = list(check.judge(each))
        assert findings, each
        for finding in findings:
            assert finding.name == check.name
            assert finding.symptom.endswith(".")
            assert finding.remedy.endswith(".")
            assert finding.cause.rstrip(")").endswith((".", "twice"))


@every_check
def test_what_is_right_is_left_alone(check: Check) -> None:
    for each in QUIET[check.name]:
        assert not list(check.judge(each)), each


def test_a_good_setup_has_no_finding() -> None:
    assert [finding for check in CHECKS for finding in check.judge(setup())] == []


@every_check
def test_a_check_says_nothing_of_what_is_not_known(check: Check) -> None:
    """Neither the cluster nor the topics could be asked."""
    nothing = setup(topics=(), brokers=0, broker_settings=None)
    assert not list(check.judge(nothing))


def test_each_cause_is_told_with_its_figures() -> None:
    [finding] = by_name["request-above-limit"].judge(setup(config={"max_request_size": 2_000_000}))
    assert "max.request.size=2000000" in finding.cause
    assert "max.message.bytes=1048588" in finding.cause
    assert finding.topic == "orders"
    assert "1048588" in finding.remedy


def test_a_topic_that_brokers_would_create_is_no_error_yet() -> None:
    settings = {**GOOD_BROKER, "auto.create.topics.enable": "true"}
    missing = topic(error_code=3)
    [made] = by_name["topic-missing"].judge(setup(missing, broker_settings=settings))
    assert made.severity is Severity.WARNING
    assert "1 partition" in made.cause
    own = {"allow_auto_create_topics": False}
    [not_made] = by_name["topic-missing"].judge(
        setup(missing, broker_settings=settings, config=own)
    )
    assert not_made.severity is Severity.ERROR


def test_a_topic_that_can_never_be_written_is_an_error() -> None:
    [never] = by_name["no-replica-to-spare"].judge(setup(topic(replicas=1)))
    [sometimes] = by_name["no-replica-to-spare"].judge(setup(topic(replicas=2)))
    assert (never.severity, sometimes.severity) == (Severity.ERROR, Severity.WARNING)


def test_the_buffer_that_a_rate_needs_is_named() -> None:
    [finding] = by_name["buffer-for-rate"].judge(setup(bytes_per_second=10e6))
    assert "holds 3.4 s" in finding.cause
    assert "100000000" in finding.remedy


def test_what_is_missing_names_the_findings_that_it_might_have_given() -> None:
    assert "min-insync-1" in drawn_from(Need.TOPIC_SETTINGS)
    assert "acks-0" not in drawn_from(*set(Need) - {Need.CONFIGURATION})
    assert set(drawn_from(*Need)) == set(by_name)
