"""AsyncProducer itself: states, misuse, arguments. Everything that needs no broker."""

from __future__ import annotations

import asyncio
import gc
import threading
import typing
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    ConfigurationError,
    Delivery,
    DeliveryTimeoutError,
    LifeState,
    NotStartedError,
    ProducerClosedError,
    ProducerStateError,
    Record,
    RecordMetadata,
    SerializationError,
    WrongLoopError,
)
from aioproducer.errors import ProducerTimeoutError
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import now, outcomes, running
from tests.virtual_clock import VirtualClockLoop


def run(main: Coroutine[Any, Any, None], *, debug: bool = True) -> VirtualClockLoop:
    """Run ``main`` in virtual time; nothing may be left, nobody may have complained."""
    with asyncio.Runner(loop_factory=VirtualClockLoop, debug=debug) as runner:
        runner.run(main)
        loop = runner.get_loop()
        assert isinstance(loop, VirtualClockLoop)
        assert not loop.pending_timers()
    gc.collect()
    assert loop.reported == []
    return loop


def cluster_of(*topics: str) -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    for name in topics or ("orders",):
        cluster.add_topic(name, 2)
    return cluster


class TestStates:
    """new, running, closing, closed."""

    def test_before_start(self) -> None:
        producer = AsyncProducer("localhost:9092")
        assert producer.state is LifeState.NEW

        async def main() -> None:
            with pytest.raises(NotStartedError):
                producer.send("orders", b"v")
            for call in (producer.flush, producer.drain):
                with pytest.raises(NotStartedError):
                    await call()
            with pytest.raises(NotStartedError):
                await producer.partitions_for("orders")

        run(main())

    def test_construction_needs_no_loop_and_binds_none(self) -> None:
        producer = AsyncProducer("localhost:9092")
        assert "not started" in repr(producer)

    def test_after_close(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                await producer.send("orders", b"v")
            assert producer.state is LifeState.CLOSED
            with pytest.raises(ProducerClosedError):
                producer.send("orders", b"v")
            with pytest.raises(ProducerClosedError):
                await producer.flush()
            with pytest.raises(ProducerStateError):
                await producer.start()

        run(main())

    def test_while_closing(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster) as producer:
                await producer.warm_up(["orders"])
                cluster.brokers[1].script.append(Conduct(delay=1))
                delivery = producer.send("orders", b"v")
                closing = asyncio.create_task(producer.close())
                await asyncio.sleep(0.1)
                assert producer.state is LifeState.CLOSING
                with pytest.raises(ProducerClosedError):
                    producer.send("orders", b"w")
                await closing
                assert delivery.result().offset == 0

        run(main())

    def test_starting_twice_is_refused(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                with pytest.raises(ProducerStateError):
                    await producer.start()
                assert producer.state is LifeState.RUNNING

        run(main())

    def test_closing_what_was_never_started(self) -> None:
        async def main() -> None:
            producer = AsyncProducer("localhost:9092")
            report = await producer.close()
            assert (report.delivered, report.failed) == (0, 0)
            assert producer.state is LifeState.CLOSED

        run(main())

    def test_one_that_was_forgotten_warns_and_names_itself(self) -> None:
        async def main() -> None:
            producer = AsyncProducer("broker-1:9092", client_id="forgotten")
            cluster = cluster_of()
            asyncio.get_running_loop().network = cluster  # type: ignore[attr-defined]
            await producer.start()
            cluster.brokers[1].script.append(Conduct(delay=1))
            delivery = producer.send("orders", b"v")
            # What others have left is not collected in the middle of it.
            gc.collect()
            with pytest.warns(ResourceWarning, match="forgotten") as told:
                del producer
                gc.collect()
            assert len(told) == 1
            # It closes itself: what was sent is delivered, and nothing is left behind.
            assert (await delivery).offset == 0
            await asyncio.sleep(1)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not cluster.open_sessions

        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            runner.run(main())


class TestWrongLoop:
    """Another loop, a thread: told clearly, and nothing happens."""

    def test_another_loop(self) -> None:
        caught: list[BaseException] = []

        def elsewhere(producer: AsyncProducer[Any, Any]) -> None:
            async def use() -> None:
                for call in (lambda: producer.send("orders", b"v"), lambda: producer.try_send("t")):
                    try:
                        call()
                    except WrongLoopError as error:
                        caught.append(error)
                for wait in (producer.flush, producer.drain, producer.close):
                    try:
                        await wait()  # type: ignore[operator]
                    except WrongLoopError as error:
                        caught.append(error)

            asyncio.run(use())

        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:

            async def start() -> AsyncProducer[Any, Any]:
                loop = asyncio.get_running_loop()
                loop.network = cluster_of()  # type: ignore[attr-defined]
                producer: AsyncProducer[Any, Any] = AsyncProducer("broker-1:9092")
                await producer.start()
                return producer

            producer = runner.run(start())
            thread = threading.Thread(target=elsewhere, args=(producer,))
            thread.start()
            thread.join()

            async def close() -> None:
                await producer.close()

            runner.run(close())
        assert [type(error) for error in caught] == [WrongLoopError] * 5

    def test_no_loop_at_all(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                caught: list[BaseException] = []

                def use() -> None:
                    try:
                        producer.send("orders", b"v")
                    except WrongLoopError as error:
                        caught.append(error)

                thread = threading.Thread(target=use)
                thread.start()
                thread.join()
                assert len(caught) == 1

        run(main())


class TestArguments:
    """Misuse raises at once and leaves no trace; what is about the value comes in the Delivery."""

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"topic": ""}, ValueError),
            ({"topic": None}, TypeError),
            ({"topic": "a/b"}, ValueError),
            ({"topic": "orders", "partition": -1}, ValueError),
            ({"topic": "orders", "partition": "0"}, TypeError),
            ({"topic": "orders", "timestamp_ms": -5}, ValueError),
            ({"topic": "orders", "headers": [("a", "text")]}, TypeError),
            ({"topic": "orders", "headers": 5}, TypeError),
            ({"topic": "orders", "headers": [("\ud800", b"")]}, ValueError),
            ({"topic": "orders", "value": "text"}, TypeError),
            ({"topic": "orders", "value": 5}, TypeError),
            ({"topic": "orders", "key": "text"}, TypeError),
            ({"topic": "orders", "timeout": -1}, ValueError),
            ({"topic": "orders", "timeout": "5"}, TypeError),
        ],
    )
    def test_misuse(self, arguments: dict[str, Any], error: type[Exception]) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                await producer.warm_up(["orders"])
                with pytest.raises(error):
                    producer.send(**arguments)
                metrics = producer.metrics()
                assert metrics.buffer_available_bytes == metrics.buffer_total_bytes
                assert metrics.waiting_records == 0
                assert (await producer.send("orders", b"fine", partition=0)).offset == 0

        run(main())

    def test_a_name_to_warm_up_is_one_topic(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                await producer.warm_up("orders")
                assert producer.known_partitions("orders")
                assert not producer.known_partitions("o")

        run(main())

    def test_no_key_has_no_partition(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                await producer.warm_up(["orders"])
                with pytest.raises(ValueError, match="null key has no partition"):
                    producer.partition_for("orders", None)  # type: ignore[arg-type]

        run(main())

    def test_a_serializer_that_raises_fails_its_record_alone(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster, value_serializer="json") as producer:
                bad, good = await outcomes(
                    [producer.send("orders", {1, 2}), producer.send("orders", [1], partition=0)]
                )
                assert isinstance(bad, SerializationError)
                assert (bad.topic, bad.persisted) == ("orders", "no")
                assert isinstance(good, RecordMetadata)
            assert cluster.topics["orders"].partitions[0].values == [b"[1]"]

        run(main())

    def test_keys_are_serialized_too(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            options = {"key_serializer": "string", "value_serializer": lambda v: v.upper()}
            async with running(cluster, **options) as producer:
                await producer.send("orders", b"value", key="ö", partition=0)
                await producer.send("orders", None, key=None, partition=0)
            first, second = cluster.topics["orders"].partitions[0].records
            assert (first.key, first.value) == ("ö".encode(), b"VALUE")
            assert (second.key, second.value) == (None, None)

        run(main())

    @pytest.mark.parametrize(
        "options",
        [
            {"key_serializer": 5},
            {"value_serializer": "avrö"},
            {"partitioner": "nobody"},
            {"compression_type": "brotli"},
            {"linger_ms": -1},
            {"no_such_key": 1},
        ],
    )
    def test_a_wrong_configuration_is_told_when_it_is_made(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            AsyncProducer("localhost:9092", **options)

    def test_client_ids_are_given_or_numbered(self) -> None:
        assert AsyncProducer("localhost:9092", client_id="mine").client_id == "mine"
        first, second = AsyncProducer("localhost:9092"), AsyncProducer("localhost:9092")
        assert first.client_id != second.client_id
        assert first.client_id.startswith("producer-")


class TestSendMany:
    """Many records, one awaitable, an outcome for each."""

    def test_outcomes_stand_in_the_order_given(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster, linger_ms=10_000) as producer:
                records = [Record("orders", b"%d" % n, partition=n % 2) for n in range(10)]
                started = now()
                result = await producer.send_many(records)
                assert now() - started < 1
                assert [m.offset for m in result if isinstance(m, RecordMetadata)] == [
                    n // 2 for n in range(10)
                ]
                result.raise_for_failures()

        run(main())

    def test_a_bad_record_fails_alone(self) -> None:
        async def main() -> None:
            async with running(cluster_of(), max_block_ms=500) as producer:
                records: list[Any] = [
                    Record("orders", b"fine"),
                    Record("a/b", b"bad topic"),
                    Record("orders", "text"),
                    Record("never", b"unknown"),
                    "no record",
                    Record("orders", b"fine, too"),
                ]
                result = await producer.send_many(records)
                assert [position for position, _ in result.failures] == [1, 2, 3, 4]
                assert "it is no Record but a str" in str(result[4])
                assert isinstance(result[0], RecordMetadata)
                assert isinstance(result[5], RecordMetadata)

        run(main())

    def test_it_reads_lazily_with_back_pressure(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster, buffer_memory=3000, linger_ms=5) as producer:
                await producer.warm_up(["orders"])
                ahead = 0

                async def source() -> AsyncIterator[Record[bytes, bytes]]:
                    nonlocal ahead
                    for number in range(200):
                        metrics = producer.metrics()
                        held = metrics.buffer_total_bytes - metrics.buffer_available_bytes
                        ahead = max(ahead, held)
                        yield Record("orders", b"%03d" % number + b"." * 97, partition=0)

                result = await producer.send_many(source())
                assert not result.failures
                assert ahead <= 3000
            values = cluster.topics["orders"].partitions[0].values
            assert [int((value or b"")[:3]) for value in values] == list(range(200))

        run(main())

    def test_after_its_timeout_what_is_open_counts_as_failed(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster) as producer:
                await producer.warm_up(["orders"])
                cluster.brokers[1].script.append(Conduct(delay=5))
                records = [Record("orders", b"v", partition=0), Record("never", b"w")]
                started = now()
                result = await producer.send_many(records, timeout=1)
                assert now() - started == pytest.approx(1)
                first, second = result
                assert isinstance(first, DeliveryTimeoutError)
                assert isinstance(second, DeliveryTimeoutError)
                assert (first.persisted, second.persisted) == ("maybe", "no")
                await producer.flush()
                await asyncio.sleep(10)
            assert cluster.topics["orders"].partitions[0].values == [b"v"]

        run(main())

    def test_cancelling_withdraws_what_still_waits(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster) as producer:
                await producer.warm_up(["orders"])
                records = [Record("never", b"v"), Record("orders", b"w", partition=0)]
                sending = asyncio.create_task(producer.send_many(records))
                await asyncio.sleep(1)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                assert producer.metrics().waiting_records == 0
            assert cluster.topics["orders"].partitions[0].values == [b"w"]

        run(main())

    def test_an_error_of_the_source_comes_out(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:

                async def source() -> AsyncIterator[Record[bytes, bytes]]:
                    yield Record("orders", b"v")
                    raise TimeoutError("the source's own")

                with pytest.raises(TimeoutError, match="the source's own"):
                    await producer.send_many(source(), timeout=100)
                await producer.flush()

        run(main())

    def test_nothing_to_send_is_fine(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                assert len(await producer.send_many([])) == 0

        run(main())


class TestCancelling:
    """One test for each sentence about cancellation."""

    def test_send_and_wait_in_a_batch_is_delivered_all_the_same(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster) as producer:
                await producer.warm_up(["orders"])
                waiting = asyncio.create_task(producer.send_and_wait("orders", b"v", partition=0))
                await asyncio.sleep(0.001)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            assert cluster.topics["orders"].partitions[0].values == [b"v"]

        run(main())

    def test_send_and_wait_in_the_waiting_room_withdraws_the_record(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster) as producer:
                waiting = asyncio.create_task(producer.send_and_wait("later", b"v"))
                await asyncio.sleep(1)
                waiting.cancel()
                await asyncio.wait([waiting])
                cluster.add_topic("later")
                await asyncio.sleep(10)
            assert cluster.topics["later"].partitions[0].values == []

        run(main())

    def test_drain_abandons_the_wait_only(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster, buffer_memory=1000) as producer:
                await producer.warm_up(["orders"])
                cluster.brokers[1].script.append(Conduct(delay=2))
                sent = [producer.send("orders", b"." * 100, partition=0) for _ in range(5)]
                draining = asyncio.create_task(producer.drain())
                await asyncio.sleep(1)
                draining.cancel()
                await asyncio.wait([draining])
                assert len(await asyncio.gather(*sent)) == 5

        run(main())

    def test_drain_says_when_there_is_no_room_in_time(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster, buffer_memory=1000) as producer:
                await producer.warm_up(["orders"])
                cluster.brokers[1].script.append(Conduct(delay=5))
                sent = [producer.send("orders", b"." * 100, partition=0) for _ in range(5)]
                with pytest.raises(ProducerTimeoutError):
                    await producer.drain(timeout=1)
                await asyncio.gather(*sent)

        run(main())

    def test_a_task_group_that_fails_leaves_the_producer_well(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster) as producer:
                await producer.warm_up(["orders"])

                async def fall_over() -> None:
                    await asyncio.sleep(0.001)
                    raise ZeroDivisionError

                with pytest.raises(ExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        for _ in range(3):
                            group.create_task(producer.send_and_wait("orders", b"v", partition=0))
                        group.create_task(fall_over())
                assert (await producer.send("orders", b"w", partition=0)).offset == 3

        run(main())

    def test_leaving_the_context_while_being_cancelled_still_closes(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            producers: list[AsyncProducer[Any, Any]] = []

            async def body() -> None:
                loop = asyncio.get_running_loop()
                loop.network = cluster  # type: ignore[attr-defined]
                async with AsyncProducer(cluster.bootstrap) as producer:
                    producers.append(producer)
                    producer.send("orders", b"v", partition=0)
                    await asyncio.sleep(10**6)

            task = asyncio.create_task(body())
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert producers[0].state is LifeState.CLOSED
            assert cluster.topics["orders"].partitions[0].values == [b"v"]
            await asyncio.sleep(1)

        run(main())


class TestUnusualCallers:
    """What a compiled class must not fall over."""

    def test_send_called_without_a_producer_is_refused(self) -> None:
        for stranger in (None, object()):
            with pytest.raises(TypeError, match="needs a producer"):
                AsyncProducer.send(stranger, "orders", b"v")  # type: ignore[arg-type]

    def test_nobody_makes_a_delivery_but_send(self) -> None:
        with pytest.raises(TypeError, match="made by send"):
            Delivery()
        with pytest.raises(AttributeError):
            assert Delivery.__new__(Delivery).topic

    def test_the_types_of_send_can_be_asked_for(self) -> None:
        assert typing.get_type_hints(AsyncProducer.send)["return"] is Delivery

    async def test_a_producer_s_class_may_have_no_hash(self) -> None:
        class Equal(AsyncProducer[bytes, bytes]):
            def __eq__(self, other: object) -> bool:
                return True

            __hash__ = None  # type: ignore[assignment]

        producer = Equal("127.0.0.1:1")
        await producer.start()
        await producer.close(0)


class TestForWrappers:
    """What stands in front of a producer asks these."""

    def test_known_partitions_are_told_at_once_and_none_while_there_are_none(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                assert producer.known_partitions("orders") == ()
                waited_for = await producer.partitions_for("orders")
                assert producer.known_partitions("orders") == waited_for
                assert len(waited_for) == 2

        run(main())

    def test_expediting_lets_nothing_linger(self) -> None:
        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster, linger_ms=60_000) as producer:
                await producer.warm_up(["orders"])
                delivery = producer.send("orders", b"v", partition=0)
                started = now()
                producer.expedite()
                await delivery
                assert now() - started < 1

        run(main())

    def test_serializing_gives_what_would_be_sent(self) -> None:
        class WithHeader:
            def serialize(self, value: str, context: Any) -> bytes:
                context.add_header("form", b"upper")
                return value.upper().encode()

        async def later(key: int) -> bytes:
            await asyncio.sleep(1)
            return b"%d" % key

        async def main() -> None:
            options: Any = {"key_serializer": later, "value_serializer": WithHeader()}
            async with running(cluster_of(), **options) as producer:
                record = await producer.serialize("orders", "v", key=7, headers=[("a", None)])
                headers = (("a", None), ("form", b"upper"))
                assert record == Record("orders", b"V", b"7", headers=headers)
                with pytest.raises(SerializationError):
                    await producer.serialize("orders", 3, key=1)  # has no upper()
                assert await producer.serialize("orders") == Record("orders")

        run(main())

    def test_serializing_plain_bytes_needs_no_start(self) -> None:
        async def main() -> None:
            producer = AsyncProducer("localhost:9092")
            given = await producer.serialize("orders", bytearray(b"v"), key=b"k")  # type: ignore[arg-type]
            assert given == Record("orders", b"v", b"k")

        run(main())

    def test_cancelling_a_serialization_cancels_the_serializers(self) -> None:
        cancelled = []

        async def never(value: str) -> bytes:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append(value)
                raise
            return b""

        async def main() -> None:
            options: Any = {"key_serializer": never, "value_serializer": never}
            async with running(cluster_of(), **options) as producer:
                serializing = asyncio.create_task(producer.serialize("orders", "v", key="k"))
                await asyncio.sleep(1)
                serializing.cancel()
                await asyncio.wait([serializing])
                assert serializing.cancelled()
            # The value's was not begun: nobody is warned of it.
            assert cancelled == ["k"]

        run(main())
