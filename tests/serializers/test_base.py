"""What a serializer is, and how it is called."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer.errors import ConfigurationError, SerializationError
from aioproducer.runtime.serializing import Answer
from aioproducer.serializers import (
    BytesSerializer,
    JsonSerializer,
    SerializationContext,
    StringSerializer,
    UnfitValueError,
    resolve_serializer,
)


@pytest.mark.parametrize("given", [None, "bytes", BytesSerializer()])
def test_buffers_need_none(given: object) -> None:
    assert resolve_serializer(given, "value") is None


@pytest.mark.parametrize(
    ("given", "value", "expected"),
    [
        ("string", "v", b"v"),
        ("json", [1], b"[1]"),
        ("org.apache.kafka.common.serialization.StringSerializer", "v", b"v"),
        (StringSerializer("utf-16-le"), "v", b"v\0"),
        (JsonSerializer(), {"a": 1}, b'{"a":1}'),
        (str.encode, "v", b"v"),
        (lambda value: memoryview(value), b"v", b"v"),
    ],
)
def test_names_and_callables(given: object, value: object, expected: bytes) -> None:
    serialize = resolve_serializer(given, "value")
    assert serialize is not None
    result = serialize(value, "orders", ())
    assert result is not None
    assert bytes(result) == expected


class WithContext:
    def __init__(self) -> None:
        self.contexts: list[SerializationContext] = []

    def serialize(self, value: Any, context: SerializationContext) -> bytes:
        self.contexts.append(context)
        return repr(value).encode()


def test_an_object_is_told_topic_field_and_headers() -> None:
    own = WithContext()
    serialize = resolve_serializer(own, "key")
    assert serialize is not None
    assert serialize(5, "orders", [("h", b"1")]) == b"5"
    assert own.contexts == [SerializationContext("orders", "key", [("h", b"1")])]


def test_null_never_reaches_a_serializer() -> None:
    def fall_over(value: object) -> bytes:
        raise AssertionError("a tombstone stays one")

    for given in (fall_over, WithContext(), "string", "json"):
        serialize = resolve_serializer(given, "value")
        assert serialize is not None
        assert serialize(None, "orders", ()) is None


def test_what_it_raises_is_the_cause_and_the_value_is_not_told() -> None:
    def fall_over(value: object) -> bytes:
        raise KeyError("field")

    serialize = resolve_serializer(fall_over, "value")
    assert serialize is not None
    words = r"the value \(str\) could not be serialized: KeyError"
    with pytest.raises(SerializationError, match=words) as caught:
        serialize("a secret", "orders", ())
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.topic == "orders"
    assert "a secret" not in str(caught.value)


@pytest.mark.parametrize("answer", ["text", 5, [b"v"]])
def test_an_answer_that_is_no_buffer_is_told(answer: object) -> None:
    serialize = resolve_serializer(lambda value: answer, "key")
    assert serialize is not None
    with pytest.raises(SerializationError, match=f"{type(answer).__name__} instead of bytes"):
        serialize(1, "orders", ())


def test_a_coroutine_is_an_answer_to_come() -> None:
    async def later(value: object) -> bytes:
        return b"v"

    serialize = resolve_serializer(later, "key")
    assert serialize is not None
    answer = serialize(1, "orders", ())
    assert isinstance(answer, Answer)
    assert answer.is_later
    assert asyncio.run(_awaited(answer)) == b"v"


async def _awaited(answer: Answer) -> object:
    return await answer.later("value")


def test_headers_that_it_adds_come_with_its_bytes() -> None:
    class Tagging:
        def serialize(self, value: Any, context: SerializationContext) -> bytes:
            context.add_header("schema", b"7")
            return b"v"

    serialize = resolve_serializer(Tagging(), "key")
    assert serialize is not None
    answer = serialize(1, "orders", ())
    assert isinstance(answer, Answer)
    assert (answer.is_later, answer.now("value"), answer.headers) == (
        False,
        b"v",
        [("schema", b"7")],
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("schema", "v1", "header 'schema' must be bytes or None, not str"),
        (b"schema", b"v1", "key must be str, not bytes"),
        ("\ud800", b"v1", "half a character in a header's key"),
    ],
)
def test_a_header_that_is_none_fails_the_record_in_plain_words(
    name: Any, value: Any, words: str
) -> None:
    class Tagging:
        def serialize(self, given: Any, context: SerializationContext) -> bytes:
            try:
                context.add_header(name, value)
            finally:
                assert not context.added
            return b"v"

    serialize = resolve_serializer(Tagging(), "value")
    assert serialize is not None
    with pytest.raises(SerializationError, match=words):
        serialize(1, "orders", ())


def test_a_header_is_as_it_was_when_it_was_added() -> None:
    context, value = SerializationContext("orders", "value"), bytearray(b"v1")
    context.add_header("schema", value)
    value[:] = b"v2"
    assert context.added == [("schema", b"v1")]


def test_an_error_that_says_so_is_quoted() -> None:
    def refuse(value: object) -> bytes:
        raise UnfitValueError("amount: a number is wanted")

    serialize = resolve_serializer(refuse, "value")
    assert serialize is not None
    words = r"the value \(int\) could not be serialized: amount: a number is wanted"
    with pytest.raises(SerializationError, match=words):
        serialize(1, "orders", ())


@pytest.mark.parametrize("given", ["avrö", 5, object()])
def test_anything_else_is_refused_when_the_producer_is_made(given: object) -> None:
    with pytest.raises(ConfigurationError, match="value_serializer"):
        resolve_serializer(given, "value")
