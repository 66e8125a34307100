"""What is asked of coordinators, whom, and what their answers mean."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.core.producer_identity import ProducerIdentity
from aioproducer.core.transaction_outcome import (
    Abortable,
    Again,
    Fatal,
    Refused,
)
from aioproducer.core.transaction_scope import (
    OffsetsToCommit,
    TransactionProtocol,
    TransactionScope,
)
from aioproducer.errors import (
    ClusterConnectionError,
    FatalTransactionError,
    MessageTooLargeError,
    ProducerError,
    ProducerFencedError,
    UnsupportedVersionError,
    broker_error,
)
from aioproducer.records import GroupMetadata, OffsetAndMetadata, TopicPartition
from aioproducer.runtime.coordinator_client import CoordinatorClient
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.add_offsets_to_txn import AddOffsetsToTxnResponse
from aioproducer.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnResponse,
    PartitionResult,
)
from aioproducer.wire.messages.end_txn import EndTxnResponse
from aioproducer.wire.messages.find_coordinator import FindCoordinatorResponse
from aioproducer.wire.messages.init_producer_id import InitProducerIdResponse
from aioproducer.wire.messages.txn_offset_commit import TxnOffsetCommitResponse

ME = ProducerIdentity(7, 3)
P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)
V1, V2 = TransactionProtocol.V1, TransactionProtocol.V2
WISH = OffsetsToCommit(
    GroupMetadata("g", 2, "m"), {P0: OffsetAndMetadata(5), P1: OffsetAndMetadata(6)}
)
E = ErrorCode


class Brokers:
    """A cluster of scripted answers: each request takes the next one for its kind."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[int | str, Any, dict[str, Any]]] = []
        self.updates = 0
        self.known = {1, 2}
        self.finalized_features: dict[str, int] = {}

    async def request_any(self, request: Any) -> Any:
        return self._answer("any", request, {})

    def manager(self, node_id: int) -> Any:
        if node_id not in self.known:
            return None

        async def request(asked: Any, **versions: Any) -> Any:
            return self._answer(node_id, asked, versions)

        return SimpleNamespace(request=request)

    def request_update(self) -> None:
        self.updates += 1

    def _answer(self, node: int | str, request: Any, versions: dict[str, Any]) -> Any:
        self.asked.append((node, request, versions))
        kind = type(request).__name__.removesuffix("Request")
        answer = self.answers[kind].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def found(node_id: int = 1, code: int = 0) -> FindCoordinatorResponse:
    return FindCoordinatorResponse(0, code, "words", node_id, "h", 1)


def initialized(code: int = 0) -> InitProducerIdResponse:
    return InitProducerIdResponse(0, code, 7, 3)


def ended(code: int = 0, producer_id: int = -1, epoch: int = -1) -> EndTxnResponse:
    return EndTxnResponse(0, code, producer_id, epoch)


def rows(*codes: int) -> tuple[PartitionResult, ...]:
    return tuple(PartitionResult("t", index, code) for index, code in enumerate(codes))


def client_of(brokers: Brokers, **options: Any) -> CoordinatorClient:
    config = ProducerConfig.create("h:1", transactional_id="x", **options)
    return CoordinatorClient(config, "c", brokers, "x")  # type: ignore[arg-type]


# Whom


async def test_the_coordinator_is_looked_up_once() -> None:
    brokers = Brokers(FindCoordinator=[found(2)], InitProducerId=[initialized(), initialized()])
    client = client_of(brokers)
    assert await client.init_producer_id(None) == ME
    assert await client.init_producer_id(ME) == ME
    assert [node for node, _, _ in brokers.asked] == ["any", 2, 2]
    find, first, renewal = (request for _, request, _ in brokers.asked)
    assert (find.key, find.key_type) == ("x", 1)
    assert (first.transactional_id, first.transaction_timeout_ms) == ("x", 60000)
    assert (first.producer_id, first.producer_epoch) == (-1, -1)
    assert (renewal.producer_id, renewal.producer_epoch) == ME


@pytest.mark.parametrize(
    "failure",
    [
        initialized(E.NOT_COORDINATOR),
        initialized(E.COORDINATOR_NOT_AVAILABLE),
        ClusterConnectionError("gone"),
    ],
    ids=["moved", "not there", "disconnected"],
)
async def test_it_is_looked_up_again_when_it_moved(failure: Any) -> None:
    brokers = Brokers(FindCoordinator=[found(1), found(2)], InitProducerId=[failure, initialized()])
    client = client_of(brokers)
    with pytest.raises(Again):
        await client.init_producer_id(None)
    assert await client.init_producer_id(None) == ME
    assert brokers.asked[-1][0] == 2


