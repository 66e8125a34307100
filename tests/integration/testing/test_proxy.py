"""The proxy between clients and clusters: ours and others behind it, real ones before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioproducer import AsyncProducer, ProducerFencedError, TransactionState
from aioproducer.errors import (
    DeliveryTimeoutError,
    NotLeaderOrFollowerError,
    TopicAuthorizationFailedError,
)
from aioproducer.testing import EmbeddedCluster, FaultProxy, KafkaCluster
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory, skip_for_cluster

PATIENCE = 180


@asynccontextmanager
async def producing(proxy: FaultProxy, **options: Any) -> AsyncIterator[AsyncProducer[Any, Any]]:
    async with (
        asyncio.timeout(PATIENCE),
        AsyncProducer(proxy.bootstrap_servers, **options) as producer,
    ):
        yield producer


@pytest.mark.core
async def test_everything_goes_through_it(bootstrap: str, topic: TopicFactory) -> None:
    """Also what clients only learn of from answers: leaders, and coordinators."""
    name = topic(6)
    async with FaultProxy(bootstrap) as proxy:
        async with producing(proxy) as producer:
            for partition in range(6):
                await producer.send(name, b"v", partition=partition)
        assert {frame.broker for frame in proxy.produce_requests} == {
            info.leader for info in await _partitions(bootstrap, name)
        }
        records = await read_topic_async(proxy.bootstrap_servers, name)
    assert len(records) == 6


async def _partitions(bootstrap: str, topic: str) -> tuple[Any, ...]:
    async with AsyncProducer(bootstrap) as producer:
        return await producer.partitions_for(topic)


@pytest.mark.core
async def test_an_error_is_struck_and_counted(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    async with FaultProxy(bootstrap) as proxy, producing(proxy) as producer:
        fault = proxy.fail("Produce", NotLeaderOrFollowerError, times=2)
        assert (await producer.send(name, b"1")).offset == 0
        assert fault.struck == 2
        final = proxy.fail("Produce", TopicAuthorizationFailedError)
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send(name, b"2")
        assert final.is_over
        assert (await producer.send(name, b"3")).offset == 1


async def test_of_two_topics_one_fails(bootstrap: str, topic: TopicFactory) -> None:
    """Both are in one request: the broker gets the one, the proxy answers for the other."""
    good, bad = topic(), topic()
    async with FaultProxy(bootstrap) as proxy:
        fault = proxy.fail("Produce", TopicAuthorizationFailedError, times=None, topic=bad)
        async with producing(proxy, linger_ms=200) as producer:
            await producer.warm_up([good, bad])
            fine = [producer.send(good, b"%d" % number) for number in range(3)]
            refused = producer.send(bad, b"v")
            await producer.flush()
            assert [(await each).offset for each in fine] == [0, 1, 2]
            assert isinstance(refused.exception(), TopicAuthorizationFailedError)
        assert fault.struck >= 1
    assert await read_topic_async(bootstrap, bad) == []


async def test_an_answer_may_lie(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    async with FaultProxy(bootstrap) as proxy, producing(proxy) as producer:
        proxy.fail("Produce", TopicAuthorizationFailedError, executed=True)
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send(name, b"written all the same")
    assert [r.value for r in await read_topic_async(bootstrap, name)] == [b"written all the same"]


@pytest.mark.parametrize("at", ["before", "during request", "after", "during answer"])
async def test_a_lost_connection_costs_no_record(
    at: Any, bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with FaultProxy(bootstrap) as proxy, producing(proxy) as producer:
        await producer.send(name, b"1")
        fault = proxy.disconnect("Produce", at=at)
        await producer.send(name, b"2")
        assert fault.struck == 1
    assert [r.value for r in await read_topic_async(bootstrap, name)] == [b"1", b"2"]


async def test_a_swallowed_answer_and_a_swallowed_request(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        producing(proxy, request_timeout_ms=2500) as producer,
    ):
        lost = proxy.swallow("Produce")
        await producer.send(name, b"1")
        never = proxy.swallow("Produce", at="request")
        await producer.send(name, b"2")
        assert (lost.struck, never.struck) == (1, 1)
    assert [r.value for r in await read_topic_async(bootstrap, name)] == [b"1", b"2"]


async def test_a_delay_holds_what_is_behind_it(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    async with FaultProxy(bootstrap) as proxy, producing(proxy) as producer:
        await producer.send(name, b"0")
        fault = proxy.delay("Produce", 0.3)
        begun = asyncio.get_running_loop().time()
        first = producer.send(name, b"1")
        await fault.strikes()
        await first
        assert asyncio.get_running_loop().time() - begun > 0.29
        proxy.delay("Produce", 10_000, times=None)
        with pytest.raises(DeliveryTimeoutError):
            await producer.send(name, b"2", timeout=0.2)
        await producer.close(0)


async def test_a_paused_proxy_lets_nothing_pass(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    async with FaultProxy(bootstrap) as proxy, producing(proxy) as producer:
        await producer.send(name, b"0")
        proxy.pause()
        held = producer.send(name, b"1")
        await asyncio.wait([held], timeout=0.3)
        assert not held.done()
        proxy.resume()
        await held


async def test_a_broker_that_refuses_is_missed_until_it_is_back(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    (info,) = await _partitions(bootstrap, name)
    async with FaultProxy(bootstrap) as proxy, producing(proxy) as producer:
        await producer.send(name, b"0")
        outage = proxy.refuse(info.leader)
        held = producer.send(name, b"1")
        while not outage.struck:
            await asyncio.sleep(0.01)
        await asyncio.wait([held], timeout=0.3)
        assert not held.done()
        outage.remove()
        await held


async def test_an_outage_meets_those_who_are_let_in_just_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy may be about to connect with the broker for them."""
    called, go_on, opened = asyncio.Event(), asyncio.Event(), asyncio.open_connection

    async def slow(*arguments: Any, **options: Any) -> Any:
        called.set()
        await go_on.wait()
        return await opened(*arguments, **options)

    with EmbeddedCluster(1) as cluster:
        async with FaultProxy(cluster.bootstrap_servers) as proxy, asyncio.timeout(PATIENCE):
            host, _, port = proxy.bootstrap_servers.rpartition(":")
            monkeypatch.setattr(asyncio, "open_connection", slow)
            reader, writer = await opened(host, int(port))
            await called.wait()
            proxy.refuse()
            go_on.set()
            with pytest.raises(ConnectionResetError):
                assert await reader.read() == b""
                raise ConnectionResetError
            assert proxy.connections == 0
            writer.close()


