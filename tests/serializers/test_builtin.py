"""Bytes, strings and JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.serializers import BytesSerializer, JsonSerializer, StringSerializer

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_bytes_are_taken_as_they_are() -> None:
    serialize = BytesSerializer()
    buffer = bytearray(b"v")
    assert serialize(buffer) is buffer
    assert serialize(b"v") == b"v"
    assert serialize(None) is None
    with pytest.raises(TypeError, match="bytes expected, not str"):
        serialize("v")  # type: ignore[arg-type]


def test_strings_are_encoded() -> None:
    assert StringSerializer()("größe") == "größe".encode()
    assert StringSerializer("latin-1")("größe") == b"gr\xf6\xdfe"
    assert StringSerializer()("") == b""
    assert StringSerializer()(None) is None
    with pytest.raises(TypeError, match="str expected, not bytes"):
        StringSerializer()(b"v")  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        StringSerializer("ascii")("ö")


@given(values)
def test_json_can_be_read_back(value: object) -> None:
    data = JsonSerializer()(value)
    if value is None:
        assert data is None
    else:
        assert data is not None
        assert json.loads(data) == value


def test_json_is_compact_and_plain() -> None:
    assert JsonSerializer()({"b": [1, 2], "a": "ö"}) == '{"b":[1,2],"a":"ö"}'.encode()


def test_sorted_keys_make_equal_objects_equal_bytes() -> None:
    serialize = JsonSerializer(sort_keys=True)
    assert serialize({"b": 1, "a": 2}) == serialize({"a": 2, "b": 1}) == b'{"a":2,"b":1}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        JsonSerializer()(value)
