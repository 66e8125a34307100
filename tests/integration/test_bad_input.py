"""Bad input gets a clear, typed error, and no record is lost or disturbed by another's fault."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    BufferExhaustedError,
    ConfigurationError,
    Delivery,
    MetadataTimeoutError,
    ProducerClosedError,
    ProducerError,
    RecordTooLargeError,
    SerializationError,
    WrongLoopError,
)
from aioproducer.errors import MessageTooLargeError
from aioproducer.testing.admin import connect, set_topic_config
from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.proxy import Drop, FaultProxy, Frame
from aioproducer.wire.primitives import Writer
from aioproducer.wire.versions import ApiKey
from tests.conftest import TopicFactory

IDEMPOTENT = pytest.mark.parametrize(
    "options",
    [{}, {"enable_idempotence": False}, {"enable_idempotence": False, "acks": 1}],
    ids=["idempotent", "acks=all", "acks=1"],
)


async def values_of(bootstrap: str, topic: str, count: int) -> list[list[bytes | None]]:
    """The values of each partition, once consumers can see `count` of them."""
    deadline = time.monotonic() + 60
    while True:
        reads = await read_topic_async(bootstrap, topic)
        if len(reads) >= count or time.monotonic() > deadline:
            break
    last = max((read.partition for read in reads), default=-1)
    return [[r.value for r in reads if r.partition == index] for index in range(last + 1)]


async def error_of(delivery: Delivery) -> ProducerError:
    await asyncio.wait([delivery], timeout=150)
    error = delivery.exception()
    assert error is not None
    return error


# Wrong at once

WRONG_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"topic": None}, "topic must be str"),
    ({"topic": b"bytes"}, "topic must be str"),
    ({"topic": 5}, "topic must be str"),
    ({"value": "text"}, "value_serializer"),
    ({"value": 5}, "value must be bytes"),
    ({"value": {"a": 1}}, "value must be bytes"),
    ({"key": "text"}, "key_serializer"),
    ({"key": 1.5}, "key must be bytes"),
    ({"partition": "0"}, "partition must be int"),
    ({"partition": 1.0}, "partition must be int"),
    ({"partition": True}, "partition must be int"),
    ({"timestamp_ms": "now"}, "timestamp_ms must be int"),
    ({"timestamp_ms": 1.5}, "timestamp_ms must be int"),
    ({"headers": 5}, "header"),
    ({"headers": [("only key",)]}, "pair"),
    ({"headers": [(b"bytes", b"v")]}, "key must be str"),
    ({"headers": [("h", "text")]}, "'h' must be bytes"),
    ({"headers": {"h": b"v"}}, "header"),
    ({"headers": "text"}, "header"),
    ({"timeout": "5"}, "timeout"),
]

WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"topic": ""}, "topic name"),
    ({"topic": "."}, "topic name"),
    ({"topic": ".."}, "topic name"),
    ({"topic": "a b"}, "topic name"),
    ({"topic": "a/b"}, "topic name"),
    ({"topic": "tópico"}, "topic name"),
    ({"topic": "line\n"}, "topic name"),
    ({"topic": "x" * 250}, "249"),
    ({"partition": -1}, "negative"),
    ({"partition": 2**31}, "partition"),
    ({"timestamp_ms": -1}, "milliseconds"),
    ({"timestamp_ms": 2**63}, "milliseconds"),
    ({"timeout": -1}, "timeout"),
]


@pytest.mark.parametrize(
    ("cases", "kind"),
    [(WRONG_TYPES, TypeError), (WRONG_VALUES, ValueError)],
    ids=["types", "values"],
)
async def test_misuse_raises_at_once_and_queues_nothing(
    bootstrap: str,
    topic: TopicFactory,
    subtests: pytest.Subtests,
    cases: list[tuple[dict[str, Any], str]],
    kind: type[Exception],
) -> None:
    """TypeError or ValueError out of the call itself, in words that name the argument."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        await producer.warm_up([name])
        for arguments, words in cases:
            with subtests.test(**arguments), pytest.raises(kind, match=words):
                producer.send(**{"topic": name, "value": b"v", **arguments})
        assert (await producer.send(name, b"good")).offset == 0
    assert await values_of(bootstrap, name, 1) == [[b"good"]]


