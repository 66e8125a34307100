"""What an error code means: the one place that says retry, split, fail or give up.

A produce answer is judged with the protocol alone in mind; whether retries or time are left, and
what a broken sequence needs, is decided by whoever knows the batch.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.versions import ApiKey


class Action(enum.Enum):
    """What to do about an answer."""

    DELIVERED = enum.auto()
    """The records are in the log."""
    RETRY = enum.auto()
    """The same request may succeed after a backoff."""
    SPLIT = enum.auto()
    """Too large in one piece; a single record is to be failed."""
    SEQUENCE = enum.auto()
    """The broker's idea of this producer's sequence differs from ours."""
    FAIL = enum.auto()
    """Trying again cannot help these records; others are not concerned."""
    COORDINATOR = enum.auto()
    """Another broker coordinates, or none yet: look it up again, then repeat the request."""
    ABORTABLE = enum.auto()
    """This transaction cannot be committed; once it is aborted, the next one may succeed."""
    FENCED = enum.auto()
    """A newer producer has taken over the transactional id, for good."""
    FATAL = enum.auto()
    """Nothing that this producer sends can succeed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action, and what else the code tells."""

    action: Action
    refresh_metadata: bool = False
    # The broker says that the batch was surely not appended. Where this is False the batch keeps
    # its stamp: under a new one, a copy that is in the log already would not be recognised.
    definite: bool = True
    # The broker has forgotten this producer: without a way to a new epoch, abortable is fatal.
    needs_new_epoch: bool = False


_DELIVERED = Verdict(Action.DELIVERED)
_RETRY = Verdict(Action.RETRY)
_RETRY_REFRESHED = Verdict(Action.RETRY, refresh_metadata=True)
_RETRY_UNSURE = Verdict(Action.RETRY, definite=False)
_RETRY_REFRESHED_UNSURE = Verdict(Action.RETRY, refresh_metadata=True, definite=False)
_SPLIT = Verdict(Action.SPLIT)
_SEQUENCE = Verdict(Action.SEQUENCE)
_FAIL = Verdict(Action.FAIL)
_FAIL_UNSURE = Verdict(Action.FAIL, definite=False)
_COORDINATOR = Verdict(Action.COORDINATOR)
_ABORTABLE = Verdict(Action.ABORTABLE)
_ABORTABLE_WITH_NEW_EPOCH = Verdict(Action.ABORTABLE, needs_new_epoch=True)
_FENCED = Verdict(Action.FENCED)
_FATAL = Verdict(Action.FATAL)

_E = ErrorCode

_PRODUCE: Mapping[Verdict, Iterable[ErrorCode]] = {
    # A duplicate is a batch that an earlier, unanswered attempt has put into the log.
    _DELIVERED: (_E.NONE, _E.DUPLICATE_SEQUENCE_NUMBER),
    _RETRY: (
        _E.CORRUPT_MESSAGE,
        _E.COORDINATOR_LOAD_IN_PROGRESS,
        _E.COORDINATOR_NOT_AVAILABLE,
        _E.NOT_COORDINATOR,
        _E.NOT_ENOUGH_REPLICAS,
        _E.CONCURRENT_TRANSACTIONS,
        _E.UNKNOWN_LEADER_EPOCH,
        _E.THROTTLING_QUOTA_EXCEEDED,
    ),
    _RETRY_UNSURE: (_E.REQUEST_TIMED_OUT, _E.NOT_ENOUGH_REPLICAS_AFTER_APPEND),
    _RETRY_REFRESHED: (
        _E.LEADER_NOT_AVAILABLE,
        _E.LISTENER_NOT_FOUND,
        _E.FENCED_LEADER_EPOCH,
        _E.PREFERRED_LEADER_NOT_AVAILABLE,
        # The topic with that id is gone, and with it whatever was appended to it.
        _E.UNKNOWN_TOPIC_ID,
        _E.INCONSISTENT_TOPIC_ID,
    ),
    # With acks=all a leader that has appended the batch answers these when it loses the partition,
    # or the disk below it, while it waits for its replicas.
    _RETRY_REFRESHED_UNSURE: (
        _E.UNKNOWN_TOPIC_OR_PARTITION,
        _E.NOT_LEADER_OR_FOLLOWER,
        _E.KAFKA_STORAGE_ERROR,
        _E.NETWORK_EXCEPTION,
        # Not documented for Produce: they say that the leader is moving, and nothing of the log.
        _E.REPLICA_NOT_AVAILABLE,
        _E.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        _E.ELECTION_NOT_NEEDED,
    ),
    _SPLIT: (_E.MESSAGE_TOO_LARGE, _E.RECORD_LIST_TOO_LARGE),
    _SEQUENCE: (
        _E.OUT_OF_ORDER_SEQUENCE_NUMBER,
        _E.INVALID_PRODUCER_EPOCH,
        _E.UNKNOWN_PRODUCER_ID,
    ),
    _FAIL: (
        _E.INVALID_TOPIC_EXCEPTION,
        _E.INVALID_REQUIRED_ACKS,
        _E.TOPIC_AUTHORIZATION_FAILED,
        _E.INVALID_TIMESTAMP,
        _E.INVALID_RECORD,
        _E.INVALID_REQUEST,
        _E.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        _E.POLICY_VIOLATION,
        _E.INVALID_TXN_STATE,
        _E.UNSUPPORTED_COMPRESSION_TYPE,
        _E.TRANSACTION_ABORTABLE,
    ),
    _FATAL: (
        _E.CLUSTER_AUTHORIZATION_FAILED,
        _E.UNSUPPORTED_VERSION,
        _E.INVALID_PRODUCER_ID_MAPPING,
        _E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        _E.PRODUCER_FENCED,
    ),
}

# Transient for whoever asks, but no answer to a produce request that Kafka documents: it is tried
# again, and taken as saying nothing about the log.
_TRANSIENT_ELSEWHERE = (
    _E.NOT_CONTROLLER,
    _E.FETCH_SESSION_ID_NOT_FOUND,
    _E.INVALID_FETCH_SESSION_EPOCH,
    _E.OFFSET_NOT_AVAILABLE,
    _E.UNSTABLE_OFFSET_COMMIT,
    _E.FETCH_SESSION_TOPIC_ID_ERROR,
    _E.SHARE_SESSION_NOT_FOUND,
    _E.INVALID_SHARE_SESSION_EPOCH,
    _E.SHARE_SESSION_LIMIT_REACHED,
)


def _table(groups: Mapping[Verdict, Iterable[ErrorCode]]) -> Mapping[int, Verdict]:
    return MappingProxyType(
        {int(code): verdict for verdict, codes in groups.items() for code in codes}
    )


def _produce_table() -> Mapping[int, Verdict]:
    known = dict.fromkeys(map(int, ErrorCode), _FAIL_UNSURE)
    known.update(dict.fromkeys(map(int, _TRANSIENT_ELSEWHERE), _RETRY_UNSURE))
    known.update(_table(_PRODUCE))
    return MappingProxyType(known)


PRODUCE_VERDICTS: Mapping[int, Verdict] = _produce_table()


def produce_verdict(code: int) -> Verdict:
    """Return what a partition's error code in a produce answer means."""
    return PRODUCE_VERDICTS.get(code, _FAIL_UNSURE)


