"""The transaction's state table: every state with every event."""

from __future__ import annotations

import itertools

import pytest

from aioproducer.core.transaction import (
    TRANSITIONS,
    TransactionEvent,
    TransactionState,
    transition,
)
from aioproducer.errors import TransactionStateError

S, E = TransactionState, TransactionEvent

# What Kafka's own producer allows, written out a second time, a row for each state.
ALLOWED = {
    S.UNINITIALIZED: {E.INITIALIZE: S.INITIALIZING},
    S.INITIALIZING: {E.INITIALIZED: S.READY, E.REFUSED: S.UNINITIALIZED},
    S.READY: {E.BEGIN: S.IN_TRANSACTION},
    S.IN_TRANSACTION: {E.COMMIT: S.COMMITTING, E.ABORT: S.ABORTING, E.FAULT: S.ABORTABLE_ERROR},
    S.COMMITTING: {E.ENDED: S.READY, E.RENEW: S.INITIALIZING, E.FAULT: S.ABORTABLE_ERROR},
    S.ABORTING: {E.ENDED: S.READY, E.RENEW: S.INITIALIZING, E.FAULT: S.ABORTING},
    S.ABORTABLE_ERROR: {E.ABORT: S.ABORTING, E.FAULT: S.ABORTABLE_ERROR},
    S.FATAL_ERROR: {},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)))
def test_every_event_in_every_state(state: S, event: E) -> None:
    """It moves as the table says, or raises and says what to do instead."""
    expected = S.FATAL_ERROR if event is E.FATAL else ALLOWED[state].get(event)
    if expected is not None:
        assert transition(state, event) is expected
        return
    with pytest.raises(TransactionStateError) as caught:
        transition(state, event)
    assert state.value in str(caught.value)
    assert caught.value.what_next


def test_nothing_leads_out_of_a_fatal_error() -> None:
    leads = {after for (before, _), after in TRANSITIONS.items() if before is S.FATAL_ERROR}
    assert leads == {S.FATAL_ERROR}


def test_every_state_can_be_reached_from_the_first() -> None:
    reached = {S.UNINITIALIZED}
    for _ in S:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(S)


@pytest.mark.parametrize("lost", [S.ABORTABLE_ERROR, S.ABORTING])
def test_a_transaction_that_failed_is_never_committed(lost: S) -> None:
    """From a failure, the only way to a commit leads through the end of the transaction."""
    onward = {lost}
    for _ in S:
        onward |= {
            after
            for (before, _), after in TRANSITIONS.items()
            if before in onward and before not in (S.READY, S.INITIALIZING)
        }
    assert S.COMMITTING not in onward
