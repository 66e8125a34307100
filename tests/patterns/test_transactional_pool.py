"""The pool of transactional producers, in virtual time and against brokers in memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    ConfigurationError,
    FatalTransactionError,
    LifeState,
    MetadataTimeoutError,
    ProducerClosedError,
    ProducerFencedError,
    RecordTooLargeError,
    SerializationError,
    Transaction,
    TransactionAbortedError,
    TransactionState,
    TransactionTimeoutError,
)
from aioproducer.patterns import TransactionalProducerPool
from aioproducer.wire.versions import ApiKey
from tests.fake_broker import Conduct, FakeCluster
from tests.fake_log import Verb
from tests.fake_transaction_state import State
from tests.read_committed import read_committed
from tests.runtime.world import now, virtual_loop

Pool = TransactionalProducerPool[Any, Any]
PRODUCER_FENCED = 90
TRANSACTION_ABORTABLE = 120
CLUSTER_AUTHORIZATION_FAILED = 31
INVALID_TIMESTAMP = 32


@pytest.fixture
async def cluster() -> FakeCluster:
    made = FakeCluster()
    made.add_topic("t")
    virtual_loop().network = made
    return made


@asynccontextmanager
async def pool_on(cluster: FakeCluster, **options: Any) -> AsyncIterator[Pool]:
    """Run a pool; afterwards it must have left nothing behind."""
    options = {"prefix": "tx-", "instance_id": "pod-0", "linger_ms": 0, **options}
    pool: Pool = TransactionalProducerPool(cluster.bootstrap, **options)
    try:
        yield pool
    finally:
        await pool.close()
        cluster.transactions.stop()
        await asyncio.sleep(1)
        assert not cluster.open_sessions
        assert cluster.transactions.violations == []


def visible(cluster: FakeCluster) -> list[bytes | None]:
    return read_committed(cluster.topics["t"].partitions[0]).values


def ids(cluster: FakeCluster) -> list[str]:
    return sorted(cluster.transactions.ids)


def script(cluster: FakeCluster, api: ApiKey, *codes: int) -> None:
    cluster.transactions.scripts[api] = deque(codes)


def hold(cluster: FakeCluster, api: ApiKey, *conducts: Conduct) -> None:
    for broker in cluster.brokers.values():
        broker.scripts[api] = deque(conducts)


async def fence(cluster: FakeCluster, transactional_id: str) -> None:
    """Take an id over, as another process would, one that has been restarted meanwhile."""
    for _ in range(2):
        async with AsyncProducer(cluster.bootstrap, transactional_id=transactional_id):
            pass


class Fn:
    """A function for a transaction, which counts how often it is called."""

    def __init__(self, *values: bytes) -> None:
        self.values = values
        self.calls = 0

    async def __call__(self, tx: Transaction[Any, Any]) -> int:
        self.calls += 1
        for value in self.values:
            tx.send("t", value)
        return self.calls


async def _borrow(pool: Pool, done: asyncio.Event, timeout: float | None = None) -> AsyncProducer:
    async with pool.producer(timeout=timeout) as producer:
        await done.wait()
        return producer


async def _borrowers(pool: Pool, count: int) -> tuple[asyncio.Event, list[asyncio.Task[Any]]]:
    done = asyncio.Event()
    tasks = [asyncio.create_task(_borrow(pool, done)) for _ in range(count)]
    await asyncio.sleep(1)
    return done, tasks


# Names and settings


async def test_ids_are_made_of_prefix_instance_and_number(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        done, tasks = await _borrowers(pool, 2)
        assert ids(cluster) == ["tx-pod-0-0", "tx-pod-0-1"]
        done.set()
        await asyncio.gather(*tasks)


async def test_without_an_instance_id_every_pool_has_a_random_one(cluster: FakeCluster) -> None:
    for _ in range(2):
        async with pool_on(cluster, instance_id=None) as pool:
            await pool.execute_in_transaction(Fn(b"a"))
    first, second = ids(cluster)
    assert first != second
    for name in (first, second):
        assert name.startswith("tx-")
        assert name.endswith("-0")
        assert len(name) == len("tx-") + 32 + len("-0")


async def test_a_restarted_instance_aborts_what_its_former_self_left_open(
    cluster: FakeCluster,
) -> None:
    former: Pool = TransactionalProducerPool(
        cluster.bootstrap, prefix="tx-", instance_id="pod-0", linger_ms=0
    )
    with pytest.raises(ProducerFencedError):
        async with former.transaction() as tx:
            await tx.send("t", b"left open")
            async with pool_on(cluster) as pool:
                await pool.execute_in_transaction(Fn(b"new"))
                assert visible(cluster) == [b"new"]
    await former.close()


async def test_warming_up_frees_all_that_the_former_self_left_open(cluster: FakeCluster) -> None:
    former: Pool = TransactionalProducerPool(
        cluster.bootstrap, prefix="tx-", instance_id="pod-0", linger_ms=0
    )

    async def leave_open(number: int) -> None:
        async with former.transaction() as tx:
            await tx.send("t", b"left open %d" % number)
            await asyncio.sleep(10)

    crashed = [asyncio.create_task(leave_open(number)) for number in range(3)]
    await asyncio.sleep(1)
    async with pool_on(cluster, max_size=3) as pool:
        await pool.warm_up()
        assert (pool.size, pool.idle) == (3, 3)
        await pool.execute_in_transaction(Fn(b"new"))
        assert visible(cluster) == [b"new"]
        outcomes = await asyncio.gather(*crashed, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ProducerFencedError] * 3
    await former.close()


async def test_warming_up_keeps_what_was_started_before_it_failed(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=3) as pool:
        script(cluster, ApiKey.INIT_PRODUCER_ID, 0, 0, CLUSTER_AUTHORIZATION_FAILED)
        with pytest.raises(Exception, match="CLUSTER_AUTHORIZATION_FAILED"):
            await pool.warm_up()
        assert (pool.size, pool.idle) == (2, 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prefix": ""}, "prefix is empty"),
        ({"instance_id": ""}, "instance_id is empty"),
        ({"max_size": 0}, "max_size is 1 or more, not 0"),
        ({"transactional_id": "x"}, "transactional_id is made of"),
        ({"config": {"transactional.id": "x"}}, "transactional_id is made of"),
        ({"acks": 1}, "acks"),
    ],
)
async def test_what_is_wrong_with_the_settings_is_said_at_once(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        TransactionalProducerPool("h:1", **{"prefix": "tx-", **options})


async def test_all_that_is_wrong_is_said_in_one_error() -> None:
    with pytest.raises(ConfigurationError, match=r"prefix is empty.*; max_size"):
        TransactionalProducerPool("h:1", prefix="", max_size=0)


async def test_the_other_arguments_are_those_of_a_producer(cluster: FakeCluster) -> None:
    async with pool_on(
        cluster, value_serializer=str.encode, config={"transaction.timeout.ms": 5000}
    ) as pool:
        async with pool.producer() as producer:
            assert producer.config.transaction_timeout_ms == 5000
        async with pool.transaction() as tx:
            tx.send("t", "text")
    assert visible(cluster) == [b"text"]


# Lending


async def test_nothing_is_started_before_it_is_needed(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        assert (pool.size, pool.idle) == (0, 0)
        assert not cluster.open_sessions


async def test_an_idle_producer_is_used_again(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        async with pool.producer() as first:
            assert (pool.size, pool.idle) == (1, 0)
        assert (pool.size, pool.idle) == (1, 1)
        async with pool.producer() as second:
            assert second is first
    assert first.state is LifeState.CLOSED


async def test_it_grows_up_to_its_size_and_no_producer_has_two_users(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=3) as pool:
        done, tasks = await _borrowers(pool, 5)
        assert (pool.size, pool.waiting) == (3, 2)
        assert "3 of 3, 0 idle, 2 waiting" in repr(pool)
        done.set()
        producers = await asyncio.gather(*tasks)
        assert len(set(producers)) == 3
        assert (pool.size, pool.idle, pool.waiting) == (3, 3, 0)


async def test_who_waits_longest_comes_first(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        order: list[int] = []

        async def use(number: int) -> None:
            async with pool.transaction() as tx:
                order.append(number)
                await tx.send("t", b"%d" % number)

        await asyncio.gather(*(use(number) for number in range(5)))
        assert order == [0, 1, 2, 3, 4]
        assert visible(cluster) == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(("timeout", "limit"), [(3.0, 3.0), (None, 20.0)])
async def test_waiting_for_a_producer_has_a_bound(
    cluster: FakeCluster, timeout: float | None, limit: float
) -> None:
    async with pool_on(cluster, max_size=1, max_block_ms=20_000) as pool:
        done, tasks = await _borrowers(pool, 1)
        began = now()
        with pytest.raises(TransactionTimeoutError, match="all 1 producers") as caught:
            async with pool.producer(timeout=timeout):
                raise AssertionError("there is none")
        assert now() - began == pytest.approx(limit)
        assert caught.value.persisted == "no"
        assert "max_size" in caught.value.what_next
        done.set()
        await asyncio.gather(*tasks)


async def test_cancelling_the_wait_leaves_the_line(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        done, (user, waiting, next_one) = await _borrowers(pool, 3)
        waiting.cancel()
        done.set()
        assert await user is await next_one
        assert (pool.size, pool.idle, pool.waiting) == (1, 1, 0)


async def test_a_start_that_fails_is_raised_and_the_next_caller_tries_anew(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        script(cluster, ApiKey.INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED)
        fn = Fn(b"a")
        with pytest.raises(Exception, match="CLUSTER_AUTHORIZATION_FAILED"):
            await pool.execute_in_transaction(fn)
        assert (fn.calls, pool.size) == (0, 0)
        await pool.execute_in_transaction(fn)
        assert ids(cluster) == ["tx-pod-0-0"]


async def test_a_start_that_fails_lets_the_next_in_line_try(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        script(cluster, ApiKey.INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED)
        first, second = (pool.execute_in_transaction(Fn(b"%d" % n)) for n in range(2))
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(results[0], Exception)
        assert results[1] == 1
        assert visible(cluster) == [b"1"]


async def test_a_start_that_is_cancelled_leaves_its_place(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        hold(cluster, ApiKey.INIT_PRODUCER_ID, Conduct(stall=True))
        starting = asyncio.create_task(pool.execute_in_transaction(Fn(b"a")))
        await asyncio.sleep(1)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert pool.size == 0
        await pool.execute_in_transaction(Fn(b"b"))
        assert visible(cluster) == [b"b"]


async def test_a_transaction_left_open_is_aborted(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        async with pool.producer() as producer:
            producer.begin_transaction()
            await producer.send("t", b"forgotten")
        assert producer.transaction_state is TransactionState.READY
        async with pool.producer() as again:
            assert again is producer
            again.begin_transaction()
            await again.send("t", b"committed")
            await again.commit_transaction()
    assert visible(cluster) == [b"committed"]


async def test_a_transaction_left_failed_is_aborted(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_request_size=1000) as pool:
        async with pool.producer() as producer:
            producer.begin_transaction()
            with pytest.raises(RecordTooLargeError):
                await producer.send("t", b"x" * 2000)
        assert producer.transaction_state is TransactionState.READY


async def test_leaving_is_no_longer_than_an_abort_may_take(cluster: FakeCluster) -> None:
    """The abort goes on, and whoever gets the producer next waits for it."""
    async with pool_on(cluster, max_size=1) as pool:
        hold(cluster, ApiKey.END_TXN, Conduct(delay=10))
        async with pool.producer(timeout=2) as producer:
            producer.begin_transaction()
            await producer.send("t", b"forgotten")
            began = now()
        assert now() - began == pytest.approx(2)
        assert pool.idle == 0
        async with pool.producer() as again:
            assert again is producer
            assert now() - began >= 10
            again.begin_transaction()
            again.send("t", b"committed")
            await again.commit_transaction()
    assert visible(cluster) == [b"committed"]


async def test_one_that_still_ends_a_transaction_is_lent_last(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=2) as pool:
        done, tasks = await _borrowers(pool, 2)
        done.set()
        await asyncio.gather(*tasks)
        hold(cluster, ApiKey.END_TXN, Conduct(delay=100))
        async with pool.producer(timeout=1) as busy:
            busy.begin_transaction()
            await busy.send("t", b"forgotten")
        began = now()
        async with pool.producer() as other:
            assert other is not busy
        assert now() == began


async def test_leaving_may_be_cancelled(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        hold(cluster, ApiKey.END_TXN, Conduct(delay=10))

        async def forget() -> None:
            async with pool.producer() as producer:
                producer.begin_transaction()
                await producer.send("t", b"forgotten")

        task = asyncio.create_task(forget())
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (pool.size, pool.idle) == (1, 0)
        await pool.execute_in_transaction(Fn(b"committed"))
    assert visible(cluster) == [b"committed"]


# Replacing


async def test_a_producer_that_was_closed_is_replaced_under_its_number(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster) as pool:
        async with pool.producer() as closed:
            await closed.close()
        assert pool.size == 0
        async with pool.producer() as other:
            assert other is not closed
        assert ids(cluster) == ["tx-pod-0-0"]


async def test_a_fenced_producer_is_replaced_under_a_number_of_its_own(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever fenced it is not fenced in turn."""
    async with pool_on(cluster) as pool:
        async with pool.producer() as fenced:
            pass
        await fence(cluster, "tx-pod-0-0")
        epoch = cluster.transactions.of("tx-pod-0-0").epoch
        with pytest.raises(ProducerFencedError):
            async with pool.transaction() as tx:
                tx.send("t", b"zombie")
        assert (pool.size, pool.idle) == (0, 0)
        assert await pool.execute_in_transaction(Fn(b"a")) == 1
        assert ids(cluster) == ["tx-pod-0-0", "tx-pod-0-1"]
        assert cluster.transactions.of("tx-pod-0-0").epoch == epoch
        assert fenced.state is LifeState.CLOSED
    assert visible(cluster) == [b"a"]
    assert "tx-pod-0-0] is of no use any more" in caplog.text


