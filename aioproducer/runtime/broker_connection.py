"""A socket to one broker: bytes between a transport and a BrokerProtocol."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any, cast

from aioproducer.core.broker_protocol import BrokerProtocol, Buffer
from aioproducer.core.meters import NodeSample
from aioproducer.core.sampling import Meter
from aioproducer.core.sasl.session import Session
from aioproducer.errors import ClusterConnectionError, ProducerError
from aioproducer.runtime.stall import Alarm, StallWatch
from aioproducer.runtime.timers import SLACK
from aioproducer.wire.messages.api_versions import ApiVersionsResponse

# CPython 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1 never pause a protocol from writelines()
# (CVE-2024-12254): the buffer would grow without bound and no resume would ever come.
_WRITELINES_PAUSES = not (
    (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)
)

Answered = Callable[[Any], None]
Lost = Callable[[ProducerError], None]


_SETTLING_S = 0.005
"""Between looks at what TLS has not got rid of yet."""

# Answers are small; a larger one is put together from several reads.
_READ_SIZE = 65_536


class BrokerConnection(asyncio.BufferedProtocol):
    """One TCP connection. Each request gets exactly one call: its answer, or why there is none."""

    def __init__(
        self,
        address: str,
        client_id: str,
        *,
        meter: Meter[NodeSample],
        watch: StallWatch,
        request_timeout: float,
        max_in_flight: int,
        await_written: bool = False,
        on_room: Callable[[], None],
    ) -> None:
        self.address = address
        self.protocol = BrokerProtocol(client_id)
        self._loop = asyncio.get_running_loop()
        self._watch = watch
        self._meter = meter
        self._incoming = memoryview(bytearray(_READ_SIZE))
        self._request_timeout = request_timeout
        self._max_in_flight = max_in_flight
        self._on_room = on_room
        self._await_written = await_written
        # Under TLS with acks=0: the transport of the encrypted bytes.
        self._below: asyncio.Transport | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._unwritten: list[tuple[Callable[[], None], Lost]] = []
        # Since when the first of them is.
        self._unwritten_since = 0.0
        self._writable = True
        self._timer: Alarm | None = None
        self._cause: ProducerError | None = None
        self._transport: asyncio.Transport | None = None
        self._is_counted = False
        self.throttled_until = 0.0
        self.last_used = self._loop.time()
        # Bytes of the last request.
        self.last_size = 0
        self.closed: asyncio.Future[ProducerError] = self._loop.create_future()
        # What the broker said of itself; set by whoever negotiates.
        self.announced: ApiVersionsResponse | None = None
        # How long the login lasts; set by whoever logs in.
        self.session: Session | None = None
        # What to add if the broker hangs up before it has answered any more.
        self.hint = ""
        self._held = False
        self._free = asyncio.Event()
        self._free.set()

    @property
    def is_open(self) -> bool:
        """Whether requests may be written."""
        transport = self._transport
        return transport is not None and self._cause is None and not transport.is_closing()

    @property
    def cipher(self) -> tuple[str, str] | None:
        """Cipher and protocol under TLS, ``None`` without."""
        transport = self._transport
        found = None if transport is None else transport.get_extra_info("cipher")
        return None if found is None else (found[0], found[1])

    @property
    def in_flight(self) -> int:
        """How many requests await their answer."""
        return len(self.protocol.in_flight)

    @property
    def has_room(self) -> bool:
        """Whether one more produce request may go out now."""
        return (
            len(self.protocol.in_flight) < self._max_in_flight
            and self._writable
            and self.is_open
            and not (self._held or (self.session is not None and self.is_held))
        )

    @property
    def is_held(self) -> bool:
        """Whether nothing may go out but a login: one is under way, or long due (KIP-368)."""
        session = self.session
        if session is not None and self._loop.time() >= session.pause_at:
            self.hold()
        return self._held

    def hold(self) -> None:
        """Let nothing out but what the login itself asks."""
        self._held = True
        self._free.clear()

    def release(self) -> None:
        """Let everything out again."""
        self._held = False
        self._free.set()
        self._on_room()

    async def released(self) -> None:
        """Return once the connection is not held, or is over. Cancelling abandons the wait."""
        while self.is_open and self.is_held:
            await self._free.wait()

    def send(
        self,
        request: Any,
        version: int,
        answered: Answered,
        lost: Lost,
        *,
        expect_answer: bool = True,
    ) -> list[Buffer]:
        """Register ``request`` and return its bytes, which the caller hands to :meth:`write`.

        Of ``answered`` and ``lost`` exactly one is called, once. Without an expected answer
        (acks=0) neither is.
        """
        now = self._loop.time()
        self.last_used = now
        buffers = self.protocol.send(
            request, version, now, (answered, lost), expect_answer=expect_answer
        )
        self.last_size = size = sum(map(len, buffers))
        sample = self._meter.at(now)
        sample.requests += 1
        sample.request_bytes += size
        if size > sample.request_bytes_max:
            sample.request_bytes_max = size
        if expect_answer and self._timer is None:
            self._timer = self._watch.call_at(now + self._request_timeout, self._on_timer)
        return buffers

    def ask(self, request: Any, version: int) -> asyncio.Future[Any]:
        """Write ``request`` now and return the future of its answer.

        Cancelling the future abandons the wait; the answer is read and dropped.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()

        def answered(response: Any) -> None:
            if not answer.done():
                answer.set_result(response)

        def lost(error: ProducerError) -> None:
            if not answer.done():
                answer.set_exception(error.replica())

        self.write(self.send(request, version, answered, lost))
        return answer

    def write(self, buffers: list[Buffer]) -> None:
        """Write ``buffers`` as they are."""
        assert self._transport is not None
        self._meter.at(self.last_used).operations += 1
        if _WRITELINES_PAUSES:
            self._transport.writelines(buffers)
        else:
            self._transport.write(b"".join(buffers))

    def when_written(self, written: Callable[[], None], lost: Lost) -> None:
        """Call ``written`` once the transport holds nothing back, or ``lost`` if it never will.

        With acks=0 this is all that can be known of a request.
        """
        assert self._transport is not None
        if self._cause is not None:
            lost(self._cause)
        elif self._held_back() == 0:
            written()
        else:
            if not self._unwritten:
                self._unwritten_since = self._loop.time()
            self._unwritten.append((written, lost))
            if self._timer is None:
                self._watch_oldest()
            if self._below is not None and self._settling is None:
                self._settle_written()

    def throttle(self, milliseconds: int) -> None:
        """Send nothing more for that long, as the broker asked (KIP-219)."""
        self.throttled_until = max(self.throttled_until, self._loop.time() + milliseconds / 1000)

    def abort(self, cause: ProducerError) -> None:
        """Close at once; every open request is lost with ``cause``."""
        if self._cause is not None:
            return
        self._cause = cause
        if self._transport is not None:
            self._transport.abort()
        self._finish()

    # asyncio.BufferedProtocol: reading into one buffer spares asyncio a new one for each answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._is_counted:
            self._is_counted = True
            self._meter.at(self._loop.time()).connections += 1
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._await_written:
            # Then writing is paused until every byte has gone, and resumed only after that.
            self._transport.set_write_buffer_limits(high=0)
        if self._cause is not None:
            self._transport.abort()

    def encrypted(self, transport: asyncio.BaseTransport) -> None:
        """Go on with ``transport``, which encrypts what it gives to the one until now."""
        self._below, self._transport = self._transport, cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._incoming[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what arrived to the requests that wait for it."""
        self._watch.heard()
        if self._cause is not None:
            return
        self.hint = ""
        # By the time of the last request: a clock for each read would cost more than it tells.
        sample = self._meter.at(self.last_used)
        sample.operations += 1
        sample.response_bytes += len(data)
        try:
            for pending, answer in self.protocol.receive(data):
                sample.responses += 1
                answered, _ = pending.tag
                answered(answer)
        except ProducerError as error:
            self.abort(error)
            return
        self._on_room()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._settle_written()
        self._on_room()

    def _held_back(self) -> int:
        """Return how many bytes the transports have not given to the kernel."""
        assert self._transport is not None
        size = self._transport.get_write_buffer_size()
        return size if self._below is None else size + self._below.get_write_buffer_size()

    def _settle_written(self) -> None:
        """Tell those who wait for their bytes to be gone, once all bytes are."""
        self._settling = None
        if self._below is None or self._held_back() == 0:
            unwritten, self._unwritten = self._unwritten, []
            for written, _ in unwritten:
                written()
        elif self._unwritten:
            # Of the transport below TLS nobody tells us that it is empty.
            self._settling = self._loop.call_later(_SETTLING_S, self._settle_written)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._cause is None:
            reason = f"{exc}" if exc is not None else "the broker closed the connection"
            self._cause = ClusterConnectionError(
                f"connection to {self.address} lost: {reason}{self.hint}",
                addresses=(self.address,),
            )
            self._cause.__cause__ = exc
        self._finish()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        assert self._cause is not None
        if self._is_counted:
            self._is_counted = False
            self._meter.at(self._loop.time()).disconnections += 1
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        self._held = False
        self._free.set()
        unwritten, self._unwritten = self._unwritten, []
        for _, lost in unwritten:
            lost(self._cause)
        while self.protocol.in_flight:
            pending = self.protocol.in_flight.popleft()
            _, lost = pending.tag
            lost(self._cause)
        if not self.closed.done():
            self.closed.set_result(self._cause)

    def _waiting_since(self) -> float | None:
        """Return since when the oldest request waits for its answer, or only to be written."""
        since = [self._unwritten_since] if self._unwritten else []
        if self.protocol.in_flight:
            since.append(self.protocol.in_flight[0].sent_at)
        # What was sent before a pause is not even looked at until its end (KIP-219).
        return max(min(since), self.throttled_until) if since else None

    def _watch_oldest(self) -> None:
        since = self._waiting_since()
        if since is not None:
            self._timer = self._watch.call_at(since + self._request_timeout, self._on_timer)

    def _on_timer(self) -> None:
        # Armed for whichever request is oldest when it fires; answered ones are gone by then.
        self._timer = None
        since = self._waiting_since()
        if since is None:
            return
        if self._loop.time() + SLACK < since + self._request_timeout:
            self._watch_oldest()
            return
        self._meter.at(self._loop.time()).timeouts += 1
        # Answers come in order, so all behind this one are late too: Java closes as well.
        self.abort(
            ClusterConnectionError(
                f"{self.address} did not answer within {self._request_timeout:g} s",
                addresses=(self.address,),
            )
        )
