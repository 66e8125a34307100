"""The conversation with one broker: requests in, bytes out; bytes in, answers out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aioproducer import inlined
from aioproducer.errors import MalformedResponseError
from aioproducer.wire.framing import FrameDecoder
from aioproducer.wire.messages import frame_request
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import VersionRange, response_header_version

Buffer = bytes | bytearray | memoryview
_CORRELATION_LIMIT = 2**31 - 8
"""The ids above are reserved for re-authentication, as Java keeps them."""


class PendingRequest(NamedTuple):
    """A request on the wire: what is needed to read its answer and whom to tell."""

    correlation_id: int
    request: Any
    version: int
    sent_at: float
    tag: Any


class BrokerProtocol:
    """Correlation ids, framing and the order of answers; Kafka answers in the order asked."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._next_correlation_id = 0
        self._last_read = -1
        self._frames = FrameDecoder()
        self.in_flight: deque[PendingRequest] = deque()
        self.versions: Mapping[int, VersionRange] = {}

    def send(
        self, request: Any, version: int, now: float, tag: object, *, expect_answer: bool = True
    ) -> list[Buffer]:
        """Return the bytes of ``request``; its answer will carry ``tag``."""
        correlation_id = self._next_correlation_id
        # First: a request that this version cannot say is not on the wire, and has no answer.
        buffers = frame_request(request, version, correlation_id, self._client_id)
        self._next_correlation_id = (correlation_id + 1) % _CORRELATION_LIMIT
        if expect_answer:
            self.in_flight.append(
                inlined.row(PendingRequest, (correlation_id, request, version, now, tag))
            )
        return buffers

    def receive(self, data: bytes) -> Iterator[tuple[PendingRequest, Any]]:
        """Yield the answers that ``data`` completes, in order, each with its request.

        Raises :exc:`MalformedResponseError` for anything that is not the next expected answer;
        the connection is of no use after that.
        """
        for frame in self._frames.feed(data):
            answer = self._read(frame)
            if answer is not None:
                yield answer

    def _read(self, frame: Buffer) -> tuple[PendingRequest, Any] | None:
        reader = Reader(frame)
        correlation_id = reader.int32()
        if not self.in_flight or correlation_id != self.in_flight[0].correlation_id:
            self._pass_over(correlation_id)
            return None
        pending = self.in_flight[0]
        _, request, version, _, _ = pending
        if response_header_version(request.API_KEY, version) >= 1:
            reader.tagged_fields()
        answer = request.Response.decode(reader, version)
        # Only now: a request whose answer cannot be read is still unanswered.
        self.in_flight.popleft()
        self._last_read = correlation_id
        return pending, answer

    def _pass_over(self, correlation_id: int) -> None:
        """Let pass what answers a request that expects no answer: librdkafka's mock brokers do.

        All that was sent since the last answer and before the oldest request in flight is such.
        """
        end = self.in_flight[0].correlation_id if self.in_flight else self._next_correlation_id
        since = self._last_read + 1
        was_given = 0 <= correlation_id < _CORRELATION_LIMIT
        ahead = (correlation_id - since) % _CORRELATION_LIMIT
        if was_given and ahead < (end - since) % _CORRELATION_LIMIT:
            self._last_read = correlation_id
            return
        expected = f" where {end} was expected" if self.in_flight else ", but nothing was asked"
        raise MalformedResponseError(f"answer {correlation_id}{expected}")
