"""What C does another way: the same answers, whichever way this run takes."""

from __future__ import annotations

import struct
import time
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer import inlined
from aioproducer.core.murmur2 import murmur2
from aioproducer.core.produce_exchange import Shipment
from aioproducer.wire.record_batch import decode_records
from aioproducer.wire.record_encoder import NO_HEADERS, append_parts, append_record
from tests.core.makers import make_batch, make_queue


class Pair(NamedTuple):
    first: int
    second: str


def test_a_row_is_the_named_tuple_that_its_constructor_makes() -> None:
    assert inlined.row(Pair, (1, "a")) == Pair(1, "a")
    assert type(inlined.row(Pair, (1, "a"))) is Pair
    queue = make_queue()
    batch = make_batch(queue)
    assert inlined.row(Shipment, (queue, batch)) == Shipment(queue, batch)


def test_milliseconds_are_those_of_the_wall_clock() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= inlined.time_ms() <= time.time_ns() // 1_000_000


@given(st.lists(st.binary(max_size=40), min_size=8, max_size=8))
def test_joining_is_that_of_bytes(parts: list[bytes]) -> None:
    assert inlined.join(*parts) == b"".join(parts)


@given(
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=1200),
    st.integers(0, 9000),
)
def test_the_encoder_joins_as_the_batch_has_it(
    key: bytes | None, value: bytes | None, delta: int
) -> None:
    """Through the encoder, for compiled code has its own."""
    parts: list[bytes] = []
    size = append_parts(parts, delta, 0, key, value, NO_HEADERS)
    joined = b"".join(parts)
    assert size == len(joined)
    (record,) = decode_records(joined, 1, 0)
    assert (record.key, record.value, record.timestamp) == (key, value, delta)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_joined(kind: type) -> None:
    out = bytearray()
    append_record(out, 0, 0, kind(b"k"), kind(b"value"), [("h", kind(b"x"))])
    assert out == bytes.fromhex("20 00 00 00 02 6b 0a 76616c7565 02 02 68 02 78")


def test_what_is_no_buffer_is_refused() -> None:
    out = bytearray()
    with pytest.raises(TypeError):
        append_record(out, 0, 0, b"k", ["no", "buffer"], ())  # type: ignore[arg-type]
    assert not out


@given(st.binary(max_size=300))
def test_words_are_little_endian(data: bytes) -> None:
    count = len(data) // 4
    assert inlined.words(data, count) == struct.unpack_from(f"<{count}I", data)
    assert murmur2(data) == murmur2(bytearray(data))
