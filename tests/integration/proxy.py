"""A proxy in front of every broker that understands frames: it can lose, hold and count them.

The producer is given the proxy's addresses; the brokers' own addresses in their answers are
replaced by the proxy's, so that nothing goes past it.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

from aioproducer.wire.versions import ApiKey

_SIZE = struct.Struct(">i")
_REQUEST_START = struct.Struct(">hhi")


@dataclass(frozen=True, slots=True)
class Frame:
    """One request as it went by, or the answer to it."""

    api: int
    version: int
    correlation_id: int
    port: int
    size: int

    @property
    def is_produce(self) -> bool:
        return self.api == ApiKey.PRODUCE


class Cut(Exception):
    """Raised by a hook: end the connection, after a share of the frame has passed.

    Args:
        share: 0 forgets the frame; 0.5 lets its first half arrive.
    """

    def __init__(self, share: float = 0.0) -> None:
        super().__init__(share)
        self.share = share


class Drop(Exception):
    """Raised by a hook: forget this frame; the connection stays."""


Hook = Callable[[Frame], float | None]
"""Sees a frame before it goes on; the seconds it returns hold it, and what comes behind it."""


@dataclass(slots=True, eq=False)
class _Link:
    """One connection of a client, with the one to the broker behind it."""

    port: int
    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    asked: dict[int, Frame] = field(default_factory=dict)

    def cut(self) -> None:
        self.client.transport.abort()
        self.broker.transport.abort()


class Proxy:
    """Stands between clients and all brokers of a cluster, as an `async with` block.

    `on_request` and `on_answer` see each frame before it goes on and may raise `Cut` or `Drop`.
    `requests` and `answers` can be closed and opened like valves: frames wait before them. Requests
    are kept in `seen` unless `remember` is false.
    """

    def __init__(self, bootstrap_servers: str, *, remember: bool = True) -> None:
        self._remember = remember
        self._brokers = [_split(address) for address in bootstrap_servers.split(",")]
        self._replacements: list[tuple[bytes, bytes]] = []
        self._servers: list[asyncio.Server] = []
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_request: Hook = lambda frame: None
        self.on_answer: Hook = lambda frame: None
        self.requests = asyncio.Event()
        self.answers = asyncio.Event()
        self.requests.set()
        self.answers.set()
        self.seen: list[Frame] = []

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(
            f"{host}:{server.sockets[0].getsockname()[1]}"
            for (host, _), server in zip(self._brokers, self._servers, strict=True)
        )

    @property
    def produce_requests(self) -> list[Frame]:
        return [frame for frame in self.seen if frame.is_produce]

    @property
    def connections(self) -> int:
        return len(self._links)

    def cut_all(self) -> None:
        """End every connection without a word."""
        for link in list(self._links):
            link.cut()

    async def __aenter__(self) -> Self:
        for host, port in self._brokers:
            server = await asyncio.start_server(
                partial(self._accept, host, port),
                host,
                0,
            )
            self._servers.append(server)
            # Host and port follow each other wherever a broker tells an address.
            ours = server.sockets[0].getsockname()[1]
            name = host.encode()
            self._replacements.append((name + _SIZE.pack(port), name + _SIZE.pack(ours)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        # Who was accepted just now has not said so yet.
        await _turns()
        self.cut_all()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # An aborted transport closes its socket a turn later.
        await _turns()

    async def _accept(
        self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer, host, port)
        except asyncio.CancelledError:
            # asyncio's streams would report the end of the proxy as an error.
            pass
        finally:
            self._tasks.discard(task)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        try:
            broker_reader, broker_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        except BaseException:
            writer.transport.abort()
            raise
        link = _Link(port, writer, broker_writer)
        self._links.add(link)
        ways = [
            asyncio.ensure_future(self._forward_requests(reader, link)),
            asyncio.ensure_future(self._forward_answers(broker_reader, link)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            link.cut()
            self._links.discard(link)
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forward_requests(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with suppress(asyncio.IncompleteReadError, OSError, Cut):
            while True:
                body = await _read_frame(reader)
                api, version, correlation_id = _REQUEST_START.unpack_from(body)
                frame = Frame(api, version, correlation_id, link.port, len(body))
                await self.requests.wait()
                if self._remember:
                    self.seen.append(frame)
                with suppress(Drop):
                    whole = _SIZE.pack(len(body)) + body
                    await _pass_hook(self.on_request, frame, whole, link.broker)
                    link.asked[correlation_id] = frame
                    link.broker.write(whole)
                    await link.broker.drain()

    async def _forward_answers(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with suppress(asyncio.IncompleteReadError, OSError, Cut):
            while True:
                body = await _read_frame(reader)
                frame = link.asked.pop(_SIZE.unpack_from(body)[0])
                await self.answers.wait()
                with suppress(Drop):
                    for theirs, ours in self._replacements:
                        body = body.replace(theirs, ours)
                    whole = _SIZE.pack(len(body)) + body
                    await _pass_hook(self.on_answer, frame, whole, link.client)
                    link.client.write(whole)
                    await link.client.drain()


async def _pass_hook(hook: Hook, frame: Frame, whole: bytes, writer: asyncio.StreamWriter) -> None:
    """Ask the hook; a frame that is cut inside arrives as far as its share goes."""
    try:
        held = hook(frame)
    except Cut as cut:
        if cut.share:
            # Nothing may be left in our buffer: the connection is aborted next.
            writer.transport.set_write_buffer_limits(high=0)
            writer.write(whole[: int(len(whole) * cut.share)])
            await writer.drain()
        raise
    if held:
        await asyncio.sleep(held)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = _SIZE.unpack(await reader.readexactly(4))
    return await reader.readexactly(size)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
