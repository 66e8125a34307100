"""Transactions as a user writes them, on the cluster in memory: both protocols, in virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    DeliveryTimeoutError,
    FatalTransactionError,
    LifeState,
    ProducerClosedError,
    ProducerError,
    ProducerFencedError,
    ProducerStateError,
    RecordTooLargeError,
    TransactionAbortedError,
    TransactionStateError,
    TransactionTimeoutError,
)
from aioproducer.core.transaction import TransactionState
from aioproducer.errors import InvalidTimestampError, InvalidTxnStateError
from aioproducer.runtime.coordinator_client import CoordinatorClient
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.versions import ApiKey
from tests.broker_wire import Request
from tests.fake_broker import KAFKA_2_8, KAFKA_4, Conduct, FakeBroker, FakeCluster
from tests.fake_log import Verb
from tests.read_committed import read_committed
from tests.runtime.world import engine_of, outcomes, running, values_of, virtual_loop

BOTH = pytest.mark.parametrize("versions", [KAFKA_4, KAFKA_2_8], ids=["KIP-890", "before"])


def cluster_of(versions: Any = KAFKA_4, partitions: int = 1) -> FakeCluster:
    cluster = FakeCluster(versions=versions)
    cluster.add_topic("t", partitions)
    return cluster


def visible(cluster: FakeCluster, partition: int = 0) -> list[bytes | None]:
    return read_committed(cluster.topics["t"].partitions[partition]).values


def asked(cluster: FakeCluster, api: ApiKey) -> int:
    return sum(
        request.api is api for broker in cluster.brokers.values() for _, request in broker.requests
    )


@BOTH
async def test_a_committed_transaction_is_visible_and_an_aborted_one_is_not(versions: Any) -> None:
    cluster = cluster_of(versions)
    async with running(cluster, transactional_id="x") as producer:
        async with producer.transaction() as tx:
            tx.send("t", b"one")
            tx.send("t", b"two")
        with pytest.raises(KeyError):
            async with producer.transaction() as tx:
                await tx.send_and_wait("t", b"never")
                raise KeyError("x")
        async with producer.transaction() as tx:
            await tx.send_many([])
            tx.send("t", b"three")
    assert visible(cluster) == [b"one", b"two", b"three"]
    assert b"never" in values_of(cluster, "t")


@BOTH
async def test_the_names_of_kafka_do_the_same(versions: Any) -> None:
    cluster = cluster_of(versions)
    async with running(cluster, transactional_id="x") as producer:
        producer.begin_transaction()
        producer.send("t", b"one")
        await producer.commit_transaction()
        producer.begin_transaction()
        await producer.send("t", b"never")
        await producer.abort_transaction()
    assert visible(cluster) == [b"one"]


@BOTH
async def test_an_empty_transaction_asks_nothing(versions: Any) -> None:
    cluster = cluster_of(versions)
    async with running(cluster, transactional_id="x") as producer:
        async with producer.transaction():
            pass
        producer.begin_transaction()
        await producer.abort_transaction()
    assert asked(cluster, ApiKey.END_TXN) == 0


@BOTH
async def test_a_record_that_failed_is_never_committed_without(versions: Any) -> None:
    cluster = cluster_of(versions)
    async with running(cluster, transactional_id="x") as producer:
        with pytest.raises(RecordTooLargeError) as caught:
            async with producer.transaction() as tx:
                first = tx.send("t", b"first")
                large = tx.send("t", bytes(2_000_000))
                last = tx.send("t", b"last")
        assert "Abort" in caught.value.what_next
        kinds = [type(outcome) for outcome in await outcomes([first, large, last])]
        assert kinds == [TransactionAbortedError, RecordTooLargeError, TransactionAbortedError]
        async with producer.transaction() as tx:
            tx.send("t", b"again")
    assert visible(cluster) == [b"again"]


@BOTH
async def test_after_a_rejected_batch_the_next_transaction_has_a_new_epoch(versions: Any) -> None:
    """Its sequence has a gap, which no record of that epoch could close."""
    cluster = cluster_of(versions)
    async with running(cluster, transactional_id="x") as producer:
        async with producer.transaction() as tx:
            tx.send("t", b"before")
        before = engine_of(producer).keeper.identity
        cluster.topics["t"].partitions[0].script.append(Verb(ErrorCode.INVALID_TIMESTAMP))
        with pytest.raises(InvalidTimestampError):
            async with producer.transaction() as tx:
                tx.send("t", b"refused")
        async with producer.transaction() as tx:
            tx.send("t", b"after")
        after = engine_of(producer).keeper.identity
    assert before is not None
    assert after is not None
    assert (after.producer_id, after.epoch) > before
    assert visible(cluster) == [b"before", b"after"]


@BOTH
async def test_one_bad_record_has_no_survivors_in_a_transaction(versions: Any) -> None:
    """Outside of one the others of its batch would be sent again (KIP-467)."""
    cluster = cluster_of(versions)
    cluster.topics["t"].partitions[0].is_poison = lambda value: value == b"bad"
    async with running(cluster, transactional_id="x", linger_ms=50) as producer:
        with pytest.raises(ProducerError):
            async with producer.transaction() as tx:
                for value in (b"good", b"bad", b"fine"):
                    tx.send("t", value)
        async with producer.transaction() as tx:
            tx.send("t", b"next")
    assert values_of(cluster, "t")[0] == b"next"
    assert visible(cluster) == [b"next"]


async def test_a_transaction_is_fenced_by_a_newer_producer_for_good() -> None:
    cluster = cluster_of()
    async with running(cluster, transactional_id="x") as old:
        new: AsyncProducer[Any, Any] = AsyncProducer(cluster.bootstrap, transactional_id="x")
        await new.start()
        with pytest.raises(ProducerFencedError):
            async with old.transaction() as tx:
                tx.send("t", b"zombie")
        with pytest.raises(ProducerFencedError):
            old.begin_transaction()
        with pytest.raises(ProducerFencedError):
            async with old.transaction():
                pytest.fail("must not be entered")
        async with new.transaction() as tx:
            tx.send("t", b"new")
        await new.close()
    assert visible(cluster) == [b"new"]


async def test_a_transaction_that_the_coordinator_lost_never_becomes_visible() -> None:
    """Its records are in the log, and its id's next transaction must not end them with its own."""
    cluster = cluster_of()
    async with running(cluster, transactional_id="x") as producer:
        with pytest.raises(InvalidTxnStateError) as caught:
            async with producer.transaction() as tx:
                await tx.send("t", b"lost")
                cluster.transactions.forget("x")
        assert caught.value.persisted == "no"
        async with producer.transaction() as tx:
            tx.send("t", b"again")
    assert visible(cluster) == [b"again"]
    assert values_of(cluster, "t") == [b"lost", b"again"]


