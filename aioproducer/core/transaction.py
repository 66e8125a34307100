"""The states of a transactional producer: an enum, a table, one function (KIP-98, KIP-360)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from aioproducer.errors import TransactionStateError


class TransactionState(enum.Enum):
    """Where a transactional producer is."""

    UNINITIALIZED = "not initialized"
    INITIALIZING = "being initialized"
    READY = "between transactions"
    IN_TRANSACTION = "in a transaction"
    COMMITTING = "committing"
    ABORTING = "aborting"
    ABORTABLE_ERROR = "in a transaction that failed and can only be aborted"
    FATAL_ERROR = "unusable after a fatal error"


class TransactionEvent(enum.Enum):
    """What happens to it."""

    INITIALIZE = "initialize"
    """InitProducerId is to be asked for the first identity."""
    INITIALIZED = "finish the initialization of"
    REFUSED = "be refused by"
    """The brokers deny the identity; permissions may come later."""
    BEGIN = "begin a transaction with"
    COMMIT = "commit with"
    ABORT = "abort with"
    FAULT = "note a failure of"
    """Something of the transaction failed: it can no longer be committed."""
    ENDED = "end the transaction of"
    """EndTxn was answered, or nothing had to be ended."""
    RENEW = "renew the identity of"
    """The transaction ended, and the next one needs a higher epoch first."""
    FATAL = "give up"


_S, _E = TransactionState, TransactionEvent

TRANSITIONS: Mapping[tuple[TransactionState, TransactionEvent], TransactionState] = (
    MappingProxyType(
        {
            (_S.UNINITIALIZED, _E.INITIALIZE): _S.INITIALIZING,
            (_S.INITIALIZING, _E.INITIALIZED): _S.READY,
            (_S.INITIALIZING, _E.REFUSED): _S.UNINITIALIZED,
            (_S.READY, _E.BEGIN): _S.IN_TRANSACTION,
            (_S.IN_TRANSACTION, _E.COMMIT): _S.COMMITTING,
            (_S.IN_TRANSACTION, _E.ABORT): _S.ABORTING,
            (_S.IN_TRANSACTION, _E.FAULT): _S.ABORTABLE_ERROR,
            (_S.COMMITTING, _E.FAULT): _S.ABORTABLE_ERROR,
            (_S.COMMITTING, _E.ENDED): _S.READY,
            (_S.COMMITTING, _E.RENEW): _S.INITIALIZING,
            (_S.ABORTABLE_ERROR, _E.FAULT): _S.ABORTABLE_ERROR,
            (_S.ABORTABLE_ERROR, _E.ABORT): _S.ABORTING,
            # What fails while everything is given up anyway changes nothing.
            (_S.ABORTING, _E.FAULT): _S.ABORTING,
            (_S.ABORTING, _E.ENDED): _S.READY,
            (_S.ABORTING, _E.RENEW): _S.INITIALIZING,
            # From everywhere, and nothing leads out: only close() helps.
            **{(state, _E.FATAL): _S.FATAL_ERROR for state in _S},
        }
    )
)


def transition(state: TransactionState, event: TransactionEvent) -> TransactionState:
    """Return the next state; raise :exc:`TransactionStateError` where the table has none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransactionStateError(
            f"cannot {event.value} a producer that is {state.value}",
            what_next=_WHAT_NEXT.get(state, ""),
        ) from None


_WHAT_NEXT: Mapping[TransactionState, str] = MappingProxyType(
    {
        _S.UNINITIALIZED: "Await start() or init_transactions() first.",
        _S.INITIALIZING: "Await the call that is under way; the same call can be repeated.",
        _S.READY: "Begin a transaction first.",
        _S.IN_TRANSACTION: "Commit or abort the open transaction first.",
        _S.COMMITTING: "The commit is under way: await commit_transaction() again.",
        _S.ABORTING: "The abort is under way: await abort_transaction() again.",
        _S.ABORTABLE_ERROR: "Abort the transaction, then run all of it again.",
        _S.FATAL_ERROR: "Close this producer and make a new one.",
    }
)
