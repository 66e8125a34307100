"""FakeProducer: what the test sees and decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    BufferExhaustedError,
    FlushTimeoutError,
    MetadataTimeoutError,
    OffsetAndMetadata,
    ProducerClosedError,
    ProducerFencedError,
    TopicPartition,
    TransactionState,
    TransactionStateError,
    TransactionTimeoutError,
)
from aioproducer.errors import NotLeaderOrFollowerError, TopicAuthorizationFailedError
from aioproducer.testing import FakeProducer
from tests.both_loops import on_both_loops


class TestHistory:
    """What was sent, as it was given, and what arrived, as bytes."""

    async def test_records_stand_in_the_order_they_were_sent(self) -> None:
        async with FakeProducer(value_serializer=str.encode) as producer:
            producer.send("orders", "a", key=b"k", headers=[("h", b"1")])
            producer.send("audit", "b")
            assert [(sent.topic, sent.value) for sent in producer.history] == [
                ("orders", "a"),
                ("audit", "b"),
            ]
            first = producer.history[0]
            assert (first.key, list(first.headers), first.partition) == (b"k", [("h", b"1")], 0)
            assert (first.state, first.metadata, first.error) == ("outstanding", None, None)
            assert not producer.flushed
            await producer.flush()
            assert producer.flushed
            assert first.state == "acknowledged"
            assert first.metadata is not None
            assert first.metadata.offset == 0

    async def test_the_log_has_what_serializers_made(self) -> None:
        async with FakeProducer(value_serializer="json", topics={"orders": 2}) as producer:
            for partition in (1, 0, 1):
                await producer.send("orders", {"n": partition}, partition=partition)
            rows = [(row.partition, row.offset, row.value) for row in producer.log("orders")]
            assert rows == [(0, 0, b'{"n":0}'), (1, 0, b'{"n":1}'), (1, 1, b'{"n":1}')]
            assert len(producer.log("orders", 1)) == 2
            assert producer.log("other") == ()

    async def test_a_failed_record_stays_in_the_history_and_out_of_the_log(self) -> None:
        async with FakeProducer() as producer:
            producer.fail_next("send", TopicAuthorizationFailedError)
            delivery = producer.send("orders", b"v")
            with pytest.raises(TopicAuthorizationFailedError):
                await delivery
            (sent,) = producer.history
            assert sent.state == "failed"
            assert isinstance(sent.error, TopicAuthorizationFailedError)
            assert producer.log("orders") == producer.committed == ()

    async def test_a_withdrawn_record_says_so_and_an_abandoned_wait_does_not(self) -> None:
        async with FakeProducer(topics={"orders": 1}) as producer:
            producer.send("orders", b"v").cancel()
            producer.send("orders", b"v", partition=5).cancel()
            await producer.flush()
            assert [sent.state for sent in producer.history] == ["acknowledged", "withdrawn"]

    async def test_clear_forgets_and_offsets_go_on(self) -> None:
        async with FakeProducer() as producer:
            await producer.send("orders", b"v")
            producer.fail_next("flush", RuntimeError)
            producer.clear()
            await producer.flush()
            assert producer.history == producer.log("orders") == ()
            assert (await producer.send("orders", b"v")).offset == 1

    async def test_what_is_cleared_while_it_is_outstanding_is_not_flushed_by_that(self) -> None:
        async with FakeProducer(auto_complete=False) as producer:
            first = producer.send("orders", b"1")
            producer.clear()
            second = producer.send("orders", b"2")
            producer.clear()
            await asyncio.sleep(0)
            assert producer.history == ()
            assert (producer.outstanding, producer.flushed) == (2, False)
            assert producer.complete_next()
            assert (first.done(), second.done()) == (True, False)
            assert (producer.outstanding, producer.flushed) == (1, False)
            assert producer.complete_all() == 1
            assert producer.flushed

    async def test_topics_are_there_unless_told_otherwise(self) -> None:
        async with FakeProducer(topics={"orders": 3}, default_partitions=0) as producer:
            assert len(await producer.partitions_for("orders")) == 3
            with pytest.raises(MetadataTimeoutError):
                await producer.partitions_for("audit", timeout=0.01)
            producer.set_partitions("audit", 2)
            assert (await producer.send("audit", b"v", partition=1)).partition == 1
            waiting = producer.send("audit", b"v", partition=2)
            producer.set_partitions("audit", 3)
            assert (await waiting).partition == 2
            with pytest.raises(ValueError, match="cannot shrink"):
                producer.set_partitions("audit", 1)

    def test_a_type_checker_takes_it_for_a_producer(self) -> None:
        producer: AsyncProducer[bytes, bytes] = FakeProducer()
        assert isinstance(producer, AsyncProducer)
        assert "FakeProducer" in repr(producer)


class TestManual:
    """The test answers for the broker."""

    async def test_records_are_answered_one_by_one_in_the_order_they_were_sent(self) -> None:
        async with FakeProducer(auto_complete=False, topics={"orders": 2}) as producer:
            assert not producer.complete_next()
            one = producer.send("orders", b"1", partition=1)
            two = producer.send("orders", b"2", partition=1)
            three = producer.send("orders", b"3", partition=0)
            assert producer.outstanding == 3
            assert producer.complete_next()
            assert (one.done(), two.done(), three.done()) == (True, False, False)
            assert producer.error_next(NotLeaderOrFollowerError("moved"))
            assert isinstance(two.exception(), NotLeaderOrFollowerError)
            assert two.exception().persisted == "no"  # type: ignore[union-attr]
            assert producer.complete_all() == 1
            assert (await three).offset == 0
            assert not producer.error_next(NotLeaderOrFollowerError)

    @pytest.mark.parametrize("acks", [0, 1, "all"])
    async def test_with_any_acks(self, acks: Any) -> None:
        async with FakeProducer(auto_complete=False, acks=acks) as producer:
            deliveries = [producer.send("orders", b"v") for _ in range(3)]
            assert producer.complete_all() == 3
            offsets = [(await delivery).offset for delivery in deliveries]
            assert offsets == ([-1] * 3 if acks == 0 else [0, 1, 2])
            assert len(producer.log("orders")) == 3

    async def test_a_flush_waits_for_the_test(self) -> None:
        async with FakeProducer(auto_complete=False) as producer:
            producer.send("orders", b"v")
            with pytest.raises(FlushTimeoutError):
                await producer.flush(0.01)
            flush = asyncio.create_task(producer.flush())
            await asyncio.sleep(0)
            assert not flush.done()
            producer.complete_next()
            await flush

    async def test_close_says_what_it_waits_for(self, caplog: pytest.LogCaptureFixture) -> None:
        producer = FakeProducer(auto_complete=False)
        await producer.start()
        delivery = producer.send("orders", b"v")
        with caplog.at_level(logging.WARNING):
            report = await producer.close(0.01)
        assert "1 records that the test has not completed" in caplog.text
        assert report.abandoned == 1
        assert producer.closed
        with pytest.raises(ProducerClosedError):
            await delivery

    async def test_only_errors_of_the_producer_go_into_a_delivery(self) -> None:
        async with FakeProducer(auto_complete=False) as producer:
            with pytest.raises(TypeError, match="ProducerError"):
                producer.error_next(RuntimeError("no"))  # type: ignore[arg-type]

    async def test_a_failure_holds_up_nothing_behind_it(self) -> None:
        async with FakeProducer(auto_complete=False) as producer:
            deliveries = [producer.send("orders", b"%d" % number) for number in range(3)]
            producer.error_next(NotLeaderOrFollowerError)
            producer.complete_all()
            assert [delivery.exception() is None for delivery in deliveries] == [
                False,
                True,
                True,
            ]


@on_both_loops
async def test_it_works_on_any_loop() -> None:
    async with FakeProducer() as producer:
        assert (await asyncio.wait_for(producer.send("orders", b"v"), 10)).offset == 0
        await asyncio.gather(*(producer.send("orders", b"v") for _ in range(100)))
        assert len(producer.log("orders")) == 101


class TestInjectedErrors:
    """The next calls fail as the test says."""

    @pytest.mark.parametrize(
        ("method", "call"),
        [
            ("flush", lambda p: p.flush()),
            ("drain", lambda p: p.drain()),
            ("warm_up", lambda p: p.warm_up(["orders"])),
            ("partitions_for", lambda p: p.partitions_for("orders")),
            ("send_many", lambda p: p.send_many([])),
        ],
    )
    async def test_a_call_fails_so_many_times(
        self, method: str, call: Callable[[FakeProducer[bytes, bytes]], Any]
    ) -> None:
        async with FakeProducer() as producer:
            producer.fail_next(method, FlushTimeoutError("too late"), times=2)
            for _ in range(2):
                with pytest.raises(FlushTimeoutError, match="too late"):
                    await call(producer)
            await call(producer)

    async def test_plain_methods_fail_too(self) -> None:
        async with FakeProducer() as producer:
            producer.fail_next("metrics", ZeroDivisionError)
            with pytest.raises(ZeroDivisionError):
                producer.metrics()
            producer.metrics()

    async def test_a_start_that_fails(self) -> None:
        producer = FakeProducer()
        producer.fail_next("start", OSError("no"))
        with pytest.raises(OSError):
            await producer.start()
        await producer.start()
        await producer.close()

    async def test_send_raises_what_it_raises_and_fails_deliveries_with_the_rest(self) -> None:
        async with FakeProducer() as producer:
            producer.fail_next("send", ProducerClosedError("closed"))
            with pytest.raises(ProducerClosedError):
                producer.send("orders", b"v")
            producer.fail_next("send", BufferExhaustedError("full"))
            with pytest.raises(BufferExhaustedError):
                producer.try_send("orders", b"v")
            producer.fail_next("send", BufferExhaustedError("full"), times=2)
            with pytest.raises(BufferExhaustedError):
                await producer.send("orders", b"v")
            result = await producer.send_many([])
            assert len(result) == 0
            with pytest.raises(BufferExhaustedError):
                await producer.send_and_wait("orders", b"v")

    @pytest.mark.parametrize("name", ["try_send", "send_and_wait", "no_method", "state"])
    def test_what_cannot_fail_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match=name):
            FakeProducer().fail_next(name, RuntimeError)

    def test_a_count_below_one_is_refused(self) -> None:
        with pytest.raises(ValueError, match="times"):
            FakeProducer().fail_next("flush", RuntimeError, times=0)


class TestTransactions:
    """What is committed, what is not, and what became of offsets."""

    async def test_records_are_visible_once_committed(self) -> None:
        async with FakeProducer(transactional_id="t") as producer:
            async with producer.transaction() as tx:
                await tx.send("orders", b"1")
                await tx.send_offsets({TopicPartition("in", 0): 5}, "group")
                assert [sent.value for sent in producer.uncommitted] == [b"1"]
                assert producer.committed == producer.log("orders", committed=True) == ()
                assert len(producer.log("orders")) == 1
                assert producer.uncommitted_offsets["group"][TopicPartition("in", 0)].offset == 5
                assert producer.committed_offsets == {}
            assert [sent.value for sent in producer.committed] == [b"1"]
            assert len(producer.log("orders", committed=True)) == 1
            assert producer.uncommitted == ()
            assert producer.uncommitted_offsets == {}
            assert producer.committed_offsets == {
                "group": {TopicPartition("in", 0): OffsetAndMetadata(5)}
            }
            assert (producer.commit_count, producer.abort_count) == (1, 0)

    async def test_what_is_aborted_stays_out_of_sight(self) -> None:
        async with FakeProducer(transactional_id="t") as producer:
            with pytest.raises(KeyError):
                async with producer.transaction() as tx:
                    await tx.send("orders", b"1")
                    await tx.send_offsets({TopicPartition("in", 0): 5}, "group")
                    raise KeyError
            assert producer.committed == producer.log("orders", committed=True) == ()
            assert len(producer.log("orders")) == 1
            assert producer.committed_offsets == producer.uncommitted_offsets == {}
            assert (producer.commit_count, producer.abort_count) == (0, 1)

    async def test_an_error_of_a_record_spoils_the_commit(self) -> None:
        async with FakeProducer(transactional_id="t", auto_complete=False) as producer:
            producer.begin_transaction()
            producer.send("orders", b"1")
            producer.error_next(TopicAuthorizationFailedError)
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.commit_transaction()
            assert producer.transaction_state is TransactionState.ABORTABLE_ERROR
            await producer.abort_transaction()
            assert producer.abort_count == 1

    async def test_a_commit_that_fails_has_to_be_aborted(self) -> None:
        async with FakeProducer(transactional_id="t") as producer:
            producer.fail_next("commit_transaction", TopicAuthorizationFailedError)
            with pytest.raises(TopicAuthorizationFailedError):
                async with producer.transaction() as tx:
                    tx.send("orders", b"1")
            assert (producer.commit_count, producer.abort_count) == (0, 1)
            async with producer.transaction() as tx:
                tx.send("orders", b"2")
            assert [sent.value for sent in producer.committed] == [b"2"]

    async def test_a_commit_that_takes_too_long_can_be_repeated(self) -> None:
        async with FakeProducer(transactional_id="t") as producer:
            producer.begin_transaction()
            producer.send("orders", b"1")
            producer.fail_next("commit_transaction", TransactionTimeoutError("too long"))
            with pytest.raises(TransactionTimeoutError):
                await producer.commit_transaction()
            await producer.commit_transaction()
            assert producer.commit_count == 1

    async def test_a_commit_waits_for_the_records(self) -> None:
        async with FakeProducer(transactional_id="t", auto_complete=False) as producer:
            producer.begin_transaction()
            producer.send("orders", b"1")
            commit = asyncio.create_task(producer.commit_transaction())
            await asyncio.sleep(0)
            assert producer.transaction_state is TransactionState.COMMITTING
            producer.complete_all()
            await commit
            assert producer.commit_count == 1

    async def test_who_was_fenced_can_do_nothing_more(self) -> None:
        async with FakeProducer(transactional_id="t") as producer:
            producer.begin_transaction()
            producer.fence_producer()
            with pytest.raises(ProducerFencedError):
                await producer.send_offsets_to_transaction({TopicPartition("in", 0): 5}, "group")
            assert producer.transaction_state is TransactionState.FATAL_ERROR
            assert producer.uncommitted == producer.committed == ()
            for call in (producer.commit_transaction, producer.abort_transaction):
                with pytest.raises(ProducerFencedError):
                    await call()

    async def test_a_lost_transaction_is_never_seen_even_if_it_arrives_late(self) -> None:
        async with FakeProducer(auto_complete=False, transactional_id="id") as producer:
            producer.begin_transaction()
            producer.send("t", b"v")
            producer.fail_next("commit_transaction", ProducerFencedError)
            with pytest.raises(ProducerFencedError):
                await producer.commit_transaction()
            assert producer.complete_all() == 1
            assert [row.transaction for row in producer.log("t")] == [1]
            assert producer.log("t", committed=True) == producer.committed == ()

    async def test_a_fatal_error_that_was_put_there_is_fatal(self) -> None:
        async with FakeProducer(transactional_id="t") as producer:
            producer.begin_transaction()
            producer.fail_next("commit_transaction", ProducerFencedError)
            for _ in range(2):
                with pytest.raises(ProducerFencedError):
                    await producer.commit_transaction()

    async def test_fencing_needs_a_transactional_id(self) -> None:
        async with FakeProducer() as producer:
            with pytest.raises(TransactionStateError):
                producer.fence_producer()

    async def test_an_initialization_that_fails_closes_it(self) -> None:
        producer = FakeProducer(transactional_id="t")
        producer.fail_next("init_transactions", TransactionTimeoutError("nobody answers"))
        with pytest.raises(TransactionTimeoutError):
            await producer.start()
        assert producer.closed