@pytest.mark.parametrize("commit", [True, False])
async def test_what_a_repeated_request_opened_and_the_coordinator_lost_is_ended_whole(
    commit: bool,
) -> None:
    """It asks nobody who might have forgotten: it tells, also of the part that was not lost."""
    cluster = cluster_of(partitions=2)
    async with running(cluster, transactional_id="x") as producer:
        producer.begin_transaction()
        # As a leader answers when the coordinator moved before it could add the partition.
        cluster.topics["t"].partitions[0].script.append(Verb(code=ErrorCode.NOT_ENOUGH_REPLICAS))
        await producer.send("t", b"first", partition=0)
        cluster.transactions.forget("x")
        await producer.send("t", b"second", partition=1)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
        await asyncio.sleep(1)
        assert visible(cluster, 0) == ([b"first"] if commit else [])
        async with producer.transaction() as tx:
            tx.send("t", b"next", partition=0)
    assert visible(cluster, 0) == ([b"first", b"next"] if commit else [b"next"])
    assert visible(cluster, 1) == ([b"second"] if commit else [])


@pytest.mark.parametrize("commit", [True, False])
async def test_what_is_lost_between_the_telling_and_the_end_is_told_once_more(commit: bool) -> None:
    """A coordinator that finds it in its log writes nothing, whatever it is told."""
    cluster = FakeCluster(2)
    cluster.add_topic("t", 2)
    transactions = cluster.transactions
    once = iter([True])

    def move_before_the_end(_: FakeBroker, request: Request) -> int:
        if request.api is ApiKey.END_TXN and transactions.of("x").unreplicated:
            transactions.move("x", 2)
            transactions.lose_end(transactions.of("x"))
        return 0

    async with running(cluster, transactional_id="x") as producer:
        producer.begin_transaction()
        await producer.send("t", b"first", partition=0)
        transactions.lags = lambda _: next(once, False)
        transactions.choose = move_before_the_end
        await producer.send("t", b"second", partition=1)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
        await asyncio.sleep(1)
        assert visible(cluster, 1) == ([b"second"] if commit else [])
        async with producer.transaction() as tx:
            tx.send("t", b"next", partition=1)
    assert visible(cluster, 0) == ([b"first"] if commit else [])
    assert visible(cluster, 1) == ([b"second", b"next"] if commit else [b"next"])
    assert transactions.violations == []


