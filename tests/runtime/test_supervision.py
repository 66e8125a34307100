"""Whichever background task dies: what is held fails and says why; nothing is silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from aioproducer import AsyncProducer, LifeState, ProducerStateError
from aioproducer.runtime.assembler import BatchAssembler
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.connection_manager import ConnectionManager
from aioproducer.runtime.producer_id import ProducerIdKeeper
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import engine_of, now, outcomes, virtual_loop


class Bug(Exception):
    """Nothing in the package expects it."""


Trigger = Callable[[AsyncProducer[Any, Any]], None]


def _ask_for_metadata(producer: AsyncProducer[Any, Any]) -> None:
    engine_of(producer).cluster.request_update("orders")


def _lose_the_connection(producer: AsyncProducer[Any, Any]) -> None:
    manager = engine_of(producer).cluster.manager(1)
    assert manager is not None and manager._connection is not None
    manager._connection._transport.abort()  # type: ignore[union-attr]


def _open_a_batch(producer: AsyncProducer[Any, Any]) -> None:
    producer.send("orders", b"opens a batch", partition=1).cancel()


def _need_a_new_identity(producer: AsyncProducer[Any, Any]) -> None:
    keeper = engine_of(producer).keeper
    keeper.identity = None
    keeper.want()


TASKS = pytest.mark.parametrize(
    ("owner", "method", "trigger", "name"),
    [
        (Cluster, "_refresh", _ask_for_metadata, "metadata"),
        (ConnectionManager, "_connect_once", _lose_the_connection, "broker-1"),
        (BatchAssembler, "_sleep_until", _open_a_batch, "assembler-orders-"),
        (ProducerIdKeeper, "_acquire", _need_a_new_identity, "producer-id"),
    ],
)


class World:
    """A running producer with a record on the wire, one that lingers, and one that waits."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(2, latency=lambda: 0.01)
        self.cluster.add_topic("orders", 2)
        self.deliveries: list[Any] = []

    async def begin(self) -> None:
        virtual_loop().network = self.cluster
        producer: AsyncProducer[Any, Any] = AsyncProducer(self.cluster.bootstrap, linger_ms=60_000)
        self.producer = producer
        await producer.start()
        await producer.warm_up(["orders"])
        await producer.send_and_wait("orders", b"first", partition=0)
        self.cluster.brokers[1].script.append(Conduct(delay=100))
        sending = asyncio.create_task(producer.send_and_wait("orders", b"wire", partition=0))
        await asyncio.sleep(0.005)
        self.deliveries = [
            sending,
            producer.send("orders", b"lingers", partition=0),
            producer.send("never", b"waits"),
        ]
        self.waits = [
            asyncio.create_task(producer.flush()),
            asyncio.create_task(producer.partitions_for("never")),
        ]
        await asyncio.sleep(0)

    async def end(self) -> None:
        before = now()
        await self.producer.close()
        assert now() - before < 0.1
        assert self.producer.state is LifeState.CLOSED
        await asyncio.sleep(200)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not virtual_loop().pending_timers()


@TASKS
async def test_each_task_that_dies_fails_what_is_held_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: type,
    method: str,
    trigger: Trigger,
    name: str,
) -> None:
    world = World()
    await world.begin()
    producer = world.producer

    async def fails(*_: Any) -> None:
        raise Bug("unexpected")

    monkeypatch.setattr(owner, method, fails)
    before = now()
    trigger(producer)
    found = await outcomes(world.deliveries)
    assert now() - before < 2
    for error in found:
        assert isinstance(error, ProducerStateError)
        assert f"the background task {producer.client_id}:{name}" in str(error)
        assert "died: Bug('unexpected')" in str(error)
        assert isinstance(error.__cause__, Bug)
    assert found[0].persisted == "maybe"
    assert found[2].persisted == "no"
    await asyncio.wait(world.waits, timeout=1)
    assert world.waits[0].exception() is None
    assert isinstance(world.waits[1].exception(), ProducerStateError)
    assert producer.state is LifeState.FAILED
    with pytest.raises(ProducerStateError, match="background task") as caught:
        producer.send("orders", b"later")
    assert isinstance(caught.value.__cause__, Bug)
    said = [r for r in caplog.records if r.name == "aioproducer" and r.levelno == logging.ERROR]
    assert said[0].exc_info is not None
    for record in said:
        assert f"background task {producer.client_id}:{name}" in record.getMessage()
    await world.end()


async def test_an_application_that_cancels_all_tasks_is_told_what_that_did(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Records would otherwise wait for answers that nobody fetches."""
    world = World()
    await world.begin()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    found = await asyncio.gather(*world.deliveries, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(error, ProducerStateError) for error in found[1:])
    assert world.producer.state is LifeState.FAILED
    assert caplog.text.count("cancelled from outside") == 1
    await asyncio.wait(world.waits)
    await world.end()
