"""Every wait has a bound, and its error names what was waited for and the last cause.

Also what is bounded besides time: the turns of topics, and what idle partitions cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioproducer import AsyncProducer, ProducerError, Record
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import engine_of, now, produced, running, virtual_loop

BLOCK, DELIVERY, REQUEST = 2.0, 5.0, 1.0
OPTIONS: dict[str, Any] = {
    "max_block_ms": int(BLOCK * 1000),
    "delivery_timeout_ms": int(DELIVERY * 1000),
    "request_timeout_ms": int(REQUEST * 1000),
    "socket_connection_setup_timeout_ms": 1000,
    "socket_connection_setup_timeout_max_ms": 1000,
    "linger_ms": 0,
    "buffer_memory": 1000,
}

Producer = AsyncProducer[Any, Any]


def cluster_of() -> FakeCluster:
    cluster = FakeCluster(2, latency=lambda: 0.01)
    cluster.add_topic("orders", 2)
    return cluster


@asynccontextmanager
async def unreachable(**options: Any) -> Any:
    """Every broker refuses connections from the beginning."""
    cluster = cluster_of()
    for broker in cluster.brokers.values():
        broker.stop()
    async with running(cluster, **{**OPTIONS, **options}) as producer:
        yield producer


@asynccontextmanager
async def mute(**options: Any) -> Any:
    """Every broker takes connections and requests, and answers nothing."""
    cluster = cluster_of()
    cluster.chooser = lambda _, __: Conduct(stall=True)
    async with running(cluster, **{**OPTIONS, **options}) as producer:
        yield producer


@asynccontextmanager
async def frozen(**options: Any) -> Any:
    """All went well until now; from here on no broker answers anything."""
    cluster = cluster_of()
    async with running(cluster, **{**OPTIONS, **options}) as producer:
        await producer.warm_up(["orders"])
        await producer.send("orders", b"v", partition=0)
        cluster.chooser = lambda _, __: Conduct(stall=True)
        yield producer


WORLDS: dict[str, tuple[Any, str]] = {
    "unreachable": (unreachable, "Connection refused"),
    "mute": (mute, "1 s during the handshake"),
    "frozen": (frozen, "did not answer within 1 s"),
}


async def _drain(producer: Producer, timeout: float | None) -> Any:
    held = [producer.send("orders", b"." * 400, partition=0) for _ in range(2)]
    try:
        await producer.drain(timeout)
    finally:
        for each in held:
            each.cancel()


async def _flush(producer: Producer, timeout: float | None) -> Any:
    held = producer.send("orders", b"v", partition=0)
    try:
        await producer.flush(timeout)
        held.result()  # settled before the flush was over
    finally:
        held.cancel()


async def _send_many(producer: Producer, timeout: float | None) -> Any:
    result = await producer.send_many([Record("orders", b"v", partition=0)], timeout=timeout)
    raise result.failures[0][1]


CALLS: dict[str, tuple[Callable[[Producer, float | None], Awaitable[Any]], str, float]] = {
    "send": (lambda p, t: p.send("orders", b"v", partition=0, timeout=t), "send()", DELIVERY),
    "send_and_wait": (
        lambda p, t: p.send_and_wait("orders", b"v", partition=0, timeout=t),
        "send()",
        DELIVERY,
    ),
    "send_many": (_send_many, "send_many()", DELIVERY),
    "drain": (_drain, "room or metadata", BLOCK),
    "flush": (_flush, "orders-0", DELIVERY + 1),
    "partitions_for": (lambda p, t: p.partitions_for("later", timeout=t), "topic later", BLOCK),
    "warm_up": (lambda p, t: p.warm_up(["later"], timeout=t), "topic later", BLOCK),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("call", CALLS)
async def test_a_wait_ends_when_it_was_told_to_and_says_why(world: str, call: str) -> None:
    make, cause = WORLDS[world]
    wait, what, _ = CALLS[call]
    async with make() as producer:
        started = now()
        with pytest.raises(ProducerError) as caught:
            await wait(producer, 1.5)
        assert now() - started == pytest.approx(1.5, abs=0.01)
    assert isinstance(caught.value, TimeoutError)
    assert "1.5 s" in str(caught.value)
    assert what in str(caught.value)
    if not (world == "frozen" and call in ("partitions_for", "warm_up")):
        assert cause in str(caught.value)
        assert isinstance(caught.value.__cause__, ProducerError)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("call", CALLS)
async def test_without_a_timeout_of_its_own_a_wait_ends_by_the_configuration(
    world: str, call: str
) -> None:
    make, _ = WORLDS[world]
    wait, _, bound = CALLS[call]
    async with make() as producer:
        started = now()
        try:
            await wait(producer, None)
        except ProducerError as error:
            assert isinstance(error, TimeoutError)
            assert isinstance(error.__cause__, ProducerError | TimeoutError)
        else:
            # What it waited for may have failed at that very moment: there is room again.
            assert call == "drain"
        assert BLOCK - 0.01 <= now() - started <= bound + 0.01


@pytest.mark.parametrize("world", WORLDS)
async def test_close_ends_by_the_configuration_and_counts_what_is_lost(world: str) -> None:
    make, _ = WORLDS[world]
    async with make() as producer:
        held = [producer.send("orders", b"v", partition=0), producer.send("later", b"v")]
        started = now()
        report = await producer.close()
        assert now() - started <= DELIVERY + 1.01
        assert report.failed + report.abandoned == 2
        assert all(isinstance(each.exception(), ProducerError) for each in held)


async def test_topics_take_turns_when_a_broker_is_slow() -> None:
    """A topic with a thousand batches in line does not hold up one with a single batch."""
    cluster = FakeCluster(latency=lambda: 0.01)
    for name in ("flood", "trickle"):
        cluster.add_topic(name)
    options = {"max_in_flight_requests_per_connection": 1, "batch_size": 300}
    async with running(cluster, **options) as producer:
        await producer.warm_up(["flood", "trickle"])
        await producer.send("flood", b"warm")
        flood = [producer.send("flood", b"." * 200) for _ in range(1000)]
        await asyncio.sleep(0.1)
        before = len(produced(cluster.brokers[1]))
        await producer.send("trickle", b"v")
        assert len(produced(cluster.brokers[1])) - before <= 2
        assert sum(delivery.done() for delivery in flood) < 100
        await asyncio.gather(*flood)


async def test_partitions_of_one_broker_take_turns_above_max_request_size() -> None:
    """When not all fit into a request, those left out stand first in line for the next."""
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders", 10)
    options = {
        "max_in_flight_requests_per_connection": 1, "batch_size": 300, "max_request_size": 1000,
    }  # fmt: skip
    async with running(cluster, **options) as producer:
        await producer.warm_up(["orders"])
        await producer.send("orders", b"warm", partition=0)
        sent = [
            producer.send("orders", b"%d" % p + b"." * 200, partition=p)
            for _ in range(20)
            for p in range(10)
        ]
        await asyncio.gather(*sent)
        batches = [
            int((value or b"")[:1])
            for values in produced(cluster.brokers[1])
            for value in values
            if value != b"warm"
        ]
        # In any stretch each partition has had as many turns as any other, or one less or more.
        for end in range(10, len(batches), 10):
            turns = [batches[:end].count(p) for p in range(10)]
            assert max(turns) - min(turns) <= 2


async def test_a_thousand_idle_partitions_cost_neither_task_nor_timer() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders", 1000)
    options = {"linger_ms": 5, "metadata_max_age_ms": 10**9, "connections_max_idle_ms": 10**9}
    async with running(cluster, **options) as producer:
        await producer.warm_up(["orders"])
        await asyncio.gather(*[producer.send("orders", b"v", partition=p) for p in range(1000)])
        assert len(asyncio.all_tasks()) > 1000
        # Assemblers end when idle, and the one alarm of delivery.timeout.ms goes off for nothing.
        await asyncio.sleep(200)
        # metadata, producer id, one broker, and this test
        assert len(asyncio.all_tasks()) == 4
        loop = virtual_loop()
        assert len(loop.pending_timers()) <= 2
        wakes = 0
        jump = loop.jump

        def counted(seconds: float) -> None:
            nonlocal wakes
            wakes += 1
            jump(seconds)

        loop.jump = counted  # type: ignore[method-assign]
        await asyncio.sleep(10_000)
        assert wakes <= 2
        assert engine_of(producer).budget.held == 0
