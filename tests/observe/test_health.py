"""What a probe is told in each state."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioproducer import AsyncProducer
from aioproducer.errors import DeliveryTimeoutError
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import engine_of, outcomes, running
from tests.virtual_clock import VirtualClockLoop


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


def cluster_of() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_topic("orders")
    return cluster


def test_before_the_start_it_lives_and_is_not_ready() -> None:
    health = AsyncProducer("localhost:9092").health()
    assert (health.live, health.ready) == (True, False)
    assert health.reasons == ("the producer is not started",)


def test_connected_it_is_ready_and_closed_it_is_over() -> None:
    async def main() -> None:
        async with running(cluster_of()) as producer:
            assert producer.health().reasons[0] == "no broker has answered yet"
            await producer.send("orders", b"v")
            health = producer.health()
            assert (health.live, health.ready, health.reasons) == (True, True, ())
            assert health.brokers_connected == 1
            assert json.loads(json.dumps(health.as_dict()))["ready"] is True
        health = producer.health()
        assert (health.live, health.ready) == (False, False)
        assert health.reasons == ("the producer is closed",)

    run(main)


def test_it_is_ready_before_anything_is_sent() -> None:
    """A probe would keep the traffic away that it waits for."""

    async def main() -> None:
        async with running(cluster_of()) as producer:
            await asyncio.sleep(1)
            for _ in range(20):
                health = producer.health()
                assert (health.ready, health.reasons) == (True, ())
                assert health.brokers_connected == 1
                await asyncio.sleep(60)

    run(main)


def test_idle_connections_that_were_closed_leave_it_ready() -> None:
    async def main() -> None:
        async with running(cluster_of(), metadata_max_age_ms=3_600_000) as producer:
            await producer.send("orders", b"v")
            await asyncio.sleep(600)
            health = producer.health()
            assert health.brokers_connected == 0
            assert (health.ready, health.reasons) == (True, ())

    run(main)


def test_after_an_outage_it_is_ready_without_traffic() -> None:
    async def main() -> None:
        cluster = FakeCluster(3)
        cluster.add_topic("orders", 3)
        async with running(cluster) as producer:
            await asyncio.gather(*(producer.send("orders", b"v", partition=p) for p in range(3)))
            for broker in cluster.brokers.values():
                broker.stop()
            await asyncio.sleep(400)
            health = producer.health()
            assert (health.ready, health.reasons[0]) == (False, "connected to no broker")
            assert "cannot connect" in health.reasons[1]
            for broker in cluster.brokers.values():
                broker.start()
            await asyncio.sleep(30)
            assert (producer.health().ready, producer.health().reasons) == (True, ())

    run(main)


def test_records_for_brokers_out_of_reach_make_it_unready() -> None:
    """The bootstrap address answers, and names brokers at addresses that do not."""

    async def main() -> None:
        cluster = cluster_of()
        at = socket.AF_INET
        cluster.hosts = {"front": [(at, ("broker-1", 9092))], "broker-1": [(at, ("away", 9092))]}
        async with running(cluster, bootstrap="front:9092") as producer:
            await asyncio.sleep(1)
            assert producer.health().ready
            sent = producer.send("orders", b"v", timeout=10)
            await asyncio.sleep(2)
            health = producer.health()
            assert (health.ready, health.reasons[0]) == (False, "connected to no broker")
            assert "cannot connect to broker-1:9092" in health.reasons[1]
            assert isinstance((await outcomes([sent]))[0], DeliveryTimeoutError)

    run(main)


def test_without_a_cluster_it_lives_and_says_what_is_missing() -> None:
    async def main() -> None:
        cluster = cluster_of()
        cluster.brokers[1].stop()
        async with running(cluster) as producer:
            await asyncio.sleep(1)
            health = producer.health()
            assert (health.live, health.ready) == (True, False)
            assert health.reasons[0] == "no broker has answered yet"
            assert "broker-1" in health.reasons[1]

    run(main)


def test_a_cluster_that_went_away_makes_it_unready_until_it_is_back() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            await producer.send("orders", b"v")
            cluster.brokers[1].stop()
            await asyncio.sleep(1)
            assert "connected to no broker" in producer.health().reasons
            cluster.brokers[1].start()
            await producer.send("orders", b"v")
            await asyncio.sleep(5)
            assert producer.health().ready

    run(main)


def test_a_crowded_waiting_room_makes_it_unready() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=10_000) as producer:
            await producer.warm_up(["orders"])
            cluster.chooser = lambda broker, request: Conduct(delay=1.0)
            sent = [producer.send("orders", b"." * 1000) for _ in range(15)]
            health = producer.health()
            assert (health.live, health.ready) == (True, False)
            assert "half of the waiting room" in health.reasons[0]
            await asyncio.wait(sent)
            assert producer.health().ready

    run(main)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_dead_task_is_the_end() -> None:
    async def main() -> None:
        async with running(cluster_of()) as producer:
            await producer.send("orders", b"v")
            engine_of(producer)._crashed("a task", ZeroDivisionError("boom"))
            health = producer.health()
            assert (health.live, health.ready) == (False, False)
            assert "ZeroDivisionError('boom')" in health.reasons[0]

    run(main)