async def test_only_a_request_without_an_answer_may_have_been_taken() -> None:
    for failure, unanswered in (
        (initialized(E.CONCURRENT_TRANSACTIONS), False),
        (ClusterConnectionError("gone"), True),
    ):
        brokers = Brokers(FindCoordinator=[found()], InitProducerId=[failure])
        with pytest.raises(Again) as caught:
            await client_of(brokers).init_producer_id(None)
        assert caught.value.unanswered is unanswered
    brokers = Brokers(FindCoordinator=[ClusterConnectionError("gone")])
    with pytest.raises(Again) as caught:
        await client_of(brokers).init_producer_id(None)
    assert not caught.value.unanswered


async def test_a_busy_coordinator_is_asked_again_without_a_look_up() -> None:
    brokers = Brokers(
        FindCoordinator=[found()],
        InitProducerId=[initialized(E.CONCURRENT_TRANSACTIONS), initialized()],
    )
    client = client_of(brokers)
    with pytest.raises(Again):
        await client.init_producer_id(None)
    await client.init_producer_id(None)
    assert [node for node, _, _ in brokers.asked] == ["any", 1, 1]


async def test_a_coordinator_newer_than_our_metadata_has_them_refreshed() -> None:
    brokers = Brokers(FindCoordinator=[found(9), found(1)], InitProducerId=[initialized()])
    client = client_of(brokers)
    with pytest.raises(Again):
        await client.init_producer_id(None)
    assert brokers.updates == 1
    await client.init_producer_id(None)


async def test_offsets_go_to_the_groups_own_coordinator() -> None:
    brokers = Brokers(
        FindCoordinator=[found(1), found(2)],
        AddOffsetsToTxn=[AddOffsetsToTxnResponse(0, 0)],
        TxnOffsetCommit=[TxnOffsetCommitResponse(0, rows(0, 0))],
    )
    client = client_of(brokers)
    await client.add_offsets(ME, "g")
    await client.commit_offsets(ME, V1, WISH)
    assert [node for node, _, _ in brokers.asked] == ["any", 1, "any", 2]
    find, commit = brokers.asked[2][1], brokers.asked[3][1]
    assert (find.key, find.key_type) == ("g", 0)
    assert (commit.group_id, commit.generation_id, commit.member_id) == ("g", 2, "m")
    assert commit.topics == [("t", [(0, 5, -1, ""), (1, 6, -1, "")])]


# Which version


@pytest.mark.parametrize(("protocol", "bounds"), [(V1, (4, None)), (V2, (None, 5))])
async def test_each_protocol_has_its_versions(
    protocol: TransactionProtocol, bounds: tuple[int | None, int | None]
) -> None:
    brokers = Brokers(
        FindCoordinator=[found(), found()],
        EndTxn=[ended()],
        TxnOffsetCommit=[TxnOffsetCommitResponse(0, rows(0, 0))],
    )
    client = client_of(brokers)
    await client.end(ME, protocol, commit=True)
    await client.commit_offsets(ME, protocol, WISH)
    for _, _, versions in (brokers.asked[1], brokers.asked[3]):
        assert (versions["at_most"], versions["at_least"]) == bounds


async def test_partitions_are_added_in_the_clients_versions() -> None:
    """From version 4 on the request is one among brokers."""
    brokers = Brokers(
        FindCoordinator=[found()],
        AddPartitionsToTxn=[AddPartitionsToTxnResponse(0, rows(0, 0))],
    )
    added = await client_of(brokers).add_partitions(ME, [P0, P1])
    assert added == [P0, P1]
    _, request, versions = brokers.asked[1]
    assert request.topics == (("t", [0, 1]),)
    assert versions["at_most"] == 3


# What the answers mean


