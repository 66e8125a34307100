"""The coordinators of the cluster in memory do what Kafka's do; else nothing is proven on them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from aioproducer.wire.messages import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    OffsetPartition,
    OffsetTopic,
    ProducePartition,
    ProduceRequest,
    ProduceTopic,
    TxnOffsetCommitRequest,
    frame_request,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.record_batch import batch_header
from aioproducer.wire.record_encoder import append_record
from aioproducer.wire.versions import ApiKey
from tests.broker_wire import read_request
from tests.fake_broker import KAFKA_2_8, KAFKA_4, Conduct, FakeCluster
from tests.fake_transaction_state import LAST_EPOCH, State
from tests.read_committed import read_committed

ID = "payments"


class Client:
    """A transactional producer reduced to its requests: each is answered at once."""

    def __init__(self, cluster: FakeCluster, level: int = 2, node: int = 1) -> None:
        self.cluster = cluster
        self.level = level
        self.node = node
        self.producer_id = self.epoch = -1
        self.sequences: dict[int, int] = {}

    def ask(self, request: Any, version: int) -> Any:
        frame = b"".join(frame_request(request, version, 1, "me"))
        received = read_request(frame[4:])
        answer = self.cluster.brokers[self.node].answer(received, Conduct(), will_answer=True)
        assert answer is not None
        reader = Reader(answer)
        decoded = request.Response.decode(reader, version)
        reader.finish()
        return decoded

    def init(self, *, renew: bool = False, version: int = 5, timeout_ms: int = 60_000) -> int:
        identity = (self.producer_id, self.epoch) if renew else (-1, -1)
        answer = self.ask(InitProducerIdRequest(ID, timeout_ms, *identity), version)
        if not answer.error_code:
            self.adopt(answer)
        return int(answer.error_code)

    def adopt(self, answer: Any) -> None:
        self.producer_id, self.epoch = answer.producer_id, answer.producer_epoch
        self.sequences.clear()

    def add(self, *partitions: int, version: int = 3) -> list[int]:
        request = AddPartitionsToTxnRequest(
            ID, self.producer_id, self.epoch, [("orders", partitions)]
        )
        return [row.error_code for row in self.ask(request, version).results]

    def produce(self, value: bytes, partition: int = 0, version: int | None = None) -> int:
        if version is None:
            version = 12 if self.level == 2 else 11
        records = bytearray()
        append_record(records, 0, 0, None, value, ())
        sequence = self.sequences.get(partition, 0)
        header = batch_header(
            codec_id=0,
            transactional=True,
            record_count=1,
            base_timestamp=0,
            max_timestamp=0,
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            base_sequence=sequence,
            records=records,
        )
        row = ProducePartition(partition, (header, bytes(records)))
        topic = ProduceTopic("orders", self.cluster.topics["orders"].topic_id, [row])
        (answer,) = self.ask(ProduceRequest(ID, -1, 1000, [topic]), version).topics
        code = answer.partitions[0].error_code
        if not code:
            self.sequences[partition] = sequence + 1
        return int(code)

    def commit_offsets(self, offset: int, version: int = 5, **member: Any) -> int:
        topics = [OffsetTopic("inputs", [OffsetPartition(0, offset)])]
        request = TxnOffsetCommitRequest(
            ID, "readers", self.producer_id, self.epoch, topics, **member
        )
        (result,) = self.ask(request, version).results
        return int(result.error_code)

    def add_offsets(self, version: int = 4) -> int:
        request = AddOffsetsToTxnRequest(ID, self.producer_id, self.epoch, "readers")
        return int(self.ask(request, version).error_code)

    def end(self, *, commit: bool, adopt: bool = True) -> int:
        request = EndTxnRequest(ID, self.producer_id, self.epoch, commit)
        answer = self.ask(request, 5 if self.level == 2 else 4)
        if not answer.error_code and self.level == 2 and adopt:
            self.adopt(answer)
        return int(answer.error_code)


def cluster_of(nodes: int = 1, **options: Any) -> FakeCluster:
    cluster = FakeCluster(nodes, **options)
    cluster.add_topic("orders", 2)
    for partition in cluster.topics["orders"].partitions:
        partition.leader = 1
    return cluster


def committed(cluster: FakeCluster, partition: int = 0) -> list[bytes | None]:
    return read_committed(cluster.topics["orders"].partitions[partition]).values


async def settle() -> None:
    await asyncio.sleep(1)


async def opened(level: int, cluster: FakeCluster) -> Client:
    """Return a client with one record in each partition of an open transaction."""
    client = Client(cluster, level)
    assert client.init() == 0
    if level == 1:
        assert client.add(0, 1) == [0, 0]
    assert [client.produce(b"a", 0), client.produce(b"b", 1)] == [0, 0]
    return client


both_protocols = pytest.mark.parametrize("level", [1, 2])


@both_protocols
async def test_a_transaction_is_visible_once_it_is_committed(level: int) -> None:
    cluster = cluster_of()
    client = await opened(level, cluster)
    assert committed(cluster) == []
    assert client.end(commit=True) == 0
    await settle()
    assert [committed(cluster, 0), committed(cluster, 1)] == [[b"a"], [b"b"]]
    assert not cluster.transactions.violations


@both_protocols
async def test_an_aborted_transaction_is_never_visible_and_the_next_one_is(level: int) -> None:
    cluster = cluster_of()
    client = await opened(level, cluster)
    assert client.end(commit=False) == 0
    await settle()
    if level == 1:
        assert client.add(0) == [0]
    assert client.produce(b"c") == 0
    assert client.end(commit=True) == 0
    await settle()
    view = read_committed(cluster.topics["orders"].partitions[0])
    assert view.records[0][0] == 2, "a marker takes an offset"
    assert view.values == [b"c"]
    assert view.aborted == [(client.producer_id, 0)]
    assert view.last_stable_offset == 4


async def test_an_open_transaction_holds_back_what_follows_it() -> None:
    cluster = cluster_of()
    client = await opened(2, cluster)
    partition = cluster.topics["orders"].partitions[0]
    assert read_committed(partition).last_stable_offset == 0
    client.end(commit=True)
    await settle()
    assert read_committed(partition).last_stable_offset == 2


async def test_since_kip_890_each_transaction_has_an_epoch_of_its_own() -> None:
    client = await opened(2, cluster_of())
    assert client.epoch == 0
    client.end(commit=True)
    assert client.epoch == 1
    await settle()
    client.produce(b"c")
    client.end(commit=False)
    assert client.epoch == 2


@pytest.mark.parametrize("commit", [True, False])
async def test_a_repeated_end_is_recognised(commit: bool) -> None:
    client = await opened(2, cluster_of())
    assert client.end(commit=commit, adopt=False) == 0
    assert client.end(commit=commit) == 51, "the markers are being written"
    await settle()
    assert client.end(commit=not commit, adopt=False) == 48
    assert client.end(commit=commit) == 0
    assert client.epoch == 1


@pytest.mark.parametrize("commit", [True, False])
async def test_before_kip_890_the_state_alone_tells_a_repetition(commit: bool) -> None:
    client = await opened(1, cluster_of())
    assert client.end(commit=commit) == 0
    assert client.end(commit=commit) == 51
    await settle()
    assert client.end(commit=commit) == 0
    assert client.end(commit=not commit) == 48


async def test_after_the_last_epoch_the_end_hands_out_another_id() -> None:
    cluster = cluster_of()
    client = Client(cluster)
    client.init()
    first = client.producer_id
    cluster.transactions.of(ID).epoch = client.epoch = LAST_EPOCH
    client.produce(b"a")
    assert client.end(commit=True, adopt=False) == 0
    await settle()
    assert client.end(commit=True) == 0, "the answer was lost"
    assert (client.producer_id, client.epoch) == (first + 1, 0)
    assert client.produce(b"b") == 0
    client.end(commit=True)
    await settle()
    assert committed(cluster) == [b"a", b"b"]


@both_protocols
async def test_while_markers_are_written_nothing_is_added(level: int) -> None:
    client = await opened(level, cluster_of())
    client.end(commit=True)
    code = client.add(0)[0] if level == 1 else client.produce(b"c")
    assert code == 51
    assert client.init() == 51


@both_protocols
async def test_a_newer_producer_aborts_what_is_open_and_fences_the_older(level: int) -> None:
    cluster = cluster_of()
    old = await opened(level, cluster)
    new = Client(cluster, level)
    assert new.init() == 51
    await settle()
    assert new.init() == 0
    assert new.epoch > old.epoch
    assert old.produce(b"late") == 47
    assert old.end(commit=True) == 90
    assert old.end(commit=False) == 90
    assert old.init(renew=True) == 90
    assert committed(cluster) == []


@both_protocols
@pytest.mark.parametrize("commit", [True, False])
async def test_a_newer_producer_fences_the_older_between_transactions(
    level: int, commit: bool
) -> None:
    """The older must not be taken for one that repeats its last EndTxn: it would be renewed."""
    cluster = cluster_of()
    old = await opened(level, cluster)
    old.end(commit=commit)
    await settle()
    new = Client(cluster, level)
    assert new.init() == 0
    assert [old.end(commit=True), old.end(commit=False)] == [90, 90]


@pytest.mark.parametrize(("version", "code"), [(3, 47), (4, 90)])
async def test_older_requests_know_no_word_for_fenced(version: int, code: int) -> None:
    cluster = cluster_of()
    old = Client(cluster)
    old.init()
    Client(cluster).init()
    assert old.init(renew=True, version=version) == code


async def test_an_epoch_is_renewed_once_even_if_asked_twice() -> None:
    cluster = cluster_of()
    client = Client(cluster, 1)
    client.init()
    before = client.epoch
    assert client.init(renew=True) == 0
    assert client.epoch == before + 1
    client.epoch = before
    assert client.init(renew=True) == 0
    assert client.epoch == before + 1


@both_protocols
async def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(
    level: int,
) -> None:
    cluster = cluster_of()
    client = Client(cluster, level)
    client.init(timeout_ms=5000)
    if level == 1:
        client.add(0)
    client.produce(b"a")
    await asyncio.sleep(6)
    assert committed(cluster) == []
    assert cluster.transactions.of(ID).state is State.COMPLETE_ABORT
    assert client.produce(b"b") == 47
    assert client.end(commit=True) == 90


@pytest.mark.parametrize(("version", "code"), [(10, 48), (11, 120)])
async def test_records_of_a_partition_that_was_not_added_are_refused(
    version: int, code: int
) -> None:
    client = Client(cluster_of(), 1)
    client.init()
    client.add(1)
    assert client.produce(b"a", 0, version) == code


async def test_a_broker_that_does_not_look_is_reported() -> None:
    cluster = cluster_of(versions=KAFKA_2_8)
    client = Client(cluster, 1)
    client.init(version=4)
    assert client.produce(b"a", version=9) == 0
    assert cluster.transactions.violations == ["('orders', 0) gets records and was never added"]


async def test_a_partition_without_memory_of_the_producer_wants_sequence_zero() -> None:
    client = Client(cluster_of())
    client.init()
    client.sequences[0] = 7
    assert client.produce(b"a") == 45


async def test_mixing_protocols_is_reported() -> None:
    cluster = cluster_of()
    client = Client(cluster, 1)
    client.init()
    client.add(0)
    client.produce(b"a", version=12)
    client.end(commit=True)
    assert cluster.transactions.violations == ["payments mixes both protocols"]


async def test_what_is_told_again_for_an_abort_is_no_mixing() -> None:
    cluster = cluster_of()
    client = Client(cluster, 2)
    client.init()
    client.produce(b"a", version=12)
    client.add(0)
    assert client.end(commit=False) == 0
    assert cluster.transactions.violations == []


async def test_what_a_coordinator_forgot_stays_open_until_it_is_told() -> None:
    """So does Kafka 4.3.1, where a commit of it is refused and an abort ends nothing."""
    cluster = cluster_of()
    client = await opened(2, cluster)
    cluster.transactions.forget(ID)
    assert client.end(commit=True) == 48
    assert cluster.transactions.of(ID).state is State.EMPTY
    assert client.add(0, 1) == [0, 0]
    assert client.end(commit=False) == 0
    await settle()
    assert committed(cluster) == []
    assert len(read_committed(cluster.topics["orders"].partitions[0]).aborted) == 1


async def test_what_is_not_replicated_is_answered_from_and_may_be_lost() -> None:
    """The coordinator after the next has a part of the transaction, which it would commit."""
    cluster = cluster_of()
    client = Client(cluster, 2)
    client.init()
    coordinated = cluster.transactions.of(ID)
    assert client.produce(b"a", 0) == 0
    assert not cluster.transactions.lose_end(coordinated)
    cluster.transactions.lags = lambda _: True
    assert client.produce(b"b", 1) == 19
    assert client.produce(b"b", 1) == 0
    assert client.add(0, 1) == [0, 0]
    assert cluster.transactions.lose_end(coordinated)
    assert (coordinated.state, coordinated.lost) == (State.ONGOING, {("orders", 1)})
    assert client.end(commit=True) == 0
    await settle()
    assert [committed(cluster, 0), committed(cluster, 1)] == [[b"a"], []]
    assert cluster.transactions.violations == [f"{ID} is ended without [\"('orders', 1)\"]"]


async def test_a_transaction_whose_begin_was_lost_is_not_open() -> None:
    cluster = cluster_of()
    client = Client(cluster, 2)
    client.init()
    coordinated = cluster.transactions.of(ID)
    cluster.transactions.lags = lambda _: True
    assert client.produce(b"a", 0) == 19
    assert client.produce(b"a", 0) == 0
    assert client.commit_offsets(17, version=5) == 15
    assert client.commit_offsets(17, version=5) == 0
    assert cluster.transactions.lose_end(coordinated)
    assert coordinated.state is State.EMPTY
    assert client.end(commit=True) == 48
    # What it is told again is written, and there for good.
    assert client.add(0) == [0]
    assert client.add_offsets() == 0
    assert not cluster.transactions.lose_end(coordinated)
    assert client.end(commit=True) == 0
    await settle()
    assert committed(cluster) == [b"a"]
    assert cluster.transactions.violations == []


async def test_partitions_are_added_all_or_none() -> None:
    cluster = cluster_of()
    client = Client(cluster, 1)
    client.init()
    assert client.add(0, 7) == [55, 3]
    cluster.transactions.unauthorized.add("orders")
    assert client.add(0) == [29]
    assert cluster.transactions.of(ID).state is State.EMPTY


@both_protocols
async def test_nothing_can_be_ended_that_was_not_begun(level: int) -> None:
    client = Client(cluster_of(), level)
    client.init()
    assert client.end(commit=True) == 48
    assert client.end(commit=False) == (48 if level == 1 else 0)


@both_protocols
async def test_offsets_count_once_the_transaction_is_committed(level: int) -> None:
    cluster = cluster_of()
    client = Client(cluster, level)
    client.init()
    group = cluster.transactions.group("readers")
    for offset, commit in ((17, False), (18, True)):
        if level == 1:
            assert client.commit_offsets(offset, version=4) == 120
            assert client.add_offsets() == 0
        assert client.commit_offsets(offset, version=5 if level == 2 else 4) == 0
        assert group.committed == {}
        client.end(commit=commit)
        await settle()
    assert group.committed == {("inputs", 0): 18}
    assert not cluster.transactions.violations


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ({}, 0),
        ({"member_id": "one", "generation_id": 1}, 0),
        ({"member_id": "one", "generation_id": 0}, 22),
        ({"member_id": "gone", "generation_id": 1}, 25),
        ({"member_id": "gone", "generation_id": 1, "group_instance_id": "pod-0"}, 82),
    ],
)
async def test_a_consumer_that_lost_its_partitions_cannot_commit(
    member: dict[str, Any], code: int
) -> None:
    cluster = cluster_of()
    cluster.transactions.group("readers").rebalance({"one": "pod-0"})
    client = Client(cluster)
    client.init()
    assert client.commit_offsets(17, **member) == code


async def test_another_broker_takes_over_after_it_has_loaded() -> None:
    cluster = cluster_of(2)
    client = await opened(2, cluster)
    cluster.transactions.move(ID, 2, loading=5)
    assert client.end(commit=True) == 16
    found = client.ask(FindCoordinatorRequest(ID, 1), 6)
    assert (found.error_code, found.node_id) == (0, 2)
    client.node = 2
    assert client.end(commit=True) == 14
    await asyncio.sleep(6)
    assert client.end(commit=True) == 0
    await settle()
    assert committed(cluster) == [b"a"]


async def test_markers_wait_for_the_coordinator_and_for_each_leader() -> None:
    cluster = cluster_of(2)
    client = await opened(2, cluster)
    cluster.topics["orders"].partitions[1].leader = 2
    cluster.brokers[2].stop()
    client.end(commit=True)
    await settle()
    assert [committed(cluster, 0), committed(cluster, 1)] == [[b"a"], []]
    assert cluster.transactions.of(ID).state is State.PREPARE_COMMIT
    cluster.brokers[2].start()
    await settle()
    assert committed(cluster, 1) == [b"b"]


async def test_errors_can_be_scripted() -> None:
    cluster = cluster_of()
    cluster.transactions.scripts[ApiKey.END_TXN] = deque([15, 51])
    client = await opened(2, cluster)
    assert [client.end(commit=True, adopt=False) for _ in range(3)] == [15, 51, 0]


@pytest.mark.parametrize("level", [0, 1, 2])
async def test_the_finalized_level_is_announced(level: int) -> None:
    from aioproducer.wire.messages import ApiVersionsRequest

    cluster = cluster_of()
    before = cluster.transactions.features_epoch
    cluster.transactions.finalize(level)
    answer = Client(cluster).ask(ApiVersionsRequest("me", "1"), 4)
    assert answer.finalized_features == ({"transaction.version": level} if level else {})
    assert answer.finalized_features_epoch == (before + 1 if level else -1)


def test_old_clusters_have_no_level() -> None:
    assert FakeCluster(versions=KAFKA_2_8).transactions.level == 0
    assert FakeCluster(versions=KAFKA_4).transactions.level == 2
