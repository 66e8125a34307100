"""The five codecs of Kafka, in the forms that brokers and every other client can read.

The packages behind them are optional and imported when a codec is first asked for. All of them
release the interpreter lock while they work, so compressing on another thread is real parallelism;
a ``Compressor`` may be used by several threads at once.
"""

from __future__ import annotations

import importlib
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aioproducer.errors import ConfigurationError
from aioproducer.wire.primitives import Buffer

NONE: Final = 0
GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4

GZIP_WINDOW = 31  # zlib's way to say: the largest window, in a gzip member

XERIAL_MAGIC = b"\x82SNAPPY\x00"
XERIAL_HEADER = XERIAL_MAGIC + struct.pack(">ii", 1, 1)
XERIAL_BLOCK = 32 * 1024
XERIAL_SIZE = struct.Struct(">i")

# The level for which Kafka takes lz4's fast compressor; every other one is a level of lz4 HC.
_LZ4_FAST_LEVEL = 9
_LZ4_HC_LEVELS = (3, 12)

HAS_STDLIB_ZSTD = sys.version_info >= (3, 14)


@dataclass(frozen=True, slots=True)
class Codec:
    """A compression type of Kafka: what it is called, and which package and levels it has."""

    name: str
    id: int
    extra: str = ""
    default_level: int = 0
    levels: tuple[int, int] | None = None


CODECS: Final = (
    Codec("none", NONE),
    Codec("gzip", GZIP, default_level=-1, levels=(1, 9)),
    Codec("snappy", SNAPPY, extra="snappy"),
    Codec("lz4", LZ4, extra="lz4", default_level=_LZ4_FAST_LEVEL, levels=(1, 17)),
    Codec("zstd", ZSTD, extra="zstd", default_level=3, levels=(-131072, 22)),
)
CODEC_BY_NAME: Final = {codec.name: codec for codec in CODECS}


class Compressor:
    """One codec at one level."""

    __slots__ = ("_compress", "codec_id", "cost_ns_per_byte", "name")

    def __init__(
        self, codec: Codec, compress: Callable[[Buffer], bytes], cost_ns_per_byte: float
    ) -> None:
        self.name = codec.name
        self.codec_id = codec.id
        # An estimate for text on one current core: whether to spare the loop, not how long to wait.
        self.cost_ns_per_byte = cost_ns_per_byte
        self._compress = compress

    def compress(self, body: Buffer) -> bytes:
        """Return the records of a batch as they go on the wire. Any thread may call this."""
        return self._compress(body)


def get(name: str, level: int | None = None) -> Compressor:
    """Return the compressor of ``compression.type``; a level of None is Kafka's default.

    Raises:
        ConfigurationError: no such codec or level, or its package is not installed.
    """
    codec = _codec(name)
    if level is None:
        level = codec.default_level
    _check_level(codec, level)
    require(name)
    cost = next((ns for highest, ns in _COSTS[codec.id] if level <= highest), _SLOWEST)
    return Compressor(codec, _FACTORIES[codec.id](level), cost)


def _check_level(codec: Codec, level: int) -> None:
    if level == codec.default_level:
        return
    if codec.levels is None:
        raise ConfigurationError(f"compression.type={codec.name} has no levels, not even {level}")
    low, high = codec.levels
    if not low <= level <= high:
        raise ConfigurationError(
            f"compression.{codec.name}.level={level} is not between {low} and {high}"
        )


def require(name: str) -> None:
    """Refuse a codec whose package is not there.

    Raises:
        ConfigurationError: with the line that installs it.
    """
    codec = _codec(name)
    if codec.id in PACKAGES and not any(importable(package) for package in PACKAGES[codec.id]):
        raise ConfigurationError(
            f"compression.type={name} needs a package that is not installed: "
            f'pip install "aioproducer[{codec.extra}]"'
        )


# Per codec, the packages of which one must be there, the best first.
PACKAGES: Final[dict[int, tuple[str, ...]]] = {
    SNAPPY: ("cramjam",),
    LZ4: ("lz4.frame", "cramjam"),
    ZSTD: ("compression.zstd",) if HAS_STDLIB_ZSTD else ("zstandard",),
}


def _codec(name: str) -> Codec:
    try:
        return CODEC_BY_NAME[name]
    except KeyError:
        names = ", ".join(CODEC_BY_NAME)
        raise ConfigurationError(f"compression.type={name!r} is none of {names}") from None


