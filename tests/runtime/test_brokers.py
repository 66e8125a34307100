"""Brokers come and go with the metadata, and one that can be asked is found."""

from __future__ import annotations

import asyncio

from tests.runtime.test_cluster import cluster_of
from tests.runtime.world import engine_of, running


async def test_any_of_the_brokers_will_do() -> None:
    cluster = cluster_of(3)
    async with running(cluster) as producer:
        await producer.send("orders", b"v")
        for node in (2, 3):
            cluster.brokers[node].stop()
        cluster.add_topic("others")
        await producer.send("others", b"v", partition=0)


async def test_a_broker_that_leaves_the_cluster_loses_its_connection() -> None:
    cluster = cluster_of(2, 2)
    async with running(cluster, metadata_max_age_ms=1000) as producer:
        await asyncio.gather(*[producer.send("orders", b"v", partition=p) for p in (0, 1)])
        gone = cluster.brokers.pop(2)
        cluster.move_leader(cluster.topics["orders"].partitions[1], 1)
        await asyncio.sleep(5)
        assert not gone.sessions
        await producer.send("orders", b"w", partition=1)


async def test_a_broker_that_comes_back_takes_what_waited_for_it() -> None:
    cluster = cluster_of(2, 2)
    async with running(cluster, metadata_max_age_ms=500) as producer:
        await asyncio.gather(*[producer.send("orders", b"v", partition=p) for p in (0, 1)])
        gone = cluster.brokers.pop(2)
        gone.stop()
        delivery = producer.send("orders", b"w", partition=1)
        await asyncio.sleep(3)
        cluster.brokers[2] = gone
        gone.start()
        await delivery


async def test_the_least_loaded_broker_is_asked() -> None:
    async with running(cluster_of(2, 2)) as producer:
        await asyncio.gather(*[producer.send("orders", b"v", partition=p) for p in (0, 1)])
        brokers = engine_of(producer).cluster.brokers
        for partition in (0, 1):
            delivery = producer.send("orders", b"w", partition=partition)
            producer.expedite()
            await asyncio.sleep(0.001)
            (busy,) = [node for node, manager in brokers.managers.items() if manager.in_flight]
            assert brokers.requests_in_flight() == 1
            asked = brokers.least_loaded()
            assert asked is not None
            assert asked.node_id != busy
            await delivery


async def test_a_broker_at_another_address_has_another_connection() -> None:
    cluster = cluster_of()
    async with running(cluster, metadata_max_age_ms=1000) as producer:
        await producer.send("orders", b"v")
        brokers = engine_of(producer).cluster.brokers
        before = brokers.managers[1]
        cluster.brokers[1].host = "moved"
        await asyncio.sleep(5)
        assert (brokers.managers[1].host, before.host) == ("moved", "broker-1")
        await producer.send("orders", b"w")
    assert cluster.topics["orders"].partitions[0].values == [b"v", b"w"]