_REFRESHING = frozenset(
    code for code, verdict in PRODUCE_VERDICTS.items() if verdict.refresh_metadata
)
_TRANSIENT = frozenset(
    code for code, verdict in PRODUCE_VERDICTS.items() if verdict.action is Action.RETRY
)

# What every request about a transaction has in common. CONCURRENT_TRANSACTIONS is transient like
# any other code of that kind: the coordinator still writes the markers of the last transaction.
_TRANSACTIONAL: Mapping[Verdict, tuple[ErrorCode, ...]] = {
    _COORDINATOR: (_E.NOT_COORDINATOR, _E.COORDINATOR_NOT_AVAILABLE),
    _FENCED: (_E.INVALID_PRODUCER_EPOCH, _E.PRODUCER_FENCED),
    _FATAL: (
        _E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        _E.INVALID_TXN_STATE,
        _E.INVALID_PRODUCER_ID_MAPPING,
        _E.UNSUPPORTED_VERSION,
    ),
    # While the transaction is being aborted there is nothing left to abort: fatal then.
    _ABORTABLE: (_E.TRANSACTION_ABORTABLE,),
}


def _transactional(more: Mapping[Verdict, tuple[ErrorCode, ...]]) -> Mapping[int, Verdict]:
    return MappingProxyType({**_table(_TRANSACTIONAL), **_table(more)})