async def test_a_transaction_meets_errors_of_its_coordinator(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with (
        FaultProxy(bootstrap) as proxy,
        producing(proxy, transactional_id=f"id-{name}") as producer,
    ):
        retried = proxy.fail("EndTxn", "COORDINATOR_LOAD_IN_PROGRESS")
        async with producer.transaction() as tx:
            tx.send(name, b"1")
        assert retried.struck == 1
        proxy.fail("EndTxn", ProducerFencedError)
        with pytest.raises(ProducerFencedError):
            async with producer.transaction() as tx:
                tx.send(name, b"2")
        assert producer.transaction_state is TransactionState.FATAL_ERROR


# Clients that are not ours


@pytest.mark.core
async def test_confluent_kafka_reads_the_error_and_retries(
    bootstrap: str, topic: TopicFactory
) -> None:
    from confluent_kafka import KafkaError, Producer

    name = topic()
    told: list[Any] = []

    def produce(producer: Any, value: bytes) -> None:
        producer.produce(name, value, on_delivery=lambda error, _: told.append(error))
        assert producer.flush(PATIENCE) == 0

    async with FaultProxy(bootstrap) as proxy:
        producer = Producer(
            {
                "bootstrap.servers": proxy.bootstrap_servers,
                "log_level": 0,
                "topic.metadata.refresh.sparse": True,
            }
        )
        retried = proxy.fail("Produce", "NOT_LEADER_OR_FOLLOWER", times=2)
        await asyncio.to_thread(produce, producer, b"1")
        # Only now: a new topic's first answers may be errors of the broker's own.
        final = proxy.fail("Produce", "TOPIC_AUTHORIZATION_FAILED")
        await asyncio.to_thread(produce, producer, b"2")
        await asyncio.to_thread(producer.list_topics, timeout=PATIENCE)
        assert (retried.struck, final.struck) == (2, 1)
        assert {frame.client_id for frame in proxy.seen} == {"rdkafka"}
    assert told[0] is None
    assert told[1].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert [record.value for record in await read_topic_async(bootstrap, name)] == [b"1"]


async def test_aiokafka_reads_the_error_and_retries(bootstrap: str, topic: TopicFactory) -> None:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import TopicAuthorizationFailedError as TheirError

    name = topic()
    async with asyncio.timeout(PATIENCE), FaultProxy(bootstrap) as proxy:
        client = AIOKafkaProducer(bootstrap_servers=proxy.bootstrap_servers)
        await client.start()
        try:
            retried = proxy.fail("Produce", "NOT_LEADER_OR_FOLLOWER", times=2)
            row = await client.send_and_wait(name, b"1")
            assert (row.offset, retried.struck) == (0, 2)
            proxy.fail("Produce", "TOPIC_AUTHORIZATION_FAILED")
            with pytest.raises(TheirError):
                await client.send_and_wait(name, b"2")
        finally:
            await client.stop()


async def test_consumers_of_a_group_stay_behind_it(bootstrap: str, topic: TopicFactory) -> None:
    """They find their coordinator and the leaders through it, and meet its errors."""
    from aiokafka import AIOKafkaConsumer

    name = topic(3)
    async with AsyncProducer(bootstrap) as producer:
        for partition in range(3):
            await producer.send(name, b"v", partition=partition)
    async with asyncio.timeout(PATIENCE), FaultProxy(bootstrap) as proxy:
        found = proxy.fail("FindCoordinator", "COORDINATOR_NOT_AVAILABLE")
        consumer = AIOKafkaConsumer(
            name, bootstrap_servers=proxy.bootstrap_servers, group_id=f"group-{name}",
            auto_offset_reset="earliest",
        )  # fmt: skip
        await consumer.start()
        try:
            values = [(await consumer.getone()).value for _ in range(3)]
            await consumer.commit()
        finally:
            await consumer.stop()
        assert values == [b"v"] * 3
        assert found.struck == 1
        assert {frame.name for frame in proxy.seen} >= {"JoinGroup", "Fetch", "OffsetCommit"}


# The embedded cluster, and no loop of one's own


@pytest.mark.core
async def test_an_embedded_cluster_has_faults_of_its_own(
    request: pytest.FixtureRequest, kafka: KafkaCluster
) -> None:
    if not kafka.is_real and request.config.getoption("--kafka-version") is None:
        skip_for_cluster(request, "once, beside a real cluster")
    async with EmbeddedCluster(2, faults=True) as cluster:
        cluster.create_topic("orders", 2)
        fault = cluster.faults.fail("Produce", NotLeaderOrFollowerError, times=2)
        async with asyncio.timeout(PATIENCE), AsyncProducer(cluster.bootstrap_servers) as producer:
            await producer.send("orders", b"v")
        assert fault.struck == 2
        assert {frame.name for frame in cluster.faults.seen} >= {"Produce", "Metadata"}
    with pytest.raises(RuntimeError, match="faults=True"):
        assert EmbeddedCluster().faults


def test_a_program_without_a_loop_has_the_proxy_on_a_thread(bootstrap: str) -> None:
    with FaultProxy(bootstrap) as proxy:
        proxy.pause()
        proxy.resume()
        outage = proxy.refuse()
        outage.remove()
        proxy.cut_all()

        async def main() -> None:
            async with producing(proxy) as producer:
                await producer.partitions_for("__transaction_state")
                await asyncio.gather(*(proxy.fail("Metadata", 5).strikes(0) for _ in range(2)))

        asyncio.run(main())
        assert proxy.seen
    with pytest.raises(OSError), FaultProxy(bootstrap, host="192.0.2.1"):
        pass
