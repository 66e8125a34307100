"""Requests and answers as they go by, and what a hook may say about them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from aioproducer.errors import MalformedResponseError
from aioproducer.testing.proxy.messages import API_NAMES, MESSAGES, PRODUCE, answer_offset
from aioproducer.testing.proxy.schema import Values
from aioproducer.wire.primitives import Reader

_START = struct.Struct(">hhih")
_FIRST_WITH_TRANSACTIONAL_ID = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """One request as it goes by, or the answer to it.

    ``port`` is the real broker's, ``broker`` its id once an answer has told it; ``size`` is that of
    the frame at hand in bytes.
    """

    api: int
    version: int
    correlation_id: int
    port: int
    size: int
    client_id: str | None = None
    broker: int | None = None

    @property
    def name(self) -> str:
        """Kafka's name of the API."""
        return API_NAMES[self.api] if 0 <= self.api < len(API_NAMES) else f"API {self.api}"

    @property
    def is_produce(self) -> bool:
        """Whether it is about records."""
        return self.api == PRODUCE


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


def read_header(data: bytes, port: int, broker: int | None) -> Frame:
    """Return what a request's header says.

    Raises :exc:`MalformedResponseError` for bytes that are no request.
    """
    try:
        api, version, correlation_id, length = _START.unpack_from(data)
        client_id = None if length < 0 else data[10 : 10 + length].decode()
    except (struct.error, UnicodeDecodeError):
        raise MalformedResponseError(f"{len(data)} bytes are no request of Kafka's") from None
    return Frame(api, version, correlation_id, port, len(data), client_id, broker)


def body_offset(data: bytes, frame: Frame) -> int:
    """Return where the body of a request that the proxy knows begins."""
    (length,) = struct.unpack_from(">h", data, 8)
    reader = Reader(data, 10 + max(length, 0))
    if frame.version >= MESSAGES[frame.api].request.flexible_since:
        reader.tagged_fields()
    return reader.offset


def knows(frame: Frame) -> bool:
    """Return whether the proxy can read this request's answer."""
    pair = MESSAGES.get(frame.api)
    return pair is not None and 0 <= frame.version <= pair.newest


def decode_request(data: bytes, frame: Frame) -> Values:
    """Return the body of a request that the proxy knows."""
    return MESSAGES[frame.api].request.decode(data, frame.version, body_offset(data, frame))


def encode_request(data: bytes, frame: Frame, values: Values) -> bytes:
    """Return the request ``data`` with another body."""
    return data[: body_offset(data, frame)] + MESSAGES[frame.api].request.encode(
        values, frame.version
    )


def decode_answer(data: bytes, frame: Frame) -> Values:
    """Return the body of the answer to ``frame``."""
    offset = answer_offset(frame.api, frame.version)
    return MESSAGES[frame.api].answer.decode(data, frame.version, offset)


def encode_answer(frame: Frame, values: Values, version: int | None = None) -> bytes:
    """Return the answer to ``frame``, header included."""
    version = frame.version if version is None else version
    header = struct.pack(">i", frame.correlation_id)
    header += bytes(answer_offset(frame.api, version) - len(header))
    return header + MESSAGES[frame.api].answer.encode(values, version)


def is_answered(data: bytes, frame: Frame) -> bool:
    """Return whether a broker answers at all: not to records without acks."""
    if frame.api != PRODUCE or not knows(frame):
        return True
    reader = Reader(data, body_offset(data, frame))
    if frame.version >= _FIRST_WITH_TRANSACTIONAL_ID:
        reader.nullable_string(frame.version >= MESSAGES[PRODUCE].request.flexible_since)
    return reader.int16() != 0
