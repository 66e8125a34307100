"""The proxy with real sockets: any client behind it, any cluster before it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
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

PATIENCE = 60


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
    async with FaultProxy(bootstrap) as proxy, producing(proxy, request_timeout_ms=400) as producer:
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
        assert asyncio.get_running_loop().time() - begun >= 0.3
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
        await asyncio.wait([held], timeout=0.3)
        assert not held.done()
        assert outage.struck >= 1
        outage.remove()
        await held


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

    def produce(servers: str) -> None:
        producer = Producer(
            {"bootstrap.servers": servers, "log_level": 0, "topic.metadata.refresh.sparse": True}
        )
        for value in (b"1", b"2"):
            producer.produce(name, value, on_delivery=lambda error, _: told.append(error))
            assert producer.flush(PATIENCE) == 0
        producer.list_topics(timeout=PATIENCE)

    async with FaultProxy(bootstrap) as proxy:
        retried = proxy.fail("Produce", "NOT_LEADER_OR_FOLLOWER", times=2)
        final = proxy.fail("Produce", "TOPIC_AUTHORIZATION_FAILED", skip=1)
        await asyncio.to_thread(produce, proxy.bootstrap_servers)
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


# Peers that behave badly


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def behind_proxy(
    peer: Peer, **options: Any
) -> AsyncIterator[tuple[FaultProxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a scripted broker through a proxy."""
    tasks: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await peer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(PATIENCE), FaultProxy(f"127.0.0.1:{port}", **options) as proxy:
            host, _, ours = proxy.bootstrap_servers.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(ours))
            try:
                yield proxy, reader, writer
            finally:
                writer.transport.abort()
                await asyncio.sleep(0)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def request_of(correlation_id: int, api: int = 12, body: bytes = b"") -> bytes:
    data = struct.pack(">hhih", api, 0, correlation_id, -1) + body
    return struct.pack(">i", len(data)) + data


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with its correlation id and its size."""
    while True:
        data = await read_frame(reader)
        answer = data[4:8] + struct.pack(">i", len(data))
        writer.write(struct.pack(">i", len(answer)) + answer)
        await writer.drain()


async def test_frames_arrive_however_they_were_cut() -> None:
    async with behind_proxy(echo) as (_, reader, writer):
        for byte in request_of(1) + request_of(2):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert [(await read_frame(reader))[3] for _ in range(2)] == [1, 2]
        writer.write(request_of(3) + request_of(4, body=bytes(300_000)) + request_of(5))
        answers = [await read_frame(reader) for _ in range(3)]
        assert [answer[3] for answer in answers] == [3, 4, 5]
        assert answers[1][4:] == struct.pack(">i", 300_010)


async def test_a_client_that_ends_its_side_still_gets_its_answers() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = [await read_frame(reader) for _ in range(2)]
        assert await reader.read() == b""
        for data in frames:
            writer.write(struct.pack(">i", 4) + data[4:8])
        await writer.drain()
        await asyncio.sleep(PATIENCE)

    async with behind_proxy(slow) as (_, reader, writer):
        writer.write(request_of(1) + request_of(2))
        writer.write_eof()
        assert await reader.read() == struct.pack(">iiii", 4, 1, 4, 2)


async def test_a_broker_that_ends_its_side_is_heard_to_the_end() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await read_frame(reader)
        writer.write(struct.pack(">i", 8) + data[4:8] + b"last")
        writer.close()
        await writer.wait_closed()

    async with behind_proxy(once) as (_, reader, writer):
        writer.write(request_of(1))
        assert (await reader.read())[-4:] == b"last"


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">i", -5),
        struct.pack(">i", 2**20),
        b"\0\0\0\5\1\2\3\4\5",
    ],
)
async def test_what_is_no_frame_ends_the_connection_and_no_other(
    garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with behind_proxy(echo, max_frame=2**16) as (proxy, reader, writer):
        host, _, port = proxy.bootstrap_servers.rpartition(":")
        other_reader, other_writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        assert await reader.read() == b""
        assert "a connection to 127.0.0.1" in caplog.text
        other_writer.write(request_of(7))
        assert (await read_frame(other_reader))[3] == 7
        other_writer.transport.abort()


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(struct.pack(">ii", 4, 99))
        await writer.drain()
        await reader.read()

    async with behind_proxy(strange) as (_, reader, writer):
        writer.write(request_of(1))
        assert await reader.read() == b""


async def test_a_client_that_reads_nothing_is_not_read_from() -> None:
    """What the proxy holds is bounded: the sender is stopped, as by a real broker."""

    async def generous(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            data = await read_frame(reader)
            writer.write(struct.pack(">i", 1_000_004) + data[4:8] + bytes(1_000_000))
            await writer.drain()

    async with behind_proxy(generous) as (proxy, reader, writer):
        for number in range(100):
            writer.write(request_of(number, body=bytes(1_000_000)))
        stopped = asyncio.ensure_future(writer.drain())
        done, _ = await asyncio.wait([stopped], timeout=1)
        assert not done
        assert len(proxy.seen) < 100
        for number in range(100):
            assert (await read_frame(reader))[:4] == struct.pack(">i", number)
        await stopped


async def test_own_answers_keep_their_place_behind_those_of_the_broker() -> None:
    """Clients take answers in the order of their requests."""
    go_on = asyncio.Event()

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await read_frame(reader)
        await go_on.wait()
        writer.write(struct.pack(">i", 4) + data[4:8])
        await writer.drain()
        await reader.read()

    async with behind_proxy(held) as (proxy, reader, writer):
        proxy.fail("InitProducerId", "COORDINATOR_NOT_AVAILABLE")
        writer.write(request_of(1))
        writer.write(request_of(2, 22, struct.pack(">hi", -1, 1000)))
        while len(proxy.seen) < 2:
            await asyncio.sleep(0.01)
        go_on.set()
        assert await read_frame(reader) == struct.pack(">i", 1)
        assert (await read_frame(reader))[:4] == struct.pack(">i", 2)


async def test_a_client_newer_than_the_proxy_is_asked_for_an_older_version() -> None:
    async with behind_proxy(echo) as (_, reader, writer):
        data = struct.pack(">hhih", 18, 99, 5, -1)
        writer.write(struct.pack(">i", len(data)) + data)
        assert await read_frame(reader) == b"\0\0\0\5" + b"\0\x23" + b"\0\0\0\0"


@pytest.mark.parametrize(("api", "version"), [(3, 99), (17, 0)])
async def test_what_it_could_not_follow_it_does_not_let_pass(api: int, version: int) -> None:
    async with behind_proxy(echo) as (_, reader, writer):
        data = struct.pack(">hhih", api, version, 5, -1) + b"\0\5PLAIN"
        writer.write(struct.pack(">i", len(data)) + data)
        assert await reader.read() == b""


async def test_leaving_ends_what_is_open() -> None:
    async with behind_proxy(echo) as (proxy, reader, writer):
        writer.write(request_of(1))
        await read_frame(reader)
        assert proxy.connections == 1
        await proxy.__aexit__(None, None, None)
        assert await reader.read() == b""
        assert proxy.connections == 0