@pytest.mark.parametrize(
    ("codes", "outcome", "named"),
    [
        ((0, E.CONCURRENT_TRANSACTIONS), Again, "CONCURRENT"),
        ((E.OPERATION_NOT_ATTEMPTED, E.TOPIC_AUTHORIZATION_FAILED), Abortable, "TOPIC_AUTH"),
        ((E.CONCURRENT_TRANSACTIONS, E.TOPIC_AUTHORIZATION_FAILED), Abortable, "TOPIC_AUTH"),
        ((E.TOPIC_AUTHORIZATION_FAILED, E.INVALID_TXN_STATE), Fatal, "INVALID_TXN_STATE"),
        ((E.INVALID_TXN_STATE, E.PRODUCER_FENCED), Fatal, "PRODUCER_FENCED"),
        ((E.OPERATION_NOT_ATTEMPTED, E.OPERATION_NOT_ATTEMPTED), Abortable, "NOT_ATTEMPTED"),
    ],
)
async def test_of_several_codes_the_gravest_counts(
    codes: tuple[int, int], outcome: type[Exception], named: str
) -> None:
    brokers = Brokers(
        FindCoordinator=[found()], AddPartitionsToTxn=[AddPartitionsToTxnResponse(0, rows(*codes))]
    )
    with pytest.raises(outcome, match=named) as caught:
        await client_of(brokers).add_partitions(ME, [P0, P1])
    assert "t-" in caught.value.error.__notes__[0]  # type: ignore[attr-defined]


async def test_an_answer_that_leaves_partitions_out_says_nothing_of_them() -> None:
    brokers = Brokers(
        FindCoordinator=[found(), found()],
        AddPartitionsToTxn=[AddPartitionsToTxnResponse(0, rows(0))],
        TxnOffsetCommit=[TxnOffsetCommitResponse(0, ())],
    )
    client = client_of(brokers)
    for asking in (client.add_partitions(ME, [P0, P1]), client.commit_offsets(ME, V2, WISH)):
        with pytest.raises(Again, match="leaves out") as caught:
            await asking
        assert caught.value.unanswered


async def test_an_abort_that_finds_no_coordinator_to_take_it_is_fatal() -> None:
    """Aborting is all that "abortable" asks for: there is nothing left to do about it."""
    brokers = Brokers(FindCoordinator=[found(code=E.TRANSACTION_ABORTABLE)])
    with pytest.raises(Fatal):
        await client_of(brokers).end(ME, V2, commit=False)


async def test_a_commit_that_only_can_be_aborted_is_fatal_for_an_abort() -> None:
    brokers = Brokers(
        FindCoordinator=[found()],
        EndTxn=[ended(E.TRANSACTION_ABORTABLE), ended(E.TRANSACTION_ABORTABLE)],
    )
    client = client_of(brokers)
    with pytest.raises(Abortable):
        await client.end(ME, V2, commit=True)
    with pytest.raises(Fatal):
        await client.end(ME, V2, commit=False)


async def test_the_end_tells_the_next_identity_if_the_broker_does() -> None:
    brokers = Brokers(FindCoordinator=[found()], EndTxn=[ended(0, 8, 0), ended()])
    client = client_of(brokers)
    assert await client.end(ME, V2, commit=True) == ProducerIdentity(8, 0)
    assert await client.end(ME, V1, commit=True) is None


@pytest.mark.parametrize(
    "code",
    [
        E.CLUSTER_AUTHORIZATION_FAILED,
        E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        E.INVALID_TRANSACTION_TIMEOUT,
        E.TRANSACTION_ABORTABLE,
    ],
)
async def test_a_refused_first_identity_can_be_asked_for_again_but_no_later_one(code: int) -> None:
    for current, outcome in ((None, Refused), (ME, Fatal)):
        brokers = Brokers(FindCoordinator=[found()], InitProducerId=[initialized(code)])
        with pytest.raises(outcome):
            await client_of(brokers).init_producer_id(current)


async def test_no_common_version_is_fatal_for_transactions_and_abortable_for_a_group() -> None:
    no = UnsupportedVersionError()
    brokers = Brokers(
        FindCoordinator=[found(), found()], EndTxn=[no], TxnOffsetCommit=[UnsupportedVersionError()]
    )
    client = client_of(brokers)
    with pytest.raises(Fatal):
        await client.end(ME, V2, commit=True)
    with pytest.raises(Abortable):
        await client.commit_offsets(ME, V2, WISH)


async def test_a_forgotten_producer_needs_a_new_epoch_until_it_has_one() -> None:
    brokers = Brokers(
        FindCoordinator=[found()],
        AddOffsetsToTxn=[AddOffsetsToTxnResponse(0, E.UNKNOWN_PRODUCER_ID)],
        InitProducerId=[initialized()],
    )
    client = client_of(brokers)
    with pytest.raises(Abortable):
        await client.add_offsets(ME, "g")
    assert client.needs_new_epoch
    await client.init_producer_id(ME)
    assert not client.needs_new_epoch


