"""One client's connection with the one to the broker behind it, frame by frame."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aioproducer.errors import MalformedResponseError
from aioproducer.testing.proxy import errors
from aioproducer.testing.proxy.addresses import Address, tells_addresses
from aioproducer.testing.proxy.faults import Act, Fault
from aioproducer.testing.proxy.frames import (
    Cut,
    Drop,
    Frame,
    Hook,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    is_answered,
    knows,
    read_header,
)
from aioproducer.testing.proxy.messages import API_VERSIONS, PRODUCE, SASL_HANDSHAKE
from aioproducer.testing.proxy.schema import Values

if TYPE_CHECKING:
    from aioproducer.testing.proxy.server import FaultProxy

logger = logging.getLogger("aioproducer.testing")

MOST_UNANSWERED = 1000
"""Requests of one connection that may wait for their answers; more are not read before."""

MOST_WITHOUT_ACKS = 100_000
"""Requests of one connection that are to have no answer, remembered in case they get one."""

_SIZE = struct.Struct(">i")
_UNSUPPORTED_VERSION = 35
_REFUSED_AS_TOO_NEW = struct.pack(">h", _UNSUPPORTED_VERSION)
_FLUSH_S = 5.0


@dataclass(slots=True, eq=False)
class Expected:
    """A request whose answer is still to be passed on, and what is to become of that."""

    frame: Frame
    answer: bytes | None = None
    """Set where the proxy answers by itself, as soon as all before it is answered."""
    delays: list[Fault] = field(default_factory=list)
    fault: Fault | None = None
    refused: list[Values] = field(default_factory=list)
    """Rows of a produce answer for the topics that the broker was not asked about."""

    @property
    def must_be_read(self) -> bool:
        """Whether the proxy has something to put into the answer."""
        return self.fault is not None or bool(self.refused)


class ClientReader(asyncio.StreamReader):
    """Notices at once that the client has ended its side, not when that is read."""

    has_ended = False

    def feed_eof(self) -> None:
        self.has_ended = True
        super().feed_eof()


class Link:
    """Passes frames both ways until one side ends, or a fault does."""

    def __init__(
        self,
        proxy: FaultProxy,
        address: Address,
        client: tuple[ClientReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self.address = address
        self._from_client, self._client = client
        self._from_broker, self._broker = broker
        self._expected: deque[Expected] = deque()
        # librdkafka's mock brokers answer requests without acks, too.
        self._without_acks: deque[int] = deque(maxlen=MOST_WITHOUT_ACKS)
        self._fewer = asyncio.Event()
        self._client_ended = False

    @property
    def has_client(self) -> bool:
        """Whether the client is still there; what it has sent may be held all the same."""
        return not (self._from_client.has_ended or self._client.transport.is_closing())

    def cut(self) -> None:
        """End both connections without a word."""
        self._client.transport.abort()
        self._broker.transport.abort()

    async def run(self) -> None:
        """Pass frames until one side ends."""
        ways = [
            asyncio.ensure_future(self._guard(self._requests)),
            asyncio.ensure_future(self._guard(self._answers)),
        ]
        requests, answers = ways
        in_order = False
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if requests.done() and not answers.done() and requests.result():
                # The client has said that it will ask no more; what it asked is still answered.
                await self._until_answered(answers)
            in_order = all(not way.done() or way.result() for way in ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            if in_order:
                await self._close()
            self.cut()

    async def _guard(self, way: Callable[[], Awaitable[None]]) -> bool:
        """Run one way to its end; return whether that came in order."""
        try:
            await way()
        except asyncio.IncompleteReadError as error:
            return not error.partial
        except MalformedResponseError as error:
            logger.warning("proxy: a connection to %s is ended: %s", self.address, error)
            return False
        except (OSError, Cut):
            return False
        except RuntimeError:
            # uvloop says so of a transport that is closed, which asyncio passes over.
            if not self._is_cut:
                raise
            return False
        return True

    @property
    def _is_cut(self) -> bool:
        return self._client.transport.is_closing() or self._broker.transport.is_closing()

    async def _until_answered(self, answers: asyncio.Future[bool]) -> None:
        self._client_ended = True
        if not self._broker.transport.is_closing() and self._broker.can_write_eof():
            with suppress(OSError):
                self._broker.write_eof()
        while self._expected and not answers.done():
            self._fewer.clear()
            fewer = asyncio.ensure_future(self._fewer.wait())
            either: list[asyncio.Future[Any]] = [fewer, answers]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                fewer.cancel()

    async def _close(self) -> None:
        """Let the client have what was written for it, as long as it goes on reading."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                self._client.close()
                await self._client.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        (size,) = _SIZE.unpack(await reader.readexactly(4))
        if not 4 <= size <= self._proxy.max_frame:
            raise MalformedResponseError(f"a frame of {size} bytes is not passed on")
        return await reader.readexactly(size)

    # From the client to the broker

    async def _requests(self) -> None:
        proxy = self._proxy
        while True:
            data = await self._read(self._from_client)
            frame = read_header(data, self.address.port, proxy.broker_at(self.address))
            await proxy.requests.wait()
            proxy.remember(frame)
            with suppress(Drop):
                await self._pass_hook(proxy.on_request, frame, data, self._broker)
                await self._forward(data, frame)

    async def _forward(self, data: bytes, frame: Frame) -> None:
        if frame.api == API_VERSIONS and not knows(frame):
            # Newer than the proxy: the client asks again in an older version (KIP-511).
            self._answer_here(frame, {"ErrorCode": _UNSUPPORTED_VERSION}, 0)
            return
        self._check_readable(frame)
        names = self._proxy.topic_names
        struck = self._proxy.faults.striking(
            frame, lambda: errors.topics_in(frame.api, decode_request(data, frame), names)
        )
        expected = Expected(frame)
        for fault in struck:
            if fault.act is not Act.DELAY:
                expected.fault = fault
            elif fault.at == "request":
                await asyncio.sleep(self._proxy.faults.duration(fault))
            else:
                expected.delays.append(fault)
        if expected.fault is not None:
            changed = await self._strike(expected, data)
            if changed is None:
                return
            data = changed
        await self._has_room()
        if is_answered(data, frame):
            self._expected.append(expected)
        else:
            self._without_acks.append(frame.correlation_id)
        self._broker.write(_SIZE.pack(len(data)) + data)
        await self._broker.drain()

    def _check_readable(self, frame: Frame) -> None:
        if frame.api == SASL_HANDSHAKE and frame.version == 0:
            raise MalformedResponseError(
                "SaslHandshake 0 is followed by bytes that are no requests; version 1 is needed"
            )
        if not knows(frame) and tells_addresses(frame.api, frame.version):
            raise MalformedResponseError(f"{frame.name} {frame.version} is newer than the proxy")

    async def _strike(self, expected: Expected, data: bytes) -> bytes | None:
        """Do what a fault does to a request; return what goes on, ``None`` for nothing."""
        fault = expected.fault
        assert fault is not None
        match fault.act, fault.at:
            case Act.DISCONNECT, "before":
                raise Cut
            case Act.DISCONNECT, "during request":
                await self._write_part(self._broker, data, 0.5)
                raise Cut
            case Act.SWALLOW, "request":
                return None
            case Act.FAIL, _:
                return await self._refuse(expected, fault, data)
        return data

    async def _refuse(self, expected: Expected, fault: Fault, data: bytes) -> bytes | None:
        frame = expected.frame
        if fault.executed or frame.api in errors.ANSWERED_BY_BROKER:
            return data
        if not is_answered(data, frame):
            # As brokers do: without acks there is no other way to say that something is wrong.
            raise Cut
        for delay in expected.delays:
            await asyncio.sleep(self._proxy.faults.duration(delay))
        request = decode_request(data, frame)
        if frame.api == PRODUCE and fault.which.topic is not None:
            rest, refused = errors.split_produce(
                request, fault.code, fault.which.fits_topic, self._proxy.topic_names
            )
            if rest["TopicData"]:
                expected.fault, expected.refused = None, refused
                return encode_request(data, frame, rest)
        values, version = errors.error_answer(frame.api, frame.version, request, fault.code)
        await self._has_room()
        self._answer_here(frame, values, version)
        return None

    def _answer_here(self, frame: Frame, values: Values, version: int) -> None:
        self._expected.append(Expected(frame, encode_answer(frame, values, version)))
        self._write_own_answers()

    def _write_own_answers(self) -> None:
        """Write what the proxy answers by itself, up to the next answer of the broker."""
        while self._expected and (data := self._expected[0].answer) is not None:
            self._client.write(_SIZE.pack(len(data)) + data)
            self._expected.popleft()
        self._fewer.set()

    async def _has_room(self) -> None:
        # Own answers are among them: a client that does not read is not read from either.
        await self._client.drain()
        while len(self._expected) >= MOST_UNANSWERED:
            self._fewer.clear()
            await self._fewer.wait()

    # From the broker to the client

    async def _answers(self) -> None:
        proxy = self._proxy
        while True:
            data = await self._read(self._from_broker)
            expected = self._expected_by(data)
            if expected is None:
                continue
            await proxy.answers.wait()
            with suppress(Drop):
                data = await self._changed(expected, data)
                await self._pass_hook(proxy.on_answer, expected.frame, data, self._client)
                await self._strike_answer(expected, data)
                self._client.write(_SIZE.pack(len(data)) + data)
            self._expected.remove(expected)
            self._write_own_answers()
            await self._client.drain()

    def _expected_by(self, data: bytes) -> Expected | None:
        """Return the request that this answers, ``None`` if a broker should not have answered."""
        (correlation_id,) = _SIZE.unpack_from(data)
        for expected in self._expected:
            if expected.answer is None and expected.frame.correlation_id == correlation_id:
                return expected
        if correlation_id in self._without_acks:
            while self._without_acks.popleft() != correlation_id:
                pass
            return None
        raise MalformedResponseError(f"an answer to request {correlation_id}, which was not asked")

    async def _changed(self, expected: Expected, data: bytes) -> bytes:
        """Return the answer with our addresses, and with the errors that were put into it."""
        frame = expected.frame
        reads = expected.must_be_read or frame.api == API_VERSIONS
        if not knows(frame) or not (reads or tells_addresses(frame.api, frame.version)):
            return data
        if frame.api == API_VERSIONS and data[4:6] == _REFUSED_AS_TOO_NEW:
            # In the version that all can read, whatever was asked: it offers nothing of use yet.
            return data
        try:
            answer = decode_answer(data, frame)
        except MalformedResponseError as error:
            raise MalformedResponseError(f"{frame.name} {frame.version}: {error}") from None
        await self._proxy.look_into(frame, answer)
        answer.get("Responses", []).extend(expected.refused)
        fault = expected.fault
        if fault is not None and fault.act is Act.FAIL:
            names = self._proxy.topic_names
            errors.spoil(frame.api, answer, fault.code, fault.which.fits_topic, names)
        return encode_answer(frame, answer)

    async def _strike_answer(self, expected: Expected, data: bytes) -> None:
        for delay in expected.delays:
            await asyncio.sleep(self._proxy.faults.duration(delay))
        fault = expected.fault
        if fault is None:
            return
        match fault.act, fault.at:
            case Act.DISCONNECT, "after":
                raise Cut
            case Act.DISCONNECT, "during answer":
                await self._write_part(self._client, data, 0.5)
                raise Cut
            case Act.SWALLOW, "answer":
                raise Drop

    # Hooks

    async def _pass_hook(
        self, hook: Hook, frame: Frame, data: bytes, writer: asyncio.StreamWriter
    ) -> None:
        """Ask the hook; a frame that is cut inside arrives as far as its share goes."""
        try:
            held = hook(frame)
        except Cut as cut:
            if cut.share:
                await self._write_part(writer, data, cut.share)
            raise
        if held:
            await asyncio.sleep(held)

    async def _write_part(self, writer: asyncio.StreamWriter, data: bytes, share: float) -> None:
        # Nothing may be left in our buffer: the connection is aborted next.
        writer.transport.set_write_buffer_limits(high=0)
        whole = _SIZE.pack(len(data)) + data
        writer.write(whole[: int(len(whole) * share)])
        await writer.drain()
