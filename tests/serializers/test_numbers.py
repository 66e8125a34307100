"""Numbers, booleans and UUIDs, held to the bytes of Kafka's own serializers."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from aioproducer.serializers import numbers as tested
from aioproducer.serializers.base import named_serializer as named
from aioproducer.serializers.unfit import UnfitBytesError, UnfitValueError
from tests.oracles.java.data import load

READERS: dict[str, Callable[[str], Any]] = {
    "short": int,
    "integer": int,
    "long": int,
    "float": lambda text: float.fromhex(text),
    "double": lambda text: float.fromhex(text),
    "boolean": lambda text: text == "true",
    "uuid": uuid.UUID,
    "string": str,
}
CASES = [
    (name, READERS[name](bytes.fromhex(text).decode()), bytes.fromhex(data))
    for name, text, data in load("serializers.json")
]


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
def test_the_bytes_are_those_of_java(name: str, value: Any, expected: bytes) -> None:
    assert named(name)(value) == expected


@pytest.mark.parametrize(("name", "value", "data"), [case for case in CASES if case[0] != "string"])
def test_they_are_read_back(name: str, value: Any, data: bytes) -> None:
    deserialize = getattr(tested, f"{name.capitalize()}Deserializer")()
    found = deserialize(data)
    assert found == value or (math.isnan(found) and math.isnan(value))
    assert type(found) is type(value)
    assert deserialize(None) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("short", 2**15),
        ("short", -(2**15) - 1),
        ("integer", 2**31),
        ("long", -(2**63) - 1),
        ("float", 3.5e38),
    ],
)
def test_what_java_has_no_room_for_is_refused_and_not_quoted(name: str, value: Any) -> None:
    with pytest.raises(UnfitValueError, match="out of the range of Java's") as caught:
        named(name)(value)
    assert str(value) not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("integer", "5", "int expected, not str"),
        ("integer", 5.0, "int expected, not float"),
        ("long", True, "int expected, not bool"),
        ("double", "0.5", "float or int expected, not str"),
        ("boolean", 1, "bool expected, not int"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "UUID expected, not str"),
    ],
)
def test_other_types_are_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(UnfitValueError, match=words):
        named(name)(value)


def test_an_integer_may_be_written_as_a_floating_point_number() -> None:
    assert tested.DoubleSerializer()(2) == tested.DoubleSerializer()(2.0)


@pytest.mark.parametrize(
    ("deserializer", "data"),
    [
        (tested.IntegerDeserializer(), b"123"),
        (tested.LongDeserializer(), b""),
        (tested.BooleanDeserializer(), b"\2"),
        (tested.UuidDeserializer(), b"123e4567"),
        (tested.UuidDeserializer(), b"\xff" * 36),
    ],
)
def test_bytes_of_something_else_are_refused(deserializer: Any, data: bytes) -> None:
    with pytest.raises(UnfitBytesError):
        deserializer(data)