async def test_the_last_error_is_kept_until_something_works() -> None:
    brokers = Brokers(
        FindCoordinator=[found()],
        InitProducerId=[initialized(E.COORDINATOR_LOAD_IN_PROGRESS), initialized()],
    )
    client = client_of(brokers)
    with pytest.raises(Again):
        await client.init_producer_id(None)
    assert client.last_error is not None
    assert "LOAD_IN_PROGRESS" in str(client.last_error)
    await client.init_producer_id(None)
    assert client.last_error is None


@pytest.mark.parametrize("code", [E.PRODUCER_FENCED, E.INVALID_PRODUCER_EPOCH])
def test_an_old_epoch_is_shown_as_fenced(code: int) -> None:
    """Both mean that somebody else, or the coordinator itself, has raised the epoch."""
    client = client_of(Brokers(), transaction_timeout_ms=10_000)
    soon = client.fatal(broker_error(code), 100.0, 101.0)
    assert isinstance(soon, ProducerFencedError)
    assert soon.__cause__ is not None
    assert "took over" in str(soon)
    assert "transaction.timeout.ms" not in str(soon)
    late = client.fatal(broker_error(code), 100.0, 111.0)
    assert "open for 11.0 s, transaction.timeout.ms allows 10 s" in str(late)


def test_whatever_else_is_final_has_a_class_that_says_so() -> None:
    client = client_of(Brokers())
    cause = broker_error(E.INVALID_TXN_STATE)
    final = client.fatal(cause, 0.0, 0.0)
    assert type(final) is FatalTransactionError
    assert final.__cause__ is cause
    already = broker_error(E.INVALID_PRODUCER_ID_MAPPING)
    assert client.fatal(already, 0.0, 0.0) is already


@pytest.mark.parametrize(
    ("error", "after", "forgotten"),
    [
        (broker_error(E.INVALID_TXN_STATE), 1.0, True),
        (broker_error(E.INVALID_TXN_STATE), 9.5, False),
        (broker_error(E.PRODUCER_FENCED), 1.0, False),
        (ProducerError("own"), 1.0, False),
    ],
)
def test_which_refused_commits_were_of_no_known_transaction(
    error: ProducerError, after: float, forgotten: bool
) -> None:
    """What is old enough the brokers have aborted, and it is theirs to tell."""
    client = client_of(Brokers(), transaction_timeout_ms=10_000)
    assert client.has_forgotten(error, 100.0, 100.0 + after) is forgotten


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (broker_error(E.PRODUCER_FENCED), True),
        (broker_error(E.INVALID_PRODUCER_EPOCH), False),
        (MessageTooLargeError(), False),
        (ProducerError("own"), False),
    ],
)
def test_which_failed_records_end_it_all(error: ProducerError, fatal: bool) -> None:
    assert client_of(Brokers()).is_fatal_for_producing(error) is fatal


# How long


def test_the_last_transactions_markers_are_waited_for_in_short_steps() -> None:
    client = client_of(Brokers())
    busy = Again(broker_error(E.CONCURRENT_TRANSACTIONS))
    other = Again(broker_error(E.COORDINATOR_LOAD_IN_PROGRESS))
    pause: Callable[[Again, int], float] = lambda again, attempt: client.pause(  # noqa: E731
        again, attempt, random.Random(1)
    )
    assert 0.004 <= pause(busy, 0) <= 0.006
    assert 0.016 <= pause(busy, 9) <= 0.024
    assert 0.08 <= pause(busy, 99) <= 0.12
    assert 0.08 <= pause(other, 0) <= 0.12
    assert 0.8 <= pause(other, 9) <= 1.2


# Which protocol


@pytest.mark.parametrize(("level", "protocol"), [(None, V1), (0, V1), (1, V1), (2, V2), (3, V2)])
def test_the_protocol_is_what_the_cluster_has_finalized(
    level: int | None, protocol: TransactionProtocol
) -> None:
    brokers = Brokers()
    if level is not None:
        brokers.finalized_features = {"transaction.version": level}
    client = client_of(brokers)
    assert client.finalized_protocol() is protocol
    scope = TransactionScope("x", lambda: None)
    scope.protocol = V1
    assert client.is_upgrade(scope) is (protocol is V2)
    assert not client.starts_at_zero(scope)
    scope.protocol = V2
    assert not client.is_upgrade(scope)
    assert client.starts_at_zero(scope)
