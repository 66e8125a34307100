"""Frames: every message on a connection is preceded by its size as an int32."""

from __future__ import annotations

import struct

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.primitives import Buffer

MAX_FRAME = 100 * 1024 * 1024

_SIZE = struct.Struct(">i")

# What other protocols begin with when a Kafka request reaches them. Read as a size, each is far
# above MAX_FRAME.
_STRANGERS = (
    (b"\x15\x03", "looks like TLS: the port expects an encrypted connection"),
    (b"\x16\x03", "looks like TLS: the port expects an encrypted connection"),
    (b"HTTP", "looks like HTTP: a web server answers on this port"),
    (b"SSH-", "looks like SSH: a secure shell answers on this port"),
)


class EncryptedPortError(MalformedResponseError):
    """The answer is TLS where none was asked for."""


class FrameDecoder:
    """Cut what a connection receives into frames.

    Bytes are copied a constant number of times however they are split, and memory grows with what
    has arrived, not with what a size field promises.
    """

    __slots__ = ("_max_frame", "_partial", "_untouched")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        # Empty, or one frame that has begun and is not complete (size field included).
        self._partial = bytearray()
        self._untouched = True

    def feed(self, data: Buffer) -> list[bytes]:
        """Return the frames that ``data`` completes, without their size fields.

        ``data`` may be reused by the caller afterwards: frames are copies.

        Raises:
            MalformedResponseError: a size is negative or above the limit. The connection is of no
                use then.
        """
        frames: list[bytes] = []
        position = self._continue(data, frames) if self._partial else 0
        end = len(data)
        while end - position >= 4:
            stop = position + 4 + self._size(data, position)
            if stop > end:
                break
            frames.append(bytes(data[position + 4 : stop]))
            position = stop
        if position < end:
            self._partial += data[position:]
        return frames

    def _continue(self, data: Buffer, frames: list[bytes]) -> int:
        partial = self._partial
        position = 0
        if len(partial) < 4:
            position = min(4 - len(partial), len(data))
            partial += data[:position]
            if len(partial) < 4:
                return position
        missing = 4 + self._size(partial, 0) - len(partial)
        chunk = data[position : position + missing]
        partial += chunk
        if len(chunk) == missing:
            with memoryview(partial) as view:
                frames.append(bytes(view[4:]))
            self._partial = bytearray()
        return position + len(chunk)

    def _size(self, data: Buffer, position: int) -> int:
        size: int = _SIZE.unpack_from(data, position)[0]
        if 0 <= size <= self._max_frame:
            self._untouched = False
            return size
        first = bytes(data[position : position + 4])
        if self._untouched:
            for prefix, words in _STRANGERS:
                if first.startswith(prefix):
                    kind = EncryptedPortError if "TLS" in words else MalformedResponseError
                    raise kind(f"the answer is not Kafka's: it {words}")
        limit = "is negative" if size < 0 else f"exceeds the limit of {self._max_frame}"
        raise MalformedResponseError(
            f"a frame size of {size} bytes {limit} (the bytes received are {first.hex(' ')})"
        )
