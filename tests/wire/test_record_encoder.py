"""The bytes of single records, at every border of the lookup tables."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.record_batch import DecodedRecord, decode_records
from aioproducer.wire.record_encoder import append_record, record_size_bound
from tests.oracles.java.data import record_sets

Headers = Sequence[tuple[str, bytes | None]]

BORDERS = (0, 1, 63, 64, 127, 128, 4095, 4096, 8191, 8192, 70_000)


def encoded(
    key: bytes | None = None,
    value: bytes | None = None,
    headers: Headers = (),
    *,
    timestamp_delta: int = 0,
    offset_delta: int = 0,
) -> bytes:
    out = bytearray()
    append_record(out, timestamp_delta, offset_delta, key, value, headers)
    return bytes(out)


def decoded(data: bytes) -> DecodedRecord:
    (record,) = decode_records(data, 1, 0)
    return record


def test_a_record_has_the_layout_of_the_protocol_guide() -> None:
    assert encoded(b"k", b"val", [("h", b"x")], timestamp_delta=3, offset_delta=1) == bytes.fromhex(
        "1c 00 06 02 02 6b 06 76616c 02 02 68 02 78"
    )


def test_null_is_not_empty() -> None:
    assert encoded(None, None) == bytes.fromhex("0c 00 00 00 01 01 00")
    assert encoded(b"", b"") == bytes.fromhex("0c 00 00 00 00 00 00")


def test_a_header_value_may_be_null_and_a_name_may_repeat() -> None:
    headers = (("a", None), ("a", b""), ("a", b"1"), ("grüße", b"\xff"))
    assert decoded(encoded(b"k", b"v", headers)).headers == headers


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_keys_and_values_may_be_any_buffer(kind: type[bytearray] | type[memoryview]) -> None:
    for key, value in ((b"k", b"v"), (b"", b""), (b"k" * 5000, b"v" * 5000)):
        out = bytearray()
        append_record(out, 0, 0, kind(key), kind(value), [("h", kind(value))])
        assert out == encoded(key, value, [("h", value)])


@pytest.mark.parametrize("size", BORDERS)
def test_sizes_at_the_borders_of_the_tables_come_back(size: int) -> None:
    data = b"x" * size
    few: Headers = (("h", data), ("n", None), ("n" * size, b""))
    many: Headers = (("n", None),) * min(size, 10_000)
    for key, value, headers in (
        (data, b"v", ()),
        (None, data, ()),
        (b"k", None, few),
        (b"k", b"v", many),
    ):
        record = decoded(encoded(key, value, headers))
        assert (record.key, record.value, record.headers) == (key, value, headers)


@pytest.mark.parametrize("delta", [*BORDERS, 2**31 - 1])
def test_offsets_at_the_borders_of_the_tables_come_back(delta: int) -> None:
    assert decoded(encoded(offset_delta=delta)).offset == delta


@pytest.mark.parametrize("delta", [*BORDERS, 2**62, -1, -4096, -8193, -(2**62)])
def test_timestamps_may_lie_before_and_far_after_the_first(delta: int) -> None:
    assert decoded(encoded(timestamp_delta=delta)).timestamp == delta


@given(
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=6000),
    st.lists(st.tuples(st.text(max_size=80), st.none() | st.binary(max_size=200))),
    st.integers(-(2**40), 2**40),
    st.integers(0, 2**31 - 1),
)
def test_what_goes_in_comes_out(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp: int, offset: int
) -> None:
    data = encoded(key, value, headers, timestamp_delta=timestamp, offset_delta=offset)
    assert decoded(data) == DecodedRecord(offset, timestamp, key, value, tuple(headers), len(data))


@given(
    st.none() | st.binary(max_size=9000),
    st.none() | st.binary(max_size=9000),
    st.lists(st.tuples(st.text(max_size=80), st.none() | st.binary(max_size=200))),
)
def test_no_record_is_larger_than_its_bound(
    key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    bound = record_size_bound(
        -1 if key is None else len(key), -1 if value is None else len(value), headers
    )
    largest = {"timestamp_delta": -(2**63), "offset_delta": 2**31 - 1}
    assert len(encoded(key, value, headers, **largest)) <= bound


@pytest.mark.parametrize("name", [name for name in record_sets() if name != "noise"])
def test_the_bound_is_the_one_of_java(name: str) -> None:
    for entry in record_sets()[name]:
        key_size = -1 if entry.key is None else len(entry.key)
        value_size = -1 if entry.value is None else len(entry.value)
        assert record_size_bound(key_size, value_size, entry.headers) == entry.size_bound


@pytest.mark.parametrize("headers", [[("h", "text")], [(b"h", b"x")], [("\ud800", b"")], [None]])
def test_a_record_that_cannot_be_encoded_leaves_the_batch_as_it_was(headers: Headers) -> None:
    out = bytearray(b"before")
    with pytest.raises((TypeError, AttributeError, UnicodeEncodeError)):
        append_record(out, 0, 0, b"k", b"v", headers)
    assert out == b"before"