async def test_the_longest_topic_name_is_good(bootstrap: str, kafka: Any) -> None:
    """249 characters, of every kind that Kafka allows."""
    name = ("aZ09._-" * 40)[: 249 - 20] + f"-{time.time_ns():019d}"
    kafka.create_topic(name)
    async with AsyncProducer(bootstrap) as producer:
        assert (await producer.send(name, b"v")).topic == name


async def test_a_serializer_that_raises_fails_that_record_alone(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The error comes in the delivery with the serializer's own as its cause, not the value."""
    name = topic()

    def picky(value: object) -> bytes:
        if value == "secret":
            raise LookupError("no schema")
        return str(value).encode()

    async with AsyncProducer[str, object](
        bootstrap, key_serializer=picky, value_serializer=picky
    ) as producer:
        sent = [
            producer.send(name, "a", key="k"),
            producer.send(name, "secret", key="k"),
            producer.send(name, "b", key="secret"),
            producer.send(name, "c", key="k"),
        ]
        for delivery, field in ((sent[1], "value"), (sent[2], "key")):
            error = await error_of(delivery)
            assert isinstance(error, SerializationError)
            assert (
                field in str(error) and "LookupError" in str(error) and "secret" not in str(error)
            )
            assert isinstance(error.__cause__, LookupError)
            assert (error.topic, error.persisted, error.retriable) == (name, "no", False)
            with pytest.raises(SerializationError):
                await delivery
        assert [(await each).offset for each in (sent[0], sent[3])] == [0, 1]
    assert await values_of(bootstrap, name, 2) == [[b"a", b"c"]]


@pytest.mark.parametrize("answer", ["text", 5, [b"x"]])
async def test_a_serializer_that_answers_no_bytes_fails_that_record_alone(
    bootstrap: str, topic: TopicFactory, answer: object
) -> None:
    """Neither the batch nor the connection notices."""
    name = topic()
    async with AsyncProducer[bytes, bytes](
        bootstrap, value_serializer=lambda value: answer if value == b"bad" else value
    ) as producer:
        good, bad, also_good = (producer.send(name, v) for v in (b"1", b"bad", b"2"))
        error = await error_of(bad)
        assert isinstance(error, SerializationError)
        assert type(answer).__name__ in str(error)
        await asyncio.gather(good, also_good)
    assert await values_of(bootstrap, name, 2) == [[b"1", b"2"]]


# Partitions that are not there


async def test_a_record_waits_for_its_partition_to_appear(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Its topic is enlarged meanwhile: the record goes there; others were not held up."""
    name = topic(1)
    async with AsyncProducer(bootstrap, max_block_ms=250_000) as producer:
        early = [producer.send(name, b"%d" % number, partition=2) for number in range(3)]
        assert (await asyncio.wait_for(producer.send(name, b"0", partition=0), 60)).offset == 0
        assert (await asyncio.wait_for(producer.send(name, b"1"), 60)).offset == 1
        assert not any(delivery.done() for delivery in early)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(_enlarge, bootstrap, name, 4)
        # Sooner than the metadata are fetched anew for their age.
        found = await asyncio.wait_for(asyncio.gather(*early), 120)
        assert [(m.partition, m.offset) for m in found] == [(2, 0), (2, 1), (2, 2)]
    assert (await values_of(bootstrap, name, 5))[2] == [b"0", b"1", b"2"]


def _enlarge(bootstrap: str, topic: str, partitions: int) -> None:
    from confluent_kafka.admin import NewPartitions

    client = connect(bootstrap)
    for done in client.create_partitions([NewPartitions(topic, partitions)]).values():
        done.result()


async def test_a_partition_that_never_appears_fails_after_max_block_ms(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The error names the partition and how many there are."""
    name = topic(2)
    async with AsyncProducer(bootstrap, max_block_ms=700) as producer:
        # However long the first metadata take, the record waits for its partition alone.
        await producer.partitions_for(name, timeout=30)
        started = time.monotonic()
        error = await error_of(producer.send(name, b"v", partition=2))
        assert 0.6 < time.monotonic() - started < 40
        assert isinstance(error, MetadataTimeoutError)
        assert "partition 2" in str(error) and "count 2" in str(error)
        assert (error.topic, error.partition, error.persisted) == (name, 2, "no")
        assert (await producer.send(name, b"v", partition=1)).offset == 0


# Too large


async def test_a_record_above_max_request_size_fails_alone(
    bootstrap: str, topic: TopicFactory
) -> None:
    """At once, naming the key and both sizes; the partition goes on."""
    name = topic()
    async with AsyncProducer(bootstrap, max_request_size=10_000) as producer:
        sent = [producer.send(name, bytes(size)) for size in (9000, 10_000, 1_000_000, 9000)]
        for delivery in sent[1:3]:
            assert delivery.done()
            error = await error_of(delivery)
            assert isinstance(error, RecordTooLargeError)
            assert "max.request.size" in str(error) and "10000" in str(error)
            assert (error.topic, error.persisted) == (name, "no")
        assert [(await each).offset for each in (sent[0], sent[3])] == [0, 1]


async def test_a_record_larger_than_all_memory_is_sent_alone_or_refused(
    bootstrap: str, topic: TopicFactory
) -> None:
    """It cannot wait for ever for room that can never be there."""
    name = topic()
    async with AsyncProducer(bootstrap, buffer_memory=20_000) as producer:
        small = producer.send(name, b"small")
        large = producer.send(name, bytes(200_000))
        also_small = producer.send(name, b"also small")
        await asyncio.wait([large], timeout=150)
        assert large.done()
        if large.exception() is not None:
            assert isinstance(large.exception(), RecordTooLargeError | BufferExhaustedError)
        await small
        await also_small


@IDEMPOTENT
async def test_a_record_above_the_brokers_limit_fails_alone(
    bootstrap: str, topic: TopicFactory, options: dict[str, Any]
) -> None:
    """Records before and after it, in its batch, its partition and others, arrive in order."""
    name = topic(2, configs={"max.message.bytes": "20000"})
    async with AsyncProducer(bootstrap, linger_ms=50, batch_size=200_000, **options) as producer:
        await producer.warm_up([name])
        before = [producer.send(name, b"%d" % n, partition=0) for n in range(20)]
        bad = producer.send(name, bytes(50_000), partition=0)
        after = [producer.send(name, b"%d" % n, partition=0) for n in range(20, 40)]
        other = [producer.send(name, b"%d" % n, partition=1) for n in range(40)]
        error = await error_of(bad)
        assert isinstance(error, MessageTooLargeError)
        assert isinstance(error, RecordTooLargeError)
        assert (error.code, error.topic, error.partition, error.persisted) == (10, name, 0, "no")
        assert [m.offset for m in await asyncio.gather(*before, *after)] == list(range(40))
        assert [m.offset for m in await asyncio.gather(*other)] == list(range(40))
        later = await producer.send(name, b"40", partition=0)
        assert later.offset == 40
    wanted = [b"%d" % n for n in range(40)]
    assert await values_of(bootstrap, name, 81) == [[*wanted, b"40"], wanted]


@IDEMPOTENT
async def test_a_record_that_the_broker_finds_invalid_fails_alone(
    bootstrap: str, topic: TopicFactory, options: dict[str, Any]
) -> None:
    """A compacted topic wants keys: the record without one fails with the broker's words."""
    name = topic(2, configs={"cleanup.policy": "compact"})
    async with AsyncProducer(bootstrap, linger_ms=50, **options) as producer:
        await producer.warm_up([name])
        before = [producer.send(name, b"%d" % n, key=b"k", partition=0) for n in range(5)]
        bad = producer.send(name, b"no key", partition=0)
        after = [producer.send(name, b"%d" % n, key=b"k", partition=0) for n in range(5, 10)]
        other = producer.send(name, b"v", key=b"k", partition=1)
        error = await error_of(bad)
        assert type(error).__name__ == "InvalidRecordError"
        assert "key" in str(error)
        assert (error.topic, error.partition, error.persisted) == (name, 0, "no")
        assert [m.offset for m in await asyncio.gather(*before, *after)] == list(range(10))
        assert (await other).offset == 0
        assert (await producer.send(name, b"10", key=b"k", partition=0)).offset == 10
    assert await values_of(bootstrap, name, 12) == [[b"%d" % n for n in range(11)], [b"v"]]


@IDEMPOTENT
async def test_a_timestamp_that_the_broker_refuses_fails_that_record_alone(
    bootstrap: str, topic: TopicFactory, options: dict[str, Any]
) -> None:
    """A record of the far future; its batch fellows arrive."""
    name = topic(configs={"message.timestamp.after.max.ms": "3600000"})
    future = int(time.time() * 1000) + 10 * 86_400_000
    async with AsyncProducer(bootstrap, linger_ms=50, **options) as producer:
        await producer.warm_up([name])
        good = producer.send(name, b"good")
        bad = producer.send(name, b"bad", timestamp_ms=future)
        also_good = producer.send(name, b"also good")
        error = await error_of(bad)
        assert type(error).__name__ == "InvalidTimestampError"
        assert [m.offset for m in await asyncio.gather(good, also_good)] == [0, 1]
    assert await values_of(bootstrap, name, 2) == [[b"good", b"also good"]]


# Wrong servers


@asynccontextmanager
async def server(answer: bytes | None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Something that listens and is not Kafka: answers anything with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def failure_with(bootstrap: object, **options: Any) -> str:
    """The text of the error of a record that is sent to these servers."""
    options = {
        "max_block_ms": 1500,
        "delivery_timeout_ms": 3000,
        "request_timeout_ms": 2000,
    } | options
    async with AsyncProducer(bootstrap, linger_ms=0, **options) as producer:  # type: ignore[arg-type]
        error = await error_of(producer.send("topic", b"v"))
        assert isinstance(error, MetadataTimeoutError)
        assert error.retriable
        assert error.persisted == "no"
        return str(error)


@pytest.fixture
def closed_port() -> Iterator[Callable[[], int]]:
    """Ports on which nobody listens, and which nobody else is given meanwhile."""
    with ExitStack() as held:

        def hold() -> int:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

        yield hold


async def test_each_unreachable_server_is_named_with_its_reason(
    caplog: pytest.LogCaptureFixture, closed_port: Callable[[], int]
) -> None:
    """In the delivery's error, and in one warning of the log."""
    first, second = closed_port(), closed_port()
    text = await failure_with(
        [f"127.0.0.1:{first}", f"localhost:{second}", "no-such-host.invalid:9092"],
        # A resolver may take its time to say that there is no such name.
        max_block_ms=6000,
        delivery_timeout_ms=8000,
    )
    for words in (f"127.0.0.1:{first}", f"localhost:{second}", "refused", "no-such-host.invalid"):
        assert words in text, text
    warnings = [
        r
        for r in caplog.records
        if (r.name, r.levelname) == ("aioproducer", "WARNING")
        # What a busy machine may have to say as well.
        and getattr(r, "event", "") != "loop.stalled"
    ]
    assert len(warnings) == 1
    assert str(first) in warnings[0].getMessage()
    assert "producer-" in warnings[0].getMessage(), "log lines carry the client id"


async def test_a_server_that_accepts_and_says_nothing_is_named() -> None:
    """Also when max.block.ms is over before the connection set-up is given up."""
    async with server(None) as address:
        text = await failure_with(address, max_block_ms=700)
        assert address in text, text
        assert "answer" in text or "connection" in text


async def test_a_server_that_hangs_up_is_named() -> None:
    """It may want TLS or SASL: the message says so."""
    listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        text = await failure_with(f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in text
    assert "TLS" in text or "SASL" in text


async def test_one_reachable_server_of_many_is_enough(
    bootstrap: str, topic: TopicFactory, closed_port: Callable[[], int]
) -> None:
    """Whatever stands before it in the list."""
    name = topic()
    async with server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as http:
        servers = [
            f"127.0.0.1:{closed_port()}",
            http,
            "no-such-host.invalid:1",
            *bootstrap.split(","),
        ]
        async with AsyncProducer(servers) as producer:
            assert (await asyncio.wait_for(producer.send(name, b"v"), 50)).offset == 0


async def test_an_http_port_is_recognised() -> None:
    """A web server answers in words of its own."""
    async with server(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as address:
        text = await failure_with(address)
    assert "HTTP" in text and address in text


async def test_a_tls_port_is_recognised(tmp_path: Any) -> None:
    """A real TLS server, to which our first bytes make no sense."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_self_signed(context, tmp_path)
    async with server(None, tls=context) as address:
        text = await failure_with(address)
    assert "TLS" in text and address in text


def _load_self_signed(context: ssl.SSLContext, directory: Any) -> None:
    import subprocess

    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-days", "2", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context.load_cert_chain(certificate, key)


async def test_garbage_is_recognised_as_no_kafka() -> None:
    """Some other protocol: a frame length that cannot be."""
    async with server(b"\xff\xff\xff\xffgarbage") as address:
        text = await failure_with(address)
    assert address in text


async def test_an_answer_of_endless_size_is_not_waited_for() -> None:
    """A length of two gigabytes takes no memory and ends the attempt."""
    async with server(struct.pack(">i", 2**31 - 1)) as address:
        text = await failure_with(address)
    assert address in text


async def test_a_broker_older_than_2_1_is_refused_by_its_versions() -> None:
    """The error says what the broker speaks and what is needed."""

    def answer(request: bytes) -> bytes:
        version, correlation = struct.unpack_from(">hi", request, 6)
        writer = Writer()
        writer.int32(correlation)
        # Kafka 2.0 knows ApiVersions up to 2 and Produce up to 6.
        writer.int16(35 if version > 2 else 0)
        writer.int32(3)
        for api, highest in ((ApiKey.PRODUCE, 6), (ApiKey.METADATA, 6), (ApiKey.API_VERSIONS, 2)):
            writer.int16(int(api))
            writer.int16(0)
            writer.int16(highest)
        if 1 <= version <= 2:
            writer.int32(0)
        body = writer.getvalue()
        return struct.pack(">i", len(body)) + body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = await reader.readexactly(4)
                writer.write(answer(size + await reader.readexactly(*struct.unpack(">i", size))))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        text = await failure_with(f"127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    assert "Produce up to v6" in text
    assert "2.1" in text


@pytest.mark.parametrize(
    "servers",
    ["", [], "no port", "host:notaport", "host:0", "host:70000", "http://host:9092", ":9092", [5]],
    ids=str,
)
def test_servers_that_cannot_be_addresses_are_refused_when_the_producer_is_made(
    servers: object,
) -> None:
    """What can be known at once is told at once."""
    with pytest.raises((ConfigurationError, TypeError), match="bootstrap"):
        AsyncProducer(servers)  # type: ignore[arg-type]


# The wrong moment, the wrong place


async def test_a_closed_producer_says_so(bootstrap: str, topic: TopicFactory) -> None:
    """Every call of it."""
    name = topic()
    producer = AsyncProducer[bytes, bytes](bootstrap)
    await producer.start()
    await producer.close()
    calls: list[Callable[[], Any]] = [
        lambda: producer.send(name, b"v"),
        lambda: producer.try_send(name, b"v"),
        lambda: producer.partition_for(name, b"k"),
    ]
    for call in calls:
        with pytest.raises(ProducerClosedError):
            call()
    for awaitable in (
        producer.send_and_wait(name, b"v"),
        producer.send_many([]),
        producer.flush(),
        producer.drain(),
        producer.partitions_for(name),
    ):
        with pytest.raises(ProducerClosedError):
            await awaitable


async def test_use_from_another_event_loop_says_so(bootstrap: str, topic: TopicFactory) -> None:
    """And from a thread without any; the producer itself is not harmed."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        await producer.warm_up([name])

        async def elsewhere() -> None:
            with pytest.raises(WrongLoopError, match="loop"):
                producer.send(name, b"v")
            for awaitable in (
                producer.flush(),
                producer.drain(),
                producer.send_and_wait(name, b"v"),
                producer.partitions_for(name),
                producer.close(),
            ):
                with pytest.raises(WrongLoopError, match="loop"):
                    await awaitable

        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        with pytest.raises(WrongLoopError, match="loop"):
            await asyncio.to_thread(producer.send, name, b"v")
        assert (await producer.send(name, b"good")).offset == 0
    assert threading.active_count() < 20


async def test_a_delivery_awaited_in_another_loop_says_so(
    bootstrap: str, topic: TopicFactory
) -> None:
    """As any asyncio future does, instead of hanging."""
    name = topic()
    async with AsyncProducer(bootstrap, linger_ms=600_000) as producer:
        await producer.warm_up([name])
        delivery = producer.send(name, b"v")

        async def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="loop"):
                await delivery

        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert not delivery.done()
        await producer.flush()
        assert (await delivery).offset == 0


# Failures that nobody looked at


@pytest.fixture
async def reports() -> AsyncIterator[list[dict[str, Any]]]:
    """What reaches the loop's exception handler."""
    loop, found = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


def failing_producer(proxy: FaultProxy) -> AsyncProducer[bytes, bytes]:
    """Its produce requests are swallowed: each batch fails as a whole, by its clock."""

    def swallow(frame: Frame) -> None:
        if frame.is_produce:
            raise Drop

    proxy.on_request = swallow
    return AsyncProducer(
        proxy.bootstrap_servers, delivery_timeout_ms=800, request_timeout_ms=700, linger_ms=20
    )


async def _settle() -> None:
    gc.collect()
    await asyncio.sleep(0.01)
    gc.collect()


async def _until(true: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    collected = time.monotonic()
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
        # Seldom: on a busy machine each stops the loop, and no clock judges while it stands still.
        if time.monotonic() - collected > 5:
            gc.collect()
            collected = time.monotonic()


async def test_an_unseen_failure_is_reported_once_per_batch(
    bootstrap: str, topic: TopicFactory, reports: list[dict[str, Any]]
) -> None:
    """A hundred records of two failed batches: two reports, with the number of records each."""
    name = topic(2)
    async with FaultProxy(bootstrap) as proxy, failing_producer(proxy) as producer:
        await producer.warm_up([name])
        deliveries = [producer.send(name, b"v", partition=n % 2) for n in range(100)]
        await asyncio.wait(deliveries)
        seen = deliveries[0].exception()
        assert seen is not None
        assert reports == []
        deliveries.clear()
        # What is on the wire is kept until the request, too, has timed out.
        await _until(lambda: len(reports) == 2, seconds=120)
        await _settle()
        assert len(reports) == 2
        assert sorted("49 record" in r["message"] for r in reports) == [False, True]
        assert {name in r["message"] for r in reports} == {True}
        assert all(isinstance(r["exception"], ProducerError) for r in reports)


async def test_records_that_failed_before_they_had_a_batch_are_reported_together(
    reports: list[dict[str, Any]], closed_port: Callable[[], int]
) -> None:
    """No cluster, a thousand fire-and-forget records: not a thousand reports."""
    async with AsyncProducer(
        f"127.0.0.1:{closed_port()}",
        max_block_ms=200, delivery_timeout_ms=800, request_timeout_ms=700, linger_ms=0,
    ) as producer:  # fmt: skip
        for _ in range(1000):
            producer.send("topic", b"v")
        await producer.flush()
        await _until(lambda: bool(reports), seconds=120)
        await _settle()
    assert 1 <= len(reports) <= 10, len(reports)


async def test_failures_that_were_looked_at_are_not_reported(
    bootstrap: str, topic: TopicFactory, reports: list[dict[str, Any]]
) -> None:
    """Awaited, gathered, asked for, or seen by a callback."""
    name = topic()
    async with FaultProxy(bootstrap) as proxy, failing_producer(proxy) as producer:
        await producer.warm_up([name])
        deliveries = [producer.send(name, b"v") for _ in range(4)]
        deliveries[3].add_done_callback(lambda done: done.exception())
        with pytest.raises(ProducerError):
            await deliveries[0]
        await asyncio.gather(*deliveries[1:3], return_exceptions=True)
        await producer.flush()
        result = await producer.send_many([])
        del deliveries, result
        await _settle()
    assert reports == []


async def test_delivered_records_need_not_be_looked_at(
    bootstrap: str, topic: TopicFactory, reports: list[dict[str, Any]]
) -> None:
    """Fire and forget is silent when it succeeds, and when it is cancelled."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        for _ in range(100):
            producer.send(name, b"v")
        producer.send(name, b"v").cancel()
        await producer.flush()
    await _settle()
    assert reports == []


async def test_lowering_the_brokers_limit_hits_only_what_is_too_large(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Settings change while the producer runs: small records go on as before."""
    name = topic()
    async with AsyncProducer(bootstrap) as producer:
        assert (await producer.send(name, bytes(10_000))).offset == 0
        await asyncio.to_thread(set_topic_config, bootstrap, name, {"max.message.bytes": "5000"})
        deadline = time.monotonic() + 60
        while True:
            delivery = producer.send(name, bytes(10_000))
            await asyncio.wait([delivery])
            if delivery.exception() is not None:
                break
            assert time.monotonic() < deadline
        assert isinstance(delivery.exception(), MessageTooLargeError)
        small = await producer.send(name, bytes(1000))
        assert small.has_offset
