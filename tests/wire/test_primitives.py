from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.primitives import Reader, Writer, encode_uvarint

FLEXIBILITY = pytest.mark.parametrize("flexible", [False, True])


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


ROUND_TRIPS: dict[str, st.SearchStrategy[Any]] = {
    "int8": integers(8),
    "int16": integers(16),
    "int32": integers(32),
    "int64": integers(64),
    "uint32": st.integers(0, 2**32 - 1),
    "uvarint": st.integers(0, 2**32 - 1),
    "varint": integers(32),
    "varlong": integers(64),
    "boolean": st.booleans(),
    "float64": st.floats(allow_nan=False),
    "uuid": st.binary(min_size=16, max_size=16),
}
SIZED: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(),
    "nullable_string": st.none() | st.text(),
    "bytes_": st.binary(),
    "nullable_bytes": st.none() | st.binary(),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
@settings(deadline=None)
@given(data=st.data())
def test_a_scalar_comes_back_as_it_was_written(name: str, data: st.DataObject) -> None:
    value = data.draw(ROUND_TRIPS[name])
    writer = Writer()
    getattr(writer, name)(value)
    reader = Reader(writer.getvalue())
    assert getattr(reader, name)() == value
    reader.finish()


@FLEXIBILITY
@pytest.mark.parametrize("name", SIZED)
@settings(deadline=None)
@given(data=st.data())
def test_a_sized_value_comes_back_as_it_was_written(
    name: str, flexible: bool, data: st.DataObject
) -> None:
    value = data.draw(SIZED[name])
    writer = Writer()
    getattr(writer, name)(value, flexible)
    reader = Reader(writer.getvalue())
    assert getattr(reader, name)(flexible) == value
    reader.finish()


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16383, "ff7f"),
        (16384, "808001"),
        (2097151, "ffff7f"),
        (2097152, "80808001"),
        (2**32 - 1, "ffffffff0f"),
    ],
)
def test_unsigned_varints_are_little_groups_of_seven_bits(value: int, encoded: str) -> None:
    assert encode_uvarint(value).hex() == encoded
    assert Reader(bytes.fromhex(encoded)).uvarint() == value


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (-1, "01"), (1, "02"), (-2, "03"), (2**31 - 1, "feffffff0f")]
)
def test_signed_varints_are_zig_zag(value: int, encoded: str) -> None:
    writer = Writer()
    writer.varint(value)
    assert writer.getvalue().hex() == encoded
    assert Reader(bytes.fromhex(encoded)).varint() == value


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (Reader.uvarint, b"\x80\x80\x80\x80\x80\x00"),
        (Reader.uvarint, b"\xff\xff\xff\xff\x1f"),
        (Reader.varint, b"\xff" * 20),
        (Reader.varlong, b"\xff" * 9 + b"\x02"),
        (Reader.varlong, b"\x80" * 11),
    ],
)
def test_a_varint_longer_than_its_type_is_refused(
    read: Callable[[Reader], int], data: bytes
) -> None:
    with pytest.raises(MalformedResponseError, match="exceeds"):
        read(Reader(data))


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_nothing_is_read_past_the_end(name: str) -> None:
    writer = Writer()
    getattr(writer, name)({"uuid": bytes(16), "boolean": True}.get(name, 100))
    data = writer.getvalue()
    for end in range(len(data)):
        reader = Reader(data[:end])
        with pytest.raises(MalformedResponseError, match="ends early"):
            getattr(reader, name)()
        assert reader.offset == 0


@FLEXIBILITY
@pytest.mark.parametrize("name", SIZED)
@settings(deadline=None)
@given(noise=st.binary(max_size=12))
def test_a_sized_value_is_read_or_refused(name: str, flexible: bool, noise: bytes) -> None:
    reader = Reader(noise)
    try:
        value = getattr(reader, name)(flexible)
    except MalformedResponseError:
        return
    assert value is None or len(value) <= len(noise)


@pytest.mark.parametrize("read", [Reader.nullable_string, Reader.nullable_bytes])
def test_a_negative_length_other_than_null_is_refused(
    read: Callable[[Reader, bool], object],
) -> None:
    with pytest.raises(MalformedResponseError, match="negative length"):
        read(Reader(b"\xff\xfe\xff\xfe" + bytes(10)), False)


@FLEXIBILITY
@pytest.mark.parametrize("read", [Reader.string, Reader.bytes_])
def test_null_is_refused_where_a_value_belongs(
    read: Callable[[Reader, bool], object], flexible: bool
) -> None:
    with pytest.raises(MalformedResponseError, match="null"):
        read(Reader(b"\x00" if flexible else b"\xff\xff\xff\xff"), flexible)


def test_a_string_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(MalformedResponseError, match="UTF-8"):
        Reader(b"\x03\xff\xfe").string(True)


@FLEXIBILITY
@pytest.mark.parametrize("count", [-1, 0, 1, 3])
def test_an_array_length_comes_back_as_it_was_written(flexible: bool, count: int) -> None:
    writer = Writer()
    writer.array_length(count, flexible)
    assert Reader(writer.getvalue() + bytes(3)).array_length(flexible) == count


@FLEXIBILITY
def test_an_array_that_cannot_fit_is_refused_before_anyone_loops(flexible: bool) -> None:
    writer = Writer()
    writer.array_length(4, flexible)
    data = writer.getvalue() + bytes(15)
    assert Reader(data).array_length(flexible, 3) == 4
    with pytest.raises(MalformedResponseError, match="an array of 4 elements cannot fit"):
        Reader(data).array_length(flexible, 4)


def test_an_array_of_negative_length_is_refused() -> None:
    with pytest.raises(MalformedResponseError, match="an array of -2 elements"):
        Reader(struct.pack(">i", -2)).array_length(False)


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 2**32 - 1), st.binary(max_size=200), max_size=5))
def test_tagged_fields_come_back_as_they_were_written(fields: dict[int, bytes]) -> None:
    writer = Writer()
    writer.tagged_fields(fields)
    reader = Reader(writer.getvalue())
    assert reader.tagged_fields() == fields
    reader.finish()


def test_tagged_fields_are_written_in_ascending_order() -> None:
    writer = Writer()
    writer.tagged_fields({5: b"e", 0: b"", 1: b"a"})
    assert writer.getvalue() == bytes.fromhex("03 00 00 01 01 61 05 01 65")


@pytest.mark.parametrize("data", ["ff7f", "01", "0100", "010005", "01ffffffff0f01", "020000"])
def test_tagged_fields_that_cannot_be_there_are_refused(data: str) -> None:
    with pytest.raises(MalformedResponseError):
        Reader(bytes.fromhex(data)).tagged_fields()


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_read(make: Callable[[bytes], bytes]) -> None:
    reader = Reader(make(b"?\x00\x03abc..."), 1)
    assert reader.string(False) == "abc"
    assert reader.remaining == 3


def test_what_was_read_from_a_reused_buffer_does_not_change() -> None:
    buffer = bytearray(b"\x00\x03abc")
    reader = Reader(buffer)
    buffer[2:] = b"xyz"
    assert reader.string(False) == "abc"


def test_bytes_that_nobody_read_are_refused_at_the_end() -> None:
    reader = Reader(bytes(3))
    reader.int8()
    with pytest.raises(MalformedResponseError, match="2 unexpected bytes"):
        reader.finish()


def test_a_uuid_of_another_size_is_not_written() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Writer().uuid(b"short")
