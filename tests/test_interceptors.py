"""Interceptors: they see every record once on its way out and once at its end, and harm none."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    ConfigurationError,
    Interceptor,
    LifeState,
    ProducerError,
    Record,
)
from aioproducer.interceptors import MOST_PENDING
from tests.fake_broker import Conduct, FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import now, outcomes, running, values_of, virtual_loop
from tests.virtual_clock import VirtualClockLoop


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


def cluster_of() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_topic("orders")
    return cluster


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Record[Any, Any], Any, Any]] = []

    def on_acknowledgement(self, record: Any, metadata: Any, error: Any) -> None:
        self.told.append((record, metadata, error))


class Tagger(Interceptor[bytes, bytes]):
    """Adds a header."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_send(self, record: Record[bytes, bytes]) -> Record[bytes, bytes]:
        return replace(record, headers=(*record.headers, (self.name, b"")))


class TestOnSend:
    def test_a_chain_is_gone_through_in_order(self) -> None:
        async def main() -> None:
            cluster, listener = cluster_of(), Listener()
            interceptors = [Tagger("first"), Tagger("second"), listener]
            async with running(cluster, interceptors=interceptors) as producer:
                await producer.send("orders", b"v", headers=[("own", b"")])
            ((record, metadata, error),) = listener.told
            assert [name for name, _ in record.headers] == ["own", "first", "second"]
            assert (metadata.offset, error) == (0, None)

        run(main)

    @pytest.mark.parametrize("way", ["send", "try_send", "send_and_wait", "send_many"])
    def test_every_way_to_send_is_intercepted(self, way: str) -> None:
        class Shout:
            def on_send(self, record: Record[bytes, bytes]) -> Record[bytes, bytes]:
                assert record.value is not None
                return replace(record, value=record.value.upper())

        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster, interceptors=[Shout()]) as producer:
                await producer.warm_up(["orders"])
                if way == "send_many":
                    await producer.send_many([Record("orders", b"loud")])
                else:
                    await getattr(producer, way)("orders", b"loud")
            assert values_of(cluster, "orders") == [b"LOUD"]

        run(main)

    def test_it_sees_what_is_not_yet_serialized_and_may_send_it_elsewhere(self) -> None:
        seen: list[object] = []

        class Reroute:
            def on_send(self, record: Record[str, dict[str, int]]) -> Record[Any, Any]:
                seen.append(record.value)
                return replace(record, topic="others")

        async def main() -> None:
            cluster = cluster_of()
            cluster.add_topic("others")
            options: dict[str, Any] = {"interceptors": [Reroute()], "value_serializer": "json"}
            async with running(cluster, **options) as producer:
                assert (await producer.send("orders", {"n": 1})).topic == "others"
            assert seen == [{"n": 1}]

        run(main)

    @pytest.mark.parametrize(
        "answer", [b"bytes", Record("no topic!"), Record("orders", partition=-1)], ids=repr
    )
    def test_an_answer_that_is_no_record_is_as_good_as_none(self, answer: object) -> None:
        class Wrong:
            def on_send(self, record: object) -> object:
                return answer

        async def main() -> None:
            cluster = cluster_of()
            async with running(cluster, interceptors=[Wrong()]) as producer:
                assert (await producer.send("orders", b"v")).offset == 0
                assert producer.metrics().interceptor_error_total == 1

        run(main)

    def test_what_one_raises_harms_nobody_and_is_said_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken:
            def on_send(self, record: object) -> None:
                raise ZeroDivisionError("on the way out")

            def on_acknowledgement(self, record: object, metadata: object, error: object) -> None:
                raise ZeroDivisionError("at the end")

        async def main() -> None:
            cluster, listener = cluster_of(), Listener()
            interceptors = [Broken(), Tagger("behind"), listener]
            async with running(cluster, interceptors=interceptors) as producer:
                await outcomes([producer.send("orders", b"v") for _ in range(50)])
                await asyncio.sleep(0)
                assert producer.metrics().interceptor_error_total == 100
                await asyncio.sleep(31)
                await producer.send("orders", b"v")
            assert len(listener.told) == 51
            assert all(record.headers for record, _, _ in listener.told)

        run(main)
        lines = [r for r in caplog.records if getattr(r, "event", "") == "interceptor.failed"]
        assert len(lines) == 4
        assert (
            "Broken.on_send() raised ZeroDivisionError('on the way out')" in lines[0].getMessage()
        )
        assert "(49 more times since this was last said)" in lines[2].getMessage()
        assert getattr(lines[2], "fields")["unsaid"] == 49  # noqa: B009
        assert all(line.levelno == logging.WARNING for line in lines)

    def test_records_of_a_transaction_and_slow_serializers_are_intercepted_too(self) -> None:
        async def slowly(value: str) -> bytes:
            await asyncio.sleep(0.1)
            return value.encode()

        async def main() -> None:
            cluster, listener = cluster_of(), Listener()
            options: dict[str, Any] = {"transactional_id": "t", "value_serializer": slowly}
            interceptors = [Tagger("seen"), listener]
            async with (
                running(cluster, interceptors=interceptors, **options) as producer,
                producer.transaction() as tx,
            ):
                sent = tx.send("orders", "v")
            assert sent.result().offset == 0
            await asyncio.sleep(0)
            ((record, metadata, error),) = listener.told
            assert (record.value, metadata.offset, error) == ("v", 0, None)
            assert record.headers == (("seen", b""),)
            assert producer.metrics().txn_commit_time_ns_total > 0
            assert producer.metrics().txn_init_time_ns_total > 0

        run(main)