@pytest.mark.parametrize("commit", [True, False])
async def test_a_transaction_that_the_next_coordinator_does_not_know_is_aborted_by_it(
    commit: bool,
) -> None:
    cluster = FakeCluster(2)
    cluster.add_topic("t", 1)
    async with running(cluster, transactional_id="x") as producer:
        producer.begin_transaction()
        await producer.send("t", b"lost")
        cluster.transactions.move("x", 2)
        cluster.transactions.forget("x")
        if commit:
            # The first coordinator may have done it before it moved.
            with pytest.raises(FatalTransactionError) as caught:
                await producer.commit_transaction()
            assert caught.value.persisted == "maybe"
        else:
            await producer.abort_transaction()
    async with running(cluster, transactional_id="x") as successor, successor.transaction() as tx:
        tx.send("t", b"next")
    assert visible(cluster) == [b"next"]


async def test_a_commit_that_was_never_answered_may_have_happened() -> None:
    """The producer goes on asking, and the next transaction waits for the answer."""
    cluster = cluster_of()
    async with running(cluster, transactional_id="x", request_timeout_ms=2000) as producer:
        cluster.brokers[1].scripts[ApiKey.END_TXN] = deque([Conduct(stall=True)])
        with pytest.raises(TransactionTimeoutError) as caught:
            async with producer.transaction(timeout=1) as tx:
                tx.send("t", b"maybe")
        assert caught.value.persisted == "maybe"
        async with producer.transaction() as tx:
            tx.send("t", b"next")
    assert visible(cluster) == [b"maybe", b"next"]


async def test_without_a_transactional_id_every_call_says_so() -> None:
    async with running(cluster_of()) as producer:
        with pytest.raises(TransactionStateError, match=r"no transactional\.id"):
            producer.transaction()
        with pytest.raises(TransactionStateError):
            producer.begin_transaction()
        for call in (
            producer.init_transactions(),
            producer.commit_transaction(),
            producer.abort_transaction(),
            producer.send_offsets_to_transaction({("t", 0): 1}, "g"),
        ):
            with pytest.raises(TransactionStateError):
                await call


async def test_nothing_is_sent_outside_a_transaction() -> None:
    cluster = cluster_of()
    async with running(cluster, transactional_id="x") as producer:
        for call in (producer.send, producer.try_send):
            with pytest.raises(TransactionStateError, match="open transaction"):
                call("t", b"stray")
        async with producer.transaction() as tx:
            tx.send("t", b"inside")
        with pytest.raises(TransactionStateError):
            producer.send("t", b"stray")
    assert values_of(cluster, "t")[0] == b"inside"
    assert b"stray" not in values_of(cluster, "t")


