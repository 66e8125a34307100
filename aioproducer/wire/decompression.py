"""The codecs backwards, for tests and tools: a producer itself decompresses nothing.

What is read here may be corrupt or made to harm: every output is bounded, and every failure is a
``MalformedResponseError``.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, Final

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.compression import (
    CODECS,
    GZIP,
    GZIP_WINDOW,
    HAS_STDLIB_ZSTD,
    LZ4,
    NONE,
    PACKAGES,
    SNAPPY,
    XERIAL_HEADER,
    XERIAL_MAGIC,
    XERIAL_SIZE,
    ZSTD,
    importable,
    require,
)
from aioproducer.wire.primitives import Buffer


def decompress(codec_id: int, data: Buffer, limit: int) -> bytes:
    """Return what ``data`` holds, which must not be more than ``limit`` bytes.

    Raises:
        MalformedResponseError: the data is corrupt, ends early or holds more than ``limit`` bytes.
        ConfigurationError: the package of the codec is not installed.
    """
    if codec_id not in _DECOMPRESSORS:
        raise MalformedResponseError(f"there is no compression codec {codec_id}")
    require(CODECS[codec_id].name)
    return _DECOMPRESSORS[codec_id](bytes(data), limit)


def _too_large(limit: int) -> MalformedResponseError:
    return MalformedResponseError(f"more than {limit} bytes come out of compressed records")


def _corrupt(codec: str, error: object) -> MalformedResponseError:
    return MalformedResponseError(f"corrupt {codec} data: {error}")


def _stored(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise _too_large(limit)
    return data


def _by_members(codec: str, open_member: Callable[[], Any], data: bytes, limit: int) -> bytes:
    """Decompress one gzip member, lz4 or zstd frame after the other."""
    out = bytearray()
    while True:
        member = open_member()
        out += member.decompress(data, limit + 1 - len(out))
        if len(out) > limit:
            raise _too_large(limit)
        if not member.eof:
            raise _corrupt(codec, "it ends early")
        data = member.unused_data
        if not data:
            return bytes(out)


def _gunzip(data: bytes, limit: int) -> bytes:
    try:
        return _by_members("gzip", lambda: zlib.decompressobj(GZIP_WINDOW), data, limit)
    except zlib.error as error:
        raise _corrupt("gzip", error) from error


def _unsnappy(data: bytes, limit: int) -> bytes:
    """Decompress xerial's framing, which Java writes, or a bare block, which librdkafka writes."""
    if not data.startswith(XERIAL_MAGIC):
        return _unsnappy_block(data, limit, limit)
    offset = len(XERIAL_HEADER)
    if len(data) < offset:
        raise _corrupt("snappy", "it ends early")
    out = bytearray()
    while offset < len(data):
        start = offset + XERIAL_SIZE.size
        size = int.from_bytes(data[offset:start], "big", signed=True)
        offset = start + size
        if size < 0 or offset > len(data):
            raise _corrupt("snappy", f"a block of {size} bytes at byte {start} of {len(data)}")
        out += _unsnappy_block(data[start:offset], limit - len(out), limit)
    return bytes(out)


def _unsnappy_block(block: bytes, room: int, limit: int) -> bytes:
    cramjam: Any = importlib.import_module("cramjam")
    try:
        # A block begins with the size of what it holds: known before anything is allocated.
        if block and cramjam.snappy.decompress_raw_len(block) > room:
            raise _too_large(limit)
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise _corrupt("snappy", error) from error


def _unlz4(data: bytes, limit: int) -> bytes:
    if not importable("lz4.frame"):
        return _unlz4_by_cramjam(data, limit)
    frame: Any = importlib.import_module("lz4.frame")
    try:
        return _by_members("lz4", frame.LZ4FrameDecompressor, data, limit)
    except RuntimeError as error:
        raise _corrupt("lz4", error) from error


def _unlz4_by_cramjam(data: bytes, limit: int) -> bytes:
    cramjam: Any = importlib.import_module("cramjam")
    # It writes into a buffer and fails when that is full, so the buffer is what bounds it.
    size = min(limit, max(4096, 8 * len(data)))
    while True:
        buffer = bytearray(size)
        try:
            written: int = cramjam.lz4.decompress_into(data, buffer)
            return bytes(buffer[:written])
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise _corrupt("lz4", error) from error
            if size == limit:
                raise _too_large(limit) from error
            size = min(limit, 4 * size)


def _unzstd(data: bytes, limit: int) -> bytes:
    zstd: Any = importlib.import_module(PACKAGES[ZSTD][0])
    try:
        if HAS_STDLIB_ZSTD:
            return _by_members("zstd", zstd.ZstdDecompressor, data, limit)
        # Of zstandard's interfaces one knows bounds and the other knows where a frame ends.
        with zstd.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            if len(reader.read(limit + 1)) > limit:
                raise _too_large(limit)
        return _by_members("zstd", lambda: _UnboundedZstdFrame(zstd), data, limit)
    except zstd.ZstdError as error:
        raise _corrupt("zstd", error) from error


class _UnboundedZstdFrame:
    """Gives zstandard's frame the interface of the other decompressors."""

    def __init__(self, zstd: Any) -> None:
        self._frame = zstd.ZstdDecompressor().decompressobj()

    def decompress(self, data: bytes, _max_length: int) -> bytes:
        content: bytes = self._frame.decompress(data)
        return content

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data)


_DECOMPRESSORS: Final[dict[int, Callable[[bytes, int], bytes]]] = {
    NONE: _stored,
    GZIP: _gunzip,
    SNAPPY: _unsnappy,
    LZ4: _unlz4,
    ZSTD: _unzstd,
}