class TestOnAcknowledgement:
    def test_it_is_told_of_failures_and_nobody_counts_as_having_looked(self) -> None:
        async def main() -> None:
            cluster, listener = cluster_of(), Listener()
            async with running(cluster, interceptors=[listener]) as producer:
                cluster.topics["orders"].partitions[0].script.append(Verb(87))
                producer.send("orders", b"v")
                await producer.flush()
                await asyncio.sleep(0)
                ((_, metadata, error),) = listener.told
                assert metadata is None
                assert isinstance(error, ProducerError)
                reported = producer._bound_loop.reported  # type: ignore[union-attr]
                assert len(reported) == 1

        run(main)

    def test_a_record_that_was_refused_is_told_of(self) -> None:
        async def main() -> None:
            listener = Listener()
            async with running(cluster_of(), interceptors=[listener]) as producer:
                refused = producer.send("orders", b"." * 2_000_000)
                await asyncio.wait([refused])
                with pytest.raises(TypeError):
                    producer.send("orders", 5)
                refused.exception()
            assert "max.request.size" in str(listener.told[0][2])
            assert isinstance(listener.told[1][2], TypeError)

        run(main)

    def test_of_an_abandoned_wait_it_learns_the_true_end(self) -> None:
        async def main() -> None:
            cluster, listener = cluster_of(), Listener()
            async with running(cluster, interceptors=[listener]) as producer:
                await producer.warm_up(["orders"])
                cluster.brokers[1].script.append(Conduct(delay=1.0))
                delivery = producer.send("orders", b"v")
                await asyncio.sleep(0.1)
                delivery.cancel()
                await asyncio.sleep(0.1)
                assert listener.told == []
                await asyncio.sleep(2)
                assert listener.told[0][1].offset == 0

        run(main)

    def test_of_a_withdrawn_record_it_learns_that(self) -> None:
        async def main() -> None:
            listener = Listener()
            async with running(cluster_of(), interceptors=[listener]) as producer:
                delivery = producer.send("nowhere", b"v")
                delivery.cancel()
                await asyncio.sleep(0)
                ((record, metadata, error),) = listener.told
                assert (record.topic, metadata) == ("nowhere", None)
                assert "withdrawn" in str(error)
                assert error.persisted == "no"

        run(main)

    def test_an_asynchronous_one_runs_beside_and_in_order(self) -> None:
        told: list[int] = []

        class Slow:
            async def on_acknowledgement(
                self, record: object, metadata: Any, error: object
            ) -> None:
                await asyncio.sleep(0.01)
                told.append(metadata.offset)

        async def main() -> None:
            async with running(cluster_of(), interceptors=[Slow()]) as producer:
                await outcomes([producer.send("orders", b"v") for _ in range(20)])
                assert told == []
            assert told == list(range(20))

        run(main)

    def test_one_that_hangs_does_not_keep_the_producer_from_closing(self) -> None:
        async def main() -> None:
            async with running(cluster_of(), interceptors=[Hangs()]) as producer:
                await outcomes([producer.send("orders", b"v") for _ in range(3)])
                await producer.close(2)

        run(main)

    def test_one_that_is_too_slow_loses_what_comes_beyond(self) -> None:
        async def main() -> None:
            async with running(cluster_of(), interceptors=[Hangs()]) as producer:
                for _ in range(MOST_PENDING // 100 + 3):
                    await outcomes([producer.send("orders", b"v") for _ in range(100)])
                    await asyncio.sleep(0)
                assert producer.metrics().interceptor_dropped_total == 299
                await producer.close(1)

        run(main)

    def test_a_cancellation_inside_one_is_its_own_failure(self) -> None:
        """Something that it awaits was cancelled; its task was not."""

        class AwaitsTheCancelled:
            async def on_acknowledgement(self, *_: object) -> None:
                gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                gone.cancel()
                await gone

        async def main() -> None:
            async with running(cluster_of(), interceptors=[AwaitsTheCancelled()]) as producer:
                for n in range(3):
                    assert (await producer.send("orders", b"v")).offset == n
                    await asyncio.sleep(0.1)
                assert producer.state is LifeState.RUNNING
                assert producer.metrics().interceptor_error_total == 3

        run(main)

    def test_one_that_swallows_its_cancelling_does_not_keep_the_producer_from_closing(self) -> None:
        class Stubborn:
            async def on_acknowledgement(self, *_: object) -> None:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

        async def main() -> None:
            async with running(cluster_of(), interceptors=[Stubborn()]) as producer:
                await outcomes([producer.send("orders", b"v") for _ in range(3)])
                async with asyncio.timeout(10):
                    await producer.close(2)

        run(main)

    def test_one_that_raises_a_cancellation_harms_neither_the_others_nor_send(self) -> None:
        class Cancels:
            def on_send(self, record: object) -> None:
                raise asyncio.CancelledError

            def on_acknowledgement(self, *_: object) -> None:
                raise asyncio.CancelledError

        async def main() -> None:
            listener = Listener()
            async with running(cluster_of(), interceptors=[Cancels(), listener]) as producer:
                await producer.send("orders", b"v")
                await asyncio.sleep(0)
                assert len(listener.told) == 1
                assert producer.metrics().interceptor_error_total == 2

        run(main)

    def test_its_failures_are_counted(self) -> None:
        class Broken:
            async def on_acknowledgement(self, *_: object) -> None:
                raise ZeroDivisionError

        async def main() -> None:
            async with running(cluster_of(), interceptors=[Broken()]) as producer:
                await producer.send("orders", b"v")
                await asyncio.sleep(0.1)
                assert producer.metrics().interceptor_error_total == 1

        run(main)


class Hangs:
    """Never done with what it is told."""

    async def on_acknowledgement(self, *_: object) -> None:
        await asyncio.Event().wait()


class TestTheWaitAtTheEnd:
    """What asynchronous interceptors are still at when the producer closes, and who ends that."""

    def test_closing_with_zero_ends_it(self) -> None:
        async def main() -> None:
            async with running(cluster_of(), interceptors=[Hangs()]) as producer:
                await producer.send("orders", b"v")
                first = asyncio.create_task(producer.close())
                await asyncio.sleep(5)
                before = now()
                report = await producer.close(0)
                assert now() == before
                assert (await first) is report
                assert report.delivered == 1

        run(main)

    def test_the_second_cancellation_ends_it(self) -> None:
        async def main() -> None:
            async with running(cluster_of(), interceptors=[Hangs()]) as producer:
                await producer.send("orders", b"v")
                for _ in range(2):
                    closing = asyncio.create_task(producer.close())
                    await asyncio.sleep(5)
                    assert producer.state is LifeState.CLOSING
                    closing.cancel()
                    await asyncio.wait([closing])
                before = now()
                await producer.close()
                assert now() == before

        run(main)

    def test_a_second_signal_ends_it(self) -> None:
        async def main() -> None:
            async with running(cluster_of(), interceptors=[Hangs()]) as producer:
                await producer.send("orders", b"v")
                producer.install_signal_drain((signal.SIGTERM,), timeout=60)
                for state in (LifeState.CLOSING, LifeState.CLOSED):
                    signal.raise_signal(signal.SIGTERM)
                    await asyncio.sleep(5)
                    assert producer.state is state

        run(main)

    def test_a_second_is_left_at_least(self) -> None:
        async def main() -> None:
            async with running(cluster_of(), interceptors=[Hangs()]) as producer:
                await producer.send("orders", b"v")
                before = now()
                await asyncio.gather(producer.close(), producer.close(0))
                assert now() - before == pytest.approx(1)

        run(main)

    def test_it_takes_no_time_once_their_task_is_gone(self) -> None:
        async def main() -> None:
            async with running(cluster_of(), interceptors=[Hangs()]) as producer:
                await producer.send("orders", b"v")
                await asyncio.sleep(0.1)
                for task in asyncio.all_tasks():
                    if task.get_name().endswith(":interceptors"):
                        task.cancel()
                await asyncio.sleep(0.1)
                before = now()
                await producer.close()
                assert now() == before

        run(main)


def test_interceptors_are_closed_with_the_producer() -> None:
    closed: list[str] = []

    class Plain(Tagger):
        def close(self) -> None:
            closed.append(self.name)
            raise ZeroDivisionError

    class Later(Tagger):
        async def close(self) -> None:
            await asyncio.sleep(0)
            closed.append(self.name)

    async def main() -> None:
        async with running(cluster_of(), interceptors=[Plain("a"), Later("b")]) as producer:
            await producer.send("orders", b"v")
        assert closed == ["a", "b"]

    run(main)


class HangsInClose(Tagger):
    async def close(self) -> None:
        await asyncio.Event().wait()


class NotesItsClose(Tagger):
    closed = 0

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


@pytest.mark.parametrize("timeout", [0, 5])
def test_one_that_hangs_in_its_close_gets_the_time_that_is_left(
    timeout: float, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        behind = NotesItsClose("behind")
        interceptors = [HangsInClose("hangs"), behind]
        async with running(cluster_of(), interceptors=interceptors) as producer:
            await producer.send("orders", b"v")
            before = now()
            async with asyncio.timeout(1000):
                await producer.close(timeout)
            assert now() - before == pytest.approx(max(timeout, 1))
            assert behind.closed == 1
            assert producer.metrics().interceptor_error_total == 1

    run(main)
    assert "HangsInClose.close() raised TimeoutError" in caplog.text


def test_whoever_forces_ends_the_wait_for_their_closing() -> None:
    async def main() -> None:
        behind = NotesItsClose("behind")
        interceptors = [HangsInClose("hangs"), behind]
        async with running(cluster_of(), interceptors=interceptors) as producer:
            closing = asyncio.create_task(producer.close())
            await asyncio.sleep(5)
            before = now()
            async with asyncio.timeout(1000):
                await producer.close(0)
            assert now() == before
            assert behind.closed == 1
            await closing

    run(main)


def test_those_of_a_producer_that_never_started_are_closed_too() -> None:
    async def main() -> None:
        first, last = NotesItsClose("first"), NotesItsClose("last")
        producer = AsyncProducer(
            "localhost:9092", interceptors=[first, HangsInClose("hangs"), last]
        )
        async with asyncio.timeout(1000):
            await producer.close()
        assert (first.closed, last.closed) == (1, 1)

    run(main)


def test_a_cancellation_inside_their_closing_is_a_failure_of_one() -> None:
    class AwaitsTheCancelled(Tagger):
        async def close(self) -> None:
            raise asyncio.CancelledError

    async def main() -> None:
        behind = NotesItsClose("behind")
        interceptors = [AwaitsTheCancelled("first"), behind]
        async with running(cluster_of(), interceptors=interceptors) as producer:
            await producer.close()
            assert producer.metrics().interceptor_error_total == 1
            assert (behind.closed, producer.state) == (1, LifeState.CLOSED)

    run(main)


def test_one_that_two_producers_have_is_closed_with_the_last() -> None:
    async def main() -> None:
        cluster, shared, own = cluster_of(), NotesItsClose("shared"), NotesItsClose("own")
        async with running(cluster, interceptors=[shared]) as last:
            virtual_loop().network = cluster
            async with AsyncProducer(cluster.bootstrap, interceptors=[shared, own]):
                pass
            assert (shared.closed, own.closed) == (0, 1)
            await last.send("orders", b"v")
        assert shared.closed == 1

    run(main)


def test_those_of_a_producer_that_was_dropped_are_told_and_closed() -> None:
    class Both(Listener):
        closed = 0

        def close(self) -> None:
            assert len(self.told) == 1
            self.closed += 1

    async def main() -> None:
        cluster, both = cluster_of(), Both()
        virtual_loop().network = cluster
        producer: Any = AsyncProducer(cluster.bootstrap, interceptors=[both])
        await producer.start()
        delivery = producer.send("orders", b"v")
        with pytest.warns(ResourceWarning, match="was not closed"):
            del producer
            gc.collect()
        assert (await delivery).offset == 0
        await asyncio.sleep(1)
        assert both.closed == 1

    run(main)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("com.example.Interceptor", "class names are Java's"),
        ([object()], "neither on_send"),
        (5, "must be a list of objects"),
    ],
)
def test_what_is_no_interceptor_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        AsyncProducer("localhost:9092", interceptors=given)


def test_on_send_cannot_be_asynchronous() -> None:
    class Wrong:
        async def on_send(self, record: object) -> None: ...

    with pytest.raises(ConfigurationError, match="must be a plain function"):
        AsyncProducer("localhost:9092", interceptors=[Wrong()])


def test_without_interceptors_plain_bytes_keep_their_short_path() -> None:
    async def main() -> None:
        async with running(cluster_of()) as producer:
            assert producer._plain is not None
            assert producer._chain is None
        async with running(cluster_of(), interceptors=[Listener()]) as producer:
            assert producer._plain is None

    run(main)


def test_the_methods_of_the_base_class_cost_nothing() -> None:
    async def main() -> None:
        async with running(cluster_of(), interceptors=[Tagger("only sends")]) as producer:
            chain = producer._chain
            assert chain is not None
            assert chain._listeners == []
            await producer.send("orders", b"v")

    run(main)