async def test_start_obtains_the_identity_unless_told_not_to() -> None:
    cluster = cluster_of()
    virtual_loop().network = cluster
    producer: AsyncProducer[Any, Any] = AsyncProducer(cluster.bootstrap, transactional_id="x")
    await producer.start(initialize=False)
    try:
        assert asked(cluster, ApiKey.INIT_PRODUCER_ID) == 0
        with pytest.raises(TransactionStateError):
            producer.begin_transaction()
        await producer.init_transactions()
        await producer.init_transactions()
        assert asked(cluster, ApiKey.INIT_PRODUCER_ID) == 1
        async with producer.transaction() as tx:
            tx.send("t", b"v")
    finally:
        await producer.close()
    assert visible(cluster) == [b"v"]


async def test_a_start_that_cannot_initialize_closes_the_producer() -> None:
    cluster = cluster_of()
    cluster.brokers[1].up = False
    virtual_loop().network = cluster
    producer: AsyncProducer[Any, Any] = AsyncProducer(
        cluster.bootstrap, transactional_id="x", max_block_ms=5000
    )
    with pytest.raises(TransactionTimeoutError, match="5 s"):
        await producer.start()
    assert producer.state is LifeState.CLOSED


async def test_closing_inside_a_transaction_aborts_it() -> None:
    cluster = cluster_of()
    async with running(cluster, transactional_id="x", linger_ms=60_000) as producer:
        producer.begin_transaction()
        sent = producer.send("t", b"sent", partition=0)
        await producer.flush()
        waiting = producer.send("t", b"waiting", partition=0)
        await producer.close()
        assert (await sent).offset == 0
        assert isinstance((await outcomes([waiting]))[0], TransactionAbortedError)
    assert visible(cluster) == []
    assert asked(cluster, ApiKey.END_TXN) == 1


async def test_a_record_withdrawn_while_it_waited_is_no_failure() -> None:
    """It was never sent: the others are committed."""
    cluster = cluster_of()
    async with running(cluster, transactional_id="x") as producer, producer.transaction() as tx:
        unknown = tx.send("t", b"withdrawn", partition=7)
        tx.send("t", b"kept", partition=0)
        await asyncio.sleep(0.1)
        assert unknown.cancel()
    assert visible(cluster) == [b"kept"]


async def test_a_record_that_expired_makes_the_commit_raise_its_timeout() -> None:
    cluster = cluster_of()
    async with running(
        cluster, transactional_id="x", delivery_timeout_ms=3000, request_timeout_ms=2000
    ) as producer:
        async with producer.transaction() as tx:
            tx.send("t", b"before")
        with pytest.raises(DeliveryTimeoutError) as caught:
            async with producer.transaction() as tx:
                cluster.brokers[1].stop()
                tx.send("t", b"lost")
                virtual_loop().call_later(4, cluster.brokers[1].start)
        assert not caught.value.retriable
        manager = engine_of(producer).transactions
        assert manager is not None
        assert manager.scope.state is TransactionState.READY
        async with producer.transaction() as tx:
            tx.send("t", b"after")
    assert visible(cluster) == [b"before", b"after"]


