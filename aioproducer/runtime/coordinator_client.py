"""Asks transaction and group coordinators; every method asks once and says what came of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from typing import Any

from aioproducer.config import ProducerConfig
from aioproducer.core.backoff import backoff_ms, busy_backoff_ms
from aioproducer.core.producer_identity import ProducerIdentity
from aioproducer.core.transaction_outcome import (
    OUTCOMES,
    Abortable,
    Again,
    Fatal,
    Refused,
    gravest,
)
from aioproducer.core.transaction_scope import (
    OffsetsToCommit,
    TransactionProtocol,
    TransactionScope,
)
from aioproducer.core.verdict import Action, produce_verdict, request_verdict
from aioproducer.errors import (
    AuthenticationError,
    BrokerError,
    ClusterConnectionError,
    ConcurrentTransactionsError,
    FatalTransactionError,
    MalformedResponseError,
    ProducerError,
    ProducerFencedError,
    broker_error,
)
from aioproducer.records import TopicPartition
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.connection_manager import ConnectionManager
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from aioproducer.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    PartitionResult,
)
from aioproducer.wire.messages.end_txn import EndTxnRequest
from aioproducer.wire.messages.find_coordinator import GROUP, TRANSACTION, FindCoordinatorRequest
from aioproducer.wire.messages.init_producer_id import InitProducerIdRequest
from aioproducer.wire.messages.txn_offset_commit import (
    OffsetPartition,
    OffsetTopic,
    TxnOffsetCommitRequest,
)

logger = logging.getLogger("aioproducer")

_FENCED = frozenset({ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH})
_TOO_LATE = ErrorCode.INVALID_TXN_STATE
"""What a commit of the new protocol is answered after the brokers have aborted."""
_NOT_ASKED = frozenset({ErrorCode.NONE, ErrorCode.OPERATION_NOT_ATTEMPTED})


class CoordinatorClient:
    """Finds coordinators, asks them, and reads their error codes by the one table."""

    def __init__(
        self, config: ProducerConfig, client_id: str, cluster: Cluster, transactional_id: str
    ) -> None:
        self.last_error: ProducerError | None = None
        # Whether the coordinator has forgotten the identity: the next transaction needs another.
        self.needs_new_epoch = False
        self._config = config
        self._client_id = client_id
        self._cluster = cluster
        self._transactional_id = transactional_id
        self._nodes: dict[tuple[int, str], int] = {}

    # The requests

    async def init_producer_id(self, current: ProducerIdentity | None) -> ProducerIdentity:
        """Obtain an identity, or with ``current`` one of a higher epoch (KIP-360)."""
        producer_id, epoch = current if current is not None else (-1, -1)
        request = InitProducerIdRequest(
            self._transactional_id, self._config.transaction_timeout_ms, producer_id, epoch
        )
        try:
            answer = await self._ask(request)
            self._judge(request, [answer.error_code])
        except (Abortable, Refused, Fatal) as failure:
            # Nothing is lost yet at the first time; later the identity cannot be done without.
            raise (Refused if current is None else Fatal)(failure.error) from failure
        self.needs_new_epoch = False
        return ProducerIdentity(answer.producer_id, answer.producer_epoch)

    async def add_partitions(
        self, identity: ProducerIdentity, partitions: Sequence[TopicPartition]
    ) -> list[TopicPartition]:
        """Add partitions to the transaction; returns those that are in it now."""
        topics: dict[str, list[int]] = {}
        for topic, index in partitions:
            topics.setdefault(topic, []).append(index)
        request = AddPartitionsToTxnRequest(
            self._transactional_id, *identity, tuple(topics.items())
        )
        answer = await self._ask(request, at_most=3)
        self._judge_rows(request, answer.results, partitions)
        return [TopicPartition(row.topic, row.partition) for row in answer.results]

    async def add_offsets(self, identity: ProducerIdentity, group_id: str) -> None:
        """Add a consumer group to the transaction."""
        request = AddOffsetsToTxnRequest(self._transactional_id, *identity, group_id)
        answer = await self._ask(request)
        self._judge(request, [answer.error_code])

    async def commit_offsets(
        self, identity: ProducerIdentity, protocol: TransactionProtocol, wish: OffsetsToCommit
    ) -> None:
        """Hand a group's offsets to its coordinator, to count once the transaction commits."""
        topics: dict[str, list[OffsetPartition]] = {}
        for (topic, index), position in wish.offsets.items():
            topics.setdefault(topic, []).append(
                OffsetPartition(index, position.offset, position.leader_epoch, position.metadata)
            )
        group = wish.group
        request = TxnOffsetCommitRequest(
            self._transactional_id,
            group.group_id,
            *identity,
            [OffsetTopic(name, rows) for name, rows in topics.items()],
            group.generation_id,
            group.member_id,
            group.group_instance_id,
        )
        at_most, at_least = _version_bounds(protocol)
        answer = await self._ask(request, GROUP, group.group_id, at_most=at_most, at_least=at_least)
        self._judge_rows(request, answer.results, wish.offsets, GROUP, group.group_id)

    async def end(
        self, identity: ProducerIdentity, protocol: TransactionProtocol, *, commit: bool
    ) -> ProducerIdentity | None:
        """Commit or abort; returns the identity of the next transaction if the answer names it."""
        request = EndTxnRequest(self._transactional_id, *identity, commit)
        at_most, at_least = _version_bounds(protocol)
        try:
            answer = await self._ask(request, at_most=at_most, at_least=at_least)
            self._judge(request, [answer.error_code])
        except Abortable as failure:
            if commit:
                raise
            raise Fatal(failure.error) from failure
        if answer.producer_id < 0:
            return None
        self.needs_new_epoch = False
        return ProducerIdentity(answer.producer_id, answer.producer_epoch)

    # Who is asked

    async def _ask(
        self,
        request: Any,
        key_type: int = TRANSACTION,
        key: str | None = None,
        *,
        at_most: int | None = None,
        at_least: int | None = None,
    ) -> Any:
        """Ask the coordinator of ``key``, the transactional id if none is given."""
        manager = await self._coordinator(key_type, key or self._transactional_id)
        try:
            answer = await manager.request(request, at_most=at_most, at_least=at_least)
        except BrokerError as error:
            # No version in common, or none that can say it.
            raise (Abortable if key_type == GROUP else Fatal)(error) from error
        except AuthenticationError as error:
            raise Fatal(error) from error
        except ProducerError as error:
            self._forget(key_type, key)
            self.last_error = error
            raise Again(error, unanswered=True) from error
        return answer

    async def _coordinator(self, key_type: int, key: str) -> ConnectionManager:
        node_id = self._nodes.get((key_type, key))
        if node_id is None:
            request = FindCoordinatorRequest(key, key_type)
            try:
                answer = await self._cluster.request_any(request)
            except (BrokerError, AuthenticationError) as error:
                raise Fatal(error) from error
            except ProducerError as error:
                raise self._again(error) from error
            self._judge(request, [answer.error_code], message=answer.error_message)
            node_id = self._nodes[key_type, key] = answer.node_id
        manager = self._cluster.manager(node_id)
        if manager is None:
            # Elected after our view of the cluster was made.
            self._forget(key_type, key)
            self._cluster.request_update()
            raise self._again(
                ClusterConnectionError(f"the coordinator of {key}, broker {node_id}, is not known")
            )
        return manager

    def _forget(self, key_type: int, key: str | None) -> None:
        self._nodes.pop((key_type, key or self._transactional_id), None)

    def _again(self, error: ProducerError) -> Again:
        self.last_error = error
        return Again(error)

    # What the answers mean

    def _judge_rows(
        self,
        request: Any,
        rows: Sequence[PartitionResult],
        asked: Iterable[TopicPartition],
        key_type: int = TRANSACTION,
        key: str | None = None,
    ) -> None:
        to_blame = [row for row in rows if row.error_code not in _NOT_ASKED] or rows
        where = ", ".join(f"{row.topic}-{row.partition}" for row in to_blame[:10])
        codes = [row.error_code for row in to_blame]
        self._judge(request, codes, key_type, key, where=where)
        missing = set(asked) - {TopicPartition(row.topic, row.partition) for row in rows}
        if missing:
            # Whether those were taken is not known.
            error = MalformedResponseError(
                f"{request.API_KEY.kafka_name} answer leaves out {len(missing)} partition(s)"
            )
            self.last_error = error
            raise Again(error, unanswered=True)

    def _judge(
        self,
        request: Any,
        codes: Sequence[int],
        key_type: int = TRANSACTION,
        key: str | None = None,
        *,
        message: str | None = None,
        where: str = "",
    ) -> None:
        """Raise what the gravest of ``codes`` means; return if all are fine."""
        action, code = gravest(request.API_KEY, codes)
        if action is Action.DELIVERED:
            self.last_error = None
            return
        if action is Action.COORDINATOR:
            self._forget(key_type, key)
        error = broker_error(code, message)
        if self._needs_new_epoch(request, code):
            self.needs_new_epoch = True
        if where:
            error.add_note(f"concerns {where}")
        self.last_error = error
        raise OUTCOMES[action](error)

    def _needs_new_epoch(self, request: Any, code: int) -> bool:
        return request_verdict(request.API_KEY, code).needs_new_epoch

    def is_fatal_for_producing(self, error: ProducerError) -> bool:
        """Return whether a record that failed so says that no other can succeed."""
        return isinstance(error, BrokerError) and produce_verdict(error.code).action is Action.FATAL

    def fatal(self, error: ProducerError, began_at: float, now: float) -> ProducerError:
        """Return the error to raise from now on, of a class that says that it is final."""
        overdue = self._overdue(began_at, now)
        words = f"another producer with transactional.id {self._transactional_id!r} took over"
        final: FatalTransactionError
        if isinstance(error, BrokerError) and error.code in _FENCED:
            final = ProducerFencedError(words + (f", or {overdue}" if overdue else ""))
        elif isinstance(error, FatalTransactionError):
            return error
        elif overdue and isinstance(error, BrokerError) and error.code == _TOO_LATE:
            final = FatalTransactionError(f"{overdue}; or {words}")
        else:
            final = FatalTransactionError(str(error))
        final.__cause__ = error
        return final

    def has_forgotten(self, error: ProducerError, began_at: float, now: float) -> bool:
        """Return whether a refused commit says that the coordinator knows of no transaction.

        A coordinator answers from what it finds in its log, replicated or not (Kafka's
        ``TransactionStateManager.loadTransactionMetadata``); when the next one is elected without
        that, records are in the logs whose transaction never was. If the brokers may as well have
        aborted it for its age, or for another producer, adding to it is refused.
        """
        lost = isinstance(error, BrokerError) and error.code == _TOO_LATE
        return lost and not self._overdue(began_at, now)

    def _overdue(self, began_at: float, now: float) -> str:
        """Return words about a transaction that the brokers have given up, if they may have."""
        limit = self._config.transaction_timeout_ms / 1000
        if not began_at or now - began_at < limit * 0.9:
            return ""
        return (
            f"the brokers aborted the transaction: it was open for {now - began_at:.1f} s,"
            f" transaction.timeout.ms allows {limit:g} s"
        )

    def pause(self, again: Again, attempt: int, rng: random.Random) -> float:
        """Return the seconds to wait before the same is asked again."""
        config = self._config
        error = again.error
        base: float = max(config.retry_backoff_ms, 1)
        if isinstance(error, ConcurrentTransactionsError):
            return busy_backoff_ms(base, attempt, rng) / 1000
        return backoff_ms(base, max(config.retry_backoff_max_ms, base), attempt, rng) / 1000

    # Which protocol

    def finalized_protocol(self) -> TransactionProtocol:
        """Return the protocol that the cluster has finalized, as far as is known."""
        level = self._cluster.finalized_features.get("transaction.version", 0)
        return TransactionProtocol.V2 if level >= 2 else TransactionProtocol.V1

    def is_upgrade(self, scope: TransactionScope) -> bool:
        """Return whether the next transaction is the first of the new protocol.

        It needs an epoch above all that the old protocol has used (KIP-890).
        """
        return (
            scope.protocol is TransactionProtocol.V1
            and self.finalized_protocol() is TransactionProtocol.V2
        )

    def starts_at_zero(self, scope: TransactionScope) -> bool:
        """Return whether brokers insist that a new epoch begins at sequence 0."""
        return scope.protocol is TransactionProtocol.V2

    async def refresh_features(self, now: float) -> None:
        """Ask what the cluster has finalized, if that was asked long ago; failing is no matter."""
        try:
            await self._cluster.refresh_features(now)
        except ProducerError as error:
            logger.debug("[%s] finalized features not refreshed: %s", self._client_id, error)


def _version_bounds(protocol: TransactionProtocol) -> tuple[int | None, int | None]:
    """Return the newest and oldest version of TxnOffsetCommit and EndTxn for ``protocol``."""
    return (None, 5) if protocol is TransactionProtocol.V2 else (4, None)
