"""What a bad day costs: each fault by itself, under load, with what a user may count on.

`make torture` mixes the same faults for an hour; here each has its own few seconds and its promise.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from aioproducer import AsyncProducer, RecordMetadata
from aioproducer.testing import KafkaCluster, NodeControl
from aioproducer.testing.admin import states_of
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.proxy import Cut, Drop, FaultProxy, Frame
from tests.conftest import TopicFactory
from tests.integration.test_broker_loss import (
    PARTITIONS,
    PATIENT,
    Load,
    check_once_in_order,
    under_load,
)
from tests.torture import moves
from tests.torture.site import retried, topic_ids

pytestmark = pytest.mark.timeout(900)

QUICK: dict[str, Any] = {
    "linger_ms": 2,
    "retry_backoff_ms": 20,
    "reconnect_backoff_ms": 20,
    "batch_size": 2000,
    **PATIENT,
}


async def until(condition: Callable[[], bool], timeout: float = 240) -> None:
    deadline = time.monotonic() + timeout
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "the cluster did not do it"
        await asyncio.sleep(0.1)


async def check_with_one_more(bootstrap: str, load: Load) -> None:
    """The load once and in order, and somewhere in partition 0 the one record sent beside it."""
    reads = await read_topic_async(bootstrap, load.topic)
    for partition in range(PARTITIONS):
        mine = [int(r.value or b"") for r in reads if r.partition == partition]
        wanted = range(partition, len(load.deliveries), PARTITIONS)
        assert [number for number in mine if number != -1] == list(wanted)
        assert mine.count(-1) == (partition == 0)


@pytest.mark.parametrize("side", ["requests", "answers"])
async def test_connections_cut_inside_a_frame_cost_no_record(
    bootstrap: str, topic: TopicFactory, side: str
) -> None:
    """Half a request or half an answer arrives: sent again, kept once, in order."""
    name = topic(PARTITIONS)
    rng = random.Random(side)
    cuts = 0

    def cut(frame: Frame) -> None:
        nonlocal cuts
        if frame.is_produce and cuts < 10 and rng.random() < 0.2:
            cuts += 1
            raise Cut(rng.uniform(0.1, 0.9))

    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(proxy.bootstrap_servers, **QUICK) as producer,
    ):
        await producer.warm_up([name])
        setattr(proxy, {"requests": "on_request", "answers": "on_answer"}[side], cut)
        async with under_load(producer, name) as load:
            async with asyncio.timeout(240):
                while cuts < 10:
                    await asyncio.sleep(0.05)
        await producer.flush()
    await check_once_in_order(bootstrap, load)


async def test_swallowed_answers_cost_time_and_no_record(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The brokers have the batches and their answers get lost: noticed by request.timeout.ms."""
    name = topic(PARTITIONS)
    swallowed = 0

    def swallow(frame: Frame) -> None:
        nonlocal swallowed
        if frame.is_produce:
            swallowed += 1
            raise Drop

    async with (
        FaultProxy(bootstrap) as proxy,
        AsyncProducer(proxy.bootstrap_servers, request_timeout_ms=2000, **QUICK) as producer,
    ):
        await producer.warm_up([name])
        async with under_load(producer, name) as load:
            proxy.on_answer = swallow
            async with asyncio.timeout(240):
                while not (swallowed and producer.metrics().record_retry_total):
                    await asyncio.sleep(0.05)
            proxy.on_answer = lambda frame: None
        await producer.flush()
    await check_once_in_order(bootstrap, load)


