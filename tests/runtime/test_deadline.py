"""send(timeout=): a deadline for one record."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer import DeliveryTimeoutError
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import now, running, values_of, virtual_loop


def cluster_of() -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    return cluster


async def test_a_record_that_still_waits_is_withdrawn() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        started = now()
        delivery = producer.send("later", b"v", timeout=2)
        with pytest.raises(DeliveryTimeoutError, match="2 s") as caught:
            await delivery
        assert now() - started == pytest.approx(2)
        assert (caught.value.persisted, caught.value.topic) == ("no", "later")
        cluster.add_topic("later")
        await asyncio.sleep(10)
    assert values_of(cluster, "later") == []


async def test_one_on_its_way_is_delivered_all_the_same() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        await producer.warm_up(["orders"])
        cluster.brokers[1].script.append(Conduct(delay=5))
        early, other = producer.send("orders", b"v", timeout=2), producer.send("orders", b"w")
        with pytest.raises(DeliveryTimeoutError) as caught:
            await early
        assert (caught.value.persisted, caught.value.partition) == ("maybe", 0)
        assert (await other).offset == 1
    assert values_of(cluster, "orders") == [b"v", b"w"]


async def test_in_time_there_is_no_trace_of_it() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        assert (await producer.send("orders", b"v", timeout=5)).offset == 0
        await asyncio.sleep(10)
    assert virtual_loop().reported == []


async def test_send_and_wait_raises_it() -> None:
    async with running(cluster_of()) as producer:
        with pytest.raises(TimeoutError):
            await producer.send_and_wait("later", b"v", timeout=1)


async def test_zero_gives_it_one_turn() -> None:
    async with running(cluster_of()) as producer:
        delivery = producer.send("later", b"v", timeout=0)
        assert not delivery.done()
        await asyncio.sleep(0.001)
        assert isinstance(delivery.exception(), DeliveryTimeoutError)


async def test_one_that_was_cancelled_stays_cancelled() -> None:
    async with running(cluster_of()) as producer:
        delivery = producer.send("later", b"v", timeout=1)
        delivery.cancel()
        await asyncio.sleep(2)
        assert delivery.cancelled()
