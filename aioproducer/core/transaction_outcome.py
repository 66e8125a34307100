"""What came of asking a coordinator, and whether an end that failed so is in doubt."""

from __future__ import annotations

from collections.abc import Sequence

from aioproducer.core.verdict import Action, request_verdict
from aioproducer.errors import BrokerError, ProducerError
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.versions import ApiKey


class Again(Exception):
    """The same request may succeed after a pause; ``unanswered`` if it may have been taken."""

    def __init__(self, error: ProducerError, *, unanswered: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.unanswered = unanswered


class Abortable(Exception):
    """The transaction cannot be committed any more; the next one can."""

    def __init__(self, error: ProducerError) -> None:
        super().__init__(error)
        self.error = error


class Refused(Exception):
    """The brokers deny it now, and may grant it later."""

    def __init__(self, error: ProducerError) -> None:
        super().__init__(error)
        self.error = error


class Fatal(Exception):
    """Nothing can succeed any more."""

    def __init__(self, error: ProducerError) -> None:
        super().__init__(error)
        self.error = error


OUTCOMES: dict[Action, type[Again | Abortable | Refused | Fatal]] = {
    Action.RETRY: Again,
    Action.COORDINATOR: Again,
    Action.ABORTABLE: Abortable,
    Action.FAIL: Refused,
    Action.FENCED: Fatal,
    Action.FATAL: Fatal,
}
"""What an action of the table of error codes is to a transaction."""

# Of several codes in one answer the gravest counts.
_GRAVITY = (
    Action.FENCED,
    Action.FATAL,
    Action.FAIL,
    Action.ABORTABLE,
    Action.COORDINATOR,
    Action.RETRY,
    Action.DELIVERED,
)


def gravest(api: ApiKey, codes: Sequence[int]) -> tuple[Action, int]:
    """Return what the gravest of an answer's codes asks for, and that code."""
    verdicts = [(request_verdict(api, code).action, code) for code in codes]
    nothing = (Action.DELIVERED, int(ErrorCode.NONE))
    return min(verdicts, key=lambda verdict: _GRAVITY.index(verdict[0]), default=nothing)


_END_NOT_TAKEN = frozenset(
    {ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS}
)
_END_REFUSED = frozenset(
    {
        ErrorCode.INVALID_TXN_STATE,
        ErrorCode.INVALID_PRODUCER_ID_MAPPING,
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.PRODUCER_FENCED,
        ErrorCode.TRANSACTION_ABORTABLE,
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
        ErrorCode.UNKNOWN_PRODUCER_ID,
        ErrorCode.UNSUPPORTED_VERSION,
        ErrorCode.INVALID_REQUEST,
    }
)


def leaves_end_in_doubt(failure: Again | Abortable | Fatal) -> bool:
    """Return whether an EndTxn that failed so may have taken effect, or still will.

    A coordinator that has written the decision but not replicated it in time, or that lost its
    place meanwhile, says that it is not there; the next one completes what it finds in the log.
    """
    if isinstance(failure, Again) and failure.unanswered:
        return True
    error = failure.error
    if not isinstance(error, BrokerError):
        # The connection was given up with the request on it.
        return True
    return error.code not in _END_NOT_TAKEN and (
        isinstance(failure, Again) or error.code not in _END_REFUSED
    )
