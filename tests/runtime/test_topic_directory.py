"""Who waits for a topic's metadata without sending."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.errors import MetadataNotReadyError, TopicAuthorizationFailedError
from tests.fake_broker import FakeCluster
from tests.runtime.world import engine_of, now, running


async def test_all_who_wait_are_answered_together() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    async with running(cluster) as producer:
        waiting = [asyncio.create_task(producer.partitions_for("later")) for _ in range(3)]
        await asyncio.sleep(2)
        cluster.add_topic("later", 2)
        assert [len(infos) for infos in await asyncio.gather(*waiting)] == [2, 2, 2]


async def test_what_is_known_is_told_at_once() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    async with running(cluster) as producer:
        await producer.partitions_for("orders")
        before = now()
        await producer.partitions_for("orders")
        assert now() == before


async def test_a_final_error_is_each_one_s_own() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("secret").error_code = 29
    async with running(cluster) as producer:
        errors = await asyncio.gather(
            *[producer.partitions_for("secret") for _ in range(2)], return_exceptions=True
        )
        assert [type(error) for error in errors] == [TopicAuthorizationFailedError] * 2
        assert errors[0] is not errors[1]


async def test_counting_an_unknown_topic_says_so() -> None:
    async with running(FakeCluster()) as producer:
        with pytest.raises(MetadataNotReadyError, match="orders"):
            producer.partition_for("orders", b"key")


async def test_who_gives_up_leaves_no_trace() -> None:
    async with running(FakeCluster()) as producer:
        waiting = asyncio.create_task(producer.partitions_for("never"))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not any(engine_of(producer).topics._waiters.values())
