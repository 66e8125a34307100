"""What became of a record, and what took so long."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioproducer import Explanation
from aioproducer.errors import ClusterConnectionError
from aioproducer.story import Story
from tests.fake_broker import Conduct, FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import outcomes, running, virtual_loop
from tests.virtual_clock import VirtualClockLoop


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


def cluster_of() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_topic("orders")
    return cluster


def steps(explanation: Explanation) -> list[str]:
    return [step.what for step in explanation.steps]


def test_a_record_that_went_straight_through() -> None:
    async def main() -> None:
        async with running(cluster_of(), linger_ms=5) as producer:
            await producer.warm_up(["orders"])
            producer.send("orders", b"first")
            delivery = producer.send("orders", b"second")
            assert steps(delivery.explain()) == ["accepted", "appended"]
            assert delivery.explain().outcome == "pending"
            await delivery
            story = delivery.explain()
            assert steps(story) == [
                "accepted", "appended", "sealed", "sent", "answered", "acknowledged",
            ]  # fmt: skip
            assert (story.outcome, story.position, story.records) == ("acknowledged", 1, 2)
            assert story.steps[2].at_ms == pytest.approx(5, abs=0.1)
            assert story.duration_ms == pytest.approx(7, abs=0.5)
            assert story.longest == (story.steps[1], story.steps[2])
            text = str(story)
            assert "orders-0, record 2 of 2 in its batch: acknowledged, 7.0 ms" in text
            assert "batch sealed: linger.ms had passed" in text
            assert "attempt 1 sent to broker 1" in text
            assert "most of it: 5.0 ms between 'appended to a batch' and" in text

    run(main)


def test_each_attempt_is_told_with_its_error() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster, retry_backoff_ms=100, request_timeout_ms=500) as producer:
            await producer.warm_up(["orders"])
            cluster.topics["orders"].partitions[0].script.append(Verb(19))
            cluster.brokers[1].script.extend([Conduct(), Conduct(stall=True)])
            delivery = producer.send("orders", b"v")
            await delivery
            story = delivery.explain()
            sent = [step for step in story.steps if step.what == "sent"]
            failed = [step for step in story.steps if step.what == "failed"]
            assert [(step.attempt, step.broker) for step in sent] == [(1, 1), (2, 1), (3, 1)]
            assert [step.attempt for step in failed] == [1, 2]
            assert "NotEnoughReplicasError" in failed[0].words
            assert "did not answer within 0.5 s" in failed[1].words
            assert isinstance(failed[1].error, ClusterConnectionError)
            longest = story.longest
            assert longest is not None and longest[1] is failed[1]

    run(main)


def test_what_was_waited_for_is_told() -> None:
    async def main() -> None:
        cluster = cluster_of()
        cluster.brokers[1].script.append(Conduct(delay=2.0))
        async with running(cluster, buffer_memory=1000) as producer:
            first = producer.send("orders", b"." * 700)
            assert [s.words for s in first.explain().steps] == [
                "accepted; waited for the topic's metadata"
            ]
            await asyncio.sleep(1)
            second = producer.send("orders", b"." * 700)
            (step,) = second.explain().steps
            assert step.words == "accepted; waited for buffer.memory"
            await outcomes([first, second])
            assert [s.words for s in first.explain().steps][:3] == [
                "accepted; waited for the topic's metadata",
                "appended to a batch",
                "batch sealed: linger.ms had passed",
            ]
            story = second.explain()
            assert steps(story)[:2] == ["accepted", "appended"]
            assert story.steps[1].at_ms == pytest.approx(1000, rel=0.05)
            assert story.longest == (story.steps[0], story.steps[1])

    run(main)


def test_waiting_for_one_thing_after_the_other_is_told() -> None:
    async def main() -> None:
        cluster = cluster_of()
        cluster.add_topic("others")
        async with running(cluster, buffer_memory=1000, linger_ms=60_000) as producer:
            await producer.warm_up(["orders"])
            first = producer.send("orders", b"." * 400)
            second = producer.send("others", b"." * 400)
            await outcomes([first, second])
            assert [s.words for s in second.explain().steps][:4] == [
                "accepted; waited for the topic's metadata",
                "that is there; waited for buffer.memory",
                "appended to a batch",
                "batch sealed: buffer.memory was short",
            ]
            assert "batch sealed: buffer.memory was short" in str(first.explain())

    run(main)


def test_a_record_that_never_got_in_says_so() -> None:
    async def main() -> None:
        async with running(cluster_of(), max_block_ms=1000) as producer:
            lost = producer.send("nowhere", b"v")
            await outcomes([lost])
            story = lost.explain()
            assert (story.outcome, story.position) == ("failed", None)
            assert steps(story) == ["accepted", "given_up"]
            assert story.duration_ms == pytest.approx(1000, abs=2)
            assert "MetadataTimeoutError" in str(story)
            cancelled = producer.send("nowhere", b"v")
            cancelled.cancel()
            assert steps(cancelled.explain()) == ["accepted", "given_up"]
            assert cancelled.explain().outcome == "cancelled"

    run(main)


def test_a_refused_record_has_an_empty_story() -> None:
    async def main() -> None:
        async with running(cluster_of(), max_request_size=1000) as producer:
            delivery = producer.send("orders", b"." * 2000)
            assert delivery.explain().steps == ()
            assert delivery.explain().longest is None
            assert "failed" in str(delivery.explain())
            delivery.exception()

    run(main)


def test_parts_of_a_split_batch_keep_what_happened_before() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster, linger_ms=5) as producer:
            await producer.warm_up(["orders"])
            cluster.topics["orders"].partitions[0].script.append(Verb(10))
            deliveries = [producer.send("orders", b"." * 500) for _ in range(4)]
            await outcomes(deliveries)
            for delivery in deliveries:
                story = delivery.explain()
                assert [s.attempt for s in story.steps if s.what == "sent"] == [1, 2]
                assert story.records in (1, 2, 3)
            assert producer.metrics().batch_split_total == 1

    run(main)


def test_a_story_of_very_many_attempts_keeps_the_first_and_the_last() -> None:
    story = Story(0.0)
    for number in range(100):
        story.leaves(float(number), 1, None)
        story.returns(number + 0.5, ClusterConnectionError("no"))
    assert len(story.attempts) == 32
    assert story.attempts[0].sent_at == 0.0
    assert story.attempts[-1].sent_at == 99.0
    assert story.left_out == 68


def test_what_a_ready_batch_waited_for_is_told() -> None:
    """A connection, the end of a pause, a leader: each where the batch had to wait for it."""

    async def main() -> None:
        cluster = FakeCluster(nodes=2)
        topic = cluster.add_topic("orders")
        async with running(cluster, connections_max_idle_ms=5000) as producer:
            await producer.send("orders", b"v")
            await asyncio.sleep(60)
            late = producer.send("orders", b"v")
            await late
            assert "connected" in steps(late.explain())
            cluster.brokers[1].script.append(Conduct(throttle_ms=700))
            await producer.send("orders", b"v")
            paused = producer.send("orders", b"v")
            await paused
            story = paused.explain()
            assert story.longest is not None
            assert story.longest[1].what == "resumed"
            assert story.longest[1].at_ms == pytest.approx(700, rel=0.1)
            cluster.move_leader(topic.partitions[0], 2)
            moved = producer.send("orders", b"v")
            await moved
            story = moved.explain()
            assert [s.broker for s in story.steps if s.what == "sent"] == [1, 2]
            assert "leader" in steps(story)
            assert "broker 2 leads its partition" in str(story)

    run(main)


def test_a_record_whose_own_time_is_over_keeps_its_story() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=2.0))
            delivery = producer.send("orders", b"v", timeout=0.5)
            await outcomes([delivery])
            story = delivery.explain()
            assert steps(story)[-2:] == ["sent", "given_up"]
            assert story.duration_ms == pytest.approx(500, abs=1)
            await asyncio.sleep(3)
            assert delivery.explain() == story

    run(main)


def test_asking_does_not_count_as_having_looked() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            cluster.topics["orders"].partitions[0].script.append(Verb(87))
            delivery = producer.send("orders", b"v")
            await producer.flush()
            assert delivery.explain().outcome == "failed"
            del delivery
            gc.collect()
            assert len(virtual_loop().reported) == 1

    run(main)
