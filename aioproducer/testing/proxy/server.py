"""FaultProxy: stands before every broker of a cluster, and breaks what it is told to break."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from aioproducer.testing.proxy.addresses import (
    Address,
    addresses_in,
    clamp_versions,
    replace_addresses,
    tells_addresses,
    topic_names_in,
)
from aioproducer.testing.proxy.frames import Frame, Hook
from aioproducer.testing.proxy.link import ClientReader, Link
from aioproducer.testing.proxy.messages import API_VERSIONS
from aioproducer.testing.proxy.schema import Values
from aioproducer.testing.proxy.switches import Switches
from aioproducer.testing.proxy.thread import ProxyThread
from aioproducer.wire.framing import MAX_FRAME


class Outage:
    """Brokers that refuse connections; ``remove()`` ends it."""

    def __init__(self, proxy: FaultProxy, broker: int | None) -> None:
        self.broker = broker
        self.struck = 0
        self._proxy = proxy

    def remove(self) -> None:
        """Let connections be made again."""
        proxy = self._proxy
        proxy._in_loop(lambda: proxy._outages.discard(self))


class FaultProxy(Switches):
    """Stands between clients and all brokers of a cluster, real or embedded.

    Clients are given ``bootstrap_servers`` of the proxy; where answers tell addresses of brokers it
    puts its own, so that everything passes through it. It understands Kafka's frames, and any
    client may be behind it.

        async with FaultProxy("localhost:9092") as proxy:
            fault = proxy.fail("Produce", NotLeaderOrFollowerError, times=2)
            async with AsyncProducer(proxy.bootstrap_servers) as producer:
                await producer.send("orders", b"value")
            assert fault.struck == 2

    As an ``async with`` block it runs on the loop of that; as a ``with`` block on a thread of its
    own, where faults may be set from any thread, but hooks are called on that one.

    Args:
        bootstrap_servers: the cluster's, as a client would be given them.
        host: where it listens, and what it tells clients.
        seed: of all that is random; the same seed and the same requests give the same faults.
        remember: how many of the last requests are kept in ``seen``.
        max_frame: bytes of the largest frame that is passed on; a connection with more is ended.
        broker_ssl: to speak TLS with the brokers.
        client_ssl: to speak TLS with clients.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        host: str = "127.0.0.1",
        seed: int | None = None,
        remember: int = 10_000,
        max_frame: int = MAX_FRAME,
        broker_ssl: ssl.SSLContext | None = None,
        client_ssl: ssl.SSLContext | None = None,
    ) -> None:
        if isinstance(bootstrap_servers, str):
            bootstrap_servers = bootstrap_servers.split(",")
        self._bootstrap = [Address.parse(each) for each in bootstrap_servers]
        self.max_frame = max_frame
        super().__init__(seed)
        self.topic_names: dict[bytes, str] = {}
        self.on_request: Hook = lambda frame: None
        self.on_answer: Hook = lambda frame: None
        self.seen: list[Frame] = []
        self._remembered = remember
        self._host = host
        self._broker_ssl = broker_ssl
        self._client_ssl = client_ssl
        self._brokers: dict[Address, int] = {}
        self._doors: dict[Address, Address] = {}
        self._servers: list[asyncio.Server] = []
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._outages: set[Outage] = set()
        self._thread: ProxyThread | None = None
        self._is_closing = False
        self._opening = asyncio.Lock()
        # Valves: frames wait before them while they are closed.
        self.requests, self.answers = asyncio.Event(), asyncio.Event()

    @property
    def bootstrap_servers(self) -> str:
        """What clients are to be given."""
        return ",".join(str(self._doors[address]) for address in self._bootstrap)

    @property
    def produce_requests(self) -> list[Frame]:
        """The requests with records among those that are remembered."""
        return [frame for frame in self.seen if frame.is_produce]

    @property
    def connections(self) -> int:
        """How many connections of clients there are, who have not hung up."""
        return sum(link.has_client for link in list(self._links))

    # Outages

    def refuse(self, broker: int | None = None) -> Outage:
        """End all connections to a broker, or to all, and refuse new ones until that is removed."""
        outage = Outage(self, broker)
        self._in_loop(lambda: self._cut_refused(outage))
        return outage

    def clear(self) -> None:
        """Remove all faults and outages, and let held frames go on."""
        self.faults.clear()
        self._in_loop(self._outages.clear)
        self.resume()

    def pause(self, *, requests: bool = True, answers: bool = True) -> None:
        """Hold all frames where they are; connections stay."""
        if requests:
            self._in_loop(self.requests.clear)
        if answers:
            self._in_loop(self.answers.clear)

    def resume(self) -> None:
        """Let frames go on."""
        self._in_loop(self.requests.set)
        self._in_loop(self.answers.set)

    def cut_all(self) -> None:
        """End every connection without a word."""
        self._in_loop(self._cut_links)

    def _cut_links(self) -> None:
        for link in list(self._links):
            link.cut()

    # Life

    async def __aenter__(self) -> Self:
        """Listen, for each of the bootstrap servers."""
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all connections, and listen no more."""
        await self._end()

    def __enter__(self) -> Self:
        """Listen, on a thread of its own."""
        self._thread = ProxyThread(self)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all connections and the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def _in_loop(self, call: Callable[[], object]) -> None:
        thread = self._thread
        if thread is None or thread.is_current:
            call()
        else:
            thread.call(call)

    async def _open(self) -> None:
        self.requests, self.answers, self._opening = (
            asyncio.Event(),
            asyncio.Event(),
            asyncio.Lock(),
        )
        self.requests.set()
        self.answers.set()
        self._is_closing = False
        try:
            for address in self._bootstrap:
                await self._door(address)
        except BaseException:
            await self._end()
            raise

    async def _end(self) -> None:
        self._is_closing = True
        for server in self._servers:
            server.close()
        # Who was accepted just now has not said so yet.
        await _turns()
        self._cut_links()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # An aborted transport closes its socket a turn later.
        await _turns()
        self._servers.clear()
        self._doors.clear()

    async def _door(self, address: Address) -> Address:
        """Return where clients find a broker, listening there from now on."""
        async with self._opening:
            door = self._doors.get(address)
            if door is None:
                loop = asyncio.get_running_loop()
                server = await loop.create_server(
                    partial(_protocol, partial(self._accept, address)),
                    self._host, 0, ssl=self._client_ssl,
                )  # fmt: skip
                self._servers.append(server)
                door = Address(self._host, server.sockets[0].getsockname()[1])
                self._doors[address] = door
            return door

    async def _accept(
        self, address: Address, reader: ClientReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._is_closing or self._is_refused(address):
                writer.transport.abort()
                return
            await self._serve(address, reader, writer)
        except asyncio.CancelledError:
            # asyncio's streams would report the end of the proxy as an error.
            pass
        finally:
            self._tasks.discard(task)

    async def _serve(
        self, address: Address, reader: ClientReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            broker = await asyncio.open_connection(*address, ssl=self._broker_ssl)
        except OSError:
            writer.transport.abort()
            return
        except BaseException:
            writer.transport.abort()
            raise
        if self._is_refused(address):
            # The outage began while the broker was called.
            writer.transport.abort()
            broker[1].transport.abort()
            return
        link = Link(self, address, (reader, writer), broker)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def _is_refused(self, address: Address) -> bool:
        broker = self.broker_at(address)
        for outage in self._outages:
            if outage.broker in (None, broker):
                outage.struck += 1
                return True
        return False

    def _cut_refused(self, outage: Outage) -> None:
        self._outages.add(outage)
        for link in list(self._links):
            if self._is_refused(link.address):
                link.cut()

    # What links ask

    def broker_at(self, address: Address) -> int | None:
        """Return the id of the broker there, as far as an answer has told it."""
        return self._brokers.get(address)

    def remember(self, frame: Frame) -> None:
        """Note a request that comes by."""
        if not self._remembered:
            return
        if len(self.seen) >= self._remembered:
            del self.seen[: len(self.seen) // 2 + 1]
        self.seen.append(frame)

    async def look_into(self, frame: Frame, answer: Values) -> None:
        """Learn what an answer tells of brokers and topics, and put our addresses into it."""
        if frame.api == API_VERSIONS:
            clamp_versions(answer)
        if not tells_addresses(frame.api, frame.version):
            return
        self.topic_names.update(topic_names_in(frame.api, answer))
        for node_id, address in addresses_in(frame.api, answer):
            self._brokers[address] = node_id
            await self._door(address)
        replace_addresses(frame.api, answer, self._doors.__getitem__)


def _protocol(
    accept: Callable[[ClientReader, asyncio.StreamWriter], Awaitable[None]],
) -> asyncio.StreamReaderProtocol:
    loop = asyncio.get_running_loop()
    reader = ClientReader(loop=loop)

    def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None]:
        return accept(reader, writer)

    return asyncio.StreamReaderProtocol(reader, accepted, loop=loop)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
