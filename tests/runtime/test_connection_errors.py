"""What a lost connection tells each record of what it carried."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.errors import ClusterConnectionError
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import engine_of, outcomes, running


async def test_each_record_is_told_its_own_partition_and_attempts() -> None:
    """One request carried three partitions; its loss is not the last one's alone."""
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders", 3)

    async with running(cluster, acks=1, retries=0, linger_ms=5) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(1)
        cluster.brokers[1].script.append(Conduct(hang_up="before"))
        errors = await outcomes([producer.send("orders", b"v", partition=p) for p in range(3)])
        assert [type(error) for error in errors] == [ClusterConnectionError] * 3
        assert [(e.partition, e.attempts, e.persisted) for e in errors] == [
            (0, 1, "maybe"),
            (1, 1, "maybe"),
            (2, 1, "maybe"),
        ]


@pytest.mark.parametrize("wrong", ["5", -1, float("nan"), True])
async def test_a_wrong_timeout_is_refused_before_anything_happens(wrong: object) -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    async with running(cluster) as producer:
        for call in (producer.close, producer.flush, producer.drain):
            with pytest.raises((TypeError, ValueError), match="timeout"):
                await call(timeout=wrong)  # type: ignore[operator]
        with pytest.raises((TypeError, ValueError), match="timeout"):
            await producer.partitions_for("orders", timeout=wrong)  # type: ignore[arg-type]
        assert (await producer.send("orders", b"still running")).offset == 0


async def test_drain_without_time_to_wait_is_no_error_while_there_is_room() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    async with running(cluster) as producer:
        await asyncio.sleep(1)
        await producer.drain(timeout=0)
        assert not engine_of(producer).admission.is_crowded