async def test_a_leader_frozen_until_it_is_deposed_costs_no_record(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """Others take the lead while its sockets stay open; when it wakes up, nothing comes twice."""
    name = topic(PARTITIONS)
    async with AsyncProducer(bootstrap, request_timeout_ms=3000, **QUICK) as producer:
        await producer.warm_up([name])
        async with under_load(producer, name) as load:
            victim = (await asyncio.to_thread(states_of, bootstrap, name))[0].leader
            node_control.pause(victim)
            try:
                await producer.send(name, b"-1", partition=0)
            finally:
                node_control.resume(victim)
        await producer.flush()
    await check_with_one_more(bootstrap, load)


async def test_replicas_move_away_and_back_and_no_record_is_lost(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """Each partition leaves its leader's disk under load, and comes back."""
    name = topic(PARTITIONS)
    async with AsyncProducer(bootstrap, **QUICK) as producer:
        async with under_load(producer, name) as load:
            await retried(moves.drop_leaders, bootstrap, name)
            await until(lambda: moves.has_replicas(bootstrap, name, 2))
            await retried(moves.fill_up, bootstrap, name, node_control.node_ids)
            await until(lambda: moves.has_replicas(bootstrap, name, 3))
        await producer.flush()
    await check_once_in_order(bootstrap, load)


async def test_too_few_replicas_in_sync_delay_records_and_lose_none(
    bootstrap: str, node_control: NodeControl, topic: TopicFactory
) -> None:
    """All three are asked for while one is dead: nothing is acknowledged until it is back."""
    name = topic(PARTITIONS, configs={"min.insync.replicas": "3"})
    async with AsyncProducer(bootstrap, request_timeout_ms=5000, **QUICK) as producer:
        await producer.warm_up([name])
        async with under_load(producer, name) as load:
            await asyncio.to_thread(node_control.kill, node_control.node_ids[2])
            # Before the others know that it is gone, and after.
            await asyncio.sleep(4.5)
            held = producer.send(name, b"-1", partition=0)
            held.add_done_callback(lambda delivery: delivery.exception())
            await asyncio.sleep(0.5)
            assert not held.done()
            await asyncio.to_thread(node_control.restart, node_control.node_ids[2])
            await held
        await producer.flush()
        assert producer.metrics().record_error_total == 0
    await check_with_one_more(bootstrap, load)


async def test_a_quota_slows_the_producer_down_and_costs_no_record(
    kafka: KafkaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """A throttled answer is a success, and a pause after it (KIP-219), which is counted."""
    assert isinstance(kafka, JavaCluster)
    name = topic()

    def alter(action: str, config: str) -> None:
        kafka.run_tool(
            "kafka.admin.ConfigCommand",
            *("--bootstrap-server", bootstrap, "--alter", "--entity-type", "clients"),
            *("--entity-name", name, action, config),
        )

    async with AsyncProducer(bootstrap, client_id=name, linger_ms=0) as producer:
        await producer.send(name, b"before", partition=0)
        assert producer.metrics().throttle_time_total_ms == 0
        assert "throttling" not in producer.diagnose({"throttle_share": 0.0}).names
        await asyncio.to_thread(alter, "--add-config", "producer_byte_rate=3000")
        try:
            sent = 1
            async with asyncio.timeout(240):
                while not (told := producer.metrics().throttle_time_total_ms):
                    asked = time.monotonic()
                    await producer.send(name, bytes(4000), partition=0)
                    sent += 1
            diagnosis = producer.diagnose({"throttle_share": 0.0})
            assert "throttling" in diagnosis.names
            await producer.send(name, b"after", partition=0)
            # The pause began with the answer. A timer may fire a little early.
            assert time.monotonic() - asked > told / 1000 - 0.02
        finally:
            await asyncio.to_thread(alter, "--delete-config", "producer_byte_rate")
    reads = await read_topic_async(bootstrap, name)
    values = [read.value for read in reads if read.partition == 0]
    assert values == [b"before", *[bytes(4000)] * (sent - 1), b"after"]


async def test_after_a_topic_was_deleted_and_made_again_records_go_to_the_new_one(
    kafka: KafkaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """What was acknowledged before is gone with the old topic; every later record is there once."""
    name = topic(PARTITIONS)
    async with AsyncProducer(bootstrap, allow_auto_create_topics=False, **QUICK) as producer:
        async with under_load(producer, name) as load:
            async with asyncio.timeout(240):
                while len(ids := await topic_ids(bootstrap, name)) > 1 or bytes(16) in ids:
                    await asyncio.sleep(0.1)
            [old] = ids
            await asyncio.to_thread(kafka.delete_topic, name)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(kafka.create_topic, name, PARTITIONS)
            # Until each broker by itself knows the new one.
            async with asyncio.timeout(240):
                while len(ids := await topic_ids(bootstrap, name)) > 1 or ids & {old, bytes(16)}:
                    await asyncio.sleep(0.1)
            first_new = len(load.deliveries)
            await load.goes_on()
        await producer.flush()
    outcomes = await asyncio.gather(*load.deliveries, return_exceptions=True)
    acknowledged = [n for n, each in enumerate(outcomes) if isinstance(each, RecordMetadata)]
    assert set(range(first_new, len(outcomes))) <= set(acknowledged)
    reads = await read_topic_async(bootstrap, name)
    for partition in range(PARTITIONS):
        mine = [int(read.value or b"") for read in reads if read.partition == partition]
        assert mine == sorted(set(mine))
        assert set(mine) <= set(acknowledged)
        later = {n for n in range(first_new, len(outcomes)) if n % PARTITIONS == partition}
        assert later <= set(mine)
