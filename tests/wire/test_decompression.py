"""Compressed data that is corrupt, cut short or made to fill the memory."""

from __future__ import annotations

import struct

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.compression import CODEC_BY_NAME, SNAPPY, get
from aioproducer.wire.decompression import decompress

NAMES = tuple(CODEC_BY_NAME)
COMPRESSING = NAMES[1:]
TEXT = b'{"order": 4711, "state": "paid"}\n' * 6000
LIMIT = 1_000_000


def test_an_unknown_codec_id_is_malformed() -> None:
    for codec_id in (-1, 5, 7):
        with pytest.raises(MalformedResponseError, match=f"no compression codec {codec_id}"):
            decompress(codec_id, b"", LIMIT)


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_bounded(name: str) -> None:
    compressor = get(name)
    compressed = compressor.compress(bytes(5_000_000))
    assert len(decompress(compressor.codec_id, compressed, 5_000_000)) == 5_000_000
    for limit in (0, 100, 4_999_999):
        with pytest.raises(MalformedResponseError, match=f"more than {limit} bytes"):
            decompress(compressor.codec_id, compressed, limit)


def test_a_snappy_block_that_promises_too_much_is_refused_unread() -> None:
    promise = b"\xff\xff\xff\xff\x0f" + b"\x00" * 10
    with pytest.raises(MalformedResponseError, match="more than 1000000 bytes"):
        decompress(SNAPPY, promise, LIMIT)


@pytest.mark.parametrize("name", COMPRESSING)
def test_what_ends_early_is_refused(name: str) -> None:
    compressor = get(name)
    compressed = compressor.compress(TEXT[:1000])
    for cut in range(len(compressed)):
        if name == "snappy" and cut == 16:
            continue  # xerial's framing knows no end: a header alone is an empty stream
        with pytest.raises(MalformedResponseError):
            decompress(compressor.codec_id, compressed[:cut], LIMIT)


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
def test_members_one_after_the_other_are_one_stream(name: str) -> None:
    compressor = get(name)
    compressed = compressor.compress(b"abc") + compressor.compress(b"def")
    assert decompress(compressor.codec_id, compressed, 6) == b"abcdef"
    with pytest.raises(MalformedResponseError):
        decompress(compressor.codec_id, compressed, 5)
    with pytest.raises(MalformedResponseError):
        decompress(compressor.codec_id, compressed + b"junk", 6)


def test_bare_snappy_blocks_are_read_too() -> None:
    bare = bytes(cramjam.snappy.compress_raw(TEXT))
    assert decompress(SNAPPY, bare, LIMIT) == TEXT


@pytest.mark.parametrize("size", [-1, 2**31 - 1, 9])
def test_a_snappy_block_with_a_wrong_size_is_refused(size: int) -> None:
    header = get("snappy").compress(b"")
    with pytest.raises(MalformedResponseError, match="corrupt snappy"):
        decompress(SNAPPY, header + struct.pack(">i", size) + b"12345678", LIMIT)


@given(st.sampled_from(COMPRESSING), st.binary(max_size=300))
def test_garbage_is_malformed_and_nothing_else(name: str, garbage: bytes) -> None:
    codec_id = CODEC_BY_NAME[name].id
    for data in (garbage, get(name).compress(b"")[:12] + garbage):
        try:
            assert len(decompress(codec_id, data, 10_000)) <= 10_000
        except MalformedResponseError:
            continue