_REQUESTS: Mapping[int, tuple[Mapping[int, Verdict], Verdict]] = MappingProxyType(
    {
        ApiKey.INIT_PRODUCER_ID: (
            # Missing permissions can be granted while the producer lives; the records that wait
            # fail, the next ones ask again.
            _transactional(
                {
                    _FAIL: (
                        _E.CLUSTER_AUTHORIZATION_FAILED,
                        _E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                    )
                }
            ),
            _FATAL,
        ),
        ApiKey.FIND_COORDINATOR: (
            _table({_ABORTABLE: (_E.GROUP_AUTHORIZATION_FAILED, _E.TRANSACTION_ABORTABLE)}),
            _FATAL,
        ),
        # Partitions that are refused, or that the broker leaves out because others are, are left
        # out by aborting the transaction.
        ApiKey.ADD_PARTITIONS_TO_TXN: (
            _transactional({_ABORTABLE_WITH_NEW_EPOCH: (_E.UNKNOWN_PRODUCER_ID,)}),
            _ABORTABLE,
        ),
        ApiKey.ADD_OFFSETS_TO_TXN: (
            _transactional(
                {
                    _ABORTABLE_WITH_NEW_EPOCH: (_E.UNKNOWN_PRODUCER_ID,),
                    _ABORTABLE: (_E.GROUP_AUTHORIZATION_FAILED,),
                }
            ),
            _FATAL,
        ),
        ApiKey.TXN_OFFSET_COMMIT: (
            _transactional(
                {
                    # The group's coordinator answers after its offsets topic, or not in time.
                    _COORDINATOR: (_E.REQUEST_TIMED_OUT,),
                    # The consumer has lost its partitions, or the group is another's.
                    _ABORTABLE: (
                        _E.GROUP_AUTHORIZATION_FAILED,
                        _E.FENCED_INSTANCE_ID,
                        _E.UNKNOWN_MEMBER_ID,
                        _E.ILLEGAL_GENERATION,
                        _E.GROUP_ID_NOT_FOUND,
                        _E.STALE_MEMBER_EPOCH,
                    ),
                }
            ),
            _FATAL,
        ),
        ApiKey.END_TXN: (
            _transactional({_ABORTABLE_WITH_NEW_EPOCH: (_E.UNKNOWN_PRODUCER_ID,)}),
            _FATAL,
        ),
        # Everything that is wrong with a topic may be put right while its records wait: brokers
        # that come up, a topic that is being made. Only a name or a permission is final.
        ApiKey.METADATA: (
            _table(
                {
                    _FAIL: (
                        _E.INVALID_TOPIC_EXCEPTION,
                        _E.TOPIC_AUTHORIZATION_FAILED,
                        _E.CLUSTER_AUTHORIZATION_FAILED,
                    ),
                    _FATAL: (_E.UNSUPPORTED_VERSION,),
                }
            ),
            _RETRY_REFRESHED,
        ),
    }
)
_OTHER_REQUESTS: tuple[Mapping[int, Verdict], Verdict] = (MappingProxyType({}), _FAIL)


def request_verdict(api: int, code: int) -> Verdict:
    """Return what the error code in the answer to any request but Produce means.

    Codes that are transient anywhere are retried; the tables hold the exceptions and what is left.
    """
    if code == ErrorCode.NONE:
        return _DELIVERED
    exceptions, otherwise = _REQUESTS.get(api, _OTHER_REQUESTS)
    if code in exceptions:
        return exceptions[code]
    if code in _TRANSIENT and otherwise.action is not Action.RETRY:
        return _RETRY_REFRESHED if code in _REFRESHING else _RETRY
    return otherwise
