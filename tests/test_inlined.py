"""What C does another way: the same answers, whichever way this run takes."""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer import inlined
from aioproducer.core.murmur2 import murmur2
from aioproducer.core.produce_exchange import Shipment
from aioproducer.wire.record_encoder import encode_record
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


@given(st.lists(st.binary(max_size=40), max_size=9))
def test_joining_is_that_of_bytes(parts: list[bytes]) -> None:
    assert inlined.join(tuple(parts)) == b"".join(parts)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_joined(kind: type) -> None:
    """Through the encoder, for compiled code has its own."""
    assert encode_record(0, 0, kind(b"k"), kind(b"value"), [("h", kind(b"x"))]) == bytes.fromhex(
        "00 00 00 02 6b 0a 76616c7565 02 02 68 02 78"
    )


def test_what_is_no_buffer_is_refused() -> None:
    with pytest.raises(TypeError):
        encode_record(0, 0, b"k", ["no", "buffer"], ())  # type: ignore[arg-type]


@given(st.binary(max_size=300))
def test_words_are_little_endian(data: bytes) -> None:
    count = len(data) // 4
    assert inlined.words(data, count) == struct.unpack_from(f"<{count}I", data)
    assert murmur2(data) == murmur2(bytearray(data))