async def test_another_fatal_error_replaces_it_under_its_number(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        script(cluster, ApiKey.END_TXN, CLUSTER_AUTHORIZATION_FAILED)
        with pytest.raises(FatalTransactionError):
            async with pool.transaction() as tx:
                tx.send("t", b"lost")
        await pool.execute_in_transaction(Fn(b"a"))
        assert ids(cluster) == ["tx-pod-0-0"]
        assert pool.size == 1
    assert visible(cluster) == [b"a"]


async def test_one_that_broke_while_it_was_idle_is_not_lent(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        async with pool.producer() as broken:
            pass
        await broken.close()
        async with pool.producer() as other:
            assert other is not broken
        assert pool.size == 1


async def test_one_whose_abort_failed_for_good_after_its_user_left_is_not_lent(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        hold(cluster, ApiKey.END_TXN, Conduct(hang_up="before"))
        script(cluster, ApiKey.END_TXN, CLUSTER_AUTHORIZATION_FAILED)
        async with pool.producer(timeout=0.01) as broken:
            broken.begin_transaction()
            await broken.send("t", b"forgotten")
        assert pool.idle == 0
        async with pool.producer() as other:
            assert other is not broken
        assert pool.size == 1


# execute_in_transaction


async def test_it_commits_what_was_sent_and_returns_the_result(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        assert await pool.execute_in_transaction(Fn(b"a", b"b")) == 1
        assert visible(cluster) == [b"a", b"b"]


async def test_an_abortable_failure_of_the_commit_runs_it_anew(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        script(cluster, ApiKey.END_TXN, TRANSACTION_ABORTABLE)
        fn = Fn(b"a", b"b")
        assert await pool.execute_in_transaction(fn) == 2
        assert visible(cluster) == [b"a", b"b"]


async def test_a_record_that_fails_inside_runs_it_anew(cluster: FakeCluster) -> None:
    async with pool_on(cluster, delivery_timeout_ms=5000, request_timeout_ms=2000) as pool:
        await pool.execute_in_transaction(Fn(b"first"))
        hold(cluster, ApiKey.PRODUCE, *[Conduct(hang_up="before")] * 60)
        calls = []

        async def fn(tx: Transaction[Any, Any]) -> None:
            calls.append(now())
            delivery = tx.send("t", b"again")
            if len(calls) > 1:
                hold(cluster, ApiKey.PRODUCE)
            await delivery

        await pool.execute_in_transaction(fn)
        assert len(calls) == 2
        assert visible(cluster) == [b"first", b"again"]


async def test_it_gives_up_after_the_last_attempt_and_pauses_longer_each_time(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster, retry_backoff_ms=100, retry_backoff_max_ms=350) as pool:
        script(cluster, ApiKey.END_TXN, *[TRANSACTION_ABORTABLE, 0] * 10)
        times: list[float] = []

        async def fn(tx: Transaction[Any, Any]) -> None:
            times.append(now())
            tx.send("t", b"a")

        with pytest.raises(Exception, match="TRANSACTION_ABORTABLE") as caught:
            await pool.execute_in_transaction(fn, attempts=4)
        assert caught.value.__notes__[-1] == "attempt 4 of 4"
        pauses = [after - before for before, after in itertools.pairwise(times)]
        for pause, expected in zip(pauses, (0.1, 0.2, 0.35), strict=True):
            assert expected * 0.8 <= pause <= expected * 1.2 + 0.1
        assert pool.idle == 1
    assert visible(cluster) == []


async def test_nobody_is_kept_from_the_producer_during_a_pause(cluster: FakeCluster) -> None:
    async with pool_on(
        cluster, max_size=1, retry_backoff_ms=10_000, retry_backoff_max_ms=10_000
    ) as pool:
        script(cluster, ApiKey.END_TXN, TRANSACTION_ABORTABLE)
        failing = asyncio.create_task(pool.execute_in_transaction(Fn(b"again")))
        await asyncio.sleep(1)
        await pool.execute_in_transaction(Fn(b"between"))
        assert visible(cluster) == [b"between"]
        await failing
    assert visible(cluster) == [b"between", b"again"]


@pytest.mark.parametrize("attempts", [0, -1])
async def test_at_least_one_attempt_is_made(cluster: FakeCluster, attempts: int) -> None:
    async with pool_on(cluster) as pool:
        with pytest.raises(ValueError, match="1 or more"):
            await pool.execute_in_transaction(Fn(), attempts=attempts)


async def test_an_exception_of_fn_aborts_and_is_raised(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        calls = []

        async def fn(tx: Transaction[Any, Any]) -> None:
            calls.append(await tx.send("t", b"a"))
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await pool.execute_in_transaction(fn)
        assert len(calls) == 1
        assert cluster.transactions.of("tx-pod-0-0").state is State.COMPLETE_ABORT
        assert visible(cluster) == []


@pytest.mark.parametrize("awaited", [True, False])
@pytest.mark.parametrize(
    ("value", "kind"), [("too large", RecordTooLargeError), ("other", SerializationError)]
)
async def test_what_the_same_records_would_meet_again_is_not_run_again(
    cluster: FakeCluster, value: str, kind: type[Exception], awaited: bool
) -> None:
    def refuse(value: object) -> bytes:
        if value == "too large":
            return b"x" * 2000
        raise TypeError("no bytes")

    calls = []

    async def fn(tx: Transaction[Any, Any]) -> None:
        calls.append(value)
        delivery = tx.send("t", value)
        if awaited:
            await delivery
        else:
            with contextlib.suppress(kind, TransactionAbortedError):
                await delivery

    async with pool_on(cluster, max_request_size=1000, value_serializer=refuse) as pool:
        with pytest.raises(kind):
            await pool.execute_in_transaction(fn)
    assert calls == [value]


async def test_a_fenced_producer_is_replaced_and_fn_called_anew(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        await pool.execute_in_transaction(Fn(b"a"))
        await fence(cluster, "tx-pod-0-0")
        fn = Fn(b"b")
        assert await pool.execute_in_transaction(fn) == 2
        assert ids(cluster) == ["tx-pod-0-0", "tx-pod-0-1"]
    assert visible(cluster) == [b"a", b"b"]


async def test_one_that_was_fenced_in_its_last_transaction_is_no_hindrance(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster) as pool:
        async with pool.producer() as producer:
            await fence(cluster, "tx-pod-0-0")
            with pytest.raises(ProducerFencedError):
                async with producer.transaction() as tx:
                    tx.send("t", b"zombie")
        assert await pool.execute_in_transaction(Fn(b"a")) == 1
    assert visible(cluster) == [b"a"]


async def test_a_commit_that_was_not_answered_in_time_is_never_repeated(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster) as pool:
        hold(cluster, ApiKey.END_TXN, Conduct(delay=10))
        fn = Fn(b"a")
        with pytest.raises(TransactionTimeoutError) as caught:
            await pool.execute_in_transaction(fn, timeout=2)
        assert caught.value.persisted == "maybe"
        assert fn.calls == 1
        # It was done all the same, and the producer is good for another.
        await pool.execute_in_transaction(Fn(b"b"))
        await asyncio.sleep(20)
        assert (pool.size, pool.idle) == (2, 2)
    assert visible(cluster) == [b"a", b"b"]


async def test_a_commit_that_was_done_and_then_refused_for_good_is_never_repeated(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster) as pool:
        await pool.execute_in_transaction(Fn(b"a"))
        hold(cluster, ApiKey.END_TXN, Conduct(hang_up="after"))
        script(cluster, ApiKey.END_TXN, 0, PRODUCER_FENCED)
        fn = Fn(b"b")
        with pytest.raises(ProducerFencedError) as caught:
            await pool.execute_in_transaction(fn)
        assert caught.value.persisted == "maybe"
        assert fn.calls == 1
        assert visible(cluster) == [b"a", b"b"]


async def test_a_commit_that_was_surely_refused_for_good_is_run_anew(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        script(cluster, ApiKey.END_TXN, CLUSTER_AUTHORIZATION_FAILED)
        fn = Fn(b"a")
        assert await pool.execute_in_transaction(fn) == 2
    assert visible(cluster) == [b"a"]


async def test_the_timeout_bounds_the_wait_for_a_producer_too(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        done, tasks = await _borrowers(pool, 1)
        fn = Fn()
        with pytest.raises(TransactionTimeoutError, match="all 1 producers"):
            await pool.execute_in_transaction(fn, timeout=1)
        assert fn.calls == 0
        done.set()
        await asyncio.gather(*tasks)


async def test_cancelling_aborts_while_fn_runs(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        await pool.execute_in_transaction(Fn(b"a"))

        async def fn(tx: Transaction[Any, Any]) -> None:
            await tx.send("t", b"b")
            await asyncio.sleep(100)

        task = asyncio.create_task(pool.execute_in_transaction(fn))
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cluster.transactions.of("tx-pod-0-0").state is State.COMPLETE_ABORT
        assert (pool.size, pool.idle) == (1, 1)
    assert visible(cluster) == [b"a"]


async def test_cancelling_during_the_commit_abandons_the_wait_only(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        hold(cluster, ApiKey.END_TXN, Conduct(delay=10))
        task = asyncio.create_task(pool.execute_in_transaction(Fn(b"a")))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pool.execute_in_transaction(Fn(b"b"))
        await asyncio.sleep(20)
        assert (pool.size, pool.idle) == (2, 2)
    assert visible(cluster) == [b"a", b"b"]


async def test_cancelling_during_a_pause_ends_it(cluster: FakeCluster) -> None:
    async with pool_on(cluster, retry_backoff_ms=100_000, retry_backoff_max_ms=100_000) as pool:
        script(cluster, ApiKey.END_TXN, TRANSACTION_ABORTABLE)
        fn = Fn(b"a")
        task = asyncio.create_task(pool.execute_in_transaction(fn))
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (fn.calls, pool.idle) == (1, 1)


async def test_many_tasks_share_few_producers(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=4) as pool:
        fns = [Fn(b"%d-0" % n, b"%d-1" % n) for n in range(50)]
        await asyncio.gather(*(pool.execute_in_transaction(fn) for fn in fns))
        assert pool.size == 4
    values = visible(cluster)
    assert len(values) == 100
    assert set(values) == {value for fn in fns for value in fn.values}


# Closing


async def test_closing_closes_all_and_frees_those_who_wait(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        done, (user, waiting) = await _borrowers(pool, 2)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(1)
        with pytest.raises(ProducerClosedError, match="closed"):
            await waiting
        assert not closing.done()
        done.set()
        producer = await user
        await closing
        assert producer.state is LifeState.CLOSED
        assert (pool.size, pool.idle) == (0, 0)
        assert "closed" in repr(pool)


async def test_a_closed_pool_lends_nothing(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        await pool.execute_in_transaction(Fn(b"a"))
        await pool.close()
        for use in (pool.execute_in_transaction(Fn(b"b")), pool.__aenter__()):
            with pytest.raises(ProducerClosedError):
                await use


async def test_leaving_the_block_closes_it(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        async with pool, pool.producer() as producer:
            pass
        assert producer.state is LifeState.CLOSED


async def test_what_is_in_use_too_long_is_closed_under_its_user(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        began = asyncio.Event()

        async def fn(tx: Transaction[Any, Any]) -> None:
            await tx.send("t", b"a")
            began.set()
            await asyncio.sleep(100)

        task = asyncio.create_task(pool.execute_in_transaction(fn))
        await began.wait()
        since = now()
        await pool.close(5)
        assert 5 <= now() - since <= 6
        assert cluster.transactions.of("tx-pod-0-0").state is State.COMPLETE_ABORT
        with pytest.raises(ProducerClosedError):
            await task
    assert visible(cluster) == []


async def test_closing_is_bounded_when_nobody_answers(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        done, tasks = await _borrowers(pool, 1)
        for broker in cluster.brokers.values():
            broker.stop()
        since = now()
        await pool.close(5)
        assert now() - since <= 6.1
        done.set()
        await asyncio.gather(*tasks)


async def test_closing_again_waits_for_the_same_end(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        done, tasks = await _borrowers(pool, 1)
        first = asyncio.create_task(pool.close())
        await asyncio.sleep(1)
        second = asyncio.create_task(pool.close(0))
        await asyncio.sleep(1)
        assert not second.done()
        done.set()
        await asyncio.gather(first, second, *tasks)


async def test_cancelling_the_close_abandons_the_wait_only(cluster: FakeCluster) -> None:
    async with pool_on(cluster) as pool:
        done, tasks = await _borrowers(pool, 1)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        done.set()
        (producer,) = await asyncio.gather(*tasks)
        await asyncio.sleep(1)
        assert producer.state is LifeState.CLOSED


async def test_a_cluster_that_is_not_there_is_said_in_bounded_time(cluster: FakeCluster) -> None:
    async with pool_on(cluster, max_block_ms=5000) as pool:
        for broker in cluster.brokers.values():
            broker.stop()
        since = now()
        with pytest.raises((TransactionTimeoutError, MetadataTimeoutError)) as caught:
            await pool.execute_in_transaction(Fn(b"a"))
        assert now() - since <= 6
        assert caught.value.persisted == "no"


async def test_a_commit_that_is_stuck_holds_up_nobody_while_the_pool_may_grow(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster, max_size=2, request_timeout_ms=2000) as pool:
        cluster.brokers[1].scripts[ApiKey.END_TXN] = deque([Conduct(stall=True)])
        with pytest.raises(TransactionTimeoutError):
            async with pool.transaction(timeout=1) as tx:
                tx.send("t", b"stuck")
        assert (pool.size, pool.idle) == (1, 0)
        before = now()
        async with pool.transaction(timeout=5) as tx:
            tx.send("t", b"next")
        assert now() - before < 1
        assert (pool.size, pool.idle) == (2, 1)
        await asyncio.sleep(10)
        assert pool.idle == 2
    assert sorted(visible(cluster), key=str) == [b"next", b"stuck"]


async def test_a_member_whose_commit_failed_after_its_user_left_is_lent_clean(
    cluster: FakeCluster,
) -> None:
    async with pool_on(cluster, max_size=1) as pool:
        async with pool.producer(timeout=1) as producer:
            producer.begin_transaction()
            hold(cluster, ApiKey.PRODUCE, Conduct(delay=3))
            cluster.topics["t"].partitions[0].script.append(Verb(INVALID_TIMESTAMP))
            producer.send("t", b"refused")
            commit = asyncio.create_task(producer.commit_transaction())
            await asyncio.sleep(1)
            commit.cancel()
            await asyncio.wait([commit])
        await asyncio.sleep(5)
        async with pool.producer() as again:
            assert again.transaction_state is TransactionState.READY
            again.begin_transaction()
            again.send("t", b"next")
            await again.commit_transaction()
    assert visible(cluster) == [b"next"]


async def test_closing_takes_no_longer_than_it_says(cluster: FakeCluster) -> None:
    """Also when a broker does not answer."""
    async with pool_on(cluster) as pool:

        async def use() -> None:
            async with pool.transaction(timeout=1) as tx:
                tx.send("t", b"never acknowledged")
                await asyncio.sleep(1000)

        await pool.warm_up()
        cluster.brokers[1].scripts[ApiKey.PRODUCE] = deque([Conduct(stall=True)] * 50)
        user = asyncio.create_task(use())
        await asyncio.sleep(0.5)
        before = now()
        await pool.close(1)
        assert now() - before < 2.5
        user.cancel()
        await asyncio.wait([user])
