"""A loop that stood still reads what has arrived before anything is judged to be late."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from aioproducer import AsyncProducer, DeliveryTimeoutError, Record, RecordMetadata
from aioproducer.runtime.stall import StallWatch
from tests.fake_broker import Conduct, FakeCluster, Session
from tests.runtime.world import engine_of, now, running, values_of, virtual_loop


@pytest.fixture(autouse=True)
def polls_after_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on uvloop: what has arrived is read only after the timers of a turn have run."""
    depart = Session._depart

    def later(session: Session, *args: Any) -> None:
        asyncio.get_running_loop().call_soon(depart, session, *args)

    monkeypatch.setattr(Session, "_depart", later)


def cluster_of() -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    return cluster


def block(seconds: float) -> None:
    """Do what a blocking call does to the loop: time passes and nothing runs."""
    virtual_loop().now += seconds


ON_ITS_WAY = 0.015
"""Seconds after which the broker has answered, and the answer not arrived."""

OPTIONS: dict[str, Any] = {"linger_ms": 0, "request_timeout_ms": 1000, "delivery_timeout_ms": 1000}


class TestReadingFirst:
    """Whatever was answered in time is no failure, whichever clock has run out meanwhile."""

    async def test_delivery_and_request_timeouts_wait_for_what_has_arrived(self) -> None:
        cluster = cluster_of()
        async with running(cluster, **OPTIONS) as producer:
            await producer.warm_up(["orders"])
            connections = cluster.brokers[1].connections
            delivery = producer.send("orders", b"v")
            await asyncio.sleep(ON_ITS_WAY)
            block(5)
            assert (await delivery).offset == 0
            assert producer.metrics().record_retry_total == 0
            assert cluster.brokers[1].connections == connections

    async def test_a_stall_that_ends_with_the_deadline_is_no_different(self) -> None:
        """The timer is not late, and yet the answer has lain there for a second."""
        cluster = cluster_of()
        async with running(cluster, **OPTIONS) as producer:
            await producer.warm_up(["orders"])
            delivery = producer.send("orders", b"v")
            await asyncio.sleep(ON_ITS_WAY)
            block(0.9851)
            assert (await delivery).offset == 0

    async def test_the_deadline_of_one_send_waits_too(self) -> None:
        async with running(cluster_of()) as producer:
            await producer.warm_up(["orders"])
            delivery = producer.send("orders", b"v", timeout=1)
            await asyncio.sleep(ON_ITS_WAY)
            block(5)
            assert (await delivery).offset == 0

    async def test_records_that_wait_for_metadata_are_let_in_first(self) -> None:
        """The answer wakes a task, and the task lets them in: that takes turns as well."""
        cluster = cluster_of()
        cluster.add_topic("others")
        async with running(cluster, max_block_ms=1000) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            delivery = producer.send("others", b"v")
            await asyncio.sleep(ON_ITS_WAY)
            block(5)
            assert (await delivery).offset == 0

    async def test_records_that_wait_for_memory_are_let_in_first(self) -> None:
        options = {"buffer_memory": 500, "max_block_ms": 1000}
        async with running(cluster_of(), **options) as producer:
            await producer.warm_up(["orders"])
            first, second = (producer.send("orders", b"." * 200) for _ in range(2))
            await asyncio.sleep(ON_ITS_WAY)
            assert producer.metrics().waiting_records == 1
            block(5)
            assert [(await first).offset, (await second).offset] == [0, 1]

    async def test_flush_drain_and_send_many_see_what_has_arrived(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=1000) as producer:
            await producer.warm_up(["orders"])
            for wait, count in ((producer.flush, 1), (producer.drain, 4)):
                sent = [producer.send("orders", b"." * 200) for _ in range(count)]
                waiting = asyncio.create_task(wait(timeout=1))
                await asyncio.sleep(ON_ITS_WAY)
                block(5)
                await waiting
                await asyncio.gather(*sent)
            sending = asyncio.create_task(producer.send_many([Record("orders", b"v")], timeout=1))
            await asyncio.sleep(ON_ITS_WAY)
            block(5)
            assert isinstance((await sending)[0], RecordMetadata)

    async def test_partitions_for_sees_what_has_arrived(self) -> None:
        cluster = cluster_of()
        cluster.add_topic("others")
        async with running(cluster) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            asking = asyncio.create_task(producer.partitions_for("others", timeout=1))
            await asyncio.sleep(ON_ITS_WAY)
            block(5)
            assert len(await asking) == 1

    async def test_a_connection_being_made_is_not_given_up(self) -> None:
        cluster = cluster_of()
        options = {
            "socket_connection_setup_timeout_ms": 1000,
            "socket_connection_setup_timeout_max_ms": 1000,
        }
        async with running(cluster, **options) as producer:
            delivery = producer.send("orders", b"v")
            await asyncio.sleep(0.035)
            block(5)
            await delivery
            assert cluster.brokers[1].connections == 2  # bootstrap, and the broker's own

    async def test_an_answer_in_many_pieces_is_read_whole(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As long as there is something to read, nothing is judged."""
        cluster = cluster_of()
        async with running(cluster, **OPTIONS) as producer:
            await producer.warm_up(["orders"])
            loop = asyncio.get_running_loop()
            depart = Session._depart
            pieces = turns = 0

            def later(session: Session, *args: Any) -> None:
                nonlocal pieces
                pieces += 1
                wait(session, args, 2 * pieces)

            def wait(session: Session, args: Any, left: int) -> None:
                nonlocal turns
                turns = max(turns, 2 * pieces - left)
                if left:
                    loop.call_soon(wait, session, args, left - 1)
                else:
                    depart(session, *args)

            monkeypatch.setattr(Session, "_depart", later)
            cluster.pieces = lambda frame: [frame[i : i + 2] for i in range(0, len(frame), 2)]
            delivery = producer.send("orders", b"v")
            await asyncio.sleep(ON_ITS_WAY)
            block(5)
            assert (await delivery).offset == 0
            assert turns > 30


class TestJudging:
    """What was not answered still fails, and hardly later."""

    async def test_without_an_answer_the_record_expires(self) -> None:
        cluster = cluster_of()
        async with running(cluster, **OPTIONS) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=60))
            delivery = producer.send("orders", b"v")
            await asyncio.sleep(ON_ITS_WAY)
            block(5)
            started = now()
            with pytest.raises(DeliveryTimeoutError):
                await delivery
            assert now() - started < 0.01
            await asyncio.sleep(100)
        assert values_of(cluster, "orders") == [b"v"]

    async def test_a_peer_that_never_stops_sending_does_not_put_it_off_for_ever(self) -> None:
        watch = StallWatch("me")
        loop = asyncio.get_running_loop()
        judged = loop.create_future()
        started = now()
        watch.call_later(1, lambda: judged.set_result(now() - started))

        def chatter() -> None:
            watch.heard()
            block(0.0001)
            if not judged.done():
                loop.call_soon(chatter)

        await asyncio.sleep(0.9)
        chatter()
        assert 1 <= await judged < 1.02
        watch.close()

    async def test_a_loop_that_is_slow_all_the_time_judges_within_a_second_or_so(self) -> None:
        watch = StallWatch("me")
        loop = asyncio.get_running_loop()
        judged = loop.create_future()
        started = now()
        watch.call_later(1, lambda: judged.set_result(now() - started))

        def drag() -> None:
            watch.heard()
            block(0.2)
            if not judged.done():
                loop.call_soon(drag)

        drag()
        assert await judged <= 1 + 0.2 + 1 + 0.4
        watch.close()

    async def test_another_stall_while_it_reads_starts_the_reading_anew(self) -> None:
        """What came in the second stall is as unread as what came in the first."""
        watch = StallWatch("me")
        loop = asyncio.get_running_loop()
        judged = loop.create_future()
        turns = 0
        watch.call_later(1, lambda: judged.set_result(turns))

        def hop(left: int) -> None:
            nonlocal turns
            turns += 1
            if not left:
                block(5)
                turns = 0
            if not judged.done():
                loop.call_soon(hop, left - 1)

        loop.call_later(1, hop, 3)
        await asyncio.sleep(0.5)
        block(5)
        assert await judged >= 3
        watch.close()

    async def test_a_loop_that_stands_still_in_every_turn_judges_all_the_same(self) -> None:
        watch = StallWatch("me")
        loop = asyncio.get_running_loop()
        judged = loop.create_future()
        turns = 0
        watch.call_later(1, lambda: judged.set_result(turns))

        def stand_still() -> None:
            nonlocal turns
            turns += 1
            block(5)
            if not judged.done():
                loop.call_soon(stand_still)

        stand_still()
        assert await judged < 30
        watch.close()

    async def test_an_alarm_can_be_called_off_until_it_has_judged(self) -> None:
        watch = StallWatch("me")
        calls: list[str] = []
        early, late, kept = (watch.call_later(1, calls.append, name) for name in "abc")
        early.cancel()
        await asyncio.sleep(1)
        await asyncio.sleep(0)
        late.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert calls == ["c"]
        kept.cancel()
        watch.close()

    async def test_a_timeout_is_asyncio_s_in_all_else(self) -> None:
        watch = StallWatch("me")
        with pytest.raises(TimeoutError):
            async with watch.timeout(1) as clock:
                await asyncio.sleep(2)
        assert clock.expired()
        with pytest.raises(TimeoutError, match="its own"):
            async with watch.timeout(1) as clock:
                raise TimeoutError("its own")
        assert not clock.expired()
        async with watch.timeout(None):
            await asyncio.sleep(10**6)
        waiting = asyncio.create_task(asyncio.sleep(10))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with watch.timeout(1):
                await waiting
        watch.close()
        assert not virtual_loop().pending_timers()


class TestTelling:
    """The stall is measured, counted, and said once."""

    async def test_one_stall_is_one_warning_and_one_count(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="aioproducer"):
            async with running(cluster_of(), **OPTIONS) as producer:
                await producer.warm_up(["orders"])
                deliveries = [producer.send("orders", b"v") for _ in range(3)]
                await asyncio.sleep(ON_ITS_WAY)
                block(5)
                await asyncio.gather(*deliveries)
                await asyncio.sleep(10)
                metrics = producer.metrics()
        assert metrics.loop_stalls == 1
        assert 4 <= metrics.loop_stall_longest_s <= 5
        assert metrics.loop_stall_total_s == metrics.loop_stall_longest_s
        (warning,) = [r.getMessage() for r in caplog.records if r.name == "aioproducer"]
        assert f"[{producer.client_id}] the event loop stood still for at least 4." in warning

    async def test_many_stalls_are_counted_and_said_now_and_then(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        cluster = cluster_of()
        with caplog.at_level(logging.WARNING, logger="aioproducer"):
            async with running(cluster) as producer:
                await producer.warm_up(["orders"])
                for _ in range(10):
                    cluster.brokers[1].script.append(Conduct(delay=0.6))
                    delivery = producer.send("orders", b"v")
                    await asyncio.sleep(0.1)
                    block(4)
                    await delivery
                assert producer.metrics().loop_stalls == 10
        messages = [r.getMessage() for r in caplog.records if r.name == "aioproducer"]
        assert len(messages) == 2
        assert "(7 more times since this was last said)" in messages[1]

    async def test_a_loop_that_is_merely_busy_is_no_stall(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            await producer.warm_up(["orders"])
            for _ in range(100):
                delivery = producer.send("orders", b"v")
                await asyncio.sleep(ON_ITS_WAY)
                block(0.2)
                await delivery
            assert producer.metrics().loop_stalls == 0

    async def test_an_idle_producer_looks_at_no_clock(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            await producer.send("orders", b"v")
            await asyncio.sleep(60)
            assert engine_of(producer).watch._beat is None

    async def test_while_records_are_under_way_it_does_twice_a_second(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(60)
            cluster.brokers[1].script.append(Conduct(delay=20))
            delivery = producer.send("orders", b"v")
            loop = virtual_loop()
            jumps = 0
            jump = loop.jump

            def counted(seconds: float) -> None:
                nonlocal jumps
                jumps += 1
                jump(seconds)

            loop.jump = counted  # type: ignore[method-assign]
            await delivery
            assert 38 <= jumps <= 48
            await asyncio.sleep(1)


async def test_nothing_is_left_when_a_producer_is_closed_in_mid_judgement() -> None:
    cluster = cluster_of()
    virtual_loop().network = cluster
    producer: AsyncProducer[Any, Any] = AsyncProducer(cluster.bootstrap, **OPTIONS)
    await producer.start()
    await producer.warm_up(["orders"])
    cluster.brokers[1].script.append(Conduct(stall=True))
    delivery = producer.send("orders", b"v")
    await asyncio.sleep(ON_ITS_WAY)
    block(5)
    await asyncio.sleep(0)
    await producer.close(timeout=0)
    assert delivery.exception() is not None
    await asyncio.sleep(5)
    assert not virtual_loop().pending_timers()
