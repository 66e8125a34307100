"""Flush, close and what becomes of everything when a task dies."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest

from aioproducer import AsyncProducer
from aioproducer.core.batch import Batch
from aioproducer.errors import (
    ClusterAuthorizationFailedError,
    FlushTimeoutError,
    ProducerClosedError,
    ProducerStateError,
)
from tests.fake_broker import Conduct, FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import engine_of, now, outcomes, running, values_of, virtual_loop


def cluster_of(partitions: int = 1) -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders", partitions)
    return cluster


async def started(cluster: FakeCluster, **options: Any) -> AsyncProducer[Any, Any]:
    """Return a running producer that the test closes itself."""
    virtual_loop().network = cluster
    producer: AsyncProducer[Any, Any] = AsyncProducer(cluster.bootstrap, **options)
    await producer.start()
    return producer


class TestFlush:
    """It waits for what was sent, and only so long."""

    async def test_nothing_to_flush_is_done_at_once(self) -> None:
        async with running(cluster_of()) as producer:
            before = now()
            await producer.flush()
            assert now() == before

    async def test_it_never_raises_a_record_s_failure(self) -> None:
        async with running(cluster_of(), max_block_ms=500) as producer:
            delivery = producer.send("never", b"v")
            await producer.flush()
            assert delivery.exception() is not None

    async def test_it_says_when_its_time_is_over(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=5))
            delivery = producer.send("orders", b"v")
            before = now()
            with pytest.raises(FlushTimeoutError):
                await producer.flush(timeout=2)
            assert now() - before == pytest.approx(2)
            assert not delivery.done()
            await producer.flush()
            assert delivery.done()

    async def test_cancelling_it_abandons_the_wait_only(self) -> None:
        cluster = cluster_of()
        async with running(cluster, linger_ms=60_000) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            delivery = producer.send("orders", b"v")
            flushing = asyncio.create_task(producer.flush())
            await asyncio.sleep(0)
            flushing.cancel()
            await asyncio.wait([flushing])
            before = now()
            await delivery
            assert now() - before < 1

    async def test_linger_is_back_after_it(self) -> None:
        async with running(cluster_of(), linger_ms=1000) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            producer.send("orders", b"v")
            await producer.flush()
            before = now()
            await producer.send("orders", b"w")
            assert now() - before >= 1

    async def test_two_at_once_end_together(self) -> None:
        async with running(cluster_of(), linger_ms=1000) as producer:
            deliveries = [producer.send("orders", b"%d" % n) for n in range(3)]
            await asyncio.gather(producer.flush(), producer.flush())
            assert all(delivery.done() for delivery in deliveries)

    async def test_a_chain_of_new_records_does_not_hold_it_up(self) -> None:
        async with running(cluster_of()) as producer:
            going = True

            def again(_: object) -> None:
                if going:
                    producer.send("orders", b"v").add_done_callback(again)

            again(None)
            await asyncio.wait_for(producer.flush(), 2)
            going = False


class TestClose:
    """It delivers what its time allows, and tells what it could not."""

    async def test_what_is_queued_is_delivered(self) -> None:
        cluster = cluster_of()
        producer = await started(cluster, linger_ms=60_000)
        deliveries = [producer.send("orders", b"%d" % n) for n in range(5)]
        report = await producer.close()
        assert (report.delivered, report.failed, report.abandoned) == (5, 0, 0)
        assert [d.result().offset for d in deliveries] == list(range(5))

    async def test_the_report_counts_by_topic(self) -> None:
        cluster = cluster_of()
        producer = await started(cluster, max_block_ms=1000)
        await producer.send("orders", b"v")
        await outcomes([producer.send("never", b"v")])
        cluster.brokers[1].script.append(Conduct(delay=100))
        late = producer.send("orders", b"late")
        report = await producer.close(timeout=1)
        assert report.topics["orders"].delivered == 1
        assert report.topics["orders"].abandoned == 1
        assert report.topics["never"].failed == 1
        assert isinstance(late.exception(), ProducerClosedError)
        await asyncio.sleep(200)

    async def test_its_timeout_holds_and_what_is_left_fails(self) -> None:
        cluster = cluster_of(3)
        producer = await started(cluster, max_block_ms=600_000)
        await producer.send("orders", b"v", partition=0)
        cluster.brokers[1].script.append(Conduct(stall=True))
        on_the_wire = producer.send("orders", b"w", partition=0)
        await asyncio.sleep(0.001)
        waiting = producer.send("never", b"x")
        before = now()
        report = await producer.close(timeout=3)
        assert now() - before == pytest.approx(3, abs=0.1)
        assert report.abandoned == 2
        wire, room = on_the_wire.exception(), waiting.exception()
        assert isinstance(wire, ProducerClosedError)
        assert isinstance(room, ProducerClosedError)
        assert (wire.persisted, room.persisted) == ("maybe", "no")

    async def test_zero_fails_everything_at_once(self) -> None:
        cluster = cluster_of()
        producer = await started(cluster, linger_ms=60_000)
        await producer.warm_up(["orders"])
        delivery = producer.send("orders", b"v")
        before = now()
        report = await producer.close(timeout=0)
        assert now() - before < 0.1
        assert report.abandoned == 1
        assert isinstance(delivery.exception(), ProducerClosedError)
        assert values_of(cluster, "orders") == []

    async def test_what_was_abandoned_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        producer = await started(cluster_of())
        delivery = producer.send("never", b"v")
        with caplog.at_level(logging.WARNING, logger="aioproducer"):
            await producer.close(timeout=0.5)
        assert f"[{producer.client_id}] closed with 1 records undelivered" in caplog.text
        assert delivery.exception() is not None

    async def test_without_a_cluster_it_ends_within_its_time(self) -> None:
        cluster = cluster_of()
        cluster.brokers[1].stop()
        options = {"delivery_timeout_ms": 5000, "request_timeout_ms": 1000}
        producer = await started(cluster, **options)
        delivery = producer.send("orders", b"v")
        before = now()
        report = await producer.close()
        assert now() - before <= 6.1
        assert delivery.exception() is not None
        assert report.delivered == 0
        assert report.failed + report.abandoned == 1

    async def test_closing_twice_is_closing_once(self) -> None:
        producer = await started(cluster_of())
        await producer.send("orders", b"v")
        first, second = await asyncio.gather(producer.close(), producer.close())
        assert first is second
        assert await producer.close() is first

    async def test_cancelling_it_does_not_stop_it(self) -> None:
        cluster = cluster_of()
        producer = await started(cluster)
        await producer.warm_up(["orders"])
        cluster.brokers[1].script.append(Conduct(delay=2))
        delivery = producer.send("orders", b"v")
        closing = asyncio.create_task(producer.close())
        await asyncio.sleep(1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        report = await producer.close()
        assert report.delivered == 1
        assert delivery.result().offset == 0

    async def test_a_second_call_with_a_shorter_time_does_not_hang(self) -> None:
        producer = await started(cluster_of(), max_block_ms=600_000)
        delivery = producer.send("never", b"v")
        closing = asyncio.create_task(producer.close())
        await asyncio.sleep(1)
        await asyncio.wait([asyncio.create_task(producer.close(timeout=1)), closing])
        assert delivery.done()
        assert delivery.exception() is not None

    async def test_nothing_is_left(self) -> None:
        cluster = cluster_of(3)
        producer = await started(cluster, linger_ms=5, compression_type="gzip")
        await asyncio.gather(*[producer.send("orders", b"v", partition=p) for p in range(3)])
        engine = engine_of(producer)
        await producer.close()
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not virtual_loop().pending_timers()
        assert not cluster.open_sessions
        assert (engine.budget.held, engine.budget.waiting) == (0, 0)
        assert not engine.ledger.unsettled

    async def test_a_closed_producer_can_be_collected(self) -> None:
        producer = await started(cluster_of())
        await producer.send("orders", b"v")
        await producer.close()
        gone = weakref.ref(producer)
        await asyncio.sleep(100)
        del producer
        gc.collect()
        assert gone() is None

    async def test_the_context_manager_closes_when_its_body_raises(self) -> None:
        cluster = cluster_of()
        virtual_loop().network = cluster
        with pytest.raises(ZeroDivisionError):
            async with AsyncProducer(cluster.bootstrap, linger_ms=60_000) as producer:
                delivery = producer.send("orders", b"v")
                raise ZeroDivisionError
        assert delivery.result().offset == 0


class TestCrash:
    """A background task that dies fails what is held, loudly, and all that comes after."""

    async def test_everything_held_fails_and_says_why(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        cluster = cluster_of()
        producer = await started(cluster, linger_ms=60_000)
        await producer.warm_up(["orders"])
        queued = producer.send("orders", b"v")
        waiting = producer.send("never", b"w")

        async def crash() -> None:
            await asyncio.sleep(0)
            raise ZeroDivisionError("a bug")

        with caplog.at_level(logging.ERROR, logger="aioproducer"):
            engine_of(producer).supervisor.start(crash(), name="metadata")
            errors = await outcomes([queued, waiting])
        for error in errors:
            assert isinstance(error, ProducerStateError)
            assert isinstance(error.__cause__, ZeroDivisionError)
            assert "metadata" in str(error)
            assert "make another" in error.what_next
        assert "metadata died" in caplog.text
        with pytest.raises(ProducerStateError, match="died") as later:
            producer.send("orders", b"later")
        assert "make another" in later.value.what_next
        await producer.close()

    async def test_it_can_still_be_closed_in_no_time(self) -> None:
        cluster = cluster_of()
        producer = await started(cluster, linger_ms=0)
        await producer.send("orders", b"v")
        cluster.brokers[1].script.append(Conduct(delay=50))
        stuck = producer.send("orders", b"w")
        await asyncio.sleep(0.001)

        async def crash() -> None:
            raise ZeroDivisionError

        engine_of(producer).supervisor.start(crash(), name="metadata")
        (error,) = await outcomes([stuck])
        assert error.persisted == "maybe"
        before = now()
        await producer.close()
        assert now() - before < 1
        await asyncio.sleep(100)

    async def test_an_unexpected_error_in_one_answer_harms_only_its_partition(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL)
        cluster = cluster_of(2)
        async with running(cluster) as producer:
            for partition in (0, 1):
                await producer.send("orders", b"v", partition=partition)

            def fall_over(*_: Any, **__: Any) -> None:
                raise ZeroDivisionError("a bug")

            monkeypatch.setattr("aioproducer.runtime.sender.judge_answer", fall_over)
            # Only an answer that says of an error is judged.
            cluster.topics["orders"].partitions[0].script.append(Verb(19))
            hit, spared = await outcomes(
                [producer.send("orders", b"w", partition=p) for p in (0, 1)]
            )
            assert isinstance(hit.__cause__, ZeroDivisionError)
            assert hit.persisted == "maybe"
            assert spared.offset == 1
            assert (await producer.send("orders", b"x", partition=0)).offset >= 1

    async def test_an_unexpected_error_after_the_wire_settles_the_batch_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL)
        cluster = cluster_of(2)
        async with running(cluster) as producer:
            for partition in (0, 1):
                await producer.send("orders", b"v", partition=partition)
            meters = engine_of(producer).meters
            count = meters.delivered

            def fall_over(batch: Batch, now: float) -> None:
                if batch.partition == 0 and batch.order == (2,):
                    raise ZeroDivisionError("a bug")
                count(batch, now)

            monkeypatch.setattr(meters, "delivered", fall_over)
            hit, spared = await outcomes(
                [producer.send("orders", b"w", partition=p) for p in (0, 1)]
            )
            assert isinstance(hit.__cause__, ZeroDivisionError)
            assert hit.persisted == "maybe"
            assert spared.offset == 1
            assert (await producer.send("orders", b"x", partition=0)).offset >= 1


async def test_a_refused_producer_id_fails_what_waits_and_is_asked_for_again() -> None:
    cluster = cluster_of()
    cluster.init_script.append(31)
    async with running(cluster) as producer:
        first = (await outcomes([producer.send("orders", b"v")]))[0]
        assert isinstance(first, ClusterAuthorizationFailedError)
        assert (await producer.send("orders", b"w")).offset == 0