def importable(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def _no_compressor(_level: int) -> Callable[[Buffer], bytes]:
    return bytes


def _gzip_compressor(level: int) -> Callable[[Buffer], bytes]:
    def compress(body: Buffer) -> bytes:
        member = zlib.compressobj(level, zlib.DEFLATED, GZIP_WINDOW)
        return member.compress(body) + member.flush()

    return compress


def _snappy_compressor(_level: int) -> Callable[[Buffer], bytes]:
    compress_raw = importlib.import_module("cramjam").snappy.compress_raw

    def compress(body: Buffer) -> bytes:
        # The framing of Java's SnappyOutputStream, of the block size that Java has: readers
        # allocate by it.
        view = memoryview(body)
        parts = [XERIAL_HEADER]
        for start in range(0, len(view), XERIAL_BLOCK):
            block = bytes(compress_raw(view[start : start + XERIAL_BLOCK]))
            parts.append(XERIAL_SIZE.pack(len(block)))
            parts.append(block)
        return b"".join(parts)

    return compress


def _lz4_level(level: int) -> int:
    """Translate Kafka's level into one of lz4's frame interface, where 0 is the fast compressor."""
    if level == _LZ4_FAST_LEVEL:
        return 0
    low, high = _LZ4_HC_LEVELS
    return max(low, min(level, high))


def _lz4_compressor(level: int) -> Callable[[Buffer], bytes]:
    # Java's reader refuses blocks that depend on each other, which is what the packages make
    # unless told otherwise; it shows only in batches of more than one block.
    if importable("lz4.frame"):
        return _lz4_by_lz4(_lz4_level(level))
    return _lz4_by_cramjam(_lz4_level(level))


def _lz4_by_lz4(level: int) -> Callable[[Buffer], bytes]:
    frame: Any = importlib.import_module("lz4.frame")

    def compress(body: Buffer) -> bytes:
        compressed: bytes = frame.compress(
            body,
            compression_level=level,
            block_size=frame.BLOCKSIZE_MAX64KB,
            block_linked=False,
            store_size=False,
        )
        return compressed

    return compress


def _lz4_by_cramjam(level: int) -> Callable[[Buffer], bytes]:
    frame: Any = importlib.import_module("cramjam").lz4

    def compress(body: Buffer) -> bytes:
        stream = frame.Compressor(level=level, content_checksum=False, block_linked=False)
        stream.compress(body)
        return bytes(stream.finish())

    return compress


def _zstd_compressor(level: int) -> Callable[[Buffer], bytes]:
    # A compressor object costs as much to make as 16 KiB to compress, and may not be used by two
    # threads at once: whoever compresses takes one out of the pool and puts it back. pop() and
    # append() of a list are atomic.
    zstd: Any = importlib.import_module(PACKAGES[ZSTD][0])
    idle: list[Any] = []

    def compress(body: Buffer) -> bytes:
        try:
            compressor = idle.pop()
        except IndexError:
            compressor = zstd.ZstdCompressor(level=level)
        compressed: bytes
        if HAS_STDLIB_ZSTD:
            compressed = compressor.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)
        else:
            compressed = compressor.compress(body)
        # Not after an exception: then its state is unknown, and the next one is made new.
        idle.append(compressor)
        return compressed

    return compress


_FACTORIES: Final[dict[int, Callable[[int], Callable[[Buffer], bytes]]]] = {
    NONE: _no_compressor,
    GZIP: _gzip_compressor,
    SNAPPY: _snappy_compressor,
    LZ4: _lz4_compressor,
    ZSTD: _zstd_compressor,
}
# Nanoseconds per byte of 64 KiB of JSON, measured on one core, up to each level.
_COSTS: Final[dict[int, tuple[tuple[int, float], ...]]] = {
    NONE: ((0, 0.0),),
    GZIP: ((-1, 16.0), (2, 5.0), (6, 16.0), (9, 50.0)),
    SNAPPY: ((0, 0.9),),
    LZ4: ((3, 7.0), (8, 12.0), (9, 2.3), (17, 45.0)),
    ZSTD: ((3, 4.0), (5, 6.0), (9, 14.0), (15, 50.0)),
}
_SLOWEST: Final = 300.0
