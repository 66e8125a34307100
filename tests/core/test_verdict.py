from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.verdict import (
    PRODUCE_VERDICTS,
    Action,
    Verdict,
    produce_verdict,
    request_verdict,
)
from aioproducer.errors import broker_error
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.versions import ApiKey
from tests.kafka_tables import kafka_errors

DELIVERED = {"NONE", "DUPLICATE_SEQUENCE_NUMBER"}
SPLIT = {"MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"}
SEQUENCE = {"OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "UNKNOWN_PRODUCER_ID"}
FATAL = {
    "CLUSTER_AUTHORIZATION_FAILED",
    "UNSUPPORTED_VERSION",
    "INVALID_PRODUCER_ID_MAPPING",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    "PRODUCER_FENCED",
}
SURE_FAILURES = {
    "INVALID_TOPIC_EXCEPTION",
    "INVALID_REQUIRED_ACKS",
    "TOPIC_AUTHORIZATION_FAILED",
    "INVALID_TIMESTAMP",
    "INVALID_RECORD",
    "INVALID_REQUEST",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "POLICY_VIOLATION",
    "INVALID_TXN_STATE",
    "UNSUPPORTED_COMPRESSION_TYPE",
    "TRANSACTION_ABORTABLE",
}
# A leader that gives one of these may have appended the batch before.
UNSURE_RETRIES = {
    "REQUEST_TIMED_OUT",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NETWORK_EXCEPTION",
    "NOT_LEADER_OR_FOLLOWER",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "KAFKA_STORAGE_ERROR",
}


def names_with(action: Action) -> set[str]:
    return {ErrorCode(code).name for code, v in PRODUCE_VERDICTS.items() if v.action is action}


def test_every_known_code_has_a_line():
    assert set(PRODUCE_VERDICTS) == set(map(int, ErrorCode))


@pytest.mark.parametrize(
    ("action", "names"),
    [
        (Action.DELIVERED, DELIVERED),
        (Action.SPLIT, SPLIT),
        (Action.SEQUENCE, SEQUENCE),
        (Action.FATAL, FATAL),
        (Action.RETRY, {error.name for error in kafka_errors() if error.retriable}),
    ],
)
def test_exactly_these_codes_lead_to_the_action(action, names):
    assert names_with(action) == names


def test_failures_that_kafka_documents_for_produce_are_sure():
    for name in SURE_FAILURES:
        assert produce_verdict(ErrorCode[name]) == Verdict(Action.FAIL)


@pytest.mark.parametrize("error", kafka_errors(), ids=lambda error: error.name)
def test_metadata_is_refreshed_for_the_codes_that_java_calls_invalid_metadata(error):
    assert produce_verdict(error.code).refresh_metadata is error.refreshes_metadata


@pytest.mark.parametrize("name", sorted(UNSURE_RETRIES))
def test_a_batch_that_may_have_been_appended_is_retried_as_unsure(name):
    verdict = produce_verdict(ErrorCode[name])

    assert verdict.action is Action.RETRY
    assert not verdict.definite


@pytest.mark.parametrize(
    "name", ["NOT_ENOUGH_REPLICAS", "LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_ID", "CORRUPT_MESSAGE"]
)
def test_a_batch_that_was_turned_away_before_the_log_is_retried_as_sure(name):
    verdict = produce_verdict(ErrorCode[name])

    assert verdict.action is Action.RETRY
    assert verdict.definite


def test_an_unexpected_failure_of_the_broker_leaves_it_open_whether_it_appended():
    assert produce_verdict(-1) == Verdict(Action.FAIL, definite=False)


@given(st.integers(-(2**15), 2**15 - 1).filter(lambda code: code not in set(map(int, ErrorCode))))
def test_an_unknown_code_fails_and_leaves_it_open_whether_it_appended(code):
    assert produce_verdict(code) == Verdict(Action.FAIL, definite=False)


@given(st.sampled_from(ErrorCode))
def test_what_is_retried_is_what_the_error_calls_retriable(code):
    if code is not ErrorCode.NONE:
        assert (produce_verdict(code).action is Action.RETRY) is broker_error(code).retriable


@given(st.sampled_from(ErrorCode))
def test_only_what_can_be_tried_again_asks_for_new_metadata(code):
    verdict = produce_verdict(code)

    assert not verdict.refresh_metadata or verdict.action is Action.RETRY


@given(st.integers(0, 100), st.integers(-(2**15), 2**15 - 1))
def test_every_request_and_code_has_a_verdict(api, code):
    verdict = request_verdict(api, code)

    assert (verdict.action is Action.DELIVERED) is (code == 0)
    assert verdict.action not in (Action.SPLIT, Action.SEQUENCE)


@pytest.mark.parametrize(
    ("api", "name", "action"),
    [
        (ApiKey.INIT_PRODUCER_ID, "COORDINATOR_LOAD_IN_PROGRESS", Action.RETRY),
        (ApiKey.INIT_PRODUCER_ID, "REQUEST_TIMED_OUT", Action.RETRY),
        (ApiKey.INIT_PRODUCER_ID, "CONCURRENT_TRANSACTIONS", Action.RETRY),
        (ApiKey.INIT_PRODUCER_ID, "CLUSTER_AUTHORIZATION_FAILED", Action.FAIL),
        (ApiKey.INIT_PRODUCER_ID, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Action.FAIL),
        (ApiKey.INIT_PRODUCER_ID, "NOT_COORDINATOR", Action.COORDINATOR),
        (ApiKey.INIT_PRODUCER_ID, "COORDINATOR_NOT_AVAILABLE", Action.COORDINATOR),
        (ApiKey.INIT_PRODUCER_ID, "PRODUCER_FENCED", Action.FENCED),
        (ApiKey.INIT_PRODUCER_ID, "INVALID_PRODUCER_EPOCH", Action.FENCED),
        (ApiKey.INIT_PRODUCER_ID, "INVALID_TXN_STATE", Action.FATAL),
        (ApiKey.INIT_PRODUCER_ID, "TRANSACTION_ABORTABLE", Action.ABORTABLE),
        (ApiKey.INIT_PRODUCER_ID, "UNKNOWN_SERVER_ERROR", Action.FATAL),
        (ApiKey.FIND_COORDINATOR, "COORDINATOR_NOT_AVAILABLE", Action.RETRY),
        (ApiKey.FIND_COORDINATOR, "NOT_COORDINATOR", Action.RETRY),
        (ApiKey.FIND_COORDINATOR, "GROUP_AUTHORIZATION_FAILED", Action.ABORTABLE),
        (ApiKey.FIND_COORDINATOR, "TRANSACTION_ABORTABLE", Action.ABORTABLE),
        (ApiKey.FIND_COORDINATOR, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Action.FATAL),
        (ApiKey.METADATA, "UNKNOWN_TOPIC_OR_PARTITION", Action.RETRY),
        (ApiKey.METADATA, "LEADER_NOT_AVAILABLE", Action.RETRY),
        (ApiKey.METADATA, "INVALID_REPLICATION_FACTOR", Action.RETRY),
        (ApiKey.METADATA, "REBOOTSTRAP_REQUIRED", Action.RETRY),
        (ApiKey.METADATA, "INVALID_TOPIC_EXCEPTION", Action.FAIL),
        (ApiKey.METADATA, "TOPIC_AUTHORIZATION_FAILED", Action.FAIL),
        (ApiKey.METADATA, "UNSUPPORTED_VERSION", Action.FATAL),
        (ApiKey.API_VERSIONS, "REQUEST_TIMED_OUT", Action.RETRY),
        (ApiKey.API_VERSIONS, "INVALID_REQUEST", Action.FAIL),
    ],
)
def test_answers_to_other_requests_are_judged_by_their_own_tables(api, name, action):
    assert request_verdict(api, ErrorCode[name]).action is action


# By API: the codes that are judged by name. All others are retried where Apache's client calls them
# retriable, and else do what stands at OTHERWISE.
OTHERWISE = "everything else"
COORDINATED = {
    Action.COORDINATOR: {"NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE"},
    Action.FENCED: {"INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"},
}
FATAL_EVERYWHERE = {
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    "INVALID_TXN_STATE",
    "INVALID_PRODUCER_ID_MAPPING",
    "UNSUPPORTED_VERSION",
}
OF_TRANSACTIONS = {
    ApiKey.ADD_PARTITIONS_TO_TXN: {
        **COORDINATED,
        Action.FATAL: FATAL_EVERYWHERE,
        Action.ABORTABLE: {OTHERWISE},
    },
    ApiKey.ADD_OFFSETS_TO_TXN: {
        **COORDINATED,
        Action.ABORTABLE: {
            "GROUP_AUTHORIZATION_FAILED",
            "TRANSACTION_ABORTABLE",
            "UNKNOWN_PRODUCER_ID",
        },
        Action.FATAL: {OTHERWISE},
    },
    ApiKey.TXN_OFFSET_COMMIT: {
        Action.COORDINATOR: {*COORDINATED[Action.COORDINATOR], "REQUEST_TIMED_OUT"},
        Action.FENCED: COORDINATED[Action.FENCED],
        Action.ABORTABLE: {
            "GROUP_AUTHORIZATION_FAILED",
            "FENCED_INSTANCE_ID",
            "UNKNOWN_MEMBER_ID",
            "ILLEGAL_GENERATION",
            "GROUP_ID_NOT_FOUND",
            "STALE_MEMBER_EPOCH",
            "TRANSACTION_ABORTABLE",
        },
        Action.FATAL: {OTHERWISE},
    },
    ApiKey.END_TXN: {
        **COORDINATED,
        Action.ABORTABLE: {"TRANSACTION_ABORTABLE", "UNKNOWN_PRODUCER_ID"},
        Action.FATAL: {OTHERWISE},
    },
}


def expected_action(api, error):
    groups = OF_TRANSACTIONS[api]
    by_name = {name: action for action, names in groups.items() for name in names}
    if error.name in by_name:
        return by_name[error.name]
    return Action.RETRY if error.retriable else by_name[OTHERWISE]


@pytest.mark.parametrize("error", kafka_errors(), ids=lambda error: error.name)
@pytest.mark.parametrize("api", OF_TRANSACTIONS, ids=lambda api: api.kafka_name)
def test_every_code_in_the_answers_about_a_transaction_has_its_line(api, error):
    expected = Action.DELIVERED if error.code == 0 else expected_action(api, error)

    assert request_verdict(api, error.code).action is expected


@pytest.mark.parametrize("api", OF_TRANSACTIONS, ids=lambda api: api.kafka_name)
def test_only_a_forgotten_producer_needs_a_new_epoch(api):
    needing = {code.name for code in ErrorCode if request_verdict(api, code).needs_new_epoch}

    assert needing == (set() if api is ApiKey.TXN_OFFSET_COMMIT else {"UNKNOWN_PRODUCER_ID"})


@pytest.mark.parametrize(
    ("name", "refreshes"),
    [("UNKNOWN_TOPIC_OR_PARTITION", True), ("CONCURRENT_TRANSACTIONS", False)],
)
def test_a_partition_that_the_coordinator_does_not_know_asks_for_new_metadata(name, refreshes):
    verdict = request_verdict(ApiKey.ADD_PARTITIONS_TO_TXN, ErrorCode[name])

    assert verdict == Verdict(Action.RETRY, refresh_metadata=refreshes)
