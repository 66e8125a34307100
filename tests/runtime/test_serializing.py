"""Serializers that answer later: order per partition, a bound on the wait, nothing left behind."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    BufferExhaustedError,
    MetadataTimeoutError,
    PartitionerError,
    PartitionerRecord,
    PartitionList,
    ProducerClosedError,
    Record,
    RecordMetadata,
    RecordTooLargeError,
    SerializationError,
    SerializerNotReadyError,
    SerializerTimeoutError,
    TransactionAbortedError,
    partition_of_key,
)
from aioproducer.serializers import SerializationContext, on_thread
from tests.fake_broker import FakeCluster
from tests.runtime.world import engine_of, now, outcomes, produced, running, values_of, virtual_loop


class Gate:
    """Answers at once, except for values that begin with "slow": when they are let through."""

    def __init__(self) -> None:
        self.passes: dict[str, asyncio.Future[bytes]] = {}
        self.contexts: list[SerializationContext] = []
        self.begun: list[str] = []
        self.cancelled: list[str] = []

    def serialize(self, value: str, context: SerializationContext) -> Any:
        self.contexts.append(context)
        return self._later(value) if value.startswith("slow") else value.encode()

    async def _later(self, value: str) -> bytes:
        self.begun.append(value)
        waiting = self.passes[value] = asyncio.get_running_loop().create_future()
        try:
            return await waiting
        except asyncio.CancelledError:
            self.cancelled.append(value)
            raise

    def open(self, value: str) -> None:
        self.passes[value].set_result(value.encode())

    def fail(self, value: str, error: BaseException) -> None:
        self.passes[value].set_exception(error)


def cluster_of(partitions: int = 2) -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders", partitions)
    cluster.add_topic("other", partitions)
    return cluster


def keys_of(partition: int, count: int = 2) -> list[bytes]:
    return [k for n in range(50) if partition_of_key(k := b"k%d" % n, count) == partition]


class TestOrder:
    """Later sends stand behind a pending one, and no more of them than has to be."""

    async def test_a_pending_value_holds_its_partition_alone(self) -> None:
        cluster, gate = cluster_of(), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            await producer.warm_up(["orders"])
            pending = producer.send("orders", "slow", partition=0)
            behind = producer.send("orders", "b", partition=0)
            beside = producer.send("orders", "c", partition=1)
            await beside
            assert not pending.done()
            assert not behind.done()
            gate.open("slow")
            assert (await pending).offset == 0
            assert (await behind).offset == 1
        assert values_of(cluster, "orders", 0) == [b"slow", b"b"]

    async def test_a_key_that_is_known_tells_the_partition(self) -> None:
        cluster, gate = cluster_of(), Gate()
        same, other = keys_of(0), keys_of(1)
        async with running(cluster, value_serializer=gate) as producer:
            await producer.warm_up(["orders"])
            producer.send("orders", "slow", key=same[0])
            behind = producer.send("orders", "b", key=same[1])
            await producer.send("orders", "c", key=other[0])
            assert not behind.done()
            gate.open("slow")
            await behind
        assert values_of(cluster, "orders", 0) == [b"slow", b"b"]

    async def test_a_pending_key_holds_its_topic_until_it_is_known(self) -> None:
        cluster, keys, values = cluster_of(), Gate(), Gate()
        async with running(cluster, key_serializer=keys, value_serializer=values) as producer:
            await producer.warm_up(["orders", "other"])
            pending = producer.send("orders", "slow", key="slow")
            elsewhere = [producer.send("orders", f"{p}", partition=p) for p in (0, 1)]
            await producer.send("other", "x", key="k")
            assert not any(delivery.done() for delivery in elsewhere)
            keys.open("slow")
            place = partition_of_key(b"slow", 2)
            await elsewhere[1 - place]
            assert not elsewhere[place].done()
            values.open("slow")
            assert (await pending).partition == place
        assert values_of(cluster, "orders", place) == [b"slow", str(place).encode()]

    async def test_a_pending_key_with_its_partition_given_holds_only_that(self) -> None:
        cluster, gate = cluster_of(), Gate()
        async with running(cluster, key_serializer=gate) as producer:
            await producer.warm_up(["orders"])
            pending = producer.send("orders", b"a", key="slow", partition=0)
            await producer.send("orders", b"b", key="k", partition=1)
            gate.open("slow")
            assert (await pending).serialized_key_size == 4
            assert (await pending).serialized_value_size == 1

    async def test_a_record_without_a_key_waits_for_all_before_it(self) -> None:
        """It may go to any partition, and must not overtake there."""
        cluster, gate = cluster_of(), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            await producer.warm_up(["orders"])
            producer.send("orders", "slow", partition=0)
            anywhere = producer.send("orders", "b")
            await asyncio.sleep(1)
            assert not anywhere.done()
            gate.open("slow")
            await anywhere

    async def test_answers_that_come_out_of_turn_go_in_turn(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            names = [f"slow {n}" for n in range(5)]
            sent = [producer.send("orders", name) for name in names]
            await asyncio.sleep(0.1)
            for name in reversed(names):
                gate.open(name)
                await asyncio.sleep(0.1)
            await asyncio.gather(*sent)
        assert values_of(cluster, "orders") == [name.encode() for name in names]

    async def test_a_topic_that_is_not_known_yet_keeps_its_order(self) -> None:
        cluster, gate = cluster_of(), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            sent = [producer.send("later", v, key=b"k") for v in ("a", "slow", "c")]
            await asyncio.sleep(1)
            gate.open("slow")
            await asyncio.sleep(1)
            sent.append(producer.send("later", "d", key=b"k"))
            cluster.add_topic("later")
            await asyncio.gather(*sent)
        assert values_of(cluster, "later") == [b"a", b"slow", b"c", b"d"]

    async def test_a_topic_that_grows_meanwhile_changes_no_place(self) -> None:
        """Sent while there was one partition, it goes to that one, as if it had been bytes."""
        cluster, gate = cluster_of(1), Gate()
        key = keys_of(1)[0]
        async with running(cluster, value_serializer=gate, metadata_max_age_ms=1000) as producer:
            await producer.warm_up(["orders"])
            pending = producer.send("orders", "slow", key=key)
            cluster.add_partition("orders")
            await asyncio.sleep(5)
            assert (await producer.send("orders", "b", key=key)).partition == 1
            gate.open("slow")
            assert (await pending).partition == 0

    async def test_memory_is_given_by_arrival(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, buffer_memory=8000) as producer:
            await producer.warm_up(["orders"])
            first = producer.send("orders", "slow" + "." * 900)
            sent = [producer.send("orders", str(n) * 900) for n in range(4)]
            await asyncio.sleep(0)
            gate.open("slow" + "." * 900)
            await asyncio.gather(first, *sent)
        told = [value[:1] for value in values_of(cluster, "orders") if value]
        assert told == [b"s", b"0", b"1", b"2", b"3"]

    async def test_linger_gathers_what_was_answered_later(self) -> None:
        async def serialize(value: bytes) -> bytes:
            await asyncio.sleep(0)
            return value

        cluster = cluster_of(1)
        async with running(cluster, linger_ms=100, value_serializer=serialize) as producer:
            await producer.warm_up(["orders"])
            sent = []
            for number in range(10):
                sent.append(producer.send("orders", b"%d" % number))
                await asyncio.sleep(0.005)
            await asyncio.gather(*sent)
            words = [step.words for step in sent[0].explain().steps]
            assert words[:3] == [
                "accepted; waited for a serializer",
                "appended to a batch",
                "batch sealed: linger.ms had passed",
            ]
            assert producer.metrics().batch_sealed_memory_total == 0
        assert [len(batch) for batch in produced(cluster.brokers[1])] == [10]

    async def test_a_record_that_waits_for_nobody_is_appended_at_once(self) -> None:
        """Only its topic is held up, by a record for another partition."""
        gate = Gate()
        cluster = cluster_of()
        async with running(cluster, linger_ms=100, value_serializer=gate) as producer:
            await producer.warm_up(["orders"])
            slow = producer.send("orders", "slow", partition=0)
            lingering = producer.send("orders", "a", partition=1)
            expedited = asyncio.create_task(producer.send_and_wait("orders", "b", partition=1))
            assert [step.what for step in lingering.explain().steps] == ["accepted", "appended"]
            assert producer.metrics().waiting_records == 1
            assert (await expedited).offset == 1
            assert lingering.explain().steps[2].words.endswith("send_many() asked for it")
            gate.open("slow")
            await slow
            assert producer.metrics().batch_sealed_memory_total == 0

    async def test_an_own_partitioner_that_fails_then_fails_that_record_alone(self) -> None:
        class Picky:
            def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
                return {b"0": 0, b"1": 1}[record.key_bytes or b""]

        gate = Gate()
        options = {"value_serializer": gate, "partitioner": Picky()}
        async with running(cluster_of(), **options) as producer:
            await producer.warm_up(["orders"])
            slow = producer.send("orders", "slow", key=b"0")
            await asyncio.sleep(0)
            slow.cancel()
            # The topic is held up until the turn is over.
            failed = producer.send("orders", "a", key=b"2")
            sent = producer.send("orders", "b", key=b"1")
            assert isinstance(failed.exception(), PartitionerError)
            assert producer.metrics().waiting_records == 0
            assert (await sent).partition == 1

    async def test_afterwards_the_short_way_is_free_again(self) -> None:
        cluster, gate = cluster_of(), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            await producer.warm_up(["orders"])
            pending = producer.send("orders", "slow", partition=0)
            await asyncio.sleep(0)
            gate.open("slow")
            await pending
            assert not engine_of(producer).intake._topics["orders"].blocked


class TestWaiting:
    """A record waits for at most max.block.ms, and the error says for what."""

    async def test_it_ends_with_max_block_and_lets_the_others_go(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, max_block_ms=2000) as producer:
            started = now()
            pending = producer.send("orders", "slow")
            await asyncio.sleep(1)
            behind = producer.send("orders", "b")
            with pytest.raises(SerializerTimeoutError, match="within 2000 ms") as caught:
                await pending
            assert now() - started == pytest.approx(2.0, abs=0.01)
            assert (caught.value.retriable, caught.value.persisted) == (True, "no")
            assert isinstance(caught.value, SerializationError)
            assert (await behind).offset == 0
            assert now() - started < 2.1
        assert gate.cancelled == ["slow"]

    async def test_the_time_counts_from_send_also_for_metadata(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, max_block_ms=3000) as producer:
            started = now()
            pending = producer.send("never", "slow")
            await asyncio.sleep(2)
            gate.open("slow")
            with pytest.raises(MetadataTimeoutError):
                await pending
            assert now() - started == pytest.approx(3.0, abs=0.01)

    async def test_the_cause_is_what_the_serializer_says(self) -> None:
        class Troubled:
            def serialize(self, value: str, context: SerializationContext) -> Any:
                context.trouble = lambda: OSError("nobody listens at registry:8081")
                return asyncio.get_running_loop().create_future()

        async with running(cluster_of(), value_serializer=Troubled(), max_block_ms=500) as producer:
            with pytest.raises(SerializerTimeoutError, match="registry:8081") as caught:
                await producer.send("orders", "v")
            assert isinstance(caught.value.__cause__, OSError)

    async def test_a_send_with_a_timeout_of_its_own_gives_up_earlier(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            pending = producer.send("orders", "slow", timeout=0.5)
            behind = producer.send("orders", "b")
            with pytest.raises(TimeoutError, match="still waiting for a serializer"):
                await pending
            await behind
        assert values_of(cluster, "orders") == [b"b"]
        assert gate.cancelled == ["slow"]

    async def test_a_send_many_tells_what_is_not_serialized(self) -> None:
        class Troubled:
            def serialize(self, value: str, context: SerializationContext) -> Any:
                context.trouble = lambda: OSError("nobody listens at registry:8081")
                return asyncio.get_running_loop().create_future()

        async with running(cluster_of(), value_serializer=Troubled()) as producer:
            ((_, error),) = (await producer.send_many([Record("orders", "v")], timeout=1)).failures
            words = "still waiting for a serializer; last error: nobody listens at registry:8081"
            assert words in str(error)

    async def test_who_may_not_wait_is_refused(self) -> None:
        cluster, gate = cluster_of(), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            await producer.warm_up(["orders"])
            with pytest.raises(SerializerNotReadyError):
                producer.try_send("orders", "slow")
            pending = producer.send("orders", "slow", partition=0)
            with pytest.raises(SerializerNotReadyError, match="earlier"):
                producer.try_send("orders", "b", partition=0)
            beside = producer.try_send("orders", "b", partition=1)
            await asyncio.sleep(0)
            gate.open("slow")
            await asyncio.gather(pending, beside)
        assert gate.begun == ["slow"]

    async def test_a_key_s_partition_cannot_be_told_before_its_bytes(self) -> None:
        cluster, gate = cluster_of(), Gate()
        async with running(cluster, key_serializer=gate) as producer:
            await producer.warm_up(["orders"])
            with pytest.raises(SerializerNotReadyError):
                producer.partition_for("orders", "slow")
            assert producer.partition_for("orders", "k") == partition_of_key(b"k", 2)

    async def test_what_waits_is_bounded(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, buffer_memory=10_000) as producer:
            sent = [producer.send("orders", f"slow {n}") for n in range(5)]
            budget = engine_of(producer).budget
            assert 0 < budget.waiting <= 10_000
            told = [type(each.exception()) for each in sent if each.done()]
            assert told == [BufferExhaustedError] * len(told)
            assert 0 < len(told) < 5
            await asyncio.sleep(0)
            for name in list(gate.passes):
                gate.open(name)
            await outcomes(sent)

    async def test_drain_holds_the_sender_back(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, buffer_memory=10_000) as producer:
            sent = [producer.send("orders", f"slow {n}") for n in range(2)]
            draining = asyncio.ensure_future(producer.drain())
            await asyncio.sleep(1)
            assert not draining.done()
            for name in list(gate.passes):
                gate.open(name)
            await draining
            await asyncio.gather(*sent)


class TestFailures:
    """What goes wrong in one record's serializer is that record's alone."""

    async def test_an_error_fails_its_record_and_no_other(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            pending = producer.send("orders", "slow")
            behind = producer.send("orders", "b")
            await asyncio.sleep(0)
            gate.fail("slow", KeyError("a secret"))
            with pytest.raises(SerializationError, match="KeyError") as caught:
                await pending
            assert isinstance(caught.value.__cause__, KeyError)
            assert "secret" not in str(caught.value)
            assert caught.value.topic == "orders"
            await behind

    async def test_an_answer_that_is_no_bytes_is_told(self) -> None:
        async def text(value: str) -> str:
            return value

        producer: AsyncProducer[Any, Any]
        async with running(cluster_of(), value_serializer=text) as producer:
            with pytest.raises(SerializationError, match="str instead of bytes"):
                await producer.send("orders", "v")

    async def test_one_that_turns_out_too_large_is_refused(self) -> None:
        async def large(value: str) -> bytes:
            return b"." * 2000

        async with running(cluster_of(), value_serializer=large, max_request_size=1000) as producer:
            with pytest.raises(RecordTooLargeError, match=r"max\.request\.size is 1000"):
                await producer.send("orders", "v")

    async def test_one_that_is_cancelled_from_within_fails_alone(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            pending = producer.send("orders", "slow")
            await asyncio.sleep(0)
            gate.passes["slow"].cancel()
            with pytest.raises(SerializationError, match="was cancelled"):
                await pending
            await producer.send("orders", "b")

    async def test_a_value_that_fails_at_once_lets_its_pending_key_go(self) -> None:
        def fall_over(value: str) -> bytes:
            raise KeyError("field")

        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, key_serializer=gate, value_serializer=fall_over) as producer:
            with pytest.raises(SerializationError):
                await producer.send("orders", "v", key="slow")
        assert gate.begun == []

    async def test_a_value_of_the_wrong_type_is_misuse_whatever_the_key_does(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, key_serializer=gate) as producer:
            with pytest.raises(TypeError, match="value must be bytes"):
                producer.send("orders", 5, key="slow")

    async def test_null_may_be_answered_later(self) -> None:
        async def tombstone(value: str) -> None:
            return None

        cluster = cluster_of(1)
        async with running(cluster, value_serializer=tombstone) as producer:
            metadata = await producer.send("orders", "v", key=b"k")
            assert metadata.serialized_value_size == -1
        assert values_of(cluster, "orders") == [None]


class TestCancelling:
    """Nothing is left of a record that is withdrawn."""

    async def test_a_record_behind_its_serializer_is_withdrawn(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            pending = producer.send("orders", "slow")
            behind = producer.send("orders", "b")
            last = producer.send("orders", "c")
            await asyncio.sleep(0)
            behind.cancel()
            pending.cancel()
            await last
            assert engine_of(producer).budget.waiting == 0
        assert values_of(cluster, "orders") == [b"c"]
        assert gate.cancelled == ["slow"]

    async def test_before_its_task_began_as_well(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            producer.send("orders", "slow").cancel()
            await producer.send("orders", "b")
        assert gate.begun == []

    async def test_a_serializer_that_will_not_be_cancelled_harms_nobody(self) -> None:
        stubborn = asyncio.Event()

        async def stay(value: str) -> bytes:
            if value == "stay":
                try:
                    await stubborn.wait()
                except asyncio.CancelledError:
                    return b"too late"
            return value.encode()

        cluster = cluster_of(1)
        async with running(cluster, value_serializer=stay) as producer:
            pending = producer.send("orders", "stay")
            await asyncio.sleep(0)
            pending.cancel()
            await producer.send("orders", "b")
        assert values_of(cluster, "orders") == [b"b"]


class TestEnd:
    """flush() and close() wait for it, within their time."""

    async def test_flush_waits_for_what_is_pending_and_behind(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, linger_ms=60_000) as producer:
            sent = [producer.send("orders", value) for value in ("slow", "b")]
            virtual_loop().call_later(3, gate.open, "slow")
            await asyncio.sleep(0)
            started = now()
            await producer.flush()
            assert now() - started == pytest.approx(3, abs=0.1)
            assert all(delivery.done() for delivery in sent)

    async def test_close_delivers_what_is_pending(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            sent = [producer.send("orders", value) for value in ("slow", "b")]
            await asyncio.sleep(0)
            virtual_loop().call_later(3, gate.open, "slow")
            report = await producer.close()
            assert report.topics["orders"].delivered == 2
            assert [delivery.result().offset for delivery in sent] == [0, 1]

    async def test_close_without_time_fails_it(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate) as producer:
            sent = [producer.send("orders", value) for value in ("slow", "slow 2", "b")]
            await asyncio.sleep(0)
            report = await producer.close(0)
            assert report.topics["orders"].abandoned == 3
            for failure in await outcomes(sent):
                assert isinstance(failure, ProducerClosedError)
        assert gate.cancelled == ["slow", "slow 2"]
        assert values_of(cluster, "orders") == []


class TestTransactions:
    """What is pending belongs to the transaction it was sent in."""

    async def test_a_commit_waits_for_it(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, transactional_id="me") as producer:
            async with producer.transaction() as tx:
                pending = tx.send("orders", "slow")
                behind = tx.send("orders", "b")
                await asyncio.sleep(0)
                virtual_loop().call_later(3, gate.open, "slow")
            assert (pending.result().offset, behind.result().offset) == (0, 1)

    async def test_an_abort_gives_it_up(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, transactional_id="me") as producer:
            producer.begin_transaction()
            pending = producer.send("orders", "slow")
            await asyncio.sleep(0.5)
            await producer.abort_transaction()
            with pytest.raises(TransactionAbortedError):
                await pending
            producer.begin_transaction()
            await producer.send("orders", "b")
            await producer.commit_transaction()
        assert gate.cancelled == ["slow"]

    async def test_its_failure_fails_the_transaction(self) -> None:
        cluster, gate = cluster_of(1), Gate()
        async with running(cluster, value_serializer=gate, transactional_id="me") as producer:
            with pytest.raises(SerializationError, match="KeyError"):
                async with producer.transaction() as tx:
                    tx.send("orders", "slow")
                    await asyncio.sleep(0)
                    gate.fail("slow", KeyError("field"))


class TestHeaders:
    """A serializer may add headers, at once or later."""

    @pytest.mark.parametrize("later", [False, True])
    async def test_they_follow_the_record_s_own(self, later: bool) -> None:
        class Tagging:
            def serialize(self, value: bytes, context: SerializationContext) -> Any:
                if later:
                    return self._later(value, context)
                context.add_header(f"{context.field}-schema", b"7")
                return value

            async def _later(self, value: bytes, context: SerializationContext) -> bytes:
                await asyncio.sleep(1)
                context.add_header(f"{context.field}-schema", b"7")
                return value

        cluster = cluster_of(1)
        options: dict[str, Any] = {"key_serializer": Tagging(), "value_serializer": Tagging()}
        async with running(cluster, **options) as producer:
            await producer.send("orders", b"v", key=b"k", headers=[("own", b"1")])
            await producer.send("orders", b"v")
        records = cluster.topics["orders"].partitions[0].records
        assert [list(record.headers) for record in records] == [
            [("own", b"1"), ("key-schema", b"7"), ("value-schema", b"7")],
            [("value-schema", b"7")],
        ]

    @pytest.mark.parametrize("later", [False, True])
    async def test_what_is_none_fails_its_record_alone(self, later: bool) -> None:
        class Tagging:
            def serialize(self, value: bytes, context: SerializationContext) -> Any:
                if later:
                    return self._later(value, context)
                return self._tagged(value, context)

            async def _later(self, value: bytes, context: SerializationContext) -> bytes:
                return self._tagged(value, context)

            def _tagged(self, value: bytes, context: SerializationContext) -> bytes:
                tag: Any = value if value == b"good" else value.decode()
                context.add_header("schema", tag)
                return value

        cluster = cluster_of(1)
        async with running(cluster, value_serializer=Tagging()) as producer:
            await producer.warm_up(["orders"])
            words = "header 'schema' must be bytes or None, not str"
            for _ in range(2):
                with pytest.raises(SerializationError, match=words):
                    await producer.send("orders", b"bad")
                await producer.send("orders", b"good")
        assert values_of(cluster, "orders") == [b"good", b"good"]


class TestThreads:
    """A slow serializer may be given a thread."""

    async def test_it_runs_beside_the_loop_and_keeps_the_order(self) -> None:
        def slow(value: int) -> bytes:
            if value < 0:
                raise ValueError("negative")
            return b"%d" % value

        cluster = cluster_of(1)
        async with running(cluster, value_serializer=on_thread(slow)) as producer:
            sent = [producer.send("orders", value) for value in range(20)]
            assert not any(delivery.done() for delivery in sent)
            with pytest.raises(SerializationError, match="ValueError"):
                await producer.send("orders", -1)
            await asyncio.gather(*sent)
        assert values_of(cluster, "orders") == [b"%d" % value for value in range(20)]

    async def test_an_object_is_told_its_context(self) -> None:
        gate = Gate()
        async with running(cluster_of(), value_serializer=on_thread(gate)) as producer:
            await producer.send("orders", "v")
        assert [(c.topic, c.field) for c in gate.contexts] == [("orders", "value")]


class TestWhateverHappens:
    """Random sends, delays, failures and cancellations: every partition has the order of sends."""

    @pytest.mark.parametrize("seed", range(12))
    async def test_the_order_of_sends_is_the_order_of_the_log(self, seed: int) -> None:
        rng = random.Random(seed)

        async def later(part: str, delay: float) -> bytes:
            await asyncio.sleep(delay)
            if "bad" in part:
                raise ValueError(part)
            return part.encode()

        def serialize(part: str) -> Any:
            return part.encode() if rng.random() < 0.5 else later(part, rng.random())

        cluster = cluster_of(3)
        options: dict[str, Any] = {"key_serializer": serialize, "value_serializer": serialize}
        options["buffer_memory"] = rng.choice([30_000, 1_000_000])
        options["linger_ms"] = rng.choice([0, 20])
        async with running(cluster, **options) as producer:
            if rng.random() < 0.5:
                await producer.warm_up(["orders"])
            sent: list[Any] = []
            bad: set[int] = set()
            for number in range(200):
                value = f"{number} {'.' * 100}"
                if rng.random() < 0.05:
                    value = f"{number} bad"
                    bad.add(number)
                key = rng.choice([None, "a", "b", "c", "d"])
                partition = rng.choice([None, None, 0, 1, 2])
                sent.append(producer.send("orders", value, key=key, partition=partition))
                if rng.random() < 0.1:
                    rng.choice(sent).cancel()
                if rng.random() < 0.2:
                    await asyncio.sleep(rng.random() / 10)
                await producer.drain()
            await producer.flush()
            told = await outcomes(sent)
        judge(told, bad, [values_of(cluster, "orders", partition) for partition in range(3)])


def judge(told: list[Any], bad: set[int], logs: list[list[bytes | None]]) -> None:
    """Hold what became of each record against the logs: in order, once, nothing lost."""
    numbers = [[int((value or b"").split()[0]) for value in log] for log in logs]
    assert all(log == sorted(log) for log in numbers)
    arrived = [number for log in numbers for number in log]
    assert len(arrived) == len(set(arrived))
    for number, each in enumerate(told):
        if isinstance(each, SerializationError):
            assert number in bad
            assert number not in arrived
        elif isinstance(each, RecordMetadata):
            assert number in arrived
        else:
            # Withdrawn, or no more waited for; nothing else is lost.
            assert isinstance(each, asyncio.CancelledError)


async def test_a_record_that_was_never_serialized_is_told_as_it_was_sent() -> None:
    """Whoever reads failures() wants the value, and there are no bytes of it."""
    cluster, gate = cluster_of(1), Gate()
    async with running(cluster, value_serializer=gate, max_block_ms=500) as producer:
        reader = producer.failures()
        producer.send("orders", "slow", key=b"k")
        producer.send("orders", "b", key=b"k", partition=7)
        first = await anext(reader)
        second = await anext(reader)
    assert (first.record.value, first.record.key) == ("slow", b"k")
    assert second.record.value == b"b"


async def test_one_may_wait_however_small_the_memory_is() -> None:
    cluster, gate = cluster_of(1), Gate()
    async with running(cluster, value_serializer=gate, buffer_memory=600) as producer:
        pending = producer.send("orders", "slow")
        refused = producer.send("orders", "b")
        assert isinstance(refused.exception(), BufferExhaustedError)
        await asyncio.sleep(0)
        gate.open("slow")
        await pending
