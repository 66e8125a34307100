"""The proxy between peers that behave badly: frames cut anywhere, ends, floods, nonsense."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from aioproducer.testing import FaultProxy
from aioproducer.testing.certificates import Authority
from aioproducer.testing.proxy import Frame

pytestmark = pytest.mark.own_cluster
PATIENCE = 180

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


async def test_what_is_cut_under_a_frame_that_is_held_is_no_error() -> None:
    """uvloop refuses what is written to a transport that is closed; asyncio passes over it."""
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    held: list[str] = []

    async with behind_proxy(echo) as (proxy, reader, writer):

        def cut(frame: Frame) -> float:
            held.append(frame.name)
            proxy.cut_all()
            return 0.05

        proxy.on_answer = cut
        writer.write(request_of(1))
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        while proxy.connections:
            await asyncio.sleep(0.01)
    assert len(held) == 1
    assert not said


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


def produce_without_acks(correlation_id: int) -> bytes:
    """Return a Produce 3 without records: transactional id, acks, timeout, topics."""
    body = struct.pack(">hhih", 0, 3, correlation_id, -1) + struct.pack(">hhii", -1, 0, 1000, 0)
    return struct.pack(">i", len(body)) + body


async def test_answers_to_requests_without_acks_are_kept_from_the_client() -> None:
    """librdkafka's mock brokers give them, other brokers do not: clients expect none."""
    async with behind_proxy(echo) as (_, reader, writer):
        for number in range(1, 4):
            writer.write(produce_without_acks(number))
        writer.write(request_of(4))
        assert (await read_frame(reader))[:4] == struct.pack(">i", 4)
        writer.write(produce_without_acks(5) + request_of(6))
        assert (await read_frame(reader))[:4] == struct.pack(">i", 6)


async def test_a_client_that_hangs_up_while_its_requests_are_held_is_gone() -> None:
    """What it has sent goes on all the same once it may, as out of a network that was slow."""
    arrived = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            await read_frame(reader)
        arrived.set()

    async with behind_proxy(note) as (proxy, _, writer):
        proxy.pause()
        writer.write(request_of(1) + request_of(2) + request_of(3))
        while not proxy.connections:
            await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()
        while proxy.connections:
            await asyncio.sleep(0.001)
        assert not arrived.is_set()
        proxy.resume()
        await arrived.wait()


async def test_a_client_that_reads_nothing_is_not_read_from() -> None:
    """What the proxy holds is bounded: the sender is stopped, as by a real broker."""

    async def generous(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            data = await read_frame(reader)
            writer.write(struct.pack(">i", 500_004) + data[4:8] + bytes(500_000))
            await writer.drain()

    async with behind_proxy(generous) as (proxy, reader, writer):
        for number in range(60):
            writer.write(request_of(number, body=bytes(500_000)))
        stopped = asyncio.ensure_future(writer.drain())
        done, _ = await asyncio.wait([stopped], timeout=1)
        assert not done
        assert len(proxy.seen) < 60
        for number in range(60):
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


async def test_tls_ends_at_the_proxy_and_begins_again_behind_it(tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path)
    pem = tmp_path / "broker.pem"
    pem.write_text(authority.issue("broker", ["127.0.0.1"]).store_pem)
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(pem)
    trusting = ssl.create_default_context(cadata=authority.pem)
    asked: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        asked.append(task)
        try:
            await echo(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=listening)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with (
            asyncio.timeout(PATIENCE),
            FaultProxy(address, broker_ssl=trusting, client_ssl=listening) as proxy,
        ):
            host, _, port = proxy.bootstrap_servers.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port), ssl=trusting)
            fault = proxy.delay(None, 0.01)
            writer.write(request_of(1, body=bytes(100_000)))
            assert (await read_frame(reader))[3] == 1
            assert fault.struck == 1
            writer.transport.abort()
            with pytest.raises(OSError):
                # Who speaks no TLS is not understood, and harms nobody.
                plain_reader, plain_writer = await asyncio.open_connection(host, int(port))
                plain_writer.write(request_of(2))
                if await plain_reader.read() == b"":
                    plain_writer.transport.abort()
                    raise ConnectionResetError
    finally:
        server.close()
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        # Turns rather than time: the transports of TLS need several to end.
        for _ in range(20):
            await asyncio.sleep(0.005)
