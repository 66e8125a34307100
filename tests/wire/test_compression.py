"""The codecs: the forms that Kafka's readers insist on, levels, threads, missing packages."""

from __future__ import annotations

import random
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pydoc_data import topics as pydoc_topics
from typing import Any

import cramjam
import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.errors import ConfigurationError, MalformedResponseError
from aioproducer.wire import compression
from aioproducer.wire.compression import CODEC_BY_NAME, LZ4, get, require
from aioproducer.wire.decompression import decompress
from tests.oracles.java.data import LEVELS

NAMES = tuple(CODEC_BY_NAME)
COMPRESSING = NAMES[1:]
NOISE = random.Random(1).randbytes(200_000)
TEXT = b'{"order": 4711, "state": "paid"}\n' * 6000
PROSE = "\n".join(pydoc_topics.topics.values()).encode()
LIMIT = 1_000_000


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes packages look as if they were not installed."""

    def hide(*packages: str) -> None:
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return hide


def test_ids_are_those_of_the_protocol() -> None:
    assert [CODEC_BY_NAME[name].id for name in NAMES] == [0, 1, 2, 3, 4]
    assert NAMES == ("none", "gzip", "snappy", "lz4", "zstd")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("body", [b"", b"x", TEXT, NOISE], ids=["empty", "byte", "text", "noise"])
@pytest.mark.parametrize("name", NAMES)
def test_every_codec_and_level_comes_back(name: str, body: bytes, kind: Any) -> None:
    for level in LEVELS[name]:
        compressor = get(name, level)
        assert compressor.codec_id == CODEC_BY_NAME[name].id
        assert (compressor.cost_ns_per_byte > 0) == (name != "none")
        compressed = compressor.compress(kind(body))
        assert type(compressed) is bytes
        assert decompress(compressor.codec_id, compressed, LIMIT) == body


@given(st.binary(max_size=100_000))
def test_any_bytes_come_back(body: bytes) -> None:
    for name in NAMES:
        compressor = get(name)
        assert decompress(compressor.codec_id, compressor.compress(body), len(body)) == body


@pytest.mark.parametrize(("name", "low", "high"), [("gzip", 1, 9), ("lz4", 9, 12), ("zstd", 1, 19)])
def test_a_higher_level_compresses_better(name: str, low: int, high: int) -> None:
    assert len(get(name, high).compress(PROSE)) < len(get(name, low).compress(PROSE))


@pytest.mark.parametrize("name", COMPRESSING)
def test_one_compressor_serves_many_threads(name: str) -> None:
    compressor = get(name)
    bodies = [bytes((number,)) * 3000 + TEXT[: 500 * number] for number in range(60)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(compressor.compress, bodies * 3))
    assert [decompress(compressor.codec_id, each, LIMIT) for each in results] == bodies * 3


# Forms


@pytest.mark.parametrize("level", [None, 1, 9, 17])
def test_lz4_frames_are_what_javas_reader_accepts(level: int | None) -> None:
    info = lz4.frame.get_frame_info(get("lz4", level).compress(TEXT))
    # Linked blocks are refused by brokers, and only in batches above the size of a block.
    assert info["block_linked"] is False
    assert info["block_size"] == 64 * 1024
    assert info["content_size"] == 0
    assert info["content_checksum"] is False


def test_kafkas_default_level_9_is_lz4s_fast_compressor() -> None:
    fast = lz4.frame.compress(PROSE, compression_level=0, block_linked=False, store_size=False)
    assert get("lz4").compress(PROSE) == get("lz4", 9).compress(PROSE) == fast
    for level in (1, 8, 10, 17):
        assert len(get("lz4", level).compress(PROSE)) < len(fast)


def test_snappy_has_the_frames_of_java_in_blocks_of_32_kib() -> None:
    compressed = get("snappy").compress(NOISE)
    assert compressed[:16] == b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
    sizes = []
    offset = 16
    while offset < len(compressed):
        (size,) = struct.unpack_from(">i", compressed, offset)
        block = compressed[offset + 4 : offset + 4 + size]
        sizes.append(len(bytes(cramjam.snappy.decompress_raw(block))))
        offset += 4 + size
    assert sizes == [32768] * 6 + [len(NOISE) - 6 * 32768]


def test_gzip_is_one_member_without_a_time() -> None:
    compressed = get("gzip").compress(TEXT)
    assert compressed[:3] == b"\x1f\x8b\x08"
    assert compressed[4:8] == bytes(4)
    assert zlib.decompress(compressed, 31) == TEXT


def test_zstd_compressor_objects_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    zstd = pytest.importorskip(compression.PACKAGES[compression.ZSTD][0])
    made = []
    original = zstd.ZstdCompressor

    class Counted(original):  # type: ignore[misc, valid-type]
        def __new__(cls, *args: object, **options: object) -> Any:
            made.append(1)
            return original(*args, **options)

    monkeypatch.setattr(zstd, "ZstdCompressor", Counted)
    compressor = get("zstd")
    for _ in range(10):
        compressor.compress(TEXT)
    assert len(made) == 1


# Refusals


@pytest.mark.parametrize(
    ("name", "level"),
    [("gzip", 10), ("gzip", 0), ("gzip", -2), ("lz4", 0), ("lz4", 18), ("zstd", 23)],
)
def test_a_level_out_of_range_is_refused(name: str, level: int) -> None:
    with pytest.raises(ConfigurationError, match=f"compression.{name}.level={level} is not"):
        get(name, level)


def test_a_level_for_a_codec_without_levels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no levels"):
        get("snappy", 3)


@pytest.mark.parametrize("ask", [get, require])
def test_an_unknown_codec_is_refused(ask: Any) -> None:
    with pytest.raises(ConfigurationError, match="'brotli' is none of none, gzip, snappy"):
        ask("brotli")


@pytest.mark.parametrize("ask", [get, require])
@pytest.mark.parametrize("name", ["snappy", "lz4", "zstd"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    name: str, ask: Any, without: Any
) -> None:
    require(name)
    without("cramjam", "lz4.frame", "zstandard", "compression.zstd")
    with pytest.raises(ConfigurationError, match=rf'pip install "aioproducer\[{name}\]"'):
        ask(name)
    for other in ("none", "gzip"):
        require(other)


@pytest.mark.parametrize("level", [None, 1, 17])
def test_cramjam_stands_in_for_a_missing_lz4(level: int | None, without: Any) -> None:
    without("lz4.frame")
    for body in (b"", b"x", TEXT, NOISE):
        compressed = get("lz4", level).compress(body)
        info = lz4.frame.get_frame_info(compressed)
        assert info["block_linked"] is False
        assert lz4.frame.decompress(compressed) == body
        assert decompress(LZ4, compressed, len(body)) == body
        if body:
            with pytest.raises(MalformedResponseError, match="more than"):
                decompress(LZ4, compressed, len(body) - 1)
            with pytest.raises(MalformedResponseError, match="corrupt lz4"):
                decompress(LZ4, compressed[:-3], len(body))
