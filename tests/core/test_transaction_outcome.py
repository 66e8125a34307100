"""What a coordinator's answer is to a transaction, and which ends stay in doubt."""

from __future__ import annotations

from typing import Any

import pytest

from aioproducer.core.transaction_outcome import (
    OUTCOMES,
    Abortable,
    Again,
    Fatal,
    Refused,
    gravest,
    leaves_end_in_doubt,
)
from aioproducer.core.verdict import Action
from aioproducer.errors import AuthenticationError, ClusterConnectionError, broker_error
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.versions import ApiKey

E = ErrorCode
ADD = ApiKey.ADD_PARTITIONS_TO_TXN


@pytest.mark.parametrize("codes", [[], [E.NONE], [E.NONE, E.NONE]])
def test_an_answer_without_an_error_asks_for_nothing(codes: list[int]) -> None:
    assert gravest(ADD, codes) == (Action.DELIVERED, E.NONE)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (E.CONCURRENT_TRANSACTIONS, Again),
        (E.NOT_COORDINATOR, Again),
        (E.TOPIC_AUTHORIZATION_FAILED, Abortable),
        (E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Fatal),
        (E.PRODUCER_FENCED, Fatal),
    ],
)
def test_of_several_codes_the_gravest_counts_wherever_it_stands(code: int, outcome: Any) -> None:
    for codes in ([E.NONE, code], [code, E.NONE], [E.CONCURRENT_TRANSACTIONS, code]):
        action, found = gravest(ADD, codes)
        assert (OUTCOMES[action], found) == (outcome, code)


def test_a_permission_for_the_first_identity_may_be_granted_later() -> None:
    action, _ = gravest(ApiKey.INIT_PRODUCER_ID, [E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED])
    assert OUTCOMES[action] is Refused


@pytest.mark.parametrize(
    ("failure", "in_doubt"),
    [
        (Again(ClusterConnectionError("gone"), unanswered=True), True),
        (Again(broker_error(E.COORDINATOR_NOT_AVAILABLE)), True),
        (Again(broker_error(E.NOT_COORDINATOR)), True),
        (Again(broker_error(E.REQUEST_TIMED_OUT)), True),
        (Again(broker_error(E.CONCURRENT_TRANSACTIONS)), False),
        (Again(broker_error(E.COORDINATOR_LOAD_IN_PROGRESS)), False),
        (Fatal(broker_error(E.UNKNOWN_SERVER_ERROR)), True),
        (Fatal(broker_error(9999)), True),
        (Fatal(AuthenticationError("not let in again")), True),
        (Fatal(broker_error(E.PRODUCER_FENCED)), False),
        (Fatal(broker_error(E.INVALID_TXN_STATE)), False),
        (Abortable(broker_error(E.TRANSACTION_ABORTABLE)), False),
    ],
)
def test_which_failed_ends_may_have_taken_effect(failure: Any, in_doubt: bool) -> None:
    """Kafka says that it is not the coordinator also after it has written the decision."""
    assert leaves_end_in_doubt(failure) is in_doubt
