"""The waiting room: first come, first served, and nobody waits longer than max.block.ms."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer import DeliveryTimeoutError, MetadataTimeoutError
from aioproducer.errors import (
    BrokerError,
    BufferExhaustedError,
    InvalidTopicError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import engine_of, now, outcomes, produced, running, values_of

ROOM_FOR_THREE = 1000


def cluster_of(partitions: int = 1, latency: float = 0.01) -> FakeCluster:
    cluster = FakeCluster(latency=lambda: latency)
    cluster.add_topic("orders", partitions)
    return cluster


def values(count: int) -> list[bytes]:
    return [b"%03d" % number + b"." * 97 for number in range(count)]


class TestMetadata:
    """Waiting is per topic, or per partition, and holds up nobody else."""

    async def test_a_topic_that_appears_later_gets_its_records_in_order(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            waiting = [producer.send("later", value) for value in values(5)]
            await asyncio.sleep(5)
            assert not any(delivery.done() for delivery in waiting)
            cluster.add_topic("later")
            await asyncio.gather(*waiting)
        assert values_of(cluster, "later") == values(5)

    async def test_other_topics_do_not_wait_for_it(self) -> None:
        cluster = cluster_of()
        async with running(cluster, max_block_ms=1000) as producer:
            lost = producer.send("never", b"v")
            started = now()
            for _ in range(10):
                await producer.send("orders", b"v")
            assert now() - started < 0.5
            with pytest.raises(MetadataTimeoutError):
                await lost

    async def test_a_topic_that_never_appears_fails_after_max_block(self) -> None:
        cluster = cluster_of()
        async with running(cluster, max_block_ms=3000) as producer:
            started = now()
            with pytest.raises(MetadataTimeoutError, match="never") as caught:
                await producer.send("never", b"v")
            assert now() - started == pytest.approx(3.0, abs=0.01)
            assert isinstance(caught.value.__cause__, BrokerError)
            assert (caught.value.persisted, caught.value.retriable) == ("no", True)

    async def test_a_partition_that_appears_later_gets_its_records(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            await producer.send("orders", b"0")
            waiting = [producer.send("orders", value, partition=1) for value in values(3)]
            await producer.send("orders", b"1", partition=0)
            assert not waiting[0].done()
            cluster.add_partition("orders")
            await asyncio.gather(*waiting)
        assert values_of(cluster, "orders", 1) == values(3)

    async def test_one_that_never_appears_fails_after_max_block(self) -> None:
        async with running(cluster_of(), max_block_ms=2000) as producer:
            await producer.send("orders", b"0")
            with pytest.raises(MetadataTimeoutError, match="partition 7 of topic orders"):
                await producer.send("orders", b"v", partition=7)

    @pytest.mark.parametrize(
        ("code", "error"), [(29, TopicAuthorizationFailedError), (17, InvalidTopicError)]
    )
    async def test_a_topic_that_may_not_be_used_fails_at_once(
        self, code: int, error: type[BrokerError]
    ) -> None:
        cluster = cluster_of()
        cluster.add_topic("secret").error_code = code
        async with running(cluster) as producer:
            started = now()
            waiting = [producer.send("secret", b"v") for _ in range(3)]
            failures = await outcomes(waiting)
            assert now() - started < 0.5
            assert [type(failure) for failure in failures] == [error] * 3
            assert {failure.topic for failure in failures} == {"secret"}
            with pytest.raises(error):
                await producer.partitions_for("secret")
            await producer.send("orders", b"v")

    async def test_a_permission_that_is_granted_later_helps(self) -> None:
        cluster = cluster_of()
        cluster.add_topic("secret").error_code = 29
        async with running(cluster) as producer:
            await outcomes([producer.send("secret", b"v")])
            cluster.topics["secret"].error_code = 0
            assert (await producer.send("secret", b"v")).offset == 0

    async def test_auto_created_topics_are_waited_for(self) -> None:
        cluster = FakeCluster()
        cluster.auto_create = 3
        async with running(cluster) as producer:
            await asyncio.gather(*[producer.send("fresh", value) for value in values(5)])
        assert sum(len(p.records) for p in cluster.topics["fresh"].partitions) == 5

    async def test_unless_they_shall_not_be_created(self) -> None:
        cluster = FakeCluster()
        cluster.auto_create = 3
        options: dict[str, Any] = {"allow_auto_create_topics": False, "max_block_ms": 500}
        async with running(cluster, **options) as producer:
            with pytest.raises(MetadataTimeoutError):
                await producer.send("fresh", b"v")
        assert not cluster.topics


class TestMemory:
    """buffer.memory, and a waiting room of its size."""

    async def test_records_are_admitted_in_the_order_they_came(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=ROOM_FOR_THREE) as producer:
            await producer.warm_up(["orders"])
            sent = [producer.send("orders", value) for value in values(6)]
            budget = engine_of(producer).budget
            assert 0 < budget.held <= ROOM_FOR_THREE
            assert 0 < budget.waiting <= ROOM_FOR_THREE
            await asyncio.gather(*sent)
        assert values_of(cluster, "orders") == values(6)

    async def test_a_small_one_does_not_overtake_a_large_one(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=ROOM_FOR_THREE) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=1))
            order: list[int] = []
            sent = [producer.send("orders", b"." * size) for size in (100, 100, 400, 1)]
            for number, delivery in enumerate(sent):
                delivery.add_done_callback(lambda _, number=number: order.append(number))
            await asyncio.gather(*sent)
            assert order == [0, 1, 2, 3]
        assert [len(value or b"") for value in values_of(cluster, "orders")] == [100, 100, 400, 1]

    async def test_past_both_it_fails_at_once(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=ROOM_FOR_THREE) as producer:
            await producer.warm_up(["orders"])
            sent = [producer.send("orders", value) for value in values(20)]
            refused = [delivery for delivery in sent if delivery.done()]
            assert 10 < len(refused) < 18
            assert all(isinstance(d.exception(), BufferExhaustedError) for d in refused)
            await outcomes(sent)

    async def test_who_waits_too_long_for_memory_is_told_so(self) -> None:
        cluster = cluster_of()
        options: dict[str, Any] = {"buffer_memory": ROOM_FOR_THREE, "max_block_ms": 2000}
        async with running(cluster, **options) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=10))
            sent = [producer.send("orders", value) for value in values(5)]
            started = now()
            with pytest.raises(BufferExhaustedError, match="within 2000 ms"):
                await sent[4]
            assert now() - started == pytest.approx(2.0, abs=0.01)
            await outcomes(sent)

    async def test_while_memory_is_short_nothing_lingers(self) -> None:
        cluster = cluster_of()
        options: dict[str, Any] = {"buffer_memory": ROOM_FOR_THREE, "linger_ms": 60_000}
        async with running(cluster, **options) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            started = now()
            sent = [producer.send("orders", value) for value in values(6)]
            await asyncio.gather(*sent[:4])
            assert now() - started < 1
            await producer.flush()

    async def test_nor_while_those_wait_who_waited_for_metadata_before(self) -> None:
        cluster = cluster_of()
        cluster.add_topic("others")
        options = {"linger_ms": 60_000, "buffer_memory": 800}
        async with running(cluster, **options) as producer:
            await producer.warm_up(["orders"])
            lingering = producer.send("orders", b"." * 200)
            waiting = producer.send("others", b"." * 200)
            await asyncio.wait_for(waiting, 1)
            assert lingering.done()

    async def test_while_memory_is_there_what_waited_for_metadata_lingers(self) -> None:
        cluster = cluster_of()
        options = {"linger_ms": 100, "enable_idempotence": False}
        async with running(cluster, **options) as producer:
            sent = [producer.send("orders", value) for value in values(3)]
            await asyncio.sleep(0.05)
            sent += [producer.send("orders", value) for value in values(3)]
            await asyncio.gather(*sent)
            metrics = producer.metrics()
            assert (metrics.batch_sealed_linger_total, metrics.batch_sealed_memory_total) == (1, 0)
        assert [len(batch) for batch in produced(cluster.brokers[1])] == [6]

    async def test_a_flush_that_was_cancelled_still_expedites_what_waits(self) -> None:
        """Cancelling it abandons the wait only."""
        async with running(cluster_of(), linger_ms=60_000) as producer:
            waiting = producer.send("orders", b"v")
            flushing = asyncio.create_task(producer.flush())
            await asyncio.sleep(0)
            flushing.cancel()
            await asyncio.wait_for(waiting, 1)

    async def test_memory_that_ends_while_records_are_let_in_ends_the_lingering(self) -> None:
        """The batch that the first of them opened lingers; the others wait for its memory."""
        cluster = cluster_of()
        cluster.add_topic("others")
        options = {"linger_ms": 60_000, "buffer_memory": ROOM_FOR_THREE}
        async with running(cluster, **options) as producer:
            await producer.warm_up(["orders"])
            sent = [producer.send("orders", b"." * 200)]
            sent += [producer.send("others", value) for value in values(2)]
            await asyncio.wait_for(asyncio.gather(*sent), 1)
            assert producer.metrics().batch_sealed_memory_total == 3
        assert values_of(cluster, "others") == values(2)

    async def test_they_are_admitted_many_at_a_time(self) -> None:
        """Woken one by one they would leave in batches of one."""
        cluster = cluster_of()
        async with running(cluster, buffer_memory=2000) as producer:
            await producer.warm_up(["orders"])
            await asyncio.gather(*[producer.send("orders", value) for value in values(12)])
        assert [len(batch) for batch in produced(cluster.brokers[1])] == [6, 6]

    async def test_a_record_larger_than_the_whole_memory_is_refused(self) -> None:
        """Let in it would hold more than the user allows; waiting would be in vain."""
        cluster = cluster_of()
        async with running(cluster, buffer_memory=300) as producer:
            [error] = await outcomes([producer.send("orders", b"." * 1000)])
            assert isinstance(error, RecordTooLargeError)
            assert "buffer.memory is 300" in str(error)
            assert (await producer.send("orders", b"small")).offset == 0

    async def test_two_topics_share_fairly(self) -> None:
        cluster = cluster_of()
        cluster.add_topic("others")
        async with running(cluster, buffer_memory=2000) as producer:
            await producer.warm_up(["orders", "others"])
            sent = []
            for number in range(6):
                sent.append(producer.send("orders", values(6)[number]))
                sent.append(producer.send("others", values(6)[number]))
            await asyncio.gather(*sent)
        assert values_of(cluster, "orders") == values_of(cluster, "others") == values(6)


class TestWithdrawing:
    """A Delivery that is cancelled while it waits takes its record along."""

    async def test_it_is_never_sent(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            sent = [producer.send("later", value) for value in values(4)]
            sent[1].cancel()
            await asyncio.sleep(0.5)
            cluster.add_topic("later")
            await outcomes(sent)
        assert values_of(cluster, "later") == [values(4)[n] for n in (0, 2, 3)]

    async def test_its_room_is_free_at_once(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=ROOM_FOR_THREE, max_block_ms=1000) as producer:
            waiting = [producer.send("never", value) for value in values(3)]
            refused = producer.send("never", b"." * 100)
            assert isinstance(refused.exception(), BufferExhaustedError)
            waiting[0].cancel()
            assert not producer.send("never", b"." * 90).done()
            assert producer.metrics().waiting_records == 3
            await producer.flush()
            waiting = [d for d in waiting if not d.cancelled()]
            await outcomes(waiting)

    async def test_those_behind_it_move_up(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=ROOM_FOR_THREE) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=1))
            sent = [producer.send("orders", value) for value in values(5)]
            sent[3].cancel()
            await outcomes(sent)
        assert values_of(cluster, "orders") == [values(5)[n] for n in (0, 1, 2, 4)]

    @pytest.mark.parametrize("how", ["cancelled", "timed out"])
    async def test_smaller_ones_behind_a_large_one_need_not_wait_for_memory(self, how: str) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=ROOM_FOR_THREE) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=5))
            first = producer.send("orders", b"." * 200)
            large = producer.send("orders", b"." * 500, timeout=1 if how == "timed out" else None)
            small = producer.send("orders", b"small")
            await asyncio.sleep(1)
            if how == "cancelled":
                large.cancel()
            await asyncio.sleep(1)
            assert [step.what for step in small.explain().steps][:2] == ["accepted", "appended"]
            assert small.explain().steps[1].at_ms < 1100
            await outcomes([first, large, small])

    async def test_a_flush_does_not_wait_for_it_any_more(self) -> None:
        async with running(cluster_of()) as producer:
            waiting = producer.send("never", b"v")
            flushing = asyncio.create_task(producer.flush())
            await asyncio.sleep(1)
            assert not flushing.done()
            waiting.cancel()
            await flushing

    async def test_in_a_batch_it_is_delivered_all_the_same(self) -> None:
        cluster = cluster_of()
        async with running(cluster, linger_ms=100) as producer:
            await producer.warm_up(["orders"])
            sent = [producer.send("orders", value) for value in values(3)]
            sent[1].cancel()
            await outcomes(sent)
        assert values_of(cluster, "orders") == values(3)


class TestDeliveryTimeout:
    """It counts from send(), the waiting room included."""

    async def test_it_ends_the_waiting_if_it_comes_first(self) -> None:
        options: dict[str, Any] = {
            "delivery_timeout_ms": 2000,
            "request_timeout_ms": 1000,
            "max_block_ms": 60_000,
        }
        async with running(cluster_of(), **options) as producer:
            started = now()
            with pytest.raises((DeliveryTimeoutError, MetadataTimeoutError)) as caught:
                await producer.send("never", b"v")
            assert now() - started == pytest.approx(2.0, abs=0.01)
            assert caught.value.persisted == "no"

    async def test_time_in_the_room_counts(self) -> None:
        cluster = cluster_of()
        options: dict[str, Any] = {"delivery_timeout_ms": 5000, "request_timeout_ms": 1000}
        async with running(cluster, **options) as producer:
            await producer.send("orders", b"known")
            started = now()
            delivery = producer.send("later", b"v")
            await asyncio.sleep(3)
            topic = cluster.add_topic("later")
            topic.partitions[0].leader = -1
            with pytest.raises(DeliveryTimeoutError):
                await delivery
            assert now() - started == pytest.approx(5.0, abs=0.01)


class TestDrain:
    """Cheap while there is room; waits while there is none."""

    async def test_it_waits_while_others_wait_for_memory(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=ROOM_FOR_THREE) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=2))
            sent = [producer.send("orders", value) for value in values(5)]
            started = now()
            await producer.drain()
            assert now() - started >= 2
            await asyncio.gather(*sent)

    async def test_it_has_a_limit(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=ROOM_FOR_THREE) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=5))
            sent = [producer.send("orders", value) for value in values(5)]
            with pytest.raises(TimeoutError):
                await producer.drain(timeout=1)
            await asyncio.gather(*sent)

    async def test_a_missing_topic_does_not_stop_a_firehose(self) -> None:
        cluster = cluster_of()
        async with running(cluster, max_block_ms=5000) as producer:
            await producer.warm_up(["orders"])
            lost = producer.send("never", b"v")
            started = now()
            for value in values(100):
                producer.send("orders", value)
                await producer.drain()
            assert now() - started < 1
            await outcomes([lost])

    async def test_a_loop_around_it_is_bounded_by_memory(self) -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=20_000) as producer:
            budget = engine_of(producer).budget
            sent = []
            for value in values(300):
                sent.append(producer.send("orders", value))
                await producer.drain()
                assert budget.held <= 20_000
            results = await asyncio.gather(*sent)
            assert [m.offset for m in results] == list(range(300))

    async def test_it_gives_the_loop_a_turn_now_and_then(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            await producer.warm_up(["orders"])
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count())
            for _ in range(300):
                producer.send("orders", b"." * 1000)
                await producer.drain()
            counting.cancel()
            await asyncio.wait([counting])
            assert turns >= 10