@BOTH
async def test_closing_takes_no_longer_than_it_is_given(
    versions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while a record is with a broker that does not answer; what stays open is told."""
    cluster = cluster_of(versions)
    async with running(cluster, transactional_id="x") as producer:
        producer.begin_transaction()
        await producer.send("t", b"one")
        cluster.brokers[1].scripts[ApiKey.PRODUCE] = deque([Conduct(stall=True)] * 50)
        producer.send("t", b"two")
        await asyncio.sleep(0.1)
        before = virtual_loop().time()
        report = await producer.close(2)
        assert virtual_loop().time() - before == pytest.approx(2, abs=0.1)
        assert report.failed + report.abandoned == 1
    assert "transaction.timeout.ms" in caplog.text


@BOTH
async def test_closing_at_once_says_that_a_transaction_stays_open(
    versions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = cluster_of(versions)
    async with running(cluster, transactional_id="x") as producer:
        producer.begin_transaction()
        await producer.send("t", b"one")
        await producer.close(0)
    assert asked(cluster, ApiKey.END_TXN) == 0
    assert caplog.text.count("closed before its transaction was ended") == 1


@BOTH
async def test_a_commit_interrupted_by_close_may_have_happened(
    versions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = cluster_of(versions)
    async with running(cluster, transactional_id="x") as producer:
        cluster.brokers[1].scripts[ApiKey.END_TXN] = deque([Conduct(delay=5)])
        producer.begin_transaction()
        await producer.send("t", b"one")
        commit = asyncio.ensure_future(producer.commit_transaction())
        await asyncio.sleep(1)
        await producer.close(0.5)
        with pytest.raises(ProducerClosedError) as caught:
            await commit
        assert caught.value.persisted == "maybe"
        await asyncio.sleep(10)
    assert visible(cluster) == [b"one"]
    assert "may have taken effect" in caplog.text


async def test_a_commit_that_is_done_is_no_failure_while_the_next_epoch_is_asked_for() -> None:
    cluster = cluster_of(KAFKA_2_8)
    async with running(cluster, transactional_id="x") as producer:
        producer.begin_transaction()
        await producer.send("t", b"one")
        # An end in doubt is followed by a higher epoch.
        cluster.brokers[1].scripts[ApiKey.END_TXN] = deque([Conduct(hang_up="after")])
        cluster.brokers[1].scripts[ApiKey.INIT_PRODUCER_ID] = deque([Conduct(delay=20)])
        commit = asyncio.ensure_future(producer.commit_transaction())
        await asyncio.sleep(5)
        await producer.close(0)
        await commit
    assert visible(cluster) == [b"one"]


async def test_an_abort_is_bounded_while_a_partition_is_being_added() -> None:
    cluster = cluster_of(KAFKA_2_8)
    async with running(cluster, transactional_id="x") as producer:
        await producer.partitions_for("t")
        producer.begin_transaction()
        cluster.brokers[1].scripts[ApiKey.ADD_PARTITIONS_TO_TXN] = deque([Conduct(stall=True)])
        producer.send("t", b"never")
        await asyncio.sleep(0.1)
        before = virtual_loop().time()
        with pytest.raises(TransactionTimeoutError, match="within 1 s"):
            await producer.abort_transaction(1)
        assert virtual_loop().time() - before == pytest.approx(1, abs=0.1)
        await producer.abort_transaction()
    assert visible(cluster) == []


async def test_what_the_cluster_has_finalized_is_asked_at_nobodys_cost() -> None:
    """A broker that does not answer that question delays neither this commit nor the next."""
    cluster = FakeCluster(nodes=2)
    cluster.add_topic("t").partitions[0].leader = 1
    cluster.transactions.move("x", 1)
    async with running(cluster, transactional_id="x", metadata_max_age_ms=2000) as producer:
        await engine_of(producer).cluster.brokers.connect([1, 2])
        for broker in cluster.brokers.values():
            broker.requests.clear()
        longest = 0.0
        # One of both brokers is asked by chance, every two seconds at most.
        for _ in range(10):
            await asyncio.sleep(3)
            cluster.brokers[2].scripts[ApiKey.API_VERSIONS] = deque([Conduct(delay=25)])
            before = virtual_loop().time()
            for _ in range(2):
                async with producer.transaction() as tx:
                    tx.send("t", b"v")
            longest = max(longest, virtual_loop().time() - before)
        requests = cluster.brokers[2].requests
        assert any(request.api is ApiKey.API_VERSIONS for _, request in requests)
        assert longest < 2


async def test_a_task_that_dies_fails_the_commit_and_the_producer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = cluster_of()
    async with running(cluster, transactional_id="x") as producer:

        async def fails(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("unexpected")

        monkeypatch.setattr(CoordinatorClient, "end", fails)
        producer.begin_transaction()
        producer.send("t", b"v")
        with pytest.raises(ProducerStateError, match="transactions died") as caught:
            await producer.commit_transaction()
        assert caught.value.persisted == "maybe"
        assert producer.state is LifeState.FAILED
        with pytest.raises(ProducerStateError):
            producer.begin_transaction()
    assert "unexpected" in caplog.text
    assert visible(cluster) == []
